"""Fill on a cluster: the workers of a dask.distributed scheduler, or local processes.

A task's number is all that travels to a worker. The model is sent to each worker once; each worker opens the archive
and writes to the store itself.
"""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import dask.config
import numpy as np
import torch
from distributed import Client, LocalCluster, Worker, WorkerPlugin, as_completed, get_worker
from distributed.scheduler import KilledWorker

from geogan.compute.threads import steady_memory
from geogan.fields.storage import Storage
from geogan.files.disk import writing
from geogan.files.run_folder import MODEL
from geogan.filling.append_plan import Start
from geogan.filling.job import Job, OpenJob
from geogan.filling.plan import Plan
from geogan.operators.errors import InputError
from geogan.operators.wording import counted
from geogan.product import open_partial

VERSION = version("geogan")
# Tasks that each thread of a worker has at a time: one to compute, and the next.
AHEAD = 2


class Written(NamedTuple):
    """A task that a worker has written to disk."""

    number: int
    names: tuple[str, ...]
    notes: tuple[str, ...]
    sums: np.ndarray


class TaskWorker(WorkerPlugin):
    """What a worker needs of a fill: the job, and what it opens for it.

    Parameters
    ----------
    job : Job
    tasks : Plan
        The plan of the process that began the fill.
    storages : tuple of Storage
        How each variable of the product is stored.
    out : Path
        The product, in a folder that all workers share.
    digest : str
        Digest of the product, to recognise it.
    weights : bytes
        The model's file: a worker need not see its folder.
    """

    def __init__(
        self, job: Job, tasks: Plan, storages: tuple[Storage, ...], *, out: Path, digest: str, weights: bytes
    ) -> None:
        self.name = f"geogan-{digest}"
        self.job, self.tasks, self.storages = job, tasks, storages
        self.out, self.digest, self.weights = out, digest, weights
        self.version = VERSION

    def setup(self, worker: Worker) -> None:
        """Prepare a worker; called on each worker, also on one that joins later or starts again."""
        self._address = worker.address
        self._opening = threading.Lock()
        self._job: OpenJob | None = None

    def fill(self, number: int) -> Written:
        """Fill a task and write it; it is on disk when this returns."""
        torch.set_num_threads(1)
        store = open_partial(self.out, self.digest)
        if store is None:
            raise InputError(
                f"worker {self._address} does not see the partial product of {self.out}; give an output in a folder "
                "that all workers share"
            )
        opened = self._opened()
        result = opened.fill(number)
        with writing(self.out, kept=store.path.parent):
            store.write(opened.box(number), result.arrays)
        return Written(number, tuple(result.arrays), result.notes, result.sums)

    def _opened(self) -> OpenJob:
        with self._opening:
            if self._job is None:
                _check_version(self._address, VERSION, self.version)
                steady_memory()
                try:
                    self._job = self._open()
                except InputError as error:
                    raise InputError(f"worker {self._address} cannot begin: {error}") from error
            return self._job

    def _open(self) -> OpenJob:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / MODEL).write_bytes(self.weights)
            return OpenJob.open(self.job, folder=Path(folder), storages=self.storages).planned(self.tasks)


def fill_task(name: str, number: int) -> Written:
    """Fill one task with the plugin of that name; what a cluster is asked to run."""
    return get_worker().plugins[name].fill(number)  # type: ignore[attr-defined]


