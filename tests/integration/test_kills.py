"""After kills at any moment, fill and train end with the undisturbed result."""

import dataclasses
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from fill_files import fill

from geogan.files.tensor_file import read_tensors
from geogan.filling import Job
from geogan.filling.job import OpenJob
from geogan.filling.plan import TaskSizes
from geogan.model import digest, save_model
from geogan.operators.errors import InputError
from geogan.product import Product
from geogan.product.chunk_store import ChunkStore

# A process that has imported everything and loaded the compiled kernels: its children begin at once, each from the same
# state. A child may be killed before any of its changes of files; the parent prints how it ended, and how many changes
# it made.
SERVER = """
import json, os, resource, signal, sys
from pathlib import Path
import distributed, netCDF4, shapely, torch, torch._dynamo
sys.path.insert(0, sys.argv[1])
from fill_files import fill
from geogan.filling.plan import TaskSizes
from geogan.prior import GaussianPrior
from geogan.settings import DataConfig, Settings
from geogan.operators.errors import InputError
from geogan.pipelines.train import resume, train

torch.set_num_threads(1)
# The compiled kernels are loaded here: each child would need half a second for it.
nothing = torch.zeros(1, 2, 1, 8, 8)
GaussianPrior(length=6.0).map(nothing, nothing, torch.ones(8, 8), torch.arange(2.0, dtype=torch.float64))
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate"}
changes = 0

def kill_before(number):
    def hook(event, args):
        global changes
        writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
        if event in CHANGES or writes:
            changes += 1
            if changes == number:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

def refill(data, model, out, **options):
    return fill(data, Path(model), Path(out), threads=1, sizes=TaskSizes(dates=2, margin=2), **options)

def retrain(data, out, **options):
    # Before its first state was saved too, and without leave to overwrite what a kill left.
    again = (Path(out) / "run.json").is_file()
    if again:
        return resume(out, {"threads": 1}, save_every=0.0)
    settings = Settings(
        operator="cloud_mask:coverage=0.4,spread=0.2,scale=5,slope=3,persistence=2", window=1, seed=3,
        first_guess=GaussianPrior(length=6.0, persistence=8.0, noise=0.05), network={"width": 4},
        training={"crop": 16, "batch": 2, "precision": "float32", "threads": 1, "blocks": 2, "posterior_draws": 1,
                  "steps": options.pop("steps")},
    )
    return train(DataConfig(data=data, **options), settings, out=out, save_every=0.0)

for line in sys.stdin:
    call = json.loads(line)
    number = call.pop("change")
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:
        kill_before(number)
        largest = call.pop("largest", None)
        if largest:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
        try:
            {"fill": refill, "train": retrain}[call.pop("verb")](**call)
        except InputError as error:
            print(error, file=sys.stderr, flush=True)
            os._exit(2)
        os.write(send, str(changes).encode())
        os._exit(0)
    os.close(send)
    made = os.read(receive, 100).decode() or "0"
    os.close(receive)
    print(os.waitpid(pid, 0)[1], made, flush=True)
"""


@pytest.fixture(scope="module")
def server():
    words = [sys.executable, "-c", SERVER, str(Path(__file__).parents[1])]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    yield process
    process.stdin.close()
    process.wait()
    process.stdout.close()


def ends(server, change=0, **call):
    """Return the exit code or signal of a verb killed before one of its changes of files, and their number."""
    words = {name: str(word) if isinstance(word, Path) else word for name, word in call.items()}
    server.stdin.write(json.dumps(words | {"change": change}) + "\n")
    server.stdin.flush()
    status, made = map(int, server.stdout.readline().split())
    return status, made


def kill_and_go_on(server, finished, restart, *, kills=5, **call):
    """Kill a verb repeatedly before changes of files, then let it finish."""
    status, changes = ends(server, **call)
    assert status == 0 and changes > 20
    numbers, killed = random.Random(4), 0
    restart()
    while killed < kills:
        status, _ = ends(server, numbers.randint(1, changes), **call)
        assert status in (0, signal.SIGKILL)
        killed += status == signal.SIGKILL
        if finished():
            restart()
    assert ends(server, **call)[0] == 0


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model") / "run", dataclasses.replace(model, network=None))


