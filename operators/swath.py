"""Swaths: an orbiting imager sees strips with gaps between them."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from geogan.operators.errors import InputError
from geogan.operators.lengths import grid_angle
from geogan.operators.operator import CellSize, Observation, Operator, Theta, dated_generator, masked, rounded
from geogan.operators.orbits import KM_A_DEGREE, Orbit, track_angle
from geogan.operators.parameters import check_parameters
from geogan.operators.strips import lean, strip_turns


@dataclass(frozen=True)
class Swath(Operator):
    """Observe parallel strips, as an orbiting imager or radiometer does.

    Strips are straight; their position is random. With ``repeat`` they move by the same distance from each frame to the
    next and are back after that many frames, as those of a repeat orbit; otherwise frames are independent.

    ``swath:orbit=metop,width=1400km`` takes gap, repeat and angle from an orbit of `geogan.operators.orbits`, at the
    mean latitude of the field and for frames of a day; the width is then across the swath.

    Parameters
    ----------
    width : float
        Width of a swath along a row, in cells.
    gap : float
        Width of the gap between two swaths along a row, in cells.
    angle : float
        Angle of the swaths from the columns, in degrees between -80 and 80.
    repeat : float
        Frames after which the swaths are back; 0: the position of each frame is random.

    Raises
    ------
    InputError
        If a width is not positive, the angle is out of its range, or ``repeat`` is negative.

    Examples
    --------
    >>> import torch
    >>> theta = Swath(width=3, gap=2, angle=0).sample((1, 1, 1, 1, 10), generator=torch.Generator().manual_seed(0))
    >>> int(theta.sum())
    6
    """

    width: float = 20.0
    gap: float = 10.0
    angle: float = 10.0
    repeat: float = 0.0

    lengths: ClassVar[Mapping[str, str]] = {"width": "columns", "gap": "columns"}
    # Whether frames go once round the globe: a property of the grid, not a parameter; see `around`.
    is_periodic: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_parameters(self, "swath")
        for name in ("width", "gap"):
            if not 0 < getattr(self, name) < float("inf"):
                raise InputError(
                    f"{name} of swath must be more than 0, got {getattr(self, name)}; give a width in cells, such as 10"
                )
        if not -80 <= self.angle <= 80:
            raise InputError(
                f"angle of swath must lie between -80 and 80 degrees, got {self.angle}; give the angle of the "
                "swaths from the columns, such as 10"
            )
        if not 0 <= self.repeat < float("inf"):
            raise InputError(
                f"repeat of swath must be 0 or more, got {self.repeat}; give the frames after which the swaths are "
                "back, or 0 for independent frames"
            )

    def sample(self, shape: tuple[int, int, int, int, int], *, generator: torch.Generator) -> Theta:
        """Draw the swaths: a boolean tensor (B, T, 1, H, W), True where observed."""
        batch, frames, _, height, width = shape
        drawn = (batch, 1 if self.repeat else frames)
        offset = torch.rand(drawn, generator=generator, device=generator.device, dtype=torch.float64)
        if self.repeat:
            offset = offset + torch.arange(frames, device=generator.device) / self.repeat
        return self._seen((height, width), offset)

    def apply(self, x: Tensor, theta: Theta) -> Observation:
        """Return ``x`` within the swaths, 0 elsewhere; shapes (B, T, C, H, W)."""
        assert isinstance(theta, Tensor)
        return masked(x, theta)

    def at(self, size: tuple[int, int], step: float, *, seed: int, channels: int = 1) -> Theta:
        """Return the swaths of one date; with ``repeat`` they have moved on from those of the date before."""
        generator = dated_generator(seed, *([] if self.repeat else [step]))
        offset = torch.rand((1, 1), generator=generator, dtype=torch.float64)
        return self._seen(size, offset + step / self.repeat if self.repeat else offset)

    def on_orbit(self, orbit: Orbit, cells: CellSize, lengths: Mapping[str, float]) -> tuple[Self, dict[str, float]]:
        """Return the swaths of ascending passes at the latitude of a grid, and their width and gap along a row in km.

        Frames are dates: those of one turn of the Earth. Rows go from north to south; where they go from south to
        north, the swaths are those of descending passes.

        Raises
        ------
        InputError
            If neighbouring swaths touch.
        """
        assert cells.latitude is not None
        angle = track_angle(orbit, cells.latitude)
        width = lengths.get("width", self.width * cells.columns)
        along = width / math.cos(math.radians(angle)) if "width" in lengths else width
        pitch = orbit.equator_step * KM_A_DEGREE * math.cos(math.radians(cells.latitude))
        if along >= pitch:
            raise InputError(
                f"swaths of {width:.4g} km overlap at latitude {cells.latitude:.4g}, where passes are {pitch:.4g} km "
                "apart; give a smaller width, or no swath"
            )
        # Passes of the next date lie between those of this one.
        moved = orbit.per_turn % 1
        repeat = rounded(1 / moved) if moved else 1.0
        return replace(self, angle=angle, repeat=repeat), {"width": along, "gap": pitch - along}

    def in_cells(self, lengths: Mapping[str, float], cells: CellSize) -> Self:
        """Return the strips with lengths in km, and their angle on the ground."""
        angle = grid_angle(self.angle, rows=cells.rows, columns=cells.columns)
        return replace(super().in_cells(lengths, cells), angle=angle)

    def around(self, is_periodic: bool) -> Self:
        """Return the same swaths for frames that go once round the globe, where they meet at the seam, or do not."""
        kind: Any = RoundSwath if is_periodic else Swath
        return self if self.is_periodic == is_periodic else kind(**asdict(self))

    def _seen(self, size: tuple[int, int], offset: Tensor) -> Tensor:
        """Return the cells within swaths at some offsets (B, T), counted in swaths."""
        pitch = self.width + self.gap
        # At least one swath goes round.
        columns = 1 / (min(pitch, size[1]) if self.is_periodic else pitch)
        turns = strip_turns(
            size, rows=lean(self.angle) / pitch, columns=columns, is_periodic=self.is_periodic, device=offset.device
        )
        return (turns + offset[:, :, None, None, None]) % 1 < self.width / pitch


@dataclass(frozen=True)
class RoundSwath(Swath):
    """:class:`Swath` for frames whose last column is the neighbour of the first.

    Examples
    --------
    >>> Swath(width=3, gap=2).around(True).around(False)
    Swath(width=3, gap=2, angle=10.0, repeat=0.0)
    """

    is_periodic: ClassVar[bool] = True
