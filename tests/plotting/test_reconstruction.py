"""Tests of the figure of a reconstruction and its third map."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex, to_rgba

from geogan.operators.errors import InputError
from geogan.plotting import plot_reconstruction
from geogan.plotting.colours import GAP, LAND, OBSERVED, OUTSIDE, REFUSED


def colours_of(ax):
    """Return the colours of the cells of each layer of a map, (cells, 4)."""
    meshes = [c for c in ax.collections if hasattr(c, "get_coordinates")]
    return [np.reshape(mesh.to_rgba(mesh.get_array()), (-1, 4)) for mesh in meshes]


def cells_in(layer, colour):
    """Return which cells of a layer of 20 x 24 have a colour."""
    return (np.isclose(layer, to_rgba(colour)).all(1)).reshape(20, 24)


pytestmark = pytest.mark.usefixtures("no_network")


def test_reconstruction_with_truth(tmp_path, a_field, texts):
    truth = a_field(dates=3)
    truth = truth.where((truth.lat < 38) | (truth.lon > 344))
    observed = truth.where(truth.lon > 345)
    filled = observed.fillna(truth + 0.5)
    path = tmp_path / "map.png"
    figure = plot_reconstruction(observed, filled, truth=truth, date="2019-03-02", path=path)
    words = texts(figure)
    for expected in (
        "(a) observed", "(c) filled − truth: RMSE 0.5 °C in the gaps", "[°C]", "2019-03-02", "outside the domain"
    ):  # fmt: skip
        assert expected in words
    assert path.stat().st_size > 10_000
    maps = figure.axes[:3]
    meshes = [[c for c in ax.collections if hasattr(c, "get_coordinates")][-1] for ax in maps]
    assert meshes[0].get_clim() == meshes[1].get_clim()
    low, high = meshes[2].get_clim()
    assert low == -high
    # Gaps, cells outside the domain and refused cells have different colours.
    assert len({GAP, OUTSIDE, LAND, REFUSED, OBSERVED}) == 5 and to_hex(maps[0].get_facecolor()) == GAP
    outside = colours_of(maps[0])[0]
    assert {to_hex(colour) for colour in outside[outside[:, 3] > 0]} == {OUTSIDE}


def test_the_default_date_is_half_observed(a_field):
    filled = a_field(dates=5)
    observed = filled.where((filled.time != filled.time[3]) | (filled.lat < 35))
    figure = plot_reconstruction(observed, filled)
    assert "2019-03-04" in figure.get_suptitle()


def test_calendars_without_leap_days(a_field):
    field = a_field(dates=4)
    times = xr.date_range("2001-02-27", periods=4, calendar="noleap", use_cftime=True)
    field = field.assign_coords(time=times)
    assert "2001-03-01" in plot_reconstruction(field, field, date="2001-03-01").get_suptitle()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"date": "2030-01-01"}, "date must lie within 2019-03-01 to 2019-03-03"),
        ({"date": "someday"}, "date must be one of the record's"),
        ({"truth": lambda field: field[::-1]}, "on the grid of the others"),
        ({"truth": lambda field: field[:3]}, "on the grid of the others"),
        ({"truth": lambda field: field.assign_attrs(units="K")}, "convert one of them"),
        ({"path": "map.doc"}, "path must end in"),
        ({"path": "nowhere/at/all/map.png"}, "does not exist"),
    ],
)
def test_errors(change, words, a_field):
    field = a_field(dates=3)
    change = {name: value(a_field()) if callable(value) else value for name, value in change.items()}
    with pytest.raises(InputError, match=words):
        plot_reconstruction(field, field, **change)


def test_a_cell_with_a_true_value_is_not_outside_the_domain(a_field, texts):
    truth = a_field()
    gappy = truth.where(truth.lon > 345)
    figure = plot_reconstruction(gappy, gappy, truth=truth)
    assert "outside the domain" not in texts(figure)


def test_colour_images(tmp_path, pictures, texts):
    truth = pictures()
    gappy = truth.where(np.random.default_rng(1).random((4, 1, 9, 12)) < 0.5)
    filled = gappy.fillna(0.25)
    figure = plot_reconstruction(gappy, filled, truth=truth, date=3, path=tmp_path / "colours.png")
    error = float(np.sqrt(((filled - truth)[3].where(gappy[3].isnull()) ** 2).mean()))
    assert f"RMSE {error:.2g} in the gaps" in texts(figure) and "image, sample 3" in texts(figure)
    assert "root mean square of the bands" in texts(figure) and (tmp_path / "colours.png").stat().st_size > 5000
    source = xr.where(gappy.notnull(), 0, 1).assign_attrs(flag_values=[0, 1], flag_meanings="observed filled")
    figure = plot_reconstruction(gappy, filled, source=source)
    assert "observed" in texts(figure) and "filled" in texts(figure)
    one = plot_reconstruction(gappy, filled, truth=truth, band="green", date=3)
    assert "image, green, sample 3" in texts(one) and "root mean square" not in texts(one)


def test_observed_cells_are_grey_in_maps_of_the_error_and_refused_cells_apart(a_field, texts):
    truth = a_field(longitude=np.arange(330.0, 342.0, 0.5))
    source = xr.zeros_like(truth, dtype="int8")
    source[:, 8:], source[:, 18:] = 1, 3
    source.attrs = {"flag_values": np.arange(4, dtype="int8"), "flag_meanings": "observed filled land refused"}
    observed, filled = truth.where(source == 0), truth.where(source < 2)
    std = xr.where(source == 1, 0.1 + 0.01 * (truth - 19), np.nan)
    figure = plot_reconstruction(observed, filled, std=std, source=source)
    assert "(c) predicted error" in texts(figure) and "source" not in texts(figure)
    error_map = figure.axes[2]
    grey, shown, refused = colours_of(error_map)[:3]
    np.testing.assert_array_equal(cells_in(grey, OBSERVED), source == 0)
    np.testing.assert_array_equal(cells_in(refused, REFUSED), source == 3)
    np.testing.assert_array_equal(shown[:, 3].reshape(20, 24) > 0, source == 1)
    # The scale is that of filled cells.
    known = std.values[np.isfinite(std.values)]
    mesh = [c for c in error_map.collections if hasattr(c, "get_coordinates")][1]
    assert mesh.get_clim() == tuple(np.percentile(known, [2, 98]))
    plt.close(figure)


def test_a_fill_of_the_sea_is_not_drawn_on_land(a_field):
    truth = a_field(longitude=np.arange(346.0, 358.0, 0.5))  # Portugal and Spain
    observed = truth.where(truth.lon < 348)
    shown = colours_of(plot_reconstruction(observed, truth).axes[1])[-1][:, 3].reshape(20, 24) > 0
    assert shown[:, :4].all() and shown[-1, 4] and not shown[0, 14:].any()
