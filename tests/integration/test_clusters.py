"""A cluster fills like one machine, also if workers fail."""

import asyncio
import os
import pickle
import signal
import sys
import threading
import time
import types
import urllib.request
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import cloudpickle
import dask
import distributed
import numpy as np
import pytest
import xarray as xr
from fill_files import fill
from tornado.ioloop import IOLoop
from typer.testing import CliRunner

from geogan.cli import app
from geogan.fields.field import Field
from geogan.filling import FillOptions, Job, fill_field
from geogan.filling import cluster as clusters
from geogan.filling.append_plan import Start, product_digest
from geogan.filling.cluster import TaskWorker
from geogan.filling.job import OpenJob
from geogan.filling.plan import TaskSizes
from geogan.io import open_field
from geogan.model import digest, save_model
from geogan.operators.errors import InputError
from geogan.pipelines.fill import Selection
from geogan.product import Product


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model") / "run", model)


@pytest.fixture(scope="module")
def data(gappy, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "gappy.zarr"
    gappy.to_dataset().chunk(time=4).to_zarr(path, consolidated=False)
    return path


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, memory_limit=None, dashboard_address=":0", silence_logs=50
    ) as made:
        yield made.scheduler_address


# Tasks of three dates.
SHORT = {"sizes": TaskSizes(dates=3)}


def job_of(run, *data, **options):
    return Job(tuple(map(str, data)), str(run), digest(run), options=FillOptions(**options))


def worker_of(job, opened, out, weights=b""):
    return TaskWorker(job, opened.plan, opened.storages, out=out, digest="digest", weights=weights)


def stored(path):
    """Return every file of a store except its metadata, which contain the time of writing."""
    found = {file.relative_to(path): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    return {str(name): content for name, content in found.items() if name.name != "zarr.json"}


class _Worker:
    address = "tcp://here:1"


def test_a_cluster_fills_as_threads_do(run, data, cluster, tmp_path):
    one = fill(data, run, tmp_path / "one.zarr", threads=2, members=2, **SHORT)
    many = fill(data, run, tmp_path / "many.zarr", scheduler=cluster, members=2, **SHORT)
    assert stored(one) == stored(many)
    assert {path.name for path in tmp_path.iterdir()} == {"one.zarr", "many.zarr"}


def test_local_workers_and_netcdf(run, data, tmp_path):
    one = fill(data, run, tmp_path / "one.nc", time="2015-01-05/2015-01-20", **SHORT)
    many = fill(data, run, tmp_path / "many.nc", time="2015-01-05/2015-01-20", workers=1, **SHORT)
    with xr.open_dataset(one) as first, xr.open_dataset(many) as second:
        xr.testing.assert_equal(first, second)


def test_workers_need_not_see_the_model(run, data, tmp_path):
    """The plugin carries the model, also to a worker that joins later."""
    opened = OpenJob.open(job_of(run, data))
    out, weights = tmp_path / "out.zarr", (run / "model.safetensors").read_bytes()
    with Product.begin(out, opened.template(), chunks=opened.chunks(), digest="digest"):
        worker = worker_of(replace(opened.job, model="/nowhere"), opened, out, weights)
        worker.setup(_Worker())
        written, expected = worker.fill(0), opened.fill(0)
    assert written.number == 0 and written.names == tuple(expected.arrays)
    np.testing.assert_array_equal(written.sums, expected.sums)


def test_workers_with_another_geogan_are_one_sentence(run, data, cluster, tmp_path, monkeypatch):
    job = job_of(run, data)
    opened = OpenJob.open(job)
    plugin = worker_of(job, opened, tmp_path / "out.zarr")
    plugin.version = "0.0.1"
    newer = type("Newer", (TaskWorker,), {"__module__": "geogan.filling.cluster"})
    monkeypatch.setattr(clusters, "Newer", newer, raising=False)
    unknown = newer(job, opened.plan, opened.storages, out=tmp_path / "out.zarr", digest="digest", weights=b"")
    with distributed.Client(cluster, set_as_default=False) as client:
        with pytest.raises(InputError, match="has geogan .* and this is 0.0.1; install"):
            clusters._equip(client, plugin)
        with pytest.raises(InputError, match=r"the workers cannot begin \(.*Newer.*\); they need this very geogan"):
            clusters._equip(client, unknown)
        # A worker that joins later would fail with it.
        assert unknown.name not in client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.worker_plugins))


