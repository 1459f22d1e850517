"""Tests of ``geogan plot``: the figure fits the data, and is written as a whole or not at all."""

import json
import re

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from geogan.corruption import corrupt
from geogan.fields.synthetic import synthetic_sst
from geogan.files.run_folder import MODEL
from geogan.operators.errors import InputError
from geogan.pipelines.plot import PlotOptions, plot


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


def texts(path):
    """Return the texts of a figure that was saved as SVG, titles without their letters."""
    found = re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text(encoding="utf-8"))
    return [re.sub(r"^\([a-z]\) ", "", text) for text in found]


@pytest.fixture(autouse=True)
def readable_svg():
    """Let Matplotlib write text as text; by default it writes outlines."""
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        yield


def test_a_product(folder, tmp_path):
    before = plt.get_fignums()
    out = plot(folder / "filled.nc", tmp_path / "a.svg", PlotOptions(date="2015-01-02"))
    assert {"observed", "filled", "predicted error"} <= set(texts(out))
    out = plot(folder / "filled.nc", tmp_path / "b.svg", PlotOptions(truth=folder / "truth.nc"))
    assert "filled − truth: RMSE 0 °C in the gaps" in " ".join(" ".join(texts(out)).split())
    assert "predicted error" not in texts(out)
    out = plot(folder / "filled.nc", tmp_path / "c.svg", PlotOptions(observed=folder / "gappy.nc"))
    assert {"observed", "filled", "predicted error"} <= set(texts(out))
    assert plot(folder / "filled.nc", tmp_path / "d.png").stat().st_size > 10_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "b.svg", "c.svg", "d.png"]
    assert plt.get_fignums() == before


def test_a_field_alone(folder, tmp_path):
    out = plot(folder / "gappy.nc", tmp_path / "a.svg", PlotOptions(domain="sea_mask", date="2015-01-03"))
    assert "2015-01-03" in texts(out) and "observed" not in texts(out)


def test_a_run(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / MODEL).touch()
    with pytest.raises(InputError, match=r"holds no metrics\.jsonl"):
        plot(run, tmp_path / "a.png")
    lines = [json.dumps({"step": step, "loss_prior": 0.5, "withheld_rmse": 0.2}) for step in (1, 2)]
    (run / "metrics.jsonl").write_text("\n".join([*lines, '{"step": 3, "lo']))
    assert plot(run, tmp_path / "a.png").stat().st_size > 5_000
    with pytest.raises(InputError, match="leave date out"):
        plot(run, tmp_path / "b.png", PlotOptions(date="2015-01-01"))


def test_a_refused_figure_leaves_the_old_file(folder, tmp_path):
    out = tmp_path / "a.png"
    out.write_text("old")
    with pytest.raises(InputError, match="exists; give another name"):
        plot(folder / "gappy.nc", out)
    for options, words in [
        ({"date": "2040-01-01"}, "must lie within 2015-01-01 to 2015-01-04"),
        ({"date": "someday"}, "write it as 2015-01-31"),
        ({"variable": "salt"}, "has no variable 'salt'"),
        ({"domain": "sst"}, "where .* is expected; name a variable without time"),
    ]:
        with pytest.raises(InputError, match=words):
            plot(folder / "gappy.nc", out, PlotOptions(**options), overwrite=True)
    for data, other, words in [
        ("nowhere.nc", out, "does not exist"),
        (folder / "gappy.nc", tmp_path / "a.doc", "must end in .png"),
        (folder / "gappy.nc", tmp_path / "no" / "a.png", "does not exist; make it first"),
    ]:
        with pytest.raises(InputError, match=words):
            plot(data, other, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"] and out.read_text() == "old"
    plot(folder / "gappy.nc", out, overwrite=True)
    assert out.stat().st_size > 5_000
