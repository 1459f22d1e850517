"""Times become days and days of the year, in the calendar of the field."""

import cftime
import numpy as np
import pytest
import xarray as xr

from geogan.fields.axes import Axes, find_axes
from geogan.fields.dates import calendar_of, dated, day_of_year, days
from geogan.operators.errors import InputError

TIMES = Axes("time", "y", "x")


def array(shape, dims, **coords):
    return xr.DataArray(np.zeros(shape), dims=dims, coords=coords, name="sst")


def films(times=None):
    return array((2, 4, 3), ("time", "y", "x"), **({} if times is None else {"time": times}))


@pytest.mark.parametrize(
    ("times", "expected", "of_year", "calendar"),
    [
        (np.array(["1969-12-31", "1970-01-02T12"], "datetime64[s]"), [-1.0, 1.5], [364.0, 1.5], "standard"),
        ([cftime.DatetimeNoLeap(1970, 2, 28), cftime.DatetimeNoLeap(1970, 3, 1)], [58.0, 59.0], [58.0, 59.0], "noleap"),
        ([20010131, 20010201], [11353.0, 11354.0], [30.0, 31.0], "standard"),
        ([10, 13], [10.0, 13.0], None, None),
        (np.array([10, 13], "timedelta64[D]").astype("timedelta64[ns]"), [10.0, 13.0], None, None),
        (None, [0.0, 1.0], None, None),
    ],
)
def test_every_kind_of_time(times, expected, of_year, calendar):
    field = films(times)
    assert days(field, TIMES).tolist() == expected and days(field, TIMES).dtype == np.float64
    found = day_of_year(field, TIMES)
    assert (found if found is None else found.tolist()) == of_year
    assert calendar_of(field, TIMES) == calendar


def test_the_29th_of_february_exists_only_in_calendars_that_have_it():
    noleap = [cftime.DatetimeNoLeap(1972, 2, 28), cftime.DatetimeNoLeap(1972, 3, 1)]
    assert np.diff(days(films(noleap), TIMES)).tolist() == [1.0]
    standard = np.array(["1972-02-28", "1972-03-01"], "datetime64[ns]")
    assert np.diff(days(films(standard), TIMES)).tolist() == [2.0]


def test_a_single_map_has_the_day_0_and_the_day_of_the_year_of_its_scalar_time():
    scene = array((4, 3), ("y", "x"), time=np.datetime64("2001-02-01", "ns"))
    axes = Axes(None, "y", "x")
    assert days(scene, axes).tolist() == [0.0] and day_of_year(scene, axes).tolist() == [31.0]
    written = dated(array((4, 3), ("y", "x"), time=20010201), axes)
    assert written.time.dt.month == 2 and day_of_year(written, axes).tolist() == [31.0]


def test_samples_have_no_dates_and_are_far_apart():
    images = array((3, 4, 3), ("sample", "y", "x"), sample=[2001, 2002, 2003])
    axes = find_axes(images)
    assert (np.diff(days(images, axes)) > 1e5).all()
    assert day_of_year(images, axes) is None and calendar_of(images, axes) is None and dated(images, axes) is images


def test_missing_times_and_text_are_refused():
    with pytest.raises(InputError, match="missing times"):
        days(films(np.array(["2001-01-01", "NaT"], dtype="datetime64[ns]")), TIMES)
    with pytest.raises(InputError, match="missing times"):
        days(films([1.0, np.nan]), TIMES)
    with pytest.raises(InputError, match="where dates or days are expected"):
        days(films(["a", "b"]), TIMES)
