"""An archive as training and filling see it: standardised pieces, what was seen, what is withheld."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import NamedTuple

import dask
import numpy as np
import xarray as xr

from geogan.coordinates import day_of_year, days, find_axes, stacked
from geogan.covariates import Covariates
from geogan.standardise import Standardiser, within_unity
from geogan.withheld import Withheld, withhold

# Archives up to this many values are held in memory while training; longer ones are read piece by piece.
IN_MEMORY = 200_000_000


class Piece(NamedTuple):
    """A part of an archive, in memory; (T, C, h, w) float32 but for ``domain`` and ``days``."""

    values: np.ndarray  # unitless anomalies, 0 where not observed
    observed: np.ndarray  # 1 where measured and not withheld
    withheld: np.ndarray  # 1 where measured and withheld
    domain: np.ndarray  # (h, w) float32
    days: np.ndarray  # (T,) float64
    covariates: np.ndarray | None = None  # (T, K, h, w)
    uncertainty: np.ndarray | None = None  # standard deviation of the values' errors, 0 where there are none


@dataclass(frozen=True, eq=False)
class Archive:
    """A gappy field with what is needed to read standardised pieces of it.

    Attributes
    ----------
    field : DataArray, shape (T, C, H, W)
        As measured, NaN where unseen; lazy or not. A single map has ``T = 1``, a field without bands ``C = 1``.
    domain : ndarray of bool, shape (H, W)
        True where the field exists.
    standardiser : Standardiser
        What turns values into anomalies.
    days : ndarray of float64, shape (T,)
    phase : ndarray of float64, shape (T,), or None
        Day of the year of each date.
    withheld : Withheld, optional
        What pieces must not show; None to show all.
    independent : bool
        Whether the dates are no dates but samples that have nothing to do with each other.
    limits : (float, float), optional
        Values lie between them: those of images.
    origin : (int, int)
        Row and column of the model's grid at which the field's begins.
    covariates : Covariates, optional
        What networks are shown beside the field.
    error : DataArray, shape (T, C, H, W), or float, optional
        Standard deviation of the observations' errors, in the field's units; None where it is not known.
    """

    field: xr.DataArray
    domain: np.ndarray
    standardiser: Standardiser
    days: np.ndarray
    phase: np.ndarray | None
    withheld: Withheld | None = None
    independent: bool = False
    limits: tuple[float, float] | None = None
    origin: tuple[int, int] = (0, 0)
    covariates: Covariates | None = None
    error: xr.DataArray | float | None = None

    @classmethod
    def of(
        cls,
        source: xr.DataArray,
        domain: np.ndarray,
        standardiser: Standardiser,
        *,
        error: xr.DataArray | float | None = None,
    ) -> Archive:
        """The archive of a field, its dimensions put in order."""
        axes = find_axes(source)
        return cls(
            stacked(source, axes),
            domain,
            standardiser,
            days(source, axes),
            day_of_year(source, axes),
            independent=axes.independent,
            limits=(-1.0, 1.0) if within_unity(source, axes) else None,
            error=error,
        )

    @property
    def bands(self) -> int:
        """Bands of the field."""
        return self.field.shape[1]

    def held(self) -> Archive:
        """The archive in memory, where it is small enough."""
        if self.field.chunks is None or self.field.size > IN_MEMORY:
            return self
        error = self.error
        if isinstance(error, xr.DataArray):
            error = error.astype(np.float32).compute(scheduler="threads")
        return replace(self, field=self.field.astype(np.float32).compute(scheduler="threads"), error=error)

    def errors(self, dates: slice) -> np.ndarray | float:
        """Standard deviation of the observations' errors, in the field's units; 0 where it is not known."""
        return _values(self.error[dates]) if isinstance(self.error, xr.DataArray) else self.error or 0.0

    def withholding(self, share_seen: np.ndarray, *, seed: int) -> Archive:
        """The archive with some of its observations withheld."""
        return replace(self, withheld=withhold(self.seen, share_seen, seed=seed, independent=self.independent))

    def seen(self, date: int) -> np.ndarray:
        """What was observed on a date, (C, H, W) bool, withheld or not."""
        return self._masks(date)

    @cached_property
    def _masks(self) -> Callable[[int], np.ndarray]:
        # Masks are asked for again and again while choosing what to withhold, and while reading past it.
        return lru_cache(maxsize=128)(lambda date: np.isfinite(_values(self.field[date])) & self.domain)

    def read(self, t: slice | np.ndarray, y: slice = slice(None), x: slice = slice(None)) -> Piece:
        """The piece of the archive at ``t``, ``y``, ``x``; withheld observations are not among the values.

        ``t`` is a stretch of dates, or numbers of some of them, in order.
        """
        raw = _values(self.field[t, :, y, x]).astype(np.float32)
        phase = None if self.phase is None else self.phase[t]
        domain = self.domain[y, x]
        observed = np.isfinite(raw) & domain
        held = np.zeros_like(observed)
        if self.withheld is not None:
            for row, date in enumerate(np.arange(len(self.days))[t]):
                hidden = self.withheld.hidden(int(date), self.seen)
                if hidden is not None:
                    held[row] = hidden[:, y, x]
        there = np.where(observed, raw, 1.0)
        anomaly = self.standardiser.forward(there, phase, y, x)
        anomaly = np.where(observed, anomaly, 0).astype(np.float32)
        uncertainty = None
        if self.error is not None:
            error = self.error if isinstance(self.error, float) else _values(self.error[t, :, y, x])
            uncertainty = np.where(observed, self.standardiser.uncertainty(error, there), 0).astype(np.float32)
        return Piece(
            values=anomaly,
            observed=(observed & ~held).astype(np.float32),
            withheld=(observed & held).astype(np.float32),
            domain=domain.astype(np.float32),
            days=self.days[t],
            covariates=None if self.covariates is None else self.covariates.films(phase, domain, y, x, dates=len(raw)),
            uncertainty=uncertainty,
        )


def _values(field: xr.DataArray) -> np.ndarray:
    # Pieces are read from background threads and from Dask's own: no second pool inside them.
    with dask.config.set(scheduler="synchronous"):
        return np.asarray(field.values)
