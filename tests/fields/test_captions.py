"""Tests of the text of figures: name, unit and date of a field."""

import numpy as np
import pytest
import xarray as xr

from geogan.fields.captions import colour_bar_label, date_title, display_units, is_anomaly, outside_label


@pytest.mark.parametrize(
    ("stored", "displayed"),
    [
        ("degree_Celsius", "°C"),
        ("deg C", "°C"),
        ("Kelvin", "K"),
        ("mg m-3", "mg m⁻³"),
        ("1", ""),
        ("", ""),
        ("m^2/s", "m²/s"),
        ("kg m**-2 s-1", "kg m⁻² s⁻¹"),
        ("degC day-1", "°C day⁻¹"),
        ("umol kg-1", "µmol kg⁻¹"),
        ("1e-3", "10⁻³"),
        ("percent", "%"),
        ("log10(mg m-3)", "log₁₀(mg m⁻³)"),
        ("mm/h", "mm/h"),
    ],
)
def test_units_are_displayed_in_their_usual_form(stored, displayed):
    assert display_units(xr.DataArray(0.0, attrs={"units": stored})) == displayed


def test_a_label_is_the_long_or_standard_name_with_the_unit():
    field = xr.DataArray(0.0, name="sst", attrs={"standard_name": "sea_surface_temperature", "units": "K"})
    assert colour_bar_label(field) == "sea surface temperature [K]"
    assert colour_bar_label(field.assign_attrs(long_name="skin temperature")) == "skin temperature [K]"
    assert colour_bar_label(xr.DataArray(0.0, name="ndvi")) == "ndvi"


def test_the_date_has_an_hour_unless_it_is_midnight(a_field):
    field = a_field(dates=1).isel(time=0)
    assert date_title(field) == "2019-03-01"
    assert date_title(field.assign_coords(time=np.datetime64("2019-03-01T06:30", "ns"))) == "2019-03-01 06:30"
    assert date_title(field.drop_vars("time").assign_coords(sample=7)) == "sample 7"
    assert date_title(field.drop_vars("time")) == ""


def test_names_identify_anomalies_and_marine_fields():
    anomaly = xr.DataArray(0.0, name="sst_anomaly")
    assert is_anomaly(anomaly) and not is_anomaly(xr.DataArray(0.0, name="sst"))
    assert outside_label(anomaly) == "land" and outside_label(xr.DataArray(0.0, name="ndvi")) == "outside the domain"
