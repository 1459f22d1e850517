"""Chunks written by independent processes, and shared between stores."""

import os
import stat

import numpy as np
import pytest
import xarray as xr
from film_product import file_size_limit

from geogan.product.chunk_store import ChunkStore, layout
from geogan.product.encoding import write_template

FIELD = np.random.default_rng(0).normal(15, 2, (7, 6, 8)).round(2)
CHUNKS = {"time": 3, "lat": 4, "lon": 8}


def created(path, dates=7, **encoding):
    field = xr.DataArray(np.zeros((dates, 6, 8)), dims=("time", "lat", "lon"), name="sst")
    field.encoding = encoding
    write_template(path, field.to_dataset(), CHUNKS, "a")
    return ChunkStore(path, {"sst": ("time", "lat", "lon")}, {"time": dates, "lat": 6, "lon": 8}, CHUNKS)


def test_regions_written_independently_make_the_whole(tmp_path):
    store = created(tmp_path / "a.zarr")
    for first in (3, 0, 6):
        part = slice(first, min(first + 3, 7))
        ChunkStore(*store).write({"time": part}, {"sst": FIELD[part]})
    with xr.open_zarr(tmp_path / "a.zarr", consolidated=False) as back:
        np.testing.assert_array_equal(back.sst, FIELD)


def test_a_longer_store_shares_the_files(tmp_path):
    """A later write to one store does not change the other."""
    short, long = created(tmp_path / "short.zarr", 6), created(tmp_path / "long.zarr", 7)
    short.write({}, {"sst": FIELD[:6]})
    region = {"time": slice(0, 6)}
    long.link(tmp_path / "short.zarr", [region], ["sst"])
    long.write({"time": slice(6, 7)}, {"sst": FIELD[6:]})
    with xr.open_zarr(tmp_path / "long.zarr", consolidated=False) as back:
        np.testing.assert_array_equal(back.sst, FIELD)
    file = next(short.files("sst", region))
    assert (long.path / file).samefile(short.path / file)
    long.write(region, {"sst": -FIELD[:6]})
    with xr.open_zarr(tmp_path / "short.zarr", consolidated=False) as back:
        np.testing.assert_array_equal(back.sst, FIELD[:6])


def test_without_links_files_are_copied(tmp_path, monkeypatch):
    def none(*_):
        raise PermissionError("no links on this file system")

    short, long = created(tmp_path / "short.zarr", 6), created(tmp_path / "long.zarr", 7)
    short.write({}, {"sst": FIELD[:6]})
    monkeypatch.setattr(os, "link", none)
    long.link(tmp_path / "short.zarr", [{"time": slice(0, 6)}], ["sst"])
    with xr.open_zarr(tmp_path / "long.zarr", consolidated=False) as back:
        np.testing.assert_array_equal(back.sst[:6], FIELD[:6])
    monkeypatch.undo()
    (tmp_path / "short.zarr" / next(short.files("sst", {}))).unlink()
    with pytest.raises(FileNotFoundError):
        long.link(tmp_path / "short.zarr", [{"time": slice(0, 6)}], ["sst"])


def test_a_region_that_is_written_again_is_never_absent(tmp_path):
    """Also if the second write fails, as for a worker that comes late to a full disk."""
    store = created(tmp_path / "a.zarr")
    store.write({}, {"sst": FIELD})
    with file_size_limit(64), pytest.raises(OSError, match="File too large"):
        store.write({}, {"sst": FIELD})
    with xr.open_zarr(store.path, consolidated=False) as back:
        np.testing.assert_array_equal(back.sst, FIELD)


def test_linked_files_are_not_flushed_again(tmp_path, monkeypatch):
    """Otherwise one more date would cost as many flushes as the whole product."""
    short, long, flushed = created(tmp_path / "short.zarr", 6), created(tmp_path / "long.zarr", 7), []
    short.write({}, {"sst": FIELD[:6]})
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.fstat(descriptor)))
    long.link(short.path, [{"time": slice(0, 3)}, {"time": slice(3, 6)}], ["sst"])
    assert flushed and len({status.st_ino for status in flushed}) == len(flushed)
    assert all(stat.S_ISDIR(status.st_mode) for status in flushed)


def test_stores_of_equal_layout_can_share_files(tmp_path):
    one, longer = created(tmp_path / "a.zarr"), created(tmp_path / "b.zarr", 9)
    packed = created(tmp_path / "c.zarr", dtype="int16", scale_factor=0.01, _FillValue=-32768)
    other = created(tmp_path / "d.zarr", dtype="int16", scale_factor=0.02, _FillValue=-32768)
    assert layout(one.path, "sst") == layout(longer.path, "sst") != layout(packed.path, "sst")
    assert layout(packed.path, "sst") != layout(other.path, "sst")
