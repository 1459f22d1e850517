"""Covariates: known maps, season and hour, which the regression of the first guess and the networks see."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from scipy.ndimage import distance_transform_edt

from geogan.fields import geography
from geogan.fields.axes import axis_roles, squeezed
from geogan.fields.circle import taken
from geogan.fields.dates import YEAR
from geogan.fields.field import Field
from geogan.fields.grids import difference
from geogan.fields.time_varying import TimeVarying
from geogan.operators.choices import suggestion
from geogan.operators.errors import InputError
from geogan.operators.wording import counted

MADE = ("day_of_year", "hour_of_day", "latitude", "distance_to_coast")
"""Covariates that are computed from the field; any other is a map or a series of maps of the user."""
CYCLES = ("day_of_year", "hour_of_day")
"""Covariates with two channels, cosine and sine, that follow from the dates."""
# Steps in time, in days, below which a record resolves the hour of the day.
LARGEST_STEP = 0.51


@dataclass(frozen=True, eq=False)
class Covariates:
    """Standardised covariates on a grid.

    Attributes
    ----------
    names : tuple of str
        Names of :data:`MADE`, of static maps, or of covariates that change in time.
    maps : ndarray of float32, shape (K, H, W)
        The static ones, in the order of ``names``: mean 0 and standard deviation 1 over the domain, 0 outside.
    varying : tuple of TimeVarying
        Those that change in time, in the order of ``names``.
    turns : ndarray of float32, shape (H, W), optional
        Longitude of each cell in turns, by which the hour of the day is that of the sun; None without that covariate.
    """

    names: tuple[str, ...]
    maps: np.ndarray
    varying: tuple[TimeVarying, ...] = ()
    turns: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        names: str | Sequence[str],
        field: Field,
        given: Mapping[Hashable, xr.DataArray] | xr.Dataset | None = None,
    ) -> Covariates | None:
        """Return the covariates of a field, by name.

        If one of them changes in time and the dates resolve the day, the hour of the day is added, because the relation
        to such a covariate usually depends on it.

        Parameters
        ----------
        names : str or sequence of str
            See :func:`named`; a name may follow a file and a colon.
        field : Field
            With its domain.
        given : mapping of DataArray, shape ([time,] y, x) or (time,), or Dataset, optional
            Maps on the grid of the field, or one value on each of its dates; only those in ``names`` are used.

        Returns
        -------
        Covariates or None
            None if ``names`` is empty.

        Raises
        ------
        InputError
            If a covariate is unknown, on another grid, constant, has gaps in the domain, or lacks a date.

        Examples
        --------
        >>> depth = xr.DataArray([[10.0, 20.0, 30.0], [10.0, 20.0, np.nan]], dims=("y", "x"))
        >>> field = Field.of(xr.zeros_like(depth), domain=depth.notnull().values)
        >>> found = Covariates.of("depth", field, {"depth": depth})
        >>> found.maps[0].astype(float).round(2).tolist()
        [[-1.07, 0.27, 1.6], [-1.07, 0.27, 0.0]]
        """
        names = labels(names)
        if not names:
            return None
        assert field.domain is not None
        domain, given = field.domain, {} if given is None else given
        static: dict[str, np.ndarray] = {}
        varying: list[TimeVarying] = []
        for name in names:
            if name in CYCLES:
                check_dates(field, name)
            elif name == "latitude":
                static[name] = _sine_of_latitude(field)
            elif name == "distance_to_coast":
                static[name] = distance_to_coast(domain, is_periodic=field.is_periodic)
            elif _is_varying(name, given, field):
                varying.append(TimeVarying.of(given[name], name, field))
            else:
                static[name] = _static(name, given, field)
        ready = [_standardised(name, values, domain) for name, values in static.items()]
        maps = np.stack(ready) if ready else np.zeros((0, *domain.shape), np.float32)
        if varying and "hour_of_day" not in names and _resolves_hours(field):
            names = ("hour_of_day", *names)
        turns = _turns(field) if "hour_of_day" in names else None
        return cls(names, maps, tuple(varying), turns)

    @property
    def cycles(self) -> tuple[str, ...]:
        """Names of the covariates with two channels, in the order of the channels."""
        return tuple(name for name in CYCLES if name in self.names)

    @property
    def channels(self) -> int:
        """Number of input channels: two for each cycle, one for each other covariate."""
        return 2 * len(self.cycles) + len(self.maps) + len(self.varying)

    def part(self, field: Field, y: slice, x: slice) -> Covariates:
        """Return the covariates of a field on a part of the grid, without values of those that change in time.

        Raises
        ------
        InputError
            If a cycle is a covariate and the field has no dates.
        """
        for name in self.cycles:
            check_dates(field, name)
        return self.cut(y, x)

    def cut(self, y: slice, x: slice) -> Covariates:
        """Return the covariates on a part of the grid; those that change in time are unchanged."""
        turns = None if self.turns is None else taken(self.turns, y, x)
        return replace(self, maps=taken(self.maps, y, x), turns=turns)

    def on(self, field: Field, given: Mapping[Hashable, xr.DataArray] | xr.Dataset | None) -> Covariates:
        """Return the covariates with the values of those that change in time on the dates of a field.

        Raises
        ------
        InputError
            If one of them is not given, is on another grid or lacks a date.
        """
        if not self.varying:
            return self
        given = {} if given is None else given
        absent = [each.name for each in self.varying if each.name not in given]
        if absent:
            raise InputError(
                f"the model was trained with {' and '.join(map(repr, absent))}, which changes in time, and "
                f"{field.name} comes without; add it to the data, give it with --covariate FILE:VARIABLE "
                "(covariates= in Python), or train a model without it"
            )
        return replace(self, varying=tuple(each.on(given[each.name], field) for each in self.varying))

    @property
    def is_held(self) -> bool:
        """Whether no covariate has to be read from a store."""
        return all(each.array is None or each.array.chunks is None for each in self.varying)

    def held(self) -> Covariates:
        """Return the covariates in memory."""
        return replace(self, varying=tuple(each.held() for each in self.varying))

    def on_part(self, t: slice, y: slice, x: slice) -> Covariates:
        """Return the covariates on some dates, rows and columns, in memory."""
        width = self.maps.shape[-1]
        return replace(self.cut(y, x), varying=tuple(each.part(t, y, x, width) for each in self.varying))

    def read_varying(self, t: slice | np.ndarray, y: slice, x: slice, domain: np.ndarray) -> np.ndarray | None:
        """Return standardised values of those that change in time, (T, V, h, w), on a domain (h, w); None without any.

        Raises
        ------
        InputError
            If a value in the domain is not finite.
        """
        if not self.varying:
            return None
        width = self.maps.shape[-1]
        return np.stack([each.read(t, y, x, domain, width=width) for each in self.varying], 1)

    def films(
        self,
        phase: np.ndarray | None,
        domain: np.ndarray,
        y: slice,
        x: slice,
        *,
        dates: int,
        varying: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the channels of dates on rows ``y`` and columns ``x``.

        Parameters
        ----------
        phase : ndarray, shape (T,), or None
            Day of the year of each date; the hour is the fraction.
        domain : ndarray, shape (h, w)
            Domain on these rows and columns.
        dates : int
            Number of dates, T.
        varying : ndarray of float32, shape (T, V, h, w), optional
            As :meth:`read_varying` returns it.

        Returns
        -------
        channels : ndarray of float32, shape (T, K, h, w)
            Cosine and sine of the day of the year and of the hour, with standard deviation 1 over a cycle, then the
            maps, then the covariates that change in time.
        """
        films = np.empty((dates, self.channels, *domain.shape), np.float32)
        first = 0
        for name in self.cycles:
            assert phase is not None
            turns: np.ndarray = (phase / YEAR)[:, None, None]
            if name == "hour_of_day":
                assert self.turns is not None
                turns = (phase % 1.0)[:, None, None] + taken(self.turns, y, x)
            for channel, wave in enumerate((np.cos, np.sin)):
                films[:, first + channel] = np.sqrt(2) * wave(2 * np.pi * turns) * domain
            first += 2
        films[:, first : first + len(self.maps)] = taken(self.maps, y, x)
        if self.varying:
            assert varying is not None
            films[:, first + len(self.maps) :] = varying
        return films


