"""A field derives its axes once, and other properties on first use."""

import sys
import threading

import numpy as np
import pytest
import xarray as xr
from runs import QUICK, make_reconstructor

from geogan.fields.axes import Axes, find_axes
from geogan.fields.field import Field
from geogan.operators.errors import InputError


def array(shape, dims, **coords):
    return xr.DataArray(np.zeros(shape), dims=dims, coords=coords, name="sst")


def test_shape_does_not_depend_on_the_order_of_dimensions():
    field = Field.of(array((5, 4, 3, 2), ("lon", "lat", "channel", "time")))
    assert field.shape == field.stacked.shape == (2, 3, 4, 5) and field.grid == (4, 5) and field.bands == 3
    scene = Field.of(array((4, 5), ("lat", "lon")))
    assert scene.shape == scene.stacked.shape == (1, 1, 4, 5)
    values = np.arange(20.0).reshape(1, 1, 4, 5)
    np.testing.assert_array_equal(scene.unstacked(values), values[0, 0])


def test_a_field_without_axes_is_refused():
    with pytest.raises(InputError, match="none is known as y and x"):
        Field.of(array((4, 3), ("station", "level")))


def test_names_and_units_of_bands():
    field = Field.of(array((2, 4, 3), ("band", "y", "x"), band=["red", "nir"], units=("band", ["1", "sr-1"])))
    assert field.band_names == ("red", "nir") and field.band_units == ("1", "sr-1")
    kelvins = Field.of(array((2, 4, 3), ("band", "y", "x")).assign_attrs(units="K"))
    assert kelvins.band_names == () and kelvins.band_units == ("K", "K")
    single = Field.of(array((4, 3), ("y", "x")).assign_attrs(units="K"))
    assert single.band_names == () and single.band_units == ("K",) and single.bands == 1


def test_grid_step_is_positive_and_1_where_it_is_unknown():
    maps = array((3, 4), ("lat", "lon"), lat=[3.0, 2.5, 2.0], lon=[350.0, 355.0, 0.0, 5.0])
    assert Field.of(maps).grid_step == (0.5, 5.0)
    assert Field.of(array((3, 1), ("row", "col"))).grid_step == (1.0, 1.0)
    assert Field.of(array((2, 2), ("y", "x"), y=[1.0, 1.0], x=["a", "b"])).grid_step == (1.0, 1.0)


def test_images_are_samples_within_minus_1_and_1():
    samples = array((2, 4, 3), ("sample", "y", "x")).assign_attrs(valid_min=-1, valid_max=1)
    assert Field.of(samples).is_image
    assert not Field.of(samples.rename(sample="time")).is_image
    assert not Field.of(samples.assign_attrs(valid_max=2)).is_image


def test_domain_and_error_are_added_without_deriving_anything_again():
    field = Field.of(array((4, 3), ("y", "x"), y=[4.0, 3, 2, 1], x=[1.0, 2, 3]))
    step, domain = field.grid_step, np.ones((4, 3), bool)
    inside = field.with_domain(domain).with_error(0.1)
    assert inside.domain is domain and inside.error == 0.1 and inside.axes is field.axes
    assert inside.__dict__["grid_step"] is step
    assert field.domain is None and field.error is None
    other = inside.with_array(inside.array.assign_coords(y=[8.0, 6, 4, 2]))
    assert other.grid_step == (2.0, 1.0) and other.domain is domain


def calls(function, work):
    """Return how often ``work`` calls a Python function, on any thread."""
    count = 0

    def count_call(frame, event, argument):
        nonlocal count
        count += event == "call" and frame.f_code is function.__code__

    threading.setprofile(count_call)
    sys.setprofile(count_call)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return count


@pytest.mark.parametrize("lazy", [False, True])
def test_axes_are_derived_once_in_a_fit_and_once_in_a_fill(gappy, domain, lazy):
    field = gappy.chunk(time=10) if lazy else gappy
    reconstructor = make_reconstructor("cloud_mask", window=1, steps=2, width=8, batch=2, crop=16, threads=1, **QUICK)
    assert calls(find_axes, lambda: reconstructor.fit(field, domain=domain)) == 1
    assert calls(find_axes, lambda: reconstructor.fill(field).compute()) == 1


def test_axes_name_dimensions_in_one_order():
    assert Axes("time", "lat", "lon", "band").dims == ("time", "band", "lat", "lon")
    assert Axes(None, "lat", "lon").dims == ("lat", "lon")
