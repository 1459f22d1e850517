"""Sun glint: a strip of columns in which a sensor sees the sun instead of the sea."""

from dataclasses import dataclass

import torch
from torch import Tensor

from geogan.operators import InputError, Observation, Operator, Theta


@dataclass(frozen=True)
class Glint(Operator):
    """Hide a strip of columns at a random place of each frame.

    Parameters
    ----------
    width : float
        Share of the columns that the strip hides, in (0, 1).

    Raises
    ------
    InputError
        If ``width`` is not in (0, 1).
    """

    width: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.width < 1:
            raise InputError(f"width of glint must lie in (0, 1), got {self.width}; give a share such as 0.2")

    def sample(self, shape: tuple[int, int, int, int, int], *, generator: torch.Generator) -> Theta:
        """Draw the first column of each strip, a tensor (B, T), in columns."""
        batch, frames, _, _, columns = shape
        return torch.rand((batch, frames), generator=generator, device=generator.device) * columns

    def apply(self, x: Tensor, theta: Theta) -> Observation:
        """Return ``x`` without the columns of the strip; shapes (B, T, C, H, W)."""
        assert isinstance(theta, Tensor)
        columns = torch.arange(x.shape[-1], device=x.device)
        first = theta.to(x.device)[..., None]
        # The strip continues at the other side.
        hidden = (columns - first) % x.shape[-1] < self.width * x.shape[-1]
        seen = ~hidden[:, :, None, None, :].expand(x.shape)
        return Observation(torch.where(seen, x, torch.zeros_like(x)), seen.to(x.dtype))
