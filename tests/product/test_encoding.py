"""Encoding of products: what Zarr and NetCDF keep of a field's metadata, packing, calendars and types."""

import netCDF4
import numpy as np
import pytest
import xarray as xr
from film_product import film, write_product

from geogan.io import open_field, open_source
from geogan.operators.errors import InputError
from geogan.product import write_dataset


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
@pytest.mark.parametrize("packed", [False, True])
def test_round_trip(tmp_path, suffix, packed):
    field = film(packed=packed)
    out = write_product(tmp_path / f"out{suffix}", field)
    assert [p.name for p in tmp_path.iterdir()] == [out.name]
    source = open_source(out)
    xr.testing.assert_allclose(source.field.array.compute(), field, rtol=0, atol=1e-9)
    assert source.field.array.attrs == field.attrs
    assert source.field.array.lat.attrs == field.lat.attrs
    assert source.attrs["Conventions"] == "CF-1.8"
    raw = xr.open_dataset(out, decode_cf=False, engine="zarr" if suffix == ".zarr" else "netcdf4")
    assert raw.sst.dtype == ("int16" if packed else "float64")
    assert raw.time.dtype == "float64"
    for name in ("time", "lat", "lon", "depth"):
        assert "_FillValue" not in raw[name].attrs
    if packed:
        assert raw.sst.values[0, 0, 1] == -32768


def test_packed_values_come_back_bit_for_bit(tmp_path):
    field = film(packed=True)
    field.to_netcdf(tmp_path / "source.nc")
    source = open_field(tmp_path / "source.nc")
    out = write_dataset(source.to_dataset(), tmp_path / "copy.zarr")
    np.testing.assert_array_equal(open_field(out).values, source.values)


@pytest.mark.parametrize("value", [5000.0, -5000.0, -32768 * 0.01 + 273.15])
def test_values_beyond_a_packing_are_refused_and_not_clipped(tmp_path, value):
    """Also a value whose code means missing."""
    field = film(packed=True)
    field[0, 1, 1] = value
    with pytest.raises(InputError, match="sst holds .* for which its encoding as int16 has no number"):
        write_product(tmp_path / "out.zarr", field)


def test_gaps_in_integers_without_a_fill_value_are_refused(tmp_path):
    field = film(packed=True)
    del field.encoding["_FillValue"]
    with pytest.raises(InputError, match="sst has gaps, and its encoding as int16 has no fill value"):
        write_product(tmp_path / "out.zarr", field)


def test_the_unsigned_attribute_becomes_an_unsigned_type(tmp_path):
    field = film()
    field.encoding = {"dtype": "int8", "_Unsigned": "true", "scale_factor": 1.0, "add_offset": 200.0}
    field.encoding["_FillValue"] = np.int8(-1)
    with xr.open_zarr(write_product(tmp_path / "out.zarr", field)) as back:
        np.testing.assert_allclose(back.sst, field.round(), atol=0.51)


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_calendars_are_kept(tmp_path, suffix):
    times = xr.date_range("2004-02-27", periods=5, calendar="noleap", use_cftime=True).tolist()
    back = open_field(write_product(tmp_path / f"out{suffix}", film(times=times)))
    assert back.time.values.tolist() == times
    assert back.time.dt.calendar == "noleap"


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
@pytest.mark.parametrize("units", ["months since 2000-01-01", "hr since 2000-01-01"])
def test_times_in_units_that_cannot_be_written_get_others(tmp_path, suffix, units):
    numbers = xr.DataArray(np.arange(5.0), dims="time", attrs={"units": units, "calendar": "360_day"})
    dataset = xr.decode_cf(xr.Dataset({"sst": (("time", "y", "x"), np.zeros((5, 2, 2)))}, coords={"time": numbers}))
    out = tmp_path / f"out{suffix}"
    write_dataset(dataset, out)
    back = xr.open_dataset(out, engine="zarr" if suffix == ".zarr" else "netcdf4")
    np.testing.assert_array_equal(back.time.values, dataset.time.values)
    assert back.time.dt.calendar == "360_day"


def test_a_grid_mapping_is_kept_and_dangling_bounds_are_not(tmp_path):
    field = film().assign_coords(crs=xr.DataArray(0, attrs={"grid_mapping_name": "latitude_longitude"}))
    field.encoding["grid_mapping"] = "crs"
    field.lat.attrs["bounds"] = "lat_bnds"
    out = write_dataset(field.to_dataset(), tmp_path / "out.nc")
    raw = xr.open_dataset(out, decode_cf=False)
    assert raw.sst.attrs["grid_mapping"] == "crs"
    assert "bounds" not in raw.lat.attrs
    assert raw.crs.attrs["grid_mapping_name"] == "latitude_longitude"


def test_flags_keep_their_type_in_netcdf(tmp_path):
    flags = xr.DataArray(np.zeros((4, 6), np.int8), dims=("y", "x"), name="source")
    flags.attrs = {"flag_values": np.array([0, 1], np.int8), "flag_meanings": "observed filled"}
    write_dataset(flags.to_dataset(), tmp_path / "flags.nc")
    with netCDF4.Dataset(tmp_path / "flags.nc") as file:
        assert file["source"].flag_values.dtype == file["source"].dtype == np.int8


def test_band_names_in_netcdf_can_be_read_repeatedly(tmp_path):
    """Strings crash the NetCDF library when a file is opened repeatedly; characters do not."""
    bands = xr.Dataset({"image": (("band", "y", "x"), np.ones((3, 4, 5), "f4"))}, {"band": ["red", "grün", "blue"]})
    path = write_dataset(bands, tmp_path / "bands.nc")
    with netCDF4.Dataset(path) as file:
        assert file["band"].dtype == "S1"
    for _ in range(9):
        assert xr.open_dataset(path).band.values.tolist() == ["red", "grün", "blue"]


def test_chunks_of_zeros_are_on_disk(tmp_path):
    out = write_dataset(xr.zeros_like(film()).astype("uint8").to_dataset(name="source"), tmp_path / "out.zarr")
    assert (out / "source" / "c" / "0" / "0" / "0").exists()
