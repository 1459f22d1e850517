"""Dimensions are recognised by the usual names of models and instruments, or named by --dims."""

import json

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

import geogan
from geogan.cli import app
from geogan.fields.axes import find_axes
from geogan.io.reading import PLAIN, Reading
from geogan.operators.errors import InputError

DATES = np.datetime64("2001-01-01", "ns") + np.arange(8) * np.timedelta64(1, "D")


def film(time="time", y="y", x="x", name="sst"):
    values = np.random.default_rng(0).normal(15, 2, (8, 9, 10)).astype("f4")
    for step in range(8):
        values[step, 2:5, step % 5 : step % 5 + 4] = np.nan
    return xr.Dataset({name: ((time, y, x), values, {"units": "degC"})}, coords={time: DATES})


@pytest.mark.parametrize(
    ("time", "y", "x"),
    [("Time", "south_north", "west_east"), ("time", "YDim", "XDim"), ("ocean_time", "eta_rho", "xi_rho"),
     ("time_counter", "y", "x"), ("time", "nj", "ni"), ("time", "yt_ocean", "xt_ocean"), ("time", "yh", "xh"),
     ("time", "grid_yt", "grid_xt"), ("time", "number_of_lines", "pixels_per_line"), ("time", "ny", "nx")],
)  # fmt: skip
def test_usual_names_are_known(tmp_path, time, y, x):
    film(time, y, x).to_netcdf(tmp_path / "a.nc")
    axes = find_axes(geogan.open_field(tmp_path / "a.nc"))
    assert (axes.time, axes.y, axes.x) == (time, y, x)


@pytest.mark.parametrize("dims", ["time=moment,y=up,x=along", {"time": "moment", "y": "up", "x": "along"}])
@pytest.mark.parametrize("container", ["nc", "v2", "v3", "several"])
def test_other_names_are_told(tmp_path, dims, container):
    dataset = film("moment", "up", "along")
    if container == "several":
        dataset.isel(moment=slice(0, 4)).to_netcdf(tmp_path / "a.nc")
        dataset.isel(moment=slice(4, 8)).to_netcdf(tmp_path / "b.nc")
        data = str(tmp_path / "*.nc")
    elif container == "nc":
        data = tmp_path / "a.nc"
        dataset.to_netcdf(data)
    else:
        data = tmp_path / "a.zarr"
        dataset.to_zarr(data, zarr_format=int(container[1]))
    with pytest.raises(InputError, match=r"--dims .*\(dims= in Python\)"):
        geogan.open_field(data)
    field = geogan.open_field(data, dims=dims)
    assert field.dims == ("time", "y", "x")
    np.testing.assert_array_equal(field.values, film().sst.values)
    assert field.time.dtype.kind == "M"


def test_a_single_role_is_enough(tmp_path):
    film("time", "lat", "across").to_netcdf(tmp_path / "a.nc")
    assert geogan.open_field(tmp_path / "a.nc", dims={"x": "across"}).dims == ("time", "lat", "x")


@pytest.mark.parametrize(
    ("dims", "words"),
    [
        ("y", "roles and dimensions such as .*, got 'y'"), ("z=depth", "dims has z=depth"), ("y=", "dims has y="),
        ("y=a,y=b", "twice"), ("y=a,x=a", "twice"), ({"north": "a"}, "dims has north=a"), (3, "text or a mapping"),
    ],
)  # fmt: skip
def test_what_is_not_understood(dims, words):
    with pytest.raises(InputError, match=words):
        Reading.of(dims=dims)


def test_a_dimension_that_is_not_there(tmp_path):
    film().to_netcdf(tmp_path / "a.nc")
    with pytest.raises(InputError, match=r"a\.nc has no dimension 'YDim'; it has time, y, x"):
        geogan.open_field(tmp_path / "a.nc", dims="y=YDim")
    taken = film("time", "a", "b").assign(y=("station", [1.0]))
    taken.to_netcdf(tmp_path / "b.nc")
    with pytest.raises(InputError, match="cannot have its dimensions renamed to y"):
        geogan.open_field(tmp_path / "b.nc", dims="y=a,x=b", variable="sst")


def test_what_was_given_holds_over_what_a_run_has():
    own = Reading.of("Grid", "y=up,x=along", "quality>3")
    assert own.unless({"group": None, "dims": None, "where": None}) == own
    assert own.unless({"group": "", "dims": {}, "where": " "}) == PLAIN
    assert own.unless({"dims": "y=rows"}).dims == (("y", "rows"),)
    assert own.plain == {"group": "Grid", "dims": "y=up,x=along", "where": "quality>3"} and PLAIN.plain == {}


def test_a_run_keeps_its_dimensions(tmp_path):
    film("moment", "up", "along").to_netcdf(tmp_path / "a.nc")
    settings = "--no-first-guess --steps 1 --width 4 --window 1 --crop 8 --operator observed_gaps"
    dims = "time=moment,y=up,x=along"
    for line in (
        f"info {tmp_path}/a.nc --dims {dims}",
        f"train --data {tmp_path}/a.nc --dims {dims} {settings} --out {tmp_path}/run",
        f"fill --data {tmp_path}/a.nc --model {tmp_path}/run --out {tmp_path}/filled.zarr",
        f"train --resume {tmp_path}/run --steps 2",
    ):
        result = CliRunner().invoke(app, line.split())
        assert result.exit_code == 0, (line, result.output)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["dims"] == dims
    assert geogan.open_field(tmp_path / "filled.zarr", variable="sst").dims == ("time", "y", "x")
    # Data whose dimensions have usual names already need no renaming.
    film().to_netcdf(tmp_path / "plain.nc")
    line = f"fill --data {tmp_path}/plain.nc --model {tmp_path}/run --out {tmp_path}/plain_filled.nc"
    assert CliRunner().invoke(app, line.split()).exit_code == 0
