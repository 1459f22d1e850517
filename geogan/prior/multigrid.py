"""Multigrid for space-time Markov fields: solves ``(Q_t (x) K K' + weight) x = right`` on a grid with land.

``K = sqrt(s) (kappa^2 + L)``, ``K'`` the same with another ``kappa``, ``L`` the Laplacian of the graph of a domain's
cells, ``Q_t`` tridiagonal, ``weight`` the precision of each cell's observation. Conjugate gradients, preconditioned by
one V-cycle: every grid has cells twice as large as the one before, frames are never coarsened; the smoother is a
Chebyshev polynomial over the exact solution of each cell's own frames. Stencils only.

On a grid that goes round the globe the cells of the last column are neighbours of those of the first. Such a grid has
as many edges along x as columns; the edge across the seam comes last.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from geogan.prior import stencils

# Chebyshev steps before and after the visit to the coarser grid, and on the coarsest.
SMOOTHING = 3
COARSEST = 12
# Eigenvalues of the smoother's operator lie below BOUND; it is meant to damp those above DAMPED.
BOUND = 3.6
DAMPED = 0.25
# Iterations between two looks at the residual: each look waits for the device.
LOOK_EVERY = 2


class Frames(NamedTuple):
    """Precision of the frames ``Q_t = R^T R``, each part of shape (T, 1, 1) or (B, T, 1, 1)."""

    diagonal: Tensor
    off: Tensor
    root_diagonal: Tensor
    root_below: Tensor


class Grid(NamedTuple):
    """The system on one grid; what has no time in it is (H, W) or, each entry its own, (B, 1, H, W)."""

    domain: Tensor  # (H, W)
    edge_y: Tensor  # (H - 1, W) couplings of K, 0 across a coast
    edge_x: Tensor  # (H, W - 1); (H, W) where the last column touches the first
    edge_d: Tensor | None  # (H - 1, that) from (y, x) to (y + 1, x + 1); None where no diagonals are joined
    degree: Tensor  # (H, W) diagonal of K, 0 outside the domain
    detail: Tensor  # (H, W) that of K'
    weight: Tensor  # (B, T, H, W) observation precision
    space: Tensor  # (H, W) diagonal of K K'
    inverse: Tensor  # (B, T, H, W) of the pivots of the cells' tridiagonal systems in time
    reach: Tensor  # (H, W) 1 / what interpolation from the next coarser grid adds up to

    @property
    def is_periodic(self) -> bool:
        """Whether the last column touches the first."""
        return self.edge_x.shape[-1] == self.domain.shape[-1]

    @property
    def sides(self) -> list[tuple[slice, slice, slice]]:
        """Columns of the edges along x, and of the cells on their left and right: those inside, and across the seam."""
        return _sides(self.edge_x.shape[-1], self.domain.shape[-1])


def _sides(edges: int, width: int) -> list[tuple[slice, slice, slice]]:
    inside = (slice(0, width - 1), slice(0, width - 1), slice(1, width))
    return [inside] if edges < width else [inside, (slice(width - 1, width), slice(width - 1, width), slice(0, 1))]


class System(NamedTuple):
    """The system on a hierarchy of grids, the finest first."""

    grids: list[Grid]
    frames: Frames
    middle: float = 0.0  # K K' = (K + middle)^2 + split^2 L / sqrt(s), which has a root of stencils
    split: float = 0.0


def build(
    domain: Tensor,
    weight: Tensor,
    frames: Frames,
    *,
    kappa2: float,
    scale: float,
    aspect: float = 1.0,
    tilt: float = 0.0,
    detail2: float | None = None,
    is_periodic: bool = False,
) -> System:
    """The hierarchy of grids.

    Parameters
    ----------
    domain : Tensor, shape (H, W) or (B, 1, H, W)
        1 where the field exists.
    weight : Tensor, shape (B, T, H, W)
        Observation precision, 0 in a gap.
    frames : Frames
        Precision in time.
    kappa2, scale : float
        ``kappa^2`` and ``sqrt(s)``.
    aspect : float
        How many times farther the field reaches along x than along y, in cells.
    tilt : float
        What diagonals, from (y, x) to (y + 1, x + 1), count beside x and y; not negative.
    detail2 : float, optional
        ``kappa^2`` of ``K'``; by default that of ``K``.
    is_periodic : bool
        Whether the last column touches the first.
    """
    # A coupling is the square of a length; their tensor's determinant stays 1, and with it the field's variance.
    even = math.sqrt(1 + tilt * (aspect + 1 / aspect))
    edge_y = domain[..., 1:, :] * domain[..., :-1, :] / (aspect * even)
    left, right = (domain, domain.roll(-1, -1)) if is_periodic else (domain[..., :-1], domain[..., 1:])
    edge_x = right * left * (aspect / even)
    edge_d = None
    if tilt:
        # Where both cells beside a diagonal are land, it would cross a wall.
        beside = torch.maximum(left[..., 1:, :], right[..., :-1, :])
        edge_d = right[..., 1:, :] * left[..., :-1, :] * beside * (tilt / even)
    weight = weight.contiguous()
    shapes = []
    cell = 1
    while True:
        shapes.append((domain, edge_y, edge_x, edge_d, weight))
        if min(domain.shape[-2:]) < 6 or cell * math.sqrt(kappa2) > 1:
            break
        cell *= 2
        domain, edge_y, edge_x, edge_d, weight = _coarser(domain, edge_y, edge_x, edge_d, weight)
    grids = []
    detail2 = kappa2 if detail2 is None else detail2
    for level, (domain, edge_y, edge_x, edge_d, weight) in enumerate(shapes):
        size = scale * 2**level  # a coarse cell carries the energy of its four: sqrt(4) per grid
        reach = domain
        if level + 1 < len(shapes):
            coarser = shapes[level + 1][0]
            reach = domain / _up(coarser, domain.shape, is_periodic=is_periodic).clamp_min(0.05)
        edges = (edge_y * size, edge_x * size, None if edge_d is None else edge_d * size)
        grids.append(_grid(domain, edges, kappa2 * size, detail2 * size, weight, frames, reach))
    kappa, detail = math.sqrt(kappa2), math.sqrt(detail2)
    return System(grids, frames, scale * (kappa * detail - kappa2), math.sqrt(scale) * (detail - kappa))


def _coarser(
    domain: Tensor, edge_y: Tensor, edge_x: Tensor, edge_d: Tensor | None, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor]:
    """Cells twice as large, which hold the information of their four.

    Of an odd width the last cells hold that of two; where the grid goes round, the first cells are their neighbours.
    """
    height, width = domain.shape[-2:]
    odd_y, odd_x = height % 2, width % 2

    def quads(x: Tensor) -> Tensor:
        x = pad(x, (0, odd_x, 0, odd_y))
        return x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]

    # Two fine edges cross between two coarse cells, and a coarse step is twice as long: 1/2 * 1/4.
    across_y = pad(edge_y[..., 1::2, :], (0, odd_x)) / 8
    across_x = pad(_every_other(edge_x, width), (0, 0, 0, odd_y)) / 8
    return (
        (quads(domain) > 0).to(domain),
        across_y[..., ::2] + across_y[..., 1::2],
        across_x[..., ::2, :] + across_x[..., 1::2, :],
        None if edge_d is None else _every_other(edge_d[..., 1::2, :], width) / 4,
        quads(weight),
    )


def _every_other(edge: Tensor, width: int) -> Tensor:
    """Edges along x that cross from one coarse cell to the next, of ``width`` cells; the one across the seam always."""
    crossing = edge[..., 1::2]
    return torch.cat([crossing, edge[..., -1:]], -1) if edge.shape[-1] == width and width % 2 else crossing


def _grid(
    domain: Tensor,
    edges: tuple[Tensor, Tensor, Tensor | None],
    kappa2: float,
    detail2: float,
    weight: Tensor,
    frames: Frames,
    reach: Tensor,
) -> Grid:
    edge_y, edge_x, edge_d = edges
    degree = torch.full_like(domain, kappa2)
    squares = torch.zeros_like(domain)
    for total, power in ((degree, 1), (squares, 2)):
        total[..., 1:, :] += edge_y**power
        total[..., :-1, :] += edge_y**power
        sides = _sides(edge_x.shape[-1], domain.shape[-1])
        for edge, left, right in sides:
            total[..., right] += edge_x[..., edge] ** power
            total[..., left] += edge_x[..., edge] ** power
        if edge_d is not None:
            for edge, left, right in sides:
                total[..., 1:, right] += edge_d[..., edge] ** power
                total[..., :-1, left] += edge_d[..., edge] ** power
    detail = (degree + (detail2 - kappa2)) * domain
    degree *= domain
    # The diagonal of K K': a smoothing step solves all the frames of a cell together, its neighbours fixed.
    space = torch.where(domain > 0, degree * detail + squares, 1.0)
    inverse = torch.empty_like(weight)
    for t in range(weight.shape[1]):
        pivot = _of_a_frame(space) * frames.diagonal[..., t, :, :] + weight[:, t]
        if t:
            above = _of_a_frame(space) * frames.off[..., t - 1, :, :]
            pivot = pivot - above.square() * inverse[:, t - 1]
        torch.reciprocal(pivot, out=inverse[:, t])
    return Grid(domain, edge_y, edge_x, edge_d, degree, detail, weight, space, inverse, reach)


def _of_a_frame(place: Tensor) -> Tensor:
    """What has no time in it, beside one frame of each entry: (H, W) or (B, H, W)."""
    return place[:, 0] if place.ndim == 4 else place


def space_root(grid: Grid, x: Tensor, degree: Tensor) -> Tensor:
    """``K x``, or ``K' x`` by its diagonal, (B, T, H, W); ``x`` must be 0 outside the domain, and so is the result."""
    out = degree * x
    out[..., 1:, :].addcmul_(grid.edge_y, x[..., :-1, :], value=-1)
    out[..., :-1, :].addcmul_(grid.edge_y, x[..., 1:, :], value=-1)
    for edge, left, right in grid.sides:
        out[..., right].addcmul_(grid.edge_x[..., edge], x[..., left], value=-1)
        out[..., left].addcmul_(grid.edge_x[..., edge], x[..., right], value=-1)
    if grid.edge_d is not None:
        for edge, left, right in grid.sides:
            out[..., 1:, right].addcmul_(grid.edge_d[..., edge], x[..., :-1, left], value=-1)
            out[..., :-1, left].addcmul_(grid.edge_d[..., edge], x[..., 1:, right], value=-1)
    return out


