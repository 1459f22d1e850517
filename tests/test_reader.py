"""Slabs in memory are what the archive holds, and cost what was said."""

import pickle

import numpy as np
import pytest

from geogan import damage
from geogan.cutting import plan
from geogan.filling import prepared, slab_parts
from geogan.io import open_field
from geogan.parallel import side_by_side
from geogan.reader import SlabReader
from geogan.tiles import Tile

SLABS = [Tile(slice(start, start + 6), slice(max(0, start - 3), min(30, start + 9))) for start in range(0, 30, 6)]


@pytest.fixture
def archive(model, gappy, tmp_path):
    gappy.to_dataset().to_zarr(tmp_path / "a.zarr", encoding={"sst": {"chunks": (5, 20, 24)}}, consolidated=False)
    return prepared(model, open_field(tmp_path / "a.zarr"))


@pytest.fixture
def decoded(monkeypatch):
    """Dates of everything that is read from the file."""
    dates, read = [], damage.Guarded.__getitem__

    def count(guarded, key):
        values = read(guarded, key)
        dates.append(values.shape[0])
        return values

    monkeypatch.setattr(damage.Guarded, "__getitem__", count)
    return dates


@pytest.mark.parametrize("kept", [0, 2 * 10 * 20 * 24 * 8, 10**9])
def test_slabs_are_what_the_archive_holds_and_cost_what_was_said(archive, gappy, decoded, kept):
    reader = SlabReader(archive, kept=kept)
    for slab in SLABS:
        held, here = reader.hold(slab)
        np.testing.assert_array_equal(held.field.values[:, 0], gappy.values[slab.read])
        np.testing.assert_array_equal(held.days[here.core], archive.days[slab.core])
        np.testing.assert_array_equal(held.read(slice(None)).observed, archive.read(slab.read).observed)


def test_the_cost_is_what_is_decoded(archive, decoded):
    for kept in (0, 10**9):
        decoded.clear()
        reader = SlabReader(archive, kept=kept)
        for slab in SLABS:
            reader.hold(slab)
        assert sum(decoded) == (reader.cost(SLABS).decoded if kept else sum(decoded))
        if kept:
            assert sum(decoded) == 30 and reader.cost(SLABS).times == 1


def test_threads_decode_each_chunk_once(archive, decoded):
    reader = SlabReader(archive)
    list(side_by_side(reader.hold, SLABS, threads=3))
    assert sum(decoded) == 30


def test_what_was_decoded_is_not_sent_along(archive):
    reader = SlabReader(archive)
    before = len(pickle.dumps(reader))
    reader.hold(SLABS[0])
    assert len(pickle.dumps(reader)) < before + 1000


def test_a_field_in_memory_costs_nothing(model, gappy):
    archive = prepared(model, gappy)
    reader = SlabReader(archive)
    cut = plan(model, archive)
    assert reader.cost(cut.slabs).times == 1
    assert reader.hold(cut.slabs[0])[0].field.shape[0] == 30


def test_what_memory_does_not_hold_is_left_to_its_tiles(archive, model, monkeypatch):
    """With the same result."""
    cut = plan(model, archive, dates=slice(0, 6))
    parts = [slab_parts(model, SlabReader(archive), cut, cut.slabs[0], keep_observed=True)]
    monkeypatch.setattr("geogan.reader.SLAB_VALUES", 100)
    reader = SlabReader(archive)
    assert reader.hold(SLABS[1]) == (archive, SLABS[1])
    parts.append(slab_parts(model, reader, cut, cut.slabs[0], keep_observed=True))
    for held, tiled in zip(*parts, strict=True):
        np.testing.assert_array_equal(held, tiled)
