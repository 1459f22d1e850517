"""The grid of a map as it is drawn: edges of its cells, what its axes say, its projection."""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from geogan.fields.axes import find_axes, has_lonlat
from geogan.operators.errors import InputError
from geogan.plotting.captions import is_image
from geogan.plotting.colours import GAP, GAP_OF_IMAGES


class MapGrid(NamedTuple):
    """Edges of the cells as they are drawn.

    ``centre`` is the longitude at x = 0, None where there are no longitudes; ``first`` is the coordinate of
    the first column as the field has it. Of an image the first row is on top, and ``gap`` another colour.
    """

    y: str
    x: str
    y_edges: np.ndarray
    x_edges: np.ndarray
    centre: float | None
    y_label: str
    x_label: str
    same_units: bool
    first: float
    band: str | None = None
    image: bool = False
    gap: str = GAP


def map_grid(field: xr.DataArray) -> MapGrid:
    """The grid of one map (y, x), or of one in three colours; refuse anything else."""
    axes = find_axes(field) if field.ndim in (2, 3) else None
    if axes is None or (field.ndim == 3 and (axes.band is None or field.sizes[axes.band] != 3)):
        raise InputError(f"a single map (y, x) is expected, got the dimensions {field.dims}; select one date first")
    if axes.time is not None:
        raise InputError(
            f"a map (y, x) is expected, got {field.dims}, where {axes.time!r} is time; select one date first"
        )
    y, y_label, y_units = _positions(field, axes.y)
    x, x_label, x_units = _positions(field, axes.x)
    centre = None
    if has_lonlat(field, axes):
        y_edges, x_edges = np.clip(_edges(y), -90, 90), _edges(np.unwrap(x, period=360))
        x_edges = x_edges - 360 * np.round((x_edges.min() + x_edges.max()) / 720)
        low, high = x_edges.min(), x_edges.max()
        # Centred on Greenwich unless the field would be cut there at 180°.
        centre = 0.0 if low >= -180 - 1e-6 and high <= 180 + 1e-6 else float((low + high) / 2)
        x_edges = x_edges - centre
    else:
        y_edges, x_edges = _edges(y), _edges(x)
    image = is_image(field) and axes.y not in field.coords
    gap = GAP_OF_IMAGES if image and axes.band is None else GAP
    same_units = y_units == x_units
    return MapGrid(
        axes.y, axes.x, y_edges, x_edges, centre, y_label, x_label, same_units, float(x[0]), axes.band, image, gap
    )


def map_values(field: xr.DataArray, grid: MapGrid, name: str = "field") -> np.ndarray:
    """Values as float64 in the order (y, x), or (y, x, band) of three colours, on this grid and no other."""
    colours = [grid.band] if grid.band in field.dims and grid.band else []
    if set(field.dims) != {grid.y, grid.x, *colours}:
        raise InputError(f"{name} must have the dimensions ({grid.y}, {grid.x}), got {field.dims}; rename them")
    values = np.asarray(field.transpose(grid.y, grid.x, *colours).values, dtype="float64")
    expected = (grid.y_edges.size - 1, grid.x_edges.size - 1)
    here = map_grid(field)
    if values.shape[:2] != expected or not (
        np.allclose(here.y_edges, grid.y_edges) and np.allclose(here.x_edges, grid.x_edges)
    ):
        raise InputError(
            f"{name} must be on the grid of the others, {expected} cells, got {values.shape} or other "
            "coordinates; interpolate it to that grid first"
        )
    return values


def projection_of(grid: MapGrid) -> Any:
    """Plate carrée around the grid's centre; None where there are no longitudes."""
    if grid.centre is None:
        return None
    from cartopy import crs

    return crs.PlateCarree(central_longitude=grid.centre)


def figure_size(grid: MapGrid, panels: int) -> tuple[float, float]:
    """Width and height in inches of so many maps side by side."""
    aspect = 1.0
    if grid.centre is not None or grid.same_units:
        aspect = abs(float(np.ptp(grid.y_edges) / np.ptp(grid.x_edges)))
    width = 4.4 if panels > 1 else 6.4
    if panels == 1 and 1.3 * aspect >= 1:
        # The colour bar stands beside the map, which is that much narrower.
        return width, float(np.clip((width - 1.5) * aspect, 1.8, 9.0)) + 0.8
    return width * panels, float(np.clip(width * aspect, 1.8, 9.0)) + 1.3


def _positions(field: xr.DataArray, dim: str) -> tuple[np.ndarray, str, str]:
    """Positions along a dimension: its coordinate where that is monotonic numbers, else the index."""
    along = [c for c in field.coords.values() if c.dims == (dim,) and np.issubdtype(c.dtype, np.number)]
    for coordinate in sorted(along, key=lambda c: c.name != dim):
        values = coordinate.values.astype("float64")
        steps = np.diff(np.unwrap(values, period=360) if np.ptp(values) <= 360 else values)
        if np.isfinite(values).all() and ((steps > 0).all() or (steps < 0).all()):
            units = str(coordinate.attrs.get("units", ""))
            return values, f"{coordinate.name} [{units}]" if units else str(coordinate.name), units
    return np.arange(field.sizes[dim], dtype="float64"), dim, ""


def _edges(centres: np.ndarray) -> np.ndarray:
    if centres.size == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])
