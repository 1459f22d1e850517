"""Unitless anomalies: a climatology and a scale, fitted on gappy data in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from geogan.compute.regions import Region
from geogan.compute.streaming import parts, tiles, together
from geogan.fields.axes import VARIABLE
from geogan.fields.circle import taken
from geogan.fields.dates import YEAR
from geogan.fields.durations import duration
from geogan.fields.field import Field
from geogan.fields.transforms import Transform, parse_transforms
from geogan.operators.errors import InputError

# A seasonal cycle is fitted to records of at least this many days ...
SEASONAL_RECORD = 1.5 * YEAR
# ... whose dates tell the harmonics apart: the condition number of their normal equations.
SEASONAL_CONDITION = 30.0
# Each cell's climatology is drawn towards the domain's with the weight of this many observations:
# neighbouring days say almost the same, so a dozen dates must not make a climatology of their own.
SHRINKAGE = 30.0
# Cells that a plane is fitted to at least; it may be the climatology of a single scene.
PLANE_CELLS = 100
# Harmonics of the year that are fitted at most.
HARMONICS = 2
# Values of one part of the pass, and cells whose equations are solved at a time.
SLAB, STRIP = 8_000_000, 2**18


class Sums:
    """Sums over the dates of every cell, of which a climatology is fitted; added up part by part.

    Parameters
    ----------
    shape : (int, int, int)
        Bands, rows and columns.
    basis : ndarray, shape (T, K)
        What the climatology is made of, on each date.
    days : ndarray of float64, shape (T,)
    transforms : tuple of str
        Of each band.
    called : callable
        What errors call a band.
    level : callable
        What is taken off all values, of the first ones: it keeps the sums of squares small. The median where there may
        be anything outside the domain.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        basis: np.ndarray,
        days: np.ndarray,
        transforms: tuple[str, ...],
        called: Callable[[int], str],
        level: Callable[[np.ndarray], float] = np.mean,
    ) -> None:
        self.days, self.transforms, self.called = days, transforms, called
        self._basis, self._level = basis, level
        count = basis.shape[1]
        self.order = np.zeros((count, count), int)  # where the product of two of the basis stands in `_products`
        self._pairs = np.triu_indices(count)
        self.order[self._pairs] = self.order.T[self._pairs] = np.arange(len(self._pairs[0]))
        self._products = np.zeros((len(self._pairs[0]), *shape))
        self._moment, self._square = np.zeros((count, *shape)), np.zeros(shape)
        self._curved = _curved(transforms)
        self._lowest, self._highest = (np.full(shape, end) if self._curved else None for end in (np.inf, -np.inf))
        self.offset = np.full((shape[0], 1, 1), np.nan)

    @classmethod
    def of(
        cls,
        field: Field,
        each: tuple[str, ...],
        *,
        harmonics: int = HARMONICS,
        level: Callable[[np.ndarray], float] = np.mean,
    ) -> Sums:
        """Sums for a field, nothing added yet."""
        names, phase, dates = field.band_names, field.day_of_year, field.days

        def called(band: int) -> str:
            if field.axes.band == VARIABLE and names:
                return names[band]
            return field.name if len(each) == 1 else f"band {names[band] if names else band} of {field.name}"

        seasonal = phase is not None and dates[-1] - dates[0] >= SEASONAL_RECORD
        basis = _basis(phase, len(dates), 1 + 2 * harmonics if seasonal else 1)
        return cls((len(each), *field.grid), basis, dates, each, called, level)

    @classmethod
    def read(
        cls,
        field: Field,
        each: tuple[str, ...],
        *,
        harmonics: int = HARMONICS,
        hidden: Callable[[int], np.ndarray | None] | None = None,
        message: Callable[[str], None] = lambda sentence: None,
    ) -> Sums:
        """Sums of a field inside its domain; parameters are those of :meth:`Standardiser.fit`."""
        domain, sums = field.domain, cls.of(field, each, harmonics=harmonics)
        assert domain is not None
        for region, part in parts(field.stacked, most=SLAB, what="fitting the climatology", message=message):
            # Outside the domain there may be anything.
            raw = np.where(domain[region.y, region.x], part, np.nan)
            for row, date in enumerate(range(region.t.start, region.t.stop) if hidden is not None else ()):
                under = hidden(date)  # type: ignore[misc]
                if under is not None:
                    raw[row, under[:, region.y, region.x]] = np.nan
            sums.add(region, raw)
        return sums

    def add(self, region: Region, raw: np.ndarray, *, sign: int = 1) -> None:
        """Add a part, (t, C, h, w), NaN where unseen; or take one away that was added before."""
        self._add(region.t, region.y, region.x, raw, sign)

    def leave_out(self, field: xr.DataArray, dates: Iterable[int], hidden: Callable[[int], np.ndarray | None]) -> None:
        """Take away what is hidden of some dates of the field (T, C, H, W) that was added."""
        for group in together(field, dates, most=max(1, SLAB // field[0].size)):
            masks = [hidden(date) for date in group]
            for y, x, part in tiles(field, group):
                under = np.stack([np.zeros(part.shape[1:], bool) if m is None else m[:, y, x] for m in masks])
                self._add(np.array(group), y, x, np.where(under, part, np.nan), -1)

    def without(self, hidden: np.ndarray) -> Sums:
        """Those of a single scene without what is hidden of it, (C, H, W) bool; nothing is read again."""
        less, shown = copy(self), ~hidden
        less._products, less._moment, less._square = (
            part * shown for part in (self._products, self._moment, self._square)
        )
        return less

    def _add(self, t: slice | np.ndarray, y: slice, x: slice, raw: np.ndarray, sign: int) -> None:
        here = (..., y, x)
        if self._lowest is not None and self._highest is not None:
            # Where that is outside the domain, it does no harm.
            raw = np.array(raw, np.float64)
            for bands, transform in self._curved:
                values = raw[:, bands]
                lowest, highest = self._lowest[here][bands], self._highest[here][bands]
                np.minimum(lowest, np.where(np.isnan(values), np.inf, values).min(0), out=lowest)
                np.maximum(highest, np.where(np.isnan(values), -np.inf, values).max(0), out=highest)
                values[~transform.admits(values)] = np.nan
        block = _transformed(raw, self.transforms)
        seen = np.isfinite(block)
        for band in np.flatnonzero(np.isnan(self.offset[:, 0, 0]) & seen.any((0, 2, 3))).tolist():
            self.offset[band] = self._level(block[:, band][seen[:, band]])
        block = np.where(seen, block - np.nan_to_num(self.offset), 0.0)
        rows = self._basis[t]
        outer = rows[:, self._pairs[0]] * rows[:, self._pairs[1]]
        # Matrix products over the dates: the quickest way through memory.
        count, shape = len(rows), block.shape[1:]
        self._products[here] += sign * (outer.T @ seen.reshape(count, -1).astype(np.float64)).reshape(-1, *shape)
        self._moment[here] += sign * (rows.T @ block.reshape(count, -1)).reshape(-1, *shape)
        self._square[here] += sign * (block**2).sum(0)

    def check(self, domain: np.ndarray) -> None:
        """Refuse values inside the domain (H, W) that have no transform, and a band that was never seen there."""
        for band, text in enumerate(self.transforms):
            if self._lowest is not None and self._highest is not None:
                lowest = self._lowest[band][domain].min(initial=np.inf)
                highest = self._highest[band][domain].max(initial=-np.inf)
                reason = (
                    Transform.parse(text).refusal(self.called(band), lowest, highest) if lowest <= highest else None
                )
                if reason is not None:
                    raise InputError(reason)
            if not self._products[0, band][domain].any():
                raise InputError(
                    f"{self.called(band)} has no value inside its domain; give another domain or leave it out"
                )

    def settled(self, domain: np.ndarray) -> tuple[str, ...]:
        """Return the transforms, with the values at which directions begin: by the lowest inside the domain."""
        found = list(self.transforms)
        for sine in _angles(self.transforms):
            assert self._lowest is not None
            lowest = float(self._lowest[sine][domain].min(initial=np.inf))
            for band in (sine, sine + 1):
                found[band] = str(Transform.parse(found[band]).beginning(lowest))
        return tuple(found)

    def within(self, domain: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sums of products of the basis, of the values with it, and of their squares: nothing outside the domain."""
        for sums in (self._products, self._moment, self._square):
            sums[..., ~domain] = 0
        return self._products, self._moment, self._square


@dataclass(frozen=True, eq=False)
class Standardiser:
    """Turns a field into unitless anomalies, and back; each of its bands by itself.

    Attributes
    ----------
    coefficients : ndarray of float32, shape (K, C, H, W)
        Climatology of every cell in transformed units: the mean, then cosine and sine of one and two
        cycles a year; ``K`` is 1, 3 or 5. Of a single scene the mean of all its cells, or a plane through them.
    scale : ndarray of float64, shape (C,)
        Standard deviation of the anomalies of each band, in transformed units.
    transform : str
        ``"none"``; ``"log"`` for quantities that are positive and spread over decades; ``"bounded:LOW,HIGH"`` for
        quantities that lie between two bounds, or beside one; ``"identity"`` for values that stand as they are. Or one
        a band, with commas between.
    note : str
        What was fitted, in words, and why.

    Examples
    --------
    >>> films = xr.DataArray(np.array([[[[1.0, 3.0]]], [[[np.nan, 5.0]]]]), dims=("time", "band", "y", "x"))
    >>> fitted = Standardiser.fit(Field.of(films, domain=np.ones((1, 2), bool)))
    >>> anomaly = fitted.forward(films.values, None)
    >>> np.allclose(fitted.inverse(anomaly, None), films, equal_nan=True)
    True
    """

    coefficients: np.ndarray
    scale: np.ndarray
    transform: str = "none"
    note: str = ""

    def __post_init__(self) -> None:
        """Refuse a transform that is none, as a damaged file may hold."""
        each = transforms(self.transform, len(self.scale))
        components = [band for sine in _angles(each) for band in (sine, sine + 1)]
        if any(Transform.parse(text).is_angle != (band in components) for band, text in enumerate(each)):
            raise InputError(f"directions stand as sine and cosine, got the transforms {self.transform!r}; train again")

    @classmethod
    def identity(cls, bands: int, domain: np.ndarray, note: str = "values as they are") -> Standardiser:
        """What leaves every value as it is, on the grid of ``domain`` (H, W)."""
        return cls(np.zeros((1, bands, *domain.shape), np.float32), np.ones(bands), "identity", note)

    @classmethod
    def fit(
        cls,
        field: Field,
        *,
        transform: str = "none",
        harmonics: int = HARMONICS,
        hidden: Callable[[int], np.ndarray | None] | None = None,
        plane: bool = False,
        sums: Sums | None = None,
        message: Callable[[str], None] = lambda sentence: None,
    ) -> Standardiser:
        """Fit climatology and scale on what is observed.

        Parameters
        ----------
        field : Field
            With its domain; each chunk is read once.
        transform : {"none", "log", "bounded:LOW,HIGH", "identity"}
            Applied before anything else; or one a band, with commas between. ``"identity"`` fits nothing. So do
            independent samples that say that they lie within [-1, 1] (``valid_min``, ``valid_max``): images.
        harmonics : int
            Harmonics of the year to fit at most; fewer where the record cannot carry them.
        hidden : callable, optional
            ``hidden(date)`` gives what must not be looked at on a date, (C, H, W) bool, or None.
        plane : bool
            Whether the climatology of a single scene is the plane through what is seen of it. It helps where clouds are
            scattered over the scene (land surface temperature), and is far off where it is carried on into a large
            gap at one side (chlorophyll off California: error 1.06 in the logarithm, 0.28 without).
        sums : Sums, optional
            Of all of the field, where it was read before; nothing else is read then.
        message : callable
            Called with how far the pass is, where it takes long.

        Raises
        ------
        InputError
            For an unknown transform, values that it does not take, or a constant field.
        """
        assert field.domain is not None
        bands, domain = field.bands, field.domain
        each = transforms(transform, bands)
        if field.is_image:
            return cls.identity(bands, domain, "values as they are: images")
        if set(each) == {"identity"}:
            return cls.identity(bands, domain)
        if sums is None:
            sums = Sums.read(field, each, harmonics=harmonics, hidden=hidden, message=message)
        sums.check(domain)
        each = sums.settled(domain)
        if sums.transforms != each:
            transform = ",".join(each)
        products, moment, square = sums.within(domain)
        dates, order = sums.days, sums.order
        pooled_normal, seen = _per_band(products)[:, order], products[0]
        keep = len(order)
        while keep > 1 and not all(_well_conditioned(part[:keep, :keep]) for part in pooled_normal):
            keep -= 2
        order, moment = order[:keep, :keep], moment[:keep]
        draw = SHRINKAGE * np.diag([1.0] + [0.5] * (keep - 1))
        pooled = np.linalg.solve(pooled_normal[:, :keep, :keep], _per_band(moment)[..., None])[..., 0]
        # One observation says nothing of its cell on other days.
        alone = len(dates) == 1
        plane = plane and alone and bool((seen > 0).any(0).sum() >= PLANE_CELLS)
        around = field.is_periodic
        planes = np.stack([_plane(*part, is_periodic=around) for part in zip(moment[0], seen)]) if plane else pooled
        fitted = np.empty((keep, bands, *domain.shape), np.float32)
        residual = np.zeros(bands)
        # Some rows at a time: the equations of all cells take more memory than all else.
        rows = max(1, STRIP // (domain.shape[1] * bands))
        for start in range(0, len(domain), rows):
            strip = (..., slice(start, start + rows), slice(None))
            n, m = products[strip][order], moment[strip]
            common = np.broadcast_to(pooled[:, None], (bands, n[0, 0, 0].size, keep))
            if plane:
                common = planes[strip].reshape(bands, -1, 1)
            if alone:
                solved = common.transpose(2, 0, 1).reshape(m.shape).copy()
            else:
                cells = n.reshape(keep, keep, bands, -1).transpose(2, 3, 0, 1) + draw
                aims = m.reshape(keep, bands, -1).transpose(1, 2, 0) + common @ draw
                solved = np.linalg.solve(cells, aims[..., None])[..., 0].transpose(2, 0, 1).reshape(m.shape)
            left = square[strip] - 2 * (solved * m).sum(0) + np.einsum("kchw,klchw,lchw->chw", solved, n, solved)
            residual += left.sum((1, 2))
            solved[0] += sums.offset
            fitted[strip] = solved
        scale = np.sqrt(np.maximum(residual, 0.0) / seen.sum((1, 2)))
        for sine in _angles(each):
            # One scale for both components, so that a direction's error does not depend on where it points.
            scale[sine : sine + 2] = np.sqrt(np.mean(scale[sine : sine + 2] ** 2))
        for band, (level, spread) in enumerate(zip(sums.offset.ravel(), scale)):
            if not spread > 1e-6 * max(abs(level), 1e-30) and each[band] != "identity":
                raise InputError(f"{sums.called(band)} is constant ({level:g}): there is nothing to learn from it")
        as_it_is = [band for band, name in enumerate(each) if name == "identity"]
        fitted[:, as_it_is], scale[as_it_is] = 0.0, 1.0
        return cls(
            fitted,
            scale,
            transform,
            "a plane" if plane else _note(len(sums.order) > 1, keep, 0 if field.axes.independent else harmonics, dates),
        )

    @property
    def transforms(self) -> tuple[str, ...]:
        """The transform of each band."""
        return transforms(self.transform, len(self.scale))

    def part(self, y: slice, x: slice) -> Standardiser:
        """That of a part of the grid."""
        return replace(self, coefficients=taken(self.coefficients, y, x))

    def error_unit(self, units: str) -> tuple[float, str]:
        """What an error in anomalies is multiplied by, and the units it is in then.

        Bands of different scales or transforms have no unit in common: their errors stay anomalies. Of bounded values
        the slope of the transform is the climatology's, its root mean square over all cells.

        Examples
        --------
        >>> Standardiser(np.zeros((1, 1, 2, 2), "f4"), np.array([0.5]), "log").error_unit("mg m-3")
        (0.5, 'ln mg m-3')
        >>> Standardiser(np.zeros((1, 2, 2, 2), "f4"), np.array([0.5, 3.0])).error_unit("m")
        (1.0, 'anomalies')
        >>> Standardiser(np.zeros((1, 1, 2, 2), "f4"), np.array([0.9]), "bounded:0,100").error_unit("%")
        (25.0, '%')
        """
        if self.is_of_directions and len(set(self.scale)) == 1 and len(set(self.transforms)) == 2:
            # A step along the circle is a step of both components together.
            turn = Transform.parse(self.transforms[0]).turn
            return float(self.scale[0]) * turn / (2 * np.pi) * 2**0.5, "" if units == "1" else units
        if len(set(self.scale)) > 1 or len(set(self.transforms)) > 1:
            return 1.0, "anomalies"
        units, transform, scale = (
            "" if units == "1" else units,
            Transform.parse(self.transforms[0]),
            float(self.scale[0]),
        )
        if transform.kind == "log":
            return scale, f"ln {units}".strip()
        if transform.is_linear:
            return scale, units
        mean = transform.inverse(self.coefficients[0].astype(np.float64))
        return float(np.sqrt(np.mean(transform.unspread(scale, mean) ** 2))), units

    def climatology(self, phase: np.ndarray | None, y: slice = slice(None), x: slice = slice(None)) -> np.ndarray:
        """Climatology in transformed units, (T, C, h, w), at the days of the year ``phase`` (T,)."""
        coefficients = taken(self.coefficients, y, x)
        count = 1 if phase is None else len(phase)
        return np.tensordot(_basis(phase, count, len(coefficients)).astype(np.float32), coefficients, 1)

    def forward(
        self, values: np.ndarray, phase: np.ndarray | None, y: slice = slice(None), x: slice = slice(None)
    ) -> np.ndarray:
        """Unitless anomalies of ``values`` (T, C, h, w), which cover ``y`` and ``x`` of the grid."""
        if self.transform == "identity":
            return values
        anomaly = _transformed(values, self.transforms) - self.climatology(phase, y, x)
        anomaly /= self.scale[:, None, None]
        return anomaly

    def uncertainty(self, error: np.ndarray | float, values: np.ndarray) -> np.ndarray:
        """Standard deviations of errors of ``values`` (T, C, h, w), as anomalies; see :meth:`Transform.spread`."""
        spread = np.full(values.shape, np.asarray(error) * 1.0)
        for bands, transform in _curved(self.transforms):
            spread[:, bands] = transform.spread(spread[:, bands], values[:, bands])
        return spread / self.scale[:, None, None]

    def error_of(self, spread: np.ndarray | float, values: np.ndarray) -> np.ndarray:
        """Standard deviations (C,) of anomalies as errors of ``values`` (T, C, h, w) in their units, to first order."""
        error = np.empty(values.shape)
        error[:] = (np.asarray(spread) * self.scale)[:, None, None]
        for bands, transform in _curved(self.transforms):
            error[:, bands] = transform.unspread(error[:, bands], values[:, bands])
        return error

    def clipped(self, values: np.ndarray) -> np.ndarray:
        """Values (T, C, h, w) of any origin, moved into the bounds of their bands."""
        values = np.array(values)
        for bands, transform in _curved(self.transforms):
            values[:, bands] = transform.clipped(values[:, bands])
        return values

    @property
    def own(self) -> list[int]:
        """Bands of the field among those inside: directions stand there twice, as sine and cosine."""
        cosines = {sine + 1 for sine in _angles(self.transforms)}
        return [band for band in range(len(self.scale)) if band not in cosines]

    @property
    def sources(self) -> list[int]:
        """The band of the field that each band inside is."""
        return [sum(own <= band for own in self.own) - 1 for band in range(len(self.scale))]

    @property
    def is_of_directions(self) -> bool:
        """Whether all bands are directions."""
        return 2 * len(_angles(self.transforms)) == len(self.scale)

    @property
    def asked(self) -> str:
        """The transform of each band of the field, as it is asked for."""
        if self.own == list(range(len(self.scale))):
            return self.transform
        texts = [self.transforms[band] for band in self.own]
        return ",".join("circular" + text[len("sine") :] if text.startswith("sine") else text for text in texts)

    def components(self, values: np.ndarray) -> np.ndarray:
        """Values (T, C, h, w) with the sine and cosine of directions in their place."""
        values = np.array(values)
        for bands, transform in _curved(self.transforms):
            if transform.is_angle:
                values[:, bands] = transform.forward(values[:, bands])
        return values

    def directions(self, components: np.ndarray) -> np.ndarray:
        """The directions of components (T, C, h, w), in place, in both bands of each."""
        for sine in _angles(self.transforms):
            pair, transform = slice(sine, sine + 2), Transform.parse(self.transforms[sine])
            components[:, pair] = transform.direction(components[:, sine], components[:, sine + 1])[:, None]
        return components

    def nearest(self, values: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Values (..., T, C, h, w) with directions moved by whole turns to be nearest to others (T, C, h, w)."""
        pairs = _angles(self.transforms)
        values = np.array(values) if pairs else values
        for sine in pairs:
            here, transform = (
                (..., slice(sine, sine + 2), slice(None), slice(None)),
                Transform.parse(self.transforms[sine]),
            )
            values[here] = transform.nearest(values[here], others[here])
        return values

    @property
    def neutral(self) -> np.ndarray:
        """A value of each band, (C, 1, 1), that its transform takes, to stand where nothing was observed."""
        return np.array([Transform.parse(text).neutral for text in self.transforms], np.float32)[:, None, None]

    def inverse(
        self, anomaly: np.ndarray, phase: np.ndarray | None, y: slice = slice(None), x: slice = slice(None)
    ) -> np.ndarray:
        """The field of ``anomaly`` (T, C, h, w), in its own units; of its type."""
        if self.transform == "identity":
            return anomaly
        values = self._transformed(anomaly, phase, y, x)
        for bands, transform in _curved(self.transforms):
            if not transform.is_angle:
                values[:, bands] = transform.inverse(values[:, bands])
        return self.directions(values)

    def _transformed(
        self, anomaly: np.ndarray, phase: np.ndarray | None, y: slice = slice(None), x: slice = slice(None)
    ) -> np.ndarray:
        """The transformed values of anomalies (T, C, h, w)."""
        return anomaly * self.scale[:, None, None].astype(anomaly.dtype) + self.climatology(phase, y, x)

    def extremes(self, scales: float, domain: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest value of each band, (C,) each, some scales below and above the climatology.

        Parameters
        ----------
        scales : float
            Anomaly that is added and taken off.
        domain : ndarray of bool, shape (H, W), optional
            Cells that count; by default all.
        """
        mean, swing = self.coefficients[0].astype(np.float64), np.abs(self.coefficients[1:]).sum(0, dtype=np.float64)
        where = np.ones(mean.shape[1:], bool) if domain is None or not domain.any() else domain
        far = scales * self.scale
        low = (mean - swing)[:, where].min(1) - far
        high = (mean + swing)[:, where].max(1) + far
        for sine in _angles(self.transforms):
            turned = Transform.parse(self.transforms[sine])
            low[sine : sine + 2], high[sine : sine + 2] = turned.low, turned.high
        for bands, transform in _curved(self.transforms):
            if transform.is_angle:
                continue
            # The mean of a law lies elsewhere than what has its middle; predicted errors are seldom twice the scale.
            with np.errstate(over="ignore"):
                spread = np.tile(2 * self.scale[bands], (2, 1))
                ends = np.stack([low[bands], high[bands]])
                ends = np.concatenate([transform.inverse(ends), transform.moments(ends, spread)[0]])
                low[bands], high[bands] = ends.min(0), ends.max(0)
        return low, high

    def moments(self, anomaly: np.ndarray, std: np.ndarray, phase: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation, in the field's own units, of a normal law of anomalies.

        See :meth:`geogan.fields.transforms.Transform.moments`.

        Parameters
        ----------
        anomaly, std : ndarray, shape (T, C, H, W)
        phase : ndarray of float64, shape (T,), or None
            Days of the year.
        """
        mean, std = self._transformed(anomaly, phase), std * self.scale[:, None, None].astype(std.dtype)
        for bands, transform in _curved(self.transforms):
            if not transform.is_angle:
                mean[:, bands], std[:, bands] = transform.moments(mean[:, bands], std[:, bands])
        for sine in _angles(self.transforms):
            pair = slice(sine, sine + 2)
            spread = Transform.parse(self.transforms[sine]).circular_spread(
                *np.moveaxis(mean[:, pair], 1, 0), *np.moveaxis(std[:, pair], 1, 0)
            )
            std[:, pair] = spread[:, None]
        return self.directions(mean), std


def transforms(text: str, bands: int) -> tuple[str, ...]:
    """The transform of each band, from one for all or one a band with commas between.

    Raises
    ------
    InputError
        If one is unknown, or there are neither one nor as many as bands.

    Examples
    --------
    >>> transforms("none,log", 2), transforms("log", 2)
    (('none', 'log'), ('log', 'log'))
    """
    each = tuple(str(transform) for transform in parse_transforms(text))
    if len(each) == 1:
        return each * bands
    if len(each) != bands:
        raise InputError(f"transform names {len(each)} bands, the field has {bands}; give one for all, or one a band")
    return each


def _plane(values: np.ndarray, seen: np.ndarray, *, is_periodic: bool = False) -> np.ndarray:
    """Least squares plane through the values (H, W) of the cells that were seen.

    Where the last column touches the first it is level along x, or there would be a step at the seam.

    Examples
    --------
    >>> slope = np.add.outer(2.0 * np.arange(4), np.arange(5))
    >>> np.allclose(_plane(np.where(np.eye(4, 5) > 0, 0, slope), 1 - np.eye(4, 5)), slope)
    True
    """
    y, x = (np.linspace(-1, 1, size) for size in values.shape)
    rows, columns = np.stack([np.ones_like(y), y, y**2]), np.stack([np.ones_like(x), x, x**2])
    # Axis by axis: what every cell says of each of 1, y and x would take more memory than the scene.
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
    # Of cells in one line, the plane of least slope across it.
    found = np.linalg.lstsq(normal[:terms, :terms], right[:terms], rcond=1e-6)[0]
    level, along_y, along_x = (*found, 0.0) if is_periodic else found
    return np.add.outer(level + along_y * y, along_x * x)


def _basis(phase: np.ndarray | None, count: int, terms: int) -> np.ndarray:
    if phase is None or terms == 1:
        return np.ones((count, terms))
    angle = 2 * np.pi * np.asarray(phase, np.float64)[:, None] / YEAR * np.arange(1, (terms - 1) // 2 + 1)
    return np.concatenate(
        [np.ones((len(phase), 1)), np.stack([np.cos(angle), np.sin(angle)], -1).reshape(len(phase), -1)], 1
    )


def _curved(each: tuple[str, ...]) -> list[tuple[slice, Transform]]:
    """The bands whose transform is no straight line; all at once where it is one for all."""
    first = Transform.parse(each[0])
    if len(set(each)) == 1:
        return [] if first.is_linear else [(slice(None), first)]
    found = [(slice(band, band + 1), Transform.parse(text)) for band, text in enumerate(each)]
    return [(band, transform) for band, transform in found if not transform.is_linear]


def _angles(each: tuple[str, ...]) -> list[int]:
    """The bands that are sines of directions, whose cosines follow."""
    return [
        band for band, (one, other) in enumerate(zip(each, each[1:])) if one.startswith("sine") and other == "co" + one
    ]


def _transformed(values: np.ndarray, each: tuple[str, ...], called: Callable[[int], str] | None = None) -> np.ndarray:
    values = np.asarray(values, np.float64)
    curved = _curved(each)
    if not curved:
        return values
    values = values.copy()
    for bands, transform in curved:
        there = values[:, bands][~np.isnan(values[:, bands])]
        if there.size:
            name = called(bands.start or 0) if called else "the field"
            reason = transform.refusal(name, float(there.min()), float(there.max()))
            if reason is not None:
                raise InputError(reason)
        values[:, bands] = transform.forward(values[:, bands])
    return values


def _per_band(sums: np.ndarray) -> np.ndarray:
    """Sums over the cells of each band, (C, ...), of (..., C, H, W)."""
    return np.moveaxis(sums.sum((-1, -2)), -1, 0)


def _well_conditioned(normal: np.ndarray) -> bool:
    size = np.sqrt(np.diag(normal))
    return bool((size > 0).all()) and np.linalg.cond(normal / np.outer(size, size)) <= SEASONAL_CONDITION


def _note(seasonal: bool, keep: int, harmonics: int, dates: np.ndarray) -> str:
    span = dates[-1] - dates[0]
    if len(dates) == 1:
        return "mean of the scene"
    if keep > 1:
        return f"mean and {(keep - 1) // 2} harmonics of the year in every cell"
    if harmonics == 0:
        return "mean of every cell"
    if seasonal:
        return "mean of every cell; the dates cover too little of the year for a seasonal cycle"
    if span == 0:
        return "mean of every cell; no dates, so no seasonal cycle"
    return f"mean of every cell; a record of {duration(span)} is too short for a seasonal cycle"
