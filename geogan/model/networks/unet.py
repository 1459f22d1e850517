"""The default generator: a light U-Net over a window of frames."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from geogan.model.networks.attention import WINDOW, SelfAttention
from geogan.operators.errors import InputError

UNetSkip = Literal["guess", "measurement"]


def doubled(x: Tensor) -> Tensor:
    """Return cells half as large, (B, C, H, W) to (B, C, 2 H, 2 W), in the same precision."""
    # On an accelerator autocast would make this operation float32, and all operations after it.
    with torch.autocast(x.device.type, enabled=False):
        return interpolate(x, scale_factor=2, mode="nearest")


class ResidualBlock(nn.Module):
    """Compute ``x + conv(silu(conv(silu(x))))``; the last convolution starts at 0.

    There is no normalisation over space, because a cell must not depend on the tile in which it is computed.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Return a field of the shape of ``x``, (B, width, H, W)."""
        silu = nn.functional.silu
        return x + self.second(silu(self.first(silu(x))))


class UNet(nn.Module):
    """Reconstruct a window: the first guess plus a learned correction.

    Parameters
    ----------
    frames : int
        Frames of a window.
    channels : int
        Bands of the field.
    width : int
        Channels at full resolution; twice and three times as many at half and quarter resolution.
    noise : {"none", "posterior", "white"}
        Input that makes ensemble members differ: none; deviations of the Gaussian posterior from the first guess, which
        are added to it; or white noise, if there is no first guess.
    extras : int
        Channels of covariates.
    skip : {"guess", "measurement"}
        Tensor that the correction is added to: the first guess (zeros for none), or the measurement, as in the paper
        if it lacks only a band or is blurred.
    bounded : bool
        Whether the field lies between -1 and 1, as images do, and there is no first guess: the correction passes
        through tanh, and in evaluation mode the sum is clipped.
    attention : bool
        Whether self-attention follows the blocks at quarter resolution: where few cells are observed, a window of a
        few cells holds none of them. It starts as the identity.

    Raises
    ------
    InputError
        If ``skip`` is something else.

    Examples
    --------
    An untrained network returns the first guess:

    >>> network = UNet(frames=3, channels=1, width=8)
    >>> x = torch.randn(2, 3, 1, 10, 14)
    >>> guess = torch.randn(2, 3, 1, 10, 14)
    >>> bool((network(x, torch.ones_like(x), guess, torch.ones(2, 1, 1, 10, 14)) == guess).all())
    True
    """

    def __init__(
        self,
        *,
        frames: int,
        channels: int = 1,
        width: int = 32,
        noise: str = "none",
        extras: int = 0,
        skip: UNetSkip = "guess",
        bounded: bool = False,
        attention: bool = False,
    ) -> None:
        super().__init__()
        if skip not in get_args(UNetSkip):
            raise InputError(f"skip must be one of {', '.join(get_args(UNetSkip))}, got {skip!r}; choose one")
        self.frames, self.channels, self.width, self.noise, self.extras = frames, channels, width, noise, extras
        self.skip, self.bounded, self.attention = skip, bounded, attention
        # Distance in cells over which an input affects an output: 1 + 2 + 2 * 2 + 4 * 4 + 2 * 2 + 2 + 1 through the
        # convolutions, and 3 more for a cell that is not the first (or last) of the four cells of a coarsest cell.
        self.reach = 33 + (4 * (WINDOW - 1) if attention else 0)
        inputs = (3 if noise == "none" else 4) * frames * channels + 1 + extras
        self.enter = nn.Conv2d(inputs, width, 3, padding=1)
        self.down_full = ResidualBlock(width)
        self.to_half = nn.Conv2d(width, 2 * width, 2, stride=2)
        self.down_half = ResidualBlock(2 * width)
        self.to_quarter = nn.Conv2d(2 * width, 3 * width, 2, stride=2)
        self.quarter = nn.Sequential(ResidualBlock(3 * width), ResidualBlock(3 * width))
        if attention:
            self.quarter.append(SelfAttention(3 * width))
        self.from_quarter = nn.Conv2d(3 * width, 2 * width, 1)
        self.up_half = ResidualBlock(2 * width)
        self.from_half = nn.Conv2d(2 * width, width, 1)
        self.up_full = ResidualBlock(width)
        self.leave = nn.Conv2d(width, frames * channels, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]
        # Unit of the innovations (input) and of the corrections (output); set before training.
        self.register_buffer("scale", torch.ones(()))
        self.scale: Tensor

    def forward(
        self,
        values: Tensor,
        mask: Tensor,
        guess: Tensor,
        domain: Tensor,
        noise: Tensor | None = None,
        extra: Tensor | None = None,
    ) -> Tensor:
        """Return the reconstruction of every frame of the window.

        Parameters
        ----------
        values, mask, guess : Tensor, shape (B, T, C, H, W)
            Observations (0 in gaps), mask (1 = observed), and first guess (zeros for none).
        domain : Tensor, shape (B, 1, 1, H, W)
            1 where the field exists.
        noise : Tensor, shape (B, T, C, H, W), optional
            Noise of the member; by default zeros, the centre of all members.
        extra : Tensor, shape (B, K, H, W), optional
            Covariates, ``extras`` of them.

        Returns
        -------
        field : Tensor, shape (B, T, C, H, W)
        """
        shape = guess.shape
        innovation = (values - guess) * mask / self.scale
        parts = [innovation, mask, guess]
        if self.noise != "none":
            noise = torch.zeros_like(guess) if noise is None else noise
            parts.append(noise / self.scale if self.noise == "posterior" else noise)
        stack = torch.cat([part.flatten(1, 2) for part in (*parts, domain)] + ([] if extra is None else [extra]), 1)
        height, width = shape[-2:]
        stack = pad(stack, (0, -width % 4, 0, -height % 4))
        stack = stack.contiguous(memory_format=torch.channels_last)
        full = self.down_full(self.enter(stack))
        half = self.down_half(self.to_half(full))
        quarter = self.quarter(self.to_quarter(half))
        half = self.up_half(half + doubled(self.from_quarter(quarter)))
        full = self.up_full(full + doubled(self.from_half(half)))
        # No activation here: the path from the first to the last layer without any cannot die. With an activation,
        # heavy-tailed data would drive all channels below zero, and learning would stop (docs/experiments.md).
        correction = self.leave(full)[..., :height, :width]
        correction = correction.to(guess.dtype) * self.scale
        if self.noise == "posterior" and noise is not None:
            guess = guess + noise
        if self.bounded:
            correction = correction.tanh()
        base = values * mask if self.skip == "measurement" else guess
        field = base + correction.unflatten(1, shape[1:3]) * domain
        return field.clamp(-1, 1) if self.bounded and not self.training else field
