"""Fields open lazily, whole and in order; what cannot be used is refused in one sentence."""

import functools
import http.server
import re
import shutil
import sys
import threading
from pathlib import Path

import dask
import dask.array
import numpy as np
import pytest
import xarray as xr

from geogan import io
from geogan.coordinates import find_axes
from geogan.io import (
    check_field,
    choose_variable,
    missing_chunks,
    observed_anywhere,
    open_domain,
    open_field,
    open_masks,
    open_source,
    variable_names,
)
from geogan.operators.errors import InputError

DATA = Path(__file__).parents[2] / "shared" / "data"
VARIABLES = {"chl_california": "chl_8day", "modis_lst_20160804": "lst_masked"}


def film(steps=6, *, start="2001-06-28"):
    values = np.random.default_rng(1).normal(15, 3, (steps, 5, 7)).round(2)
    values[:, 0, :2] = np.nan
    values[1, 2:, 3:] = np.nan
    return xr.Dataset(
        {
            "sst": (("time", "lat", "lon"), values, {"units": "degree_Celsius"}),
            "sea_mask": (("lat", "lon"), np.isfinite(values[0]).astype("int8")),
        },
        coords={
            "time": np.datetime64(start, "ns") + np.arange(steps) * np.timedelta64(1, "D"),
            "lat": ("lat", np.linspace(40.0, 38.0, 5), {"units": "degrees_north"}),
            "lon": ("lon", np.linspace(355.0, 358.0, 7), {"units": "degrees_east"}),
            "depth": ((), 0.5, {"units": "m"}),
        },
        attrs={"title": "a small sea", "institution": "none"},
    )


def quiet(dataset, path, **options):
    dataset.to_zarr(path, consolidated=options.pop("consolidated", False), **options)
    return path


def same(opened, dataset):
    xr.testing.assert_identical(opened.compute().drop_attrs(), dataset.sst.drop_attrs())
    assert opened.attrs == dataset.sst.attrs


@pytest.mark.parametrize("kind", ["v3", "v2", "netcdf4", "netcdf3", "string", "file url"])
def test_every_kind_of_file_comes_back_as_it_was(tmp_path, kind):
    dataset = film()
    if kind in ("v2", "v3"):
        path = quiet(dataset, tmp_path / "a.zarr", zarr_format=int(kind[1]), consolidated=kind == "v2")
    else:
        path = tmp_path / "a.nc"
        dataset.to_netcdf(path, format="NETCDF3_64BIT" if kind == "netcdf3" else "NETCDF4")
    source = open_source({"string": str(path), "file url": path.as_uri()}.get(kind, path))
    same(source.field, dataset)
    assert dask.is_dask_collection(source.field)
    assert source.attrs == dataset.attrs
    assert source.paths == (str(path),)


def test_packing_is_undone_and_remembered(tmp_path):
    dataset = film()
    packing = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 20.0, "_FillValue": -999}
    dataset.to_netcdf(tmp_path / "a.nc", encoding={"sst": packing, "time": {"units": "hours since 1950-01-01"}})
    field = open_field(tmp_path / "a.nc")
    np.testing.assert_allclose(field, dataset.sst, atol=1e-6)
    assert {key: field.encoding[key] for key in packing} == packing
    assert field.time.encoding["units"].startswith("hours since 1950-01-01")


def test_nothing_is_read_on_opening(tmp_path):
    quiet(film(), tmp_path / "a.zarr", encoding={"sst": {"chunks": (2, 5, 4)}})

    def fail(*args, **kwargs):
        raise AssertionError("computed")

    with dask.config.set(scheduler=fail):
        field = open_field(tmp_path / "a.zarr", time="2001-07")
    assert field.sizes["time"] == 3


