"""Remove-Pixel: single pixels that go missing at random."""

from dataclasses import dataclass

import torch
from torch import Tensor

from geogan.operators.errors import InputError
from geogan.operators.operator import Observation, Operator, Theta, masked


@dataclass(frozen=True)
class RemovePixel(Operator):
    """Hide a random fraction of the pixels, in all channels at once (section 4.2 of the paper).

    Each pixel of each frame is hidden independently of all others, so the hidden share of one frame
    scatters around ``fraction`` as counts do.

    Parameters
    ----------
    fraction : float
        Probability that a pixel is hidden, in [0, 1).

    Raises
    ------
    InputError
        If ``fraction`` is not in [0, 1).

    Examples
    --------
    >>> import torch
    >>> operator = RemovePixel(fraction=0.9)
    >>> theta = operator.sample((1, 1, 3, 100, 80), generator=torch.Generator().manual_seed(0))
    >>> observation = operator.apply(torch.ones(1, 1, 3, 100, 80), theta)
    >>> round(float(observation.mask.mean()), 1)
    0.1
    """

    fraction: float = 0.9

    def __post_init__(self) -> None:
        if not 0 <= self.fraction < 1:
            raise InputError(
                f"fraction of remove_pixel must lie in [0, 1), got {self.fraction}; give the share of the "
                "pixels "
                "to hide, such as 0.9"
            )

    def sample(self, shape: tuple[int, int, int, int, int], *, generator: torch.Generator) -> Theta:
        """Draw which pixels are seen: a boolean tensor (B, T, 1, H, W), True where observed."""
        frames, height_width = shape[:2], shape[3:]
        return torch.rand((*frames, 1, *height_width), generator=generator, device=generator.device) >= self.fraction

    def apply(self, x: Tensor, theta: Theta) -> Observation:
        """``x`` with the hidden pixels set to 0; shapes (B, T, C, H, W)."""
        assert isinstance(theta, Tensor)
        return masked(x, theta)
