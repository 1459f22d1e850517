"""The compliance checker of IOOS finds no error (CF 1.8, ACDD 1.3) in products of each kind of archive."""

import shutil
import subprocess

import numpy as np
import pytest
import xarray as xr

from geogan.fields.synthetic import synthetic_sst
from geogan.filling import FillOptions
from geogan.pipelines.fill import Selection
from geogan.pipelines.fill_without_model import Fitting, fill_without_model
from geogan.reconstructor import Reconstructor
from geogan.settings import TrainConfig

CHECKER = shutil.which("compliance-checker")
FITTING = Fitting(domain="all", training=TrainConfig(prior_evaluations=2, posterior_draws=1))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHECKER is None, reason="compliance-checker is not installed: pip install 'geogan[compliance]'"),
]


@pytest.fixture(scope="module")
def sea():
    """Return twelve maps with gaps, whose coordinates have names and no attributes."""
    whole = synthetic_sst(days=12, size=(16, 20), seed=1)[["sst"]]
    hidden = np.random.default_rng(0).random(whole.sst.shape) < 0.3
    gappy = whole.assign(sst=whole.sst.where(~hidden))
    for name in ("time", "lat", "lon"):
        gappy[name].attrs = {}
    return gappy


def concentration(sea):
    attrs = {"units": "mg m-3", "standard_name": "mass_concentration_of_chlorophyll_a_in_sea_water", "long_name": "chl"}
    return xr.Dataset({"chl": np.exp(0.1 * sea.sst).assign_attrs(attrs)})


def projected(sea):
    """Return maps on a projected grid, with latitudes and longitudes of each cell."""
    y, x = 25e3 * np.arange(16), 25e3 * np.arange(20)
    field = sea.sst.rename(lat="y", lon="x").assign_coords(
        y=("y", y, {"units": "m"}), x=("x", x, {"units": "m"}),
        lat=(("y", "x"), np.add.outer(60 + y / 1e5, x / 1e6)), lon=(("y", "x"), np.add.outer(y / 1e6, x / 5e4)),
        crs=((), 0, {"grid_mapping_name": "polar_stereographic", "latitude_of_projection_origin": 90.0,
                     "straight_vertical_longitude_from_pole": 0.0, "standard_parallel": 70.0,
                     "false_easting": 0.0, "false_northing": 0.0}),
    )  # fmt: skip
    field.encoding["grid_mapping"] = "crs"
    return field.to_dataset(name="sst")


def images(sea):
    return xr.Dataset({"sst": (("sample", "y", "x"), sea.sst.values, sea.sst.attrs)})


def numbered(sea):
    """Return maps whose rows and columns have numbers and no place, and whose variable has no standard name."""
    field = sea.sst.rename(lat="y", lon="x").assign_coords(y=np.arange(16), x=np.arange(20))
    del field.attrs["standard_name"]
    return field.to_dataset(name="sst")


KINDS = {
    "temperature": lambda sea: sea,
    "concentration": concentration,
    "projected": projected,
    "scene": lambda sea: sea.isel(time=0),
    "without dates": images,
    "without places": numbered,
    "hourly": lambda sea: sea.assign_coords(time=sea.time.values[0] + np.arange(12) * np.timedelta64(1, "h")),
    "two variables": lambda sea: sea.merge(concentration(sea)),
}


def check(path):
    """Run the checker on a file; its report is the message of a failure."""
    command = [CHECKER, "--test", "cf:1.8", "--test", "acdd:1.3", "--criteria", "lenient", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "All tests passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_a_product_of_each_kind_passes(sea, kind, tmp_path):
    data = KINDS[kind](sea)
    data.to_netcdf(tmp_path / "gappy.nc")
    out = fill_without_model(
        tmp_path / "gappy.nc",
        tmp_path / "filled.nc",
        fitting=FITTING,
        options=FillOptions(members=2),
        selection=Selection(variable=",".join(map(str, data.data_vars))),
    )
    check(out)


def test_a_dataset_from_python_passes(sea, tmp_path):
    training = {"prior_evaluations": 2, "posterior_draws": 1}
    filled = Reconstructor(network=None, training=training).fit(sea.sst, domain="observed").fill(sea.sst)
    filled.to_netcdf(tmp_path / "filled.nc")
    check(tmp_path / "filled.nc")
