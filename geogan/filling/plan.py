"""Cut a field into tasks: some dates of some tiles, filled and written at a time; integers only.

A task also reads dates before and after its own, because the first guess and the networks use neighbouring dates, and
tiles beside its own, because neighbouring tiles are blended. The tiles are those of the whole grid, so a value depends
on the dates of its task but not on the task's rows and columns.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from geogan.archive import Archive
from geogan.filling.tiles import Span, group_tiles, tile_axis, turns, widened
from geogan.model import Model

# The generator's coarser levels start at multiples of this number of cells, and so do tiles.
LEVELS = 4
# On a grid that is cut, the tiles a side of a task are a multiple of this number, so that stored chunks are not small.
UNIT = 2


@dataclass(frozen=True)
class TaskSizes:
    """Sizes by which a fill is cut into tasks.

    Attributes
    ----------
    tile, halo : int
        Cells of a side of a tile, and cells that it reads beyond them.
    dates : int
        Dates of a task; half as many where the whole grid of these dates has more than ``small_values`` values.
    margin : int
        Dates read before and after those of a task, at most. They cost time, dates of a task cost memory.
    values : int
        Values (cells, dates, bands, members) of a task, at most.
    small_values : int
    read_values : int
        Values (cells, dates, bands) that a task of a part of the grid reads, at most.
    kept_bytes : int
        Bytes of decoded chunks that are kept for the next task.
    around : int
        Side, in cells, of the square in which the spread of the members is compared with the predicted error.
    sample_values : int
        Values of a task of independent samples, at least.
    """

    tile: int = 192
    halo: int = 32
    dates: int = 48
    margin: int = 8
    values: int = 48_000_000
    small_values: int = 13_000_000
    read_values: int = 144_000_000
    kept_bytes: int = 64 * 2**20
    around: int = 17
    sample_values: int = 1_000_000

    @property
    def rim(self) -> int:
        """Cells around a task in which the members must be known too."""
        return self.around // 2

    @property
    def unit(self) -> int:
        """Cells of the smallest side of a task of a part of the grid."""
        return UNIT * -(-self.tile // LEVELS) * LEVELS

    def tiles(self, length: int, *, is_periodic: bool) -> list[Span]:
        """Cut an axis into tiles."""
        return tile_axis(length, self.tile, self.halo, multiple=LEVELS, is_periodic=is_periodic)

    def most_dates(self, values: int) -> int:
        """Return the dates of a task of the whole grid, but for the limit on its values.

        Parameters
        ----------
        values : int
            Values of a date: cells times bands times members.

        Examples
        --------
        >>> TaskSizes().most_dates(512 * 512), TaskSizes().most_dates(1024 * 1024)
        (48, 24)
        """
        return self.dates if self.dates * values <= self.small_values else max(1, self.dates // 2)


class Grid(NamedTuple):
    """What decides the size of a task: the grid, and the values of each of its cells."""

    rows: int
    columns: int
    bands: int = 1
    members: int = 1
    is_periodic: bool = False  # whether the last column touches the first
    has_margin: bool = True  # whether dates around those of a task are read


class Task(NamedTuple):
    """A part of a field that is filled and written at a time.

    Attributes
    ----------
    dates, rows, columns : Span
    network_dates : slice
        Dates that pass the networks together, counted from the first date read. Batches of other sizes round sums
        differently, so these do not depend on the dates that are asked for.
    """

    dates: Span
    rows: Span
    columns: Span
    network_dates: slice


@dataclass(frozen=True)
class Plan:
    """How a field is cut into tasks.

    Attributes
    ----------
    dates, rows, columns : list of Span
        Tasks along each axis.
    tile_rows, tile_columns : list of Span
        Tiles along each axis.
    margin : int
        Dates read before and after a task, where there are as many.
    size : int
        Dates of a whole task.
    origin : (int, int)
        Row and column of the model's grid at which the field begins.
    around : int
        As in `TaskSizes`.
    is_periodic : bool
        Whether the last column touches the first.
    """

    dates: list[Span]
    rows: list[Span]
    columns: list[Span]
    tile_rows: list[Span]
    tile_columns: list[Span]
    margin: int
    size: int
    origin: tuple[int, int]
    around: int
    is_periodic: bool = False

    @property
    def total(self) -> int:
        """Number of tasks."""
        return len(self.dates) * len(self.rows) * len(self.columns)

    @property
    def has_whole_maps(self) -> bool:
        """Whether every task has all rows and columns."""
        return len(self.rows) * len(self.columns) == 1

    @property
    def tasks(self) -> list[Task]:
        """All tasks, in their order."""
        return [self.task(number) for number in range(self.total)]

    def task(self, number: int) -> Task:
        """Return a task by its number; consecutive tasks share the cells that they read."""
        part, date = divmod(number, len(self.dates))
        row, column = divmod(part, len(self.columns))
        dates = self.dates[date]
        # The dates of the whole task, also if only some of them are requested.
        start = dates.core.start - dates.core.start % self.size
        together = slice(start - dates.read.start, min(start + self.size, dates.read.stop) - dates.read.start)
        return Task(dates, self.rows[row], self.columns[column], together)

    def whole_maps(self, dates: slice, count: int) -> Task:
        """Return a task of any dates of the whole grid.

        Parameters
        ----------
        dates : slice
        count : int
            Dates of the archive.
        """
        span = Span(dates, slice(max(0, dates.start - self.margin), min(count, dates.stop + self.margin)))
        rows, columns = (slice(0, tiles[-1].core.stop) for tiles in (self.tile_rows, self.tile_columns))
        return Task(span, Span(rows, rows), Span(columns, columns), span.inner)


class _Candidate(NamedTuple):
    """An axis cut into tasks of one size."""

    size: int
    wide: int  # cells of the longest task with its rim
    read: int  # cells that the longest task reads
    work: Fraction  # tiles that are computed, over the tiles of the axis


def _candidates(length: int, sizes: TaskSizes, *, is_periodic: bool) -> list[_Candidate]:
    tiles, candidates = sizes.tiles(length, is_periodic=is_periodic), []
    for size in [*range(sizes.unit, length, sizes.unit), length]:
        tasks = group_tiles(tiles, size, sizes.rim, is_periodic=is_periodic)
        wides = [widened(task.core, sizes.rim, length, is_periodic=is_periodic) for task in tasks]
        computed = sum(
            bool(turns(tile.read, wide, length, is_periodic=is_periodic)) for wide in wides for tile in tiles
        )
        wide = max(part.stop - part.start for part in wides)
        read = max(task.read.stop - task.read.start for task in tasks)
        candidates.append(_Candidate(size, wide, read, Fraction(computed, len(tiles))))
    return candidates


def task_size(grid: Grid, sizes: TaskSizes) -> tuple[int, int, int]:
    """Return the number of dates, rows and columns of a task with bounded memory and least work.

    Work is the number of values computed for each value that is kept, because dates and tiles around the task are
    computed too. A grid is not cut if the whole grid fits for all dates of a task.

    Parameters
    ----------
    grid : Grid
    sizes : TaskSizes

    Returns
    -------
    dates, rows, columns : int
        Rows and columns are multiples of ``sizes.unit``, or the whole axis; dates of a part of the grid divide those
        of the whole grid. One date of the smallest part where nothing fits.

    Examples
    --------
    >>> task_size(Grid(1400, 1400), TaskSizes())
    (24, 1400, 1400)
    >>> task_size(Grid(4096, 4096), TaskSizes())
    (24, 1152, 1536)
    """
    values = grid.bands * grid.members * grid.rows * grid.columns
    dates, margin = sizes.most_dates(values), sizes.margin if grid.has_margin else 0
    whole = min(dates, sizes.values // values)
    if whole == dates:
        return dates, grid.rows, grid.columns
    rows = _candidates(grid.rows, sizes, is_periodic=False)
    columns = _candidates(grid.columns, sizes, is_periodic=grid.is_periodic)
    options = []
    if whole:
        work = Fraction(whole + 2 * margin, whole)
        options.append((work, grid.rows * grid.columns, (whole, grid.rows, grid.columns)))
    divisors = [count for count in range(dates, 0, -1) if dates % count == 0]
    for y, x in itertools.product(rows, columns):
        written, read = y.wide * x.wide * grid.bands * grid.members, y.read * x.read * grid.bands
        for count in divisors:
            if count * written <= sizes.values and (count + 2 * margin) * read <= sizes.read_values:
                work = Fraction(count + 2 * margin, count) * y.work * x.work
                # Of two parts with the same work the smaller is preferred.
                options.append((work, y.size * x.size, (count, y.size, x.size)))
                break
    return min(options)[2] if options else (1, rows[0].size, columns[0].size)


def _around_blur(sizes: TaskSizes, model: Model) -> TaskSizes:
    """Return sizes whose halo also holds the cells that a blurred observation of the halo depends on."""
    blur = None if model.prior is None else model.prior.blur
    return sizes if blur is None else replace(sizes, halo=sizes.halo + -(-max(blur.reach) // LEVELS) * LEVELS)


def plan_tasks(
    model: Model,
    archive: Archive,
    *,
    dates: slice = slice(None),
    members: int = 1,
    sizes: TaskSizes | None = None,
    whole_maps: bool = False,
) -> Plan:
    """Cut some dates of an archive into tasks: a function of the archive's size and the model alone.

    A task reads the same dates whichever dates are asked for, so a part of a record is filled as the whole record is.

    Parameters
    ----------
    model : Model
    archive : Archive
    dates : slice
        Dates to fill.
    members : int
        Ensemble members.
    sizes : TaskSizes, optional
    whole_maps : bool
        Cut in time only; a task of a large grid then has few dates.
    """
    sizes = _around_blur(sizes or TaskSizes(), model)
    first, last, _ = dates.indices(len(archive.days))
    count, (height, width) = len(archive.days), archive.domain.shape
    has_margin = not archive.independent and count > 1
    grid = Grid(height, width, archive.bands, members, archive.is_periodic, has_margin)
    values = archive.bands * members * height * width
    if whole_maps:
        size, height_of_task, width_of_task = (
            max(1, min(sizes.most_dates(values), sizes.values // values)),
            height,
            width,
        )
    else:
        size, height_of_task, width_of_task = task_size(grid, sizes)
    if archive.independent and (height_of_task, width_of_task) == (height, width):
        size = max(size, sizes.sample_values // values)
    margin = _margin(model, archive, sizes)
    tile_rows = sizes.tiles(height, is_periodic=False)
    tile_columns = sizes.tiles(width, is_periodic=archive.is_periodic)
    return Plan(
        dates=_date_spans(slice(first, last), size, margin, count),
        rows=group_tiles(tile_rows, height_of_task, sizes.rim),
        columns=group_tiles(tile_columns, width_of_task, sizes.rim, is_periodic=archive.is_periodic),
        tile_rows=tile_rows,
        tile_columns=tile_columns,
        margin=margin,
        size=size,
        origin=archive.origin,
        around=sizes.around,
        is_periodic=archive.is_periodic,
    )


def _margin(model: Model, archive: Archive, sizes: TaskSizes) -> int:
    """Return the dates that a task reads before and after its own."""
    margin = model.frames - 1
    if model.prior is not None and len(archive.days) > 1 and not archive.independent:
        step = float(np.median(np.diff(archive.days)))
        # Observations two e-folding times away hardly change the first guess.
        margin = max(margin, math.ceil(2 * model.prior.reach / max(step, 1e-6)))
    return max(model.frames - 1, min(margin, sizes.margin))


def _date_spans(dates: slice, size: int, margin: int, count: int) -> list[Span]:
    """Cut dates into tasks that start at multiples of ``size``, whichever dates are asked for."""
    return [
        Span(
            slice(max(dates.start, start), min(start + size, dates.stop)),
            slice(max(0, start - margin), min(count, start + size + margin)),
        )
        for start in range(dates.start - dates.start % size, dates.stop, size)
    ]
