"""An archive read by slabs: each chunk is decoded once where slabs share it and memory allows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from threading import Lock

import numpy as np
import xarray as xr

from geogan.archive import Archive
from geogan.chunks import KEPT_BYTES, READ_SLABS, SLAB_VALUES, Cost, grid_cost, reading_cost, touched
from geogan.panels import Panel
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
        self._kept: OrderedDict[tuple[int, ...], np.ndarray] = OrderedDict()
        self._guard, self._decoding = Lock(), Lock()

    def __reduce__(self) -> tuple[type[SlabReader], tuple[Archive]]:
        # What was decoded stays with the process that did it.
        return SlabReader, (self.archive,)

    def hold(self, slab: Tile, panel: Panel | None = None) -> tuple[Archive, Tile]:
        """What a slab reads of the archive, in memory, and the slab counted from its first date.

        Where that is more than the memory that a slab may take, its tiles are left to be read one by one.
        """
        archive, read = self.archive, slab.read
        y, x = self._place(panel)
        cells = (y.stop - y.start) * (x.stop - x.start)
        limit = 2 if cells == archive.domain.size else READ_SLABS
        if (read.stop - read.start) * archive.bands * cells > limit * SLAB_VALUES:
            return archive, slab
        error, covariates = archive.error, archive.covariates
        if isinstance(error, xr.DataArray):
            error = error[read, :, y, x].compute(scheduler="synchronous")
        held = replace(
            archive,
            field=archive.field[read, :, y, x].copy(data=self._values(read, y, x)),
            domain=archive.domain[y, x],
            standardiser=archive.standardiser.part(y, x),
            origin=(archive.origin[0] + y.start, archive.origin[1] + x.start),
            covariates=None if covariates is None else replace(covariates, maps=covariates.maps[:, y, x]),
            error=error,
            days=archive.days[read],
            phase=None if archive.phase is None else archive.phase[read],
        )
        return held, Tile(slab.inner, slice(0, read.stop - read.start))

    def cost(self, slabs: Sequence[Tile], panels: tuple[Sequence[Tile], Sequence[Tile]] | None = None) -> Cost:
        """What it costs to read slabs one after another: in dates, or in values of a band where there are panels.

        Parameters
        ----------
        slabs : sequence of Tile
            Those of every panel.
        panels : (sequence of Tile, sequence of Tile), optional
            Rows and columns of panels.
        """
        reads, field = [slab.read for slab in slabs], self.archive.field
        if field.chunks is None:
            return reading_cost(reads, [1] * len(self.archive.days), kept=len(self.archive.days))
        if panels is None:
            return reading_cost(reads, stored_chunks(field)[0], kept=self._most // self._bytes(field[0, 0].size))
        ys, xs = ([part.read for part in parts] for parts in panels)
        return grid_cost(reads, ys, xs, stored_chunks(field), kept=self._most // self._bytes(1))

    def _place(self, panel: Panel | None) -> tuple[slice, slice]:
        if panel is None:
            height, width = self.archive.domain.shape
            return slice(0, height), slice(0, width)
        return panel.y.read, panel.x.read

    def _bytes(self, cells: int) -> int:
        return cells * self.archive.bands * self.archive.field.dtype.itemsize

    def _values(self, read: slice, y: slice, x: slice) -> np.ndarray:
        field = self.archive.field[:, :, y, x]
        if field.chunks is None:
            return np.asarray(field[read].values)
        chunks = stored_chunks(self.archive.field)[0]
        numbers = touched(read, chunks)
        if max(chunks[number] for number in numbers) * self._bytes(field[0, 0].size) > self._most:
            # Slabs are computed side by side, on threads or on a cluster: no second pool inside them.
            return field[read].compute(scheduler="synchronous").values
        first = sum(chunks[: numbers.start])
        result = np.empty((read.stop - read.start, *field.shape[1:]), field.dtype)
        for number in numbers:
            stop = first + chunks[number]
            inner = slice(max(read.start, first), min(read.stop, stop))
            block = self._block((number, y.start, x.start), field, first, stop)
            result[inner.start - read.start : inner.stop - read.start] = block[inner.start - first : inner.stop - first]
            first = stop
        return result

    def _block(self, key: tuple[int, ...], field: xr.DataArray, first: int, stop: int) -> np.ndarray:
        with self._guard:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        # One thread decodes at a time: the other would decode the same, for slabs follow one another.
        with self._decoding:
            if key in self._kept:
                return self._kept[key]
            block = field[first:stop].compute(scheduler="synchronous").values
            with self._guard:
                self._kept[key] = block
                while sum(part.nbytes for part in self._kept.values()) > self._most:
                    self._kept.popitem(last=False)
            return block
