"""geogan train: a folder that holds the run, gone on with after any stop, and nothing behind a refusal."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from rich.console import Console
from runs import train
from safetensors.torch import save_file

from geogan.files.run_folder import METRICS
from geogan.files.tensor_file import read_tensors
from geogan.model import load_model
from geogan.operators.errors import InputError
from geogan.pipelines.train import resume
from geogan.reconstructor import Reconstructor

SMALL = {"window": 1, "width": 4, "crop": 16, "batch": 2, "first_guess": False, "precision": "float32", "threads": 1}


@pytest.fixture(scope="module")
def data(sea, gappy, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "a field.zarr"
    xr.Dataset({"sst": gappy, "sea_mask": sea["sea_mask"], "sst_error": 0 * gappy}).to_zarr(path, consolidated=False)
    return path


def run(data, out, **options):
    return train(data, out=out, **SMALL | {"variable": "sst", "domain": "sea_mask", "steps": 2} | options)


def lines(out):
    return [json.loads(line) for line in (out / METRICS).read_text().splitlines()]


def state(out):
    tensors, text = read_tensors(out / "state.safetensors")
    # When, not what.
    return {name: value for name, value in tensors.items() if not name.startswith("best.")}, text["step"]


def assert_equal(a, b):
    (mine, step), (other, theirs) = state(a), state(b)
    assert step == theirs and mine.keys() == other.keys()
    different = [name for name in mine if not torch.equal(mine[name], other[name])]
    assert not different


def test_a_run_holds_its_model_its_state_and_its_course(data, domain, tmp_path):
    out = tmp_path / "runs" / "x"
    assert run(data, out, steps=11, time="2015-01-03/2015-01-30") == out
    assert {file.name for file in out.iterdir()} == {
        "model.safetensors", "model.json", "state.safetensors", "metrics.jsonl", "run.json"
    }  # fmt: skip
    described = json.loads((out / "run.json").read_text())
    time = "2015-01-03/2015-01-30"
    assert described == {
        "data": [str(data)], "variable": "sst", "domain": "sea_mask", "time": time,
        "dates": "2015-01-03T00:00:00/2015-01-30T00:00:00", "clean": [], "error_variable": None
    }  # fmt: skip
    course = lines(out)
    assert [line["step"] for line in course] == [0, 10, 11]
    assert "withheld_rmse" in course[0] and "loss_prior" in course[1]
    model = load_model(out)
    np.testing.assert_array_equal(model.domain, domain)
    assert model.scores["steps"] == 11 and model.settings["window"] == 1 and model.variable == "sst"
    assert course[0]["withheld_rmse"] == pytest.approx(model.scores["first_guess"])


def test_by_default_a_run_is_named_after_its_data(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(data, None) == Path("runs/a_field")


def test_a_run_gone_on_with_is_an_undisturbed_one(data, tmp_path):
    run(data, tmp_path / "whole", steps=5)
    run(data, tmp_path / "parts", steps=2)
    assert resume(tmp_path / "parts", {"steps": 5}) == tmp_path / "parts"
    assert_equal(tmp_path / "whole", tmp_path / "parts")
    assert load_model(tmp_path / "parts").settings["training"]["steps"] == 5
    steps = [line["step"] for line in lines(tmp_path / "parts")]
    assert steps == sorted(steps) and steps[0] == 0 and steps[-1] == 5
    # The data may have moved.
    moved = data.rename(data.with_name("moved.zarr"))
    try:
        resume(tmp_path / "parts", {"steps": 6}, data=[moved])
    finally:
        moved.rename(data)
    assert load_model(tmp_path / "parts").scores["steps"] == 6


def test_a_run_is_gone_on_with_after_its_archive_has_grown(gappy, sea, tmp_path):
    """The dates of the run lie inside the longer archive."""
    archive = tmp_path / "a.nc"

    def archived(dates):
        xr.Dataset({"sst": gappy[dates], "sea_mask": sea["sea_mask"]}).to_netcdf(archive)

    archived(slice(2, 20))
    run(archive, tmp_path / "whole", steps=4)
    run(archive, tmp_path / "parts", steps=2)
    archived(slice(None))
    resume(tmp_path / "parts", {"steps": 4})
    assert_equal(tmp_path / "whole", tmp_path / "parts")


KILLED = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from geogan.pipelines.train import train
from geogan.settings import DataConfig, Settings
from geogan.training import loop as training
real = training.train_step
def step(state, *args, **named):
    if state.step == 14:
        print("here", flush=True)
        import time; time.sleep(60)
    return real(state, *args, **named)
training.train_step = step
settings = Settings(window=1, first_guess=False, network={"width": 4},
                    training=dict(steps=20, crop=16, batch=2, precision="float32", threads=1))
train(DataConfig(data=sys.argv[1], variable="sst", domain="sea_mask"), settings, out=sys.argv[2], save_every=0.0)
"""


