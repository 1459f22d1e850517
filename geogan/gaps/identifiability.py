"""What the gaps of an archive leave unknown, whatever the method: looked at before any training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from geogan.archive import Standardiser
from geogan.fields.durations import duration
from geogan.fields.field import Field
from geogan.gaps.dependence import Dependence, compare_beside_gaps
from geogan.gaps.packed import MOST_VALUES, PackedMask, Packing, runs_of_dates
from geogan.gaps.seasons import UnseenMargin, edge_distance, months_of, unseen_margins
from geogan.gaps.seen_together import Lag, SeenTogether, default_lags, seen_together
from geogan.operators.wording import counted

# Words for pairs of one date.
SAME = "same date"
# A lag with fewer pairs of cells and dates may be unseen by chance.
LEAST_PAIRS = 1000
# Lags that a sentence names, at most.
_NAMED = 4
# Cells times dates that `info` and `train` read for this, which must not take long beside what else they do.
QUICK = 2**24
# Values of the films in which gaps are compared with the field, at most.
_FILM_VALUES = 2**24


@dataclass(frozen=True, eq=False)
class Identifiability:
    """Which cells and pairs of cells are observed together, and whether gaps depend on the field.

    Attributes
    ----------
    counts : ndarray of int64, shape (H, W)
        Dates on which each cell is observed.
    dates : int
        Dates that were read.
    domain : ndarray of bool, shape (H, W)
    pairs : SeenTogether
    margins : list of UnseenMargin
    dependence : Dependence or None
        None where it was not looked for, or where no date has enough cells beside gaps.
    step : float
        Step of the record, in days; 0 for samples and single scenes.
    scale : float
        Standard deviation of the anomalies, in ``units``.
    units : str
    """

    counts: np.ndarray
    dates: int
    domain: np.ndarray
    pairs: SeenTogether
    margins: list[UnseenMargin]
    dependence: Dependence | None
    step: float
    scale: float
    units: str

    @property
    def never(self) -> int:
        """Number of cells of the domain that are never observed."""
        return int((self.domain & (self.counts == 0)).sum())

    @property
    def unseen_lags(self) -> list[Lag]:
        """Lags at which no two cells are ever observed together, though there are many such pairs."""
        return [
            lag
            for lag, together, possible in zip(self.pairs.lags, self.pairs.together, self.pairs.possible, strict=True)
            if together == 0 and possible >= LEAST_PAIRS
        ]

    def warnings(self) -> list[str]:
        """Return a sentence for each thing that no method can learn from these gaps; empty if there is none."""
        found = []
        if self.never:
            share = self.never / int(self.domain.sum())
            found.append(
                f"{counted(self.never, 'cell')} of the domain ({share:.1%}) "
                f"{'is' if self.never == 1 else 'are'} never observed: fills there follow from the neighbours alone"
            )
        if self.unseen_lags:
            lags = self.unseen_lags
            named = ", ".join(map(str, lags[:_NAMED])) + (
                f" and {len(lags) - _NAMED} more" if len(lags) > _NAMED else ""
            )
            found.append(
                f"no two cells at a lag of {named} are ever observed together: fields whose covariances differ there "
                "cannot be distinguished by these measurements"
            )
        found += [margin.sentence() for margin in self.margins]
        if self.dependence is not None and self.dependence.is_found:
            found.append(self.dependence.sentence(self.scale, self.units))
        return found

    def table(self) -> dict[str, dict[str, float]]:
        """Return the share of pairs observed together, by the distance in cells and then by the lag in time."""
        cells = int(self.domain.sum())
        rows = {"same cell": {SAME: float(self.counts[self.domain].sum() / (cells * self.dates))}}

        def key(number: int) -> tuple[int, int]:
            lag = self.pairs.lags[number]
            return max(abs(lag.rows), abs(lag.columns)), lag.steps

        for (distance, steps), group in groupby(sorted(range(len(self.pairs.lags)), key=key), key=key):
            numbers = list(group)
            possible = int(self.pairs.possible[numbers].sum())
            if possible:
                when = SAME if steps == 0 else duration(steps * self.step) if self.step else f"{steps} steps"
                share = int(self.pairs.together[numbers].sum()) / possible
                rows.setdefault(counted(distance, "cell") if distance else "same cell", {})[when] = share
        return rows

    def plain(self) -> dict[str, Any]:
        """Return the results as values that JSON can hold."""
        cells = int(self.domain.sum())
        found: dict[str, Any] = {
            "dates_read": self.dates,
            "domain_cells": cells,
            "never_observed_cells": self.never,
            "observed_share_of_a_cell": _quantiles(self.counts[self.domain] / self.dates),
            "pairs_observed_together": self.table(),
            "lags_never_observed": [lag._asdict() for lag in self.unseen_lags],
            "unseen_margins": [margin.sentence() for margin in self.margins],
        }
        if self.dependence is not None:
            found["gaps_depend_on_the_field"] = {
                "difference_in_standard_deviations": self.dependence.difference,
                "interval_of_99_percent": [None if np.isnan(end) else end for end in self.dependence[1:3]],
                "comparisons": self.dependence.comparisons,
                "is_found": self.dependence.is_found,
            }
        return found | {"warnings": self.warnings()}


def _quantiles(shares: np.ndarray) -> dict[str, float]:
    return {
        "smallest": float(shares.min()),
        "median": float(np.median(shares)),
        "largest": float(shares.max()),
    }


def identifiability(
    field: Field,
    domain: np.ndarray,
    *,
    packing: Packing | None = None,
    compares: bool = True,
    standardiser: Standardiser | None = None,
    transform: str = "none",
    most: int = MOST_VALUES,
    message: Callable[[str], None] = lambda sentence: None,
) -> Identifiability:
    """Look at the gaps of a field before anything is trained on it.

    Parameters
    ----------
    field : Field
        Read once or twice, chunk by chunk.
    domain : ndarray of bool, shape (H, W)
        True where the quantity exists.
    packing : Packing, optional
        The mask of the field, if it was read already.
    compares : bool
        Whether values beside gaps are compared with others, for which some dates are read again.
    standardiser : Standardiser, optional
        Climatology that is subtracted before values beside gaps are compared; by default it is fitted.
    transform : str
        Transform of the values, where no standardiser is given; see `geogan.settings.Settings`.
    most : int
        Cells times dates that are read, at most; of a longer archive, runs of dates spread over it.
    message : callable
        Called with a report of progress if a pass takes long.

    Returns
    -------
    Identifiability

    Examples
    --------
    >>> from geogan import corrupt, synthetic_sst
    >>> sea = synthetic_sst(days=12, size=24, seed=0)
    >>> gappy = corrupt(sea.sst, "cloud_mask:coverage=0.5,scale=5", seed=1)
    >>> found = identifiability(Field.of(gappy), sea.sea_mask.values == 1)
    >>> found.dates, found.unseen_lags
    (12, [])
    """
    mask = PackedMask.read(field, domain, most=most, message=message) if packing is None else packing.within(domain)
    has_time = not field.axes.independent and len(mask.dates) > 1
    months = months_of(field)
    edge = edge_distance(field, domain)
    margins: list[UnseenMargin] = []
    if months is not None and edge is not None:
        margins = unseen_margins(mask.counts, months[mask.dates], *edge, domain)
    dependence, scale, units = None, 1.0, ""
    if has_time and compares:
        standardiser = standardiser or Standardiser.fit(field.with_domain(domain), transform=transform, message=message)
        dependence = compare_beside_gaps(_films(field, domain, standardiser, most=min(_FILM_VALUES, most)))
        scale, units = standardiser.error_unit(field.band_units[0])
    return Identifiability(
        counts=mask.counts(),
        dates=len(mask.dates),
        domain=domain,
        pairs=seen_together(mask, default_lags(mask, has_time=has_time), is_periodic=field.is_periodic),
        margins=margins,
        dependence=dependence,
        step=float(np.percentile(np.diff(field.days), 25, method="lower")) if has_time else 0.0,
        scale=scale,
        units=units,
    )


def _films(field: Field, domain: np.ndarray, standardiser: Standardiser, *, most: int) -> Iterator[np.ndarray]:
    """Yield anomalies (T, C, H, W) of runs of consecutive dates, NaN outside the domain."""
    count, bands, height, width = field.shape
    dates = runs_of_dates(count, max(2, most // (bands * height * width)))
    for run in np.split(dates, np.flatnonzero(np.diff(dates) > 1) + 1):
        part = field.stacked[int(run[0]) : int(run[-1]) + 1]
        doy = None if field.day_of_year is None else field.day_of_year[run]
        anomaly = standardiser.forward(np.asarray(part.values, np.float32), doy)
        yield np.where(domain, anomaly, np.nan)
