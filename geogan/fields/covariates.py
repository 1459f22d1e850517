"""Covariates: known maps and the season as additional input channels of the networks."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from scipy.ndimage import distance_transform_edt

from geogan.fields.axes import squeezed
from geogan.fields.circle import taken
from geogan.fields.dates import YEAR
from geogan.fields.field import Field
from geogan.fields.grids import difference
from geogan.operators.choices import suggestion
from geogan.operators.errors import InputError
from geogan.operators.wording import counted

MADE = ("day_of_year", "latitude", "distance_to_coast")
"""Covariates that are computed from the field; any other is a static map of the user."""


@dataclass(frozen=True, eq=False)
class Covariates:
    """Standardised covariates on a grid.

    Attributes
    ----------
    names : tuple of str
        ``"day_of_year"``, ``"latitude"``, ``"distance_to_coast"``, or names of static maps.
    maps : ndarray of float32, shape (K, H, W)
        All but the day of the year, in the order of ``names``: mean 0 and standard deviation 1 over the domain, 0
        outside.
    """

    names: tuple[str, ...]
    maps: np.ndarray

    @classmethod
    def of(
        cls,
        names: str | Sequence[str],
        field: Field,
        given: Mapping[Hashable, xr.DataArray] | xr.Dataset | None = None,
    ) -> Covariates | None:
        """Return the covariates of a field, by name.

        Parameters
        ----------
        names : str or sequence of str
            See :func:`named`.
        field : Field
            With its domain.
        given : mapping of DataArray, shape (y, x), or Dataset, optional
            Static maps on the grid of the field; only those in ``names`` are used.

        Returns
        -------
        Covariates or None
            None if ``names`` is empty.

        Raises
        ------
        InputError
            If a covariate is unknown, not static, on another grid, constant, or has gaps in the domain.

        Examples
        --------
        >>> depth = xr.DataArray([[10.0, 20.0, 30.0], [10.0, 20.0, np.nan]], dims=("y", "x"))
        >>> field = Field.of(xr.zeros_like(depth), domain=depth.notnull().values)
        >>> found = Covariates.of("depth", field, {"depth": depth})
        >>> found.maps[0].astype(float).round(2).tolist()
        [[-1.07, 0.27, 1.6], [-1.07, 0.27, 0.0]]
        """
        names = named(names)
        if not names:
            return None
        assert field.domain is not None
        domain, given, maps = field.domain, {} if given is None else given, []
        for name in names:
            if name == "day_of_year":
                check_dates(field)
            elif name == "latitude":
                maps.append(_sine_of_latitude(field))
            elif name == "distance_to_coast":
                maps.append(distance_to_coast(domain, is_periodic=field.is_periodic))
            else:
                maps.append(_static(name, given, field))
        static = [name for name in names if name != "day_of_year"]
        ready = [_standardised(name, values, domain) for name, values in zip(static, maps, strict=True)]
        return cls(names, np.stack(ready) if ready else np.zeros((0, *domain.shape), np.float32))

    @property
    def seasonal(self) -> bool:
        """Whether the day of the year is a covariate."""
        return "day_of_year" in self.names

    @property
    def channels(self) -> int:
        """Number of input channels; the day of the year has two."""
        return 2 * self.seasonal + len(self.maps)

    def part(self, field: Field, y: slice, x: slice) -> Covariates:
        """Return the covariates of a field on a part of the grid.

        Raises
        ------
        InputError
            If the day of the year is a covariate and the field has no dates.
        """
        if self.seasonal:
            check_dates(field)
        return replace(self, maps=taken(self.maps, y, x))

    def films(self, phase: np.ndarray | None, domain: np.ndarray, y: slice, x: slice, *, dates: int) -> np.ndarray:
        """Return the channels of dates on rows ``y`` and columns ``x``.

        Parameters
        ----------
        phase : ndarray, shape (T,), or None
            Day of the year of each date.
        domain : ndarray, shape (h, w)
            Domain on these rows and columns.
        dates : int
            Number of dates, T.

        Returns
        -------
        channels : ndarray of float32, shape (T, K, h, w)
            Cosine and sine of the day of the year, with standard deviation 1 over a year, followed by the maps.
        """
        films = np.empty((dates, self.channels, *domain.shape), np.float32)
        films[:, 2 * self.seasonal :] = taken(self.maps, y, x)
        if self.seasonal:
            assert phase is not None
            angle = 2 * np.pi * phase / YEAR
            season = np.sqrt(2) * np.stack([np.cos(angle), np.sin(angle)], 1)
            films[:, :2] = season[:, :, None, None] * domain
        return films


def named(names: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names in texts with commas, without repetition.

    Examples
    --------
    >>> named(["day_of_year, depth", "depth"])
    ('day_of_year', 'depth')
    """
    texts = [names] if isinstance(names, str) else names
    return tuple(dict.fromkeys(name.strip() for text in texts for name in text.split(",") if name.strip()))


