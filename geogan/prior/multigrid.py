"""Multigrid for space-time Markov fields: solve ``(Q_t (x) K K' + weight) x = right`` on a grid with land.

``K = sqrt(s) (kappa^2 + L)`` with the Laplacian ``L`` of the graph of a domain's cells, ``K'`` is the same with another
``kappa``, ``Q_t`` is tridiagonal, and ``weight`` is the precision of the observation in each cell. The solver is
conjugate gradients, preconditioned by one V-cycle (Briggs, Henson, McCormick, *A Multigrid Tutorial*, 2000). Each grid
has cells twice as large as the one before; frames are never coarsened. The smoother is a Chebyshev polynomial over the
exact solution of each cell's own frames. No matrix is formed.

On a grid that goes round the globe the cells of the last column are neighbours of those of the first. Such a grid has
as many edges along x as columns; the edge across the seam comes last.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from geogan.prior import stencils

# Chebyshev steps before and after the correction from the coarser grid, and on the coarsest grid.
SMOOTHING_STEPS, COARSEST_STEPS = 3, 12
# The smoother damps eigenvalues of the cells' systems from this on; on the coarsest grid it has to solve nearly all.
DAMPED_FROM, COARSEST_DAMPED_FROM = 0.25, 0.02
# Upper bound of these eigenvalues.
BOUND = 3.6


class Frames(NamedTuple):
    """Precision in time ``Q_t = R^T R``, tridiagonal; each part has shape (T, 1, 1) or (B, T, 1, 1)."""

    diagonal: Tensor
    off: Tensor  # beside the diagonal, T - 1 entries
    root_diagonal: Tensor  # of R, which is bidiagonal
    root_below: Tensor


class Factors(NamedTuple):
    """Factors of the couplings between neighbours along y and x; 1 everywhere for a stationary field."""

    y: Tensor  # (H - 1, W) or (B, 1, H - 1, W)
    x: Tensor  # with as many columns as the grid has edges along x


class SpatialPrecision(NamedTuple):
    """Constants of the precision in space ``K K'``."""

    kappa2: float  # of K, in 1 / cells^2
    rough_kappa2: float  # of K'
    scale: float  # sqrt(s)
    aspect: float = 1.0  # range along x over range along y, in cells
    tilt: float = 0.0  # coupling from (y, x) to (y + 1, x + 1) relative to those along x and y; not negative
    is_periodic: bool = False  # whether the last column touches the first
    factors: Factors | None = None  # of the couplings


class Arrays(NamedTuple):
    """The parts of a grid as the compiled kernels take them: views that share memory with the tensors.

    They are made once a grid, since on small grids making them for each call would take longer than the kernels.
    """

    spatial: tuple[np.ndarray, ...]  # diagonal, rough diagonal and edges along y, x and the diagonals; (1 or B, H, W)
    weight: np.ndarray  # (B, T, H, W)
    time_diagonal: np.ndarray  # (1 or B, T) of Q_t
    time_off: np.ndarray  # (1 or B, T - 1)
    space: np.ndarray  # (1 or B, H, W)
    inverse_pivot: np.ndarray  # (B, T, H, W)
    domain: np.ndarray  # (1 or B, H, W)
    fine_weight: np.ndarray  # (1 or B, H, W)


