"""Fill a job into a product: the tasks that are missing, again where the archive changes meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from geogan.archive import check_field
from geogan.compute.extent import Extent
from geogan.compute.streaming import reading_hint
from geogan.compute.threads import side_by_side
from geogan.fields.field import Field
from geogan.fields.observation_error import error_checker
from geogan.files.attributes import FILL
from geogan.files.disk import writing
from geogan.filling.append_plan import (
    Mode,
    Start,
    by_place,
    changed_share,
    described,
    differing,
    product_digest,
    start_of,
)
from geogan.filling.job import Job, OpenJob
from geogan.filling.provenance import describe_product
from geogan.filling.regime import Regime
from geogan.filling.tiles import Span
from geogan.io import describe_source
from geogan.operators.errors import InputError
from geogan.operators.wording import counted
from geogan.product import Product, check_output
from geogan.settings import TrainConfig, check_settings

Message = Callable[[str], None]
# Numbers of tasks that are recorded, and of all tasks.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Workers:
    """Which processes fill.

    Attributes
    ----------
    threads : int, optional
        Tasks computed at a time by this process; by default one a core.
    scheduler : str, optional
        Address of a dask.distributed scheduler, whose workers fill instead of this process. They must see the archive
        and the product's folder under the same names.
    workers : int, optional
        Number of local processes that fill instead of this one. Python starts them anew, so a script that asks for them
        needs ``if __name__ == "__main__":``.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
    answer, appear : float
        Seconds that a scheduler has to answer, and its first worker to appear.

    Raises
    ------
    InputError
        If the three contradict each other.
    """

    threads: int | None = None
    scheduler: str | None = None
    workers: int | None = None
    device: str = "auto"
    answer: float = 10.0
    appear: float = 300.0

    def __post_init__(self) -> None:
        check_settings({"threads": self.threads, "workers": self.workers})
        if self.scheduler is not None and self.workers is not None:
            raise InputError(
                f"the workers are either those of {self.scheduler} or {self.workers} of this machine; leave "
                "--scheduler or --workers out"
            )
        if self.is_cluster and self.threads is not None:
            raise InputError(
                f"threads are those of one process, but {self.threads} were asked of workers; leave --threads out"
            )

    @property
    def is_cluster(self) -> bool:
        """Whether other processes fill."""
        return self.scheduler is not None or self.workers is not None


@dataclass(frozen=True)
class Reports:
    """Callbacks by which a fill reports to its caller.

    Attributes
    ----------
    message : callable
        Called with sentences.
    progress : callable
        Called with the number of recorded tasks and of all tasks: at the beginning, and after each task.
    begin : callable
        Called with the number of each task that this process fills, before it is filled. An exception that it raises
        stops the fill; the recorded tasks are kept.
    start : callable
        Called once when the fill begins, with the sentence about new and revised dates (empty for a new product);
        not called if the product is complete.
    """

    message: Message = lambda sentence: None
    progress: Progress = lambda done, total: None
    begin: Callable[[int], None] = lambda number: None
    start: Message = lambda note: None


def fill_product(
    job: Job,
    out: Path,
    mode: Mode = "new",
    *,
    workers: Workers | None = None,
    reports: Reports | None = None,
    state_of: Callable[[Job], str | None] | None = None,
    memory: int = TrainConfig.memory,
    rounds: int = 3,
) -> Path:
    """Fill a job into a Zarr store or a NetCDF file.

    A run that was stopped goes on where it was: tasks that are safely on disk are not computed again, unless the
    archive has changed since.

    Parameters
    ----------
    job : Job
    out : Path
        Absolute name of the product, ``.zarr`` or ``.nc``.
    mode : {"new", "overwrite", "append", "update"}
        As in `geogan.filling.append_plan.start_of`.
    workers : Workers, optional
    reports : Reports, optional
    state_of : callable, optional
        Describes the state of the archive's files, or returns None where that is unknown.
    memory : int
        Bytes of float32 of an archive that is checked whole before it is filled. Of a longer one some dates are
        checked, because it would be read twice.
    rounds : int
        Times that tasks are filled again because the archive changed meanwhile.

    Returns
    -------
    Path
        The product.

    Raises
    ------
    InputError
        If something cannot be used. Nothing is written under the name ``out`` then.
    """
    workers, reports, state_of = workers or Workers(), reports or Reports(), state_of or archive_state
    state = state_of(job)
    start = start_of(OpenJob.open(job), out, mode, state=state, message=reports.message)
    if start is None:
        return out
    check_output(out, overwrite=mode != "new")
    with _cluster(workers) as cluster:
        _describe_job(start, memory, reports.message)
        with Product.begin(
            out,
            _template(start.opened),
            chunks=start.opened.chunks(),
            digest=start.digest,
            overwrite=mode != "new",
            growing=start.opened.axes.time,
            after=None if start.older is None else start.older.mark,
        ) as product:
            reports.start(start.note)
            if start.note:
                reports.message(start.note)
            writer = _Writer(product, start, workers, cluster, reports)
            if state is None or product.source != state:
                writer.compare()
            product.confirm(state)
            writer.take_over(out)
            read = writer.fill_all(state, state_of, rounds)
            finished, notes = product.finish(inputs=read), product.notes
    for note in [*notes, f"{finished} is ready"]:
        reports.message(note)
    return finished


def archive_state(job: Job) -> str | None:
    """Describe the state of an archive's files and how they are read; one file may hold several groups."""
    state = describe_source(job.inputs)
    return state if state is None or not job.reading.plain else f"{state} {job.reading.plain}"


