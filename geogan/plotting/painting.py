"""Draw one map on its axes: background, land, gaps, values, coastline."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from geogan.fields.coastlines import coastlines, land
from geogan.plotting.colours import COAST, GAP, LAND, ColourScale
from geogan.plotting.map_grid import MapGrid, projection_of

if TYPE_CHECKING:
    import shapely
    from matplotlib.path import Path as Outline

# Cells along a side; a map in a figure has no more pixels than this.
_LARGEST = 1200


def draw_map(
    ax: Any,
    grid: MapGrid,
    values: np.ndarray,
    scale: ColourScale,
    *,
    domain: np.ndarray | None = None,
    has_coast: bool = True,
    has_row_labels: bool = True,
) -> Any:
    """Draw background, land, gaps, values and coastline, in this order.

    Parameters
    ----------
    ax : Axes
        A cartopy map or plain axes.
    grid : MapGrid
    values : ndarray, shape (y, x) or (y, x, 3)
        NaN in gaps.
    scale : ColourScale
    domain : ndarray of bool, shape (y, x), optional
        True inside the domain; cells outside are drawn as land.
    has_coast, has_row_labels : bool
        Whether the map gets a coastline, and labels at its left side.

    Returns
    -------
    mesh : QuadMesh or None
        The cells, for a colour bar; None for a colour image, which needs no colour bar.
    """
    from matplotlib.colors import ListedColormap

    if grid.centre is not None and not hasattr(ax, "projection"):
        # Plain axes are the caller's. They keep the field's longitudes, so that the caller can draw on top.
        shift = grid.first_x - (grid.x_edges[0] + grid.x_edges[1]) / 2
        grid = grid._replace(x_edges=grid.x_edges + shift, centre=0.0)
    ax.set_facecolor(grid.gap)
    if domain is not None:
        draw_mesh(ax, grid, np.where(domain, 0.0, 1.0), ColourScale(ListedColormap([grid.gap, LAND]), (0, 1)))
    mesh = draw_mesh(ax, grid, values, scale)
    if values.ndim == 3:
        mesh, values = None, values.max(-1)
    # Filled land would hide the gaps of a field that is defined on land.
    is_land_filled = domain is None and not _is_on_land(grid, values)
    frame_map(ax, grid, has_coast=has_coast, is_land_filled=is_land_filled, has_row_labels=has_row_labels)
    return mesh


def draw_mesh(ax: Any, grid: MapGrid, values: np.ndarray, scale: ColourScale) -> Any:
    """Draw values as coloured cells, thinned if there are more cells than a figure can show."""
    stride_y, stride_x = (-(-size // _LARGEST) for size in values.shape[:2])
    y_edges = np.append(grid.y_edges[:-1][::stride_y], grid.y_edges[-1])
    x_edges = np.append(grid.x_edges[:-1][::stride_x], grid.x_edges[-1])
    values = values[::stride_y, ::stride_x]
    return ax.pcolormesh(
        x_edges,
        y_edges,
        _rgba(values, scale.limits) if values.ndim == 3 else np.ma.masked_invalid(values),
        cmap=scale.colours,
        vmin=scale.limits[0],
        vmax=scale.limits[1],
        rasterized=True,
        zorder=1,
        **_transform(ax, grid),
    )


def frame_map(ax: Any, grid: MapGrid, *, has_coast: bool, is_land_filled: bool, has_row_labels: bool) -> None:
    """Draw the coastline; set the extent and the labels along the sides."""
    y_span, x_span = (sorted((edges[0], edges[-1])) for edges in (grid.y_edges, grid.x_edges))
    if has_coast and grid.centre is not None:
        _draw_coast(ax, grid, x_span, y_span, is_land_filled)
    if hasattr(ax, "projection") and ax.projection != projection_of(grid):
        return  # the caller chose another projection, with its extent and labels
    ax.set_xlim(x_span)
    ax.set_ylim(y_span[::-1] if grid.is_image else y_span)
    if grid.is_image:
        ax.set(xticks=[], yticks=[], aspect="equal")
        return
    if hasattr(ax, "projection") and grid.centre is not None:
        lines = ax.gridlines(draw_labels={"bottom": "x"} | ({"left": "y"} if has_row_labels else {}), alpha=0.25)
        lines.xlabel_style = lines.ylabel_style = {"size": "small"}
        lines.xlocator = _longitude_ticks(x_span[0] + grid.centre, x_span[1] + grid.centre)
        return
    ax.set_xlabel(grid.x_label)
    if has_row_labels:
        ax.set_ylabel(grid.y_label)
    if grid.centre is not None or grid.has_same_units:
        ax.set_aspect("equal")


def _longitude_ticks(low: float, high: float) -> Any:
    """Return a locator of round longitudes in a range; across 180° cartopy's own ticks span the whole globe."""
    from matplotlib.ticker import FixedLocator, MaxNLocator

    steps = [1, 1.5, 2, 3, 4.5, 6, 9, 10] if high - low > 60 else [1, 2, 2.5, 5, 10]
    ticks = np.asarray(MaxNLocator(nbins=5, steps=steps).tick_values(low, high))
    ticks = ticks[(ticks >= low - 1e-9) & (ticks <= high + 1e-9)]
    return FixedLocator(np.unique((ticks + 180) % 360 - 180).tolist())


