"""Climatology and first guess of a single scene, chosen by predicting cells that its own mirrored gaps hide."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from geogan.archive import Archive, Standardiser
from geogan.fields.circle import taken
from geogan.operators.errors import InputError
from geogan.operators.operator import Operator
from geogan.prior import Film, GaussianPrior, fit_prior, hidden_error
from geogan.training.blocks import random_slice

# Largest crop, in values (cells times bands), that a first guess is fitted to; a smaller scene is used whole. The
# search solves for each film some fifty times, so this bounds its time and memory.
CROP_VALUES = 600_000
# Smallest relative gain, in every film, for which a plane replaces the mean. A plane extrapolated into a large gap may
# be far off, so a small gain is not worth the risk.
LEAST_GAIN = 0.03
# Random crops tried in a large scene before a pattern of gaps that hides nothing is given up.
CROP_TRIES = 8

Climatology = Callable[[np.ndarray, bool], Standardiser]
"""``climatology(hidden, is_plane)``: mean of a scene, or plane through it, without hidden cells, (C, H, W) bool."""


class Scene(NamedTuple):
    """Climatology and first guess of a single scene, with the films that they were fitted to.

    Attributes
    ----------
    standardiser : Standardiser
    prior : GaussianPrior
    films : list of Film
        Crops of the scene in which its mirrored gaps hide observations.
    reason : str
        Errors of plane and mean on hidden cells, in words; empty if only one of them could be fitted.
    """

    standardiser: Standardiser
    prior: GaussianPrior
    films: list[Film]
    reason: str


def fit_scene(
    archive: Archive,
    climatology: Climatology,
    *,
    seed: int,
    operator: Operator | None = None,
    prior: GaussianPrior | None = None,
    evaluations: int = 50,
) -> Scene | None:
    """Choose the climatology of a single scene, and fit its first guess.

    The climatology is the mean or a plane, whichever predicts hidden observations better together with a prior fitted
    to its anomalies. The climatology of each film is fitted without the observations that the film hides. A prior is
    fitted to each climatology because the ranking may change: for log chlorophyll off California the errors are 0.67
    (plane) and 0.98 (mean) before the search, 0.53 and 0.42 after it.

    Parameters
    ----------
    archive : Archive
        Archive of one date. Withheld observations are not used.
    climatology : callable
        ``climatology(hidden, is_plane)`` returns a `Standardiser` fitted without hidden and withheld cells.
    seed : int
        Seed of the crops of a large scene.
    operator : Operator, optional
        How the observations were made.
    prior : GaussianPrior, optional
        A ready first guess, used without a search.
    evaluations : int
        Number of evaluations in the search for the parameters of the first guess.

    Returns
    -------
    Scene or None
        None if the mirrored gaps hide no observation that could be predicted from the others.
    """
    observed, most = archive.seen(0), CROP_VALUES // archive.bands
    crops = list(choose_crops(archive.hidden_by_turning(), most, seed=seed, is_periodic=archive.is_periodic))
    # All crops have one size, so all of them span the circle or none does.
    fit: Callable[..., GaussianPrior]
    is_periodic = all(archive.spans(x) for _, (_, x) in crops)
    fit = partial(
        fit_prior, evaluations=evaluations, temporal=False, is_periodic=is_periodic, operator=operator, seed=seed
    )
    if prior is not None:
        fit = partial(_ready, prior if operator is None else prior.through(operator))

    def hidden_films(is_plane: bool, scale: np.ndarray) -> list[Film]:
        """Return films of anomalies in units of ``scale``, without crops that leave nothing to fit a climatology to."""
        films = []
        for gaps, (y, x) in crops:
            try:
                standardiser = replace(climatology(gaps, is_plane), scale=scale)
            except InputError:
                continue
            film = replace(archive, standardiser=standardiser).read(slice(0, 1), y, x)
            films.append(hide_cells(film, taken(gaps[None], y, x)))
        return films

    nothing = np.zeros_like(observed)
    mean = climatology(nothing, False)
    mean_films = hidden_films(False, mean.scale)
    if not mean_films:
        return None
    mean_prior = fit(mean_films)
    chosen = Scene(mean, mean_prior, mean_films, "")
    plane = _plane(climatology, nothing)
    plane_films = [] if plane is None else hidden_films(True, mean.scale)
    if plane is not None and len(plane_films) == len(mean_films):
        plane_prior = fit(plane_films)
        ratios = [
            hidden_error(plane_prior, [film]) / hidden_error(mean_prior, [other])
            for other, film in zip(mean_films, plane_films)
        ]
        unit = mean.error_unit("")[0]
        errors = [hidden_error(plane_prior, plane_films) * unit, hidden_error(mean_prior, mean_films) * unit]
        reason = "; error on hidden clouds {:.4g} with a plane, {:.4g} with the mean".format(*errors)
        chosen = chosen._replace(reason=reason)
        if max(ratios) < 1 - LEAST_GAIN:
            # If observation errors are known, the amplitude differs from 1 and is in units of the anomalies.
            ratio = float(np.mean(mean.scale / plane.scale))
            plane_prior = replace(plane_prior, amplitude=plane_prior.amplitude * ratio)
            chosen = Scene(plane, plane_prior, hidden_films(True, plane.scale), reason)
    # The long lengths of one scene depend on the blocks drawn: of two draws the better one is taken.
    other_prior = fit(chosen.films, seed=seed + 1)
    is_better = hidden_error(other_prior, chosen.films) < hidden_error(chosen.prior, chosen.films)
    return chosen._replace(prior=other_prior) if is_better else chosen


def _ready(prior: GaussianPrior, films: Sequence[Film], seed: int = 0) -> GaussianPrior:
    """Return a ready prior unchanged, with the parameters of a function that fits one."""
    return prior


def _plane(climatology: Climatology, nothing: np.ndarray) -> Standardiser | None:
    """Return the plane through a scene, or None if it cannot be fitted or leaves no residual."""
    try:
        standardiser = climatology(nothing, True)
    except InputError:
        return None
    return standardiser if standardiser.note == "a plane" else None


def choose_crops(
    hidden: Sequence[np.ndarray], most: int, *, seed: int = 0, is_periodic: bool = False
) -> Iterator[tuple[np.ndarray, tuple[slice, slice]]]:
    """Yield each pattern of hidden cells with rows and columns of a crop that has some of them.

    Parameters
    ----------
    hidden : sequence of ndarray of bool, shape (C, H, W)
        Patterns of hidden cells.
    most : int
        Largest number of cells of a crop.
    seed : int
        Seed of the crops of scenes with more than ``most`` cells.
    is_periodic : bool
        Whether a crop may lie across the seam of a global grid.

    Examples
    --------
    >>> scene = np.ones((1, 6, 8), bool)
    >>> [crop for _, crop in choose_crops([scene], 48)]
    [(slice(0, 6, None), slice(0, 8, None))]
    >>> [(y.stop - y.start, x.stop - x.start) for _, (y, x) in choose_crops([scene], 20)]
    [(4, 5)]
    """
    random = np.random.default_rng([seed, 0xF17])
    for gaps in hidden:
        height, width = gaps.shape[1:]
        rows = min(height, max(math.isqrt(most), most // width))
        columns = min(width, most // rows)
        for _ in range(CROP_TRIES):
            y, x = random_slice(height, rows, random), random_slice(width, columns, random, is_periodic=is_periodic)
            if taken(gaps, y, x).any():
                yield gaps, (y, x)
                break


def hide_cells(film: Film, hidden: np.ndarray, *, single: np.ndarray | None = None) -> Film:
    """Return a film in which some observations are hidden.

    Parameters
    ----------
    film : Film
    hidden : ndarray, shape (T, C, H, W)
        1 or True where an observation is hidden under an added gap.
    single : ndarray, shape (T, C, H, W), optional
        1 or True where an isolated observation is hidden.
    """
    isolated = None if single is None else torch.from_numpy(single)
    kept = film.mask - torch.from_numpy(hidden) * film.mask
    return replace(film, kept=kept if isolated is None else kept - isolated, single=isolated)
