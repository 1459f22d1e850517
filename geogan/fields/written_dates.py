"""Dates written as numbers or text: 20010117, 2001011712, CDO's "day as %Y%m%d.%f", 2001-01-17_12:00:00."""

from __future__ import annotations

import calendar as calendars
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from geogan.operators.errors import InputError

# Digits of each way to write a date as one number.
_YEAR, _MONTH, _DAY, _HOUR, _MINUTE, _SECOND = 4, 6, 8, 10, 12, 14
# Years that numbers without units are believed to be dates of: days since some date, or seconds, seldom look so.
_FIRST_YEAR, _LAST_YEAR = 1850, 2199
# Units that say nothing of how numbers are to be read.
_NO_UNITS = ("", "1", "-", "none", "date", "dates", "time", "day", "days", "d", "unitless", "dimensionless")
_STANDARD = ("", "standard", "gregorian", "proleptic_gregorian", "none")
_TEXT = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?:[T _-]?(\d\d)(?::?(\d\d)(?::?(\d\d)(?:\.\d+)?)?)?)?\s*(?:Z|UTC|GMT)?")
# "20010117 120000.000000 UTC", as sea surface temperature files have it, is read by the same pattern.
_NASA = re.compile(r"(\d{4})(\d{3})(?:(\d\d)(\d\d)(\d\d)\d*)?")


def decode(values: np.ndarray, *, units: str = "", calendar: str = "", name: str = "time") -> np.ndarray | None:
    """Read dates that are written as numbers or text.

    Parameters
    ----------
    values : ndarray of numbers or text, shape (T,)
    units : str
        ``YYYYMMDD`` and the like (also with hours, minutes and seconds, or without the day), or CDO's ``day as
        %Y%m%d.%f``, where the fraction is the part of the day. Without units, whole numbers are dates where each of
        them is a valid one between 1850 and 2199; of days the fraction may be a part of the day.
    calendar : str
        A CF calendar; the usual one where empty.
    name : str
        What errors call the values.

    Returns
    -------
    dates : ndarray of datetime64[ns] or of cftime.datetime, or None
        None where the values are no dates.

    Raises
    ------
    InputError
        If the units say that the numbers are dates and one of them is none, or if single precision has rounded them.

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
    digits = stated = _digits(units)
    if digits is None and units.strip().lower() not in _NO_UNITS:
        return None
    if digits is None:
        digits = _guessed_digits(values)
    if digits is None:
        return None
    if values.dtype.kind == "f" and values.dtype.itemsize < 8 and digits > _MONTH:
        raise InputError(
            f"{name} holds dates such as {values.ravel()[0]:.0f} in the type {values.dtype}, which rounds them to "
            "other days; write them as whole numbers or in double precision"
        )
    if not np.isfinite(values).all():
        if stated is None:
            return None
        raise InputError(f"{name} has missing dates, where each map needs one; give them, or leave those maps out")
    usual = calendar.strip().lower() in _STANDARD
    dates = [_date(number, digits, calendar if not usual else "") for number in values.ravel().tolist()]
    for number, date in zip(values.ravel().tolist(), dates):
        if date is None and stated is None:
            return None
        if date is None:
            raise InputError(
                f"{name} has the units {units!r}, but {number:.15g} is no such date; correct it, or give times in "
                "units such as 'days since 1970-01-01'"
            )
    if usual:
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
    """Return whether an array holds dates of cftime."""
    return times.dtype == object and times.size > 0 and hasattr(times.ravel()[0], "calendar")


def date_of_text(text: Any) -> np.datetime64 | None:
    """Read a date as global attributes have it; None where it is none.

    Examples
    --------
    >>> str(date_of_text("2001-01-01T00:30:00.000Z")), str(date_of_text("20010101T003000Z"))
    ('2001-01-01T00:30:00', '2001-01-01T00:30:00')
    >>> str(date_of_text("2001032003000123")), date_of_text("daily")
    ('2001-02-01T00:30:00', None)
    """
    text = str(text).strip()
    found = _TEXT.fullmatch(re.sub(r"[+-]00:?00$", "Z", text))
    if found:
        parts = [int(part or 0) for part in found.groups()]
        return _moment(*parts)
    found = _NASA.fullmatch(text)
    if found and 1 <= int(found[2]) <= 366:
        year, day = int(found[1]), int(found[2])
        start = _moment(year, 1, 1, *(int(part or 0) for part in found.groups()[2:]))
        if start is not None and day <= 365 + calendars.isleap(year):
            return start + np.timedelta64(day - 1, "D")
    return None


def dates_in_names(names: Sequence[str]) -> tuple[list[np.datetime64], str] | None:
    """Read one date from each of several names of files.

    Parameters
    ----------
    names : sequence of str
        Names without folders.

    Returns
    -------
    dates : list of datetime64
    layout : str
        How they are written, such as ``YYYYMMDD``.

    None where there is no reading, or more than one, by which every name has a date and no two the same.

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
        # A clock time marked as one belongs to its day; what only looks like one counts where days are not enough.
        if layout == "YYYYMMDDTHHMM":
            usable.pop(("YYYYMMDD", position), None)
        elif layout == "YYYYMMDD":
            usable.pop(("YYYYMMDD_HHMM", position), None)
    if not usable:
        return None
    (layout, _), dates = next(iter(usable.items()))
    # A name may hold the first and the last day of what it spans: the steps are the same.
    if any(len(set((np.array(other) - np.array(dates)).tolist())) > 1 for other in usable.values()):
        return None
    return dates, layout


