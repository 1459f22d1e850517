"""Deep Image Prior: an untrained network, fitted to the observed cells of one measurement, fills its gaps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d, interpolate, leaky_relu, pad

from geogan.compute.threads import side_by_side
from geogan.evaluation.baselines.arguments import check_maps
from geogan.evaluation.baselines.interface import BaselineInput, DateFiller, fill_each_date
from geogan.operators.errors import InputError
from geogan.operators.operator import dated_generator

# Channels of the fixed input and of the skip connections (32 and 4 in Ulyanov et al.).
INPUTS, SKIPS = 16, 4


@dataclass(frozen=True)
class NetworkFit:
    """Settings of the fit of one network to one measurement.

    Attributes
    ----------
    iterations, patience : int
        Maximum number of iterations, and number of iterations without improvement after which the fit ends.
    held_out : float
        Share of the observed cells that the fit does not use, in [0, 1). With 0 there is no early stopping, and the
        result is the last average.
    width : int
        Channels of every level.
    rate : float
        Learning rate of Adam.
    input_noise : float
        Standard deviation of the noise added to the input in each iteration; the input is uniform in [0, 0.1).

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    iterations: int = 800
    patience: int = 200
    held_out: float = 0.05
    width: int = 32
    rate: float = 0.01
    input_noise: float = 0.1

    def __post_init__(self) -> None:
        if min(self.iterations, self.patience, self.width) < 1:
            raise InputError(
                f"iterations, patience and width must be at least 1, got {self.iterations}, {self.patience} and "
                f"{self.width}; give 800, 200 and 32"
            )
        if not 0 <= self.held_out < 1:
            raise InputError(
                f"held_out must lie in [0, 1), got {self.held_out}; give a small share of the cells, such as 0.05"
            )


def deep_image_prior(
    values: np.ndarray,
    *,
    domain: np.ndarray,
    measure: Callable[[Tensor], Tensor] | None = None,
    noisy: bool = False,
    settings: NetworkFit = NetworkFit(),
    seed: int = 0,
    threads: int | None = None,
    device: torch.device | None = None,
) -> np.ndarray:
    """Fit an untrained encoder-decoder to the observed cells of each measurement (Ulyanov et al., 2018).

    The network maps fixed noise to the map, and its structure fills the gaps. The result is an exponential average of
    the outputs, at the iteration with the smallest error on held-out observed cells. The truth is not used.

    Each measurement has its own network and random numbers, and is fitted independently of the others, one core each:
    grouped convolutions over several measurements are not faster (``docs/experiments.md``).

    Parameters
    ----------
    values : ndarray, shape (T, C, H, W)
        Measurements, NaN in gaps, at least 8 cells along each side; the gaps of the bands may differ.
    domain : ndarray of bool, shape (H, W)
        True where the quantity exists.
    measure : callable, optional
        Noise-free measurement of a map without gaps (the blur of an operator): differentiable, of films
        (B, T, C, H, W) in the unit of ``values``. The fit compares ``measure(x)`` with the measurement. By default
        the identity.
    noisy : bool
        Whether the measurement has noise, so that observed values are not kept.
    settings : NetworkFit
    seed : int
        Measurement i is fitted with random numbers that depend only on ``seed`` and i.
    threads : int, optional
        Measurements fitted at a time; by default one a core.
    device : torch.device, optional

    Returns
    -------
    filled : ndarray, shape (T, C, H, W)
        ``values`` where observed, bit for bit, unless ``noisy`` or with ``measure``; NaN outside the domain and in
        bands of a measurement without any observation. The dtype is that of ``values``.

    Raises
    ------
    InputError
        If the shapes do not fit or the maps are too small.

    Examples
    --------
    >>> y, x = np.mgrid[0:16, 0:16]
    >>> gappy = np.sin(y / 4)[None, None] + np.cos(x / 4)
    >>> gappy[..., 5:8, 6:10] = np.nan
    >>> short = NetworkFit(iterations=30, width=8)
    >>> filled = deep_image_prior(gappy, domain=np.ones((16, 16), bool), settings=short)
    >>> bool(np.isfinite(filled).all())
    True
    """
    check_maps(values, domain, "T, C, H, W")
    if min(domain.shape) < 8:
        raise InputError(f"maps must have at least 8 cells along each side, got {domain.shape}; give larger ones")

    def fill(index: int) -> np.ndarray:
        frame = values[index]
        observed = np.isfinite(frame) & domain
        filled = np.full_like(frame, np.nan)
        has_data = observed.any((1, 2))
        if not has_data.any():
            return filled
        # A band without any observation cannot be fitted.
        fit = _Fit(frame[has_data], observed[has_data], measure, settings, dated_generator(seed, index), device)
        filled[has_data] = np.where(domain, fit.run(), np.nan)
        if measure is None and not noisy:
            filled[observed] = frame[observed]
        return filled

    result = np.empty_like(values)
    for index, filled in enumerate(side_by_side(fill, range(len(values)), threads=threads)):
        result[index] = filled
    return result


