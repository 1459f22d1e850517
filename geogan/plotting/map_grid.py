"""The grid of a map as it is drawn: cell edges, axis labels, projection."""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from geogan.fields.axes import find_axes
from geogan.fields.captions import is_image
from geogan.fields.geography import has_lonlat
from geogan.operators.errors import InputError
from geogan.plotting.colours import GAP, GAP_OF_IMAGES
from geogan.plotting.grid_mapping import curved_corners, lonlat_of, own_projection


class MapGrid(NamedTuple):
    """Cell edges and labels of a map.

    Attributes
    ----------
    y, x : str
        Dimensions of the field.
    y_edges, x_edges : ndarray
        Edges of the cells. Longitudes are relative to ``centre``, in degrees.
    centre : float or None
        Longitude at x = 0 of the map; None if the field has no longitudes.
    y_label, x_label : str
        Labels of plain axes.
    has_same_units : bool
        Whether both axes have one unit, so that cells are drawn in their true aspect.
    first_x : float
        Coordinate of the first column as the field gives it.
    crs : cartopy.crs.Projection or None
        Projection of a grid in metres, by its grid mapping.
    corners : (ndarray, ndarray) or None
        Longitudes and latitudes of the corners of a curved grid, each (H + 1, W + 1).
    band : str or None
        Dimension of red, green and blue.
    is_image : bool
        Whether the first row is drawn at the top, without ticks.
    gap : str
        Colour of a gap.
    """

    y: str
    x: str
    y_edges: np.ndarray
    x_edges: np.ndarray
    centre: float | None
    y_label: str
    x_label: str
    has_same_units: bool
    first_x: float
    crs: Any = None
    corners: tuple[np.ndarray, np.ndarray] | None = None
    band: str | None = None
    is_image: bool = False
    gap: str = GAP

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.y_edges.size - 1, self.x_edges.size - 1

    @property
    def is_geographic(self) -> bool:
        """Whether the place of each cell on the globe is known."""
        return self.centre is not None


def map_grid(field: xr.DataArray) -> MapGrid:
    """Return the grid of one map, shape (y, x) or (band, y, x) with three bands.

    Raises
    ------
    InputError
        If the field is not a single map.
    """
    axes = find_axes(field) if field.ndim in (2, 3) else None
    if axes is None or (field.ndim == 3 and (axes.band is None or field.sizes[axes.band] != 3)):
        raise InputError(f"a single map (y, x) is expected, got the dimensions {field.dims}; select one date first")
    if axes.time is not None:
        raise InputError(
            f"a map (y, x) is expected, got {field.dims}, where {axes.time!r} is time; select one date first"
        )
    y, y_label, y_units = _positions(field, axes.y)
    x, x_label, x_units = _positions(field, axes.x)
    centre, crs, corners = None, None, None
    y_edges, x_edges = _edges(y), _edges(x)
    if has_lonlat(field, axes):
        y_edges, x_edges = np.clip(y_edges, -90, 90), _edges(np.unwrap(x, period=360))
        x_edges = x_edges - 360 * np.round((x_edges.min() + x_edges.max()) / 720)
        low, high = x_edges.min(), x_edges.max()
        # A map centred on Greenwich would cut a field that crosses 180°.
        centre = 0.0 if low >= -180 - 1e-6 and high <= 180 + 1e-6 else float((low + high) / 2)
        x_edges = x_edges - centre
    elif (own := own_projection(field, (y_units, x_units), y_edges, x_edges)) is not None:
        crs, y_edges, x_edges, centre = own
    elif (curved := curved_corners(field, axes)) is not None:
        corners, centre = curved
    is_plain_image = is_image(field) and axes.y not in field.coords
    return MapGrid(
        y=axes.y,
        x=axes.x,
        y_edges=y_edges,
        x_edges=x_edges,
        centre=centre,
        y_label=y_label,
        x_label=x_label,
        has_same_units=y_units == x_units or crs is not None,
        first_x=float(x[0]),
        crs=crs,
        corners=corners,
        band=axes.band,
        is_image=is_plain_image,
        gap=GAP_OF_IMAGES if is_plain_image and axes.band is None else GAP,
    )


def map_values(field: xr.DataArray, grid: MapGrid, name: str = "field") -> np.ndarray:
    """Return the values of a map in the order (y, x), or (y, x, band) with three bands.

    Parameters
    ----------
    field : DataArray, shape (y, x) or (band, y, x)
    grid : MapGrid
        The grid that the field must be on.
    name : str
        Name of the field in an error.

    Returns
    -------
    values : ndarray of float64

    Raises
    ------
    InputError
        If the field is on another grid.
    """
    colours = [grid.band] if grid.band in field.dims and grid.band else []
    if set(field.dims) != {grid.y, grid.x, *colours}:
        raise InputError(f"{name} must have the dimensions ({grid.y}, {grid.x}), got {field.dims}; rename them")
    values = np.asarray(field.transpose(grid.y, grid.x, *colours).values, dtype="float64")
    expected = (grid.y_edges.size - 1, grid.x_edges.size - 1)
    own_grid = map_grid(field)
    if values.shape[:2] != expected or not (
        np.allclose(own_grid.y_edges, grid.y_edges) and np.allclose(own_grid.x_edges, grid.x_edges)
    ):
        raise InputError(
            f"{name} must be on the grid of the others, {expected} cells, got {values.shape} or other "
            "coordinates; interpolate it to that grid first"
        )
    return values


def cell_places(grid: MapGrid, stride: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return longitude and latitude of every ``stride``-th cell of a geographic grid, each (h, w)."""
    rows, columns = slice(None, None, stride), slice(None, None, stride)
    if grid.corners is not None:
        longitude, latitude = (corner[:-1, :-1][rows, columns] for corner in grid.corners)
        return longitude, latitude
    y, x = ((edges[:-1] + edges[1:])[::stride] / 2 for edges in (grid.y_edges, grid.x_edges))
    x, y = np.meshgrid(x, y)
    if grid.crs is None:
        return x + (grid.centre or 0.0), y
    return lonlat_of(grid.crs, x, y)


def axis_edges(field: xr.DataArray, dim: str) -> tuple[np.ndarray, str]:
    """Return the edges of cells along a dimension, with continuous longitudes, and its label."""
    values, label, units = _positions(field, dim)
    if np.ptp(values) <= 360 and "degree" in units.lower():
        values = np.unwrap(values, period=360)
    return _edges(values), label


def _positions(field: xr.DataArray, dim: str) -> tuple[np.ndarray, str, str]:
    """Return positions, label and unit along a dimension: a monotonic coordinate, else the index."""
    along = [c for c in field.coords.values() if c.dims == (dim,) and np.issubdtype(c.dtype, np.number)]
    for coordinate in sorted(along, key=lambda c: c.name != dim):
        values = coordinate.values.astype("float64")
        steps = np.diff(np.unwrap(values, period=360) if np.ptp(values) <= 360 else values)
        if np.isfinite(values).all() and ((steps > 0).all() or (steps < 0).all()):
            units = str(coordinate.attrs.get("units", ""))
            return values, f"{coordinate.name} [{units}]" if units else str(coordinate.name), units
    return np.arange(field.sizes[dim], dtype="float64"), dim, ""


def _edges(centres: np.ndarray) -> np.ndarray:
    """Return the edges of cells with these centres, one more than centres."""
    if centres.size == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])
