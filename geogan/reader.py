"""An archive read by slabs of dates: each chunk is decoded once where slabs share it and memory allows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from threading import Lock

import numpy as np
import xarray as xr

from geogan.archive import Archive
from geogan.chunks import KEPT_BYTES, SLAB_VALUES, Cost, reading_cost, touched
from geogan.streaming import stored_chunks
from geogan.tiles import Tile


class SlabReader:
    """Dates of an archive, in memory for as long as a slab needs them; safe to use from several threads.

    Parameters
    ----------
    archive : Archive
    kept : int
        Bytes of decoded chunks that are kept for the next slab.
    """

    def __init__(self, archive: Archive, *, kept: int = KEPT_BYTES) -> None:
        self.archive, self._most = archive, kept
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self._guard, self._decoding = Lock(), Lock()

    def __reduce__(self) -> tuple[type[SlabReader], tuple[Archive]]:
        # What was decoded stays with the process that did it.
        return SlabReader, (self.archive,)

    def hold(self, slab: Tile) -> tuple[Archive, Tile]:
        """The archive's dates that a slab reads, in memory, and the slab counted from the first of them.

        Where one date fills the memory that a slab may take, its tiles are left to be read one by one.
        """
        archive, read = self.archive, slab.read
        if (read.stop - read.start) * np.prod(archive.field.shape[1:]) > 2 * SLAB_VALUES:
            return archive, slab
        error = archive.error
        if isinstance(error, xr.DataArray):
            error = error[read].compute(scheduler="synchronous")
        held = replace(
            archive,
            field=archive.field[read].copy(data=self._values(read)),
            error=error,
            days=archive.days[read],
            phase=None if archive.phase is None else archive.phase[read],
        )
        return held, Tile(slab.inner, slice(0, read.stop - read.start))

    def cost(self, slabs: Sequence[Tile]) -> Cost:
        """What it costs to read slabs one after another, in dates."""
        reads = [slab.read for slab in slabs]
        if self.archive.field.chunks is None:
            return reading_cost(reads, [1] * len(self.archive.days), kept=len(self.archive.days))
        return reading_cost(reads, stored_chunks(self.archive.field)[0], kept=self._most // self._date_bytes)

    @property
    def _date_bytes(self) -> int:
        field = self.archive.field
        return int(np.prod(field.shape[1:])) * field.dtype.itemsize

    def _values(self, read: slice) -> np.ndarray:
        field = self.archive.field
        if field.chunks is None:
            return np.asarray(field[read].values)
        chunks = stored_chunks(field)[0]
        numbers = touched(read, chunks)
        if max(chunks[number] for number in numbers) * self._date_bytes > self._most:
            # Slabs are computed side by side, on threads or on a cluster: no second pool inside them.
            return field[read].compute(scheduler="synchronous").values
        first = sum(chunks[: numbers.start])
        result = np.empty((read.stop - read.start, *field.shape[1:]), field.dtype)
        for number in numbers:
            stop = first + chunks[number]
            inner = slice(max(read.start, first), min(read.stop, stop))
            block = self._block(number, first, stop)
            result[inner.start - read.start : inner.stop - read.start] = block[inner.start - first : inner.stop - first]
            first = stop
        return result

    def _block(self, number: int, first: int, stop: int) -> np.ndarray:
        with self._guard:
            if number in self._kept:
                self._kept.move_to_end(number)
                return self._kept[number]
        # One thread decodes at a time: the other would decode the same, for slabs follow one another.
        with self._decoding:
            if number in self._kept:
                return self._kept[number]
            block = self.archive.field[first:stop].compute(scheduler="synchronous").values
            with self._guard:
                self._kept[number] = block
                while sum(part.nbytes for part in self._kept.values()) > self._most:
                    self._kept.popitem(last=False)
            return block
