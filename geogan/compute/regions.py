"""Regions: parts of an archive on disk that are read at a time, and training blocks are cut from.

A block of some dates and some hundred pixels lies across many chunks of a store, and would decode all of them. So whole
chunks are read, a region of some tens of MiB at a time and ahead of need, and several blocks are cut from each. A few
regions serve in turn, so that consecutive blocks come from different ones. Which region block ``n`` is cut from is
a function of ``(seed, n)`` and of how the archive is chunked.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import accumulate, pairwise
from threading import Lock
from typing import Generic, NamedTuple, TypeVar

import numpy as np

# Values of a region at most, where its chunks allow it: 64 MiB of float32.
REGION_VALUES = 2**24
# Regions that serve in turn, and blocks cut from each before it is replaced.
REGIONS, BLOCKS_EACH = 4, 8

Content = TypeVar("Content")


class Region(NamedTuple):
    """A part of an archive: dates, rows and columns."""

    t: slice
    y: slice
    x: slice


class Regions(NamedTuple):
    """The stretches of dates, rows and columns that regions are made of, (start, stop) each, in order."""

    t: list[tuple[int, int]]
    y: list[tuple[int, int]]
    x: list[tuple[int, int]]

    @property
    def values(self) -> int:
        """Values of the largest region, of each band."""
        return math.prod(max(stop - start for start, stop in axis) for axis in self)

    def draw(self, generator: np.random.Generator) -> Region:
        """A region at random."""
        return Region(*(slice(*axis[int(generator.integers(len(axis)))]) for axis in self))


def plan_regions(
    chunks: Sequence[Sequence[int]],
    least: tuple[int, int, int],
    *,
    most: int = REGION_VALUES,
    is_periodic: bool = False,
) -> Regions:
    """Cut an archive into regions of whole chunks.

    A region holds a block of ``least`` dates, rows and columns wherever the archive does. As long as it stays within
    ``most`` values it is made larger, where it is shortest against the block; chunks that are too large for that are
    halved, which means that they are decoded more than once.

    Parameters
    ----------
    chunks : sequence of sequences of int
        Lengths of the chunks along dates, rows and columns; they need not be equal.
    least : (int, int, int)
        Dates, rows and columns of a block.
    most : int
        Values of a region, of each band.
    is_periodic : bool
        Whether the last column touches the first: regions then lie across the seam too, as :mod:`geogan.fields.circle`
        counts columns.

    Examples
    --------
    >>> days, maps = [1] * 400, [1024]
    >>> regions = plan_regions([days, maps, maps], (16, 128, 128), most=2**24)
    >>> regions.t[:2], regions.y, regions.x
    ([(0, 16), (1, 17)], [(0, 1024)], [(0, 1024)])
    """
    axes = [list(axis) for axis in chunks]
    cut = (_stretches, _stretches, _stretches_around if is_periodic else _stretches)
    found = [along(axis, length) for along, axis, length in zip(cut, axes, least)]
    while Regions(*found).values > most:
        over = [_longest(axis) / length for axis, length in zip(found, least)]
        # A chunk as short as the block is left whole, and so is one cell.
        number = max(range(3), key=lambda axis: over[axis] * (max(axes[axis]) > 1))
        if over[number] <= 1 or max(axes[number]) == 1:
            return Regions(*found)
        axes[number] = _halved(axes[number])
        found[number] = cut[number](axes[number], least[number])
    growing = set(range(3))
    while growing:
        number = max(growing, key=lambda axis: (least[axis] / _longest(found[axis]), axis))
        # By a quarter at least: an archive has many dates, and each attempt looks at them all.
        length = _longest(found[number])
        longer = cut[number](axes[number], length + max(1, length // 4))
        tried = Regions(*(longer if axis == number else found[axis] for axis in range(3)))
        if longer == found[number] or tried.values > most:
            growing.discard(number)
        else:
            found = list(tried)
    return Regions(*found)


def decoded(regions: Regions, chunks: Sequence[Sequence[int]]) -> float:
    """What is decoded for a region, on average, over what it holds: 1 where regions are whole chunks.

    Examples
    --------
    >>> chunks = [[365, 365], [1024], [1024]]
    >>> decoded(plan_regions(chunks, (16, 128, 128)), chunks) > 20
    True
    """
    times = 1.0
    for stretches, axis in zip(regions, chunks):
        edges = [0, *accumulate([*axis, *axis])]  # of two turns, where a stretch may go on beyond the seam
        spans = [edges[bisect_left(edges, stop)] - edges[bisect_right(edges, start) - 1] for start, stop in stretches]
        times *= sum(spans) / sum(stop - start for start, stop in stretches)
    return times


def partition(chunks: Sequence[Sequence[int]], *, most: int = REGION_VALUES) -> Regions:
    """Cut an archive into parts of whole chunks that do not overlap: as wide, then as long, as ``most`` values allow.

    Chunks that are too large are halved, the longest way first.

    Examples
    --------
    >>> partition([[4, 4, 1], [8, 8], [8]], most=512)
    Regions(t=[(0, 4), (4, 8), (8, 9)], y=[(0, 16)], x=[(0, 8)])
    """
    axes = [list(axis) for axis in chunks]
    while math.prod(max(axis) for axis in axes) > most:
        number = max(range(3), key=lambda axis: max(axes[axis]))
        axes[number] = _halved(axes[number])
    for number in (2, 1, 0):
        room = most // math.prod(max(axis) for other, axis in enumerate(axes) if other != number)
        merged = axes[number][:1]
        for size in axes[number][1:]:
            if merged[-1] + size <= room:
                merged[-1] += size
            else:
                merged.append(size)
        axes[number] = merged
    return Regions(*(list(pairwise([0, *accumulate(axis)])) for axis in axes))


def _halved(chunks: Sequence[int]) -> list[int]:
    return [half for size in chunks for half in (size - size // 2, size // 2) if half]


def _stretches(chunks: Sequence[int], length: int) -> list[tuple[int, int]]:
    """From every chunk on, as few chunks as make up ``length``; what is left at the end goes with those before it.

    Examples
    --------
    >>> _stretches([4, 4, 4, 1], 4)
    [(0, 4), (4, 8), (8, 13)]
    """
    edges = [0, *accumulate(chunks)]
    length = min(length, edges[-1])
    last = max(edge for edge in edges if edges[-1] - edge >= length)
    found = [(start, edges[bisect_left(edges, start + length)]) for start in edges if start < last]
    return [*found, (last, edges[-1])]


def _stretches_around(chunks: Sequence[int], length: int) -> list[tuple[int, int]]:
    """The same of an axis whose last entry touches the first; one stretch where that is all of it.

    Examples
    --------
    >>> _stretches_around([4, 4, 4], 5), _stretches_around([4, 4, 4], 12)
    ([(0, 8), (4, 12), (8, 16)], [(0, 12)])
    """
    edges = [0, *accumulate([*chunks, *chunks])]
    total = edges[len(chunks)]
    found = [(start, edges[bisect_left(edges, start + length)]) for start in edges[: len(chunks)] if length < total]
    return found if found and all(stop - start < total for start, stop in found) else [(0, total)]


def _longest(stretches: Sequence[tuple[int, int]]) -> int:
    return max(stop - start for start, stop in stretches)


class ShuffleBuffer(Generic[Content]):
    """The regions that serve a block and those after it, read ahead by one background thread.

    Parameters
    ----------
    draw : callable
        ``draw(generator)`` gives a region.
    load : callable
        ``load(region)`` reads one.
    seed : int
        Decides, with a block's number, which region it is cut from.
    """

    def __init__(self, draw: Callable[[np.random.Generator], Region], load: Callable[[Region], Content], *, seed: int):
        self._draw, self._load, self._seed = draw, load, seed
        self._held: OrderedDict[tuple[int, int], Future[Content]] = OrderedDict()
        self._lock = Lock()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="regions")

    def region(self, number: int) -> Region:
        """The region that block ``number`` is cut from."""
        return self._drawn(*serving(number))

    def at(self, number: int) -> Content:
        """What was read of the region that block ``number`` is cut from; the next ones are read meanwhile."""
        wanted = list(dict.fromkeys(serving(later) for later in range(number, number + REGIONS + 1)))
        with self._lock:
            for key in [key for key in self._held if key not in wanted]:
                del self._held[key]
            for key in wanted:
                if key not in self._held:
                    self._held[key] = self._executor.submit(self._read, *key)
            mine = self._held[wanted[0]]
        return mine.result()

    def _drawn(self, place: int, turn: int) -> Region:
        return self._draw(np.random.default_rng([self._seed, 0x5EA, place, turn]))

    def _read(self, place: int, turn: int) -> Content:
        return self._load(self._drawn(place, turn))


def serving(number: int) -> tuple[int, int]:
    """Which of the places in the buffer serves block ``number``, and how often it was filled anew before.

    The places are filled anew at different times.

    Examples
    --------
    >>> [serving(number) for number in (0, 1, 4, 31, 32)]
    [(0, 0), (1, 0), (0, 0), (3, 1), (0, 1)]
    """
    place = number % REGIONS
    return place, (number // REGIONS + place * BLOCKS_EACH // REGIONS) // BLOCKS_EACH
