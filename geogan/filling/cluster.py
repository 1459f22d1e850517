"""Filling on a cluster: any that a dask.distributed scheduler speaks for, or some processes here.

A task is the number of a slab. The model is sent to each worker once; the archive is opened by each, which writes what
it makes to the store itself; beyond that only numbers travel.
"""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import dask.config
import numpy as np
import torch
from distributed import Client, LocalCluster, Worker, WorkerPlugin, as_completed, get_worker
from distributed.scheduler import KilledWorker

from geogan.compute.threads import steady_memory
from geogan.files.disk import writing
from geogan.files.run_folder import MODEL
from geogan.filling.job import Filler, Job
from geogan.filling.plan import Plan
from geogan.operators.errors import InputError
from geogan.product import open_partial

VERSION = version("geogan")
# Slabs that a worker's thread has before it: one to work on, and the next.
AHEAD = 2
# Times that a slab is tried again elsewhere when reading or writing fails.
RETRIES = 2
# Local processes speak to each other through this address, which no other machine reaches.
LOOPBACK = "127.0.0.1"
# Seconds that a scheduler has to answer, and its first worker to appear.
ANSWER, APPEAR = 10, 300


class Made(NamedTuple):
    """What a worker says of a region that it has written."""

    number: int
    names: tuple[str, ...]
    notes: tuple[str, ...]
    sums: np.ndarray


class SlabWorker(WorkerPlugin):
    """What a worker of the cluster has of a fill: the job, and what it opens for it.

    Parameters
    ----------
    job : Job
    cut : Plan
        How the one that asks has cut the archive.
    out : Path
        The product, in a folder that all share.
    product : str
        Digest of the product, which tells it from another one in the same place.
    weights : bytes
        The model's file: a worker, also one that joins later, need not see its folder.
    """

    def __init__(self, job: Job, cut: Plan, out: Path, product: str, weights: bytes) -> None:
        self.name = f"geogan-{product}"
        self.job, self.cut, self.out, self.product, self.weights = job, cut, out, product, weights
        self.version = VERSION

    def setup(self, worker: Worker) -> None:
        """Called by each worker, also by one that joins later or starts again."""
        self._address = worker.address
        self._opening = threading.Lock()
        self._filler: Filler | None = None

    def make(self, number: int) -> Made:
        """Fill a slab and write it; when this returns, it is on disk."""
        torch.set_num_threads(1)
        store = open_partial(self.out, self.product)
        if store is None:
            raise InputError(
                f"worker {self._address} does not see the partial product of {self.out}; give an output in a folder "
                "that all workers share"
            )
        filler = self._opened()
        arrays = filler.arrays(number)
        with writing(self.out, kept=store.path.parent):
            store.write(filler.region(number), arrays)
        return Made(number, tuple(arrays), tuple(filler.notes(number, arrays)), filler.sums.pop(number))

    def _opened(self) -> Filler:
        with self._opening:
            if self._filler is None:
                _check_version(self._address, VERSION, self.version)
                steady_memory()
                try:
                    self._filler = replace(self._open(), cut=self.cut)
                except InputError as error:
                    raise InputError(f"worker {self._address} cannot begin: {error}") from error
            return self._filler

    def _open(self) -> Filler:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / MODEL).write_bytes(self.weights)
            return Filler.open(self.job, folder=Path(folder))


def make(name: str, number: int) -> Made:
    """The task: one slab, by what the worker has under that name."""
    return get_worker().plugins[name].make(number)  # type: ignore[attr-defined]