@pytest.fixture(scope="module")
def data(gappy, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "gappy.nc"
    gappy[:12].to_netcdf(path)
    return path


def test_fill(server, run, data, tmp_path):
    out, whole, turns = tmp_path / "filled.zarr", tmp_path / "whole.zarr", []

    def compare():
        with xr.open_zarr(out) as found, xr.open_zarr(whole) as expected:
            xr.testing.assert_equal(found.load(), expected.load())

    def restart():
        if whole.exists():
            compare()
        out.rename(whole if not whole.exists() else tmp_path / f"turn{len(turns)}.zarr")
        turns.append(1)

    kill_and_go_on(server, out.exists, restart, verb="fill", data=data, model=run, out=out)
    compare()
    assert not (tmp_path / ".filled.zarr.partial").exists()


@pytest.mark.parametrize("ending", ["zarr", "nc"])
def test_fill_of_an_archive_that_is_revised_between_kills(server, run, data, gappy, tmp_path, ending):
    """After any number of kills and revisions, the product equals a fill of the present archive."""
    out, own, numbers = tmp_path / f"filled.{ending}", tmp_path / "own.nc", random.Random(2)
    field = gappy[:12].copy(deep=True)
    shutil.copy(data, own)
    call = {"verb": "fill", "data": own, "model": run, "out": out, "overwrite": True}
    (status, changes), killed = ends(server, **call), 0
    assert status == 0
    while killed < 4:
        field[numbers.randrange(12)] += 1
        field.to_netcdf(tmp_path / "next.nc")
        (tmp_path / "next.nc").replace(own)
        status, _ = ends(server, numbers.randint(1, changes), **call)
        assert status in (0, signal.SIGKILL)
        killed += status == signal.SIGKILL
    assert ends(server, **call)[0] == 0
    whole, opened = tmp_path / f"whole.{ending}", xr.open_zarr if ending == "zarr" else xr.open_dataset
    assert ends(server, **(call | {"out": whole}))[0] == 0
    with opened(out) as found, opened(whole) as expected:
        xr.testing.assert_equal(found.load(), expected.load())


def test_train(server, data, tmp_path):
    out, whole, turns = tmp_path / "run", tmp_path / "whole", []

    def finished():
        state = out / "state.safetensors"
        return state.is_file() and read_tensors(state)[1]["step"] == 12

    def compare():
        for name in ("model.safetensors", "state.safetensors"):
            found, expected = (read_tensors(folder / name)[0] for folder in (out, whole))
            assert found.keys() == expected.keys()
            for key, tensor in expected.items():
                np.testing.assert_array_equal(found[key].numpy(), tensor.numpy(), err_msg=key)

    def restart():
        turns.append(1)
        out.rename(whole if not whole.exists() else tmp_path / f"turn{len(turns)}")

    kill_and_go_on(server, finished, restart, verb="train", data=data, out=out, steps=12)
    compare()
    steps = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps)) and steps[0] == 0 and steps[-1] == 12


def test_append(server, run, data, gappy, tmp_path):
    """The product on disk is complete at every moment."""
    sizes = TaskSizes(dates=2, margin=2)
    short, out, turns = tmp_path / "short.nc", tmp_path / "filled.zarr", []
    gappy[:10].to_netcdf(short)
    old = fill(short, run, tmp_path / "old.zarr", sizes=sizes)
    whole = fill(data, run, tmp_path / "whole.zarr", sizes=sizes)
    shutil.copytree(old, out)

    def finished():
        with xr.open_zarr(out) as found, xr.open_zarr(old if found.sizes["time"] == 10 else whole) as expected:
            xr.testing.assert_equal(found.load(), expected.load())
            return found.sizes["time"] == 12

    def restart():
        turns.append(1)
        out.rename(tmp_path / f"turn{len(turns)}.zarr")
        shutil.copytree(old, out)

    kill_and_go_on(server, finished, restart, verb="fill", data=data, model=run, out=out, append=True)
    assert finished() and not (tmp_path / ".filled.zarr.partial").exists()


@pytest.mark.parametrize("ending", ["zarr", "nc"])
def test_a_disk_that_is_full_in_the_middle(run, data, tmp_path, monkeypatch, ending):
    sizes = TaskSizes(dates=4)
    out, write, count = tmp_path / f"filled.{ending}", ChunkStore.write, []

    def full(store, *args):
        count.append(1)
        if len(count) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(store, *args)

    with (
        monkeypatch.context() as patch,
        pytest.raises(InputError, match="the disk is full; free some space; what is"),
    ):
        patch.setattr(ChunkStore, "write", full)
        fill(data, run, out, threads=1, sizes=sizes)
    assert not out.exists()
    record = tmp_path / f".filled.{ending}.partial" / "done.jsonl"
    assert len(record.read_text().splitlines()) == 2
    fill(data, run, out, threads=1, sizes=sizes)
    whole = fill(data, run, tmp_path / f"whole.{ending}", threads=1, sizes=sizes)
    opened = xr.open_zarr if ending == "zarr" else xr.open_dataset
    with opened(out) as found, opened(whole) as expected:
        xr.testing.assert_equal(found, expected)


def test_a_file_larger_than_the_disk_takes(server, run, data, tmp_path):
    """The limit is the system's file size limit, reached at any write."""
    out = tmp_path / "filled.zarr"
    assert ends(server, verb="fill", data=data, model=run, out=out, largest=3000)[0] == 2 << 8
    assert not out.exists()
    assert ends(server, verb="fill", data=data, model=run, out=out)[0] == 0
    assert fill(data, run, tmp_path / "whole.zarr").exists()
    with xr.open_zarr(out) as found, xr.open_zarr(tmp_path / "whole.zarr") as expected:
        np.testing.assert_array_equal(found["sst_source"], expected["sst_source"])


def test_the_second_process_refuses(run, data, tmp_path):
    out = tmp_path / "filled.zarr"
    opened = OpenJob.open(Job((str(data),), str(run), digest(run)))
    with Product.begin(out, opened.template(), chunks=opened.chunks(), digest="first"):
        with pytest.raises(InputError, match=rf"is being written by another process \(pid {os.getpid()}\); wait"):
            fill(data, run, out)
        assert not out.exists()
    fill(data, run, out)
