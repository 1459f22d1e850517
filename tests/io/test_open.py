"""Fields open lazily, whole and in order."""

import functools
import http.server
import math
import threading
from pathlib import Path

import dask
import dask.array
import numpy as np
import pytest
import xarray as xr

from geogan.archive import check_field
from geogan.fields.axes import find_axes
from geogan.fields.field import Field
from geogan.io import open_field, open_source
from geogan.io.open import dask_chunks
from geogan.operators.errors import InputError

DATA = Path(__file__).parents[3] / "shared" / "data"
VARIABLES = {"goes16_lst_gfs": "lst", "chl_california": "chl_8day", "modis_lst_20160804": "lst_masked"}
REAL = [p for p in sorted(DATA.glob("*/*.nc")) if p.stem != "landsat106_benchmark"]


def same(opened, dataset):
    xr.testing.assert_identical(opened.compute().drop_attrs(), dataset.sst.drop_attrs())
    assert opened.attrs == dataset.sst.attrs


@pytest.mark.parametrize("kind", ["v3", "v2", "netcdf4", "netcdf3", "string", "file url"])
def test_every_kind_of_file_comes_back_as_it_was(tmp_path, kind, film, to_store):
    dataset = film()
    if kind in ("v2", "v3"):
        path = to_store(dataset, tmp_path / "a.zarr", zarr_format=int(kind[1]), consolidated=kind == "v2")
    else:
        path = tmp_path / "a.nc"
        dataset.to_netcdf(path, format="NETCDF3_64BIT" if kind == "netcdf3" else "NETCDF4")
    source = open_source({"string": str(path), "file url": path.as_uri()}.get(kind, path))
    same(source.field.array, dataset)
    assert dask.is_dask_collection(source.field.array)
    assert source.attrs == dataset.attrs
    assert source.paths == (str(path),)


def test_packing_is_undone_and_remembered(tmp_path, film):
    dataset = film()
    packing = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 20.0, "_FillValue": -999}
    dataset.to_netcdf(tmp_path / "a.nc", encoding={"sst": packing, "time": {"units": "hours since 1950-01-01"}})
    field = open_field(tmp_path / "a.nc")
    np.testing.assert_allclose(field, dataset.sst, atol=1e-6)
    assert {key: field.encoding[key] for key in packing} == packing
    assert field.time.encoding["units"].startswith("hours since 1950-01-01")


def test_nothing_is_read_on_opening(tmp_path, film, to_store):
    to_store(film(), tmp_path / "a.zarr", encoding={"sst": {"chunks": (2, 5, 4)}})

    def fail(*args, **kwargs):
        raise AssertionError("computed")

    with dask.config.set(scheduler=fail):
        field = open_field(tmp_path / "a.zarr", time="2001-07")
    assert field.sizes["time"] == 3


def test_dask_chunks_are_whole_stored_chunks_of_a_sensible_size(tmp_path, to_store):
    shape, stored = (700, 300, 400), (7, 150, 100)
    values = dask.array.zeros(shape, chunks=stored, dtype="f4")
    dataset = xr.Dataset({"sst": (("time", "y", "x"), values)})
    to_store(
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
    few = dask_chunks(field, find_axes(field), most_chunks=9)
    assert math.prod(-(-field.sizes[dim] // size) for dim, size in few.items()) <= 10 and few["time"] % 7 == 0


def test_dimensions_are_ordered_and_single_levels_squeezed(tmp_path, film):
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
def test_many_files_are_one_field_in_order_of_time(tmp_path, give, film):
    dataset = film(9)
    for n in range(3):
        dataset.isel(time=slice(3 * n, 3 * n + 3)).to_netcdf(tmp_path / f"a{n}.nc")
    field = open_field(give(tmp_path / "a*.nc"))
    same(field, dataset)
    assert field.encoding["dtype"] == "float64"


def test_files_of_one_date_each_are_one_field(tmp_path, film):
    dataset = film(3)
    for n in range(3):
        dataset.isel(time=n).to_netcdf(tmp_path / f"a{n}.nc")
    same(open_field(tmp_path / "*.nc"), dataset)


def test_files_that_do_not_go_together_are_refused(tmp_path, film):
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


def test_a_quantity_in_days_stays_a_number(tmp_path):
    xr.Dataset({"age": (("y", "x"), np.ones((3, 2)), {"units": "days"})}).to_netcdf(tmp_path / "a.nc")
    assert open_field(tmp_path / "a.nc").dtype == np.float64


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


def test_fields_behind_a_web_server(tmp_path, server, monkeypatch, film, to_store):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    dataset = film()
    to_store(
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


@pytest.mark.skipif(not REAL, reason="the real fields are not at hand")
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_real_fields_open(path):
    field = open_field(path, variable=VARIABLES.get(path.stem))
    axes = find_axes(field)
    survey = check_field(Field.of(field.isel({axes.time: slice(0, 60)}) if axes.time else field))
    assert survey.observed > 0
    assert survey.domain.shape == (field.sizes[axes.y], field.sizes[axes.x])
    with xr.open_dataset(path, decode_timedelta=False) as plain:
        np.testing.assert_array_equal(field[..., -1, -1], plain[field.name][..., -1, -1])