class Grid(NamedTuple):
    """The linear system on one grid; parts without time have shape (H, W), or (B, 1, H, W) if entries differ."""

    domain: Tensor  # (H, W)
    edge_y: Tensor  # (H - 1, W) couplings of K, 0 across a coast
    edge_x: Tensor  # (H, W - 1), or (H, W) if the last column touches the first
    edge_d: Tensor | None  # (H - 1, columns of edge_x) from (y, x) to (y + 1, x + 1); None without diagonals
    diagonal: Tensor  # (H, W) of K, 0 outside the domain
    rough_diagonal: Tensor  # (H, W) of K'
    weight: Tensor  # (B, T, H, W) observation precision
    space: Tensor  # (H, W) diagonal of K K'
    inverse_pivot: Tensor  # (B, T, H, W) inverse pivots of the cells' tridiagonal systems in time
    fine_weight: Tensor  # (H, W) 1 / sum of the interpolation weights from the next coarser grid
    arrays: Arrays | None  # for the compiled kernels, which need arrays on the CPU; None if torch is used

    @property
    def is_periodic(self) -> bool:
        """Whether the last column touches the first."""
        return self.edge_x.shape[-1] == self.domain.shape[-1]

    @property
    def edge_columns(self) -> list[tuple[slice, slice, slice]]:
        """Columns of the edges along x, of the cells on their left and on their right: inside, and across the seam."""
        return _edge_columns(self.edge_x.shape[-1], self.domain.shape[-1])


def _edge_columns(edges: int, width: int) -> list[tuple[slice, slice, slice]]:
    inside = (slice(0, width - 1), slice(0, width - 1), slice(1, width))
    return [inside] if edges < width else [inside, (slice(width - 1, width), slice(width - 1, width), slice(0, 1))]


class System(NamedTuple):
    """The linear system on a hierarchy of grids, the finest first.

    ``shift`` and ``split`` give ``K K' = (K + shift)^2 + split^2 L / sqrt(s)``, which :func:`draw_spatial` uses.
    """

    grids: list[Grid]
    frames: Frames
    shift: float = 0.0
    split: float = 0.0


class Couplings(NamedTuple):
    """Domain, edges and observation precision of one grid, unscaled; the coarser grids are made from them."""

    domain: Tensor
    edge_y: Tensor
    edge_x: Tensor
    edge_d: Tensor | None
    weight: Tensor


def build(domain: Tensor, weight: Tensor, frames: Frames, space: SpatialPrecision) -> System:
    """Build the system on all grids.

    Parameters
    ----------
    domain : Tensor, shape (H, W) or (B, 1, H, W)
        1 where the field exists.
    weight : Tensor, shape (B, T, H, W)
        Observation precision, 0 in a gap.
    frames : Frames
        Precision in time.
    space : SpatialPrecision
        Precision in space.

    Returns
    -------
    System
    """
    kappa2, rough_kappa2, scale, aspect, tilt, is_periodic, factors = space
    # A coupling is the square of a length. The determinant of their tensor stays 1, which keeps the field's variance.
    unit = math.sqrt(1 + tilt * (aspect + 1 / aspect))
    edge_y = domain[..., 1:, :] * domain[..., :-1, :] / (aspect * unit)
    left, right = (domain, domain.roll(-1, -1)) if is_periodic else (domain[..., :-1], domain[..., 1:])
    edge_x = right * left * (aspect / unit)
    if factors is not None:
        edge_y, edge_x = edge_y * factors.y.to(edge_y), edge_x * factors.x.to(edge_x)
    edge_d = None
    if tilt:
        # If both cells beside a diagonal are land, the diagonal would cross a wall.
        beside = torch.maximum(left[..., 1:, :], right[..., :-1, :])
        edge_d = right[..., 1:, :] * left[..., :-1, :] * beside * (tilt / unit)
    levels = [Couplings(domain, edge_y, edge_x, edge_d, weight.contiguous())]
    # Coarsen until a cell is as large as the correlation length, or the grid has too few cells.
    while min(levels[-1].domain.shape[-2:]) >= 6 and 2 ** (len(levels) - 1) * math.sqrt(kappa2) <= 1:
        levels.append(_coarser(levels[-1]))
    grids = []
    for number, level in enumerate(levels):
        fine_weight = level.domain
        if number + 1 < len(levels):
            coarser = levels[number + 1].domain
            fine_weight = level.domain / _interpolated(coarser, level.domain.shape, is_periodic=is_periodic).clamp_min(
                0.05
            )
        size = scale * 2**number  # a coarse cell carries the energy of its four: a factor sqrt(4) per grid
        grids.append(_grid(level, size, kappa2 * size, rough_kappa2 * size, frames, fine_weight))
    kappa, rough_kappa = math.sqrt(kappa2), math.sqrt(rough_kappa2)
    return System(grids, frames, scale * (kappa * rough_kappa - kappa2), math.sqrt(scale) * (rough_kappa - kappa))


