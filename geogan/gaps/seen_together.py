"""How often two cells are observed together, as a function of the lag between them in space and time.

The law of the measurements determines the joint law of the field for cells that are observed together. Two fields whose
covariances differ only at a lag that is never observed have the same measurements, so no method can distinguish them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from geogan.gaps.packed import PackedMask

# Distances between cells and between dates that are looked at.
CELLS = (1, 2, 4, 8, 16, 32)
STEPS = (0, 1, 2, 4, 8)
# Words of rows that are compared at a time, so that they stay in the processor's cache.
_WORDS = 2**17


class Lag(NamedTuple):
    """A displacement: steps of the record, rows and columns."""

    steps: int
    rows: int
    columns: int

    def __str__(self) -> str:
        parts = [(self.rows, "row"), (self.columns, "column"), (self.steps, "step")]
        # Only a lag in space and in time has a direction.
        sign = 1 if self.steps else -1
        texts = [f"{n if sign > 0 else abs(n)} {word}{'' if abs(n) == 1 else 's'}" for n, word in parts if n]
        return " and ".join(texts)


class SeenTogether(NamedTuple):
    """Counts of pairs that are observed together.

    Attributes
    ----------
    lags : tuple of Lag
    together : ndarray of int64, shape (L,)
        Pairs of cells and dates that are both observed.
    possible : ndarray of int64, shape (L,)
        Pairs of cells and dates that are both in the domain and the record.
    never : ndarray of int64, shape (L,)
        Pairs of cells that are never observed together at this lag.
    cells : ndarray of int64, shape (L,)
        Pairs of cells in the domain.
    never_share : ndarray of float64, shape (H, W)
        Share of the pairs of a cell, over all lags, that are never observed together; NaN outside the domain.
    """

    lags: tuple[Lag, ...]
    together: np.ndarray
    possible: np.ndarray
    never: np.ndarray
    cells: np.ndarray
    never_share: np.ndarray

    def share(self, lag: Lag) -> float:
        """Return the share of the pairs at a lag that are observed together; NaN if there is no such pair."""
        index = self.lags.index(lag)
        return float(self.together[index] / self.possible[index]) if self.possible[index] else float("nan")


def default_lags(mask: PackedMask, *, has_time: bool = True) -> tuple[Lag, ...]:
    """Return lags of up to half of the grid and half of the record.

    A pair at a lag in space and time is looked at in both directions, because clouds may move.

    Parameters
    ----------
    mask : PackedMask
    has_time : bool
        False for independent samples.
    """
    height, width = mask.domain.shape
    last = int(mask.slots[-1]) if has_time else 0
    space = [(size, 0) for size in CELLS if size <= height // 2] + [(0, size) for size in CELLS if size <= width // 2]
    lags = [Lag(0, *offset) for offset in space]
    for steps in STEPS[1:]:
        if steps <= last // 2 or (steps == 1 and last >= 1):
            both = [(0, 0), *(offset for y, x in space for offset in ((y, x), (-y, -x)))]
            lags += [Lag(steps, *offset) for offset in both]
    return tuple(lags)


def seen_together(mask: PackedMask, lags: tuple[Lag, ...], *, is_periodic: bool = False) -> SeenTogether:
    """Count the pairs that are observed together at some lags.

    Parameters
    ----------
    mask : PackedMask
    lags : tuple of Lag
        With ``steps`` of 0 or more.
    is_periodic : bool
        Whether the last column is the neighbour of the first.

    Examples
    --------
    >>> import xarray as xr
    >>> from geogan.fields.field import Field
    >>> films = xr.DataArray(np.array([[[1.0, np.nan]], [[np.nan, 3.0]]]), dims=("time", "y", "x"))
    >>> packed = PackedMask.read(Field.of(films), np.ones((1, 2), bool))
    >>> seen_together(packed, (Lag(0, 0, 1), Lag(1, 0, 1))).together.tolist()
    [0, 1]
    """
    together, possible, never, cells = (np.zeros(len(lags), np.int64) for _ in range(4))
    missing, pairs = np.zeros(mask.domain.shape), np.zeros(mask.domain.shape)
    for steps in sorted({lag.steps for lag in lags}):
        later = mask.words if steps == 0 else mask.later(steps)
        dates = mask.pairs_of_dates(steps)
        for number, lag in enumerate(lags):
            if lag.steps != steps:
                continue
            rows, columns = _overlap(lag.rows, mask.domain.shape[0]), _overlap(lag.columns, mask.domain.shape[1])
            if is_periodic:
                columns = slice(None), slice(None)
            turn = -lag.columns if is_periodic else 0
            first = (rows[0], columns[0])
            both = mask.domain[first] & np.roll(mask.domain, turn, axis=1)[rows[1], columns[1]]
            counts = _counts(mask.words[first], np.roll(later, turn, axis=1) if turn else later, rows[1], columns[1])
            counts[~both] = 0
            unseen = both & (counts == 0)
            together[number], possible[number] = counts.sum(), int(both.sum()) * dates
            if dates:
                never[number], cells[number] = unseen.sum(), both.sum()
                missing[first] += unseen
                pairs[first] += both
                if steps == 0:
                    # A pair of one date has no direction: it counts for both of its cells.
                    missing[rows[1], columns[1]] += np.roll(unseen, -turn, axis=1)
                    pairs[rows[1], columns[1]] += np.roll(both, -turn, axis=1)
    with np.errstate(invalid="ignore"):
        share = np.where(mask.domain & (pairs > 0), missing / pairs, np.nan)
    return SeenTogether(lags, together, possible, never, cells, share)


def _overlap(offset: int, length: int) -> tuple[slice, slice]:
    """Return the positions of an axis whose partner at an offset exists, and those of the partners."""
    size = max(0, length - abs(offset))
    start = max(0, -offset)
    return slice(start, start + size), slice(start + offset, start + offset + size)


def _counts(words: np.ndarray, later: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    """Return the number of common bits of each cell and its partner, (h, w)."""
    partners = later[rows, columns]
    counts = np.empty(words.shape[:2], np.int64)
    height = max(1, _WORDS // max(1, words[0].size)) if len(words) else 1
    for start in range(0, len(words), height):
        part = slice(start, start + height)
        counts[part] = np.bitwise_count(words[part] & partners[part]).sum(axis=2, dtype=np.int64)
    return counts
