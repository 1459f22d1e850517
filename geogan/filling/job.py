"""Describe a fill in a few plain values, so that any process can open it and take part in it."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import dask.array as da
import numpy as np
import xarray as xr

from geogan.archive import Archive
from geogan.compute.device import find_device
from geogan.compute.threads import side_by_side
from geogan.fields.axes import Axes
from geogan.fields.codes import Container
from geogan.fields.covariates import files_of
from geogan.fields.field import Field
from geogan.fields.storage import Storage, value_type
from geogan.fields.time_range import is_relative, select_time, span_of
from geogan.fields.variables import split_variables
from geogan.filling.compose import REFUSED, SCREENED, UNREADABLE, check_held, choose_storages, product_of
from geogan.filling.fill import Filler, FillOptions
from geogan.filling.plan import Plan, Task
from geogan.filling.tiles import Span
from geogan.io import Reading, Source, describe_source, open_covariates, open_source
from geogan.model import Model, digest, load_model
from geogan.operators.errors import InputError
from geogan.operators.wording import counted
from geogan.product import date_checksums


@dataclass(frozen=True)
class Job:
    """A fill of files: which archive, with which model, and how.

    Attributes
    ----------
    data : tuple of str
        Paths or URLs of the archive.
    model : str
        Folder of the run.
    digest : str
        Digest of the model's weights.
    variable : str or tuple of str, optional
        By default the model's variables where the archive has them, else the archive's only one.
    time : str, optional
        Dates to write; the dates around them are read too.
    options : FillOptions
    reading : Reading
        How the archive is read.
    skip_bad : bool
        Take chunks that cannot be read for gaps.
    allow_product : bool
        Accept a filled product of geogan as the archive.
    device : str
    covariates : tuple of str
        The model's covariates, with FILE:VARIABLE for those of another file.
    command : str
        Command line that asked for the fill, for the history of the product.
    question : str
        Digest of what a fill without a given model was asked for, kept in the product; empty with a given model.
    """

    data: tuple[str, ...]
    model: str
    digest: str
    variable: str | tuple[str, ...] | None = None
    time: str | None = None
    options: FillOptions = field(default_factory=FillOptions)
    reading: Reading = Reading()
    skip_bad: bool = False
    allow_product: bool = False
    device: str = "auto"
    covariates: tuple[str, ...] = ()
    command: str = ""
    question: str = ""

    def anywhere(self) -> Job:
        """Return the same job with absolute paths, for a process in another folder."""
        data = tuple(map(_absolute, self.data))
        covariates = tuple(
            f"{_absolute(path)}:{name}" if path else name
            for path, _, name in (text.rpartition(":") for text in self.covariates)
        )
        return replace(self, data=data, model=str(Path(self.model).absolute()), covariates=covariates)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Paths or URLs of the archive and of covariates in other files."""
        return (*self.data, *files_of(self.covariates))


def _absolute(path: str) -> str:
    return path if "://" in path else str(Path(path).absolute())


class TaskResult(NamedTuple):
    """A filled task: the variables of the product, messages about it, and the checksums of what it read."""

    number: int
    arrays: dict[str, np.ndarray]
    notes: tuple[str, ...]
    sums: np.ndarray


