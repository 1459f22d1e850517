"""The variable is told where there is but one, else asked for."""

import pytest
import xarray as xr

from geogan.io import choose_variable, open_field
from geogan.operators.errors import InputError


def test_the_variable_is_told_or_asked_for(tmp_path, film):
    dataset = film()
    dataset["sst_error"] = dataset.sst * 0.1
    dataset.to_netcdf(tmp_path / "a.nc")
    with pytest.raises(InputError, match="several gridded variables, sst, sst_error; choose one"):
        open_field(tmp_path / "a.nc")
    with pytest.raises(InputError, match="has no variable 'ssh'; it has sst, sea_mask, sst_error"):
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
    with pytest.raises(InputError, match="several gridded variables, sst, sst_std"):
        choose_variable(filled.drop_vars("sst_source"))
    with pytest.raises(InputError, match="the dataset has no variable 'ice'"):
        choose_variable(filled, "ice")