@dataclass
class _Writer:
    """A product that was begun, and what fills it."""

    product: Product
    start: Start
    workers: Workers
    cluster: Any
    reports: Reports

    @property
    def missing(self) -> list[int]:
        """Tasks that are not on disk yet."""
        opened = self.start.opened
        return [number for number in range(opened.plan.total) if self.product.missing([opened.box(number)])]

    def compare(self) -> None:
        """Compare what the recorded tasks read with the archive as it is now; forget those for which it changed."""
        product, opened, missing = self.product, self.start.opened, set(self.missing)
        done = [number for number in range(opened.plan.total) if number not in missing]
        if not done:
            return
        now = opened.checksums(done, threads=self.workers.threads)
        recorded = {number: product.sums(opened.box(number)) for number in done}
        before = {
            number: sums for number, sums in recorded.items() if sums is not None and sums.shape == now[number].shape
        }
        stale, changed = differing(opened.plan, before, now)
        stale |= set(done) - before.keys()
        if not stale:
            return
        product.forget(opened.box(number) for number in stale)
        read = {date for (_, date), _ in by_place(opened.plan, now)}
        self.reports.message(
            f"{changed_share(opened, changed, read)} that were read so far changed since; refilling {len(stale)} of "
            f"{counted(len(done), 'finished task')}"
        )

    def take_over(self, out: Path) -> None:
        """Take tasks over from an older product, and report the number of finished tasks."""
        opened, older, product = self.start.opened, self.start.older, self.product
        missing, total = self.missing, opened.plan.total
        if len(missing) < total:
            self.reports.message(f"resuming: {total - len(missing)} of {counted(total, 'task')} finished already")
        if older is None:
            return
        if not older.is_current():
            raise InputError(f"{out} was changed by another process meanwhile; run again")
        taken = [number for number in missing if number in self.start.kept]
        if taken:
            with writing(out, kept=product.partial):
                older.copy_to(product.store, [opened.box(number) for number in taken])
        for number in taken:
            product.record(opened.box(number), older.names, sums=self.start.kept[number])

    def fill_all(self, state: str | None, state_of: Callable[[Job], str | None], rounds: int) -> str | None:
        """Fill all missing tasks; repeat tasks whose data changed meanwhile.

        Returns
        -------
        read : str or None
            The product's attribute that says from what it was made.

        Raises
        ------
        InputError
            If the archive keeps changing, or has become another one; finished tasks are kept.
        """
        product, job = self.product, self.start.opened.job
        for _ in range(rounds):
            self.fill_missing()
            opened = self.start.opened
            # Before the state of all files, which shows whether one changed since it was read.
            files = opened.file_states()
            now = state_of(job)
            if state is None or now is None or now == state:
                boxes = (opened.box(number) for number in range(opened.plan.total))
                is_same = state is not None and now == state
                return product.inputs(boxes, state if is_same else None, files=files if is_same else None)
            self.reports.message(
                "the archive changed during the fill; comparing the values that were read with its present values"
            )
            opened, state = OpenJob.open(job, storages=opened.storages), now
            if product_digest(opened) != self.start.digest:
                raise InputError(
                    f"the grid, dates or packing of {job.data[0]} changed during the fill; run again to fill it as it "
                    "is now"
                )
            self.start = replace(self.start, opened=opened)
            self.compare()
            product.confirm(state)
        raise InputError(
            f"{job.data[0]} changed {counted(rounds, 'time')} during the fill; run again when it is complete"
        )

    def fill_missing(self) -> None:
        """Fill and record all missing tasks, in this process or on a cluster."""
        product, opened, missing = self.product, self.start.opened, self.missing
        total = opened.plan.total
        done = total - len(missing)
        self.reports.progress(done, total)

        def fill(number: int) -> None:
            self.reports.begin(number)
            result = opened.fill(number)
            product.write(opened.box(number), result.arrays, notes=result.notes, sums=result.sums)

        if self.cluster is None:
            finished: Iterable[Any] = side_by_side(fill, missing, threads=self.workers.threads)
        else:
            finished = self._on_cluster(missing) if missing else ()
        for count, _ in enumerate(finished, done + 1):
            self.reports.progress(count, total)

    def _on_cluster(self, numbers: list[int]) -> Iterator[None]:
        for written in self.cluster(self.start, numbers, out=self.product.path):
            box = self.start.opened.box(written.number)
            self.product.record(box, written.names, notes=written.notes, sums=written.sums)
            yield


