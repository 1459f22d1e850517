"""Land and coastlines of the world, from the Natural Earth files in geogan."""

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from geogan.operators.errors import InputError

if TYPE_CHECKING:
    import shapely


@cache
def land(resolution: Literal["110m", "50m"] = "50m") -> "shapely.MultiPolygon":
    """Return the land polygons of Natural Earth.

    Parameters
    ----------
    resolution : {"110m", "50m"}
        ``"110m"`` for the globe, ``"50m"`` for a sea.

    Returns
    -------
    land : MultiPolygon
        In degrees, longitudes in [-180, 180]; split at the antimeridian, Antarctica closed at the pole.

    Raises
    ------
    InputError
        If the resolution is neither of the two.

    Examples
    --------
    >>> import shapely
    >>> bool(land("110m").contains(shapely.Point(2.35, 48.86)))  # Paris
    True
    """
    import shapely

    if resolution not in ("110m", "50m"):
        raise InputError(f"resolution must be '110m' or '50m', got {resolution!r}; take 50m for a sea")
    file = Path(__file__).with_name(f"land-{resolution}.json")
    topology = json.loads(file.read_text(encoding="utf-8"))
    scale, translate = (np.array(topology["transform"][key]) for key in ("scale", "translate"))
    # TopoJSON stores each arc as steps from an integer starting point.
    arcs = [np.cumsum(arc, axis=0) * scale + translate for arc in topology["arcs"]]
    land_polygons: list[shapely.Geometry] = []
    for geometry in topology["objects"]["land"]["geometries"]:
        polygons = geometry["arcs"] if geometry["type"] == "MultiPolygon" else [geometry["arcs"]]
        for rings in polygons:
            shell, *holes = (_unwrapped(_ring(arcs, indices)) for indices in rings)
            middle = shell[:, 0].mean()
            holes = [hole - [360 * np.round((hole[:, 0].mean() - middle) / 360), 0] for hole in holes]
            land_polygons += _within_180(shapely.make_valid(shapely.Polygon(shell, holes)))
    return shapely.MultiPolygon(land_polygons)


def land_cells(latitude: np.ndarray, longitude: np.ndarray, resolution: Literal["110m", "50m"] = "50m") -> np.ndarray:
    """Return which points are on land.

    Lakes are land, as in the polygons of Natural Earth; the Caspian Sea is sea.

    Parameters
    ----------
    latitude, longitude : ndarray of one shape
        In degrees; longitudes modulo 360.
    resolution : {"110m", "50m"}
        ``"110m"`` for the globe, ``"50m"`` for a sea.

    Returns
    -------
    land : ndarray of bool, same shape
        True on land and on the coastline.

    Raises
    ------
    InputError
        If the resolution is neither of the two.

    Examples
    --------
    >>> land_cells(np.array([48.86, 36.0, -89.9]), np.array([2.35, 356.0, 0.0])).tolist()
    [True, False, True]
    """
    import shapely

    shape = land(resolution)
    shapely.prepare(shape)
    # Points on the antimeridian or at the pole are on the border of a polygon, which counts as land.
    return shapely.intersects_xy(shape, (np.asarray(longitude) + 180) % 360 - 180, np.asarray(latitude))


def coastlines(resolution: Literal["110m", "50m"] = "50m") -> list[np.ndarray]:
    """Return the coastlines of the world as lines to draw.

    Parameters
    ----------
    resolution : {"110m", "50m"}
        ``"110m"`` for the globe, ``"50m"`` for a sea.

    Returns
    -------
    lines : list of ndarray, each of shape (n, 2)
        Longitude in [-180, 180] and latitude, in degrees. Edges along the antimeridian and the pole are left out, since
        they are not coast and would cross the map.

    Raises
    ------
    InputError
        If the resolution is neither of the two.

    Examples
    --------
    >>> lines = coastlines("110m")
    >>> bool(max(abs(np.diff(line[:, 0])).max() for line in lines) < 30)
    True
    """
    return list(_coastlines(resolution))


@cache
def _coastlines(resolution: Literal["110m", "50m"]) -> tuple[np.ndarray, ...]:
    lines = []
    for polygon in land(resolution).geoms:
        for ring in (polygon.exterior, *polygon.interiors):
            points = np.asarray(ring.coords)
            edge = (np.abs(np.abs(points[:, 0]) - 180) < 1e-6) | (np.abs(points[:, 1]) > 90 - 1e-6)
            is_edge = edge[1:] & edge[:-1]
            runs = np.split(np.arange(len(points) - 1), np.flatnonzero(is_edge))
            for run in runs:
                steps = run[~is_edge[run]]
                if len(steps):
                    line = points[steps[0] : steps[-1] + 2]
                    line.flags.writeable = False
                    lines.append(line)
    return tuple(lines)


def _ring(arcs: list[np.ndarray], indices: list[int]) -> np.ndarray:
    """Join arcs to a ring; ~i is arc i reversed, and consecutive arcs share an end point."""
    parts = [arcs[i] if i >= 0 else arcs[~i][::-1] for i in indices]
    return np.concatenate([part[:-1] for part in parts] + [parts[-1][-1:]])


def _unwrapped(ring: np.ndarray) -> np.ndarray:
    """Return a ring with continuous longitudes; a ring that goes round the globe is closed at the pole."""
    ring = ring.copy()
    ring[:, 0] = np.unwrap(ring[:, 0], period=360)
    if abs(ring[-1, 0] - ring[0, 0]) > 180:
        pole = np.copysign(90.0, ring[:, 1].mean())
        ring = np.concatenate([ring, [[ring[-1, 0], pole], [ring[0, 0], pole]]])
    return ring


def _within_180(shape: "shapely.Geometry") -> "list[shapely.Geometry]":
    """Return the polygons of a shape, split at the antimeridian and moved to [-180, 180]."""
    import shapely

    polygons: list[shapely.Geometry] = []
    for turn in (-2, -1, 0, 1, 2):
        part_of_turn = shapely.intersection(shape, shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90))
        moved = shapely.transform(part_of_turn, lambda points, by=360 * turn: points - [by, 0])
        parts = shapely.get_parts(shapely.get_parts(moved))
        polygons += [part for part in parts if isinstance(part, shapely.Polygon) and part.area > 0]
    return polygons
