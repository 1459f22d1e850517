"""Unitless anomalies: a climatology and a scale, fitted on gappy data in one pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from geogan.coordinates import Axes, day_of_year, days
from geogan.operators.errors import InputError

YEAR = 365.2425
# A seasonal cycle is fitted to records of at least this many days ...
SEASONAL_RECORD = 1.5 * YEAR
# ... whose dates tell the harmonics apart: the condition number of their normal equations.
SEASONAL_CONDITION = 30.0
# Each cell's climatology is drawn towards the domain's with the weight of this many observations:
# neighbouring days say almost the same, so a dozen dates must not make a climatology of their own.
SHRINKAGE = 30.0
# Memory for one slab of the pass, in values.
SLAB = 8_000_000

TRANSFORMS = ("none", "log")


@dataclass(frozen=True, eq=False)
class Standardiser:
    """Turns a field into unitless anomalies, and back.

    Attributes
    ----------
    coefficients : ndarray of float32, shape (K, H, W)
        Climatology of every cell in transformed units: the mean, then cosine and sine of one and two
        cycles a year; ``K`` is 1, 3 or 5.
    scale : float
        Standard deviation of the anomalies, in transformed units.
    transform : str
        ``"none"``, or ``"log"`` for quantities that are positive and spread over decades.
    note : str
        What was fitted, in words, and why.

    Examples
    --------
    >>> field = xr.DataArray(np.array([[[1.0, 3.0]], [[np.nan, 5.0]]]), dims=("time", "y", "x"))
    >>> fitted = Standardiser.fit(field, Axes("time", "y", "x"), np.ones((1, 2), bool))
    >>> anomaly = fitted.forward(field.values, None)
    >>> np.allclose(fitted.inverse(anomaly, None), field, equal_nan=True)
    True
    """

    coefficients: np.ndarray
    scale: float
    transform: str = "none"
    note: str = ""

    @classmethod
    def fit(
        cls,
        field: xr.DataArray,
        axes: Axes,
        domain: np.ndarray,
        *,
        transform: str = "none",
        harmonics: int = 2,
        hidden: Callable[[int], np.ndarray | None] | None = None,
    ) -> Standardiser:
        """Fit climatology and scale on what is observed.

        Parameters
        ----------
        field : DataArray, shape (T, H, W) or (H, W)
            NaN where unseen; read once, slab by slab.
        axes : Axes
            Which dimension is which.
        domain : ndarray of bool, shape (H, W)
            True where the field exists.
        transform : {"none", "log"}
            Applied before anything else.
        harmonics : int
            Harmonics of the year to fit at most; fewer where the record cannot carry them.
        hidden : callable, optional
            ``hidden(date)`` gives what must not be looked at on a date, (H, W) bool, or None.

        Raises
        ------
        InputError
            For an unknown transform, a logarithm of what is not positive, or a constant field.
        """
        if transform not in TRANSFORMS:
            raise InputError(f"transform must be one of {', '.join(TRANSFORMS)}, got {transform!r}")
        phase = day_of_year(field, axes)
        dates = days(field, axes)
        if axes.time is None:
            field = field.expand_dims("time")
        else:
            field = field.transpose(axes.time, axes.y, axes.x)
        seasonal = phase is not None and dates[-1] - dates[0] >= SEASONAL_RECORD
        count = 1 + 2 * harmonics if seasonal else 1
        basis = _basis(phase, len(dates), count)
        height, width = domain.shape
        normal = np.zeros((count, count, height, width))
        moment = np.zeros((count, height, width))
        square = np.zeros((height, width))
        offset = None
        slab = max(1, SLAB // (height * width))
        for start in range(0, len(dates), slab):
            # Outside the domain there may be anything, also what has no logarithm.
            raw = np.where(domain, field[start : start + slab].values, np.nan)
            for row, date in enumerate(range(start, start + len(raw)) if hidden is not None else ()):
                under = hidden(date)  # type: ignore[misc]
                if under is not None:
                    raw[row, under] = np.nan
            block = _transformed(raw, transform, field.name)
            seen = np.isfinite(block)
            if offset is None and seen.any():
                offset = float(block[seen].mean())  # keeps the sums of squares small
            block = np.where(seen, block - (offset or 0.0), 0.0)
            rows = basis[start : start + slab]
            outer = np.einsum("tk,tl->tkl", rows, rows).reshape(len(rows), -1)
            # Matrix products over the dates: the quickest way through memory.
            normal += (outer.T @ seen.reshape(len(rows), -1).astype(np.float64)).reshape(normal.shape)
            moment += (rows.T @ block.reshape(len(rows), -1)).reshape(moment.shape)
            square += (block**2).sum(0)
        if offset is None:
            raise InputError("the field has no value inside its domain; give another domain or another variable")
        keep = count
        while keep > 1 and not _well_conditioned(normal[:keep, :keep].sum((-1, -2))):
            keep -= 2
        normal, moment = normal[:keep, :keep], moment[:keep]
        pooled = np.linalg.solve(normal.sum((-1, -2)), moment.sum((-1, -2)))
        draw = SHRINKAGE * np.diag([1.0] + [0.5] * (keep - 1))
        cells = normal.reshape(keep, keep, -1).transpose(2, 0, 1) + draw
        aims = moment.reshape(keep, -1).T + draw @ pooled
        solved = np.linalg.solve(cells, aims[..., None])[..., 0]
        fitted = solved.T.reshape(keep, height, width)
        residual = square - 2 * (fitted * moment).sum(0) + np.einsum("khw,klhw,lhw->hw", fitted, normal, fitted)
        scale = float(np.sqrt(max(residual.sum(), 0.0) / normal[0, 0].sum()))
        if not scale > 1e-6 * max(abs(offset), 1e-30):
            raise InputError(f"{field.name or 'the field'} is constant ({offset:g}): there is nothing to learn from it")
        fitted[0] += offset
        return cls(fitted.astype(np.float32), scale, transform, _note(seasonal, keep, harmonics, dates))

    def climatology(self, phase: np.ndarray | None, y: slice = slice(None), x: slice = slice(None)) -> np.ndarray:
        """Climatology in transformed units, (T, h, w), at the days of the year ``phase`` (T,)."""
        coefficients = self.coefficients[:, y, x]
        count = 1 if phase is None else len(phase)
        return np.tensordot(_basis(phase, count, len(coefficients)).astype(np.float32), coefficients, 1)

    def forward(
        self, values: np.ndarray, phase: np.ndarray | None, y: slice = slice(None), x: slice = slice(None)
    ) -> np.ndarray:
        """Unitless anomalies of ``values`` (T, h, w), which cover ``y`` and ``x`` of the grid."""
        return (_transformed(values, self.transform, None) - self.climatology(phase, y, x)) / self.scale

    def inverse(
        self, anomaly: np.ndarray, phase: np.ndarray | None, y: slice = slice(None), x: slice = slice(None)
    ) -> np.ndarray:
        """The field of ``anomaly`` (T, h, w), in its own units."""
        values = anomaly * self.scale + self.climatology(phase, y, x)
        return np.exp(values) if self.transform == "log" else values


def _basis(phase: np.ndarray | None, count: int, terms: int) -> np.ndarray:
    if phase is None or terms == 1:
        return np.ones((count, terms))
    angle = 2 * np.pi * np.asarray(phase, np.float64)[:, None] / YEAR * np.arange(1, (terms - 1) // 2 + 1)
    return np.concatenate(
        [np.ones((len(phase), 1)), np.stack([np.cos(angle), np.sin(angle)], -1).reshape(len(phase), -1)], 1
    )


def _transformed(values: np.ndarray, transform: str, name: object) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if transform == "none":
        return values
    if (values <= 0).any():
        raise InputError(
            f"transform log needs positive values, but {name or 'the field'} goes down to {np.nanmin(values):g}; "
            "use --transform none or mask those values"
        )
    return np.log(values)


def _well_conditioned(normal: np.ndarray) -> bool:
    size = np.sqrt(np.diag(normal))
    return bool((size > 0).all()) and np.linalg.cond(normal / np.outer(size, size)) <= SEASONAL_CONDITION


def _note(seasonal: bool, keep: int, harmonics: int, dates: np.ndarray) -> str:
    span = dates[-1] - dates[0]
    if keep > 1:
        return f"mean and {(keep - 1) // 2} harmonics of the year in every cell"
    if harmonics == 0:
        return "mean of every cell"
    if seasonal:
        return "mean of every cell; the dates cover too little of the year for a seasonal cycle"
    if span == 0 or len(dates) < 2:
        return "mean of every cell; no dates, so no seasonal cycle"
    return f"mean of every cell; a record of {span:.0f} days is too short for a seasonal cycle"
