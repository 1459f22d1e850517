"""Axes of a field: which dimension is time (or samples), band, y and x."""

from collections.abc import Sequence
from typing import NamedTuple

import xarray as xr

from geogan.fields.written_dates import holds_dates
from geogan.operators.errors import InputError

# CF attributes decide first; names are only a convention.
_STANDARD_NAMES = {
    "time": ("time", "forecast_reference_time"),
    "y": ("latitude", "projection_y_coordinate", "grid_latitude"),
    "x": ("longitude", "projection_x_coordinate", "grid_longitude"),
    "band": ("radiation_wavelength", "sensor_band_identifier", "sensor_band_central_radiation_wavelength"),
}
CF_UNITS = {
    "y": ("degrees_north", "degree_north", "degree_n", "degrees_n", "degreen", "degreesn"),
    "x": ("degrees_east", "degree_east", "degree_e", "degrees_e", "degreee", "degreese"),
}
"""Units of a latitude (role y) and of a longitude (role x) by the CF conventions, in lower case."""

NAMES = {
    "time": ("time", "t", "date", "dates", "day", "days", "datetime", "valid_time", "time_counter")
    + ("ocean_time", "month", "year", "step", "frame", "ntime", "nt"),
    "y": ("lat", "latitude", "lats", "latitudes", "y", "nav_lat", "rlat", "nlat", "n_lat", "nj", "j", "yc")
    + ("row", "rows", "line", "lines", "y_rho", "eta_rho", "northing", "y_coordinate")
    # WRF, HDF-EOS, GRIB by NCL, GFS, MOM, the other points of ROMS, swaths.
    + ("south_north", "south_north_stag", "ydim", "lat_0", "ny", "grid_yt", "yt_ocean", "yu_ocean", "yh", "yq")
    + ("eta_u", "eta_v", "eta_psi", "number_of_lines", "nlines", "along_track", "nscan", "nscans"),
    "x": ("lon", "longitude", "lons", "longitudes", "long", "x", "nav_lon", "rlon", "nlon", "n_lon", "ni", "i", "xc")
    + ("col", "cols", "column", "columns", "x_rho", "xi_rho", "easting", "x_coordinate")
    + ("west_east", "west_east_stag", "xdim", "lon_0", "nx", "grid_xt", "xt_ocean", "xu_ocean", "xh", "xq")
    + ("xi_u", "xi_v", "xi_psi", "pixels_per_line", "npixels", "cross_track", "across_track", "nray", "npix"),
    "band": ("band", "bands", "channel", "channels", "rgb", "rgba", "colour", "color", "wavelength", "wavelengths", "c")
    + ("variable", "variables"),
}
"""Usual names of dimensions and coordinates by role, in lower case."""

VARIABLE = "variable"
"""Name of the band dimension of joined variables, each with units of its own."""

SAMPLES = ("sample", "samples", "image", "images", "n")
"""Names of a dimension of independent samples; a dimension of this name that has dates is time."""

_VERTICAL = ("depth", "z", "lev", "level", "levels", "plev", "pressure", "height", "altitude", "deptht")
_ROLES = ("time", "y", "x", "band")


class Axes(NamedTuple):
    """The names of a field's dimensions.

    Parameters
    ----------
    time : str or None
        The dimension of dates, or of samples; None for a single map.
    y, x : str
        Rows and columns of the map.
    band : str or None
        Bands of one measurement, each with gaps of its own.
    independent : bool
        Whether ``time`` counts independent samples instead of dates.
    """

    time: str | None
    y: str
    x: str
    band: str | None = None
    independent: bool = False

    @property
    def dims(self) -> tuple[str, ...]:
        """The dimensions that exist, in the order time, band, y, x.

        Examples
        --------
        >>> Axes("time", "lat", "lon").dims
        ('time', 'lat', 'lon')
        """
        return tuple(name for name in (self.time, self.band, self.y, self.x) if name is not None)


def find_axes(field: xr.DataArray) -> Axes:
    """Find which dimension is time (or counts samples), band, y and x.

    CF attributes decide first (``axis``, ``standard_name``, units such as ``degrees_north``), then dates, then usual
    names. If y and x are found and one dimension remains, it is time, with one step per index. Samples are recognised
    by the name of their dimension (sample, image, n, or in the plural) or by the ``standard_name`` realization.

    Parameters
    ----------
    field : DataArray, shape ([time,] [band,] y, x)
        In any order of dimensions; only coordinates and attributes are read.

    Returns
    -------
    axes : Axes

    Raises
    ------
    InputError
        If y or x is not found, or if a dimension remains that has none of these roles.

    Examples
    --------
    >>> import numpy as np
    >>> find_axes(xr.DataArray(np.zeros((4, 3, 2)), dims=("time", "lat", "lon")))
    Axes(time='time', y='lat', x='lon', band=None, independent=False)
    >>> find_axes(xr.DataArray(np.zeros((9, 3, 4, 2)), dims=("image", "rgb", "row", "col")))
    Axes(time='image', y='row', x='col', band='rgb', independent=True)
    """
    roles = axis_roles(field)
    name, dims = label_of(field), tuple(str(dim) for dim in field.dims)
    if "y" not in roles or "x" not in roles:
        missing = " and ".join(role for role in ("y", "x") if role not in roles)
        raise InputError(
            f"{name} has the dimensions ({', '.join(dims)}), of which none is known as {missing}; rename "
            "them to time, y and x with field.rename, name them with --dims time=...,y=...,x=... (dims= in Python), or "
            "give their coordinates CF attributes"
        )
    extra = [dim for dim in dims if dim not in roles.values()]
    if extra:
        sizes = ", ".join(f"{dim} ({field.sizes[dim]})" for dim in extra)
        raise InputError(
            f"{name} has the dimensions ({', '.join(dims)}), where a field has only time, band, y and x; choose one "
            f"entry of {sizes} first, for example field.isel({extra[0]}=0)"
        )
    time = roles.get("time")
    return Axes(time, roles["y"], roles["x"], roles.get("band"), time is not None and _counts_samples(field, time))