def distance_to_coast(domain: np.ndarray, *, is_periodic: bool = False) -> np.ndarray:
    """Return the logarithm of the distance to the nearest cell outside the domain, in cells; 0 at the coast.

    On a periodic grid the nearest cell may lie across the seam.

    Raises
    ------
    InputError
        If all cells are inside.

    Examples
    --------
    >>> distance_to_coast(np.array([[False, True, True, True]])).round(2).tolist()
    [[0.0, 0.0, 0.69, 1.1]]
    """
    if domain.all():
        raise InputError(
            "distance_to_coast needs a coast, but every cell is in the domain; give the mask of land and sea with "
            "--domain, or leave the covariate out"
        )
    # Columns are at most half a turn apart.
    width = domain.shape[1]
    half = -(-width // 2) if is_periodic else 0
    distance = distance_transform_edt(taken(domain, slice(None), slice(-half, width + half)))
    return np.log(np.maximum(distance[:, half : half + width], 1.0))


def check_dates(field: Field) -> None:
    """Refuse a field without dates, for which the covariate day_of_year does not exist.

    Raises
    ------
    InputError
    """
    if field.day_of_year is None:
        raise InputError(
            f"the covariate day_of_year needs dates, but {field.name} has none; give its times as dates, or train "
            "without that covariate"
        )


def _sine_of_latitude(field: Field) -> np.ndarray:
    if field.latitude is None:
        raise InputError(
            f"the covariate latitude needs latitudes in degrees along {field.axes.y}, but {field.name} has none; give "
            "it such a coordinate, or leave the covariate out"
        )
    return np.broadcast_to(np.sin(np.deg2rad(field.latitude))[:, None], field.grid)


def _static(name: str, given: Mapping[Hashable, xr.DataArray] | xr.Dataset, field: Field) -> np.ndarray:
    """Return a static map on the grid of the field, shape (H, W)."""
    if name not in given:
        maps = [str(other) for other in given if squeezed(given[other], roles="yx").ndim == 2]
        raise InputError(
            f"no covariate is named {name!r}; choose from {', '.join(MADE)}, or a static map of the data"
            + (f": {', '.join(maps)}" if maps else ", which have none")
            + suggestion(name, [*MADE, *maps])
        )
    static = squeezed(given[name], roles="yx")
    if static.ndim != 2 or static.dtype.kind not in "biuf":
        what = f"the dimensions ({', '.join(map(str, static.dims))})" if static.ndim != 2 else f"type {static.dtype}"
        raise InputError(
            f"covariate {name!r} has {what}, where numbers on a static map ({field.axes.y}, {field.axes.x}) are "
            "expected; reduce it to one map, or leave it out"
        )
    layer = Field.of(static)
    mismatch = difference(layer, field)
    if mismatch:
        raise InputError(
            f"covariate {name!r} ({_extent(layer)}) is on another grid than {field.name} "
            f"({_extent(field)}): {mismatch}; interpolate it to that grid"
        )
    return np.asarray(static.transpose(*layer.axes.dims).values, np.float64)


def _standardised(name: str, values: np.ndarray, domain: np.ndarray) -> np.ndarray:
    inside = values[domain].astype(np.float64)
    missing = int((~np.isfinite(inside)).sum())
    if missing:
        raise InputError(
            f"covariate {name!r} has no value on {missing} of {counted(inside.size, 'cell')} of the domain; fill its "
            "gaps, or take those cells out of the domain"
        )
    if np.ptp(inside) == 0:
        raise InputError(f"covariate {name!r} is the same in the whole domain; leave it out")
    standardised = np.zeros(domain.shape, np.float32)
    standardised[domain] = (inside - inside.mean()) / inside.std()
    return standardised


def _extent(field: Field) -> str:
    """Return the size of a grid and the ends of its coordinates, as words."""
    parts, array = [], field.array
    for dim in (field.axes.y, field.axes.x):
        text = f"{array.sizes[dim]} cells along {dim}"
        if dim in array.coords and array[dim].dtype.kind in "iuf":
            text += f" from {array[dim].values[0]:g} to {array[dim].values[-1]:g}"
        parts.append(text)
    return ", ".join(parts)
