"""The climatology and the scale of anomalies of every cell, fitted to gappy data in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from typing import NamedTuple

import numpy as np
import xarray as xr

from geogan.compute.extent import Extent
from geogan.compute.streaming import group_dates, read_dates, read_parts
from geogan.fields.axes import VARIABLE
from geogan.fields.band_transforms import nonlinear_bands, sine_bands, transformed
from geogan.fields.dates import YEAR
from geogan.fields.durations import duration
from geogan.fields.field import Field
from geogan.fields.transforms import Transform
from geogan.operators.errors import InputError
from geogan.operators.wording import counted

Trend = Callable[[slice | np.ndarray, slice, slice], np.ndarray]
"""``trend(t, y, x)``: a part of the mean in transformed units on some dates, rows and columns, (t, C, h, w)."""

# Harmonics of the year at most: the annual and the semi-annual cycle.
HARMONICS = 2
# Values of one part of the pass.
PART_VALUES = 8_000_000


class ClimatologySums:
    """ClimatologySums over the dates of every cell, from which a climatology is fitted; they are added up part by part.

    Parameters
    ----------
    field : Field
        Its labels alone are used; values come by :meth:`add`.
    transforms : tuple of str
        Transform of each band.
    level : callable
        Returns, for the first values of a band, the level that is subtracted from all its values: it keeps the sums of
        squares small. The median if there may be arbitrary values outside the domain.
    trend : callable, optional
        Part of the mean that is subtracted from transformed values.
    """

    def __init__(
        self,
        field: Field,
        transforms: tuple[str, ...],
        *,
        level: Callable[[np.ndarray], float] = np.mean,
        trend: Trend | None = None,
    ) -> None:
        self.days, self.transforms = field.days, transforms
        self.independent, self.is_periodic = field.axes.independent, field.is_periodic
        self.names = _names(field)
        self._level, self._trend = level, trend
        shape, phase = (len(transforms), *field.grid), field.day_of_year
        # A seasonal cycle needs a record of one and a half years.
        is_seasonal = phase is not None and self.days[-1] - self.days[0] >= 1.5 * YEAR
        self._basis = basis(phase, len(self.days), 1 + 2 * HARMONICS if is_seasonal else 1)
        terms = self._basis.shape[1]
        self._pairs = np.triu_indices(terms)
        self.order = np.zeros((terms, terms), int)  # index in `_products` of the product of two terms
        self.order[self._pairs] = self.order.T[self._pairs] = np.arange(len(self._pairs[0]))
        self._products = np.zeros((len(self._pairs[0]), *shape))
        self._moment, self._square = np.zeros((terms, *shape)), np.zeros(shape)
        self._nonlinear = nonlinear_bands(transforms)
        self._lowest, self._highest = (np.full(shape, end) if self._nonlinear else None for end in (np.inf, -np.inf))
        self.offset = np.full((shape[0], 1, 1), np.nan)

    @classmethod
    def read(
        cls,
        field: Field,
        transforms: tuple[str, ...],
        *,
        hidden: Callable[[int], np.ndarray | None] | None = None,
        trend: Trend | None = None,
        most: int = PART_VALUES,
        message: Callable[[str], None] = lambda sentence: None,
    ) -> ClimatologySums:
        """Return the sums of a field inside its domain.

        Parameters
        ----------
        field, hidden, message
            As for :meth:`geogan.archive.standardiser.Standardiser.fit`.
        transforms : tuple of str
            Transform of each band.
        trend : callable, optional
            Part of the mean that is subtracted from transformed values.
        most : int
            Values of a part that is read at a time.
        """
        domain, sums = field.domain, cls(field, transforms, trend=trend)
        assert domain is not None
        parts = read_parts(field.stacked, most=most, what="fitting the climatology", message=message)
        for extent, part in parts:
            # Outside the domain there may be arbitrary values.
            raw = np.where(domain[extent.y, extent.x], part, np.nan)
            for row, date in enumerate(range(extent.t.start, extent.t.stop) if hidden is not None else ()):
                mask = hidden(date)  # type: ignore[misc]
                if mask is not None:
                    raw[row, mask[:, extent.y, extent.x]] = np.nan
            sums.add(extent, raw)
        return sums

    def add(self, extent: Extent, raw: np.ndarray) -> None:
        """Add a part (t, C, h, w), NaN where not observed."""
        self._add(*extent, raw, sign=1)

    def leave_out(self, field: xr.DataArray, dates: Iterable[int], hidden: Callable[[int], np.ndarray | None]) -> None:
        """Subtract the hidden cells on some dates of the field (T, C, H, W) that was added."""
        for group in group_dates(field, dates, most=max(1, PART_VALUES // field[0].size)):
            masks = [hidden(date) for date in group]
            for y, x, part in read_dates(field, group):
                mask = np.stack([np.zeros(part.shape[1:], bool) if m is None else m[:, y, x] for m in masks])
                self._add(np.array(group), y, x, np.where(mask, part, np.nan), sign=-1)

    def without(self, hidden: np.ndarray) -> ClimatologySums:
        """Return the sums of a single scene without its cells in ``hidden``, (C, H, W) bool; nothing is read again."""
        reduced, shown = copy(self), ~hidden
        reduced._products, reduced._moment, reduced._square = (
            part * shown for part in (self._products, self._moment, self._square)
        )
        return reduced

    def _add(self, t: slice | np.ndarray, y: slice, x: slice, raw: np.ndarray, *, sign: int) -> None:
        cells = (..., y, x)
        if self._lowest is not None and self._highest is not None:
            # Extremes outside the domain do no harm.
            raw = np.array(raw, np.float64)
            for bands, transform in self._nonlinear:
                values = raw[:, bands]
                lowest, highest = self._lowest[cells][bands], self._highest[cells][bands]
                np.minimum(lowest, np.where(np.isnan(values), np.inf, values).min(0), out=lowest)
                np.maximum(highest, np.where(np.isnan(values), -np.inf, values).max(0), out=highest)
                values[~transform.admits(values)] = np.nan
        part = transformed(raw, self.transforms)
        if self._trend is not None:
            part = part - self._trend(t, y, x)
        seen = np.isfinite(part)
        for band in np.flatnonzero(np.isnan(self.offset[:, 0, 0]) & seen.any((0, 2, 3))).tolist():
            self.offset[band] = self._level(part[:, band][seen[:, band]])
        part = np.where(seen, part - np.nan_to_num(self.offset), 0.0)
        rows = self._basis[t]
        outer = rows[:, self._pairs[0]] * rows[:, self._pairs[1]]
        # Matrix products over the dates are the quickest way through memory.
        count, shape = len(rows), part.shape[1:]
        self._products[cells] += sign * (outer.T @ seen.reshape(count, -1).astype(np.float64)).reshape(-1, *shape)
        self._moment[cells] += sign * (rows.T @ part.reshape(count, -1)).reshape(-1, *shape)
        self._square[cells] += sign * (part**2).sum(0)

    def check(self, domain: np.ndarray) -> None:
        """Refuse values inside the domain (H, W) that have no transform, and bands without an observation there.

        Raises
        ------
        InputError
        """
        for band, text in enumerate(self.transforms):
            if self._lowest is not None and self._highest is not None:
                lowest = self._lowest[band][domain].min(initial=np.inf)
                highest = self._highest[band][domain].max(initial=-np.inf)
                transform = Transform.parse(text)
                reason = transform.refusal(self.names[band], lowest, highest) if lowest <= highest else None
                if reason is not None:
                    raise InputError(reason)
            if not self._products[0, band][domain].any():
                raise InputError(
                    f"{self.names[band]} has no value inside its domain; give another domain or leave it out"
                )

    def final_transforms(self, domain: np.ndarray) -> tuple[str, ...]:
        """Return the transforms with the value at which directions begin, by the lowest one inside the domain."""
        texts = list(self.transforms)
        for sine in sine_bands(self.transforms):
            assert self._lowest is not None
            lowest = float(self._lowest[sine][domain].min(initial=np.inf))
            for band in (sine, sine + 1):
                texts[band] = str(Transform.parse(texts[band]).beginning(lowest))
        return tuple(texts)

    def inside(self, domain: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the sums of products of the basis, of values times basis, and of squares; 0 outside the domain."""
        for sums in (self._products, self._moment, self._square):
            sums[..., ~domain] = 0
        return self._products, self._moment, self._square


