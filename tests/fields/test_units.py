"""One unit has many spellings; two units are never taken for one."""

import itertools

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from geogan.fields.field import Field
from geogan.fields.observation_error import observation_error
from geogan.fields.units import canonical_units, check_units, same_units
from geogan.io import open_field
from geogan.operators.errors import InputError

ONE = [
    ["degC", "deg C", "deg_C", "degree_C", "degrees_C", "celsius", "Celsius", "degree Celsius", "degree_Celsius",
     "degrees Celsius", "degrees_celsius", "°C", "℃", "C", "DegC", "degrees C", "deg. C"],
    ["K", "kelvin", "Kelvin", "degK", "degree_kelvin", "degrees kelvin", "deg K"],
    ["mg m-3", "mg m^-3", "mg m**-3", "mg/m3", "mg/m^3", "mg m⁻³", "mg·m-3", "mg.m-3", "milligram m-3", " mg  m-3 ",
     "mg m^(-3)", "m-3 mg", "milligrams per metre3"],
    ["m s-1", "m/s", "m s^-1", "meters/second", "metre per second", "m.s-1", "metres second-1"],
    ["kg m-2 s-1", "kg/m2/s", "kg/(m2 s)", "kg m**-2 s**-1"],
    ["%", "percent", "Percent", "pct", "percentage"],
    ["1", "", "dimensionless", "unitless", "-", "none", "fraction", "m3 m-3", "1.0"],
    ["1e-3", "psu", "PSU", "0.001", "10^-3", "g kg-1 g-1 kg 1e-3"],
    ["hPa", "mbar", "millibar", "hectopascal", "mb"],
    ["mm/day", "mm day-1", "mm d-1", "millimeters per day", "millimetre/day"],
    ["um", "µm", "μm", "micrometer", "micron"],
    ["degree", "degrees", "deg", "°"],
    ["dBZ", "dbz"],
    ["m2", "m^2", "m²", "metre2"],
    ["s", "sec", "seconds"], ["m"], ["mm"], ["cm"], ["km"], ["g"], ["kg"], ["Pa"], ["degF", "fahrenheit"], ["m-1"],
    ["W m-2", "watt/m^2"], ["mW m-2"], ["MW m-2"], ["days since 2001-01-01"], ["mol m-3"], ["rad"], ["dB"],
]  # fmt: skip


def test_spellings_of_one_unit_are_one():
    for group in ONE:
        for one, other in itertools.combinations(group, 2):
            assert same_units(one, other), (one, other, canonical_units(one), canonical_units(other))


def test_units_that_differ_differ():
    for group, rest in itertools.combinations(ONE, 2):
        for one, other in itertools.product(group, rest):
            assert not same_units(one, other), (one, other, canonical_units(one))


@given(st.text(max_size=40))
def test_any_text_is_itself(text):
    assert same_units(text, text) and same_units(text, f" {text} ")


def maps(units):
    return xr.DataArray(np.ones((3, 2)), dims=("y", "x"), name="sst", attrs={} if units is None else {"units": units})


def test_fields_of_one_name_are_refused():
    check_units([maps("degC"), maps("celsius")], ["a.nc", "b.nc"])
    check_units([maps("1"), maps(None)], ["a.nc", "b.nc"])
    with pytest.raises(InputError, match=r"sst of b.nc is in K, of a.nc in degC; convert one of them, and state its"):
        check_units([maps("degC"), maps("K")], ["a.nc", "b.nc"])
    with pytest.raises(InputError, match=r"sst of b.nc is in no units, of a.nc in degC"):
        check_units([maps("degC"), maps(None)], ["a.nc", "b.nc"])


def test_an_error_has_the_units_of_its_field():
    assert observation_error(Field.of(maps("degree_Celsius")), error=maps("degC")).shape == (1, 1, 3, 2)
    with pytest.raises(InputError, match="is in K, sst in degC"):
        observation_error(Field.of(maps("degC")), error=maps("K"))


@pytest.mark.parametrize("kind", ["nc", "zarr"])
def test_files_in_other_units_are_refused_and_spellings_are_not(tmp_path, kind, film, to_store):
    def write(name, start, units):
        sea = film(start=start)
        sea["sst"].attrs = {} if units is None else {"units": units}
        path = tmp_path / f"{name}.{kind}"
        sea.to_netcdf(path) if kind == "nc" else to_store(sea, path)
        return path

    first, second = write("a", "2001-06-01", "degree_Celsius"), write("b", "2001-07-01", "degC")
    field = open_field([first, second])
    assert field.sizes["time"] == 12 and field.attrs["units"] == "degree_Celsius"
    kelvin, bare = write("k", "2001-08-01", "K"), write("n", "2001-09-01", None)
    with pytest.raises(InputError, match=r"sst of .*k\.\w+ is in K, of .*a\.\w+ in degree_Celsius; convert one"):
        open_field([first, second, kelvin])
    with pytest.raises(InputError, match=r"n\.\w+ is in no units, of .*a\.\w+ in degree_Celsius"):
        open_field([first, bare])