def disturbance(system: System, draws: Tensor) -> Tensor:
    """A draw of covariance ``K K'``, from standard normal ``draws`` (B, T, H, W).

    ``K K' = (K + middle)^2 + split^2 L``, and ``L`` is the sum over the edges of squared differences: an edge's own
    draw goes to one end, its opposite to the other.
    """
    grid = system.grids[0]
    draws = draws * grid.domain
    out = space_root(grid, draws, grid.degree + system.middle * grid.domain)
    if system.split:
        y, x, d = _signs(draws)
        y = y[..., 1:, :] * (system.split * grid.edge_y.sqrt())
        out[..., 1:, :] += y
        out[..., :-1, :] -= y
        for edge, left, right in grid.sides:
            part = x[..., right] * (system.split * grid.edge_x[..., edge].sqrt())
            out[..., right] += part
            out[..., left] -= part
        if grid.edge_d is not None:
            for edge, left, right in grid.sides:
                part = d[..., 1:, right] * (system.split * grid.edge_d[..., edge].sqrt())
                out[..., 1:, right] += part
                out[..., :-1, left] -= part
    return out


def _signs(draws: Tensor) -> list[Tensor]:
    """Three more draws of variance 1, independent of each other and of ``draws``: sums of signs, from the last bits.

    So that what belongs to a cell's edges belongs to the cell, wherever its block begins.
    """
    bits = draws.contiguous().view(torch.int32 if draws.dtype == torch.float32 else torch.int64)
    return [sum(1 - 2 * ((bits >> (4 * k + j)) & 1) for j in range(4)).to(draws) / 2 for k in range(3)]  # type: ignore[union-attr]


