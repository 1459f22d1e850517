"""An archive read by slabs: each chunk is decoded once where slabs share it and memory allows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from threading import Lock

import dask.array
import numpy as np
import xarray as xr

from geogan.archive import Archive
from geogan.archive.screening import CELLS, DATES, hide, with_neighbours
from geogan.compute.streaming import stored_chunks
from geogan.fields.circle import columns, stretches, taken
from geogan.fields.marks import hide_unreadable, is_unreadable
from geogan.filling.chunks import KEPT_BYTES, READ_SLABS, SLAB_VALUES, Cost, grid_cost, reading_cost, touched
from geogan.filling.packed import Packing
from geogan.filling.panels import Panel
from geogan.filling.tiles import Tile


class SlabReader:
    """Dates of an archive, in memory for as long as a slab needs them; safe to use from several threads.

    What is stored as small whole numbers is held as such, and decoded anew where a tile is read.

    Parameters
    ----------
    archive : Archive
    slabs : sequence of Tile, optional
        Those of a grid that is read whole, one after another: no more is kept than two of them may share.
    kept : int
        Bytes of chunks that are kept for the next slab, at most.
    """

    def __init__(self, archive: Archive, *, slabs: Sequence[Tile] = (), kept: int = KEPT_BYTES) -> None:
        self.archive, self._most = archive, kept
        self._packing = Packing.of(archive.field) if archive.streamed else None
        if slabs and archive.streamed:
            # Each begins and ends in the middle of a chunk.
            dates = 2 * max(slab.read.stop - slab.read.start for slab in slabs) + 4 * max(
                stored_chunks(archive.field)[0]
            )
            self._most = min(kept, dates * self._bytes(archive.domain.size))
        self._kept: OrderedDict[tuple[int, ...], np.ndarray] = OrderedDict()
        self._guard, self._decoding = Lock(), Lock()

    def __reduce__(self) -> tuple[Callable[[Archive], SlabReader], tuple[Archive]]:
        # What was decoded stays with the process that did it.
        return partial(SlabReader, kept=self._most), (self.archive,)

    def hold(self, slab: Tile, panel: Panel | None = None) -> tuple[Archive, Tile]:
        """What a slab reads of the archive, in memory, and the slab counted from its first date.

        Where that is more than the memory that a slab may take, its tiles are left to be read one by one.
        """
        archive, read = self.archive, slab.read
        y, x = self._place(panel)
        cells = (y.stop - y.start) * (x.stop - x.start)
        limit = 2 if cells == archive.domain.size else READ_SLABS
        if (read.stop - read.start) * archive.bands * cells > limit * SLAB_VALUES:
            archive = archive if self._readable is None else replace(archive, field=self._readable)
            return (archive if archive.screen is None else archive.screened()), slab
        error, covariates = archive.error, archive.covariates
        field = self._field(read, y, x) if archive.screen is None else self._screened(read, y, x)
        if isinstance(error, xr.DataArray):
            error = error[read, :, y, columns(x, archive.domain.shape[1])].compute(scheduler="synchronous")
            if is_unreadable(error.values).any():
                # An observation whose error cannot be read is of no use.
                field = field.copy(data=hide_unreadable(field.values, error.values))
        held = replace(
            archive,
            field=field,
            domain=archive.sea(y, x),
            standardiser=archive.standardiser.part(y, x),
            origin=(archive.origin[0] + y.start, archive.origin[1] + x.start),
            covariates=None if covariates is None else replace(covariates, maps=taken(covariates.maps, y, x)),
            error=error,
            days=archive.days[read],
            phase=None if archive.phase is None else archive.phase[read],
            is_periodic=archive.spans(x),
            screen=None,
        )
        return held, Tile(slab.inner, slice(0, read.stop - read.start))

    def _screened(self, read: slice, y: slice, x: slice) -> xr.DataArray:
        """Some dates without what the screen leaves out, which their neighbours beyond decide on too."""
        field = self.archive.field
        wide_t, t = with_neighbours(read, field.shape[0], DATES)
        wide_y, rows = with_neighbours(y, field.shape[2], CELLS)
        wide_x, inside = with_neighbours(x, field.shape[3], CELLS, is_periodic=self.archive.is_periodic)
        wide = self._field(wide_t, wide_y, wide_x)
        values = np.asarray(wide.values)
        values = hide(values, self.archive.suspicious(values, wide_t, wide_y, wide_x))
        return wide.copy(data=values)[t, :, rows, inside]

    @cached_property
    def _readable(self) -> xr.DataArray | None:
        """The field, lazy, without observations whose error cannot be read; None where it is the archive's own."""
        field, error = self.archive.field, self.archive.error
        if not isinstance(error, xr.DataArray) or error.chunks is None or field.chunks is None:
            return None
        hidden = dask.array.map_blocks(
            hide_unreadable, field.data, error.data.rechunk(field.chunks), dtype=field.dtype, meta=field.data._meta
        )
        return field.copy(data=hidden)

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
        """What some cells of a date take as they are held."""
        dtype = self.archive.field.dtype if self._packing is None else self._packing.dtype
        return cells * self.archive.bands * dtype.itemsize

    def _field(self, read: slice, y: slice, x: slice) -> xr.DataArray:
        """Some dates of the archive, in memory."""
        place = columns(x, self.archive.domain.shape[1])
        field, packing = self.archive.field[read, :, y, place], self._packing
        if field.chunks is None:
            return field
        held = None
        for own, block in self._blocks(read, y, x):
            if held is None:
                held = np.empty(field.shape, block.dtype)
            if packing is not None and held.dtype != block.dtype:
                # Of one of the chunks there is more to say than whole numbers can.
                held, block = (
                    packing.unpack(part, field.dims).values if part.dtype == packing.dtype else part
                    for part in (held, block)
                )
            held[own] = block
        if packing is None or held is None or held.dtype != packing.dtype:
            return field.copy(data=held)
        return xr.DataArray(packing.unpack(held, field.dims), field.coords, name=field.name, attrs=field.attrs)

    def _blocks(self, read: slice, y: slice, x: slice) -> Iterator[tuple[slice, np.ndarray]]:
        """What is read, chunk by chunk, and where it belongs."""
        chunks = stored_chunks(self.archive.field)[0]
        numbers = touched(read, chunks)
        cells = (y.stop - y.start) * (x.stop - x.start)
        keep = max(chunks[number] for number in numbers) * self._bytes(cells) <= self._most
        first = sum(chunks[: numbers.start])
        for number in numbers:
            stop = first + chunks[number]
            inner = slice(max(read.start, first), min(read.stop, stop))
            own = slice(inner.start - read.start, inner.stop - read.start)
            if keep:
                block = self._block((number, y.start, x.start), slice(first, stop), y, x)
                yield own, block[inner.start - first : inner.stop - first]
            else:
                yield own, self._read(inner, y, x)
            first = stop

    def _read(self, dates: slice, y: slice, x: slice) -> np.ndarray:
        """Values as they are held."""
        # Slabs are computed side by side, on threads or on a cluster: no second pool inside them.
        parts = [
            self.archive.field[dates, :, y, part].compute(scheduler="synchronous").values
            for part in stretches(x, self.archive.domain.shape[1])
        ]
        values = parts[0] if len(parts) == 1 else np.concatenate(parts, -1)
        packed = None if self._packing is None else self._packing.pack(values)
        return values if packed is None else packed

    def _block(self, key: tuple[int, ...], dates: slice, y: slice, x: slice) -> np.ndarray:
        with self._guard:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        # One thread decodes at a time: the other would decode the same, for slabs follow one another.
        with self._decoding:
            if key in self._kept:
                return self._kept[key]
            block = self._read(dates, y, x)
            with self._guard:
                self._kept[key] = block
                while sum(part.nbytes for part in self._kept.values()) > self._most:
                    self._kept.popitem(last=False)
            return block
