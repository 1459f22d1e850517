"""Attributes that leave missing values undefined, and different units, end in one sentence."""

import shutil

import netCDF4
import numpy as np
import pytest
import xarray as xr
from bad_input import CORRUPT, EVALUATE, FILL, INFO, TRAIN, case, every_reader, refused, sea


def stated(packed=None, **attrs):
    """Return a function that writes the gappy sea to ``bad.nc`` with raw attributes, packed if a type is given."""

    def make():
        shutil.copy("sst.nc", "bad.nc")
        if packed is not None:
            fill = np.iinfo(packed).max
            encoding = {"dtype": packed, "scale_factor": 0.2, "_FillValue": fill}
            sea().drop_encoding().to_netcdf("bad.nc", encoding={"sst": encoding})
        with netCDF4.Dataset("bad.nc", "a") as file:
            for name, value in attrs.items():
                file["sst"].setncattr(name, value)

    return make


def store(**attrs):
    """Return a function that writes ``bad.zarr`` with raw attributes."""

    def make():
        field = sea().drop_encoding()
        field["sst"] = field["sst"].fillna(-99)
        field["sst"].attrs |= attrs
        field.to_zarr("bad.zarr", consolidated=False)

    return make


def in_units(**units):
    """Return a function that writes ``bad.nc`` in other units, and with later dates if it follows the first file."""

    def make():
        field = sea()
        if units.get("later"):
            field = field.assign_coords(time=field.time + np.timedelta64(3650, "D"))
        field["sst"].attrs["units"] = units["to"]
        if not units["to"]:
            del field["sst"].attrs["units"]
        field.to_netcdf("bad.nc")

    return make


def error_in(units):
    """Return a function that writes ``bad.nc`` with an error variable in the given units."""

    def make():
        field = sea()
        field["sst_error"] = (field["sst"] * 0 + 0.1).assign_attrs(units=units)
        field.to_netcdf("bad.nc")

    return make


def all_missing():
    stated(valid_min=np.float64(1000))()


def netcdf_fills(name):
    """Write a field whose values are all the default fill value."""

    def make():
        field = sea().drop_encoding()
        field["sst"] = xr.full_like(field["sst"], netCDF4.default_fillvals["f8"])
        field.to_netcdf(name, encoding={"sst": {"_FillValue": None}})

    return make


SEVERAL = "bad.nc --data sst.nc"
CASES = [
    *every_reader("text", "bad.nc", "missing_value of variable", "'unknown'", make=stated(missing_value="unknown")),
    *every_reader("range-of-three", "bad.nc", "two numbers", make=stated(valid_range=np.array([0.0, 1.0, 2.0]))),
    *every_reader("no-value-valid", "bad.nc", "only gaps", "by valid_range", make=all_missing, but=("plot",)),
    case("range-upside-down", f"{INFO} bad.nc", "from 30 down to 2", make=stated(valid_min=30.0, valid_max=2.0)),
    case("range-as-text", f"{TRAIN} bad.nc", "valid_range", "'low to high'", make=stated(valid_range="low to high")),
    case("min-of-two", f"{FILL} bad.nc", "valid_min", "one number", make=stated(valid_min=np.array([1.0, 2.0]))),
    case("fraction-of-a-whole", f"{FILL} bad.nc", "-9.99", "int16", make=stated("i2", missing_value=-9.99)),
    case("of-the-other-sign", f"{INFO} bad.nc", "65535", "int16", make=stated("i2", missing_value=np.int32(65535))),
    case("bytes-unsigned", f"{TRAIN} bad.nc", "_Unsigned", make=stated("i1", valid_range=np.array([0, 250], "i2"))),
    case("no-byte-is-valid", f"{CORRUPT} bad.nc", "no value is valid", make=stated("i1", valid_min=np.int16(300))),
    case("scale-of-zero", f"{FILL} bad.nc", "scale_factor", "is 0", make=stated(scale_factor=0.0)),
    case("scale-as-text", f"{FILL} bad.nc", "scale_factor", "'0.1'", make=stated(scale_factor="0.1")),
    case("offset-as-text", f"{EVALUATE} bad.nc", "add_offset", "'zero'", make=stated(add_offset="zero")),
    case("offset-infinite", f"{TRAIN} bad.nc", "add_offset", "one number", make=stated(add_offset=np.inf)),
    case("two-scales", f"{INFO} bad.nc", "scale_factor", "one number", make=stated(scale_factor=np.array([0.1, 0.2]))),
    case("zarr-text", f"{INFO} bad.zarr", "missing_value", "'gap'", make=store(missing_value="gap")),
    case("zarr-list", f"{FILL} bad.zarr", "valid_range", make=store(valid_range=[[1, 2], [3, 4]])),
    case("zarr-object", f"{TRAIN} bad.zarr", "missing_value", "numbers are", make=store(missing_value={"a": 1})),
    case("zarr-scale", f"{CORRUPT} bad.zarr", "scale_factor", "one number", make=store(scale_factor=[0.1, 0.2])),
    case("zarr-flags", f"{INFO} bad.zarr", "flag_values", "'land'", make=store(flag_values="land", units="K")),
    case("default-fills-alone", f"{TRAIN} bad.nc", "by default fill value", make=netcdf_fills("bad.nc")),
    case("error-in-kelvin", f"{TRAIN} bad.nc --error-variable sst_error", "is in K", make=error_in("K")),
    case("train-two-units", f"{TRAIN} {SEVERAL}", "bad.nc in K", "convert", make=in_units(to="K", later=True)),
    case("fill-two-units", f"{FILL} {SEVERAL}", "bad.nc in K", "convert", make=in_units(to="K", later=True)),
    case("units-in-one-only", f"{TRAIN} {SEVERAL}", "bad.nc in no units", make=in_units(to="", later=True)),
    case("model-in-other-units", f"{FILL} bad.nc", "is in degF", "convert", make=in_units(to="degF")),
    case("truth-in-kelvin", f"{EVALUATE} sst.nc --truth bad.nc", "the truth is in K", make=in_units(to="K")),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_sentence_and_nothing_written(folder, case):
    refused(case)
