"""Chunks written by processes that do not know of each other, and shared between stores."""

import numpy as np
import pytest
import xarray as xr

from geogan.io.encoding import write_template
from geogan.product.chunk_store import ChunkStore, layout

FIELD = np.random.default_rng(0).normal(15, 2, (7, 6, 8)).round(2)
CHUNKS = {"time": 3, "lat": 4, "lon": 8}


def made(path, dates=7, **encoding):
    field = xr.DataArray(np.zeros((dates, 6, 8)), dims=("time", "lat", "lon"), name="sst")
    field.encoding = encoding
    write_template(path, field.to_dataset(), CHUNKS, "a")
    return ChunkStore(path, {"sst": ("time", "lat", "lon")}, {"time": dates, "lat": 6, "lon": 8}, CHUNKS)


def test_regions_written_apart_are_the_whole(tmp_path):
    store = made(tmp_path / "a.zarr")
    for first in (3, 0, 6):
        part = slice(first, min(first + 3, 7))
        ChunkStore(*store).write({"time": part}, {"sst": FIELD[part]})
    with xr.open_zarr(tmp_path / "a.zarr", consolidated=False) as back:
        np.testing.assert_array_equal(back.sst, FIELD)


def test_a_longer_store_adopts_the_very_files(tmp_path):
    """What is then written to either is not seen by the other."""
    short, long = made(tmp_path / "short.zarr", 6), made(tmp_path / "long.zarr", 7)
    short.write({}, {"sst": FIELD[:6]})
    region = {"time": slice(0, 6)}
    long.adopt(tmp_path / "short.zarr", [region], ["sst"])
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

    short, long = made(tmp_path / "short.zarr", 6), made(tmp_path / "long.zarr", 7)
    short.write({}, {"sst": FIELD[:6]})
    monkeypatch.setattr("os.link", none)
    long.adopt(tmp_path / "short.zarr", [{"time": slice(0, 6)}], ["sst"])
    with xr.open_zarr(tmp_path / "long.zarr", consolidated=False) as back:
        np.testing.assert_array_equal(back.sst[:6], FIELD[:6])
    monkeypatch.undo()
    (tmp_path / "short.zarr" / next(short.files("sst", {}))).unlink()
    with pytest.raises(FileNotFoundError):
        long.adopt(tmp_path / "short.zarr", [{"time": slice(0, 6)}], ["sst"])


def test_a_region_written_again_is_there_at_every_moment(tmp_path, monkeypatch):
    """By a worker that comes late, and cannot."""

    def none(*_, **__):
        raise OSError("no room")

    store = made(tmp_path / "a.zarr")
    store.write({}, {"sst": FIELD})
    with monkeypatch.context() as patch, pytest.raises(OSError, match="no room"):
        patch.setattr("zarr.storage._local._put", none)
        store.write({}, {"sst": FIELD})
    with xr.open_zarr(store.path, consolidated=False) as back:
        np.testing.assert_array_equal(back.sst, FIELD)


def test_adopted_files_are_not_waited_for_again(tmp_path, monkeypatch):
    """One day more would else cost what all that is there did."""
    short, long, waited = made(tmp_path / "short.zarr", 6), made(tmp_path / "long.zarr", 7), []
    short.write({}, {"sst": FIELD[:6]})
    monkeypatch.setattr("geogan.product.chunk_store.flush", lambda places: waited.extend(places))
    long.adopt(short.path, [{"time": slice(0, 3)}, {"time": slice(3, 6)}], ["sst"])
    assert waited and len(waited) == len(set(waited)) and all(place.is_dir() for place in waited)


def test_the_layout_says_whether_files_can_be_shared(tmp_path):
    one, longer = made(tmp_path / "a.zarr"), made(tmp_path / "b.zarr", 9)
    packed = made(tmp_path / "c.zarr", dtype="int16", scale_factor=0.01, _FillValue=-32768)
    other = made(tmp_path / "d.zarr", dtype="int16", scale_factor=0.02, _FillValue=-32768)
    assert layout(one.path, "sst") == layout(longer.path, "sst") != layout(packed.path, "sst")
    assert layout(packed.path, "sst") != layout(other.path, "sst")
