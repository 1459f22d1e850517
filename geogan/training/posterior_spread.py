"""The spread of the Gaussian posterior of an archive, as a table of the distance to observations."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from geogan.archive import Archive
from geogan.compute.threads import side_by_side
from geogan.model import Model
from geogan.model.networks import SpreadTable
from geogan.prior import ASPECTS, GaussianPrior, nearness
from geogan.training.blocks import random_samples, random_slice, samples_in_block

# Films of the archive whose posterior is drawn: dates, cells a side, and values of all films together. A grid of up to
# WHOLE cells is drawn whole. Where a film is cut from a larger grid, cells nearer to the cut than a length, and at most
# MARGIN cells, are left out: at an edge the prior has nearly twice the variance.
DATES, SIDE, VALUES, MOST_FILMS = 20, 128, 600_000, 4
WHOLE, MARGIN = 4 * SIDE**2, SIDE // 4
# Draws of the posterior of a film, as multiples of a judge's: more on small archives, until so many values are drawn.
LEAST_DRAWS, MOST_DRAWS, DRAWN_VALUES = 2, 8, 3_000_000
# A covariance that is not stationary is solved with dense matrices, so fewer films are drawn.
DENSE_FILMS = 2
# Largest variance in a table, over that of the field; it is 1.9 at a straight edge.
MOST_VARIANCE = 4.0
# Cells of a film that the table is fitted to.
CELLS = 60_000


class Variances(NamedTuple):
    """Cells of the archive with the variance of the posterior in them."""

    near: np.ndarray  # (N, 3)
    variance: np.ndarray  # (N,), in anomalies
    draws: int


def fit_spread_table(first: Model, archive: Archive, *, frames: int, draws: int, seed: int) -> SpreadTable:
    """Return the table of the posterior spread of an archive, with the noise of its prior.

    Where observations are blurred, it is the spread of the field without blur, which has no noise.

    Parameters
    ----------
    first : Model
        The model without networks, with a prior.
    archive : Archive
        The archive that it was fitted to.
    frames : int
        Frames of a window.
    draws : int
        Draws that a judge has of the posterior; here there are two to eight times as many.
    seed : int
        Seed of the draws of the posterior.
    """
    assert first.prior is not None
    cells = posterior_variances(first, archive, draws=draws, seed=seed)
    return SpreadTable.fit(
        cells.near,
        cells.variance,
        draws=cells.draws,
        noise=0.0 if first.operator.blurs else first.prior.noise * first.prior.amplitude,
        frames=frames,
        channels=archive.bands,
    )


def posterior_variances(model: Model, archive: Archive, *, draws: int, seed: int) -> Variances:
    """Return the posterior variance in some cells of random films of the archive, from exact draws.

    Parameters
    ----------
    model : Model
        With a prior.
    archive : Archive
    draws : int
        As for :func:`fit_spread_table`.
    seed : int
        Decides films, draws and cells.
    """
    assert model.prior is not None
    (height, width), count = archive.domain.shape, len(archive.days)
    rows, columns, dates = min(SIDE, height), min(SIDE, width), min(DATES, count)
    if height * width <= WHOLE and not model.prior.needs_whole_grid:
        rows, columns = height, width
    size = archive.bands * rows * columns * dates
    is_whole = (rows, columns, dates) == (height, width, count)
    fewest = 1 if (rows, columns) == (height, width) and size > VALUES // 2 else 2
    most_films = DENSE_FILMS if model.prior.needs_whole_grid else MOST_FILMS
    films = 1 if is_whole else int(np.clip(VALUES // size, fewest, most_films))
    least, most = LEAST_DRAWS * draws, MOST_DRAWS * draws
    is_dense = model.prior.needs_whole_grid
    draws = least if is_dense else int(np.clip(DRAWN_VALUES // (size * films), least, most))

    def variances(number: int) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng([seed, 0x57D, number])
        t: slice | np.ndarray = random_slice(count, dates, random)
        y = random_slice(height, rows, random)
        x = random_slice(width, columns, random, is_periodic=archive.is_periodic)
        if archive.independent:
            t = random_samples(archive, random, samples_in_block(archive))
        film, is_periodic = archive.read(t, y, x), archive.spans(x)
        prior = model.prior_of(y, x, is_periodic=is_periodic)
        assert prior is not None
        generator = torch.Generator().manual_seed(int(random.integers(2**62)))
        noise = torch.randn((2, draws, 1, *film.values.shape), generator=generator)
        known = None if film.uncertainty is None else film.uncertainty[None]
        observed = ((film.values * film.mask)[None], film.mask[None], film.domain, film.days)
        _, deviations = prior.members(*observed, noise=noise, uncertainty=known)
        variance = deviations[:, 0].square().mean(0).numpy()
        if prior.stationary or prior.needs_whole_grid:
            # With free edges, an island of a few cells has a prior variance far above that of the field. A local prior
            # may have such a variance where it was observed.
            variance = np.minimum(variance, MOST_VARIANCE * prior.amplitude**2)
        if isinstance(prior, GaussianPrior):
            variance = _without_edges(variance, prior, film.domain.numpy() > 0)
        near = nearness(film.mask, film.days, prior, is_periodic=is_periodic)
        near = near.unflatten(1, (ASPECTS, -1)).movedim(1, -1)
        inner = film.domain.numpy() * _inner(archive, y, x, min(MARGIN, int(prior.length)))
        inside = np.flatnonzero(np.broadcast_to((inner if inner.any() else film.domain.numpy()) > 0, variance.shape))
        chosen = random.choice(inside, min(CELLS, len(inside)), replace=False)
        return near.reshape(-1, ASPECTS).numpy()[chosen], variance.ravel()[chosen]

    found = list(side_by_side(variances, range(films)))
    near, variance = (np.concatenate(part) for part in zip(*found, strict=True))
    return Variances(near, variance, draws)


def _inner(archive: Archive, y: slice, x: slice, margin: int) -> np.ndarray:
    """Return 1 in the cells of a film that are farther than a margin from where it is cut from the grid, (H, W)."""
    (height, width), goes_round = archive.domain.shape, archive.is_periodic and not archive.spans(x)
    inner = np.ones((y.stop - y.start, x.stop - x.start), np.float32)
    inner[: margin * (y.start > 0)] = 0
    inner[inner.shape[0] - margin * (y.stop < height) :] = 0
    inner[:, : margin * (x.start > 0 or goes_round)] = 0
    inner[:, inner.shape[1] - margin * (x.stop < width or goes_round) :] = 0
    return inner


def _without_edges(variance: np.ndarray, prior: GaussianPrior, domain: np.ndarray) -> np.ndarray:
    """Return the variance of the posterior, (T, C, H, W), as if the prior's own were the same everywhere.

    The prior has up to 1.9 times the variance at an edge, the field has not. Far from observations, where the posterior
    has the variance of the prior, it is divided by that factor; near to them it stays.
    """
    excess = edge_variance(prior, domain)
    share = np.clip(variance / (excess * prior.amplitude**2 * (1 + prior.brief**2)), 0, 1)
    result: np.ndarray = variance * excess**-share
    return result


def edge_variance(prior: GaussianPrior, domain: np.ndarray) -> np.ndarray:
    """Return the variance of a prior in each cell over that far from any edge, (H, W), by the method of images.

    An edge is a mirror: a cell correlates with its image behind it. The factors of rows and columns are multiplied, as
    for a rectangle.

    Parameters
    ----------
    prior : GaussianPrior
    domain : ndarray of bool, shape (H, W)

    Examples
    --------
    >>> edge_variance(GaussianPrior(length=4.0), np.ones((30, 30), bool))[[0, 15], 15].round(2).tolist()
    [1.68, 1.0]
    """
    factors = np.ones(domain.shape)
    for axis, is_open in ((0, False), (1, prior.is_periodic and bool(domain.all()))):
        if is_open:
            continue
        correlation = prior.correlation_along(axis, 2 * domain.shape[axis] + 1)
        images = np.zeros(domain.shape)
        for backwards in (False, True):
            cells = np.flip(domain, axis) if backwards else domain
            count = np.zeros(np.delete(cells.shape, axis), int)
            depth = np.zeros(cells.shape, int)
            for place in range(cells.shape[axis]):
                at = (slice(None),) * axis + (place,)
                count = np.where(cells[at], count + 1, 0)
                depth[at] = count
            depth = np.flip(depth, axis) if backwards else depth
            images += np.where(domain, correlation[2 * np.maximum(depth, 1) - 1], 0.0)
        factors *= 1 + images
    return np.minimum(factors, MOST_VARIANCE)