def test_a_killed_run_goes_on_where_it_last_saved(data, tmp_path):
    out = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(data), str(out)], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=os.environ | {"OMP_NUM_THREADS": "1"})  # fmt: skip
    assert process.stdout.readline() == "here\n", process.stderr.read()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert state(out)[1] == 10 and load_model(out).scores["steps"] == 10
    with (out / METRICS).open("a") as file:
        file.write('{"step": 13, "seconds": 1.0}\n{"ste')  # reported after the last save, and cut short
    resume(out, {"steps": 20})
    run(data, tmp_path / "whole", steps=20)
    assert_equal(out, tmp_path / "whole")
    assert [line["step"] for line in lines(out)] == [0, 10, 20]


def test_records_of_steps_that_are_done_again_are_left_out(data, tmp_path, monkeypatch):
    """A model may be newer than the resumed state, after a loss that is not finite or a lost process."""
    from geogan.training import loop as training

    out, check = run(data, tmp_path / "x", steps=5), training.CollapseWatch.check

    def diverging(watch, losses, step):
        if step == 20:
            raise InputError("a loss is not finite")
        return check(watch, losses, step)

    with monkeypatch.context() as patch, pytest.raises(InputError, match="a loss is not finite"):
        patch.setattr(training.CollapseWatch, "check", diverging)
        resume(out, {"steps": 30})
    assert (state(out)[1], load_model(out).scores["steps"], lines(out)[-1]["step"]) == (5, 20, 10)
    resume(out, {"steps": 12})
    assert [line["step"] for line in lines(out)] == [0, 5, 10, 12]


def test_an_interrupted_run_is_kept(data, tmp_path, monkeypatch):
    """Ctrl-C between two saves loses nothing."""
    from geogan.training import loop as training

    real = training.train_step

    def step(state, *args, **named):
        if state.step == 3:
            raise KeyboardInterrupt
        return real(state, *args, **named)

    monkeypatch.setattr(training, "train_step", step)
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "x", steps=5)
    monkeypatch.undo()
    assert state(tmp_path / "x")[1] == 3
    resume(tmp_path / "x", {"steps": 5})
    assert state(tmp_path / "x")[1] == 5 and [line["step"] for line in lines(tmp_path / "x")] == [0, 5]


def test_what_a_kill_left_of_a_run_that_was_begun_is_its_own(data, tmp_path):
    """The kill comes while the first weights are written."""
    out = tmp_path / "x"
    out.mkdir()
    (out / ".model.safetensors.partial").touch()
    (out / "metrics.jsonl").touch()
    (out / "lock").write_text("pid 1")
    run(data, out, steps=3)
    assert state(out)[1] == 3


def test_a_run_is_trained_by_one_at_a_time(data, tmp_path, monkeypatch):
    out = tmp_path / "x"
    run(data, out)
    fit = Reconstructor.fit

    def second(reconstructor, *args, **named):
        for work in (lambda: run(data, out, overwrite=True), lambda: resume(out)):
            with pytest.raises(InputError, match=rf"x is being written by another process \(pid {os.getpid()}\); wait"):
                work()
        return fit(reconstructor, *args, **named)

    monkeypatch.setattr(Reconstructor, "fit", second)
    resume(out, {"steps": 3})
    assert state(out)[1] == 3 and not (out / "lock").exists()


def test_a_run_is_replaced_only_when_told(data, tmp_path):
    out = tmp_path / "x"
    run(data, out, steps=3)
    before = (out / "model.safetensors").read_bytes()
    with pytest.raises(
        InputError, match=r"holds a run already; resume it with --resume .*, replace it with --overwrite"
    ):
        run(data, out)
    with pytest.raises(InputError, match="no operator is named"):
        run(data, out, operator=["fog"], overwrite=True)
    assert (out / "model.safetensors").read_bytes() == before
    run(data, out, seed=1, overwrite=True)
    assert [line["step"] for line in lines(out)] == [0, 2] and load_model(out).settings["seed"] == 1