def time_root(frames: Frames, x: Tensor) -> Tensor:
    """``R^T x`` along the frames."""
    out = frames.root_diagonal * x
    out[:, :-1].addcmul_(frames.root_below, x[:, 1:])
    return out


def _compiled(x: Tensor) -> bool:
    """Whether stencils are compiled for where a tensor is; elsewhere torch does the same."""
    return x.device.type == "cpu"


def apply(grid: Grid, frames: Frames, x: Tensor, *, out: Tensor | None = None) -> Tensor:
    """``(Q_t (x) K K' + weight) x``, shape (B, T, H, W); in ``out``, if given."""
    out = torch.empty_like(x, memory_format=torch.contiguous_format) if out is None else out
    if _compiled(x):
        _add_applied(0, 1, grid, frames, x, out)
        return out
    smooth = space_root(grid, space_root(grid, x, grid.degree), grid.detail)
    torch.addcmul(grid.weight * x, frames.diagonal, smooth, out=out)
    out[:, :-1].addcmul_(frames.off, smooth[:, 1:])
    out[:, 1:].addcmul_(frames.off, smooth[:, :-1])
    return out


def _subtract_applied(grid: Grid, frames: Frames, x: Tensor, residual: Tensor) -> None:
    """``residual -= A x``, in place."""
    if _compiled(x):
        _add_applied(1, -1, grid, frames, x, residual)
    else:
        residual -= apply(grid, frames, x)


