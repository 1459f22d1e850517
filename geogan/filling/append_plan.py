"""Decide which tasks a fill computes: all, or those that an earlier product of the archive lacks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from geogan.fields.storage import PACKING
from geogan.fields.time_range import shown_date
from geogan.fields.variables import split_variables
from geogan.filling.job import OpenJob
from geogan.filling.plan import Plan, plan_tasks
from geogan.operators.errors import InputError
from geogan.operators.wording import counted
from geogan.product import (
    PreviousProduct,
    container_of,
    has_digest,
    is_finished,
    is_resumable,
)

Message = Callable[[str], None]
Mode = Literal["new", "overwrite", "append", "update"]


@dataclass(frozen=True)
class Start:
    """The state from which a fill begins.

    Attributes
    ----------
    opened : OpenJob
    digest : str
        Digest of the product: equal where products of the same input are equal.
    older : PreviousProduct or None
        The product from which tasks are taken over.
    kept : dict of ndarray of uint32
        Checksums of what these tasks read, by the task's number.
    note : str
        Sentence about new and revised dates, to be reported once the fill is sure to begin; empty for none.
    """

    opened: OpenJob
    digest: str
    older: PreviousProduct | None
    kept: dict[int, np.ndarray]
    note: str = ""


def start_of(opened: OpenJob, out: Path, mode: Mode, *, state: str | None, message: Message) -> Start | None:
    """Return the tasks to fill; None if the product is complete.

    Parameters
    ----------
    opened : OpenJob
    out : Path
        The product.
    mode : {"new", "overwrite", "append", "update"}
        ``"append"``: the product's dates are dates of the archive; only tasks that read new or revised dates are
        filled. ``"update"``: the same if there is a product, else a new one. ``"overwrite"``: a product of another fill
        is replaced; of the same fill, only tasks that read revised dates are filled.
    state : str or None
        State of the archive's files, as `geogan.io.describe_source` returns it.
    message : callable
        Called with sentences about what is found.

    Raises
    ------
    InputError
        If a finished product of the same fill was made from data that have changed since and may not be replaced, or
        the product cannot be continued.
    """
    if mode in ("append", "update"):
        older = PreviousProduct.open(out, clear=True) if mode == "append" else PreviousProduct.find(out)
        if older is not None:
            return _start_append(opened, older, state, message)
    opened = _stored_for(opened, out)
    digest, count = product_digest(opened), opened.plan.total
    if not has_digest(out, digest):
        return Start(opened, digest, None, {})
    is_ready = is_finished(out, digest, overwrite=mode == "overwrite")
    older = PreviousProduct.open(out)
    kept, changed = _unchanged(opened, older, state)
    if is_ready and len(kept) == count:
        message(f"{out} is finished already")
        return None
    sentence = f"{changed_share(opened, changed, opened.dates_read)} changed since"
    if mode != "overwrite":
        raise InputError(
            f"{out} was filled from this archive, but {sentence}; give --overwrite to refill {count - len(kept)} of "
            f"{counted(count, 'task')}, or another name"
        )
    if len(kept) in (0, count) or is_resumable(out, digest):
        # All tasks are filled, or the product that a stopped run began is continued.
        return Start(opened, digest, None, {})
    note = f"{sentence}; refilling {count - len(kept)} of {counted(count, 'task')}"
    return Start(opened, digest, older, kept, note)


def _start_append(opened: OpenJob, older: PreviousProduct, state: str | None, message: Message) -> Start | None:
    time, out = opened.axes.time, older.path
    dates, common = older.check_continued(described(opened), opened.chosen)
    assert time is not None
    same = _same_tasks(opened, older.settings, dates)
    # Behind a date that came late, the tasks of the product hold other dates.
    end = opened.dates.start + common
    same = {number for number in same if common == dates or opened.plan.task(number).dates.read.stop <= end}
    kept, revised = _still_same(opened, older, dates, same, state)
    known = max((opened.box(number)[time].stop for number in same), default=0)
    added = opened.chosen.shape[0] - dates
    notes = [f"appending {counted(added, 'date')}"] if added and common == dates else []
    if common < dates:
        late = shown_date(opened.chosen.array.indexes[time][common])
        notes = [f"adding {counted(added, 'date')}, the first of them {late}, between earlier dates"]
    if added and known < dates:
        notes.append(f"refilling the last {counted(dates - known, 'date')}, whose estimates depend on the new dates")
    if revised:
        notes.append(
            f"refilling {counted(len(same) - len(kept), 'task')}, because {len(revised)} of {counted(dates, 'date')} "
            "changed since"
        )
    opened = _stored_for(opened, out, older)
    if len(kept) == opened.plan.total:
        message(f"{out} is finished already: it has all dates of the archive ({dates:,})")
        return None
    return Start(opened, product_digest(opened), older, kept, "; ".join(notes))


def _stored_for(opened: OpenJob, out: Path, older: PreviousProduct | None = None) -> OpenJob:
    """Choose how each variable is stored: as suits its values, or as in the product that is continued."""
    container = container_of(out)
    storages = opened.storages_in(container)
    if older is not None:
        floats = opened.storages_in(container, as_floats="the product that it continues holds floats")
        storages = older.choose_storages(storages, floats, opened.names)
    return opened.stored(storages)


def _unchanged(opened: OpenJob, older: PreviousProduct, state: str | None) -> tuple[dict[int, np.ndarray], set[int]]:
    """Return the tasks of a finished product that would read the same values now, and the dates that changed."""
    numbers = range(opened.plan.total)
    before = older.region_sums([task.dates.read for task in opened.plan.tasks])
    if before is None:
        # Without checksums the archive of the product is unknown.
        return {}, set(opened.dates_read)
    if state is not None and older.source == state:
        return before, set()
    now = opened.checksums(numbers)
    stale, changed = differing(opened.plan, before, now)
    return {number: now[number] for number in numbers if number not in stale}, changed


def _same_tasks(opened: OpenJob, described: Mapping[str, Any], dates: int) -> set[int]:
    """Return the tasks that read the same dates when the archive ended earlier.

    There are none if dates were added before the first, if the spacing of the dates now asks for another margin, or if
    another version of geogan cuts in another way.

    Parameters
    ----------
    opened : OpenJob
    described : mapping
        Attribute of the earlier product that describes its fill.
    dates : int
        Number of dates of that product.
    """
    now, before = opened.plan, _plan_before(opened, described, dates)
    if int(described["first_date"]) != opened.dates.start or described["slab_and_margin"] != [
        before.size,
        before.margin,
    ]:
        return set()
    if (now.rows, now.columns) != (before.rows, before.columns) or described.get("panel") != _task_cells(now):
        return set()
    if described.get("is_periodic", False) != now.is_periodic:
        return set()
    same = [number for number, (span, other) in enumerate(zip(now.dates, before.dates)) if span == other]
    return {first + number for first in range(0, now.total, len(now.dates)) for number in same}


def _plan_before(opened: OpenJob, described: Mapping[str, Any], dates: int) -> Plan:
    """Return the plan of an earlier product of this archive, with the given number of dates."""
    first, options = int(described["first_date"]), opened.job.options
    archive = opened.filler.archive
    shorter = replace(archive, days=archive.days[: int(described["dates_of_archive"])])
    chosen = slice(first, first + dates)
    return plan_tasks(opened.model, shorter, dates=chosen, members=options.members, sizes=options.sizes)


def _task_cells(tasks: Plan) -> list[int] | None:
    """Return the rows and columns of a task; None for whole maps."""
    return None if tasks.has_whole_maps else [spans[0].core.stop for spans in (tasks.rows, tasks.columns)]


def _still_same(
    opened: OpenJob, older: PreviousProduct, dates: int, same: set[int], state: str | None
) -> tuple[dict[int, np.ndarray], set[int]]:
    """Return the checksums of the tasks that are taken over from a product, and the dates that changed.

    Raises
    ------
    InputError
        If no task reads the same values and most dates changed: then it is another archive.
    """
    if not same:
        return {}, set()
    now, before = opened.plan, _plan_before(opened, older.settings, dates)
    numbers, count = sorted(same), len(before.dates)
    recorded = older.region_sums([task.dates.read for task in before.tasks])
    if recorded is None:
        # The product has no checksums, so its observed values are compared with the archive.
        time, first = opened.axes.time, opened.dates.start
        stop = max(opened.box(number)[time].stop for number in numbers)  # type: ignore[index]
        changed = {first + date for date in older.revised(opened.chosen, slice(0, stop))}
        kept = opened.checksums([number for number in numbers if not changed & _dates_read(now, number)])
    else:
        parts = [divmod(number, len(now.dates)) for number in numbers]
        then = {number: recorded[part * count + date] for number, (part, date) in zip(numbers, parts)}
        if state is not None and older.source == state:
            return then, set()
        changed_files = _changed_files(opened, older)
        read = [number for number in numbers if changed_files is None or changed_files & _dates_read(now, number)]
        sums = then | opened.checksums(read)
        stale, changed = differing(now, then, sums)
        kept = {number: values for number, values in sums.items() if number not in stale}
        if 2 * len(changed) <= len({date for (_, date), _ in by_place(now, sums)}):
            # The same archive, though every task may read a date that changed. Dates without observations are equal
            # in other archives too, so a few equal dates prove nothing.
            return kept, changed
    if not kept:
        name, times = opened.field.name, opened.field[opened.axes.time].values
        first_date = str(times[min(changed)]).removesuffix("T00:00:00.000000000")
        raise InputError(
            f"{name} differs on {counted(len(changed), date_word(opened))}, from {first_date} on, from the data that "
            f"{older.path} was filled from; fill it anew with --overwrite"
        )
    return kept, changed


def _changed_files(opened: OpenJob, older: PreviousProduct) -> set[int] | None:
    """Return the dates of the archive whose files changed since a product was filled; None if that is not known.

    Only tasks that read such a date are read again, so that an update of a long archive does not read all of it.
    """
    states = None if older.files is None else opened.file_states()
    if states is None or older.files is None:
        return None
    count = min(len(states), len(older.files))
    changed = np.flatnonzero(states[:count] != older.files[:count]).tolist()
    return {*changed, *range(count, len(states))}


def _dates_read(tasks: Plan, number: int) -> set[int]:
    read = tasks.task(number).dates.read
    return set(range(read.start, read.stop))


def differing(
    tasks: Plan, before: Mapping[int, np.ndarray], now: Mapping[int, np.ndarray]
) -> tuple[set[int], set[int]]:
    """Find tasks that read other values now than before, and the dates that differ.

    Parameters
    ----------
    tasks : Plan
    before, now : mapping of int to ndarray
        Checksums by the task's number, one for each date that it reads. Tasks in only one of them do not count.

    Returns
    -------
    numbers : set of int
    dates : set of int
        Dates of the archive.
    """
    numbers, dates = set[int](), set[int]()
    for number in before.keys() & now.keys():
        (changed,) = np.nonzero(before[number] != now[number])
        if len(changed):
            numbers.add(number)
            dates.update((tasks.task(number).dates.read.start + changed).tolist())
    return numbers, dates


def by_place(tasks: Plan, sums: Mapping[int, np.ndarray]) -> list[tuple[tuple[int, int], int]]:
    """List checksums by the task's cells and the date of the archive; dates that two tasks read occur twice.

    Parameters
    ----------
    tasks : Plan
    sums : mapping of int to ndarray
        By the task's number, one for each date that it reads.
    """
    return [
        ((number // len(tasks.dates), tasks.task(number).dates.read.start + index), int(value))
        for number, values in sums.items()
        for index, value in enumerate(values)
    ]


def changed_share(opened: OpenJob, changed: Collection[int], read: Collection[int]) -> str:
    """Return in words how many dates changed of those in ``read``."""
    return "the map" if opened.axes.time is None else f"{len(changed)} of {counted(len(read), date_word(opened))}"


def date_word(opened: OpenJob) -> str:
    """Return the noun for an entry along the first axis."""
    return "sample" if opened.axes.independent else "date"


def described(opened: OpenJob) -> dict[str, Any]:
    """Return what a product says of how it was filled, as JSON holds it; `geogan.files.schema.FillText` reads it."""
    job, options, tasks = opened.job, opened.job.options, opened.plan
    text = {
        "model": job.digest,
        "variable": str(opened.field.name),
        "members": options.members,
        "max_error": None if options.max_error is None else str(options.max_error),
        "keep_observed": opened.filler.acceptance.keep_observed,
        "seed": options.seed,
        **({"where": job.reading.where} if job.reading.where else {}),
        "dates_of_archive": len(opened.filler.archive.days),
        "first_date": opened.dates.start,
        # Products are kept for years, so these two names stay: dates and margin, then rows and columns, of a task.
        "slab_and_margin": [tasks.size, tasks.margin],
    }
    cells, screen = _task_cells(tasks), opened.model.screen
    text |= {} if cells is None else {"panel": cells}
    text |= {} if screen is None or screen.threshold is None else {"screen": screen.threshold}
    text |= {"network": False} if opened.model.network is None else {}
    text |= {"question": job.question} if job.question else {}
    return text | ({"is_periodic": True} if tasks.is_periodic else {})


def product_digest(opened: OpenJob) -> str:
    """Return a digest of how a product is made: products of one digest agree where what they read agrees."""
    job, options, reading = opened.job, opened.job.options, opened.job.reading
    # Absolute paths, so that the digest does not depend on the folder.
    identity = [job.digest, *job.anywhere().data, str(opened.field.name), str(opened.chosen.array.shape)]
    identity += [str(opened.dates), str(opened.filler.acceptance.keep_observed), str(options.members)]
    identity += [str(options.max_error), str(options.seed), str(opened.plan), _labels(opened), _meaning(opened.field)]
    identity += [str(reading.plain)] if reading.plain else []
    identity += [] if options.screen is None else [f"screen {options.screen}"]
    identity.append(str([storage.encoding for storage in opened.storages]))
    return hashlib.sha256("\n".join(identity).encode()).hexdigest()[:32]


def _labels(opened: OpenJob) -> str:
    """Return a digest of the grid and the dates that are read."""
    field, axes, read = opened.field, opened.axes, opened.dates_read
    summary = hashlib.sha256(opened.filler.archive.days[read.start : read.stop].tobytes())
    for name in sorted(map(str, field.coords)):
        coordinate = field.coords[name]
        if coordinate.ndim and set(coordinate.dims) <= {axes.y, axes.x} and coordinate.dtype.kind in "iuf":
            summary.update(f"{name} {coordinate.dims}".encode())
            summary.update(np.ascontiguousarray(coordinate.values).data)
    return summary.hexdigest()


def _meaning(field: xr.DataArray) -> str:
    """Return a text of what the numbers of an archive mean, and of their packing."""
    described = [{"dtype": str(field.dtype)}]
    for variable in split_variables(field):
        described.append({key: str(variable.encoding[key]) for key in PACKING if key in variable.encoding})
        bounds = ("units", "valid_min", "valid_max", "valid_range")
        described.append({key: str(variable.attrs[key]) for key in bounds if key in variable.attrs})
    return json.dumps(described, sort_keys=True)
