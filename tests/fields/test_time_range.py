"""A span of dates is selected with both its ends."""

import numpy as np
import pytest

from geogan.fields.field import Field
from geogan.fields.time_range import select_time, span_of
from geogan.io import open_field
from geogan.operators.errors import InputError


def in_calendar(dataset, calendar):
    return dataset if calendar == "standard" else dataset.convert_calendar(calendar, use_cftime=True)


@pytest.mark.parametrize(
    ("time", "days"),
    [
        ("2001", 6),
        ("2001-06", 3),
        ("2001-06-29", 1),
        ("2001-06-29/2001-07-01", 3),
        ("2001-07/", 3),
        ("/2001-06-28", 1),
        ("last", 1),
        ("-2d", 2),
        ("-1w", 6),
    ],
)
@pytest.mark.parametrize("calendar", ["standard", "noleap"])
def test_time_is_selected_with_both_ends(tmp_path, time, days, calendar, film):
    in_calendar(film(), calendar).to_netcdf(tmp_path / "a.nc")
    assert open_field(tmp_path / "a.nc", time=time).sizes["time"] == days


@pytest.mark.parametrize("calendar", ["standard", "noleap"])
def test_a_span_selects_its_dates_again(film, calendar):
    """A span with four dates a day selects exactly its dates."""
    times = np.datetime64("2001-06-28", "ns") + np.arange(12) * np.timedelta64(6, "h")
    whole = in_calendar(film(12).assign_coords(time=times), calendar).sst
    selected = select_time(Field.of(whole), span_of(Field.of(whole[2:5])))
    assert list(selected.array.time.values) == list(whole.time.values[2:5])
    assert span_of(Field.of(whole[0])) is None


def test_time_that_selects_nothing_says_what_there_is(tmp_path, film):
    film().to_netcdf(tmp_path / "a.nc")
    with pytest.raises(InputError, match="selects nothing of .*dates go from 2001-06-28 to 2001-07-03"):
        open_field(tmp_path / "a.nc", time="1999")
    with pytest.raises(InputError, match="'summer' is not understood; write a year"):
        open_field(tmp_path / "a.nc", time="summer")
    film().isel(time=0, drop=True).to_netcdf(tmp_path / "b.nc")
    with pytest.raises(InputError, match="has no dates; leave time out"):
        open_field(tmp_path / "b.nc", time="1999")
