"""Latitudes and longitudes of a field, and grids that go once round the globe."""

import re

import numpy as np
import xarray as xr

from geogan.fields.axes import CF_UNITS, NAMES, Axes, coordinates_along, label_of
from geogan.operators.errors import InputError

# Names that models and instruments use for latitudes and longitudes of cells: XLAT (WRF), TLAT (CICE), lat_rho (ROMS),
# nav_lat and gphit (NEMO).
_PREFIX, _SUFFIX = r"(?:[xtuvf]|nav|pixel|cell)?_?", r"(?:_?(?:rho|psi|u|v|t|m|c|cent(?:er|re)))?"
_CELL_NAMES = {
    "latitude": rf"{_PREFIX}lat(?:itude)?s?{_SUFFIX}|gphi[tuvf]",
    "longitude": rf"{_PREFIX}lon(?:g|gitude)?s?{_SUFFIX}|glam[tuvf]",
}
# Units that a coordinate named like a latitude or longitude may have.
_DEGREES = ("", "degree", "degrees", "deg")
# Largest absolute value of a coordinate in degrees; longitudes may be counted over one and a half turns.
_LARGEST = {"y": 90.0, "x": 540.0}


def geographic_kind(coordinate: xr.DataArray) -> str | None:
    """Return ``"latitude"`` or ``"longitude"`` by the attributes of a coordinate, else by its name; None for others.

    Examples
    --------
    >>> geographic_kind(xr.DataArray(np.zeros((2, 3)), dims=("nj", "ni"), name="XLAT"))
    'latitude'
    >>> geographic_kind(xr.DataArray([0.0], dims="x", name="lon", attrs={"standard_name": "grid_longitude"})) is None
    True
    """
    standard_name = str(coordinate.attrs.get("standard_name", "")).lower()
    units = str(coordinate.attrs.get("units", "")).lower().replace(" ", "_")
    if standard_name:
        return standard_name if standard_name in _CELL_NAMES else None
    for kind, role in (("latitude", "y"), ("longitude", "x")):
        has_name = re.fullmatch(_CELL_NAMES[kind], str(coordinate.name).lower()) and units in _DEGREES
        if units in CF_UNITS[role] or has_name:
            return kind
    return None


def latitude(array: xr.DataArray, axes: Axes) -> np.ndarray | None:
    """Return the latitudes of the rows in degrees; None if rows have no one-dimensional latitude.

    Examples
    --------
    >>> maps = xr.DataArray(np.zeros((3, 2)), dims=("lat", "lon"), coords={"lat": [3.0, 2.0, 1.0]})
    >>> latitude(maps, Axes(None, "lat", "lon")).tolist()
    [3.0, 2.0, 1.0]
    """
    return _degrees(array, axes.y, "y")


