"""Predictive log score of hidden observations in many small blocks, each solved densely in float64.

A block is a set of some hundred observations around a random one: half of them near, half from a large part of the grid
and of the dates. A part of the block is hidden, as clouds would hide it. The score of a prior is the mean of

    -log N(y; mean, variance)

over the hidden observations ``y``, where mean and variance are those of the prior given the observations of the block
that are shown, including the noise (Gneiting and Raftery 2007, *Strictly proper scoring rules, prediction, and
estimation*). Unlike the likelihood it stays a sound criterion if the field is not of the prior's family.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor

from geogan.compute.threads import side_by_side
from geogan.prior import lattice
from geogan.prior.blur import PointSpread
from geogan.prior.film import Film
from geogan.prior.gaussian import GaussianPrior

# Smallest reach of the near half of a block in cells; the largest as a share of the grid's longer side; in dates. Small
# ones are drawn more often: only there a block holds all observations.
LEAST_REACH, MOST_REACH, REACHES_IN_TIME = 3.0, 0.35, (0, 1, 2, 3, 5)
# Reach of the far half in shares of the grid's longer side and in dates, and whether its hidden observations are
# scored; if not, they are left out of the block: a thin sample of a large region is harder to predict than a real gap.
FAR = ((1.2, 30, False), (0.35, 8, True))
# Bounds of the hidden share of the near half and of the block, and draws of what hides it before the block is given up.
LEAST_HIDDEN, MOST_HIDDEN, DRAWS = 0.15, 0.75, 30
# Share of the near half that is hidden one by one.
SINGLE = 0.2
# Blocks solved together.
BATCH = 3
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
            source, size, FAR[attempt % 2], generator=generator, has_time=has_time, is_periodic=is_periodic
        )
        if block is not None:
            blocks.append(block)
        if len(blocks) == count:
            break
    return blocks


def moved(block: Block, drift_y: float, drift_x: float) -> Block:
    """Return a block in the coordinates of a field that drifts by so many rows and columns a day.

    Positions are rounded to whole cells, which hardly changes the parameters (docs/experiments.md).

    Examples
    --------
    >>> one = np.ones(2)
    >>> block = Block(one, 0 * one, np.array([0.0, 3.0]), np.array([5, 8]), np.array([5, 5]), one > 0)
    >>> moved(block, 1.0, 0.0).rows.tolist()
    [5, 5]
    """
    rows, columns = (
        cells - np.rint(drift * block.days).astype(int)
        for cells, drift in ((block.rows, drift_y), (block.columns, drift_x))
    )
    return block._replace(rows=rows, columns=columns)


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
    far: tuple[float, int, bool],
    *,
    generator: np.random.Generator,
    has_time: bool,
    is_periodic: bool,
) -> Block | None:
    """Return a block around a random observation; None if no draw hides a sensible part of it."""
    shape = source.observed.shape
    flat = source.positions[generator.integers(len(source.positions))]
    date, band, row, column = (int(part) for part in np.unravel_index(flat, shape))
    share, dates, is_far_scored = far
    side = max(shape[2:])
    most = max(LEAST_REACH + 1, MOST_REACH * side)
    cells = int(LEAST_REACH * (most / LEAST_REACH) ** (generator.random() ** 2))
    near_dates = int(generator.choice(REACHES_IN_TIME))
    chosen = []
    for reach, span in ((cells, near_dates), (math.ceil(share * side), dates)):
        days = _around(date, span if has_time else 0, shape[0])
        rows, columns = _around(row, reach, shape[2]), _around(column, reach, shape[3], is_periodic=is_periodic)
        found = np.flatnonzero(source.observed[np.ix_(days, np.array([band]), rows, columns)])
        taken = generator.choice(found, min(len(found), size // 2), replace=False)
        t, y, x = np.unravel_index(taken, (len(days), len(rows), len(columns)))
        chosen.append(np.ravel_multi_index((days[t], rows[y], columns[x]), (shape[0], *shape[2:])))
    cells_taken = np.unique(np.concatenate(chosen))
    is_near = np.isin(cells_taken, chosen[0])
    t, y, x = np.unravel_index(cells_taken, (shape[0], *shape[2:]))
    for attempt in range(DRAWS):
        hidden = _under_gaps(source, (t, y, x), band, generator, is_certain=attempt % 3 == 0)
        hidden |= _under_cloud(source, (t, y, x), (date, row, column), generator, is_periodic=is_periodic)
        # Single observations determine the noise: under a large gap no observation is near enough.
        hidden |= is_near & (generator.random(len(t)) < SINGLE)
        scored = hidden if is_far_scored else hidden & is_near
        if scored.sum() >= LEAST_HIDDEN * is_near.sum() and hidden.mean() < MOST_HIDDEN:
            break
    else:
        return None
    kept = ~hidden | scored
    t, y, x = t[kept], y[kept], x[kept]
    error = np.zeros(len(t)) if source.error is None else source.error[t, band, y, x].astype(float) ** 2
    values = source.values[t, band, y, x].astype(float)
    return Block(values, error, source.days[t].astype(float), y, x, hidden[kept])


def _around(centre: int, reach: int, size: int, *, is_periodic: bool = False) -> np.ndarray:
    """Return the indices within reach of one, on an axis that ends or goes round."""
    if is_periodic:
        return np.arange(size) if 2 * reach + 1 >= size else np.arange(centre - reach, centre + reach + 1) % size
    return np.arange(max(0, centre - reach), min(size, centre + reach + 1))


def _under_gaps(
    source: _Source,
    place: tuple[np.ndarray, np.ndarray, np.ndarray],
    band: int,
    generator: np.random.Generator,
    *,
    is_certain: bool,
) -> np.ndarray:
    """Return which observations of a block, (N,), other dates' gaps hide.

    In every other draw the gaps of all dates are moved by the same number of dates, so that gaps last as long as real
    ones. Otherwise each date has the gaps of a random one, and if it is not ``is_certain`` some dates have none.
    """
    t, y, x = place
    count, _, height, width = source.observed.shape
    is_moved, move = generator.random() < 0.5, int(generator.integers(1, max(2, count)))
    hidden = np.zeros(len(t), bool)
    for date in np.unique(t):
        other, flips = int(generator.integers(count)), generator.integers(2, size=2)
        has_gaps = generator.random() < 0.7 or is_moved or is_certain
        other = (date + move) % count if is_moved else other
        if not has_gaps:
            continue
        at = t == date
        rows, columns = y[at], x[at]
        if other == date:
            # As they are, the gaps of the same date would hide nothing: they are mirrored, along one axis at least.
            rows = height - 1 - rows if flips[0] or not flips[1] else rows
            columns = width - 1 - columns if flips[1] or not flips[0] else columns
        hidden[at] = ~source.observed[other, band, rows, columns]
    return hidden


def _under_cloud(
    source: _Source,
    place: tuple[np.ndarray, np.ndarray, np.ndarray],
    centre: tuple[int, int, int],
    generator: np.random.Generator,
    *,
    is_periodic: bool,
) -> np.ndarray:
    """Return which observations of a block, (N,), a cloud around its centre hides on one to five dates, if any."""
    (t, y, x), (date, row, column) = place, centre
    height, width = source.observed.shape[2:]
    has_cloud, lasting = generator.random() < 0.5, int(generator.integers(0, 3))
    radius = generator.uniform(2.0, max(3.0, 0.4 * max(height, width)))
    across = np.abs(x - column)
    if is_periodic:
        across = np.minimum(across, width - across)
    return has_cloud & (np.hypot(y - row, across) < radius) & (np.abs(t - date) <= lasting)


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
    own: Tensor  # (B, H) number of the lag in space between a hidden observation and itself


class Space(Protocol):
    """The covariance in space of the pairs of observations in some blocks."""

    def numbers(self, block: Block, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return the number of each pair of observations in :meth:`covariance`; the two are broadcast."""

    def covariance(self, parameters: Parameters) -> Tensor:
        """Return the covariance of all numbered pairs, differentiable."""


