"""``geogan fill``: from a gappy archive and a model to a filled archive."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import xarray as xr
from rich.console import Console
from rich.progress import Progress

import geogan
from geogan import defaults
from geogan.archive import Archive
from geogan.checkpoint import digest as digest_of
from geogan.checkpoint import load_model
from geogan.coordinates import find_axes, ordered, unstacked
from geogan.filling import check_members, compose, error_limits, fill_slab, plan, prepared, product_of
from geogan.io import check_field, open_source, select_time
from geogan.operators.errors import InputError
from geogan.parallel import side_by_side, steady_memory, workers
from geogan.product import Product, check_output
from geogan.reconstructor import find_device
from geogan.tiles import Tile

# Cells of a stored chunk along y and x, and dates of one at most; of samples so many that they hold these values.
CHUNK, CHUNK_DATES, CHUNK_VALUES = 512, 8, 500_000


def fill(
    data: str | Path | Sequence[str | Path],
    model: Path,
    out: Path,
    *,
    variable: str | Sequence[str] | None = None,
    time: str | None = None,
    keep_observed: bool | None = None,
    members: int = 1,
    max_error: float | str | Sequence[float] | None = None,
    seed: int = defaults.SEED,
    overwrite: bool = False,
    threads: int | None = None,
    device: str = "auto",
    console: Console | None = None,
) -> Path:
    """Fill an archive, region by region, into a Zarr store or a NetCDF file.

    A run that was stopped goes on where it was: the regions that are safely on disk are not computed again.

    Parameters
    ----------
    data : path or URL, or several
        The archive.
    model : Path
        Folder of a run.
    out : Path
        ``.zarr`` or ``.nc``.
    variable : str or sequence of str, optional
        By default the one the model was trained on, where it is there, or the several; each is written with all that
        goes with it.
    time : str, optional
        Dates to write; the dates around them are looked at all the same.
    keep_observed : bool, optional
        Return measured values bit for bit; by default, unless they are known to be noisy or blurred.
    members : int
        Draws of the ensemble, written as ``*_member``; 1 for the best estimate alone.
    max_error : float, str or sequence of float, optional
        Leave cells empty whose predicted error is larger, in the field's units; of several variables one each, as text
        with commas between.
    seed : int
        Of the members.
    overwrite : bool
        Replace an earlier product of geogan.
    threads : int, optional
        Slabs computed at a time; by default one a core.
    device : str
    console : Console, optional
        Where to show progress; None for silence.

    Returns
    -------
    Path
        The product.

    Raises
    ------
    InputError
        Where something cannot be used; nothing is written under the name ``out`` then.
    """
    out = check_output(out, overwrite=overwrite)
    workers(threads)
    steady_memory()
    place = find_device(device)
    trained = load_model(model).on(place)
    check_members(trained, members)
    limits = error_limits(trained, max_error, members)
    source = open_source(data, variable=variable or _known(data, trained.variable))
    field = source.field
    stated = trained.observation_error
    error = open_source(data, variable=stated).field if isinstance(stated, str) else None
    archive = prepared(trained, field, error=error)
    axes = find_axes(field)
    check_field(field, axes)
    if field.name != trained.variable and console is not None:
        console.print(
            f"the model was trained on {trained.variable}, and fills {field.name}: right only if they are one quantity",
            highlight=False,
            soft_wrap=True,
        )
    chosen = field if time is None else select_time(field, time)
    dates = _where(field, chosen, axes.time)
    keep = trained.exact if keep_observed is None else keep_observed
    cut = plan(trained, archive, dates=dates, members=members)

    shape = tuple(chosen.sizes[dim] for dim in ordered(axes))
    empty = [da.empty(shape, dtype=kind) for kind in (field.dtype, np.int8)]
    if trained.error is not None or members > 1:
        empty.append(da.empty(shape, dtype=np.float32))
    if members > 1:
        empty.append(da.empty((members, *shape), dtype=np.float32))
    template = product_of(trained, chosen, *empty)
    named = field.attrs.get("long_name", trained.variable)
    template.attrs = {"title": f"{named}, gaps filled", **source.attrs}
    template.attrs["history"] = _history(source.attrs, trained.variable, model)
    identity = [digest_of(model), *source.paths, str(field.name), str(shape), str(dates), str(keep), str(source.attrs)]
    identity += [str(members), str(max_error), str(seed)]
    identity.append(_fingerprint(archive))
    digest = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:32]
    chunks = {axes.y: CHUNK, axes.x: CHUNK}
    if members > 1:
        chunks["member"] = 1
    if axes.time is not None:
        # Regions must begin where chunks do.
        common = math.gcd(*(slab.core.start - dates.start for slab in cut.slabs))
        most = CHUNK_DATES
        if axes.independent:
            most = max(most, CHUNK_VALUES // (archive.bands * archive.domain.size))
        chunks[axes.time] = max(part for part in range(1, most + 1) if common % part == 0)

    def region(slab: Tile) -> dict[str, slice]:
        if axes.time is None:
            return {}
        return {axes.time: slice(slab.core.start - dates.start, slab.core.stop - dates.start)}

    def work(slab: Tile) -> None:
        with dask.config.set(scheduler="synchronous"):
            raw = np.asarray(archive.field[slab.core].values)
        made = fill_slab(trained, archive, slab, cut, members=members, seed=seed, device=place)
        parts = [part for part in compose(raw, made, keep_observed=keep, max_error=limits) if part is not None]
        filled = product_of(trained, chosen.isel(region(slab)), *(unstacked(part, axes) for part in parts))
        product.write(region(slab), {str(name): filled[name].values for name in template.data_vars})

    with Product.begin(out, template, chunks=chunks, digest=digest, overwrite=overwrite) as product:
        regions = [region(slab) for slab in cut.slabs]
        missing = product.missing(regions)
        todo = [slab for slab, part in zip(cut.slabs, regions) if part in missing]
        if console is not None and len(todo) < len(cut.slabs):
            console.print(f"going on: {len(cut.slabs) - len(todo)} of {len(cut.slabs)} regions are there already")
        done = len(cut.slabs) - len(todo)
        with Progress(console=console, transient=True, disable=console is None or not console.is_terminal) as bar:
            task = bar.add_task("filling", total=len(cut.slabs), completed=done)
            for _ in side_by_side(work, todo, threads=threads):
                bar.advance(task)
        finished = product.finish()
    if console is not None:
        console.print(f"{finished} is ready", highlight=False, soft_wrap=True)
    return finished


def _fingerprint(archive: Archive) -> str:
    """Tells two archives of one name apart: of the first, the middle and the last date."""
    summary = hashlib.sha256(archive.days.tobytes())
    count = len(archive.days)
    for date in sorted({0, count // 2, count - 1}):
        summary.update(np.ascontiguousarray(archive.field[date].values).tobytes())
        summary.update(np.ascontiguousarray(archive.errors(slice(date, date + 1))).tobytes())
    return summary.hexdigest()


def _known(data: str | Path | Sequence[str | Path], name: str) -> str | None:
    """The model's variable where the data have it; else the data's only one, or what is refused."""
    if "," in name:
        return name
    try:
        open_source(data, variable=name)
    except InputError:
        return None
    return name


def _where(field: xr.DataArray, chosen: xr.DataArray, time: str | None) -> slice:
    """Which dates of a field were chosen."""
    if time is None:
        return slice(0, 1)
    if chosen.sizes[time] == field.sizes[time]:
        return slice(0, field.sizes[time])
    first = int(np.flatnonzero(field[time].values == chosen[time].values[0])[0])
    return slice(first, first + chosen.sizes[time])


def _history(attrs: dict[str, object], variable: str, model: Path) -> str:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    line = f"{now} geogan {geogan.__version__}: gaps of {variable} filled with the model {digest_of(model)}"
    before = str(attrs.get("history", "")).strip()
    return f"{line}\n{before}" if before else line
