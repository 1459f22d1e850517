"""Dense networks for frames of one size: every cell affects every cell."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from geogan.model.networks.discriminator import check_frame

# Units of a dense layer for each channel of the setting ``width``.
UNITS = 16


class DenseGenerator(nn.Module):
    """Reconstruct a window by dense layers over all its cells: three residual layers of ``16 * width`` units.

    Where one pixel in ten is observed, a window of a few cells holds none, and convolutions learn a flat fill. Dense
    layers see all observed pixels at once. The number of weights grows with the square of the number of cells, so the
    network is for small images, and serves frames of one size only.

    Parameters
    ----------
    frames : int
        Frames of a window.
    channels : int
        Bands of the field.
    width : int
        A sixteenth of the units of a layer.
    size : sequence of int
        Height and width of a window, in cells.
    skip : {"guess", "measurement"}
        Tensor that the correction is added to, as in :class:`~geogan.model.networks.UNet`.
    bounded : bool
        Whether the field lies between -1 and 1: the result is clipped in evaluation mode.
    noise : {"none"}
    extras : int
        Channels of covariates.

    Examples
    --------
    >>> network = DenseGenerator(frames=1, channels=1, width=2, size=(8, 8))
    >>> y = torch.randn(2, 1, 1, 8, 8)
    >>> network(y, torch.ones_like(y), torch.zeros_like(y), torch.ones(2, 1, 1, 8, 8)).shape
    torch.Size([2, 1, 1, 8, 8])
    """

    def __init__(
        self,
        *,
        frames: int,
        channels: int = 1,
        width: int = 32,
        size: Sequence[int],
        skip: str = "guess",
        bounded: bool = False,
        noise: str = "none",
        extras: int = 0,
    ) -> None:
        super().__init__()
        self.frames, self.channels, self.width, self.noise, self.extras = frames, channels, width, noise, extras
        self.size, self.skip, self.bounded = (size[0], size[1]), skip, bounded
        cells, units = size[0] * size[1], UNITS * width
        self.enter = nn.Linear((2 * frames * channels + extras) * cells, units)
        self.layers = nn.ModuleList([nn.Linear(units, units) for _ in range(3)])
        self.leave = nn.Linear(units, frames * channels * cells)
        with torch.no_grad():
            self.leave.weight.mul_(0.3)
        # All cells of a frame affect each other.
        self.reach = max(self.size)
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
        """Return the reconstruction of every frame of the window, (B, T, C, H, W).

        Raises
        ------
        InputError
            If the frames have another size.
        """
        check_frame(values, self.size)
        parts = [(values - guess) * mask / self.scale, mask] + ([] if extra is None else [extra])
        features = silu(self.enter(torch.cat([part.flatten(1) for part in parts], 1)))
        for layer in self.layers:
            features = features + silu(layer(features))
        correction = self.leave(features).to(values.dtype).view_as(values) * self.scale
        field = (values * mask if self.skip == "measurement" else guess) + correction * domain
        return field.clamp(-1, 1) if self.bounded and not self.training else field


class DenseDiscriminator(nn.Module):
    """Score whether a measurement is real by dense layers over the values and the mask of all cells.

    Parameters
    ----------
    frames, channels : int
        Frames of a window, bands of the field.
    width : int
        A sixteenth of the units of a layer.
    size : (int, int)
        Height and width of a window, in cells.

    Examples
    --------
    >>> network = DenseDiscriminator(frames=1, channels=1, width=2, size=(8, 8))
    >>> y = torch.randn(2, 1, 1, 8, 8)
    >>> network(y, torch.ones_like(y)).shape
    torch.Size([2])
    """

    def __init__(self, *, frames: int, channels: int = 1, width: int = 32, size: tuple[int, int]) -> None:
        super().__init__()
        self.frames, self.channels, self.width, self.size = frames, channels, width, size
        inputs, units = 2 * frames * channels * size[0] * size[1], UNITS * width
        self.layers = nn.Sequential(
            nn.Linear(inputs, units), nn.LeakyReLU(0.2), nn.Linear(units, units), nn.LeakyReLU(0.2), nn.Linear(units, 1)
        )

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """Return the scores, shape (B,), of measurements of shape (B, T, C, H, W).

        Raises
        ------
        InputError
            If the frames have another size.
        """
        check_frame(values, self.size)
        return self.layers(torch.cat([values.flatten(1), mask.flatten(1)], 1)).squeeze(-1).float()