class EndlessSpace:
    """A field far from any edge: the covariance of a pair is that of its lag.

    Parameters
    ----------
    blocks : sequence of Block
        Their lags are those that :meth:`covariance` computes.
    width : int, optional
        Number of columns of a grid that goes round the globe.
    blur : PointSpread, optional
        How the observations of the field are blurred.
    """

    def __init__(self, blocks: Sequence[Block], *, width: int | None = None, blur: PointSpread | None = None) -> None:
        self._width, self._blur = width, blur
        everything = []
        for block in blocks:
            places = np.arange(len(block.hidden))
            everything.append(np.unique(self._lags(block, places[:, None], places)))
        self._lag = np.unique(np.concatenate(everything))
        self._dy = torch.from_numpy((self._lag // LAG_STRIDE).astype(float))
        self._dx = torch.from_numpy((self._lag % LAG_STRIDE - LAG_OFFSET).astype(float))

    def _lags(self, block: Block, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return the lags (dy, dx) between observations as numbers ``dy * LAG_STRIDE + dx + LAG_OFFSET``."""
        dy = block.rows[first] - block.rows[second]
        dx = block.columns[first] - block.columns[second]
        if self._width is not None:
            dx = (dx + self._width // 2) % self._width - self._width // 2
        # The covariance at (dy, dx) is that at (-dy, -dx).
        sign = np.where((dy < 0) | ((dy == 0) & (dx < 0)), -1, 1)
        return (sign * dy).astype(np.int64) * LAG_STRIDE + sign * dx + LAG_OFFSET

    def numbers(self, block: Block, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return the number of the lag of each pair of observations; the two are broadcast."""
        return np.searchsorted(self._lag, self._lags(block, first, second))

    def covariance(self, parameters: Parameters) -> Tensor:
        """Return the covariance at each lag."""
        space = partial(
            lattice.covariance,
            length=parameters.length,
            aspect=parameters.aspect,
            detail=parameters.detail,
            tilt=parameters.tilt,
        )
        return space(self._dy, self._dx) if self._blur is None else self._blurred(space, self._blur)

    def _blurred(self, space: Callable[[Tensor, Tensor], Tensor], blur: PointSpread) -> Tensor:
        """Return the covariance of measurements: that of the field, blurred once for each of the two."""
        kernel = blur.twice
        rim_y, rim_x = kernel.shape[0] // 2, kernel.shape[1] // 2
        most_y, most_x = int(self._dy.max()), int(self._dx.abs().max())
        dy = torch.arange(most_y + rim_y + 1, dtype=torch.float64)
        dx = torch.arange(-most_x - rim_x, most_x + rim_x + 1, dtype=torch.float64)
        half = space(*(part.flatten() for part in torch.meshgrid(dy, dx, indexing="ij"))).view(len(dy), len(dx))
        # Negative lags have the covariance of positive ones.
        table = torch.cat([half[1 : rim_y + 1].flip(0, 1), half])
        sides = [next_fast_len(side, True) for side in table.shape]
        product = torch.fft.rfft2(table, s=sides) * torch.fft.rfft2(kernel, s=sides)
        found = torch.fft.irfft2(product, s=sides)[2 * rim_y :, 2 * rim_x :]
        return found[self._dy.long(), self._dx.long() + most_x]


class BoundedSpace:
    """A field on the cells of a domain with its edges, for small grids; aspect and tilt are given.

    The precision in space is a function of the Laplacian of the domain, whose eigenvectors are computed once.

    Parameters
    ----------
    domain : Tensor, shape (H, W)
    prior : GaussianPrior
        Its aspect, its tilt, its blur and whether it goes round the globe are used.
    """

    def __init__(self, domain: Tensor, prior: GaussianPrior) -> None:
        value, self._vectors = torch.linalg.eigh(prior.laplacian(domain))
        self._values = value.clamp_min(0)
        inside = domain.numpy() > 0
        self._cell = np.cumsum(inside).reshape(inside.shape) - 1
        if prior.blur is not None:
            cells = torch.zeros(len(value), *domain.shape, dtype=torch.float64)
            cells[:, domain > 0] = self._vectors.mT
            blur = prior.blur.on(domain.double(), is_periodic=prior.is_periodic)
            self._vectors = blur.measured(cells)[:, domain > 0].mT.contiguous()

    def numbers(self, block: Block, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return the number of each pair of cells; the two are broadcast."""
        cell = self._cell[block.rows, block.columns]
        pairs: np.ndarray = cell[first] * len(self._values) + cell[second]
        return pairs

    def covariance(self, parameters: Parameters) -> Tensor:
        """Return the covariance of each pair of cells."""
        spectrum = lattice.spectrum(self._values, length=parameters.length, detail=parameters.detail)
        return ((self._vectors * spectrum) @ self._vectors.mT).flatten()


class PredictiveScore:
    """The mean log score of some blocks as a function of the parameters of a prior.

    Parameters
    ----------
    blocks : sequence of Block
    space : Space, optional
        By default an :class:`EndlessSpace`.

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
    (0.133, 0.0)
    """

    def __init__(self, blocks: Sequence[Block], space: Space | None = None) -> None:
        self.count = sum(int(block.hidden.sum()) for block in blocks)
        self._space = EndlessSpace(blocks) if space is None else space
        steps = [np.unique(np.abs(block.days[:, None] - block.days)) for block in blocks]
        self._steps = np.unique(np.concatenate(steps))
        # Blocks of one batch are padded to the largest, so blocks of similar sizes belong together.
        ordered = sorted(blocks, key=lambda block: (int((~block.hidden).sum()), int(block.hidden.sum())))
        batches = (ordered[start : start + BATCH] for start in range(0, len(ordered), BATCH))
        self._batches = [_batch(part, self._space, self._steps) for part in batches]
        self._pairs = torch.cat([part.flatten() for batch in self._batches for part in (batch.lag, batch.own)])

    def value_and_gradient(self, parameters: Parameters) -> tuple[float, Parameters]:
        """Return the mean score and its derivatives with respect to the parameters.

        The value is infinite if a covariance matrix is not positive definite.
        """
        point = Parameters(*(part.detach().clone().double().requires_grad_() for part in parameters))
        space = self._space.covariance(point)
        time = torch.exp(-torch.from_numpy(self._steps) / point.persistence)
        inputs = (space, time, point.noise.square(), point.amplitude.square())
        fixed = tuple(part.detach() for part in inputs)
        parts = list(side_by_side(lambda batch: _score(batch, *fixed), self._batches))
        # Summed in the order of the batches, so that threads do not change the result.
        value = math.fsum(part.value for part in parts) / self.count
        by_space = torch.bincount(self._pairs, torch.cat([part.pairs for part in parts]), len(space))
        by_others = [torch.stack(part).sum(0) for part in zip(*((p.time, p.noise2, p.scale2) for p in parts))]
        gradients = [part / self.count for part in (by_space, *by_others)]
        slopes = torch.autograd.grad(inputs, tuple(point), gradients, allow_unused=True)
        return value, Parameters(*(torch.zeros_like(p) if s is None else s for p, s in zip(point, slopes)))


# A lag (dy, dx) is the number dy * LAG_STRIDE + dx + LAG_OFFSET.
LAG_STRIDE, LAG_OFFSET = 2**32, 2**31


def _batch(blocks: Sequence[Block], space: Space, steps: np.ndarray) -> _Batch:
    """Stack blocks, with padding up to the largest number of shown and of hidden observations."""
    shown = max(int((~block.hidden).sum()) for block in blocks)
    hidden = max(int(block.hidden.sum()) for block in blocks)
    count = len(blocks)
    parts: dict[str, np.ndarray] = {
        **{name: np.zeros((count, shown)) for name in ("shown", "is_shown", "shown_error")},
        **{name: np.zeros((count, hidden)) for name in ("target", "is_target", "target_error")},
        **{name: np.zeros((count, shown, shown + hidden), np.int32) for name in ("lag", "step")},
        "own": np.zeros((count, hidden), np.int32),
    }
    for number, block in enumerate(blocks):
        places = {"shown": np.flatnonzero(~block.hidden), "target": np.flatnonzero(block.hidden)}
        first = places["shown"]
        for kind, places_of_kind in places.items():
            size = len(places_of_kind)
            parts[kind][number, :size] = block.values[places_of_kind]
            parts[f"is_{kind}"][number, :size] = 1
            parts[f"{kind}_error"][number, :size] = block.error[places_of_kind]
            columns = slice(0, size) if kind == "shown" else slice(shown, shown + size)
            parts["lag"][number, : len(first), columns] = space.numbers(block, first[:, None], places_of_kind)
            between = np.abs(block.days[first][:, None] - block.days[places_of_kind])
            parts["step"][number, : len(first), columns] = np.searchsorted(steps, between)
        target = places["target"]
        parts["own"][number, : len(target)] = space.numbers(block, target, target)
    return _Batch(**{name: torch.from_numpy(array) for name, array in parts.items()})


class _Scored(NamedTuple):
    """The sum of the scores of a batch, and its derivatives."""

    value: float
    pairs: Tensor  # (P,) with respect to the covariance in space of each pair of ``lag`` and ``own``
    time: Tensor  # with respect to the correlations in time
    noise2: Tensor
    scale2: Tensor


def _score(batch: _Batch, space: Tensor, time: Tensor, noise2: Tensor, scale2: Tensor) -> _Scored:
    """Return the sum of the scores of a batch, and its derivatives with respect to the other arguments.

    With ``K`` the covariance of the shown observations, ``k`` that with a hidden one, the prediction is
    ``k' inv(K) y`` and its variance ``c - k' inv(K) k``. Covariances are relative to ``scale2``.
    """
    count = batch.shown.shape[1]
    both = batch.is_shown[:, :, None] * torch.cat([batch.is_shown, batch.is_target], 1)[:, None]
    in_space, in_time = space[batch.lag] * both, time[batch.step]
    covariance = in_space * in_time
    matrix, cross = covariance[..., :count].clone(), covariance[..., count:]
    matrix.diagonal(dim1=1, dim2=2).add_(noise2 + batch.shown_error / scale2 + (1 - batch.is_shown))
    root, failed = torch.linalg.cholesky_ex(matrix)
    if bool(failed.any()):
        pairs = space.new_zeros(batch.lag.numel() + batch.own.numel())
        return _Scored(math.inf, pairs, torch.zeros_like(time), 0 * noise2, 0 * scale2)
    solved = torch.cholesky_solve(torch.cat([cross, batch.shown[:, :, None]], 2), root)
    weights, alpha = solved[..., :-1], solved[..., -1]
    error = batch.target - (cross * alpha[:, :, None]).sum(1)
    unit = space[batch.own] + noise2 + batch.target_error / scale2 - (cross * weights).sum(1)
    unit = unit.clamp_min(LEAST_VARIANCE)
    variance = scale2 * unit
    kept = batch.is_target
    value = 0.5 * float((kept * (error.square() / variance + variance.log() + math.log(2 * math.pi))).sum())
    to_error = kept * error / variance
    to_variance = 0.5 * kept * (1 / variance - error.square() / variance.square())
    to_unit = to_variance * scale2
    # Derivatives with respect to K and k.
    spread = weights * to_unit[:, None]
    to_mean = (weights * to_error[:, None]).sum(2)
    to_matrix = torch.baddbmm(to_mean[:, :, None] * alpha[:, None], spread, weights.mT)
    to_cross = -alpha[:, :, None] * to_error[:, None] - 2 * spread
    to_diagonal = to_matrix.diagonal(dim1=1, dim2=2) * batch.is_shown
    to_all = torch.cat([to_matrix, to_cross], 2)
    to_pairs = torch.cat([(to_all * in_time * both).flatten(), to_unit.flatten()])
    to_time = torch.bincount(batch.step.flatten(), (to_all * in_space).flatten(), len(time))
    to_noise2 = to_diagonal.sum() + to_unit.sum()
    to_scale2 = (to_variance * unit).sum()
    known = (to_diagonal * batch.shown_error).sum() + (to_unit * batch.target_error).sum()
    # The variance is scale2 * unit: the first term is that of the factor, the second that of known errors in the unit.
    return _Scored(value, to_pairs, to_time, to_noise2, to_scale2 - known / scale2.square())
