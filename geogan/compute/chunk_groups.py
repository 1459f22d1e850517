"""Groups of whole chunks that training reads at a time from an archive on disk.

A training block of some dates and some hundred pixels lies across many chunks of a store; reading it alone would decode
all of them. Therefore a group of whole chunks, some tens of MiB, is read ahead of need, and several blocks are taken
from it. A few groups are in use at a time, so that consecutive blocks come from different ones. The group of block
``n`` is a function of ``(seed, n)`` and of the chunks of the archive.
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

from geogan.compute.extent import Extent

# Values of a group at most, if its chunks allow it: 64 MiB of float32.
GROUP_VALUES = 2**24
# Groups in use at a time, and blocks taken from each before it is replaced.
GROUPS, BLOCKS_EACH = 4, 8

Content = TypeVar("Content")


class ChunkGroups(NamedTuple):
    """Intervals of dates, rows and columns, (start, stop) each and in order; a group is one of each."""

    t: list[tuple[int, int]]
    y: list[tuple[int, int]]
    x: list[tuple[int, int]]

    @property
    def values(self) -> int:
        """Number of values of the largest group, in one band."""
        return math.prod(max(stop - start for start, stop in axis) for axis in self)

    def draw(self, generator: np.random.Generator) -> Extent:
        """Return the extent of a random group."""
        return Extent(*(slice(*axis[int(generator.integers(len(axis)))]) for axis in self))


def plan_groups(
    chunks: Sequence[Sequence[int]],
    least: tuple[int, int, int],
    *,
    most: int = GROUP_VALUES,
    is_periodic: bool = False,
) -> ChunkGroups:
    """Divide an archive into overlapping groups of whole chunks, each large enough for a block.

    A group is enlarged along the axis on which it is shortest in relation to the block, as long as it has at most
    ``most`` values. Chunks that are too large for that are halved, which means that they are decoded more than once.

    Parameters
    ----------
    chunks : sequence of sequences of int
        Lengths of the chunks along dates, rows and columns; they may be unequal.
    least : (int, int, int)
        Dates, rows and columns of a block.
    most : int
        Largest number of values of a group, in one band.
    is_periodic : bool
        Whether the last column touches the first; groups may then cross the seam, with columns counted as in
        :mod:`geogan.fields.circle`.

    Examples
    --------
    >>> days, maps = [1] * 400, [1024]
    >>> groups = plan_groups([days, maps, maps], (16, 128, 128), most=2**24)
    >>> groups.t[:2], groups.y, groups.x
    ([(0, 16), (1, 17)], [(0, 1024)], [(0, 1024)])
    """
    axes = [list(axis) for axis in chunks]
    divide = (_intervals, _intervals, _intervals_around if is_periodic else _intervals)
    intervals = [divide_axis(axis, length) for divide_axis, axis, length in zip(divide, axes, least)]
    while ChunkGroups(*intervals).values > most:
        ratios = [_longest(axis) / length for axis, length in zip(intervals, least)]
        # Chunks of one cell cannot be halved.
        number = max(range(3), key=lambda axis: ratios[axis] * (max(axes[axis]) > 1))
        if ratios[number] <= 1 or max(axes[number]) == 1:
            return ChunkGroups(*intervals)
        axes[number] = _halved(axes[number])
        intervals[number] = divide[number](axes[number], least[number])
    growing = set(range(3))
    while growing:
        number = max(growing, key=lambda axis: (least[axis] / _longest(intervals[axis]), axis))
        # At least by a quarter: an archive has many dates, and each attempt goes through all of them.
        length = _longest(intervals[number])
        longer = divide[number](axes[number], length + max(1, length // 4))
        enlarged = ChunkGroups(*(longer if axis == number else intervals[axis] for axis in range(3)))
        if longer == intervals[number] or enlarged.values > most:
            growing.discard(number)
        else:
            intervals = list(enlarged)
    return ChunkGroups(*intervals)


def decoding_ratio(groups: ChunkGroups, chunks: Sequence[Sequence[int]]) -> float:
    """Return the mean number of values decoded for a group over its size; 1 if groups are whole chunks.

    Examples
    --------
    >>> chunks = [[365, 365], [1024], [1024]]
    >>> decoding_ratio(plan_groups(chunks, (16, 128, 128)), chunks) > 20
    True
    """
    ratio = 1.0
    for intervals, axis in zip(groups, chunks):
        edges = [0, *accumulate([*axis, *axis])]  # of two turns, because an interval may cross the seam
        spans = [edges[bisect_left(edges, stop)] - edges[bisect_right(edges, start) - 1] for start, stop in intervals]
        ratio *= sum(spans) / sum(stop - start for start, stop in intervals)
    return ratio


def partition(chunks: Sequence[Sequence[int]], *, most: int = GROUP_VALUES) -> ChunkGroups:
    """Divide an archive into groups of whole chunks that do not overlap, of at most ``most`` values in one band.

    Groups are first as wide, then as long as possible. Chunks that are too large are halved along their longest axis.

    Examples
    --------
    >>> partition([[4, 4, 1], [8, 8], [8]], most=512)
    ChunkGroups(t=[(0, 4), (4, 8), (8, 9)], y=[(0, 16)], x=[(0, 8)])
    """
    axes = [list(axis) for axis in chunks]
    while math.prod(max(axis) for axis in axes) > most:
        number = max(range(3), key=lambda axis: max(axes[axis]))
        axes[number] = _halved(axes[number])
    for number in (2, 1, 0):
        limit = most // math.prod(max(axis) for other, axis in enumerate(axes) if other != number)
        merged = axes[number][:1]
        for size in axes[number][1:]:
            if merged[-1] + size <= limit:
                merged[-1] += size
            else:
                merged.append(size)
        axes[number] = merged
    return ChunkGroups(*(list(pairwise([0, *accumulate(axis)])) for axis in axes))


def _halved(chunks: Sequence[int]) -> list[int]:
    return [half for size in chunks for half in (size - size // 2, size // 2) if half]


def _intervals(chunks: Sequence[int], length: int) -> list[tuple[int, int]]:
    """Return, from every chunk on, the fewest chunks of at least ``length``; the last interval ends with the axis.

    Examples
    --------
    >>> _intervals([4, 4, 4, 1], 4)
    [(0, 4), (4, 8), (8, 13)]
    """
    edges = [0, *accumulate(chunks)]
    length = min(length, edges[-1])
    last = max(edge for edge in edges if edges[-1] - edge >= length)
    intervals = [(start, edges[bisect_left(edges, start + length)]) for start in edges if start < last]
    return [*intervals, (last, edges[-1])]


def _intervals_around(chunks: Sequence[int], length: int) -> list[tuple[int, int]]:
    """Return the same for an axis whose last cell touches the first; one interval if that is the whole axis.

    Examples
    --------
    >>> _intervals_around([4, 4, 4], 5), _intervals_around([4, 4, 4], 12)
    ([(0, 8), (4, 12), (8, 16)], [(0, 12)])
    """
    edges = [0, *accumulate([*chunks, *chunks])]
    total = edges[len(chunks)]
    intervals = [(start, edges[bisect_left(edges, start + length)]) for start in edges[: len(chunks)] if length < total]
    return intervals if intervals and all(stop - start < total for start, stop in intervals) else [(0, total)]


def _longest(intervals: Sequence[tuple[int, int]]) -> int:
    return max(stop - start for start, stop in intervals)


class ShuffleBuffer(Generic[Content]):
    """The groups of a block and of the blocks after it, read ahead by one background thread.

    Parameters
    ----------
    draw : callable
        ``draw(generator)`` returns the extent of a random group.
    load : callable
        ``load(extent)`` reads it.
    seed : int
        Decides, with the number of a block, from which group it is taken.
    """

    def __init__(self, draw: Callable[[np.random.Generator], Extent], load: Callable[[Extent], Content], *, seed: int):
        self._draw, self._load, self._seed = draw, load, seed
        self._contents: OrderedDict[tuple[int, int], Future[Content]] = OrderedDict()
        self._lock = Lock()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="chunk groups")

    def extent(self, number: int) -> Extent:
        """Return the extent of the group from which block ``number`` is taken."""
        return self._drawn(*slot_of(number))

    def at(self, number: int) -> Content:
        """Return the content of the group from which block ``number`` is taken; the next groups are read meanwhile."""
        wanted = list(dict.fromkeys(slot_of(later) for later in range(number, number + GROUPS + 1)))
        with self._lock:
            for key in [key for key in self._contents if key not in wanted]:
                del self._contents[key]
            for key in wanted:
                if key not in self._contents:
                    self._contents[key] = self._executor.submit(self._read, *key)
            content = self._contents[wanted[0]]
        return content.result()

    def _drawn(self, slot: int, turn: int) -> Extent:
        return self._draw(np.random.default_rng([self._seed, 0x5EA, slot, turn]))

    def _read(self, slot: int, turn: int) -> Content:
        return self._load(self._drawn(slot, turn))


def slot_of(number: int) -> tuple[int, int]:
    """Return the slot of the buffer that serves block ``number``, and how often it was refilled before.

    The slots are refilled at different times.

    Examples
    --------
    >>> [slot_of(number) for number in (0, 1, 4, 31, 32)]
    [(0, 0), (1, 0), (0, 0), (3, 1), (0, 1)]
    """
    slot = number % GROUPS
    return slot, (number // GROUPS + slot * BLOCKS_EACH // GROUPS) // BLOCKS_EACH
