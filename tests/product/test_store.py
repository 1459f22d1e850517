"""A product is complete or not there, means what the field meant, and never costs what was there before."""

import errno
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import dask
import dask.array
import netCDF4
import numpy as np
import pytest
import xarray as xr

import geogan.product.store
from geogan.io import open_field, open_source
from geogan.operators.errors import InputError
from geogan.product.chunk_store import layout
from geogan.product.store import Product, check_output, chunk_store, is_finished, is_product, read_state, write_dataset

SHAPE = (5, 6, 8)
CHUNKS = {"time": 2, "lat": 3}


def film(*, packed=False, times=None):
    """Decreasing latitudes, longitudes beyond 180, a scalar depth, some land, float64."""
    values = np.random.default_rng(0).normal(290, 5, SHAPE).round(2)
    values[:, 0, 1] = np.nan
    values[2, 3] = np.nan
    when = np.arange(SHAPE[0]) * np.timedelta64(6, "h") + np.datetime64("2001-02-27", "ns")
    field = xr.DataArray(
        values,
        dims=("time", "lat", "lon"),
        coords={
            "time": when if times is None else times,
            "lat": ("lat", np.linspace(10, -5, SHAPE[1]), {"units": "degrees_north"}),
            "lon": ("lon", np.linspace(170, 205, SHAPE[2]), {"units": "degrees_east"}),
            "depth": ((), 0.5, {"units": "m"}),
        },
        attrs={"units": "K", "standard_name": "sea_surface_temperature"},
        name="sst",
    )
    if packed:
        field.encoding = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 273.15}
        field.encoding |= {"_FillValue": -32768, "chunksizes": (1, 6, 8)}
    return field


def regions():
    return [{"time": slice(t, min(t + 2, 5)), "lat": slice(y, y + 3)} for t in (0, 2, 4) for y in (0, 3)]


def part(field, region):
    return {"sst": field.isel(region).values}


def begin(path, field, **options):
    return Product.begin(path, field.to_dataset(), **({"chunks": CHUNKS, "digest": "a"} | options))


def whole(path, field, **options):
    with begin(path, field, **options) as product:
        for region in product.missing(regions()):
            product.write(region, part(field, region))
        return product.finish()


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
@pytest.mark.parametrize("packed", [False, True])
def test_round_trip(tmp_path, suffix, packed):
    field = film(packed=packed)
    out = whole(tmp_path / f"out{suffix}", field)
    assert [p.name for p in tmp_path.iterdir()] == [out.name]
    assert is_product(out)
    source = open_source(out)
    xr.testing.assert_allclose(source.field.compute(), field, rtol=0, atol=1e-9)
    assert source.field.attrs == field.attrs
    assert source.field.lat.attrs == field.lat.attrs
    assert source.attrs["Conventions"] == "CF-1.8"
    raw = xr.open_dataset(out, decode_cf=False, engine="zarr" if suffix == ".zarr" else "netcdf4")
    assert raw.sst.dtype == ("int16" if packed else "float64")
    assert raw.time.dtype == "float64"
    for name in ("time", "lat", "lon", "depth"):
        assert "_FillValue" not in raw[name].attrs
    if packed:
        assert raw.sst.values[0, 0, 1] == -32768


def test_packed_values_come_back_bit_for_bit(tmp_path):
    field = film(packed=True)
    field.to_netcdf(tmp_path / "source.nc")
    source = open_field(tmp_path / "source.nc")
    out = write_dataset(source.to_dataset(), tmp_path / "copy.zarr")
    np.testing.assert_array_equal(open_field(out).values, source.values)


@pytest.mark.parametrize("value", [5000.0, -5000.0, -32768 * 0.01 + 273.15])
def test_values_beyond_a_packing_are_refused_and_not_clipped(tmp_path, value):
    """Also one whose number means missing."""
    field = film(packed=True)
    field[0, 1, 1] = value
    with pytest.raises(InputError, match="sst holds .* which its encoding as int16 has no number for"):
        whole(tmp_path / "out.zarr", field)


def test_gaps_in_whole_numbers_without_a_fill_value_are_refused(tmp_path):
    field = film(packed=True)
    del field.encoding["_FillValue"]
    with pytest.raises(InputError, match="sst has gaps, and its encoding as int16 has no fill value"):
        whole(tmp_path / "out.zarr", field)


