"""Whether gaps depend on the field: the values beside gaps compared with the values beside observations.

The method assumes that the measurement process does not depend on the field. If clouds prefer cold water, the observed
cells are too warm, and so is what is learned from them. The values in the gaps are unknown, but those of the same cells
one date before or after are known, where these were observed. If gaps do not depend on the field, their expectation is
that of all cells, whatever the shapes and the persistence of the gaps.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

# Cells that a date needs on either side of the comparison.
LEAST_CELLS = 20
# Groups of consecutive dates; the scatter between groups includes the correlation between the dates of a group.
_GROUPS = 12
# Dates of a group, and groups from which an interval is estimated, at least.
_DATES, _FEWEST = 5, 4
# Probability of the interval.
_PROBABILITY = 0.99
# A smaller difference, in standard deviations, is not worth a warning.
WORTH_SAYING = 0.1


class Dependence(NamedTuple):
    """Mean difference between cells beside gaps and cells beside observations, in standard deviations of the anomaly.

    Attributes
    ----------
    difference : float
        Negative if cells that are hidden a date later or earlier have lower values than the others.
    low, high : float
        Interval of 99 %; NaN if there are too few dates.
    comparisons : int
        Pairs of neighbouring dates that were compared.
    """

    difference: float
    low: float
    high: float
    comparisons: int

    @property
    def is_found(self) -> bool:
        """Whether the interval excludes 0 and the difference is large enough to matter."""
        return (self.low > 0 or self.high < 0) and abs(self.difference) >= WORTH_SAYING

    def sentence(self, scale: float, units: str) -> str:
        """Return the result in words.

        Parameters
        ----------
        scale : float
            Standard deviation of the anomalies, in ``units``.
        units : str
        """
        size = f"{abs(self.difference) * scale:.2g} {units}".strip()
        deviations = f"{abs(self.difference):.2f} standard deviations"
        side = "lower" if self.difference < 0 else "higher"
        return (
            f"gaps depend on the field: cells that are hidden a date later or earlier are {size} ({deviations}) {side} "
            "than the others; fills are biased towards what is seen, see the errors by cloud fraction of geogan "
            "evaluate"
        )


def compare_beside_gaps(films: Iterable[np.ndarray]) -> Dependence | None:
    """Compare the cells that are hidden one date later or earlier with those that are observed.

    Parameters
    ----------
    films : iterable of ndarray, shape (T, C, H, W)
        Anomalies of consecutive dates, NaN in gaps and outside the domain. The climatology must be subtracted, or
        cells that are often hidden would be compared with others.

    Returns
    -------
    Dependence or None
        None if no date has enough cells of both kinds.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> field = rng.normal(size=(40, 1, 30, 30))
    >>> field[1:] += field[:-1]
    >>> under = np.where(rng.random(field.shape) < 0.5, np.nan, field)
    >>> compare_beside_gaps([under]).is_found
    False
    >>> compare_beside_gaps([np.where(field < 0.2, np.nan, field)]).is_found
    True
    """
    differences, squares, count = [], 0.0, 0
    for film in films:
        seen = np.isfinite(film)
        squares += float(np.nansum(np.square(film)))
        count += int(seen.sum())
        # Cells outside the domain, or never observed, are on neither side.
        ever = seen.any(axis=0)
        for date in range(len(film) - 1):
            for own, other in ((date, date + 1), (date + 1, date)):
                hidden = seen[own] & ever & ~seen[other]
                shown = seen[own] & seen[other]
                if min(hidden.sum(), shown.sum()) >= LEAST_CELLS:
                    differences.append(film[own][hidden].mean() - film[own][shown].mean())
    if not differences or squares == 0:
        return None
    values = np.array(differences) / np.sqrt(squares / count)
    low, high = _interval(values)
    return Dependence(float(values.mean()), low, high, len(values))


def _interval(values: np.ndarray) -> tuple[float, float]:
    """Return the interval of a mean from the scatter between groups of consecutive values; NaN if there are few."""
    # A pair of dates is compared in both directions.
    groups = min(_GROUPS, len(values) // (2 * _DATES))
    if groups < _FEWEST:
        return float("nan"), float("nan")
    means = np.array([part.mean() for part in np.array_split(values, groups)])
    half = stdtrit(groups - 1, 0.5 + _PROBABILITY / 2) * means.std(ddof=1) / np.sqrt(groups)
    return float(values.mean() - half), float(values.mean() + half)
