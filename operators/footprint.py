"""Footprint: a radiometer measures a weighted mean of the field over its beam."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from geogan.operators.errors import InputError
from geogan.operators.kernels import convolved
from geogan.operators.operator import CellSize, Observation, Operator, Theta, rounded
from geogan.operators.parameters import check_parameters

# Half of a kernel, in standard deviations of the beam; places at which the beam is averaged in each cell, on a side;
# widths, in cells, below which a beam is a point, and above which its kernel would not fit into memory.
_REACH, _PLACES, _LEAST, _MOST = 3.0, 5, 0.25, 200.0
_WIDTH_OF_ONE_DEVIATION = 2 * math.sqrt(2 * math.log(2))


@dataclass(frozen=True)
class Footprint(Operator):
    """Average the field over an elliptical Gaussian beam, as a microwave radiometer does.

    Nothing is hidden and nothing is random. At the border of a frame the mean is over the cells inside the frame
    (normalised by the weights there), so that a constant field stays constant. `geogan.corrupt` does the same beside
    land and gaps. The kernel ends at three standard deviations.

    Parameters
    ----------
    fwhm : float
        Full width of the beam at half of its maximum, along its axis, in cells.
    across : float, optional
        The same across the axis. By default the beam is round.
    angle : float
        Angle of the axis from the columns, in degrees between -90 and 90; swaths of the same angle are parallel to it.

    Raises
    ------
    InputError
        If a width is not positive or more than 200 cells, or the angle is out of its range.

    Examples
    --------
    A point is spread to half of its maximum at a distance of half of the width:

    >>> import torch
    >>> x = torch.zeros(1, 1, 1, 81, 81)
    >>> x[..., 40, 40] = 1.0
    >>> seen = Footprint(fwhm=20).apply(x, ()).values[0, 0, 0]
    >>> round(float(seen[40, 50] / seen[40, 40]), 2)
    0.5
    """

    fwhm: float = 5.0
    across: float | None = None
    angle: float = 0.0

    lengths: ClassVar[Mapping[str, str]] = {"fwhm": "mean", "across": "mean"}
    # Whether frames go once round the globe: a property of the grid, not a parameter; see `around`.
    is_periodic: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_parameters(self, "footprint")
        for name in ("fwhm", "across"):
            width = getattr(self, name)
            if width is not None and not 0 < width <= _MOST:
                raise InputError(
                    f"{name} of footprint must be more than 0 and at most {_MOST:g} cells, got {width}; give the width "
                    "of the beam in cells, such as 5"
                )
        if not -90 <= self.angle <= 90:
            raise InputError(
                f"angle of footprint must lie between -90 and 90 degrees, got {self.angle}; give the angle of the "
                "axis from the columns, such as 10"
            )

    @property
    def masks(self) -> bool:
        """False: every cell is observed."""
        return False

    @property
    def blurs(self) -> bool:
        """Whether the beam is wider than one cell."""
        return self.point_spread().numel() > 1

    def sample(self, shape: tuple[int, int, int, int, int], *, generator: torch.Generator) -> Theta:
        """Return ``()``: nothing is random."""
        return ()

    def apply(self, x: Tensor, theta: Theta) -> Observation:
        """Return ``x`` averaged over the beam, and a mask of ones; shapes (B, T, C, H, W)."""
        return Observation(self.blur(x), torch.ones_like(x))

    def blur(self, x: Tensor) -> Tensor:
        """Return ``x`` averaged over the beam, shape (B, T, C, H, W)."""
        return convolved(x, self.point_spread(), is_periodic=self.is_periodic)

    def point_spread(self) -> Tensor:
        """Return the weights of the cells in a measured value, (kh, kw), float64 with the sum 1; both sides are odd."""
        return _beam(self.fwhm, self.fwhm if self.across is None else self.across, self.angle)

    def in_cells(self, lengths: Mapping[str, float], cells: CellSize) -> Self:
        """Return the beam with widths in km, and its angle on the ground: an ellipse in cells that are not square."""
        is_round = self.across is None and "across" not in lengths
        if "fwhm" not in lengths or not (is_round or "across" in lengths):
            raise InputError(
                "fwhm and across of footprint must have the same unit, got one in km and one in cells; give both in km"
            )
        fwhm, across = lengths["fwhm"], lengths.get("across", lengths["fwhm"])
        rows, both, columns = beam_covariance(fwhm, across, self.angle)
        along, across, angle = beam_of(
            rows / cells.rows**2, both / (cells.rows * cells.columns), columns / cells.columns**2
        )
        return replace(self, fwhm=rounded(along), across=rounded(across), angle=rounded(angle))

    def around(self, is_periodic: bool) -> Self:
        """Return the same beam for frames that go once round the globe, where it crosses the seam, or do not."""
        kind: Any = RoundFootprint if is_periodic else Footprint
        return self if self.is_periodic == is_periodic else kind(**asdict(self))


@dataclass(frozen=True)
class RoundFootprint(Footprint):
    """:class:`Footprint` for frames whose last column is the neighbour of the first.

    Examples
    --------
    >>> Footprint(fwhm=4).around(True).around(False)
    Footprint(fwhm=4, across=None, angle=0.0)
    """

    is_periodic: ClassVar[bool] = True


def beam_covariance(along: float, across: float, angle: float) -> tuple[float, float, float]:
    """Return the covariance of a Gaussian beam: of rows, of rows and columns, of columns.

    Parameters
    ----------
    along, across : float
        Full widths at half maximum.
    angle : float
        Of the axis from the columns, in degrees; for a positive angle it goes to the right as it goes up.

    Examples
    --------
    >>> [round(part, 3) for part in beam_covariance(2 * math.sqrt(2 * math.log(2)), 1e-9, 45)]
    [0.5, -0.5, 0.5]
    """
    long, short = ((width / _WIDTH_OF_ONE_DEVIATION) ** 2 for width in (along, across))
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return long * cos**2 + short * sin**2, (short - long) * cos * sin, long * sin**2 + short * cos**2


def beam_of(rows: float, both: float, columns: float) -> tuple[float, float, float]:
    """Return the widths along and across and the angle of a covariance: the inverse of `beam_covariance`.

    Examples
    --------
    >>> [round(part, 6) for part in beam_of(*beam_covariance(7.0, 3.0, -20.0))]
    [7.0, 3.0, -20.0]
    """
    mean, half = (rows + columns) / 2, math.hypot((rows - columns) / 2, both)
    # Adding 0.0 turns -0.0 into 0.0, or a beam across the columns would have an angle of -90 degrees.
    angle = math.degrees(math.atan2(-2 * both + 0.0, rows - columns)) / 2
    along, across = (_WIDTH_OF_ONE_DEVIATION * math.sqrt(max(mean + sign * half, 0.0)) for sign in (1, -1))
    return along, across, angle


@lru_cache(maxsize=32)
def _beam(along: float, across: float, angle: float) -> Tensor:
    """Return the mean of a Gaussian beam over each cell, (kh, kw)."""
    rows, both, columns = beam_covariance(max(along, _LEAST), max(across, _LEAST), angle)
    sides = [2 * math.floor(_REACH * math.sqrt(variance) + 0.5) + 1 for variance in (rows, columns)]
    places = (torch.arange(_PLACES, dtype=torch.float64) + 0.5) / _PLACES - 0.5
    down, right = ((torch.arange(side) - side // 2)[:, None] + places for side in sides)
    down, right = down[:, None, :, None], right[None, :, None, :]
    determinant = rows * columns - both**2
    power = (columns * down**2 - 2 * both * down * right + rows * right**2) / determinant
    weights = torch.exp(-power / 2).mean((2, 3))
    return weights / weights.sum()
