"""Compiled stencil kernels: each does in one pass through memory what torch does in a dozen.

All kernels but :func:`spread_nearness` belong to the multigrid solver. Numba compiles a kernel when it is first called
(about two seconds) and caches the result. The kernels release Python's global lock, so several threads can run them at
the same time. Arrays have shape (B, T, H, W). Arrays without time have shape (1 or B, H, W), arrays without space
(1 or B, T). A kernel takes plain arrays, one for each term of its formula, because Numba does not compile dataclasses;
this is why some of them have many parameters.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit

# Number of cells that `relax` solves at a time: their frames stay in the processor's cache.
CELLS = 1024


def _compiled(kernel: Callable[..., None]) -> Callable[..., None]:
    """Compile a kernel on its first call; cache it beside this file, or in the user's cache folder."""

    def compiled(cache: bool) -> Callable[..., None]:
        # "contract" allows fused multiply-add only: NaN stays NaN and the order of sums is kept.
        return njit(nogil=True, cache=cache, fastmath={"contract"}, error_model="numpy")(kernel)

    try:
        return compiled(True)
    except RuntimeError:
        # No folder can be written, as in a read-only container: each process compiles for itself.
        return compiled(False)


@_compiled
def _apply_root(
    x: np.ndarray, diagonal: np.ndarray, edge_y: np.ndarray, edge_x: np.ndarray, edge_d: np.ndarray, out: np.ndarray
) -> None:
    """Compute ``out = K x`` on one frame; ``edge_d`` is empty if no diagonal neighbours are coupled.

    The last column touches the first if there are as many edges along x as columns.
    """
    height, width = x.shape
    wraps = edge_x.shape[1] == width
    for i in range(height):
        has_above, has_below = i > 0, i + 1 < height
        for j in range(width):
            out[i, j] = diagonal[i, j] * x[i, j]
        if has_above:
            for j in range(width):
                out[i, j] -= edge_y[i - 1, j] * x[i - 1, j]
        if has_below:
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
            if has_above:
                for j in range(1, width):
                    out[i, j] -= edge_d[i - 1, j - 1] * x[i - 1, j - 1]
            if has_below:
                for j in range(width - 1):
                    out[i, j] -= edge_d[i, j] * x[i + 1, j + 1]
            if has_above and wraps:
                out[i, 0] -= edge_d[i - 1, width - 1] * x[i - 1, width - 1]
            if has_below and wraps:
                out[i, width - 1] -= edge_d[i, width - 1] * x[i + 1, 0]


@_compiled
def add_applied(
    keep: float,
    sign: float,
    x: np.ndarray,
    diagonal: np.ndarray,
    rough_diagonal: np.ndarray,
    edge_y: np.ndarray,
    edge_x: np.ndarray,
    edge_d: np.ndarray,
    weight: np.ndarray,
    time_diagonal: np.ndarray,
    time_off: np.ndarray,
    out: np.ndarray,
) -> None:
    """Compute ``out = keep * out + sign * (Q_t (x) K K' + weight) x``, holding three frames of ``K K' x`` at a time."""
    batch, frames, height, width = x.shape
    root, smooth = np.empty((height, width), x.dtype), np.empty((3, height, width), x.dtype)
    for b in range(batch):
        # Arrays of batch size 1 serve every entry.
        s, m = min(b, len(diagonal) - 1), min(b, len(time_diagonal) - 1)
        edges = edge_y[s], edge_x[s], edge_d[s]
        for t in range(-1, frames):
            if t + 1 < frames:
                _apply_root(x[b, t + 1], diagonal[s], *edges, root)
                _apply_root(root, rough_diagonal[s], *edges, smooth[(t + 1) % 3])
            if t < 0:
                continue
            before, now, after = smooth[(t + 2) % 3], smooth[t % 3], smooth[(t + 1) % 3]
            middle = sign * time_diagonal[m, t]
            for i in range(height):
                if keep == 0:
                    for j in range(width):
                        out[b, t, i, j] = sign * weight[b, t, i, j] * x[b, t, i, j] + middle * now[i, j]
                else:
                    for j in range(width):
                        out[b, t, i, j] += sign * weight[b, t, i, j] * x[b, t, i, j] + middle * now[i, j]
                if t > 0:
                    last = sign * time_off[m, t - 1]
                    for j in range(width):
                        out[b, t, i, j] += last * before[i, j]
                if t + 1 < frames:
                    following = sign * time_off[m, t]
                    for j in range(width):
                        out[b, t, i, j] += following * after[i, j]