def _digits(units: str) -> int | None:
    """Digits of the dates that units speak of; None where they speak of none."""
    text = units.strip().lower()
    found = re.match(r"(year|month|day)s? as %y(%m)?(%d)?", text)
    if found:
        return {"year": _YEAR, "month": _MONTH, "day": _DAY}[found[1]]
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
    """Digits of numbers that are all of one length and begin with a year."""
    low, high = float(values.min()), float(values.max())
    for digits in (_MONTH, _DAY, _HOUR, _MINUTE, _SECOND):
        unit = 10.0 ** (digits - 4)
        if _FIRST_YEAR * unit <= low and high < (_LAST_YEAR + 1) * unit:
            is_whole = bool((values == np.floor(values)).all())
            return digits if is_whole or digits == _DAY else None
    return None


def _date(number: float, digits: int, calendar: str) -> Any:
    """One date as datetime64 or, of another calendar, as cftime.datetime; None where the number is none."""
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
        return _moment_of(calendar, parts, fraction, digits)
    start = _moment(*parts)
    if start is None or not fraction:
        return start
    if digits == _DAY:
        length = 1
    elif digits == _MONTH:
        length = calendars.monthrange(parts[0], parts[1])[1]
    else:
        length = 365 + calendars.isleap(parts[0])
    return start + np.timedelta64(round(fraction * length * 86400), "s")


def _moment(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> Any:
    if not (1 <= month <= 12 and 1 <= year <= 9999 and 1 <= day <= calendars.monthrange(year, month)[1]):
        return None
    # 24 o'clock is the next day's midnight.
    if not (0 <= hour <= 24 and 0 <= minute < 60 and 0 <= second <= 60) or (hour == 24 and minute + second):
        return None
    start = np.datetime64(f"{year:04d}-{month:02d}-{day:02d}", "s")
    return start + np.timedelta64(3600 * hour + 60 * minute + second, "s")


def _moment_of(calendar: str, parts: list[int], fraction: float, digits: int) -> Any:
    import datetime

    import cftime

    try:
        start = cftime.datetime(*parts, calendar=calendar)
    except ValueError:
        return None
    length = {_DAY: 1, _MONTH: start.daysinmonth, _YEAR: 365}.get(digits, 1)
    return start + datetime.timedelta(seconds=round(fraction * length * 86400))


def _array(dates: Sequence[np.datetime64]) -> np.ndarray:
    """Dates as xarray keeps them: in nanoseconds, or seconds where those do not reach."""
    seconds = np.array(dates, "datetime64[s]")
    reach = np.array(["1678-01-01", "2262-01-01"], "datetime64[s]")
    return seconds.astype("datetime64[ns]") if ((seconds > reach[0]) & (seconds < reach[1])).all() else seconds


def _from_text(values: np.ndarray) -> np.ndarray | None:
    """Dates of texts, None where one of them is none."""
    dates = []
    for value in values.ravel().tolist():
        text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
        found = _TEXT.fullmatch(text.strip()) if isinstance(text, str) else None
        date = None if found is None else _moment(*(int(part or 0) for part in found.groups()))
        if date is None:
            return None
        dates.append(date)
    return _array(dates).reshape(values.shape) if dates else None


def _dates_in(name: str) -> dict[tuple[str, int], np.datetime64]:
    """Dates in a name by layout and position among the dates of that layout."""
    found: dict[tuple[str, int], np.datetime64] = {}

    def add(layout: str, date: Any) -> None:
        year = None if date is None else int(str(date)[:4])
        if year is not None and _FIRST_YEAR <= year <= _LAST_YEAR:
            position = sum(1 for key in found if key[0] == layout)
            found[layout, position] = date

    for match in re.finditer(r"(?<!\d)(\d{4})([-_.])(\d\d)\2(\d\d)(?!\d)", name):
        add(f"YYYY{match[2]}MM{match[2]}DD", _whole(match[1] + match[3] + match[4]))
    for match in re.finditer(r"(?<!\d)(\d{4})([-_.])(\d{3})(?!\d)", name):
        add(f"YYYY{match[2]}DDD", date_of_text(match[1] + match[3]))
    for match in re.finditer(r"(?<!\d)(\d{4})([-_])(\d\d)(?!\d)(?!\2\d\d(?!\d))", name):
        add(f"YYYY{match[2]}MM", _whole(match[1] + match[3]))
    for match in re.finditer(r"(?<!\d)\d+(?!\d)", name):
        text = match[0]
        if len(text) == _DAY:
            date, clock = _whole(text), re.match(r"([T_-]?)(\d{6}|\d{4})(Z?)(?!\d)", name[match.end() :])
            add("YYYYMMDD", date)
            if date is not None and clock:
                add("YYYYMMDDTHHMM" if "T" in clock[1] or clock[3] else "YYYYMMDD_HHMM", _whole(text + clock[2]))
        elif len(text) in (_MONTH, _HOUR, _MINUTE, _SECOND):
            add("YYYYMMDDHHMMSS"[: len(text)], _whole(text))
        if len(text) in (7, 14):
            add("YYYYDDD", date_of_text(text[:7]))
        if len(text) == 16:
            add("YYYYMMDD", _whole(text[:8]))
    return found


def _whole(text: str) -> Any:
    """The date of digits from the year on; None where they are none."""
    text = text + "01" if len(text) == _MONTH else text
    return _moment(int(text[:4]), *(int(text[start : start + 2]) for start in range(4, len(text), 2)))
