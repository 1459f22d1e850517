"""Masks come back as they were read, whatever the chunks; many are read in one pass."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis.extra import numpy as arrays

from geogan.archive import observed as module
from geogan.archive.observed import KeptMasks, Masks

FIELD = np.random.default_rng(0).random((30, 2, 12, 14))
FIELD[FIELD < 0.4] = np.nan
DOMAIN = np.random.default_rng(1).random((12, 14)) < 0.8


@settings(deadline=None)
@given(arrays.arrays(bool, arrays.array_shapes(min_dims=1, max_dims=4)))
def test_bits_go_there_and_back(mask):
    kept = KeptMasks()
    kept.keep("it", mask)
    np.testing.assert_array_equal(kept["it"], mask)


def test_no_more_is_kept_than_there_is_room_for():
    random = np.random.default_rng(0)
    kept, masks = KeptMasks(most=2000), random.random((20, 50, 60)) < 0.5
    for number, mask in enumerate(masks):
        kept.keep(number, mask)
        kept[number]
    there = [number for number in range(20) if number in kept]
    assert there == list(range(20 - len(there), 20)) and 1 <= len(there) < 8
    with pytest.raises(KeyError):
        kept[0]


def counted(chunks):
    """The field in chunks, and a list of what is read of it, (dates, rows, columns)."""
    read = []

    def note(block):
        if block.size:
            read.append(block.shape)
        return block

    field = xr.DataArray(FIELD, dims=("time", "band", "y", "x")).chunk(chunks)
    return field.copy(data=field.data.map_blocks(note, dtype=float, meta=np.empty((0,) * 4))), read


@pytest.mark.parametrize("chunks", [{"time": 1}, {"time": 7, "y": 5, "x": 6}, {"time": 30, "y": 4}])
@pytest.mark.parametrize("most", [10**9, 3 * 2 * 12 * 14])
def test_many_are_read_in_one_pass(chunks, most, monkeypatch):
    monkeypatch.setattr(module, "AT_A_TIME", most)
    field, read = counted(chunks)
    masks, dates = Masks(field, DOMAIN), [3, 4, 17, 5, 29, 17]
    masks.read_ahead(dates)
    passes = len(read)
    touched = {date // chunks["time"] for date in dates}
    tiles = -(-12 // chunks.get("y", 12)) * -(-14 // chunks.get("x", 14))
    if most == 10**9:
        assert passes == len(touched) * tiles
    for date in dates:
        np.testing.assert_array_equal(masks.at(date), np.isfinite(FIELD[date]) & DOMAIN)
    assert len(read) == passes
    masks.read_ahead(dates)
    assert len(read) == passes
    np.testing.assert_array_equal(masks.at(8), np.isfinite(FIELD[8]) & DOMAIN)
    assert len(read) > passes
