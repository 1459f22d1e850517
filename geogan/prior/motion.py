"""A moving grid: the grid on which a drifting field stands still.

A field that drifts by some cells a day has, in coordinates that drift with it, values that change with its persistence
alone (the frozen turbulence of Taylor 1938, *The spectrum of turbulence*). The prior is a Markov field on a larger grid
of such coordinates. On each date the cells of the field lie between cells of the larger grid, all at the same fraction
of a cell, and each is a cubic interpolation of 4 x 4 of them (Keys 1981, *Cubic convolution interpolation for digital
image processing*):

    x_t = rows_t z_t columns_t'

Cells of the larger grid that a date does not see are unknown on that date: nothing is assumed about what flows in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

# E-folding times after which frames are independent: the displacement from one to the other has no effect.
INDEPENDENT = 12.0
# Cells that an interpolation reads before and after the place between two cells.
TAPS = 2
# A larger grid of more than so many times the cells of the field is avoided: its dates are solved in stretches.
MOST_GROWTH = 6.0
# E-folding times before and after a stretch whose observations are used.
MARGIN = 3.0


class Drift(NamedTuple):
    """Velocity of a field along rows and columns, in cells a day, by index."""

    y: float
    x: float


class Stretch(NamedTuple):
    """Dates that are solved together."""

    core: slice  # dates to keep, counted from the first of all dates
    read: slice  # dates whose observations are used

    @property
    def inner(self) -> slice:
        """Dates to keep, counted from the first that is read."""
        return slice(self.core.start - self.read.start, self.core.stop - self.read.start)


def stretches(
    drift: Drift, days: Tensor, shape: tuple[int, int], *, persistence: float, is_periodic: bool = False
) -> list[Stretch]:
    """Cut dates into stretches so that the larger grid of each is not many times as large as the field.

    A stretch reads the dates within some e-folding times of its own, unless all that they see has left the field.

    Parameters
    ----------
    drift, days, shape, persistence, is_periodic
        As for :meth:`MovingGrid.of`.

    Examples
    --------
    >>> days = torch.arange(60.0)
    >>> len(stretches(Drift(1.0, 0.0), days, (40, 40), persistence=4.0))
    1
    >>> stretches(Drift(8.0, 0.0), days, (40, 40), persistence=1.0)[1]
    Stretch(core=slice(6, 12, None), read=slice(3, 15, None))
    """
    days = days.cpu().double()
    days = days[None] if days.ndim == 1 else days
    sizes = [size for size, is_circle in zip(shape, (False, is_periodic)) if not is_circle]
    # How far the field has drifted, in its own sizes: along both axes, and along the one where that is most.
    way = [(abs(velocity) * (days - days[:, :1])).amax(0) / size for velocity, size in zip(drift, sizes)]
    if math.prod(1 + float(part[-1]) for part in way) <= MOST_GROWTH:
        return [Stretch(slice(0, days.shape[1]), slice(0, days.shape[1]))]
    most = torch.stack(way).amax(0)
    result, first, count = [], 0, len(most)
    while first < count:
        last = max(first + 1, int((most <= most[first] + 1).sum()))
        is_near = (most >= most[first] - 1) & (most <= most[last - 1] + 1)
        is_near &= (days >= days[:, first : first + 1] - MARGIN * persistence).any(0)
        is_near &= (days <= days[:, last - 1 : last] + MARGIN * persistence).any(0)
        near = torch.nonzero(is_near)[:, 0]
        result.append(Stretch(slice(first, last), slice(int(near[0]), int(near[-1]) + 1)))
        first = last
    return result


@dataclass(frozen=True, eq=False)
class MovingGrid:
    """Matrices between the cells of a field and those of the grid that drifts along.

    The larger grid has ``height`` x ``width`` cells. If the first dimension is 1, all entries of a batch share dates.

    Attributes
    ----------
    rows, columns : Tensor, shape (B or 1, T, H, height), (B or 1, T, W, width)
        Weights of the interpolation.
    nearest_rows, nearest_columns : Tensor
        Of the same shapes: 1 for the nearest cell.
    """

    rows: Tensor
    columns: Tensor
    nearest_rows: Tensor
    nearest_columns: Tensor

    @classmethod
    def of(
        cls,
        drift: Drift,
        days: Tensor,
        shape: tuple[int, int],
        *,
        persistence: float,
        length: float,
        is_periodic: bool = False,
    ) -> MovingGrid:
        """Return the moving grid of some dates.

        Places between cells depend on the date itself, not on the first date, so that films that share dates agree.

        Parameters
        ----------
        drift : Drift
        days : Tensor, shape (T,) or (B, T)
            Dates in days, not decreasing.
        shape : (int, int)
            Rows and columns of the field.
        persistence : float
            e-folding time of the field, in days.
        length : float
            Correlation length in cells. Two dates that share no cell within it need not lie farther apart.
        is_periodic : bool
            Whether the last column touches the first: the larger grid then has the same columns.
        """
        days = days.cpu().double()
        days = days[None] if days.ndim == 1 else days
        is_related = days.diff() <= INDEPENDENT * persistence
        parts = []
        for velocity, size, is_circle in zip(drift, shape, (False, is_periodic)):
            most = size + math.ceil(2 * length)
            cells, rest = _displacements(velocity * days, is_related, most)
            parts.append(
                (_matrices(cells, _taps(rest), size, is_circle), _matrices(cells, _nearest(rest), size, is_circle))
            )
        (rows, nearest_rows), (columns, nearest_columns) = parts
        return cls(rows, columns, nearest_rows, nearest_columns)

    def to(self, like: Tensor) -> MovingGrid:
        """Return the matrices with the type and on the device of a tensor."""
        return MovingGrid(
            *(part.to(like) for part in (self.rows, self.columns, self.nearest_rows, self.nearest_columns))
        )

    def repeated(self, bands: int) -> MovingGrid:
        """Return the matrices for a batch in which each entry has become ``bands`` entries."""
        parts = (self.rows, self.columns, self.nearest_rows, self.nearest_columns)
        return MovingGrid(*(part if len(part) == 1 else part.repeat_interleave(bands, 0) for part in parts))

    def interpolated(self, z: Tensor) -> Tensor:
        """Return values on the larger grid (B, T, height, width) as values of the field (B, T, H, W)."""
        return self.rows @ z @ self.columns.mT

    def spread(self, x: Tensor) -> Tensor:
        """Apply the transpose of :meth:`interpolated`."""
        return self.rows.mT @ x @ self.columns

    def placed(self, x: Tensor) -> Tensor:
        """Return values of the field at the nearest cells of the larger grid; 0 at cells that a date does not see."""
        return self.nearest_rows.mT @ x @ self.nearest_columns

    def read(self, z: Tensor) -> Tensor:
        """Return the values of the nearest cells of the larger grid."""
        return self.nearest_rows @ z @ self.nearest_columns.mT

    def domain(self, domain: Tensor) -> Tensor:
        """Return 1 for cells of the larger grid that matter to the domain (H, W) or (B, 1, H, W) on any date.

        Its shape is (height, width) if all entries share it, else (B, height, width).
        """
        reached = self.rows.abs().mT @ domain.to(self.rows) @ self.columns.abs()
        whole = (reached.amax(1) > 0).to(domain)
        return whole[0] if len(whole) == 1 else whole

    def seen(self) -> Tensor:
        """Return 1 for the cells nearest to those of the field on each date, (B or 1, T, height, width)."""
        return self.nearest_rows.sum(-2)[..., :, None] * self.nearest_columns.sum(-2)[..., None, :]

    def continued(self, x: Tensor) -> Tensor:
        """Return values placed on the larger grid; a cell that a date does not see has its value on a nearby date."""
        z = self.placed(x)
        seen = self.seen().expand_as(z).clone()
        count = z.shape[1]
        for t, near in [*((t, t - 1) for t in range(1, count)), *((t, t + 1) for t in reversed(range(count - 1)))]:
            z[:, t] = torch.where(seen[:, t] > 0, z[:, t], z[:, near])
            seen[:, t] = torch.maximum(seen[:, t], seen[:, near])
        return z

    def with_more_noise(self, noise: Tensor) -> Tensor:
        """Return noise placed on the larger grid, with more standard normal noise at cells that a date does not see.

        The additional noise is drawn with a seed that is taken from the noise itself.
        """
        seed = int(noise.flatten()[0].double().view(torch.int64)) & (2**62 - 1)
        placed = self.placed(noise)
        more = torch.randn(placed.shape, generator=torch.Generator().manual_seed(seed), dtype=noise.dtype)
        return placed + (1 - self.seen()) * more.to(noise.device)


def _displacements(displacement: Tensor, is_related: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Return displacements (B, T) as whole cells from the first date, and the rest, which is from 0 to 1."""
    whole = displacement.floor()
    steps = torch.where(is_related, whole.diff().clamp(-most, most), 0.0)
    return torch.cat([torch.zeros_like(whole[:, :1]), steps.cumsum(1)], 1).long(), displacement - whole


