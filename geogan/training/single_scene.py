"""A single scene: what its own gaps, turned round, hide of it chooses its climatology and fits its first guess."""

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
from geogan.prior import Film, GaussianPrior, fit_prior, hidden_error
from geogan.training.blocks import random_slice

# Values of a piece at most: a scene of no more is looked at whole.
PIECE_VALUES = 600_000
# A plane must lower the error on what each piece hides by this share: carried on it may do far more harm than good.
WORTH = 0.03
# Places that are tried for something to hide.
TRIES = 8

Climatology = Callable[[np.ndarray, bool], Standardiser]
"""The climatology of a scene without some of its observations, (C, H, W) bool: their mean, or a plane through them."""


class Scene(NamedTuple):
    """What is found out about a single scene."""

    standardiser: Standardiser
    prior: GaussianPrior
    pieces: list[Film]
    why: str  # what its climatology was chosen by, in words


def fit_scene(
    archive: Archive,
    climatology: Climatology,
    *,
    seed: int,
    prior: GaussianPrior | None = None,
    evaluations: int = 50,
) -> Scene | None:
    """Choose the climatology of a single scene, and fit its first guess.

    Of mean and plane that one is taken whose best first guess predicts hidden observations better. Each piece has a
    climatology fitted without what the piece hides, and each climatology a prior of its own: carried on into a large
    gap at one side a plane may be far off, and a prior that is not fitted does not tell (chlorophyll off California,
    logarithm: 0.67 with a plane and 0.98 with the mean before the search, 0.53 and 0.42 after it).

    Parameters
    ----------
    archive : Archive
        Of one date. Nothing is fitted to what is withheld of it.
    climatology : callable
        ``climatology(hidden, plane)``, without what is hidden and what is withheld.
    seed : int
        Decides where the pieces of a large scene are.
    prior : GaussianPrior, optional
        A ready first guess, used as it is instead of a search.
    evaluations : int
        Of the search for the first guess's parameters.

    Returns
    -------
    Scene or None
        None where its gaps, turned round, hide nothing that could be predicted from the rest.
    """
    own, most = archive.seen(0), PIECE_VALUES // archive.bands
    parts = list(places(archive.hidden_by_turning(), most, seed=seed, is_periodic=archive.is_periodic))
    # All pieces are of one size.
    fit: Callable[..., GaussianPrior]
    is_periodic = all(archive.spans(x) for _, (_, x) in parts)
    fit = partial(fit_prior, evaluations=evaluations, temporal=False, is_periodic=is_periodic)
    if prior is not None:
        fit = partial(_ready, prior)

    def pieces(plane: bool, scale: np.ndarray) -> list[Film]:
        """With anomalies in units of ``scale``; none of what leaves nothing to fit a climatology to."""
        found = []
        for gaps, (y, x) in parts:
            try:
                without = replace(climatology(gaps, plane), scale=scale)
            except InputError:
                continue
            film = replace(archive, standardiser=without).read(slice(0, 1), y, x)
            found.append(hiding(film, taken(gaps[None], y, x)))
        return found

    mean = climatology(np.zeros_like(own), False)
    flat = pieces(False, mean.scale)
    if not flat:
        return None
    prior = fit(flat)
    chosen = Scene(mean, prior, flat, "")
    plane = _plane(climatology, np.zeros_like(own))
    sloped = [] if plane is None else pieces(True, mean.scale)
    if plane is not None and len(sloped) == len(flat):
        other = fit(sloped)
        gains = [hidden_error(other, [b]) / hidden_error(prior, [a]) for a, b in zip(flat, sloped)]
        errors = [error * mean.error_unit("")[0] for error in (hidden_error(other, sloped), hidden_error(prior, flat))]
        why = "; error on hidden clouds {:.4g} with a plane, {:.4g} with the mean".format(*errors)
        chosen = chosen._replace(why=why)
        if max(gains) < 1 - WORTH:
            # Where errors are known the amplitude is not 1, and in the units of the anomalies.
            other = replace(other, amplitude=other.amplitude * float(np.mean(mean.scale / plane.scale)))
            chosen = Scene(plane, other, pieces(True, plane.scale), why)
    further = fit(chosen.pieces, start=chosen.prior)
    better = hidden_error(further, chosen.pieces) < hidden_error(chosen.prior, chosen.pieces)
    return chosen._replace(prior=further) if better else chosen


def _ready(prior: GaussianPrior, pieces: Sequence[Film], start: GaussianPrior | None = None) -> GaussianPrior:
    """Return a prior that needs no search, in place of a fitted one."""
    return prior


def _plane(climatology: Climatology, nothing: np.ndarray) -> Standardiser | None:
    """The plane through a scene; None where it has none, or lies on one without an error."""
    try:
        found = climatology(nothing, True)
    except InputError:
        return None
    return found if found.note == "a plane" else None


def places(
    hidden: Sequence[np.ndarray], most: int, *, seed: int = 0, is_periodic: bool = False
) -> Iterator[tuple[np.ndarray, tuple[slice, slice]]]:
    """Rows and columns, of ``most`` cells at most, in which something is hidden: of each that hides, (C, H, W) bool.

    Examples
    --------
    >>> scene = np.ones((1, 6, 8), bool)
    >>> [place for _, place in places([scene], 48)]
    [(slice(0, 6, None), slice(0, 8, None))]
    >>> [(y.stop - y.start, x.stop - x.start) for _, (y, x) in places([scene], 20)]
    [(4, 5)]
    """
    random = np.random.default_rng([seed, 0xF17])
    for gaps in hidden:
        height, width = gaps.shape[1:]
        rows = min(height, max(math.isqrt(most), most // width))
        columns = min(width, most // rows)
        for _ in range(TRIES):
            y, x = random_slice(height, rows, random), random_slice(width, columns, random, is_periodic=is_periodic)
            if taken(gaps, y, x).any():
                yield gaps, (y, x)
                break


def hiding(film: Film, hidden: np.ndarray, *, single: np.ndarray | None = None) -> Film:
    """Return a film in which observations are hidden, and others as isolated ones; 1 or True there, (T, C, H, W)."""
    isolated = None if single is None else torch.from_numpy(single)
    kept = film.mask - torch.from_numpy(hidden) * film.mask
    return replace(film, kept=kept if isolated is None else kept - isolated, single=isolated)
