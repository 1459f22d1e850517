"""Select one date and one band of a field."""

from typing import Any

import numpy as np

from geogan.fields.captions import display_name, format_date, is_image
from geogan.fields.field import Field
from geogan.operators.choices import matching, suggestion
from geogan.operators.errors import InputError

# Dates among which the default date is chosen; reading more of a long archive takes too long.
_CANDIDATES = 20


def select_date(field: Field, date: str | float | np.datetime64 | None = None) -> Field:
    """Return the map of one date, or one sample.

    Parameters
    ----------
    field : Field
    date : str, float or datetime64, optional
        The nearest date is selected; for samples, their number, counted from 0. By default, of up to twenty dates,
        the one whose observed share is nearest to one half.

    Returns
    -------
    field : Field
        Without time.

    Raises
    ------
    InputError
        If the date cannot be read, lies outside the record, or the field has no time.

    Examples
    --------
    >>> from geogan.fields.synthetic import synthetic_sst
    >>> select_date(Field.of(synthetic_sst(days=4, size=24)["sst"]), "2015-01-03").array.time.dt.day.item()
    3
    """
    if field.axes.time is None:
        if date is not None:
            raise InputError(f"date {date} cannot be selected: the field is a single map; leave date out")
        return field
    return _entry(field, _half_observed(field, field) if date is None else _nearest(field, date))


def select_band(field: Field, band: str | int | None = None, *, like: Field | None = None) -> Field:
    """Return one band of a field; a field without bands as it is.

    Parameters
    ----------
    field : Field
    band : str or int, optional
        Name of the band, or its number, counted from 0. By default red, green and blue together, or the first
        of other bands.
    like : Field, optional
        Field that names the bands, if this one does not.

    Returns
    -------
    field : Field
        Without bands, or of red, green and blue.

    Raises
    ------
    InputError
        If there is no such band.

    Examples
    --------
    >>> import xarray as xr
    >>> optics = xr.DataArray(np.zeros((2, 3, 4)), dims=("band", "y", "x"), coords={"band": ["red", "nir"]})
    >>> [select_band(Field.of(optics), band).array.band.item() for band in ("nir", None)]
    ['nir', 'red']
    """
    array, axes = field.array, field.axes
    if axes.band is None:
        if band is not None:
            raise InputError(f"band {band} cannot be selected: the field has no bands; leave band out")
        return field
    if band is None and _is_rgb(field if like is None else like):
        return field
    band = 0 if band is None else band
    names, count = field.band_names, field.bands
    name = matching(band, names)
    # Python refuses to convert very long digit strings, and no field has 10**9 bands.
    number = int(band) if str(band).isascii() and str(band).isdecimal() and len(str(band)) < 10 else count
    index = number if name is None else list(names).index(name)
    if index < count:
        title = {"long_name": f"{display_name(array)}, {names[index]}"} if names else {}
        return Field(array.isel({axes.band: index}).assign_attrs(title), axes._replace(band=None))
    known = f"{', '.join(names)}, or " if names else ""
    raise InputError(
        f"band must be {known}a number from 0 to {count - 1}, got {band!r}; choose one of them{suggestion(band, names)}"
    )


def select_common_date(fields: dict[str, Field], date: str | float | np.datetime64 | None) -> dict[str, Field]:
    """Return the map of one date of each field.

    Parameters
    ----------
    fields : dict of Field
        By name; ``filled`` and ``observed`` must be there. The date is one of ``filled``.
    date : str, float or datetime64, optional
        As in :func:`select_date`.

    Raises
    ------
    InputError
        If a field has no map of that date.
    """
    filled, observed = fields["filled"], fields["observed"]
    dim, time = filled.axes.time, None
    if dim is None:
        if date is not None:
            raise InputError(f"date {date} cannot be selected: filled is a single map; leave date out")
    elif date is not None:
        time = filled.array[dim].values[_nearest(filled, date)]
    else:
        has_same_dates = observed.axes.time == dim and observed.shape[0] == filled.shape[0]
        time = filled.array[dim].values[_half_observed(observed, filled) if has_same_dates else 0]
    return {name: _map_at(field, time, name) for name, field in fields.items()}