def prepare(given: BaselineInput, settings: NetworkFit = NetworkFit()) -> DateFiller:
    """Fit a network to each date to score, and return the function that fills these dates."""
    operator = given.model.operator

    def fill(date: int) -> np.ndarray:
        return deep_image_prior(
            given.anomalies(np.array([date])),
            domain=given.archive.domain,
            measure=None if operator.exact else operator.blur,
            settings=settings,
            # The result of a date does not depend on which other dates are filled.
            seed=date,
            threads=1,
            device=given.device,
        )[0]

    return fill_each_date("deep_image_prior", fill, given)


class _Fit:
    """The fit of one network to one measurement.

    Parameters
    ----------
    frame, observed : ndarray, shape (C, H, W)
        Measurement, and where it is observed; every band has an observation.
    measure : callable, optional
    settings : NetworkFit
    generator : torch.Generator
    device : torch.device, optional
    """

    def __init__(
        self,
        frame: np.ndarray,
        observed: np.ndarray,
        measure: Callable[[Tensor], Tensor] | None,
        settings: NetworkFit,
        generator: torch.Generator,
        device: torch.device | None,
    ) -> None:
        self.measure, self.settings, self.generator, self.device = measure, settings, generator, device
        channels, height, width = frame.shape
        mask = torch.from_numpy(observed).float()
        data = np.where(observed, frame, 0.0).astype("float64")
        level, scale = _level_and_scale(data, observed)
        self.level, self.scale = (torch.from_numpy(part).float()[:, None, None].to(device) for part in (level, scale))
        # A cell is held out in all its bands, because the bands of one cell are correlated.
        hidden = _held_out(mask.any(0), settings.held_out, generator=generator) * mask
        self.y = torch.from_numpy((data - level[:, None, None]) / scale[:, None, None]).float().to(device)
        self.fitted, self.hidden = (mask - hidden).to(device), hidden.to(device)
        depth = max(1, min(5, int(math.log2(min(height, width) / 4))))
        self.network = _EncoderDecoder(channels, settings.width, depth, generator=generator).to(device)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=settings.rate, foreach=True)
        self.noise = 0.1 * torch.rand((1, INPUTS, height, width), generator=generator)

    def run(self) -> np.ndarray:
        """Return the fitted map, (C, H, W) float64, in the unit of the measurement."""
        # Iterations between two evaluations of the held-out error, and decay of the average of the outputs.
        look, decay = 10, 0.97
        settings, stops_early = self.settings, bool(self.hidden.any())
        average, best = torch.zeros_like(self.y), torch.zeros_like(self.y)
        best_error, best_iteration = math.inf, 0
        for iteration in range(1, settings.iterations + 1):
            x = self._step()
            # The first outputs are averaged with equal weights.
            average.lerp_(x, max(1 - decay, 1 / iteration))
            if stops_early and iteration % look == 0:
                with torch.no_grad():
                    error = float((self.hidden * (self._measured(average) - self.y).square()).sum())
                if error < best_error:
                    best, best_error, best_iteration = average.clone(), error, iteration
                elif iteration - best_iteration >= settings.patience:
                    break
        chosen = best if best_iteration else average
        return (chosen * self.scale + self.level).cpu().double().numpy()

    def _step(self) -> Tensor:
        """Take one step of Adam, and return the output of the network before it."""
        noise = self.noise + self.settings.input_noise * torch.randn(self.noise.shape, generator=self.generator)
        x = self.network(noise.to(self.device))[0]
        loss = (self.fitted * (self._measured(x) - self.y).square()).sum() / self.fitted.sum()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return x.detach()

    def _measured(self, x: Tensor) -> Tensor:
        """Return the measurement of a standardised map, standardised."""
        if self.measure is None:
            return x
        films = (x * self.scale + self.level)[None, None]
        return (self.measure(films)[0, 0] - self.level) / self.scale


