"""Work side by side: independent items on threads, each of them single-threaded inside."""

from __future__ import annotations

import ctypes
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from geogan.operators.errors import InputError

# Names of mallopt(3), and bytes: an array of more is mapped by itself, and so is given back when it is freed.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_MAPPED, _KEPT = 16 * 2**20, 64 * 2**20

Item = TypeVar("Item")
Result = TypeVar("Result")


def steady_memory() -> None:
    """Bound what the C library keeps of freed memory, for the rest of the process.

    Left to itself, glibc keeps freed blocks in an arena for every thread. Given back at once, each array of a network
    is mapped and zeroed anew: filling then takes half as long again. So blocks are kept in two arenas, up to a size.
    Elsewhere than on glibc this does nothing.
    """
    try:
        tune = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    for name, value in ((_ARENA_MAX, 2), (_MMAP_THRESHOLD, _MAPPED), (_TRIM_THRESHOLD, _KEPT)):
        tune(name, value)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Threads of torch's own arithmetic, put back at the end.

    Grids are small: two threads inside one solver are no quicker than one, and with another process on
    one of two cores they wait for each other and are five to fourteen times slower. So geogan works on
    several items at a time instead, each on one thread.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def workers(threads: int | None) -> int:
    """How many items to work on at a time: as asked, by default one a core.

    Raises
    ------
    InputError
        Where fewer than one is asked for.
    """
    if threads is not None and threads < 1:
        raise InputError(f"threads must be at least 1, got {threads}; leave it out for one a core")
    return threads or os.cpu_count() or 1


def ahead(work: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
    """Results of ``work`` on every item, in their order, each made by a thread while the one before is used.

    Examples
    --------
    >>> list(ahead(lambda x: x * x, range(4)))
    [0, 1, 4, 9]
    """
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        waiting: Future[Result] | None = None
        for item in items:
            coming = pool.submit(work, item)
            if waiting is not None:
                yield waiting.result()
            waiting = coming
        if waiting is not None:
            yield waiting.result()


def side_by_side(
    work: Callable[[Item], Result], items: Iterable[Item], *, threads: int | None = None
) -> Iterator[Result]:
    """Results of ``work`` on every item, in their order; few items are in the air at a time.

    Parameters
    ----------
    work : callable
        Must not depend on the order in which items are done.
    items : iterable
        Taken only as fast as they are worked off, so memory stays bounded.
    threads : int, optional
        Items at a time; by default one a core.

    Examples
    --------
    >>> list(side_by_side(lambda x: x * x, range(4), threads=2))
    [0, 1, 4, 9]
    """
    count = workers(threads)
    waiting: deque[Future[Result]] = deque()
    with torch_threads(1), ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
