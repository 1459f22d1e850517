"""``geogan fill``: from a gappy archive and a model to a filled archive."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console
from rich.progress import Progress

import geogan
from geogan.archive import check_field, gap_sentences
from geogan.archive.archive import IN_MEMORY
from geogan.compute.extent import Extent
from geogan.compute.threads import side_by_side, steady_memory
from geogan.fields.field import Field
from geogan.fields.observation_error import error_checker
from geogan.fields.variables import split_variables
from geogan.files.attributes import FILL
from geogan.files.disk import writing
from geogan.files.places import check_apart
from geogan.files.run_folder import RUN, holds, read_run
from geogan.files.user_path import user_path
from geogan.filling.chunks import good_cost, warning
from geogan.filling.job import Filler, Job, by_place, differing
from geogan.filling.plan import Plan
from geogan.filling.regime import Regime
from geogan.filling.tiles import Tile
from geogan.io import Reading, find_paths
from geogan.io.files import is_zarr
from geogan.io.images import are_images
from geogan.model import digest as digest_of
from geogan.operators.errors import InputError
from geogan.product import (
    PreviousProduct,
    Product,
    changed_places,
    check_output,
    container_of,
    describe_source,
    has_digest,
    inputs_text,
    is_finished,
    is_resumable,
)
from geogan.settings import Settings, check_settings

# Why a product that is continued holds floats, where what is new could be packed.
CONTINUED = "the product that it continues holds floats"
# Dates looked at before an archive is filled that memory does not hold.
LOOKED_AT = 24
# Times that regions are filled again because the archive changed meanwhile; one that never rests cannot be filled.
ROUNDS = 3
# What a file says of the numbers in it that a product takes over.
_PACKED = ("dtype", "scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned")
_BOUNDS = ("units", "valid_min", "valid_max", "valid_range")


@dataclass(frozen=True)
class _Start:
    """What a fill begins with: the product's digest, and the regions that are taken over from an older product."""

    filler: Filler
    digest: str
    older: PreviousProduct | None
    kept: dict[int, np.ndarray]  # checksums of what they read, by number