def _names(field: Field) -> list[str]:
    """Return the names of the bands for messages."""
    if field.axes.band == VARIABLE and field.band_names:
        return list(field.band_names)
    if field.bands == 1:
        return [field.name]
    return [f"band {band} of {field.name}" for band in field.band_names or range(field.bands)]


class Climatology(NamedTuple):
    """A fitted climatology; attributes are those of :class:`geogan.archive.standardiser.Standardiser`."""

    coefficients: np.ndarray
    scale: np.ndarray
    transforms: tuple[str, ...]
    note: str


def fit_climatology(sums: ClimatologySums, domain: np.ndarray, *, plane: bool = False) -> Climatology:
    """Fit climatology and scale to the sums of a field.

    Every cell has a mean and, if the dates determine them, harmonics of the year. The fit of a cell is shrunk towards
    that of the domain (ridge regression). A single scene has one mean for all cells, or a plane.

    Parameters
    ----------
    sums : ClimatologySums
        Changed: cells outside the domain are set to 0.
    domain : ndarray of bool, shape (H, W)
    plane : bool
        Whether the climatology of a single scene is a plane.

    Raises
    ------
    InputError
        If values have no transform, or a band has no value or is constant inside the domain.
    """
    sums.check(domain)
    transforms = sums.final_transforms(domain)
    products, moment, square = sums.inside(domain)
    normal, seen = _per_band(products)[:, sums.order], products[0]
    terms = _number_of_terms(normal)
    order, moment = sums.order[:terms, :terms], moment[:terms]
    pooled = np.linalg.solve(normal[:, :terms, :terms], _per_band(moment)[..., None])[..., 0]
    bands, is_scene = len(transforms), len(sums.days) == 1
    # A plane needs at least 100 cells.
    plane = plane and is_scene and bool((seen > 0).any(0).sum() >= 100)
    planes = pooled
    if plane:
        planes = np.stack([_plane(*part, is_periodic=sums.is_periodic) for part in zip(moment[0], seen)])
    coefficients = np.empty((terms, bands, *domain.shape), np.float32)
    residual = np.zeros(bands)
    # Some rows at a time, of 2^18 values: the equations of all cells would take more memory than all other arrays.
    rows = max(1, 2**18 // (domain.shape[1] * bands))
    for start in range(0, len(domain), rows):
        some = (..., slice(start, start + rows), slice(None))
        n, m = products[some][order], moment[some]
        common = np.broadcast_to(pooled[:, None], (bands, n[0, 0, 0].size, terms))
        if plane:
            common = planes[some].reshape(bands, -1, 1)
        # One observation of a cell does not determine its climatology.
        solved = common.transpose(2, 0, 1).reshape(m.shape).copy() if is_scene else _solved(n, m, common)
        left = square[some] - 2 * (solved * m).sum(0) + np.einsum("kchw,klchw,lchw->chw", solved, n, solved)
        residual += left.sum((1, 2))
        solved[0] += sums.offset
        coefficients[some] = solved
    scale = np.sqrt(np.maximum(residual, 0.0) / seen.sum((1, 2)))
    for sine in sine_bands(transforms):
        # Both components have one scale, so that the error of a direction does not depend on the direction.
        scale[sine : sine + 2] = np.sqrt(np.mean(scale[sine : sine + 2] ** 2))
    for band, (level, spread) in enumerate(zip(sums.offset.ravel(), scale)):
        if not spread > 1e-6 * max(abs(level), 1e-30) and transforms[band] != "identity":
            raise InputError(f"{sums.names[band]} is constant ({level:g}): there is nothing to learn from it")
    unchanged = [band for band, text in enumerate(transforms) if text == "identity"]
    coefficients[:, unchanged], scale[unchanged] = 0.0, 1.0
    return Climatology(coefficients, scale, transforms, "a plane" if plane else _note(sums, terms))


def _solved(normal: np.ndarray, moment: np.ndarray, common: np.ndarray) -> np.ndarray:
    """Return the coefficients (K, C, h, w) of each cell, shrunk towards the common ones (C, cells, K).

    The common climatology has the weight of 30 observations for the mean and 15 for a harmonic: neighbouring days are
    highly correlated, so a dozen dates must not determine the climatology of a cell.
    """
    terms, bands = moment.shape[:2]
    ridge = 30.0 * np.diag([1.0] + [0.5] * (terms - 1))
    left = normal.reshape(terms, terms, bands, -1).transpose(2, 3, 0, 1) + ridge
    right = moment.reshape(terms, bands, -1).transpose(1, 2, 0) + common @ ridge
    return np.linalg.solve(left, right[..., None])[..., 0].transpose(2, 0, 1).reshape(moment.shape)


def _number_of_terms(normal: np.ndarray) -> int:
    """Return the number of terms that the dates determine in every band, from normal matrices (C, K, K)."""
    terms = normal.shape[-1]
    while terms > 1 and not all(_is_well_conditioned(part[:terms, :terms]) for part in normal):
        terms -= 2
    return terms


def _is_well_conditioned(normal: np.ndarray) -> bool:
    """Return whether the dates separate the harmonics: a condition number of at most 30, with a unit diagonal."""
    size = np.sqrt(np.diag(normal))
    return bool((size > 0).all()) and np.linalg.cond(normal / np.outer(size, size)) <= 30.0


def basis(phase: np.ndarray | None, count: int, terms: int) -> np.ndarray:
    """Return the terms of a climatology on each date, (T, K): 1, then cosine and sine of each harmonic of the year.

    Parameters
    ----------
    phase : ndarray of float64, shape (T,), or None
        Days of the year.
    count, terms : int
        T and K.

    Examples
    --------
    >>> basis(np.array([0.0, YEAR / 8]), 2, 3).round(3).tolist()
    [[1.0, 1.0, 0.0], [1.0, 0.707, 0.707]]
    """
    if phase is None or terms == 1:
        return np.ones((count, terms))
    angle = 2 * np.pi * np.asarray(phase, np.float64)[:, None] / YEAR * np.arange(1, (terms - 1) // 2 + 1)
    return np.concatenate(
        [np.ones((len(phase), 1)), np.stack([np.cos(angle), np.sin(angle)], -1).reshape(len(phase), -1)], 1
    )


def _plane(values: np.ndarray, seen: np.ndarray, *, is_periodic: bool = False) -> np.ndarray:
    """Return the least squares plane through the values (H, W) of the observed cells.

    If the last column touches the first, the plane is level along x; otherwise there would be a step at the seam.

    Examples
    --------
    >>> slope = np.add.outer(2.0 * np.arange(4), np.arange(5))
    >>> np.allclose(_plane(np.where(np.eye(4, 5) > 0, 0, slope), 1 - np.eye(4, 5)), slope)
    True
    """
    y, x = (np.linspace(-1, 1, size) for size in values.shape)
    rows, columns = np.stack([np.ones_like(y), y, y**2]), np.stack([np.ones_like(x), x, x**2])
    # Axis by axis: the products of 1, y and x in every cell would take more memory than the scene.
    power = rows @ seen @ columns.T
    first = rows[:2] @ (values * seen) @ columns[:2].T
    normal = np.array(
        [
            [power[0, 0], power[1, 0], power[0, 1]],
            [power[1, 0], power[2, 0], power[1, 1]],
            [power[0, 1], power[1, 1], power[0, 2]],
        ]
    )
    terms, right = 2 if is_periodic else 3, np.array([first[0, 0], first[1, 0], first[0, 1]])
    # For cells on one line this is the plane of least slope across it.
    solution = np.linalg.lstsq(normal[:terms, :terms], right[:terms], rcond=1e-6)[0]
    level, along_y, along_x = (*solution, 0.0) if is_periodic else solution
    return np.add.outer(level + along_y * y, along_x * x)


def _per_band(sums: np.ndarray) -> np.ndarray:
    """Return sums over the cells of each band, (C, ...), of (..., C, H, W)."""
    return np.moveaxis(sums.sum((-1, -2)), -1, 0)


def _note(sums: ClimatologySums, terms: int) -> str:
    """Return a description of the climatology, with the reason if it has no seasonal cycle."""
    if len(sums.days) == 1:
        return "mean of the scene"
    if terms > 1:
        return f"mean and {counted((terms - 1) // 2, 'harmonic')} of the year in every cell"
    if sums.independent:
        return "mean of every cell"
    if len(sums.order) > 1:
        return "mean of every cell; the dates cover too little of the year for a seasonal cycle"
    span = sums.days[-1] - sums.days[0]
    if span == 0:
        return "mean of every cell; no dates, so no seasonal cycle"
    return f"mean of every cell; a record of {duration(span)} is too short for a seasonal cycle"
