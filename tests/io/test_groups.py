"""Groups of NetCDF4 files and Zarr stores: found, named, chosen, and kept in the run."""

import json

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

import geogan
from geogan.cli import app
from geogan.io import open_field, open_source
from geogan.io.maps import open_domain
from geogan.io.reading import Reading
from geogan.operators.errors import InputError

LAT, LON = np.linspace(40, 42, 9), np.linspace(0, 2, 10)


def film(name="sst", start=0, steps=8):
    values = np.random.default_rng(start).normal(15, 2, (steps, 9, 10)).astype("f4")
    for step in range(steps):
        values[step, 2:5, step % 5 : step % 5 + 4] = np.nan
    times = np.datetime64("2001-01-01", "ns") + (start + np.arange(steps)) * np.timedelta64(1, "D")
    return xr.Dataset(
        {name: (("time", "lat", "lon"), values, {"units": "degC"}), "mask": (("lat", "lon"), np.ones((9, 10), "i1"))},
        coords={"time": times, "lat": LAT, "lon": LON},
    )


def write(path, groups, kind):
    """Write datasets by group into one NetCDF file or Zarr store."""
    xr.Dataset(attrs={"title": "a product in groups"}).to_netcdf(path) if kind == "nc" else None
    for group, dataset in groups.items():
        if kind == "nc":
            dataset.to_netcdf(path, group=group, mode="a")
        else:
            dataset.to_zarr(path, group=group, mode="a", zarr_format=int(kind[1]))
    return path


@pytest.fixture(params=["nc", "v2", "v3"])
def kind(request):
    return request.param


@pytest.mark.parametrize("group", ["geophysical_data", "HDFEOS/GRIDS/Sea Surface/Data Fields", "Grid"])
def test_the_only_group_with_fields_is_read_and_said(tmp_path, kind, group):
    path = write(tmp_path / "a", {"sensor": xr.Dataset({"gain": ("band", [1.0, 2.0])}), group: film()}, kind)
    source = open_source(path)
    xr.testing.assert_equal(source.field.array.compute(), film().sst)
    assert source.notes == (f"the group {group!r} of {path} is read, the only one that holds the field",)
    assert source.reading.group == group
    asked = open_source(path, reading=Reading.of(group=f"/{group}/"))
    xr.testing.assert_equal(asked.field.array.compute(), film().sst)
    assert asked.notes == ()


def test_of_several_groups_one_is_asked_for(tmp_path, kind):
    path = write(tmp_path / "a", {"day": film("sst"), "deep/night": film("sst", start=8)}, kind)
    with pytest.raises(
        InputError, match=r"fields in groups, 'day' \(sst\), 'deep/night' \(sst\); choose one with --group"
    ):
        open_field(path)
    assert str(open_field(path, group="deep/night").time.values[0])[:10] == "2001-01-09"
    with pytest.raises(InputError, match="has no group 'night'; its groups are 'day', 'deep', 'deep/night'"):
        open_field(path, group="night")


def test_a_variable_chooses_its_group(tmp_path, kind):
    path = write(tmp_path / "a", {"sea": film("sst"), "land": film("lst")}, kind)
    assert open_field(path, variable="lst").name == "lst"
    assert open_source(path, variable="sst").reading.group == "sea"


def test_a_file_with_fields_at_its_root_is_read_there(tmp_path, kind):
    path = write(tmp_path / "a", {"/": film("sst"), "extra": film("lst")}, kind)
    assert open_field(path).name == "sst"
    assert open_field(path, group="extra").name == "lst"


def test_a_file_without_groups_has_none_to_choose(tmp_path):
    film().to_netcdf(tmp_path / "a.nc")
    with pytest.raises(InputError, match="has no group 'Grid'; its groups are none"):
        open_field(tmp_path / "a.nc", group="Grid")


def test_coordinates_of_groups_around_are_found(tmp_path):
    # As in files of ocean colour: places in a group of their own, dimensions at the root.
    bent = np.meshgrid(LON, LAT)
    places = xr.Dataset({"latitude": (("rows", "columns"), bent[1]), "longitude": (("rows", "columns"), bent[0])})
    fields = film().sst.rename(lat="rows", lon="columns").drop_vars(["rows", "columns", "time"]).to_dataset()
    times = xr.Dataset(coords={"time": film().time})
    path = tmp_path / "a.nc"
    times.to_netcdf(path)
    places.to_netcdf(path, group="navigation_data", mode="a")
    fields.to_netcdf(path, group="geophysical_data", mode="a")
    field = open_field(path)
    assert {"latitude", "longitude", "time"} <= set(field.coords) and field.time.dtype.kind == "M"
    with pytest.raises(InputError, match="is on another grid"):
        south = places.assign(latitude=places.latitude - 70)
        other = tmp_path / "b.nc"
        times.assign_coords(time=times.time + np.timedelta64(100, "D")).to_netcdf(other)
        south.to_netcdf(other, group="navigation_data", mode="a")
        fields.to_netcdf(other, group="geophysical_data", mode="a")
        open_field([path, other])


def test_masks_are_of_the_same_group(tmp_path, kind):
    path = write(tmp_path / "a", {"sea": film()}, kind)
    source = open_source(path)
    assert open_domain(path, "mask", source.field, reading=source.reading).all()


def test_a_run_keeps_its_group(tmp_path, kind):
    path = write(tmp_path / f"a{'' if kind == 'nc' else '.zarr'}", {"day": film(), "night": film(start=8)}, kind)
    settings = "--no-first-guess --steps 1 --width 4 --window 1 --crop 8 --operator observed_gaps --domain mask"
    for line in (
        f"train --data {path} --group night {settings} --out {tmp_path}/run",
        f"fill --data {path} --model {tmp_path}/run --out {tmp_path}/filled.nc",
        f"train --resume {tmp_path}/run --steps 2",
        f"evaluate --data {path} --model {tmp_path}/run --no-ablation --methods climatology",
        f"info {path} --group night",
        f"plot {path} --group night --out {tmp_path}/map.png",
        f"corrupt --data {path} --group night --out {tmp_path}/gappy.nc",
    ):
        result = CliRunner().invoke(app, line.split())
        assert result.exit_code == 0, (line, result.output)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["group"] == "night"
    assert str(geogan.open_field(tmp_path / "filled.nc", variable="sst").time.values[0])[:10] == "2001-01-09"
    # Files without groups are filled with the same model, from their root.
    film(start=8).to_netcdf(tmp_path / "plain.nc")
    line = f"fill --data {tmp_path}/plain.nc --model {tmp_path}/run --out {tmp_path}/plain_filled.nc"
    assert CliRunner().invoke(app, line.split()).exit_code == 0
