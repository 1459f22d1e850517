"""Durations and rates in words."""

import math

# Units and their length in days; a duration is written in the first unit that is not longer.
_UNITS = (("day", 1.0), ("hour", 1 / 24), ("minute", 1 / 1440), ("second", 1 / 86400))


def duration(days: float) -> str:
    """Return a duration in words: in days, hours, minutes or seconds.

    Parameters
    ----------
    days : float
        Days, not negative.

    Returns
    -------
    words : str
        At most three significant digits; numbers of 100 or more are rounded to whole ones.

    Examples
    --------
    >>> [duration(days) for days in (1, 2.25, 366, 1 / 24, 0.5, 10 / 1440, 30 / 86400)]
    ['1 day', '2.25 days', '366 days', '1 hour', '12 hours', '10 minutes', '30 seconds']
    """
    if not math.isfinite(days):
        return "endless" if days > 0 else "unknown"
    # Times in days are rounded, so an hour may be slightly shorter than 1/24 day.
    unit, length = next((pair for pair in _UNITS if abs(days) >= 0.9995 * pair[1]), _UNITS[-1])
    count = days / length
    text = f"{count:.0f}" if abs(count) >= 100 else f"{count:.3g}"
    return f"{text} {unit}" if text == "1" else f"{text} {unit}s"


def rate(per_day: float) -> str:
    """Return a rate in words: per day, hour, minute or second, of at most 24 where that is possible.

    Parameters
    ----------
    per_day : float
        Of either sign.

    Examples
    --------
    >>> [rate(per_day) for per_day in (1.25, 337.3, -86400.0)]
    ['1.25 per day', '14.1 per hour', '-1 per second']
    """
    if not math.isfinite(per_day):
        return "unknown"
    unit, length = next((pair for pair in _UNITS if abs(per_day) * pair[1] <= 24.0), _UNITS[-1])
    return f"{per_day * length:.3g} per {unit}"
