"""Counter-based noise that depends only on seed, cell and date, so that overlapping tiles agree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geogan.fields.circle import stretches

# Side, in cells, of the squares that are drawn at a time.
SQUARE = 64


def draws_at(
    days: Sequence[float] | np.ndarray,
    y: slice,
    x: slice,
    *,
    bands: int,
    pairs: int,
    seed: int = 0,
    width: int | None = None,
) -> np.ndarray:
    """Return standard normal noise of some dates and cells, for the prior and the data of each pair of members.

    Parameters
    ----------
    days : sequence of float, shape (T,)
        Dates, in days.
    y, x : slice
        Rows and columns of the whole grid.
    bands, pairs : int
        Bands of the field, pairs of members.
    seed : int
        Together with the date, the key of the generator (Philox; Salmon et al. 2011).
    width : int, optional
        Columns of a periodic grid: columns beyond its ends are those of the opposite side.

    Returns
    -------
    noise : ndarray of float32, shape (2, pairs, T, bands, h, w)
        Depends on seed, band, pair, date and cell only.

    Examples
    --------
    Overlapping tiles agree:

    >>> whole = draws_at([0.0, 1.0], slice(0, 80), slice(0, 90), bands=1, pairs=2)
    >>> part = draws_at([1.0], slice(50, 80), slice(60, 70), bands=1, pairs=1)
    >>> bool((part == whole[:, :1, 1:, :, 50:80, 60:70]).all())
    True
    """
    if width is not None and (x.start < 0 or x.stop > width):
        parts = (draws_at(days, y, part, bands=bands, pairs=pairs, seed=seed) for part in stretches(x, width))
        return np.concatenate(list(parts), -1)
    noise = np.empty((2, pairs, len(days), bands, y.stop - y.start, x.stop - x.start), np.float32)
    for t, day in enumerate(days):
        second = np.int64(round(float(day) * 86400)).astype(np.uint64)
        for row in range(y.start // SQUARE, -(-y.stop // SQUARE)):
            for column in range(x.start // SQUARE, -(-x.stop // SQUARE)):
                # A counter-based generator: each square starts at its own counter, and streams do not overlap.
                stream = np.random.Philox(key=np.array([seed, second], np.uint64), counter=[0, 0, row, column])
                # Pairs come first in the order of drawing, so that more pairs do not change the first ones.
                drawn = np.random.Generator(stream).standard_normal((pairs, 2, bands, SQUARE, SQUARE), np.float32)
                top, left = max(y.start, row * SQUARE), max(x.start, column * SQUARE)
                bottom, right = min(y.stop, (row + 1) * SQUARE), min(x.stop, (column + 1) * SQUARE)
                noise[:, :, t, :, top - y.start : bottom - y.start, left - x.start : right - x.start] = np.swapaxes(
                    drawn, 0, 1
                )[..., top - row * SQUARE : bottom - row * SQUARE, left - column * SQUARE : right - column * SQUARE]
    return noise
