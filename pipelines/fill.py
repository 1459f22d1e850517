"""``geogan fill``: from a gappy archive and a model to a filled archive."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console
from rich.progress import Progress

import geogan
from geogan import defaults
from geogan.append import TOLD, Older
from geogan.archive import IN_MEMORY, Archive
from geogan.checkpoint import digest as digest_of
from geogan.chunks import good_cost, warning
from geogan.disk import writing
from geogan.io import check_field, find_paths
from geogan.job import Filler, Job
from geogan.operators.errors import InputError
from geogan.parallel import side_by_side, steady_memory
from geogan.product import Product, check_output, is_finished, mark_of, tidy
from geogan.settings import check_settings
from geogan.streaming import parts
from geogan.tiles import Tile

# Dates looked at before an archive is filled that memory does not hold.
LOOKED_AT = 24
# Slabs before the first that is filled again, when appending, whose dates may have been revised: archives in near real
# time issue their last days again.
RECENT = 3


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
    append: bool = False,
    refill: bool = True,
    skip_bad: bool = False,
    threads: int | None = None,
    scheduler: str | None = None,
    workers: int | None = None,
    device: str = "auto",
    console: Console | None = None,
) -> Path:
    """Fill an archive, region by region, into a Zarr store or a NetCDF file.

    A run that was stopped goes on where it was: the regions that are safely on disk are not computed again. One that is
    finished says so.

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
        Replace an earlier product of geogan, and what is done of one that was begun otherwise.
    append : bool
        ``out`` is a finished product whose dates are the first of the archive's: only what is new is computed. What is
        there stays in its place until the longer product takes it, in one move.
    refill : bool
        When appending, fill those last dates again that were filled without the dates after them, so that the product
        is the one that would have been filled at once, bit for bit. Otherwise all that is there stays as it is.
    skip_bad : bool
        Take chunks of the input that cannot be read for gaps; their cells are flagged as unreadable, and counted at the
        end. Otherwise the first of them stops the fill.
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
    out = check_output(out, overwrite=True)
    _check_workers(scheduler, workers, threads)
    steady_memory()
    job = Job(
        data=tuple(find_paths(data)),
        model=str(model),
        digest=digest_of(model),
        variable=variable if variable is None or isinstance(variable, str) else tuple(variable),
        time=time,
        keep_observed=keep_observed,
        members=members,
        max_error=max_error if max_error is None or isinstance(max_error, (str, int, float)) else tuple(max_error),
        seed=seed,
        device=device,
        skip_bad=skip_bad,
    )
    older = _older(out) if append else None
    filler = Filler.open(job)
    field, trained, time_dim = filler.field, filler.model, filler.axes.time
    count, kept = filler.cut.total, set[int]()
    if older is not None:
        dates = older.check(filler.told, filler.chosen, filler.axes)
        if dates == filler.chosen.sizes[time_dim]:
            _say(console, f"{out} has all {dates} dates already")
            return out
        filler, kept = _continuing(filler, older, dates, refill, console)
    digest = _digest(filler, older)
    if older is None and is_finished(out, digest, overwrite=overwrite):
        _say(console, f"{out} is finished already")
        return out
    check_output(out, overwrite=overwrite or append)
    with _cluster(scheduler, workers) as cluster:
        _check(filler, filler.cut.at(next(number for number in range(count) if number not in kept))[0])
        if field.name != trained.variable:
            _say(
                console,
                f"the model was trained on {trained.variable}, and fills {field.name}: right only if they are one "
                "quantity",
            )
        template = filler.template()
        named = field.attrs.get("long_name", trained.variable)
        template.attrs = {"title": f"{named}, gaps filled", **filler.attrs}
        template.attrs["history"] = _history(filler.attrs, trained.variable, job.digest)
        template.attrs[TOLD] = json.dumps(filler.told)
        with Product.begin(
            out,
            template,
            chunks=filler.chunks(),
            digest=digest,
            overwrite=overwrite or append,
            growing=time_dim,
            after=None if older is None else older.mark,
        ) as product:
            todo = [number for number in range(count) if product.missing([filler.region(number)])]
            words = _reading(filler, todo)
            if words:
                _say(console, words)
            if console is not None and len(todo) < count:
                console.print(f"going on: {count - len(todo)} of {count} regions are there already")
            if older is not None:
                if mark_of(out) != older.mark:
                    raise InputError(f"{out} has been changed by another process meanwhile; run again")
                lent = [filler.region(number) for number in sorted(kept.intersection(todo))]
                if lent:
                    with writing(out, kept=product.partial):
                        older.lend(product.store, lent)
                for region in lent:
                    product.record(region, older.names)
                todo = [number for number in todo if number not in kept]

            def work(number: int) -> None:
                arrays = filler.arrays(number)
                product.write(filler.region(number), arrays, notes=filler.notes(number, arrays))

            with Progress(console=console, transient=True, disable=console is None or not console.is_terminal) as bar:
                task = bar.add_task("filling", total=count, completed=count - len(todo))
                if cluster is None:
                    for _ in side_by_side(work, todo, threads=threads):
                        bar.advance(task)
                else:
                    for made in cluster(filler.job, filler.cut, todo, out=product.path, product=digest):
                        product.record(filler.region(made.number), made.names, notes=made.notes)
                        bar.advance(task)
            finished, notes = product.finish(), product.notes
    for note in [*notes, f"{finished} is ready"]:
        _say(console, note)
    return finished


