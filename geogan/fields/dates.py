"""Dates of a field: in days, as day of the year, and as the index of its time dimension."""

import numpy as np
import xarray as xr

from geogan.fields.axes import Axes, coordinates_along, label_of, role_of
from geogan.fields.written_dates import decode, holds_dates, is_cftime
from geogan.operators.errors import InputError

YEAR = 365.2425  # days
_EPOCH = np.datetime64("1970-01-01")
# Days between two independent samples: longer than the memory of any operator or prior.
_SAMPLE_DISTANCE = 1e6


def days(array: xr.DataArray, axes: Axes) -> np.ndarray:
    """Return the times of a field in days.

    Parameters
    ----------
    array : DataArray, shape ([time,] [band,] y, x)
    axes : Axes

    Returns
    -------
    days : ndarray of float64, shape (T,)
        Days since 1970-01-01, in the calendar of the field. Numbers or text that are written dates (20010117,
        ``2001-01-17_12:00:00``) are decoded; other numbers are taken as days. Without a time coordinate: 0, 1, ...,
        T-1; without a time dimension: one 0. Independent samples are 1e6 days apart, so that no correlation in time
        connects them.

    Raises
    ------
    InputError
        If a time is missing (NaT, NaN) or is neither a date nor a number.

    Examples
    --------
    >>> times = np.array(["1970-01-02", "1970-01-03T12"], dtype="datetime64[ns]")
    >>> array = xr.DataArray(np.zeros((2, 3, 2)), dims=("time", "y", "x"), coords={"time": times})
    >>> days(array, Axes("time", "y", "x")).tolist()
    [1.0, 2.5]
    """
    if axes.time is None:
        return np.zeros(1)
    if axes.independent:
        return np.arange(array.sizes[axes.time]) * _SAMPLE_DISTANCE
    times = _times(array, axes)
    if times is None:
        return np.arange(array.sizes[axes.time], dtype=np.float64)
    if np.issubdtype(times.dtype, np.datetime64):
        if np.isnat(times).any():
            raise InputError(f"{label_of(array)} has missing times along {axes.time!r}; drop them, then run again")
        return (times - _EPOCH) / np.timedelta64(1, "D")
    if is_cftime(times):
        import cftime

        return np.asarray(cftime.date2num(times, "days since 1970-01-01"), dtype=np.float64)
    if np.issubdtype(times.dtype, np.timedelta64):
        return times / np.timedelta64(1, "D")
    if not np.issubdtype(times.dtype, np.number):
        raise InputError(
            f"{label_of(array)} has times of type {times.dtype} along {axes.time!r}, where dates or days "
            "are expected; convert them, for example with xarray.decode_cf"
        )
    if not np.isfinite(times).all():
        raise InputError(f"{label_of(array)} has missing times along {axes.time!r}; drop them, then run again")
    return times.astype(np.float64)


def day_of_year(array: xr.DataArray, axes: Axes) -> np.ndarray | None:
    """Return the days since the start of the year; None if times are not dates, or the entries are samples.

    Returns
    -------
    day_of_year : ndarray of float64, shape (T,), or None
        0 at midnight on 1 January; the hour is the fraction. Counted in the calendar of the field.

    Examples
    --------
    >>> times = np.array(["2001-01-01T12", "2001-02-01"], dtype="datetime64[ns]")
    >>> array = xr.DataArray(np.zeros((2, 3, 2)), dims=("time", "y", "x"), coords={"time": times})
    >>> day_of_year(array, Axes("time", "y", "x")).tolist()
    [0.5, 31.0]
    """
    times = None if axes.independent else _times(array, axes)
    if times is None:
        return None
    if np.issubdtype(times.dtype, np.datetime64):
        return (times - times.astype("datetime64[Y]")) / np.timedelta64(1, "D")
    if is_cftime(times):
        hours = [(t.hour + (t.minute + t.second / 60) / 60) / 24 for t in times]
        return np.array([t.dayofyr - 1 for t in times], dtype=np.float64) + np.array(hours)
    return None


