"""Joined variables come back unchanged, for any types, units and gaps."""

import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import QUICK, train
from typer.testing import CliRunner

import geogan
from geogan.archive import check_field
from geogan.cli import app
from geogan.fields.field import Field
from geogan.fields.variables import is_joined, join_variables, named_variables, split_variables
from geogan.io import as_field, open_field
from geogan.operators.errors import InputError

DAYS = np.arange("2001-01-01", "2001-01-07", dtype="M8[D]").astype("M8[ns]")


def maps(name, *, dtype="f4", units="K", days=DAYS, rows=5, seed=0, **attrs):
    values = np.random.default_rng(seed).normal(10, 2, (len(days), rows, 4)).astype(dtype)
    if np.dtype(dtype).kind == "f":
        values[values > 11] = np.nan
    coords = {"time": days, "lat": np.linspace(40, 41, rows), "lon": [3.0, 4.0, 5.0, 6.0]}
    return xr.DataArray(values, dims=("time", "lat", "lon"), coords=coords, name=name, attrs={"units": units} | attrs)


def same(a, b):
    np.testing.assert_array_equal(a.values, b.values)
    assert a.identical(b) and a.dtype == b.dtype


@settings(deadline=None, max_examples=25)
@given(
    types=st.lists(st.sampled_from(["f2", "f4", "f8"]), min_size=2, max_size=4),
    lazy=st.booleans(),
    scale=st.sampled_from([np.float32(0.01), np.float64(0.01), 1]),
)
def test_what_is_joined_comes_back(types, lazy, scale):
    """Values come back bit for bit, with type, attributes and packing."""
    before = [maps(f"v{i}", dtype=kind, units=f"u{i}", seed=i, valid_min=np.int16(i)) for i, kind in enumerate(types)]
    for field in before:
        field.encoding = {
            "dtype": np.dtype("i2"),
            "scale_factor": scale,
            "_FillValue": np.int16(-9),
            "chunks": (1, 5, 4),
        }
    field = join_variables([each.chunk(time=2) for each in before] if lazy else before)
    assert is_joined(field) and (field.chunks is not None) == lazy
    for one, each in zip(split_variables(field), before, strict=True):
        same(one.compute(), each)
        assert type(one.attrs["valid_min"]) is np.int16 and np.result_type(
            one.encoding["scale_factor"]
        ) == np.result_type(scale)
        assert one.encoding == {key: each.encoding[key] for key in ("scale_factor", "_FillValue")} | {"dtype": "int16"}


def test_a_joined_field_says_what_its_bands_are():
    field = join_variables([maps("sst", long_name="temperature", source="A"), maps("chl", units="mg m-3", source="A")])
    known = Field.of(field)
    assert (
        known.axes.band == "variable" and field.dims == ("time", "variable", "lat", "lon") and field.name == "sst,chl"
    )
    assert known.band_names == ("sst", "chl") and known.band_units == ("K", "mg m-3")
    assert field.attrs == {"source": "A", "long_name": "temperature and chl"}
    assert Field.of(maps("sst")).band_units == ("K",)


def test_it_can_be_cut_computed_with_and_stored(tmp_path):
    sst, chl = maps("sst"), maps("chl", dtype="f8", units="mg m-3", seed=1)
    field = join_variables([sst, chl])
    for part in (field.isel(time=slice(1, 4)), field.sel(variable=["chl", "sst"]).isel(time=slice(1, 4))):
        for one in split_variables(part):
            same(one, {"sst": sst, "chl": chl}[one.name][1:4])
    gappy = split_variables(geogan.corrupt(field, "remove_pixel:p=0.5", seed=1))[1]
    assert gappy.name == "chl" and gappy.attrs == chl.attrs and gappy.count() < chl.count()
    assert ((gappy == chl) | gappy.isnull()).all()
    field.to_netcdf(tmp_path / "joined.nc")
    with xr.open_dataarray(tmp_path / "joined.nc") as stored:
        same(split_variables(stored.load())[1], chl)


def test_any_other_field_is_its_own_only_variable():
    sst = maps("sst")
    assert split_variables(sst) == [sst]
    bands = sst.expand_dims(band=["a", "b"])
    assert not is_joined(bands) and split_variables(bands) == [bands]


