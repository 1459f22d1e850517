"""Statistics of masks by which real and drawn gaps are compared: cover, sizes of gaps, variogram, overlap."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import label

from geogan.gaps.crops import Crops

LAGS = (1, 2, 4, 8, 16)
_DECILES = (10, 25, 50, 75, 90)


class MaskStatistics(NamedTuple):
    """Statistics of the gaps of some crops.

    Attributes
    ----------
    cover : ndarray, shape (5,)
        Quantiles (10, 25, 50, 75, 90 %) of the hidden share of a crop.
    size : ndarray, shape (5,)
        The same quantiles of the area of the gap in which a hidden cell lies, in cells.
    variogram : ndarray, shape (5, 2)
        Share of the pairs of cells of which one is hidden, at distances of 1, 2, 4, 8 and 16 cells along rows and along
        columns; NaN where crops are smaller.
    overlap : float
        Correlation of the masks of consecutive dates in a cell; NaN for single frames.
    """

    cover: np.ndarray
    size: np.ndarray
    variogram: np.ndarray
    overlap: float


def mask_statistics(crops: Crops) -> MaskStatistics:
    """Return the statistics of some crops.

    Examples
    --------
    >>> seen = np.ones((1, 2, 4, 4), bool)
    >>> seen[:, :, :, :2] = False
    >>> found = mask_statistics(Crops(seen, np.ones((1, 4, 4), bool), np.array([0])))
    >>> found.cover[2].item(), found.size[2].item(), found.variogram[0].round(3).tolist(), found.overlap
    (0.5, 8.0, [0.333, 0.0], 1.0)
    """
    hidden = ~crops.seen & crops.domain[:, None]
    first = hidden[:, 0]
    sizes = [_sizes(gaps) for gaps in first if gaps.any()]
    return MaskStatistics(
        cover=np.percentile(crops.hidden_share, _DECILES),
        size=np.percentile(np.concatenate(sizes), _DECILES) if sizes else np.zeros(len(_DECILES)),
        variogram=np.array([[_differing(first, crops.domain, lag, axis) for axis in (2, 1)] for lag in LAGS]),
        overlap=_overlap(hidden, crops.domain) if hidden.shape[1] > 1 else float("nan"),
    )


def _sizes(gaps: np.ndarray) -> np.ndarray:
    """Return the area of the gap of each hidden cell of a mask (h, w)."""
    numbers, _ = label(gaps)
    return np.bincount(numbers.ravel())[numbers[gaps]]


def _differing(hidden: np.ndarray, domain: np.ndarray, lag: int, axis: int) -> float:
    """Return the share of pairs at a lag along an axis of (N, h, w) of which one is hidden."""
    if hidden.shape[axis] <= lag:
        return float("nan")
    low, high = (np.moveaxis(hidden, axis, 0)[part] for part in (slice(None, -lag), slice(lag, None)))
    both = np.moveaxis(domain, axis, 0)[:-lag] & np.moveaxis(domain, axis, 0)[lag:]
    return float((low != high)[both].mean()) if both.any() else float("nan")


def _overlap(hidden: np.ndarray, domain: np.ndarray) -> float:
    """Return the correlation of the hidden cells of the first two frames of (N, F, h, w)."""
    first, second = (hidden[:, frame][domain].astype(float) for frame in (0, 1))
    if first.std() == 0 or second.std() == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])
