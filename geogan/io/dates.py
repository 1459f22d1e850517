"""Selection of the dates of a field."""

from typing import Any

import numpy as np
import xarray as xr

from geogan.fields.axes import find_axes
from geogan.io.measured import label_of
from geogan.operators.errors import InputError


def select_time(field: xr.DataArray, time: str) -> xr.DataArray:
    """Return the part of a field between two dates, both included.

    Parameters
    ----------
    field : DataArray, shape (time, y, x)
    time : str
        As in `open_field`.

    Returns
    -------
    field : DataArray, shape (fewer times, y, x)

    Raises
    ------
    InputError
        If the field has no dates, the text is not a date, or the selection is empty.

    Examples
    --------
    >>> days = np.arange("2001-01-30", "2001-02-03", dtype="datetime64[D]").astype("datetime64[ns]")
    >>> field = xr.DataArray(np.zeros((4, 3, 2)), dims=("time", "y", "x"), coords={"time": days})
    >>> select_time(field, "2001-02").sizes["time"], select_time(field, "/2001-01-30").sizes["time"]
    (2, 1)
    """
    axes, index = find_axes(field), _dates(field)
    if index is None:
        raise InputError(f"time {time!r} cannot be selected, since {label_of(field)} has no dates; leave time out")
    start, slash, stop = (part.strip() for part in time.partition("/"))
    try:
        part = index.sort_values().slice_indexer(start or None, (stop or None) if slash else start)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise InputError(
            f"time {time!r} is not understood; write a year, a date such as 2001-07-14, "
            "or two of them such as 2001-01-01/2002-12-31"
        ) from error
    keep = index.isin(index.sort_values()[part])
    if not keep.any():
        span = f"{shown_date(index.min())} to {shown_date(index.max())}"
        raise InputError(
            f"time {time!r} selects nothing of {label_of(field)}, whose dates go from {span}; choose among them"
        )
    first, last = np.flatnonzero(keep)[[0, -1]]
    is_contiguous = keep[first : last + 1].all()
    # A slice keeps the chunks; unsorted dates need an index.
    return field.isel({axes.time: slice(first, last + 1) if is_contiguous else np.flatnonzero(keep)})


def span_of(field: xr.DataArray) -> str | None:
    """Return the first and last date of a field in the form of :func:`select_time`; None if it has no dates.

    Examples
    --------
    >>> days = np.arange("2001-01-30", "2001-02-03", dtype="datetime64[D]").astype("datetime64[ns]")
    >>> span_of(xr.DataArray(np.zeros((4, 3, 2)), dims=("time", "y", "x"), coords={"time": days}))
    '2001-01-30T00:00:00/2001-02-02T00:00:00'
    """
    index = _dates(field)
    return None if index is None else f"{index.min().isoformat()}/{index.max().isoformat()}"


def _dates(field: xr.DataArray) -> Any:
    """Return the index of the dates of a field; None if it has no dates."""
    time = find_axes(field).time
    index = field.indexes.get(time) if time else None
    has_dates = index is not None and (np.issubdtype(index.dtype, np.datetime64) or isinstance(index, xr.CFTimeIndex))
    return index if has_dates else None


def shown_date(time: Any) -> str:
    """Return a time as text for messages, without the hour if it is midnight."""
    text = str(time)
    return text.removesuffix(" 00:00:00").removesuffix("T00:00:00.000000000")
