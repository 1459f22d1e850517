"""Whole numbers that stand for values, and what each reader makes of them."""

import netCDF4
import numpy as np
import pytest
import xarray as xr

from geogan.fields.codes import Codes
from geogan.operators.errors import InputError


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32"])
@pytest.mark.parametrize(
    ("scale", "offset"),
    [
        (None, None), (0.01, None), (np.float32(0.01), None), (None, 5.5), (0.5, 273.15), (1.0, 0.0), (0.1, 0.0),
        (np.float32(0.1), np.float32(20)), (np.float32(0.1), np.float32(0)), (-0.02, 1.0),
    ],
)  # fmt: skip
def test_readers_of_real_files_see_what_is_said(tmp_path, dtype, scale, offset):
    codes = Codes(np.dtype(dtype), scale, offset, int(np.iinfo(dtype).max))
    numbers = np.array([1, 2, 3, 100, 0, codes.ends[0] + 1, codes.ends[1] - 2, codes.fill], dtype)
    stored = xr.Dataset({"sst": ("x", numbers, codes.attrs)})
    stored.to_netcdf(tmp_path / "a.nc")
    stored.to_zarr(tmp_path / "a.zarr", zarr_format=3)
    for container, path in (("netcdf", "a.nc"), ("zarr", "a.zarr")):
        with xr.open_dataset(tmp_path / path, engine="zarr" if container == "zarr" else None) as back:
            said = codes.read(numbers, container)
            assert said.dtype == back.sst.dtype and said.tobytes() == back.sst.values.tobytes()
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        found = file["sst"][:]
        np.testing.assert_array_equal(np.ma.getmaskarray(found), numbers == codes.fill)
        np.testing.assert_array_equal(np.ma.getdata(found)[:-1], codes.read_by_netcdf4(numbers)[:-1])


def test_each_value_gets_the_nearest_code():
    codes = Codes(np.dtype("int16"), 0.01, 273.15, -32768)
    values = np.random.default_rng(0).uniform(0, 500, 1000)
    packed = codes.pack(values, "sst")
    assert packed.dtype == np.int16 and np.abs(codes.read(packed, "zarr") - values).max() <= 0.005 + 1e-9
    assert codes.pack(np.array([np.nan]), "sst").tolist() == [-32768]


@pytest.mark.parametrize(
    ("codes", "value", "words"),
    [
        (Codes(np.dtype("int16"), 0.01, None, -1), 400.0, "sst holds 400"),
        (Codes(np.dtype("int16"), 0.01, None, -1), -400.0, "sst holds -400"),
        (Codes(np.dtype("int16"), 0.01, None, -1), -0.01, "sst holds -0.01"),
        (Codes(np.dtype("uint8"), None, None, 255), 255.0, "sst holds 255"),
        (Codes(np.dtype("uint8"), None, None, 255), -1.0, "sst holds -1"),
        (Codes(np.dtype("int64"), None, None, 0), 2.0**63, "sst holds 9.22337e"),
        (Codes(np.dtype("uint64"), None, None, 0), 2.0**64, "sst holds 1.84467e"),
        (Codes(np.dtype("int16"), 0.01, None, None), np.nan, "sst has gaps"),
        (Codes(np.dtype("int16"), 0.01, None, -1), np.inf, "sst holds inf"),
    ],
)
def test_what_no_code_stands_for_is_refused(codes, value, words):
    with pytest.raises(InputError, match=words):
        codes.pack(np.array([1.0, value]), "sst")


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ({"dtype": "int16", "_Unsigned": "true"}, np.uint16),
        ({"dtype": "uint8", "_Unsigned": "false"}, np.int8),
        ({"dtype": ">i4", "scale_factor": [0.1]}, np.int32),
        ({"dtype": "int16", "scale_factor": np.array([2])}, np.int16),
    ],
)
def test_encodings_are_read_as_they_are_meant(encoding, expected):
    codes = Codes.of(encoding)
    assert codes.dtype == expected and codes.dtype.isnative and isinstance(codes.slope[0], float)


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ({"dtype": "float32"}, "not stored as integers"),
        ({}, "not stored as integers"),
        ({"dtype": "no type"}, "type is unknown"),
        ({"dtype": "int16", "scale_factor": "a tenth"}, "is not one number"),
        ({"dtype": "int16", "add_offset": [1.0, 2.0]}, "is not one number"),
        ({"dtype": "int16", "scale_factor": np.nan}, "is not one number"),
        ({"dtype": "int16", "scale_factor": 0.0}, "is 0"),
    ],
)
def test_what_is_no_packing_says_why(encoding, words):
    assert words in Codes.of(encoding)
