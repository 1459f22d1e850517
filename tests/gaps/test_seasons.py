"""Margins that are not observed in some months."""

import cftime
import numpy as np
import pytest
import xarray as xr

from geogan.fields.field import Field
from geogan.gaps.seasons import cell_size, edge_distance, months_of, unseen_margins


def sea(times, height=20, width=20):
    values = np.ones((len(times), height, width))
    coords = {"time": times, "lat": 40 + 0.1 * np.arange(height), "lon": 10 + 0.1 * np.arange(width)}
    return xr.DataArray(values, dims=("time", "lat", "lon"), coords=coords, name="sst")


@pytest.mark.parametrize("calendar", ["standard", "360_day", "noleap"])
def test_months_of_any_calendar(calendar):
    times = np.array([cftime.datetime(2001, month, 28, calendar=calendar) for month in (1, 2, 12)])
    assert months_of(Field.of(sea(times))).tolist() == [1, 2, 12]


def test_no_dates_no_months():
    assert months_of(Field.of(sea([1.0, 2.0, 3.0]))) is None


def test_distances_are_in_km_where_the_grid_says_where_it_is():
    domain = np.ones((20, 20), bool)
    domain[0] = False
    field = Field.of(sea([1.0]))
    distance, unit = edge_distance(field, domain)
    assert unit == "km" and np.isclose(distance[3, 5], 3 * 11.12, rtol=1e-3)
    metres = field.array.rename(lat="y", lon="x").assign_coords(y=1e3 * np.arange(20), x=1e3 * np.arange(20))
    for dim in "yx":
        metres[dim].attrs["units"] = "m"
    assert cell_size(Field.of(metres)) == (1.0, 1.0, None)
    assert edge_distance(Field.of(metres.drop_vars(["y", "x"])), domain)[1] == "cells"
    assert edge_distance(field, np.ones((20, 20), bool)) is None


def margins(hidden):
    """Return the margins of a year of 4 dates a month whose cells nearer than ``hidden(month)`` are never observed."""
    months = np.repeat(np.arange(1, 13), 4)
    domain = np.ones((20, 30), bool)
    domain[:, :2] = False
    distance, unit = edge_distance(Field.of(xr.DataArray(np.zeros((20, 30)), dims=("y", "x"))), domain)
    seen = np.array([domain & (distance > hidden(month)) for month in months])
    return unseen_margins(lambda chosen: seen[chosen].sum(0), months, distance, unit, domain)


def test_a_winter_margin_is_found():
    (found,) = margins(lambda month: {11: 5, 12: 9, 1: 4}.get(month, 0))
    assert found.sentence() == (
        "nothing is ever observed within 4 cells of the edge of the domain from November to January"
    )


def test_a_polar_night_is_found():
    (found,) = margins(lambda month: 99 if month in (6, 7) else 0)
    assert found.sentence() == "nothing is ever observed from June to July"


def test_what_is_always_seen_has_no_margin():
    assert margins(lambda month: 0) == []
