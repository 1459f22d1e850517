"""One pass over a field of any size, in parts of whole chunks that are read ahead."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby, product
from typing import Any

import numpy as np
import xarray as xr

from geogan.compute.regions import Region, partition
from geogan.compute.threads import side_by_side, workers
from geogan.operators.errors import InputError

# Values of a part, where chunks allow it, and parts that are read at a time at most.
PART_VALUES, READERS = 2**22, 4
# A pass that takes longer than this says how far it is, every so many seconds.
SPEAK_SECONDS = 20.0


def parts(
    field: xr.DataArray,
    *,
    most: int = PART_VALUES,
    what: str = "reading the archive",
    message: Callable[[str], None] = lambda sentence: None,
) -> Iterator[tuple[Region, np.ndarray]]:
    """All of a field, each chunk read once; memory is bounded by a few parts.

    Parameters
    ----------
    field : DataArray, shape (T, C, H, W)
        Lazy or not; what is in memory comes in some dates at a time.
    most : int
        Values of a part, unless a single chunk or date has more.
    what : str
        What a long pass is said to do.
    message : callable
        Called with how far a long pass is.

    Yields
    ------
    region : Region
    values : ndarray, shape (t, C, h, w)

    Examples
    --------
    >>> maps = xr.DataArray(np.arange(24.0).reshape(4, 1, 2, 3), dims=("time", "band", "y", "x"))
    >>> [(region.t, part.shape) for region, part in parts(maps.chunk(time=2), most=12)]
    [(slice(0, 2, None), (2, 1, 2, 3)), (slice(2, 4, None), (2, 1, 2, 3))]
    """
    count, bands, height, width = field.shape
    if field.chunks is None:
        size = max(1, most // (bands * height * width))
        regions = [
            Region(slice(start, min(start + size, count)), slice(0, height), slice(0, width))
            for start in range(0, count, size)
        ]
    else:
        found = partition(stored_chunks(field), most=max(1, most // bands))
        axes = ([slice(*stretch) for stretch in axis] for axis in found)
        regions = [Region(*each) for each in product(*axes)]

    def read(region: Region) -> tuple[Region, np.ndarray]:
        return region, read_piece(field, *region)

    began = spoke = time.perf_counter()
    done = 0
    threads = 1 if field.chunks is None else min(READERS, workers(None))
    for region, part in side_by_side(read, regions, threads=threads):
        yield region, part
        done += part.size
        now = time.perf_counter()
        if now - spoke > SPEAK_SECONDS:
            spoke, share = now, done / field.size
            left = (now - began) * (1 - share) / share / 60
            message(f"{what}: {share:.0%}, about {left:.0f} minutes left")


def stored_chunks(field: xr.DataArray) -> list[list[int]]:
    """Lengths of the chunks of a lazy field (T, C, H, W) along dates, rows and columns, as they are stored.

    Those of Dask are several of them together, so that an archive of any size has not too many.

    Examples
    --------
    >>> maps = xr.DataArray(np.zeros((9, 1, 2, 3)), dims=("time", "band", "y", "x")).chunk(time=(5, 4))
    >>> maps.encoding["preferred_chunks"] = {"time": 4}
    >>> stored_chunks(maps)
    [[1, 4, 4], [2], [3]]
    """
    preferred = field.encoding.get("preferred_chunks") or {}
    found = []
    for axis in (0, 2, 3):
        lengths, size = list(field.chunks[axis]), preferred.get(field.dims[axis])  # type: ignore[index]
        # A selection of dates may begin within a chunk, and it is then the first of several that is cut.
        cut = [number == 0 and len(lengths) > 1 for number in range(len(lengths))]
        found.append([part for each in zip(lengths, cut) for part in _split(*each, size or each[0])])
    return found


def _split(length: int, cut: bool, size: int) -> list[int]:
    whole, rest = [size] * (length // size), [length % size] * (length % size > 0)
    return rest + whole if cut else whole + rest


def together(field: xr.DataArray, dates: Iterable[int], *, most: int) -> Iterator[list[int]]:
    """Some dates, in order, in groups of at most so many that are in one chunk: those are best read at a time.

    Examples
    --------
    >>> maps = xr.DataArray(np.zeros((9, 1, 2, 3)), dims=("time", "band", "y", "x")).chunk(time=4)
    >>> list(together(maps, [7, 0, 2, 3, 8], most=2))
    [[0, 2], [3], [7], [8]]
    """
    edges = np.cumsum(stored_chunks(field)[0] if field.chunks else field.shape[:1])
    for _, group in groupby(sorted(set(dates)), key=lambda date: int(np.searchsorted(edges, date, side="right"))):
        inside = list(group)
        for start in range(0, len(inside), most):
            yield inside[start : start + most]


def tiles(field: xr.DataArray, dates: list[int]) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Rows, columns and values of some dates, (len(dates), C, h, w), until the grid is covered."""
    span, rows = slice(dates[0], dates[-1] + 1), np.array(dates) - dates[0]
    grid = stored_chunks(field)[1:] if field.chunks else [[size] for size in field.shape[2:]]
    _, ys, xs = partition([[span.stop - span.start], *grid], most=max(1, PART_VALUES // field.shape[1]))
    places = [(slice(*y), slice(*x)) for y, x in product(ys, xs)]

    def read(place: tuple[slice, slice]) -> tuple[slice, slice, np.ndarray]:
        return *place, read_piece(field, span, *place)[rows]

    yield from side_by_side(read, places, threads=min(READERS, workers(None)))


def read_piece(
    field: xr.DataArray, t: slice | np.ndarray, y: slice = slice(None), x: slice = slice(None), *, dtype: Any = None
) -> np.ndarray:
    """Values of a piece of a field (T, C, H, W), read by this thread alone.

    Pieces are read from background threads and from Dask's own: no second pool inside them.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    piece = field[t, :, y, x]
    if dtype is not None:
        piece = piece.astype(dtype)
    if piece.chunks is None:
        return np.asarray(piece.values)
    dates = np.arange(len(field))[t]
    with reading(
        str(field.encoding.get("source", "the data")), str(field.name), at=f", in dates {dates[0]} to {dates[-1]}"
    ):
        return np.asarray(piece.data.compute(scheduler="synchronous"))


@contextmanager
def reading(path: str, name: str, *, at: str = "") -> Iterator[None]:
    """Say which file is damaged, or which store does not answer, whatever the decoder deep below says.

    Parameters
    ----------
    path : str
        The file, or the address of a store.
    name : str
        The variable that is read from it.
    at : str
        Where in it.

    Raises
    ------
    InputError
        If what is done inside cannot read.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:200] or type(error).__name__
        if "://" in path:
            # Clients of object stores have exceptions of their own, and have tried several times.
            raise InputError(
                f"variable {name!r} of {path} could not be read{at} ({text}); run again when the store answers"
            ) from error
        if not isinstance(error, OSError | RuntimeError | ValueError | EOFError):
            raise
        raise InputError(
            f"variable {name!r} of {path} cannot be read: a part of it is damaged or cut short{at} ({text}); "
            "copy or write it again"
        ) from error
