"""Draw one map on its axes: background, land, gaps, values, coastline."""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from geogan.fields.captions import is_marine
from geogan.fields.coastlines import land_cells
from geogan.fields.quantities import surface_of
from geogan.plotting.coast import draw_coastline, draw_land
from geogan.plotting.colours import GAP, LAND, OUTSIDE, REFUSED, WATER, ColourScale
from geogan.plotting.map_grid import MapGrid, cell_places
from geogan.plotting.map_view import MapView, map_view, projected_view

# Zorders, before those of values (1) and coastline (3).
_GRID, _BEHIND, _LAND = 0.2, 0.3, 0.5


class Ground(NamedTuple):
    """What a map shows where there is no value.

    Attributes
    ----------
    surface : {"sea", "land"} or None
        Where the quantity exists; None for everywhere, or if the grid has no place on the globe.
    gap, outside : str
        Colours of a cell without observation, and of one outside the domain.
    outside_label : str
        What the legend calls cells outside the domain.
    """

    surface: str | None
    gap: str
    outside: str
    outside_label: str


def ground_of(field: xr.DataArray, grid: MapGrid, values: np.ndarray) -> Ground:
    """Return what a map shows where there is no value.

    Parameters
    ----------
    field : DataArray
        Its names say where the quantity exists; else the places of its values do.
    grid : MapGrid
    values : ndarray, shape (y, x) or (y, x, band)
    """
    label = "land" if is_marine(field) and not grid.is_geographic else "outside the domain"
    if not grid.is_geographic:
        return Ground(None, grid.gap, LAND, label)
    surface = surface_of(field) or ("sea" if is_marine(field) else None)
    if surface is None:
        # Most quantities have names that do not say where they exist.
        share = share_on_land(grid, values)
        surface = "sea" if share < 0.05 else "land" if share > 0.8 else None
    return Ground(surface, grid.gap, OUTSIDE, label)


def view_of_axes(ax: Any, grid: MapGrid, projection: str | None = None) -> MapView:
    """Return the view of a grid on the axes of a caller: their projection, or plain axes."""
    crs = getattr(ax, "projection", None)
    if crs is None:
        return map_view(grid, "none")
    if not grid.is_geographic:
        return map_view(grid, "none")._replace(name="axes", crs=crs)
    view = map_view(grid, projection)
    return view if crs == view.crs else projected_view(grid, "axes", crs)


def draw_map(
    ax: Any,
    view: MapView,
    values: np.ndarray,
    scale: ColourScale,
    ground: Ground,
    *,
    domain: np.ndarray | None = None,
    refused: np.ndarray | None = None,
    has_coast: bool = True,
) -> Any:
    """Draw background, land, gaps, values and coastline, in this order.

    Parameters
    ----------
    ax : Axes
        A cartopy map or plain axes.
    view : MapView
    values : ndarray, shape (y, x) or (y, x, 3)
        NaN in gaps.
    scale : ColourScale
    ground : Ground
    domain : ndarray of bool, shape (y, x), optional
        True inside the domain.
    refused : ndarray of bool, shape (y, x), optional
        True where a fill was refused.
    has_coast : bool
        Whether the map gets coastline and land.

    Returns
    -------
    mesh : QuadMesh or None
        The cells, for a colour bar; None for a colour image, which needs no colour bar.
    """
    has_coast = has_coast and view.grid.is_geographic
    is_land_field = has_coast and ground.surface == "land"
    background = WATER if is_land_field else ground.gap
    if view.x.ndim == 1:
        ax.set_facecolor(background)
    else:
        # Within the axes there are places that are not on the grid.
        ax.set_facecolor("white")
        draw_cells(ax, view, np.ones(view.grid.shape, bool), background, zorder=_GRID)
    if is_land_field:
        draw_land(ax, view, ground.gap, zorder=_BEHIND)
    if domain is not None and not domain.all():
        outside = ~domain
        if is_land_field:
            outside = outside & on_land(view.grid)
        draw_cells(ax, view, outside, ground.outside, zorder=_BEHIND)
    if has_coast and ground.surface == "sea":
        draw_land(ax, view, LAND, zorder=_LAND)
    mesh = draw_mesh(ax, view, values, scale)
    if refused is not None and refused.any():
        draw_cells(ax, view, refused, REFUSED, zorder=1)
    if has_coast:
        draw_coastline(ax, view)
    return None if values.ndim == 3 else mesh