def test_dask_chunks_are_whole_stored_chunks_of_a_sensible_size(tmp_path, monkeypatch):
    shape, stored = (700, 300, 400), (7, 150, 100)
    values = dask.array.zeros(shape, chunks=stored, dtype="f4")
    dataset = xr.Dataset({"sst": (("time", "y", "x"), values)})
    quiet(
        dataset,
        tmp_path / "a.zarr",
        compute=False,
        encoding={"sst": {"chunks": stored, "fill_value": np.nan}},
    )
    field = open_field(tmp_path / "a.zarr")
    for blocks, size in zip(field.chunks, stored):
        assert all(block % size == 0 for block in blocks[:-1])
    assert field.chunks[1:] == ((300,), (400,))
    assert 3 * 2**20 < field.data.nbytes / field.data.numblocks[0] <= 8 * 2**20
    # The graph of an archive of any size is small.
    monkeypatch.setattr(io, "_MOST_BLOCKS", 9)
    few = open_field(tmp_path / "a.zarr")
    assert few.data.npartitions <= 10 and few.chunks[0][0] % 7 == 0


def test_dimensions_are_ordered_and_single_levels_squeezed(tmp_path):
    dataset = film().drop_vars("depth").expand_dims(depth=[0.5]).transpose("lon", "depth", "lat", "time")
    dataset.to_netcdf(tmp_path / "a.nc")
    field = open_field(tmp_path / "a.nc", variable="sst")
    assert field.dims == ("time", "lat", "lon")
    assert field.depth == 0.5
    two = xr.concat([dataset, dataset.assign_coords(depth=[10.0])], "depth")
    two.to_netcdf(tmp_path / "b.nc")
    with pytest.raises(InputError, match=r"choose one entry of depth \(2\)"):
        open_field(tmp_path / "b.nc", variable="sst")


@pytest.mark.parametrize(
    "give", [str, lambda pattern: [str(p) for p in sorted(pattern.parent.glob("*"), reverse=True)]]
)
def test_many_files_are_one_field_in_order_of_time(tmp_path, give):
    dataset = film(9)
    for n in range(3):
        dataset.isel(time=slice(3 * n, 3 * n + 3)).to_netcdf(tmp_path / f"a{n}.nc")
    field = open_field(give(tmp_path / "a*.nc"))
    same(field, dataset)
    assert field.encoding["dtype"] == "float64"


def test_files_of_one_date_each_are_one_field(tmp_path):
    dataset = film(3)
    for n in range(3):
        dataset.isel(time=n).to_netcdf(tmp_path / f"a{n}.nc")
    same(open_field(tmp_path / "*.nc"), dataset)


def test_files_that_do_not_go_together_are_refused(tmp_path):
    dataset = film()
    dataset.to_netcdf(tmp_path / "a.nc")
    dataset.assign_coords(lat=dataset.lat + 1).to_netcdf(tmp_path / "b.nc")
    with pytest.raises(InputError, match=r"b\.nc is on another grid than .*a\.nc"):
        open_field(tmp_path / "*.nc")
    with pytest.raises(InputError, match="2001-06-28 is found in more than one of the 2 files"):
        open_field([tmp_path / "a.nc", tmp_path / "a.nc"])
    dataset[["sea_mask"]].to_netcdf(tmp_path / "c.nc")
    with pytest.raises(InputError, match=r"c\.nc has no variable 'sst', which the first file has"):
        open_field([tmp_path / "a.nc", tmp_path / "c.nc"])


@pytest.mark.parametrize(
    ("time", "days"),
    [
        ("2001", 6),
        ("2001-06", 3),
        ("2001-06-29", 1),
        ("2001-06-29/2001-07-01", 3),
        ("2001-07/", 3),
        ("/2001-06-28", 1),
    ],
)
@pytest.mark.parametrize("calendar", ["standard", "noleap"])
def test_time_is_selected_with_both_ends(tmp_path, time, days, calendar):
    dataset = film()
    if calendar == "noleap":
        dataset = dataset.convert_calendar("noleap", use_cftime=True)
    dataset.to_netcdf(tmp_path / "a.nc")
    assert open_field(tmp_path / "a.nc", time=time).sizes["time"] == days