@contextmanager
def connect(
    scheduler: str | None = None, workers: int | None = None, *, answer: float = 10.0, appear: float = 300.0
) -> Iterator[Client]:
    """Connect to a running cluster, or start local processes that end with the context.

    Parameters
    ----------
    scheduler : str, optional
        Address, such as ``"tcp://10.0.0.1:8786"``.
    workers : int, optional
        Local processes, of one thread each.
    answer, appear : float
        Seconds that the scheduler has to answer, and its first worker to appear.

    Raises
    ------
    InputError
        If the scheduler does not answer, or has no worker.
    """
    loopback = "127.0.0.1"
    if scheduler is None:
        with (
            # The workers' profilers would take a sample a hundred times a second.
            dask.config.set(
                {
                    "distributed.worker.profile.enabled": False,
                    # No web pages about the cluster, because they have no password.
                    "distributed.scheduler.http.routes": [],
                    "distributed.worker.http.routes": [],
                }
            ),
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                # Tasks bound their own memory.
                memory_limit=None,
                # Reached from this machine alone, and without the dashboard.
                host=loopback,
                dashboard_address=f"{loopback}:0",
                scheduler_kwargs={"dashboard": False},
                silence_logs=logging.CRITICAL,
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield client
        return
    try:
        client = Client(scheduler, timeout=answer, set_as_default=False)
    except (OSError, ValueError, ImportError) as error:
        raise InputError(
            f"no scheduler answers at {scheduler}; start one with dask scheduler, or give the address that it prints"
        ) from error
    except TypeError as error:
        raise InputError(
            f"the scheduler at {scheduler} requires certificates, and Dask's configuration has none; set "
            "distributed.comm.tls there, or give a tcp:// address"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=appear)
        except TimeoutError:
            raise InputError(
                f"the scheduler at {scheduler} has no worker; start some with: dask worker {scheduler}"
            ) from None
        yield client


def fill_on(client: Client, start: Start, numbers: Sequence[int], *, out: Path) -> Iterator[Written]:
    """Fill tasks on a cluster, in the order in which they are finished; a few of them are submitted at a time.

    The tasks of a worker that dies are given to other workers, or to one that joins.

    Parameters
    ----------
    client : Client
    start : Start
    numbers : sequence of int
        Tasks to fill.
    out : Path
        The product, which has been begun.

    Yields
    ------
    Written
        Each task when it is safely on disk, to be recorded by the process that holds the product's lock.

    Raises
    ------
    InputError
        If workers cannot read or write, a task ends one worker after another, or the scheduler is gone.
    """
    job, opened = start.opened.job.anywhere(), start.opened
    weights = (Path(job.model) / MODEL).read_bytes()
    plugin = TaskWorker(job, opened.plan, opened.storages, out=out, digest=start.digest, weights=weights)
    try:
        _equip(client, plugin)
        yield from _bounded(client, plugin.name, numbers)
    except KilledWorker as error:
        raise InputError(
            f"a task of {counted(opened.plan.size, 'date')} killed {counted(error.allowed_failures + 1, 'worker')}, "
            "most likely for lack of memory; give the workers more memory"
        ) from error
    except InputError:
        raise
    except Exception as error:
        # A lost connection raises different exceptions, depending on the pending call.
        if not isinstance(error, CancelledError) and client.status == "running":
            raise
        raise InputError(
            "the scheduler is gone and finished tasks are kept; start it again, and run again to resume"
        ) from error
    finally:
        # A scheduler or worker that is gone must not hide the first exception.
        with suppress(Exception):
            client.unregister_worker_plugin(plugin.name)


def _equip(client: Client, plugin: TaskWorker) -> None:
    """Register the plugin with all workers, which must have this version of geogan."""
    try:
        versions = client.run(version, "geogan")
    except ModuleNotFoundError as error:
        raise InputError(f"the workers have no geogan; install geogan {VERSION} there") from error
    for address, theirs in versions.items():
        _check_version(address, theirs, plugin.version)
    try:
        client.register_plugin(plugin)
    except Exception as error:
        if client.status != "running":
            raise
        # The scheduler would hand it to every worker that joins, and none could start.
        with suppress(Exception):
            client.unregister_worker_plugin(plugin.name)
        # The worker's exception arrives as text.
        raise InputError(f"the workers cannot begin ({error}); they need this very geogan, {VERSION}") from error


def _check_version(address: str, theirs: str, ours: str) -> None:
    if theirs != ours:
        raise InputError(f"worker {address} has geogan {theirs} and this is {ours}; install one version on all")


def _bounded(client: Client, name: str, numbers: Iterable[int]) -> Iterator[Written]:
    """Yield the results of tasks, of which the scheduler knows few at a time."""
    left, running = iter(numbers), as_completed(loop=client.loop)
    retries = 2  # of a task elsewhere, when reading or writing fails

    def submit() -> None:
        while running.count() < AHEAD * max(sum(client.nthreads().values()), 1):
            number = next(left, None)
            if number is None:
                return
            running.add(client.submit(fill_task, name, number, key=f"{name}-{number}", pure=False, retries=retries))

    submit()
    try:
        for future in running:
            yield future.result()
            submit()
    finally:
        client.cancel(list(running.futures))
