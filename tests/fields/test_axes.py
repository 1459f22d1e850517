"""Time, y and x are found by CF attributes first, by usual names second, or asked for."""

import cftime
import dask.array
import numpy as np
import pytest
import xarray as xr

from geogan.fields.axes import (
    Axes,
    band_names,
    check_columns,
    day_of_year,
    days,
    find_axes,
    grid_step,
    has_lonlat,
    is_periodic,
    stacked,
)
from geogan.operators.errors import InputError


def field(shape, dims, **coords):
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
    assert find_axes(field((4, 3, 2, 5)[: len(dims)], dims)) == Axes(*expected)


def test_attributes_win_over_names():
    a = xr.DataArray([0.0, 1, 2, 3], dims="x", attrs={"axis": "Y"})
    b = xr.DataArray([0.0, 1, 2], dims="y", attrs={"standard_name": "projection_x_coordinate"})
    assert find_axes(field((4, 3), ("x", "y"), x=a, y=b)) == Axes(None, "x", "y")
    north = xr.DataArray([0.0, 1, 2, 3], dims="a", attrs={"units": "degrees_north"})
    east = xr.DataArray([0.0, 1, 2], dims="b", attrs={"units": "degree East"})
    assert find_axes(field((4, 3), ("a", "b"), a=north, b=east)) == Axes(None, "a", "b")


def test_dates_are_time_whatever_their_name():
    when = np.array(["2001-01-01", "2001-01-02"], dtype="datetime64[ns]")
    assert find_axes(field((2, 4, 3), ("analysis", "y", "x"), analysis=when)).time == "analysis"
    noleap = [cftime.DatetimeNoLeap(2001, 1, d) for d in (1, 2)]
    assert find_axes(field((3, 2, 4), ("y", "analysis", "x"), analysis=noleap)).time == "analysis"


def test_coordinates_beside_the_index_count():
    latitude = xr.DataArray([3.0, 2, 1], dims="a", attrs={"standard_name": "latitude"})
    longitude = xr.DataArray([3.0, 2], dims="b", attrs={"standard_name": "longitude"})
    found = field((3, 2), ("a", "b"), lat=latitude, lon=longitude)
    assert find_axes(found) == Axes(None, "a", "b")
    assert has_lonlat(found, find_axes(found))


def test_unknown_dimensions_are_listed():
    with pytest.raises(InputError, match=r"'sst' has the dimensions \(station, lon\).*none is known as y; rename"):
        find_axes(field((4, 3), ("station", "lon")))
    with pytest.raises(InputError, match="y and x"):
        find_axes(field((4, 3), ("pattern", "image")))


def test_levels_are_never_time():
    with pytest.raises(InputError, match=r"choose one entry of depth \(5\) first, for example field.isel\(depth=0\)"):
        find_axes(field((5, 3, 2), ("depth", "lat", "lon")))
    with pytest.raises(InputError, match=r"a field has only time, band, y and x; choose one entry of member \(5\)"):
        find_axes(field((4, 5, 3, 2), ("time", "member", "lat", "lon")))
    with pytest.raises(InputError, match=r"choose one entry of sample \(4\)"):
        find_axes(field((4, 5, 3, 2), ("sample", "time", "lat", "lon")))


def test_bands_are_told_by_what_they_are():
    nanometres = xr.DataArray([400.0, 500.0], dims="optics", attrs={"standard_name": "radiation_wavelength"})
    found = field((2, 6, 4, 3), ("optics", "time", "y", "x"), optics=nanometres)
    axes = find_axes(found)
    assert axes == Axes("time", "y", "x", "optics") and band_names(found, axes) == ("400.0", "500.0")
    assert band_names(found.drop_vars("optics").rename(optics="band"), axes) == ()


def test_samples_have_no_dates_and_nothing_in_common():
    images = field((3, 4, 3), ("sample", "y", "x"), sample=[2001, 2002, 2003])
    axes = find_axes(images)
    assert axes.independent and (np.diff(days(images, axes)) > 1e5).all() and day_of_year(images, axes) is None
    drawn = xr.DataArray([1, 2, 3], dims="member", attrs={"standard_name": "realization"})
    assert find_axes(field((3, 4, 3), ("member", "y", "x"), member=drawn)).independent
    when = np.array(["2001-01-01", "2001-01-02", "2001-01-05"], dtype="datetime64[ns]")
    scenes = field((3, 4, 3), ("image", "y", "x"), image=when)
    assert not find_axes(scenes).independent and np.diff(days(scenes, find_axes(scenes))).tolist() == [1.0, 3.0]


def test_days_of_every_kind_of_time():
    dims = ("time", "y", "x")
    when = np.array(["1969-12-31", "1970-01-02T12"], dtype="datetime64[s]")
    a = field((2, 4, 3), dims, time=when)
    assert days(a, find_axes(a)).tolist() == [-1.0, 1.5]
    noleap = [cftime.DatetimeNoLeap(1972, 2, 28), cftime.DatetimeNoLeap(1972, 3, 1)]
    b = field((2, 4, 3), dims, time=noleap)
    assert np.diff(days(b, find_axes(b))).tolist() == [1.0]
    assert day_of_year(b, find_axes(b)).tolist() == [58.0, 59.0]
    c = field((2, 4, 3), dims, time=[10, 13])
    assert days(c, find_axes(c)).tolist() == [10.0, 13.0]
    assert day_of_year(c, find_axes(c)) is None
    d = field((2, 4, 3), dims)
    assert days(d, find_axes(d)).tolist() == [0.0, 1.0]
    e = field((4, 3), ("y", "x"))
    assert days(e, find_axes(e)).tolist() == [0.0]
    for each in (a, b, c, d, e):
        assert days(each, find_axes(each)).dtype == np.float64


