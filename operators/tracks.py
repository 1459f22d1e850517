"""Ground tracks: an altimeter measures only below the satellite."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from geogan.operators.errors import InputError
from geogan.operators.lengths import grid_angle
from geogan.operators.operator import CellSize, Observation, Operator, Theta, dated_generator, masked
from geogan.operators.orbits import KM_A_DEGREE, Orbit, track_angle
from geogan.operators.parameters import check_parameters
from geogan.operators.strips import lean, strip_turns


@dataclass(frozen=True)
class Tracks(Operator):
    """Observe one cell of each row along straight ground tracks, ascending and descending, as nadir altimeters do.

    A satellite in a repeat orbit flies the same parallel tracks again after some frames; in each frame it flies those
    that lie ``spacing * repeat`` cells apart. Tracks of consecutive frames are far from each other, as those of real
    orbits: the next frame has the tracks ``stride`` places further on.

    ``tracks:orbit=jason`` takes repeat, distance and angle of the tracks from an orbit of `geogan.operators.orbits`, at
    the mean latitude of the field and for frames of a day.

    Parameters
    ----------
    spacing : float
        Distance along a row between neighbouring tracks of the whole cycle, in cells.
    repeat : int
        Frames of a cycle.
    angle : float
        Angle of ascending tracks from the columns, in degrees from 0 to 80; descending tracks have the opposite one.
    satellites : int
        Number of satellites, with tracks at independent positions.

    Raises
    ------
    InputError
        If a parameter is out of its range, or tracks of one frame are less than two cells apart.

    Examples
    --------
    The tracks of a cycle of ten dates are two cells apart; a date has two of twenty cells of a row, one of each kind:

    >>> import torch
    >>> tracks = Tracks(spacing=2, repeat=10, angle=0, satellites=1)
    >>> dates = [tracks.at((1, 20), float(step), seed=0) for step in range(10)]
    >>> max(int(date.sum()) for date in dates)
    2
    >>> int(torch.cat(dates).any(0).sum()) >= 10
    True
    """

    spacing: float = 4.0
    repeat: int = 5
    angle: float = 25.0
    satellites: int = 2

    lengths: ClassVar[Mapping[str, str]] = {"spacing": "columns"}
    # Whether frames go once round the globe: a property of the grid, not a parameter; see `around`.
    is_periodic: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_parameters(self, "tracks")
        if not 0 < self.spacing < float("inf"):
            raise InputError(f"spacing of tracks must be more than 0, got {self.spacing}; give cells, such as 4")
        for name in ("repeat", "satellites"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise InputError(f"{name} of tracks must be a whole number, 1 or more, got {value}; give 4, say")
        if not 0 <= self.angle <= 80:
            raise InputError(
                f"angle of tracks must lie between 0 and 80 degrees, got {self.angle}; give the angle of ascending "
                "tracks from the columns, such as 25"
            )
        if self.spacing * self.repeat < 2:
            raise InputError(
                f"tracks of one frame lie spacing * repeat = {self.spacing * self.repeat:.3g} cells apart, which hides "
                "hardly anything; give a larger spacing, so that it is 2 or more"
            )

    @property
    def stride(self) -> int:
        """Places between the tracks of consecutive frames: no divisor of ``repeat``, and near 0.38 of it."""
        golden = (3 - math.sqrt(5)) / 2
        coprime = [number for number in range(1, self.repeat + 1) if math.gcd(number, self.repeat) == 1]
        return min(coprime, key=lambda number: abs(number - golden * self.repeat))

    def sample(self, shape: tuple[int, int, int, int, int], *, generator: torch.Generator) -> Theta:
        """Draw the tracks: a boolean tensor (B, T, 1, H, W), True where observed."""
        batch, frames, _, height, width = shape
        offset = torch.rand((batch, 1, self._passes), generator=generator, device=generator.device).double()
        moved = torch.arange(frames, device=generator.device) * self.stride % self.repeat / self.repeat
        return self._seen((height, width), offset + moved[:, None])

    def apply(self, x: Tensor, theta: Theta) -> Observation:
        """Return ``x`` along the tracks, 0 elsewhere; shapes (B, T, C, H, W)."""
        assert isinstance(theta, Tensor)
        return masked(x, theta)

    def at(self, size: tuple[int, int], step: float, *, seed: int, channels: int = 1) -> Theta:
        """Return the tracks of one date of the cycle."""
        offset = torch.rand((1, 1, self._passes), generator=dated_generator(seed)).double()
        return self._seen(size, offset + math.floor(step) * self.stride % self.repeat / self.repeat)

    def on_orbit(self, orbit: Orbit, cells: CellSize, lengths: Mapping[str, float]) -> tuple[Self, dict[str, float]]:
        """Return the tracks of a repeat orbit at the latitude of a grid, and their distance along a row in km.

        Frames are dates: those of one turn of the Earth.
        """
        assert cells.latitude is not None
        step = 360 / orbit.revolutions * KM_A_DEGREE * math.cos(math.radians(cells.latitude))
        angle = abs(track_angle(orbit, cells.latitude))
        return replace(self, repeat=orbit.days, angle=angle), {"spacing": step}

    def in_cells(self, lengths: Mapping[str, float], cells: CellSize) -> Self:
        """Return the strips with lengths in km, and their angle on the ground."""
        angle = grid_angle(self.angle, rows=cells.rows, columns=cells.columns)
        return replace(super().in_cells(lengths, cells), angle=angle)

    def around(self, is_periodic: bool) -> Self:
        """Return the same tracks for frames that go once round the globe, where they meet at the seam, or do not."""
        kind: Any = RoundTracks if is_periodic else Tracks
        return self if self.is_periodic == is_periodic else kind(**asdict(self))

    @property
    def _passes(self) -> int:
        """Ascending and descending passes of all satellites."""
        return 2 * self.satellites

    def _seen(self, size: tuple[int, int], offset: Tensor) -> Tensor:
        """Return the cells on tracks at some offsets (B, T, passes), counted in distances between tracks of a frame."""
        pitch = self.spacing * self.repeat
        columns = 1 / (min(pitch, size[1]) if self.is_periodic else pitch)
        if self.is_periodic:
            columns = round(columns * size[1]) / size[1]
        seen = torch.zeros((*offset.shape[:2], *size), dtype=torch.bool, device=offset.device)
        for number in range(self._passes):
            rows = lean(self.angle if number % 2 else -self.angle) / pitch
            turns = strip_turns(size, rows=rows, columns=columns, device=offset.device)
            # One cell of a row is nearest to a track.
            seen |= (turns + offset[..., number, None, None]) % 1 < columns
        return seen[:, :, None]


@dataclass(frozen=True)
class RoundTracks(Tracks):
    """:class:`Tracks` for frames whose last column is the neighbour of the first.

    Examples
    --------
    >>> Tracks(spacing=3).around(True).around(False)
    Tracks(spacing=3, repeat=5, angle=25.0, satellites=2)
    """

    is_periodic: ClassVar[bool] = True
