"""Compare observations with a model's climatology, to find another quantity, unit, place or season."""

from __future__ import annotations

import threading
import warnings

import numpy as np

from geogan.archive import Archive
from geogan.compute.extent import Extent
from geogan.filling.plan import Task


class Regime:
    """Collect how far observations lie from a model's climatology, while they are read for another purpose.

    Parameters
    ----------
    archive : Archive
        Of the whole grid, as the model reads it.
    name : str
        What sentences call the field.
    bands : tuple of str
        What they call each band, where the bands are variables.
    limit : float
        Median distance from the climatology, in the model's standard deviations, from which on observations are of
        another regime. By Chebyshev's inequality at most a ninth of the training data lies beyond three standard
        deviations; in another regime it is half of all observations.
    enough : int
        Observations of a band that make a median.
    sample : int
        Values of each region that are compared.

    Examples
    --------
    >>> import xarray as xr
    >>> from geogan.archive.standardiser import Standardiser
    >>> from geogan.fields.field import Field
    >>> field = xr.DataArray(np.full((2, 8, 8), 288.0), dims=("time", "y", "x"), name="sst")
    >>> model = Standardiser(np.full((1, 1, 8, 8), 15, "f4"), np.array([2.0]))
    >>> regime = Regime(Archive.of(Field.of(field, domain=np.ones((8, 8), bool)), model), "sst")
    >>> regime.add(Extent(slice(0, 2), slice(0, 8), slice(0, 8)), field.values[:, None])
    >>> regime.sentences()[0].split(" off ")[0]
    'sst is 136.5 standard deviations'
    """

    def __init__(
        self,
        archive: Archive,
        name: str,
        bands: tuple[str, ...] = (),
        *,
        limit: float = 3.0,
        enough: int = 50,
        sample: int = 20_000,
    ) -> None:
        self.archive, self.name, self.bands = archive, name, bands
        self.limit, self.enough, self.sample = limit, enough, sample
        self._anomalies: list[list[np.ndarray]] = [[] for _ in range(archive.bands)]
        self._values: list[list[np.ndarray]] = [[] for _ in range(archive.bands)]

    def add(self, region: Extent, values: np.ndarray) -> None:
        """Add the values of a region, (t, C, h, w), in the field's units."""
        t, y, x = region
        step = max(1, round((values[:, 0].size / self.sample) ** 0.5))
        rows, columns = slice(None, None, step), slice(None, None, step)
        raw = values[..., rows, columns]
        sampled = [_every(part, step) for part in (y, x)]
        seen = np.isfinite(raw) & self.archive.domain[y, x][rows, columns]
        # Values outside the domain of a transform are refused when they are read for a fill.
        with np.errstate(all="ignore"):
            try:
                anomaly = self.archive.anomalies(np.where(seen, raw, self.archive.standardiser.neutral), t, *sampled)
            except ValueError:
                return
        for band in range(raw.shape[1]):
            self._anomalies[band].append(anomaly[:, band][seen[:, band]])
            self._values[band].append(np.asarray(raw[:, band][seen[:, band]], np.float64))

    def sentences(self) -> list[str]:
        """Return a sentence for each band of another regime."""
        sentences = []
        for band, (anomalies, values) in enumerate(zip(self._anomalies, self._values)):
            anomaly = np.concatenate(anomalies) if anomalies else np.zeros(0)
            if anomaly.size < self.enough or not np.median(np.abs(anomaly)) > self.limit:
                continue
            archive = self.archive
            nothing = np.zeros((1, archive.bands, *archive.domain.shape), np.float32)
            expected = np.median(archive.in_units(nothing, slice(0, 1))[0, band][archive.domain])
            name = self.bands[band] if band < len(self.bands) else self.name
            sentences.append(
                f"{name} is {np.median(np.abs(anomaly)):.1f} standard deviations off the model's climatology in the "
                f"median (values about {np.median(np.concatenate(values)):.4g}, expected about {expected:.4g}), so "
                "filled values will be wrong: quantity, unit, location or season differ from the training; convert "
                "the field, or train a model on it"
            )
        return sentences


class RegimeWarning:
    """Warn once if a task that is read for a fill is of another regime; the ``warn`` of a `geogan.filling.fill.Filler`.

    Parameters
    ----------
    name : str
        What the warning calls the field.
    bands : tuple of str
    """

    def __init__(self, name: str, bands: tuple[str, ...] = ()) -> None:
        self.name, self.bands, self._is_warned, self._lock = name, bands, False, threading.Lock()

    def __reduce__(self) -> tuple[type[RegimeWarning], tuple[str, tuple[str, ...]]]:
        return RegimeWarning, (self.name, self.bands)

    def __call__(self, held: Archive, task: Task) -> None:
        """Compare the observations of a task with the climatology."""
        if self._is_warned or held.field.chunks is not None:
            return
        regime, dates = Regime(held, self.name, self.bands), task.dates.core
        region = Extent(dates, slice(0, held.domain.shape[0]), slice(0, held.domain.shape[1]))
        regime.add(region, np.asarray(held.field[dates].values))
        with self._lock:
            if not self._is_warned:
                for sentence in regime.sentences():
                    self._is_warned = True
                    warnings.warn(sentence, stacklevel=2)


def _every(part: slice, step: int) -> slice:
    return slice(part.start or 0, part.stop, step)
