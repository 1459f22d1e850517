"""Read a field of any size in one pass, in parts of whole chunks that are read ahead."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby, product
from typing import Any

import numpy as np
import xarray as xr

from geogan.compute.chunk_groups import partition
from geogan.compute.extent import Extent
from geogan.compute.threads import side_by_side, workers
from geogan.operators.errors import InputError
from geogan.operators.wording import counted

# Values of a part, if chunks allow it.
PART_VALUES = 2**22
# Parts that are read at the same time at most; more only wait for the disk.
READERS = 4


def read_parts(
    field: xr.DataArray,
    *,
    most: int = PART_VALUES,
    what: str = "reading the archive",
    message: Callable[[str], None] = lambda sentence: None,
    report_every: float = 20.0,
) -> Iterator[tuple[Extent, np.ndarray]]:
    """Read all of a field, each chunk once; a few parts are in memory at a time.

    Parameters
    ----------
    field : DataArray, shape (T, C, H, W)
        Lazy or not; a field in memory comes in groups of dates.
    most : int
        Largest number of values of a part, unless a single chunk or date has more.
    what : str
        Name of the work in progress messages.
    message : callable
        Called with a report of progress if the pass takes long.
    report_every : float
        Interval between reports, in seconds.

    Yields
    ------
    extent : Extent
    values : ndarray, shape (t, C, h, w)

    Raises
    ------
    InputError
        If a part cannot be read.

    Examples
    --------
    >>> maps = xr.DataArray(np.arange(24.0).reshape(4, 1, 2, 3), dims=("time", "band", "y", "x"))
    >>> [(extent.t, part.shape) for extent, part in read_parts(maps.chunk(time=2), most=12)]
    [(slice(0, 2, None), (2, 1, 2, 3)), (slice(2, 4, None), (2, 1, 2, 3))]
    """
    count, bands, height, width = field.shape
    if field.chunks is None:
        size = max(1, most // (bands * height * width))
        extents = [
            Extent(slice(start, min(start + size, count)), slice(0, height), slice(0, width))
            for start in range(0, count, size)
        ]
    else:
        groups = partition(stored_chunks(field), most=max(1, most // bands))
        axes = ([slice(*interval) for interval in axis] for axis in groups)
        extents = [Extent(*slices) for slices in product(*axes)]

    def read(extent: Extent) -> tuple[Extent, np.ndarray]:
        return extent, read_values(field, *extent)

    started = reported = time.perf_counter()
    done = 0
    threads = 1 if field.chunks is None else min(READERS, workers(None))
    for extent, part in side_by_side(read, extents, threads=threads):
        yield extent, part
        done += part.size
        now = time.perf_counter()
        if now - reported > report_every:
            reported, share = now, done / field.size
            left = (now - started) * (1 - share) / share / 60
            message(f"{what}: {share:.0%}, about {counted(round(left), 'minute')} left")


def stored_chunks(field: xr.DataArray) -> list[list[int]]:
    """Return the lengths of the stored chunks of a lazy field (T, C, H, W) along dates, rows and columns.

    Dask's own chunks combine several stored ones, to keep their number small.

    Examples
    --------
    >>> maps = xr.DataArray(np.zeros((9, 1, 2, 3)), dims=("time", "band", "y", "x")).chunk(time=(5, 4))
    >>> maps.encoding["preferred_chunks"] = {"time": 4}
    >>> stored_chunks(maps)
    [[1, 4, 4], [2], [3]]
    """
    preferred = field.encoding.get("preferred_chunks") or {}
    chunks = []
    for axis in (0, 2, 3):
        lengths, size = list(field.chunks[axis]), preferred.get(field.dims[axis])  # type: ignore[index]
        # A selection may begin within a stored chunk. Then the first of several Dask chunks begins with its rest.
        begins_within = [number == 0 and len(lengths) > 1 for number in range(len(lengths))]
        chunks.append(
            [part for length, within in zip(lengths, begins_within) for part in _split(length, within, size or length)]
        )
    return chunks


def reading_hint(field: xr.DataArray, *, dates: int, cells: int, kept: int = 64 * 2**20) -> str | None:
    """Return a hint where chunks hold many more dates than are read at a time, so that they are decoded repeatedly.

    Parameters
    ----------
    field : DataArray, shape (T, C, H, W)
    dates, cells : int
        Dates, and cells of each date, that a task of a fill reads.
    kept : int
        Bytes of decoded chunks that a fill keeps.

    Examples
    --------
    >>> year = xr.DataArray(np.zeros((365, 1, 9, 9)), dims=("time", "band", "y", "x")).chunk(time=365)
    >>> reading_hint(year, dates=24, cells=81, kept=1000)
    'each byte of the archive is read about 15 times: its chunks hold 365 dates; rechunk it to (8, 512, 512)'
    """
    if field.chunks is None:
        return None
    stored, size = max(stored_chunks(field)[0]), np.dtype(field.encoding.get("dtype", field.dtype)).itemsize
    if stored <= 2 * dates or stored * cells * field.shape[1] * size <= kept:
        return None
    times = f"each byte of the archive is read about {counted(round(stored / dates), 'time')}"
    return f"{times}: its chunks hold {counted(stored, 'date')}; rechunk it to (8, 512, 512)"


def _split(length: int, begins_within: bool, size: int) -> list[int]:
    whole, rest = [size] * (length // size), [length % size] * (length % size > 0)
    return rest + whole if begins_within else whole + rest


def group_dates(field: xr.DataArray, dates: Iterable[int], *, most: int) -> Iterator[list[int]]:
    """Group dates, in order, that lie in one chunk and are best read together; at most ``most`` in a group.

    Examples
    --------
    >>> maps = xr.DataArray(np.zeros((9, 1, 2, 3)), dims=("time", "band", "y", "x")).chunk(time=4)
    >>> list(group_dates(maps, [7, 0, 2, 3, 8], most=2))
    [[0, 2], [3], [7], [8]]
    """
    edges = np.cumsum(stored_chunks(field)[0] if field.chunks else field.shape[:1])
    for _, group in groupby(sorted(set(dates)), key=lambda date: int(np.searchsorted(edges, date, side="right"))):
        inside = list(group)
        for start in range(0, len(inside), most):
            yield inside[start : start + most]


def read_dates(field: xr.DataArray, dates: list[int]) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Read some dates, part by part, until the grid is covered.

    Yields
    ------
    y, x : slice
    values : ndarray, shape (len(dates), C, h, w)
    """
    span, rows = slice(dates[0], dates[-1] + 1), np.array(dates) - dates[0]
    grid = stored_chunks(field)[1:] if field.chunks else [[size] for size in field.shape[2:]]
    groups = partition([[span.stop - span.start], *grid], most=max(1, PART_VALUES // field.shape[1]))
    extents = [(slice(*y), slice(*x)) for y, x in product(groups.y, groups.x)]

    def read(extent: tuple[slice, slice]) -> tuple[slice, slice, np.ndarray]:
        return *extent, read_values(field, span, *extent)[rows]

    yield from side_by_side(read, extents, threads=min(READERS, workers(None)))


def read_values(
    field: xr.DataArray, t: slice | np.ndarray, y: slice = slice(None), x: slice = slice(None), *, dtype: Any = None
) -> np.ndarray:
    """Read values of a field (T, C, H, W) on the calling thread alone.

    Callers are background threads, Dask's own among them, so a pool of its own would only compete with them.

    Raises
    ------
    InputError
        If the values cannot be read.
    """
    part = field[t, :, y, x]
    if dtype is not None:
        part = part.astype(dtype)
    if part.chunks is None:
        return np.asarray(part.values)
    dates = np.arange(len(field))[t]
    with explain_read_errors(
        str(field.encoding.get("source", "the data")), str(field.name), at=f", in dates {dates[0]} to {dates[-1]}"
    ):
        return np.asarray(part.data.compute(scheduler="synchronous"))


@contextmanager
def explain_read_errors(path: str, name: str, *, at: str = "") -> Iterator[None]:
    """Turn errors of decoders and stores into one sentence that names the damaged file, or the store.

    Parameters
    ----------
    path : str
        The file, or the address of a store.
    name : str
        The variable that is read from it.
    at : str
        The part of it that is read, in words.

    Raises
    ------
    InputError
        If reading fails.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:200] or type(error).__name__
        if "://" in path:
            # Clients of object stores have their own exceptions, and have retried several times.
            raise InputError(
                f"variable {name!r} of {path} could not be read{at} ({text}); run again when the store answers"
            ) from error
        if not isinstance(error, OSError | RuntimeError | ValueError | EOFError):
            raise
        raise InputError(
            f"variable {name!r} of {path} cannot be read: a part of it is damaged or cut short{at} ({text}); "
            "copy or write it again"
        ) from error
