"""Discriminators of convolutions over values and mask of a measurement: the default, and one with a dense head."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from geogan.operators.errors import InputError


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


class DenseHeadDiscriminator(nn.Module):
    """Score whether a measurement is real, by convolutions and a dense layer over all cells of their result.

    A 3 x 3 convolution, then 4 x 4 convolutions that halve the resolution and double the channels down to about 4 x 4
    cells, then one dense layer, which knows where in the frame a feature is; the mean of :class:`Discriminator` does
    not. There is no spectral norm: the R1 penalty (``weight_r1``) takes its place. The network serves frames of one
    size only.

    Parameters
    ----------
    frames, channels : int
        Frames of a window, bands of the field.
    width : int
        Half of the channels of the first layer.
    size : (int, int)
        Height and width of a window, in cells.

    Examples
    --------
    >>> network = DenseHeadDiscriminator(frames=1, channels=1, width=4, size=(16, 12))
    >>> y = torch.randn(2, 1, 1, 16, 12)
    >>> network(y, torch.ones_like(y)).shape
    torch.Size([2])
    """

    def __init__(self, *, frames: int, channels: int = 1, width: int = 32, size: tuple[int, int]) -> None:
        super().__init__()
        self.frames, self.channels, self.width, self.size = frames, channels, width, size
        (height, breadth), outputs = size, 2 * width
        layers: list[nn.Module] = [nn.Conv2d(2 * frames * channels, outputs, 3, padding=1), nn.LeakyReLU(0.2)]
        while min(height, breadth) > 4:
            layers += [nn.Conv2d(outputs, 2 * outputs, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
            height, breadth, outputs = height // 2, breadth // 2, 2 * outputs
        self.features = nn.Sequential(*layers)
        self.score = nn.Linear(outputs * height * breadth, 1)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """Return the scores, shape (B,), of measurements of shape (B, T, C, H, W).

        Raises
        ------
        InputError
            If the frames have another size.
        """
        check_frame(values, self.size)
        stack = torch.cat([values.flatten(1, 2), mask.flatten(1, 2)], 1)
        features = self.features(stack.contiguous(memory_format=torch.channels_last))
        return self.score(features.flatten(1)).squeeze(-1).float()


def check_frame(values: Tensor, size: tuple[int, int]) -> None:
    """Refuse frames of another size than that of a network with dense layers.

    Raises
    ------
    InputError
    """
    height, width = values.shape[-2:]
    if (height, width) != tuple(size):
        raise InputError(
            f"this network has dense layers for frames of {size[0]} x {size[1]} cells, got {height} x {width}; give "
            "frames of that size, or train with --generator unet"
        )