@dataclass(frozen=True, eq=False)
class OpenJob:
    """A job with its model and archive, whose tasks can be filled.

    Attributes
    ----------
    job : Job
    source : Source
        The whole archive, lazy.
    chosen : Field
        The dates of it that are written.
    dates : slice
        These dates, counted in the archive.
    filler : Filler
        The same tasks as those of `geogan.filling.fill.fill_field`.
    """

    job: Job
    source: Source
    chosen: Field
    dates: slice
    filler: Filler

    @classmethod
    def open(cls, job: Job, *, folder: Path | None = None, storages: tuple[Storage, ...] | None = None) -> OpenJob:
        """Open model and archive.

        Parameters
        ----------
        job : Job
        folder : Path, optional
            Folder of the model, if not the job's.
        storages : tuple of Storage, optional
            How each variable of the product is stored; by default as suits a Zarr store.

        Raises
        ------
        InputError
            If model or archive cannot be used, do not fit together, or the model is not the job's.
        """
        device = find_device(job.device)
        model = _load(job, folder or job.model)
        source = _open_archive(job, model.variable)
        if not job.allow_product:
            source.check_measured()
        stated, error = model.observation_error, None
        if isinstance(stated, str):
            reading = source.reading.unconditional()
            error = open_source(job.data, variable=stated, skip_bad=job.skip_bad, reading=reading).field.array
        chosen = source.field if job.time is None else select_time(source.field, job.time)
        if job.time is not None and is_relative(job.time):
            # The last date of the archive is another one when another process opens it later.
            job = replace(job, time=span_of(chosen))
        dates = _chosen_dates(source.field, chosen)
        covariates = None
        if model.covariates is not None and model.covariates.varying:
            covariates = open_covariates(job.data, job.covariates, reading=source.reading)
        filler = Filler.of(
            model,
            source.field,
            job.options,
            error=error,
            covariates=covariates,
            dates=dates,
            device=device,
            storages=(),
        )
        opened = cls(job, source, chosen, dates, filler.on(device))
        return opened.stored(opened.storages_in("zarr") if storages is None else storages)

    @property
    def field(self) -> xr.DataArray:
        """The whole archive."""
        return self.source.field.array

    @property
    def axes(self) -> Axes:
        """Names of the dimensions."""
        return self.source.field.axes

    @property
    def model(self) -> Model:
        """The model, on its device."""
        return self.filler.model

    @property
    def plan(self) -> Plan:
        """The tasks."""
        return self.filler.plan

    @property
    def storages(self) -> tuple[Storage, ...]:
        """How each variable of the product is stored."""
        return self.filler.storages

    @property
    def names(self) -> list[str]:
        """The filled variables."""
        return [str(variable.name or self.model.variable) for variable in split_variables(self.chosen.array)]

    def storages_in(self, container: Container, *, as_floats: str = "") -> tuple[Storage, ...]:
        """Choose how each variable is stored in a container; as floats where a reason for floats is given."""
        return choose_storages(
            self.filler.archive, self.field, container=container, is_proven=True, as_floats=as_floats
        )

    def stored(self, storages: tuple[Storage, ...]) -> OpenJob:
        """Return the job with its variables stored in another way."""
        return replace(self, filler=self.filler.stored(storages))

    def planned(self, tasks: Plan) -> OpenJob:
        """Return the job with the plan of another process."""
        return replace(self, filler=replace(self.filler, plan=tasks))

    def box(self, number: int) -> dict[str, slice]:
        """Return where a task stands in the product."""
        task, box = self.plan.task(number), {}
        if self.axes.time is not None:
            core = task.dates.core
            box[self.axes.time] = slice(core.start - self.dates.start, core.stop - self.dates.start)
        if not self.plan.has_whole_maps:
            box |= {self.axes.y: task.rows.core, self.axes.x: task.columns.core}
        return box

    def fill(self, number: int) -> TaskResult:
        """Fill a task."""
        sums: list[np.ndarray] = []
        parts = self.filler.arrays(
            self.plan.task(number), look=lambda held, task: sums.append(self._checksums(held, task))
        )
        field = self.chosen.with_array(self.chosen.array.isel(self.box(number)))
        product = product_of(self.model, field, self.storages, [field.unstacked(part) for part in parts])
        arrays = {str(name): array.values for name, array in product.data_vars.items()}
        for name, storage in zip(self.names, self.storages, strict=True):
            check_held(storage, arrays[name], arrays[f"{name}_source"], f"{name} of {self.source.paths[0]}")
        return TaskResult(number, arrays, tuple(self._notes(number, arrays)), sums[0])

    def checksums(self, numbers: Sequence[int], *, threads: int | None = None) -> dict[int, np.ndarray]:
        """Compute the checksums of what some tasks read of the archive as it is now, without filling them.

        Parameters
        ----------
        numbers : sequence of int
        threads : int, optional
            Tasks read at a time; by default one a core.

        Returns
        -------
        sums : dict of ndarray of uint32
            For each task one number for each date that it reads.
        """

        def read(number: int) -> np.ndarray:
            return self._checksums(*self.filler.reader.hold(self.plan.task(number)))

        return dict(zip(numbers, side_by_side(read, numbers, threads=threads)))

    def _checksums(self, held: Archive, task: Task) -> np.ndarray:
        """Return the checksums of the dates that a task reads, of its own part or of the whole archive."""
        is_whole = held.field.chunks is not None
        part = (task.dates.read, slice(None), task.rows.read, task.columns.read) if is_whole else (task.dates.read,)
        error = held.error[part] if isinstance(held.error, xr.DataArray) else None
        varying = () if held.covariates is None else held.covariates.varying
        cells = (task.rows.read, task.columns.read) if is_whole else (slice(None), slice(None))
        values = [covariate.stored(task.dates.read, *cells, held.domain.shape[1]) for covariate in varying]
        return date_checksums(held.field[part], error, covariates=values)

    def file_states(self) -> np.ndarray | None:
        """Return a number for each date of the archive, which changes with the date's file.

        Returns
        -------
        states : ndarray of uint32 or None
            None for an archive of one file, or of files whose state the storage does not tell.
        """
        files, reading = self.source.files_of_dates, self.source.reading.plain
        if not files or files_of(self.job.covariates):
            return None
        states = {path: describe_source([path]) for path in dict.fromkeys(files)}
        if None in states.values():
            return None
        numbers = {path: zlib.crc32(f"{state} {reading}".encode()) for path, state in states.items()}
        return np.array([numbers[path] for path in files], np.uint32)

    @property
    def dates_read(self) -> range:
        """Dates of the archive that are read at all."""
        spans = self.plan.dates
        return range(spans[0].read.start, spans[-1].read.stop)

    def _notes(self, number: int, arrays: Mapping[str, np.ndarray]) -> list[str]:
        """Return messages about a task: its unreadable and screened cells, and those that its packing cannot hold."""
        notes = []
        for name, storage in zip(self.names, self.storages, strict=True):
            source = arrays[f"{name}_source"]
            is_lost, is_screened = source == UNREADABLE, source == SCREENED
            if is_lost.any():
                notes.append(
                    f"{name}, {self._where(number, is_lost)}: {counted(int(is_lost.sum()), 'cell')} could not be read"
                )
            if is_screened.any():
                where, count = self._where(number, is_screened), int(is_screened.sum())
                notes.append(f"{name}, {where}: screened and replaced {counted(count, 'observation')}")
            is_beyond = self._beyond(name, source, arrays) if storage.room is not None else is_lost[:0]
            if is_beyond.any():
                low, high = (f"{end:g}" for end in storage.room or ())
                notes.append(
                    f"{name}, {self._where(number, is_beyond)}: {counted(int(is_beyond.sum()), 'cell')} left empty "
                    f"and flagged as refused, because predictions lie outside {low} to {high}, the range of "
                    f"{storage.source} here"
                )
        return notes

    def _beyond(self, name: str, source: np.ndarray, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the refused cells whose predicted error is accepted: those that a packing cannot hold."""
        limits = self.filler.acceptance.max_error
        if not isinstance(limits, np.ndarray):
            return source == REFUSED
        limit = limits[self.names.index(name) if len(limits) == len(self.names) else slice(None)]
        shape = [-1 if dim == self.axes.band else 1 for dim in self.chosen.array.dims if dim in self._dims]
        return (source == REFUSED) & (arrays[f"{name}_std"] <= limit.reshape(shape))

    @cached_property
    def _dims(self) -> list[str]:
        """Dimensions of each filled variable."""
        return [str(dim) for dim in split_variables(self.chosen.array)[0].dims]

    def _where(self, number: int, cells: np.ndarray) -> str:
        """Return the dates of some cells of a task in words, and the task's rows and columns where the grid is cut."""
        where = "the map"
        if self.axes.time is not None:
            dates = self.chosen.array[self.axes.time].values[self.box(number)[self.axes.time]]
            others = tuple(axis for axis, dim in enumerate(self._dims) if dim != self.axes.time)
            first, last = dates[cells.any(others)][[0, -1]]
            where = f"{first} to {last}".replace("T00:00:00.000000000", "")
        if not self.plan.has_whole_maps:
            task = self.plan.task(number)
            rows, columns = (f"{span.core.start} to {span.core.stop - 1}" for span in (task.rows, task.columns))
            where += f", rows {rows} and columns {columns}"
        return where

    def template(self) -> xr.Dataset:
        """Return the product without its values."""
        shape = tuple(self.chosen.array.sizes[dim] for dim in self.axes.dims)
        kinds = [(value_type(self.field.dtype), 0), *self.filler.kinds[1:]]
        empty = [da.empty((count, *shape) if count else shape, dtype=kind) for kind, count in kinds]
        return product_of(self.model, self.chosen, self.storages, empty)

    def chunks(self) -> dict[str, int]:
        """Return the stored chunk along each dimension, such that tasks are whole chunks, also of a longer archive."""
        chunks = {self.axes.y: _chunk_cells(self.plan.rows), self.axes.x: _chunk_cells(self.plan.columns)}
        if self.job.options.members > 1:
            chunks["member"] = 1
        if self.axes.time is not None:
            # A chunk of 8 dates suits maps and time series alike; of small samples, about half a million values.
            most, sample_values = 8, 500_000
            if self.axes.independent:
                most = max(most, sample_values // (self.filler.archive.bands * self.filler.archive.domain.size))
            common = math.gcd(self.plan.size, self.dates.start % self.plan.size)
            chunks[self.axes.time] = max(count for count in range(1, most + 1) if common % count == 0)
        return chunks


def _chunk_cells(tasks: Sequence[Span], most: int = 512) -> int:
    """Return the cells of a stored chunk along an axis: the largest divisor of a task's cells up to ``most``.

    512 x 512 cells of 8 dates are 8 MiB of float32: few files, and not too much to decode for one map.
    """
    size = tasks[0].core.stop
    if len(tasks) == 1:
        return min(most, size)
    return max(cells for cells in range(1, most + 1) if size % cells == 0)


def _load(job: Job, folder: str | Path) -> Model:
    """Load the model that the job names; a training may have replaced it meanwhile."""
    model = load_model(folder)
    # The digest was taken before loading: if it is the same after loading, this model was loaded.
    if digest(folder) != job.digest:
        raise InputError(
            f"the model {job.model} has changed since the fill began; wait for its training to end, or fill with a copy"
        )
    return model


def _open_archive(job: Job, name: str) -> Source:
    """Open the variable that was asked for, or the model's, or the archive's only one."""
    try:
        return open_source(job.data, variable=job.variable or name, skip_bad=job.skip_bad, reading=job.reading)
    except InputError:
        if job.variable or "," in name:
            raise
    return open_source(job.data, skip_bad=job.skip_bad, reading=job.reading)


def _chosen_dates(field: Field, chosen: Field) -> slice:
    """Return which dates of a field were chosen."""
    time, (count, *_), (wanted, *_) = field.axes.time, field.shape, chosen.shape
    if time is None or wanted == count:
        return slice(0, count)
    first = int(np.flatnonzero(field.array[time].values == chosen.array[time].values[0])[0])
    return slice(first, first + wanted)
