"""Conditions on other variables of a file: parsed by hand, applied lazily, counted, recorded in the run."""

import json

import dask
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import geogan
from geogan.archive import check_field
from geogan.cli import app
from geogan.io import open_field, open_source
from geogan.io.conditions import Condition, kept, parse_conditions
from geogan.operators.errors import InputError

LAT, LON = np.linspace(40, 42, 9), np.linspace(0, 2, 10)
DATES = np.datetime64("2001-01-01", "ns") + np.arange(8) * np.timedelta64(1, "D")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("quality_level>=4", [("quality_level", None, ">=", 4)]),
        (" q == -1.5e2 ", [("q", None, "==", -150)]),
        ("q=1", [("q", None, "==", 1)]),
        ("a<1 and b>2", [("a", None, "<", 1), ("b", None, ">", 2)]),
        ("a<1, b>2 & c!=3 && d<=4 AND e>=5", [("a", None, "<", 1), ("b", None, ">", 2), ("c", None, "!=", 3),
                                            ("d", None, "<=", 4), ("e", None, ">=", 5)]),
        ("flags & 4 == 0", [("flags", 4, "==", 0)]),
        ("(flags & 0x10)==0 and q>3", [("flags", 16, "==", 0), ("q", None, ">", 3)]),
        ("q>3 & flags&3 != 1", [("q", None, ">", 3), ("flags", 3, "!=", 1)]),
        ("android>1 and orange<2", [("android", None, ">", 1), ("orange", None, "<", 2)]),
    ],
)  # fmt: skip
def test_what_is_understood(text, found):
    assert parse_conditions(text) == tuple(Condition(*each) for each in found)


@pytest.mark.parametrize(
    "text",
    ["", "quality", "quality>", ">4", "quality>four", "quality>4 or flags==0", "q>4 and", "q>4;import os", "q>4 q<5",
     "__import__('os').system('x')>0", "q>4)", "(q>4", "f&&4==0", "q>nan", "q > 1" + " and q > 1" * 40, "a" * 9999],
)  # fmt: skip
def test_what_is_not_understood(text):
    with pytest.raises(InputError, match="is not understood at"):
        parse_conditions(text)


@given(st.text("qf<>=!&and01 ().,x", max_size=40))
def test_no_text_does_anything_else(text):
    try:
        parse_conditions(text)
    except InputError:
        return


@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "i8", "f4", "f8", "bool"])
def test_flags_of_every_type(kind):
    flags = np.array([0, 1]).astype(kind) if kind == "bool" else np.array([0, 1, 4, 5, 6], kind)
    wanted = [not int(flag) & 4 for flag in flags]
    assert Condition("f", 4, "==", 0).holds(flags).tolist() == wanted


def test_a_missing_value_fails_every_condition():
    for compare in ("<", "<=", ">", ">=", "==", "!="):
        assert not Condition("q", None, compare, 1.0).holds(np.array([np.nan]))[0]
        assert not Condition("q", 1, compare, 0.0).holds(np.array([np.nan]))[0]


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "i2", "i4"])
def test_other_values_are_kept_bit_for_bit(kind):
    values = np.array([1, 2, 3], kind)
    found = kept(values, np.array([True, False, True]))
    assert found[[0, 2]].tolist() == [1, 3] and np.isnan(found[1]) and values[1] == 2


@pytest.fixture(scope="module")
def granules():
    """Return sea surface temperature with a quality level of each cell, flags, and a static mask."""
    random = np.random.default_rng(0)
    quality = random.integers(0, 6, (8, 9, 10)).astype("i1")
    flags = random.integers(0, 8, (8, 9, 10)).astype("i2")
    values = random.normal(15, 2, (8, 9, 10)).astype("f4")
    values[random.random(values.shape) < 0.2] = np.nan
    dims = ("time", "lat", "lon")
    return xr.Dataset(
        {
            "sst": (dims, values, {"units": "degC"}),
            "quality_level": (dims, quality, {"flag_values": np.arange(6, dtype="i1")}),
            "l2p_flags": (dims, flags, {"flag_masks": np.array([1, 2, 4], "i2")}),
            "depth": (("lat", "lon"), random.uniform(0, 100, (9, 10))),
        },
        coords={"time": DATES, "lat": LAT, "lon": LON},
    )


def written(dataset, folder, container):
    if container == "several":
        dataset.isel(time=slice(0, 4)).to_netcdf(folder / "a.nc")
        dataset.isel(time=slice(4, 8)).to_netcdf(folder / "b.nc")
        return str(folder / "*.nc")
    if container == "packed":
        packing = {"dtype": "int16", "scale_factor": 0.01, "_FillValue": -9999}
        fills = {"_FillValue": np.int8(-128), "dtype": "int8"}
        dataset.to_netcdf(folder / "a.nc", encoding={"sst": packing, "quality_level": fills})
        return folder / "a.nc"
    if container == "nc":
        dataset.to_netcdf(folder / "a.nc")
        return folder / "a.nc"
    dataset.to_zarr(folder / "a.zarr", zarr_format=int(container[1]), encoding={"sst": {"chunks": (2, 5, 10)}})
    return folder / "a.zarr"


