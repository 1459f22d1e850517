"""A product is complete or absent, can be resumed after a kill, and never costs what was there before."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr
from film_product import CHUNKS, SHAPE, begin, file_size_limit, film, part, regions, write_missing, write_product

from geogan.io import open_field
from geogan.operators.errors import InputError
from geogan.product import write_dataset
from geogan.product.chunk_store import layout


def test_a_template_is_never_computed(tmp_path):
    def fail(*args, **kwargs):
        raise AssertionError("computed")

    field = film()
    with dask.config.set(scheduler=fail):
        product = begin(tmp_path / "out.zarr", field.chunk({"time": 1}))
    product.close()


def test_an_interrupted_run_is_resumed(tmp_path):
    field, out = film(), tmp_path / "out.zarr"
    with begin(out, field) as product:
        for region in regions()[:4]:
            product.write(region, part(field, region))
        with pytest.raises(ValueError, match="2 of 6 chunks of 'sst' are not written yet"):
            product.finish()
    assert not out.exists()
    # A loss of power may cut the last line short.
    with (tmp_path / ".out.zarr.partial" / "done.jsonl").open("a") as file:
        file.write('{"region": {"time"')
    with begin(out, field) as product:
        assert product.missing(regions()) == regions()[4:]
        write_missing(product, field)
        product.finish()
    xr.testing.assert_equal(open_field(out).compute(), field)


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    field, out = film(), tmp_path / "out.zarr"
    field.to_netcdf(tmp_path / "field.nc")
    code = f"""
        import time, xarray as xr
        from geogan.product import Product
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


def test_finished_regions_of_another_product_are_discarded_only_on_request(tmp_path):
    field, out = film(), tmp_path / "out.zarr"
    with begin(out, field, digest="0") as product:
        assert product.missing(regions()) == regions()
    # No region of digest 0 was done, so it may be discarded.
    with begin(out, field) as product:
        for region in regions()[:2]:
            product.write(region, part(field, region))
    for write in (lambda: begin(out, field, digest="b"), lambda: write_dataset(field.to_dataset(), out)):
        with pytest.raises(
            InputError, match="with 2 finished tasks; give that command again to resume it, or --overwrite"
        ):
            write()
    with begin(out, field) as product:
        assert product.missing(regions()) == regions()[2:]
    with begin(out, field, digest="b", overwrite=True) as product:
        assert product.missing(regions()) == regions()


def test_a_temporary_failure_of_the_disk_is_no_reason_to_begin_anew(tmp_path, monkeypatch):
    field, out = film(), tmp_path / "out.zarr"
    with begin(out, field) as product:
        product.write(regions()[0], part(field, regions()[0]))
    system_open = os.open

    def fail(path, *args, **named):
        if Path(path).name == "product.json":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return system_open(path, *args, **named)

    with monkeypatch.context() as patch, pytest.raises(InputError, match="cannot be written: Input/output error"):
        patch.setattr(os, "open", fail)
        begin(out, field, overwrite=True)
    with begin(out, field) as product:
        assert product.missing(regions()) == regions()[1:]


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_the_previous_product_stays_until_the_new_one_is_complete(tmp_path, suffix):
    field = film()
    out = write_product(tmp_path / f"out{suffix}", field)
    with pytest.raises(InputError, match="exists; give another name, or overwrite"):
        begin(out, field)
    with begin(out, field + 1, overwrite=True) as product:
        product.write(regions()[0], part(field + 1, regions()[0]))
        xr.testing.assert_equal(open_field(out).compute(), field)
    write_product(out, field + 1, overwrite=True)
    xr.testing.assert_equal(open_field(out).compute(), field + 1)
    assert [p.name for p in tmp_path.iterdir()] == [out.name]


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_a_file_that_geogan_did_not_write_is_never_replaced(tmp_path, suffix):
    out = tmp_path / f"truth{suffix}"
    if suffix == ".nc":
        film().to_netcdf(out)
    else:
        film().to_zarr(out, consolidated=False)
    with pytest.raises(InputError, match="was not made by geogan, so it stays"):
        write_product(out, film(), overwrite=True)
    assert out.exists()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_is_one_sentence_and_keeps_the_finished_regions(tmp_path):
    field, out = film(), tmp_path / "out.zarr"
    with begin(out, field) as product:
        product.write(regions()[0], part(field, regions()[0]))
        record = product.partial / "done.jsonl"
        content = record.read_text()
        record.unlink()
        record.symlink_to("/dev/full")  # a device on which every write fails as on a full disk
        with pytest.raises(
            InputError, match="the disk is full; free some space; .*is kept in .*run again to resume"
        ) as caught:
            product.write(regions()[1], part(field, regions()[1]))
        assert str(out) in str(caught.value)
        assert product.missing(regions()) == regions()[1:]
        record.unlink()
        record.write_text(content)
    assert not out.exists()
    with begin(out, field) as product:
        assert product.missing(regions()) == regions()[1:]


def test_a_product_that_cannot_be_begun_leaves_nothing(tmp_path):
    with file_size_limit(64), pytest.raises(InputError, match="new.zarr cannot be written: File too large"):
        begin(tmp_path / "new.zarr", film())
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_while_writing_netcdf_keeps_the_finished_regions(tmp_path):
    field, out = film(), tmp_path / "out.nc"
    with begin(out, field) as product:
        write_missing(product, field)
        with (
            file_size_limit(4096),
            pytest.raises(InputError, match="perhaps because the disk is full; what is done is"),
        ):
            product.finish()
    assert not out.exists()
    with begin(out, field) as product:
        assert product.missing(regions()) == []
        product.finish()
    xr.testing.assert_equal(open_field(out).compute(), field)


def test_threads_write_at_the_same_time(tmp_path):
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


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_a_growing_dimension_keeps_its_chunks(tmp_path, suffix):
    field = film()[:1]
    with begin(tmp_path / f"out{suffix}", field, growing="time") as product:
        product.write({}, {"sst": field.values})
        assert layout(product.store.path, "sst")["chunk_grid"]["configuration"]["chunk_shape"][0] == CHUNKS["time"]
        out = product.finish()
    xr.testing.assert_equal(open_field(out).compute(), field)


@pytest.mark.parametrize("suffix", [".zarr", ".nc"])
def test_all_files_are_flushed_before_the_product_has_its_name(tmp_path, monkeypatch, suffix):
    """And the name is flushed before the partial folder is removed: the power may fail at any moment."""
    field, out, flushed = film(), tmp_path / f"out{suffix}", {False: set(), True: set()}
    sync = os.fsync

    def note(descriptor):
        flushed[out.exists()].add(os.fstat(descriptor).st_ino)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    product = begin(out, field)
    begun = [product.partial, product.partial / "product.json", *product.store.path.rglob("zarr.json")]
    assert {file.stat().st_ino for file in begun} <= flushed[False]
    write_missing(product, field)
    product.publish()
    files = [out] if suffix == ".nc" else [out, *out.glob("*"), *out.rglob("zarr.json"), *(out / "lat").rglob("*")]
    assert {file.stat().st_ino for file in files} <= flushed[False]
    assert tmp_path.stat().st_ino in flushed[True]
    product.close()


def test_half_a_chunk_of_a_killed_process_is_not_published(tmp_path):
    field = film()
    with begin(tmp_path / "out.zarr", field) as product:
        write_missing(product, field)
        remains = product.store.path / "sst" / "c" / "0" / "0" / "0.6f1c.partial"
        remains.write_bytes(b"half a chunk")
        out = product.finish()
    assert (out / "sst" / "c" / "0" / "0" / "0").exists() and not list(out.rglob("*.partial"))