def test_unsigned_marks_become_unsigned_integers(tmp_path):
    field = film()
    field.encoding = {"dtype": "int8", "_Unsigned": "true", "scale_factor": 1.0, "add_offset": 200.0}
    field.encoding["_FillValue"] = np.int8(-1)
    with xr.open_zarr(whole(tmp_path / "out.zarr", field)) as back:
        np.testing.assert_allclose(back.sst, field.round(), atol=0.51)


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_calendars_are_kept(tmp_path, suffix):
    times = xr.date_range("2004-02-27", periods=5, calendar="noleap", use_cftime=True).tolist()
    back = open_field(whole(tmp_path / f"out{suffix}", film(times=times)))
    assert back.time.values.tolist() == times
    assert back.time.dt.calendar == "noleap"


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
@pytest.mark.parametrize("units", ["months since 2000-01-01", "hr since 2000-01-01"])
def test_times_in_units_that_cannot_be_written_get_others(tmp_path, suffix, units):
    numbers = xr.DataArray(np.arange(5.0), dims="time", attrs={"units": units, "calendar": "360_day"})
    dataset = xr.decode_cf(xr.Dataset({"sst": (("time", "y", "x"), np.zeros((5, 2, 2)))}, coords={"time": numbers}))
    out = tmp_path / f"out{suffix}"
    write_dataset(dataset, out)
    back = xr.open_dataset(out, engine="zarr" if suffix == ".zarr" else "netcdf4")
    np.testing.assert_array_equal(back.time.values, dataset.time.values)
    assert back.time.dt.calendar == "360_day"


def test_template_is_never_computed(tmp_path):
    def fail(*args, **kwargs):
        raise AssertionError("computed")

    field = film()
    with dask.config.set(scheduler=fail):
        product = begin(tmp_path / "out.zarr", field.chunk({"time": 1}))
    product.close()


def test_a_run_stopped_in_the_middle_goes_on(tmp_path):
    field, out = film(), tmp_path / "out.zarr"
    with begin(out, field) as product:
        for region in regions()[:4]:
            product.write(region, part(field, region))
        with pytest.raises(ValueError, match="2 of 6 chunks of 'sst' are not written yet"):
            product.finish()
    assert not out.exists()
    # The last line may have been cut off with the power.
    with (tmp_path / ".out.zarr.partial" / "done.jsonl").open("a") as file:
        file.write('{"region": {"time"')
    with begin(out, field) as product:
        assert product.missing(regions()) == regions()[4:]
        for region in product.missing(regions()):
            product.write(region, part(field, region))
        product.finish()
    xr.testing.assert_equal(open_field(out).compute(), field)