def _level_and_scale(data: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the observations of each band; ``data`` is 0 in gaps."""
    count = observed.sum((1, 2))
    level = data.sum((1, 2)) / count
    square = np.where(observed, np.square(data - level[:, None, None]), 0.0).sum((1, 2))
    scale = np.sqrt(square / count)
    scale[scale == 0] = 1.0
    return level, scale


class _EncoderDecoder(nn.Module):
    """Network from noise (1, INPUTS, H, W) to a map (1, C, H, W), of any height and width."""

    def __init__(self, channels: int, width: int, levels: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.hourglass = _Level(INPUTS, width, levels, generator=generator)
        self.leave = _weight(width, channels, 1, generator=generator)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, noise: Tensor) -> Tensor:
        return conv2d(self.hourglass(noise), self.leave, self.bias)


class _Level(nn.Module):
    """One level: down to half the resolution, the levels below, bilinearly up, beside a narrow skip connection."""

    def __init__(self, inputs: int, width: int, levels: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.skip = _weight(inputs, SKIPS, 1, generator=generator)
        self.down = _weight(inputs, width, 3, generator=generator)
        self.deep = _weight(width, width, 3, generator=generator)
        self.up = _weight(width + SKIPS, width, 3, generator=generator)
        self.mix = _weight(width, width, 1, generator=generator)
        self.below = _Level(width, width, levels - 1, generator=generator) if levels > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        skip = _layer(x, self.skip)
        deep = self.below(_layer(_layer(x, self.down, stride=2), self.deep))
        deep = interpolate(deep, size=x.shape[-2:], mode="bilinear")
        return _layer(_layer(torch.cat([skip, deep], 1), self.up), self.mix)


def _weight(inputs: int, outputs: int, side: int, *, generator: torch.Generator) -> nn.Parameter:
    scale = math.sqrt(2 / (inputs * side * side))
    return nn.Parameter(torch.randn((outputs, inputs, side, side), generator=generator) * scale)


def _layer(x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """Apply convolution, batch norm and leaky ReLU; with a batch of one, the norm is over the map of each channel."""
    # Reflected edges have a smaller error than zeros (docs/experiments.md).
    x = conv2d(pad(x, (weight.shape[-1] // 2,) * 4, mode="reflect"), weight, stride=stride)
    return leaky_relu(batch_norm(x, None, None, training=True), 0.2)


def _held_out(observed: Tensor, share: float, *, generator: torch.Generator) -> Tensor:
    """Return 1 at a share of the observed cells, (H, W): at least one cell, never all."""
    cells = observed.flatten().nonzero()[:, 0]
    count = min(math.ceil(share * len(cells)), len(cells) - 1)
    hidden = torch.zeros(observed.numel())
    hidden[cells[torch.randperm(len(cells), generator=generator)[:count]]] = 1
    return hidden.view(observed.shape)
