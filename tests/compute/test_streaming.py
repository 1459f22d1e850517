"""A pass reads every value once, for all chunk sizes, with few chunks in memory."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from geogan.compute.streaming import group_dates, read_dates, read_parts, stored_chunks
from geogan.operators.errors import InputError

FIELD = xr.DataArray(np.random.default_rng(0).random((23, 2, 9, 11)), dims=("time", "band", "y", "x"))
chunks = st.none() | st.fixed_dictionaries(
    {"time": st.integers(1, 23), "y": st.integers(1, 9), "x": st.integers(1, 11), "band": st.integers(1, 2)}
)


def chunked(sizes):
    return FIELD if sizes is None else FIELD.chunk(sizes)


@settings(deadline=None, max_examples=30)
@given(chunks, st.integers(300, 10_000))
def test_every_value_is_read_once(sizes, most):
    count, whole = np.zeros(FIELD.shape, int), np.zeros(FIELD.shape)
    for extent, part in read_parts(chunked(sizes), most=most):
        count[extent.t, :, extent.y, extent.x] += 1
        whole[extent.t, :, extent.y, extent.x] = part
        assert part.size <= max(most, FIELD[0].size if sizes is None else 2)
    assert (count == 1).all()
    np.testing.assert_array_equal(whole, FIELD)


@settings(deadline=None, max_examples=40)
@given(chunks, st.sets(st.integers(0, 22), min_size=1), st.integers(1, 9))
def test_some_dates_are_read_part_by_part(sizes, dates, most):
    field, seen = chunked(sizes), []
    for group in group_dates(field, dates, most=most):
        assert len(group) <= most
        whole = np.full((len(group), *FIELD.shape[1:]), np.nan)
        for y, x, part in read_dates(field, group):
            whole[..., y, x] = part
        np.testing.assert_array_equal(whole, FIELD[group])
        seen += group
    assert seen == sorted(dates)


def test_a_long_pass_reports_its_progress():
    reports = []
    for _ in read_parts(
        FIELD.chunk(time=6), most=6 * 2 * 99, what="reading sst", message=reports.append, report_every=0
    ):
        pass
    assert reports[0].startswith("reading sst: 26%, about") and len(reports) == 4


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("sea.zarr", r"'sst' of sea.zarr cannot be read: a part .*, in dates 0 to 5 \(gone\); copy or write it again"),
        ("s3://b/sea.zarr", r"'sst' of s3://b/sea.zarr could not be read, in dates 0 to 5 \(gone\); run again when"),
    ],
)
def test_errors_name_the_file_or_store(source, words):
    def broken(block):
        raise OSError("gone")

    field = FIELD.chunk(time=6)
    field = field.copy(data=field.data.map_blocks(broken, dtype=float, meta=np.empty((0,) * 4)))
    field.name, field.encoding["source"] = "sst", source
    with pytest.raises(InputError, match=words):
        list(read_parts(field, most=6 * 2 * 99))


@pytest.mark.parametrize(
    ("blocks", "stored", "expected"),
    [
        ((8, 8, 7), 4, [4, 4, 4, 4, 4, 3]),
        ((5, 8, 8, 2), 4, [1, 4, 4, 4, 4, 4, 2]),
        ((23,), 10, [10, 10, 3]),
        ((10, 13), None, [10, 13]),
    ],
)
def test_stored_chunks_are_found_from_those_of_dask(blocks, stored, expected):
    field = FIELD.chunk(time=blocks)
    field.encoding = {"preferred_chunks": {"time": stored} if stored else {}}
    assert stored_chunks(field)[0] == expected