def test_what_is_not_geogan_s_is_left_alone(data, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    (tmp_path / "file").write_text("x")
    for name, words in (("mine", "is a folder with other things in it"), ("file", "is a file; give another --out")):
        for overwrite in (False, True):
            with pytest.raises(InputError, match=words):
                run(data, tmp_path / name, overwrite=overwrite)
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"operator": ["fog"]}, "no operator is named 'fog'"),
        ({"operator": ["convolve_noise"]}, "has gaps, but the operator convolve_noise makes none"),
        ({"variable": "salt"}, "no variable 'salt'"),
        ({"domain": "soil"}, "no variable 'soil'"),
        ({"time": "1999"}, "1999"),
        ({"transform": "sqrt"}, "transform must be one of"),
        ({"weight_prior": 0, "weight_likelihood": 0, "weight_withheld": 0}, "all weights are 0"),
        ({"crop": 2}, "crop must be at least 8"),
        ({"precision": "half"}, "no precision is named"),
        ({"device": "cuda:99"}, "is not available on this machine"),
        ({"threads": 0}, "threads must be at least 1"),
    ],
)
def test_a_refusal_leaves_nothing(data, tmp_path, changes, words):
    with pytest.raises(InputError, match=words) as caught:
        run(data, tmp_path / "x", **changes)
    assert "\n" not in str(caught.value) and not (tmp_path / "x").exists()