def _coarser(level: Couplings) -> Couplings:
    """Return the couplings between cells twice as large, which hold the observations of their four cells.

    For an odd width, the last coarse cells hold two cells; on a periodic grid they are neighbours of the first ones.
    """
    domain, edge_y, edge_x, edge_d, weight = level
    height, width = domain.shape[-2:]
    odd_y, odd_x = height % 2, width % 2

    def sum_of_four(x: Tensor) -> Tensor:
        x = pad(x, (0, odd_x, 0, odd_y))
        return x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]

    # Two fine edges cross between two coarse cells, and a coarse step is twice as long: 1/2 * 1/4.
    across_y = pad(edge_y[..., 1::2, :], (0, odd_x)) / 8
    across_x = pad(_crossing(edge_x, width), (0, 0, 0, odd_y)) / 8
    return Couplings(
        domain=(sum_of_four(domain) > 0).to(domain),
        edge_y=across_y[..., ::2] + across_y[..., 1::2],
        edge_x=across_x[..., ::2, :] + across_x[..., 1::2, :],
        edge_d=None if edge_d is None else _crossing(edge_d[..., 1::2, :], width) / 4,
        weight=sum_of_four(weight),
    )


def _crossing(edge: Tensor, width: int) -> Tensor:
    """Return the edges along x that connect two coarse cells, of a grid of ``width``; always with that on the seam."""
    crossing = edge[..., 1::2]
    return torch.cat([crossing, edge[..., -1:]], -1) if edge.shape[-1] == width and width % 2 else crossing


def _grid(
    level: Couplings, scale: float, kappa2: float, rough_kappa2: float, frames: Frames, fine_weight: Tensor
) -> Grid:
    """Return the system on one grid; ``scale`` multiplies the edges and is part of both ``kappa^2`` already."""
    domain, weight = level.domain, level.weight
    edge_y, edge_x, edge_d = level.edge_y * scale, level.edge_x * scale, None
    if level.edge_d is not None:
        edge_d = level.edge_d * scale
    diagonal = torch.full_like(domain, kappa2)
    squares = torch.zeros_like(domain)
    for total, power in ((diagonal, 1), (squares, 2)):
        total[..., 1:, :] += edge_y**power
        total[..., :-1, :] += edge_y**power
        columns = _edge_columns(edge_x.shape[-1], domain.shape[-1])
        for edge, left, right in columns:
            total[..., right] += edge_x[..., edge] ** power
            total[..., left] += edge_x[..., edge] ** power
        if edge_d is not None:
            for edge, left, right in columns:
                total[..., 1:, right] += edge_d[..., edge] ** power
                total[..., :-1, left] += edge_d[..., edge] ** power
    rough_diagonal = (diagonal + (rough_kappa2 - kappa2)) * domain
    diagonal *= domain
    # The diagonal of K K': a smoothing step solves all frames of a cell together and keeps its neighbours fixed.
    space = torch.where(domain > 0, diagonal * rough_diagonal + squares, 1.0)
    inverse_pivot = torch.empty_like(weight)
    for t in range(weight.shape[1]):
        pivot = _beside_one_frame(space) * frames.diagonal[..., t, :, :] + weight[:, t]
        if t:
            above = _beside_one_frame(space) * frames.off[..., t - 1, :, :]
            pivot = pivot - above.square() * inverse_pivot[:, t - 1]
        torch.reciprocal(pivot, out=inverse_pivot[:, t])
    grid = Grid(
        domain=domain,
        edge_y=edge_y,
        edge_x=edge_x,
        edge_d=edge_d,
        diagonal=diagonal,
        rough_diagonal=rough_diagonal,
        weight=weight,
        space=space,
        inverse_pivot=inverse_pivot,
        fine_weight=fine_weight,
        arrays=None,
    )
    return grid._replace(arrays=_arrays(grid, frames)) if weight.device.type == "cpu" else grid


