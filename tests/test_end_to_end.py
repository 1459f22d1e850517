"""The whole way on the command line, as a user goes it."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from geogan.synthetic import synthetic_sst


def geogan(*arguments, folder, code=0):
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("work")
    synthetic_sst(days=14, size=(16, 24), seed=5).to_netcdf(path / "truth.nc")
    return path


def test_from_a_truth_to_a_table(folder):
    clouds = "cloud_mask:coverage=0.4,scale=5"
    made = geogan(
        "corrupt", "--data", "truth.nc", "--operator", clouds, "--out", "gappy.zarr", "--seed", 2, folder=folder
    )
    assert made.stdout.endswith("gappy.zarr\n")
    about = json.loads(geogan("info", "gappy.zarr", "--json", folder=folder).stdout)
    assert about
    made = geogan("train", "--data", "gappy.zarr", "--domain", "sea_mask", "--window", 1, "--width", 4, "--crop", 16,
                  "--batch", 2, "--steps", 3, "--threads", 1, folder=folder)  # fmt: skip
    assert made.stdout == "runs/gappy\n"
    made = geogan("fill", "--data", "gappy.zarr", "--model", "runs/gappy", "--out", "filled.nc", folder=folder)
    assert made.stdout.endswith("filled.nc\n")
    with (xr.open_dataset(folder / "filled.nc") as filled, xr.open_zarr(folder / "gappy.zarr") as gappy,
          xr.open_dataset(folder / "truth.nc") as truth):  # fmt: skip
        seen = gappy["sst"].notnull().values
        np.testing.assert_array_equal(filled["sst"].values[seen], gappy["sst"].values[seen])
        np.testing.assert_array_equal(filled["sst"].notnull().values, truth["sst"].notnull().values)
        np.testing.assert_array_equal(filled["sst_source"].values == 0, seen)
        error = np.sqrt(float(((filled["sst"] - truth["sst"]).where(~seen) ** 2).mean()))
    table = json.loads(
        geogan("evaluate", "--data", "gappy.zarr", "--model", "runs/gappy", "--truth", "truth.nc", "--no-ablation",
               "--json", "-", folder=folder).stdout
    )  # fmt: skip
    rows = {row["method"]: row for row in table["rows"]}
    assert rows["model"]["rmse"] == pytest.approx(error, rel=1e-3) and rows["model"]["share"] == 1
    assert rows["model"]["rmse"] < rows["climatology"]["rmse"]
    for source in ("filled.nc", "runs/gappy"):
        geogan("plot", source, "--out", "figure.png", "--overwrite", folder=folder)
        assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads(geogan("info", "runs/gappy", "--json", folder=folder).stdout)
    refused = geogan("train", "--data", "truth.nc", "--out", "other", folder=folder, code=2)
    assert "geogan corrupt" in refused.stderr and refused.stderr.count("\n") == 1 and not (folder / "other").exists()
