"""What reading costs: stretches of an axis against the chunks it is stored in; integers only."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from geogan.fields.circle import stretches

# Dates of a slab, at most so many more on either side, and values of one: what is filled at a time. What is looked at
# on either side is work, a slab is memory: half the dates where all of them would be more values than a small slab's.
SLAB_DATES, SLAB_MARGIN, SLAB_VALUES, SMALL_SLAB = 48, 8, 48_000_000, 13_000_000
# Slabs whose values one of several panels may read, with all that is looked at around it.
READ_SLABS = 3
# Bytes of decoded chunks that are kept for the next slab.
KEPT_BYTES = 64 * 2**20
# Chunks that suit filling: dates, rows and columns.
GOOD = (8, 512, 512)


class Cost(NamedTuple):
    """Of reading some stretches of an axis, one after another.

    Attributes
    ----------
    needed : int
        Entries of the axis that are asked for at all.
    decoded : int
        Entries of all chunks that are decoded, each as often as it is.
    """

    needed: int
    decoded: int

    @property
    def times(self) -> float:
        """How often each entry is read."""
        return self.decoded / max(self.needed, 1)


def touched(read: slice, chunks: Sequence[int]) -> range:
    """Numbers of the chunks that a stretch has a part of.

    Examples
    --------
    >>> touched(slice(3, 9), [4, 4, 4])
    range(0, 3)
    """
    return _touched(read, list(accumulate(chunks)))


def _touched(read: slice, stops: Sequence[int]) -> range:
    return range(bisect_right(stops, read.start), bisect_left(stops, read.stop) + 1)


def reading_cost(reads: Sequence[slice], chunks: Sequence[int], *, kept: int = 0) -> Cost:
    """What it costs to read some stretches of an axis.

    Parameters
    ----------
    reads : sequence of slice
        In their order; none is empty.
    chunks : sequence of int
        Lengths of the chunks along the axis, which is their sum.
    kept : int
        Entries of the chunks that are remembered: those that were asked for last.

    Returns
    -------
    cost : Cost

    Examples
    --------
    Slabs of 24 dates with 8 on either side, of chunks that hold a year:

    >>> reads = [slice(max(0, start - 8), min(730, start + 32)) for start in range(0, 730, 24)]
    >>> round(reading_cost(reads, [365, 365]).times, 1), reading_cost(reads, [365, 365], kept=730).times
    (16.5, 1.0)
    """
    held: OrderedDict[int, int] = OrderedDict()
    decoded, wanted, stops = 0, [False] * sum(chunks), list(accumulate(chunks))
    for read in reads:
        wanted[read] = [True] * (read.stop - read.start)
        for number in _touched(read, stops):
            if number not in held:
                decoded += chunks[number]
            held[number] = chunks[number]
            held.move_to_end(number)
            while sum(held.values()) > kept and held:
                held.popitem(last=False)
    return Cost(sum(wanted), decoded)


def grid_cost(
    reads: Sequence[slice],
    ys: Sequence[slice],
    xs: Sequence[slice],
    chunks: Sequence[Sequence[int]],
    *,
    kept: int = 0,
) -> Cost:
    """What it costs to read some dates of some rows and columns of a grid, panel by panel.

    Parameters
    ----------
    reads : sequence of slice
        Dates, in their order, of every panel.
    ys, xs : sequence of slice
        Rows and columns that panels read.
    chunks : sequence of sequence of int
        Lengths of the chunks along dates, rows and columns.
    kept : int
        Values of decoded chunks that are remembered.

    Examples
    --------
    Two panels of 6 rows, of 10 in one chunk of which only these are kept:

    >>> grid_cost([slice(0, 4)], [slice(0, 6), slice(4, 10)], [slice(0, 5)], [[2, 2], [10], [5]]).times
    2.0
    """
    found: dict[int, Cost] = {}
    decoded = 0
    stops = [list(accumulate(each)) for each in chunks]
    for y in ys:
        for x in xs:
            dates = kept // ((y.stop - y.start) * (x.stop - x.start))
            if dates not in found:
                found[dates] = reading_cost(reads, chunks[0], kept=dates)
            # Columns across the seam of the globe are read for themselves.
            rows, columns = (
                sum(lengths[number] for part in stretches(whole, stop[-1]) for number in _touched(part, stop))
                for whole, lengths, stop in zip((y, x), chunks[1:], stops[1:])
            )
            decoded += found[dates].decoded * rows * columns
    return Cost(next(iter(found.values())).needed * stops[1][-1] * stops[2][-1], decoded)


def good_cost(reads: Sequence[slice], ys: Sequence[slice], xs: Sequence[slice], shape: Sequence[int]) -> Cost:
    """The same of an archive (dates, rows, columns) in chunks of :data:`GOOD`, of which nothing is kept."""
    chunks = [[min(size, length - start) for start in range(0, length, size)] for size, length in zip(GOOD, shape)]
    return grid_cost(reads, ys, xs, chunks)


def slab_dates(values: int, dates: int = SLAB_DATES) -> int:
    """Dates of a slab of a grid in one piece, but for what memory allows.

    Parameters
    ----------
    values : int
        Of a date: cells times bands times members.
    dates : int
        Of a small grid.

    Examples
    --------
    >>> slab_dates(512 * 512), slab_dates(1024 * 1024)
    (48, 24)
    """
    return dates if dates * values <= SMALL_SLAB else max(1, dates // 2)


def default_reads(count: int, values: int, *, dates: int | None = None) -> list[slice]:
    """Dates that the slabs of an archive read under default settings, whatever the model.

    Parameters
    ----------
    count : int
        Dates.
    values : int
        Values of a date: cells times bands.
    dates : int, optional
        Of a slab, where the grid is cut into panels.
    """
    size = dates or max(1, min(slab_dates(values), SLAB_VALUES // values))
    return [
        slice(max(0, start - SLAB_MARGIN), min(count, start + size + SLAB_MARGIN)) for start in range(0, count, size)
    ]


def warning(cost: Cost, stored: Sequence[int], *, least: Cost | None = None) -> str | None:
    """What to say of an archive whose chunks do not suit filling; None where they do.

    Parameters
    ----------
    cost : Cost
    stored : sequence of int
        Dates, rows and columns of a stored chunk.
    least : Cost, optional
        Of good chunks, where the grid is cut into panels, which look beyond their rims.

    Examples
    --------
    >>> warning(Cost(730, 11680), (365, 100, 100))
    'each byte of the archive is read 16 times: its chunks hold 365 dates; rechunk it to (8, 512, 512)'
    """
    if cost.times <= 2 * (1 if least is None else least.times):
        return None
    often = f"each byte of the archive is read {cost.times:.0f} times"
    cells = "" if least is None else f" of {stored[1]} x {stored[2]} cells"
    return f"{often}: its chunks hold {stored[0]} dates{cells}; rechunk it to {GOOD}"
