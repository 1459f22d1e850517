"""Read dates written as numbers or text: 20010117, 2001011712, CDO's "day as %Y%m%d.%f", 2001-01-17_12:00:00."""

from __future__ import annotations

import calendar as calendars
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from geogan.operators.errors import InputError

# Number of digits of a date written as one number, by its last part.
_YEAR, _MONTH, _DAY, _HOUR, _MINUTE, _SECOND = 4, 6, 8, 10, 12, 14
# Numbers without units are read as dates only between these years; counts of days or seconds are rarely in that range.
_FIRST_YEAR, _LAST_YEAR = 1850, 2199
# Units that do not say how numbers are to be read.
_NO_UNITS = ("", "1", "-", "none", "date", "dates", "time", "day", "days", "d", "unitless", "dimensionless")
_STANDARD = ("", "standard", "gregorian", "proleptic_gregorian", "none")
_TEXT = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?:[T _-]?(\d\d)(?::?(\d\d)(?::?(\d\d)(?:\.\d+)?)?)?)?\s*(?:Z|UTC|GMT)?")
# Year and day of the year, as NASA ocean colour files have them: 2001032003000123. (_TEXT also matches GHRSST's
# "20010117 120000.000000 UTC".)
_DAY_OF_YEAR = re.compile(r"(\d{4})(\d{3})(?:(\d\d)(\d\d)(\d\d)\d*)?")


def decode(values: np.ndarray, *, units: str = "", calendar: str = "", name: str = "time") -> np.ndarray | None:
    """Read an array of dates written as numbers or text.

    Parameters
    ----------
    values : ndarray of numbers or text, shape (T,)
    units : str
        A layout such as ``YYYYMMDD`` (also with hours, minutes and seconds, or without the day), or CDO's ``day as
        %Y%m%d.%f``, where the fraction is a fraction of the day. Numbers without units are dates if all of them are
        whole and valid dates between 1850 and 2199; numbers of eight digits may have a fraction of the day.
    calendar : str
        A CF calendar; empty for the standard one.
    name : str
        Name of the values in error messages.

    Returns
    -------
    dates : ndarray of datetime64[ns] or of cftime.datetime, or None
        None if the values are not dates.

    Raises
    ------
    InputError
        If the units are a layout of dates and a number is not a valid date, or if single precision has rounded them.

    Examples
    --------
    >>> decode(np.array([20010131, 20010201])).astype("M8[D]").tolist()
    [datetime.date(2001, 1, 31), datetime.date(2001, 2, 1)]
    >>> str(decode(np.array([20010131.5]), units="day as %Y%m%d.%f")[0])
    '2001-01-31T12:00:00.000000000'
    >>> decode(np.array([0.0, 1.0])) is None
    True
    """
    values = np.atleast_1d(np.asarray(values))
    if values.dtype.kind in "SUO":
        return _from_text(values)
    if values.dtype.kind not in "iuf" or values.size == 0:
        return None
    digits = _digits(units)
    has_layout = digits is not None
    if digits is None and units.strip().lower() not in _NO_UNITS:
        return None
    if digits is None:
        digits = _guessed_digits(values)
    if digits is None:
        return None
    if values.dtype.kind == "f" and values.dtype.itemsize < 8 and digits > _MONTH:
        raise InputError(
            f"{name} holds dates such as {values.ravel()[0]:.0f} in the type {values.dtype}, which rounds them to "
            "other days; write them as integers or in double precision"
        )
    if not np.isfinite(values).all():
        if not has_layout:
            return None
        raise InputError(f"{name} has missing dates, where each map needs one; add them, or leave out those maps")
    is_standard = calendar.strip().lower() in _STANDARD
    dates = [_date(number, digits, "" if is_standard else calendar) for number in values.ravel().tolist()]
    for number, date in zip(values.ravel().tolist(), dates):
        if date is None and not has_layout:
            return None
        if date is None:
            raise InputError(
                f"{name} has the units {units!r}, but {number:.15g} is not such a date; correct it, or give times in "
                "units such as 'days since 1970-01-01'"
            )
    if is_standard:
        return _array(dates).reshape(values.shape)
    return np.array(dates, object).reshape(values.shape)


def holds_dates(coordinate: xr.DataArray) -> bool:
    """Return whether a coordinate holds decoded dates, in any calendar.

    Examples
    --------
    >>> holds_dates(xr.DataArray([np.datetime64("2001-01-17", "ns")])), holds_dates(xr.DataArray([20010117]))
    (True, False)
    """
    if np.issubdtype(coordinate.dtype, np.datetime64):
        return True
    return coordinate.dtype == object and is_cftime(np.atleast_1d(coordinate.values))


def is_cftime(times: np.ndarray) -> bool:
    """Return whether an array holds `cftime` dates."""
    return times.dtype == object and times.size > 0 and hasattr(times.ravel()[0], "calendar")


