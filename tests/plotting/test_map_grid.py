"""Tests of cell edges and longitudes of a map."""

import numpy as np
import pytest
import xarray as xr

from geogan.plotting import plot_field

pytestmark = pytest.mark.usefixtures("no_network")


def test_north_is_up_and_values_lie_at_their_coordinates(a_field):
    field = a_field()
    ax = plot_field(field, coast=False)
    assert ax.get_ylim() == (30.25, 40.25)
    corner = next(c for c in ax.collections if hasattr(c, "get_coordinates"))
    edges, values = corner.get_coordinates(), corner.get_array().reshape(field.shape)
    assert edges[0, 0].tolist() == pytest.approx([-20.25, 40.25])
    assert values[0, 0] == field.values[0, 0]


@pytest.mark.parametrize(
    "longitude",
    [np.arange(0.5, 360, 4), np.arange(-178.0, 180, 4), np.arange(170.0, 200), np.r_[350:360, 0:10]],
)
def test_longitudes_of_any_range_are_unwrapped(longitude, a_field, texts):
    field = a_field(latitude=np.arange(-60.0, 61, 5), longitude=longitude.astype(float))
    ax = plot_field(field)
    width = np.ptp(ax.get_xlim())
    assert width == pytest.approx(abs(np.ptp(np.unwrap(longitude, period=360))) + longitude[1] - longitude[0])
    assert "°" in texts(ax.figure)


def test_a_grid_without_longitudes_has_plain_axes(texts):
    field = xr.DataArray(np.arange(30.0).reshape(5, 6), dims=("row", "col"), name="ndvi")
    ax = plot_field(field)
    assert not hasattr(ax, "projection")
    assert ax.get_xlabel() == "col" and "ndvi" in texts(ax.figure)
