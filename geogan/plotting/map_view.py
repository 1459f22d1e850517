"""Projections of maps, and the corners of cells as a projection places them."""

from typing import Any, NamedTuple

import numpy as np

from geogan.operators.choices import choice
from geogan.operators.errors import InputError
from geogan.plotting.grid_mapping import lonlat_of
from geogan.plotting.map_grid import MapGrid

PROJECTIONS = ("auto", "plate-carree", "mercator", "lambert", "polar", "equal-earth", "grid", "none")
"""Names of projections; ``auto`` chooses one for the place, ``grid`` is that of the field, ``none`` is plain axes."""

# Cells along a side; a map in a figure has no more pixels than this.
_LARGEST = 1200
# Degrees: poleward of this latitude a map is polar by default.
_POLAR, _NEAR_POLE, _POLAR_BY_NEAR_POLE = 60.0, 80.0, 40.0
# Degrees along a side beyond which a cell is divided, so that its edges follow the projection.
_STRAIGHT = 2.0


class MapView(NamedTuple):
    """A grid in a projection.

    Attributes
    ----------
    grid : MapGrid
    name : str
        One of `PROJECTIONS` but ``auto``; ``"axes"`` for axes of the caller.
    crs : cartopy.crs.Projection or None
        None for plain axes.
    x, y : ndarray
        Corners of the drawn cells in the units of the axes: both one-dimensional, or both (h + 1, w + 1).
    x_span, y_span : (float, float)
        Range of the axes.
    aspect : float or None
        Length on paper of a unit of y over that of a unit of x; None for any aspect.
    is_round : bool
        Whether the map is a disc around a pole.
    strides, repeats : (int, int)
        Rows and columns between drawn cells, and parts into which each is divided.
    """

    grid: MapGrid
    name: str
    crs: Any
    x: np.ndarray
    y: np.ndarray
    x_span: tuple[float, float]
    y_span: tuple[float, float]
    aspect: float | None
    is_round: bool = False
    strides: tuple[int, int] = (1, 1)
    repeats: tuple[int, int] = (1, 1)

    @property
    def height(self) -> float:
        """Height over width on paper; 0.75 for axes of any aspect."""
        if self.aspect is None:
            return 0.75
        return self.aspect * (self.y_span[1] - self.y_span[0]) / (self.x_span[1] - self.x_span[0])

    def cells(self, values: np.ndarray) -> np.ndarray:
        """Return the values of the drawn cells: thinned or divided."""
        values = values[:: self.strides[0], :: self.strides[1]]
        return values.repeat(self.repeats[0], 0).repeat(self.repeats[1], 1) if self.repeats != (1, 1) else values


def map_view(grid: MapGrid, projection: str | None = None) -> MapView:
    """Return the view of a grid in a projection.

    Parameters
    ----------
    grid : MapGrid
    projection : str, optional
        One of `PROJECTIONS`; by default ``auto``: the grid's own projection, polar stereographic near the poles, else
        plate carrée with the aspect of its middle latitude.

    Raises
    ------
    InputError
        If there is no such projection, or if the grid has no longitudes and latitudes, or no projection of its own.
    """
    name = choice("auto" if projection is None else projection, PROJECTIONS, "projection")
    if name == "none" or (name == "auto" and not grid.is_geographic):
        return _plain_view(grid)
    if not grid.is_geographic:
        raise InputError(
            f"--projection {name} needs longitudes and latitudes, or a grid mapping, and the field has neither; "
            "leave the projection out"
        )
    if name == "grid" and grid.crs is None:
        raise InputError(
            "--projection grid needs the grid mapping of a projected grid, which the field has not; choose another"
        )
    if name == "auto":
        name = "grid" if grid.crs is not None else _name_for(grid)
    return projected_view(grid, name, _crs_of(grid, name))


def projected_view(grid: MapGrid, name: str, crs: Any) -> MapView:
    """Return the view of a geographic grid in a cartopy projection."""
    strides = _strides(grid)
    repeats = (1, 1)
    y_edges, x_edges = (_thinned(edges, stride) for edges, stride in zip((grid.y_edges, grid.x_edges), strides))
    aspect, is_round = 1.0, False
    if name == "grid" or name == "plate-carree" and grid.corners is None and grid.crs is None:
        x, y = x_edges, y_edges
    else:
        if grid.crs is None and grid.corners is None:
            repeats = _parts(y_edges), _parts(x_edges)
            y_edges, x_edges = _divided(y_edges, repeats[0]), _divided(x_edges, repeats[1])
        longitude, latitude = _corners(grid, x_edges, y_edges, strides)
        x, y = projected(crs, longitude, latitude)
    if name == "plate-carree":
        middle = np.nanmean([np.nanmin(y), np.nanmax(y)])
        aspect = float(1 / np.cos(np.radians(np.clip(abs(middle), 0, 75))))
    x_span, y_span = ((float(np.nanmin(part)), float(np.nanmax(part))) for part in (x, y))
    if name == "polar" and x_span[0] < 0 < x_span[1] and y_span[0] < 0 < y_span[1]:
        radius = max(map(abs, (*x_span, *y_span)))
        x_span = y_span = (-radius, radius)
        is_round = True
    view = MapView(grid, name, crs, x, y, x_span, y_span, aspect, is_round)
    return view._replace(strides=strides, repeats=repeats)