def test_a_killed_process_leaves_a_lock_that_does_not_hold(tmp_path):
    field, out = film(), tmp_path / "out.zarr"
    field.to_netcdf(tmp_path / "field.nc")
    code = f"""
        import time, xarray as xr
        from geogan.product.store import Product
        ds = xr.open_dataset({str(tmp_path / "field.nc")!r})
        product = Product.begin({str(out)!r}, ds, chunks={CHUNKS!r}, digest="a")
        region = {{"time": slice(0, 2), "lat": slice(0, 3)}}
        product.write(region, {{"sst": ds.sst.isel(region).values}})
        print("written", flush=True)
        time.sleep(60)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "written\n"
        with pytest.raises(InputError, match=rf"being written by another process \(pid {child.pid}\)"):
            begin(out, field)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
    assert not out.exists()
    with begin(out, field) as product:
        assert product.missing(regions()) == regions()[1:]


def test_what_is_done_of_another_product_is_thrown_away_only_when_asked(tmp_path):
    field, out = film(), tmp_path / "out.zarr"
    with begin(out, field, digest="0") as product:
        assert product.missing(regions()) == regions()
    # Nothing was done of that one.
    with begin(out, field) as product:
        for region in regions()[:2]:
            product.write(region, part(field, region))
    for write in (lambda: begin(out, field, digest="b"), lambda: write_dataset(field.to_dataset(), out)):
        with pytest.raises(
            InputError, match="and 2 of its regions are finished; give that command again .*--overwrite"
        ):
            write()
    with begin(out, field) as product:
        assert product.missing(regions()) == regions()[2:]
    with begin(out, field, digest="b", overwrite=True) as product:
        assert product.missing(regions()) == regions()


def test_what_nobody_can_go_on_with_is_in_nobodys_way(tmp_path, monkeypatch):
    """A dataset without a digest: whatever is written next begins anew."""
    field, out = film(), tmp_path / "out.zarr"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Product, "finish", lambda product: (_ for _ in ()).throw(KeyboardInterrupt))
        write_dataset(field.to_dataset(), out)
    assert (tmp_path / ".out.zarr.partial" / "done.jsonl").exists()
    xr.testing.assert_equal(open_field(write_dataset(field.to_dataset(), out)).compute(), field)


def test_a_disk_that_fails_for_a_moment_is_no_reason_to_begin_anew(tmp_path, monkeypatch):
    field, out = film(), tmp_path / "out.zarr"
    with begin(out, field) as product:
        product.write(regions()[0], part(field, regions()[0]))
    read = geogan.product.store.read_json

    def fail(file):
        if file.name == "product.json":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(file)

    with monkeypatch.context() as patch, pytest.raises(InputError, match="cannot be written: Input/output error"):
        patch.setattr(geogan.product.store, "read_json", fail)
        begin(out, field, overwrite=True)
    with begin(out, field) as product:
        assert product.missing(regions()) == regions()[1:]


def test_what_is_no_partial_product_is_never_replaced(tmp_path):
    foreign = tmp_path / ".other.zarr.partial"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="is in the way and no partial product of geogan; move it"):
        begin(tmp_path / "other.zarr", film())
    assert (foreign / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_what_is_there_stays_until_the_new_one_is_complete(tmp_path, suffix):
    field = film()
    out = whole(tmp_path / f"out{suffix}", field)
    with pytest.raises(InputError, match="exists; give another name, or overwrite"):
        begin(out, field)
    with begin(out, field + 1, overwrite=True) as product:
        product.write(regions()[0], part(field + 1, regions()[0]))
        xr.testing.assert_equal(open_field(out).compute(), field)
    whole(out, field + 1, overwrite=True)
    xr.testing.assert_equal(open_field(out).compute(), field + 1)
    assert [p.name for p in tmp_path.iterdir()] == [out.name]


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_what_is_not_a_product_is_never_replaced(tmp_path, suffix):
    out = tmp_path / f"truth{suffix}"
    if suffix == ".nc":
        film().to_netcdf(out)
    else:
        film().to_zarr(out, consolidated=False)
    with pytest.raises(InputError, match="was not made by geogan, so it stays"):
        whole(out, film(), overwrite=True)
    assert out.exists()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_failed_rename_brings_the_old_one_back(tmp_path, monkeypatch):
    field = film()
    out = whole(tmp_path / "out.zarr", field)
    rename = Path.rename

    def fail(self, target):
        if self.name == "store.zarr":
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    monkeypatch.setattr("geogan.files.swap.exchange", lambda one, other: False)
    with pytest.raises(InputError, match="cannot be written: Input/output error"):
        whole(out, field + 1, overwrite=True)
    xr.testing.assert_equal(open_field(out).compute(), field)


def test_a_stop_between_the_renames_is_undone(tmp_path):
    field = film()
    out = whole(tmp_path / "out.zarr", field)
    begin(out, field + 1, overwrite=True).close()
    out.rename(tmp_path / ".out.zarr.partial" / "old")
    with pytest.raises(InputError, match="exists; give another name"):
        begin(out, field + 1)
    xr.testing.assert_equal(open_field(out).compute(), field)


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.ENOSPC, "the disk is full; make room"), (errno.EROFS, "is read-only; give another")],
)
def test_a_full_or_read_only_disk_is_one_sentence(tmp_path, monkeypatch, code, words):
    field, out = film(), tmp_path / "out.zarr"

    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    with begin(out, field) as product, monkeypatch.context() as patch:
        patch.setattr(xr.Dataset, "to_zarr", fail)
        with pytest.raises(InputError, match=words + ".*is kept in .*run again to go on") as caught:
            product.write(regions()[0], part(field, regions()[0]))
        assert str(out) in str(caught.value)
        assert product.missing(regions()) == regions()
    assert not out.exists()
    with monkeypatch.context() as patch:
        patch.setattr(xr.Dataset, "to_zarr", fail)
        with pytest.raises(InputError, match=words):
            begin(tmp_path / "new.zarr", field)
    assert not (tmp_path / ".new.zarr.partial").exists()


def test_a_full_disk_while_writing_netcdf_keeps_the_work(tmp_path, monkeypatch):
    field, out = film(), tmp_path / "out.nc"

    def fail(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(geogan.product.store, "write_netcdf", fail)
        with pytest.raises(InputError, match="the disk is full"):
            whole(out, field)
    assert not out.exists()
    with begin(out, field) as product:
        assert product.missing(regions()) == []
        product.finish()
    xr.testing.assert_equal(open_field(out).compute(), field)


def test_threads_write_together(tmp_path):
    field, failures = film(packed=True), []
    with begin(tmp_path / "out.zarr", field) as product:

        def work(region):
            try:
                product.write(region, part(field, region))
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(region,)) for region in regions()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        product.finish()
    np.testing.assert_allclose(open_field(tmp_path / "out.zarr").values, field.values, atol=1e-9)


def test_regions_that_cut_chunks_and_wrong_arrays_are_refused(tmp_path):
    field = film()
    with begin(tmp_path / "out.zarr", field) as product:
        for region, words in [
            ({"time": slice(1, 3)}, "must start and stop at multiples of the chunk, 2, or at the end, 5"),
            ({"time": slice(0, 3)}, "time=0:3"),
            ({"band": slice(0, 1)}, "names band"),
        ]:
            with pytest.raises(ValueError, match=words):
                product.write(region, {"sst": np.zeros((2, 6, 8))})
        with pytest.raises(ValueError, match=r"has shape \(2, 6, 7\) for a region of \(2, 6, 8\)"):
            product.write({"time": slice(0, 2)}, {"sst": np.zeros((2, 6, 7))})
        with pytest.raises(ValueError, match="no variable 'ssh'; it has sst"):
            product.write({}, {"ssh": np.zeros(SHAPE)})


def test_empty_looking_chunks_are_on_disk(tmp_path):
    out = write_dataset(xr.zeros_like(film()).astype("uint8").to_dataset(name="source"), tmp_path / "out.zarr")
    assert (out / "source" / "c" / "0" / "0" / "0").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "the name of a file or folder is empty"),
        ("..", "is no name of a file"),
        ("a.zarr/..", "is no name of a file"),
        ("out.csv", r"must end in \.zarr or \.nc"),
        ("s3://bucket/out.zarr", "is a URL"),
        ("nowhere/out.zarr", "does not exist; make it first"),
    ],
)
def test_weird_names_are_refused(tmp_path, monkeypatch, name, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words):
        check_output(name)
    assert list(tmp_path.iterdir()) == []


def test_links_are_refused(tmp_path):
    (tmp_path / "truth.zarr").mkdir()
    (tmp_path / "out.zarr").symlink_to(tmp_path / "truth.zarr")
    with pytest.raises(InputError, match="is a link"):
        check_output(tmp_path / "out.zarr", overwrite=True)


def test_write_dataset_holds_one_block_at_a_time(tmp_path):
    alive, most = set(), []

    def block(block_info=None):
        alive.add(block_info[None]["chunk-location"])
        most.append(len(alive))
        return np.full(block_info[None]["chunk-shape"], 1.0)

    values = dask.array.map_blocks(block, chunks=((3, 3, 1), (4, 4)), dtype=float)
    dataset = xr.Dataset({"sst": (("y", "x"), values), "mask": (("y", "x"), np.ones((7, 8), "i1")), "crs": 4326})
    seen = []
    write = Product.write

    def count(self, region, arrays):
        seen.append(len(alive))
        write(self, region, arrays)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Product, "write", count)
        out = write_dataset(dataset, tmp_path / "out.nc")
    assert seen == [1, 2, 3, 4, 5, 6]
    with xr.open_dataset(out) as back:
        assert back.sst.sum() == 56
        assert back.crs == 4326
        assert back.mask.dtype == "int8"


def test_write_dataset_evens_out_dask_chunks(tmp_path):
    field = film()
    uneven = field.chunk({"time": (1, 3, 1), "lat": (2, 4)}).to_dataset()
    xr.testing.assert_equal(open_field(write_dataset(uneven, tmp_path / "out.zarr")).compute(), field)


def test_a_grid_mapping_travels_and_dangling_bounds_do_not(tmp_path):
    field = film().assign_coords(crs=xr.DataArray(0, attrs={"grid_mapping_name": "latitude_longitude"}))
    field.encoding["grid_mapping"] = "crs"
    field.lat.attrs["bounds"] = "lat_bnds"
    out = write_dataset(field.to_dataset(), tmp_path / "out.nc")
    raw = xr.open_dataset(out, decode_cf=False)
    assert raw.sst.attrs["grid_mapping"] == "crs"
    assert "bounds" not in raw.lat.attrs
    assert raw.crs.attrs["grid_mapping_name"] == "latitude_longitude"


def test_flags_keep_their_type_in_netcdf(tmp_path):
    flags = xr.DataArray(np.zeros((4, 6), np.int8), dims=("y", "x"), name="source")
    flags.attrs = {"flag_values": np.array([0, 1], np.int8), "flag_meanings": "observed filled"}
    write_dataset(flags.to_dataset(), tmp_path / "flags.nc")
    with netCDF4.Dataset(tmp_path / "flags.nc") as file:
        assert file["source"].flag_values.dtype == file["source"].dtype == np.int8


def test_names_of_bands_can_be_read_again_and_again(tmp_path):
    """Strings crash the NetCDF library; characters do not."""
    bands = xr.Dataset({"image": (("band", "y", "x"), np.ones((3, 4, 5), "f4"))}, {"band": ["red", "grün", "blue"]})
    path = write_dataset(bands, tmp_path / "bands.nc")
    with netCDF4.Dataset(path) as file:
        assert file["band"].dtype == "S1"
    for _ in range(9):
        assert xr.open_dataset(path).band.values.tolist() == ["red", "grün", "blue"]


def test_another_process_writes_and_the_holder_of_the_lock_records(tmp_path):
    field, out = film(), tmp_path / "out.zarr"
    with begin(out, field) as product:
        apart = chunk_store(read_state(product.partial), product.partial)
        for number, region in enumerate(regions()):
            apart.write(region, part(field, region))
            assert product.missing(regions()) == regions()[number:]
            product.record(region, ["sst"], notes=["cloudy", f"region {number // 3}"])
    with begin(out, field) as product:
        assert product.missing(regions()) == [] and product.notes == ["cloudy", "region 0", "region 1"]
        product.finish()
    xr.testing.assert_equal(open_field(out).compute(), field)


def test_a_kill_after_two_stores_changed_places_does_not_bring_the_old_one_back(tmp_path, monkeypatch):
    field = film()
    out = whole(tmp_path / "out.zarr", field)
    with monkeypatch.context() as patch, begin(out, field + 1, overwrite=True, digest="b") as product:
        for region in regions():
            product.write(region, part(field + 1, region))
        # What is left behind is what a kill before the clearing leaves.
        patch.setattr("geogan.product.store._discard", lambda partial: None)
        product.finish()
    assert (tmp_path / ".out.zarr.partial" / "store.zarr").exists()
    with begin(out, field + 1, overwrite=True, digest="b") as product:
        assert product.missing(regions()) == regions()
    xr.testing.assert_equal(open_field(out).compute(), field + 1)


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_a_growing_dimension_keeps_its_chunks(tmp_path, suffix):
    field = film()[:1]
    with begin(tmp_path / f"out{suffix}", field, growing="time") as product:
        product.write({}, {"sst": field.values})
        assert layout(product.store.path, "sst")["chunk_grid"]["configuration"]["chunk_shape"][0] == CHUNKS["time"]
        out = product.finish()
    xr.testing.assert_equal(open_field(out).compute(), field)


class Killed(BaseException):
    """As a process ends that is killed: nobody catches it."""


def dies(action, left):
    """What is done to a disk until nothing is left."""

    def act(*args, **named):
        if next(left) == 1:
            raise Killed
        return action(*args, **named)

    return act


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_killed_at_any_moment_of_the_clearing(tmp_path, monkeypatch, suffix):
    """The next one clears what is left, never goes on with half of it, and hardly ever does all of it again."""
    out, partial = tmp_path / f"out{suffix}", tmp_path / f".out{suffix}.partial"
    maps, discard, again = xr.Dataset({"sst": (("y", "x"), np.ones((4, 6)))}), geogan.product.store._discard, 0
    for moment in itertools.count(1):
        left = iter(range(moment, 0, -1))
        write_dataset(maps, out, overwrite=True, digest="a")
        with monkeypatch.context() as patch:

            def clear(folder, left=left, patch=patch):
                for name in ("unlink", "rmdir", "replace"):
                    patch.setattr(os, name, dies(getattr(os, name), left))
                discard(folder)

            patch.setattr("geogan.product.store._discard", clear)
            try:
                write_dataset(maps + 1, out, overwrite=True, digest="b")
                break
            except Killed:
                pass
        assert xr.open_dataset(out).sst.sum() == 48
        assert not is_finished(out, "a")
        if not is_finished(out, "b", overwrite=True):
            again += 1
            write_dataset(maps + 1, out, overwrite=True, digest="b")
        assert not partial.exists() and xr.open_dataset(out).sst.sum() == 48
    assert moment > 4 and again < 4


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_all_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch, suffix):
    """And the name, before the partial product is gone: power may fail at any moment."""
    field, out, events = film(), tmp_path / f"out{suffix}", []
    sync, swap, discard = os.fsync, geogan.product.store.replace, geogan.product.store._discard

    def note(descriptor):
        events.append(os.fstat(descriptor).st_ino)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr("geogan.product.store.replace", lambda *args: (events.append("named"), swap(*args)))
    monkeypatch.setattr("geogan.product.store._discard", lambda *args: (events.append("gone"), discard(*args)))
    product = begin(out, field)
    begun = [product.partial, product.partial / "product.json", *product.store.path.rglob("zarr.json")]
    assert {place.stat().st_ino for place in begun} <= set(events)
    for region in regions():
        product.write(region, part(field, region))
    product.finish()
    named, gone = events.index("named"), events.index("gone")
    parts = [out] if suffix == ".nc" else [out, *out.glob("*"), *out.rglob("zarr.json"), *(out / "lat").rglob("*")]
    assert {place.stat().st_ino for place in parts} <= set(events[:named])
    assert tmp_path.stat().st_ino in events[named:gone]


def test_what_a_kill_left_among_chunks_is_not_published(tmp_path):
    field = film()
    with begin(tmp_path / "out.zarr", field) as product:
        for region in regions():
            product.write(region, part(field, region))
        left = product.store.path / "sst" / "c" / "0" / "0" / "0.6f1c.partial"
        left.write_bytes(b"half a chunk")
        out = product.finish()
    assert (out / "sst" / "c" / "0" / "0" / "0").exists() and not list(out.rglob("*.partial"))


def test_a_partial_product_that_another_process_took_is_not_published(tmp_path):
    """Where the file system has no locks, two can begin."""
    field, out = film(), tmp_path / "out.zarr"
    product = begin(out, field)
    for region in regions():
        product.write(region, part(field, region))
    product.close()
    other = begin(out, field, digest="b", overwrite=True)
    with pytest.raises(InputError, match="partial was taken by another process meanwhile; wait for it, and run again"):
        product.finish()
    assert not out.exists() and other.missing(regions()) == regions()
    other.close()


@pytest.mark.parametrize("ending", ["zarr", "nc"])
def test_a_kill_between_naming_and_clearing_stands_in_the_way_of_nothing(tmp_path, monkeypatch, ending):
    """A product that goes on from the finished one is begun, though the finished one's folder was not cleared."""
    path, field = tmp_path / f"out.{ending}", film()

    def write(product):
        for region in product.missing(regions()):
            product.write(region, part(field, region))

    with monkeypatch.context() as killed, begin(path, field, digest="a") as product:
        write(product)
        killed.setattr(geogan.product.store, "_discard", lambda partial: None)
        product.finish()
    assert (tmp_path / f".out.{ending}.partial" / "product.json").exists()
    after = geogan.product.store.mark_of(path)
    with begin(path, field + 1, digest="b", overwrite=True, after=after) as product:
        assert len(product.missing(regions())) == len(regions())
        write(product)
        product.finish()
    assert not (tmp_path / f".out.{ending}.partial").exists()
    assert geogan.product.store.is_same(path, "b")
