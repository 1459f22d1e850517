"""Durations in words, in the unit that suits them."""

import math

# Unit, its length in days, and the shortest duration that is told in it.
_UNITS = (("day", 1.0), ("hour", 1 / 24), ("minute", 1 / 1440), ("second", 1 / 86400))


def duration(days: float) -> str:
    """Return a duration in words: days, or hours, minutes or seconds where it is shorter.

    Parameters
    ----------
    days : float
        Days, not negative.

    Returns
    -------
    words : str
        Three significant digits at most, whole numbers in full.

    Examples
    --------
    >>> [duration(days) for days in (1, 2.25, 366, 1 / 24, 0.5, 10 / 1440, 30 / 86400)]
    ['1 day', '2.25 days', '366 days', '1 hour', '12 hours', '10 minutes', '30 seconds']
    """
    if not math.isfinite(days):
        return "endless" if days > 0 else "unknown"
    # Rounding of times in days makes an hour a little shorter than one.
    unit, length = next((pair for pair in _UNITS if abs(days) >= 0.9995 * pair[1]), _UNITS[-1])
    count = days / length
    text = f"{count:.0f}" if abs(count) >= 100 else f"{count:.3g}"
    return f"{text} {unit}" if text == "1" else f"{text} {unit}s"