@pytest.mark.parametrize("container", ["nc", "v2", "v3", "several", "packed"])
def test_cells_that_fail_are_gaps(tmp_path, granules, container):
    data = written(granules, tmp_path, container)
    whole = open_field(data, variable="sst")
    where = "quality_level>=3 and l2p_flags & 4 == 0"
    with dask.config.set(scheduler=lambda *_, **__: pytest.fail("computed while opening")):
        source = open_source(data, variable="sst", reading=geogan.io.Reading.of(where=where))
    good = (granules.quality_level >= 3) & ((granules.l2p_flags & 4) == 0)
    np.testing.assert_array_equal(source.field.array.values, whole.where(good).values)
    assert source.field.array.dtype == whole.dtype and source.field.array.attrs == whole.attrs
    survey = check_field(source.field)
    lost = int((~good & whole.notnull()).sum())
    assert survey.gaps["condition"] == lost
    assert f"{lost:,} values of sst are gaps by condition ({where})" in survey.gap_sentences(source.field)


@pytest.mark.parametrize("names", [["sst"], ["sst", "quality_level"]])
def test_a_condition_on_the_field_itself(tmp_path, granules, names):
    data = written(granules[names], tmp_path, "nc")
    where = "sst>=15" if names == ["sst"] else "sst>=15 and quality_level>=3"
    field = open_source(data, reading=geogan.io.Reading.of(where=where)).field.array
    assert field.name == "sst"
    good = granules.sst >= 15
    good = good if names == ["sst"] else good & (granules.quality_level >= 3)
    np.testing.assert_array_equal(field.values, granules.sst.where(good).values)


def test_a_map_without_time_is_a_condition_too(tmp_path, granules):
    data = written(granules, tmp_path, "nc")
    field = open_field(data, variable="sst", where="depth<50")
    np.testing.assert_array_equal(field.values, granules.sst.where(granules.depth < 50).values)
    # What a condition looks at is not what is to be filled.
    assert open_field(data, where="depth<50").name == "sst"


def test_what_cannot_be_a_condition(tmp_path, granules):
    data = written(granules.assign(few=("time", np.arange(8.0)), other=(("a", "b"), np.ones((2, 2)))), tmp_path, "nc")
    for where, words in [
        ("quality>3", "has no variable 'quality', which the condition 'quality>3' needs"),
        ("few>3", r"'few' of .* has the dimensions \('time',\), where a map"),
        ("other>0", "variable 'other' has the dimensions"),
    ]:
        with pytest.raises(InputError, match=words):
            open_field(data, variable="sst", where=where)


def run(line):
    return CliRunner().invoke(app, line.split("|"))


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_a_run_keeps_its_condition(tmp_path, granules, suffix):
    data, where = written(granules, tmp_path, "nc"), "quality_level>=2"
    model, out = tmp_path / "run", tmp_path / f"filled.{suffix}"
    settings = "--no-first-guess|--steps|1|--width|4|--window|1|--crop|8|--operator|observed_gaps"
    result = run(f"train|--data|{data}|--variable|sst|--where|{where}|{settings}|--out|{model}")
    assert result.exit_code == 0, result.output
    good = granules.quality_level >= 2
    lost = int((~good & granules.sst.notnull()).sum())
    assert f"{lost:,} values of sst are gaps by condition (quality_level>=2)" in result.stderr
    assert json.loads((model / "run.json").read_text())["where"] == where
    result = run(f"fill|--data|{data}|--model|{model}|--out|{out}")
    assert result.exit_code == 0, result.output
    assert f"{lost:,} values of sst are gaps by condition (quality_level>=2)" in result.stderr
    filled = xr.open_dataset(out, engine="zarr" if suffix == "zarr" else None)
    observed = (filled.sst_source == 0).transpose(*granules.sst.dims).values
    np.testing.assert_array_equal(observed, (good & granules.sst.notnull()).values)
    assert filled.sst.values[observed].tobytes() == granules.sst.values[observed].tobytes()
    # With another condition, or none, it is another product.
    result = run(f"fill|--data|{data}|--model|{model}|--out|{out}|--where|")
    assert result.exit_code == 2 and "--overwrite" in result.stderr, result.output
    result = run(f"fill|--data|{data}|--model|{model}|--out|{out}|--where||--overwrite")
    assert result.exit_code == 0, result.output
    filled = xr.open_dataset(out, engine="zarr" if suffix == "zarr" else None)
    assert int((filled.sst_source == 0).sum()) == int(granules.sst.notnull().sum())
    assert run(f"train|--resume|{model}|--steps|2").exit_code == 0
    assert json.loads((model / "run.json").read_text())["where"] == where
    assert run(f"evaluate|--data|{data}|--model|{model}|--no-ablation|--methods|climatology").exit_code == 0


def test_info_counts_and_hands_the_condition_on(tmp_path, granules):
    data = written(granules, tmp_path, "nc")
    result = run(f"info|{data}|--variable|sst|--where|quality_level>=2|--json")
    found = json.loads(result.stdout)
    assert found["gaps"]["condition"] == int(((granules.quality_level < 2) & granules.sst.notnull()).sum())
    assert "--where 'quality_level>=2'" in found["next"]