def test_missing_or_textual_times_are_refused():
    nat = field((2, 4, 3), ("time", "y", "x"), time=np.array(["2001-01-01", "NaT"], dtype="datetime64[ns]"))
    with pytest.raises(InputError, match="missing times"):
        days(nat, find_axes(nat))
    text = field((2, 4, 3), ("time", "y", "x"), time=["a", "b"])
    with pytest.raises(InputError, match="where dates or days are expected"):
        days(text, find_axes(text))


def test_global_longitudes_are_periodic_however_they_are_counted():
    for longitude in (np.arange(0.5, 360), np.arange(-179.5, 180), (np.arange(0.5, 360) + 180) % 360):
        a = field((3, 360), ("lat", "lon"), lat=[2.0, 1, 0], lon=longitude)
        assert is_periodic(a, find_axes(a))
    regional = field((3, 300), ("lat", "lon"), lat=[2.0, 1, 0], lon=np.arange(300.0))
    assert not is_periodic(regional, find_axes(regional))
    metres = field((3, 360), ("y", "x"), y=[2.0, 1, 0], x=np.arange(0.5, 360))
    assert not is_periodic(metres, find_axes(metres))


def test_projected_and_bare_grids_are_not_lonlat():
    bare = field((3, 2), ("lat", "lon"))
    assert not has_lonlat(bare, find_axes(bare))
    radians = xr.DataArray([0.1, 0.2, 0.3], dims="lat", attrs={"units": "radian"})
    assert not has_lonlat(field((3, 2), ("lat", "lon"), lat=radians, lon=[0, 1]), Axes(None, "lat", "lon"))


def test_grid_step_is_positive_and_one_where_unknown():
    a = field((3, 4), ("lat", "lon"), lat=[3.0, 2.5, 2.0], lon=[350.0, 355.0, 0.0, 5.0])
    assert grid_step(a, find_axes(a)) == (0.5, 5.0)
    b = field((3, 1), ("row", "col"))
    assert grid_step(b, find_axes(b)) == (1.0, 1.0)


class Counted:
    """An array that counts what is asked of it."""

    def __init__(self, values):
        self.values, self.shape, self.dtype, self.ndim, self.asked = values, values.shape, values.dtype, values.ndim, 0

    def __getitem__(self, key):
        self.asked += self.values[key].size
        return self.values[key]


@pytest.mark.parametrize("dims", [("time", "y", "x"), ("y", "x"), ("band", "y", "x")])
def test_of_a_stacked_field_only_the_piece_is_read_that_is_asked_for(dims):
    values = np.random.default_rng(0).random((40, 30, 20)[3 - len(dims) :])
    source = Counted(values)
    field = xr.DataArray(dask.array.from_array(source, chunks=10), dims=dims)
    films = stacked(field, find_axes(field))
    assert films.chunks is not None and films.ndim == 4
    whole = values.reshape(films.shape)
    pieces = [(slice(None), slice(None), slice(3, 9), slice(5, 17)), (0, slice(None), slice(3, 4), 7), (slice(0, 1),)]
    for piece in pieces:
        source.asked = 0
        part = films[piece].values
        np.testing.assert_array_equal(part, whole[piece])
        assert source.asked == part.size
    some = np.array([2, 3, 31])[: len(whole) // 13]
    np.testing.assert_array_equal(films[some], whole[some])
    np.testing.assert_array_equal(films, whole)
    np.testing.assert_array_equal(films.max("y"), whole.max(2))


def around(longitude, **named):
    return field((3, np.shape(longitude)[-1]), ("lat", "lon"), lat=[2.0, 1, 0], lon=longitude, **named)


@pytest.mark.parametrize(
    ("longitude", "expected"),
    [
        (np.arange(0, 360, 7.5), True),
        (np.arange(352.5, -1, -7.5), True),  # falling
        (np.arange(-176.25, 180, 7.5), True),
        (np.roll(np.arange(0, 360, 7.5), 11), True),
        (np.arange(0, 360, 0.25).astype("f4"), True),
        (np.arange(0, 361, 7.5), False),  # the first column twice
        (np.arange(0, 352, 7.5), False),  # one column short
        (np.arange(0, 180, 7.5), False),
        (np.r_[np.arange(0, 180, 7.5), np.arange(180, 360, 15.0)], False),  # uneven
        (np.r_[np.arange(0, 350, 7.5), np.nan], False),
        (np.arange(1, 3), False),
    ],
)
def test_which_longitudes_go_round(longitude, expected):
    one = around(longitude)
    assert is_periodic(one, find_axes(one)) is expected


def test_two_dimensional_longitudes_of_a_regular_grid_go_round():
    lon, lat = np.meshgrid(np.arange(0, 360, 10.0), [2.0, 1.0, 0.0])
    attrs = {"units": "degrees_east"}
    for values, expected in ((lon, True), (lon + 3 * lat, False), (lon[:, :20], False)):
        one = field((3, values.shape[1]), ("y", "x")).assign_coords(longitude=(("y", "x"), values, attrs))
        assert is_periodic(one, find_axes(one)) is expected
        turned = one.transpose("x", "y")
        assert is_periodic(turned, find_axes(turned)) is expected


@pytest.mark.parametrize("longitude", [np.linspace(0, 360, 49), np.linspace(-180, 180, 25), np.linspace(360, 0, 37)])
def test_a_first_column_that_comes_twice_is_refused(longitude):
    one = around(longitude)
    with pytest.raises(InputError, match="are the same place"):
        check_columns(one, find_axes(one))
    for fine in (around(longitude[:-1]), around(longitude[: len(longitude) // 2]), field((3, 5), ("y", "x"))):
        check_columns(fine, find_axes(fine))