def fill(
    data: str | Path | Sequence[str | Path],
    model: Path,
    out: Path,
    *,
    variable: str | Sequence[str] | None = None,
    time: str | None = None,
    group: str | None = None,
    dims: str | Mapping[str, str] | None = None,
    where: str | None = None,
    keep_observed: bool | None = None,
    members: int = 1,
    max_error: float | str | Sequence[float] | None = None,
    seed: int = Settings.seed,
    overwrite: bool = False,
    append: bool = False,
    refill: bool = True,
    skip_bad: bool = False,
    allow_product: bool = False,
    screen: bool | None = None,
    threads: int | None = None,
    scheduler: str | None = None,
    workers: int | None = None,
    device: str = "auto",
    console: Console | None = None,
) -> Path:
    """Fill an archive, region by region, into a Zarr store or a NetCDF file.

    A run that was stopped goes on where it was: the regions that are safely on disk are not computed again, unless what
    they were made from has changed in the archive since. One that is finished says so.

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
    group, dims, where : str, optional
        How the data are read, as in `geogan.io.open_field`; by default as the run was trained. An empty text stands for
        none.
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
        Replace an earlier product of geogan, and what is done of one that was begun otherwise. Where the archive has
        changed since the same fill was finished, only regions that read changed dates are computed.
    append : bool
        ``out`` is a finished product whose dates are the first of the archive's: only what is new is computed. What is
        there stays in its place until the longer product takes it, in one move. Regions that read dates which changed
        since are computed again.
    refill : bool
        When appending, fill those last dates again that were filled without the dates after them, so that the product
        is the one that would have been filled at once, bit for bit. Otherwise all that is there stays as it is.
    skip_bad : bool
        Take chunks of the input that cannot be read for gaps; their cells are flagged as unreadable, and counted at the
        end. Otherwise the first of them stops the fill.
    allow_product : bool
        Take a filled product of geogan as the archive, its estimates for observations.
    screen : bool, optional
        Leave out observations that neither neighbours nor the climatology support: their cells hold the estimate and
        are flagged as screened. By default as the model was trained.
    threads : int, optional
        Slabs computed at a time; by default one a core.
    scheduler : str, optional
        Address of a dask.distributed scheduler, whose workers fill instead of this process; they must see the archive
        and the folder of ``out`` under the same names.
    workers : int, optional
        So many processes of this machine fill instead of this one's threads. Python starts them anew, so a script that
        asks for them needs ``if __name__ == "__main__":``.
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
    check_settings(
        {"keep_observed": keep_observed, "members": members, "seed": seed, "threads": threads, "workers": workers}
    )
    if append and overwrite:
        raise InputError("a product is either appended to or overwritten; leave --append or --overwrite out")
    named, out = out, check_output(out, overwrite=True)
    check_apart(named, {"--data": data, "--model": model})
    _check_workers(scheduler, workers, threads)
    steady_memory()
    job = Job(
        data=tuple(find_paths(data)),
        model=str(user_path(model)),
        digest=digest_of(model),
        variable=variable if variable is None or isinstance(variable, str) else tuple(variable),
        time=time,
        keep_observed=keep_observed,
        members=members,
        max_error=max_error if max_error is None or isinstance(max_error, (str, int, float)) else tuple(max_error),
        seed=seed,
        device=device,
        skip_bad=skip_bad,
        allow_product=allow_product,
        reading=reading_of(model, group=group, dims=dims, where=where),
        screen=screen,
    )
    for path in job.data:
        # A folder that is no store is refused by its name, before all that lies in it is looked at.
        if "://" not in path and not are_images([path]):
            is_zarr(path)
    source = _state_of(job)
    filler = _storing(Filler.open(job), out)
    start = _start(filler, out, source, append=append, overwrite=overwrite, refill=refill, console=console)
    if start is None:
        return out
    filler, older = start.filler, start.older
    field, trained = filler.field, filler.model
    check_output(out, overwrite=overwrite or append)
    with _cluster(scheduler, workers) as cluster:
        for note in filler.read_as:
            _say(console, note)
        first = next(number for number in range(filler.cut.total) if number not in start.kept)
        for sentence in _check(filler, filler.cut.at(first)[0]):
            _say(console, sentence)
        if field.name != trained.variable:
            _say(
                console,
                f"the model was trained on {trained.variable}, and fills {field.name}: right only if they are one "
                "quantity",
            )
        for name, storage in zip(filler.names, filler.storages, strict=True):
            if storage.reason:
                _say(console, storage.sentence(name))
        with Product.begin(
            out,
            _template(filler),
            chunks=filler.chunks(),
            digest=start.digest,
            overwrite=overwrite or append,
            growing=filler.axes.time,
            after=None if older is None else older.mark,
        ) as product:
            if source is None or product.source != source:
                _compare(product, filler, threads, console)
            product.confirm(source)
            _take_over(product, start, out, console)
            read = _fill_up(product, start, source, cluster, threads, console)
            finished, notes = product.finish(inputs=read), product.notes
    for note in [*notes, f"{finished} is ready"]:
        _say(console, note)
    return finished


def _start(
    filler: Filler,
    out: Path,
    source: str | None,
    *,
    append: bool,
    overwrite: bool,
    refill: bool,
    console: Console | None,
) -> _Start | None:
    """Find out what there is to do; None where nothing is.

    Raises
    ------
    InputError
        Where a finished product of the same fill was made from data that have changed since, and is not to be replaced.
    """
    if append:
        older = _older(out)
        dates = older.check_continued(filler.told, filler.chosen, filler.axes)
        filler, kept = _continuing(filler, older, dates, refill, source, console)
        filler = _storing(filler, out, older)
        if len(kept) == filler.cut.total:
            _say(console, f"{out} has all {dates} dates already")
            return None
        return _Start(filler, _digest(filler, older), older, kept)
    digest, count = _digest(filler, None), filler.cut.total
    if not has_digest(out, digest):
        return _Start(filler, digest, None, {})
    is_ready = is_finished(out, digest, overwrite=overwrite)
    older = PreviousProduct.open(out)
    kept, changed = _unchanged(filler, older, source)
    if is_ready and len(kept) == count:
        _say(console, f"{out} is finished already")
        return None
    words = f"{_share(filler, changed, filler.read)} changed since"
    if not overwrite:
        raise InputError(
            f"{out} was filled from this archive, but {words}; give --overwrite to fill the {count - len(kept)} of "
            f"{count} regions that read them again, or another name"
        )
    if len(kept) in (0, count) or is_resumable(out, digest):
        # All is to be made anew, or the half that a stopped run made of it is gone on with.
        return _Start(filler, digest, None, {})
    _say(console, f"{words}; {count - len(kept)} of {count} regions are filled again")
    return _Start(filler, digest, older, kept)


def _storing(filler: Filler, out: Path, older: PreviousProduct | None = None) -> Filler:
    """Choose how each variable of the product is stored: as suits its values, or as the product that it continues."""
    container = container_of(out)
    storages = filler.storages_in(container)
    if older is not None:
        storages = older.choose_storages(storages, filler.storages_in(container, as_floats=CONTINUED), filler.names)
    return filler.stored(storages)


def _unchanged(filler: Filler, older: PreviousProduct, source: str | None) -> tuple[dict[int, np.ndarray], set[int]]:
    """Regions of a finished product of this very fill that read what they read then, and the dates that changed."""
    every = range(filler.cut.total)
    before = older.region_sums([filler.cut.at(number)[0].read for number in every])
    if before is None:
        # Not even damaged notes make it the product of this archive.
        return {}, set(filler.read)
    if source is not None and older.source == source:
        return before, set()
    now = filler.checksums(every)
    stale, changed = differing(filler.cut, before, now)
    return {number: now[number] for number in every if number not in stale}, changed


def _share(filler: Filler, changed: Collection[int], read: Collection[int]) -> str:
    """How many of the dates that were read changed, in words."""
    return "the map" if filler.axes.time is None else f"{len(changed)} of {len(read)} {_kind(filler)}"


def _kind(filler: Filler) -> str:
    return "samples" if filler.axes.independent else "dates"


def _template(filler: Filler) -> xr.Dataset:
    """The product without its values, with its global attributes."""
    template, trained = filler.template(), filler.model.variable
    named = filler.field.attrs.get("long_name", trained)
    template.attrs = {"title": f"{named}, gaps filled", **filler.attrs}
    template.attrs["history"] = _history(filler.attrs, trained, filler.job.digest)
    template.attrs[FILL] = json.dumps(filler.told)
    return template


def _missing(product: Product, filler: Filler) -> list[int]:
    return [number for number in range(filler.cut.total) if product.missing([filler.region(number)])]


def _compare(product: Product, filler: Filler, threads: int | None, console: Console | None) -> None:
    """Compare what the regions done were made from with the archive as it is; forget those for which it changed."""
    missing = set(_missing(product, filler))
    done = [number for number in range(filler.cut.total) if number not in missing]
    if not done:
        return
    recorded = {number: product.sums(filler.region(number)) for number in done}
    now = filler.checksums(done, threads=threads)
    before = {number: sums for number, sums in recorded.items() if sums is not None and sums.shape == now[number].shape}
    read = {date for (_, date), _ in by_place(filler.cut, now)}
    stale, changed = differing(filler.cut, before, now)
    stale |= set(done) - before.keys()
    if not stale:
        return
    product.forget(filler.region(number) for number in stale)
    _say(
        console,
        f"{_share(filler, changed, read)} that were read so far changed since; {len(stale)} of the {len(done)} regions "
        "that were done are filled again",
    )


def _take_over(product: Product, start: _Start, out: Path, console: Console | None) -> None:
    """Say what is done already, and take regions over from the older product."""
    filler, older = start.filler, start.older
    todo, count = _missing(product, filler), filler.cut.total
    words = _reading(filler, todo)
    if words:
        _say(console, words)
    if len(todo) < count:
        _say(console, f"going on: {count - len(todo)} of {count} regions are there already")
    if older is None:
        return
    if not older.is_current():
        raise InputError(f"{out} has been changed by another process meanwhile; run again")
    lent = [number for number in todo if number in start.kept]
    if lent:
        with writing(out, kept=product.partial):
            older.copy_to(product.store, [filler.region(number) for number in lent])
    for number in lent:
        product.record(filler.region(number), older.names, sums=start.kept[number])


def _fill_up(
    product: Product, start: _Start, source: str | None, cluster: Any, threads: int | None, console: Console | None
) -> str | None:
    """Fill all regions that are missing, again where the archive changes meanwhile.

    Returns
    -------
    read : str or None
        What the product says of what it was made from.

    Raises
    ------
    InputError
        Where the archive goes on changing, or has become another one; what is done is kept.
    """
    filler = start.filler
    for _ in range(ROUNDS):
        _compute(product, filler, cluster, start.digest, threads, console)
        now = _state_of(filler.job)
        if source is None or now is None or now == source:
            known = source if now == source else None
            sums = [product.sums(filler.region(number)) for number in range(filler.cut.total)]
            whole = [each for each in sums if each is not None]
            return inputs_text(known, whole) if len(whole) == len(sums) else None
        _say(console, "the archive was written to while it was filled, so what was read is compared with what it holds")
        filler, source = Filler.open(filler.job), now
        if _digest(filler, start.older) != start.digest:
            raise InputError(
                f"{filler.job.data[0]} became another archive while it was filled; run again to fill what it is now"
            )
        before = len(_missing(product, filler))
        _compare(product, filler, threads, console)
        product.confirm(source)
        if filler.job.settled is not None and len(_missing(product, filler)) > before:
            raise InputError(f"{filler.job.data[0]} was revised while it was filled; run again")
    raise InputError(
        f"{filler.job.data[0]} was written to {ROUNDS} times while it was filled; run again when it is complete"
    )


def _compute(
    product: Product, filler: Filler, cluster: Any, digest: str, threads: int | None, console: Console | None
) -> None:
    """Compute and write all regions that are missing."""

    def work(number: int) -> None:
        arrays = filler.arrays(number)
        product.write(
            filler.region(number), arrays, notes=filler.notes(number, arrays), sums=filler.sums.pop(number, None)
        )

    todo, count = _missing(product, filler), filler.cut.total
    with Progress(console=console, transient=True, disable=console is None or not console.is_terminal) as bar:
        task = bar.add_task("filling", total=count, completed=count - len(todo))
        if cluster is None:
            for _ in side_by_side(work, todo, threads=threads):
                bar.advance(task)
        elif todo:
            for made in cluster(filler.job, filler.cut, todo, out=product.path, product=digest):
                product.record(filler.region(made.number), made.names, notes=made.notes, sums=made.sums)
                bar.advance(task)


def reading_of(model: Path, *, group: str | None, dims: str | Mapping[str, str] | None, where: str | None) -> Reading:
    """Return how data are read: as was asked for, else as the run of a model read its own."""
    told = read_run(Path(model)) if holds(Path(model), RUN) else {}
    own = replace(Reading.of(told.get("group"), told.get("dims"), told.get("where")), is_beside=not (group or dims))
    asked = own.unless({"group": group, "dims": dims, "where": where})
    return replace(asked, is_beside=own.is_beside and bool(own.group or own.dims))


def _state_of(job: Job) -> str | None:
    """What the storage tells of the archive, and how it is read: of one file several groups can be read."""
    state = describe_source(job.data)
    return state if state is None or not job.reading.plain else f"{state} {job.reading.plain}"


def _say(console: Console | None, sentence: str) -> None:
    if console is not None:
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _older(out: Path) -> PreviousProduct:
    """The finished product that is to be continued, with what a kill may have left around it put right."""
    return PreviousProduct.open(out, clear=True)


def _continuing(
    filler: Filler, older: PreviousProduct, dates: int, refill: bool, source: str | None, console: Console | None
) -> tuple[Filler, dict[int, np.ndarray]]:
    """What fills the rest of a product, and the slabs that are taken over from its older one, with their checksums."""
    time = filler.axes.time
    assert time is not None
    stops = [filler.region(number)[time].stop for number in range(filler.cut.total)]
    if refill:
        same = filler.same_as(older.settings, dates)
        kept, revised = _still_same(filler, older, dates, same, source)
    else:
        same, revised = {number for number, stop in enumerate(stops) if stop <= dates}, set()
        kept = _settled(filler, older, dates, same)
        filler = replace(filler, job=replace(filler.job, settled=(str(older.path), dates)))
    known = max((stops[number] for number in same), default=0)
    new = filler.chosen.sizes[time] - dates
    if new or revised:
        again = f"; the last {dates - known} of those there are filled again, now that dates follow them"
        revision = (
            f"; {len(revised)} of {dates} dates changed since, and the {len(same) - len(kept)} regions that read "
        )
        revision += "them are filled again"
        _say(console, f"{new} dates are new{again * (refill and known < dates)}{revision * bool(revised)}")
    return filler, kept


def _still_same(
    filler: Filler, older: PreviousProduct, dates: int, same: set[int], source: str | None
) -> tuple[dict[int, np.ndarray], set[int]]:
    """Those of the slabs cut as before that read what they read then, and the dates that changed.

    Raises
    ------
    InputError
        Where no region does and most dates changed: then it is another archive.
    """
    if not same:
        return {}, set()
    cut, before = filler.cut, _before(filler, older, dates)
    numbers, count = sorted(same), len(before.slabs)
    recorded = older.region_sums([before.at(number)[0].read for number in range(before.total)])
    if recorded is None:
        # A product of an earlier version: what was observed tells whether it changed.
        stop = max(filler.region(number)[filler.axes.time].stop for number in numbers)  # type: ignore[index]
        changed = {filler.dates.start + date for date in older.revised(filler.chosen, filler.axes, slice(0, stop))}
        left = [
            number for number in numbers if number not in filler.looking_at([d - filler.dates.start for d in changed])
        ]
        kept = filler.checksums(left)
    else:
        panels = [divmod(number, len(cut.slabs)) for number in numbers]
        then = {number: recorded[panel * count + slab] for number, (panel, slab) in zip(numbers, panels)}
        if source is not None and older.source == source:
            return then, set()
        now = filler.checksums(numbers)
        stale, changed = differing(cut, then, now)
        kept = {number: sums for number, sums in now.items() if number not in stale}
        read = {date for (_, date), _ in by_place(cut, now)}
        if 2 * len(changed) <= len(read):
            # The same archive, though every region may read a date that changed. Dates without any observation are
            # equal in other archives too, so a few equal ones tell nothing.
            return kept, changed
    if not kept:
        raise InputError(_other(filler, older, changed) + "; fill it anew with --overwrite")
    return kept, changed


def _settled(filler: Filler, older: PreviousProduct, dates: int, same: set[int]) -> dict[int, np.ndarray]:
    """Checksums of the slabs that stay as they are, although later dates follow them.

    Raises
    ------
    InputError
        Where dates that a product was made from have changed.
    """
    before = _before(filler, older, dates)
    recorded = older.region_sums([before.at(number)[0].read for number in range(before.total)])
    stops = dates + filler.dates.start
    numbers = [number for number in range(filler.cut.total) if filler.cut.at(number)[0].core.start < stops]
    now = filler.checksums(numbers)
    if recorded is None:
        changed = {filler.dates.start + date for date in older.revised(filler.chosen, filler.axes, slice(0, dates))}
    else:
        changed = {date for _, date in changed_places(by_place(before, recorded), dict(by_place(filler.cut, now)))}
    if changed:
        raise InputError(_other(filler, older, changed) + "; leave --no-refill out, or fill it anew with --overwrite")
    return {number: now[number] for number in same}


def _before(filler: Filler, older: PreviousProduct, dates: int) -> Plan:
    before = filler.before(older.settings, dates)
    if (before.down, before.across) != (filler.cut.down, filler.cut.across):
        raise InputError(f"{older.path} was cut into other panels; fill it anew with --overwrite")
    return before


def _other(filler: Filler, older: PreviousProduct, changed: set[int]) -> str:
    """Say that dates of an archive are not what they were."""
    name, times = filler.field.name, filler.field[filler.axes.time].values
    first = str(times[min(changed)]).removesuffix("T00:00:00.000000000")
    return (
        f"{name} of {len(changed)} {_kind(filler)}, the first of them {first}, is not what it was when {older.path} "
        "was filled"
    )


def _check_workers(scheduler: str | None, workers: int | None, threads: int | None) -> None:
    if scheduler is None and workers is None:
        return
    if scheduler is not None and workers is not None:
        raise InputError(
            f"the workers are either those of {scheduler} or {workers} of this machine; leave --scheduler or --workers "
            "out"
        )
    if threads is not None:
        raise InputError(f"threads are those of one process, but {threads} were asked of workers; leave --threads out")


@contextmanager
def _cluster(scheduler: str | None, workers: int | None) -> Iterator[Any]:
    """What fills on a cluster, as `fill_on` does without its first argument; None for this process."""
    if scheduler is None and workers is None:
        yield None
        return
    try:
        from geogan.filling import cluster as clusters
    except ImportError as error:
        raise InputError(
            f"--scheduler and --workers need a package that is not installed ({error}); pip install "
            "'geogan[distributed]'"
        ) from error
    with clusters.connect(scheduler, workers) as client:
        yield partial(clusters.fill_on, client)


def _check(filler: Filler, first: Tile) -> list[str]:
    """Refuse an archive that cannot be filled from that slab on; return what is to be said of it.

    One that memory does not hold would be read twice; some of its dates tell whether it is what was meant, and a chunk
    that cannot be read, or an infinite value, is met in time.
    """
    field, archive, time = filler.field, filler.archive, filler.axes.time
    if time is not None:
        chosen: slice | np.ndarray = slice(first.read.start, None)
        if field.isel({time: chosen}).size > IN_MEMORY and (np.diff(archive.days) > 0).all():
            dates = np.arange(field.sizes[time])[chosen]
            chosen = dates[np.unique(np.linspace(0, len(dates) - 1, min(len(dates), LOOKED_AT)).astype(int))]
        field = field.isel({time: chosen})
        error = archive.error[chosen] if isinstance(archive.error, xr.DataArray) else archive.error
        phase = None if archive.phase is None else archive.phase[chosen]
        archive = replace(archive, field=archive.field[chosen], days=archive.days[chosen], phase=phase, error=error)
    bands = filler.model.bands if filler.model.band_units else ()
    known = Field(field, filler.axes, error=archive.error)
    regime, check = Regime(archive, str(field.name), bands), error_checker(known)

    def look(region: Extent, values: np.ndarray) -> None:
        check(region, values)
        regime.add(region, values)

    survey = check_field(known, look=look)
    where = "" if field.size == filler.field.size else ", on the dates that were looked at"
    told = survey._replace(gaps={rule: count for rule, count in survey.gaps.items() if rule == "condition"})
    return [*(f"{sentence}{where}" for sentence in gap_sentences(told, known)), *regime.sentences()]


def _reading(filler: Filler, numbers: Sequence[int]) -> str | None:
    """What to say of the archive's chunks, where they do not suit filling."""
    axes, field, cut = filler.axes, filler.field, filler.cut
    preferred = field.encoding.get("preferred_chunks") or {}
    if axes.time is None or not numbers:
        return None
    slabs = [cut.slabs[number] for number in sorted({number % len(cut.slabs) for number in numbers})]
    stored = [int(preferred.get(dim, field.sizes[dim])) for dim in (axes.time, axes.y, axes.x)]
    if not cut.panelled or field.chunks is None:
        return warning(filler.reader.cost(slabs), stored)
    ys, xs = ([part.read for part in side] for side in (cut.down, cut.across))
    least = good_cost([slab.read for slab in slabs], ys, xs, [field.sizes[dim] for dim in (axes.time, axes.y, axes.x)])
    return warning(filler.reader.cost(slabs, (cut.down, cut.across)), stored, least=least)


