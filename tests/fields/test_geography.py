"""Latitudes, longitudes, and grids that go once round the globe."""

import numpy as np
import pytest
import xarray as xr

from geogan.fields.axes import Axes, find_axes
from geogan.fields.geography import check_columns, has_lonlat, is_periodic, latitude, longitude
from geogan.operators.errors import InputError


def array(shape, dims, **coords):
    return xr.DataArray(np.zeros(shape), dims=dims, coords=coords, name="sst")


def test_global_longitudes_are_periodic_however_they_are_counted():
    for degrees in (np.arange(0.5, 360), np.arange(-179.5, 180), (np.arange(0.5, 360) + 180) % 360):
        a = array((3, 360), ("lat", "lon"), lat=[2.0, 1, 0], lon=degrees)
        assert is_periodic(a, find_axes(a))
    regional = array((3, 300), ("lat", "lon"), lat=[2.0, 1, 0], lon=np.arange(300.0))
    assert not is_periodic(regional, find_axes(regional))
    metres = array((3, 360), ("y", "x"), y=[2.0, 1, 0], x=np.arange(0.5, 360))
    assert not is_periodic(metres, find_axes(metres))


def test_latitude_and_longitude_of_rows_and_columns():
    north = xr.DataArray([3.0, 2, 1], dims="a", attrs={"standard_name": "latitude"})
    east = xr.DataArray([3.0, 2], dims="b", attrs={"standard_name": "longitude"})
    maps = array((3, 2), ("a", "b"), lat=north, lon=east)
    axes = find_axes(maps)
    assert has_lonlat(maps, axes)
    assert latitude(maps, axes).tolist() == [3.0, 2.0, 1.0] and longitude(maps, axes).tolist() == [3.0, 2.0]


def test_projected_and_bare_grids_have_no_latitude_and_longitude():
    bare = array((3, 2), ("lat", "lon"))
    assert not has_lonlat(bare, find_axes(bare))
    radians = xr.DataArray([0.1, 0.2, 0.3], dims="lat", attrs={"units": "radian"})
    assert not has_lonlat(array((3, 2), ("lat", "lon"), lat=radians, lon=[0, 1]), Axes(None, "lat", "lon"))


def around(degrees, **named):
    return array((3, np.shape(degrees)[-1]), ("lat", "lon"), lat=[2.0, 1, 0], lon=degrees, **named)


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [
        (np.arange(0, 360, 7.5), True),
        (np.arange(352.5, -1, -7.5), True),  # falling
        (np.arange(-176.25, 180, 7.5), True),
        (np.roll(np.arange(0, 360, 7.5), 11), True),
        (np.arange(0, 360, 0.25).astype("f4"), True),
        (np.arange(0, 361, 7.5), False),  # the first column twice
        (np.arange(0, 352, 7.5), False),  # maps column short
        (np.arange(0, 180, 7.5), False),
        (np.r_[np.arange(0, 180, 7.5), np.arange(180, 360, 15.0)], False),  # uneven
        (np.r_[np.arange(0, 350, 7.5), np.nan], False),
        (np.arange(1, 3), False),
    ],
)
def test_which_longitudes_go_round(degrees, expected):
    maps = around(degrees)
    assert is_periodic(maps, find_axes(maps)) is expected


def test_two_dimensional_longitudes_of_a_regular_grid_go_round():
    lon, lat = np.meshgrid(np.arange(0, 360, 10.0), [2.0, 1.0, 0.0])
    attrs = {"units": "degrees_east"}
    for values, expected in ((lon, True), (lon + 3 * lat, False), (lon[:, :20], False)):
        maps = array((3, values.shape[1]), ("y", "x")).assign_coords(longitude=(("y", "x"), values, attrs))
        assert is_periodic(maps, find_axes(maps)) is expected
        turned = maps.transpose("x", "y")
        assert is_periodic(turned, find_axes(turned)) is expected


@pytest.mark.parametrize("degrees", [np.linspace(0, 360, 49), np.linspace(-180, 180, 25), np.linspace(360, 0, 37)])
def test_a_first_column_that_comes_twice_is_refused(degrees):
    maps = around(degrees)
    with pytest.raises(InputError, match="have the same longitude"):
        check_columns(maps, find_axes(maps))
    for fine in (around(degrees[:-1]), around(degrees[: len(degrees) // 2]), array((3, 5), ("y", "x"))):
        check_columns(fine, find_axes(fine))
