"""Coordinates of a field: which dimension is time, band, y, x, and what they measure."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from geogan.fields.written_dates import decode
from geogan.operators.errors import InputError

# What CF says of an axis comes first; a name is only a habit.
_STANDARD_NAMES = {
    "time": ("time", "forecast_reference_time"),
    "y": ("latitude", "projection_y_coordinate", "grid_latitude"),
    "x": ("longitude", "projection_x_coordinate", "grid_longitude"),
    "band": ("radiation_wavelength", "sensor_band_identifier", "sensor_band_central_radiation_wavelength"),
}
_UNITS = {
    "y": ("degrees_north", "degree_north", "degree_n", "degrees_n", "degreen", "degreesn"),
    "x": ("degrees_east", "degree_east", "degree_e", "degrees_e", "degreee", "degreese"),
}
_NAMES = {
    "time": ("time", "t", "date", "dates", "day", "days", "datetime", "valid_time", "time_counter")
    + ("ocean_time", "month", "year", "step", "frame", "ntime", "nt"),
    "y": ("lat", "latitude", "lats", "latitudes", "y", "nav_lat", "rlat", "nlat", "n_lat", "nj", "j", "yc")
    + ("row", "rows", "line", "lines", "y_rho", "eta_rho", "northing", "y_coordinate")
    # WRF, HDF-EOS, GRIB by NCL, GFS, MOM, ROMS on its other points, swaths.
    + ("south_north", "south_north_stag", "ydim", "lat_0", "ny", "grid_yt", "yt_ocean", "yu_ocean", "yh", "yq")
    + ("eta_u", "eta_v", "eta_psi", "number_of_lines", "nlines", "along_track", "nscan", "nscans"),
    "x": (
        "lon",
        "longitude",
        "lons",
        "longitudes",
        "long",
        "x",
        "nav_lon",
        "rlon",
        "nlon",
        "n_lon",
        "ni",
        "i",
    )
    + ("xc", "col", "cols", "column", "columns", "x_rho", "xi_rho", "easting", "x_coordinate")
    + ("west_east", "west_east_stag", "xdim", "lon_0", "nx", "grid_xt", "xt_ocean", "xu_ocean", "xh", "xq")
    + ("xi_u", "xi_v", "xi_psi", "pixels_per_line", "npixels", "cross_track", "across_track", "nray", "npix"),
    "band": (
        "band",
        "bands",
        "channel",
        "channels",
        "rgb",
        "rgba",
        "colour",
        "color",
        "wavelength",
        "wavelengths",
        "c",
        "variable",
        "variables",
    ),
}
# Latitudes and longitudes of cells, as models and instruments call them: XLAT (WRF), TLAT (CICE), lat_rho (ROMS),
# nav_lat, gphit (NEMO).
_BEFORE, _AFTER = r"(?:[xtuvf]|nav|pixel|cell)?_?", r"(?:_?(?:rho|psi|u|v|t|m|c|cent(?:er|re)))?"
_CELL_NAMES = {
    "latitude": rf"{_BEFORE}lat(?:itude)?s?{_AFTER}|gphi[tuvf]",
    "longitude": rf"{_BEFORE}lon(?:g|gitude)?s?{_AFTER}|glam[tuvf]",
}
VARIABLE = "variable"
"""The dimension of bands that are variables, each with units of its own."""

# Entries that have nothing to do with each other; dates along them make them dates all the same.
SAMPLES = ("sample", "samples", "image", "images", "n")
_APART = 1e6  # days from one such entry to the next: no memory reaches so far
_VERTICAL = ("depth", "z", "lev", "level", "levels", "plev", "pressure", "height", "altitude", "deptht")
_ROLES = ("time", "y", "x", "band")
_DEGREES = ("", "degree", "degrees", "deg")  # a coordinate named lat or lon needs no more
_EPOCH = np.datetime64("1970-01-01")
YEAR = 365.2425  # days


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
        Whether ``time`` counts samples that have nothing to do with each other, instead of dates.
    """

    time: str | None
    y: str
    x: str
    band: str | None = None
    independent: bool = False


