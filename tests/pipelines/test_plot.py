"""What is drawn fits what is there; a figure is complete or not there."""

import json

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from geogan.corruption import corrupt
from geogan.fields.synthetic import synthetic_sst
from geogan.model.model_file import MODEL
from geogan.operators.errors import InputError
from geogan.pipelines import plot as module
from geogan.pipelines.plot import plot


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plots")
    sea = synthetic_sst(days=4, size=(24, 30), seed=2)
    gappy = corrupt(sea.sst, "cloud_mask:coverage=0.5,scale=5", seed=1)
    source = gappy.isnull().astype("int8")
    source.attrs = {"flag_values": np.array([0, 1], "int8"), "flag_meanings": "observed filled"}
    sea.to_netcdf(folder / "truth.nc")
    sea.assign(sst=gappy).to_netcdf(folder / "gappy.nc")
    sea[["sst"]].assign(sst_source=source, sst_std=sea.sst * 0).to_netcdf(folder / "filled.nc")
    return folder


@pytest.fixture
def titles(monkeypatch):
    """Titles of the panels of every reconstruction drawn."""
    drawn = []

    def note(*args, **named):
        figure = plot_reconstruction(*args, **named)
        drawn.append([ax.get_title() for ax in figure.axes if ax.get_title()])
        return figure

    plot_reconstruction = module.plot_reconstruction
    monkeypatch.setattr(module, "plot_reconstruction", note)
    return drawn


def test_a_product(folder, tmp_path, titles):
    assert plot(folder / "filled.nc", out=tmp_path / "a.png", date="2015-01-02").stat().st_size > 10_000
    plot(folder / "filled.nc", out=tmp_path / "b.pdf", truth=folder / "truth.nc")
    plot(folder / "filled.nc", out=tmp_path / "c.svg", observed=folder / "gappy.nc")
    assert titles[0] == titles[2] == ["observed", "filled", "predicted error"]
    assert titles[1] == ["observed", "filled", "filled − truth: RMSE 0 °C in the gaps"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.pdf", "c.svg"]
    assert plt.get_fignums() == []


def test_a_field_alone(folder, tmp_path, titles):
    plot(folder / "gappy.nc", out=tmp_path / "a.png", domain="sea_mask")
    assert titles == [] and (tmp_path / "a.png").stat().st_size > 5_000


def test_a_run(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / MODEL).touch()
    with pytest.raises(InputError, match=r"holds no metrics\.jsonl"):
        plot(run, out=tmp_path / "a.png")
    lines = [json.dumps({"step": step, "loss_prior": 0.5, "withheld_rmse": 0.2}) for step in (1, 2)]
    (run / "metrics.jsonl").write_text("\n".join([*lines, '{"step": 3, "lo']))
    assert plot(run, out=tmp_path / "a.png").stat().st_size > 5_000
    with pytest.raises(InputError, match="leave date out"):
        plot(run, out=tmp_path / "b.png", date="2015-01-01")


def test_what_is_refused_leaves_what_was_there(folder, tmp_path):
    out = tmp_path / "a.png"
    out.write_text("old")
    with pytest.raises(InputError, match="exists; give another name"):
        plot(folder / "gappy.nc", out=out)
    for change, words in [
        ({"data": "nowhere.nc"}, "does not exist"),
        ({"date": "2040-01-01"}, "must lie within 2015-01-01 to 2015-01-04"),
        ({"date": "someday"}, "write it as 2015-01-31"),
        ({"variable": "salt"}, "has no variable 'salt'"),
        ({"domain": "sst"}, "a mask of"),
        ({"out": tmp_path / "a.doc"}, "must end in .png"),
        ({"out": tmp_path / "no" / "a.png"}, "does not exist; make it first"),
    ]:
        with pytest.raises(InputError, match=words):
            plot(**{"data": folder / "gappy.nc", "out": out, "overwrite": True} | change)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"] and out.read_text() == "old"
    plot(folder / "gappy.nc", out=out, overwrite=True)
    assert out.stat().st_size > 5_000
