"""Where the dates of an archive were observed: read once, cached as compressed bits."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from threading import Lock

import numpy as np
import xarray as xr

from geogan.compute.streaming import group_dates, read_dates, read_values


class MaskCache:
    """Masks as compressed bits, the most recently used within a limit; several threads may use it.

    Parameters
    ----------
    most : int
        Bytes. A cloud mask of 1024 x 1024 cells takes about 10 KiB.

    Examples
    --------
    >>> cache, mask = MaskCache(), np.eye(3, 5) > 0
    >>> cache.store("first", mask)
    >>> "first" in cache, bool((cache["first"] == mask).all())
    (True, True)
    """

    def __init__(self, most: int = 2**27) -> None:
        self._most, self._bytes, self._lock = most, 0, Lock()
        self._bits: OrderedDict[Hashable, tuple[bytes, tuple[int, ...]]] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._bits

    def __getitem__(self, key: Hashable) -> np.ndarray:
        with self._lock:
            bits, shape = self._bits[key]
            self._bits.move_to_end(key)
        unpacked = np.unpackbits(np.frombuffer(zlib.decompress(bits), np.uint8), count=int(np.prod(shape)))
        return unpacked.view(bool).reshape(shape)

    def store(self, key: Hashable, mask: np.ndarray) -> None:
        """Store a mask; the least recently used ones are dropped if the cache exceeds its limit."""
        bits = zlib.compress(np.packbits(mask).tobytes(), 1)
        with self._lock:
            if key in self._bits:
                return
            self._bits[key] = bits, mask.shape
            self._bytes += len(bits)
            while self._bytes > self._most and len(self._bits) > 1:
                self._bytes -= len(self._bits.popitem(last=False)[1][0])


class ObservedMasks:
    """Masks of a field, date by date: True where it was observed.

    Parameters
    ----------
    field : DataArray, shape (T, C, H, W)
        NaN where not observed; lazy or not.
    domain : ndarray of bool, shape (H, W)
        Nothing counts as observed outside.
    most : int
        Cells of masks that are read at a time, when many dates are read ahead.
    """

    def __init__(self, field: xr.DataArray, domain: np.ndarray, *, most: int = 2**26) -> None:
        self.field, self.domain, self.most = field, domain, most
        self._cache = MaskCache()

    def __reduce__(self) -> tuple[type[ObservedMasks], tuple[xr.DataArray, np.ndarray]]:
        # The cache stays in the process that filled it.
        return ObservedMasks, (self.field, self.domain)

    def at(self, date: int) -> np.ndarray:
        """Return the mask of a date, (C, H, W) bool."""
        try:
            return self._cache[date]
        except KeyError:
            mask = np.isfinite(read_values(self.field, slice(date, date + 1))[0]) & self.domain
            self._cache.store(date, mask)
            return mask

    def read_ahead(self, dates: Iterable[int]) -> None:
        """Read the masks of many dates together, so that each chunk of the archive is decoded once."""
        if self.field.chunks is None:
            return
        missing = {int(date) for date in dates if int(date) not in self._cache}
        for group in group_dates(self.field, missing, most=max(1, self.most // self.field[0].size)):
            masks = np.empty((len(group), *self.field.shape[1:]), bool)
            for y, x, part in read_dates(self.field, group):
                masks[..., y, x] = np.isfinite(part) & self.domain[y, x]
            for date, mask in zip(group, masks):
                self._cache.store(date, mask)
