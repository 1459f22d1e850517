"""Tests of Hovmöller diagrams: means of one side of the grid by time and the other."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from geogan.operators.errors import InputError
from geogan.plotting import plot_hovmoller

pytestmark = pytest.mark.usefixtures("no_network")


def test_means_are_weighted_with_the_area_and_skip_gaps(a_field):
    field = a_field(dates=4)
    gappy = field.where((field.lat > 34) | (field.time > field.time[1]))
    ax = plot_hovmoller(gappy, "longitude")
    values = np.asarray(ax.collections[0].get_array()).reshape(4, 24)
    weights = np.cos(np.radians(gappy.lat))
    np.testing.assert_allclose(values, gappy.weighted(weights).mean("lat").transpose("time", "lon"))
    assert ax.yaxis_inverted() and ax.get_xlabel() == "longitude"
    assert all(label.get_text().endswith("°W") for label in ax.get_xticklabels())
    ax = plot_hovmoller(gappy, "latitude")
    np.testing.assert_allclose(
        np.asarray(ax.collections[0].get_array()).reshape(20, 4).T, gappy.mean("lon").transpose("time", "lat")
    )


def test_observed_and_filled_have_one_colour_scale(a_field):
    field = a_field(dates=4).assign_coords(
        time=xr.date_range("2001-02-27", periods=4, calendar="noleap", use_cftime=True)
    )
    ax = plot_hovmoller(field, "y", observed=field.where(field.lon > 345))
    first, second = ax.figure.axes[:2]
    assert second is ax and first.collections[0].get_clim() == second.collections[0].get_clim()
    ax.figure.draw_without_rendering()
    assert "2001-03-01" in [label.get_text() for label in ax.get_xticklabels()]


def test_errors(a_field, pictures):
    for field in (a_field(), pictures()):
        with pytest.raises(InputError, match="needs a field with dates"):
            plot_hovmoller(field)
    with pytest.raises(InputError, match="no side of a Hovmöller diagram is named 'depth'"):
        plot_hovmoller(a_field(dates=2), "depth")
    with pytest.raises(InputError, match="axes of their own"):
        plot_hovmoller(a_field(dates=2), observed=a_field(dates=2), ax=plt.figure().add_subplot())