def calendar_of(array: xr.DataArray, axes: Axes) -> str | None:
    """Return the CF calendar of a field's dates (``standard``, ``noleap``, ``360_day`` ...); None without dates.

    Examples
    --------
    >>> times = np.array(["1970-01-02", "1970-01-03"], dtype="datetime64[ns]")
    >>> array = xr.DataArray(np.zeros((2, 3, 2)), dims=("time", "y", "x"), coords={"time": times})
    >>> calendar_of(array, Axes("time", "y", "x"))
    'standard'
    """
    times = None if axes.independent else _times(array, axes)
    if times is None or times.size == 0:
        return None
    if np.issubdtype(times.dtype, np.datetime64):
        return "standard"
    if not is_cftime(times):
        return None
    name = str(times.ravel()[0].calendar).lower()
    synonyms = {"gregorian": "standard", "proleptic_gregorian": "standard", "365_day": "noleap", "366_day": "all_leap"}
    return synonyms.get(name, name)


def dated(array: xr.DataArray, axes: Axes) -> xr.DataArray:
    """Return a field whose dates index its time dimension.

    Dates written as numbers or text are decoded, also those of a scalar time coordinate. Dates in a coordinate that
    has another name than the time dimension become the index.

    Parameters
    ----------
    array : DataArray, shape ([time,] [band,] y, x)
    axes : Axes

    Returns
    -------
    array : DataArray
        The same object if its times are decoded dates already, or plain numbers.

    Raises
    ------
    InputError
        If the units of a time coordinate describe dates and one of its values is not a date.

    Examples
    --------
    >>> coords = {"yyyymmdd": ("step", [20010131, 20010201])}
    >>> array = xr.DataArray(np.zeros((2, 3, 2)), dims=("step", "y", "x"), coords=coords)
    >>> dated(array, Axes("step", "y", "x")).step.dt.day.values.tolist()
    [31, 1]
    """
    if axes.independent:
        return array
    if axes.time is None:
        scalars = {
            name: _decoded(coordinate)
            for name, coordinate in array.coords.items()
            if coordinate.ndim == 0 and _is_time(coordinate) and not holds_dates(coordinate)
        }
        return array.assign_coords({name: dates for name, dates in scalars.items() if dates is not None})
    along = coordinates_along(array, axes.time)
    if along and holds_dates(along[0]) and along[0].name == axes.time:
        return array
    # Decoded dates take precedence over written ones, and the dimension's own coordinate over others.
    for coordinate in along:
        if holds_dates(coordinate):
            dates: xr.Variable | None = coordinate.variable.copy()
        else:
            dates = _decoded(coordinate)
        if dates is not None and (axes.time not in array.coords or coordinate.name == axes.time):
            return array.assign_coords({axes.time: dates})
    return array


def _times(array: xr.DataArray, axes: Axes) -> np.ndarray | None:
    """Return times as dates if a coordinate along time holds dates, else its numbers, else None."""
    if axes.time is None:
        scalars = [coordinate for coordinate in array.coords.values() if coordinate.ndim == 0]
        for coordinate in scalars:
            if holds_dates(coordinate):
                return np.atleast_1d(coordinate.values)
        decoded = [_decoded(coordinate) for coordinate in scalars if _is_time(coordinate)]
        return next((np.atleast_1d(dates.values) for dates in decoded if dates is not None), None)
    along = coordinates_along(array, axes.time)
    for coordinate in along:
        if holds_dates(coordinate):
            return coordinate.values
    for coordinate in along:
        dates = _decoded(coordinate)
        if dates is not None:
            return dates.values
    return along[0].values if along else None


def _decoded(coordinate: xr.DataArray) -> xr.Variable | None:
    """Return the dates that a coordinate has written as numbers or text; None if it has none."""
    attrs = {name: value for name, value in coordinate.attrs.items() if name not in ("units", "calendar")}
    encoding = {name: str(coordinate.attrs.get(name, "")) for name in ("units", "calendar")}
    dates = decode(coordinate.values, name=f"coordinate {str(coordinate.name)!r}", **encoding)
    if dates is None:
        return None
    return xr.Variable(coordinate.dims, dates.reshape(coordinate.shape), {"standard_name": "time"} | attrs)


def _is_time(coordinate: xr.DataArray) -> bool:
    """Return whether the attributes or the name of a coordinate mark it as a time."""
    return role_of(coordinate) == "time" or "time" in str(coordinate.name).lower()