def _arrays(grid: Grid, frames: Frames) -> Arrays:
    """Return the parts of a grid as the compiled kernels take them; no diagonals are an empty array."""

    def spatial(part: Tensor) -> np.ndarray:
        # The batch size is spelled out: -1 would be ambiguous for a grid of one row, which has no edges along y.
        return part.reshape(math.prod(part.shape[:-2]), *part.shape[-2:]).numpy()

    parts = [spatial(part) for part in (grid.diagonal, grid.rough_diagonal, grid.edge_y, grid.edge_x)]
    parts.append(np.empty((len(parts[0]), 0, 0), parts[0].dtype) if grid.edge_d is None else spatial(grid.edge_d))
    diagonal, off = (np.atleast_2d(part.flatten(-3).numpy()) for part in (frames.diagonal, frames.off))
    return Arrays(
        spatial=tuple(parts),
        weight=grid.weight.numpy(),
        time_diagonal=diagonal,
        time_off=off,
        space=spatial(grid.space),
        inverse_pivot=grid.inverse_pivot.numpy(),
        domain=spatial(grid.domain),
        fine_weight=spatial(grid.fine_weight),
    )


def _beside_one_frame(part: Tensor) -> Tensor:
    """Return a part without time in the shape of one frame of each entry: (H, W) or (B, H, W)."""
    return part[:, 0] if part.ndim == 4 else part


def apply_root(grid: Grid, x: Tensor, diagonal: Tensor) -> Tensor:
    """Return ``K x``, or ``K' x`` if given its diagonal, (B, T, H, W); ``x`` must be 0 outside the domain."""
    out = diagonal * x
    out[..., 1:, :].addcmul_(grid.edge_y, x[..., :-1, :], value=-1)
    out[..., :-1, :].addcmul_(grid.edge_y, x[..., 1:, :], value=-1)
    for edge, left, right in grid.edge_columns:
        out[..., right].addcmul_(grid.edge_x[..., edge], x[..., left], value=-1)
        out[..., left].addcmul_(grid.edge_x[..., edge], x[..., right], value=-1)
    if grid.edge_d is not None:
        for edge, left, right in grid.edge_columns:
            out[..., 1:, right].addcmul_(grid.edge_d[..., edge], x[..., :-1, left], value=-1)
            out[..., :-1, left].addcmul_(grid.edge_d[..., edge], x[..., 1:, right], value=-1)
    return out


def draw_spatial(system: System, noise: Tensor) -> Tensor:
    """Return noise of covariance ``K K'`` in space, made from standard normal ``noise`` (B, T, H, W).

    ``K K' = (K + shift)^2 + split^2 L / sqrt(s)``, and ``L`` is a sum of squared differences over the edges. The noise
    of an edge is added at one end and subtracted at the other.
    """
    grid = system.grids[0]
    noise = noise * grid.domain
    out = apply_root(grid, noise, grid.diagonal + system.shift * grid.domain)
    if system.split:
        y, x, d = _edge_noise(noise)
        y = y[..., 1:, :] * (system.split * grid.edge_y.sqrt())
        out[..., 1:, :] += y
        out[..., :-1, :] -= y
        for edge, left, right in grid.edge_columns:
            part = x[..., right] * (system.split * grid.edge_x[..., edge].sqrt())
            out[..., right] += part
            out[..., left] -= part
        if grid.edge_d is not None:
            for edge, left, right in grid.edge_columns:
                part = d[..., 1:, right] * (system.split * grid.edge_d[..., edge].sqrt())
                out[..., 1:, right] += part
                out[..., :-1, left] -= part
    return out


