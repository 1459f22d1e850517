"""Noise that belongs to places and dates, whoever asks for it: what tiles share where they overlap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geogan.fields.circle import stretches

# Cells of a side of what is drawn at a time.
BLOCK = 64


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
    """Standard normal noise of some dates and cells: what disturbs prior and data, for each pair of members.

    Parameters
    ----------
    days : sequence of float, shape (T,)
        Dates, in days.
    y, x : slice
        Rows and columns, counted on the whole grid.
    bands, pairs : int
    seed : int
    width : int, optional
        Columns of a grid that goes round the globe: columns beyond its ends are those of the other side.

    Returns
    -------
    noise : ndarray of float32, shape (2, pairs, T, bands, h, w)
        A function of seed, band, pair, date and cell alone.

    Examples
    --------
    Two tiles agree where they overlap:

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
        moment = np.int64(round(float(day) * 86400)).astype(np.uint64)
        for row in range(y.start // BLOCK, -(-y.stop // BLOCK)):
            for column in range(x.start // BLOCK, -(-x.stop // BLOCK)):
                # A generator that counts: any place of its stream is reached at once, and none overlaps another.
                stream = np.random.Philox(key=np.array([seed, moment], np.uint64), counter=[0, 0, row, column])
                # Pairs first: more of them leave the first as they are.
                drawn = np.random.Generator(stream).standard_normal((pairs, 2, bands, BLOCK, BLOCK), np.float32)
                top, left = max(y.start, row * BLOCK), max(x.start, column * BLOCK)
                bottom, right = min(y.stop, (row + 1) * BLOCK), min(x.stop, (column + 1) * BLOCK)
                noise[:, :, t, :, top - y.start : bottom - y.start, left - x.start : right - x.start] = np.swapaxes(
                    drawn, 0, 1
                )[..., top - row * BLOCK : bottom - row * BLOCK, left - column * BLOCK : right - column * BLOCK]
    return noise
