"""Tests of ``geogan corrupt``: the output keeps masks, attributes, packing and history of the source."""

from io import StringIO

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from geogan.corruption import corrupt as make_gappy
from geogan.fields.synthetic import synthetic_sst
from geogan.io import open_field
from geogan.io.maps import open_maps
from geogan.operators.errors import InputError
from geogan.pipelines.corrupt import CorruptOptions, corrupt


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
def test_the_output_is_the_source_with_gaps(truth, tmp_path, ending):
    path = corrupt(truth, tmp_path / f"gappy.{ending}", CorruptOptions(["cloud_mask:coverage=0.4,scale=5"], seed=4))
    field, original = open_field(path), open_field(truth)
    expected = make_gappy(original, "cloud_mask:coverage=0.4,scale=5", seed=4)
    xr.testing.assert_allclose(field.compute(), expected.compute(), atol=1e-5)
    assert field.encoding["dtype"] == np.int16 and field.encoding["scale_factor"] == 0.001
    assert {key: field.attrs[key] for key in original.attrs} == original.attrs
    np.testing.assert_array_equal(*(open_maps(file, ["sea_mask"]).sea_mask for file in (path, truth)))
    with xr.open_dataset(path) as written, xr.open_dataset(truth) as source:
        before, line = written.attrs["history"].split("\n")
        assert before == "born" and "geogan corrupt" in line and "--seed=4" in line and str(truth) in line
        assert written.attrs["title"] == source.attrs["title"]


def test_gaps_of_a_date_do_not_depend_on_the_dates_chosen(truth, tmp_path):
    whole = open_field(corrupt(truth, tmp_path / "a.zarr"))
    part = open_field(corrupt(truth, tmp_path / "b.zarr", CorruptOptions(time="2015-01-03/2015-01-04")))
    xr.testing.assert_equal(part.compute(), whole[2:4].compute())


def test_a_refusal_writes_nothing(truth, tmp_path):
    out = tmp_path / "gappy.zarr"
    for options, words in [
        ({"operator": "clouds"}, "no operator is named 'clouds'"),
        ({"operator": "cloud_mask:cover=1"}, "has no parameter 'cover'"),
        ({"operator": "cloud_mask:coverage=2"}, r"must lie in \(0, 1\)"),
        ({"variable": "salt"}, "has no variable 'salt'"),
        ({"time": "someday"}, "is not understood"),
    ]:
        with pytest.raises(InputError, match=words):
            corrupt(truth, out, CorruptOptions(**options))
        assert not out.exists()
    with pytest.raises(InputError, match="does not exist"):
        corrupt(tmp_path / "no.nc", out)
    with pytest.raises(InputError, match=r"must end in \.zarr or \.nc"):
        corrupt(truth, tmp_path / "gappy.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["truth.nc"]
    corrupt(truth, out)
    with pytest.raises(InputError, match="exists; give another name"):
        corrupt(truth, out)
    corrupt(truth, out, overwrite=True)


def test_a_note_on_a_channel_wise_operator_for_one_band(tmp_path):
    synthetic_sst(days=2, size=16).to_netcdf(tmp_path / "truth.nc")
    console = Console(file=StringIO(), width=100)
    corrupt(tmp_path / "truth.nc", tmp_path / "gappy.nc", CorruptOptions("remove_pixel_channel:p=0.5"), console=console)
    assert "with one band, remove_pixel_channel equals remove_pixel" in console.file.getvalue()


@pytest.mark.parametrize("suffix", ["zarr", "nc"])
@pytest.mark.parametrize("scale", [0.001, np.float32(0.001)])
@pytest.mark.parametrize("operator", ["remove_pixel:p=0.3", "convolve_noise"])
def test_no_value_is_clipped_or_rounded(sea, tmp_path, suffix, scale, operator):
    """Values with noise or blur do not fit the packing of the source; Zarr does not keep the type of a scale factor."""
    middle = type(scale)(float(sea.sst.median()))
    packing = {"dtype": "int16", "scale_factor": scale, "add_offset": middle, "_FillValue": -32768}
    sea[["sst"]].to_netcdf(tmp_path / "sea.nc", encoding={"sst": packing})
    out = corrupt(tmp_path / "sea.nc", tmp_path / f"out.{suffix}", CorruptOptions(operator))
    field = open_field(tmp_path / "sea.nc")
    expected = make_gappy(field, operator).compute()
    found = open_field(out, variable="sst").compute()
    np.testing.assert_array_equal(found.values, expected.values)
    is_kept = operator == "remove_pixel:p=0.3" and (suffix == "nc" or isinstance(scale, float))
    assert (np.dtype(found.encoding["dtype"]).kind == "i") == is_kept