def _edge_noise(noise: Tensor) -> list[Tensor]:
    """Return three arrays of variance 1 that are independent of each other and of ``noise``.

    Each is a sum of four signs, taken from the last bits of ``noise``. The noise of a cell's edges therefore depends on
    that cell only, not on where a tile begins.
    """
    bits = noise.contiguous().view(torch.int32 if noise.dtype == torch.float32 else torch.int64)
    return [sum(1 - 2 * ((bits >> (4 * k + j)) & 1) for j in range(4)).to(noise) / 2 for k in range(3)]  # type: ignore[union-attr]


def apply_time_root(frames: Frames, x: Tensor) -> Tensor:
    """Return ``R^T x`` along the frames."""
    out = frames.root_diagonal * x
    out[:, :-1].addcmul_(frames.root_below, x[:, 1:])
    return out


def apply(grid: Grid, frames: Frames, x: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Return ``(Q_t (x) K K' + weight) x``, shape (B, T, H, W); written to ``out`` if given."""
    out = torch.empty_like(x, memory_format=torch.contiguous_format) if out is None else out
    if grid.arrays is not None:
        _add_applied(0, 1, grid.arrays, x, out)
        return out
    smooth = apply_root(grid, apply_root(grid, x, grid.diagonal), grid.rough_diagonal)
    torch.addcmul(grid.weight * x, frames.diagonal, smooth, out=out)
    out[:, :-1].addcmul_(frames.off, smooth[:, 1:])
    out[:, 1:].addcmul_(frames.off, smooth[:, :-1])
    return out


def _subtract_applied(grid: Grid, frames: Frames, x: Tensor, residual: Tensor) -> None:
    """Subtract ``(Q_t (x) K K' + weight) x`` from the residual, in place."""
    if grid.arrays is not None:
        _add_applied(1, -1, grid.arrays, x, residual)
    else:
        residual -= apply(grid, frames, x)


def _add_applied(keep: int, sign: int, arrays: Arrays, x: Tensor, out: Tensor) -> None:
    if x.shape != arrays.weight.shape:
        # The compiled kernel would read beyond the end of the array.
        raise ValueError(f"x must have the system's shape {arrays.weight.shape}, got {tuple(x.shape)}")
    values = x.contiguous().numpy()
    number = values.dtype.type  # a factor in another precision would change the precision of the whole kernel
    stencils.add_applied(
        number(keep),
        number(sign),
        values,
        *arrays.spatial,
        arrays.weight,
        arrays.time_diagonal,
        arrays.time_off,
        out.numpy(),
    )


def _solve_cells(grid: Grid, frames: Frames, residual: Tensor) -> Tensor:
    """Solve the tridiagonal system in time of each cell."""
    out, above = residual.clone(), grid.space * frames.off
    for t in range(1, out.shape[1]):
        out[:, t] -= above[..., t - 1, :, :] * grid.inverse_pivot[:, t - 1] * out[:, t - 1]
    out *= grid.inverse_pivot
    for t in range(out.shape[1] - 2, -1, -1):
        out[:, t] -= above[..., t, :, :] * grid.inverse_pivot[:, t] * out[:, t + 1]
    return out


class Workspace(NamedTuple):
    """Arrays in which a V-cycle works on one grid, (B, T, H, W) each.

    They are allocated once a solve, because the kernel zeroes fresh memory at every allocation.
    """

    right: Tensor
    residual: Tensor
    step: Tensor
    solution: Tensor


def workspaces(system: System, right: Tensor) -> list[Workspace]:
    """Return a workspace for each grid; the finest grid uses the caller's right-hand side."""
    spaces = []
    for level, grid in enumerate(system.grids):
        shape = (*right.shape[:2], *grid.domain.shape[-2:])
        spaces.append(Workspace(right.new_empty(shape if level else 0), *(right.new_empty(shape) for _ in range(3))))
    return spaces


def _relax(grid: Grid, frames: Frames, space: Workspace, old: float, new: float, *, is_first: bool) -> None:
    """Set ``step = old * step + new * (solution of the cells' systems)`` and add it to ``solution``, in place.

    In the first round the solution is the step.
    """
    if grid.arrays is not None:
        arrays, residual = grid.arrays, space.residual.numpy()
        number = residual.dtype.type
        stencils.relax(
            number(old),
            number(new),
            is_first,
            arrays.space,
            arrays.time_off,
            residual,
            arrays.inverse_pivot,
            space.step.numpy(),
            space.solution.numpy(),
        )
        return
    solved = new * _solve_cells(grid, frames, space.residual)
    space.step.copy_(solved if old == 0 else old * space.step + solved)
    space.solution.copy_(space.step if is_first else space.solution + space.step)


def _smooth(
    grid: Grid, frames: Frames, right: Tensor, space: Workspace, *, steps: int, damped_from: float, is_first: bool
) -> None:
    """Improve ``space.solution`` by Chebyshev iteration (Saad 2003, algorithm 12.1) on the cells' systems.

    Eigenvalues between ``damped_from`` and :data:`BOUND` are damped. The first time it starts from zero.
    """
    centre, half = (BOUND + damped_from) / 2, (BOUND - damped_from) / 2
    residual = space.residual.copy_(right)
    if not is_first:
        _subtract_applied(grid, frames, space.solution, residual)
    _relax(grid, frames, space, 0.0, 1 / centre, is_first=is_first)
    rho = half / centre
    for _ in range(steps - 1):
        before, rho = rho, 1 / (2 * centre / half - rho)
        _subtract_applied(grid, frames, space.step, residual)
        _relax(grid, frames, space, rho * before, 2 * rho / half, is_first=False)


def _interpolated(x: Tensor, shape: torch.Size, *, is_periodic: bool = False) -> Tensor:
    """Interpolate bilinearly to cells half as large; values beyond the border are 0, or those of the opposite side."""
    for size, wraps in zip(shape[-2:], (False, is_periodic), strict=True):
        # Rows in the first turn, columns in the second: each turn swaps the two.
        near = torch.cat([x[..., -1:, :], x, x[..., :1, :]], -2) if wraps else pad(x, (0, 0, 1, 1))
        x = torch.stack([0.75 * x + 0.25 * near[..., :-2, :], 0.75 * x + 0.25 * near[..., 2:, :]], dim=-2)
        x = x.flatten(-3, -2)[..., :size, :].transpose(-2, -1)
    return x


def _restricted(x: Tensor, *, is_periodic: bool = False) -> Tensor:
    """Apply the transpose of :func:`_interpolated`."""
    for wraps in (False, is_periodic):
        # Rows in the first turn, columns in the second: each turn swaps the two.
        x = pad(x, (0, 0, 1, 1 + x.shape[-2] % 2))
        if wraps:
            x[..., :1, :], x[..., -1:, :] = x[..., -2:-1, :].clone(), x[..., 1:2, :].clone()
        x = 0.25 * (x[..., 0:-2:2, :] + x[..., 3::2, :]) + 0.75 * (x[..., 1:-1:2, :] + x[..., 2::2, :])
        x = x.transpose(-2, -1)
    return x


def _restrict(grid: Grid, coarser: Grid, residual: Tensor, right: Tensor) -> None:
    """Write the residual, restricted to the next coarser grid, to that grid's right-hand side."""
    if grid.arrays is not None and coarser.arrays is not None:
        stencils.restrict(
            residual.numpy(), grid.arrays.fine_weight, coarser.arrays.domain, right.numpy(), grid.is_periodic
        )
    else:
        torch.mul(_restricted(residual * grid.fine_weight, is_periodic=grid.is_periodic), coarser.domain, out=right)


def _add_correction(grid: Grid, correction: Tensor, x: Tensor) -> None:
    """Add the correction from the next coarser grid to ``x``, in place."""
    if grid.arrays is not None:
        stencils.interpolate(correction.numpy(), grid.arrays.fine_weight, x.numpy(), grid.is_periodic)
    else:
        x.addcmul_(_interpolated(correction, x.shape, is_periodic=grid.is_periodic), grid.fine_weight)


def cycle(system: System, right: Tensor, spaces: list[Workspace], *, level: int = 0) -> Tensor:
    """Return the result of one V-cycle from zero, which is ``spaces[level].solution``.

    The cycle is a fixed, symmetric, positive operator, so it may precondition conjugate gradients.
    """
    grid, frames, space = system.grids[level], system.frames, spaces[level]
    if level + 1 == len(system.grids):
        _smooth(grid, frames, right, space, steps=COARSEST_STEPS, damped_from=COARSEST_DAMPED_FROM, is_first=True)
        return space.solution
    _smooth(grid, frames, right, space, steps=SMOOTHING_STEPS, damped_from=DAMPED_FROM, is_first=True)
    _subtract_applied(grid, frames, space.solution, space.residual.copy_(right))
    coarse_right = spaces[level + 1].right
    _restrict(grid, system.grids[level + 1], space.residual, coarse_right)
    _add_correction(grid, cycle(system, coarse_right, spaces, level=level + 1), space.solution)
    _smooth(grid, frames, right, space, steps=SMOOTHING_STEPS, damped_from=DAMPED_FROM, is_first=False)
    return space.solution


def solve(
    system: System,
    right: Tensor,
    *,
    start: Tensor | None,
    tolerance: float,
    iterations: int,
    weighted: Callable[[Tensor], Tensor] | None = None,
    correction: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Solve the system by conjugate gradients preconditioned by V-cycles; batch entries are independent systems.

    Parameters
    ----------
    system : System
    right : Tensor, shape (B, T, H, W)
        Right-hand side, 0 outside the domain; overwritten.
    start : Tensor, shape (B, T, H, W), optional
        Initial solution; by default 0.
    tolerance : float
        Stop when the norm of every residual, relative to its right-hand side, is below it. With 0 the residual is never
        read, so that the host does not wait for an accelerator.
    iterations : int
        Stop after this many iterations.
    weighted : callable, optional
        Product with the precision of observations that lie between cells, a symmetric matrix. By default it is the
        product with the weights of the system, which then only precondition.
    correction : callable, optional
        Product with a symmetric positive semi-definite matrix that is added to the V-cycle as preconditioner.

    Returns
    -------
    Tensor, shape (B, T, H, W)
    """

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return torch.linalg.vecdot(a.flatten(1), b.flatten(1))[:, None, None, None]

    def add_between(x: Tensor, applied: Tensor) -> Tensor:
        return applied if weighted is None else applied.addcmul_(grid.weight, x, value=-1).add_(weighted(x))

    def precondition(residual: Tensor) -> Tensor:
        cycled = cycle(system, residual, spaces)
        return cycled if correction is None else cycled.add_(correction(residual))

    grid, right = system.grids[0], right.contiguous()
    spaces = workspaces(system, right)
    goal = tolerance**2 * dot(right, right)
    x = torch.zeros_like(right) if start is None else start.clone(memory_format=torch.contiguous_format)
    residual = right if start is None else right - add_between(x, apply(grid, system.frames, x))
    preconditioned = precondition(residual)
    direction, applied = preconditioned.clone(), torch.empty_like(right)
    energy = dot(residual, preconditioned)
    tiny = torch.finfo(right.dtype).tiny
    for count in range(iterations):
        # Every second iteration only: reading the residual waits for the device.
        if tolerance > 0 and count % 2 == 0 and bool((dot(residual, residual) <= goal).all()):
            break
        add_between(direction, apply(grid, system.frames, direction, out=applied))
        curvature = dot(direction, applied)
        # Rounding may leave nothing of a precision that is a small difference of large ones: then the entry stays.
        step = torch.where(curvature > 0, energy / curvature.clamp_min(tiny), 0.0)
        x.addcmul_(step, direction)
        if count + 1 == iterations:
            break  # the next direction would not be used
        residual.addcmul_(step, applied, value=-1)
        preconditioned = precondition(residual)
        previous, energy = energy, dot(residual, preconditioned)
        torch.addcmul(preconditioned, energy / previous.clamp_min(tiny), direction, out=direction)
    return x
