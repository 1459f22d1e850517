"""Predictive log score of hidden observations in many small blocks, each solved densely in float64.

A block is a set of some hundred observations around a random one: half of them near, half from a large part of the grid and of
the dates. A part of the block is hidden, as clouds would hide it. The score of a prior is the mean of

    -log N(y; mean, variance)

over the hidden observations ``y``, where mean and variance are those of the prior given the observations of the block that are
shown, including the noise (Gneiting and Raftery 2007, *Strictly proper scoring rules, prediction, and estimation*). Unlike the
likelihood it stays a sound criterion if the field is not of the prior's family.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from geogan.compute.threads import side_by_side
from geogan.prior import lattice
from geogan.prior.film import Film

# Largest distance of the near half of a block from its centre, in cells and in dates.
NEAR_CELLS, NEAR_DATES = 7, 2
# The far half of every other block reaches so far: in shares of the longer side of the grid, and in dates.
REACHES = ((1.2, 30), (0.35, 8))
# Bounds of the share of a block that is hidden, and draws of what hides it before the block is given up.
LEAST_HIDDEN, MOST_HIDDEN, DRAWS = 0.15, 0.75, 30
# Blocks solved together.
BATCH = 8
# Smallest predicted variance relative to the field's; rounding may leave less than nothing.
LEAST_VARIANCE = 1e-9


class Block(NamedTuple):
    """Observations of one band, as arrays of shape (N,)."""

    values: np.ndarray  # anomalies
    error: np.ndarray  # known variance of the observation errors
    days: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    hidden: np.ndarray  # bool: to be predicted from the others


class Parameters(NamedTuple):
    """Parameters of a prior, or derivatives with respect to them; float64 of shape ()."""

    length: Tensor
    persistence: Tensor
    noise: Tensor
    aspect: Tensor
    detail: Tensor
    amplitude: Tensor
    tilt: Tensor


def draw_blocks(
    films: Sequence[Film],
    count: int,
    *,
    size: int,
    generator: np.random.Generator,
    has_time: bool = True,
    is_periodic: bool = False,
) -> list[Block]:
    """Draw blocks of observations with a hidden part from films.

    Parameters
    ----------
    films : sequence of Film
        All observations of ``mask`` may be drawn; what the films hide is not considered.
    count : int
        Number of blocks. Fewer are returned if the films hold few observations.
    size : int
        Largest number of observations in a block.
    generator : numpy.random.Generator
        Source of all randomness.
    has_time : bool
        Whether dates are related; otherwise a block is of one date.
    is_periodic : bool
        Whether the last column of the films touches the first.

    Returns
    -------
    list of Block
    """
    sources = [_Source.of(film) for film in films]
    sizes = np.array([len(source.positions) for source in sources], float)
    blocks: list[Block] = []
    if not sizes.any():
        return blocks
    for attempt in range(4 * count):
        source = sources[generator.choice(len(sources), p=sizes / sizes.sum())]
        block = _draw_block(
            source, size, REACHES[attempt % 2], generator=generator, has_time=has_time, is_periodic=is_periodic
        )
        if block is not None:
            blocks.append(block)
        if len(blocks) == count:
            break
    return blocks


class _Source(NamedTuple):
    """A film as arrays (T, C, H, W), and where its observations are."""

    values: np.ndarray
    observed: np.ndarray  # bool
    error: np.ndarray | None
    days: np.ndarray
    positions: np.ndarray  # flat indices of the observations

    @classmethod
    def of(cls, film: Film) -> _Source:
        observed = film.mask.numpy() > 0
        error = None if film.uncertainty is None else film.uncertainty.numpy()
        if error is not None:
            # An infinite error is a gap.
            observed &= np.isfinite(error)
        return cls(film.values.numpy(), observed, error, film.days.numpy(), np.flatnonzero(observed))


def _draw_block(
    source: _Source,
    size: int,
    reach: tuple[float, int],
    *,
    generator: np.random.Generator,
    has_time: bool,
    is_periodic: bool,
) -> Block | None:
    """Return a block around a random observation; None if no draw hides a sensible part of it."""
    shape = source.observed.shape
    date, band, row, column = np.unravel_index(source.positions[generator.integers(len(source.positions))], shape)
    share, dates = reach
    boxes = ((NEAR_CELLS, NEAR_DATES), (math.ceil(share * max(shape[2:])), dates))
    chosen = []
    for cells, span in boxes:
        dates_near = _around(date, span if has_time else 0, shape[0])
        rows, columns = _around(row, cells, shape[2]), _around(column, cells, shape[3], is_periodic=is_periodic)
        found = np.flatnonzero(source.observed[np.ix_(dates_near, [band], rows, columns)])
        taken = generator.choice(found, min(len(found), size // 2), replace=False, shuffle=False)
        t, y, x = np.unravel_index(taken, (len(dates_near), len(rows), len(columns)))
        chosen.append(np.ravel_multi_index((dates_near[t], rows[y], columns[x]), (shape[0], *shape[2:])))
    t, y, x = np.unravel_index(np.unique(np.concatenate(chosen)), (shape[0], *shape[2:]))
    hidden = _hidden_part(source, (t, y, x), (date, band, row, column), generator, is_periodic=is_periodic)
    if hidden is None:
        return None
    error = np.zeros(len(t)) if source.error is None else source.error[t, band, y, x].astype(float) ** 2
    return Block(source.values[t, band, y, x].astype(float), error, source.days[t].astype(float), y, x, hidden)


def _around(centre: int, reach: int, size: int, *, is_periodic: bool = False) -> np.ndarray:
    """Return the indices within reach of one, on an axis that ends or goes round."""
    if is_periodic:
        return np.arange(size) if 2 * reach + 1 >= size else np.arange(centre - reach, centre + reach + 1) % size
    return np.arange(max(0, centre - reach), min(size, centre + reach + 1))


def _hidden_part(
    source: _Source,
    place: tuple[np.ndarray, np.ndarray, np.ndarray],
    centre: tuple[int, int, int, int],
    generator: np.random.Generator,
    *,
    is_periodic: bool,
) -> np.ndarray | None:
    """Return what other dates' gaps and a cloud that stays hide of a block, (N,) bool; None if never a sensible part."""
    (t, y, x), (date, band, row, column) = place, centre
    count, _, height, width = source.observed.shape
    steps_across = np.abs(x - column)
    if is_periodic:
        steps_across = np.minimum(steps_across, width - steps_across)
    distance = np.hypot(y - row, steps_across)
    for attempt in range(DRAWS):
        hidden = np.zeros(len(t), bool)
        for one in np.unique(t):
            other, flips, is_taken = int(generator.integers(count)), generator.integers(2, size=2), generator.random()
            if attempt % 3 == 0 or is_taken < 0.7:
                # The gaps of the same date are mirrored; as they are they would hide nothing.
                flips = flips if other == one else (0, 0)
                if other == one and not any(flips):
                    flips = (1, 1)
                here = t == one
                rows = height - 1 - y[here] if flips[0] else y[here]
                columns = width - 1 - x[here] if flips[1] else x[here]
                hidden[here] = ~source.observed[other, band, rows, columns]
        radius, lasting, has_cloud = generator.random(), int(generator.integers(0, 3)), generator.random() < 0.5
        if has_cloud:
            # From two cells to the size of the grid, small ones more often.
            radius = 2.0 * max(1.0, 0.2 * max(height, width)) ** radius
            hidden |= (distance < radius) & (np.abs(t - date) <= lasting)
        if LEAST_HIDDEN < hidden.mean() < MOST_HIDDEN:
            return hidden
    return None


