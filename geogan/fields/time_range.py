"""Select the dates of a field between two dates, and name its first and last."""

import re
from datetime import timedelta
from typing import Any

import numpy as np
import xarray as xr

from geogan.fields.field import Field
from geogan.fields.measured import file_label
from geogan.operators.errors import InputError

LAST = "last"
"""Selects the last date of a field."""
_UNITS = {"min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_BEFORE_THE_LAST = re.compile(rf"-([1-9]\d{{0,5}})({'|'.join(_UNITS)})")


def is_relative(time: str) -> bool:
    """Return whether a selection depends on the last date of a field: ``"last"`` or a duration such as ``"-7d"``."""
    return time.strip() == LAST or _BEFORE_THE_LAST.fullmatch(time.strip()) is not None


def select_time(field: Field, time: str) -> Field:
    """Return the part of a field between two dates, both included.

    Parameters
    ----------
    field : Field
        Without a known error of each observation.
    time : str
        As in `geogan.io.open_field`.

    Returns
    -------
    field : Field
        With fewer dates.

    Raises
    ------
    InputError
        If the field has no dates, the text is not a date, or the selection is empty.

    Examples
    --------
    >>> days = np.arange("2001-01-30", "2001-02-03", dtype="datetime64[D]").astype("datetime64[ns]")
    >>> field = Field.of(xr.DataArray(np.zeros((4, 3, 2)), dims=("time", "y", "x"), coords={"time": days}))
    >>> select_time(field, "2001-02").shape[0], select_time(field, "/2001-01-30").shape[0]
    (2, 1)
    >>> select_time(field, "last").shape[0], select_time(field, "-3d").shape[0]
    (1, 3)
    """
    label, index = file_label(field.array), _dates(field)
    if index is None:
        raise InputError(f"time {time!r} cannot be selected, since {label} has no dates; leave time out")
    keep = _kept(index, time.strip())
    if not keep.any():
        span = f"{shown_date(index.min())} to {shown_date(index.max())}"
        raise InputError(f"time {time!r} selects nothing of {label}, whose dates go from {span}; choose among them")
    first, last = np.flatnonzero(keep)[[0, -1]]
    is_contiguous = keep[first : last + 1].all()
    # A slice keeps the chunks; unsorted dates need an index.
    chosen = slice(first, last + 1) if is_contiguous else np.flatnonzero(keep)
    return field.with_array(field.array.isel({field.axes.time: chosen}))


def _kept(index: Any, time: str) -> np.ndarray:
    """Return which dates of an index a text selects.

    Raises
    ------
    InputError
        If the text is not understood.
    """
    before = _BEFORE_THE_LAST.fullmatch(time)
    try:
        if time == LAST:
            return np.asarray(index == index.max())
        if before:
            return np.asarray(index > index.max() - timedelta(**{_UNITS[before[2]]: int(before[1])}))
        start, slash, stop = (part.strip() for part in time.partition("/"))
        part = index.sort_values().slice_indexer(start or None, (stop or None) if slash else start)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(
            f"time {time!r} is not understood; write a year, a date such as 2001-07-14, two of them such as "
            "2001-01-01/2002-12-31, last for the last date, or -7d for the last seven days"
        ) from error
    return np.asarray(index.isin(index.sort_values()[part]))


def span_of(field: Field) -> str | None:
    """Return the first and last date of a field in the form of :func:`select_time`; None if it has no dates.

    Examples
    --------
    >>> days = np.arange("2001-01-30", "2001-02-03", dtype="datetime64[D]").astype("datetime64[ns]")
    >>> span_of(Field.of(xr.DataArray(np.zeros((4, 3, 2)), dims=("time", "y", "x"), coords={"time": days})))
    '2001-01-30T00:00:00/2001-02-02T00:00:00'
    """
    index = _dates(field)
    return None if index is None else f"{index.min().isoformat()}/{index.max().isoformat()}"


def _dates(field: Field) -> Any:
    """Return the index of the dates of a field; None if it has no dates."""
    time = field.axes.time
    index = field.array.indexes.get(time) if time else None
    has_dates = index is not None and (np.issubdtype(index.dtype, np.datetime64) or isinstance(index, xr.CFTimeIndex))
    return index if has_dates else None


def shown_date(time: Any) -> str:
    """Return a time as text for messages, without the hour if it is midnight."""
    text = str(time)
    return text.removesuffix(" 00:00:00").removesuffix("T00:00:00.000000000")
