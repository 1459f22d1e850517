"""Run independent items on several threads, each item on one thread."""

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

Item = TypeVar("Item")
Result = TypeVar("Result")


def steady_memory() -> None:
    """Limit the freed memory that the C library keeps, for the rest of the process.

    By default glibc keeps freed memory in an arena for every thread. If it returned all of it, each array of a network
    would be mapped and zeroed again, and filling would take 1.5 times as long. Therefore memory is kept in two arenas,
    up to a size. With other C libraries than glibc this function has no effect.
    """
    try:
        tune = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    # Parameters of mallopt(3): M_ARENA_MAX; M_MMAP_THRESHOLD, the size from which an array is returned when freed;
    # M_TRIM_THRESHOLD, the bytes that an arena keeps.
    for parameter, value in ((-8, 2), (-3, 16 * 2**20), (-1, 64 * 2**20)):
        tune(parameter, value)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Set the number of threads of torch's arithmetic, and restore it at the end.

    Grids are small: two threads inside one solver are no quicker than one, and they are five to fourteen times slower
    if another process uses one of two cores, because they wait for each other. Therefore geogan works on several items
    at a time, each on one thread.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def cores(root: Path = Path("/")) -> int:
    """Return the number of cores that this process may use.

    The process may be bound to some cores of the machine (``taskset``, a batch system), and a container may have a
    share of their time only (``docker run --cpus``, a limit of Kubernetes). Half a core counts as one.

    Parameters
    ----------
    root : Path
        Root of the file system that holds ``proc`` and ``sys``.

    Examples
    --------
    >>> cores() >= 1
    True
    """
    # Not every operating system reports the cores to which a process is bound.
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = _cpu_limit(root)
    return bound if share is None else max(1, min(bound, int(share)))


def _cpu_limit(root: Path) -> float | None:
    """Return the limit that the control groups of this process set, in cores; None without a limit.

    The limits of all groups above a group hold too. In a container the path of a group may be that of the host, while
    the container sees its own root only; then the limits at that root hold.
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
    """Return the folders that may hold the hierarchy of some controllers, which have no name in version 2."""
    top = root / "sys/fs/cgroup"
    if not controllers:
        return [top, top / "unified"]
    return [top / controllers, top / "cpu"] if "cpu" in controllers.split(",") else []


def _limits_in(folder: Path) -> list[float]:
    """Return the limit of a control group in cores, from the files of version 2 or 1; empty without a limit."""
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
    """Return the number of items to work on at a time: that given, by default the number of :func:`cores`.

    Raises
    ------
    InputError
        If the number is not a whole number of at least 1.
    """
    check_settings({"threads": threads})
    return threads or cores()


def ahead(work: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
    """Yield the results of ``work`` in the order of the items; a thread computes one while the previous is used.

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
    """Yield the results of ``work`` in the order of the items, which run on several threads.

    Parameters
    ----------
    work : callable
        Must not depend on the order in which items are done.
    items : iterable
        Taken only as fast as results are used, so memory stays bounded.
    threads : int, optional
        Items at a time; by default one for each core that this process may use.

    Raises
    ------
    InputError
        If the number of threads is not a whole number of at least 1.

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
