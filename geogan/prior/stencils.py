"""Stencils, each one pass through memory: what a CPU does where torch would take a dozen.

All but the last are the multigrid solver's.

Compiled when they are first called (some two seconds, once: Numba keeps what it made), and without Python's lock, so
that threads work side by side on grids of any size. Arrays are (B, T, H, W); what has no time in it is (1 or B, H, W),
what has no place (1 or B, T).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit

# Cells whose frames are solved at a time.
CELLS = 1024


def _compiled(work: Callable[..., None]) -> Callable[..., None]:
    """Compiled when it is first called; kept beside this file, or in the user's cache where nobody may write there."""

    def kept(cache: bool) -> Callable[..., None]:
        # Products may be added in one rounding; nothing else is changed, so NaN stays NaN and sums keep their order.
        return njit(nogil=True, cache=cache, fastmath={"contract"}, error_model="numpy")(work)

    try:
        return kept(True)
    except RuntimeError:
        # There is no place to keep it, as in a container that may only be read: each process compiles for itself.
        return kept(False)


@_compiled
def _space_root(
    x: np.ndarray, degree: np.ndarray, edge_y: np.ndarray, edge_x: np.ndarray, edge_d: np.ndarray, out: np.ndarray
) -> None:
    """``out = K x`` on one frame; ``edge_d`` is empty where no diagonals are joined.

    Where there are as many edges along x as columns, the last column touches the first.
    """
    height, width = x.shape
    wraps = edge_x.shape[1] == width
    for i in range(height):
        above, below = i > 0, i + 1 < height
        for j in range(width):
            out[i, j] = degree[i, j] * x[i, j]
        if above:
            for j in range(width):
                out[i, j] -= edge_y[i - 1, j] * x[i - 1, j]
        if below:
            for j in range(width):
                out[i, j] -= edge_y[i, j] * x[i + 1, j]
        for j in range(1, width):
            out[i, j] -= edge_x[i, j - 1] * x[i, j - 1]
        for j in range(width - 1):
            out[i, j] -= edge_x[i, j] * x[i, j + 1]
        if wraps:
            out[i, 0] -= edge_x[i, width - 1] * x[i, width - 1]
            out[i, width - 1] -= edge_x[i, width - 1] * x[i, 0]
        if edge_d.size:
            if above:
                for j in range(1, width):
                    out[i, j] -= edge_d[i - 1, j - 1] * x[i - 1, j - 1]
            if below:
                for j in range(width - 1):
                    out[i, j] -= edge_d[i, j] * x[i + 1, j + 1]
            if above and wraps:
                out[i, 0] -= edge_d[i - 1, width - 1] * x[i - 1, width - 1]
            if below and wraps:
                out[i, width - 1] -= edge_d[i, width - 1] * x[i + 1, 0]


@_compiled
def add_applied(
    kept: float,
    sign: float,
    x: np.ndarray,
    degree: np.ndarray,
    detail: np.ndarray,
    edge_y: np.ndarray,
    edge_x: np.ndarray,
    edge_d: np.ndarray,
    weight: np.ndarray,
    diagonal: np.ndarray,
    off: np.ndarray,
    out: np.ndarray,
) -> None:
    """``out = kept * out + sign * (Q_t (x) K K' + weight) x``: three frames of ``K K' x`` are held at a time."""
    batch, frames, height, width = x.shape
    root, smooth = np.empty((height, width), x.dtype), np.empty((3, height, width), x.dtype)
    for b in range(batch):
        place, moment = min(b, len(degree) - 1), min(b, len(diagonal) - 1)
        edges = edge_y[place], edge_x[place], edge_d[place]
        for t in range(-1, frames):
            if t + 1 < frames:
                _space_root(x[b, t + 1], degree[place], *edges, root)
                _space_root(root, detail[place], *edges, smooth[(t + 1) % 3])
            if t < 0:
                continue
            before, now, after = smooth[(t + 2) % 3], smooth[t % 3], smooth[(t + 1) % 3]
            middle = sign * diagonal[moment, t]
            for i in range(height):
                if kept == 0:
                    for j in range(width):
                        out[b, t, i, j] = sign * weight[b, t, i, j] * x[b, t, i, j] + middle * now[i, j]
                else:
                    for j in range(width):
                        out[b, t, i, j] += sign * weight[b, t, i, j] * x[b, t, i, j] + middle * now[i, j]
                if t > 0:
                    last = sign * off[moment, t - 1]
                    for j in range(width):
                        out[b, t, i, j] += last * before[i, j]
                if t + 1 < frames:
                    following = sign * off[moment, t]
                    for j in range(width):
                        out[b, t, i, j] += following * after[i, j]


