"""Parts of the domain that are never observed in some months, such as cells near the coast in winter."""

from __future__ import annotations

import calendar
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.ndimage import distance_transform_edt

from geogan.fields.cell_size import cell_size
from geogan.fields.dates import dated
from geogan.fields.field import Field

# A margin of fewer cells is not worth a sentence.
_LEAST_CELLS = 20
# Months with fewer dates say nothing.
_LEAST_DATES = 3


class UnseenMargin(NamedTuple):
    """A margin along the edge of the domain in which nothing is observed during some months.

    Attributes
    ----------
    first, last : int
        First and last month of the run, 1 to 12; the run may cross the new year.
    distance : float
        Width of the margin; infinite if nothing is observed at all.
    unit : str
        ``km`` or ``cells``.
    """

    first: int
    last: int
    distance: float
    unit: str

    def sentence(self) -> str:
        """Return the margin in words.

        Examples
        --------
        >>> UnseenMargin(11, 1, 40.0, "km").sentence()
        'nothing is ever observed within 40 km of the edge of the domain from November to January'
        """
        first, last = calendar.month_name[self.first], calendar.month_name[self.last]
        when = f"in {first}" if self.first == self.last else f"from {first} to {last}"
        if not np.isfinite(self.distance):
            return f"nothing is ever observed {when}"
        return f"nothing is ever observed within {self.distance:.3g} {self.unit} of the edge of the domain {when}"


def months_of(field: Field) -> np.ndarray | None:
    """Return the month of each date, 1 to 12, shape (T,); None without dates, and for independent samples."""
    if field.axes.time is None or field.day_of_year is None:
        return None
    times = dated(field.array, field.axes)[field.axes.time]
    return times.dt.month.values.astype(np.int64)


def edge_distance(field: Field, domain: np.ndarray) -> tuple[np.ndarray, str] | None:
    """Return the distance of each cell from the cells outside the domain, and its unit.

    Parameters
    ----------
    field : Field
    domain : ndarray of bool, shape (H, W)

    Returns
    -------
    (ndarray of shape (H, W), str) or None
        In km where the grid has longitudes and latitudes or coordinates in metres, else in cells. None if the domain
        has no edge inside the grid.
    """
    if domain.all() or not domain.any():
        return None
    size = cell_size(field)
    distance = distance_transform_edt(domain, sampling=(1.0, 1.0) if size is None else (size.rows, size.columns))
    return distance, "cells" if size is None else "km"


def unseen_margins(
    counts: Callable[[np.ndarray], np.ndarray], months: np.ndarray, distance: np.ndarray, unit: str, domain: np.ndarray
) -> list[UnseenMargin]:
    """Return the margins along the edge of the domain in which nothing is observed for one or more months.

    Parameters
    ----------
    counts : callable
        ``counts(chosen)`` returns on how many of the chosen dates (T,) each cell is observed, (H, W).
    months : ndarray of int, shape (T,)
    distance : ndarray, shape (H, W)
        From `edge_distance`.
    unit : str
    domain : ndarray of bool, shape (H, W)

    Examples
    --------
    >>> months = np.repeat(np.arange(1, 13), 4)
    >>> domain = np.ones((20, 30), bool)
    >>> domain[:, 0] = False
    >>> distance = distance_transform_edt(domain)
    >>> winter = lambda chosen: domain * (distance > (3 if months[chosen][0] in (12, 1) else 0)) * 1
    >>> unseen_margins(winter, months, distance, "cells", domain)
    [UnseenMargin(first=12, last=1, distance=3.0, unit='cells')]
    """
    widths = {}
    for month in range(1, 13):
        chosen = months == month
        if chosen.sum() < _LEAST_DATES:
            continue
        seen = (counts(chosen) > 0) & domain
        # Cells at the distance of the nearest observed one are not in the margin.
        nearest = distance[seen].min() if seen.any() else np.inf
        inside = domain & (distance < nearest)
        if inside.sum() >= _LEAST_CELLS:
            widths[month] = float(distance[inside].max()) if seen.any() else np.inf
    return [_margin(run, widths, unit) for run in _runs(sorted(widths))]


def _runs(months: list[int]) -> list[list[int]]:
    """Return runs of consecutive months; December and January are neighbours.

    Examples
    --------
    >>> _runs([1, 2, 6, 12])
    [[6], [12, 1, 2]]
    """
    runs: list[list[int]] = []
    for month in months:
        if runs and runs[-1][-1] == month - 1:
            runs[-1].append(month)
        else:
            runs.append([month])
    if len(runs) > 1 and runs[0][0] == 1 and runs[-1][-1] == 12:
        runs[-1] += runs.pop(0)
    return runs


def _margin(run: list[int], widths: dict[int, float], unit: str) -> UnseenMargin:
    return UnseenMargin(run[0], run[-1], min(widths[month] for month in run), unit)
