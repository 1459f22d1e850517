"""Screen outliers: single observations that neither their neighbours nor the climatology support."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geogan.compute.extent import Extent
from geogan.fields.circle import stretches
from geogan.fields.marks import screened_mark

# Neighbours on each side with which a cell is compared: 24 on its date, 9 on each date beside it.
CELLS, DATES = 2, 1
# Robust standard deviations that an observation may be from the climatology and from its neighbours, by default. A
# normal law has one value in two million beyond. Fields with fronts have more, but their neighbours are there too.
THRESHOLD = 5.0
# Share of suspicious observations from which on users are warned: fields without errors have less, even rain.
MANY = 3e-3
# Fewer neighbours than this do not decide about an observation; then the climatology alone does.
FEWEST = 4
# The median absolute deviation of a normal law over its standard deviation.
MAD = 0.6745


@dataclass(frozen=True)
class Screen:
    """Location and scales of the anomalies of each band, and the threshold beyond which one is suspicious.

    Attributes
    ----------
    center, spread : tuple of float
        Median and robust standard deviation of the anomalies.
    local : tuple of float
        Robust standard deviation of an anomaly about the median of its neighbours.
    threshold : float or None
        Robust standard deviations beyond which an observation is left out; None if none is.

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

    @staticmethod
    def threshold_of(screen: bool | float) -> float | None:
        """Return the threshold that the setting ``screen`` asks for; None if it asks for no screen.

        Examples
        --------
        >>> Screen.threshold_of(True), Screen.threshold_of(False), Screen.threshold_of(4.0)
        (5.0, None, 4.0)
        """
        return THRESHOLD if screen is True else screen or None

    @classmethod
    def fit(
        cls, films: Sequence[np.ndarray], *, independent: bool = False, threshold: float | None = None
    ) -> Screen | None:
        """Estimate center and scales robustly: one outlier in twenty hardly changes them.

        Parameters
        ----------
        films : sequence of ndarray, shape (T, C, h, w)
            Unitless anomalies of consecutive dates, NaN where not observed.
        independent : bool
            Whether the dates are independent samples.
        threshold : float, optional
            Threshold of the screen.

        Returns
        -------
        Screen or None
            None if a band has no observation.
        """
        sample = 20_000  # cells of each band that are used
        bands = []
        for band in range(films[0].shape[1] if films else 0):
            anomalies, deviations = [], []
            for film in films:
                part = film[:, band : band + 1]
                cells = np.argwhere(np.isfinite(part))
                cells = cells[:: max(1, len(cells) * len(films) // sample)]
                neighbours, values = _neighbours(part, cells, independent), part[tuple(cells.T)]
                anomalies.append(values)
                deviations.append((values - _median(neighbours))[np.isfinite(neighbours).sum(1) >= FEWEST])
            values = np.concatenate(anomalies)
            if not values.size:
                return None
            spread = _scale(values)
            differences = np.concatenate(deviations)
            local = _scale(differences) if differences.size else spread
            # Analyses without noise are so smooth that any front would exceed a smaller local scale.
            bands.append((float(np.median(values)), spread, max(local, 0.5 * spread)))
        if not bands:
            return None
        center, spreads, locals_ = (tuple(part) for part in zip(*bands, strict=True))
        return cls(center, spreads, locals_, threshold)

    def suspicious(
        self, anomaly: np.ndarray, *, independent: bool = False, threshold: float | None = None
    ) -> np.ndarray:
        """Find observations that neither neighbours nor climatology support.

        Parameters
        ----------
        anomaly : ndarray, shape (T, C, h, w)
            Unitless anomalies, NaN where not observed. Cells at the rim have fewer neighbours.
        independent : bool
            Whether the dates are independent samples.
        threshold : float, optional
            By default that of the screen, else :data:`THRESHOLD`.

        Returns
        -------
        suspicious : ndarray of bool, shape (T, C, h, w)
        """
        limit = threshold or self.threshold or THRESHOLD
        shape = (1, -1, 1, 1)
        center, spread, local = (np.array(part).reshape(shape) for part in (self.center, self.spread, self.local))
        with np.errstate(invalid="ignore"):
            distance = np.abs(anomaly - center) / np.where(spread > 0, spread, np.inf)
            candidates = np.argwhere(distance > limit)
        suspicious = np.zeros(anomaly.shape, bool)
        batch = 100_000  # cells that are compared with their neighbours at a time
        for start in range(0, len(candidates), batch):
            some = candidates[start : start + batch]
            cells, neighbours = tuple(some.T), _neighbours(anomaly, some, independent)
            band = some[:, 1]
            # A neighbour that deviates half as much supports an observation too: rain and chlorophyll are peaked.
            deviation = np.abs(anomaly[cells] - center[0, band, 0, 0])
            tolerance = np.maximum(limit * local[0, band, 0, 0], 0.5 * deviation)
            with np.errstate(invalid="ignore"):
                support = (np.abs(neighbours - anomaly[cells][:, None]) <= tolerance[:, None]).sum(1)
            count = np.isfinite(neighbours).sum(1)
            # At a front or an event a quarter of the neighbours is on the same side, even at a corner; an outlier, if
            # one cell in a hundred is one, has hardly any.
            is_isolated = support < np.maximum(1, 0.15 * count)
            # With few neighbours the climatology alone decides, at a higher threshold.
            suspicious[cells] = np.where(count >= FEWEST, is_isolated, distance[cells] > 1.5 * limit)
        return suspicious


def hide(values: np.ndarray, suspicious: np.ndarray) -> np.ndarray:
    """Return values with suspicious ones replaced by the NaN that marks them; the same array if there are none."""
    if not suspicious.any():
        return values
    return np.where(suspicious, screened_mark(values.dtype), values)


def with_neighbours(part: slice, size: int, by: int, *, is_periodic: bool = False) -> tuple[slice, slice]:
    """Return a slice extended by its neighbours, and the original slice relative to it.

    The extended slice ends with the axis; on an axis that goes round the globe it may go beyond either end.

    Examples
    --------
    >>> with_neighbours(slice(0, 4), 10, 2)
    (slice(0, 6, None), slice(0, 4, None))
    """
    start, stop = (0, size) if part.start is None else (part.start, part.stop)
    wide = slice(start - by, stop + by) if is_periodic else slice(max(0, start - by), min(size, stop + by))
    return wide, slice(start - wide.start, stop - wide.start)


def read_screened(
    read: Callable[[slice, slice, slice], np.ndarray],
    find: Callable[[np.ndarray, slice, slice, slice], np.ndarray],
    part: tuple[slice, slice, slice],
    shape: Sequence[int],
    *,
    is_periodic: bool = False,
) -> np.ndarray:
    """Return the values of a part, (t, C, h, w), with NaN for suspicious ones; it is read with its neighbours.

    Parameters
    ----------
    read : callable
        ``read(t, y, x)`` returns the values of a part.
    find : callable
        ``find(values, t, y, x)`` returns the suspicious cells of a part.
    part : (slice, slice, slice)
        Dates, rows and columns.
    shape : sequence of int
        Shape of the field, (T, C, H, W).
    is_periodic : bool
        Whether the last column touches the first.
    """
    (t, dates), (y, rows), (x, columns) = (
        with_neighbours(side, size, by, is_periodic=wraps)
        for side, size, by, wraps in zip(
            part, (shape[0], *shape[2:]), (DATES, CELLS, CELLS), (False, False, is_periodic), strict=True
        )
    )
    values = read(t, y, x)
    return hide(values, find(values, t, y, x))[dates, :, rows, columns]


class Screened:
    """A lazy array (T, C, H, W) whose suspicious values are NaN; parts are read with their neighbours.

    Dask indexes it like an array. Values do not depend on the part that is read.

    Parameters
    ----------
    array : dask array, shape (T, C, H, W)
    find : callable
        ``find(values, t, y, x)`` returns the suspicious cells of a part.
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
        t, _, y, x = (slice(int(part.min()), int(part.max()) + 1) for part in numbers)
        values = read_screened(self._read, self.find, (t, y, x), self.shape, is_periodic=self.is_periodic)
        starts = (t.start, 0, y.start, x.start)
        values = values[np.ix_(*(part - start for part, start in zip(numbers, starts, strict=True)))]
        return values[tuple(0 if isinstance(part, int | np.integer) else slice(None) for part in key)]

    def _read(self, t: slice, y: slice, x: slice) -> np.ndarray:
        """Return the values of a part with all bands; columns beyond an end are those of the other side."""
        # Chunks are computed in parallel already, on threads or on a cluster.
        read = [
            np.asarray(self.array[t, :, y, part].compute(scheduler="synchronous"))
            for part in stretches(x, self.shape[-1])
        ]
        return read[0] if len(read) == 1 else np.concatenate(read, -1)


def count_suspicious(values: np.ndarray, *, independent: bool = False) -> tuple[int, int]:
    """Count suspicious values of a part of a field that has no climatology yet.

    Parameters
    ----------
    values : ndarray, shape (T, C, h, w)
        Values in units of the field, NaN where not observed. The median of each cell is used as its climatology if
        there are enough dates, else the median of the part.
    independent : bool
        Whether the dates are independent samples.

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
    count = 0 if screen is None else int(screen.suspicious(anomaly, independent=independent).sum())
    return count, int(seen.sum())


class Outliers:
    """Count the suspicious values of a field while it is read for another purpose; in a sample of its parts if long.

    Parameters
    ----------
    size : int
        Number of values of the field.
    independent : bool
        Whether its dates are independent samples.
    """

    def __init__(self, size: int, *, independent: bool = False) -> None:
        # About 2^23 values are examined.
        self._every, self._independent = max(1, -(-size // 2**23)), independent
        self._parts, self._found, self._observed = 0, 0, 0

    def add(self, extent: Extent, values: np.ndarray) -> None:
        """Count suspicious values of a part, (t, C, h, w)."""
        self._parts += 1
        if self._parts % self._every == 1 % self._every:
            suspicious, observed = count_suspicious(values, independent=self._independent)
            self._found += suspicious
            self._observed += observed

    @property
    def share(self) -> float:
        """Share of suspicious observations among those examined."""
        return self._found / max(1, self._observed)


def outlier_advice(name: str, share: float) -> str | None:
    """Return the warning about a field with a share of suspicious values; None if they are few."""
    if share <= MANY:
        return None
    return (
        f"{name}: {share:.2%} of the observations lie more than {THRESHOLD:g} robust standard deviations from the "
        "climatology and have hardly a neighbour near them; if they are errors, leave them out with --screen"
    )


def _neighbours(anomaly: np.ndarray, cells: np.ndarray, independent: bool) -> np.ndarray:
    """Return the neighbours of some cells, (N, K), NaN if there is none; ``cells`` holds their indices, (N, 4)."""
    t, c, y, x = cells.T
    offsets = [(0, *shift) for shift in itertools.product(range(-CELLS, CELLS + 1), repeat=2) if shift != (0, 0)]
    if not independent:
        offsets += list(itertools.product((-DATES, DATES), (-1, 0, 1), (-1, 0, 1)))
    neighbours = np.full((len(cells), len(offsets)), np.nan)
    for number, (later, down, right) in enumerate(offsets):
        shifted = (t + later, c, y + down, x + right)
        inside = np.all([(index >= 0) & (index < size) for index, size in zip(shifted, anomaly.shape)], axis=0)
        neighbours[inside, number] = anomaly[tuple(index[inside] for index in shifted)]
    return neighbours


def _median(rows: np.ndarray) -> np.ndarray:
    """Return the median of each row, NaN for a row of NaN only."""
    ordered, count = np.sort(rows, axis=1), np.isfinite(rows).sum(1)
    row = np.arange(len(rows))
    middle = (ordered[row, np.maximum(count - 1, 0) // 2] + ordered[row, np.minimum(count // 2, rows.shape[1] - 1)]) / 2
    return np.where(count > 0, middle, np.nan)


def _scale(values: np.ndarray) -> float:
    """Return a robust standard deviation, from the median absolute deviation.

    If most values are one number (rain), it is far smaller than the interdecile range, which is then used instead.
    """
    low, high = np.quantile(values, (0.1, 0.9))
    by_median, by_deciles = np.median(np.abs(values - np.median(values))) / MAD, (high - low) / 2.5631
    return float(by_deciles if by_median < 0.3 * by_deciles else by_median)