def label(text: str) -> str:
    """Return the name of a covariate that may be given as FILE:VARIABLE.

    Examples
    --------
    >>> label("era5.nc:t2m"), label("s3://bucket/era5.zarr:t2m"), label("depth")
    ('t2m', 't2m', 'depth')
    """
    return text.rsplit(":", 1)[-1]


def files_of(names: Sequence[str]) -> list[str]:
    """Return the files of covariates that are given as FILE:VARIABLE.

    Examples
    --------
    >>> files_of(["t2m", "era5.nc:t2m"])
    ['era5.nc']
    """
    return [text.rpartition(":")[0] for text in names if ":" in text]


def relocated(names: Sequence[str], given: Sequence[str]) -> tuple[str, ...]:
    """Return the covariates of a model, at the places where they are given now.

    Parameters
    ----------
    names : sequence of str
        As the model was trained, with FILE:VARIABLE for those of another file.
    given : sequence of str
        Where some of them are now.

    Raises
    ------
    InputError
        If one is given that the model was not trained with.

    Examples
    --------
    >>> relocated(["depth", "2001.nc:t2m"], ["2002.nc:t2m"])
    ('depth', '2002.nc:t2m')
    """
    known = dict(zip(labels(names), named(names)))
    now = dict(zip(labels(given), named(given)))
    unknown = [name for name in now if name not in known]
    if unknown:
        raise InputError(
            f"the model was trained without the covariate {unknown[0]!r}; it has "
            f"{', '.join(known) or 'none'}, so leave it out, or train a model with it"
        )
    return tuple((known | now).values())