@_compiled
def relax(
    old: float,
    new: float,
    is_first: bool,
    space: np.ndarray,
    time_off: np.ndarray,
    residual: np.ndarray,
    inverse_pivot: np.ndarray,
    step: np.ndarray,
    x: np.ndarray,
) -> None:
    """Solve the tridiagonal system in time of each cell (Thomas algorithm).

    Then ``step = old * step + new * solution`` and ``x += step``; in the first round ``x = step``.
    """
    batch, frames, height, width = residual.shape
    cells = height * width
    # All frames of these cells stay in the cache between the forward and the backward sweep.
    most = min(cells, CELLS)
    solution, ratio = np.empty((frames, most), x.dtype), np.empty((frames, most), x.dtype)
    for b in range(batch):
        s, m = min(b, len(space) - 1), min(b, len(time_off) - 1)
        right, pivots = residual[b].reshape(frames, cells), inverse_pivot[b].reshape(frames, cells)
        steps, total = step[b].reshape(frames, cells), x[b].reshape(frames, cells)
        diagonal = space[s].reshape(cells)
        for start in range(0, cells, most):
            # Slices, because the compiler cannot exclude that a sum of indices is negative.
            count, factor = min(most, cells - start), diagonal[start : start + most]
            for t in range(frames):
                current, value = solution[t], right[t, start : start + most]
                if t == 0:
                    for j in range(count):
                        current[j] = value[j]
                    continue
                before, share, pivot = solution[t - 1], ratio[t], pivots[t - 1, start : start + most]
                below = time_off[m, t - 1]
                for j in range(count):
                    share[j] = below * factor[j] * pivot[j]
                    current[j] = value[j] - share[j] * before[j]
            for t in range(frames - 1, -1, -1):
                current, pivot = solution[t], pivots[t, start : start + most]
                for j in range(count):
                    current[j] *= pivot[j]
                if t + 1 < frames:
                    after, share = solution[t + 1], ratio[t + 1]
                    for j in range(count):
                        current[j] -= share[j] * after[j]
                moved, summed = steps[t, start : start + most], total[t, start : start + most]
                if old == 0:
                    for j in range(count):
                        moved[j] = new * current[j]
                else:
                    for j in range(count):
                        moved[j] = old * moved[j] + new * current[j]
                if is_first:
                    for j in range(count):
                        summed[j] = moved[j]
                else:
                    for j in range(count):
                        summed[j] += moved[j]


@_compiled
def restrict(
    fine: np.ndarray, fine_weight: np.ndarray, domain: np.ndarray, coarse: np.ndarray, wraps: bool = False
) -> None:
    """Set ``coarse`` to the restriction of ``fine``: the transpose of :func:`interpolate`."""
    batch, frames, height, width = fine.shape
    row = np.zeros(width + 3, fine.dtype)  # one zero before the first cell, two after the last
    far, near = fine.dtype.type(0.25), fine.dtype.type(0.75)
    for b in range(batch):
        s, below = min(b, len(fine_weight) - 1), min(b, len(domain) - 1)
        for t in range(frames):
            for i in range(coarse.shape[2]):
                row[:] = 0
                for k in range(4):
                    line = 2 * i + k - 1
                    share = near if k == 1 or k == 2 else far
                    if 0 <= line < height:
                        for j in range(width):
                            row[j + 1] += share * fine_weight[s, line, j] * fine[b, t, line, j]
                if wraps:
                    # For an odd width the last coarse cell has one column only; its second one stays 0.
                    row[0] = row[2 * coarse.shape[3]]
                    row[2 * coarse.shape[3] + 1] = row[1]
                for j in range(coarse.shape[3]):
                    total = far * (row[2 * j] + row[2 * j + 3]) + near * (row[2 * j + 1] + row[2 * j + 2])
                    coarse[b, t, i, j] = total * domain[below, i, j]


