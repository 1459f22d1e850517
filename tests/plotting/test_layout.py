"""Tests of the layout of figures: every text lies inside, nothing overlaps, sizes fit a page."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from cartopy.mpl.gridliner import Gridliner
from matplotlib.text import Text

from geogan.plotting import plot_field, plot_members, plot_reconstruction

pytestmark = pytest.mark.usefixtures("no_network")


def clipped(figure):
    """Return the texts of a figure that are not whole inside it."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    found = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    for lines in figure.findobj(Gridliner):
        found += [text for text in lines.label_artists if text.get_visible()]
    # Matplotlib keeps texts of ticks outside the range of an axis, which are not drawn.
    ticks = {id(label) for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) for tick in axis.get_major_ticks()
             for label in (tick.label1, tick.label2)}  # fmt: skip
    drawn = {id(label) for ax in figure.axes for axis in (ax.xaxis, ax.yaxis) for tick in axis._update_ticks()
             for label in (tick.label1, tick.label2)}  # fmt: skip
    found = [text for text in found if id(text) not in ticks - drawn]
    assert len(found) > 5
    frame = figure.bbox
    boxes = {text.get_text(): text.get_window_extent(renderer) for text in found}
    return [text for text, box in boxes.items() if not all(frame.contains(*corner) for corner in box.corners())]


LONG = "a long name of a quantity, as instruments and archives give it to their variables, in full"
GRIDS = {
    "narrow": (np.arange(-45.0, -43), np.arange(140.0, 180)),
    "tall": (np.arange(-50.0, 10), np.arange(-80.0, -74)),
    "polar": (np.arange(60.5, 90, 3), np.arange(0.5, 360, 6)),
}


@pytest.mark.parametrize("name", GRIDS)
def test_no_text_is_clipped(a_field, name):
    field = a_field(*GRIDS[name], dates=1).isel(time=0).assign_attrs(long_name=LONG)
    field = field.where(field.lon != field.lon[1])
    width, height = plot_field(field).figure.get_size_inches()
    assert not clipped(plt.gcf()) and 1.5 < width < 8 and 1 < height < 10
    figure = plot_reconstruction(field, field.fillna(20.0), truth=field.fillna(20.5))
    assert not clipped(figure) and figure.get_size_inches().max() < 13


def test_maps_and_colour_bars_do_not_overlap(a_field):
    field = a_field()
    members = xr.concat([field, field + 1, field - 1], "member")
    figure = plot_members(members, field, count=2)
    figure.draw_without_rendering()
    assert not clipped(figure)
    boxes = [ax.get_tightbbox(figure.canvas.get_renderer()) for ax in figure.axes]
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])


def test_panels_have_letters_and_one_map_has_none(a_field):
    field = a_field()
    titles = [ax.get_title(loc="left") for ax in plot_reconstruction(field, field).axes[:2]]
    assert titles == ["(a) observed", "(b) filled"]
    assert plot_field(field).get_title(loc="left") == ""