def _digest(filler: Filler, older: PreviousProduct | None) -> str:
    """Tells how a product is made from any other way: two of one digest agree where what they read does."""
    job, field = filler.job, filler.field
    # Of names only what is the same in another folder.
    identity = [job.digest, *job.anywhere().data, str(field.name), str(tuple(filler.chosen.shape)), str(filler.dates)]
    identity += [str(filler.keep_observed), str(job.members), str(job.max_error), str(job.seed), str(filler.cut)]
    identity += [_labels(filler), _meaning(field), *([str(job.reading.plain)] if job.reading.plain else [])]
    identity += [] if job.screen is None else [f"screen {job.screen}"]
    identity.append(str([storage.encoding for storage in filler.storages]))
    if older is not None and job.settled is not None:
        identity += [older.mark, str(job.settled[1])]
    return hashlib.sha256("\n".join(identity).encode()).hexdigest()[:32]


def _labels(filler: Filler) -> str:
    """Tells the grid and the dates that are read from others."""
    field, axes = filler.field, filler.axes
    read = filler.read
    summary = hashlib.sha256(filler.archive.days[read.start : read.stop].tobytes())
    for name in sorted(map(str, field.coords)):
        coordinate = field.coords[name]
        if coordinate.ndim and set(coordinate.dims) <= {axes.y, axes.x} and coordinate.dtype.kind in "iuf":
            summary.update(f"{name} {coordinate.dims}".encode())
            summary.update(np.ascontiguousarray(coordinate.values).data)
    return summary.hexdigest()


def _meaning(field: xr.DataArray) -> str:
    """What the numbers of an archive mean, and how a product packs them."""
    described = [{"dtype": str(field.dtype)}]
    for one in split_variables(field):
        described.append({key: str(one.encoding[key]) for key in _PACKED if key in one.encoding})
        described.append({key: str(one.attrs[key]) for key in _BOUNDS if key in one.attrs})
    return json.dumps(described, sort_keys=True)


def _history(attrs: dict[str, Any], variable: str, model: str) -> str:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    line = f"{now} geogan {geogan.__version__}: gaps of {variable} filled with the model {model}"
    before = str(attrs.get("history", "")).strip()
    return f"{line}\n{before}" if before else line