def _rgba(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Return colours (y, x, 4) of three bands.

    A cell with no observed band is transparent; a missing band of another cell takes the shade of a gap.
    """
    from matplotlib.colors import to_rgb

    is_observed = np.isfinite(values)
    shade = np.clip((np.where(is_observed, values, 0.0) - limits[0]) / (limits[1] - limits[0]), 0, 1)
    return np.concatenate([np.where(is_observed, shade, to_rgb(GAP)), is_observed.any(-1, keepdims=True)], -1)


def _transform(ax: Any, grid: MapGrid) -> dict[str, Any]:
    """Return the ``transform`` argument of cartopy's axes; plain axes take none."""
    return {"transform": projection_of(grid)} if hasattr(ax, "projection") and grid.centre is not None else {}


def _is_on_land(grid: MapGrid, values: np.ndarray) -> bool:
    """Return whether most cells with values, of some 300 sampled, lie on land."""
    if grid.centre is None:
        return False
    import shapely

    rows, columns = np.nonzero(np.isfinite(values))
    sampled = slice(None, None, max(1, rows.size // 300))
    latitude = (grid.y_edges[:-1] + grid.y_edges[1:])[rows[sampled]] / 2
    longitude = (grid.x_edges[:-1] + grid.x_edges[1:])[columns[sampled]] / 2 + grid.centre
    is_inside = shapely.contains_xy(land("110m"), (longitude + 180) % 360 - 180, latitude)
    return bool(is_inside.size and is_inside.mean() > 0.5)


def _draw_coast(ax: Any, grid: MapGrid, x_span: Sequence[float], y_span: Sequence[float], is_land_filled: bool) -> None:
    """Draw the coastline within a range of longitudes and latitudes, and land as filled polygons if asked."""
    from matplotlib.collections import LineCollection, PathCollection

    assert grid.centre is not None
    resolution: Literal["110m", "50m"] = "50m" if x_span[1] - x_span[0] <= 60 else "110m"
    transform = _transform(ax, grid)
    if transform:
        transform = {"transform": transform["transform"]._as_mpl_transform(ax)}
    # The range may extend beyond -180 to 180, so the coastline is also drawn one turn to each side.
    turns = [360 * turn - grid.centre for turn in (-1, 0, 1)]
    lines = [line + [turn, 0] for turn in turns for line in coastlines(resolution)]
    lines = [line for line in lines if _overlaps(line, x_span, y_span)]
    ax.add_collection(LineCollection(lines, colors=COAST, linewidths=0.7, zorder=3, **transform), autolim=False)
    if is_land_filled:
        outlines = [outline for turn in turns for outline in _land_outlines(land(resolution), turn, x_span, y_span)]
        land_area = PathCollection(outlines, facecolors=LAND, edgecolors="none", zorder=0.5, **transform)
        ax.add_collection(land_area, autolim=False)


def _overlaps(line: np.ndarray, x_span: Sequence[float], y_span: Sequence[float]) -> bool:
    """Return whether the bounding box of a line, shape (points, 2), overlaps a range of x and y."""
    x, y = line[:, 0], line[:, 1]
    return bool(x.max() >= x_span[0] and x.min() <= x_span[1] and y.max() >= y_span[0] and y.min() <= y_span[1])


def _land_outlines(
    polygons: "shapely.MultiPolygon", turn: float, x_span: Sequence[float], y_span: Sequence[float]
) -> "list[Outline]":
    """Return Matplotlib paths of land polygons, shifted by a turn and clipped to a range."""
    import shapely
    from matplotlib.path import Path as Outline

    outlines = []
    clipped = shapely.clip_by_rect(polygons, x_span[0] - turn, y_span[0], x_span[1] - turn, y_span[1])
    for polygon in shapely.get_parts(shapely.transform(clipped, lambda points: points + [turn, 0])):
        if isinstance(polygon, shapely.Polygon):
            oriented = shapely.orient_polygons(polygon)
            rings = [Outline(np.asarray(r.coords), closed=True) for r in (oriented.exterior, *oriented.interiors)]
            outlines.append(Outline.make_compound_path(*rings))
    return outlines
