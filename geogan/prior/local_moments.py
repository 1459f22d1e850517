"""Couplings and gains of a local prior, from mean squares of observations and of differences between neighbours."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

# Weight of the mean over the grid in a smoothed mean square, in observations.
SHRINKAGE = 10.0
# Bounds of the factor of a coupling.
LEAST_FACTOR, MOST_FACTOR = 0.05, 20.0
# Smallest variance of a cell as a share of the mean, and the root mean square above which a date counts less, as a
# multiple of the median.
LEAST_VARIANCE, FAR = 0.1, 1.5


def date_weights(values: Tensor, observed: Tensor) -> Tensor:
    """Return the factor of the values of each date, (T,): below 1 for dates far from all others (snow, haze).

    Parameters
    ----------
    values, observed : Tensor, shape (T, H, W)
        True or 1 where observed.
    """
    count = torch.stack([seen.sum() for seen in observed])
    size = torch.stack([(date * seen).square().sum() for date, seen in zip(values, observed)])
    size = (size / count.clamp_min(1)).sqrt()
    seen = size[count > 0]
    if not len(seen):
        return torch.ones_like(size)
    return (FAR * seen.median() / size.clamp_min(1e-12)).clamp_max(1)


def local_maps(
    values: Tensor, observed: Tensor, domain: Tensor, *, radius: float, noise2: float, is_periodic: bool
) -> Tensor:
    """Return factors of the couplings along y and x, and gains, (3, H, W).

    The gradient of a field with the standard deviation 1 falls with its length: a coupling, the square of a length, is
    taken inversely proportional to the mean square of the differences between neighbours.

    Parameters
    ----------
    values, observed : Tensor, shape (T, H, W)
        Anomalies of one band; True or 1 where observed.
    domain : Tensor, shape (H, W)
    radius : float
        Standard deviation of the smoothing, in cells.
    noise2 : float
        Variance of the observation errors.
    is_periodic : bool
        Whether the last column touches the first.
    """
    smooth = _Smoothing(radius, is_periodic)
    weights = date_weights(values, observed)
    # Date by date, because copies of all dates would take several times the memory of the sample.
    square = torch.zeros(domain.shape, dtype=torch.float64)
    count = torch.zeros_like(square)
    for date, seen, weight in zip(values, observed, weights):
        square += (weight * date * seen).square()
        count += seen
    mean = max(float(square.sum() / count.sum().clamp_min(1)) - noise2, 1e-12)
    variance = (smooth(square, count, mean + noise2) - noise2).clamp_min(LEAST_VARIANCE * mean)
    gain = (variance / mean).sqrt()
    factors = torch.ones(2, *domain.shape, dtype=torch.float64)
    for axis in (0, 1):
        pairs, squares = torch.zeros_like(gain), torch.zeros_like(gain)
        for date, seen, weight in zip(values, observed, weights):
            unit, is_beside = weight * date * seen / gain, seen * seen.roll(-1, axis)
            pairs += is_beside
            squares += (unit - unit.roll(-1, axis)).square() * is_beside
        if axis == 0 or not is_periodic:
            for part in (pairs, squares):
                part.select(axis, -1).zero_()
        typical = float(squares.sum() / pairs.sum().clamp_min(1))
        if typical > 0:
            factors[axis] = (typical / smooth(squares, pairs, typical)).clamp(LEAST_FACTOR, MOST_FACTOR)
    # A field of constant kappa has a variance inversely proportional to the geometric mean of its couplings.
    gain = gain * (factors[0] * factors[1]).pow(0.25)
    inside = domain.double()
    maps = torch.stack([factors[0], factors[1], gain])
    return (maps * inside + (1 - inside)).to(torch.float32)


class _Smoothing:
    """A Gaussian mean over neighbouring cells, shrunk towards a typical value where little was observed."""

    def __init__(self, radius: float, is_periodic: bool) -> None:
        self._radius, self._modes = radius, ("constant", "wrap" if is_periodic else "constant")

    def __call__(self, sums: Tensor, counts: Tensor, typical: float) -> Tensor:
        """Return the smoothed mean of sums (H, W) over so many observations."""
        # Observations within the reach of the smoothing count in full.
        cells = max(1.0, 4 * np.pi * self._radius**2)
        above, below = (
            cells * torch.from_numpy(gaussian_filter(part.numpy(), self._radius, mode=self._modes))
            for part in (sums, counts)
        )
        return (above + SHRINKAGE * typical) / (below + SHRINKAGE)
