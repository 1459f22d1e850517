"""Downsample: a sensor with coarse cells on a fine grid."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from geogan.operators.errors import InputError
from geogan.operators.kernels import convolved
from geogan.operators.operator import CellSize, Observation, Operator, Theta, masked
from geogan.operators.parameters import check_parameters

# Largest factor: a larger kernel would not fit into memory.
_MOST = 512


@dataclass(frozen=True)
class Downsample(Operator):
    """Measure the means of coarse cells, each of which covers a block of cells of the grid.

    A mean is the value of the middle cell of its block (the lower right one of the middle cells if ``factor`` is even),
    and the other cells of the block are hidden, so that each measurement counts once. Write a coarse product in this
    way onto the fine grid before you train on it. `geogan.corrupt` begins the blocks at the first row and column; films
    in training are cut from the grid anywhere, so their blocks begin at random places. Beside borders, land and gaps
    the mean is over the cells that have a value.

    Parameters
    ----------
    factor : int
        Rows of a block, and columns unless ``columns`` is given.
    columns : int, optional
        Columns of a block.

    Raises
    ------
    InputError
        If a number is not whole, less than 1, or more than 512.

    Examples
    --------
    >>> import torch
    >>> row = torch.arange(6.0).reshape(1, 1, 1, 1, 6)
    >>> operator = Downsample(factor=1, columns=3)
    >>> operator.apply(row, operator.at((1, 6), 0.0, seed=0)).values.round(decimals=4).flatten().tolist()
    [0.0, 1.0, 0.0, 0.0, 4.0, 0.0]
    """

    factor: int = 4
    columns: int | None = None

    lengths: ClassVar[Mapping[str, str]] = {"factor": "rows", "columns": "columns"}
    # Whether frames go once round the globe: a property of the grid, not a parameter; see `around`.
    is_periodic: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_parameters(self, "downsample")
        for name in ("factor", "columns"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int) and 1 <= value <= _MOST):
                raise InputError(
                    f"{name} of downsample must be a whole number of cells between 1 and {_MOST}, got {value}; give 4, "
                    "say"
                )

    @property
    def masks(self) -> bool:
        """Whether blocks have more than one cell."""
        return self.downsampling != (1, 1)

    @property
    def blurs(self) -> bool:
        """Whether blocks have more than one cell."""
        return self.downsampling != (1, 1)

    @property
    def downsampling(self) -> tuple[int, int]:
        """Rows and columns of a block."""
        return self.factor, self.factor if self.columns is None else self.columns

    def sample(self, shape: tuple[int, int, int, int, int], *, generator: torch.Generator) -> Theta:
        """Draw the places of the blocks of each film: a boolean tensor (B, T, 1, H, W), True at middle cells."""
        batch, frames, _, height, width = shape
        first = [
            torch.randint(side, (batch, 1, 1, 1, 1), generator=generator, device=generator.device)
            for side in self.downsampling
        ]
        if self.downsampling == (1, 1):
            return ()
        return self._middles((height, width), first).expand(batch, frames, 1, height, width)

    def apply(self, x: Tensor, theta: Theta) -> Observation:
        """Return the means at the middle cells, 0 elsewhere; blocks begin at the first cell for ``()``."""
        if not isinstance(theta, Tensor):
            zero = torch.zeros((1,) * 5, dtype=torch.long, device=x.device)
            theta = self._middles((x.shape[-2], x.shape[-1]), [zero, zero])
        return masked(self.blur(x), theta)

    def blur(self, x: Tensor) -> Tensor:
        """Return the mean of a block around each cell, shape (B, T, C, H, W)."""
        return convolved(x, self.point_spread(), is_periodic=self.is_periodic)

    def point_spread(self) -> Tensor:
        """Return the weights of a block around its middle cell, (kh, kw) with odd sides."""
        sides = self.downsampling
        kernel = torch.zeros([2 * (side // 2) + 1 for side in sides], dtype=torch.float64)
        kernel[: sides[0], : sides[1]] = 1 / (sides[0] * sides[1])
        return kernel

    def at(self, size: tuple[int, int], step: float, *, seed: int, channels: int = 1) -> Theta:
        """Return ``()``: the blocks of a whole grid begin at its first cell at all dates."""
        return ()

    def in_cells(self, lengths: Mapping[str, float], cells: CellSize) -> Self:
        """Return blocks of a size in km: the nearest whole numbers of cells."""
        rows = lengths["factor"] / cells.rows if "factor" in lengths else self.factor
        columns = self.columns
        if "factor" in lengths and columns is None or "columns" in lengths:
            columns = max(1, round(lengths.get("columns", lengths.get("factor", 0)) / cells.columns))
        return replace(self, factor=max(1, round(rows)), columns=columns)

    def around(self, is_periodic: bool) -> Self:
        """Return the same blocks for frames that go once round the globe, where means cross the seam, or do not."""
        kind: Any = RoundDownsample if is_periodic else Downsample
        return self if self.is_periodic == is_periodic else kind(**asdict(self))

    def _middles(self, size: tuple[int, int], first: list[Tensor]) -> Tensor:
        """Return the middle cells of blocks that begin at a row and a column, and before: (B, 1, 1, H, W)."""
        down, right = (
            (torch.arange(cells, device=start.device) - start) % side == side // 2
            for cells, side, start in zip(size, self.downsampling, first, strict=True)
        )
        return down.transpose(-1, -2) & right


@dataclass(frozen=True)
class RoundDownsample(Downsample):
    """:class:`Downsample` for frames whose last column is the neighbour of the first.

    Examples
    --------
    >>> Downsample(factor=4).around(True).around(False)
    Downsample(factor=4, columns=None)
    """

    is_periodic: ClassVar[bool] = True
