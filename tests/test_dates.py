"""A span of dates is selected with both its ends."""

import pytest

from geogan.io import open_field
from geogan.operators.errors import InputError


@pytest.mark.parametrize(
    ("time", "days"),
    [
        ("2001", 6),
        ("2001-06", 3),
        ("2001-06-29", 1),
        ("2001-06-29/2001-07-01", 3),
        ("2001-07/", 3),
        ("/2001-06-28", 1),
    ],
)
@pytest.mark.parametrize("calendar", ["standard", "noleap"])
def test_time_is_selected_with_both_ends(tmp_path, time, days, calendar, film):
    dataset = film()
    if calendar == "noleap":
        dataset = dataset.convert_calendar("noleap", use_cftime=True)
    dataset.to_netcdf(tmp_path / "a.nc")
    assert open_field(tmp_path / "a.nc", time=time).sizes["time"] == days


def test_time_that_selects_nothing_says_what_there_is(tmp_path, film):
    film().to_netcdf(tmp_path / "a.nc")
    with pytest.raises(InputError, match="selects nothing of .*dates go from 2001-06-28 to 2001-07-03"):
        open_field(tmp_path / "a.nc", time="1999")
    with pytest.raises(InputError, match="'summer' is not understood; write a year"):
        open_field(tmp_path / "a.nc", time="summer")
    film().isel(time=0, drop=True).to_netcdf(tmp_path / "b.nc")
    with pytest.raises(InputError, match="has no dates; leave time out"):
        open_field(tmp_path / "b.nc", time="1999")