def test_a_field_without_gaps_is_sent_to_corrupt(sea, tmp_path):
    sea.to_netcdf(tmp_path / "whole.nc")
    with pytest.raises(InputError, match="no gaps, but .* add gaps first with geogan corrupt"):
        run(tmp_path / "whole.nc", tmp_path / "x")
    with pytest.raises(InputError, match="does not exist"):
        run(tmp_path / "no.nc", tmp_path / "x")
    with pytest.raises(InputError, match="training needs a field, got none"):
        run((), tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_tiny_grid_and_a_long_window(gappy, domain, tmp_path):
    gappy[:, 10:16, :20].to_netcdf(tmp_path / "tiny.nc")
    with pytest.raises(InputError, match="sst has 6 x 20 cells, where a network needs 8 x 8 or more"):
        run(tmp_path / "tiny.nc", tmp_path / "x", domain=None)
    assert not (tmp_path / "x").exists()
    gappy[:5].to_netcdf(tmp_path / "short.nc")
    with pytest.raises(InputError, match="window 9 needs 9 dates before or after a date, and the record has 5 in all"):
        run(tmp_path / "short.nc", tmp_path / "y", domain=None, window=9)
    assert load_model(run(tmp_path / "short.nc", tmp_path / "short", domain=None, window=4)).frames == 5


def test_what_cannot_be_gone_on_with(data, tmp_path):
    with pytest.raises(InputError, match=r"is not a geogan run that can be resumed: it has no run.json"):
        resume(tmp_path)
    out = run(data, tmp_path / "x")
    saved = (out / "state.safetensors").read_bytes()
    (out / "state.safetensors").write_bytes(b"x")
    with pytest.raises(InputError, match="state.safetensors is damaged"):
        resume(out, {"steps": 3})
    (out / "state.safetensors").write_bytes(saved)
    xr.open_zarr(data, consolidated=False).fillna(15.0).to_netcdf(tmp_path / "full.nc")
    with pytest.raises(InputError, match="sst has none of the observations that .*x withheld from training"):
        resume(out, {"steps": 3}, data=[tmp_path / "full.nc"])
    (out / "run.json").write_text("{")
    with pytest.raises(InputError, match="run.json (cannot be read|is damaged)"):
        resume(out, {"steps": 3})
    with pytest.raises(InputError, match="give the archive that it was trained on|is not part of the model's grid"):
        (out / "run.json").write_text(json.dumps({"data": [str(data)], "variable": "sst", "domain": None,
                                                  "time": "2015-01-01/2015-01-20"}))  # fmt: skip
        resume(out, {"steps": 3})


def test_each_step_has_one_record_however_often_a_run_is_gone_on_with(data, tmp_path):
    out = run(data, tmp_path / "x", steps=10)
    first = lines(out)
    for steps in (10, 10, 12, 20, 20):
        resume(out, {"steps": steps})
    course = lines(out)
    assert [line["step"] for line in course] == [0, 10, 12, 20]
    # What was known of a step stays, and what its judge found comes beside it.
    assert first[1].keys() == course[1].keys() and first[1]["loss_prior"] == course[1]["loss_prior"]
    assert {"loss_prior", "withheld_rmse"} <= course[-1].keys()


BEGUN = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from geogan.pipelines.train import train
from geogan.settings import DataConfig, Settings
from geogan.training import checkpoint

def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(checkpoint, sys.argv[3], killed)
settings = Settings(window=1, first_guess=False, network={"width": 4},
                    training=dict(steps=3, crop=16, batch=2, precision="float32", threads=1))
train(DataConfig(data=sys.argv[1], variable="sst", domain="sea_mask"), settings, out=sys.argv[2],
      overwrite="overwrite" in sys.argv)
"""


def killed_at(moment, data, out, *more):
    """Run a training that is killed before it first writes its model, or its state."""
    process = subprocess.run([sys.executable, "-c", BEGUN, str(data), str(out), moment, *more], capture_output=True,
                             env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False)  # fmt: skip
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert not (out / "state.safetensors").exists() and (out / "run.json").exists()


@pytest.mark.parametrize(("moment", "again"), [("save_model", "anew"), ("save_state", "resume")])
def test_killed_before_the_first_state_it_is_begun_again(data, tmp_path, moment, again):
    out = tmp_path / "x"
    killed_at(moment, data, out)
    said = Console(file=io.StringIO(), width=300)
    if again == "resume":
        resume(out, console=said)
        assert "was saved yet, so the training begins at step 0" in said.file.getvalue()
    else:
        run(data, out, steps=3)
    assert_equal(run(data, tmp_path / "whole", steps=3), out)
    assert [line["step"] for line in lines(out)] == [0, 3]
    assert "settings" not in json.loads((out / "run.json").read_text())
    assert load_model(out).settings["training"]["batch"] == 2 and not (out / "lock").exists()


def test_killed_while_it_replaces_a_run_it_is_not_mixed_with_that(data, tmp_path):
    out = run(data, tmp_path / "x", steps=4, seed=5)
    killed_at("save_state", data, out, "overwrite")
    resume(out)
    assert_equal(run(data, tmp_path / "whole", steps=3), out)
    run(data, out, steps=4, seed=5, overwrite=True)
    killed_at("save_model", data, out, "overwrite")
    # The model of before is still there, whole; it is not replaced unasked.
    assert load_model(out).settings["seed"] == 5
    with pytest.raises(InputError, match="it has no state.safetensors; train it again with --overwrite"):
        resume(out)
    with pytest.raises(InputError, match="holds a run already"):
        run(data, out)
    run(data, out, steps=3, overwrite=True)
    assert_equal(tmp_path / "whole", out)


def test_a_model_without_a_state_is_not_begun_again_in_its_place(data, tmp_path):
    out = run(data, tmp_path / "x")
    (out / "state.safetensors").unlink()
    before = (out / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match="has no state.safetensors"):
        resume(out)
    with pytest.raises(InputError, match="holds a run already"):
        train(data, out=out, **SMALL)
    assert (out / "model.safetensors").read_bytes() == before


def foreign(out):
    out.mkdir()
    save_file({"weight": torch.zeros(3)}, out / "model.safetensors")


def foreign_of_others(out):
    foreign(out)
    (out / "config.json").write_text("{}")


def with_thesis(out):
    (out / "thesis.tex").write_text("x")


def with_folder(out):
    (out / "figures").mkdir()


def damaged_run(out):
    (out / "run.json").write_text("{")


def other_text(out):
    (out / "model.json").write_text("{}")


def linked(out):
    (out / "metrics.jsonl").rename(out.with_name("mine.jsonl"))
    (out / "metrics.jsonl").symlink_to(out.with_name("mine.jsonl"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (foreign, "holds no run that geogan can read, so it stays"),
        (foreign_of_others, "holds config.json beside the files of a run, so it stays; move config.json, or give ano"),
        (with_thesis, "holds thesis.tex beside the files of a run, so it stays"),
        (with_folder, "holds figures beside the files of a run"),
        (damaged_run, "holds no run that geogan can read, so it stays"),
        (other_text, "holds no run that geogan can read, so it stays"),
        (linked, "holds metrics.jsonl beside the files of a run"),
    ],
)
def test_only_a_run_that_geogan_made_is_replaced(data, tmp_path, make, words):
    out = tmp_path / "x"
    if make not in (foreign, foreign_of_others):
        run(data, out)
    make(out)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises(InputError, match=words):
        run(data, out, overwrite=True)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_a_run_with_its_ablation_is_replaced(data, tmp_path):
    out = run(data, tmp_path / "x")
    run(data, out / "without-prior", weight_prior=0.0)
    run(data, out, seed=1, overwrite=True)
    assert load_model(out).settings["seed"] == 1
