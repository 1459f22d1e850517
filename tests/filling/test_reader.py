"""Slabs in memory are what the archive holds, and cost what was said."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from geogan.compute.threads import side_by_side
from geogan.fields.field import Field
from geogan.fields.marks import unreadable_mark
from geogan.filling.fill import prepared, slab_parts
from geogan.filling.plan import plan
from geogan.filling.reader import SlabReader
from geogan.filling.tiles import Tile
from geogan.io import open_field
from geogan.io.damage import GuardedVariable

SLABS = [Tile(slice(start, start + 6), slice(max(0, start - 3), min(30, start + 9))) for start in range(0, 30, 6)]


@pytest.fixture
def archive(model, gappy, tmp_path):
    gappy.to_dataset().to_zarr(tmp_path / "a.zarr", encoding={"sst": {"chunks": (5, 20, 24)}}, consolidated=False)
    return prepared(model, Field.of(open_field(tmp_path / "a.zarr")))


@pytest.fixture
def decoded(monkeypatch):
    """Dates of everything that is read from the file."""
    dates, read = [], GuardedVariable.__getitem__

    def count(guarded, key):
        values = read(guarded, key)
        dates.append(values.shape[0])
        return values

    monkeypatch.setattr(GuardedVariable, "__getitem__", count)
    return dates


@pytest.mark.parametrize("kept", [0, 2 * 10 * 20 * 24 * 8, 10**9])
def test_slabs_are_what_the_archive_holds_and_cost_what_was_said(archive, gappy, decoded, kept):
    reader = SlabReader(archive, kept=kept)
    for slab in SLABS:
        held, here = reader.hold(slab)
        np.testing.assert_array_equal(held.field.values[:, 0], gappy.values[slab.read])
        np.testing.assert_array_equal(held.days[here.core], archive.days[slab.core])
        np.testing.assert_array_equal(held.read(slice(None)).mask, archive.read(slab.read).mask)


def test_the_cost_is_what_is_decoded(archive, decoded):
    reader = SlabReader(archive)
    for slab in SLABS:
        reader.hold(slab)
    assert sum(decoded) == reader.cost(SLABS).decoded == 30 and reader.cost(SLABS).times == 1


@pytest.fixture
def packed(model, gappy, tmp_path):
    encoding = {"dtype": "int16", "scale_factor": 0.001, "add_offset": 20.0, "_FillValue": -32768}
    path = tmp_path / "packed.zarr"
    gappy.to_dataset().to_zarr(path, encoding={"sst": encoding | {"chunks": (5, 20, 24)}}, consolidated=False)
    return prepared(model, Field.of(open_field(path)))


@pytest.mark.parametrize("kept", [0, 2 * 10 * 20 * 24 * 2, 10**9])
def test_a_packed_archive_is_held_as_it_is_stored(packed, kept):
    reader = SlabReader(packed, kept=kept)
    whole = packed.field.values
    for slab in SLABS:
        held, _ = reader.hold(slab)
        assert not isinstance(held.field.variable._data, np.ndarray) and held.field.chunks is None
        assert held.field.values.tobytes() == np.ascontiguousarray(whole[slab.read]).tobytes()
        np.testing.assert_array_equal(held.read(slice(None)).values, packed.read(slab.read).values)
    assert {block.dtype for block in reader._kept.values()} <= {np.dtype("int16")}


@pytest.mark.parametrize("lost", range(6))
def test_a_chunk_that_says_more_is_held_decoded(packed, lost):
    """What could not be read is NaN with a mark of its own, wherever it comes in a slab."""
    values = packed.field.values.copy()
    values[5 * lost : 5 * lost + 2, 0, :4] = unreadable_mark(values.dtype)
    field = packed.field.copy(data=values).chunk(packed.field.chunksizes)
    reader = SlabReader(replace(packed, field=field))
    for slab in SLABS:
        held, _ = reader.hold(slab)
        assert held.field.values.tobytes() == np.ascontiguousarray(values[slab.read]).tobytes()


def test_what_is_filled_of_a_packed_archive_is_its_own(packed, model):
    """Observed values are those that were decoded, to the last bit, in their own precision."""
    cut = plan(model, packed)
    assert packed.field.dtype == np.float64
    for slab in cut.slabs:
        values, source, *_ = slab_parts(model, SlabReader(packed), cut, slab, keep_observed=True)
        raw = packed.field[slab.core].values
        assert values.dtype == raw.dtype and (source == 0).any()
        np.testing.assert_array_equal(values[source == 0], raw[source == 0])


def test_threads_decode_each_chunk_once(archive, decoded):
    reader = SlabReader(archive)
    list(side_by_side(reader.hold, SLABS, threads=3))
    assert sum(decoded) == 30


def test_no_more_is_kept_than_slabs_share(archive, decoded):
    """However long the archive is; each chunk is decoded once all the same."""
    slabs = [Tile(slice(start, start + 2), slice(max(0, start - 1), start + 2)) for start in range(0, 30, 2)]
    reader = SlabReader(archive, slabs=slabs)
    most = 0
    for slab in slabs:
        reader.hold(slab)
        most = max(most, sum(len(block) for block in reader._kept.values()))
    assert sum(decoded) == 30 and 5 < most <= 2 * 3 + 4 * 5 < 30
    assert SlabReader(archive, slabs=slabs, kept=10)._most == 10
    make, given = reader.__reduce__()
    assert make(*given)._most == reader._most


def test_what_was_decoded_is_not_sent_along(archive):
    reader = SlabReader(archive)
    before = len(pickle.dumps(reader))
    reader.hold(SLABS[0])
    assert len(pickle.dumps(reader)) < before + 1000


def test_a_field_in_memory_costs_nothing(model, gappy):
    archive = prepared(model, Field.of(gappy))
    reader = SlabReader(archive)
    cut = plan(model, archive)
    assert reader.cost(cut.slabs).times == 1
    assert reader.hold(cut.slabs[0])[0].field.shape[0] == 30


def test_what_memory_does_not_hold_is_left_to_its_tiles(archive, model, monkeypatch):
    """With the same result."""
    cut = plan(model, archive, dates=slice(0, 6))
    parts = [slab_parts(model, SlabReader(archive), cut, cut.slabs[0], keep_observed=True)]
    monkeypatch.setattr("geogan.filling.reader.SLAB_VALUES", 100)
    reader = SlabReader(archive)
    assert reader.hold(SLABS[1]) == (archive, SLABS[1])
    parts.append(slab_parts(model, reader, cut, cut.slabs[0], keep_observed=True))
    for held, tiled in zip(*parts, strict=True):
        np.testing.assert_array_equal(held, tiled)