@contextmanager
def _cluster(workers: Workers) -> Iterator[Any]:
    """Yield what fills on a cluster, `geogan.filling.cluster.fill_on` without its first argument; None for threads."""
    if not workers.is_cluster:
        yield None
        return
    try:
        from geogan.filling import cluster
    except ImportError as error:
        raise InputError(
            f"--scheduler and --workers need a package that is not installed ({error}); pip install "
            "'geogan[distributed]'"
        ) from error
    with cluster.connect(workers.scheduler, workers.workers, answer=workers.answer, appear=workers.appear) as client:
        yield partial(cluster.fill_on, client)


def _describe_job(start: Start, memory: int, message: Message) -> None:
    """Check the archive, and report how it is read and how the product is stored."""
    opened, tasks = start.opened, start.opened.plan
    for note in opened.source.notes:
        message(note)
    first = next(number for number in range(tasks.total) if number not in start.kept)
    for sentence in check_archive(opened, tasks.task(first).dates, memory=memory):
        message(sentence)
    if opened.field.name != opened.model.variable:
        message(
            f"the model was trained on {opened.model.variable}, and fills {opened.field.name}: right only if they are "
            "one quantity"
        )
    for name, storage in zip(opened.names, opened.storages, strict=True):
        if storage.reason:
            message(storage.sentence(name))
    cells = max((y.read.stop - y.read.start) * (x.read.stop - x.read.start) for y in tasks.rows for x in tasks.columns)
    kept = opened.job.options.sizes.kept_bytes
    hint = reading_hint(opened.filler.archive.field, dates=tasks.size, cells=cells, kept=kept)
    if hint is not None and opened.axes.time is not None:
        message(hint)


def check_archive(opened: OpenJob, first: Span, *, dates: int = 24, memory: int = TrainConfig.memory) -> list[str]:
    """Refuse an archive that cannot be filled, and return sentences about it.

    Parameters
    ----------
    opened : OpenJob
    first : Span
        Dates of the first task to fill; earlier dates are not checked.
    dates : int
        Dates that are checked of an archive larger than ``memory``: enough to meet an unreadable chunk, an
        infinite value or another regime before the fill begins.
    memory : int
        Bytes of float32.

    Raises
    ------
    InputError
    """
    field, archive, time = opened.field, opened.filler.archive, opened.axes.time
    if time is not None:
        chosen: slice | np.ndarray = slice(first.read.start, None)
        if field.isel({time: chosen}).size > memory // 4 and (np.diff(archive.days) > 0).all():
            numbers = np.arange(field.sizes[time])[chosen]
            chosen = numbers[np.unique(np.linspace(0, len(numbers) - 1, min(len(numbers), dates)).astype(int))]
        field = field.isel({time: chosen})
        error = archive.error[chosen] if isinstance(archive.error, xr.DataArray) else archive.error
        phase = None if archive.phase is None else archive.phase[chosen]
        archive = replace(archive, field=archive.field[chosen], days=archive.days[chosen], phase=phase, error=error)
    bands = opened.model.bands if opened.model.band_units else ()
    known = Field(field, opened.axes, error=archive.error)
    regime, check_errors = Regime(archive, str(field.name), bands), error_checker(known)

    def look(region: Extent, values: np.ndarray) -> None:
        check_errors(region, values)
        regime.add(region, values)

    survey = check_field(known, look=look)
    where = "" if field.size == opened.field.size else ", on the dates that were checked"
    survey = survey._replace(gaps={rule: count for rule, count in survey.gaps.items() if rule == "condition"})
    return [*(f"{sentence}{where}" for sentence in survey.gap_sentences(known)), *regime.sentences()]


def _template(opened: OpenJob) -> xr.Dataset:
    """Return the product without its values, with its attributes."""
    job = opened.job
    template = describe_product(
        opened.template(),
        opened.model,
        opened.chosen,
        opened.source.attrs,
        digest=job.digest,
        command=job.command,
        date=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    )
    template.attrs[FILL] = json.dumps(described(opened))
    return template
