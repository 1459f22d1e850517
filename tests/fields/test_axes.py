"""Axes are found by CF attributes first, then by dates, then by usual names."""

import cftime
import numpy as np
import pytest
import xarray as xr

from geogan.fields.axes import Axes, find_axes
from geogan.operators.errors import InputError


def array(shape, dims, **coords):
    return xr.DataArray(np.zeros(shape), dims=dims, coords=coords, name="sst")


@pytest.mark.parametrize(
    ("dims", "expected"),
    [
        (("time", "lat", "lon"), ("time", "lat", "lon")),
        (("longitude", "latitude", "date"), ("date", "latitude", "longitude")),
        (("t", "nj", "ni"), ("t", "nj", "ni")),
        (("pattern", "y", "x"), ("pattern", "y", "x")),
        (("row", "bands", "col"), (None, "row", "col", "bands")),
        (("lat", "lon", "channel", "time"), ("time", "lat", "lon", "channel")),
        (("C", "N", "y", "x"), ("N", "y", "x", "C", True)),
        (("image", "y", "x"), ("image", "y", "x", None, True)),
        (("pattern", "rgb", "y", "x"), ("pattern", "y", "x", "rgb")),
        (("X", "Y", "T"), ("T", "Y", "X")),
    ],
)
def test_usual_names_in_any_order(dims, expected):
    assert find_axes(array((4, 3, 2, 5)[: len(dims)], dims)) == Axes(*expected)


def test_attributes_win_over_names():
    a = xr.DataArray([0.0, 1, 2, 3], dims="x", attrs={"axis": "Y"})
    b = xr.DataArray([0.0, 1, 2], dims="y", attrs={"standard_name": "projection_x_coordinate"})
    assert find_axes(array((4, 3), ("x", "y"), x=a, y=b)) == Axes(None, "x", "y")
    north = xr.DataArray([0.0, 1, 2, 3], dims="a", attrs={"units": "degrees_north"})
    east = xr.DataArray([0.0, 1, 2], dims="b", attrs={"units": "degree East"})
    assert find_axes(array((4, 3), ("a", "b"), a=north, b=east)) == Axes(None, "a", "b")


def test_a_dimension_of_dates_is_time_whatever_its_name():
    when = np.array(["2001-01-01", "2001-01-02"], dtype="datetime64[ns]")
    assert find_axes(array((2, 4, 3), ("analysis", "y", "x"), analysis=when)).time == "analysis"
    noleap = [cftime.DatetimeNoLeap(2001, 1, d) for d in (1, 2)]
    assert find_axes(array((3, 2, 4), ("y", "analysis", "x"), analysis=noleap)).time == "analysis"


def test_coordinates_with_other_names_than_the_dimension_count():
    latitude = xr.DataArray([3.0, 2, 1], dims="a", attrs={"standard_name": "latitude"})
    longitude = xr.DataArray([3.0, 2], dims="b", attrs={"standard_name": "longitude"})
    assert find_axes(array((3, 2), ("a", "b"), lat=latitude, lon=longitude)) == Axes(None, "a", "b")


def test_unknown_dimensions_are_listed():
    with pytest.raises(InputError, match=r"'sst' has the dimensions \(station, lon\).*none is known as y; rename"):
        find_axes(array((4, 3), ("station", "lon")))
    with pytest.raises(InputError, match="y and x"):
        find_axes(array((4, 3), ("pattern", "image")))


def test_levels_are_never_time():
    with pytest.raises(InputError, match=r"choose one entry of depth \(5\) first, for example field.isel\(depth=0\)"):
        find_axes(array((5, 3, 2), ("depth", "lat", "lon")))
    with pytest.raises(InputError, match=r"a field has only time, band, y and x; choose one entry of member \(5\)"):
        find_axes(array((4, 5, 3, 2), ("time", "member", "lat", "lon")))
    with pytest.raises(InputError, match=r"choose one entry of sample \(4\)"):
        find_axes(array((4, 5, 3, 2), ("sample", "time", "lat", "lon")))


def test_bands_are_recognised_by_their_standard_name():
    nanometres = xr.DataArray([400.0, 500.0], dims="optics", attrs={"standard_name": "radiation_wavelength"})
    optics = array((2, 6, 4, 3), ("optics", "time", "y", "x"), optics=nanometres)
    assert find_axes(optics) == Axes("time", "y", "x", "optics")


def test_samples_are_recognised_by_name_and_by_standard_name():
    assert find_axes(array((3, 4, 3), ("sample", "y", "x"), sample=[2001, 2002, 2003])).independent
    realization = xr.DataArray([1, 2, 3], dims="member", attrs={"standard_name": "realization"})
    assert find_axes(array((3, 4, 3), ("member", "y", "x"), member=realization)).independent
    dates = np.array(["2001-01-01", "2001-01-02", "2001-01-05"], dtype="datetime64[ns]")
    assert not find_axes(array((3, 4, 3), ("image", "y", "x"), image=dates)).independent
