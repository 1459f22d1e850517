"""The variable is chosen if there is only one, and asked for otherwise."""

import pytest
import xarray as xr

from geogan.fields.measured import choose_variable
from geogan.io import open_field
from geogan.operators.errors import InputError


def test_the_variable_is_told_or_asked_for(tmp_path, film):
    dataset = film()
    dataset["chl"] = dataset.sst * 0.1
    dataset.to_netcdf(tmp_path / "a.nc")
    with pytest.raises(InputError, match="several gridded variables, sst, chl; choose one"):
        open_field(tmp_path / "a.nc")
    with pytest.raises(InputError, match="has no variable 'ssh'; it has sst, sea_mask, chl"):
        open_field(tmp_path / "a.nc", variable="ssh")
    xr.Dataset({"a": (("station",), [1.0, 2.0])}).to_netcdf(tmp_path / "b.nc")
    with pytest.raises(InputError, match="has no numeric variable on a grid of y and x; it has a"):
        open_field(tmp_path / "b.nc")
    with pytest.raises(InputError, match=r"'a' of .*b\.nc has the dimensions \('station',\), where a map"):
        open_field(tmp_path / "b.nc", variable="a")
    xr.Dataset({"a": (("p", "q"), [[1.0, 2.0]]), "s": (("y", "x"), [["a", "b"]])}).to_netcdf(tmp_path / "c.nc")
    with pytest.raises(InputError, match="none is known as y and x; rename"):
        open_field(tmp_path / "c.nc", variable="a")
    with pytest.raises(InputError, match="where numbers are expected"):
        open_field(tmp_path / "c.nc", variable="s")


def test_the_variable_of_a_filled_product(tmp_path, film):
    filled = film()
    filled["sst_source"] = filled.sst.notnull().astype("int8").assign_attrs(flag_values=[0, 1])
    filled["sst_std"] = filled.sst * 0
    assert choose_variable(filled) == "sst"
    assert choose_variable(filled, "sst_std") == "sst_std"
    with pytest.raises(InputError, match="the dataset has no variable 'ice'"):
        choose_variable(filled, "ice")


@pytest.mark.parametrize("name", ["sst_error", "sst_uncertainty", "sst_std", "precision"])
def test_uncertainties_and_observation_times_are_not_measured(film, name):
    dataset = film()
    dataset[name] = (dataset.sst * 0.1).assign_attrs(standard_name="sea_surface_temperature standard_error")
    dataset["t0"] = (dataset.sst * 0).assign_attrs(units="days since 1970-01-01")
    assert choose_variable(dataset) == "sst"
    assert choose_variable(dataset, name) == name


def test_an_uncertainty_alone_is_measured(film):
    assert choose_variable(film().rename(sst="sst_error")) == "sst_error"
