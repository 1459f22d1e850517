"""Masks are restored exactly for all chunk sizes, and many are read in one pass."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis.extra import numpy as arrays

from geogan.archive.observed import MaskCache, ObservedMasks

FIELD = np.random.default_rng(0).random((30, 2, 12, 14))
FIELD[FIELD < 0.4] = np.nan
DOMAIN = np.random.default_rng(1).random((12, 14)) < 0.8


@settings(deadline=None)
@given(arrays.arrays(bool, arrays.array_shapes(min_dims=1, max_dims=4)))
def test_masks_are_restored_exactly(mask):
    cache = MaskCache()
    cache.store("mask", mask)
    np.testing.assert_array_equal(cache["mask"], mask)


def test_the_cache_drops_the_oldest_masks():
    random = np.random.default_rng(0)
    cache, masks = MaskCache(most=2000), random.random((20, 50, 60)) < 0.5
    for number, mask in enumerate(masks):
        cache.store(number, mask)
        cache[number]
    stored = [number for number in range(20) if number in cache]
    assert stored == list(range(20 - len(stored), 20)) and 1 <= len(stored) < 8
    with pytest.raises(KeyError):
        cache[0]


def counted(chunks):
    """Return the field in chunks, and a list to which the shape of every part that is read is added."""
    read = []

    def note(block):
        if block.size:
            read.append(block.shape)
        return block

    field = xr.DataArray(FIELD, dims=("time", "band", "y", "x")).chunk(chunks)
    return field.copy(data=field.data.map_blocks(note, dtype=float, meta=np.empty((0,) * 4))), read


@pytest.mark.parametrize("chunks", [{"time": 1}, {"time": 7, "y": 5, "x": 6}, {"time": 30, "y": 4}])
@pytest.mark.parametrize("most", [10**9, 3 * 2 * 12 * 14])
def test_many_masks_are_read_in_one_pass(chunks, most):
    field, read = counted(chunks)
    masks, dates = ObservedMasks(field, DOMAIN, most=most), [3, 4, 17, 5, 29, 17]
    masks.read_ahead(dates)
    passes = len(read)
    touched = {date // chunks["time"] for date in dates}
    parts = -(-12 // chunks.get("y", 12)) * -(-14 // chunks.get("x", 14))
    if most == 10**9:
        assert passes == len(touched) * parts
    for date in dates:
        np.testing.assert_array_equal(masks.at(date), np.isfinite(FIELD[date]) & DOMAIN)
    assert len(read) == passes
    masks.read_ahead(dates)
    assert len(read) == passes
    np.testing.assert_array_equal(masks.at(8), np.isfinite(FIELD[8]) & DOMAIN)
    assert len(read) > passes