def _map_at(field: Field, time: Any, name: str) -> Field:
    """Return the map of exactly one time; a field without time is returned as it is."""
    if field.axes.time is None:
        return field
    if time is None:
        if field.shape[0] == 1:
            return _entry(field, 0)
        raise InputError(f"{name} has many dates and filled has none; select one date of {name} first")
    index = np.flatnonzero(field.array[field.axes.time].values == time)
    if not index.size:
        raise InputError(f"{name} has no map of {format_date(time)}, which filled has; select common dates")
    return _entry(field, int(index[0]))


def _entry(field: Field, index: int) -> Field:
    """Return the map at an index; a sample keeps its number as a coordinate."""
    axes = field.axes
    entry = field.array.isel({axes.time: index})
    if axes.independent and axes.time not in entry.coords:
        entry = entry.assign_coords({axes.time: index})
    return Field(entry, axes._replace(time=None, independent=False))


def _half_observed(observed: Field, filled: Field) -> int:
    """Return the index of the date, of up to twenty, whose observed share is nearest to one half."""
    time = filled.axes.time
    candidates = np.unique(np.linspace(0, filled.shape[0] - 1, _CANDIDATES).round().astype(int))
    seen = observed.array.isel({time: candidates}).notnull()
    counts = seen.sum([dim for dim in filled.array.dims if dim != time]).values
    if filled is observed:
        complete = max(int(counts.max()), 1)
    else:
        complete = max(int(filled.array.isel({time: int(candidates[0])}).notnull().sum()), 1)
    return int(candidates[np.argmin(np.abs(counts / complete - 0.5))])


def _nearest(field: Field, date: str | float | np.datetime64) -> int:
    """Return the index of the nearest date, within the record plus one time step; or the number of a sample."""
    times = field.array[field.axes.time].values
    if field.axes.independent:
        if str(date).isdecimal() and int(str(date)) < len(times):
            return int(str(date))
        raise InputError(
            f"date must be the number of a sample, 0 to {len(times) - 1}, got {date!r}; choose one of them"
        )
    try:
        distance = _distances(times, date)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"date must be one of the record's, {format_date(times[0])} to {format_date(times[-1])}, got {date!r}; "
            "write it as 2015-01-31"
        ) from error
    index, ordered = int(np.argmin(distance)), np.sort(times)
    largest_step = _as_days(np.max(np.diff(ordered))) if times.size > 1 else 1.0
    if not distance[index] <= largest_step:
        raise InputError(
            f"date must lie within {format_date(ordered[0])} to {format_date(ordered[-1])}, got {date}; choose another"
        )
    return index


def _distances(times: np.ndarray, date: Any) -> np.ndarray:
    """Return the distance of each time from a date: in days, or in the unit of numbers that are no dates."""
    if np.issubdtype(times.dtype, np.datetime64):
        return np.abs((times - np.datetime64(date)) / np.timedelta64(1, "D"))
    if times.dtype == object:
        year, month, day = (int(part) for part in str(date)[:10].split("-"))
        target = type(times[0])(year, month, day)
        return np.array([abs(_as_days(time - target)) for time in times])
    return np.abs(times - float(date))


def _as_days(step: Any) -> float:
    """Return a time step in days; a number that is no duration as it is."""
    if isinstance(step, np.timedelta64):
        return float(step / np.timedelta64(1, "D"))
    return step.total_seconds() / 86400 if hasattr(step, "total_seconds") else float(step)


def _is_rgb(field: Field) -> bool:
    """Return whether the bands are red, green and blue, by their names or because an image has three."""
    band = field.axes.band
    if band is None or field.bands != 3:
        return False
    names = tuple(name.lower() for name in field.band_names)
    return names in (("red", "green", "blue"), ("r", "g", "b")) or is_image(field.array) or band.lower() == "rgb"
