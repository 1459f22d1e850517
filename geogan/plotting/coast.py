"""Coastlines and land of a map, in the coordinates of its axes."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from geogan.fields.coastlines import coastlines, land
from geogan.plotting.colours import COAST
from geogan.plotting.grid_mapping import lonlat_of
from geogan.plotting.map_view import MapView, projected

if TYPE_CHECKING:
    pass

# Degrees: longest piece of a coastline or border that is drawn straight in a projection.
_LONGEST = 1.0


class _Window(NamedTuple):
    """Range of longitudes, relative to the centre of a map, and of latitudes that its axes show."""

    x: tuple[float, float]
    y: tuple[float, float]

    def has_part_of(self, line: np.ndarray) -> bool:
        """Return whether the bounding box of a line, shape (points, 2), overlaps the window."""
        x, y = line[:, 0], line[:, 1]
        return bool(x.max() >= self.x[0] and x.min() <= self.x[1] and y.max() >= self.y[0] and y.min() <= self.y[1])

    @property
    def resolution(self) -> Literal["110m", "50m"]:
        """Coarse lines for more than a quarter of a hemisphere."""
        return "50m" if self.x[1] - self.x[0] <= 60 or self.y[1] - self.y[0] <= 45 else "110m"


def draw_coastline(ax: Any, view: MapView) -> None:
    """Draw the coastline within the axes."""
    from matplotlib.collections import LineCollection

    window = _window(view)
    # The range may extend beyond -180 to 180, so the coastline is also drawn one turn to each side.
    lines = [line + [turn, 0] for turn in _turns(view) for line in coastlines(window.resolution)]
    lines = [line for line in lines if window.has_part_of(line)]
    place = _placing(view)
    if place is not None:
        lines = [piece for line in lines for piece in _pieces(place(line), view)]
    ax.add_collection(LineCollection(lines, colors=COAST, linewidths=0.6, zorder=3), autolim=False)


def draw_land(ax: Any, view: MapView, colour: str, *, zorder: float) -> bool:
    """Draw the land within the axes as filled polygons; return whether there is any."""
    import shapely
    from matplotlib.collections import PathCollection
    from matplotlib.path import Path as Outline

    window, place = _window(view), _placing(view)
    outlines: list[Outline] = []
    for turn in _turns(view):
        box = (window.x[0] - turn, window.y[0], window.x[1] - turn, window.y[1])
        clipped = shapely.clip_by_rect(land(window.resolution), *box)
        if place is not None:
            clipped = shapely.segmentize(clipped, _LONGEST)
        for polygon in shapely.get_parts(shapely.transform(clipped, lambda points, by=turn: points + [by, 0])):
            if not isinstance(polygon, shapely.Polygon):
                continue
            oriented = shapely.orient_polygons(polygon)
            rings = [np.asarray(ring.coords) for ring in (oriented.exterior, *oriented.interiors)]
            if place is not None:
                rings = [ring[np.isfinite(ring).all(1)] for ring in map(place, rings)]
            outlines.append(Outline.make_compound_path(*(Outline(r, closed=True) for r in rings if len(r) > 3)))
    area = PathCollection(outlines, facecolors=colour, edgecolors="none", zorder=zorder)
    ax.add_collection(area, autolim=False)
    return bool(outlines)


def _turns(view: MapView) -> list[float]:
    return [360 * turn - (view.grid.centre or 0.0) for turn in (-1, 0, 1)]


def _is_lonlat(view: MapView) -> bool:
    """Return whether the axes are in degrees of longitude, relative to the centre, and of latitude."""
    return view.crs is None or view.name == "plate-carree"


def _placing(view: MapView) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return the function from relative longitudes and latitudes, (points, 2), to axes; None for no change."""
    if _is_lonlat(view):
        return None
    centre = view.grid.centre or 0.0

    def place(points: np.ndarray) -> np.ndarray:
        relative = np.where(np.abs(points[:, 0]) > 180 + 1e-6, np.nan, points[:, 0])
        # Half a turn from the centre belongs to both ends of a map; a little less keeps a point at its own.
        longitude = np.clip(relative, -180 + 1e-6, 180 - 1e-6) + centre
        return np.stack(projected(view.crs, longitude, points[:, 1]), 1)

    return place


def _window(view: MapView) -> _Window:
    """Return the range of longitudes and latitudes that the axes show."""
    if _is_lonlat(view):
        return _Window(view.x_span, view.y_span)
    x, y = np.meshgrid(*(np.linspace(*span, 41) for span in (view.x_span, view.y_span)))
    longitude, latitude = lonlat_of(view.crs, x, y)
    relative = (longitude - (view.grid.centre or 0.0) + 180) % 360 - 180
    if not np.isfinite(latitude).any():
        return _Window((-180.0, 180.0), (-90.0, 90.0))
    edge = 1.0 + float(np.nanmax(latitude) - np.nanmin(latitude)) / 20
    low, high = float(np.nanmin(latitude)) - edge, float(np.nanmax(latitude)) + edge
    wide = (float(np.nanmin(relative)) - edge, float(np.nanmax(relative)) + edge)
    if max(abs(low), abs(high)) >= 88 or not np.isfinite(latitude).all():
        wide = (-180.0, 180.0)
    return _Window((max(wide[0], -180.0), min(wide[1], 180.0)), (max(low, -90.0), min(high, 90.0)))


def _pieces(line: np.ndarray, view: MapView) -> list[np.ndarray]:
    """Return the parts of a line between points without a place and jumps across the map."""
    step = np.abs(np.diff(line, axis=0))
    jump = 0.25 * np.array([view.x_span[1] - view.x_span[0], view.y_span[1] - view.y_span[0]])
    is_broken = ~(step <= jump).all(1)
    return [piece for piece in np.split(line, np.flatnonzero(is_broken) + 1) if len(piece) > 1]