def test_a_worker_killed_in_the_middle_is_survived(run, data, cluster, tmp_path):
    out = tmp_path / "filled.zarr"
    record = tmp_path / ".filled.zarr.partial" / "done.jsonl"
    with distributed.Client(cluster, set_as_default=False) as client:
        before = client.run(os.getpid)
        victim = min(before.values())

        def kill():
            while not (record.exists() and record.read_text().count("\n") >= 1):
                time.sleep(0.005)
            os.kill(victim, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        fill(data, run, out, scheduler=cluster, **SHORT)
        killer.join()
        client.wait_for_workers(2, timeout=30)
        assert victim not in client.run(os.getpid).values()
    assert stored(out) == stored(fill(data, run, tmp_path / "undisturbed.zarr", **SHORT))


def test_tasks_and_jobs_do_not_grow_with_the_grid(run, gappy, data, cluster, tmp_path, monkeypatch):
    sizes, submit = [], distributed.Client.submit

    def weigh(client, *task, **named):
        sizes.append(len(cloudpickle.dumps((task, named))))
        return submit(client, *task, **named)

    monkeypatch.setattr(distributed.Client, "submit", weigh)
    fill(data, run, tmp_path / "a.zarr", scheduler=cluster)
    assert 0 < max(sizes) < 400
    small = tmp_path / "small.zarr"
    gappy[:, :8, :9].to_dataset().to_zarr(small, consolidated=False)
    opened = [OpenJob.open(job_of(run, path)) for path in (data, small)]
    whole, part = (len(pickle.dumps(worker_of(each.job, each, Path("x")))) for each in opened)
    assert abs(whole - part) < 200


def test_few_tasks_are_submitted_at_a_time(run, data, cluster, tmp_path, monkeypatch):
    known, submit = [], distributed.Client.submit

    def count(client, *task, **named):
        known.append(len(client.futures))
        return submit(client, *task, **named)

    monkeypatch.setattr(distributed.Client, "submit", count)
    fill(data, run, tmp_path / "a.zarr", scheduler=cluster, sizes=TaskSizes(dates=1))
    assert len(known) == 30 and max(known) <= 2 * clusters.AHEAD


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data": ("/nowhere.zarr",)}, "worker tcp://here:1 cannot begin: '/nowhere.zarr' does not exist"),
        (
            {"out": "elsewhere.zarr"},
            "does not see the partial product of .*elsewhere.zarr; give an output in",
        ),
        ({"version": "0.0.1"}, "has geogan .* and this is 0.0.1; install one version"),
    ],
)
def test_what_a_worker_cannot_see_is_one_sentence(run, data, tmp_path, change, words):
    opened = OpenJob.open(job_of(run, data))
    job = replace(opened.job, data=change.get("data", opened.job.data))
    out, weights = tmp_path / "out.zarr", (run / "model.safetensors").read_bytes()
    with Product.begin(out, opened.template(), chunks=opened.chunks(), digest="digest"):
        worker = worker_of(job, opened, tmp_path / change.get("out", "out.zarr"), weights)
        worker.version = change.get("version", worker.version)
        worker.setup(_Worker())
        with pytest.raises(InputError, match=words):
            worker.fill(0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"scheduler": "tcp://127.0.0.1:9"},
            "no scheduler answers at tcp://127.0.0.1:9; start one with dask",
        ),
        ({"scheduler": "nonsense://"}, "no scheduler answers at nonsense://"),
        ({"scheduler": "tls://127.0.0.1:9"}, "the scheduler at tls://127.0.0.1:9 requires certificates"),
        ({"scheduler": "tcp://a:1", "workers": 2}, "leave --scheduler or --workers out"),
        ({"workers": 0}, "workers must be at least 1, got 0"),
        ({"workers": 2, "threads": 2}, "leave --threads out"),
    ],
)
def test_a_refusal_leaves_nothing(run, data, tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        fill(data, run, tmp_path / "out.zarr", answer=1, **options)
    assert list(tmp_path.iterdir()) == []


def test_without_the_package(run, data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "geogan.filling.cluster")
    monkeypatch.delattr(sys.modules["geogan.filling"], "cluster", raising=False)
    with pytest.raises(InputError, match=r"is not installed .*pip install 'geogan\[distributed\]'"):
        fill(data, run, tmp_path / "out.zarr", workers=2)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def loop():
    """Start an event loop in advance: distributed fails if its own loop does not start within ten seconds."""
    began, found = threading.Event(), []

    async def live():
        found.extend((IOLoop.current(), asyncio.Event()))
        began.set()
        await found[1].wait()

    thread = threading.Thread(target=lambda: asyncio.run(live()))
    thread.start()
    began.wait()
    yield found[0]
    found[0].add_callback(found[1].set)
    thread.join()


def test_a_scheduler_without_workers(loop):
    with (
        distributed.LocalCluster(
            n_workers=0, processes=False, dashboard_address=None, silence_logs=50, loop=loop
        ) as empty,
        pytest.raises(InputError, match="has no worker; start some with: dask worker"),
        clusters.connect(empty.scheduler_address, appear=0.5),
    ):
        pass


def test_a_scheduler_that_goes_is_one_sentence_and_what_is_done_is_kept(run, data, tmp_path, loop):
    opened, out = OpenJob.open(job_of(run, data, **SHORT)), tmp_path / "out.zarr"
    start = Start(opened, product_digest(opened), None, {})
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "0.5s"}),
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, silence_logs=50, loop=loop
        ) as going,
        distributed.Client(going, loop=loop, set_as_default=False, timeout=0.5) as client,
        Product.begin(out, opened.template(), chunks=opened.chunks(), digest=start.digest) as product,
    ):
        done = 0
        with pytest.raises(InputError, match="the scheduler is gone and finished tasks are kept; start it again"):
            for written in clusters.fill_on(client, start, range(opened.plan.total), out=out):
                product.record(opened.box(written.number), written.names, sums=written.sums)
                done += 1
                if done == 2:
                    going.sync(going.scheduler.close)
    begun = []
    assert fill(data, run, out, begin=begun.append, **SHORT) == out
    assert len(begun) <= opened.plan.total - 2
    assert stored(out) == stored(fill(data, run, tmp_path / "whole.zarr", **SHORT))


