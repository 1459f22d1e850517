"""Regression on covariates, chosen by the prediction of hidden observations."""

from __future__ import annotations

import numpy as np
import torch

from geogan.archive import Archive
from geogan.fields.regression import Regression, candidate_terms
from geogan.operators.errors import InputError
from geogan.prior import Prior, fit_regression
from geogan.training.blocks import random_slice

# Films of consecutive dates from which the blocks are drawn; their dates, and their cells a side, of a scene more.
FILMS, LEAST_DATES, DATES, SIDE, SCENE_SIDE = 8, 4, 20, 192, 768
# Blocks of all films.
BLOCKS = 384
# A covariate that leaves less than this share of the mean square error is the field itself.
LEAK = 1e-4


def choose_regression(archive: Archive, prior: Prior, *, seed: int) -> tuple[Regression, float] | None:
    """Return the regression that predicts hidden observations best, and the share of the mean square that it explains.

    Parameters
    ----------
    archive : Archive
        With covariates, and a standardiser without a regression.
    prior : Prior
        Of the anomalies, or of what an earlier regression leaves of them.
    seed : int
        Seed of films and blocks.

    Returns
    -------
    regression : Regression
        Its coefficients are in transformed units.
    gain : float
        None in place of both, if no regression predicts hidden observations better.

    Raises
    ------
    InputError
        If a covariate is the field itself.
    """
    assert archive.covariates is not None
    candidates = candidate_terms(archive.covariates)
    films, terms, reach = archive.with_regressors(_films(archive, seed), candidates[-1])
    sets = [[terms.index(term) for term in each if term in terms] for each in candidates]
    found = fit_regression(
        prior.markov,
        [(film, torch.from_numpy(regressors)) for film, regressors in films],
        [index for index in sets if index],
        [len(term) for term in terms],
        blocks=BLOCKS,
        seed=seed,
        has_time=not archive.independent,
        is_periodic=archive.is_periodic and archive.domain.shape[1] <= SIDE,
    )
    if found is None:
        return None
    if found.gain > 1 - LEAK:
        raise InputError(
            f"{' and '.join(archive.covariates.names)} predict the field exactly wherever it is observed, so a "
            "covariate is the field itself; leave it out"
        )
    coefficients = (found.values * archive.standardiser.scale)[:, :, None, None].astype(np.float32)
    return Regression(
        tuple(terms[number] for number in found.chosen), coefficients, tuple(reach[number] for number in found.chosen)
    ), found.gain


def _films(archive: Archive, seed: int) -> list[tuple[slice | np.ndarray, slice, slice]]:
    """Return dates, rows and columns of films: consecutive dates that do not overlap, spread over the record."""
    count, (height, width) = len(archive.days), archive.domain.shape
    generator = np.random.default_rng([seed, 0x5E7])
    films = max(1, min(FILMS, count // LEAST_DATES))
    if archive.independent:
        groups: list[slice | np.ndarray] = [part[:DATES] for part in np.array_split(np.arange(count), films)]
    else:
        length = max(1, min(DATES, count // films))
        groups = [slice(start, start + length) for start in np.linspace(0, count - length, films).astype(int).tolist()]
    side = SCENE_SIDE if count == 1 else SIDE
    y = random_slice(height, side, generator)
    x = random_slice(width, side, generator, is_periodic=archive.is_periodic)
    return [(t, y, x) for t in groups]
