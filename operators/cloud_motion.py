"""Motion of clouds, from the covariance of consecutive masks at each displacement."""

from __future__ import annotations

import numpy as np
from scipy.fft import irfft2, next_fast_len, rfft2

# Pairs of frames, at least, and cells of all pairs, at most; standard errors by which a displacement must gain.
_LEAST_PAIRS, _CELLS, _ERRORS = 8, 2**21, 3.0
# Share of the domain that two frames must have in common after a displacement, at least.
_LEAST_OVERLAP = 0.5


def motion_of(
    before: np.ndarray, after: np.ndarray, domain: np.ndarray, *, is_periodic: bool = False
) -> tuple[int, int]:
    """Return the rows and columns by which clouds move from one frame to the next; (0, 0) if that is not significant.

    The displacement is that of the largest mean covariance of consecutive masks. It counts if the covariance there is
    larger than without a displacement by three standard errors over the pairs.

    Parameters
    ----------
    before, after : ndarray of bool, shape (N, H, W)
        True where hidden.
    domain : ndarray of bool, shape (H, W)
    is_periodic : bool
        Whether the last column is the neighbour of the first.

    Examples
    --------
    >>> hidden = np.random.default_rng(0).random((10, 12, 20)) < 0.5
    >>> motion_of(hidden, np.roll(hidden, (1, -2), (1, 2)), np.ones((12, 20), bool))
    (1, -2)
    """
    chosen = np.unique(np.linspace(0, len(before) - 1, max(_LEAST_PAIRS, _CELLS // domain.size)).astype(int))
    if len(before) < _LEAST_PAIRS:
        return 0, 0
    before, after = before[chosen], after[chosen]
    mean = float(before[:, domain].mean())
    size = [next_fast_len(2 * domain.shape[0]), domain.shape[1] if is_periodic else next_fast_len(2 * domain.shape[1])]

    def transformed(part: np.ndarray) -> np.ndarray:
        return np.asarray(rfft2(part.astype(np.float32), size))

    first, second = (transformed(np.where(domain, part - np.float32(mean), 0)) for part in (before, after))
    inside = transformed(domain)
    sums = irfft2((first.conj() * second).sum(0), size)
    pairs = irfft2(np.abs(inside) ** 2, size)
    covariance = np.where(pairs >= _LEAST_OVERLAP * domain.sum(), sums / np.maximum(pairs, 1.0), -np.inf)
    best = np.unravel_index(covariance.argmax(), covariance.shape)
    # Displacements beyond half of the box are negative ones.
    down, right = (int(place if 2 * place < side else place - side) for place, side in zip(best, size))
    gains = [
        _covariance(*overlapping(before, after, domain, by, is_periodic=is_periodic), mean)
        for by in ((down, right), (0, 0))
    ]
    gain = gains[0] - gains[1]
    is_significant = gain.mean() > _ERRORS * gain.std(ddof=1) / np.sqrt(len(gain))
    return (down, right) if is_significant else (0, 0)


def overlapping(
    before: np.ndarray, after: np.ndarray, domain: np.ndarray, by: tuple[int, int], *, is_periodic: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return the cells of pairs of frames that a displacement brings onto each other, within the domain of both.

    Returns
    -------
    before, after : ndarray of bool, shape (N, cells)

    Examples
    --------
    >>> frames, domain = np.eye(3, dtype=bool)[None], np.ones((3, 3), bool)
    >>> [part.shape for part in overlapping(frames, frames, domain, (1, 0))]
    [(1, 6), (1, 6)]
    """
    if is_periodic:
        after, moved, by = np.roll(after, -by[1], -1), np.roll(domain, -by[1], -1), (by[0], 0)
    else:
        moved = domain
    start = [slice(max(0, -shift), max(0, side - max(0, shift))) for shift, side in zip(by, domain.shape)]
    end = [slice(max(0, shift), max(0, side + min(0, shift))) for shift, side in zip(by, domain.shape)]
    both = domain[start[0], start[1]] & moved[end[0], end[1]]
    return before[:, start[0], start[1]][:, both], after[:, end[0], end[1]][:, both]


def _covariance(before: np.ndarray, after: np.ndarray, mean: float) -> np.ndarray:
    """Return the covariance of each pair of frames, (N,)."""
    return (before & after).mean(1) - mean * (before.mean(1) + after.mean(1)) + mean**2
