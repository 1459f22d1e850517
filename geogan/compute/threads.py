"""Work side by side: independent items on threads, each of them single-threaded inside."""

from __future__ import annotations

import ctypes
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch

from geogan.settings import check_settings

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


def cores(root: Path = Path("/")) -> int:
    """Return the number of cores that this process may use.

    The process may be bound to some of the machine's cores (``taskset``, a batch system), and a container may have a
    share of their time (``docker run --cpus``, a limit of Kubernetes). Half a core counts as one.

    Parameters
    ----------
    root : Path
        Root of the file system in which ``proc`` and ``sys`` are looked up.

    Examples
    --------
    >>> cores() >= 1
    True
    """
    # Not every system knows to which cores a process is bound.
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = _cpu_limit(root)
    return bound if share is None else max(1, min(bound, int(share)))


def _cpu_limit(root: Path) -> float | None:
    """Return how many cores' time the control groups of this process leave it, or None without a limit.

    A group obeys the limits of all groups above it. In a container its path may be that of the host, of which the
    container sees no more than its own root: then the limits there count.
    """
    limits = []
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        for mount in _mounts(root, controllers):
            group = mount / path.strip("/")
            for folder in (group, *group.parents):
                limits += _limits_in(folder)
                if folder == mount:
                    break
    return min(limits, default=None)


def _mounts(root: Path, controllers: str) -> list[Path]:
    """Return where the hierarchy of some controllers may be: of version 2 they have no name."""
    top = root / "sys/fs/cgroup"
    if not controllers:
        return [top, top / "unified"]
    return [top / controllers, top / "cpu"] if "cpu" in controllers.split(",") else []


def _limits_in(folder: Path) -> list[float]:
    """Return the limit of a control group in cores, from the files of version 2 or 1; empty where it has none."""
    quota, period = "", ""
    for line in _lines(folder / "cpu.max"):
        quota, _, period = line.partition(" ")
    if not quota:
        quota, period = ("".join(_lines(folder / f"cpu.cfs_{name}_us")) for name in ("quota", "period"))
    try:
        # Without a limit the quota is "max", or -1.
        cores = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return []
    return [cores] if cores > 0 else []


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []


def workers(threads: int | None) -> int:
    """Return how many items to work on at a time: as asked, by default one for each of :func:`cores`.

    Raises
    ------
    InputError
        Where fewer than one is asked for, or no whole number.
    """
    check_settings({"threads": threads})
    return threads or cores()


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
        Items at a time; by default one for each core that this process may use.

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
