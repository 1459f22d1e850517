"""Read an archive task by task; a chunk that several tasks share is decoded once where memory allows."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property, partial
from itertools import accumulate
from threading import Lock
from typing import NamedTuple

import dask.array
import numpy as np
import xarray as xr

from geogan.archive import Archive
from geogan.compute.streaming import stored_chunks
from geogan.fields.circle import columns, stretches
from geogan.fields.codes import Codes, decoded
from geogan.fields.marks import hide_unreadable, is_unreadable, plain_gaps
from geogan.filling.plan import Plan, Task, TaskSizes
from geogan.filling.tiles import Span, moved
from geogan.operators.errors import InputError


class _Box(NamedTuple):
    """Dates, rows and columns that are read at a time."""

    dates: slice
    rows: slice
    columns: slice

    @property
    def cells(self) -> int:
        """Cells of a date."""
        return (self.rows.stop - self.rows.start) * (self.columns.stop - self.columns.start)


class TaskReader:
    """Read what the tasks of an archive need; safe to use from several threads.

    Values that are stored as integers are held as integers, and decoded where a tile is read.

    Parameters
    ----------
    archive : Archive
    plan : Plan, optional
        Tasks of whole maps share few dates; no more chunks are then kept than two consecutive tasks may share.
    sizes : TaskSizes, optional
    """

    def __init__(self, archive: Archive, plan: Plan | None = None, *, sizes: TaskSizes | None = None) -> None:
        self.archive, self.sizes = archive, sizes or TaskSizes()
        encoding = archive.field.encoding
        # With _Unsigned the fill value is one of another type than the codes.
        codes = Codes.of(encoding) if archive.streamed and "_Unsigned" not in encoding else "not held as codes"
        small = isinstance(codes, Codes) and codes.dtype.itemsize < archive.field.dtype.itemsize
        self._codes = codes if isinstance(codes, Codes) and small and codes.fill is not None else None
        if plan is not None and plan.has_whole_maps and archive.streamed:
            # Each task begins and ends in the middle of a chunk.
            dates = 2 * max(span.read.stop - span.read.start for span in plan.dates)
            dates += 4 * max(stored_chunks(archive.field)[0])
            most = min(self.sizes.kept_bytes, dates * self._bytes(archive.domain.size))
            self.sizes = replace(self.sizes, kept_bytes=most)
        self._kept: OrderedDict[tuple[int, ...], np.ndarray] = OrderedDict()
        self._guard, self._decoding = Lock(), Lock()

    def __reduce__(self) -> tuple[Callable[[Archive], TaskReader], tuple[Archive]]:
        # Decoded chunks stay in the process that decoded them.
        return partial(TaskReader, sizes=self.sizes), (self.archive,)

    def hold(self, task: Task) -> tuple[Archive, Task]:
        """Read what a task needs into memory.

        Returns
        -------
        archive : Archive
            The part of the archive that the task reads. The whole archive, lazy, where that part exceeds
            ``sizes.read_values``.
        task : Task
            The task, with its dates counted from the first date of ``archive``.
        """
        archive, box = self.archive, _Box(task.dates.read, task.rows.read, task.columns.read)
        dates, y, x = box
        if (dates.stop - dates.start) * archive.bands * box.cells > self._most_values(box):
            archive = archive if self._readable is None else replace(archive, field=self._readable)
            return (archive if archive.screen is None else archive.screened()), task
        error, covariates = archive.error, archive.covariates
        field = self._field(box) if archive.screen is None else self._screened(box)
        if isinstance(error, xr.DataArray):
            error = error[dates, :, y, columns(x, archive.domain.shape[1])].compute(scheduler="synchronous")
            if is_unreadable(error.values).any():
                # An observation whose error cannot be read is of no use.
                field = field.copy(data=hide_unreadable(field.values, error.values))
        part = replace(
            archive,
            field=field,
            domain=archive.sea(y, x),
            standardiser=archive.standardiser.part(y, x),
            origin=(archive.origin[0] + y.start, archive.origin[1] + x.start),
            covariates=None if covariates is None else covariates.on_part(dates, y, x),
            error=error,
            days=archive.days[dates],
            phase=None if archive.phase is None else archive.phase[dates],
            is_periodic=archive.spans(x),
            screen=None,
        )
        return part, task._replace(dates=Span(task.dates.inner, slice(0, dates.stop - dates.start)))

    def _most_values(self, box: _Box) -> int:
        # Whole maps of few dates: two thirds of the limit, because the estimates of a whole grid take more memory.
        return self.sizes.read_values * 2 // 3 if box.cells == self.archive.domain.size else self.sizes.read_values

    def _screened(self, box: _Box) -> xr.DataArray:
        """Read a part without the observations that the screen leaves out, which depends on cells around them."""
        dates, y, x = box
        values = self.archive.read_screened(dates, y, x, lambda *part: np.asarray(self._field(_Box(*part)).values))
        return self.archive.field[dates, :, y, columns(x, self.archive.domain.shape[1])].copy(data=values)

    @cached_property
    def _readable(self) -> xr.DataArray | None:
        """The lazy field without observations whose error cannot be read; None where that is the archive's field."""
        field, error = self.archive.field, self.archive.error
        if not isinstance(error, xr.DataArray) or error.chunks is None or field.chunks is None:
            return None
        hidden = dask.array.map_blocks(
            hide_unreadable, field.data, error.data.rechunk(field.chunks), dtype=field.dtype, meta=field.data._meta
        )
        return field.copy(data=hidden)

    def _bytes(self, cells: int) -> int:
        """Return the bytes of some cells of a date as they are held."""
        dtype = self.archive.field.dtype if self._codes is None else self._codes.dtype
        return cells * self.archive.bands * dtype.itemsize

    def _field(self, box: _Box) -> xr.DataArray:
        """Read a part of the field into memory."""
        dates, y, x = box
        field, codes = self.archive.field[dates, :, y, columns(x, self.archive.domain.shape[1])], self._codes
        if field.chunks is None:
            return field
        held: np.ndarray | None = None
        for dates, part in self._parts(box):
            if held is None:
                held = np.empty(field.shape, part.dtype)
            if codes is not None and held.dtype != part.dtype:
                # One of the chunks holds values that the codes cannot represent, such as unreadable cells.
                held, part = (decoded(a, codes.attrs) if a.dtype == codes.dtype else a for a in (held, part))
            held[dates] = part
        if codes is None or held is None or held.dtype != codes.dtype:
            return field.copy(data=held)
        # xarray decodes this variable when it is indexed.
        stored = xr.Variable(field.dims, held, codes.attrs)
        lazy = xr.conventions.decode_cf_variable("values", stored, decode_times=False)
        return xr.DataArray(lazy, field.coords, name=field.name, attrs=field.attrs)

    def _parts(self, box: _Box) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield the dates (counted in the box) and values of a box, chunk by chunk in time."""
        lengths = stored_chunks(self.archive.field)[0]
        stops = list(accumulate(lengths))
        numbers = range(bisect_right(stops, box.dates.start), bisect_left(stops, box.dates.stop) + 1)
        is_kept = max(lengths[number] for number in numbers) * self._bytes(box.cells) <= self.sizes.kept_bytes
        for number in numbers:
            first, stop = stops[number] - lengths[number], stops[number]
            inner = slice(max(box.dates.start, first), min(box.dates.stop, stop))
            if is_kept:
                values = self._chunk(box._replace(dates=slice(first, stop)))[moved(inner, -first)]
            else:
                values = self._read(box._replace(dates=inner))
            yield moved(inner, -box.dates.start), values

    def _read(self, box: _Box) -> np.ndarray:
        """Read values as they are held: as codes where decoding those returns the same bits."""
        # Tasks run side by side, on threads or on a cluster: no second pool inside them.
        parts = [
            self.archive.field[box.dates, :, box.rows, part].compute(scheduler="synchronous").values
            for part in stretches(box.columns, self.archive.domain.shape[1])
        ]
        values = parts[0] if len(parts) == 1 else np.concatenate(parts, -1)
        packed = None if self._codes is None else as_codes(values, self._codes)
        return values if packed is None else packed

    def _chunk(self, box: _Box) -> np.ndarray:
        """Return the values of whole chunks in time, from the cache if it has them."""
        key = (box.dates.start, box.rows.start, box.columns.start)
        with self._guard:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        # One thread decodes at a time, because consecutive tasks would decode the same chunk.
        with self._decoding:
            if key in self._kept:
                return self._kept[key]
            values = self._read(box)
            with self._guard:
                self._kept[key] = values
                while sum(part.nbytes for part in self._kept.values()) > self.sizes.kept_bytes:
                    self._kept.popitem(last=False)
            return values


def as_codes(values: np.ndarray, codes: Codes) -> np.ndarray | None:
    """Return values as the integers of a packing, or None where decoding those would not return the same bits.

    It would not where a field was changed after it was decoded, or where a NaN marks an unreadable cell.

    Parameters
    ----------
    values : ndarray, shape (T, C, H, W)
    codes : Codes

    Examples
    --------
    >>> as_codes(np.array([[20.5, np.nan]]), Codes(np.dtype("int16"), 0.5, None, -1))
    array([[41, -1]], dtype=int16)
    """
    packed = np.empty(values.shape, codes.dtype)
    for date, target in zip(plain_gaps(values), packed):
        try:
            target[...] = codes.pack(date, "the field")
        except InputError:
            return None
        again = decoded(target, codes.attrs)
        if again.dtype != date.dtype or again.tobytes() != date.tobytes():
            return None
    return packed
