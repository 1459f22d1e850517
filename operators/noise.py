"""Noise: errors of single cells, and errors that the cells of a scan line share."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, Self

import torch
from torch import Tensor

from geogan.operators.errors import InputError
from geogan.operators.operator import Observation, Operator, Theta, dated_generator
from geogan.operators.parameters import check_parameters


@dataclass(frozen=True)
class Noise(Operator):
    """Add Gaussian errors: white ones, and ones that are correlated along scan lines, which are the rows.

    The noise is theta, as that of `ConvolveNoise`: `sample` draws it and `apply` adds it. Nothing is hidden. Channels
    and frames have independent errors. The Gaussian prior and the error bars count all of the noise as white.

    Parameters
    ----------
    sigma : float
        Standard deviation of the white noise, in units of the standardised anomaly.
    line : float
        Standard deviation of the error of scan lines.
    length : float, optional
        Distance along a scan line, in cells, at which the correlation of its error is 1/e; the correlation is
        exponential. By default all cells of a line have the same error.

    Raises
    ------
    InputError
        If a standard deviation is negative or not finite, or ``length`` is not positive.

    Examples
    --------
    >>> import torch
    >>> theta = Noise(sigma=0.0, line=0.5).sample((1, 1, 1, 200, 4), generator=torch.Generator().manual_seed(0))
    >>> bool((theta == theta[..., :1]).all()), round(float(theta.std()), 1)
    (True, 0.5)
    """

    sigma: float = 0.1
    line: float = 0.0
    length: float | None = None

    lengths: ClassVar[Mapping[str, str]] = {"length": "columns"}

    def __post_init__(self) -> None:
        check_parameters(self, "noise")
        for name in ("sigma", "line"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(
                    f"{name} of noise must be 0 or more, got {getattr(self, name)}; give a standard deviation such as "
                    "0.1"
                )
        if self.length is not None and not 0 < self.length < float("inf"):
            raise InputError(
                f"length of noise must be more than 0, got {self.length}; give cells along a scan line, such as 20"
            )

    @property
    def noise(self) -> float:
        """Standard deviation of both kinds of noise together."""
        return math.hypot(self.sigma, self.line)

    @property
    def masks(self) -> bool:
        """False: every cell is observed."""
        return False

    def sample(self, shape: tuple[int, int, int, int, int], *, generator: torch.Generator) -> Theta:
        """Draw the noise, (B, T, C, H, W), in units of the standardised anomaly; ``()`` if there is none."""
        if self.noise == 0:
            return ()
        device, theta = generator.device, torch.zeros(shape, device=generator.device)
        if self.sigma:
            theta = self.sigma * torch.randn(shape, generator=generator, device=device)
        if self.line and self.length is None:
            theta = theta + self.line * torch.randn((*shape[:-1], 1), generator=generator, device=device)
        elif self.line:
            mixing = _mixing(shape[-1], float(self.length or 0)).to(device)
            theta = theta + self.line * (torch.randn(shape, generator=generator, device=device) @ mixing)
        return theta

    def apply(self, x: Tensor, theta: Theta) -> Observation:
        """Return ``x`` plus the noise ``theta`` (none for ``()``), and a mask of ones; (B, T, C, H, W)."""
        return Observation(x + theta.to(x) if isinstance(theta, Tensor) else x, torch.ones_like(x))

    def at(self, size: tuple[int, int], step: float, *, seed: int, channels: int = 1) -> Theta:
        """Return the noise of one date."""
        # A stream of its own: the noise must not depend on clouds that are drawn with the same seed.
        return self.sample((1, 1, channels, *size), generator=dated_generator(seed, step, 1.0))

    def without_noise(self) -> Self:
        """Return the operator that changes nothing."""
        return replace(self, sigma=0.0, line=0.0)


@lru_cache(maxsize=16)
def _mixing(cells: int, length: float) -> Tensor:
    """Return the matrix that turns white noise in rows into noise of variance 1 with exponential correlation.

    Examples
    --------
    >>> mixing = _mixing(3, 1.0)
    >>> torch.allclose((mixing.T @ mixing)[0], torch.exp(-torch.arange(3.0)))
    True
    """
    memory = math.exp(-1 / length)
    later = torch.arange(cells)[None, :] - torch.arange(cells)[:, None]
    weights = torch.where(later >= 0, memory ** later.clamp(min=0).double(), 0.0)
    weights[1:] *= math.sqrt(1 - memory**2)
    return weights.float()
