"""Tests of projections: the one that suits the place, the aspect, values at their place."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from geogan.operators.errors import InputError
from geogan.plotting import MapStyle, plot_field
from geogan.plotting.map_grid import map_grid
from geogan.plotting.map_view import map_view

pytestmark = pytest.mark.usefixtures("no_network")


def view_of(field, projection=None):
    return map_view(map_grid(field), projection)


@pytest.mark.parametrize(
    ("latitude", "name"),
    [((30, 46), "plate-carree"), ((-60, 61), "plate-carree"), ((62, 89), "polar"), ((-89, -50), "polar")],
)
def test_maps_near_the_poles_are_polar(a_field, latitude, name):
    view = view_of(a_field(latitude=np.arange(*latitude, 1.0), longitude=np.arange(0.0, 40)))
    assert view.name == name
    if name == "plate-carree":
        middle = np.mean([view.y.min(), view.y.max()])
        assert view.aspect == pytest.approx(1 / np.cos(np.radians(middle)))


def test_a_ring_around_the_pole_is_a_disc_and_a_sector_stands_upright(a_field):
    ring = view_of(a_field(latitude=np.arange(60.5, 90), longitude=np.arange(0.5, 360)))
    assert ring.is_round and ring.height == 1 and not view_of(a_field(latitude=np.arange(70.5, 85))).is_round
    sector = view_of(a_field(latitude=np.arange(70.5, 85), longitude=np.arange(20.5, 40)))
    assert sector.x_span[0] == pytest.approx(-sector.x_span[1]) and sector.y_span[1] < 0


def test_the_grid_mapping_of_a_field_is_its_projection():
    """A field on the polar stereographic grid of the NSIDC, whose centre of rows and columns is the pole."""
    metres = np.arange(-1000e3, 1001e3, 250e3)
    mapping = {
        "grid_mapping_name": "polar_stereographic",
        "latitude_of_projection_origin": 90.0,
        "standard_parallel": 70.0,
        "straight_vertical_longitude_from_pole": -45.0,
        "false_easting": 0.0,
        "false_northing": 0.0,
    }
    field = xr.DataArray(
        np.zeros((9, 9)),
        dims=("y", "x"),
        coords={"y": metres[::-1], "x": metres, "crs": ((), 0, mapping)},
        attrs={"grid_mapping": "crs"},
    )
    view = view_of(field)
    assert view.name == "grid" and view.x_span == (-1125e3, 1125e3) and view.height == 1
    ax = plot_field(field, coast=False)
    # The pole is in the middle, and 45°W downwards.
    from cartopy import crs

    x, y = ax.projection.transform_point(-45, 80, crs.PlateCarree())
    assert abs(x) < 1 and y < -1000e3
    km = {"units": "km"}
    assert (
        view_of(field.assign_coords(y=("y", metres[::-1] / 1e3, km), x=("x", metres / 1e3, km))).x_span == view.x_span
    )
    # The same places by two-dimensional coordinates.
    y, x = np.meshgrid(metres[::-1], metres, indexing="ij")
    places = crs.Geodetic().transform_points(ax.projection, x, y)
    curved = xr.DataArray(
        np.zeros((9, 9)),
        dims=("y", "x"),
        coords={"lat": (("y", "x"), places[..., 1]), "lon": (("y", "x"), places[..., 0])},
    )
    view = view_of(curved)
    assert view.name == "polar"
    radius, expected = np.hypot(view.x, view.y), np.hypot(*np.meshgrid(*2 * [np.arange(-4.5, 5)]))
    np.testing.assert_allclose(radius / radius.max(), expected / expected.max(), atol=0.01)
    plt.close(ax.figure)


def test_values_lie_at_their_places_in_every_projection(a_field):
    field = a_field(latitude=np.arange(40.0, 30, -1), longitude=np.arange(340.0, 352))
    from cartopy import crs

    for name in ("plate-carree", "mercator", "lambert", "polar", "equal-earth"):
        view = view_of(field, name)
        x, y = np.broadcast_arrays(view.x, view.y[:, None]) if view.x.ndim == 1 else (view.x, view.y)
        for row, column in ((0, 0), (10, 12), (5, 3)):
            place = view.crs.transform_point(339.5 + column, 40.5 - row, crs.PlateCarree())
            np.testing.assert_allclose((x[row, column], y[row, column]), place, rtol=1e-6, atol=1e-6)
    plain = view_of(field, "none")
    assert plain.crs is None and plain.x_span == (339.5, 351.5)


def test_projections_that_a_field_has_not(a_field):
    field = a_field()
    with pytest.raises(InputError, match="no projection is named 'mercador'.*did you mean 'mercator'"):
        MapStyle(projection="mercador")
    with pytest.raises(InputError, match="needs the grid mapping"):
        view_of(field, "grid")
    with pytest.raises(InputError, match="needs longitudes and latitudes"):
        view_of(field.drop_vars(["lat", "lon"]), "polar")
