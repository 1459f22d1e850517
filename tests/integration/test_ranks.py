"""Several processes train like one: equal weights on each, any number may resume, none hangs when one dies."""

import json
import os
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from runs import make_reconstructor

import geogan.training.loop
from geogan.archive import Archive, Standardiser
from geogan.cli import app, main
from geogan.compute.device import find_device
from geogan.compute.processes import SUM_LIMIT, Ranks, joined
from geogan.fields.field import Field
from geogan.files.tensor_file import read_tensors
from geogan.io import open_field
from geogan.model import load_model
from geogan.model.networks import Discriminator, ErrorNet, SaganGenerator, UNet
from geogan.operators.cloud import CloudMask
from geogan.operators.compose import Compose
from geogan.operators.convolve import ConvolveNoise
from geogan.prior import GaussianPrior
from geogan.settings import Objective, TrainConfig
from geogan.training import preparation
from geogan.training.block_pool import BlockPool
from geogan.training.blocks import BlockContent, BlockMaker, block_dates
from geogan.training.checkpoint import Saver
from geogan.training.loop import train
from geogan.training.state import RATE_ERROR, TrainState
from geogan.training.state_file import save_state
from geogan.training.step import Problem
from geogan.training.windows import WindowSampler

FRAMES, CROP = 3, (12, 16)
CLOUDS = CloudMask(coverage=0.4, scale=5.0)
PRIOR = GaussianPrior(length=6.0, persistence=8.0, noise=0.05)
ALL = Objective(0.5, 1.0, 1.0, likelihood_every=2, prior_every=1)
PAPER = Objective(1.0, 2.0, 0.0, likelihood_every=2)
CASES = {
    "all terms": {"error": True, "prior": PRIOR, "has_deviation": True},
    "the paper's": {
        "objective": PAPER,
        "operator": Compose((ConvolveNoise(l=3, sigma=0.3), CLOUDS)),
    },
    "an ensemble": {"members": 2, "prior": PRIOR},
    "clean fields": {"objective": Objective(1.0, 0.0, 0.0, 1.0), "clean": True},
}
SMALL = [
    *("--window", "1", "--width", "4", "--crop", "16", "--batch", "4"),
    *("--precision", "float32", "--threads", "1", "--domain", "sea_mask"),
]


def state_after(
    steps,
    data,
    ranks,
    *,
    error=False,
    prior=None,
    objective=ALL,
    operator=CLOUDS,
    members=1,
    clean=False,
    network=None,
    has_deviation=False,
):
    """Return the state after training without preparation; each process makes only its own blocks."""
    field, domain = open_field(data, variable="sst"), xr.open_zarr(data, consolidated=False).sea_mask.values == 1
    archive = Archive.of(Field.of(field, domain=domain), Standardiser.fit(Field.of(field, domain=domain)))
    share = np.array([archive.seen(date).sum() / domain.sum() for date in range(len(archive.days))])
    torch.manual_seed(0)
    network = network or UNet(frames=FRAMES, width=4, noise="posterior" if members > 1 else "none")
    torch.nn.init.normal_(network.leave.weight, std=0.1)
    state = TrainState.start(
        network,
        Discriminator(frames=FRAMES, width=4),
        ErrorNet(frames=FRAMES, width=4, spread=has_deviation) if error else None,
        rate_generator=1e-3,
        rate_discriminator=4e-3,
        betas=(0.5, 0.9),
        seed=3,
    )
    content = BlockContent(
        has_hidden=objective.weight_withheld > 0,
        members=members,
        has_deviation=has_deviation,
        clean=archive if clean else None,
    )
    dates = block_dates(archive, FRAMES, 20)
    make = BlockMaker(archive, operator, prior, share, dates=dates, side=20, content=content)
    made = []
    pool = BlockPool(
        lambda number: made.append(number) or make(number),
        size=4,
        every=2,
        is_needed=lambda number: ranks.needs(number, 4),
    )
    config = TrainConfig(
        batch=4, steps=steps, cooling=0.0, warm_up=3, precision="float32", validate_every=2, report_every=1
    )
    scores = iter([3.0, 1.0, 2.0, 5.0, 4.0])
    reports = list(
        train(
            state,
            pool,
            WindowSampler.of(prior, frames=FRAMES, crop=CROP),
            Problem(operator, prior),
            objective,
            config,
            validate=(lambda *_: (next(scores), None)) if ranks.first else None,
            ranks=ranks,
        )
    )
    pool.close()
    assert len(set(made)) == len(made) and all(ranks.needs(number, 4) for number in made)
    return state, [report.losses for report in reports]


