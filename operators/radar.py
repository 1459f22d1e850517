"""Radar sectors: mountains and buildings block beams of a scanning radar."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from geogan.operators.errors import InputError
from geogan.operators.operator import Observation, Operator, Theta, dated_generator, masked
from geogan.operators.parameters import check_parameters


@dataclass(frozen=True)
class RadarSector(Operator):
    """Hide sectors around a radar, whose beams are blocked.

    The radar stands at a random place of the frame, and sectors have random directions; they may overlap.

    Parameters
    ----------
    sectors : int
        Number of blocked sectors.
    width : float
        Width of a sector, in degrees, less than 360.
    reach : float, optional
        Cells farther from the radar are hidden. By default it sees the whole frame.
    fixed : bool
        True: the radar and its sectors are the same in all frames (mountains). False: the radar stays, and sectors are
        drawn for each frame (beams lost in heavy rain).

    Raises
    ------
    InputError
        If a parameter is out of its range.

    Examples
    --------
    >>> import torch
    >>> radar = RadarSector(sectors=1, width=90)
    >>> theta = radar.sample((200, 1, 1, 20, 20), generator=torch.Generator().manual_seed(0))
    >>> bool(0.2 < 1 - theta.float().mean() < 0.3)
    True
    """

    sectors: int = 2
    width: float = 30.0
    reach: float | None = None
    fixed: bool = True

    lengths: ClassVar[Mapping[str, str]] = {"reach": "mean"}
    # Whether frames go once round the globe: a property of the grid, not a parameter; see `around`.
    is_periodic: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_parameters(self, "radar_sector")
        if not isinstance(self.sectors, int) or self.sectors < 0:
            raise InputError(
                f"sectors of radar_sector must be a whole number, 0 or more, got {self.sectors}; give 2, say"
            )
        if not 0 < self.width < 360:
            raise InputError(
                f"width of radar_sector must lie between 0 and 360 degrees, got {self.width}; give the width of a "
                "sector, such as 30"
            )
        if self.reach is not None and not 0 < self.reach < float("inf"):
            raise InputError(
                f"reach of radar_sector must be more than 0, got {self.reach}; give the range of the radar in cells"
            )
        if not self.sectors and self.reach is None:
            raise InputError("radar_sector without sectors and without a reach hides nothing; give sectors=2, say")

    def sample(self, shape: tuple[int, int, int, int, int], *, generator: torch.Generator) -> Theta:
        """Draw the radar and its sectors: a boolean tensor (B, T, 1, H, W), True where observed."""
        batch, frames, _, height, width = shape
        place = self._place(batch, (height, width), generator)
        seen = self._seen(place, (height, width), self._directions(batch, 1 if self.fixed else frames, generator))
        return seen.expand(batch, frames, 1, height, width)

    def apply(self, x: Tensor, theta: Theta) -> Observation:
        """Return ``x`` with blocked sectors set to 0; shapes (B, T, C, H, W)."""
        assert isinstance(theta, Tensor)
        return masked(x, theta)

    def at(self, size: tuple[int, int], step: float, *, seed: int, channels: int = 1) -> Theta:
        """Return the sectors of one date; the radar is the same at all dates, and so are fixed sectors."""
        generator = dated_generator(seed)
        place = self._place(1, size, generator)
        return self._seen(place, size, self._directions(1, 1, generator if self.fixed else dated_generator(seed, step)))

    def around(self, is_periodic: bool) -> Self:
        """Return the same radar for frames that go once round the globe, where it sees across the seam, or do not."""
        kind: Any = RoundRadarSector if is_periodic else RadarSector
        return self if self.is_periodic == is_periodic else kind(**asdict(self))

    def _place(self, batch: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Draw the row and column of the radar of each film, (2, B, 1, 1, 1)."""
        sides = torch.tensor(size, device=generator.device)[:, None, None, None, None]
        return torch.rand((2, batch, 1, 1, 1), generator=generator, device=generator.device) * sides - 0.5

    def _directions(self, batch: int, frames: int, generator: torch.Generator) -> Tensor:
        """Draw the directions of the middles of the sectors, in radians, (sectors, B, T, 1, 1)."""
        shape = (self.sectors, batch, frames, 1, 1)
        return 2 * math.pi * torch.rand(shape, generator=generator, device=generator.device)

    def _seen(self, place: Tensor, size: tuple[int, int], directions: Tensor) -> Tensor:
        """Return the cells that beams reach, (B, T, 1, H, W)."""
        height, width = size
        down = torch.arange(height, device=place.device)[:, None] - place[0]
        right = torch.arange(width, device=place.device) - place[1]
        if self.is_periodic:
            right = (right + width / 2) % width - width / 2
        seen = torch.ones((*directions.shape[1:3], height, width), dtype=torch.bool, device=place.device)
        if self.reach is not None:
            seen &= torch.hypot(down, right) <= self.reach
        angle = torch.atan2(down, right)
        for direction in directions:
            off = ((angle - direction + math.pi) % (2 * math.pi) - math.pi).abs()
            seen &= off >= math.radians(self.width) / 2
        return seen[:, :, None]


@dataclass(frozen=True)
class RoundRadarSector(RadarSector):
    """:class:`RadarSector` for frames whose last column is the neighbour of the first.

    Examples
    --------
    >>> RadarSector(sectors=3).around(True).around(False)
    RadarSector(sectors=3, width=30.0, reach=None, fixed=True)
    """

    is_periodic: ClassVar[bool] = True