def date_of_text(text: Any) -> np.datetime64 | None:
    """Read a date in a layout of global attributes; return None if the text is not a date.

    Examples
    --------
    >>> str(date_of_text("2001-01-01T00:30:00.000Z")), str(date_of_text("20010101T003000Z"))
    ('2001-01-01T00:30:00', '2001-01-01T00:30:00')
    >>> str(date_of_text("2001032003000123")), date_of_text("daily")
    ('2001-02-01T00:30:00', None)
    """
    text = str(text).strip()
    match = _TEXT.fullmatch(re.sub(r"[+-]00:?00$", "Z", text))
    if match:
        parts = [int(part or 0) for part in match.groups()]
        return _datetime(*parts)
    match = _DAY_OF_YEAR.fullmatch(text)
    if match and 1 <= int(match[2]) <= 366:
        year, day = int(match[1]), int(match[2])
        start = _datetime(year, 1, 1, *(int(part or 0) for part in match.groups()[2:]))
        if start is not None and day <= 365 + calendars.isleap(year):
            return start + np.timedelta64(day - 1, "D")
    return None


def dates_in_names(names: Sequence[str]) -> tuple[list[np.datetime64], str] | None:
    """Read one date from each of several file names.

    Parameters
    ----------
    names : sequence of str
        File names without folders.

    Returns
    -------
    dates : list of datetime64
    layout : str
        Layout of the dates, such as ``YYYYMMDD``.

    The result is None unless exactly one layout gives every name a date of its own.

    Examples
    --------
    >>> dates, layout = dates_in_names(["A2001001.L3m.nc", "A2001002.L3m.nc"])
    >>> [str(date)[:10] for date in dates], layout
    (['2001-01-01', '2001-01-02'], 'YYYYDDD')
    >>> dates_in_names(["a.nc", "b.nc"]) is None
    True
    """
    readings = [_dates_in(name) for name in names]
    common = [key for key in readings[0] if all(key in reading for reading in readings)]
    usable = {key: [reading[key] for reading in readings] for key in common}
    usable = {key: dates for key, dates in usable.items() if len(set(dates)) == len(dates)}
    for layout, position in list(usable):
        # A time marked by T or Z belongs to the day before it. Unmarked digits count as a time only if days repeat.
        if layout == "YYYYMMDDTHHMM":
            usable.pop(("YYYYMMDD", position), None)
        elif layout == "YYYYMMDD":
            usable.pop(("YYYYMMDD_HHMM", position), None)
    if not usable:
        return None
    (layout, _), dates = next(iter(usable.items()))
    # A name may hold the first and the last day of a period; both have the same time steps.
    if any(len(set((np.array(other) - np.array(dates)).tolist())) > 1 for other in usable.values()):
        return None
    return dates, layout


def _digits(units: str) -> int | None:
    """Return the number of digits of the layout of dates that units describe, or None."""
    text = units.strip().lower()
    match = re.match(r"(year|month|day)s? as %y(%m)?(%d)?", text)
    if match:
        return {"year": _YEAR, "month": _MONTH, "day": _DAY}[match[1]]
    if " since " in text:
        return None
    plain = re.sub(r"[^a-z%]", "", text).replace("%", "")
    layouts = {
        "yyyymm": _MONTH,
        "yyyymmdd": _DAY,
        "yyyymmddhh": _HOUR,
        "yyyymmddhhmm": _MINUTE,
        "yyyymmddhhmmss": _SECOND,
    }
    # "date (YYYYMMDD)", "%Y%m%d", "yyyymmdd.f"
    return layouts.get(plain.removeprefix("date").removesuffix("f")) or {
        "ymd": _DAY,
        "ym": _MONTH,
        "ymdh": _HOUR,
    }.get(plain)


def _guessed_digits(values: np.ndarray) -> int | None:
    """Return the number of digits if all numbers have the same and begin with a plausible year, else None."""
    low, high = float(values.min()), float(values.max())
    for digits in (_MONTH, _DAY, _HOUR, _MINUTE, _SECOND):
        unit = 10.0 ** (digits - 4)
        if _FIRST_YEAR * unit <= low and high < (_LAST_YEAR + 1) * unit:
            is_whole = bool((values == np.floor(values)).all())
            return digits if is_whole or digits == _DAY else None
    return None


def _date(number: float, digits: int, calendar: str) -> Any:
    """Return a date as datetime64, or as cftime.datetime in another calendar; None if the number is not a date."""
    whole = int(np.floor(number))
    fraction = number - whole
    text = str(whole).zfill(digits)
    if len(text) != digits:
        return None
    parts = [int(text[:4]), *(int(text[start : start + 2]) for start in range(4, digits, 2))]
    parts += [1] * (3 - len(parts)) + [0] * (6 - max(3, len(parts)))
    if fraction and digits > _DAY:
        return None
    if calendar:
        return _cftime(calendar, parts, fraction, digits)
    start = _datetime(*parts)
    if start is None or not fraction:
        return start
    if digits == _DAY:
        length = 1
    elif digits == _MONTH:
        length = calendars.monthrange(parts[0], parts[1])[1]
    else:
        length = 365 + calendars.isleap(parts[0])
    return start + np.timedelta64(round(fraction * length * 86400), "s")