def labels(names: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names of covariates without their files.

    Raises
    ------
    InputError
        If a name is empty or a path, or two covariates have the same name.

    Examples
    --------
    >>> labels("day_of_year,era5.nc:t2m")
    ('day_of_year', 't2m')
    """
    spelled = named(names)
    found = tuple(map(label, spelled))
    for text, name in zip(spelled, found):
        if not name or "/" in name:
            raise InputError(f"covariate {text!r} names a file without a variable; write FILE:VARIABLE")
    if len(set(found)) < len(found):
        raise InputError(f"two covariates have the same name in {', '.join(spelled)}; rename one, or leave it out")
    return found


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


def check_dates(field: Field, name: str = "day_of_year") -> None:
    """Refuse a field without dates, for which the covariates day_of_year and hour_of_day do not exist.

    Raises
    ------
    InputError
    """
    if field.day_of_year is None:
        raise InputError(
            f"the covariate {name} needs dates, but {field.name} has none; give its times as dates, or train "
            "without that covariate"
        )


def _resolves_hours(field: Field) -> bool:
    """Return whether most steps between the dates of a field are half a day or less."""
    return field.day_of_year is not None and len(field.days) > 2 and np.median(np.diff(field.days)) < LARGEST_STEP


def _turns(field: Field) -> np.ndarray:
    """Return the longitude of each cell in turns, (H, W); 0 if it is not known, where the hour is that of the dates."""
    degrees = geography.longitude(field.array, field.axes)
    if degrees is None:
        return np.zeros(field.grid, np.float32)
    return np.ascontiguousarray(np.broadcast_to((degrees / 360.0).astype(np.float32), field.grid))


def _is_varying(name: str, given: Mapping[Hashable, xr.DataArray] | xr.Dataset, field: Field) -> bool:
    """Return whether a covariate changes in time: it has dates, and more than one unless the field has one too."""
    if name in (field.name, *field.band_names):
        raise InputError(f"covariate {name!r} is the field itself; leave it out")
    if name not in given:
        return False
    array = squeezed(given[name], roles="yx")
    roles = axis_roles(array)
    return "time" in roles or (array.ndim == 1 and array.dims[0] not in (roles.get("y"), roles.get("x")))


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
        maps = [str(other) for other in given if _is_usable(given[other]) and other != field.name]
        raise InputError(
            f"no covariate is named {name!r}; choose from {', '.join(MADE)}, or a variable of the data"
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


def _is_usable(array: xr.DataArray) -> bool:
    """Return whether an array may be a covariate: a static map, or maps of dates."""
    roles = axis_roles(squeezed(array, roles="yx"))
    return array.dtype.kind in "biuf" and "y" in roles and "x" in roles and "band" not in roles


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
