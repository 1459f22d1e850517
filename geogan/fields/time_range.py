"""Select the dates of a field between two dates, and name its first and last."""

from typing import Any

import numpy as np
import xarray as xr

from geogan.fields.field import Field
from geogan.fields.measured import file_label
from geogan.operators.errors import InputError


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
    """
    label, index = file_label(field.array), _dates(field)
    if index is None:
        raise InputError(f"time {time!r} cannot be selected, since {label} has no dates; leave time out")
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
        raise InputError(f"time {time!r} selects nothing of {label}, whose dates go from {span}; choose among them")
    first, last = np.flatnonzero(keep)[[0, -1]]
    is_contiguous = keep[first : last + 1].all()
    # A slice keeps the chunks; unsorted dates need an index.
    chosen = slice(first, last + 1) if is_contiguous else np.flatnonzero(keep)
    return field.with_array(field.array.isel({field.axes.time: chosen}))


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