def _add_applied(kept: int, sign: int, grid: Grid, frames: Frames, x: Tensor, out: Tensor) -> None:
    if x.shape != grid.weight.shape:
        # Compiled code would read beyond the end.
        raise ValueError(f"x must have the system's shape {tuple(grid.weight.shape)}, got {tuple(x.shape)}")
    places = [_places(part) for part in (grid.degree, grid.detail, grid.edge_y, grid.edge_x)]
    places.append(np.empty((len(places[0]), 0, 0), places[0].dtype) if grid.edge_d is None else _places(grid.edge_d))
    values, times = x.contiguous().numpy(), (_times(frames.diagonal), _times(frames.off))
    number = values.dtype.type  # in another precision all arithmetic would be
    stencils.add_applied(number(kept), number(sign), values, *places, grid.weight.numpy(), *times, out.numpy())


def _places(part: Tensor) -> np.ndarray:
    """What has no time in it, (1 or B, H, W)."""
    # A grid of one row has no edges between rows, so that -1 would be ambiguous.
    return part.reshape(math.prod(part.shape[:-2]), *part.shape[-2:]).numpy()


def _times(part: Tensor) -> np.ndarray:
    """What has no place, (1 or B, T)."""
    return np.atleast_2d(part.flatten(-3).numpy())


def _cells(grid: Grid, frames: Frames, residual: Tensor) -> Tensor:
    """Each cell's frames solved together."""
    out, above = residual.clone(), grid.space * frames.off
    for t in range(1, out.shape[1]):
        out[:, t] -= above[..., t - 1, :, :] * grid.inverse[:, t - 1] * out[:, t - 1]
    out *= grid.inverse
    for t in range(out.shape[1] - 2, -1, -1):
        out[:, t] -= above[..., t, :, :] * grid.inverse[:, t] * out[:, t + 1]
    return out


def _relax(
    grid: Grid, frames: Frames, residual: Tensor, step: Tensor, x: Tensor, old: float, new: float, *, first: bool
) -> None:
    """``step = old * step + new * cells``, ``x += step``, in place; the first time ``x = step``."""
    if _compiled(x):
        arrays = [part.numpy() for part in (residual, grid.inverse, step, x)]
        number = arrays[0].dtype.type
        stencils.relax(number(old), number(new), first, _places(grid.space), _times(frames.off), *arrays)
        return
    solved = new * _cells(grid, frames, residual)
    step.copy_(solved if old == 0 else old * step + solved)
    x.copy_(step if first else x + step)


class Room(NamedTuple):
    """What a V-cycle works in on one grid, (B, T, H, W) each.

    Taken once a solve: asked for at every step, memory would be zeroed by the kernel every time.
    """

    right: Tensor
    residual: Tensor
    step: Tensor
    found: Tensor


def _rooms(system: System, right: Tensor) -> list[Room]:
    """One for each grid; the finest has its right-hand side from elsewhere."""
    rooms = []
    for level, grid in enumerate(system.grids):
        shape = (*right.shape[:2], *grid.domain.shape[-2:])
        rooms.append(Room(right.new_empty(shape if level else 0), *(right.new_empty(shape) for _ in range(3))))
    return rooms


def _smooth(grid: Grid, frames: Frames, right: Tensor, room: Room, steps: int, low: float, *, first: bool) -> None:
    """Chebyshev iteration on the cells' systems, damping what lies between ``low`` and ``BOUND``.

    From ``room.found``, which is changed; the first time from zero.
    """
    centre, half = (BOUND + low) / 2, (BOUND - low) / 2
    residual, step, found = room.residual.copy_(right), room.step, room.found
    if not first:
        _subtract_applied(grid, frames, found, residual)
    _relax(grid, frames, residual, step, found, 0.0, 1 / centre, first=first)
    rho = half / centre
    for _ in range(steps - 1):
        before, rho = rho, 1 / (2 * centre / half - rho)
        _subtract_applied(grid, frames, step, residual)
        _relax(grid, frames, residual, step, found, rho * before, 2 * rho / half, first=False)


def _up(x: Tensor, shape: torch.Size, *, is_periodic: bool = False) -> Tensor:
    """Bilinear interpolation to cells half as large; beyond the border there is nothing, or the other side."""
    for size, wraps in zip(shape[-2:], (False, is_periodic), strict=True):
        # Rows now, columns in the second turn: each turn swaps the two.
        near = torch.cat([x[..., -1:, :], x, x[..., :1, :]], -2) if wraps else pad(x, (0, 0, 1, 1))
        x = torch.stack([0.75 * x + 0.25 * near[..., :-2, :], 0.75 * x + 0.25 * near[..., 2:, :]], dim=-2)
        x = x.flatten(-3, -2)[..., :size, :].transpose(-2, -1)
    return x


