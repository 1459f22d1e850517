"""Tests of a map on axes of several kinds."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from geogan.fields.field import Field
from geogan.fields.selection import select_date
from geogan.plotting import plot_field
from geogan.plotting.colours import GAP

pytestmark = pytest.mark.usefixtures("no_network")


def test_labels_across_the_antimeridian(a_field, texts):
    ax = plot_field(a_field(latitude=np.arange(-50.0, -20), longitude=np.arange(150.0, 211)))
    assert "180°" in texts(ax.figure)


def test_plain_axes_keep_the_longitudes_of_the_field(a_field):
    _, ax = plt.subplots()
    assert plot_field(a_field(longitude=np.arange(170.0, 200)), ax=ax) is ax
    assert ax.get_xlim() == (169.5, 199.5)


def test_the_projection_of_the_caller_is_kept(a_field):
    from cartopy import crs

    ax = plt.figure().add_subplot(projection=crs.LambertConformal(central_longitude=-14, central_latitude=35))
    assert plot_field(a_field(), ax=ax) is ax
    ax.figure.canvas.draw()
    low, high = ax.get_xlim()
    assert -1e6 < low < -2e5 and 2e5 < high < 1e6  # metres: the extent is that of the field, not of the globe


def test_an_empty_map_and_a_large_one(a_field):
    plot_field(a_field() * np.nan)
    large = xr.DataArray(np.zeros((3000, 40)), dims=("y", "x"))
    ax = plot_field(large)
    assert ax.collections[0].get_array().size < 1300 * 40
    assert ax.get_ylim() == (-0.5, 2999.5)


def test_a_missing_colour_band_has_the_shade_of_a_gap(pictures):
    image = select_date(Field.of(pictures()), 1).array
    (mesh,) = plot_field(image.where((image.band != "green") | (image.x > 5))).collections
    grey = matplotlib.colors.to_rgb(GAP)[1]
    assert (mesh.get_array()[:, :6, 1] == grey).all() and (mesh.get_array()[:, :6, 3] == 1).all()
