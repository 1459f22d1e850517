"""Linear interpolation in time between the nearest observed dates of the same cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geogan.evaluation.baselines.arguments import check_days, check_maps

if TYPE_CHECKING:
    from geogan.evaluation.baselines.interface import BaselineInput, DateFiller


def linear_time(values: np.ndarray, *, domain: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Interpolate each cell linearly in time; extrapolate with the first and the last observation.

    Parameters
    ----------
    values : ndarray, shape (T, H, W)
        Measured maps, NaN in gaps.
    domain : ndarray of bool, shape (H, W)
        True where the quantity exists.
    days : ndarray, shape (T,)
        Dates as numbers of days, increasing, in any spacing.

    Returns
    -------
    filled : ndarray, shape (T, H, W)
        ``values`` where observed, bit for bit; NaN outside the domain and in cells that are never observed.
        The dtype is that of ``values``.

    Raises
    ------
    InputError
        If the shapes do not fit or the dates do not increase.

    Examples
    --------
    >>> values = np.array([10.0, np.nan, 16.0, np.nan]).reshape(4, 1, 1)
    >>> linear_time(values, domain=np.array([[True]]), days=np.array([0, 1, 3, 7]))[:, 0, 0]
    array([10., 12., 16., 16.])
    """
    check_maps(values, domain, "T, H, W")
    days = check_days(days, len(values))
    filled = np.full_like(values, np.nan)
    if not len(values):
        return filled
    cells = values[:, domain]
    observed = np.isfinite(cells)
    is_seen = observed.any(axis=0)
    date = np.arange(len(values))[:, None]
    # The nearest observed date at or before, and at or after, each date, by running extrema.
    before = np.maximum.accumulate(np.where(observed, date, -1), axis=0)
    after = np.minimum.accumulate(np.where(observed, date, len(values))[::-1], axis=0)[::-1]
    before, after = (
        np.where(before < 0, np.minimum(after, len(values) - 1), before),
        np.where(after == len(values), np.maximum(before, 0), after),
    )
    span = days[after] - days[before]
    weight = np.divide(days[:, None] - days[before], span, out=np.zeros(span.shape), where=span > 0)
    first = np.take_along_axis(cells, before, axis=0)
    last = np.take_along_axis(cells, after, axis=0)
    line = first + weight * (last.astype("float64") - first)
    filled[:, domain] = np.where(observed, cells, np.where(is_seen, line, np.nan))
    return filled


def prepare(given: BaselineInput) -> DateFiller:
    """Return the function that fills dates of a record by interpolation in time, band by band."""
    archive = given.archive
    # Number of dates on either side in which observations are sought, so that a long record is read in parts.
    reach = 60

    def fill(dates: slice) -> np.ndarray:
        wide = slice(max(0, dates.start - reach), min(len(archive.days), dates.stop + reach))
        values, days = given.measured(wide), archive.days[wide]
        filled = [linear_time(values[:, band], domain=archive.domain, days=days) for band in range(archive.bands)]
        inner = slice(dates.start - wide.start, dates.stop - wide.start)
        return archive.standardiser.directions(np.stack(filled, 1)[inner])

    return fill