@_compiled
def relax(
    old: float,
    new: float,
    first: bool,
    space: np.ndarray,
    off: np.ndarray,
    residual: np.ndarray,
    inverse: np.ndarray,
    step: np.ndarray,
    x: np.ndarray,
) -> None:
    """Solve each cell's frames together: ``step = old * step + new * found``; ``x += step``, at first ``x = step``."""
    batch, frames, height, width = residual.shape
    cells = height * width
    # Some cells at a time: all their frames stay in the cache between the way there and the way back.
    most = min(cells, CELLS)
    found, ratio = np.empty((frames, most), x.dtype), np.empty((frames, most), x.dtype)
    for b in range(batch):
        place, moment = min(b, len(space) - 1), min(b, len(off) - 1)
        right, scale = residual[b].reshape(frames, cells), inverse[b].reshape(frames, cells)
        now, total = step[b].reshape(frames, cells), x[b].reshape(frames, cells)
        diagonal = space[place].reshape(cells)
        for start in range(0, cells, most):
            # Slices, not sums of indices, which might be negative for all that the compiler knows.
            count, own = min(most, cells - start), diagonal[start : start + most]
            for t in range(frames):
                here, value = found[t], right[t, start : start + most]
                if t == 0:
                    for j in range(count):
                        here[j] = value[j]
                    continue
                before, share, pivot = found[t - 1], ratio[t], scale[t - 1, start : start + most]
                below = off[moment, t - 1]
                for j in range(count):
                    share[j] = below * own[j] * pivot[j]
                    here[j] = value[j] - share[j] * before[j]
            for t in range(frames - 1, -1, -1):
                here, pivot = found[t], scale[t, start : start + most]
                for j in range(count):
                    here[j] *= pivot[j]
                if t + 1 < frames:
                    after, share = found[t + 1], ratio[t + 1]
                    for j in range(count):
                        here[j] -= share[j] * after[j]
                moved, sum_ = now[t, start : start + most], total[t, start : start + most]
                if old == 0:
                    for j in range(count):
                        moved[j] = new * here[j]
                else:
                    for j in range(count):
                        moved[j] = old * moved[j] + new * here[j]
                if first:
                    for j in range(count):
                        sum_[j] = moved[j]
                else:
                    for j in range(count):
                        sum_[j] += moved[j]


@_compiled
def restrict(fine: np.ndarray, reach: np.ndarray, domain: np.ndarray, coarse: np.ndarray, wraps: bool = False) -> None:
    """``coarse``: what is left on a grid, brought to the next one: the transpose of :func:`interpolate`."""
    batch, frames, height, width = fine.shape
    row = np.zeros(width + 3, fine.dtype)  # a cell before the first, two behind the last: nothing is there
    far, near = fine.dtype.type(0.25), fine.dtype.type(0.75)
    for b in range(batch):
        place, below = min(b, len(reach) - 1), min(b, len(domain) - 1)
        for t in range(frames):
            for i in range(coarse.shape[2]):
                row[:] = 0
                for k in range(4):
                    line = 2 * i + k - 1
                    share = near if k == 1 or k == 2 else far
                    if 0 <= line < height:
                        for j in range(width):
                            row[j + 1] += share * reach[place, line, j] * fine[b, t, line, j]
                if wraps:
                    # Of an odd width the last coarse cell has one column: what would be the second stays 0.
                    row[0] = row[2 * coarse.shape[3]]
                    row[2 * coarse.shape[3] + 1] = row[1]
                for j in range(coarse.shape[3]):
                    total = far * (row[2 * j] + row[2 * j + 3]) + near * (row[2 * j + 1] + row[2 * j + 2])
                    coarse[b, t, i, j] = total * domain[below, i, j]


