"""The model without a network: the Gaussian first guess with the spread of its posterior, calibrated."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from geogan.archive import Archive
from geogan.compute.threads import side_by_side
from geogan.model import Calibration, Model
from geogan.model.networks import SpreadTable
from geogan.prior import ASPECTS, nearness
from geogan.training.blocks import random_samples, random_slice
from geogan.training.judge import Judge
from geogan.training.learned import first_guess_scores

# Pieces of the archive whose posterior is drawn: dates, cells a side, and values of all pieces together.
DATES, SIDE, VALUES, MOST_PIECES = 20, 128, 600_000, 4
# Draws of the posterior of a piece; more on small archives, until so many values are drawn.
LEAST_DRAWS, MOST_DRAWS, DRAWN_VALUES = 8, 32, 3_000_000
# A covariance that is not stationary is solved with dense matrices, so fewer pieces are drawn.
DENSE_PIECES = 2
# Cells of a piece that the table is fitted to.
CELLS = 60_000


class Variances(NamedTuple):
    """Cells of the archive with the variance of the posterior in them."""

    near: np.ndarray  # (N, 3)
    variance: np.ndarray  # (N,), in anomalies
    draws: int


def model_without_network(first: Model, archive: Archive, judge: Judge | None, *, seed: int) -> Model:
    """Return the model of the first guess alone, with its predicted error and its scores.

    Parameters
    ----------
    first : Model
        The model without networks, with a prior.
    archive : Archive
        The archive that it was fitted to.
    judge : Judge, optional
        What its error is calibrated by.
    seed : int
        Seed of the draws of the posterior.
    """
    assert first.prior is not None
    cells = posterior_variances(first, archive, seed=seed)
    table = SpreadTable.fit(
        cells.near,
        cells.variance,
        draws=cells.draws,
        noise=first.prior.noise * first.prior.amplitude,
        frames=1,
        channels=archive.bands,
    )
    # Without a network there is no window of frames, and nothing sees covariates.
    model = replace(first, frames=1, covariates=None, error=table.eval(), calibration=Calibration())
    if judge is not None and not judge.by_noise:
        seen = judge.residuals(None, table)
        model = replace(
            model,
            calibration=Calibration.fit(
                seen.std, seen.error, clusters=seen.film, observation_error=seen.noise, level=seen.level
            ),
        )
    return replace(
        model,
        settings=dict(first.settings) | {"dates": len(archive.days)},
        scores=first_guess_scores(first, archive, judge),
    )


def outlook(first: Model, archive: Archive, judge: Judge | None) -> str:
    """Return a sentence about the error without a network, and about the most that training might add.

    Parameters
    ----------
    first : Model
    archive : Archive
    judge : Judge, optional
    """
    assert first.prior is not None
    if judge is None or judge.by_noise:
        return (
            "no observations were withheld, so the predicted error is the Gaussian's own, and nothing tells what "
            "training might add"
        )
    unit, label = archive.standardiser.error_unit(first.units)
    targets = torch.cat([film.target[film.withheld > 0] for film in judge.films]).double()
    climatology, error = float(targets.square().mean()), judge.guessed**2
    noise = min(error, (first.prior.noise * first.prior.amplitude) ** 2)
    if not climatology > 0:
        return f"error without a network: {judge.guessed * unit:.4g} {label} on withheld observations"
    filled, scatter = max(0.0, 1 - error / climatology), noise / climatology
    return (
        f"error without a network: {judge.guessed * unit:.4g} {label} on withheld observations; of their variance the "
        f"first guess explains {filled:.0%}, {scatter:.0%} is scatter between neighbouring observations, and the other "
        f"{max(0.0, 1 - filled - scatter):.0%} is the most that training might add (geogan train measures it)"
    )


def posterior_variances(model: Model, archive: Archive, *, seed: int) -> Variances:
    """Return the posterior variance in some cells of random pieces of the archive, from exact draws.

    Parameters
    ----------
    model : Model
        With a prior.
    archive : Archive
    seed : int
        Decides pieces, draws and cells.
    """
    assert model.prior is not None
    (height, width), count = archive.domain.shape, len(archive.days)
    rows, columns, dates = min(SIDE, height), min(SIDE, width), min(DATES, count)
    size = archive.bands * rows * columns * dates
    is_whole = (rows, columns, dates) == (height, width, count)
    pieces = 1 if is_whole else int(np.clip(VALUES // size, 2, MOST_PIECES if model.prior.stationary else DENSE_PIECES))
    draws = int(np.clip(DRAWN_VALUES // (size * pieces), LEAST_DRAWS, MOST_DRAWS))
    if not model.prior.stationary:
        draws = LEAST_DRAWS

    def variances(number: int) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng([seed, 0x57D, number])
        t: slice | np.ndarray = random_slice(count, dates, random)
        y = random_slice(height, rows, random)
        x = random_slice(width, columns, random, is_periodic=archive.is_periodic)
        if archive.independent:
            t = random_samples(archive, random)
        film, is_periodic = archive.read(t, y, x), archive.spans(x)
        prior = model.prior_of(y, x, is_periodic=is_periodic)
        assert prior is not None
        generator = torch.Generator().manual_seed(int(random.integers(2**62)))
        noise = torch.randn((2, draws, 1, *film.values.shape), generator=generator)
        known = None if film.uncertainty is None else film.uncertainty[None]
        observed = ((film.values * film.mask)[None], film.mask[None], film.domain, film.days)
        _, deviations = prior.members(*observed, noise=noise, uncertainty=known)
        variance = deviations[:, 0].square().mean(0).numpy()
        near = nearness(film.mask, film.days, prior, is_periodic=is_periodic)
        near = near.unflatten(1, (ASPECTS, -1)).movedim(1, -1)
        inside = np.flatnonzero(np.broadcast_to(film.domain.numpy() > 0, variance.shape))
        chosen = random.choice(inside, min(CELLS, len(inside)), replace=False)
        return near.reshape(-1, ASPECTS).numpy()[chosen], variance.ravel()[chosen]

    found = list(side_by_side(variances, range(pieces)))
    near, variance = (np.concatenate(part) for part in zip(*found, strict=True))
    return Variances(near, variance, draws)
