"""The corrupted store is the source with gaps: masks, attributes, packing and history go with it."""

import numpy as np
import pytest
import xarray as xr

from geogan.corruption import corrupt as make_gappy
from geogan.fields.synthetic import synthetic_sst
from geogan.io import open_domain, open_field
from geogan.operators.errors import InputError
from geogan.pipelines.corrupt import corrupt


@pytest.fixture(scope="module")
def sea():
    return synthetic_sst(days=6, size=(24, 30), seed=2)


@pytest.fixture
def truth(sea, tmp_path):
    path = tmp_path / "truth.nc"
    packing = {"dtype": "int16", "scale_factor": 0.001, "add_offset": 15.0, "_FillValue": -32768}
    sea.assign_attrs(history="born").to_netcdf(path, encoding={"sst": packing})
    return path


@pytest.mark.parametrize("ending", ["zarr", "nc"])
def test_the_source_with_gaps(truth, tmp_path, ending):
    path = corrupt(truth, tmp_path / f"gappy.{ending}", operator=["cloud_mask:coverage=0.4,scale=5"], seed=4)
    field, original = open_field(path), open_field(truth)
    expected = make_gappy(original, "cloud_mask:coverage=0.4,scale=5", seed=4)
    xr.testing.assert_allclose(field.compute(), expected.compute(), atol=1e-5)
    assert field.encoding["dtype"] == np.int16 and field.encoding["scale_factor"] == 0.001
    assert {key: field.attrs[key] for key in original.attrs} == original.attrs
    np.testing.assert_array_equal(open_domain(path, "sea_mask", field), open_domain(truth, "sea_mask", original))
    with xr.open_dataset(path) as written, xr.open_dataset(truth) as source:
        before, line = written.attrs["history"].split("\n")
        assert before == "born" and "geogan corrupt" in line and "--seed=4" in line and str(truth) in line
        assert written.attrs["title"] == source.attrs["title"]


def test_dates_are_chosen_and_hidden_as_before(truth, tmp_path):
    whole = open_field(corrupt(truth, tmp_path / "a.zarr", operator="cloud_mask"))
    part = open_field(corrupt(truth, tmp_path / "b.zarr", operator="cloud_mask", time="2015-01-03/2015-01-04"))
    xr.testing.assert_equal(part.compute(), whole[2:4].compute())


def test_what_is_refused_leaves_nothing(truth, tmp_path):
    out = tmp_path / "gappy.zarr"
    for change, words in [
        ({"data": tmp_path / "no.nc"}, "does not exist"),
        ({"operator": "clouds"}, "no operator is named 'clouds'"),
        ({"operator": "cloud_mask:cover=1"}, "has no parameter 'cover'"),
        ({"operator": "cloud_mask:coverage=2"}, r"must lie in \(0, 1\)"),
        ({"variable": "salt"}, "has no variable 'salt'"),
        ({"time": "someday"}, "is not understood"),
        ({"out": tmp_path / "gappy.csv"}, "must end in .zarr or .nc"),
    ]:
        with pytest.raises(InputError, match=words):
            corrupt(**{"data": truth, "out": out} | change)
        assert not out.exists()
    corrupt(truth, out)
    with pytest.raises(InputError, match="exists; give another name"):
        corrupt(truth, out)
    corrupt(truth, out, overwrite=True)


def test_a_channel_wise_operator_on_one_band_says_what_it_is(tmp_path):
    from io import StringIO

    from rich.console import Console

    from geogan.fields.synthetic import synthetic_sst

    synthetic_sst(days=2, size=16).to_netcdf(tmp_path / "truth.nc")
    said = Console(file=StringIO(), width=100)
    corrupt(tmp_path / "truth.nc", tmp_path / "gappy.nc", operator="remove_pixel_channel:p=0.5", console=said)
    assert "of one band, remove_pixel_channel is remove_pixel" in said.file.getvalue()


@pytest.mark.parametrize("suffix", ["zarr", "nc"])
@pytest.mark.parametrize("scale", [0.001, np.float32(0.001)])
@pytest.mark.parametrize("operator", ["remove_pixel:p=0.3", "convolve_noise"])
def test_nothing_is_clipped_or_rounded(sea, tmp_path, suffix, scale, operator):
    """Noise and blur have no room in a tight packing; a store does not keep the type of a scale."""
    middle = type(scale)(float(sea.sst.median()))
    packing = {"dtype": "int16", "scale_factor": scale, "add_offset": middle, "_FillValue": -32768}
    sea[["sst"]].to_netcdf(tmp_path / "sea.nc", encoding={"sst": packing})
    out = corrupt(tmp_path / "sea.nc", tmp_path / f"out.{suffix}", operator=operator)
    field = open_field(tmp_path / "sea.nc")
    expected = make_gappy(field, operator).compute()
    found = open_field(out, variable="sst").compute()
    np.testing.assert_array_equal(found.values, expected.values)
    is_kept = operator == "remove_pixel:p=0.3" and (suffix == "nc" or isinstance(scale, float))
    assert (np.dtype(found.encoding["dtype"]).kind == "i") == is_kept
