"""Stripes: scan lines that an instrument fails to record."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from geogan.operators.errors import InputError
from geogan.operators.lengths import grid_angle
from geogan.operators.operator import CellSize, Observation, Operator, Theta, masked
from geogan.operators.parameters import check_parameters
from geogan.operators.strips import lean, strip_turns


@dataclass(frozen=True)
class Stripes(Operator):
    """Hide parallel stripes, as failed detectors or the scan-line failure of Landsat 7 do.

    The position of the stripes is random in each frame. Wedges open from the middle of the scene, where nothing is
    lost, to its edges, as behind a broken scan-line corrector.

    Parameters
    ----------
    period : float
        Rows from one stripe to the next.
    height : float
        Rows that a stripe hides; the largest number for wedges.
    angle : float
        Angle of the stripes from the rows, in degrees between -80 and 80.
    wedge : float
        Width of a scene in columns, from the edge where wedges are highest over the middle to the other edge; scenes
        are side by side. 0: stripes of constant height.

    Raises
    ------
    InputError
        If ``height`` is not between 0 and ``period``, the angle is out of its range, or ``wedge`` is negative.

    Examples
    --------
    >>> import torch
    >>> theta = Stripes(period=5, height=2).sample((1, 1, 1, 10, 1), generator=torch.Generator().manual_seed(0))
    >>> int(theta.sum())
    6
    """

    period: float = 16.0
    height: float = 6.0
    angle: float = 0.0
    wedge: float = 0.0

    lengths: ClassVar[Mapping[str, str]] = {"period": "rows", "height": "rows", "wedge": "columns"}
    # Whether frames go once round the globe: a property of the grid, not a parameter; see `around`.
    is_periodic: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_parameters(self, "stripes")
        if not 0 < self.period < float("inf"):
            raise InputError(f"period of stripes must be more than 0, got {self.period}; give rows, such as 16")
        if not 0 < self.height < self.period:
            raise InputError(
                f"height of stripes must be more than 0 and less than the period ({self.period}), got {self.height}; "
                f"give rows, such as {self.period / 3:.3g}"
            )
        if not -80 <= self.angle <= 80:
            raise InputError(
                f"angle of stripes must lie between -80 and 80 degrees, got {self.angle}; give the angle of the "
                "stripes from the rows, such as 0"
            )
        if not 0 <= self.wedge < float("inf"):
            raise InputError(
                f"wedge of stripes must be 0 or more, got {self.wedge}; give the width of a scene in columns, or 0 for "
                "stripes of constant height"
            )

    def sample(self, shape: tuple[int, int, int, int, int], *, generator: torch.Generator) -> Theta:
        """Draw the stripes: a boolean tensor (B, T, 1, H, W), True where observed."""
        batch, frames, _, height, width = shape
        # One offset of the stripes and one of the scene for each frame.
        offsets = torch.rand((2, batch, frames, 1, 1, 1), generator=generator, device=generator.device).double()
        slope = lean(self.angle)
        turns = strip_turns(
            (height, width),
            rows=1 / self.period,
            columns=slope / self.period,
            is_periodic=self.is_periodic,
            device=generator.device,
        )
        hidden = torch.as_tensor(self.height / self.period, device=generator.device)
        if self.wedge:
            wedge = min(self.wedge, width) if self.is_periodic else self.wedge
            scenes = strip_turns(
                (height, width),
                rows=-slope / wedge,
                columns=1 / wedge,
                is_periodic=self.is_periodic,
                device=generator.device,
            )
            # From 1 at the edges of a scene to 0 in its middle.
            hidden = hidden * (2 * ((scenes + offsets[1]) % 1) - 1).abs()
        return (turns + offsets[0]) % 1 >= hidden

    def apply(self, x: Tensor, theta: Theta) -> Observation:
        """Return ``x`` with the stripes set to 0; shapes (B, T, C, H, W)."""
        assert isinstance(theta, Tensor)
        return masked(x, theta)

    def in_cells(self, lengths: Mapping[str, float], cells: CellSize) -> Self:
        """Return the stripes with lengths in km, and their angle from the rows on the ground."""
        angle = grid_angle(self.angle, rows=cells.columns, columns=cells.rows)
        return replace(super().in_cells(lengths, cells), angle=angle)

    def around(self, is_periodic: bool) -> Self:
        """Return the same stripes for frames that go once round the globe, where they meet at the seam, or do not."""
        kind: Any = RoundStripes if is_periodic else Stripes
        return self if self.is_periodic == is_periodic else kind(**asdict(self))


@dataclass(frozen=True)
class RoundStripes(Stripes):
    """:class:`Stripes` for frames whose last column is the neighbour of the first.

    Examples
    --------
    >>> Stripes(angle=20).around(True).around(False)
    Stripes(period=16.0, height=6.0, angle=20, wedge=0.0)
    """

    is_periodic: ClassVar[bool] = True
