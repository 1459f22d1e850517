"""Drifters: a few moving platforms, each of which observes one cell."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geogan.operators.errors import InputError
from geogan.operators.operator import Observation, Operator, Theta, dated_generator, masked
from geogan.operators.parameters import check_parameters


@dataclass(frozen=True)
class Drifters(Operator):
    """Observe the cells of drifters, floats or ships, each of which moves on with a velocity of its own.

    Their number is a Poisson variable. Positions are uniform, velocities have an isotropic normal distribution and do
    not change. A drifter that leaves a frame on one side is replaced by one that enters on the other, so that frames at
    any date have equally many.

    Parameters
    ----------
    fraction : float
        Mean share of cells that are observed in a frame, in (0, 1).
    speed : float
        Root mean square speed, in cells a frame; 0: moorings.

    Raises
    ------
    InputError
        If ``fraction`` is not in (0, 1), or ``speed`` is negative.

    Examples
    --------
    >>> import torch
    >>> film = Drifters(fraction=0.1, speed=0.5).sample((1, 8, 1, 40, 50), generator=torch.Generator().manual_seed(0))
    >>> bool(0.05 < film.float().mean() < 0.15)
    True
    """

    fraction: float = 0.02
    speed: float = 1.0

    lengths: ClassVar[Mapping[str, str]] = {"speed": "mean"}

    def __post_init__(self) -> None:
        check_parameters(self, "drifters")
        if not 0 < self.fraction < 1:
            raise InputError(
                f"fraction of drifters must lie in (0, 1), got {self.fraction}; give the share of the cells that are "
                "observed, such as 0.02"
            )
        if not 0 <= self.speed < float("inf"):
            raise InputError(f"speed of drifters must be 0 or more, got {self.speed}; give cells a frame, such as 1")

    def sample(self, shape: tuple[int, int, int, int, int], *, generator: torch.Generator) -> Theta:
        """Draw the drifters of consecutive frames: a boolean tensor (B, T, 1, H, W), True where observed."""
        batch, frames, _, height, width = shape
        return self._seen(batch, (height, width), torch.arange(frames, dtype=torch.float64), generator)

    def apply(self, x: Tensor, theta: Theta) -> Observation:
        """Return ``x`` at the drifters, 0 elsewhere; shapes (B, T, C, H, W)."""
        assert isinstance(theta, Tensor)
        return masked(x, theta)

    def at(self, size: tuple[int, int], step: float, *, seed: int, channels: int = 1) -> Theta:
        """Return the drifters of one date, where their velocities have brought them."""
        return self._seen(1, size, torch.tensor([step], dtype=torch.float64), dated_generator(seed))

    def _seen(self, batch: int, size: tuple[int, int], steps: Tensor, generator: torch.Generator) -> Tensor:
        """Return the cells with drifters after so many frames (T,)."""
        device, cells = generator.device, size[0] * size[1]
        # Drifters in the same cell count once: a cell has none with probability exp(-number / cells).
        number = -math.log1p(-self.fraction) * cells
        counts = torch.poisson(torch.full((batch,), number, device=device), generator=generator)
        most = int(counts.max())
        start = torch.rand((batch, 1, most, 2), generator=generator, device=device, dtype=torch.float64)
        velocity = torch.randn((batch, 1, most, 2), generator=generator, device=device, dtype=torch.float64)
        sides = torch.tensor(size, device=device)
        moved = self.speed / math.sqrt(2) * velocity * steps.to(device)[:, None, None]
        rows, columns = ((start * sides + moved).floor().long() % sides).unbind(-1)
        # Those beyond the number of a film go to one more cell, which is dropped.
        is_there = torch.arange(most, device=device) < counts[:, None, None]
        places = torch.where(is_there, rows * size[1] + columns, cells)
        seen = torch.zeros((batch, len(steps), cells + 1), dtype=torch.bool, device=device)
        return seen.scatter_(2, places, True)[..., :cells].view(batch, len(steps), 1, *size)
