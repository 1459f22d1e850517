"""The error network: predict the standard deviation of the reconstruction error, learned from withheld observations."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, pixel_shuffle

from geogan.model.networks.unet import ResidualBlock, doubled
from geogan.prior import ASPECTS


class ErrorNet(nn.Module):
    """Predict the standard deviation of the error of a reconstruction.

    The network works with any generator, and no gradient of its loss reaches the generator. It works at half and
    quarter resolution and takes a quarter to two fifths of the default generator's time.

    With a Gaussian first guess it predicts two factors: the ``spread`` of the Gaussian posterior, learned from exact
    draws in all cells, also in those where no observation could be withheld; and the error relative to that spread.

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
        Whether it predicts the posterior spread as a separate factor.

    Examples
    --------
    An untrained network predicts the mean error of the first guess everywhere:

    >>> network = ErrorNet(frames=3, channels=1, width=8)
    >>> x = torch.randn(2, 3, 1, 10, 14)
    >>> std = network(x, torch.ones_like(x), 0 * x, x, torch.ones(2, 1, 1, 10, 14))
    >>> bool((std == 1).all())
    True
    """

    # Distance in cells over which an input affects an output: 2 * 2 + 4 * 4 + 2 * 2 through the convolutions, and 3
    # more for a cell that is not the first (or last) of the four cells of a coarsest cell.
    reach = 27

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
        self.leave = nn.Conv2d(width, 4 * frames * channels * (1 + spread), 1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]
        # Unit of the innovations and corrections (inputs) and of the errors (output); set before training.
        self.register_buffer("scale", torch.ones(()))
        self.scale: Tensor

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
        """Return the result of :meth:`forward`, and the posterior spread that is one of its factors, or None.

        The other factor is learned without changing the spread: no gradient of the first result reaches the spread.
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
        half = self.up_half(half + doubled(self.from_quarter(quarter)))
        logarithm = pixel_shuffle(self.leave(half), 2)[..., :height, :width].float()
        # Within a factor of 150 of the scale: e^5.
        factors = (5.0 * torch.tanh(logarithm / 5.0)).exp().unflatten(1, (-1, *guess.shape[1:3]))
        spread = self.scale * factors[:, 0]
        if not self.spread:
            return spread, None
        return spread.detach() * factors[:, 1], spread