def test_coordinates_of_each_are_kept_and_rounding_makes_no_new_grid():
    sst = maps("sst").assign_coords(depth=0.5)
    chl = maps("chl").assign_coords(crs=7)
    rounded = chl.assign_coords(lat=chl.lat.astype("f4"))
    field = join_variables([sst, rounded])
    assert field.sizes["lat"] == 5 and field.lat.dtype == np.float64
    assert field.depth == 0.5 and field.crs == 7


def test_whole_numbers_become_floats_that_hold_them():
    counts = maps("n", dtype="i4")
    counts[0, 0, 0] = 2**31 - 1
    one = split_variables(join_variables([maps("sst"), counts]))[1]
    assert one.dtype == np.float64 and (one == counts).all()


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (lambda: maps("chl", days=DAYS[1:]), r"'sst' and 'chl' have different time steps: 'chl' lacks 1 of 'sst'"),
        (lambda: maps("chl", days=DAYS + np.timedelta64(12, "h")), r"2001-01-01, ...\) and 'sst' lacks 6"),
        (lambda: maps("chl").isel(time=slice(None, None, -1)), "different time steps: they are in another order"),
        (lambda: maps("chl", rows=6), "different grids: lat of 'sst' has 5 cells from 40 to 41, and lat of 'chl' has"),
        (lambda: maps("chl").assign_coords(lon=[4.0, 5.0, 6.0, 7.0]), "lon of 'chl' has 4 cells from 4 to 7"),
        (lambda: maps("chl")[0].drop_vars("time"), r"different dimensions, \(time, lat, lon\) and \(lat, lon\)"),
        (lambda: maps("chl").expand_dims(band=2), "'chl' has bands along 'band'"),
        (lambda: maps("sst"), "joined by their names, got sst, sst"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(other, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        join_variables([maps("sst"), other()])
    assert "\n" not in str(caught.value)


def test_names_with_commas():
    for text in ("sst,,chl", "", "sst,sst"):
        with pytest.raises(InputError, match="names with commas between"):
            named_variables(text)


@pytest.fixture
def folder(tmp_path):
    sst, chl = maps("sst"), maps("chl", dtype="f8", units="mg m-3", seed=1)
    both = xr.Dataset({"sst": sst, "chl": chl, "sea_mask": (("lat", "lon"), np.ones((5, 4), "i1"))})
    both.to_zarr(tmp_path / "both.zarr", consolidated=False)
    both[["sst"]].to_netcdf(tmp_path / "sst.nc")
    both[["chl"]].isel(time=slice(0, 2)).to_netcdf(tmp_path / "chl_1.nc")
    both[["chl"]].isel(time=slice(2, None)).to_netcdf(tmp_path / "chl_2.nc")
    both[["sea_mask"]].to_netcdf(tmp_path / "mask.nc")
    return tmp_path


def test_variables_of_one_store_or_of_several_files_are_one_field(folder):
    field = open_field(folder / "both.zarr", variable="sst, chl", time="/2001-01-05")
    several = [folder / "sst.nc", folder / "chl_*.nc"]
    other = open_field(several, variable=["sst", "chl"], time="/2001-01-05")
    xr.testing.assert_equal(field, other)
    memory = as_field(xr.open_zarr(folder / "both.zarr", consolidated=False)).array
    xr.testing.assert_equal(memory.sel(variable=["sst", "chl"], time=field.time), field)
    assert field.sizes["time"] == 5
    assert [one.dtype.str for one in split_variables(field)] == ["<f4", "<f8"]
    with pytest.raises(InputError, match=r"chl_1.nc has no variable 'sst', which the first file has"):
        open_field(several, variable="sst")


def test_a_variable_that_is_not_there(folder):
    with pytest.raises(InputError, match="both.zarr has no variable 'kd490'; there are chl, sea_mask, sst, choose"):
        open_field(folder / "both.zarr", variable="sst,kd490")
    with pytest.raises(InputError, match="none of the 2 files has a variable 'kd490'; there are chl, sst"):
        open_field([folder / "sst.nc", folder / "chl_1.nc"], variable="sst,kd490")
    with pytest.raises(InputError, match="mask.nc has none of the variables sst, chl; leave this file out"):
        open_field([folder / "both.zarr", folder / "mask.nc"], variable="sst,chl")
    with pytest.raises(InputError, match="'chl' lacks 4 of 'sst'"):
        open_field([folder / "sst.nc", folder / "chl_1.nc"], variable="sst,chl")


def test_the_description_is_plain_text():
    text = join_variables([maps("sst"), maps("chl")])["variable"].attrs["described"]
    assert set(json.loads(text)) == {"sst", "chl"}


# From a gappy archive of two variables to a product, by the command line.

TRAIN = ["--operator", "observed_gaps", "--window", "1", "--width", "4", "--crop", "16", "--batch", "2", "--steps", "2",
         "--precision", "float32", "--threads", "1"]  # fmt: skip


@pytest.fixture(scope="module")
def archive(sea, tmp_path_factory):
    """Return temperature packed as integers and a quantity in decades that grows where it is cold, each with gaps."""
    folder, sst = tmp_path_factory.mktemp("two"), sea["sst"][:18]
    chl = np.exp(-0.4 * (sst - sst.mean())).astype("f8").rename("chl")
    chl.attrs = {"units": "mg m-3", "long_name": "chlorophyll"}
    clouds = "cloud_mask:coverage=0.4,scale=5,persistence=2"
    gappy = [geogan.corrupt(field, clouds, seed=seed) for seed, field in enumerate((sst, chl))]
    truth, both = (xr.Dataset({field.name: field for field in fields}) for fields in ((sst, chl), gappy))
    both = both.assign(sea_mask=sea["sea_mask"])
    packing = {"sst": {"dtype": "i2", "scale_factor": 0.01, "add_offset": 15.0, "_FillValue": -32768}}
    both.to_zarr(folder / "both.zarr", encoding=packing, consolidated=False)
    both[["sst"]].to_netcdf(folder / "sst.nc", encoding=packing)
    both[["chl"]].to_netcdf(folder / "chl.nc")
    truth.to_netcdf(folder / "truth.nc")
    return folder


@pytest.fixture(scope="module")
def run_of_two(archive):
    return train(
        archive / "both.zarr", variable="sst,chl", transform="none,log", domain="sea_mask", out=archive / "run",
        operator="observed_gaps", window=1, width=4, crop=16, batch=2, steps=2, precision="float32", threads=1, **QUICK,
    )  # fmt: skip


def command(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.output


def refused(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    # Older versions of rich end a display of progress with an empty line.
    assert result.exit_code == 2 and result.output.strip().count("\n") == 0, result.output
    return result.output


@pytest.mark.parametrize("suffix", ["zarr", "nc"])
def test_a_product_has_both_each_as_it_was(archive, run_of_two, suffix):
    out = archive / f"filled.{suffix}"
    command("fill", "--data", archive / "both.zarr", "--model", run_of_two, "--out", out, "--members", "2")
    opened = {"engine": "zarr", "consolidated": False} if suffix == "zarr" else {}
    with (
        xr.open_dataset(archive / "both.zarr", engine="zarr", consolidated=False) as before,
        xr.open_dataset(out, **opened) as filled,
    ):
        assert set(filled.data_vars) == {f"{name}{kind}" for name in ("sst", "chl")
                                         for kind in ("", "_source", "_std", "_member")}  # fmt: skip
        sea = before.sea_mask.values == 1
        for name, units in (("sst", "degree_Celsius"), ("chl", "mg m-3")):
            own, seen = filled[name], before[name].notnull().values
            assert own.dims == before[name].dims and own.dtype == before[name].dtype
            np.testing.assert_array_equal(own.values[seen], before[name].values[seen])
            assert ((filled[f"{name}_source"].values == 0) == seen).all()
            assert own.notnull().values[:, sea].all() and own.isnull().values[:, ~sea].all()
            assert own.attrs["units"] == units and own.attrs["long_name"] == before[name].attrs["long_name"]
            assert own.attrs["ancillary_variables"] == f"{name}_source {name}_std"
            assert filled[f"{name}_std"].attrs["units"] == filled[f"{name}_member"].attrs["units"] == units
        assert filled.sst.encoding["dtype"] == np.int16 and filled.sst.encoding["scale_factor"] == 0.01
        assert (filled.chl.values[:, sea] > 0).all() and (filled.chl_member.values[:, :, sea] > 0).all()


def test_files_of_one_variable_each_give_the_same(archive, run_of_two):
    data = ["--data", archive / "sst.nc", "--data", archive / "chl.nc"]
    command("fill", *data, "--model", run_of_two, "--out", archive / "apart.nc", "--time", "2015-01-05/2015-01-20")
    field = open_field(archive / "both.zarr", variable="sst,chl")
    filled = geogan.Reconstructor.load(run_of_two).fill(field)
    with xr.open_dataset(archive / "apart.nc") as apart:
        for name, packing in (("sst", 0.01), ("chl", 0)):
            part = filled[name].sel(time=apart.time)
            np.testing.assert_allclose(apart[name], part, rtol=1e-5, atol=0.51 * packing)


def test_scores_are_in_the_units_of_each(archive, run_of_two):
    options = ["--model", run_of_two, "--no-ablation", "--methods", "climatology,gaussian,model", "--members", "2"]
    data = ["--data", archive / "both.zarr"]
    table = command("evaluate", *data, *options, "--json", archive / "scores.json", "--by", "distance",
                    "--figures", archive / "figures")  # fmt: skip
    assert "in degree_Celsius" in table and "in mg m-3" in table and "anomalies" not in table
    rows = json.loads((archive / "scores.json").read_text())["rows"]
    known = [("sst", "degree_Celsius")] * 3 + [("chl", "mg m-3")] * 3
    assert [(row["variable"], row["units"]) for row in rows] == known
    figures = {file.name for file in (archive / "figures").iterdir()}
    assert figures >= {f"{name}_{kind}.png" for name in ("sst", "chl") for kind in ("reliability", "ranks")}
    command("evaluate", *data, *options, "--truth", archive / "truth.nc", "--json", archive / "true.json")
    field = open_field(archive / "both.zarr", variable="sst,chl")
    filled = geogan.Reconstructor.load(run_of_two).fill(field)
    with xr.open_dataset(archive / "truth.nc") as truth:
        for row in json.loads((archive / "true.json").read_text())["rows"]:
            if row["method"] == "model":
                name = row["variable"]
                error = (filled[name] - truth[name]).where(filled[f"{name}_source"] == 1)
                assert row["rmse"] == pytest.approx(float(np.sqrt((error.astype("f8") ** 2).mean())), rel=1e-3)


def test_cells_too_uncertain_in_the_units_of_each_are_refused(archive, run_of_two, tmp_path):
    data = ["fill", "--data", archive / "both.zarr", "--model", run_of_two]
    command(*data, "--out", tmp_path / "all.nc")
    with xr.open_dataset(tmp_path / "all.nc") as whole:
        limits = {name: float(whole[f"{name}_std"].median()) for name in ("sst", "chl")}
        command(*data, "--out", tmp_path / "sure.nc", "--max-error", f"{limits['sst']},{limits['chl']}")
        with xr.open_dataset(tmp_path / "sure.nc") as sure:
            for name, limit in limits.items():
                assert ((sure[f"{name}_source"] == 3) == (whole[f"{name}_std"] > limit)).all()


def test_both_grow_and_what_was_observed_of_each_is_compared(archive, run_of_two, tmp_path):
    with xr.open_dataset(archive / "both.zarr", engine="zarr", consolidated=False) as dataset:
        dataset.load()
    options = ["fill", "--variable", "sst,chl", "--model", run_of_two]
    dataset.isel(time=slice(-6)).to_netcdf(tmp_path / "short.nc")
    dataset.to_netcdf(tmp_path / "long.nc")
    changed = dataset.copy(deep=True)
    changed["chl"][0] *= 1.1
    changed.to_netcdf(tmp_path / "changed.nc")
    out, whole = tmp_path / "filled.nc", tmp_path / "whole.nc"
    command(*options, "--data", tmp_path / "short.nc", "--out", out)
    append = [*options, "--out", out, "--append", "--data"]
    command(*append, tmp_path / "long.nc")
    command(*options, "--data", tmp_path / "long.nc", "--out", whole)
    with xr.open_dataset(out) as grown, xr.open_dataset(whole) as once:
        assert grown.sizes == once.sizes and set(grown) == set(once)
        for name in ("sst", "chl"):
            np.testing.assert_array_equal(grown[f"{name}_source"], once[f"{name}_source"])


def test_other_verbs(archive, run_of_two, tmp_path):
    found = json.loads(command("info", archive / "both.zarr", "--variable", "sst,chl", "--json"))
    assert found["variable sst"]["units"] == "degree_Celsius" and found["variable chl"]["units"] == "mg m-3"
    assert found["variable chl"]["smallest"] > 0 and "--variable sst,chl --domain sea_mask" in found["next"]
    assert json.loads(command("info", run_of_two, "--json"))["trained_on"]["units"] == "degree_Celsius, mg m-3"
    command("corrupt", "--data", archive / "both.zarr", "--variable", "sst,chl", "--operator", "remove_pixel:p=0.5",
            "--out", tmp_path / "less.nc")  # fmt: skip
    with xr.open_dataset(tmp_path / "less.nc") as less, xr.open_dataset(archive / "sst.nc") as before:
        assert set(less.data_vars) == {"sst", "chl", "sea_mask"} and less.sst.encoding["dtype"] == np.int16
        assert less.sst.attrs["units"] == "degree_Celsius" and less.chl.attrs["units"] == "mg m-3"
        assert ((less.sst == before.sst) | less.sst.isnull()).all() and less.sst.count() < 0.6 * before.sst.count()
    assert "give --variable sst or --variable chl" in refused(
        "plot", archive / "both.zarr", "--variable", "sst,chl", "--out", tmp_path / "map.png"
    )


def test_what_the_model_was_not_trained_on_is_refused(archive, run_of_two, tmp_path):
    fill = ["fill", "--model", run_of_two, "--out", tmp_path / "filled.nc"]
    assert "has no variable 'chl'" not in refused(*fill, "--data", archive / "sst.nc", "--variable", "sst")
    assert "sst.nc has no variable 'chl'" in refused(*fill, "--data", archive / "sst.nc")
    both = [*fill, "--data", archive / "both.zarr"]
    assert "on the variables sst, chl together, but sst was given" in refused(*both, "--variable", "sst")
    assert "in this order: --variable sst,chl" in refused(*both, "--variable", "chl,sst")
    for limits in ("0.5", "1,2,3"):
        assert f"one number for each of sst, chl, in its units, got {limits}" in refused(*both, "--max-error", limits)
    assert "max_error must be positive" in refused(*both, "--max-error", "0.5,much")
    with xr.open_dataset(archive / "chl.nc") as dataset:
        dataset.chl.attrs["units"] = "g m-3"
        dataset.to_netcdf(tmp_path / "grams.nc")
    assert "trained on chl in mg m-3, but chl is in g m-3" in refused(
        *fill, "--data", archive / "sst.nc", "--data", tmp_path / "grams.nc"
    )
    train = ["train", "--data", archive / "both.zarr", "--variable", "sst,chl", "--out", tmp_path / "run", *TRAIN]
    assert "transform names 3 bands, the field has 2" in refused(*train, "--transform", "log,log,none")


def test_training_goes_on_and_a_dataset_is_a_field(archive, run_of_two):
    command("train", "--resume", run_of_two, "--steps", "3")
    with xr.open_dataset(archive / "both.zarr", engine="zarr", consolidated=False) as dataset:
        filled = geogan.Reconstructor.load(run_of_two).fill(dataset[["sst", "chl"]].load())
        accessed = dataset.geogan.fill(run_of_two, variable=["sst", "chl"])
    assert filled.sst.dtype == dataset.sst.dtype and filled.chl.attrs["units"] == "mg m-3"
    xr.testing.assert_allclose(accessed, filled)


@pytest.mark.parametrize(("bad", "sentence"), [(np.nan, "'chl' holds no value at all"), (2.0, "'chl' is 2 wherever")])
def test_each_variable_must_have_something_to_say(bad, sentence):
    field = join_variables([maps("sst"), maps("chl") * np.nan if np.isnan(bad) else xr.full_like(maps("chl"), bad)])
    with pytest.raises(InputError, match=sentence):
        check_field(Field.of(field))
