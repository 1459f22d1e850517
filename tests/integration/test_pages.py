"""Every block of Python and shell of the documentation runs, page by page, on a small field.

Comments in a page, which a reader does not see, prepare and guard its blocks: ``<!-- given: sst.zarr runs/sst -->``
names files that exist before the first block, and ``<!-- skip: reason -->`` before a block says why it cannot run here.
Trainings are cut short: `SHORTER` replaces their lengths; the preset ``tiny`` has few steps and a ready first guess.
"""

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
import xarray as xr
from runs import PRIOR

import geogan
from geogan.cli import main
from geogan.presets import PRESETS

pytestmark = pytest.mark.docs

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"(?:<!-- skip: (?P<skip>[^>]+) -->\n)?```(?P<language>python|sh)\n(?P<text>.*?)```", re.DOTALL)
PAGES = sorted(page for page in DOCS.rglob("*.md") if BLOCK.search(page.read_text(encoding="utf-8")))
REASONS = {
    "starts processes",
    "needs a cluster",
    "needs a batch system",
    "trains for minutes",
    "runs on another page",
    "draws many pictures",
}
SHORTER = {
    "days=160, size=64": "days=8, size=16",
    'training={"minutes": 2}': "first_guess=PRIOR, network={'width': 4}, training=SHORT",
    "network=None": "network=None, first_guess=PRIOR",
}
SHORT = {"steps": 2, "crop": 8, "batch": 2, "blocks": 2, "posterior_draws": 1, "threads": 1, "precision": "float32"}
# Commands of the shell that build what is here already.
BUILDS = ("pip", "make")


class Block(NamedTuple):
    language: str
    text: str
    skip: str | None


def blocks(page: Path) -> list[Block]:
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(each["language"], each["text"], each["skip"]) for each in found]


def make_truth(out: str) -> None:
    geogan.synthetic_sst(days=8, size=16).to_zarr(out, consolidated=False)


def make_sst(out: str) -> None:
    truth = geogan.synthetic_sst(days=8, size=16)
    gappy = geogan.corrupt(truth.sst, "cloud_mask:coverage=0.5,scale=5,persistence=2", seed=1)
    truth.assign(sst=gappy).to_zarr(out, consolidated=False)


def make_run(out: str) -> None:
    run(f"geogan train sst.zarr --out {out}")


def make_filled(out: str) -> None:
    run(f"geogan fill sst.zarr --model runs/sst --out {out}")


def make_with_error(out: str) -> None:
    sea = xr.open_zarr("sst.zarr", consolidated=False).load()
    error = (0.1 + 0.1 * sea.sst.notnull()).assign_attrs(units=sea.sst.units)
    sea.drop_encoding().assign(sst_error=error).to_zarr(out, consolidated=False)


def make_chlorophyll(out: str) -> None:
    truth = geogan.synthetic_sst(days=8, size=16)
    chlorophyll = np.exp(0.3 * (truth.sst - 15)).assign_attrs(units="mg m-3").rename("chl")
    gappy = geogan.corrupt(chlorophyll, "cloud_mask:coverage=0.4,scale=4,persistence=2", seed=5)
    xr.Dataset({"chl": gappy, "sea_mask": truth.sea_mask}).to_zarr(out, consolidated=False)


def make_land(out: str) -> None:
    truth = geogan.synthetic_sst(days=8, size=16, seed=3).sst.interpolate_na("lon").fillna(15.0)
    hidden = geogan.corrupt(truth, "cloud_mask:coverage=0.4,scale=4,persistence=2", seed=5)
    land = {"standard_name": "land_surface_temperature", "units": "degree_Celsius"}
    scatter = np.random.default_rng(0).normal(0, 0.3, truth.shape)
    air = (0.8 * truth + 2 + scatter).assign_attrs(units="degree_Celsius")
    xr.Dataset({"lst": hidden.assign_attrs(land), "t2m": air}).to_netcdf(out)


def make_forecast(out: str) -> None:
    make_land("land.nc")
    xr.open_dataset("land.nc")[["t2m"]].load().to_netcdf(out)


