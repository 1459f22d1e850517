"""One map painted on its axes: background, land, gaps, values, coastline."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from geogan.fields.coastlines import coastlines, land
from geogan.plotting.colours import COAST, GAP, LAND
from geogan.plotting.map_grid import MapGrid, projection_of

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

_LARGEST = 1200  # cells along a side; a figure has no more pixels than that for a panel


def draw_map(
    ax: Any,
    grid: MapGrid,
    values: np.ndarray,
    domain: np.ndarray | None,
    colours: "str | Colormap",
    limits: tuple[float, float],
    coast: bool,
    *,
    row_labels: bool = True,
) -> Any:
    """Paint a map: background, land, gaps, values, coastline, in this order; colours need no colour bar: None."""
    from matplotlib.colors import ListedColormap

    if grid.centre is not None and not hasattr(ax, "projection"):
        # Plain axes are the caller's: the field's own longitudes, so that stations can be drawn on top.
        shift = grid.first - (grid.x_edges[0] + grid.x_edges[1]) / 2
        grid = grid._replace(x_edges=grid.x_edges + shift, centre=0.0)
    ax.set_facecolor(grid.gap)
    if domain is not None:
        draw_mesh(ax, grid, np.where(domain, 0.0, 1.0), ListedColormap([grid.gap, LAND]), (0, 1))
    mesh = draw_mesh(ax, grid, values, colours, limits)
    if values.ndim == 3:
        mesh, values = None, values.max(-1)
    # Polygons would hide the gaps of a field that lives on land.
    frame_map(ax, grid, coast, fill=domain is None and not _lives_on_land(grid, values), row_labels=row_labels)
    return mesh


def draw_mesh(ax: Any, grid: MapGrid, values: np.ndarray, colours: Any, limits: tuple[float, float]) -> Any:
    """Values as coloured cells, thinned where there are more than a figure shows."""
    stride_y, stride_x = (-(-size // _LARGEST) for size in values.shape[:2])
    y_edges = np.append(grid.y_edges[:-1][::stride_y], grid.y_edges[-1])
    x_edges = np.append(grid.x_edges[:-1][::stride_x], grid.x_edges[-1])
    values = values[::stride_y, ::stride_x]
    return ax.pcolormesh(
        x_edges,
        y_edges,
        _painted(values, limits) if values.ndim == 3 else np.ma.masked_invalid(values),
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        rasterized=True,
        zorder=1,
        **_placed(ax, grid),
    )


def frame_map(ax: Any, grid: MapGrid, coast: bool, *, fill: bool, row_labels: bool) -> None:
    """Coastline, extent, and labels along the sides of a map."""
    y_span, x_span = (sorted((edges[0], edges[-1])) for edges in (grid.y_edges, grid.x_edges))
    if coast and grid.centre is not None:
        _draw_coast(ax, grid, x_span, y_span, fill)
    if hasattr(ax, "projection") and ax.projection != projection_of(grid):
        return  # another projection is the caller's choice, and so are its extent and labels
    ax.set_xlim(x_span)
    ax.set_ylim(y_span[::-1] if grid.image else y_span)
    if grid.image:
        ax.set(xticks=[], yticks=[], aspect="equal")
        return
    if hasattr(ax, "projection") and grid.centre is not None:
        from matplotlib.ticker import FixedLocator, MaxNLocator

        lines = ax.gridlines(draw_labels={"bottom": "x"} | ({"left": "y"} if row_labels else {}), alpha=0.25)
        lines.xlabel_style = lines.ylabel_style = {"size": "small"}
        # Placed by hand: across the antimeridian cartopy's own choice spans the whole globe.
        steps = [1, 1.5, 2, 3, 4.5, 6, 9, 10] if x_span[1] - x_span[0] > 60 else [1, 2, 2.5, 5, 10]
        low, high = x_span[0] + grid.centre, x_span[1] + grid.centre
        ticks = np.asarray(MaxNLocator(nbins=5, steps=steps).tick_values(low, high))
        ticks = ticks[(ticks >= low - 1e-9) & (ticks <= high + 1e-9)]
        lines.xlocator = FixedLocator(np.unique((ticks + 180) % 360 - 180).tolist())
        return
    ax.set_xlabel(grid.x_label)
    if row_labels:
        ax.set_ylabel(grid.y_label)
    if grid.centre is not None or grid.same_units:
        ax.set_aspect("equal")


def _painted(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Colours (y, x, 4) of the three bands; clear where none is seen, and one that is not seen like the gaps."""
    from matplotlib.colors import to_rgb

    seen = np.isfinite(values)
    shade = np.clip((np.where(seen, values, 0.0) - limits[0]) / (limits[1] - limits[0]), 0, 1)
    return np.concatenate([np.where(seen, shade, to_rgb(GAP)), seen.any(-1, keepdims=True)], -1)


def _placed(ax: Any, grid: MapGrid) -> dict[str, Any]:
    """The coordinate system for cartopy's axes; plain axes take the numbers as they are."""
    return {"transform": projection_of(grid)} if hasattr(ax, "projection") and grid.centre is not None else {}


def _lives_on_land(grid: MapGrid, values: np.ndarray) -> bool:
    if grid.centre is None:
        return False
    import shapely

    rows, columns = np.nonzero(np.isfinite(values))
    pick = slice(None, None, max(1, rows.size // 300))
    latitude = (grid.y_edges[:-1] + grid.y_edges[1:])[rows[pick]] / 2
    longitude = (grid.x_edges[:-1] + grid.x_edges[1:])[columns[pick]] / 2 + grid.centre
    inside = shapely.contains_xy(land("110m"), (longitude + 180) % 360 - 180, latitude)
    return bool(inside.size and inside.mean() > 0.5)


def _draw_coast(ax: Any, grid: MapGrid, x_span: Sequence[float], y_span: Sequence[float], fill: bool) -> None:
    import shapely
    from matplotlib.collections import LineCollection, PathCollection
    from matplotlib.path import Path as Outline

    assert grid.centre is not None
    resolution: Literal["110m", "50m"] = "50m" if x_span[1] - x_span[0] <= 60 else "110m"
    placed = _placed(ax, grid)
    if placed:
        placed = {"transform": placed["transform"]._as_mpl_transform(ax)}
    turns = [360 * turn - grid.centre for turn in (-1, 0, 1)]
    lines = [line + [turn, 0] for turn in turns for line in coastlines(resolution)]
    lines = [
        line
        for line in lines
        if line[:, 0].max() >= x_span[0]
        and line[:, 0].min() <= x_span[1]
        and line[:, 1].max() >= y_span[0]
        and line[:, 1].min() <= y_span[1]
    ]
    ax.add_collection(LineCollection(lines, colors=COAST, linewidths=0.7, zorder=3, **placed), autolim=False)
    if not fill:
        return
    outlines = []
    for turn in turns:
        near = shapely.clip_by_rect(land(resolution), x_span[0] - turn, y_span[0], x_span[1] - turn, y_span[1])
        for polygon in shapely.get_parts(shapely.transform(near, lambda points, by=turn: points + [by, 0])):
            if isinstance(polygon, shapely.Polygon):
                polygon = shapely.orient_polygons(polygon)
                rings = [Outline(np.asarray(r.coords), closed=True) for r in (polygon.exterior, *polygon.interiors)]
                outlines.append(Outline.make_compound_path(*rings))
    ax.add_collection(PathCollection(outlines, facecolors=LAND, edgecolors="none", zorder=0.5, **placed), autolim=False)