@_compiled
def interpolate(coarse: np.ndarray, reach: np.ndarray, fine: np.ndarray, wraps: bool = False) -> None:
    """``fine += reach * coarse``, bilinear between the coarse cells' centres.

    Beyond the border there is nothing, or, where the last column touches the first, what is on the other side.
    """
    batch, frames, height, width = fine.shape
    rows, columns = coarse.shape[2:]
    row = np.zeros(columns + 2, fine.dtype)
    far, near = fine.dtype.type(0.25), fine.dtype.type(0.75)
    for b in range(batch):
        place = min(b, len(reach) - 1)
        for t in range(frames):
            for i in range(height):
                own = i // 2
                other = own - 1 if i % 2 == 0 else own + 1
                for j in range(columns):
                    row[j + 1] = near * coarse[b, t, own, j]
                if 0 <= other < rows:
                    for j in range(columns):
                        row[j + 1] += far * coarse[b, t, other, j]
                if wraps:
                    row[0] = row[columns]
                    row[columns + 1] = row[1]
                for j in range(width // 2):
                    fine[b, t, i, 2 * j] += reach[place, i, 2 * j] * (near * row[j + 1] + far * row[j])
                    fine[b, t, i, 2 * j + 1] += reach[place, i, 2 * j + 1] * (near * row[j + 1] + far * row[j + 2])
                if width % 2:
                    j = width // 2
                    fine[b, t, i, 2 * j] += reach[place, i, 2 * j] * (near * row[j + 1] + far * row[j])


@_compiled
def carry(mask: np.ndarray, left_y: float, left_x: float, left: np.ndarray, out: np.ndarray) -> None:
    """What each cell has of the nearest that is seen, as :func:`geogan.prior.nearness.nearness` says, (T, 3 C, H, W).

    From one row, column and date to the next, ``left_y``, ``left_x`` and ``left`` (T - 1,) remain of it.
    """
    frames, channels, height, width = mask.shape
    for t in range(frames):
        for c in range(channels):
            here, seen = out[t, c], mask[t, c]
            for i in range(height):
                for j in range(width):
                    here[i, j] = seen[i, j]
            # Column by column: along a row each cell would wait for the one before.
            for j in range(1, width):
                for i in range(height):
                    here[i, j] = max(here[i, j], left_x * here[i, j - 1])
            for j in range(width - 2, -1, -1):
                for i in range(height):
                    here[i, j] = max(here[i, j], left_x * here[i, j + 1])
            for i in range(1, height):
                for j in range(width):
                    here[i, j] = max(here[i, j], left_y * here[i - 1, j])
            for i in range(height - 2, -1, -1):
                for j in range(width):
                    here[i, j] = max(here[i, j], left_y * here[i + 1, j])
            before = out[t, channels + c]
            for i in range(height):
                for j in range(width):
                    before[i, j] = here[i, j]
                    if t > 0:
                        before[i, j] = max(here[i, j], left[t - 1] * out[t - 1, channels + c, i, j])
    for t in range(frames - 1, -1, -1):
        for c in range(channels):
            here, after = out[t, c], out[t, 2 * channels + c]
            for i in range(height):
                for j in range(width):
                    after[i, j] = here[i, j]
                    if t + 1 < frames:
                        after[i, j] = max(here[i, j], left[t] * out[t + 1, 2 * channels + c, i, j])
