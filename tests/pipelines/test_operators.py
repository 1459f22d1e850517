"""``geogan operators``: list, fit, show; and ``--operator auto``."""

import json

import pytest
from typer.testing import CliRunner

from geogan import corrupt, synthetic_sst
from geogan.cli import app
from geogan.model import load_model
from geogan.operators.parse import describe
from tests.runs import QUICK, train


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    sea = synthetic_sst(days=24, size=32, seed=0)
    gappy = corrupt(sea.sst, "cloud_mask:coverage=0.5,scale=5", seed=1).to_dataset().assign(sea_mask=sea.sea_mask)
    path = tmp_path_factory.mktemp("data") / "sst.nc"
    gappy.to_netcdf(path)
    return path


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "80"})


def test_all_operators_are_listed():
    text, listed = run("operators").output, json.loads(run("operators", "--json").output)
    for name, described in listed.items():
        assert name in text and described["about"]
    assert max(map(len, text.splitlines())) <= 80
    assert {"cloud_mask", "observed_gaps", "convolve_noise"} <= listed.keys()
    assert listed["footprint"]["lengths"] == ["fwhm", "across"]


def test_a_fit_ends_with_the_operator_to_use(data):
    printed = run("operators", "fit", data, "--operator", "cloud_mask")
    assert printed.exit_code == 0, printed.output
    assert printed.stdout.rstrip().splitlines()[-1].startswith("--operator cloud_mask:coverage=")
    assert "told apart by a classifier" in printed.output
    (found,) = json.loads(run("operators", "fit", data, "--operator", "cloud_mask", "--json").output)
    assert 0.3 < found["classifier_accuracy"] < 0.75 and found["operator"].startswith("cloud_mask:")


def test_gaps_are_shown(data, tmp_path):
    printed = run("operators", "show", "cloud_mask", data, "--out", tmp_path / "masks.png")
    assert printed.exit_code == 0, printed.output
    assert (tmp_path / "masks.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "arguments",
    [
        ("fit", "nowhere.nc"),
        ("fit", "DATA", "--operator", "nonsense"),
        ("fit", "DATA", "--operator", "convolve_noise"),
        ("show", "nonsense", "DATA", "--out", "masks.png"),
        ("show", "cloud_mask", "DATA", "--out", "masks.txt"),
        ("show", "cloud_mask", "DATA"),
        ("nonsense",),
    ],
)
def test_bad_input_is_one_sentence(data, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    printed = run("operators", *(data if argument == "DATA" else argument for argument in arguments))
    assert printed.exit_code == 2 and "Traceback" not in printed.stderr
    assert len(printed.stderr.strip().splitlines()) <= 3 and not list(tmp_path.iterdir())


def test_auto_trains_with_the_operator_that_fits(data, tmp_path):
    out = train((data,), out=tmp_path / "run", operator="auto", steps=1, width=4, batch=2, crop=16, **QUICK)
    assert describe(load_model(out).operator).startswith(("cloud_mask:", "observed_gaps"))
