"""Convolve-Noise: a mean filter, then Gaussian noise."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from geogan.operators.errors import InputError
from geogan.operators.operator import Observation, Operator, Theta, dated_generator
from geogan.operators.parameters import check_parameters


@dataclass(frozen=True)
class ConvolveNoise(Operator):
    """Blur each frame and channel with a mean filter, then add noise: ``F(x; theta) = k * x + theta`` (section 4.2).

    The noise is theta: it is drawn in `sample` and added in `apply`, so ``y_hat`` and ``F(G(y_hat); theta)`` have the
    same noise, which cancels in the likelihood term. Nothing is hidden: the mask is 1 everywhere. At the border the
    mean is over the cells inside the frame (count-normalised), so that a constant field stays constant.

    Parameters
    ----------
    l : int
        Side of the filter in cells, odd; 1 does not blur.
    sigma : float
        Standard deviation of the noise, in units of the standardised anomaly. The paper writes sigma**2 for the
        variance and quotes the pairs (sigma, l) = (0.15, 3) and (0.3, 5); they are read as standard deviations.

    Raises
    ------
    InputError
        If ``l`` is not an odd whole number, or ``sigma`` is negative or not finite.

    Examples
    --------
    >>> import torch
    >>> operator = ConvolveNoise(l=3, sigma=0.0)
    >>> x = torch.zeros(1, 1, 1, 1, 5)
    >>> x[..., 2] = 3.0
    >>> operator.apply(x, ()).values.flatten().tolist()
    [0.0, 1.0, 1.0, 1.0, 0.0]
    """

    l: int = 3  # noqa: E741, the paper's name
    sigma: float = 0.15

    # Whether frames go once round the globe: a property of the grid, not a parameter; see `around`.
    is_periodic: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_parameters(self, "convolve_noise")
        if not isinstance(self.l, int) or self.l < 1 or self.l % 2 == 0:
            raise InputError(
                f"l of convolve_noise must be an odd whole number, got {self.l}; give 1, 3, 5 or more cells"
            )
        if not 0 <= self.sigma < float("inf"):
            raise InputError(
                f"sigma of convolve_noise must be 0 or more, got {self.sigma}; give a standard deviation such as 0.15"
            )

    @property
    def noise(self) -> float:
        """Standard deviation of the noise, ``sigma``."""
        return self.sigma

    @property
    def masks(self) -> bool:
        """False: every cell is observed."""
        return False

    @property
    def blurs(self) -> bool:
        """Whether the filter is wider than one cell."""
        return self.l > 1

    def sample(self, shape: tuple[int, int, int, int, int], *, generator: torch.Generator) -> Theta:
        """Draw the noise, (B, T, C, H, W), in units of the standardised anomaly; ``()`` if ``sigma`` is 0."""
        if self.sigma == 0:
            return ()
        return self.sigma * torch.randn(shape, generator=generator, device=generator.device)

    def apply(self, x: Tensor, theta: Theta) -> Observation:
        """Return ``x`` filtered plus the noise ``theta`` (none for ``()``), and a mask of ones; (B, T, C, H, W)."""
        values = self.blur(x)
        if isinstance(theta, Tensor):
            values = values + theta.to(x)
        return Observation(values, torch.ones_like(x))

    def blur(self, x: Tensor) -> Tensor:
        """Return ``x`` filtered, shape (B, T, C, H, W)."""
        rim = self.l // 2 if self.is_periodic else 0
        columns = torch.arange(-rim, x.shape[-1] + rim, device=x.device) % x.shape[-1]
        frames = (x[..., columns] if rim else x).reshape(-1, 1, x.shape[-2], len(columns))
        blurred = avg_pool2d(frames, self.l, stride=1, padding=self.l // 2, count_include_pad=False)
        return blurred[..., rim : rim + x.shape[-1]].reshape(x.shape)

    def at(self, size: tuple[int, int], step: float, *, seed: int, channels: int = 1) -> Theta:
        """Return the noise of one date."""
        # A stream of its own: the noise must not depend on clouds that are drawn with the same seed.
        return self.sample((1, 1, channels, *size), generator=dated_generator(seed, step, 1.0))

    def point_spread(self) -> Tensor | None:
        """Return the weights of the filter, (l, l); None if it does not blur."""
        return torch.full((self.l, self.l), 1 / self.l**2, dtype=torch.float64) if self.blurs else None

    def without_noise(self) -> Self:
        """Return the filter alone."""
        return replace(self, sigma=0.0)

    def around(self, is_periodic: bool) -> Self:
        """Return the same filter for frames that go once round the globe, where it crosses the seam, or do not."""
        kind: Any = RoundConvolveNoise if is_periodic else ConvolveNoise
        return self if self.is_periodic == is_periodic else kind(self.l, self.sigma)


@dataclass(frozen=True)
class RoundConvolveNoise(ConvolveNoise):
    """:class:`ConvolveNoise` for frames whose last column is the neighbour of the first.

    Examples
    --------
    >>> x = torch.zeros(1, 1, 1, 1, 5)
    >>> x[..., 0] = 3.0
    >>> ConvolveNoise(l=3, sigma=0.0).around(True).apply(x, ()).values.flatten().tolist()
    [1.0, 1.0, 0.0, 0.0, 1.0]
    """

    is_periodic: ClassVar[bool] = True