def _say(console: Console | None, sentence: str) -> None:
    if console is not None:
        console.print(sentence, highlight=False, soft_wrap=True)


def _older(out: Path) -> Older:
    """The finished product that is to be continued, with what a kill may have left around it put right."""
    tidy(out)
    check_output(out, overwrite=True)
    return Older.of(out)


def _continuing(
    filler: Filler, older: Older, dates: int, refill: bool, console: Console | None
) -> tuple[Filler, set[int]]:
    """What fills the rest of a product, and the slabs that are taken over from its older one."""
    assert filler.axes.time is not None
    stops = [filler.region(number)[filler.axes.time].stop for number in range(filler.cut.total)]
    if refill:
        kept, revised = _still_same(filler, older, dates, stops)
    else:
        kept, revised = {number for number, stop in enumerate(stops) if stop <= dates}, []
        filler = replace(filler, job=replace(filler.job, settled=(str(older.path), dates)))
        older.check_observed(filler.chosen, filler.axes, sorted({0, dates // 2}))
    known = max((stops[number] for number in kept), default=0)
    if console is not None:
        again = f"; the last {dates - known} of those there are filled again, now that dates follow them" * refill
        again += f"; {len(revised)} were revised, and all that looks at them is filled again" * bool(revised)
        console.print(f"{filler.chosen.sizes[filler.axes.time] - dates} dates are new{again}")
    return filler, kept


def _still_same(filler: Filler, older: Older, dates: int, stops: Sequence[int]) -> tuple[set[int], list[int]]:
    """Slabs that are what they were, and dates that were revised since, for which others are not."""
    assert filler.axes.time is not None
    kept = filler.same_as(older.told, dates)
    if not kept:
        return kept, []
    known = max(stops[number] for number in kept)
    recent = slice(max(0, known - RECENT * filler.cut.dates), dates)
    revised = older.revised(filler.chosen, filler.axes, recent)
    kept -= filler.looking_at(revised)
    # Where nothing is left it is another archive, and so it is where an older date has changed.
    known = max((stops[number] for number in kept), default=0)
    older.check_observed(filler.chosen, filler.axes, sorted({0, known // 2, known - 1}) if kept else revised[:1])
    return kept, revised


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
    """What fills on a cluster, as `geogan.clusters.fill_on` does without its first argument; None for this process."""
    if scheduler is None and workers is None:
        yield None
        return
    try:
        from geogan import clusters
    except ImportError as error:
        raise InputError(
            f"--scheduler and --workers need a package that is not installed ({error}); pip install "
            "'geogan[distributed]'"
        ) from error
    with clusters.connect(scheduler, workers) as client:
        yield partial(clusters.fill_on, client)


def _check(filler: Filler, first: Tile) -> None:
    """Refuse an archive that cannot be filled from that slab on.

    One that memory does not hold would be read twice; some of its dates tell whether it is what was meant, and a chunk
    that cannot be read, or an infinite value, is met in time.
    """
    field, time = filler.field, filler.axes.time
    if time is not None:
        field = field.isel({time: slice(first.read.start, None)})
        if field.size > IN_MEMORY and (np.diff(filler.archive.days) > 0).all():
            count = field.sizes[time]
            field = field.isel({time: np.unique(np.linspace(0, count - 1, min(count, LOOKED_AT)).astype(int))})
    check_field(field, filler.axes)


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


def _digest(filler: Filler, older: Older | None) -> str:
    """Tells a product from any other: two of one digest agree in every value."""
    job, field, slabs = filler.job, filler.field, filler.cut.slabs
    # Of names only what is the same in another folder; of the archive only what is read of it.
    identity = [job.digest, *job.anywhere().data, str(field.name), str(tuple(filler.chosen.shape)), str(filler.dates)]
    identity += [str(filler.keep_observed), str(job.members), str(job.max_error), str(job.seed), str(filler.cut)]
    identity.append(_fingerprint(filler.archive, slice(slabs[0].read.start, slabs[-1].read.stop)))
    if older is not None and job.settled is not None:
        identity += [older.mark, str(job.settled[1])]
    return hashlib.sha256("\n".join(identity).encode()).hexdigest()[:32]


def _fingerprint(archive: Archive, read: slice) -> str:
    """Tells two archives of one name apart: of the first, the middle and the last date that are read."""
    summary = hashlib.sha256(archive.days[read].tobytes())
    for date in sorted({read.start, (read.start + read.stop) // 2, read.stop - 1}):
        for maps in (archive.field, archive.error):
            if isinstance(maps, xr.DataArray):
                for _, values in parts(maps[date : date + 1]):
                    summary.update(np.ascontiguousarray(values).data)
    return summary.hexdigest()


def _history(attrs: dict[str, Any], variable: str, model: str) -> str:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    line = f"{now} geogan {geogan.__version__}: gaps of {variable} filled with the model {model}"
    before = str(attrs.get("history", "")).strip()
    return f"{line}\n{before}" if before else line
