"""A figure calls a field by its name, unit and date."""

import numpy as np
import pytest
import xarray as xr

from geogan.plotting.captions import date_of, is_anomaly, label_of, outside_of, units_of


@pytest.mark.parametrize(
    ("stored", "written"),
    [("degree_Celsius", "°C"), ("deg C", "°C"), ("Kelvin", "K"), ("mg m-3", "mg m-3"), ("1", ""), ("", "")],
)
def test_units_are_written_as_people_write_them(stored, written):
    assert units_of(xr.DataArray(0.0, attrs={"units": stored})) == written


def test_a_label_is_the_name_for_people_with_its_unit():
    field = xr.DataArray(0.0, name="sst", attrs={"standard_name": "sea_surface_temperature", "units": "K"})
    assert label_of(field) == "sea surface temperature [K]"
    assert label_of(field.assign_attrs(long_name="skin temperature")) == "skin temperature [K]"
    assert label_of(xr.DataArray(0.0, name="ndvi")) == "ndvi"


def test_the_date_has_its_hour_where_that_is_not_midnight(a_field):
    field = a_field(dates=1).isel(time=0)
    assert date_of(field) == "2019-03-01"
    assert date_of(field.assign_coords(time=np.datetime64("2019-03-01T06:30", "ns"))) == "2019-03-01 06:30"
    assert date_of(field.drop_vars("time").assign_coords(sample=7)) == "sample 7"
    assert date_of(field.drop_vars("time")) == ""


def test_names_tell_anomalies_and_what_is_outside():
    anomaly = xr.DataArray(0.0, name="sst_anomaly")
    assert is_anomaly(anomaly) and not is_anomaly(xr.DataArray(0.0, name="sst"))
    assert outside_of(anomaly) == "land" and outside_of(xr.DataArray(0.0, name="ndvi")) == "outside the domain"
