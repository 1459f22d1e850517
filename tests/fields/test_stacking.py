"""Fields as (T, C, H, W): slicing a lazy one reads only the slice."""

import dask.array
import numpy as np
import pytest
import xarray as xr

from geogan.fields.axes import find_axes
from geogan.fields.stacking import stacked, unstacked


class Counted:
    """An array that counts the values that are read from it."""

    def __init__(self, values):
        self.values, self.shape, self.dtype, self.ndim, self.count = values, values.shape, values.dtype, values.ndim, 0

    def __getitem__(self, key):
        self.count += self.values[key].size
        return self.values[key]


@pytest.mark.parametrize("dims", [("time", "y", "x"), ("y", "x"), ("band", "y", "x")])
def test_slicing_a_stacked_field_reads_only_the_slice(dims):
    values = np.random.default_rng(0).random((40, 30, 20)[3 - len(dims) :])
    source = Counted(values)
    field = xr.DataArray(dask.array.from_array(source, chunks=10), dims=dims)
    films = stacked(field, find_axes(field))
    assert films.chunks is not None and films.ndim == 4
    whole = values.reshape(films.shape)
    slices = [(slice(None), slice(None), slice(3, 9), slice(5, 17)), (0, slice(None), slice(3, 4), 7), (slice(0, 1),)]
    for key in slices:
        source.count = 0
        part = films[key].values
        np.testing.assert_array_equal(part, whole[key])
        assert source.count == part.size
    some = np.array([2, 3, 31])[: len(whole) // 13]
    np.testing.assert_array_equal(films[some], whole[some])
    np.testing.assert_array_equal(films, whole)
    np.testing.assert_array_equal(films.max("y"), whole.max(2))


@pytest.mark.parametrize("dims", [("time", "band", "y", "x"), ("x", "time", "y"), ("y", "band", "x"), ("y", "x")])
def test_unstacked_is_the_inverse(dims):
    field = xr.DataArray(np.random.default_rng(0).random((2, 3, 4, 5)[: len(dims)]), dims=dims)
    axes = find_axes(field)
    np.testing.assert_array_equal(unstacked(stacked(field, axes).values, axes), field.transpose(*axes.dims))
