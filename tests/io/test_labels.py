"""Latitudes, longitudes and dates are found among the variables of a file."""

import numpy as np
import pytest
import xarray as xr
from runs import QUICK, make_reconstructor

from geogan.archive import check_field
from geogan.fields.field import Field
from geogan.fields.measured import choose_variable
from geogan.io import as_field, open_field
from geogan.io.labels import with_coordinates
from geogan.operators.errors import InputError

LAT, LON = np.linspace(40, 42, 9), np.linspace(0, 2, 10)
START = np.datetime64("2001-01-28T06", "ns")
DATES = START + np.arange(6) * np.timedelta64(1, "D")
NUMBERS = [int(str(date)[:10].replace("-", "")) for date in DATES]


def film(times, *, time="time", y="lat", x="lon"):
    values = np.random.default_rng(0).normal(15, 2, (6, 9, 10))
    for step in range(6):
        values[step, 2:5, step : step + 4] = np.nan
    return xr.Dataset({"sst": ((time, y, x), values.astype("f4"), {"units": "degC"})} | times)


TIMES = {
    "whole numbers": {"time": ("time", np.array(NUMBERS, "i4"))},
    "with units": {"time": ("time", np.array(NUMBERS, "i4"), {"units": "YYYYMMDD"})},
    "cdo": {"time": ("time", np.array(NUMBERS) + 0.25, {"units": "day as %Y%m%d.%f", "calendar": "standard"})},
    "text": {"Times": ("time", np.array([f"{str(date)[:10]}_06:00:00" for date in DATES], "S19"))},
    "a variable": {"XTIME": ("time", np.arange(6.0) * 1440, {"units": "minutes since 2001-01-28T06:00"})},
    "yyyymmdd": {"yyyymmdd": ("time", np.array(NUMBERS, "i8"))},
    "hours": {"time": ("time", np.array([number * 100 + 6 for number in NUMBERS], "i8"))},
}


@pytest.mark.parametrize("kind", TIMES)
@pytest.mark.parametrize("container", ["nc", "v2", "v3", "several", "memory", "array"])
def test_dates_are_found_and_decoded(tmp_path, kind, container):
    dataset = film(TIMES[kind])
    if container == "nc":
        dataset.to_netcdf(tmp_path / "a.nc")
        field = open_field(tmp_path / "a.nc")
    elif container in ("v2", "v3"):
        dataset.to_zarr(tmp_path / "a.zarr", zarr_format=int(container[1]))
        field = open_field(tmp_path / "a.zarr")
    elif container == "several":
        dataset.isel(time=slice(0, 3)).to_netcdf(tmp_path / "b.nc")
        dataset.isel(time=slice(3, 6)).to_netcdf(tmp_path / "a.nc")
        field = open_field(tmp_path / "*.nc")
    elif container == "memory":
        field = as_field(xr.decode_cf(dataset)).array
    else:
        field = as_field(with_coordinates(xr.decode_cf(dataset)).sst).array
    known = Field.of(field)
    hour = 6 if kind not in ("whole numbers", "with units", "yyyymmdd") else 0
    wanted = (START.astype("M8[D]") - np.datetime64("1970-01-01")).astype(int) + hour / 24 + np.arange(6)
    np.testing.assert_allclose(known.days, wanted, atol=1e-6)
    np.testing.assert_allclose(known.day_of_year, 27 + hour / 24 + np.arange(6), atol=1e-6)
    assert field.indexes["time"][4].strftime("%Y-%m-%d") == "2001-02-01"
    survey = check_field(known)
    assert str(survey.first).startswith("2001-01-28") and str(survey.last).startswith("2001-02-02")


def test_days_of_an_array_that_was_not_opened():
    field = film(TIMES["whole numbers"]).set_coords("time").sst
    assert np.diff(Field.of(field).days).tolist() == [1.0] * 5


@pytest.mark.parametrize("kind", TIMES)
def test_the_product_has_a_proper_time(tmp_path, kind):
    film(TIMES[kind]).to_netcdf(tmp_path / "a.nc")
    field = open_field(tmp_path / "a.nc")
    model = make_reconstructor(
        "observed_gaps", window=1, width=4, crop=8, batch=2, steps=1, precision="float32", **QUICK
    )
    filled = model.fit(field).fill(field)
    assert filled.time.dtype.kind == "M" and str(filled.time.values[4]).startswith("2001-02-01")
    filled.compute().to_netcdf(tmp_path / "filled.nc")
    raw = xr.open_dataset(tmp_path / "filled.nc", decode_cf=False)
    assert " since " in raw.time.attrs["units"]


@pytest.mark.parametrize("as_coordinates", [True, False])
@pytest.mark.parametrize(
    ("lat", "lon"),
    [("XLAT", "XLONG"), ("lat", "lon"), ("nav_lat", "nav_lon"), ("TLAT", "TLONG"), ("lat_rho", "lon_rho"),
     ("gphit", "glamt"), ("Latitude", "Longitude")],
)  # fmt: skip
def test_places_among_the_variables_are_coordinates(tmp_path, lat, lon, as_coordinates):
    bent = {
        lat: (("y", "x"), LAT[:, None] + 0.01 * np.arange(10)),
        lon: (("y", "x"), LON + 0.01 * np.arange(9)[:, None]),
    }
    dataset = film(TIMES["with units"] | bent, y="y", x="x")
    dataset = dataset.set_coords([lat, lon]) if as_coordinates else dataset
    dataset.to_netcdf(tmp_path / "a.nc")
    field = open_field(tmp_path / "a.nc")
    assert field.name == "sst" and {lat, lon} <= set(field.coords)
    south = (
        dataset.assign({lat: dataset[lat] - 70})
        .isel(time=slice(0, 3))
        .assign(time=("time", [20020101, 20020102, 20020103]))
    )
    south.to_netcdf(tmp_path / "b.nc")
    with pytest.raises(InputError, match=r"b\.nc is on another grid"):
        open_field([tmp_path / "a.nc", tmp_path / "b.nc"])
    assert as_field(dataset).array.name == "sst"


def test_other_variables_stay_variables():
    dataset = film({"time": ("time", DATES), "latent_heat": (("time", "lat", "lon"), np.ones((6, 9, 10)))})
    dataset["date_quality"] = ("time", np.arange(6))
    assert set(with_coordinates(dataset).data_vars) == {"sst", "latent_heat", "date_quality"}
    with pytest.raises(InputError, match="several gridded variables, sst, latent_heat"):
        choose_variable(with_coordinates(dataset))
