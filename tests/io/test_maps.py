"""Maps stored with a field are on its grid."""

import re

import numpy as np
import pytest

from geogan.fields.field import Field
from geogan.io import open_field, open_masks, variable_names
from geogan.io.maps import open_domain
from geogan.operators.errors import InputError


def test_a_domain_is_read_on_the_grid_of_the_field(tmp_path, film):
    dataset = film()
    dataset["land"] = 1.0 - dataset.sea_mask
    dataset["both"] = dataset.sea_mask * 2
    dataset["none"] = dataset.sea_mask * 0
    dataset.to_netcdf(tmp_path / "a.nc")
    field = open_field(tmp_path / "a.nc", variable="sst")
    like = Field.of(field)
    domain = open_domain(tmp_path / "a.nc", "sea_mask", like)
    np.testing.assert_array_equal(domain, dataset.sea_mask == 1)
    for name, words in [
        ("both", "holds values other than 1 .sea. and 0 .land."),
        ("none", "is 0 everywhere"),
        ("sst", "where .* is expected; name a variable without time"),
        ("ice", "has no variable 'ice'"),
    ]:
        with pytest.raises(InputError, match=words):
            open_domain(tmp_path / "a.nc", name, like)
    with pytest.raises(InputError, match=r"where the grid of .* is expected \("):
        open_domain(tmp_path / "a.nc", "sea_mask", Field.of(field.isel(lat=slice(None, None, -1))))
    with pytest.raises(InputError, match=re.escape("on a grid of (5, 7), where the grid of")):
        open_domain(tmp_path / "a.nc", "sea_mask", Field.of(field.isel(lon=slice(3))))


def test_masks_come_with_a_field(tmp_path, film, to_store):
    dataset = film().assign(depth_mask=("lat", np.ones(5, "int8")), bathymetry=(("lat", "lon"), np.ones((5, 7))))
    path = to_store(dataset, tmp_path / "a.zarr")
    masks = open_masks(path, Field.of(open_field(path, variable="sst")))
    assert list(masks) == ["sea_mask"] and not masks.coords
    np.testing.assert_array_equal(masks.sea_mask, dataset.sea_mask)
    assert set(variable_names(path)) == {"sst", "sea_mask", "depth_mask", "bathymetry"}
