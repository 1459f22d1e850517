"""Checksums of what a fill reads: equal for equal values, however they are stored, and kept compactly."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from geogan.fields.marks import unreadable_mark
from geogan.product.checksums import date_checksums, from_text, to_text


def stack(values):
    return xr.DataArray(values, dims=("time", "band", "y", "x"))


@given(
    arrays.arrays(
        st.sampled_from([np.float32, np.float64, np.int16]),
        arrays.array_shapes(min_dims=4, max_dims=4, max_side=4),
        elements=st.integers(-30, 30),
    ),
    st.data(),
)
def test_one_value_that_changes_changes_the_sum_of_its_date_alone(values, data):
    date = data.draw(st.integers(0, len(values) - 1))
    place = tuple(data.draw(st.integers(0, size - 1)) for size in values.shape[1:])
    later = values.copy()
    later[(date, *place)] += 1
    before, after = date_checksums(stack(values)), date_checksums(stack(later))
    assert np.flatnonzero(before != after).tolist() == [date]


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "f2"])
def test_equal_values_have_equal_sums_however_they_are_held(dtype):
    values = np.random.default_rng(0).normal(0, 100, (5, 2, 6, 7)).astype(dtype)
    expected = date_checksums(stack(values))
    np.testing.assert_array_equal(date_checksums(stack(values.astype(f">{dtype}"))), expected)
    np.testing.assert_array_equal(date_checksums(stack(np.asfortranarray(values))), expected)
    np.testing.assert_array_equal(date_checksums(stack(values).chunk(time=2, x=3)), expected)
    assert expected.dtype == np.uint32 and len(set(expected.tolist())) == 5


def test_the_errors_of_observations_count_and_so_does_what_could_not_be_read():
    values, error = np.zeros((2, 1, 2, 2), "f4"), np.ones((2, 1, 2, 2), "f4")
    with_error = date_checksums(stack(values), stack(error))
    error[1, 0, 0, 0] = 2
    assert (date_checksums(stack(values), stack(error)) == with_error).tolist() == [True, False]
    values[0, 0, 0, 0] = np.nan
    gap = date_checksums(stack(values))
    values[0, 0, 0, 0] = unreadable_mark(values.dtype)
    assert (date_checksums(stack(values)) == gap).tolist() == [False, True]


@given(st.lists(arrays.arrays(np.uint32, st.integers(0, 9))))
def test_sums_come_back_from_text(sums):
    np.testing.assert_array_equal(from_text(to_text(sums)), np.concatenate([np.zeros(0, np.uint32), *sums]))


@pytest.mark.parametrize("text", ["", "AAAA", "nothing of the kind", "é"])
def test_damaged_text_is_an_error(text):
    with pytest.raises(ValueError):
        from_text(text)