class _Batch(NamedTuple):
    """Blocks of equal sizes: S shown and H hidden observations, of which some are padding."""

    shown: Tensor  # (B, S) values, 0 in padding
    target: Tensor  # (B, H)
    is_shown: Tensor  # (B, S) 1, or 0 in padding
    is_target: Tensor  # (B, H)
    shown_error: Tensor  # (B, S) known variance
    target_error: Tensor  # (B, H)
    lag: Tensor  # (B, S, S + H) number of the lag in space between a shown and any observation
    step: Tensor  # (B, S, S + H) number of the lag in time


class PredictiveScore:
    """The mean log score of some blocks as a function of the parameters of a prior.

    Parameters
    ----------
    blocks : sequence of Block
    width : int, optional
        Number of columns of a grid that goes round the globe.

    Attributes
    ----------
    count : int
        Number of hidden observations.

    Examples
    --------
    One observation predicts its neighbour on the same date:

    >>> block = Block(*(np.array(part) for part in ([1.0, 0.8], [0.0, 0.0], [0.0, 0.0], [0, 0], [0, 1], [False, True])))
    >>> one = torch.tensor(1.0, dtype=torch.float64)
    >>> parameters = Parameters(10 * one, 5 * one, 0.1 * one, one, one, one, 0 * one)
    >>> value, slope = PredictiveScore([block]).value_and_gradient(parameters)
    >>> round(value, 3), round(float(slope.persistence), 3)
    (0.092, 0.0)
    """

    def __init__(self, blocks: Sequence[Block], *, width: int | None = None) -> None:
        self.count = sum(int(block.hidden.sum()) for block in blocks)
        # Blocks of one batch are padded to the largest.
        ordered = sorted(blocks, key=lambda block: (len(block.hidden), int(block.hidden.sum())))
        keys = [_lags(block, width) for block in ordered]
        lags = [key[0] for key in keys]
        steps = [key[1] for key in keys]
        # Of a table of lags; number 0 is lag 0.
        unique_lags = np.unique(np.concatenate([[LAG_OFFSET], *(np.unique(part) for part in lags)]))
        unique_steps = np.unique(np.concatenate([[0.0], *(np.unique(part) for part in steps)]))
        self._dy = torch.from_numpy((unique_lags // LAG_STRIDE).astype(float))
        self._dx = torch.from_numpy((unique_lags % LAG_STRIDE - LAG_OFFSET).astype(float))
        self._steps = torch.from_numpy(unique_steps)
        self._zero = int(np.searchsorted(unique_lags, LAG_OFFSET))
        self._batches = []
        for start in range(0, len(ordered), BATCH):
            part = slice(start, start + BATCH)
            numbers = [np.searchsorted(unique_lags, lag) for lag in lags[part]]
            times = [np.searchsorted(unique_steps, step) for step in steps[part]]
            self._batches.append(_batch(ordered[part], numbers, times))

    def value_and_gradient(self, parameters: Parameters) -> tuple[float, Parameters]:
        """Return the mean score and its derivatives with respect to the parameters.

        The value is infinite if a covariance matrix is not positive definite.
        """
        point = Parameters(*(part.detach().clone().double().requires_grad_() for part in parameters))
        space = lattice.covariance(
            self._dy, self._dx, length=point.length, aspect=point.aspect, detail=point.detail, tilt=point.tilt
        )
        time = torch.exp(-self._steps / point.persistence)
        noise2, scale2 = point.noise.square(), point.amplitude.square()
        inputs = (space, time, noise2, scale2)
        fixed = tuple(part.detach() for part in inputs)
        parts = list(side_by_side(lambda batch: _score(batch, *fixed, zero=self._zero), self._batches))
        # Summed in the order of the batches, so that threads do not change the result.
        value = math.fsum(part[0] for part in parts) / self.count
        gradients = [sum(part[1][number] for part in parts) / self.count for number in range(len(inputs))]
        slopes = torch.autograd.grad(inputs, tuple(point), gradients, allow_unused=True)  # type: ignore[arg-type]
        return value, Parameters(*(torch.zeros_like(p) if s is None else s for p, s in zip(point, slopes)))


# A lag (dy, dx) is held as the number dy * LAG_STRIDE + dx + LAG_OFFSET.
LAG_STRIDE = 2**32
LAG_OFFSET = 2**31


def _lags(block: Block, width: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return lags in space, as numbers, and in time between shown and all observations, (S, S + H)."""
    order = np.argsort(block.hidden, kind="stable")
    shown = order[: int((~block.hidden).sum())]
    dy = block.rows[shown][:, None] - block.rows[order]
    dx = block.columns[shown][:, None] - block.columns[order]
    if width is not None:
        dx = (dx + width // 2) % width - width // 2
    # The covariance at (dy, dx) is that at (-dy, -dx).
    sign = np.where((dy < 0) | ((dy == 0) & (dx < 0)), -1, 1)
    steps = np.abs(block.days[shown][:, None] - block.days[order])
    return (sign * dy).astype(np.int64) * LAG_STRIDE + sign * dx + LAG_OFFSET, steps


def _batch(blocks: Sequence[Block], lags: Sequence[np.ndarray], steps: Sequence[np.ndarray]) -> _Batch:
    """Stack blocks, with padding up to the largest number of shown and of hidden observations."""
    shown = max(len(lag) for lag in lags)
    hidden = max(lag.shape[1] - lag.shape[0] for lag in lags)
    parts = {
        name: np.zeros((len(blocks), size))
        for name, size in (
            ("shown", shown),
            ("target", hidden),
            ("is_shown", shown),
            ("is_target", hidden),
            ("shown_error", shown),
            ("target_error", hidden),
        )
    }
    tables = {name: np.zeros((len(blocks), shown, shown + hidden), np.int32) for name in ("lag", "step")}
    for number, (block, lag, step) in enumerate(zip(blocks, lags, steps)):
        for side, kind, where, errors in (
            ("shown", "is_shown", ~block.hidden, "shown_error"),
            ("target", "is_target", block.hidden, "target_error"),
        ):
            size = int(where.sum())
            parts[side][number, :size] = block.values[where]
            parts[kind][number, :size] = 1
            parts[errors][number, :size] = block.error[where]
        size = len(lag)
        for name, table in (("lag", lag), ("step", step)):
            tables[name][number, :size, :size] = table[:, :size]
            tables[name][number, :size, shown : shown + table.shape[1] - size] = table[:, size:]
    arrays = {name: torch.from_numpy(array) for name, array in (parts | tables).items()}
    return _Batch(**arrays)


def _score(
    batch: _Batch, space: Tensor, time: Tensor, noise2: Tensor, scale2: Tensor, *, zero: int
) -> tuple[float, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Return the sum of the scores of a batch, and its derivatives with respect to the other arguments.

    With ``K`` the covariance of the shown observations, ``k`` that with a hidden one, the prediction is ``k' inv(K) y`` and
    its variance ``c - k' inv(K) k``. Covariances are relative to ``scale2``.
    """
    count = batch.shown.shape[1]
    both = batch.is_shown[:, :, None] * torch.cat([batch.is_shown, batch.is_target], 1)[:, None]
    in_space, in_time = space[batch.lag] * both, time[batch.step]
    covariance = in_space * in_time
    matrix, cross = covariance[..., :count].clone(), covariance[..., count:]
    matrix.diagonal(dim1=1, dim2=2).add_(noise2 + batch.shown_error / scale2 + (1 - batch.is_shown))
    root, failed = torch.linalg.cholesky_ex(matrix)
    if bool(failed.any()):
        return math.inf, (torch.zeros_like(space), torch.zeros_like(time), 0 * noise2, 0 * scale2)
    solved = torch.cholesky_solve(torch.cat([cross, batch.shown[:, :, None]], 2), root)
    weights, alpha = solved[..., :-1], solved[..., -1]
    error = batch.target - (cross * alpha[:, :, None]).sum(1)
    unit = space[zero] + noise2 + batch.target_error / scale2 - (cross * weights).sum(1)
    unit = unit.clamp_min(LEAST_VARIANCE)
    variance = scale2 * unit
    kept = batch.is_target
    value = 0.5 * float((kept * (error.square() / variance + variance.log())).sum()) + 0.5 * math.log(
        2 * math.pi
    ) * float(kept.sum())
    to_error = kept * error / variance
    to_unit = 0.5 * kept * (1 / unit - error.square() / (variance * unit))
    # Derivatives with respect to K and k.
    spread = weights * to_unit[:, None]
    to_mean = (weights * to_error[:, None]).sum(2)
    to_matrix = torch.baddbmm(to_mean[:, :, None] * alpha[:, None], spread, weights.mT)
    to_cross = -alpha[:, :, None] * to_error[:, None] - 2 * spread
    to_diagonal = to_matrix.diagonal(dim1=1, dim2=2) * batch.is_shown
    to_all = torch.cat([to_matrix, to_cross], 2)
    lag, step = batch.lag.flatten(), batch.step.flatten()
    to_space = torch.bincount(lag, (to_all * in_time * both).flatten(), len(space))
    to_space[zero] += to_unit.sum()
    to_time = torch.bincount(step, (to_all * in_space).flatten(), len(time))
    to_noise2 = to_diagonal.sum() + to_unit.sum()
    to_scale2 = (0.5 * kept * (1 - error.square() / variance)).sum() / scale2
    known = (to_diagonal * batch.shown_error).sum() + (to_unit * batch.target_error).sum()
    # The variance is scale2 * unit: the first term is that of the factor, the second that of known errors in the unit.
    return value, (to_space, to_time, to_noise2, to_scale2 - known / scale2.square())
