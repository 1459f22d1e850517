"""Places on the globe of grids in metres (by their grid mapping) and of curved grids (by their coordinates)."""

from typing import Any

import numpy as np
import xarray as xr

from geogan.fields.axes import Axes
from geogan.fields.geography import geographic_kind

_METRES = {"km": 1000.0, "kilometer": 1000.0, "kilometre": 1000.0, "kilometers": 1000.0, "kilometres": 1000.0}
_RADIANS = ("rad", "radian", "radians")


def own_projection(
    field: xr.DataArray, units: tuple[str, str], y_edges: np.ndarray, x_edges: np.ndarray
) -> tuple[Any, np.ndarray, np.ndarray, float] | None:
    """Return the projection of a grid by its CF grid mapping.

    Parameters
    ----------
    field : DataArray
        With a scalar coordinate that holds ``crs_wkt``, ``spatial_ref`` or ``grid_mapping_name``.
    units : (str, str)
        Units of y and x.
    y_edges, x_edges : ndarray
        Edges of the cells in these units.

    Returns
    -------
    (crs, y_edges, x_edges, centre) or None
        A cartopy projection, edges in its units, and the longitude of the middle; None if there is no grid mapping, or
        if the place of most cells is unknown with it.
    """
    attrs = _grid_mapping(field)
    if attrs is None:
        return None
    import pyproj
    from cartopy import crs as cartopy_crs

    try:
        described = pyproj.CRS.from_cf(attrs)
        if attrs.get("grid_mapping_name") == "rotated_latitude_longitude":
            crs = cartopy_crs.RotatedPole(
                float(attrs["grid_north_pole_longitude"]), float(attrs["grid_north_pole_latitude"])
            )
        elif described.is_projected:
            crs = cartopy_crs.Projection(described)
        else:
            return None
    except (pyproj.exceptions.CRSError, KeyError, ValueError, TypeError, NotImplementedError):
        return None
    factors = [_METRES.get(unit.lower(), 1.0) for unit in units]
    if all(unit.lower() in _RADIANS for unit in units) and "perspective_point_height" in attrs:
        factors = [float(attrs["perspective_point_height"])] * 2
    y_edges, x_edges = y_edges * factors[0], x_edges * factors[1]
    if not isinstance(crs, cartopy_crs.RotatedPole):
        # cartopy needs the range of coordinates; the area of use of a projection may be narrower than the grid.
        margins = [0.5 * float(np.ptp(edges)) for edges in (x_edges, y_edges)]
        crs.bounds = [
            float(x_edges.min()) - margins[0],
            float(x_edges.max()) + margins[0],
            float(y_edges.min()) - margins[1],
            float(y_edges.max()) + margins[1],
        ]
    longitude, latitude = lonlat_of(crs, *np.meshgrid(x_edges[:: max(1, x_edges.size // 20)], y_edges[[0, -1]]))
    middle = lonlat_of(crs, np.array([x_edges.mean()]), np.array([y_edges.mean()]))[0][0]
    is_known = np.isfinite(longitude) & np.isfinite(latitude)
    if not np.isfinite(middle) and not is_known.any():
        return None
    return crs, y_edges, x_edges, float(middle if np.isfinite(middle) else np.nanmean(longitude))


def lonlat_of(crs: Any, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return longitude and latitude of points of a cartopy projection; NaN where a point is not on the globe."""
    from cartopy import crs as cartopy_crs

    points = cartopy_crs.Geodetic().transform_points(crs, np.asarray(x, float), np.asarray(y, float))
    longitude, latitude = points[..., 0], points[..., 1]
    is_known = np.isfinite(longitude) & np.isfinite(latitude)
    return np.where(is_known, longitude, np.nan), np.where(is_known, latitude, np.nan)


def curved_corners(field: xr.DataArray, axes: Axes) -> tuple[tuple[np.ndarray, np.ndarray], float] | None:
    """Return the corners of the cells of a curved grid, and the longitude of its middle.

    Parameters
    ----------
    field : DataArray, shape (y, x)
        With two-dimensional longitude and latitude.
    axes : Axes

    Returns
    -------
    ((longitude, latitude), centre) or None
        Corners in degrees, each (H + 1, W + 1), NaN where a neighbouring centre is unknown; None if there are no
        two-dimensional coordinates.
    """
    found = {}
    for coordinate in field.coords.values():
        if set(coordinate.dims) == {axes.y, axes.x} and (kind := geographic_kind(coordinate)) is not None:
            found[kind] = np.radians(coordinate.transpose(axes.y, axes.x).values.astype("float64"))
    if len(found) < 2 or min(found["latitude"].shape) < 2:
        return None
    longitude, latitude = found["longitude"], found["latitude"]
    latitude = np.where(np.abs(latitude) <= np.pi / 2, latitude, np.nan)
    # Points on the sphere have neither poles nor a date line.
    points = np.stack([np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)])
    for axis in (1, 2):
        points = np.moveaxis(points, axis, 0)
        points = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
        points = np.moveaxis((points[1:] + points[:-1]) / 2, 0, axis)
    x, y, z = points
    middle = np.nanmean(points[:2], axis=(1, 2))
    corners = np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))
    return corners, float(np.degrees(np.arctan2(middle[1], middle[0])))


def _grid_mapping(field: xr.DataArray) -> dict[str, Any] | None:
    """Return the attributes of the grid mapping of a field."""
    named = str(field.encoding.get("grid_mapping", field.attrs.get("grid_mapping", ""))).split(":")[0].strip()
    names = [named] if named in field.coords else [str(name) for name in field.coords]
    for name in names:
        attrs = field.coords[name].attrs
        if {"crs_wkt", "spatial_ref", "grid_mapping_name"} & attrs.keys():
            return dict(attrs)
    return None
