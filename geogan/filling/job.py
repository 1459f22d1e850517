"""A fill that any process can take part in: a small description, and what a process makes of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from functools import cached_property
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import torch
import xarray as xr

from geogan.archive import Archive
from geogan.compute.device import find_device
from geogan.compute.threads import side_by_side
from geogan.fields.axes import Axes
from geogan.fields.field import Field
from geogan.fields.storage import Container, Storage, value_type
from geogan.fields.variables import split_variables
from geogan.filling.compose import (
    REFUSED,
    SCREENED,
    UNREADABLE,
    check_held,
    choose_storages,
    error_limits,
    product_of,
    room_of,
)
from geogan.filling.fill import check_members, prepared, slab_parts, with_screen
from geogan.filling.panels import Panel
from geogan.filling.plan import Plan, plan
from geogan.filling.reader import SlabReader
from geogan.filling.tiles import Tile
from geogan.io import PLAIN, Reading, Source, check_measured, open_source, select_time
from geogan.model import Model, digest, load_model
from geogan.operators.errors import InputError
from geogan.product import PreviousProduct, checksums

# Cells of a stored chunk along y and x, and dates of one at most; of samples so many that they hold these values.
CHUNK, CHUNK_DATES, CHUNK_VALUES = 512, 8, 500_000


@dataclass(frozen=True)
class Job:
    """What is filled, with which model, and how: small and plain, so that any process can begin from it.

    Attributes
    ----------
    data : tuple of str
        Paths or URLs of the archive.
    model : str
        Folder of the run.
    digest : str
        Of the model's weights.
    variable, time, keep_observed, members, max_error, seed, device, skip_bad, screen
        As in `geogan.pipelines.fill.fill`.
    allow_product : bool
        Whether the archive may be a filled product of geogan.
    settled : (str, int), optional
        A product, and how many of its first dates are to stay as they are there.
    storages : tuple of Storage, optional
        How each variable is stored; by default as suits a Zarr store.
    reading : Reading
        How the archive is read.
    """

    data: tuple[str, ...]
    model: str
    digest: str
    variable: str | tuple[str, ...] | None = None
    time: str | None = None
    keep_observed: bool | None = None
    members: int = 1
    max_error: float | str | tuple[float, ...] | None = None
    seed: int = 0
    device: str = "auto"
    skip_bad: bool = False
    allow_product: bool = False
    screen: bool | None = None
    settled: tuple[str, int] | None = None
    storages: tuple[Storage, ...] | None = None
    reading: Reading = PLAIN

    def anywhere(self) -> Job:
        """The same job with paths that mean the same in another folder."""
        data = tuple(path if "://" in path else str(Path(path).absolute()) for path in self.data)
        return replace(self, data=data, model=str(Path(self.model).absolute()))


@dataclass(frozen=True, eq=False)
class Filler:
    """A job, opened: model and archive are there, and each region can be made.

    Attributes
    ----------
    job : Job
    model : Model
        On its device.
    field : DataArray, shape ([time,] [band,] y, x)
        The whole archive, lazy.
    chosen : DataArray
        Those dates of it that are written.
    attrs : dict
        Global attributes of the archive.
    paths : tuple of str
        Where it came from.
    archive : Archive
        As the model sees it.
    reader : SlabReader
        Of its dates.
    axes : Axes
    dates : slice
        The chosen ones.
    cut : Plan
        Its slabs are the regions of the product.
    device : torch.device
    sums : dict of ndarray
        Checksums of what was read for each region that was made, by number.
    read_as : tuple of str
        Sentences on how the archive was read.
    """

    job: Job
    model: Model
    field: xr.DataArray
    chosen: xr.DataArray
    attrs: dict[str, Any]
    paths: tuple[str, ...]
    archive: Archive
    reader: SlabReader
    axes: Axes
    dates: slice
    cut: Plan
    device: torch.device
    sums: dict[int, np.ndarray] = dataclass_field(default_factory=dict)
    read_as: tuple[str, ...] = ()

    @classmethod
    def open(cls, job: Job, *, folder: Path | None = None) -> Filler:
        """Open model and archive.

        Parameters
        ----------
        job : Job
        folder : Path, optional
            Where the model is, if not where the job says.

        Raises
        ------
        InputError
            Where they cannot be used, or not for each other, or the model is another than the job's.
        """
        device = find_device(job.device)
        model = with_screen(_very_model(job, folder or job.model), job.screen).on(device)
        check_members(model, job.members)
        error_limits(model, job.max_error, job.members)
        source = _opened(job, model.variable)
        if not job.allow_product:
            check_measured(source)
        stated = model.observation_error
        error = None
        if isinstance(stated, str):
            reading = source.reading.unconditional()
            error = open_source(job.data, variable=stated, skip_bad=job.skip_bad, reading=reading).field
        field = Field.of(source.field)
        axes, archive = field.axes, prepared(model, field, error=error)
        chosen = source.field if job.time is None else select_time(source.field, job.time)
        dates = _where(source.field, chosen, axes.time)
        cut = plan(model, archive, dates=dates, members=job.members)
        reader = SlabReader(archive, slabs=() if cut.panelled else cut.slabs)
        return cls(
            job=job,
            model=model,
            field=source.field,
            chosen=chosen,
            attrs=source.attrs,
            paths=source.paths,
            archive=archive,
            reader=reader,
            axes=axes,
            dates=dates,
            cut=cut,
            device=device,
            read_as=source.notes,
        )

    @property
    def keep_observed(self) -> bool:
        """Whether measured values come back as they are."""
        return self.model.exact if self.job.keep_observed is None else self.job.keep_observed

    @cached_property
    def storages(self) -> tuple[Storage, ...]:
        """How each variable of the product is stored: as the job says, else as suits a Zarr store."""
        return self.storages_in("zarr") if self.job.storages is None else self.job.storages

    def storages_in(self, container: Container, *, as_floats: str = "") -> tuple[Storage, ...]:
        """Choose how each variable is stored in a product of that kind; as floats where a reason for them is given."""
        return choose_storages(self.archive, self.field, container=container, is_proven=True, as_floats=as_floats)

    def stored(self, storages: tuple[Storage, ...]) -> Filler:
        """The same, with its variables stored so."""
        return replace(self, job=replace(self.job, storages=storages))

    def region(self, number: int) -> dict[str, slice]:
        """Where a slab stands in the product."""
        slab, panel = self.cut.at(number)
        region = {}
        if self.axes.time is not None:
            core = slab.core
            region[self.axes.time] = slice(core.start - self.dates.start, core.stop - self.dates.start)
        if self.cut.panelled:
            region |= {self.axes.y: panel.y.core, self.axes.x: panel.x.core}
        return region

    def arrays(self, number: int) -> dict[str, np.ndarray]:
        """Values of every variable of the product in a region; what was read for it is noted in ``sums``."""
        slab, panel = self.cut.at(number)

        def look(held: Archive, here: Tile) -> None:
            self.sums[number] = _sums(held, here.read, self.reader.archive is held, panel)

        parts = slab_parts(
            self.model,
            self.reader,
            self.cut,
            slab,
            panel=panel,
            keep_observed=self.keep_observed,
            max_error=error_limits(self.model, self.job.max_error, self.job.members),
            room=room_of(self.storages),
            members=self.job.members,
            seed=self.job.seed,
            device=self.device,
            look=look,
        )
        chosen = self.chosen.isel(self.region(number))
        field = Field(chosen, self.axes)
        filled = product_of(self.model, field, self.storages, *map(field.unstacked, parts))
        if self.job.settled is not None and self.axes.time is not None:
            path, dates = self.job.settled
            filled = PreviousProduct.open(Path(path)).put_back(filled, self.axes.time, self.region(number), dates)
        arrays = {str(name): array.values for name, array in filled.data_vars.items()}
        for name, storage in zip(self.names, self.storages, strict=True):
            check_held(storage, arrays[name], arrays[f"{name}_source"], f"{name} of {self.paths[0]}")
        return arrays

    def checksums(self, numbers: Sequence[int], *, threads: int | None = None) -> dict[int, np.ndarray]:
        """Compute the checksums of what some regions read of the archive as it is now, without filling them.

        Parameters
        ----------
        numbers : sequence of int
        threads : int, optional
            Regions read at a time; by default one a core.

        Returns
        -------
        sums : dict of ndarray of uint32
            For each region one number for each date that it reads.
        """

        def look(number: int) -> np.ndarray:
            slab, panel = self.cut.at(number)
            held, here = self.reader.hold(slab, panel)
            return _sums(held, here.read, self.reader.archive is held, panel)

        return dict(zip(numbers, side_by_side(look, numbers, threads=threads)))

    @property
    def read(self) -> range:
        """Dates of the archive that are read at all."""
        slabs = self.cut.slabs
        return range(slabs[0].read.start, slabs[-1].read.stop)

    def notes(self, number: int, arrays: Mapping[str, np.ndarray]) -> list[str]:
        """Return messages about a region: its cells that could not be read, and those that its packing cannot hold."""
        found = []
        for name, storage in zip(self.names, self.storages, strict=True):
            source = arrays[f"{name}_source"]
            lost = source == UNREADABLE
            if lost.any():
                found.append(f"{name}, {self._where(number, lost)}: {lost.sum():,} cells could not be read")
            left = source == SCREENED
            if left.any():
                found.append(
                    f"{name}, {self._where(number, left)}: {left.sum():,} observations were screened and estimated"
                )
            beyond = self._beyond(name, source, arrays) if storage.room is not None else lost[:0]
            if beyond.any():
                low, high = (f"{end:g}" for end in storage.room or ())
                found.append(
                    f"{name}, {self._where(number, beyond)}: {beyond.sum():,} cells are left empty and flagged as "
                    f"refused, because their predictions lie outside {low} to {high}, which is what {storage.source} "
                    "holds here"
                )
        return found

    @property
    def names(self) -> list[str]:
        """The filled variables."""
        return [str(one.name or self.model.variable) for one in split_variables(self.chosen)]

    def _beyond(self, name: str, source: np.ndarray, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """Refused cells whose predicted error is small enough: those that a packing cannot hold."""
        limits = error_limits(self.model, self.job.max_error, self.job.members)
        if limits is None:
            return source == REFUSED
        limit = limits[self.names.index(name) if len(limits) == len(self.names) else slice(None)]
        shape = [-1 if dim == self.axes.band else 1 for dim in self.chosen.dims if dim in self._dims]
        return (source == REFUSED) & (arrays[f"{name}_std"] <= limit.reshape(shape))

    @property
    def _dims(self) -> list[str]:
        """Dimensions of each filled variable."""
        return [str(dim) for dim in split_variables(self.chosen)[0].dims]

    def _where(self, number: int, cells: np.ndarray) -> str:
        """The dates of some cells of a region, and its rows and columns where it is a part of the grid."""
        where = "the map"
        if self.axes.time is not None:
            dates = self.chosen[self.axes.time].values[self.region(number)[self.axes.time]]
            other = tuple(axis for axis, dim in enumerate(self._dims) if dim != self.axes.time)
            first, last = dates[cells.any(other)][[0, -1]]
            where = f"{first} to {last}".replace("T00:00:00.000000000", "")
        if self.cut.panelled:
            y, x = self.cut.at(number)[1]
            rows, columns = (f"{side.core.start} to {side.core.stop - 1}" for side in (y, x))
            where += f", rows {rows} and columns {columns}"
        return where

    @property
    def told(self) -> dict[str, Any]:
        """What a product says of how it was filled, as JSON can hold it."""
        told = {
            "model": self.job.digest,
            "variable": str(self.field.name),
            "members": self.job.members,
            "max_error": None if self.job.max_error is None else str(self.job.max_error),
            "keep_observed": self.keep_observed,
            "seed": self.job.seed,
            **({"where": self.job.reading.where} if self.job.reading.where else {}),
            "dates_of_archive": len(self.archive.days),
            "first_date": self.dates.start,
            "slab_and_margin": [self.cut.dates, self.cut.margin],
        }
        told |= {"panel": self._panel} if self.cut.panelled else {}
        screen = self.model.screen
        told |= {} if screen is None or screen.threshold is None else {"screen": screen.threshold}
        return told | ({"is_periodic": True} if self.cut.is_periodic else {})

    @property
    def _panel(self) -> list[int]:
        """Rows and columns of a panel."""
        return [side[0].core.stop for side in (self.cut.down, self.cut.across)]

    def same_as(self, told: Mapping[str, Any], dates: int) -> set[int]:
        """Slabs that came out the same when the archive ended earlier.

        A slab is what it was if it reads the same dates; so those go that saw beyond the old end, and all where dates
        came before the first, their spacing now asks for another margin, or another geogan cuts otherwise.

        Parameters
        ----------
        told : mapping
            What the earlier product says.
        dates : int
            How many of the product's dates there were.
        """
        first, before = int(told["first_date"]), self.before(told, dates)
        if first != self.dates.start or told["slab_and_margin"] != [before.dates, before.margin]:
            return set()
        panels, count = [(each.down, each.across) for each in (self.cut, before)], len(self.cut.slabs)
        if panels[0] != panels[1] or told.get("panel") != (self._panel if self.cut.panelled else None):
            return set()
        if told.get("is_periodic", False) != self.cut.is_periodic:
            return set()
        same = [number for number, (now, then) in enumerate(zip(self.cut.slabs, before.slabs)) if now == then]
        return {first + number for first in range(0, self.cut.total, count) for number in same}

    def before(self, told: Mapping[str, Any], dates: int) -> Plan:
        """How an earlier product of this archive was cut, which had so many dates."""
        first = int(told["first_date"])
        shorter = replace(self.archive, days=self.archive.days[: int(told["dates_of_archive"])])
        return plan(self.model, shorter, dates=slice(first, first + dates), members=self.job.members)

    def looking_at(self, dates: Sequence[int]) -> set[int]:
        """Slabs that read some of the product's dates."""
        reads = [(number, self.cut.at(number)[0].read) for number in range(self.cut.total)]
        there = [self.dates.start + date for date in dates]
        return {number for number, read in reads if any(read.start <= date < read.stop for date in there)}

    def template(self) -> xr.Dataset:
        """The product without its values."""
        shape = tuple(self.chosen.sizes[dim] for dim in self.axes.dims)
        empty = [da.empty(shape, dtype=kind) for kind in (value_type(self.field.dtype), np.int8)]
        if self.model.error is not None or self.job.members > 1:
            empty.append(da.empty(shape, dtype=np.float32))
        if self.job.members > 1:
            empty.append(da.empty((self.job.members, *shape), dtype=np.float32))
        return product_of(self.model, Field(self.chosen, self.axes), self.storages, *empty)

    def chunks(self) -> dict[str, int]:
        """Stored chunk along each dimension: regions begin where chunks do, however many more dates there will be."""
        chunks = {self.axes.y: CHUNK, self.axes.x: CHUNK}
        if self.cut.panelled:
            chunks = {self.axes.y: _part(self.cut.down), self.axes.x: _part(self.cut.across)}
        if self.job.members > 1:
            chunks["member"] = 1
        if self.axes.time is not None:
            common = math.gcd(self.cut.dates, self.dates.start % self.cut.dates)
            most = CHUNK_DATES
            if self.axes.independent:
                most = max(most, CHUNK_VALUES // (self.archive.bands * self.archive.domain.size))
            chunks[self.axes.time] = max(part for part in range(1, most + 1) if common % part == 0)
        return chunks


def differing(cut: Plan, before: Mapping[int, np.ndarray], now: Mapping[int, np.ndarray]) -> tuple[set[int], set[int]]:
    """Find regions that read other values now than before, and the dates that differ.

    Parameters
    ----------
    cut : Plan
    before, now : mapping of int to ndarray
        Checksums by number of the region, one for each date that it reads. Regions that are in one of them alone do not
        count.

    Returns
    -------
    regions : set of int
    dates : set of int
        Of the archive.
    """
    regions, dates = set[int](), set[int]()
    for number in before.keys() & now.keys():
        (places,) = np.nonzero(before[number] != now[number])
        if len(places):
            regions.add(number)
            dates.update((cut.at(number)[0].read.start + places).tolist())
    return regions, dates


def by_place(cut: Plan, sums: Mapping[int, np.ndarray]) -> list[tuple[tuple[int, int], int]]:
    """List the checksums of regions by panel and date of the archive; what two regions read is there twice.

    Parameters
    ----------
    cut : Plan
    sums : mapping of int to ndarray
        By number of the region, one for each date that it reads.
    """
    return [
        ((number // len(cut.slabs), cut.at(number)[0].read.start + index), int(value))
        for number, values in sums.items()
        for index, value in enumerate(values)
    ]


def _sums(held: Archive, read: slice, is_whole: bool, panel: Panel) -> np.ndarray:
    """Checksums of the dates that a slab reads, of an archive that holds them and its panel, or is the whole one."""
    place = (read, slice(None), panel.y.read, panel.x.read) if is_whole else (read,)
    error = held.error[place] if isinstance(held.error, xr.DataArray) else None
    return checksums(held.field[place], error)


def _part(panels: list[Tile]) -> int:
    """Cells of a stored chunk where panels are regions: their largest divisor that is no larger than CHUNK."""
    size = panels[0].core.stop
    if len(panels) == 1:
        return min(CHUNK, size)
    return max(part for part in range(1, CHUNK + 1) if size % part == 0)


def _very_model(job: Job, folder: str | Path) -> Model:
    """The model that the job names, not one that took its place: a training goes on replacing it."""
    model = load_model(folder)
    # The job has that of before loading: what is the same before and after is what was loaded.
    if digest(folder) != job.digest:
        raise InputError(
            f"the model {job.model} has changed since the fill began; wait for its training to end, or fill with a copy"
        )
    return model


def _opened(job: Job, name: str) -> Source:
    """The archive: the variable that was asked for, or the model's; or the data's only one, or what is refused."""
    try:
        return open_source(job.data, variable=job.variable or name, skip_bad=job.skip_bad, reading=job.reading)
    except InputError:
        if job.variable or "," in name:
            raise
    return open_source(job.data, skip_bad=job.skip_bad, reading=job.reading)


def _where(field: xr.DataArray, chosen: xr.DataArray, time: str | None) -> slice:
    """Which dates of a field were chosen."""
    if time is None:
        return slice(0, 1)
    if chosen.sizes[time] == field.sizes[time]:
        return slice(0, field.sizes[time])
    first = int(np.flatnonzero(field[time].values == chosen[time].values[0])[0])
    return slice(first, first + chosen.sizes[time])
