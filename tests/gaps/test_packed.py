"""Masks as one bit for a date."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from geogan.fields.field import Field
from geogan.gaps.packed import PackedMask, runs_of_dates


def films(seen):
    times = np.datetime64("2001-01-01", "ns") + np.arange(len(seen)) * np.timedelta64(1, "D")
    return xr.DataArray(np.where(seen, 1.0, np.nan), dims=("time", "y", "x"), coords={"time": times}, name="sst")


@given(st.integers(1, 140), st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_each_date_is_one_bit(dates, seed):
    seen = np.random.default_rng(seed).random((dates, 3, 4)) < 0.5
    mask = PackedMask.read(Field.of(films(seen)), np.ones((3, 4), bool))
    np.testing.assert_array_equal(mask.counts(), seen.sum(0))
    for steps in (1, 63, 64, 65):
        both = np.bitwise_count(mask.words & mask.later(steps)).sum(-1)
        np.testing.assert_array_equal(both, (seen[:-steps] & seen[steps:]).sum(0) if steps < dates else 0)


@pytest.mark.parametrize("chunks", [{"time": 7, "y": 2}, {"time": 1}, {"x": 1}])
def test_chunks_change_nothing(chunks):
    seen = np.random.default_rng(0).random((70, 4, 5)) < 0.5
    domain = np.ones((4, 5), bool)
    domain[0] = False
    whole, parts = (PackedMask.read(Field.of(field), domain) for field in (films(seen), films(seen).chunk(chunks)))
    np.testing.assert_array_equal(whole.words, parts.words)
    assert not parts.counts()[0].any()


def test_missing_dates_keep_their_place():
    seen = np.ones((10, 2, 2), bool)
    field = Field.of(films(seen).isel(time=[0, 1, 2, 5, 6, 9]))
    mask = PackedMask.read(field, np.ones((2, 2), bool))
    assert mask.slots.tolist() == [0, 1, 2, 5, 6, 9]
    assert mask.pairs_of_dates(1) == 3 and mask.pairs_of_dates(3) == 2


def test_a_cell_counts_if_any_band_is_seen():
    bands = xr.DataArray(np.array([[[[np.nan]], [[1.0]]], [[[np.nan]], [[np.nan]]]]), dims=("time", "band", "y", "x"))
    assert PackedMask.read(Field.of(bands), np.ones((1, 1), bool)).counts().item() == 1


def test_a_long_archive_is_read_in_runs():
    dates = runs_of_dates(10_000, 640)
    assert len(dates) == 640 and dates[0] == 0 and dates[-1] == 9999
    assert (np.diff(dates) == 1).sum() == 630
    seen = np.random.default_rng(0).random((300, 2, 2)) < 0.5
    mask = PackedMask.read(Field.of(films(seen).chunk(time=50)), np.ones((2, 2), bool), most=4 * 128)
    np.testing.assert_array_equal(mask.counts(), seen[mask.dates].sum(0))
    assert mask.slots.tolist() == mask.dates.tolist()