def _down(x: Tensor, *, is_periodic: bool = False) -> Tensor:
    """The transpose of :func:`_up`."""
    for wraps in (False, is_periodic):
        # Rows now, columns in the second turn: each turn swaps the two.
        x = pad(x, (0, 0, 1, 1 + x.shape[-2] % 2))
        if wraps:
            x[..., :1, :], x[..., -1:, :] = x[..., -2:-1, :].clone(), x[..., 1:2, :].clone()
        x = 0.25 * (x[..., 0:-2:2, :] + x[..., 3::2, :]) + 0.75 * (x[..., 1:-1:2, :] + x[..., 2::2, :])
        x = x.transpose(-2, -1)
    return x


def _restrict(grid: Grid, coarser: Grid, residual: Tensor, right: Tensor) -> None:
    """Put what is left on the next coarser grid, as its right-hand side."""
    if _compiled(residual):
        stencils.restrict(
            residual.numpy(), _places(grid.reach), _places(coarser.domain), right.numpy(), grid.is_periodic
        )
    else:
        torch.mul(_down(residual * grid.reach, is_periodic=grid.is_periodic), coarser.domain, out=right)


def _correct(grid: Grid, correction: Tensor, x: Tensor) -> None:
    """Add what the next coarser grid found, in place."""
    if _compiled(x):
        stencils.interpolate(correction.numpy(), _places(grid.reach), x.numpy(), grid.is_periodic)
    else:
        x.addcmul_(_up(correction, x.shape, is_periodic=grid.is_periodic), grid.reach)


def _cycle(system: System, level: int, right: Tensor, rooms: list[Room]) -> Tensor:
    """One V-cycle from zero: a fixed symmetric positive operator, so it may precondition; found in the grid's room."""
    grid, frames, room = system.grids[level], system.frames, rooms[level]
    if level + 1 == len(system.grids):
        _smooth(grid, frames, right, room, COARSEST, 0.02, first=True)
        return room.found
    _smooth(grid, frames, right, room, SMOOTHING, DAMPED, first=True)
    _subtract_applied(grid, frames, room.found, room.residual.copy_(right))
    coarser = rooms[level + 1].right
    _restrict(grid, system.grids[level + 1], room.residual, coarser)
    _correct(grid, _cycle(system, level + 1, coarser, rooms), room.found)
    _smooth(grid, frames, right, room, SMOOTHING, DAMPED, first=False)
    return room.found


def solve(system: System, right: Tensor, *, start: Tensor | None, tolerance: float, rounds: int) -> Tensor:
    """Conjugate gradients preconditioned by V-cycles, every batch entry its own system.

    Parameters
    ----------
    right : Tensor, shape (B, T, H, W)
        0 outside the domain; used up.
    start : Tensor, shape (B, T, H, W), optional
        Where to begin.
    tolerance : float
        Stop when every residual, relative to its right-hand side, is below it; 0 never looks, so that nothing waits for
        an accelerator.
    rounds : int
        Stop after this many iterations.
    """

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return torch.linalg.vecdot(a.flatten(1), b.flatten(1))[:, None, None, None]

    grid, right = system.grids[0], right.contiguous()
    rooms = _rooms(system, right)
    goal = tolerance**2 * dot(right, right)
    x = torch.zeros_like(right) if start is None else start.clone(memory_format=torch.contiguous_format)
    residual = right if start is None else right - apply(grid, system.frames, x)
    preconditioned = _cycle(system, 0, residual, rooms)
    direction, applied = preconditioned.clone(), torch.empty_like(right)
    energy = dot(residual, preconditioned)
    tiny = torch.finfo(right.dtype).tiny
    for count in range(rounds):
        if tolerance > 0 and count % LOOK_EVERY == 0 and bool((dot(residual, residual) <= goal).all()):
            break
        apply(grid, system.frames, direction, out=applied)
        step = energy / dot(direction, applied).clamp_min(tiny)
        x.addcmul_(step, direction)
        if count + 1 == rounds:
            break  # the next direction would be for nothing
        residual.addcmul_(step, applied, value=-1)
        preconditioned = _cycle(system, 0, residual, rooms)
        previous, energy = energy, dot(residual, preconditioned)
        torch.addcmul(preconditioned, energy / previous.clamp_min(tiny), direction, out=direction)
    return x