def axis_roles(array: xr.DataArray) -> dict[str, str]:
    """Return the dimensions whose role is known: keys ``"time"``, ``"y"``, ``"x"``, ``"band"``.

    Examples
    --------
    >>> import numpy as np
    >>> axis_roles(xr.DataArray(np.zeros((4, 3)), dims=("time", "station")))
    {'time': 'time'}
    """
    roles: dict[str, str] = {}
    for evidence in (_role_by_attributes, _role_by_dates, _role_by_name, _role_of_samples):
        for dim in array.dims:
            role = evidence(array, str(dim))
            if role and role not in roles and dim not in roles.values():
                roles[role] = str(dim)
    rest = [str(dim) for dim in array.dims if dim not in roles.values() and not _is_vertical(array, str(dim))]
    if "time" not in roles and "y" in roles and "x" in roles:
        longer = [dim for dim in rest if array.sizes[dim] != 1] or rest
        if len(longer) == 1:
            roles["time"] = longer[0]
    return {role: roles[role] for role in _ROLES if role in roles}


def role_of(coordinate: xr.DataArray) -> str | None:
    """Return the role of a one-dimensional coordinate by its attributes, else by its name; None if unknown.

    Examples
    --------
    >>> import numpy as np
    >>> maps = xr.DataArray(np.zeros((3, 2)), dims=("a", "b"), coords={"northing": ("a", [3.0, 2.0, 1.0])})
    >>> role_of(maps.northing)
    'y'
    """
    by_name = (role for role in _ROLES if str(coordinate.name).lower() in NAMES[role])
    return _role_of_attributes(coordinate) or next(by_name, None)


def squeezed(array: xr.DataArray, *, roles: Sequence[str] = _ROLES) -> xr.DataArray:
    """Return an array without the dimensions of length one that have none of ``roles``.

    Their coordinates are kept as scalars.

    Examples
    --------
    >>> import numpy as np
    >>> maps = xr.DataArray(np.zeros((1, 3, 4, 1)), dims=("time", "lat", "lon", "depth"))
    >>> squeezed(maps).dims, squeezed(maps, roles="yx").dims
    (('time', 'lat', 'lon'), ('lat', 'lon'))
    """
    dims = axis_roles(array)
    kept = [dims.get(role) for role in roles]
    return array.squeeze([dim for dim, size in array.sizes.items() if size == 1 and dim not in kept])


def coordinates_along(array: xr.DataArray, dim: str) -> list[xr.DataArray]:
    """Return the one-dimensional coordinates along a dimension; the coordinate of the dimension's name comes first."""
    index = [array.coords[dim]] if dim in array.coords else []
    return index + [
        coordinate for name, coordinate in array.coords.items() if coordinate.dims == (dim,) and name != dim
    ]


def label_of(array: xr.DataArray) -> str:
    """Return the words that messages use for a field: ``variable 'sst'``, or ``the field`` if it has no name."""
    return f"variable {str(array.name)!r}" if array.name is not None else "the field"


def _role_by_attributes(array: xr.DataArray, dim: str) -> str | None:
    return next(filter(None, map(_role_of_attributes, coordinates_along(array, dim))), None)


def _role_of_attributes(coordinate: xr.DataArray) -> str | None:
    axis = str(coordinate.attrs.get("axis", "")).upper()
    standard_name = str(coordinate.attrs.get("standard_name", "")).lower()
    units = str(coordinate.attrs.get("units", "")).lower().replace(" ", "_")
    for role in _ROLES:
        if (
            axis == {"time": "T", "y": "Y", "x": "X"}.get(role, "none")
            or standard_name in _STANDARD_NAMES[role]
            or units in CF_UNITS.get(role, ())
        ):
            return role
    return None


def _role_by_dates(array: xr.DataArray, dim: str) -> str | None:
    return "time" if any(map(holds_dates, coordinates_along(array, dim))) else None


def _role_by_name(array: xr.DataArray, dim: str) -> str | None:
    names = [dim.lower()] + [str(coordinate.name).lower() for coordinate in coordinates_along(array, dim)]
    for name in names:
        for role in _ROLES:
            if name in NAMES[role]:
                return role
    return None


def _role_of_samples(array: xr.DataArray, dim: str) -> str | None:
    return "time" if _counts_samples(array, dim) else None


def _counts_samples(array: xr.DataArray, dim: str) -> bool:
    along = coordinates_along(array, dim)
    is_realization = any(coordinate.attrs.get("standard_name") == "realization" for coordinate in along)
    return (dim.lower() in SAMPLES or is_realization) and not any(map(holds_dates, along))


def _is_vertical(array: xr.DataArray, dim: str) -> bool:
    if dim.lower() in _VERTICAL:
        return True
    along = coordinates_along(array, dim)
    return any("positive" in each.attrs or str(each.attrs.get("axis")).upper() == "Z" for each in along)