def test_lazily_on_a_cluster_the_model_is_one_key(model, data, cluster):
    field = open_field(data).chunk(time=5)

    def lazy(dates):
        return fill_field(model, Field.of(field), FillOptions(sizes=TaskSizes(dates=dates)))

    sizes = [len(cloudpickle.dumps(lazy(dates)["sst"].data.dask)) for dates in (15, 2)]
    weights = sum(part.numel() * 4 for part in model.network.parameters())
    assert sizes[1] - sizes[0] < weights < sizes[0]
    eager = fill_field(model, Field.of(field.compute()), FillOptions(sizes=TaskSizes(dates=24)))
    with distributed.Client(cluster, set_as_default=False) as client:
        there = client.compute(lazy(24)).result()
    for name in eager.data_vars:
        np.testing.assert_array_equal(there[name].values, eager[name].values)


def test_on_the_command_line(monkeypatch):
    fake, given = types.ModuleType("geogan.pipelines.fill"), {}
    fake.fill = lambda *args, **named: given.update(named) or Path("made")
    fake.Selection = Selection
    monkeypatch.setitem(sys.modules, fake.__name__, fake)
    words = ["fill", "--data", "a.zarr", "--model", "runs/x", "--out", "b.zarr"]
    assert CliRunner().invoke(app, [*words, "--scheduler", "tcp://a:1", "--append"]).exit_code == 0
    assert (given["workers"].scheduler, given["workers"].workers, given["mode"]) == ("tcp://a:1", None, "append")
    assert CliRunner().invoke(app, [*words, "--workers", "3", "--skip-bad"]).exit_code == 0
    assert (given["workers"].scheduler, given["workers"].workers, given["mode"]) == (None, 3, "new")
    assert given["selection"].skip_bad is True
    assert CliRunner().invoke(app, [*words, "--append", "--overwrite"]).exit_code == 2


def listening(own):
    """Return the addresses at which this process and its children listen."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    family = {own}
    for _ in parents:
        family |= {child for child, parent in parents.items() if parent in family}
    sockets = set()
    for process in family:
        with suppress(OSError):
            for descriptor in Path(f"/proc/{process}/fd").iterdir():
                with suppress(OSError):
                    sockets.add(str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]"))
    rows = [row.split() for kind in ("tcp", "tcp6") for row in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and row[9] in sockets}


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="asks Linux for the sockets")
def test_local_processes_are_reached_from_this_machine_alone_and_have_no_dashboard():
    before = listening(os.getpid())
    with clusters.connect(None, 1) as client:
        client.wait_for_workers(1)
        # 127.0.0.1, as Linux writes it.
        assert listening(os.getpid()) - before <= {"0100007F"} and "0100007F" in listening(os.getpid())
        page = client.cluster.dashboard_link
        with pytest.raises(OSError):
            urllib.request.urlopen(page, timeout=10).close()
