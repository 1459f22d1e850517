"""The error network: predict the standard deviation of the reconstruction error, learned from withheld observations."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from geogan.model.networks.spread_table import SpreadTable, features
from geogan.model.networks.unet import ResidualBlock
from geogan.prior import ASPECTS


class ErrorNet(nn.Module):
    """Predict the standard deviation of the error of a reconstruction.

    The network works with any generator, and no gradient of its loss reaches the generator. It works at half and
    quarter resolution, from where factors are interpolated linearly, and takes up to half of the default
    generator's time.

    With a Gaussian first guess, the error starts at that of the first guess: the spread of the Gaussian posterior, from
    a :class:`geogan.model.networks.spread_table.SpreadTable`, and the noise of the prior. The network then predicts two
    factors. One corrects the spread of the posterior, learned from exact draws in all cells, also in those where no
    observation could be withheld. The other is the error over the root of the variances of spread and noise, learned
    from withheld observations. Without a first guess the error is one factor of ``scale``.

    Parameters
    ----------
    frames : int
        Frames of a window.
    channels : int
        Bands of the field.
    width : int
        Channels at half resolution; twice as many at quarter resolution.
    extras : int
        Channels of covariates.
    spread : bool
        Whether there is a Gaussian first guess, with a ``table`` of the spread of its posterior.

    Examples
    --------
    Without a first guess, an untrained network predicts the mean error everywhere:

    >>> network = ErrorNet(frames=3, channels=1, width=8)
    >>> x = torch.randn(2, 3, 1, 10, 14)
    >>> std = network(x, torch.ones_like(x), 0 * x, x, torch.ones(2, 1, 1, 10, 14))
    >>> bool((std == 1).all())
    True
    """

    # Distance in cells over which an input affects an output. The first cell of the quarter cell m depends on half
    # cells from 2 m - 3 on (interpolation and two convolutions), these on quarter cells from m - 3 on, or m - 7 with
    # the convolutions there, and these on half cells from 2 m - 16 on, which begin 32 cells away.
    reach = 32

    def __init__(
        self, *, frames: int, channels: int = 1, width: int = 24, extras: int = 0, spread: bool = False
    ) -> None:
        super().__init__()
        self.frames, self.channels, self.width, self.extras, self.spread = frames, channels, width, extras, spread
        self.enter = nn.Conv2d((2 + ASPECTS) * frames * channels + 1 + extras, width, 2, stride=2)
        self.down_half = ResidualBlock(width)
        self.to_quarter = nn.Conv2d(width, 2 * width, 2, stride=2)
        self.quarter = nn.Sequential(ResidualBlock(2 * width), ResidualBlock(2 * width))
        self.from_quarter = nn.Conv2d(2 * width, width, 1)
        self.up_half = ResidualBlock(width)
        self.leave = nn.Conv2d(width, frames * channels * (1 + spread), 1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]
        # Unit of the innovations and corrections (inputs) and of the errors (output); set before training.
        self.register_buffer("scale", torch.ones(()))
        self.scale: Tensor
        # Error of the first guess; set before training.
        self.table = SpreadTable(frames=frames, channels=channels) if spread else None

    def forward(
        self,
        values: Tensor,
        mask: Tensor,
        guess: Tensor,
        reconstruction: Tensor,
        domain: Tensor,
        extra: Tensor | None = None,
        near: Tensor | None = None,
    ) -> Tensor:
        """Return the standard deviation of the reconstruction error in cells without an observation.

        The error is the reconstruction minus what an observation of the cell would hold, without its known error.

        Parameters
        ----------
        values, mask, guess, reconstruction : Tensor, shape (B, T, C, H, W)
            Observations (0 in gaps), mask (1 = observed), first guess (zeros for none), and the generator's
            reconstruction.
        domain : Tensor, shape (B, 1, 1, H, W)
            1 where the field exists.
        extra : Tensor, shape (B, K, H, W), optional
            Covariates, ``extras`` of them.
        near : Tensor, shape (B, T, 3 C, H, W), optional
            :func:`geogan.prior.nearness.nearness` of the mask, which includes dates outside the window; by default the
            mask in all three features.

        Returns
        -------
        std : Tensor, shape (B, T, C, H, W)
            Positive, float32.
        """
        return self.predict(values, mask, guess, reconstruction, domain, extra, near)[0]

    def predict(
        self,
        values: Tensor,
        mask: Tensor,
        guess: Tensor,
        reconstruction: Tensor,
        domain: Tensor,
        extra: Tensor | None = None,
        near: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the result of :meth:`forward`, and the posterior spread on which it is based, or None.

        The factor of the error is learned without changing the spread: no gradient of the first result reaches it.
        """
        innovation = (values - guess) * mask / self.scale
        correction = (reconstruction - guess) / self.scale
        near = mask.repeat(1, 1, ASPECTS, 1, 1) if near is None else near
        parts = [part.flatten(1, 2) for part in (innovation, near, correction, domain)]
        stack = torch.cat(parts + ([] if extra is None else [extra]), 1)
        height, width = stack.shape[-2:]
        stack = pad(stack, (0, -width % 4, 0, -height % 4)).contiguous(memory_format=torch.channels_last)
        half = self.down_half(self.enter(stack))
        quarter = self.quarter(self.to_quarter(half))
        # Coarse cells are interpolated and smoothed: the error would show their edges.
        half = self.up_half(half + _smoothed(_interpolated(self.from_quarter(quarter))))
        logarithm = _interpolated(self.leave(half))[..., :height, :width].float()
        # Within a factor of 150: e^5.
        factors = (5.0 * torch.tanh(logarithm / 5.0)).exp().unflatten(1, (-1, *guess.shape[1:3]))
        if self.table is None:
            return self.scale * factors[:, 0], None
        spread = self.table.posterior(features(near)) * factors[:, 0]
        total = (spread.detach().square() + self.table.noise.square()).sqrt()
        return (total * factors[:, 1]).float(), spread


def _interpolated(x: Tensor) -> Tensor:
    """Return cells half as large, interpolated linearly, (B, C, H, W) to (B, C, 2 H, 2 W), in the same precision."""
    with torch.autocast(x.device.type, enabled=False):
        return interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _smoothed(x: Tensor) -> Tensor:
    """Return means over three cells each way with the weights 1/4, 1/2, 1/4."""
    wide = pad(x, (1, 1, 0, 0), mode="replicate")
    x = 0.25 * (wide[..., :-2] + wide[..., 2:]) + 0.5 * x
    wide = pad(x, (0, 0, 1, 1), mode="replicate")
    return 0.25 * (wide[..., :-2, :] + wide[..., 2:, :]) + 0.5 * x
