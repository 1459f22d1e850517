"""Single observations that neither their neighbours nor the climatology support: found, counted, left out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geogan.compute.regions import Region
from geogan.fields.circle import stretches
from geogan.fields.marks import screened_mark

# Cells and dates on each side that a cell is compared with: 24 neighbours of its date, 9 of either date beside it.
CELLS, DATES = 2, 1
# Robust standard deviations that an observation may lie from the climatology and from its neighbours, by default. A
# normal law has one value in two million beyond; fields with fronts have more, but their neighbours lie there too.
THRESHOLD = 5.0
# Share of its neighbours that must be near an observation to support it: of a front or an event a quarter is on the
# same side even at a corner; of outliers, of which one cell in a hundred is one, hardly any.
SUPPORT = 0.15
# Share of an observation's deviation that a neighbour may differ by.
HALF = 0.5
# Neighbours that are enough to tell; with fewer the climatology alone decides, at a higher threshold.
FEWEST, ALONE = 4, 1.5
# A median absolute deviation below this share of what deciles tell is that of a peak, not of the field.
PEAKED = 0.3
# Least scale of deviations from the neighbours, as a share of the anomalies' own: analyses without noise are so smooth
# that any front would stand out.
LEAST_LOCAL = 0.5
# Cells that the scales are estimated from, and cells that are compared with their neighbours at a time.
SAMPLE, BATCH = 20_000, 100_000
# Share of suspicious observations from which on it is said: fields without errors have less, rain and reflectivity too.
MANY = 3e-3
# Values of a field that are looked at for it, about.
LOOKED_AT = 2**23
# A median absolute deviation is this share of a normal law's standard deviation; nine tenths less one tenth are this.
_MAD, _DECILES = 0.6745, 2.5631


@dataclass(frozen=True)
class Screen:
    """What anomalies of a field are like, and from where on one is suspicious; of each band.

    Attributes
    ----------
    center, spread : tuple of float
        Median and robust standard deviation of the anomalies.
    local : tuple of float
        Robust standard deviation of an anomaly about the median of its neighbours.
    threshold : float or None
        Robust standard deviations beyond which an observation is left out; None where none is.

    Examples
    --------
    >>> anomalies = np.random.default_rng(0).normal(size=(1, 1, 40, 40))
    >>> anomalies[0, 0, 20, 20] = -15
    >>> screen = Screen.fit([anomalies])
    >>> np.argwhere(screen.suspicious(anomalies)).tolist()
    [[0, 0, 20, 20]]
    """

    center: tuple[float, ...]
    spread: tuple[float, ...]
    local: tuple[float, ...]
    threshold: float | None = None

    @classmethod
    def fit(
        cls, pieces: Sequence[np.ndarray], *, independent: bool = False, threshold: float | None = None
    ) -> Screen | None:
        """Estimate center and scales, which one outlier in twenty does not change.

        Parameters
        ----------
        pieces : sequence of ndarray, shape (T, C, h, w)
            Unitless anomalies of consecutive dates, NaN where nothing was observed.
        independent : bool
            Whether the dates are samples that have nothing to do with each other.
        threshold : float, optional

        Returns
        -------
        Screen or None
            None where a band has no observation.
        """
        found = []
        for band in range(pieces[0].shape[1] if pieces else 0):
            anomalies, deviations = [], []
            for piece in pieces:
                part = piece[:, band : band + 1]
                where = np.argwhere(np.isfinite(part))
                where = where[:: max(1, len(where) * len(pieces) // SAMPLE)]
                around, own = _around(part, where, independent), part[tuple(where.T)]
                anomalies.append(own)
                deviations.append((own - _median(around))[np.isfinite(around).sum(1) >= FEWEST])
            values = np.concatenate(anomalies)
            if not values.size:
                return None
            spread = _scale(values)
            beside = np.concatenate(deviations)
            local = _scale(beside) if beside.size else spread
            found.append((float(np.median(values)), spread, max(local, LEAST_LOCAL * spread)))
        center, spreads, locals_ = (tuple(part) for part in zip(*found, strict=True)) if found else ((), (), ())
        return cls(center, spreads, locals_, threshold) if found else None

    def suspicious(
        self, anomaly: np.ndarray, *, independent: bool = False, threshold: float | None = None
    ) -> np.ndarray:
        """Find observations that neither neighbours nor climatology support.

        Parameters
        ----------
        anomaly : ndarray, shape (T, C, h, w)
            Unitless anomalies, NaN where nothing was observed. Cells at the rim see fewer neighbours.
        independent : bool
        threshold : float, optional
            By default the screen's own, else :data:`THRESHOLD`.

        Returns
        -------
        suspicious : ndarray of bool, of that shape
        """
        limit = threshold or self.threshold or THRESHOLD
        shape = (1, -1, 1, 1)
        center, spread, local = (np.array(part).reshape(shape) for part in (self.center, self.spread, self.local))
        with np.errstate(invalid="ignore"):
            off = np.abs(anomaly - center) / np.where(spread > 0, spread, np.inf)
            where = np.argwhere(off > limit)
        found = np.zeros(anomaly.shape, bool)
        for start in range(0, len(where), BATCH):
            some = where[start : start + BATCH]
            place, around = tuple(some.T), _around(anomaly, some, independent)
            band = some[:, 1]
            # A neighbour that deviates half as much supports it too: rain and chlorophyll are peaked.
            deviation = np.abs(anomaly[place] - center[0, band, 0, 0])
            reach = np.maximum(limit * local[0, band, 0, 0], HALF * deviation)
            with np.errstate(invalid="ignore"):
                agree = (np.abs(around - anomaly[place][:, None]) <= reach[:, None]).sum(1)
            count = np.isfinite(around).sum(1)
            apart = agree < np.maximum(1, SUPPORT * count)
            found[place] = np.where(count >= FEWEST, apart, off[place] > ALONE * limit)
        return found


def hide(values: np.ndarray, suspicious: np.ndarray) -> np.ndarray:
    """Return values with suspicious ones replaced by the NaN that says so; the same array where there are none."""
    if not suspicious.any():
        return values
    return np.where(suspicious, screened_mark(values.dtype), values)


def widened(part: slice, size: int, by: int, *, is_periodic: bool = False) -> tuple[slice, slice]:
    """Return a stretch with its neighbours, and where the stretch is in that.

    Neighbours end with the axis, but on one that goes round the globe, where numbers go beyond either end.

    Examples
    --------
    >>> widened(slice(0, 4), 10, 2)
    (slice(0, 6, None), slice(0, 4, None))
    """
    start, stop = (0, size) if part.start is None else (part.start, part.stop)
    wide = slice(start - by, stop + by) if is_periodic else slice(max(0, start - by), min(size, stop + by))
    return wide, slice(start - wide.start, stop - wide.start)


class Screened:
    """A lazy array (T, C, H, W) whose suspicious values are NaN, read with the neighbours that decide on them.

    Dask indexes it as it would the array. Values do not depend on how it is cut.

    Parameters
    ----------
    array : dask array, shape (T, C, H, W)
    find : callable
        ``find(values, t, y, x)`` gives what is suspicious of a piece.
    is_periodic : bool
        Whether the last column touches the first.
    """

    ndim = 4

    def __init__(
        self, array: Any, find: Callable[[np.ndarray, slice, slice, slice], np.ndarray], *, is_periodic: bool = False
    ) -> None:
        self.array, self.find, self.shape, self.dtype = array, find, array.shape, array.dtype
        self.is_periodic = is_periodic

    def __getitem__(self, key: tuple[Any, ...]) -> np.ndarray:
        numbers = [np.atleast_1d(np.arange(size)[part]) for size, part in zip(self.shape, key, strict=True)]
        sides = [slice(int(part.min()), int(part.max()) + 1) for part in numbers]
        by, around = (DATES, 0, CELLS, CELLS), (False, False, False, self.is_periodic)
        t, _, y, x = (
            widened(side, size, more, is_periodic=wraps)[0]
            for side, size, more, wraps in zip(sides, self.shape, by, around, strict=True)
        )
        # Chunks are computed side by side already, on threads or on a cluster. All bands: scales are those of each.
        read = [
            np.asarray(self.array[t, :, y, part].compute(scheduler="synchronous"))
            for part in stretches(x, self.shape[-1])
        ]
        values = read[0] if len(read) == 1 else np.concatenate(read, -1)
        values = hide(values, self.find(values, t, y, x))
        starts = (t.start, 0, y.start, x.start)
        values = values[np.ix_(*(part - start for part, start in zip(numbers, starts, strict=True)))]
        return values[tuple(0 if isinstance(part, int | np.integer) else slice(None) for part in key)]


def count_suspicious(values: np.ndarray, *, independent: bool = False) -> tuple[int, int]:
    """Count suspicious values of a part of a field that has no climatology yet.

    Parameters
    ----------
    values : ndarray, shape (T, C, h, w)
        In the field's units, NaN where nothing was observed. Where there are dates enough, each cell's median takes
        the climatology's place, else that of the part.

    Returns
    -------
    suspicious, observed : int

    Examples
    --------
    >>> maps = np.random.default_rng(0).normal(size=(8, 1, 30, 30))
    >>> maps[2, 0, 3, 3] = 40
    >>> count_suspicious(maps)
    (1, 7200)
    """
    seen = np.isfinite(values)
    if not seen.any():
        return 0, 0
    anomaly = np.where(seen, values, np.nan).astype(np.float64)
    if len(values) > 2 * FEWEST and not independent:
        anomaly -= _median(anomaly.reshape(len(values), -1).T).reshape(anomaly.shape[1:])
    screen = Screen.fit([anomaly], independent=independent)
    found = 0 if screen is None else int(screen.suspicious(anomaly, independent=independent).sum())
    return found, int(seen.sum())


class Outliers:
    """Counts suspicious values of a field that is read for another purpose; of a long one in some of its parts.

    Parameters
    ----------
    size : int
        Values of the field.
    independent : bool
        Whether its dates are samples.
    """

    def __init__(self, size: int, *, independent: bool = False) -> None:
        self._every, self._independent = max(1, -(-size // LOOKED_AT)), independent
        self._parts, self._found, self._observed = 0, 0, 0

    def add(self, region: Region, values: np.ndarray) -> None:
        """Look at a part that was read, (t, C, h, w)."""
        self._parts += 1
        if self._parts % self._every == 1 % self._every:
            found, observed = count_suspicious(values, independent=self._independent)
            self._found += found
            self._observed += observed

    @property
    def share(self) -> float:
        """Share of the observations that were looked at."""
        return self._found / max(1, self._observed)


def suspicion(name: str, share: float) -> str:
    """Return the sentence about a field with suspicious values."""
    return (
        f"{name}: {share:.2%} of the observations lie more than {THRESHOLD:g} robust standard deviations from the "
        "climatology and have hardly a neighbour near them; if they are errors, leave them out with --screen"
    )


def _around(anomaly: np.ndarray, where: np.ndarray, independent: bool) -> np.ndarray:
    """Return the neighbours of some cells, (N, K), NaN where there is none; ``where`` holds indices, (N, 4)."""
    t, c, y, x = where.T
    offsets = [(0, *place) for place in itertools.product(range(-CELLS, CELLS + 1), repeat=2) if place != (0, 0)]
    if not independent:
        offsets += list(itertools.product((-DATES, DATES), (-1, 0, 1), (-1, 0, 1)))
    around = np.full((len(where), len(offsets)), np.nan)
    for number, (later, down, right) in enumerate(offsets):
        place = (t + later, c, y + down, x + right)
        inside = np.all([(index >= 0) & (index < size) for index, size in zip(place, anomaly.shape)], axis=0)
        around[inside, number] = anomaly[tuple(index[inside] for index in place)]
    return around


def _median(rows: np.ndarray) -> np.ndarray:
    """Return the median of each row's numbers, NaN where there is none."""
    ordered, count = np.sort(rows, axis=1), np.isfinite(rows).sum(1)
    at = np.arange(len(rows))
    middle = (ordered[at, np.maximum(count - 1, 0) // 2] + ordered[at, np.minimum(count // 2, rows.shape[1] - 1)]) / 2
    return np.where(count > 0, middle, np.nan)


def _scale(values: np.ndarray) -> float:
    """Return a robust standard deviation; of values half of which are nearly one number, such as rain, by deciles."""
    low, high = np.quantile(values, (0.1, 0.9))
    middle, wide = np.median(np.abs(values - np.median(values))) / _MAD, (high - low) / _DECILES
    return float(wide if middle < PEAKED * wide else middle)
