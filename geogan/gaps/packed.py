"""When each cell is observed, as one bit for a date."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from geogan.compute.extent import Extent
from geogan.compute.streaming import read_parts
from geogan.fields.field import Field

# Cells times dates that are packed, at most: 64 MB. Of a longer archive, runs of consecutive dates are read.
MOST_VALUES = 2**29
# Consecutive dates of a run.
RUN = 64
# Dates of a regular record are counted in steps, unless more than this share of the steps has no date.
_MOST_EMPTY = 0.75


@dataclass(frozen=True, eq=False)
class PackedMask:
    """When each cell is observed, in any band.

    Attributes
    ----------
    words : ndarray of uint64, shape (H, W, words)
        Bit ``slot % 64`` of word ``slot // 64`` is set where the cell is observed in that slot.
    slots : ndarray of int64, shape (T,)
        Slot of each date that was read, increasing: its number in steps of the record, where the record is regular.
    dates : ndarray of int64, shape (T,)
        Dates that were read, as indices of the field.
    domain : ndarray of bool, shape (H, W)
    """

    words: np.ndarray
    slots: np.ndarray
    dates: np.ndarray
    domain: np.ndarray

    @classmethod
    def read(
        cls,
        field: Field,
        domain: np.ndarray,
        *,
        most: int = MOST_VALUES,
        message: Callable[[str], None] = lambda sentence: None,
    ) -> PackedMask:
        """Read a field once.

        Parameters
        ----------
        field : Field
        domain : ndarray of bool, shape (H, W)
        most : int
            Cells times dates that are read, at most; of a longer field, runs of dates spread over the record.
        message : callable
            Called with a report of progress if the pass takes long.

        Examples
        --------
        >>> import xarray as xr
        >>> films = xr.DataArray(np.array([[[1.0, np.nan]], [[2.0, 3.0]]]), dims=("time", "y", "x"))
        >>> packed = PackedMask.read(Field.of(films), np.ones((1, 2), bool))
        >>> packed.counts().tolist()
        [[2, 1]]
        """
        packing = Packing(field, most=most)
        stacked = field.stacked if packing.is_whole else field.stacked[packing.dates]
        for extent, part in read_parts(stacked, what=f"reading the gaps of {field.name}", message=message):
            packing.put(extent, packing.slots[extent.t], part)
        return packing.within(domain)

    def counts(self, chosen: np.ndarray | None = None) -> np.ndarray:
        """Return on how many dates each cell is observed, (H, W).

        Parameters
        ----------
        chosen : ndarray of bool, shape (T,), optional
            Dates that count; by default all.
        """
        words = self.words if chosen is None else self.words & packed_slots(self.slots[chosen], self.words.shape[2])
        return np.bitwise_count(words).sum(axis=2, dtype=np.int64)

    def later(self, steps: int) -> np.ndarray:
        """Return the words of a number of steps later: bit ``slot`` is that of ``slot + steps``."""
        whole, bits = divmod(steps, 64)
        moved = np.zeros_like(self.words)
        kept = self.words.shape[2] - whole
        if kept > 0:
            moved[..., :kept] = self.words[..., whole:] >> np.uint64(bits)
        if bits and kept > 1:
            moved[..., : kept - 1] |= self.words[..., whole + 1 :] << np.uint64(64 - bits)
        return moved

    def pairs_of_dates(self, steps: int) -> int:
        """Return the number of pairs of dates that are this number of steps apart."""
        return int(np.isin(self.slots + steps, self.slots, assume_unique=True).sum())


class Packing:
    """Packs the mask of a field while it is read in parts, before its domain is known.

    Parameters
    ----------
    field : Field
    most : int
        Cells times dates that are packed, at most; of a longer field, runs of dates spread over the record.

    Examples
    --------
    >>> import xarray as xr
    >>> from geogan.compute.extent import Extent
    >>> field = Field.of(xr.DataArray(np.array([[[1.0, np.nan]]]), dims=("time", "y", "x")))
    >>> packing = Packing(field)
    >>> packing.add(Extent(slice(0, 1), slice(0, 1), slice(0, 2)), field.stacked.values)
    >>> packing.within(np.ones((1, 2), bool)).counts().tolist()
    [[1, 0]]
    """

    def __init__(self, field: Field, *, most: int = MOST_VALUES) -> None:
        self._field, self._most = field, most

    # Labels are read when the first part comes: whoever reads the field has checked them then.
    @cached_property
    def dates(self) -> np.ndarray:
        """Dates that are packed, as indices of the field."""
        count, _, height, width = self._field.shape
        return runs_of_dates(count, max(1, self._most // (height * width)))

    @cached_property
    def slots(self) -> np.ndarray:
        """Slot of each date."""
        return slots_of(self._field, self.dates)

    @cached_property
    def _words(self) -> np.ndarray:
        return np.zeros((*self._field.grid, int(self.slots[-1]) // 64 + 1), np.uint64)

    @property
    def is_whole(self) -> bool:
        """Whether all dates of the field are packed."""
        return len(self.dates) == self._field.shape[0]

    def add(self, extent: Extent, part: np.ndarray) -> None:
        """Pack the dates of a part (t, C, h, w) of the field that are among those to pack."""
        low, high = np.searchsorted(self.dates, (extent.t.start, extent.t.stop))
        if high > low:
            self.put(extent, self.slots[low:high], part[self.dates[low:high] - extent.t.start])

    def put(self, extent: Extent, slots: np.ndarray, part: np.ndarray) -> None:
        """Pack a part (t, C, h, w) whose dates have the slots (t,)."""
        seen = ~np.isnan(part).all(axis=1)
        for frame, slot in zip(seen, slots.tolist(), strict=True):
            self._words[extent.y, extent.x, slot // 64] |= frame.astype(np.uint64) << np.uint64(slot % 64)

    def within(self, domain: np.ndarray) -> PackedMask:
        """Return the packed mask; cells outside the domain (H, W) are never observed."""
        return PackedMask(np.where(domain[..., None], self._words, np.uint64(0)), self.slots, self.dates, domain)


def packed_slots(slots: np.ndarray, words: int) -> np.ndarray:
    """Return the words in which the bits of some slots are set, (words,).

    Examples
    --------
    >>> packed_slots(np.array([0, 2, 65]), 2).tolist()
    [5, 2]
    """
    packed = np.zeros(words, np.uint64)
    np.bitwise_or.at(packed, slots // 64, np.uint64(1) << (slots % 64).astype(np.uint64))
    return packed


def runs_of_dates(count: int, most: int) -> np.ndarray:
    """Return the dates of runs that are spread evenly over a record; all dates of a short record.

    Parameters
    ----------
    count : int
        Dates of the record.
    most : int
        Dates that are returned, at most.

    Examples
    --------
    >>> runs_of_dates(5, 9).tolist(), runs_of_dates(1000, 2).tolist()
    ([0, 1, 2, 3, 4], [0, 1])
    """
    if count <= most:
        return np.arange(count)
    length = min(RUN, most)
    starts = np.unique(np.linspace(0, count - length, max(1, most // length)).astype(np.int64))
    return np.unique((starts[:, None] + np.arange(length)).ravel())


def slots_of(field: Field, dates: np.ndarray) -> np.ndarray:
    """Return the slot of each date: its number in steps of a regular record, else its index.

    The step is the lower quartile of all steps, so that pauses do not change it. Dates that share a slot, or a record
    with long pauses, are counted by their index, and so are independent samples.

    Examples
    --------
    >>> import xarray as xr
    >>> days = np.array(["2001-01-01", "2001-01-02", "2001-01-04"], "M8[ns]")
    >>> films = xr.DataArray(np.zeros((3, 1, 1)), dims=("time", "y", "x"), coords={"time": days})
    >>> slots_of(Field.of(films), np.arange(3)).tolist()
    [0, 1, 3]
    """
    if field.axes.independent:
        return np.arange(len(dates), dtype=np.int64)
    index = dates - dates[0]
    days = field.days[dates]
    if len(days) < 2:
        return index
    step = np.percentile(np.diff(days), 25, method="lower")
    slots = np.rint((days - days[0]) / step).astype(np.int64)
    is_regular = (np.diff(slots) > 0).all() and len(slots) >= (1 - _MOST_EMPTY) * (slots[-1] + 1)
    return slots if is_regular else index