@_compiled
def interpolate(coarse: np.ndarray, fine_weight: np.ndarray, fine: np.ndarray, wraps: bool = False) -> None:
    """Compute ``fine += fine_weight * coarse``, bilinear between the centres of the coarse cells.

    Values beyond the border are 0, or those of the opposite side if the last column touches the first.
    """
    batch, frames, height, width = fine.shape
    rows, columns = coarse.shape[2:]
    row = np.zeros(columns + 2, fine.dtype)
    far, near = fine.dtype.type(0.25), fine.dtype.type(0.75)
    for b in range(batch):
        s = min(b, len(fine_weight) - 1)
        for t in range(frames):
            for i in range(height):
                nearest = i // 2
                second = nearest - 1 if i % 2 == 0 else nearest + 1
                for j in range(columns):
                    row[j + 1] = near * coarse[b, t, nearest, j]
                if 0 <= second < rows:
                    for j in range(columns):
                        row[j + 1] += far * coarse[b, t, second, j]
                if wraps:
                    row[0] = row[columns]
                    row[columns + 1] = row[1]
                for j in range(width // 2):
                    fine[b, t, i, 2 * j] += fine_weight[s, i, 2 * j] * (near * row[j + 1] + far * row[j])
                    fine[b, t, i, 2 * j + 1] += fine_weight[s, i, 2 * j + 1] * (near * row[j + 1] + far * row[j + 2])
                if width % 2:
                    j = width // 2
                    fine[b, t, i, 2 * j] += fine_weight[s, i, 2 * j] * (near * row[j + 1] + far * row[j])


@_compiled
def spread_nearness(mask: np.ndarray, keep_y: float, keep_x: float, keep_t: np.ndarray, out: np.ndarray) -> None:
    """Spread a mask (T, C, H, W) into the nearness of every cell, see :func:`geogan.prior.nearness.nearness`.

    ``keep_y``, ``keep_x`` and ``keep_t`` (T - 1,) are the factors from one row, column and date to the next; ``out``
    has shape (T, 3 C, H, W).
    """
    frames, channels, height, width = mask.shape
    for t in range(frames):
        for c in range(channels):
            same, seen = out[t, c], mask[t, c]
            for i in range(height):
                for j in range(width):
                    same[i, j] = seen[i, j]
            # Column by column: along a row, each cell would have to wait for the previous one.
            for j in range(1, width):
                for i in range(height):
                    same[i, j] = max(same[i, j], keep_x * same[i, j - 1])
            for j in range(width - 2, -1, -1):
                for i in range(height):
                    same[i, j] = max(same[i, j], keep_x * same[i, j + 1])
            for i in range(1, height):
                for j in range(width):
                    same[i, j] = max(same[i, j], keep_y * same[i - 1, j])
            for i in range(height - 2, -1, -1):
                for j in range(width):
                    same[i, j] = max(same[i, j], keep_y * same[i + 1, j])
            before = out[t, channels + c]
            for i in range(height):
                for j in range(width):
                    before[i, j] = same[i, j]
                    if t > 0:
                        before[i, j] = max(same[i, j], keep_t[t - 1] * out[t - 1, channels + c, i, j])
    for t in range(frames - 1, -1, -1):
        for c in range(channels):
            same, after = out[t, c], out[t, 2 * channels + c]
            for i in range(height):
                for j in range(width):
                    after[i, j] = same[i, j]
                    if t + 1 < frames:
                        after[i, j] = max(same[i, j], keep_t[t] * out[t + 1, 2 * channels + c, i, j])