def work(folder: Path) -> None:
    """Run the part of one of the two processes."""
    data = folder / "field.zarr"
    with joined() as ranks:
        assert ranks.size == 2
        for name, case in CASES.items():
            state, losses = state_after(4, data, ranks, **case)
            (folder / name / str(ranks.rank)).mkdir(parents=True)
            save_state(folder / name / str(ranks.rank), state)
            if ranks.first:
                (folder / name / "losses.json").write_text(json.dumps(losses))
        state, _ = state_after(
            2,
            data,
            ranks,
            objective=PAPER,
            network=SaganGenerator(frames=FRAMES, width=2),
        )
        (folder / "sagan" / str(ranks.rank)).mkdir(parents=True)
        save_state(folder / "sagan" / str(ranks.rank), state)
        assert ranks.bytes_from_first(b"" if ranks.rank else b"words") == b"words"
        # What the first one says may come much later than what all compute.
        prompt = torch.distributed.distributed_c10d._set_pg_timeout
        prompt(timedelta(seconds=1))
        time.sleep(0 if ranks.rank else 2)
        assert ranks.from_first([ranks.rank]) == [0] and ranks.means([ranks.rank]) == [0.5]
        prompt(SUM_LIMIT)
        patch()
        app(["train", "--data", str(data), "--out", str(folder / "two"), "--steps", "6", *SMALL], standalone_mode=False)
        app(["train", "--resume", str(folder / "one"), "--steps", "6"], standalone_mode=False)
        Saver.is_due = True
        if ranks.rank == 1:
            step = geogan.training.loop.train_step

            def dying(state, *parts, **more):
                if state.step == 12:
                    os._exit(3)
                return step(state, *parts, **more)

            geogan.training.loop.train_step = dying
        sys.argv = ["geogan", "train", "--data", str(data), "--out", str(folder / "dead"), "--steps", "20", *SMALL]
        main()


def patch(monkeypatch=None):
    """Leave out the search for the first guess's parameters, which takes seconds."""
    patch = setattr if monkeypatch is None else monkeypatch.setattr
    patch(preparation, "fit_prior", lambda films, **_: PRIOR)