def draw_mesh(ax: Any, view: MapView, values: np.ndarray, scale: ColourScale, *, zorder: float = 1) -> Any:
    """Draw values as coloured cells, thinned if there are more cells than a figure can show."""
    from matplotlib.axes import Axes

    x, y = (view.x, view.y) if view.x.ndim == 1 else (np.nan_to_num(view.x), np.nan_to_num(view.y))
    # The corners are in the units of the axes already; cartopy's method would look for cells to wrap.
    return Axes.pcolormesh(
        ax,
        x,
        y,
        mesh_values(view, values, scale),
        cmap=scale.colours,
        norm=scale.norm(),
        rasterized=True,
        zorder=zorder,
        edgecolors="none",
    )


def mesh_values(view: MapView, values: np.ndarray, scale: ColourScale) -> np.ndarray:
    """Return the array of a mesh: values of the drawn cells, masked where there are none; colours (h, w, 4)."""
    cells = view.cells(values)
    cells = _rgba(cells, scale.limits) if cells.ndim == 3 else np.ma.masked_invalid(scale.drawable(cells))
    if view.x.ndim == 1:
        return cells
    is_lost = _lost(view)
    return np.where(is_lost[..., None], 0.0, cells) if cells.ndim == 3 else np.ma.masked_where(is_lost, cells)


def draw_cells(ax: Any, view: MapView, where: np.ndarray, colour: str, *, zorder: float) -> Any:
    """Draw some cells in one colour; return the mesh."""
    from matplotlib.colors import ListedColormap

    scale = ColourScale(ListedColormap([colour]), (0.0, 1.0))
    return draw_mesh(ax, view, np.where(where, 0.5, np.nan), scale, zorder=zorder)


def share_on_land(grid: MapGrid, values: np.ndarray) -> float:
    """Return the share of cells with values, of some 300 sampled, that lie on land; NaN without values."""
    has_value = np.isfinite(values).any(-1) if values.ndim == 3 else np.isfinite(values)
    rows, columns = np.nonzero(has_value)
    if not rows.size:
        return float("nan")
    longitude, latitude = cell_places(grid)
    sampled = slice(None, None, max(1, rows.size // 300))
    places = longitude[rows[sampled], columns[sampled]], latitude[rows[sampled], columns[sampled]]
    is_known = np.isfinite(places[0]) & np.isfinite(places[1])
    return float(land_cells(places[1][is_known], places[0][is_known], "110m").mean()) if is_known.any() else 0.0


def hide_on_land(grid: MapGrid, values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Return values without those on land where ``where`` is True: fills of a scene whose domain was not known."""
    is_hidden = where & on_land(grid)
    return np.where(is_hidden[..., None] if values.ndim == 3 else is_hidden, np.nan, values)


def on_land(grid: MapGrid, stride: int = 1) -> np.ndarray:
    """Return which cells, of every ``stride``-th row and column, have their centre on land, (h, w)."""
    longitude, latitude = cell_places(grid, stride)
    is_known = np.isfinite(longitude) & np.isfinite(latitude)
    is_land = np.zeros(longitude.shape, bool)
    span = np.ptp(latitude[is_known]) if is_known.any() else 0.0
    is_land[is_known] = land_cells(latitude[is_known], longitude[is_known], "50m" if span <= 45 else "110m")
    return is_land


def _lost(view: MapView) -> np.ndarray:
    """Return the cells without a place, and those that a cut of the projection tears apart, (h, w)."""
    is_lost = np.zeros((view.x.shape[0] - 1, view.x.shape[1] - 1), bool)
    for corners, span in ((view.x, view.x_span), (view.y, view.y_span)):
        four = np.stack([corners[1:, 1:], corners[1:, :-1], corners[:-1, 1:], corners[:-1, :-1]])
        with np.errstate(invalid="ignore"):
            is_lost |= ~(four.max(0) - four.min(0) <= 0.5 * (span[1] - span[0]) + 1e-9) & (is_lost.size > 4)
        is_lost |= ~np.isfinite(four).all(0)
    return is_lost


def _rgba(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Return colours (y, x, 4) of three bands.

    A cell with no observed band is transparent; a missing band of another cell takes the shade of a gap.
    """
    from matplotlib.colors import to_rgb

    is_observed = np.isfinite(values)
    shade = np.clip((np.where(is_observed, values, 0.0) - limits[0]) / (limits[1] - limits[0]), 0, 1)
    return np.concatenate([np.where(is_observed, shade, to_rgb(GAP)), is_observed.any(-1, keepdims=True)], -1)
