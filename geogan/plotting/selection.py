"""One date and one band of a field."""

from typing import Any

import numpy as np
import xarray as xr

from geogan.fields.axes import Axes, band_names, find_axes
from geogan.operators.choices import matching, suggestion
from geogan.operators.errors import InputError
from geogan.plotting.captions import is_image, name_of, written


def select_date(field: xr.DataArray, date: str | float | np.datetime64 | None = None) -> xr.DataArray:
    """One map of a field, or one sample.

    Parameters
    ----------
    field : DataArray, shape ([time,] [band,] y, x)
        NaN where unseen.
    date : str, float or datetime64, optional
        The map nearest to it; of samples the number, counted from 0; by default, of up to twenty, the one that is
        nearest to half observed.

    Returns
    -------
    field : DataArray, shape ([band,] y, x)

    Raises
    ------
    InputError
        If the date is none, lies outside the record, or is asked of a field without time.

    Examples
    --------
    >>> from geogan.fields.synthetic import synthetic_sst
    >>> select_date(synthetic_sst(days=4, size=24)["sst"], "2015-01-03").time.dt.day.item()
    3
    """
    axes = find_axes(field)
    if axes.time is None:
        if date is not None:
            raise InputError(f"date {date} cannot be selected: the field is a single map; leave date out")
        return field
    return _entry(field, axes, _half_observed(field, field) if date is None else _nearest(field, axes, date))


def select_band(
    field: xr.DataArray, band: str | int | None = None, *, like: xr.DataArray | None = None
) -> xr.DataArray:
    """One band of a field; itself where it has none.

    Parameters
    ----------
    field : DataArray, shape ([time,] [band,] y, x)
    band : str or int, optional
        Name of the band, or its number, counted from 0. By default all three of red, green and blue, or the first
        of other bands.
    like : DataArray, optional
        The field whose bands these are, where this one does not say their names itself.

    Returns
    -------
    field : DataArray, shape ([time,] y, x), or ([time,] band, y, x) of red, green and blue

    Raises
    ------
    InputError
        If there is no such band.

    Examples
    --------
    >>> optics = xr.DataArray(np.zeros((2, 3, 4)), dims=("band", "y", "x"), coords={"band": ["red", "nir"]})
    >>> select_band(optics, "nir").band.item(), select_band(optics).band.item()
    ('nir', 'red')
    """
    axes = find_axes(field)
    if axes.band is None:
        if band is not None:
            raise InputError(f"band {band} cannot be selected: the field has no bands; leave band out")
        return field
    if band is None and _in_colours(field if like is None else like):
        return field
    band = 0 if band is None else band
    names, count = band_names(field, axes), field.sizes[axes.band]
    meant = matching(band, names)
    # Longer numbers are none of a band, and Python refuses to read very long ones.
    number = int(band) if str(band).isascii() and str(band).isdecimal() and len(str(band)) < 10 else count
    index = number if meant is None else list(names).index(meant)
    if index < count:
        titled = {"long_name": f"{name_of(field)}, {names[index]}"} if names else {}
        return field.isel({axes.band: index}).assign_attrs(titled)
    known = f"{', '.join(names)}, or " if names else ""
    raise InputError(
        f"band must be {known}a number from 0 to {count - 1}, got {band!r}; choose one of them{suggestion(band, names)}"
    )