def projected(crs: Any, longitude: np.ndarray, latitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates of points in a cartopy projection; NaN where it has none."""
    from cartopy import crs as cartopy_crs

    points = crs.transform_points(cartopy_crs.PlateCarree(), longitude, latitude)
    x, y = points[..., 0], points[..., 1]
    is_known = np.isfinite(x) & np.isfinite(y) & np.isfinite(longitude)
    return np.where(is_known, x, np.nan), np.where(is_known, y, np.nan)


def _plain_view(grid: MapGrid) -> MapView:
    """Return the view on plain axes: longitudes as the field gives them."""
    if grid.centre is not None and grid.crs is None and grid.corners is None:
        shift = grid.first_x - (grid.x_edges[0] + grid.x_edges[1]) / 2
        grid = grid._replace(x_edges=grid.x_edges + shift, centre=0.0)
    strides = _strides(grid)
    y, x = (_thinned(edges, stride) for edges, stride in zip((grid.y_edges, grid.x_edges), strides))
    x_span, y_span = ((float(edges.min()), float(edges.max())) for edges in (x, y))
    aspect = None
    if grid.is_geographic and grid.crs is None and grid.corners is None:
        aspect = float(1 / np.cos(np.radians(np.clip(abs(sum(y_span) / 2), 0, 75))))
    elif grid.has_same_units:
        aspect = 1.0
    return MapView(grid, "none", None, x, y, x_span, y_span, aspect, strides=strides)


def _name_for(grid: MapGrid) -> str:
    """Choose polar stereographic near the poles, else plate carrée."""
    latitude = grid.corners[1] if grid.corners is not None else grid.y_edges
    low, high = float(np.nanmin(latitude)), float(np.nanmax(latitude))
    for south, north in ((low, high), (-high, -low)):
        if south >= _POLAR or (north >= _NEAR_POLE and south >= _POLAR_BY_NEAR_POLE):
            return "polar"
    return "plate-carree"


def _crs_of(grid: MapGrid, name: str) -> Any:
    """Return the cartopy projection of a name, around the middle of a grid."""
    from cartopy import crs

    if name == "grid":
        return grid.crs
    centre = float(grid.centre or 0.0)
    if grid.crs is None and grid.corners is None:
        centre += float(grid.x_edges.min() + grid.x_edges.max()) / 2
        low, high = float(grid.y_edges.min()), float(grid.y_edges.max())
    else:
        latitude = _corners(grid, grid.x_edges, grid.y_edges, (1, 1))[1]
        low, high = float(np.nanmin(latitude)), float(np.nanmax(latitude))
    if name == "plate-carree":
        return crs.PlateCarree(central_longitude=float(grid.centre or 0.0))
    if name == "mercator":
        return crs.Mercator(central_longitude=centre, min_latitude=-85, max_latitude=85)
    if name == "equal-earth":
        return crs.EqualEarth(central_longitude=centre)
    if name == "polar":
        is_ring = grid.crs is None and grid.corners is None and np.ptp(grid.x_edges) > 350
        # Around a pole there is no middle meridian to draw upright.
        is_round = is_ring or (grid.corners is not None and max(abs(low), abs(high)) > 88)
        stereographic = crs.NorthPolarStereo if low + high > 0 else crs.SouthPolarStereo
        return stereographic(central_longitude=0.0 if is_round else centre)
    # Standard parallels a sixth of the range within its ends.
    sixth = (high - low) / 6
    parallels = (low + sixth, high - sixth)
    cutoff = -30 if low + high > 0 else 30
    return crs.LambertConformal(centre, (low + high) / 2, standard_parallels=parallels, cutoff=cutoff)


def _corners(
    grid: MapGrid, x_edges: np.ndarray, y_edges: np.ndarray, strides: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return longitudes and latitudes of corners, each (h + 1, w + 1)."""
    if grid.corners is not None:
        thinned = [_thinned(_thinned(part, strides[0]).T, strides[1]).T for part in grid.corners]
        return thinned[0], thinned[1]
    x, y = np.meshgrid(x_edges, y_edges)
    if grid.crs is not None:
        return lonlat_of(grid.crs, x, y)
    # Exactly half a turn from the centre belongs to both ends of a map; a little less keeps each at its own.
    return np.clip(x, -180 + 1e-6, 180 - 1e-6) + (grid.centre or 0.0), y


def _strides(grid: MapGrid) -> tuple[int, int]:
    """Return rows and columns between drawn cells."""
    rows, columns = grid.shape
    return -(-rows // _LARGEST), -(-columns // _LARGEST)


def _parts(edges: np.ndarray) -> int:
    """Return the number of parts into which each cell is divided."""
    return max(1, round(float(np.abs(np.diff(edges)).max()) / _STRAIGHT))


def _thinned(edges: np.ndarray, stride: int) -> np.ndarray:
    """Return every ``stride``-th edge along the first axis, and the last."""
    return edges if stride == 1 else np.concatenate([edges[:-1][::stride], edges[-1:]])


def _divided(edges: np.ndarray, count: int) -> np.ndarray:
    """Return edges with each cell divided into ``count`` parts."""
    if count == 1:
        return edges
    return np.interp(np.arange((edges.size - 1) * count + 1) / count, np.arange(edges.size), edges)