@contextmanager
def connect(scheduler: str | None = None, workers: int | None = None) -> Iterator[Client]:
    """A client of a running cluster, or of one of so many local processes, which ends with it.

    Parameters
    ----------
    scheduler : str, optional
        Address, such as ``"tcp://10.0.0.1:8786"``.
    workers : int, optional
        Local processes, of one thread each.

    Raises
    ------
    InputError
        Where the scheduler does not answer, or has no worker.
    """
    if scheduler is None:
        with (
            # Nobody looks at what its workers' profilers would write down a hundred times a second.
            dask.config.set(
                {
                    "distributed.worker.profile.enabled": False,
                    # No pages about the cluster: they ask for no password.
                    "distributed.scheduler.http.routes": [],
                    "distributed.worker.http.routes": [],
                }
            ),
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                # Slabs bound their own memory; a share of the machine's is no reason to stop.
                memory_limit=None,
                # On this machine alone, and without the dashboard.
                host=LOOPBACK,
                dashboard_address=f"{LOOPBACK}:0",
                scheduler_kwargs={"dashboard": False},
                silence_logs=logging.CRITICAL,
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield client
        return
    try:
        client = Client(scheduler, timeout=ANSWER, set_as_default=False)
    except (OSError, ValueError, ImportError) as error:
        raise InputError(
            f"no scheduler answers at {scheduler}; start one with dask scheduler, or give the address that it prints"
        ) from error
    except TypeError as error:
        raise InputError(
            f"the scheduler at {scheduler} asks for certificates, and Dask's configuration names none; set "
            "distributed.comm.tls there, or give a tcp:// address"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=APPEAR)
        except TimeoutError:
            raise InputError(
                f"the scheduler at {scheduler} has no worker; start some with: dask worker {scheduler}"
            ) from None
        yield client


def fill_on(client: Client, job: Job, cut: Plan, numbers: Sequence[int], *, out: Path, product: str) -> Iterator[Made]:
    """Fill slabs on a cluster, in whatever order they are done; a few of them are on their way at a time.

    A worker that dies is replaced by the others, or by one that joins.

    Parameters
    ----------
    client : Client
    job : Job
    cut : Plan
    numbers : sequence of int
        Slabs to fill.
    out : Path
        The product, which has been begun.
    product : str
        Its digest.

    Yields
    ------
    Made
        Each when its region is safely on disk, to be recorded by the one that holds the product's lock.

    Raises
    ------
    InputError
        Where workers cannot read or write, a slab ends one worker after another, or the scheduler is gone.
    """
    job = job.anywhere()
    plugin = SlabWorker(job, cut, out, product, (Path(job.model) / MODEL).read_bytes())
    try:
        _equip(client, plugin)
        yield from _bounded(client, plugin.name, numbers)
    except KilledWorker as error:
        raise InputError(
            f"a slab of {cut.dates} dates has ended {error.allowed_failures + 1} workers, most likely for want of "
            "memory; give them more"
        ) from error
    except InputError:
        raise
    except Exception as error:
        # What a lost connection raises depends on what was just waited for.
        if not isinstance(error, CancelledError) and client.status == "running":
            raise
        raise InputError(
            "the scheduler is gone; what is done is kept, so start it again, and run again to go on"
        ) from error
    finally:
        # A scheduler that is gone, or a worker, is no reason to hide what was raised before.
        with suppress(Exception):
            client.unregister_worker_plugin(plugin.name)


def _equip(client: Client, plugin: SlabWorker) -> None:
    """Give the plugin to all workers, whose geogan must be this one."""
    try:
        found = client.run(version, "geogan")
    except ModuleNotFoundError as error:
        raise InputError(f"the workers have no geogan; install geogan {VERSION} there") from error
    for address, theirs in found.items():
        _check_version(address, theirs, VERSION)
    try:
        client.register_plugin(plugin)
    except Exception as error:
        if client.status != "running":
            raise
        # What it was there comes as text.
        raise InputError(f"the workers cannot begin ({error}); they need this very geogan, {VERSION}") from error


def _check_version(address: str, theirs: str, ours: str) -> None:
    if theirs != ours:
        raise InputError(f"worker {address} has geogan {theirs} and this is {ours}; install one version on all")


def _bounded(client: Client, name: str, numbers: Iterable[int]) -> Iterator[Made]:
    """Results of tasks, few of which the scheduler knows of at a time."""
    left, running = iter(numbers), as_completed(loop=client.loop)

    def submit() -> None:
        while running.count() < AHEAD * max(sum(client.nthreads().values()), 1):
            number = next(left, None)
            if number is None:
                return
            running.add(client.submit(make, name, number, key=f"{name}-{number}", pure=False, retries=RETRIES))

    submit()
    try:
        for future in running:
            yield future.result()
            submit()
    finally:
        client.cancel(list(running.futures))
