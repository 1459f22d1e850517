"""Convolve-Noise: a mean filter, then Gaussian noise."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from geogan.operators.errors import InputError
from geogan.operators.operator import Observation, Operator, Theta


@dataclass(frozen=True)
class ConvolveNoise(Operator):
    """Blur each frame and channel with a mean filter, then add noise (section 4.2 of the paper).

    Nothing is hidden: the mask is 1 everywhere. At the border the mean is taken over the cells that
    exist (count-normalised), so that a constant field stays constant and no value is invented outside.

    Parameters
    ----------
    size : int
        Side of the filter in cells, odd; 1 does not blur.
    noise : float
        Standard deviation of the noise, in units of the standardised anomaly. The paper's pairs
        (sigma, l) are (``noise``, ``size``); its sigma**2 is the variance.

    Raises
    ------
    InputError
        If ``size`` is not an odd whole number, or ``noise`` is negative or not finite.

    Examples
    --------
    >>> import torch
    >>> operator = ConvolveNoise(size=3, noise=0.0)
    >>> x = torch.zeros(1, 1, 1, 1, 5)
    >>> x[..., 2] = 3.0
    >>> operator.apply(x, ()).values.flatten().tolist()
    [0.0, 1.0, 1.0, 1.0, 0.0]
    """

    size: int = 3
    noise: float = 0.15

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or self.size < 1 or self.size % 2 == 0:
            raise InputError(
                f"size of convolve_noise must be an odd whole number, got {self.size}; give 1, 3, 5 or more cells"
            )
        if not 0 <= self.noise < float("inf"):
            raise InputError(
                f"noise of convolve_noise must be 0 or more, got {self.noise}; give a standard deviation such as 0.15"
            )

    @property
    def masks(self) -> bool:
        """False: every cell is seen."""
        return False

    @property
    def blurs(self) -> bool:
        """True for a filter wider than a cell."""
        return self.size > 1

    def sample(self, shape: tuple[int, int, int, int, int], *, generator: torch.Generator) -> Theta:
        """Nothing is random before the noise: ``()``."""
        return ()

    def apply(self, x: Tensor, theta: Theta) -> Observation:
        """``x`` filtered, and a mask of ones; shapes (B, T, C, H, W)."""
        return Observation(self.blur(x), torch.ones_like(x))

    def blur(self, x: Tensor) -> Tensor:
        """``x`` filtered, shape (B, T, C, H, W)."""
        frames = x.reshape(-1, 1, *x.shape[-2:])
        blurred = avg_pool2d(frames, self.size, stride=1, padding=self.size // 2, count_include_pad=False)
        return blurred.reshape(x.shape)
