"""The path of a user on the command line, from data to scores."""

import contextlib
import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from runs import BRIEF, train
from scipy.ndimage import gaussian_filter
from typer.testing import CliRunner

from geogan.cli import app
from geogan.fields.synthetic import synthetic_sst

UNSHOWN = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)


def geogan(*arguments, folder, code=0):
    """Run a verb in a separate process."""
    result = subprocess.run(
        [sys.executable, "-m", "geogan", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr and "Warning" not in result.stderr
    return result


def again(*arguments, folder, code=0):
    """Run a verb in this process, without the seconds that a new process needs."""
    with contextlib.chdir(folder), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="geogan")
    assert result.exit_code == code, (result.stderr, result.exception)
    assert not [str(one.message) for one in said if not issubclass(one.category, UNSHOWN)]
    return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("work")
    synthetic_sst(days=8, size=16, seed=5).to_netcdf(path / "truth.nc")
    return path


def test_from_a_truth_to_a_table(folder):
    clouds = "cloud_mask:coverage=0.4,scale=5"
    made = again(
        "corrupt", "--data", "truth.nc", "--operator", clouds, "--out", "gappy.zarr", "--seed", 2, folder=folder
    )
    assert made.stdout.endswith("gappy.zarr\n")
    about = json.loads(again("info", "gappy.zarr", "--json", folder=folder).stdout)
    assert about
    made = geogan("train", "--data", "gappy.zarr", "--domain", "sea_mask", "--window", 1, "--width", 4, "--crop", 16,
                  "--batch", 2, "--steps", 3, "--threads", 1, folder=folder)  # fmt: skip
    assert made.stdout == "runs/gappy\n"
    made = again("fill", "--data", "gappy.zarr", "--model", "runs/gappy", "--out", "filled.nc", folder=folder)
    assert made.stdout.endswith("filled.nc\n")
    with (xr.open_dataset(folder / "filled.nc") as filled, xr.open_zarr(folder / "gappy.zarr") as gappy,
          xr.open_dataset(folder / "truth.nc") as truth):  # fmt: skip
        seen = gappy["sst"].notnull().values
        np.testing.assert_array_equal(filled["sst"].values[seen], gappy["sst"].values[seen])
        np.testing.assert_array_equal(filled["sst"].notnull().values, truth["sst"].notnull().values)
        np.testing.assert_array_equal(filled["sst_source"].values == 0, seen)
        error = np.sqrt(float(((filled["sst"] - truth["sst"]).where(~seen) ** 2).mean()))
    table = json.loads(
        again("evaluate", "--data", "gappy.zarr", "--model", "runs/gappy", "--truth", "truth.nc", "--no-ablation",
               "--json", "-", folder=folder).stdout
    )  # fmt: skip
    rows = {row["method"]: row for row in table["rows"]}
    assert rows["model"]["rmse"] == pytest.approx(error, rel=1e-3) and rows["model"]["share"] == 1
    assert rows["model"]["rmse"] < rows["climatology"]["rmse"]
    for source in ("filled.nc", "runs/gappy"):
        again("plot", source, "--out", "figure.png", "--overwrite", folder=folder)
        assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads(again("info", "runs/gappy", "--json", folder=folder).stdout)
    refused = again("train", "--data", "truth.nc", "--out", "other", folder=folder, code=2)
    assert "geogan corrupt" in refused.stderr and refused.stderr.count("\n") == 1 and not (folder / "other").exists()


@pytest.mark.parametrize("kept", ["npz", "png"])
def test_images_go_the_same_way(tmp_path, kept):
    random = np.random.default_rng(0)
    smooth = gaussian_filter(random.standard_normal((12, 16, 16, 3)), (0, 2, 2, 0), mode="nearest")
    images = np.clip(127.5 + 60 * smooth / smooth.std(), 0, 255).astype(np.uint8)
    if kept == "npz":
        np.savez(tmp_path / "images.npz", images=images)
    else:
        (tmp_path / "images").mkdir()
        for number, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / "images" / f"{number:02d}.png")
    data, out = ("images.npz", "filled.zarr") if kept == "npz" else ("images", "filled.nc")
    half = "remove_pixel:p=0.5"
    again("corrupt", "--data", data, "--operator", half, "--out", "gappy.zarr", folder=tmp_path)
    run = again("train", "--data", "gappy.zarr", "--operator", half, "--steps", 3, "--width", 4, "--crop", 16,
                 "--batch", 2, "--threads", 1, "--out", "run", folder=tmp_path)  # fmt: skip
    assert "values as they are: images" in run.stderr and "samples are independent" in run.stderr
    again("fill", "--data", "gappy.zarr", "--model", "run", "--out", out, folder=tmp_path)
    gappy = xr.open_zarr(tmp_path / "gappy.zarr")["image"].load()
    filled = (xr.open_zarr if kept == "npz" else xr.open_dataset)(tmp_path / out).load()
    assert gappy.dims == filled.image.dims == filled.image_source.dims == ("sample", "band", "y", "x")
    seen, truth = gappy.notnull().values, images.transpose(0, 3, 1, 2) / 127.5 - 1
    assert 0.45 < seen.mean() < 0.55 and filled.image.attrs["valid_max"] == 1
    np.testing.assert_array_equal(filled.image.values[seen], gappy.values[seen])
    np.testing.assert_array_equal(filled.image_source.values == 0, seen)
    table = json.loads(
        again("evaluate", "--data", "gappy.zarr", "--model", "run", "--truth", data, "--no-ablation", "--method",
               "model", "--method", "climatology", "--json", "-", folder=tmp_path).stdout
    )  # fmt: skip
    rows = {row["method"]: row["rmse"] for row in table["rows"]}
    error = np.sqrt(np.mean((filled.image.values - truth)[~seen] ** 2))
    assert rows["model"] == pytest.approx(error, rel=1e-3) and rows["model"] < 0.5 * rows["climatology"]
    again("plot", out, "--truth", data, "--date", 7, "--out", "figure.png", folder=tmp_path)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    about = json.loads(again("info", out, "--json", folder=tmp_path).stdout)
    assert about["samples"] == {"samples": 12} and about["variable"]["bands"] == ["red", "green", "blue"]