def longitude(array: xr.DataArray, axes: Axes) -> np.ndarray | None:
    """Return the longitudes of the columns in degrees; None if there are none, or rows have different ones.

    Two-dimensional longitudes count if all rows have the same.

    Examples
    --------
    >>> maps = xr.DataArray(np.zeros((3, 2)), dims=("lat", "lon"), coords={"lon": [1, 2]})
    >>> longitude(maps, Axes(None, "lat", "lon")).tolist()
    [1.0, 2.0]
    """
    degrees = _degrees(array, axes.x, "x")
    if degrees is not None:
        return degrees
    for coordinate in array.coords.values():
        is_map = coordinate.ndim == 2 and set(coordinate.dims) == {axes.y, axes.x}
        if is_map and geographic_kind(coordinate) == "longitude":
            # Three rows identify most curved grids; the others are read once, bypassing the cache of the file.
            for rows in ([0, coordinate.sizes[axes.y] // 2, -1], slice(None)):
                values = coordinate.transpose(axes.y, axes.x).variable[rows].values.astype(np.float64)
                step = float(np.abs(np.diff(values[0])).min()) if values.shape[1] > 1 else 1.0
                if not np.allclose(values, values[0], rtol=0, atol=0.01 * step):
                    break
            else:
                return values[0]
    return None


def has_lonlat(array: xr.DataArray, axes: Axes) -> bool:
    """Return whether rows have a one-dimensional latitude and columns a one-dimensional longitude, in degrees.

    Examples
    --------
    >>> maps = xr.DataArray(np.zeros((3, 2)), dims=("lat", "lon"), coords={"lat": [3, 2, 1], "lon": [0, 1]})
    >>> has_lonlat(maps, Axes(None, "lat", "lon"))
    True
    """
    return _degrees(array, axes.y, "y") is not None and _degrees(array, axes.x, "x") is not None


def goes_round(degrees: np.ndarray) -> bool:
    """Return whether longitudes, in degrees, are evenly spaced and go once round the globe.

    Examples
    --------
    >>> goes_round(np.arange(-179.5, 180)), goes_round(np.arange(0, 181)), goes_round(np.arange(0, 361))
    (True, False, False)
    """
    if degrees.size < 3 or not np.isfinite(degrees).all():
        return False
    steps = np.diff(np.unwrap(degrees, period=360.0))
    step = np.median(steps)
    is_even = np.allclose(steps, step, rtol=0, atol=0.1 * abs(step))
    return bool(is_even and abs(abs(step) * degrees.size - 360.0) < 0.5 * abs(step))


def is_periodic(array: xr.DataArray, axes: Axes) -> bool:
    """Return whether the last column is the neighbour of the first: longitudes go once round the globe.

    Longitudes may increase or decrease, start at any meridian, and be two-dimensional if all rows have the same.

    Examples
    --------
    >>> east = {"lat": [0, 1], "lon": [0, 90, 180, 270]}
    >>> maps = xr.DataArray(np.zeros((2, 4)), dims=("lat", "lon"), coords=east)
    >>> is_periodic(maps, Axes(None, "lat", "lon"))
    True
    """
    degrees = longitude(array, axes)
    return degrees is not None and goes_round(degrees)


def check_columns(array: xr.DataArray, axes: Axes) -> None:
    """Refuse a grid that goes round the globe and repeats its first column as the last.

    Raises
    ------
    InputError
        If both columns have the same longitude: the same cells would be filled twice, with different values.
    """
    degrees = longitude(array, axes)
    if degrees is not None and goes_round(degrees[:-1]):
        distance = (degrees[-1] - degrees[0] + 180.0) % 360.0 - 180.0
        if abs(distance) < 0.1 * 360.0 / (degrees.size - 1):
            raise InputError(
                f"the first and the last column of {label_of(array)} have the same longitude ({degrees[0]:g} and "
                f"{degrees[-1]:g}); drop one of them, for example with field.isel({axes.x}=slice(0, -1))"
            )


def _degrees(array: xr.DataArray, dim: str, role: str) -> np.ndarray | None:
    """Return the first one-dimensional latitude (role y) or longitude (role x) along a dimension."""
    along = (coordinate for coordinate in coordinates_along(array, dim) if _is_in_degrees(coordinate, role))
    return next((coordinate.values.astype(np.float64) for coordinate in along), None)


def _is_in_degrees(coordinate: xr.DataArray, role: str) -> bool:
    """Return whether a one-dimensional coordinate is a latitude (role y) or a longitude (role x)."""
    if coordinate.size == 0 or not np.issubdtype(coordinate.dtype, np.number):
        return False
    standard_name = str(coordinate.attrs.get("standard_name", "")).lower()
    units = str(coordinate.attrs.get("units", "")).lower().replace(" ", "_")
    name = str(coordinate.name).lower()
    has_name = name in NAMES[role] and name.startswith("l") and units in _DEGREES
    is_projected = standard_name and standard_name != {"y": "latitude", "x": "longitude"}[role]
    if is_projected or not (standard_name or units in CF_UNITS[role] or has_name):
        return False
    return bool(np.nanmax(np.abs(coordinate.values)) <= _LARGEST[role])
