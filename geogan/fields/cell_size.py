"""Size of the cells of a field in km, with which lengths of operators are converted to cells."""

from __future__ import annotations

import numpy as np

from geogan.fields.field import Field
from geogan.fields.geography import geographic_kind
from geogan.operators.operator import CellSize
from geogan.operators.orbits import KM_A_DEGREE

# Units of projected coordinates.
_KM = {"m": 1e-3, "metre": 1e-3, "metres": 1e-3, "meter": 1e-3, "meters": 1e-3, "km": 1.0, "kilometre": 1.0}


def cell_size(field: Field) -> CellSize | None:
    """Return the distance of neighbouring cells in km, at the mean latitude of the field.

    Returns
    -------
    size : CellSize or None
        None if the field has neither latitudes and longitudes nor coordinates in m or km.

    Examples
    --------
    >>> import xarray as xr
    >>> coords = {"lat": [59.0, 60.0, 61.0], "lon": [0.0, 1.0]}
    >>> size = cell_size(Field.of(xr.DataArray(np.zeros((3, 2)), dims=("lat", "lon"), coords=coords)))
    >>> [round(part, 1) for part in size]
    [111.2, 55.6, 60.0]
    """
    dy, dx = field.grid_step
    if field.has_lonlat:
        assert field.latitude is not None
        middle = float(np.mean(field.latitude))
        shrink = float(np.cos(np.deg2rad(middle)))
        return CellSize(dy * KM_A_DEGREE, max(dx * KM_A_DEGREE * shrink, 1e-9), middle)
    units = [
        str(field.array[dim].attrs.get("units", "")).strip().lower() if dim in field.array.coords else ""
        for dim in (field.axes.y, field.axes.x)
    ]
    if all(unit in _KM for unit in units):
        return CellSize(dy * _KM[units[0]], dx * _KM[units[1]])
    return _of_curved_grid(field)


def _of_curved_grid(field: Field) -> CellSize | None:
    """Return the distance of neighbours in the middle of a grid with two-dimensional latitudes and longitudes."""
    if min(field.grid) < 2:
        return None
    dims = (field.axes.y, field.axes.x)
    middle = {dim: slice(side // 2 - 1, side // 2 + 1) for dim, side in zip(dims, field.grid)}
    places = {
        geographic_kind(coordinate): coordinate.transpose(*dims).isel(middle).values.astype(np.float64)
        for coordinate in field.array.coords.values()
        if set(coordinate.dims) == set(dims)
    }
    if not {"latitude", "longitude"} <= places.keys():
        return None
    latitude, longitude = places["latitude"], places["longitude"]
    if not (np.isfinite(latitude).all() and np.isfinite(longitude).all()):
        return None
    shrink = np.cos(np.deg2rad(latitude.mean()))

    def distance(axis: int) -> float:
        north = np.diff(latitude, axis=axis)
        east = (np.diff(longitude, axis=axis) + 180) % 360 - 180
        return float(np.hypot(north, east * shrink).mean() * KM_A_DEGREE)

    return CellSize(distance(0), distance(1), float(latitude.mean()))
