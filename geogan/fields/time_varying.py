"""Covariates that change in time, such as the air temperature beside a field of surface temperatures."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from geogan.compute.streaming import read_parts, read_values
from geogan.fields import dates
from geogan.fields.axes import Axes, axis_roles, squeezed
from geogan.fields.circle import stretches
from geogan.fields.field import Field
from geogan.fields.grids import difference
from geogan.fields.stacking import stacked
from geogan.fields.time_range import shown_date
from geogan.operators.errors import InputError
from geogan.operators.wording import counted

# Largest difference of two times that count as the same date, in days: files may round times to seconds.
SAME_DATE = 0.6 / 86400
# Smallest standard deviation relative to the mean: what is smaller is rounding of a constant.
LEAST_SPREAD = 1e-7


@dataclass(frozen=True, eq=False)
class TimeVarying:
    """A covariate with a value on each date of a field; standardised when it is read.

    Attributes
    ----------
    name : str
    mean, scale : float
        Mean and standard deviation over the domain and the dates of the training.
    array : DataArray, shape (T, 1, H, W) or (T, 1, 1, 1), optional
        Values in their own units on the dates of a field, lazy or not; an index such as a tide has no maps. None in a
        model, which does not keep them.
    """

    name: str
    mean: float
    scale: float
    array: xr.DataArray | None = None

    @classmethod
    def of(cls, array: xr.DataArray, name: str, field: Field) -> TimeVarying:
        """Return a covariate of a field with its mean and standard deviation; its values are read once.

        Parameters
        ----------
        array : DataArray, shape (time, y, x) or (time,)
            On the grid of the field, with every date of the field; other dates are left out.
        name : str
        field : Field
            With its domain.

        Raises
        ------
        InputError
            If the covariate has another grid, lacks a date, is constant, or has gaps in the domain.

        Examples
        --------
        >>> index = xr.DataArray([1.0, 3.0], dims="time")
        >>> maps = xr.DataArray(np.zeros((2, 2, 2)), dims=("time", "y", "x"))
        >>> tide = TimeVarying.of(index, "tide", Field.of(maps, domain=np.ones((2, 2), bool)))
        >>> tide.read(slice(0, 2), slice(0, 2), slice(0, 2), np.ones((2, 2), bool))[:, 0, 0].tolist()
        [-1.0, 1.0]
        """
        assert field.domain is not None
        values = on_dates(array, name, field)
        domain = field.domain if values.shape[2:] == field.grid else np.ones((1, 1), bool)
        count, missing, offset, first, second = 0, 0, None, 0.0, 0.0
        for (_, y, x), part in read_parts(values, what=f"reading the covariate {name}"):
            inside = part[:, 0][:, domain[y, x]].astype(np.float64)
            is_known = np.isfinite(inside)
            missing, count = missing + int((~is_known).sum()), count + inside.size
            known = inside[is_known]
            if known.size and offset is None:
                offset = float(known[0])
            known -= offset or 0.0
            first, second = first + float(known.sum()), second + float((known**2).sum())
        if missing:
            raise InputError(
                f"covariate {name!r} has no value on {missing} of {counted(count, 'cell')} of the domain on the dates "
                f"of {field.name}; fill its gaps, or leave it out"
            )
        mean = first / count
        spread = max(second / count - mean**2, 0.0) ** 0.5
        mean += offset or 0.0
        if not spread > LEAST_SPREAD * abs(mean):
            raise InputError(f"covariate {name!r} is the same in the whole domain on all dates; leave it out")
        return cls(name, mean, spread, values)

    def on(self, array: xr.DataArray, field: Field) -> TimeVarying:
        """Return the covariate with the values that belong to the dates of another field.

        Raises
        ------
        InputError
            If the array has another grid or lacks a date.
        """
        return replace(self, array=on_dates(array, self.name, field))

    def held(self) -> TimeVarying:
        """Return the covariate in memory, as float32."""
        if self.array is None or self.array.chunks is None:
            return self
        values = np.empty(self.array.shape, np.float32)
        for (t, y, x), part in read_parts(self.array, what=f"reading the covariate {self.name}"):
            values[t, :, y, x] = part
        return replace(self, array=self.array.copy(data=values))

    def part(self, t: slice, y: slice, x: slice, width: int) -> TimeVarying:
        """Return the covariate on some dates, rows and columns, in memory; columns may go round a grid of ``width``."""
        assert self.array is not None
        return replace(self, array=_wrapped(self.stored(t, y, x, width), self.array))

    def read(
        self, t: slice | np.ndarray, y: slice, x: slice, domain: np.ndarray, *, width: int | None = None
    ) -> np.ndarray:
        """Return standardised values on some dates, rows and columns, (T, h, w) float32, 0 outside the domain.

        Parameters
        ----------
        t : slice or ndarray of int
        y, x : slice
        domain : ndarray of bool, shape (h, w)
            Domain on these rows and columns.
        width : int, optional
            Columns of the grid, if ``x`` may lie beyond either end of a grid that goes round the globe.

        Raises
        ------
        InputError
            If a value in the domain is not finite.
        """
        assert self.array is not None
        raw = self.stored(t, y, x, width)[:, 0]
        # In float64: a covariate far from 0, such as a pressure in Pa, would lose digits.
        standardised = ((raw.astype(np.float64) - self.mean) / self.scale).astype(np.float32)
        standardised = np.where(domain, standardised, np.float32(0))
        if not np.isfinite(standardised).all():
            cells = int((~np.isfinite(standardised)).sum())
            when = self.array.dims[0]
            labels = self.array.indexes.get(when)
            bad = np.arange(len(self.array))[t][~np.isfinite(standardised).all((1, 2))][0]
            on = f"date {bad}" if labels is None else shown_date(labels[bad])
            raise InputError(
                f"covariate {self.name!r} has no value on {counted(cells, 'cell')} of the domain, first on {on}; fill "
                "its gaps, or train a model without it"
            )
        return standardised

    def stored(self, t: slice | np.ndarray, y: slice, x: slice, width: int | None) -> np.ndarray:
        """Return values in their own units, (T, 1, h, w) or (T, 1, 1, 1)."""
        array = self.array
        assert array is not None
        if array.shape[2:] == (1, 1):
            return read_values(array, t)
        parts = [read_values(array, t, y, part) for part in stretches(x, width or array.shape[-1])]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, -1)


def on_dates(array: xr.DataArray, name: str, field: Field) -> xr.DataArray:
    """Return a covariate on the dates and the grid of a field, shape (T, 1, H, W) or, without maps, (T, 1, 1, 1).

    Raises
    ------
    InputError
        If it has other dimensions, another grid or calendar, or lacks a date of the field.
    """
    array = squeezed(array, roles=("time", "y", "x"))
    roles = axis_roles(array)
    if "time" not in roles and array.ndim == 1:
        roles = {"time": str(array.dims[0])}
    is_index = set(array.dims) == {roles.get("time")}
    if array.dtype.kind not in "biuf" or not (
        is_index or {roles.get(role) for role in ("time", "y", "x")} == set(array.dims)
    ):
        what = (
            f"type {array.dtype}"
            if array.dtype.kind not in "biuf"
            else f"the dimensions ({', '.join(map(str, array.dims))})"
        )
        raise InputError(
            f"covariate {name!r} has {what}, where numbers on a static map ({field.axes.y}, {field.axes.x}), on maps "
            "of all dates or along time are expected; reduce it to one of these, or leave it out"
        )
    if field.axes.time is None:
        raise InputError(f"covariate {name!r} has several dates, but {field.name} has none; select the map of its date")
    axes = Axes(roles["time"], roles.get("y", ""), roles.get("x", ""))
    array = dates.dated(array, axes)
    if not is_index:
        layer = Field(array, axes)
        mismatch = difference(layer, field)
        if mismatch:
            raise InputError(
                f"covariate {name!r} is on another grid than {field.name}: {mismatch}; interpolate it to that grid"
            )
    array = _at_dates(array, axes, name, field)
    if not is_index:
        return stacked(array, axes)
    return array.expand_dims(("covariate band", "covariate y", "covariate x"), axis=(1, 2, 3))


def _at_dates(array: xr.DataArray, axes: Axes, name: str, field: Field) -> xr.DataArray:
    """Return a covariate at the dates of a field."""
    assert axes.time is not None
    ours, theirs = field.calendar, dates.calendar_of(array, axes)
    count, own = field.shape[0], array.sizes[axes.time]
    if field.axes.independent or ours is None or theirs is None:
        if own != count:
            raise InputError(
                f"covariate {name!r} has {counted(own, 'entry', 'entries')} along {axes.time}, and {field.name} has "
                f"{counted(count, 'entry', 'entries')}, without dates by which they could be matched; give one for each"
            )
        return array
    if ours != theirs:
        raise InputError(
            f"covariate {name!r} has dates of the calendar {theirs}, and those of {field.name} have {ours}; convert it "
            f"with convert_calendar({ours!r})"
        )
    wanted, known = field.days, dates.days(array, axes)
    order = np.argsort(known, kind="stable")
    after = np.clip(np.searchsorted(known[order], wanted), 1, own - 1) if own > 1 else np.zeros(count, int)
    before = np.maximum(after - 1, 0)
    is_before = np.abs(known[order][before] - wanted) <= np.abs(known[order][after] - wanted)
    index = order[np.where(is_before, before, after)]
    is_absent = np.abs(known[index] - wanted) > SAME_DATE
    if is_absent.any():
        times = field.array.indexes.get(field.axes.time)
        first = int(np.flatnonzero(is_absent)[0])
        shown = f"date {first}" if times is None else shown_date(times[first])
        raise InputError(
            f"covariate {name!r} has no value on {int(is_absent.sum())} of {counted(count, 'date')} of {field.name} "
            f"(first {shown}); give a covariate with every date of the field"
        )
    return array if np.array_equal(index, np.arange(own)) else array.isel({axes.time: index})


def _wrapped(values: np.ndarray, like: xr.DataArray) -> xr.DataArray:
    return xr.DataArray(values, dims=like.dims, name=like.name)
