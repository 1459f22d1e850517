"""The interfaces of networks that training and filling use; for type checkers, no class inherits from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from torch import Tensor, nn


class Network(Protocol):
    """The methods of ``torch.nn.Module`` that are used, and the sizes of a network."""

    @property
    def frames(self) -> int:
        """Frames of a window."""

    @property
    def channels(self) -> int:
        """Bands of the field."""

    @property
    def width(self) -> int:
        """Channels of the first layer."""

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """Return the learned tensors."""

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Return the tensors of the state that are not learned."""

    def state_dict(self) -> dict[str, Any]:
        """Return parameters and buffers by name."""

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load parameters and buffers from :meth:`state_dict`."""

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Switch gradients of the parameters on or off."""

    def train(self, mode: bool = True) -> Any:
        """Switch to training mode."""

    def eval(self) -> Any:
        """Switch to evaluation mode."""

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Move the network to a device, or convert its tensors."""


class Generator(Network, Protocol):
    """Reconstruct every frame of a window from its observations."""

    scale: Tensor  # unit of corrections to the first guess

    @property
    def reach(self) -> int:
        """Distance in cells over which an input affects an output."""

    @property
    def extras(self) -> int:
        """Channels of covariates."""

    @property
    def noise(self) -> str:
        """Input that makes ensemble members differ: "none", "posterior" or "white"."""

    def __call__(
        self,
        values: Tensor,
        mask: Tensor,
        guess: Tensor,
        domain: Tensor,
        noise: Tensor | None = None,
        extra: Tensor | None = None,
    ) -> Tensor:
        """Return the reconstruction, shape (B, T, C, H, W).

        Inputs have the same shape, but for the domain (B, 1, 1, H, W) and the covariates (B, K, H, W).
        """


class Critic(Network, Protocol):
    """Score whether measurements are real or those of reconstructions; a positive score means real."""

    def __call__(self, values: Tensor, mask: Tensor) -> Tensor:
        """Return the logits, shape (B,), of measurements of shape (B, T, C, H, W)."""
