"""What training and filling ask of a network; for type checkers, nothing inherits from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from torch import Tensor, nn


class Network(Protocol):
    """What a network shares with every ``torch.nn.Module``, and the sizes it was built for."""

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
        """What is learned."""

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """What is kept but not learned."""

    def state_dict(self) -> dict[str, Any]:
        """Parameters and buffers by name."""

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Take over what :meth:`state_dict` gave."""

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Whether gradients of the parameters are wanted."""

    def train(self, mode: bool = True) -> Any:
        """As while training."""

    def eval(self) -> Any:
        """As after training."""

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """On another device, or in another format."""


class Generator(Network, Protocol):
    """Reconstructs every frame of a window from what was seen of it."""

    scale: Tensor  # the unit of corrections to the first guess

    @property
    def reach(self) -> int:
        """Cells from which a cell may be reached."""

    @property
    def extras(self) -> int:
        """Channels of covariates."""

    @property
    def noise(self) -> str:
        """What makes its members differ: "none", "posterior" or "white"."""

    def __call__(
        self,
        values: Tensor,
        mask: Tensor,
        guess: Tensor,
        domain: Tensor,
        noise: Tensor | None = None,
        extra: Tensor | None = None,
    ) -> Tensor:
        """Shapes (B, T, C, H, W), the domain's (B, 1, 1, H, W), covariates' (B, K, H, W), to (B, T, C, H, W)."""


class Critic(Network, Protocol):
    """Tells measurements from measurements of reconstructions; a positive score means real."""

    def __call__(self, values: Tensor, mask: Tensor) -> Tensor:
        """Shapes (B, T, C, H, W) to logits of shape (B,)."""