def test_time_that_selects_nothing_says_what_there_is(tmp_path):
    film().to_netcdf(tmp_path / "a.nc")
    with pytest.raises(InputError, match="selects nothing of .*dates go from 2001-06-28 to 2001-07-03"):
        open_field(tmp_path / "a.nc", time="1999")
    with pytest.raises(InputError, match="'summer' is not understood; write a year"):
        open_field(tmp_path / "a.nc", time="summer")
    film().isel(time=0, drop=True).to_netcdf(tmp_path / "b.nc")
    with pytest.raises(InputError, match="has no dates; leave time out"):
        open_field(tmp_path / "b.nc", time="1999")


def test_the_variable_is_told_or_asked_for(tmp_path):
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


def test_a_quantity_in_days_stays_a_number(tmp_path):
    xr.Dataset({"age": (("y", "x"), np.ones((3, 2)), {"units": "days"})}).to_netcdf(tmp_path / "a.nc")
    assert open_field(tmp_path / "a.nc").dtype == np.float64


def test_names_that_lead_nowhere(tmp_path):
    for name, words in [
        (tmp_path / "no.nc", r"no\.nc' does not exist; give a Zarr store"),
        (tmp_path / "no" / "no.nc", "the folder .* does not exist either"),
        (tmp_path / "*.nc", "no file matches"),
        ([], "no file is named"),
        ("", "the name of the data is empty"),
    ]:
        with pytest.raises(InputError, match=words):
            open_field(name)


def test_files_that_are_something_else(tmp_path):
    (tmp_path / "a.nc").write_text("lat,lon,sst\n")
    (tmp_path / "e.nc").write_bytes(b"")
    (tmp_path / "g.grib").write_bytes(b"GRIB....")
    (tmp_path / "folder").mkdir()
    film().to_netcdf(tmp_path / "folder" / "a.nc")
    for name, words in [
        ("a.nc", "neither a Zarr store nor a NetCDF file; give one of them$"),
        ("e.nc", "is empty; copy"),
        ("g.grib", "convert GRIB to NetCDF first"),
        ("folder", r"is a folder but not a Zarr store.*for the NetCDF files in it give '.*/folder/\*\.nc'"),
    ]:
        with pytest.raises(InputError, match=words):
            open_field(tmp_path / name)
    quiet(film(), tmp_path / "a.zarr", zarr_format=2)
    with pytest.raises(InputError, match="is one Zarr array, where a group"):
        open_field(tmp_path / "a.zarr" / "sst")


@pytest.mark.parametrize("form", ["NETCDF4", "NETCDF3_64BIT", "NETCDF3_CLASSIC"])
@pytest.mark.parametrize("share", [0.9, 0.1])
def test_a_netcdf_cut_short_is_noticed(tmp_path, form, share):
    path = tmp_path / "a.nc"
    film(200).to_netcdf(path, format=form, unlimited_dims=["time"] if form == "NETCDF3_CLASSIC" else None)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(
        InputError, match=r"a\.nc cannot be read: it is damaged or cut short .*; copy or write it again"
    ):
        open_field(path)


def test_times_that_cannot_be_decoded(tmp_path):
    dataset = film().drop_vars("time").assign_coords(time=("time", np.arange(6), {"units": "moons since 2001-01-01"}))
    dataset.to_netcdf(tmp_path / "a.nc")
    with pytest.raises(InputError, match=r"the times of .*a\.nc cannot be decoded"):
        open_field(tmp_path / "a.nc")


def test_a_damaged_chunk_is_named_when_it_is_read(tmp_path):
    path = quiet(film(), tmp_path / "a.zarr", encoding={"sst": {"chunks": (2, 5, 7)}})
    chunk = path / "sst" / "c" / "1" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:20])
    field = open_field(path)
    with pytest.raises(InputError, match=r"'sst' of .*a\.zarr cannot be read, .*: it is damaged or cut short there"):
        check_field(field, find_axes(field))


def packed_store(tmp_path, dataset):
    packing = {"dtype": "int16", "scale_factor": 0.01, "_FillValue": -999, "chunks": (2, 5, 7)}
    return quiet(dataset, tmp_path / "a.zarr", encoding={"sst": packing})


