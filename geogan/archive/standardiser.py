"""Unitless anomalies of a field: subtract a climatology, divide by a scale, and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from geogan.archive.climatology import ClimatologySums, Trend, basis, fit_climatology
from geogan.fields.band_transforms import nonlinear_bands, sine_bands, transformed, transforms
from geogan.fields.circle import taken
from geogan.fields.field import Field
from geogan.fields.regression import Regression
from geogan.fields.transforms import Transform
from geogan.fields.variables import is_repeated, repeat_bands
from geogan.operators.errors import InputError


@dataclass(frozen=True, eq=False)
class Standardiser:
    """The climatology, scale and transform of each band, which turn a field into unitless anomalies and back.

    Attributes
    ----------
    coefficients : ndarray of float32, shape (K, C, H, W)
        Climatology of every cell in transformed units: the mean, then cosine and sine of one and two cycles a year;
        ``K`` is 1, 3 or 5. A single scene has one mean for all cells, or a plane.
    scale : ndarray of float64, shape (C,)
        Standard deviation of the anomalies of each band, in transformed units.
    transform : str
        One for all bands, or one a band with commas between. ``"none"``; ``"log"`` for positive quantities that span
        decades; ``"bounded:LOW,HIGH"`` for quantities between two bounds, or with one bound; ``"identity"`` for values
        that are used as they are.
    note : str
        What was fitted, in words, and why.
    regression : Regression, optional
        A part of the mean that follows from covariates; methods then need their channels, as
        :meth:`geogan.archive.archive.Archive.channels` returns them.
    fine : ndarray of float32, shape of ``coefficients``, optional
        Climatology of the field itself, where that of its measurements is blurred: anomalies are those of the
        measurements, their inverse is the field. By default ``coefficients``.

    Raises
    ------
    InputError
        If a transform is unknown, or sine and cosine of a direction are not beside each other.

    Examples
    --------
    >>> import xarray as xr
    >>> films = xr.DataArray(np.array([[[[1.0, 3.0]]], [[[np.nan, 5.0]]]]), dims=("time", "band", "y", "x"))
    >>> standardiser = Standardiser.fit(Field.of(films, domain=np.ones((1, 2), bool)))
    >>> anomaly = standardiser.forward(films.values, None)
    >>> np.allclose(standardiser.inverse(anomaly, None), films, equal_nan=True)
    True
    """

    coefficients: np.ndarray
    scale: np.ndarray
    transform: str = "none"
    note: str = ""
    regression: Regression | None = None
    fine: np.ndarray | None = None

    def __post_init__(self) -> None:
        texts = transforms(self.transform, len(self.scale))
        components = [band for sine in sine_bands(texts) for band in (sine, sine + 1)]
        if any(Transform.parse(text).is_angle != (band in components) for band, text in enumerate(texts)):
            raise InputError(f"directions need a sine and a cosine, got the transforms {self.transform!r}; train again")

    @classmethod
    def identity(cls, bands: int, domain: np.ndarray, note: str = "values as they are") -> Standardiser:
        """Return a standardiser that leaves values unchanged, on the grid of ``domain`` (H, W)."""
        return cls(np.zeros((1, bands, *domain.shape), np.float32), np.ones(bands), "identity", note)

    @classmethod
    def fit(
        cls,
        field: Field,
        *,
        transform: str = "none",
        hidden: Callable[[int], np.ndarray | None] | None = None,
        plane: bool = False,
        sums: ClimatologySums | None = None,
        trend: Trend | None = None,
        message: Callable[[str], None] = lambda sentence: None,
    ) -> Standardiser:
        """Fit climatology and scale to the observations.

        Parameters
        ----------
        field : Field
            With its domain; each chunk is read once.
        transform : {"none", "log", "bounded:LOW,HIGH", "identity"}
            Applied first; one for all bands, or one a band with commas between. Nothing is fitted for ``"identity"``,
            nor for images: independent samples with a stated range of [-1, 1] (``valid_min``, ``valid_max``).
        hidden : callable, optional
            ``hidden(date)`` returns what must not be used on a date, (C, H, W) bool, or None.
        plane : bool
            Whether the climatology of a single scene is the plane through its observations. A plane helps if clouds
            are scattered over the scene, but it is far off if it is extrapolated into a large gap at one side
            (docs/experiments.md).
        sums : ClimatologySums, optional
            Sums of the whole field, if it was read already; then it is not read again.
        trend : callable, optional
            Part of the mean that is subtracted first, as in :class:`geogan.archive.climatology.ClimatologySums`.
        message : callable
            Called with a report of progress if the pass takes long.

        Returns
        -------
        Standardiser

        Raises
        ------
        InputError
            If the transform is unknown, values are outside its range, or the field is constant.
        """
        assert field.domain is not None
        texts = transforms(transform, field.bands)
        if field.is_image:
            return cls.identity(field.bands, field.domain, "values as they are: images")
        if set(texts) == {"identity"}:
            return cls.identity(field.bands, field.domain)
        if sums is None:
            sums = ClimatologySums.read(field, texts, hidden=hidden, trend=trend, message=message)
        fitted = fit_climatology(sums, field.domain, plane=plane)
        if sums.transforms != fitted.transforms:
            transform = ",".join(fitted.transforms)
        return cls(fitted.coefficients, fitted.scale, transform, fitted.note)

    @property
    def transforms(self) -> tuple[str, ...]:
        """Transform of each band."""
        return transforms(self.transform, len(self.scale))

    def part(self, y: slice, x: slice) -> Standardiser:
        """Return the standardiser of a part of the grid."""
        regression = None if self.regression is None else self.regression.part(y, x)
        fine = None if self.fine is None else taken(self.fine, y, x)
        return replace(self, coefficients=taken(self.coefficients, y, x), regression=regression, fine=fine)

    @property
    def of_field(self) -> Standardiser:
        """The standardiser with the climatology of the field itself, where measurements are blurred."""
        return self if self.fine is None else replace(self, coefficients=self.fine, fine=None)

    def error_unit(self, units: str) -> tuple[float, str]:
        """Return the factor from an error in anomalies to one in units, and the name of these units.

        Errors of bands with different scales or transforms have no common unit: they stay anomalies. For bounded
        values, the slope of the transform is taken at the climatology (root mean square over all cells).

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
            # An angle changes both components.
            turn = Transform.parse(self.transforms[0]).turn
            return float(self.scale[0]) * turn / (2 * np.pi) * 2**0.5, "" if units == "1" else units
        if len(set(self.scale)) > 1 or len(set(self.transforms)) > 1:
            return 1.0, "anomalies"
        units = "" if units == "1" else units
        transform, scale = Transform.parse(self.transforms[0]), float(self.scale[0])
        if transform.kind == "log":
            return scale, f"ln {units}".strip()
        if transform.is_linear:
            return scale, units
        mean = transform.inverse(self.coefficients[0].astype(np.float64))
        return float(np.sqrt(np.mean(transform.unspread(scale, mean) ** 2))), units

    def climatology(
        self,
        phase: np.ndarray | None,
        y: slice = slice(None),
        x: slice = slice(None),
        *,
        channels: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the expected value in transformed units, (T, C, h, w): climatology and regression.

        Parameters
        ----------
        phase : ndarray of float64, shape (T,), or None
            Days of the year.
        y, x : slice
            Rows and columns of the grid.
        channels : ndarray of float32, shape (T, K, h, w), optional
            Channels of the covariates, if there is a regression on them.
        """
        coefficients = taken(self.coefficients, y, x)
        count = 1 if phase is None else len(phase)
        mean = np.tensordot(basis(phase, count, len(coefficients)).astype(np.float32), coefficients, 1)
        if self.regression is None:
            return mean
        assert channels is not None, "a regression needs the channels of its covariates"
        return mean + self.regression.mean(channels, y, x)

    def forward(
        self,
        values: np.ndarray,
        phase: np.ndarray | None,
        y: slice = slice(None),
        x: slice = slice(None),
        *,
        channels: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return unitless anomalies of ``values`` (T, C, h, w) at rows ``y`` and columns ``x`` of the grid.

        Raises
        ------
        InputError
            If a value is outside the range of its transform.
        """
        if self.transform == "identity":
            return values
        anomaly = transformed(values, self.transforms) - self.climatology(phase, y, x, channels=channels)
        anomaly /= self.scale[:, None, None]
        return anomaly

    def uncertainty(self, error: np.ndarray | float, values: np.ndarray) -> np.ndarray:
        """Return standard deviations of errors of ``values`` (T, C, h, w) as anomalies (:meth:`Transform.spread`)."""
        spread = np.full(values.shape, np.asarray(error) * 1.0)
        for bands, transform in nonlinear_bands(self.transforms):
            spread[:, bands] = transform.spread(spread[:, bands], values[:, bands])
        return spread / self.scale[:, None, None]

    def error_of(self, spread: np.ndarray | float, values: np.ndarray) -> np.ndarray:
        """Return standard deviations (C,) of anomalies as errors of ``values`` (T, C, h, w), to first order."""
        error = np.empty(values.shape)
        error[:] = (np.asarray(spread) * self.scale)[:, None, None]
        for bands, transform in nonlinear_bands(self.transforms):
            error[:, bands] = transform.unspread(error[:, bands], values[:, bands])
        return error

    def clipped(self, values: np.ndarray) -> np.ndarray:
        """Return values (T, C, h, w) clipped to the bounds of their bands."""
        values = np.array(values)
        for bands, transform in nonlinear_bands(self.transforms):
            values[:, bands] = transform.clipped(values[:, bands])
        return values

    def as_inside(self, field: Field) -> Field:
        """Return a field with two bands for each direction, as in the standardiser; itself if it has them."""
        texts = [self.transforms[band] for band in self.field_bands]
        circular = [band for band, text in enumerate(texts) if Transform.parse(text).is_angle]
        return repeat_bands(field, circular) if circular and not is_repeated(field.array) else field

    @property
    def field_bands(self) -> list[int]:
        """One band for each band of the field: a direction has two here, sine and cosine, of which the sine counts."""
        cosines = {sine + 1 for sine in sine_bands(self.transforms)}
        return [band for band in range(len(self.scale)) if band not in cosines]

    @property
    def source_bands(self) -> list[int]:
        """For each band here, the number of the band of the field that it comes from."""
        return [sum(first <= band for first in self.field_bands) - 1 for band in range(len(self.scale))]

    @property
    def is_of_directions(self) -> bool:
        """Whether all bands are components of directions."""
        return 2 * len(sine_bands(self.transforms)) == len(self.scale)

    @property
    def field_transform(self) -> str:
        """Transform of each band of the field, as a user gives it."""
        if self.field_bands == list(range(len(self.scale))):
            return self.transform
        texts = [self.transforms[band] for band in self.field_bands]
        return ",".join("circular" + text[len("sine") :] if text.startswith("sine") else text for text in texts)

    def components(self, values: np.ndarray) -> np.ndarray:
        """Return values (T, C, h, w) with directions replaced by their sine and cosine."""
        values = np.array(values)
        for bands, transform in nonlinear_bands(self.transforms):
            if transform.is_angle:
                values[:, bands] = transform.forward(values[:, bands])
        return values

    def directions(self, components: np.ndarray) -> np.ndarray:
        """Replace components (T, C, h, w) by their directions, in place, in both bands; return the array."""
        for sine in sine_bands(self.transforms):
            pair, transform = slice(sine, sine + 2), Transform.parse(self.transforms[sine])
            components[:, pair] = transform.direction(components[:, sine], components[:, sine + 1])[:, None]
        return components

    def nearest(self, values: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Return values (..., T, C, h, w) with directions shifted by whole turns, nearest to others (T, C, h, w)."""
        pairs = sine_bands(self.transforms)
        values = np.array(values) if pairs else values
        for sine in pairs:
            components = (..., slice(sine, sine + 2), slice(None), slice(None))
            transform = Transform.parse(self.transforms[sine])
            values[components] = transform.nearest(values[components], others[components])
        return values

    @property
    def neutral(self) -> np.ndarray:
        """A value of each band, (C, 1, 1), that its transform accepts, for cells without an observation."""
        return np.array([Transform.parse(text).neutral for text in self.transforms], np.float32)[:, None, None]

    def inverse(
        self,
        anomaly: np.ndarray,
        phase: np.ndarray | None,
        y: slice = slice(None),
        x: slice = slice(None),
        *,
        channels: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the field of ``anomaly`` (T, C, h, w), in units and in the type of the anomaly."""
        if self.transform == "identity":
            return anomaly
        values = self._transformed(anomaly, self.of_field.climatology(phase, y, x, channels=channels))
        for bands, transform in nonlinear_bands(self.transforms):
            if not transform.is_angle:
                values[:, bands] = transform.inverse(values[:, bands])
        return self.directions(values)

    def _transformed(self, anomaly: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Return the transformed values of anomalies (T, C, h, w) from a transformed mean."""
        return anomaly * self.scale[:, None, None].astype(anomaly.dtype) + mean

    def extremes(self, scales: float, domain: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and highest value of each band, (C,) each, within some scales of the climatology.

        Parameters
        ----------
        scales : float
            Anomaly above and below the climatology.
        domain : ndarray of bool, shape (H, W), optional
            Cells that are used; by default all.
        """
        coefficients = self.of_field.coefficients
        mean, swing = coefficients[0].astype(np.float64), np.abs(coefficients[1:]).sum(0, dtype=np.float64)
        if self.regression is not None:
            swing = swing + self.regression.swing[:, None, None]
        where = np.ones(mean.shape[1:], bool) if domain is None or not domain.any() else domain
        far = scales * self.scale
        low = (mean - swing)[:, where].min(1) - far
        high = (mean + swing)[:, where].max(1) + far
        for sine in sine_bands(self.transforms):
            direction = Transform.parse(self.transforms[sine])
            low[sine : sine + 2], high[sine : sine + 2] = direction.low, direction.high
        for bands, transform in nonlinear_bands(self.transforms):
            if transform.is_angle:
                continue
            # The mean of a nonlinear transform of a normal law differs from the transformed mean. The law is taken with
            # twice the scale, which predicted errors seldom exceed.
            with np.errstate(over="ignore"):
                spread = np.tile(2 * self.scale[bands], (2, 1))
                ends = np.stack([low[bands], high[bands]])
                ends = np.concatenate([transform.inverse(ends), transform.moments(ends, spread)[0]])
                low[bands], high[bands] = ends.min(0), ends.max(0)
        return low, high

    def moments(
        self,
        anomaly: np.ndarray,
        std: np.ndarray,
        phase: np.ndarray | None,
        *,
        channels: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation, in units of the field, of normally distributed anomalies.

        See :meth:`geogan.fields.transforms.Transform.moments`.

        Parameters
        ----------
        anomaly, std : ndarray, shape (T, C, H, W)
        phase : ndarray of float64, shape (T,), or None
            Days of the year.
        channels : ndarray of float32, shape (T, K, H, W), optional
            Channels of the covariates, if there is a regression on them.

        Returns
        -------
        mean, std : ndarray, shape (T, C, H, W)
        """
        mean = self._transformed(anomaly, self.of_field.climatology(phase, channels=channels))
        std = std * self.scale[:, None, None].astype(std.dtype)
        for bands, transform in nonlinear_bands(self.transforms):
            if not transform.is_angle:
                mean[:, bands], std[:, bands] = transform.moments(mean[:, bands], std[:, bands])
        for sine in sine_bands(self.transforms):
            pair = slice(sine, sine + 2)
            spread = Transform.parse(self.transforms[sine]).circular_spread(
                *np.moveaxis(mean[:, pair], 1, 0), *np.moveaxis(std[:, pair], 1, 0)
            )
            std[:, pair] = spread[:, None]
        return self.directions(mean), std
