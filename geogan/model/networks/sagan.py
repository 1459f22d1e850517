"""The networks of the paper, which follow Self-Attention GAN."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, relu

from geogan.model.networks.attention import WINDOW, SelfAttention
from geogan.model.networks.spectral import spectral
from geogan.operators.errors import InputError

Skip = Literal["none", "measurement", "guess"]


class GeneratorBlock(nn.Module):
    """Apply batch norm, ReLU and a spectrally normalised 3 x 3 convolution twice, beside a shortcut.

    The shortcut is a spectrally normalised 1 x 1 convolution if the number of channels changes. Convolutions have no
    bias, because a batch norm follows on every path and would remove it.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first_norm = nn.BatchNorm2d(inputs)
        self.first = spectral(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False))
        self.second_norm = nn.BatchNorm2d(outputs)
        self.second = spectral(nn.Conv2d(outputs, outputs, 3, padding=1, bias=False))
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs:
            self.shortcut = spectral(nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, H, W) for (B, inputs, H, W)."""
        features = self.first(relu(self.first_norm(x)))
        return self.shortcut(x) + self.second(relu(self.second_norm(features)))


class SaganGenerator(nn.Module):
    """Reconstruct a window by the paper's generator: residual blocks and self-attention at full resolution.

    The architecture is that of appendix B of Pajot et al. (ICLR 2019). From the inputs to ``width``, then 16, 8, 4 and
    2 times ``width`` channels, each by a :class:`GeneratorBlock`;
    :class:`~geogan.model.networks.attention.SelfAttention`; a block back to ``width``; batch norm, ReLU, a 3 x 3
    convolution. There is no down-sampling, which degraded the model in the paper.

    With width 32 and three bands without mask it has 5.07 million parameters and takes 42.8 GFLOP for an image of
    64 x 64: 41.5 in convolutions, 1.3 in attention (2.1 with the zeros that its kernel adds).

    Parameters
    ----------
    frames : int
        Frames of a window.
    channels : int
        Bands of the field.
    width : int
        Channels after the first block and before the last layer.
    widths : sequence of int, optional
        Channels of the blocks between the first and the attention; by default 16, 8, 4 and 2 times ``width``.
    show_mask : bool
        Whether mask and domain are inputs beside the values. In the paper they are not.
    bounded : bool
        Whether the field lies between -1 and 1, as images do: the output passes through tanh. Its sum with the
        measurement may lie outside in training mode, where clipping would stop the gradient; in evaluation mode it is
        clipped.
    skip : {"none", "measurement", "guess"}
        Tensor added to the output: none; the measurement, as in the paper if it lacks only a band or is blurred; or
        the first guess, as in :class:`~geogan.model.networks.UNet`: then the correction starts at 0, has no tanh, and
        is 0 outside the domain.
    noise : {"none", "posterior", "white"}
        As in :class:`~geogan.model.networks.UNet`; the paper's generator has none.
    extras : int
        Channels of covariates; the paper's generator has none.

    Attributes
    ----------
    reach : int
        Distance in cells over which an input affects an output. Within 64 x 64 cells all inputs do; on larger fields
        the windows of the attention start at multiples of 32.
    scale : Tensor, shape ()
        Unit of innovations (input) and corrections (output) of a first guess; not used without one.

    Raises
    ------
    InputError
        If ``skip`` is something else.

    Examples
    --------
    >>> network = SaganGenerator(frames=1, channels=3, width=8, bounded=True)
    >>> y = torch.rand(2, 1, 3, 12, 10)
    >>> network(y, torch.ones_like(y), torch.zeros_like(y), torch.ones(2, 1, 1, 12, 10)).shape
    torch.Size([2, 1, 3, 12, 10])
    """

    def __init__(
        self,
        *,
        frames: int,
        channels: int = 1,
        width: int = 32,
        widths: Sequence[int] | None = None,
        show_mask: bool = True,
        bounded: bool = False,
        skip: Skip = "none",
        noise: str = "none",
        extras: int = 0,
    ) -> None:
        super().__init__()
        if skip not in get_args(Skip):
            raise InputError(f"skip must be one of {', '.join(get_args(Skip))}, got {skip!r}; choose one")
        self.frames, self.channels, self.width = frames, channels, width
        self.widths = (16 * width, 8 * width, 4 * width, 2 * width) if widths is None else tuple(widths)
        self.show_mask, self.bounded, self.skip, self.noise = show_mask, bounded, skip, noise
        self.extras = extras
        film = frames * channels
        inputs = film * (1 + show_mask + (skip == "guess") + (noise != "none")) + show_mask + extras
        sizes = (inputs, width, *self.widths)
        self.blocks = nn.Sequential(*(GeneratorBlock(before, after) for before, after in pairwise(sizes)))
        self.attention = SelfAttention(sizes[-1])
        self.last_block = GeneratorBlock(sizes[-1], width)
        self.norm = nn.BatchNorm2d(width)
        self.leave = nn.Conv2d(width, film, 3, padding=1)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]
        if skip == "guess":
            nn.init.zeros_(self.leave.weight)
        else:
            nn.init.orthogonal_(self.leave.weight)
        # Two cells a block before the attention, whose farthest key is that of a cell at an edge of the field. The
        # layers after it extend the distance only for cells with keys on either side, which is shorter.
        self.reach = 2 * len(self.blocks) + WINDOW - 1
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
            Observations (0 in gaps), mask (1 = observed), and first guess. The mask is used with ``show_mask``, the
            first guess with ``skip="guess"``.
        domain : Tensor, shape (B, 1, 1, H, W)
            1 where the field exists.
        noise : Tensor, shape (B, T, C, H, W), optional
            Noise of the member; by default zeros, the centre of all members.
        extra : Tensor, shape (B, K, H, W), optional
            Covariates, ``extras`` of them.

        Returns
        -------
        field : Tensor, shape (B, T, C, H, W)
            Values outside the domain have no meaning.
        """
        parts = [values]
        if self.skip == "guess":
            parts = [(values - guess) * mask / self.scale if self.show_mask else values, guess]
        if self.noise != "none":
            noise = torch.zeros_like(values) if noise is None else noise
            parts.append(noise / self.scale if self.noise == "posterior" else noise)
        if self.show_mask:
            parts += [mask, domain]
        stack = torch.cat([part.flatten(1, 2) for part in parts] + ([] if extra is None else [extra]), 1)
        stack = stack.contiguous(memory_format=torch.channels_last)
        features = self.last_block(self.attention(self.blocks(stack)))
        field = self.leave(relu(self.norm(features))).to(values.dtype).unflatten(1, values.shape[1:3])
        if self.skip == "guess":
            field = guess + field * self.scale * domain
            field = field + noise if self.noise == "posterior" and noise is not None else field
        else:
            field = field.tanh() if self.bounded else field
            field = values + field if self.skip == "measurement" else field
        return field.clamp(-1, 1) if self.bounded and not self.training else field