def test_a_lost_chunk_that_would_read_as_a_measurement_is_refused(tmp_path):
    path = packed_store(tmp_path, film())
    assert missing_chunks(path, "sst") == (0, 3)
    shutil.rmtree(path / "sst" / "c" / "1")
    assert missing_chunks(path, "sst") == (1, 3)
    with pytest.raises(InputError, match=r"'sst' of .*a\.zarr lacks 1 of its 3 chunk files, which would read as 0"):
        open_field(path)
    shutil.rmtree(path / "sst" / "c")
    with pytest.raises(InputError, match="none of its 3 chunks on disk; copy the store again"):
        open_field(path)


def test_an_absent_chunk_of_a_field_full_of_noughts_is_believed(tmp_path):
    dataset = film()
    dataset["sst"] = dataset.sst.where(dataset.sst > 15, 0.0)  # as rain, or ice
    dataset["sst"][2:4] = 0.0
    path = packed_store(tmp_path, dataset)
    assert missing_chunks(path, "sst") == (1, 3)
    assert float(open_field(path)[2:4].max()) == 0.0


@pytest.mark.parametrize("version", [2, 3])
def test_an_absent_chunk_that_means_missing_is_a_gap(tmp_path, version):
    dataset = film()
    dataset["sst"][2:4] = np.nan
    path = quiet(dataset, tmp_path / "a.zarr", zarr_format=version, encoding={"sst": {"chunks": (2, 5, 7)}})
    assert missing_chunks(path, "sst") == (1, 3)
    assert open_field(path)[2:4].isnull().all()


def refused(values, words, **coords):
    field = xr.DataArray(values, dims=("time", "y", "x"), coords=coords, name="sst")
    with pytest.raises(InputError, match=words):
        check_field(field, find_axes(field))


def test_fields_with_nothing_to_learn_are_refused():
    values = film().sst.values
    refused(np.full((3, 4, 2), np.nan), "'sst' holds no value at all")
    refused(np.where(values == values[0, 2, 2], np.inf, values), "holds infinite values; set them to NaN")
    refused(np.where(values == values[0, 2, 2], -np.inf, values), "holds infinite values")
    refused(np.where(np.isnan(values), np.nan, 4.5), "'sst' is 4.5 wherever it is seen; a constant field")
    refused(np.zeros((0, 4, 2)), "has no entry along 'time'")
    refused(np.full((3, 4, 2), "warm"), "where numbers are expected")
    refused(values, r"do not increase .*field\.sortby\('time'\)", time=[0, 1, 2, 2, 3, 4])


def test_a_survey_counts_what_is_seen():
    field = film().sst.chunk({"time": 2, "lon": 4})
    survey = check_field(field, find_axes(field))
    values = field.values
    assert survey.cells == 33
    assert survey.observed == np.isfinite(values).sum()
    assert (survey.minimum, survey.maximum) == (np.nanmin(values), np.nanmax(values))
    np.testing.assert_array_equal(survey.domain, np.isfinite(values).any(0))
    np.testing.assert_array_equal(survey.domain, observed_anywhere(field.transpose("lon", "time", "lat")))
    np.testing.assert_allclose(survey.seen_share, np.isfinite(values).sum((1, 2)) / 33)
    assert survey.seen_share.shape == (6,)
    assert (str(survey.first)[:10], str(survey.last)[:10]) == ("2001-06-28", "2001-07-03")
    assert not survey.gap_free
    whole = field.isel(time=[0, 2])
    assert check_field(whole, find_axes(whole)).gap_free
    single = field.isel(time=0)
    assert check_field(single, find_axes(single)).seen_share.tolist() == [1.0]
    counts = (field.fillna(0) * 100).astype("int32")
    assert check_field(counts, find_axes(counts)).gap_free


def test_a_survey_reads_every_chunk_once():
    reads = []

    def block(block_info=None):
        reads.append(block_info[None]["chunk-location"])
        return np.random.default_rng(0).random(block_info[None]["chunk-shape"])

    values = dask.array.map_blocks(block, chunks=((2, 2), (3, 3), (4,)), dtype=float)
    field = xr.DataArray(values, dims=("time", "y", "x"))
    check_field(field, find_axes(field))
    assert sorted(reads) == sorted(set(reads))
    assert len(reads) == 4


