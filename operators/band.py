"""Patch-Band: a horizontal band of hidden rows."""

from dataclasses import dataclass

import torch
from torch import Tensor

from geogan.operators.errors import InputError
from geogan.operators.operator import Observation, Operator, Theta, masked
from geogan.operators.parameters import check_parameters


@dataclass(frozen=True)
class PatchBand(Operator):
    """Hide a horizontal band at a random row, in all channels at once (section 4.2 of the paper).

    The band is drawn for each frame independently. Its first row is uniform on 0, ..., H - ``h``, so rows near the
    edges are hidden less often than rows in the middle. A band of more than half of the rows always hides the middle
    ones.

    Parameters
    ----------
    h : int
        Height of the band, in rows: at least 1, and less than the height of the frame. The paper uses 20 of 64.

    Raises
    ------
    InputError
        If ``h`` is not a whole number of at least 1; in `sample`, if the frame is not higher than the band.

    Examples
    --------
    >>> import torch
    >>> mask = PatchBand(h=2).sample((1, 1, 1, 6, 3), generator=torch.Generator().manual_seed(0))
    >>> mask[0, 0, 0].int().tolist()
    [[1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 1, 1], [0, 0, 0], [0, 0, 0]]
    """

    h: int = 20

    def __post_init__(self) -> None:
        check_parameters(self, "patch_band")
        if not isinstance(self.h, int) or self.h < 1:
            raise InputError(f"h of patch_band must be a whole number of rows, 1 or more, got {self.h}; give 20, say")

    def check_shape(self, shape: tuple[int, int, int, int, int]) -> None:
        """Refuse frames that are not higher than the band."""
        height = shape[3]
        if height <= self.h:
            raise InputError(
                f"h of patch_band must be less than the number of rows of the frame ({height}), got {self.h}; "
                f"give {f'a lower band, such as {height // 3 or 1}' if height > 1 else 'larger frames'}"
            )

    def sample(self, shape: tuple[int, int, int, int, int], *, generator: torch.Generator) -> Theta:
        """Draw the bands: a boolean tensor (B, T, 1, H, W), True where observed."""
        self.check_shape(shape)
        batch, frames, _, height, width = shape
        first = torch.randint(
            height - self.h + 1, (batch, frames, 1, 1, 1), generator=generator, device=generator.device
        )
        below = torch.arange(height, device=generator.device)[:, None] - first
        return ((below < 0) | (below >= self.h)).expand(batch, frames, 1, height, width)

    def apply(self, x: Tensor, theta: Theta) -> Observation:
        """Return ``x`` with the rows of the band set to 0; shapes (B, T, C, H, W)."""
        assert isinstance(theta, Tensor)
        return masked(x, theta)
