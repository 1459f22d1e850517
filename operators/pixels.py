"""Remove-Pixel and Remove-Pixel-Channel: pixels or values hidden at random."""

from dataclasses import dataclass

import torch
from torch import Tensor

from geogan.operators.errors import InputError
from geogan.operators.operator import Observation, Operator, Theta, masked
from geogan.operators.parameters import check_parameters


@dataclass(frozen=True)
class RemovePixel(Operator):
    """Hide a random share of the pixels, in all channels at once (section 4.2 of the paper).

    Each pixel of each frame is hidden independently, so the hidden share of a frame is binomial with mean ``p``.

    Parameters
    ----------
    p : float
        Probability that a pixel is hidden, in [0, 1). The paper uses 0.9 and 0.95.

    Raises
    ------
    InputError
        If ``p`` is not in [0, 1).

    Examples
    --------
    >>> import torch
    >>> operator = RemovePixel(p=0.9)
    >>> theta = operator.sample((1, 1, 3, 100, 80), generator=torch.Generator().manual_seed(0))
    >>> observation = operator.apply(torch.ones(1, 1, 3, 100, 80), theta)
    >>> round(float(observation.mask.mean()), 1)
    0.1
    """

    p: float = 0.9

    def __post_init__(self) -> None:
        check_parameters(self, "remove_pixel")
        _check("remove_pixel", self.p)

    def sample(self, shape: tuple[int, int, int, int, int], *, generator: torch.Generator) -> Theta:
        """Draw the observed pixels: a boolean tensor (B, T, 1, H, W), True where observed."""
        batch, frames, _, height, width = shape
        return _seen((batch, frames, 1, height, width), self.p, generator)

    def apply(self, x: Tensor, theta: Theta) -> Observation:
        """Return ``x`` with the hidden pixels set to 0; shapes (B, T, C, H, W)."""
        assert isinstance(theta, Tensor)
        return masked(x, theta)


@dataclass(frozen=True)
class RemovePixelChannel(Operator):
    """Hide a random share of the values, in each channel independently (section 4.2 of the paper).

    With a single channel it draws the same gaps as `RemovePixel`.

    Parameters
    ----------
    p : float
        Probability that a value is hidden, in [0, 1). The paper uses 0.9 and 0.95.

    Raises
    ------
    InputError
        If ``p`` is not in [0, 1).

    Examples
    --------
    >>> import torch
    >>> operator = RemovePixelChannel(p=0.5)
    >>> mask = operator.sample((1, 1, 3, 100, 80), generator=torch.Generator().manual_seed(0))
    >>> mask.shape, bool((mask[:, :, 0] == mask[:, :, 1]).all())
    (torch.Size([1, 1, 3, 100, 80]), False)
    """

    p: float = 0.9

    def __post_init__(self) -> None:
        check_parameters(self, "remove_pixel_channel")
        _check("remove_pixel_channel", self.p)

    @property
    def channelwise(self) -> bool:
        """True: gaps differ between channels."""
        return True

    def sample(self, shape: tuple[int, int, int, int, int], *, generator: torch.Generator) -> Theta:
        """Draw the observed values: a boolean tensor (B, T, C, H, W), True where observed."""
        return _seen(shape, self.p, generator)

    def apply(self, x: Tensor, theta: Theta) -> Observation:
        """Return ``x`` with the hidden values set to 0; shapes (B, T, C, H, W)."""
        assert isinstance(theta, Tensor)
        return masked(x, theta)


def _seen(shape: tuple[int, ...], p: float, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device) >= p


def _check(name: str, p: float) -> None:
    if not 0 <= p < 1:
        raise InputError(f"p of {name} must lie in [0, 1), got {p}; give the share to hide, such as 0.9")