def _taps(rest: Tensor) -> Tensor:
    """Return the weights of four cells around a place that is ``1 - rest`` after the second of them, (B, T, 4).

    Examples
    --------
    >>> _taps(torch.tensor([0.0, 0.5])).tolist()
    [[0.0, 0.0, 1.0, 0.0], [-0.0625, 0.5625, 0.5625, -0.0625]]
    """
    distance = (torch.arange(-TAPS, TAPS) + rest[..., None]).abs()
    near = 1 - 2.5 * distance**2 + 1.5 * distance**3
    far = 2 - 4 * distance + 2.5 * distance**2 - 0.5 * distance**3
    return torch.where(distance <= 1, near, far)


def _nearest(rest: Tensor) -> Tensor:
    """Return 1 for the nearest of the four cells of :func:`_taps`."""
    return torch.stack(
        [torch.zeros_like(rest), (rest > 0.5).to(rest), (rest <= 0.5).to(rest), torch.zeros_like(rest)], -1
    )


def _matrices(cells: Tensor, weights: Tensor, size: int, is_circle: bool) -> Tensor:
    """Return weights (B, T, size, size of the larger grid) along one axis.

    At a displacement of ``cells + rest``, cell ``i`` of the field is at ``i - cells - rest`` of the larger grid.
    """
    first = cells.amax(1, keepdim=True)
    span = int((first - cells.amin(1, keepdim=True)).max())
    length = size if is_circle else size + span + 2 * TAPS - 1
    start = -cells if is_circle else first - cells + TAPS
    place = start[..., None, None] + torch.arange(size)[:, None] + torch.arange(-TAPS, TAPS)
    if is_circle:
        place = place % size
    matrices = torch.zeros(*cells.shape, size, length, dtype=torch.float64)
    return matrices.scatter_add_(-1, place, weights[..., None, :].expand(place.shape).double())
