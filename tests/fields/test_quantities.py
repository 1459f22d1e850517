"""Attributes of a quantity are compared with its values."""

import numpy as np
import pytest
import xarray as xr

from geogan.fields.quantities import full_turn, is_direction, proposed_transform
from geogan.pipelines.info import info


def field(name="x", encoding=None, **attrs):
    array = xr.DataArray(0.0, name=name, attrs=attrs)
    array.encoding = encoding or {}
    return array


@pytest.mark.parametrize(
    ("given", "extremes", "transform"),
    [
        (field(standard_name="sea_ice_area_fraction", units="1"), (0.0, 1.0), "bounded:0,1"),
        (field(standard_name="sea_ice_area_fraction"), (0.0, 0.9), "bounded:0,1"),
        (field("siconc", units="%"), (0.0, 100.0), "bounded:0,100"),
        (field("ice_conc", long_name="sea ice concentration"), (3.0, 98.0), "bounded:0,100"),
        (field("cloud_cover", units="percent"), (0.0, 100.0), "bounded:0,100"),
        (field("sm", standard_name="volume_fraction_of_condensed_water_in_soil", units="m3 m-3"), (0.02, 0.6),
         "bounded:0,1"),
        (field(standard_name="relative_humidity", units="%"), (5.0, 100.0), "bounded:0,100"),
        (field("z", valid_min=0.0, valid_max=1.0), (0.1, 0.8), "bounded:0,1"),
        (field("z", encoding={"scale_factor": 0.01}, valid_range=np.array([0, 100], "i2")), (0.1, 0.8), "bounded:0,1"),
        (field(standard_name="sea_ice_area_fraction", units="1"), (-0.2, 1.0), None),
        (field("rain", units="mm h-1"), (0.0, 80.0), "bounded:0,inf"),
        (field(standard_name="precipitation_flux", units="kg m-2 s-1"), (0.0, 1e-3), "bounded:0,inf"),
        (field("rain", units="mm h-1"), (-1.0, 80.0), None),
        (field(standard_name="mass_concentration_of_chlorophyll_a_in_sea_water", units="mg m-3"), (0.01, 30.0), "log"),
        (field("chlor_a", units="mg m^-3"), (0.0, 30.0), "bounded:0,inf"),
        (field(standard_name="mole_fraction_of_carbon_dioxide_in_air", units="1"), (3e-4, 4e-4), None),
        (field("sst", standard_name="sea_surface_temperature", valid_range=[270, 310]), (271.0, 305.0), None),
        (field("sst", units="degree_Celsius", valid_range="none"), (-1.0, 1.0), None),
        (field("ndvi", units="1", valid_range=[-1.0, 1.0]), (-0.2, 0.9), None),
    ],
)  # fmt: skip
def test_what_is_proposed(given, extremes, transform):
    found = proposed_transform(given, *extremes)
    assert (found and found[0]) == transform


@pytest.mark.parametrize(
    ("given", "known", "by_name"),
    [
        (field("wdir", standard_name="wind_from_direction", units="degree"), True, True),
        (field("mwd", standard_name="sea_surface_wave_from_direction", units="degrees"), True, True),
        (field("d", standard_name="sea_surface_primary_swell_wave_to_direction", units="rad"), True, True),
        (field("wdir", units="degrees_true"), False, True),
        (field("d", long_name="mean wave direction", units="degrees"), False, True),
        (field("wdir", standard_name="wind_from_direction", units="m s-1"), False, False),
        (field("lat", standard_name="latitude", units="degrees_north"), False, False),
        (field("slope", units="degrees"), False, False),
    ],
)
def test_directions_are_known(given, known, by_name):
    assert (is_direction(given), is_direction(given, by_name=True)) == (known, by_name)
    if by_name:
        assert full_turn(given) == pytest.approx(2 * np.pi if given.units == "rad" else 360)


def test_info_proposes_a_transform(tmp_path):
    values = np.random.default_rng(0).uniform(0, 1, (6, 9, 10)).astype("f4")
    values[values < 0.3] = np.nan
    dims, ice = ("time", "lat", "lon"), {"standard_name": "sea_ice_area_fraction", "units": "1"}
    sea = xr.Dataset({"siconc": (dims, values, ice), "sst": (dims, values + 3, {"units": "K"})})
    sea[["siconc"]].to_netcdf(tmp_path / "ice.nc")
    found = info(tmp_path / "ice.nc")
    assert found["variable"]["transform"] == "try --transform bounded:0,1 (a share)"
    assert " --transform bounded:0,1 " in found["next"]
    sea[["sst"]].to_netcdf(tmp_path / "sst.nc")
    assert "transform" not in info(tmp_path / "sst.nc")["variable"]
    sea.to_netcdf(tmp_path / "both.nc")
    both = info(tmp_path / "both.nc", variable="sst,siconc")
    assert " --transform none,bounded:0,1 " in both["next"] and "transform" in both["variable siconc"]
