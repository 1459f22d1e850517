"""Regression of a field on known quantities, estimated jointly with the field (universal kriging, with a ridge).

In many small blocks hidden observations are predicted from the others. With ``e`` the error of that prediction without
a regression and ``Z`` the errors of the same prediction of the regressors, the error with coefficients ``b`` is
``e - Z b``: the coefficients that predict hidden observations best minimise the mean of its square over the predicted
variance. That is generalised least squares for predictions; it stays sound if the field is not of the family.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from geogan.prior.film import Film
from geogan.prior.gaussian import GaussianPrior
from geogan.prior.predictive_score import Block, EndlessSpace, Parameters, draw_blocks, moved

# Observations in a block.
BLOCK_SIZE = 200
# Groups of blocks of a single film, along its longer side, that validate each other.
GROUPS = 4
# Ridges to choose from, in units of a regressor's own sum of squares. A product of n covariates has n^2 times as much.
RIDGES = (0.003, 0.03, 0.1, 0.3, 1.0)
# Share of the mean square error that a regression must explain, and by how many standard errors: chance explains less.
LEAST_GAIN, STANDARD_ERRORS = 0.01, 1.5
# Smallest predicted variance and noise, in units of the field's variance.
LEAST_VARIANCE, LEAST_NOISE = 1e-4, 0.02


class Equations(NamedTuple):
    """Sums over hidden observations, each over its predicted variance, by group and band.

    Attributes
    ----------
    matrix : ndarray, shape (G, C, F, F)
        Products of the errors of the regressors.
    moment : ndarray, shape (G, C, F)
        Products of the errors of regressors and field.
    square : ndarray, shape (G, C)
        Squared errors of the field.
    hidden : ndarray, shape (G, C)
        Number of hidden observations.
    """

    matrix: np.ndarray
    moment: np.ndarray
    square: np.ndarray
    hidden: np.ndarray

    def of(self, terms: Sequence[int]) -> Equations:
        """Return the equations of some regressors."""
        index = np.array(terms, int)
        return self._replace(matrix=self.matrix[..., index[:, None], index], moment=self.moment[..., index])

    def without(self, group: int) -> Equations:
        """Return the equations without a group."""
        return Equations(*(np.delete(part, group, 0) for part in self))

    def coefficients(self, ridge: np.ndarray) -> np.ndarray:
        """Return the coefficients of each band, (C, F), with a ridge in units of each regressor's own sum."""
        matrix, moment = self.matrix.sum(0), self.moment.sum(0)
        diagonal = np.einsum("cff->cf", matrix)
        # A regressor without variation gets no coefficient.
        floor = np.maximum(1e-9 * diagonal.max(1, keepdims=True), 1e-30)
        matrix = matrix + np.einsum("cf,fg->cfg", ridge * diagonal + floor, np.eye(len(ridge)))
        solved: np.ndarray = np.linalg.solve(matrix, moment[..., None])[..., 0]
        return solved

    def squares(self, coefficients: np.ndarray) -> np.ndarray:
        """Return the squared errors with some coefficients (C, F), (G, C)."""
        explained = 2 * np.einsum("gcf,cf->gc", self.moment, coefficients)
        return self.square - explained + np.einsum("cf,gcfh,ch->gc", coefficients, self.matrix, coefficients)


class Coefficients(NamedTuple):
    """Coefficients of a regression.

    Attributes
    ----------
    chosen : list of int
        The chosen regressors.
    values : ndarray, shape (F, C)
        Their coefficients for each band, in units of the anomalies.
    gain : float
        Share of the mean square error of hidden observations that they explain, in data that they were not fitted to.
    """

    chosen: list[int]
    values: np.ndarray
    gain: float


def fit_regression(
    prior: GaussianPrior,
    films: Sequence[tuple[Film, Tensor]],
    candidates: Sequence[Sequence[int]],
    degrees: Sequence[int],
    *,
    blocks: int,
    seed: int = 0,
    has_time: bool = True,
    is_periodic: bool = False,
) -> Coefficients | None:
    """Return the regression that predicts hidden observations best, or None if none predicts them better than chance.

    Regressors and ridge are chosen by the error on each film with coefficients that are fitted to the other films.

    Parameters
    ----------
    prior : GaussianPrior
        Of the field without the regression.
    films : sequence of (Film, Tensor)
        Observations, and the regressors on their dates and cells, (T, F, H, W). Each film is a group; a single film is
        divided along its longer side.
    candidates : sequence of sequence of int
        Sets of regressors to choose from, as indices.
    degrees : sequence of int
        Number of covariates whose product each regressor is.
    blocks : int
        Blocks of all films.
    seed : int
        Seed of the blocks.
    has_time : bool
        Whether dates are related.
    is_periodic : bool
        Whether the films go round the globe.
    """
    equations = regression_equations(
        prior,
        films,
        blocks=blocks,
        generator=np.random.default_rng([seed, 0x5E6]),
        has_time=has_time,
        is_periodic=is_periodic,
    )
    total, groups = float(equations.square.sum()), range(len(equations.square))
    if not total > 0 or len(groups) < 2:
        return None
    found = []
    for index in candidates:
        part, power = equations.of(index), np.array([degrees[number] ** 2 for number in index])
        for ridge in RIDGES:
            left = [part.squares(part.without(g).coefficients(ridge * power))[g].sum() for g in groups]
            found.append((float(np.sum(left)), np.array(left), list(index), ridge * power))
    _, rest, index, ridges = min(found, key=lambda each: each[0])
    gains = equations.square.sum(1) - rest
    gain, scatter = float(gains.sum()), float(np.std(gains, ddof=1)) * len(gains) ** 0.5
    if gain < LEAST_GAIN * total or gain < STANDARD_ERRORS * scatter:
        return None
    # Parts of one film are not independent: a trend by chance must not be extrapolated into a gap.
    if len(films) == 1 and gains.min() <= 0:
        return None
    return Coefficients(index, equations.of(index).coefficients(ridges).T, gain / total)


