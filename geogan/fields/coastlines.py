"""Coastlines of the world, from files that come with geogan."""

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
    """Land polygons of Natural Earth, decoded from the file that comes with geogan.

    Parameters
    ----------
    resolution : {"110m", "50m"}
        110m for the globe, 50m for a sea.

    Returns
    -------
    land : MultiPolygon
        In degrees, longitudes in [-180, 180]; cut at the antimeridian, Antarctica closed at the pole.

    Raises
    ------
    InputError
        For another resolution.

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
    pieces: list[shapely.Geometry] = []
    for geometry in topology["objects"]["land"]["geometries"]:
        polygons = geometry["arcs"] if geometry["type"] == "MultiPolygon" else [geometry["arcs"]]
        for rings in polygons:
            shell, *holes = (_unwrapped(_ring(arcs, indices)) for indices in rings)
            middle = shell[:, 0].mean()
            holes = [hole - [360 * np.round((hole[:, 0].mean() - middle) / 360), 0] for hole in holes]
            pieces += _within_180(shapely.make_valid(shapely.Polygon(shell, holes)))
    return shapely.MultiPolygon(pieces)


def land_cells(latitude: np.ndarray, longitude: np.ndarray, resolution: Literal["110m", "50m"] = "50m") -> np.ndarray:
    """Return which places are on land.

    Lakes are land as far as Natural Earth's land polygons hold them; the Caspian Sea is sea.

    Parameters
    ----------
    latitude, longitude : ndarray of one shape
        In degrees; longitudes of any turn.
    resolution : {"110m", "50m"}
        110m for the globe, 50m for a sea.

    Returns
    -------
    land : ndarray of bool, same shape
        True on land and on the coastline.

    Raises
    ------
    InputError
        For another resolution.

    Examples
    --------
    >>> land_cells(np.array([48.86, 36.0, -89.9]), np.array([2.35, 356.0, 0.0])).tolist()
    [True, False, True]
    """
    import shapely

    shape = land(resolution)
    shapely.prepare(shape)
    # On the cut along the antimeridian, and at the pole, a place is on the border of its polygon, which counts as land.
    return shapely.intersects_xy(shape, (np.asarray(longitude) + 180) % 360 - 180, np.asarray(latitude))


def coastlines(resolution: Literal["110m", "50m"] = "50m") -> list[np.ndarray]:
    """Coastlines of the world as lines to draw.

    Parameters
    ----------
    resolution : {"110m", "50m"}
        110m for the globe, 50m for a sea.

    Returns
    -------
    lines : list of ndarray, each of shape (n, 2)
        Longitude in [-180, 180] and latitude, in degrees. The cuts along the antimeridian and the pole,
        which are no coast, are left out, so that no line crosses the map.

    Raises
    ------
    InputError
        For another resolution.

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
            no_coast = edge[1:] & edge[:-1]
            pieces = np.split(np.arange(len(points) - 1), np.flatnonzero(no_coast))
            for piece in pieces:
                segments = piece[~no_coast[piece]]
                if len(segments):
                    line = points[segments[0] : segments[-1] + 2]
                    line.flags.writeable = False
                    lines.append(line)
    return tuple(lines)


def _ring(arcs: list[np.ndarray], indices: list[int]) -> np.ndarray:
    """Join arcs to a ring; ~i is arc i backwards, and neighbours share their end points."""
    parts = [arcs[i] if i >= 0 else arcs[~i][::-1] for i in indices]
    return np.concatenate([part[:-1] for part in parts] + [parts[-1][-1:]])


def _unwrapped(ring: np.ndarray) -> np.ndarray:
    """Undo the stitching over the antimeridian; close a ring that goes round the globe at its pole."""
    ring = ring.copy()
    ring[:, 0] = np.unwrap(ring[:, 0], period=360)
    if abs(ring[-1, 0] - ring[0, 0]) > 180:
        pole = np.copysign(90.0, ring[:, 1].mean())
        ring = np.concatenate([ring, [[ring[-1, 0], pole], [ring[0, 0], pole]]])
    return ring


def _within_180(shape: "shapely.Geometry") -> "list[shapely.Geometry]":
    """Polygons of a shape, cut at every antimeridian it crosses and moved back to [-180, 180]."""
    import shapely

    pieces = []
    for turn in (-2, -1, 0, 1, 2):
        cut = shapely.intersection(shape, shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90))
        moved = shapely.transform(cut, lambda points, by=360 * turn: points - [by, 0])
        parts = shapely.get_parts(shapely.get_parts(moved))
        pieces += [part for part in parts if isinstance(part, shapely.Polygon) and part.area > 0]
    return pieces