def select_same_date(
    observed: xr.DataArray,
    filled: xr.DataArray,
    truth: xr.DataArray | None,
    source: xr.DataArray | None,
    std: xr.DataArray | None,
    date: str | float | np.datetime64 | None,
) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray | None, xr.DataArray | None, xr.DataArray | None]:
    """One map of each, all of the same date."""
    axes = find_axes(filled)
    if axes.time is None:
        if date is not None:
            raise InputError(f"date {date} cannot be selected: filled is a single map; leave date out")
        wanted: Any = None
    elif date is not None:
        wanted = filled[axes.time].values[_nearest(filled, axes, date)]
    else:
        same = axes.time in observed.dims and observed.sizes[axes.time] == filled.sizes[axes.time]
        chosen = _half_observed(observed, filled) if same else 0
        wanted = filled[axes.time].values[chosen]

    def select(field: xr.DataArray | None, name: str) -> xr.DataArray | None:
        if field is None:
            return None
        own = find_axes(field)
        time = own.time
        if time is None:
            return field
        if wanted is None:
            if field.sizes[time] == 1:
                return field.isel({time: 0})
            raise InputError(f"{name} has many dates and filled has none; select one date of {name} first")
        where = np.flatnonzero(field[time].values == wanted)
        if not where.size:
            raise InputError(f"{name} has no map of {written(wanted)}, which filled has; select common dates")
        return _entry(field, own, int(where[0]))

    seen, full = select(observed, "observed"), select(filled, "filled")
    assert seen is not None and full is not None
    return seen, full, select(truth, "truth"), select(source, "source"), select(std, "std")


def _entry(field: xr.DataArray, axes: Axes, index: int) -> xr.DataArray:
    """One map, that of a sample with its number."""
    chosen = field.isel({axes.time: index})
    numbered = axes.independent and axes.time not in chosen.coords
    return chosen.assign_coords({axes.time: index}) if numbered else chosen


def _half_observed(observed: xr.DataArray, filled: xr.DataArray) -> int:
    """Index of the map, of up to twenty, that is nearest to half observed."""
    axes = find_axes(filled)
    candidates = np.unique(np.linspace(0, filled.sizes[axes.time] - 1, 20).round().astype(int))
    counts = observed.isel({axes.time: candidates}).notnull().sum([d for d in filled.dims if d != axes.time]).values
    if filled is observed:
        ever = max(int(counts.max()), 1)
    else:
        ever = max(int(filled.isel({axes.time: int(candidates[0])}).notnull().sum()), 1)
    return int(candidates[np.argmin(np.abs(counts / ever - 0.5))])


def _nearest(field: xr.DataArray, axes: Axes, date: str | float | np.datetime64) -> int:
    """Index of the map nearest to a date that lies within the record, give or take a step; a sample's number."""
    times = field[axes.time].values
    if axes.independent:
        if str(date).isdecimal() and int(str(date)) < len(times):
            return int(str(date))
        raise InputError(
            f"date must be the number of a sample, 0 to {len(times) - 1}, got {date!r}; choose one of them"
        )
    try:
        if np.issubdtype(times.dtype, np.datetime64):
            apart = np.abs((times - np.datetime64(date)) / np.timedelta64(1, "D"))  # type: ignore[arg-type]
        elif times.dtype == object:
            year, month, day = (int(part) for part in str(date)[:10].split("-"))
            wanted = type(times[0])(year, month, day)
            apart = np.array([abs((t - wanted).total_seconds()) / 86400 for t in times])
        else:
            apart = np.abs(times - float(date))
    except (ValueError, TypeError) as error:
        raise InputError(
            f"date must be one of the record's, {written(times[0])} to {written(times[-1])}, got {date!r}; "
            "write it as 2015-01-31"
        ) from error
    index = int(np.argmin(apart))
    order = np.sort(times)
    if times.size > 1:
        step = np.max(np.diff(order))
        step = step.total_seconds() / 86400 if hasattr(step, "total_seconds") else step
        step = step / np.timedelta64(1, "D") if isinstance(step, np.timedelta64) else step
    else:
        step = 1.0
    if not apart[index] <= float(step):
        raise InputError(
            f"date must lie within {written(order[0])} to {written(order[-1])}, got {date}; choose another"
        )
    return index


def _in_colours(field: xr.DataArray) -> bool:
    """Whether the bands are red, green and blue: by their names, or because it is an image of three."""
    axes = find_axes(field)
    if axes.band is None or field.sizes[axes.band] != 3:
        return False
    names = tuple(name.lower() for name in band_names(field, axes))
    return names in (("red", "green", "blue"), ("r", "g", "b")) or is_image(field) or axes.band.lower() == "rgb"
