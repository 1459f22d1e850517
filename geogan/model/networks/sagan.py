"""The networks of the paper, after Self-Attention GAN."""

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
    """Twice batch norm, ReLU and a spectral-normed 3 x 3 convolution, beside a shortcut.

    The shortcut is a spectral-normed 1 x 1 convolution where the number of channels changes. No convolution has a
    bias: every path from it ends in a batch norm, which would take it out.
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
        """Shape (B, inputs, H, W) to (B, outputs, H, W)."""
        found = self.first(relu(self.first_norm(x)))
        return self.shortcut(x) + self.second(relu(self.second_norm(found)))


class SaganGenerator(nn.Module):
    """Reconstruct a window by the paper's generator: residual blocks and self-attention at full resolution.

    Appendix B of Pajot et al. (ICLR 2019). Inputs, ``width``, then 16, 8, 4 and 2 times ``width`` channels, each by
    a :class:`GeneratorBlock`; :class:`~geogan.model.networks.attention.SelfAttention`; a block back to ``width``; batch
    norm, ReLU, a 3 x 3 convolution. There is no down-sampling: in the paper it degraded the model.

    At width 32, of three bands without their mask, it has 5.07 million parameters and takes 42.8 GFLOP for an image
    of 64 x 64: 41.5 in convolutions, 1.3 in attention (2.1 with the zeros its kernel asks for).

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
        Show mask and domain to the network, beside the values. The paper shows neither.
    bounded : bool
        The field lies between -1 and 1, as images do: what the network says passes through tanh. A sum of that and
        the measurement may still lie beyond while training, where a cut would stop the gradient; in evaluation mode
        it is cut.
    skip : {"none", "measurement", "guess"}
        What is added to what the network says: nothing; the measurement, as the paper does where it is complete but
        for a band, or blurred; or the first guess, as :class:`~geogan.model.networks.UNet` does: the correction then
        starts at 0, has no tanh, and is 0 outside the domain.
    noise : {"none", "posterior", "white"}
        As for :class:`~geogan.model.networks.UNet`; the paper's generator has none.
    extras : int
        Channels of covariates; the paper's generator has none.

    Attributes
    ----------
    reach : int
        Cells from which a cell may be reached. Within 64 x 64 that is all of them; beyond, the attention's windows
        start at multiples of 32.
    scale : Tensor, shape ()
        Unit in which innovations come in and corrections to a first guess go out; unused without one.

    Raises
    ------
    InputError
        When ``skip`` is something else.

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
        # Two cells a block before the attention, whose farthest key is that of a cell at an edge of the field. Cells
        # that the layers after it could go farther from have keys on either side.
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
        """Reconstruction of every frame of the window.

        Parameters
        ----------
        values, mask, guess : Tensor, shape (B, T, C, H, W)
            What was seen (0 in gaps), where (1 = observed), and the first guess. The mask is read where it is shown,
            the guess with ``skip="guess"``; the others do without.
        domain : Tensor, shape (B, 1, 1, H, W)
            1 where the field exists.
        noise : Tensor, shape (B, T, C, H, W), optional
            What makes the member; by default zeros, in the middle of all members.
        extra : Tensor, shape (B, K, H, W), optional
            The ``extras`` covariates.

        Returns
        -------
        field : Tensor, shape (B, T, C, H, W)
            Defined outside the domain too, where it means nothing.
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
    """Twice ReLU and a spectral-normed 3 x 3 convolution, beside a spectral-normed 1 x 1 shortcut.

    Parameters
    ----------
    inputs, outputs : int
    halve : bool
        Average over 2 x 2 cells at the end.
    raw : bool
        The input is a measurement: no ReLU before the first convolution, or its negative half would be lost.
    """

    def __init__(self, inputs: int, outputs: int, *, halve: bool = True, raw: bool = False) -> None:
        super().__init__()
        self.halve, self.raw = halve, raw
        self.first = spectral(nn.Conv2d(inputs, outputs, 3, padding=1))
        self.second = spectral(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.shortcut = spectral(nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """Shape (B, inputs, H, W) to (B, outputs, H, W), or half of H and W."""
        found = self.second(relu(self.first(x if self.raw else relu(x))))
        if not self.halve:
            return self.shortcut(x) + found
        # A mean and a 1 x 1 convolution commute; this way round, it costs a quarter.
        return self.shortcut(avg_pool2d(x, 2)) + avg_pool2d(found, 2)


class SaganDiscriminator(nn.Module):
    """Tell real measurements from measurements of reconstructions by SAGAN's discriminator.

    Down-sampling residual blocks to ``width`` and twice that, self-attention at a quarter of the resolution, blocks
    to 4, 8 and 16 times ``width`` (the last at the resolution it finds), ReLU, a sum over space, a spectral-normed
    linear layer. It has no batch norm: a score depends on its own measurement alone.

    At width 32, of three bands without their mask, it has 4.89 million parameters and takes 0.55 GFLOP for an image
    of 64 x 64.

    Parameters
    ----------
    frames, channels : int
        Frames of a window, bands of the field.
    width : int
        Channels after the first block.
    show_mask : bool
        Show the mask beside the values, so that the values under a pattern of gaps are judged and not the pattern.

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
        """Scores, shape (B,), of measurements of shape (B, T, C, H, W), of 16 x 16 cells or more.

        Raises
        ------
        InputError
            When there are fewer.
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
