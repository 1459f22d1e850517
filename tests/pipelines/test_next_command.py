"""Tests of the command that ``geogan info`` proposes: it quotes names and keeps the options of reading."""

import shlex

import numpy as np
import pytest
import xarray as xr

from geogan.corruption import corrupt
from geogan.fields.synthetic import synthetic_sst
from geogan.pipelines.info import info


@pytest.fixture(scope="module")
def gappy():
    sea = synthetic_sst(days=4, size=(24, 30), seed=2)
    return sea[["sst"]].assign(sst=corrupt(sea.sst, "cloud_mask:coverage=0.4,scale=5", seed=1))


def test_options_of_reading_are_kept_and_quoted(gappy, tmp_path):
    path = tmp_path / "a {sea}.nc"
    gappy.assign(quality=xr.zeros_like(gappy.sst, "int8") + 4).to_netcdf(path)
    found = info(path, variable="sst", where="quality>=3", domain="observed")
    assert shlex.split(found["next"]) == [
        "geogan", "train", str(path), "--variable", "sst", "--where", "quality>=3", "--domain", "observed",
        "--operator", "cloud_mask",
    ]  # fmt: skip


def test_joined_variables_have_gaps_and_transforms_of_their_own(gappy, tmp_path):
    chlorophyll = (
        np.exp(0.4 * (gappy.sst - 15))
        .rename("chl")
        .assign_attrs(standard_name="mass_concentration_of_chlorophyll_a_in_sea_water", units="mg m-3")
    )
    gappy.assign(chl=chlorophyll).to_netcdf(tmp_path / "two.nc")
    found = info(tmp_path / "two.nc", variable="sst,chl")
    assert "--transform none,bounded:0,inf --operator observed_gaps" in found["next"]
    assert found["variable sst"]["units"] == "degree_Celsius" and found["variable chl"]["units"] == "mg m-3"