@pytest.fixture(scope="module")
def two(sea, gappy, tmp_path_factory):
    """Return the folder that two processes have written to, and the exit of each."""
    folder = tmp_path_factory.mktemp("ranks")
    data = folder / "field.zarr"
    xr.Dataset({"sst": gappy, "sea_mask": sea["sea_mask"]}).to_zarr(data, consolidated=False)
    with pytest.MonkeyPatch.context() as monkeypatch:
        patch(monkeypatch)
        for name, steps in (("one", 2), ("whole", 6)):
            command = ["train", "--data", str(data), "--out", str(folder / name), "--steps", str(steps), *SMALL]
            app(command, standalone_mode=False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    told = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    path = os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH"))))  # for runs.py
    started = [
        subprocess.Popen(
            [sys.executable, __file__, folder],
            env=os.environ
            | told
            | {"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=300) for process in started]
    return folder, [(process.returncode, *words) for process, words in zip(started, said)]


def tensors(folder):
    """Return all tensors of a state except save time and best weights, which an interruption evaluates once more."""
    found, text = read_tensors(folder / "state.safetensors")
    return {name: part for name, part in found.items() if "best" not in name}, text["step"]


def assert_close(a, b):
    (mine, step), (other, again) = tensors(a), tensors(b)
    assert mine.keys() == other.keys() and step == again
    assert torch.equal(mine["random"], other["random"])
    off = torch.cat([(mine[name].double() - other[name].double()).abs().flatten() for name in mine])
    # Adam makes a whole step of a gradient that is only rounding: a few weights may differ by several rates.
    assert float(off.mean()) < 1e-5 and float(off.max()) < 5 * RATE_ERROR


@pytest.mark.parametrize("name", CASES)
def test_two_processes_do_what_one_would(two, name):
    folder, _ = two
    state, losses = state_after(4, folder / "field.zarr", Ranks(), **CASES[name])
    (folder / name / "alone").mkdir()
    save_state(folder / name / "alone", state)
    assert_close(folder / name / "0", folder / name / "alone")
    for step, whole in zip(json.loads((folder / name / "losses.json").read_text()), losses, strict=True):
        assert step == pytest.approx(whole, rel=1e-3)


@pytest.mark.parametrize("name", [*CASES, "sagan"])
def test_they_end_equal_bit_by_bit(two, name):
    folder, _ = two
    (mine, says), (other, said) = (read_tensors(folder / name / str(rank) / "state.safetensors") for rank in range(2))
    assert mine.keys() == other.keys() and says | {"seconds": 0} == said | {"seconds": 0}
    assert not [key for key in mine if not torch.equal(mine[key], other[key])]


def test_a_run_of_two_is_a_run_of_one(two):
    folder, (first, second) = two
    assert_close(folder / "two", folder / "whole")
    assert load_model(folder / "two").scores["withheld"] == pytest.approx(
        load_model(folder / "whole").scores["withheld"], rel=1e-4
    )
    assert first[1].split() == [str(folder / "two"), str(folder / "one")] and second[1] == ""


def test_any_number_of_processes_may_go_on(two, monkeypatch):
    folder, _ = two
    assert_close(folder / "one", folder / "whole")
    patch(monkeypatch)
    for name in ("two", "whole"):
        app(["train", "--resume", str(folder / name), "--steps", "8"], standalone_mode=False)
    assert_close(folder / "two", folder / "whole")


def test_when_one_dies_the_other_stops_with_a_sentence_and_the_last_checkpoint_holds(two, monkeypatch):
    folder, ((code, _, words), (died, _, _)) = two
    assert died == 3 and code == 2
    assert (
        words.rstrip().splitlines()[-1].startswith("another process of this training has stopped")
        and "Trace" not in words
    )
    assert tensors(folder / "dead")[1] == 10
    patch(monkeypatch)
    app(["train", "--resume", str(folder / "dead"), "--steps", "12"], standalone_mode=False)
    app(["train", "--resume", str(folder / "whole"), "--steps", "12"], standalone_mode=False)
    assert_close(folder / "dead", folder / "whole")


def test_a_batch_that_cannot_be_shared_is_refused(gappy, monkeypatch):
    monkeypatch.setattr(Ranks, "here", classmethod(lambda cls: cls(0, 3)))
    with pytest.raises(geogan.InputError, match="3 processes cannot share a batch of 8 windows evenly; give --batch 9"):
        geogan.Reconstructor().fit(gappy)
    # Ensembles are drawn of 8 // 3 windows by one process, and would be of 4 by four.
    monkeypatch.setattr(Ranks, "here", classmethod(lambda cls: cls(0, 4)))
    with pytest.raises(geogan.InputError, match="4 processes cannot share the ensembles of 3 members .* --batch 12"):
        make_reconstructor(members=3, batch=8).fit(gappy)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path):
    with (
        pytest.raises(geogan.InputError, match=r"state cannot be read \(No such file or directory\); give a folder"),
        Ranks(0, size=2).files(tmp_path, "state"),
    ):
        pass


def test_each_process_has_one_accelerator(monkeypatch):
    """One device for computation and communication, also if a launcher does not number processes by machine."""
    told = {"RANK": "3", "WORLD_SIZE": "4", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    chosen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch, "zeros", lambda *shape, device: chosen.append(device.index) or torch.empty(0))
    with (
        pytest.raises(geogan.InputError, match="could not reach each other at 127.0.0.1:9"),
        monkeypatch.context() as no,
    ):
        no.setattr(torch.distributed, "init_process_group", refuse)
        with joined():
            pass
    monkeypatch.setattr(Ranks, "here", classmethod(lambda cls: cls(3, 4)))
    assert find_device("auto") == torch.device("cuda:1") and chosen == [1, 1]
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert find_device("cuda") == torch.device("cuda:0")


def test_an_address_where_nobody_is_is_given_up(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}.items():
        monkeypatch.setenv(name, value)
    with (
        pytest.raises(geogan.InputError, match=f"could not reach each other at 127.0.0.1:{port}"),
        joined(timedelta(seconds=1)),
    ):
        pass


def refuse(*_, **__):
    raise RuntimeError("nobody is there")


if __name__ == "__main__":
    work(Path(sys.argv[1]))