def test_crops_of_a_small_grid_are_recognised(tmp_path):
    """The archive's own covariance is used as the first guess, stored with the model and used by the fill."""
    random = np.random.default_rng(0)
    kind = random.integers(0, 4, (12, 16))
    truth = random.normal(size=(90, 4))[:, kind] + 0.05 * random.normal(size=(90, 12, 16))
    gone = gaussian_filter(random.normal(size=truth.shape), (0, 3, 3), mode="wrap")
    gone = gone > np.quantile(gone, 0.6)
    days = np.datetime64("2020-01-01", "ns") + 8 * np.arange(90) * np.timedelta64(1, "D")
    field = xr.DataArray(
        truth, dims=("time", "y", "x"), coords={"time": days, "y": np.arange(12.0), "x": np.arange(16.0)}, name="ndvi"
    ).astype("f4")
    field.where(~gone).to_netcdf(tmp_path / "crops.nc")
    train(
        tmp_path / "crops.nc", operator=["observed_gaps"], window=1, width=4, batch=2, steps=3, threads=1,
        out=tmp_path / "runs" / "crops", **BRIEF,
    )  # fmt: skip
    about = json.loads(again("info", "runs/crops", "--json", folder=tmp_path).stdout)
    assert about["first_guess"]["covariance"] == "the archive's own covariance"
    again("fill", "--data", "crops.nc", "--model", "runs/crops", "--out", "filled.nc", "--members", 2, folder=tmp_path)
    with xr.open_dataset(tmp_path / "filled.nc") as filled:
        assert np.isfinite(filled["ndvi_std"].values[gone]).all()
        # Cells of a kind are seen elsewhere; a neighbour, of another kind, says nothing (an error of 1).
        error = np.sqrt(((filled["ndvi"].values - truth)[gone] ** 2).mean())
        assert error < 0.65
        # A part of the grid is filled too.
        part = filled["ndvi"].isel(x=slice(2, 14)).where(~gone[..., 2:14])
        part.to_netcdf(tmp_path / "part.nc")
    again("fill", "--data", "part.nc", "--model", "runs/crops", "--out", "part_filled.nc", folder=tmp_path)
    with xr.open_dataset(tmp_path / "part_filled.nc") as filled:
        error = np.sqrt(((filled["ndvi"].values - truth[..., 2:14])[gone[..., 2:14]] ** 2).mean())
        assert error < 0.7