def _datetime(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> Any:
    """Return a datetime64 in seconds, or None if the parts are not a valid date and time."""
    if not (1 <= month <= 12 and 1 <= year <= 9999 and 1 <= day <= calendars.monthrange(year, month)[1]):
        return None
    # ISO 8601 allows 24:00:00, midnight at the end of a day.
    if not (0 <= hour <= 24 and 0 <= minute < 60 and 0 <= second <= 60) or (hour == 24 and minute + second):
        return None
    start = np.datetime64(f"{year:04d}-{month:02d}-{day:02d}", "s")
    return start + np.timedelta64(3600 * hour + 60 * minute + second, "s")


def _cftime(calendar: str, parts: list[int], fraction: float, digits: int) -> Any:
    """Return a date of a CF calendar plus a fraction of its last part, or None if it is not valid."""
    import datetime

    import cftime

    try:
        start = cftime.datetime(*parts, calendar=calendar)
    except ValueError:
        return None
    length = {_DAY: 1, _MONTH: start.daysinmonth, _YEAR: 365}.get(digits, 1)
    return start + datetime.timedelta(seconds=round(fraction * length * 86400))


def _array(dates: Sequence[np.datetime64]) -> np.ndarray:
    """Return dates in nanoseconds, or in seconds if one of them is out of the range of nanoseconds."""
    seconds = np.array(dates, "datetime64[s]")
    limits = np.array(["1678-01-01", "2262-01-01"], "datetime64[s]")
    return seconds.astype("datetime64[ns]") if ((seconds > limits[0]) & (seconds < limits[1])).all() else seconds


def _from_text(values: np.ndarray) -> np.ndarray | None:
    """Return the dates of an array of text, or None if one of them is not a date."""
    dates = []
    for value in values.ravel().tolist():
        text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
        match = _TEXT.fullmatch(text.strip()) if isinstance(text, str) else None
        date = None if match is None else _datetime(*(int(part or 0) for part in match.groups()))
        if date is None:
            return None
        dates.append(date)
    return _array(dates).reshape(values.shape) if dates else None


def _dates_in(name: str) -> dict[tuple[str, int], np.datetime64]:
    """Return all dates in a file name, by layout and by position among the dates of that layout."""
    dates: dict[tuple[str, int], np.datetime64] = {}

    def add(layout: str, date: Any) -> None:
        year = None if date is None else int(str(date)[:4])
        if year is not None and _FIRST_YEAR <= year <= _LAST_YEAR:
            position = sum(1 for key in dates if key[0] == layout)
            dates[layout, position] = date

    for match in re.finditer(r"(?<!\d)(\d{4})([-_.])(\d\d)\2(\d\d)(?!\d)", name):
        add(f"YYYY{match[2]}MM{match[2]}DD", _date_of_digits(match[1] + match[3] + match[4]))
    for match in re.finditer(r"(?<!\d)(\d{4})([-_.])(\d{3})(?!\d)", name):
        add(f"YYYY{match[2]}DDD", date_of_text(match[1] + match[3]))
    for match in re.finditer(r"(?<!\d)(\d{4})([-_])(\d\d)(?!\d)(?!\2\d\d(?!\d))", name):
        add(f"YYYY{match[2]}MM", _date_of_digits(match[1] + match[3]))
    for match in re.finditer(r"(?<!\d)\d+(?!\d)", name):
        text = match[0]
        if len(text) == _DAY:
            date, clock = _date_of_digits(text), re.match(r"([T_-]?)(\d{6}|\d{4})(Z?)(?!\d)", name[match.end() :])
            add("YYYYMMDD", date)
            if date is not None and clock:
                add(
                    "YYYYMMDDTHHMM" if "T" in clock[1] or clock[3] else "YYYYMMDD_HHMM",
                    _date_of_digits(text + clock[2]),
                )
        elif len(text) in (_MONTH, _HOUR, _MINUTE, _SECOND):
            add("YYYYMMDDHHMMSS"[: len(text)], _date_of_digits(text))
        if len(text) in (7, 14):
            add("YYYYDDD", date_of_text(text[:7]))
        if len(text) == 16:
            add("YYYYMMDD", _date_of_digits(text[:8]))
    return dates


def _date_of_digits(text: str) -> Any:
    """Return the date that digits stand for, year first; None if it is not valid."""
    text = text + "01" if len(text) == _MONTH else text
    return _datetime(int(text[:4]), *(int(text[start : start + 2]) for start in range(4, len(text), 2)))