def make_flagged(out: str) -> None:
    sea = xr.open_zarr("sst.zarr", consolidated=False).load().drop_encoding()
    quality = xr.full_like(sea.sst, 5, dtype="int8").assign_attrs(long_name="quality level")
    quality[:, 2:4] = 2
    sea.assign(quality_level=quality, flags=xr.zeros_like(quality)).to_netcdf(out)


def make_odd(out: str) -> None:
    sea = xr.open_zarr("sst.zarr", consolidated=False).load().drop_encoding()
    names = {"time": "t", "lat": "YDim", "lon": "XDim"}
    sea[["sst"]].drop_vars(["lat", "lon"]).rename_dims(names).rename_vars(time="t").to_netcdf(out)


def make_archive(out: str) -> None:
    """Write a file for each day."""
    sea = xr.open_zarr("sst.zarr", consolidated=False).load().drop_encoding()
    Path(out).mkdir()
    for day in range(sea.sizes["time"]):
        sea.isel(time=[day]).to_netcdf(f"{out}/sst_2015010{day + 1}.nc")


def make_images(out: str) -> None:
    y, x = np.mgrid[0:8, 0:8] / 8
    phases = np.random.default_rng(0).uniform(0, 6, (32, 2, 1, 1))
    np.savez(out, images=np.sin(4 * y + phases[:, 0]) * np.cos(4 * x + phases[:, 1]))


# Later files may need earlier ones.
FILES: dict[str, Callable[[str], None]] = {
    "truth.zarr": make_truth,
    "sst.zarr": make_sst,
    "runs/sst": make_run,
    "filled.zarr": make_filled,
    "sst_with_error.zarr": make_with_error,
    "chl.zarr": make_chlorophyll,
    "lst.nc": make_land,
    "era5.nc": make_forecast,
    "flagged.nc": make_flagged,
    "odd.nc": make_odd,
    "images.npz": make_images,
    "archive": make_archive,
    "recent": make_archive,
}


def run(command: str) -> None:
    """Run one command of a block; geogan in this process, a training with the preset ``tiny``."""
    words = shlex.split(command.replace("--minutes 20", "--steps 4"), comments=True)
    if not words or words[0] in BUILDS:
        return
    if words[0] != "geogan":
        subprocess.run(words, check=True)
        return
    if words[1] == "train" and "--resume" not in words:
        words[2:2] = ["--preset", "tiny"]
    with pytest.raises(SystemExit) as end:
        main(words[1:])
    assert not end.value.code, f"{command} exits with code {end.value.code}"


@pytest.fixture(scope="module", autouse=True)
def short_trainings():
    """Add the preset ``tiny`` of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", {"width": 4, "first_guess": PRIOR, **SHORT})
        patch.setitem(PRESETS, "unir-global", PRESETS["unir-global"] | {"width": 4, "batch": 8})
        yield


@pytest.fixture(scope="module")
def shelf(tmp_path_factory, short_trainings):
    """Make each given file once, with those that it needs."""
    folder = tmp_path_factory.mktemp("given")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, make in FILES.items():
            make(name)
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_blocks_run(page, shelf, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in re.findall(r"<!-- given: ([^>]+) -->", page.read_text(encoding="utf-8")):
        for given in name.split():
            target = tmp_path / given
            target.parent.mkdir(exist_ok=True)
            copy = shutil.copytree if (shelf / given).is_dir() else shutil.copy
            copy(shelf / given, target)
    names = {"PRIOR": PRIOR, "SHORT": SHORT, "__name__": "page"}
    torch.manual_seed(0)
    for block in blocks(page):
        if block.skip:
            assert block.skip in REASONS
        elif block.language == "sh":
            for command in block.text.replace("\\\n", " ").splitlines():
                run(command)
        else:
            text = block.text
            for long, short in SHORTER.items():
                text = text.replace(long, short)
            exec(compile(text, str(page), "exec"), names)


def test_every_block_says_its_language():
    """A block without a language would be run by nobody; text is output or a file."""
    for page in DOCS.rglob("*.md"):
        fences = re.findall(r"^```(\w*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert set(fences[::2]) <= {"python", "sh", "text", "math"}, page
        assert set(fences[1::2]) <= {""}, page