def test_a_domain_is_read_on_the_grid_of_the_field(tmp_path):
    dataset = film()
    dataset["land"] = 1.0 - dataset.sea_mask
    dataset["both"] = dataset.sea_mask * 2
    dataset["none"] = dataset.sea_mask * 0
    dataset.to_netcdf(tmp_path / "a.nc")
    field = open_field(tmp_path / "a.nc", variable="sst")
    domain = open_domain(tmp_path / "a.nc", "sea_mask", field)
    np.testing.assert_array_equal(domain, dataset.sea_mask == 1)
    for name, words in [
        ("both", "must hold 1 at sea and 0 on land"),
        ("none", "is 0 everywhere"),
        ("sst", "where a mask of .* is expected"),
        ("ice", "has no variable 'ice'"),
    ]:
        with pytest.raises(InputError, match=words):
            open_domain(tmp_path / "a.nc", name, field)
    with pytest.raises(InputError, match="is not the grid of"):
        open_domain(tmp_path / "a.nc", "sea_mask", field.isel(lat=slice(None, None, -1)))
    with pytest.raises(InputError, match=re.escape("on a grid of (5, 7), which is not the grid of")):
        open_domain(tmp_path / "a.nc", "sea_mask", field.isel(lon=slice(3)))


@pytest.fixture
def server(tmp_path):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_fields_behind_a_web_server(tmp_path, server, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    dataset = film()
    quiet(
        dataset,
        tmp_path / "a.zarr",
        zarr_format=2,
        consolidated=True,
        encoding={"sst": {"chunks": (2, 5, 4)}},
    )
    dataset.to_netcdf(tmp_path / "a.nc")
    same(open_field(f"{server}/a.zarr"), dataset)
    same(open_field(f"{server}/a.nc"), dataset)
    for name in ("no.zarr", "no.nc"):
        with pytest.raises(InputError, match=f"{name} cannot be read .*check the address"):
            open_field(f"{server}/{name}")


def test_object_stores_name_the_package_they_need(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    with pytest.raises(InputError, match=r"pip install 'geogan\[cloud\]'"):
        open_field("s3://bucket/a.zarr")


REAL = [p for p in sorted(DATA.glob("*/*.nc")) if p.stem != "landsat106_benchmark"]


@pytest.mark.skipif(not REAL, reason="the real fields are not at hand")
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_real_fields_open(path):
    field = open_field(path, variable=VARIABLES.get(path.stem))
    axes = find_axes(field)
    survey = check_field(field.isel({axes.time: slice(0, 60)}) if axes.time else field, axes)
    assert survey.observed > 0
    assert survey.domain.shape == (field.sizes[axes.y], field.sizes[axes.x])
    with xr.open_dataset(path, decode_timedelta=False) as plain:
        np.testing.assert_array_equal(field[..., -1, -1], plain[field.name][..., -1, -1])


def test_masks_come_with_a_field(tmp_path):
    dataset = film().assign(depth_mask=("lat", np.ones(5, "int8")), bathymetry=(("lat", "lon"), np.ones((5, 7))))
    path = quiet(dataset, tmp_path / "a.zarr")
    masks = open_masks(path, open_field(path, variable="sst"))
    assert list(masks) == ["sea_mask"] and not masks.coords
    np.testing.assert_array_equal(masks.sea_mask, dataset.sea_mask)
    assert set(variable_names(path)) == {"sst", "sea_mask", "depth_mask", "bathymetry"}


def test_the_variable_of_a_filled_product(tmp_path):
    filled = film()
    filled["sst_source"] = filled.sst.notnull().astype("int8").assign_attrs(flag_values=[0, 1])
    filled["sst_std"] = filled.sst * 0
    assert choose_variable(filled) == "sst"
    assert choose_variable(filled, "sst_std") == "sst_std"
    with pytest.raises(InputError, match="several gridded variables, sst, sst_std"):
        choose_variable(filled.drop_vars("sst_source"))
    with pytest.raises(InputError, match="the dataset has no variable 'ice'"):
        choose_variable(filled, "ice")
