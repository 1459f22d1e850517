"""The default discriminator: spectrally normalised convolutions over values and mask of a measurement."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class Discriminator(nn.Module):
    """Score whether a measurement is real or that of a reconstruction; a positive score means real.

    The mask is an input beside the values, because 0 is a valid anomaly. With the mask, the discriminator judges the
    values under a gap pattern rather than the pattern itself.

    Parameters
    ----------
    frames, channels : int
        Frames of a window, bands of the field.
    width : int
        Channels of the first layer; doubled twice.

    Examples
    --------
    >>> network = Discriminator(frames=3, channels=1, width=8)
    >>> y = torch.randn(2, 3, 1, 32, 32)
    >>> network(y, torch.ones_like(y)).shape
    torch.Size([2])
    """

    def __init__(self, *, frames: int, channels: int = 1, width: int = 32) -> None:
        super().__init__()
        self.frames, self.channels, self.width = frames, channels, width
        widths = (width, 2 * width, 4 * width)
        layers: list[nn.Module] = []
        inputs = 2 * frames * channels
        for outputs in widths:
            conv = nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)
            nn.init.orthogonal_(conv.weight)
            layers += [spectral_norm(conv), nn.LeakyReLU(0.2)]
            inputs = outputs
        self.features = nn.Sequential(*layers)
        self.score = spectral_norm(nn.Linear(inputs, 1))

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """Return the scores, shape (B,), of measurements of shape (B, T, C, H, W)."""
        stack = torch.cat([values.flatten(1, 2), mask.flatten(1, 2)], 1)
        features = self.features(stack.contiguous(memory_format=torch.channels_last))
        return self.score(features.mean((-1, -2))).squeeze(-1).float()
