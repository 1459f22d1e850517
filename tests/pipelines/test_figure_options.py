"""Tests of the options of figures on the command line: bad input ends in one sentence, and nothing is written."""

import json

import matplotlib
import numpy as np
import pytest
import xarray as xr
from bad_input import case, refused, run
from PIL import Image

from geogan.fields.synthetic import synthetic_sst
from geogan.files.run_folder import MODEL

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a folder with a product with members and gaps, a map, and a run."""
    folder = tmp_path_factory.mktemp("figures")
    sea = synthetic_sst(days=3, size=(16, 18), seed=2)
    source = xr.zeros_like(sea.sst, dtype="int8").copy()
    source[:, :, 6:] = 1
    source.attrs = {"flag_values": np.array([0, 1], "int8"), "flag_meanings": "observed filled"}
    members = xr.concat([sea.sst, sea.sst + 1, sea.sst - 1], "member").assign_attrs(sea.sst.attrs)
    product = sea[["sst"]].assign(sst_source=source, sst_std=0 * sea.sst + 0.1, sst_member=members)
    product.to_netcdf(folder / "filled.nc")
    sea[["sst"]].isel(time=0, drop=True).to_netcdf(folder / "map.nc")
    (folder / "run").mkdir()
    (folder / "run" / MODEL).touch()
    (folder / "run" / "metrics.jsonl").write_text(json.dumps({"step": 1, "loss_prior": 0.5}))
    return folder


@pytest.fixture
def here(made, monkeypatch):
    """Make the folder the working folder, and empty it of figures at the end."""
    monkeypatch.chdir(made)
    before = set(made.iterdir())
    yield made
    for path in set(made.iterdir()) - before:
        path.unlink()


PLOT, ANIMATE = "plot filled.nc --out new.png", "animate filled.nc --out new.gif"
CASES = [
    case("projection", f"{PLOT} --projection mercador", "no projection is named 'mercador'", "mercator"),
    case("no-mapping", f"{PLOT} --projection grid", "needs the grid mapping"),
    case("colormap", f"{PLOT} --colormap virids", "colormap must be a colour map", "did you mean 'viridis'"),
    case("reversed", f"{PLOT} --limits 20,10", "limits must increase"),
    case("one-limit", f"{PLOT} --limits 20", "two numbers with a comma"),
    case("endless", f"{PLOT} --limits 1,inf", "limits must be two numbers"),
    case("no-log", f"{PLOT} --log --limits=-1,5", "logarithmic colours need positive limits"),
    case("dpi", f"{PLOT} --dpi 0", "dpi must be a whole number from 10 to 2400, got 0"),
    case("panel", f"{PLOT} --panels observed,errors", "no panel is named 'errors'", "did you mean 'error'"),
    case("twice", f"{PLOT} --panels observed,observed", "each map once"),
    case("no-truth", f"{PLOT} --panels difference", "needs truth"),
    case("no-product", "plot map.nc --out new.png --panels observed", "no product"),
    case("no-member", "plot map.nc --out new.png --members 2", "has no sst_member"),
    case("members", f"{PLOT} --members 4", "from 1 to 3, got 4"),
    case("members-band", f"{PLOT} --members 2 --panels observed", "leave panels out"),
    case("hovmoller", f"{PLOT} --hovmoller depth", "no side of a Hovmöller diagram is named 'depth'"),
    case("hovmoller-date", f"{PLOT} --hovmoller x --date 2015-01-02", "leave date out"),
    case("hovmoller-map", "plot map.nc --out new.png --hovmoller x", "needs a field with dates"),
    case("two", f"{PLOT} --hovmoller x --members 2", "give one of them"),
    case("run", "plot run --out new.png --colormap gray", "whose curves have no map"),
    case("run-members", "plot run --out new.png --members 2", "leave members out"),
    case("picture", "animate filled.nc --out new.png", "must end in .gif or .mp4"),
    case("rate", f"{ANIMATE} --rate 0", "from 1 to 60, got 0"),
    case("one-date", "animate map.nc --out new.gif", "two dates or more"),
    case("animated-panel", f"{ANIMATE} --panels error", "no panel is named 'error'"),
    case("range", f"{ANIMATE} --time 2040", "2040"),
    case("no-data", "animate nowhere.nc --out new.gif", "does not exist"),
]


@pytest.mark.parametrize("case", CASES)
def test_one_sentence_and_nothing_written(here, case):
    refused(case)


def test_an_mp4_without_ffmpeg(here):
    with matplotlib.rc_context({"animation.ffmpeg_path": "no-such-program"}):
        refused(case("", "animate filled.nc --out new.mp4", "needs the program ffmpeg", "give a .gif").values[0])


def test_options_reach_the_figure(here):
    small = "--dpi 30 --projection none"
    for line in (
        f"{PLOT} {small} --panels filled,error --limits 10,20 --colormap gray --no-log",
        f"{PLOT} {small} --members 2 --overwrite",
        f"{PLOT} --dpi 30 --hovmoller latitude --overwrite",
        "plot run --out new.png --dpi 30 --overwrite",
    ):
        result = run(line)
        assert (result.exit_code, result.stdout) == (0, "new.png\n"), result.output
        with Image.open("new.png") as image:
            assert round(image.info["dpi"][0]) == 30
    result = run(f"{ANIMATE} {small} --rate 10 --time 2015-01-01/2015-01-02 --panels filled")
    assert (result.exit_code, result.stdout) == (0, "new.gif\n"), result.output
    with Image.open("new.gif") as image:
        assert image.n_frames == 2 and image.info["duration"] == 100