class DiscriminatorBlock(nn.Module):
    """Apply ReLU and a 3 x 3 convolution twice, beside a 1 x 1 shortcut; all are spectrally normalised.

    Parameters
    ----------
    inputs, outputs : int
        Numbers of channels.
    halve : bool
        Whether the result is averaged over 2 x 2 cells.
    raw : bool
        Whether the input is a measurement: a ReLU before the first convolution would lose its negative values.
    """

    def __init__(self, inputs: int, outputs: int, *, halve: bool = True, raw: bool = False) -> None:
        super().__init__()
        self.halve, self.raw = halve, raw
        self.first = spectral(nn.Conv2d(inputs, outputs, 3, padding=1))
        self.second = spectral(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.shortcut = spectral(nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, outputs, H, W), or half of H and W, for (B, inputs, H, W)."""
        features = self.second(relu(self.first(x if self.raw else relu(x))))
        if not self.halve:
            return self.shortcut(x) + features
        # A mean and a 1 x 1 convolution commute; in this order the convolution takes a quarter of the time.
        return self.shortcut(avg_pool2d(x, 2)) + avg_pool2d(features, 2)


class SaganDiscriminator(nn.Module):
    """Score whether a measurement is real or that of a reconstruction, by SAGAN's discriminator.

    Down-sampling residual blocks to ``width`` and twice that, self-attention at a quarter of the resolution, blocks to
    4, 8 and 16 times ``width`` (the last without down-sampling), ReLU, a sum over space, and a spectrally normalised
    linear layer. There is no batch norm, so a score depends on one measurement only.

    With width 32 and three bands without mask it has 4.89 million parameters and takes 0.55 GFLOP for an image of
    64 x 64.

    Parameters
    ----------
    frames, channels : int
        Frames of a window, bands of the field.
    width : int
        Channels after the first block.
    show_mask : bool
        Whether the mask is an input beside the values, so that the values under a gap pattern are judged and not the
        pattern.

    Examples
    --------
    >>> network = SaganDiscriminator(frames=1, channels=3, width=4)
    >>> y = torch.randn(2, 1, 3, 32, 32)
    >>> network(y, torch.ones_like(y)).shape
    torch.Size([2])
    """

    def __init__(self, *, frames: int, channels: int = 1, width: int = 32, show_mask: bool = True) -> None:
        super().__init__()
        self.frames, self.channels, self.width, self.show_mask = frames, channels, width, show_mask
        self.before = nn.Sequential(
            DiscriminatorBlock(frames * channels * (1 + show_mask), width, raw=True),
            DiscriminatorBlock(width, 2 * width),
        )
        self.attention = SelfAttention(2 * width)
        self.after = nn.Sequential(
            DiscriminatorBlock(2 * width, 4 * width),
            DiscriminatorBlock(4 * width, 8 * width),
            DiscriminatorBlock(8 * width, 16 * width, halve=False),
        )
        self.score = spectral(nn.Linear(16 * width, 1))

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """Return the scores, shape (B,), of measurements of shape (B, T, C, H, W), of 16 x 16 cells or more.

        Raises
        ------
        InputError
            If there are fewer cells.
        """
        if min(values.shape[-2:]) < 16:
            raise InputError(
                f"the sagan discriminator needs 16 x 16 cells or more, got {values.shape[-2]} x {values.shape[-1]}; "
                "use larger crops or images, or another discriminator"
            )
        stack = values.flatten(1, 2)
        if self.show_mask:
            stack = torch.cat([stack, mask.flatten(1, 2)], 1)
        features = self.before(stack.contiguous(memory_format=torch.channels_last))
        features = self.after(self.attention(features))
        return self.score(relu(features).sum((-1, -2))).squeeze(-1).float()
