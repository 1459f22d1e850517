"""Tests of ``geogan info``: sections of plain values, and a next command that fits."""

import io
import json

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from geogan.archive import Standardiser, Withheld
from geogan.corruption import corrupt
from geogan.fields.synthetic import synthetic_sst
from geogan.files.attributes import FILL
from geogan.model import Model, save_model
from geogan.operators.cloud import CloudMask
from geogan.operators.errors import InputError
from geogan.pipelines.info import info
from geogan.prior import GaussianPrior


@pytest.fixture(scope="module")
def sea():
    return synthetic_sst(days=6, size=(24, 30), seed=2)


def gappy_sea(sea):
    return sea.assign(sst=corrupt(sea.sst, "cloud_mask:coverage=0.4,scale=5", seed=1))


def test_a_gappy_field(sea, tmp_path):
    gappy = gappy_sea(sea)
    path = tmp_path / "gappy sea.nc"
    flags = {"flag_values": np.array([0, 5], "i1"), "flag_meanings": "bad best"}
    gappy.assign(quality=(gappy.sst.dims, np.full(gappy.sst.shape, 5, "i1"), flags)).to_netcdf(path)
    console = Console(file=io.StringIO(), width=100)
    found = info(path, console=console)
    assert json.loads(json.dumps(found)) == found
    assert found["variable"]["units"] == "degree_Celsius"
    assert found["variable"]["smallest"] == pytest.approx(float(gappy.sst.min()))
    assert found["grid"]["sizes"] == {"time": 6, "lat": 24, "lon": 30}
    assert found["grid"]["step_lat"] == "0.05 degrees_north"
    assert found["time"] == {
        "kind": "series", "dates": 6, "first": "2015-01-01", "last": "2015-01-06", "median_step_days": 1.0
    }  # fmt: skip
    assert found["grid"]["dimensions"] == {"time": "time", "y": "lat", "x": "lon"}
    domain = gappy.sst.notnull().any("time")
    share = gappy.sst.notnull().sum(("lat", "lon")) / domain.sum()
    assert found["coverage"]["domain_cells"] == int(domain.sum())
    assert found["coverage"]["observed_share"] == pytest.approx(float(share.mean()))
    assert found["coverage"]["observed_share_of_a_date"]["median"] == pytest.approx(float(share.median()))
    assert found["coverage"]["domain_share"] == pytest.approx(float(domain.mean()))
    assert found["masks_and_flags"]["quality"] == '0 bad, 5 best; to select: --where "quality == 5"'
    assert found["masks_and_flags"]["sea_mask"] == "0 land, 1 sea"
    assert found["next"] == f"geogan train '{path}' --domain sea_mask --operator cloud_mask"
    shown = console.file.getvalue()
    assert "degree_Celsius" in shown and "2015-01-06" in shown and found["next"] in shown


def test_the_next_command_fits_the_data(sea, tmp_path):
    sea.to_netcdf(tmp_path / "truth.nc")
    assert "geogan corrupt" in info(tmp_path / "truth.nc")["next"]
    land = gappy_sea(sea).assign(sea_mask=1 - sea.sea_mask).rename(sea_mask="land_mask")
    land.to_netcdf(tmp_path / "land.nc")
    assert "--domain" not in info(tmp_path / "land.nc")["next"]
    filled = sea.assign(sst_source=sea.sst.notnull().astype("int8"), sst_std=sea.sst)
    filled.to_netcdf(tmp_path / "filled.nc")
    assert "geogan plot" in info(tmp_path / "filled.nc")["next"]
    with pytest.raises(InputError, match="'nowhere.nc' does not exist"):
        info("nowhere.nc")


def test_the_domain_of_a_product_is_where_it_has_values(sea, tmp_path):
    """Coastlines do not know the land of a synthetic sea."""
    filled = sea[["sst"]].assign(sst_source=sea.sst.notnull().astype("int8"), sst_std=sea.sst)
    filled.assign_attrs({FILL: "{}"}).to_netcdf(tmp_path / "filled.nc")
    coverage = info(tmp_path / "filled.nc")["coverage"]
    assert coverage["domain"].endswith(f"{coverage['domain_cells']:,} cells")
    assert coverage["domain_cells"] == int(sea.sea_mask.sum())


def test_a_single_map_and_one_without_coordinates(sea, tmp_path):
    values = sea.sst[0].where(sea.lon < -45).values
    xr.Dataset({"sst": (("y", "x"), values)}).to_netcdf(tmp_path / "map.nc")
    found = info(tmp_path / "map.nc", console=Console(file=io.StringIO()))
    assert found["time"] == {"kind": "single scene", "dates": 1}
    assert found["variable"]["units"] is None and found["grid"]["step_x"] == "1 index"


def test_a_run(tmp_path):
    domain = np.ones((24, 30), bool)
    domain[:4] = False
    model = Model(
        network=None,
        prior=GaussianPrior(length=11.0, persistence=4.0, noise=0.2),
        operator=CloudMask(coverage=0.4),
        standardiser=Standardiser(np.zeros((1, 1, 24, 30), "f4"), np.array([2.0]), "none", "mean of every cell"),
        domain=domain,
        withheld=Withheld(np.full((6, 1), -1), False),
        frames=3,
        variable="sst",
        units="degree_Celsius",
        y=None,
        x=None,
        scores={"withheld": 0.25, "first_guess": float("inf"), "steps": 80, "seconds": 90.0},
        settings={"window": 1},
        smoothing=2,
    )
    path = save_model(tmp_path / "run", model)
    console = Console(file=io.StringIO(), width=100)
    found = info(path, console=console)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["operator"] == {"operator": "cloud_mask:coverage=0.4"}
    assert found["first_guess"]["length_cells"] == 11.0
    assert found["members"] == {"smoothing_steps": 2}
    assert found["training"]["steps"] == 80 and found["training"]["minutes"] == 1.5
    assert not found["training"]["can_be_resumed"]
    assert found["errors_on_withheld_observations"]["rmse"] == 0.25
    assert found["errors_on_withheld_observations"]["rmse_of_first_guess"] is None
    assert found["trained_on"]["domain_cells"] == 600 and found["settings"] == {"window": 1}
    assert "cloud_mask:coverage=0.4" in console.file.getvalue()
    (path / "run.json").write_text(json.dumps({"data": ["a b.nc"], "variable": "sst", "domain": None, "time": None}))
    assert info(path)["next"] == f"geogan fill 'a b.nc' --model {path} --out filled.zarr"
    with pytest.raises(InputError, match="leave variable out"):
        info(path, variable="sst")


def test_bands_and_samples_are_counted(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (7, 10, 12, 3), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", images=values)
    console = Console(file=io.StringIO(), width=100)
    found = info(tmp_path / "images.npz", console=console)
    assert found["samples"] == {"samples": 7} and "time" not in found
    assert found["variable"]["bands"] == ["red", "green", "blue"] and found["coverage"]["observed_share"] == 1
    assert found["coverage"]["samples_without_any"] == 0 and "--operator remove_pixel" in found["next"]
    assert "red green blue" in console.file.getvalue()
    gappy = np.where(np.arange(12)[:, None] < 4, np.nan, values / 127.5 - 1)
    np.save(tmp_path / "gappy.npy", gappy)
    found = info(tmp_path / "gappy.npy")
    assert "--operator observed_gaps" in found["next"] and found["coverage"]["domain_cells"] == 120