def find_axes(field: xr.DataArray) -> Axes:
    """Find which dimension is time (or counts samples), which band, y and x.

    CF attributes decide first (``axis``, ``standard_name``, units such as ``degrees_north``), then dates,
    then usual names. Where y and x are known, the one dimension left over is time, each index one step.
    Samples are told by their name (sample, image, n, or in the plural) or by the ``standard_name`` realization.

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
        If y or x is not found, or if a dimension is left that is none of these.

    Examples
    --------
    >>> find_axes(xr.DataArray(np.zeros((4, 3, 2)), dims=("time", "lat", "lon")))
    Axes(time='time', y='lat', x='lon', band=None, independent=False)
    >>> find_axes(xr.DataArray(np.zeros((9, 3, 4, 2)), dims=("image", "rgb", "row", "col")))
    Axes(time='image', y='row', x='col', band='rgb', independent=True)
    """
    roles = axis_roles(field)
    name, dims = _label(field), tuple(str(dim) for dim in field.dims)
    if "y" not in roles or "x" not in roles:
        lacking = " and ".join(role for role in ("y", "x") if role not in roles)
        raise InputError(
            f"{name} has the dimensions ({', '.join(dims)}), of which none is known as {lacking}; rename "
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


def stacked(field: xr.DataArray, axes: Axes) -> xr.DataArray:
    """The field as (T, C, H, W): a map becomes a stack of one, a field without bands has one; lazy where it is.

    Examples
    --------
    >>> maps = xr.DataArray(np.zeros((3, 2, 4)), dims=("lat", "lon", "time"))
    >>> stacked(maps, find_axes(maps)).sizes
    Frozen({'time': 4, 'band': 1, 'lat': 3, 'lon': 2})
    """
    time, band = axes.time or "time", axes.band or "band"
    lacking = [name for name, own in ((time, axes.time), (band, axes.band)) if own is None]
    films = (field.expand_dims(lacking) if lacking else field).transpose(time, band, axes.y, axes.x)
    if not lacking or films.chunks is None:
        return films
    import dask.array

    # Dask reads whole chunks for a piece of what a dimension was added to; of this it reads the piece.
    added = tuple(dim not in field.dims for dim in films.dims)
    source = _Stacked(field.transpose(*(dim for dim in films.dims if dim in field.dims)).data, added)
    meta = np.empty((0,) * 4, films.dtype)
    return films.copy(data=dask.array.from_array(source, chunks=films.chunks, meta=meta))


class _Stacked:
    """A lazy array with axes of length one added, of which pieces are read as they are asked for."""

    ndim = 4

    def __init__(self, array: Any, added: tuple[bool, ...]) -> None:
        sizes = iter(array.shape)
        self.array, self.added, self.dtype = array, added, array.dtype
        self.shape = tuple(1 if new else next(sizes) for new in added)

    def __dask_tokenize__(self) -> tuple[str, tuple[bool, ...]]:
        return self.array.name, self.added

    def __getitem__(self, key: tuple[Any, ...]) -> np.ndarray:
        # A number takes its axis away, which is done last.
        numbers = [isinstance(part, int | np.integer) for part in key]
        there = tuple(
            slice(part, part + 1) if number else part for part, number, new in zip(key, numbers, self.added) if not new
        )
        # Chunks are computed side by side already, on threads or on a cluster.
        part = np.asarray(self.array[there].compute(scheduler="synchronous"))
        part = np.expand_dims(part, tuple(axis for axis, new in enumerate(self.added) if new))
        left = zip(key, numbers, self.added)
        return part[tuple(each if new else 0 if number else slice(None) for each, number, new in left)]


def unstacked(values: Any, axes: Axes) -> Any:
    """An array (..., T, C, H, W) without the dimensions that a field of these axes lacks."""
    values = values if axes.time else values[..., 0, :, :, :]
    return values if axes.band else values[..., 0, :, :]


def ordered(axes: Axes) -> tuple[str, ...]:
    """The dimensions that there are, in the order time, band, y, x."""
    return tuple(name for name in (axes.time, axes.band, axes.y, axes.x) if name is not None)


def axis_roles(field: xr.DataArray) -> dict[str, str]:
    """Dimensions by role, as far as they can be told: keys ``"time"``, ``"y"``, ``"x"``, ``"band"``.

    Examples
    --------
    >>> axis_roles(xr.DataArray(np.zeros((4, 3)), dims=("time", "station")))
    {'time': 'time'}
    """
    roles: dict[str, str] = {}
    for evidence in (_role_by_attributes, _role_by_dates, _role_by_name, _role_of_samples):
        for dim in field.dims:
            role = evidence(field, str(dim))
            if role and role not in roles and dim not in roles.values():
                roles[role] = str(dim)
    rest = [str(dim) for dim in field.dims if dim not in roles.values() and not _is_vertical(field, str(dim))]
    if "time" not in roles and "y" in roles and "x" in roles:
        longer = [dim for dim in rest if field.sizes[dim] != 1] or rest
        if len(longer) == 1:
            roles["time"] = longer[0]
    return {role: roles[role] for role in _ROLES if role in roles}


def days(field: xr.DataArray, axes: Axes) -> np.ndarray:
    """Times of a field in days.

    Parameters
    ----------
    field : DataArray, shape ([time,] y, x)
    axes : Axes

    Returns
    -------
    days : ndarray of float64, shape (T,)
        Days since 1970-01-01, in the calendar of the field. Dates written as numbers or text (20010117,
        ``2001-01-17_12:00:00``) are dates; other numbers are taken as days as they stand; without a time
        coordinate 0, 1, ..., T-1; without a time dimension one 0. Independent samples are so many days apart
        that nothing lasts from one to the next.

    Raises
    ------
    InputError
        If a time is missing (NaT, NaN) or is neither a date nor a number.

    Examples
    --------
    >>> times = np.array(["1970-01-02", "1970-01-03T12"], dtype="datetime64[ns]")
    >>> field = xr.DataArray(np.zeros((2, 3, 2)), dims=("time", "y", "x"), coords={"time": times})
    >>> days(field, find_axes(field)).tolist()
    [1.0, 2.5]
    """
    if axes.time is None:
        return np.zeros(1)
    if axes.independent:
        return np.arange(field.sizes[axes.time]) * _APART
    times = _times(field, axes)
    if times is None:
        return np.arange(field.sizes[axes.time], dtype=np.float64)
    if np.issubdtype(times.dtype, np.datetime64):
        if np.isnat(times).any():
            raise InputError(f"{_label(field)} has missing times along {axes.time!r}; drop them, then run again")
        return (times - _EPOCH) / np.timedelta64(1, "D")
    if _is_cftime(times):
        import cftime

        return np.asarray(cftime.date2num(times, "days since 1970-01-01"), dtype=np.float64)
    if np.issubdtype(times.dtype, np.timedelta64):
        return times / np.timedelta64(1, "D")
    if not np.issubdtype(times.dtype, np.number):
        raise InputError(
            f"{_label(field)} has times of type {times.dtype} along {axes.time!r}, where dates or days "
            "are expected; convert them, for example with xarray.decode_cf"
        )
    if not np.isfinite(times).all():
        raise InputError(f"{_label(field)} has missing times along {axes.time!r}; drop them, then run again")
    return times.astype(np.float64)


def dated(field: xr.DataArray, axes: Axes) -> xr.DataArray:
    """Return a field whose dates index its time dimension.

    Dates written as numbers or text are decoded, and dates under another name than the dimension's are found. A scalar
    time is decoded too.

    Parameters
    ----------
    field : DataArray, shape ([time,] [band,] y, x)
    axes : Axes

    Returns
    -------
    field : DataArray
        The same where its times are dates already, or nothing but numbers.

    Raises
    ------
    InputError
        Where units say that times are dates, and one is none.

    Examples
    --------
    >>> coords = {"yyyymmdd": ("step", [20010131, 20010201])}
    >>> field = xr.DataArray(np.zeros((2, 3, 2)), dims=("step", "y", "x"), coords=coords)
    >>> dated(field, find_axes(field)).step.dt.day.values.tolist()
    [31, 1]
    """
    if axes.independent:
        return field
    if axes.time is None:
        scalars = {
            name: _written(coordinate)
            for name, coordinate in field.coords.items()
            if coordinate.ndim == 0 and _is_called_time(coordinate) and not holds_dates(coordinate)
        }
        return field.assign_coords({name: dates for name, dates in scalars.items() if dates is not None})
    along = _along(field, axes.time)
    if along and holds_dates(along[0]) and along[0].name == axes.time:
        return field
    # Dates as such come before what has to be decoded, and the dimension's own coordinate before others.
    for coordinate in along:
        if holds_dates(coordinate):
            dates: xr.Variable | None = coordinate.variable.copy()
        else:
            dates = _written(coordinate)
        if dates is not None and (axes.time not in field.coords or coordinate.name == axes.time):
            return field.assign_coords({axes.time: dates})
    return field


def calendar_of(field: xr.DataArray, axes: Axes) -> str | None:
    """Return the CF calendar of a field's dates: ``standard``, ``noleap``, ``360_day`` ...; None where it has none.

    Examples
    --------
    >>> times = np.array(["1970-01-02", "1970-01-03"], dtype="datetime64[ns]")
    >>> field = xr.DataArray(np.zeros((2, 3, 2)), dims=("time", "y", "x"), coords={"time": times})
    >>> calendar_of(field, find_axes(field))
    'standard'
    """
    times = None if axes.independent else _times(field, axes)
    if times is None or times.size == 0:
        return None
    if np.issubdtype(times.dtype, np.datetime64):
        return "standard"
    if not _is_cftime(times):
        return None
    name = str(times.ravel()[0].calendar).lower()
    same = {"gregorian": "standard", "proleptic_gregorian": "standard", "365_day": "noleap", "366_day": "all_leap"}
    return same.get(name, name)


def day_of_year(field: xr.DataArray, axes: Axes) -> np.ndarray | None:
    """Days since the start of the year, or None where time is not a date or counts samples.

    Returns
    -------
    day_of_year : ndarray of float64, shape (T,), or None
        0 at midnight on 1 January; the hour is its fraction. In a calendar of the field's own.

    Examples
    --------
    >>> times = np.array(["2001-01-01T12", "2001-02-01"], dtype="datetime64[ns]")
    >>> field = xr.DataArray(np.zeros((2, 3, 2)), dims=("time", "y", "x"), coords={"time": times})
    >>> day_of_year(field, find_axes(field)).tolist()
    [0.5, 31.0]
    """
    times = None if axes.independent else _times(field, axes)
    if times is None:
        return None
    if np.issubdtype(times.dtype, np.datetime64):
        return (times - times.astype("datetime64[Y]")) / np.timedelta64(1, "D")
    if _is_cftime(times):
        hours = [(t.hour + (t.minute + t.second / 60) / 60) / 24 for t in times]
        return np.array([t.dayofyr - 1 for t in times], dtype=np.float64) + np.array(hours)
    return None


def band_names(field: xr.DataArray, axes: Axes) -> tuple[str, ...]:
    """Names of the bands, in order; empty where there are none.

    Examples
    --------
    >>> field = xr.DataArray(np.zeros((2, 3, 2)), dims=("band", "y", "x"), coords={"band": ["red", "nir"]})
    >>> band_names(field, find_axes(field))
    ('red', 'nir')
    """
    names = None if axes.band is None else _coordinate(field, axes.band)
    return () if names is None else tuple(str(name) for name in names)


def band_units(field: xr.DataArray, axes: Axes) -> tuple[str, ...]:
    """Units of each band, in order; of a field without bands its own.

    Examples
    --------
    >>> coords = {"band": ["t", "s"], "units": ("band", ["K", "g kg-1"])}
    >>> field = xr.DataArray(np.zeros((2, 3, 2)), dims=("band", "y", "x"), coords=coords)
    >>> band_units(field, find_axes(field))
    ('K', 'g kg-1')
    """
    if axes.band is not None and "units" in field.coords and field["units"].dims == (axes.band,):
        return tuple(str(units) for units in field["units"].values)
    return (str(field.attrs.get("units", "")),) * (1 if axes.band is None else field.sizes[axes.band])


def geographic_kind(coordinate: xr.DataArray) -> str | None:
    """Tell by its attributes, else by its name, whether a coordinate is a latitude or a longitude.

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
        named = re.fullmatch(_CELL_NAMES[kind], str(coordinate.name).lower()) and units in _DEGREES
        if units in _UNITS[role] or named:
            return kind
    return None


def role_of(coordinate: xr.DataArray) -> str | None:
    """Tell by its attributes, else by its name, of which role a one-dimensional coordinate is; None where unknown.

    Examples
    --------
    >>> maps = xr.DataArray(np.zeros((3, 2)), dims=("a", "b"), coords={"northing": ("a", [3.0, 2.0, 1.0])})
    >>> role_of(maps.northing)
    'y'
    """
    by_name = (role for role in _ROLES if str(coordinate.name).lower() in _NAMES[role])
    return _role_of_attributes(coordinate) or next(by_name, None)


def latitude(field: xr.DataArray, axes: Axes) -> np.ndarray | None:
    """Latitudes of the rows in degrees, or None where y is something else.

    Examples
    --------
    >>> maps = xr.DataArray(np.zeros((3, 2)), dims=("lat", "lon"), coords={"lat": [3.0, 2.0, 1.0]})
    >>> latitude(maps, find_axes(maps)).tolist()
    [3.0, 2.0, 1.0]
    """
    along = [one for one in _along(field, axes.y) if _in_degrees(one, "y", limit=90.0)]
    return along[0].values.astype(np.float64) if along else None


def squeezed(array: xr.DataArray, *, roles: Sequence[str] = _ROLES) -> xr.DataArray:
    """Without dimensions of length one that have none of these roles; their coordinates stay, as scalars.

    Examples
    --------
    >>> maps = xr.DataArray(np.zeros((1, 3, 4, 1)), dims=("time", "lat", "lon", "depth"))
    >>> squeezed(maps).dims, squeezed(maps, roles="yx").dims
    (('time', 'lat', 'lon'), ('lat', 'lon'))
    """
    found = axis_roles(array)
    kept = [found.get(role) for role in roles]
    return array.squeeze([dim for dim, size in array.sizes.items() if size == 1 and dim not in kept])


def has_lonlat(field: xr.DataArray, axes: Axes) -> bool:
    """Whether y is latitude and x longitude, each a coordinate of its own, in degrees.

    Examples
    --------
    >>> maps = xr.DataArray(np.zeros((3, 2)), dims=("lat", "lon"), coords={"lat": [3, 2, 1], "lon": [0, 1]})
    >>> has_lonlat(maps, find_axes(maps))
    True
    """
    return _is_geographic(field, axes.y, "y", limit=90.0) and _is_geographic(field, axes.x, "x", limit=360.0)


def is_periodic(field: xr.DataArray, axes: Axes) -> bool:
    """Return whether the last column touches the first: longitudes that go once round the globe.

    Longitudes may rise or fall, be counted from any meridian, and be two-dimensional where all rows have the same.

    Examples
    --------
    >>> east = {"lat": [0, 1], "lon": [0, 90, 180, 270]}
    >>> maps = xr.DataArray(np.zeros((2, 4)), dims=("lat", "lon"), coords=east)
    >>> is_periodic(maps, find_axes(maps))
    True
    """
    degrees = longitude(field, axes)
    return degrees is not None and goes_round(degrees)


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
    evenly = np.allclose(steps, step, rtol=0, atol=0.1 * abs(step))
    return bool(evenly and abs(abs(step) * degrees.size - 360.0) < 0.5 * abs(step))


def check_columns(field: xr.DataArray, axes: Axes) -> None:
    """Refuse a grid that goes round the globe and has its first column twice.

    Raises
    ------
    InputError
        One place would be filled as two, each with a value of its own.
    """
    degrees = longitude(field, axes)
    if degrees is not None and goes_round(degrees[:-1]):
        off = (degrees[-1] - degrees[0] + 180.0) % 360.0 - 180.0
        if abs(off) < 0.1 * 360.0 / (degrees.size - 1):
            raise InputError(
                f"the first and the last column of {_label(field)} are the same place (longitudes {degrees[0]:g} and "
                f"{degrees[-1]:g}); drop one of them, for example with field.isel({axes.x}=slice(0, -1))"
            )


def longitude(field: xr.DataArray, axes: Axes) -> np.ndarray | None:
    """Return the longitudes of the columns in degrees, or None where x is something else or rows differ.

    Examples
    --------
    >>> maps = xr.DataArray(np.zeros((3, 2)), dims=("lat", "lon"), coords={"lon": [1, 2]})
    >>> longitude(maps, find_axes(maps)).tolist()
    [1.0, 2.0]
    """
    along = [one.values for one in _along(field, axes.x) if _in_degrees(one, "x", limit=360.0)]
    if along:
        return along[0].astype(np.float64)
    for one in field.coords.values():
        if one.ndim == 2 and set(one.dims) == {axes.y, axes.x} and geographic_kind(one) == "longitude":
            # A few rows tell most curved grids; the others are read once, without being kept by the file's cache.
            for rows in ([0, one.sizes[axes.y] // 2, -1], slice(None)):
                values = one.transpose(axes.y, axes.x).variable[rows].values.astype(np.float64)
                step = float(np.abs(np.diff(values[0])).min()) if values.shape[1] > 1 else 1.0
                if not np.allclose(values, values[0], rtol=0, atol=0.01 * step):
                    break
            else:
                return values[0]
    return None


def grid_step(field: xr.DataArray, axes: Axes) -> tuple[float, float]:
    """Distance between neighbouring rows and columns, in the units of their coordinates.

    Returns
    -------
    dy, dx : float
        Positive medians; 1.0 where there is no one-dimensional coordinate or only one row or column.

    Examples
    --------
    >>> maps = xr.DataArray(np.zeros((3, 2)), dims=("lat", "lon"), coords={"lat": [3, 2, 1], "lon": [0, 0.5]})
    >>> grid_step(maps, find_axes(maps))
    (1.0, 0.5)
    """
    dy, dx = (_step(_coordinate(field, dim)) for dim in (axes.y, axes.x))
    return dy, dx


def _step(values: np.ndarray | None) -> float:
    if values is None or values.size < 2 or not np.issubdtype(values.dtype, np.number):
        return 1.0
    step = float(np.median(np.abs(np.diff(values.astype(np.float64)))))
    return step if np.isfinite(step) and step > 0 else 1.0


def _along(field: xr.DataArray, dim: str) -> list[xr.DataArray]:
    """One-dimensional coordinates along a dimension, its own index first."""
    own = [field.coords[dim]] if dim in field.coords else []
    return own + [c for name, c in field.coords.items() if c.dims == (dim,) and name != dim]


def _coordinate(field: xr.DataArray, dim: str) -> np.ndarray | None:
    along = _along(field, dim)
    return along[0].values if along else None


def _times(field: xr.DataArray, axes: Axes) -> np.ndarray | None:
    """Times as dates where any coordinate along time holds dates, else its numbers, else None."""
    if axes.time is None:
        along = [c for c in field.coords.values() if c.ndim == 0 and holds_dates(c)]
        if along:
            return np.atleast_1d(along[0].values)
        written = [_written(c) for c in field.coords.values() if c.ndim == 0 and _is_called_time(c)]
        return next((np.atleast_1d(each.values) for each in written if each is not None), None)
    along = _along(field, axes.time)
    for coordinate in along:
        if holds_dates(coordinate):
            return coordinate.values
    for coordinate in along:
        dates = _written(coordinate)
        if dates is not None:
            return dates.values
    return along[0].values if along else None


def _written(coordinate: xr.DataArray) -> xr.Variable | None:
    """A coordinate whose numbers or texts are dates, decoded; None where they are none."""
    attrs = {name: value for name, value in coordinate.attrs.items() if name not in ("units", "calendar")}
    text = {name: str(coordinate.attrs.get(name, "")) for name in ("units", "calendar")}
    dates = decode(coordinate.values, name=f"coordinate {str(coordinate.name)!r}", **text)
    if dates is None:
        return None
    return xr.Variable(coordinate.dims, dates.reshape(coordinate.shape), {"standard_name": "time"} | attrs)


def _is_called_time(coordinate: xr.DataArray) -> bool:
    return role_of(coordinate) == "time" or "time" in str(coordinate.name).lower()


def _label(field: xr.DataArray) -> str:
    return f"variable {str(field.name)!r}" if field.name is not None else "the field"


def _role_by_attributes(field: xr.DataArray, dim: str) -> str | None:
    return next(filter(None, map(_role_of_attributes, _along(field, dim))), None)


def _role_of_attributes(coordinate: xr.DataArray) -> str | None:
    attrs = coordinate.attrs
    axis = str(attrs.get("axis", "")).upper()
    standard_name = str(attrs.get("standard_name", "")).lower()
    units = str(attrs.get("units", "")).lower().replace(" ", "_")
    for role in _ROLES:
        if (
            axis == {"time": "T", "y": "Y", "x": "X"}.get(role, "none")
            or standard_name in _STANDARD_NAMES[role]
            or units in _UNITS.get(role, ())
        ):
            return role
    return None


def _role_by_dates(field: xr.DataArray, dim: str) -> str | None:
    return "time" if any(holds_dates(c) for c in _along(field, dim)) else None


def _role_by_name(field: xr.DataArray, dim: str) -> str | None:
    names = [dim.lower()] + [str(c.name).lower() for c in _along(field, dim)]
    for name in names:
        for role in _ROLES:
            if name in _NAMES[role]:
                return role
    return None


def _role_of_samples(field: xr.DataArray, dim: str) -> str | None:
    return "time" if _counts_samples(field, dim) else None


def _counts_samples(field: xr.DataArray, dim: str) -> bool:
    along = _along(field, dim)
    named = dim.lower() in SAMPLES or any(c.attrs.get("standard_name") == "realization" for c in along)
    return named and not any(holds_dates(c) for c in along)


def _is_vertical(field: xr.DataArray, dim: str) -> bool:
    marked = any("positive" in c.attrs or str(c.attrs.get("axis")).upper() == "Z" for c in _along(field, dim))
    return marked or dim.lower() in _VERTICAL


def _is_geographic(field: xr.DataArray, dim: str, role: str, *, limit: float) -> bool:
    return any(_in_degrees(coordinate, role, limit=limit) for coordinate in _along(field, dim))


def _in_degrees(coordinate: xr.DataArray, role: str, *, limit: float) -> bool:
    if coordinate.size == 0 or not np.issubdtype(coordinate.dtype, np.number):
        return False
    standard_name = str(coordinate.attrs.get("standard_name", "")).lower()
    units = str(coordinate.attrs.get("units", "")).lower().replace(" ", "_")
    named = str(coordinate.name).lower() in _NAMES[role] and str(coordinate.name).lower().startswith("l")
    projected = standard_name and standard_name != {"y": "latitude", "x": "longitude"}[role]
    if projected or not (standard_name or units in _UNITS[role] or (named and units in _DEGREES)):
        return False
    return bool(np.nanmax(np.abs(coordinate.values)) <= limit + 180.0 * (role == "x"))


def _is_cftime(times: np.ndarray) -> bool:
    return times.dtype == object and times.size > 0 and hasattr(times.ravel()[0], "calendar")


def holds_dates(coordinate: xr.DataArray) -> bool:
    """Return whether a coordinate holds dates, of any calendar.

    Examples
    --------
    >>> holds_dates(xr.DataArray([np.datetime64("2001-01-17", "ns")])), holds_dates(xr.DataArray([20010117]))
    (True, False)
    """
    if np.issubdtype(coordinate.dtype, np.datetime64):
        return True
    return coordinate.dtype == object and _is_cftime(np.atleast_1d(coordinate.values))
