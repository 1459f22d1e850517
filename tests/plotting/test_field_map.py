"""Tests of a single map: labels, colours, images."""

import matplotlib
import numpy as np
import pytest

from geogan.fields.field import Field
from geogan.fields.selection import select_date
from geogan.operators.errors import InputError
from geogan.plotting import plot_field, plot_reconstruction
from geogan.plotting.colours import GAP_OF_IMAGES

pytestmark = pytest.mark.usefixtures("no_network")


def test_a_map_has_units_date_and_colours(a_field, texts):
    field = a_field(dates=2).isel(time=1)
    ax = plot_field(field)
    words = texts(ax.figure)
    assert "sea surface temperature [°C]" in words and "2019-03-02" in words
    assert "14°W" in words  # the field has 345°E
    mesh = next(c for c in ax.collections if hasattr(c, "get_coordinates"))
    assert mesh.get_cmap().name in ("inferno", "thermal")


def test_errors(a_field):
    with pytest.raises(InputError, match="select one date"):
        plot_field(a_field(dates=2))
    with pytest.raises(InputError, match="limits must increase"):
        plot_field(a_field(), limits=(2, 1))
    with pytest.raises(InputError, match="single map"):
        plot_reconstruction(a_field(), a_field(), date="2019-03-01")


def test_an_image_is_drawn_in_colour_with_the_first_row_on_top(pictures):
    image = select_date(Field.of(pictures()), "2").array
    gappy = image.where(~((image.y == 0) & (image.x == 0)))
    ax = plot_field(gappy)
    (mesh,) = ax.collections
    colours = mesh.get_array()
    assert colours.shape == (9, 12, 4) and colours[0, 0, 3] == 0 and (colours[1:, :, 3] == 1).all()
    np.testing.assert_allclose(colours[1, 1, :3], (image[:, 1, 1].values + 1) / 2)
    assert ax.get_ylim()[0] > ax.get_ylim()[1] and len(ax.figure.axes) == 1 and ax.get_title() == "sample 2"


def test_gaps_of_grey_images_are_not_grey(pictures):
    grey = pictures(bands=1)
    ax = plot_field(select_date(Field.of(grey.where(grey.x > 3)), 0).array)
    assert matplotlib.colors.to_hex(ax.get_facecolor()) == GAP_OF_IMAGES
    assert ax.collections[0].get_clim() == (-1, 1) and ax.collections[0].get_cmap().name == "gray"
