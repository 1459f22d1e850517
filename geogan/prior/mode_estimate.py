"""Modes of an archive: patterns of the whole grid and the persistence of their coefficients.

The leading eigenvectors of the covariance of coarse cells give coefficients for each date. A regression on these gives
patterns with the full resolution. Time and memory are proportional to the number of values.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from geogan.prior.archive_covariance import pair_covariance
from geogan.prior.local_moments import date_weights

# Largest number of coarse cells, and the share of a coarse cell that must be observed.
COARSE_CELLS, LEAST_SHARE = 1024, 0.25
# Neighbouring coarse cells have an error in common, because what remains beside the modes is smooth: so many count as
# one observation of the coefficients.
ALIKE = 30.0
# Weight of the pattern 0 in the regression, in dates.
RIDGE = 10.0
# Entries of normal equations that are solved at a time.
ENTRIES = 4_000_000
# Bounds of lags, in steps, over which the products of coefficients are averaged.
LAGS = (0.5, 1.5, 2.5, 3.5, 4.5, 6.5, 8.5, 12.5, 16.5, 24.5, 32.5, 48.5)


class CoarseDates(NamedTuple):
    """Leading eigenvectors of the coarse cells of a band, and what was observed of them.

    Attributes
    ----------
    values, observed : Tensor, shape (T, A)
        Means of coarse cells; 1 where observed.
    vectors : Tensor, shape (A, K)
        Eigenvectors times the roots of their eigenvalues, the largest first.
    trace : float
        Sum of all eigenvalues.
    """

    values: Tensor
    observed: Tensor
    vectors: Tensor
    trace: float

    @classmethod
    def of(cls, values: Tensor, observed: Tensor, domain: Tensor, *, count: int) -> CoarseDates:
        """Return the ``count`` leading eigenvectors of values (T, H, W)."""
        size = 1
        while math.prod(-(-side // size) for side in domain.shape) > COARSE_CELLS:
            size += 1

        def sums(x: Tensor) -> Tensor:
            x = pad(x.double(), (0, -x.shape[-1] % size, 0, -x.shape[-2] % size))
            return avg_pool2d(x[None, None], size).flatten() * size**2

        # Date by date, because copies of all dates would take several times the memory of the sample.
        counts = torch.stack([sums(seen) for seen in observed])
        totals = torch.stack([sums(date * seen) for date, seen in zip(values, observed)])
        cells = sums(domain)[None]
        share = counts / cells.clamp_min(1)
        seen = share[share > 0]
        least = min(LEAST_SHARE, float(seen.median())) if len(seen) else 1.0
        is_inside = (share >= least).any(0)
        is_observed = (share >= least)[:, is_inside].double()
        means = (totals / counts.clamp_min(1))[:, is_inside] * is_observed
        covariance = pair_covariance(means, is_observed)
        value, vector = torch.linalg.eigh(covariance)
        leading = (vector * value.clamp_min(0).sqrt()).flip(1)[:, :count]
        return cls(means, is_observed, leading, float(covariance.trace()))

    def coefficients(self, count: int) -> tuple[Tensor, Tensor]:
        """Return mean (T, K) and covariance (T, K, K) of the coefficients of the first modes, of variance 1."""
        leading = self.vectors[:, :count]
        rest = max(self.trace - float(leading.square().sum()), 1e-3 * self.trace) / len(leading)
        information = torch.stack(
            [self.observed @ (leading * leading[:, [mode]]) for mode in range(leading.shape[1])], 1
        )
        units = torch.eye(leading.shape[1], dtype=torch.float64)
        covariance = torch.linalg.inv(units + information / (ALIKE * rest))
        projected = self.values @ leading / (ALIKE * rest)
        return (covariance @ projected[:, :, None])[..., 0], covariance


def patterns(values: Tensor, observed: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    """Return the pattern of each mode, (K, H, W), by a regression of each cell on the coefficients.

    Parameters
    ----------
    values, observed : Tensor, shape (T, H, W)
        True or 1 where observed.
    mean : Tensor, shape (T, K)
        Mean of the coefficients.
    covariance : Tensor, shape (T, K, K)
        Their covariance: uncertain coefficients count less.
    """
    count = mean.shape[1]
    weights = date_weights(values, observed).double().square()
    squares = (weights[:, None, None] * (mean[:, :, None] * mean[:, None] + covariance)).flatten(1)
    projected = weights[:, None] * mean
    result = torch.empty(count, *values.shape[1:])
    rows = max(1, ENTRIES // (max(count**2, len(values)) * values.shape[2]))
    for start in range(0, values.shape[1], rows):
        seen, part = (x[:, start : start + rows].flatten(1).double().mT for x in (observed, values))
        part = part * seen
        normal = (seen @ squares).unflatten(1, (count, count)) + RIDGE * torch.eye(count, dtype=torch.float64)
        solved = torch.linalg.solve(normal, (part @ projected)[..., None])[..., 0]
        result[:, start : start + rows] = solved.mT.unflatten(1, (-1, values.shape[2])).float()
    return result


def mode_persistence(coefficients: Tensor, days: Tensor) -> float:
    """Return the e-folding time of the coefficients (T, K), in days: the median over modes.

    The products at all lags but 0 are compared with an exponential: at lag 0 they contain the errors.
    """
    apart = (days[:, None] - days).abs().numpy()
    step = max(float(days.diff().median()), 1e-3)
    bins = [(apart > low * step) & (apart <= high * step) for low, high in zip(LAGS, LAGS[1:])]
    bins = [where for where in bins if where.sum() > 10]
    if not bins:
        return step
    lags = np.array([apart[where].mean() for where in bins])
    times = step * np.geomspace(0.3, 300, 40)
    shapes = np.exp(-lags / times[:, None])
    found = []
    for series in coefficients.mT.numpy():
        products = np.outer(series, series)
        means = np.array([products[where].mean() for where in bins])
        sizes = np.clip((shapes @ means) / np.maximum((shapes**2).sum(1), 1e-300), 0, None)
        found.append(times[np.argmin(((means - sizes[:, None] * shapes) ** 2).sum(1))])
    return float(np.median(found))
