"""One set of rules decides which values are missing, in every container, for one file and for many."""

import itertools
import json
import pickle
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import QUICK, make_reconstructor

import geogan
from geogan.archive import check_field
from geogan.fields.field import Field
from geogan.fields.marks import GAP_RULES, count_gaps
from geogan.io import as_field, open_field, open_source
from geogan.io.maps import open_maps
from geogan.io.missing import MissingRules
from geogan.operators.errors import InputError

SHAPE = (3, 4, 5)
DATA = Path(__file__).parents[3] / "shared" / "data"
DAYS = np.datetime64("2001-01-01", "ns") + np.arange(3) * np.timedelta64(1, "D")
AXES = {"time": np.arange(3.0), "lat": np.linspace(40, 43, 4), "lon": np.linspace(0, 4, 5)}
FILE_KINDS = ("NETCDF3_CLASSIC", "NETCDF4", "zarr 2", "zarr 3")
# The NetCDF library refuses some attributes of types that Zarr's JSON forgets, and the other way round.
NUMBERS = {kind: np.arange(60).reshape(SHAPE).astype(kind) for kind in ("u1", "i1", "i2", "i4", "f4", "f8")}
F4, F8 = np.float32, np.float64


def as_json(value):
    """Return an attribute as Zarr stores it, without the type of a number."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def write(path, kind, stored, attrs, *, first=0, name="sst"):
    """Write numbers as they stand, with attributes as given, as other tools do."""
    if kind.startswith("zarr"):
        group = zarr.create_group(path, zarr_format=int(kind[-1]), overwrite=True)
        variables = {**{dim: (values, {}) for dim, values in AXES.items()}, name: (stored, dict(attrs))}
        variables["time"] = (AXES["time"] + first, {"units": "days since 2001-01-01"})
        for each, (values, own) in variables.items():
            dims = [each] if values.ndim == 1 else list(AXES)
            own = {
                key: value.tolist() if isinstance(value, np.ndarray | np.generic) else value
                for key, value in own.items()
            }
            options = {"shape": values.shape, "dtype": values.dtype, "chunks": values.shape}
            if kind == "zarr 2":
                options |= {"fill_value": own.pop("_FillValue", None), "attributes": own | {"_ARRAY_DIMENSIONS": dims}}
            else:
                options |= {"dimension_names": dims, "attributes": own, "fill_value": own.pop("fill_value", 0)}
                if "_FillValue" in own and values.dtype.kind == "f":
                    from xarray.backends.zarr import FillValueCoder

                    own["_FillValue"] = FillValueCoder.encode(own["_FillValue"], values.dtype)
            array = group.create_array(each, **options)
            array[...] = values
        return path
    with netCDF4.Dataset(path, "w", format=kind) as file:
        for dim, values in AXES.items():
            file.createDimension(dim, len(values))
            file.createVariable(dim, "f8", (dim,))[:] = values + (first if dim == "time" else 0)
        file["time"].units = "days since 2001-01-01"
        own = dict(attrs)
        variable = file.createVariable(name, stored.dtype, tuple(AXES), fill_value=own.pop("_FillValue", None))
        variable.set_auto_maskandscale(False)
        for key, value in own.items():
            variable.setncattr(key, value)
        variable[:] = stored
    return path


def stored(kind, missing, places=(3, 17, 41)):
    """Return numbers from 0 to 59 of a type, some of them replaced."""
    values = NUMBERS[kind].copy()
    values.flat[list(places)] = missing
    return values


P4 = {"scale_factor": F4(0.5), "add_offset": F4(10)}
P8 = {"scale_factor": F8(0.01)}
# Stored numbers, attributes, the rule that takes three of them for gaps, and whether netCDF4-python decides the same.
RULES = {
    "fill": (stored("i2", -999), {"_FillValue": np.int16(-999)} | P4, None, True),
    "fill of floats": (stored("f4", F4(-999.9)), {"_FillValue": F4(-999.9)}, None, True),
    "missing value": (stored("i2", -999), {"missing_value": np.int16(-999)} | P4, "missing_value", True),
    "missing value, unpacked": (stored("i4", -999), {"missing_value": np.int32(-999)}, "missing_value", True),
    "missing value of floats": (stored("f4", -999), {"missing_value": F4(-999)}, "missing_value", True),
    "several": (
        stored("i2", [-1, -2, -3]),
        {"missing_value": np.array([-1, -2, -3], "i2")} | P8,
        "missing_value",
        True,
    ),
    "as text": (stored("f4", -999), {"missing_value": "-999"}, "missing_value", False),
    "as texts": (stored("f8", [-1, -2.5, -3]), {"missing_value": "-1., -2.5f -3"}, "missing_value", False),
    "as text, packed": (stored("i2", -999), {"missing_value": "-999s"} | P8, "missing_value", False),
    "as double": (stored("f4", F4(-999.9)), {"missing_value": F8(-999.9)}, "missing_value", False),
    "as double, packed": (stored("i2", -999), {"missing_value": F8(-999)} | P8, "missing_value", True),
    "unpacked, packed": (stored("i2", -999), {"missing_value": F8(-9.99)} | P8, "missing_value", False),
    "above": (stored("i2", 80), {"valid_max": np.int16(60)} | P8, "valid_range", True),
    "below": (stored("f4", -99), {"valid_min": F4(-2), "valid_max": F4(70)}, "valid_range", True),
    "beyond": (
        stored("u1", 254),
        {"valid_range": np.array([0, 250], "u1"), "scale_factor": 0.004},
        "valid_range",
        True,
    ),
    "beyond, unpacked": (stored("i4", 90), {"valid_range": np.array([0, 60], "i4")}, "valid_range", True),
    "in units": (stored("i2", 7000), {"valid_range": np.array([9.5, 40.5], "f4")} | P4, "valid_range", False),
    "down": (stored("i2", -700), {"valid_max": 1.25, "scale_factor": -0.01}, "valid_range", False),
    "unsigned": (
        stored("i1", -2),
        {"valid_range": np.array([0, -6], "i1"), "_Unsigned": "true", "scale_factor": 0.004},
        "valid_range",
        False,
    ),
    "default of floats": (stored("f4", netCDF4.default_fillvals["f4"]), {}, "default fill value", True),
    "default of doubles": (stored("f8", netCDF4.default_fillvals["f8"]), {}, "default fill value", True),
    "flags": (
        stored("u1", [254, 251, 255]),
        {"flag_values": np.array([251, 252, 253, 254, 255], "u1"), "scale_factor": 0.004, "add_offset": 0.0},
        "flag_values",
        False,
    ),
    "flags of percent": (
        stored("u1", [254, 251, 255]),
        {"flag_values": np.array([251, 252, 253, 254, 255], "u1"), "units": "percent"},
        "flag_values",
        False,
    ),
}  # fmt: skip
WHERE = np.isin(np.arange(60), (3, 17, 41)).reshape(SHAPE)


def expected(values, attrs, kind):
    """Return values as xarray decodes them with a _FillValue, so that their type can hold NaN."""
    if kind.startswith("zarr"):
        attrs = {key: as_json(value) for key, value in attrs.items()}
    if attrs.get("_Unsigned") == "true":
        values = values.view(f"u{values.dtype.itemsize}")
    packing = {key: attrs[key] for key in ("scale_factor", "add_offset") if key in attrs}
    fill = values.dtype.type(values.flat[3])
    variable = xr.Variable(tuple(AXES), np.where(WHERE, fill, values), packing | {"_FillValue": fill})
    return xr.decode_cf(xr.Dataset({"sst": variable}))["sst"].values


def check(found, name, kind):
    values, attrs, rule, _ = RULES[name]
    right = expected(values, attrs, kind)
    assert found.dtype == right.dtype
    np.testing.assert_array_equal(np.isnan(found), WHERE)
    assert found[~WHERE].tobytes() == right[~WHERE].tobytes()
    if rule is not None:
        assert dict(zip(GAP_RULES, count_gaps(found))) == {each: 3 * (each == rule) for each in GAP_RULES}


def writes(kind, name):
    """Return whether a container can hold an attribute of that type."""
    values, attrs, _, _ = RULES[name]
    return not (kind == "NETCDF3_CLASSIC" and (values.dtype.kind == "u" or values.dtype.itemsize > 8))


CASES = [(kind, name) for kind, name in itertools.product(FILE_KINDS, RULES) if writes(kind, name)]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_file(tmp_path, kind, name):
    values, attrs, _, is_authority = RULES[name]
    path = write(tmp_path / "a", kind, values, attrs)
    field = open_field(path)
    check(field.values, name, kind)
    assert all(key in field.attrs for key in attrs if key.startswith(("valid", "flag")))
    kept = {"scale_factor", "add_offset", "_FillValue", "_Unsigned"} & attrs.keys()
    assert all(field.encoding[key] == attrs[key] for key in kept) and field.encoding["dtype"] == values.dtype
    if is_authority and kind.startswith("NETCDF"):
        with netCDF4.Dataset(path) as file:
            np.testing.assert_array_equal(np.ma.getmaskarray(file["sst"][:]), WHERE)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_an_array_in_memory(tmp_path, kind, name):
    """Arrays as xarray opens them, with masks and scales applied or not, lazily or not."""
    values, attrs, _, _ = RULES[name]
    path = write(tmp_path / "a", kind, values, attrs)
    options = {"engine": "zarr", "consolidated": False} if kind.startswith("zarr") else {}
    for lazy, is_decoded in itertools.product((None, {}), (True, False)):
        if is_decoded and isinstance(attrs.get("missing_value"), str):
            continue  # xarray refuses a text
        with xr.open_dataset(path, mask_and_scale=is_decoded, chunks=lazy, **options) as dataset:
            field = as_field(dataset, "sst").array
            # A file that xarray reads when asked stays one.
            assert (field.chunks is None) == (lazy is None) and not field.variable._in_memory
            found = field.values
            np.testing.assert_array_equal(np.isnan(found), WHERE)
            right = expected(values, attrs, kind)
            assert found[~WHERE].tolist() == right[~WHERE].tolist()
            assert not {"_FillValue", "missing_value", "scale_factor", "add_offset"} & field.attrs.keys()
            again = as_field(field).array
            np.testing.assert_array_equal(np.isnan(again.values), WHERE)


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, name in CASES if name in ("flags", "as text", "below")]
)
def test_several_files(tmp_path, kind, name):
    values, attrs, _, _ = RULES[name]
    paths = [write(tmp_path / f"{number}", kind, values, attrs, first=3 * number) for number in range(2)]
    found = open_field(paths).values
    check(found[:3], name, kind)
    check(found[3:], name, kind)


def test_files_state_each_their_own(tmp_path):
    write(tmp_path / "0.nc", "NETCDF4", stored("f4", -99), {"missing_value": F4(-99)})
    write(tmp_path / "1.nc", "NETCDF4", stored("i2", 6000), {"valid_max": np.int16(100), "scale_factor": 0.01}, first=3)
    write(tmp_path / "2.nc", "NETCDF4", stored("f8", -1), {"_FillValue": -1.0}, first=6)
    field = open_field(str(tmp_path / "*.nc"))
    np.testing.assert_array_equal(field.isnull().values, np.tile(WHERE, (3, 1, 1)))

    gaps = check_field(Field.of(field)).gaps
    assert (gaps["_FillValue or NaN"], gaps["missing_value"], gaps["valid_range"]) == (3, 3, 3)


@pytest.mark.parametrize("kind", ["i2", "u2", "i4", "u4", "i8", "u8"])
def test_default_fill_values_of_whole_numbers_are_those_of_netcdf_only(tmp_path, kind):
    values = np.arange(60).reshape(SHAPE).astype(kind)
    values[WHERE] = netCDF4.default_fillvals[kind]
    path = write(tmp_path / "a.nc", "NETCDF4", values, {"units": "1"})
    np.testing.assert_array_equal(open_field(path).isnull().values, WHERE)
    with netCDF4.Dataset(path) as file:
        np.testing.assert_array_equal(np.ma.getmaskarray(file["sst"][:]), WHERE)
    found = open_field(write(tmp_path / "a.zarr", "zarr 3", values, {"units": "1"}))
    assert found.dtype == values.dtype and not found.isnull().any()
    # A stated fill value takes the place of the default one.
    path = write(tmp_path / "b.nc", "NETCDF4", values, {"_FillValue": np.dtype(kind).type(5)})
    assert open_field(path).isnull().sum() == 1


def test_bytes_have_no_default_fill_value(tmp_path):
    for kind in ("i1", "u1"):
        values = np.arange(60).reshape(SHAPE).astype(kind)
        values[WHERE] = netCDF4.default_fillvals[kind]
        found = open_field(write(tmp_path / kind, "NETCDF4", values, {"scale_factor": 0.5}))
        assert not found.isnull().any()


def test_a_mask_keeps_its_numbers(tmp_path):
    values = (np.arange(60) % 3).reshape(SHAPE).astype("i2")
    for attrs in ({"flag_values": np.array([0, 1, 2], "i2")}, {"flag_masks": np.array([1, 2], "i2")}):
        found = open_field(write(tmp_path / "a.nc", "NETCDF4", values, attrs))
        assert found.dtype == np.int16 and (found.values == values).all()
        (tmp_path / "a.nc").unlink()
    found = open_field(write(tmp_path / "b.nc", "NETCDF4", values, {"units": "K"}, name="land_mask"))
    assert found.dtype == np.int16


def test_a_flag_within_the_valid_range_is_a_value(tmp_path):
    attrs = {"valid_range": np.array([0, 100], "u1"), "flag_values": np.array([0, 254], "u1"), "scale_factor": 0.01}
    found = open_field(write(tmp_path / "a.nc", "NETCDF4", stored("u1", 254), attrs))
    np.testing.assert_array_equal(found.isnull().values, WHERE)


@pytest.mark.parametrize("fill", [-9999.0, 1e20, -32768])
def test_the_fill_value_of_a_zarr_3_store_is_a_gap(tmp_path, fill):
    kind = "i2" if isinstance(fill, int) else "f4"
    values = stored(kind, fill, ())
    path = write(tmp_path / "a.zarr", "zarr 3", values, {"fill_value": fill})
    array = zarr.open_group(path)["sst"]
    assert array.fill_value == array.dtype.type(fill)
    # One date was never written, one cell was written as the fill value.
    array[:2] = values[:2]
    array[2] = fill
    array[0, 0, 0] = fill
    for field in (open_field(path), as_field(xr.open_zarr(path, consolidated=False)["sst"]).array):
        found = field.values
        assert np.isnan(found[2]).all() and np.isnan(found[0, 0, 0]) and np.isnan(found).sum() == 21
        assert count_gaps(found)[GAP_RULES.index("fill_value of the store")] == 21


def test_a_chunk_that_was_never_written_is_a_gap(tmp_path):
    path = write(tmp_path / "a.zarr", "zarr 3", stored("f4", 1, ()), {})
    group = zarr.open_group(path)
    del group["sst"]
    array = group.create_array(
        "sst", shape=SHAPE, chunks=(1, 4, 5), dtype="f4", fill_value=-99, dimension_names=list(AXES)
    )
    array[:2] = 5
    found = open_field(path).values
    assert np.isnan(found[2]).all() and (found[:2] == 5).all()


REFUSED = {
    "no number": (stored("f4", 1), {"missing_value": "unknown"}, "missing_value .* is the text 'unknown'"),
    "no range": (stored("f4", 1), {"valid_range": np.array([1, 2, 3], "f4")}, "two numbers are expected"),
    "no end": (stored("f4", 1), {"valid_min": np.array([1, 2], "f4")}, "one number is expected"),
    "upside down": (
        stored("f4", 1),
        {"valid_min": F4(5), "valid_max": F4(2)},
        "from 5 down to 2, so no value is valid",
    ),
    "fraction": (stored("i2", 1), {"missing_value": -999.9}, "-999.9, which its type int16 cannot hold"),
    "other sign": (stored("i1", 1), {"missing_value": np.int16(255)}, "255, which its type int8 cannot hold"),
    "negative": (stored("u1", 1), {"missing_value": np.int16(-99)}, "-99, which its type uint8 cannot hold"),
    "unsigned": (stored("i1", 1), {"valid_range": np.array([0, 250], "i2")}, "holds only if it is unsigned"),
    "nowhere": (stored("u1", 1), {"valid_min": np.int16(300)}, "lies outside the numbers of its type uint8"),
    "scale 0": (stored("i2", 1), {"scale_factor": 0.0}, "scale_factor of .* is 0"),
    "scale as text": (stored("i2", 1), {"scale_factor": "0.01"}, "scale_factor of .* is '0.01', where one number"),
    "no scale": (stored("i2", 1), {"scale_factor": np.nan}, "where one number is expected"),
    "scales": (stored("i2", 1), {"scale_factor": np.array([0.1, 0.2])}, "where one number is expected"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("kind", ["NETCDF4", "zarr 2", "zarr 3"])
def test_what_cannot_be_decided_is_refused(tmp_path, kind, name):
    values, attrs, sentence = REFUSED[name]
    path = write(tmp_path / "a", kind, values, attrs)
    if name == "no scale" and kind != "NETCDF4":
        pytest.skip("JSON has no NaN")
    with pytest.raises(InputError, match=sentence):
        open_field(path).compute()
    with pytest.raises(InputError, match=sentence):
        as_field(xr.DataArray(values, dims=("time", "y", "x"), attrs=attrs, name="sst"))


def test_another_variable_may_be_wrong(tmp_path):
    values, attrs, _ = REFUSED["scale as text"]
    path = write(tmp_path / "a.nc", "NETCDF4", values, attrs, name="other")
    with netCDF4.Dataset(path, "a") as file:
        file.createVariable("sst", "f4", tuple(AXES))[:] = 5
    assert (open_field(path, variable="sst") == 5).all()


def test_numbers_that_the_type_cannot_hold_are_nowhere(tmp_path):
    for missing in (F8(1e20), F8(np.nan), F8(-99999)):
        values = stored("u1", 7)
        path = write(tmp_path / f"{missing}.nc", "NETCDF4", values, {"missing_value": missing, "scale_factor": 0.01})
        assert not open_field(path).isnull().any()


def test_texts_that_state_nothing(tmp_path):
    for number, text in enumerate(("", "none", "N/A", "NaN")):
        path = write(tmp_path / f"{number}.nc", "NETCDF4", stored("f4", 7), {"missing_value": text})
        assert not open_field(path).isnull().any()


def test_a_field_without_attributes_is_left_alone():
    field = xr.DataArray(np.ones(SHAPE), dims=("time", "y", "x"), name="sst")
    assert as_field(field).array is field and as_field(field.chunk()).array.data.name == field.chunk().data.name
    joined = as_field(xr.Dataset({"a": field, "b": field})).array
    assert as_field(joined).array is joined
    whole = field.astype("i4")
    assert as_field(whole).array is whole


def test_default_fill_values_in_memory():
    values = np.where(WHERE, 9.969209968386869e36, 1.0)
    field = xr.DataArray(values, dims=("time", "y", "x"), name="sst")
    assert as_field(field).array.isnull().sum() == 3 and (field.values == values).all()

    with pytest.raises(InputError, match="holds 9.96921e.36, which NetCDF writes where there is no value"):
        check_field(as_field(field.chunk()))


def test_what_may_or_may_not_be_packed_is_refused():
    field = xr.DataArray(np.ones(SHAPE), dims=("time", "y", "x"), name="sst", attrs={"scale_factor": 0.1})
    with pytest.raises(InputError, match="whether they were applied is not known; apply them with xarray.decode_cf"):
        as_field(field)
    field.attrs = {"valid_range": np.array([-200, 4000], "i2")}
    with pytest.raises(InputError, match=r"valid_range is of type int16, .*field.attrs.pop\('valid_range'\)"):
        as_field(field)
    field.encoding = {"dtype": np.dtype("i2"), "scale_factor": 0.01}
    assert as_field(field).array is field
    field.encoding, field.attrs = {}, {"valid_min": -2, "valid_max": 40}  # numbers of Python's, in the field's units
    assert as_field(field).array is field and as_field(field + 40).array.isnull().all()


def test_land_is_a_flag_that_is_never_observed(tmp_path):
    values = (
        np.tile(np.arange(60).reshape(SHAPE)[:1] % 90, (3, 1, 1)).astype("u1") + np.arange(3, dtype="u1")[:, None, None]
    )
    values[:, 0] = 254
    attrs = {"flag_values": np.array([254, 255], "u1"), "flag_meanings": "land missing", "scale_factor": 0.01}
    field = open_field(write(tmp_path / "ice.nc", "NETCDF4", values, attrs))

    assert not check_field(Field.of(field)).domain[0].any()


def test_no_value_at_all_names_the_rule(tmp_path):

    field = open_field(write(tmp_path / "a.nc", "NETCDF4", stored("f4", 1), {"valid_min": F4(100)}))
    with pytest.raises(InputError, match=r"only gaps \(60 by valid_range\); check these attributes"):
        check_field(Field.of(field))


def test_maps_and_errors_are_read_by_the_same_rules(tmp_path):
    path = write(tmp_path / "a.nc", "NETCDF4", stored("f4", 1, ()), {})
    with netCDF4.Dataset(path, "a") as file:
        depth = file.createVariable("depth", "i2", ("lat", "lon"))
        depth.missing_value = "-1"
        depth[:] = np.where(np.arange(20).reshape(4, 5) == 7, -1, 3)
        error = file.createVariable("sst_error", "f4", tuple(AXES))
        error.valid_min = F4(0)
        error[:] = np.where(WHERE, -9, 1)
    assert open_maps(path, ["depth"]).depth.isnull().sum() == 1
    np.testing.assert_array_equal(open_source(path, variable="sst_error").field.array.isnull().values, WHERE)


def test_rules_travel_to_other_processes(tmp_path):
    field = open_field(write(tmp_path / "a.nc", "NETCDF4", *RULES["as text, packed"][:2]))
    # What workers are sent, no data of a stranger.
    again = pickle.loads(pickle.dumps(field))  # noqa: S301
    np.testing.assert_array_equal(again.isnull().values, WHERE)


def test_limits_are_in_the_units_of_the_values():
    packing = {"scale_factor": 0.01, "add_offset": 10.0}
    assert MissingRules.of(np.dtype("i2"), packing | {"valid_range": np.array([-200, 3000], "i2")}).limits() == (8, 40)
    assert MissingRules.of(np.dtype("i2"), packing | {"valid_max": 40.0}).limits() == (None, 40)
    reversed_ = {"scale_factor": -0.01, "valid_range": np.array([-200, 3000], "i2")}
    assert MissingRules.of(np.dtype("i2"), reversed_).limits() == (-30, 2)
    mixed = packing | {"valid_min": np.int16(-200), "valid_max": np.float32(40)}
    assert MissingRules.of(np.dtype("i2"), mixed).limits() == (8, 40)


@pytest.mark.parametrize(
    ("dtype", "attrs", "limits"),
    [
        ("i2", {"scale_factor": 0.001, "valid_range": np.array([-2.0, 35.0])}, (-2, None)),
        ("i2", {"scale_factor": -0.001, "valid_range": np.array([-2.0, 35.0])}, (-2, None)),
        ("i2", {"scale_factor": 0.001, "valid_range": "-2, 35.5"}, (-2, None)),
        ("i2", {"scale_factor": 0.001, "_Unsigned": "true", "valid_min": -2.0}, (None, None)),
        ("i2", {"scale_factor": 0.001, "_Unsigned": "true", "valid_range": np.array([-2.0, 40.0])}, (None, 40)),
        ("u1", {"scale_factor": 0.25, "_Unsigned": "false", "valid_max": 40.0}, (None, None)),
    ],
)
def test_limits_that_a_packing_cannot_reach_limit_nothing(dtype, attrs, limits):
    rules = MissingRules.of(np.dtype(dtype), attrs)
    assert rules.limits() == limits
    codes = np.array([100, 120], dtype)
    assert np.isfinite(rules.decode(codes)).all()
    with pytest.raises(InputError, match="no value is valid"):
        MissingRules.of(np.dtype(dtype), {**attrs, "valid_range": np.array([60.0, 90.0]) + 100})


types = st.sampled_from(["i1", "u1", "i2", "u2", "i4", "f4", "f8"])


@st.composite
def variables(draw):
    """Draw a stored variable whose rules netCDF4-python applies too."""
    dtype = np.dtype(draw(types))
    low, high = (-1e6, 1e6) if dtype.kind == "f" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    number = st.integers(int(low), int(high)).map(dtype.type)
    attrs = {}
    if draw(st.booleans()):
        attrs["_FillValue"] = draw(number)
    if draw(st.booleans()):
        attrs["missing_value"] = np.array(draw(st.lists(number, min_size=1, max_size=3)), dtype)
    if draw(st.booleans()):
        ends = sorted(draw(st.tuples(number, number)))
        attrs |= draw(
            st.sampled_from([{"valid_range": np.array(ends, dtype)}, {"valid_min": ends[0]}, {"valid_max": ends[1]}])
        )
    if draw(st.booleans()):
        attrs["scale_factor"] = draw(st.sampled_from([F4(0.01), F8(0.01), F8(-0.5), F8(2)]))
    if draw(st.booleans()):
        attrs["add_offset"] = draw(st.sampled_from([F4(10), F8(273.15)]))
    pool = [0, 1, *np.ravel(attrs.get("_FillValue", 0)), *np.ravel(attrs.get("missing_value", 0))]
    pool += [*np.ravel(attrs.get("valid_range", 0)), netCDF4.default_fillvals[dtype.str[1:]]]
    values = draw(st.lists(st.one_of(st.sampled_from(pool), number), min_size=60, max_size=60))
    return np.array(values).astype(dtype).reshape(SHAPE), attrs


counter = itertools.count()


@given(variables())
@settings(max_examples=40, deadline=None)
def test_what_netcdf4_python_masks_is_missing(tmp_path_factory, variable):
    values, attrs = variable
    default = netCDF4.default_fillvals[values.dtype.str[1:]]
    if "_FillValue" in attrs if values.dtype.kind == "f" else values.dtype.itemsize == 1:
        # netCDF4-python has a default fill value of bytes, and none of floats that state another.
        values[values == default] = 0
    path = write(tmp_path_factory.getbasetemp() / f"h{next(counter)}.nc", "NETCDF4", values, attrs)
    try:
        with netCDF4.Dataset(path) as file:
            right = np.ma.getmaskarray(file["sst"][:])
        found = open_field(path)
        np.testing.assert_array_equal(found.isnull().values, right)
        with xr.open_dataset(path) as dataset:
            decoded = dataset["sst"].values
            seen = found.notnull().values & ~np.isnan(decoded)
            np.testing.assert_array_equal(found.values[seen], decoded[seen])
            if decoded.dtype.kind == "f":
                assert found.dtype == decoded.dtype
            # Stored numbers near to the default fill value may be the same float once they are unpacked.
            unpacked = np.array(default, values.dtype).astype(decoded.dtype)
            unpacked = unpacked * attrs.get("scale_factor", 1) + attrs.get("add_offset", 0)
            told = (values == default) | (decoded != unpacked)
            np.testing.assert_array_equal(as_field(dataset["sst"]).array.isnull().values[told], right[told])
    finally:
        path.unlink()


def test_python_fills_what_is_missing(tmp_path):
    """fit, fill and the accessor read gaps from the attributes of an array."""
    rng = np.random.default_rng(0)
    sea = rng.normal(15, 1, (6, 9, 10)).round(2)
    hole = rng.random(sea.shape) < 0.3
    packed = np.where(hole, -99, np.round(sea * 100)).astype("i2")
    days = DAYS[0] + np.arange(6) * np.timedelta64(1, "D")
    attrs = {"missing_value": np.int16(-99), "scale_factor": 0.01, "units": "degC"}
    field = xr.DataArray(packed, dims=("time", "lat", "lon"), coords={"time": days}, name="sst", attrs=attrs)
    said = []
    model = make_reconstructor(
        "cloud_mask:scale=5", width=4, crop=8, batch=2, steps=2, precision="float32", threads=1, **QUICK
    )
    model.fit(field, message=said.append)
    assert f"{hole.sum()} values of sst are gaps by missing_value (-99)" in said
    model.save(tmp_path / "run")
    for product in (model.fill(field), field.geogan.fill(tmp_path / "run")):
        assert ((product.sst_source == 0).values == ~hole).all() and product.sst.min() > 5
    np.testing.assert_allclose(field.geogan.coverage(), hole.mean(axis=(1, 2)))
    assert field.geogan.corrupt("remove_pixel:p=0.5").notnull().sum() < (~hole).sum()


def test_pixels_of_images_with_noise_are_no_gaps(tmp_path):
    values = np.random.default_rng(0).normal(0, 1, (4, 9, 10)).astype("f4")
    attrs = {"units": "1", "valid_min": -1.0, "valid_max": 1.0}
    images = xr.DataArray(values, dims=("sample", "y", "x"), name="image", attrs=attrs)
    images.to_netcdf(tmp_path / "images.nc")
    assert as_field(images).array.notnull().all() and open_field(tmp_path / "images.nc").notnull().all()
    maps = xr.DataArray(
        values, dims=("time", "y", "x"), coords={"time": DAYS[0] + np.arange(4) * np.timedelta64(1, "D")}
    )
    maps.attrs, maps.name = attrs, "sst"
    assert (as_field(maps).array.isnull() == (abs(values) > 1)).all()


def test_noise_may_exceed_the_valid_range(tmp_path, film):
    field = film().sst.assign_attrs(valid_min=5.0, valid_max=25.0)
    noisy = geogan.corrupt(field, "convolve_noise:l=1,sigma=3")
    assert noisy.notnull().sum() == field.notnull().sum() and not noisy.where(noisy < 5).isnull().all()
    assert not {"valid_min", "valid_max"} & noisy.attrs.keys()
    noisy.to_netcdf(tmp_path / "noisy.nc")
    assert open_field(tmp_path / "noisy.nc").notnull().sum() == field.notnull().sum()
    assert geogan.corrupt(field, "remove_pixel:p=0.5").attrs == field.attrs


def told(line):
    from bad_input import run

    result = run(line)
    assert result.exit_code == 0, result.output
    return result.output


def test_info_and_train_say_how_many_values_each_rule_took(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    values = rng.normal(15, 1, (8, 9, 10)).astype("f4")
    which = rng.integers(0, 8, values.shape)
    for number, bad in enumerate((-999, -99, 9.969209968386869e36)):
        values[which == number] = bad
    with netCDF4.Dataset("sea.nc", "w") as file:
        for dim, size in zip(AXES, values.shape):
            file.createDimension(dim, size)
            file.createVariable(dim, "f8", (dim,))[:] = np.arange(size)
        file["time"].units = "days since 2001-01-01"
        variable = file.createVariable("sst", "f4", tuple(AXES))
        variable.setncatts({"missing_value": "-999", "valid_min": F4(-2), "valid_max": F4(40), "units": "degC"})
        variable[:] = values
    counts = [int((which == number).sum()) for number in range(3)]
    shown = [line.split()[:2] for line in told("info sea.nc").splitlines()]
    for rule, count in zip(("missing_value", "valid_range", "default_fill_value"), counts):
        assert [rule, str(count)] in shown
    # Rules that took nothing are left out.
    assert not {"flag_values", "unreadable"} & {line[0] for line in shown if line}
    said = told("train --data sea.nc --no-first-guess --steps 2 --width 4 --threads 1 --precision float32 --out run")
    assert f"{counts[0]} values of sst are gaps by missing_value (-999)" in said
    assert f"{counts[1]} values of sst are gaps by valid_range (valid_min -2, valid_max 40)" in said
    assert f"{counts[2]} values of sst are gaps by default fill value" in said
    assert "flag_values" not in said
    told("fill --data sea.nc --model run --threads 1 --out filled.zarr")
    product = xr.open_zarr("filled.zarr", consolidated=False)
    assert ((product.sst_source == 0).values == (which > 2)).all() and float(product.sst.max()) < 40


def test_a_truth_is_read_by_the_same_rules(folder):
    truth = xr.load_dataset("truth.nc").sst.drop_encoding()
    gappy = xr.load_dataset("sst.nc").sst
    bad = np.argwhere(gappy.isnull().values & truth.notnull().values)[:3]
    truth.values[tuple(bad.T)] = -99
    truth.assign_attrs(valid_min=-2.0, units="degrees_C").to_netcdf("other.nc")
    said = told("evaluate --data sst.nc --model model --threads 1 --no-ablation --truth other.nc --json -")
    rows = json.loads(said[said.index("{") : said.rindex("}") + 1])["rows"]
    assert all(row["rmse"] < 20 for row in rows)


def test_a_packed_dataset_in_memory_has_its_measured_variable():
    """The values are packed; scale_factor distinguishes the measurement from its mask."""
    values, attrs, _, _ = RULES["flags"]
    ice = xr.DataArray(values.view("i1"), dims=("time", "y", "x"), attrs=attrs | {"_Unsigned": "true"})
    mask = xr.DataArray(np.ones(SHAPE[1:], "i1"), dims=("y", "x"))
    field = as_field(xr.Dataset({"ice": ice, "land": mask})).array
    assert field.name == "ice"
    np.testing.assert_array_equal(field.isnull().values, WHERE)


def test_a_map_is_drawn_without_what_is_missing(no_network):
    maps = xr.DataArray(NUMBERS["f8"][0], dims=("lat", "lon"), coords={"lat": AXES["lat"], "lon": AXES["lon"]})
    axes = maps.assign_attrs(missing_value="19").geogan.plot(coast=False)
    assert np.ma.getmaskarray(axes.collections[0].get_array()).sum() == 1


@pytest.mark.parametrize("name", ["sm", "sm_uncertainty"])
def test_real_files_with_a_valid_range_and_flags(name):
    """geogan and netCDF4-python mask the same values of soil moisture files (ESA CCI)."""
    paths = sorted((DATA / "esa-cci-sm").glob("*.nc"))
    if not paths:
        pytest.skip("the shared data are not there")
    field = open_field(paths, variable=name)
    for date, path in enumerate(paths):
        with netCDF4.Dataset(path) as file:
            right = file[name][0]
        found = field[date].values
        np.testing.assert_array_equal(np.isnan(found), np.ma.getmaskarray(right) | np.isnan(right.data))
        np.testing.assert_array_equal(found[~np.isnan(found)], right.compressed())


def test_a_real_file_with_two_fill_values():
    """The file of the Alboran Sea has a missing_value of another width than its values."""
    path = DATA / "alboran-dineof" / "alboranSST_small.nc"
    if not path.exists():
        pytest.skip("the shared data are not there")
    with netCDF4.Dataset(path) as file:
        right = file["SST"][:]
    assert right.mask.any()
    np.testing.assert_array_equal(open_field(path, variable="SST").isnull().values, np.ma.getmaskarray(right))


def test_a_file_like_oisst(tmp_path):
    """With missing_value and without _FillValue, land and refused cells are gaps, as netCDF4-python reads them."""
    attrs = {"missing_value": np.int16(-999), "scale_factor": F4(0.01), "add_offset": F4(0)}
    attrs |= {"valid_min": np.int16(-300), "valid_max": np.int16(4500), "units": "degrees C"}
    values = stored("i2", [-999, -999, 4501])
    path = write(tmp_path / "oisst.nc", "NETCDF3_CLASSIC", values, attrs)
    with netCDF4.Dataset(path) as file:
        right = file["sst"][:]
    field = open_field(path)
    np.testing.assert_array_equal(field.isnull().values, np.ma.getmaskarray(right))
    np.testing.assert_array_equal(field.values[~WHERE], right.compressed())


@st.composite
def untidy(draw):
    """Draw a stored variable as other tools write it: limits in units, texts, doubles, flags."""
    dtype = np.dtype(draw(st.sampled_from(["i1", "u1", "i2", "i4", "f4"])))
    low, high = (-1000, 1000) if dtype.kind == "f" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    whole = st.integers(max(low, -1000), min(high, 1000))
    attrs = {"units": "K"}
    if draw(st.booleans()):
        attrs["missing_value"] = draw(st.one_of(whole.map(str), whole.map(float), st.just("1, 2;3 4")))
    if draw(st.booleans()):
        attrs["flag_values"] = np.array(draw(st.lists(whole, min_size=1, max_size=4)), dtype)
    if dtype.kind != "f" and draw(st.booleans()):
        attrs["scale_factor"] = draw(st.sampled_from([F4(0.01), F8(0.25), F8(-0.5)]))
    if draw(st.booleans()):
        ends = sorted(draw(st.tuples(st.floats(-300, 300), st.floats(-300, 300))))
        attrs |= draw(
            st.sampled_from([{"valid_min": ends[0]}, {"valid_max": ends[1]}, {"valid_range": np.array(ends)}])
        )
    # Of 32 bits, xarray compares unsigned numbers with missing_value in float32, where neighbours are equal.
    if dtype in ("i1", "i2") and draw(st.booleans()):
        attrs["_Unsigned"] = "true"
    values = np.array(draw(st.lists(whole, min_size=60, max_size=60))).astype(dtype).reshape(SHAPE)
    return values, attrs


@given(untidy())
@settings(max_examples=40, deadline=None)
def test_a_file_and_an_array_have_the_same_gaps(tmp_path_factory, variable):
    """The gaps are the same whether geogan or xarray opens the file, with or without masks."""
    values, attrs = variable
    path = tmp_path_factory.getbasetemp() / f"u{next(counter)}"
    try:
        write(path, "NETCDF4", values, attrs)
        try:
            right = open_field(path).compute()
        except InputError as error:
            with xr.open_dataset(path, mask_and_scale=False) as dataset, pytest.raises(InputError) as caught:
                as_field(dataset["sst"])
            # The label of the field differs.
            assert str(caught.value).split()[0] == str(error).split()[0]
            return
        for is_decoded in (False,) if isinstance(attrs.get("missing_value"), str) else (False, True):
            with xr.open_dataset(path, mask_and_scale=is_decoded) as dataset:
                found = as_field(dataset["sst"]).array
                if found.dtype.kind == "f" and found.dtype == right.dtype:
                    np.testing.assert_array_equal(found.values, right.values)
                    # What xarray masked itself does not say by which rule.
                    assert is_decoded or (count_gaps(found.values) == count_gaps(right.values)).all()
    finally:
        path.unlink(missing_ok=True)
