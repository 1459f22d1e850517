"""Whether observations are what a model's climatology expects: the same quantity, units, place and season."""

from __future__ import annotations

import threading
import warnings

import numpy as np

from geogan.archive import Archive
from geogan.compute.extent import Extent
from geogan.filling.tiles import Tile

# Median distance from the climatology, in the model's standard deviations, from which on observations are of another
# regime. By Chebyshev's inequality no more than a ninth of what a model was trained on can lie beyond three standard
# deviations; here it is half of all observations.
LIMIT = 3.0
# Observations of a band that are enough for a median; and that are looked at, of each part that is read.
ENOUGH, SAMPLE = 50, 20_000


class Regime:
    """Collects how far observations lie from a model's climatology, while they are read for another purpose.

    Parameters
    ----------
    archive : Archive
        Of the whole grid, as the model sees it.
    name : str
        What sentences call the field.

    Examples
    --------
    >>> import xarray as xr
    >>> from geogan.archive import Standardiser
    >>> field = xr.DataArray(np.full((2, 8, 8), 288.0), dims=("time", "y", "x"), name="sst")
    >>> model = Standardiser(np.full((1, 1, 8, 8), 15, "f4"), np.array([2.0]))
    >>> regime = Regime(Archive.of(field, np.ones((8, 8), bool), model), "sst")
    >>> regime.add(Extent(slice(0, 2), slice(0, 8), slice(0, 8)), field.values[:, None])
    >>> regime.sentences()[0].split(" off ")[0]
    'sst lies 136.5 standard deviations'
    """

    def __init__(self, archive: Archive, name: str, bands: tuple[str, ...] = ()) -> None:
        self.archive, self.name, self.bands = archive, name, bands
        self._found: list[list[np.ndarray]] = [[] for _ in range(archive.bands)]
        self._values: list[list[np.ndarray]] = [[] for _ in range(archive.bands)]

    def add(self, region: Extent, values: np.ndarray) -> None:
        """Look at a part that was read, (t, C, h, w), in the field's units."""
        t, y, x = region
        step = max(1, round((values[:, 0].size / SAMPLE) ** 0.5))
        rows, columns = slice(None, None, step), slice(None, None, step)
        raw = values[..., rows, columns]
        dates = np.arange(len(self.archive.days))[t]
        phase = None if self.archive.phase is None else self.archive.phase[dates]
        own = self.archive.standardiser.part(*(_every(part, step) for part in (y, x)))
        seen = np.isfinite(raw) & self.archive.domain[y, x][rows, columns]
        # Values that a transform cannot take are no sign of another season, and are refused where they are read.
        with np.errstate(all="ignore"):
            try:
                anomaly = own.forward(np.where(seen, raw, own.neutral), phase)
            except ValueError:
                return
        for band in range(raw.shape[1]):
            self._found[band].append(anomaly[:, band][seen[:, band]])
            self._values[band].append(np.asarray(raw[:, band][seen[:, band]], np.float64))

    def sentences(self) -> list[str]:
        """Return a sentence for each band of another regime; none for those that are as the model expects."""
        said = []
        for band, (found, values) in enumerate(zip(self._found, self._values)):
            anomaly = np.concatenate(found) if found else np.zeros(0)
            if anomaly.size < ENOUGH or not np.median(np.abs(anomaly)) > LIMIT:
                continue
            archive = self.archive
            nothing = np.zeros((1, archive.bands, *archive.domain.shape), np.float32)
            phase = None if archive.phase is None else archive.phase[:1]
            expected = np.median(archive.standardiser.inverse(nothing, phase)[0, band][archive.domain])
            name = self.bands[band] if band < len(self.bands) else self.name
            said.append(
                f"{name} lies {np.median(np.abs(anomaly)):.1f} standard deviations off the model's climatology in the "
                f"median (values about {np.median(np.concatenate(values)):.4g}, expected about {expected:.4g}): "
                "another quantity, unit, place or season than it was trained on, so what is filled will be wrong; "
                "convert the field, or train a model on it"
            )
        return said


class Watch:
    """Warns once when a slab that is read for a fill is of another regime; see `geogan.filling.fill.slab_parts`."""

    def __init__(self, name: str, bands: tuple[str, ...] = ()) -> None:
        self.name, self.bands, self._warned, self._lock = name, bands, False, threading.Lock()

    def __reduce__(self) -> tuple[type[Watch], tuple[str, tuple[str, ...]]]:
        return Watch, (self.name, self.bands)

    def __call__(self, held: Archive, slab: Tile) -> None:
        """Look at what a slab read."""
        if self._warned or held.field.chunks is not None:
            return
        regime = Regime(held, self.name, self.bands)
        whole = Extent(slab.core, slice(0, held.domain.shape[0]), slice(0, held.domain.shape[1]))
        regime.add(whole, np.asarray(held.field[slab.core].values))
        with self._lock:
            if not self._warned:
                for sentence in regime.sentences():
                    self._warned = True
                    warnings.warn(sentence, stacklevel=2)


def _every(part: slice, step: int) -> slice:
    return slice(part.start or 0, part.stop, step)
