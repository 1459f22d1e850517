"""Where dates of an archive were observed: read once, kept as compressed bits."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from threading import Lock

import numpy as np
import xarray as xr

from geogan.compute.streaming import read_piece, tiles, together

# Memory for masks that are likely to be asked for again: under clouds one of 1024 x 1024 cells takes about 10 KiB.
KEPT_BYTES = 2**27
# Cells of masks put together at a time, while many dates are read.
AT_A_TIME = 2**26


class KeptMasks:
    """Masks of one shape, kept as compressed bits until others need the room; safe to use from several threads.

    Parameters
    ----------
    most : int
        Bytes.

    Examples
    --------
    >>> kept, mask = KeptMasks(), np.eye(3, 5) > 0
    >>> kept.keep("one", mask)
    >>> "one" in kept, bool((kept["one"] == mask).all())
    (True, True)
    """

    def __init__(self, most: int = KEPT_BYTES) -> None:
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

    def keep(self, key: Hashable, mask: np.ndarray) -> None:
        """Remember a mask."""
        bits = zlib.compress(np.packbits(mask).tobytes(), 1)
        with self._lock:
            if key in self._bits:
                return
            self._bits[key] = bits, mask.shape
            self._bytes += len(bits)
            while self._bytes > self._most and len(self._bits) > 1:
                self._bytes -= len(self._bits.popitem(last=False)[1][0])


class Masks:
    """Where a field was observed, date by date.

    Parameters
    ----------
    field : DataArray, shape (T, C, H, W)
        NaN where unseen; lazy or not.
    domain : ndarray of bool, shape (H, W)
        Nothing counts as observed outside.
    """

    def __init__(self, field: xr.DataArray, domain: np.ndarray) -> None:
        self.field, self.domain = field, domain
        self._kept = KeptMasks()

    def __reduce__(self) -> tuple[type[Masks], tuple[xr.DataArray, np.ndarray]]:
        # What was read stays with the process that read it.
        return Masks, (self.field, self.domain)

    def at(self, date: int) -> np.ndarray:
        """The mask of a date, (C, H, W) bool."""
        try:
            return self._kept[date]
        except KeyError:
            mask = np.isfinite(read_piece(self.field, slice(date, date + 1))[0]) & self.domain
            self._kept.keep(date, mask)
            return mask

    def read_ahead(self, dates: Iterable[int]) -> None:
        """Read the masks of many dates at once, so that each chunk of the archive is decoded once."""
        if self.field.chunks is None:
            return
        lacking = {int(date) for date in dates if int(date) not in self._kept}
        for group in together(self.field, lacking, most=max(1, AT_A_TIME // self.field[0].size)):
            masks = np.empty((len(group), *self.field.shape[1:]), bool)
            for y, x, part in tiles(self.field, group):
                masks[..., y, x] = np.isfinite(part) & self.domain[y, x]
            for date, mask in zip(group, masks):
                self._kept.keep(date, mask)