def regression_equations(
    prior: GaussianPrior,
    films: Sequence[tuple[Film, Tensor]],
    *,
    blocks: int,
    generator: np.random.Generator,
    has_time: bool = True,
    is_periodic: bool = False,
) -> Equations:
    """Return the equations for the coefficients of a regression, from blocks of several films.

    Parameters
    ----------
    prior : GaussianPrior
        Of the field without the regression.
    films : sequence of (Film, Tensor)
        Observations, and the regressors on their dates and cells, (T, F, H, W). Each film is a group; a single film is
        divided along its longer side.
    blocks : int
        Blocks of all films.
    generator : numpy.random.Generator
    has_time : bool
        Whether dates are related.
    is_periodic : bool
        Whether the films go round the globe.
    """
    parts = []
    for film, regressors in films:
        drawn = _draw(film, max(1, blocks // len(films)), generator, has_time=has_time, is_periodic=is_periodic)
        group: np.ndarray = np.zeros(len(drawn), int)
        if len(films) == 1 and len(drawn) >= GROUPS:
            height, width = film.values.shape[2:]
            middle = np.array([np.mean(each.rows if height >= width else each.columns) for each, _ in drawn])
            group = (np.argsort(np.argsort(middle)) * GROUPS) // len(drawn)
        parts.append(_summed(prior, film, regressors, drawn, group, is_periodic=is_periodic))
    return Equations(*(np.concatenate(part) for part in zip(*parts)))


def _draw(
    film: Film, count: int, generator: np.random.Generator, *, has_time: bool, is_periodic: bool
) -> list[tuple[Block, np.ndarray]]:
    """Return blocks of a film, with the places of their observations as indices of the flat film."""
    # The blocks of a film whose values are its indices tell where their observations are.
    places = torch.arange(film.values.numel(), dtype=torch.float64).view(film.values.shape)
    numbered = replace(film, values=places)
    drawn = draw_blocks(
        [numbered], count, size=BLOCK_SIZE, generator=generator, has_time=has_time, is_periodic=is_periodic
    )
    values = film.values.numpy().ravel()
    found = []
    for block in drawn:
        index = block.values.astype(np.int64)
        found.append((block._replace(values=values[index].astype(float)), index))
    return found


def _summed(
    prior: GaussianPrior,
    film: Film,
    regressors: Tensor,
    drawn: Sequence[tuple[Block, np.ndarray]],
    group: np.ndarray,
    *,
    is_periodic: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the sums of `Equations` over the blocks of a film."""
    bands, count = film.values.shape[1], regressors.shape[1]
    groups = int(group.max()) + 1 if len(group) else 1
    matrix, moment = np.zeros((groups, bands, count, count)), np.zeros((groups, bands, count))
    square, number = np.zeros((groups, bands)), np.zeros((groups, bands))
    if not drawn:
        return matrix, moment, square, number
    placed = [moved(block, prior.drift_y, prior.drift_x) for block, _ in drawn]
    space = EndlessSpace(placed, width=film.domain.shape[1] if is_periodic else None)
    names = Parameters._fields
    with torch.no_grad():
        table = space.covariance(
            Parameters(*(torch.tensor(float(getattr(prior, name)), dtype=torch.float64) for name in names))
        ).numpy()
    known = regressors.numpy()
    for block, (_, index), at in zip(placed, drawn, group.tolist()):
        t, band, y, x = np.unravel_index(index, film.values.shape)
        joined = np.concatenate([block.values[:, None], known[t, :, y, x].astype(float)], 1)
        error, variance = _innovations(prior, block, space, table, joined)
        weighted = error / variance[:, None]
        sums = weighted.T @ error
        own = int(band[0])
        matrix[at, own] += sums[1:, 1:]
        moment[at, own] += sums[1:, 0]
        square[at, own] += sums[0, 0]
        number[at, own] += len(error)
    return matrix, moment, square, number


def _innovations(
    prior: GaussianPrior, block: Block, space: EndlessSpace, table: np.ndarray, joined: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return errors of predicting the hidden rows of ``joined`` (N, K) from the shown ones, and their variance."""
    hidden, shown = np.flatnonzero(block.hidden), np.flatnonzero(~block.hidden)
    everyone = np.arange(len(block.hidden))
    lag = np.abs(block.days[shown][:, None] - block.days)
    covariance = table[space.numbers(block, shown[:, None], everyone)] * np.exp(-lag / prior.persistence)
    unit, noise = prior.amplitude**2, max(prior.noise, LEAST_NOISE) ** 2
    cross = covariance[:, hidden]
    within = covariance[:, shown] + np.diag(noise + block.error[shown] / unit)
    weights = np.linalg.solve(within, cross)
    own = table[space.numbers(block, hidden, hidden)] + noise + block.error[hidden] / unit
    variance = np.maximum(own - (cross * weights).sum(0), LEAST_VARIANCE) * unit
    return joined[hidden] - weights.T @ joined[shown], variance
