"""Dates of files without time that hold one map each: from a global attribute, or from the names of the files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from geogan.fields.written_dates import date_of_text, dates_in_names
from geogan.operators.errors import InputError

# Global attributes with the date of a map, in order of reliability.
_ATTRIBUTES = ("time_coverage_start", "start_time", "start_date", "time_coverage_end", "end_time", "date", "DATE")


def dates_of_files(paths: Sequence[str], attrs: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, str]:
    """Return a date for each of several files.

    Parameters
    ----------
    paths : sequence of str
    attrs : sequence of mapping
        Global attributes of each file.

    Returns
    -------
    dates : ndarray of datetime64[ns], shape (files,)
    sentence : str
        Sentence on where the dates come from.

    Raises
    ------
    InputError
        If neither attributes nor names give each file a different date.

    Examples
    --------
    >>> dates, sentence = dates_of_files(["A2001001.nc", "A2001032.nc"], [{}, {}])
    >>> dates.astype("M8[D]").tolist()
    [datetime.date(2001, 1, 1), datetime.date(2001, 2, 1)]
    >>> sentence
    '2 files have no time; their dates are those in their names (YYYYDDD), 2001-01-01 to 2001-02-01'
    """
    for name in _ATTRIBUTES:
        dates = [date_of_text(attributes.get(name)) for attributes in attrs]
        if all(date is not None for date in dates) and len(set(dates)) == len(dates):
            return _with_sentence(dates, f"of the global attribute {name}")
    named = dates_in_names([PurePosixPath(path.rstrip("/").replace("\\", "/")).name for path in paths])
    if named is not None:
        return _with_sentence(named[0], f"in their names ({named[1]})")
    raise InputError(
        f"{paths[0]} has no time, so {len(paths)} files cannot be put in order: neither the global attribute "
        "time_coverage_start nor their names (one date such as 20010117, 2001-01-17 or 2001017 in each) give each file "
        "a date of its own; give one file, or add a time with dataset.expand_dims(time=[date])"
    )


def _with_sentence(dates: Sequence[Any], where: str) -> tuple[np.ndarray, str]:
    """Return dates as an array, and the sentence on where they come from."""
    array = np.array(dates, "datetime64[ns]")
    first, last = (
        str(date.astype("M8[s]")).replace("T", " ").removesuffix(" 00:00:00") for date in np.sort(array)[[0, -1]]
    )
    return array, f"{len(array)} files have no time; their dates are those {where}, {first} to {last}"
