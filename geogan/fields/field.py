"""A gridded field with its axes and everything else that is derived from its coordinates once."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from geogan.fields import dates, geography
from geogan.fields.axes import Axes, coordinates_along, find_axes, label_of
from geogan.fields.stacking import stacked, unstacked


@dataclass(frozen=True, eq=False)
class Field:
    """A gridded field with its axes, its domain and the known error of its observations.

    Functions that users call take a DataArray and make a `Field` of it once, with :meth:`of`; all other functions take
    the `Field`. Properties are computed from coordinates when first used, and kept.

    Attributes
    ----------
    array : DataArray, shape ([time,] [band,] y, x)
        NaN where not observed; lazy or not.
    axes : Axes
    domain : ndarray of bool, shape (H, W), optional
        True where the quantity exists; None where it is not known.
    error : DataArray, shape (T, C, H, W), or float, optional
        Standard deviation of the observations' errors, in the units of the field; None where it is not known.

    Examples
    --------
    >>> coords = {"lat": [2.0, 1.0, 0.0], "lon": [0, 90, 180, 270]}
    >>> field = Field.of(xr.DataArray(np.zeros((3, 4)), dims=("lat", "lon"), coords=coords, name="sst"))
    >>> field.axes.dims, field.shape, field.is_periodic, field.grid_step
    (('lat', 'lon'), (1, 1, 3, 4), True, (1.0, 90.0))
    """

    array: xr.DataArray
    axes: Axes
    domain: np.ndarray | None = None
    error: xr.DataArray | float | None = None

    @classmethod
    def of(
        cls, array: xr.DataArray, *, domain: np.ndarray | None = None, error: xr.DataArray | float | None = None
    ) -> Field:
        """Make a field of an array whose dimensions may be in any order.

        Raises
        ------
        InputError
            If :func:`geogan.fields.axes.find_axes` does not find its axes.
        """
        return cls(array, find_axes(array), domain, error)

    def with_array(self, array: xr.DataArray) -> Field:
        """Return a field with the same axes, domain and error, and another array."""
        return replace(self, array=array)

    def with_domain(self, domain: np.ndarray | None) -> Field:
        """Return the same field on a domain (H, W)."""
        return self._with(domain=domain)

    def with_error(self, error: xr.DataArray | float | None) -> Field:
        """Return the same field with observations of this known error."""
        return self._with(error=error)

    def _with(self, **parts: Any) -> Field:
        """Return a copy with other parts than the array, and the properties that were computed already."""
        other, names = replace(self, **parts), {part.name for part in fields(self)}
        other.__dict__.update({name: value for name, value in self.__dict__.items() if name not in names})
        return other

    @property
    def name(self) -> str:
        """Name of the variable; ``the field`` if it has none."""
        return "the field" if self.array.name is None else str(self.array.name)

    @property
    def label(self) -> str:
        """Words that messages use for the field, such as ``variable 'sst'``."""
        return label_of(self.array)

    @property
    def bands(self) -> int:
        """Number of bands; 1 without a band dimension."""
        return 1 if self.axes.band is None else self.array.sizes[self.axes.band]

    @property
    def grid(self) -> tuple[int, int]:
        """Number of rows and columns, (H, W)."""
        return self.array.sizes[self.axes.y], self.array.sizes[self.axes.x]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of :attr:`stacked`, (T, C, H, W)."""
        return (1 if self.axes.time is None else self.array.sizes[self.axes.time], self.bands, *self.grid)

    @property
    def is_lazy(self) -> bool:
        """Whether the array is a Dask array."""
        return self.array.chunks is not None

    @property
    def is_image(self) -> bool:
        """Whether the field holds images: independent samples whose valid range is [-1, 1]."""
        attrs = self.array.attrs
        return self.axes.independent and attrs.get("valid_min") == -1 and attrs.get("valid_max") == 1

    @cached_property
    def stacked(self) -> xr.DataArray:
        """The field as (T, C, H, W); see :func:`geogan.fields.stacking.stacked`."""
        return stacked(self.array, self.axes)

    def unstacked(self, values: Any) -> Any:
        """Return an array (..., T, C, H, W) without the dimensions that the field does not have."""
        return unstacked(values, self.axes)

    @cached_property
    def days(self) -> np.ndarray:
        """Times in days, shape (T,); see :func:`geogan.fields.dates.days`."""
        return dates.days(self.array, self.axes)

    @cached_property
    def day_of_year(self) -> np.ndarray | None:
        """Days since the start of the year, shape (T,); None without dates."""
        return dates.day_of_year(self.array, self.axes)

    @cached_property
    def calendar(self) -> str | None:
        """CF calendar of the dates; None without dates."""
        return dates.calendar_of(self.array, self.axes)

    @cached_property
    def band_names(self) -> tuple[str, ...]:
        """Names of the bands, in order; empty where they have none.

        Examples
        --------
        >>> array = xr.DataArray(np.zeros((2, 3, 2)), dims=("band", "y", "x"), coords={"band": ["red", "nir"]})
        >>> Field.of(array).band_names
        ('red', 'nir')
        """
        along = [] if self.axes.band is None else coordinates_along(self.array, self.axes.band)
        return tuple(str(name) for name in along[0].values) if along else ()

    @cached_property
    def band_units(self) -> tuple[str, ...]:
        """Units of each band, in order; of a field without bands one.

        Examples
        --------
        >>> coords = {"band": ["t", "s"], "units": ("band", ["K", "g kg-1"])}
        >>> Field.of(xr.DataArray(np.zeros((2, 3, 2)), dims=("band", "y", "x"), coords=coords)).band_units
        ('K', 'g kg-1')
        """
        if self.axes.band is not None and "units" in self.array.coords:
            units = self.array["units"]
            if units.dims == (self.axes.band,):
                return tuple(str(text) for text in units.values)
        return (str(self.array.attrs.get("units", "")),) * self.bands

    @cached_property
    def latitude(self) -> np.ndarray | None:
        """Latitudes of the rows in degrees, shape (H,); None where there are none."""
        return geography.latitude(self.array, self.axes)

    @cached_property
    def has_lonlat(self) -> bool:
        """Whether rows have a one-dimensional latitude and columns a one-dimensional longitude."""
        return geography.has_lonlat(self.array, self.axes)

    @cached_property
    def is_periodic(self) -> bool:
        """Whether the last column is the neighbour of the first; see :func:`geogan.fields.geography.is_periodic`."""
        return geography.is_periodic(self.array, self.axes)

    @cached_property
    def grid_step(self) -> tuple[float, float]:
        """Distance of neighbouring rows and of neighbouring columns, in the units of their coordinates.

        Positive medians; 1.0 without a one-dimensional coordinate, or with a single row or column.

        Examples
        --------
        >>> coords = {"lat": [3, 2, 1], "lon": [0, 0.5]}
        >>> Field.of(xr.DataArray(np.zeros((3, 2)), dims=("lat", "lon"), coords=coords)).grid_step
        (1.0, 0.5)
        """
        return _step(self.array, self.axes.y), _step(self.array, self.axes.x)


def _step(array: xr.DataArray, dim: str) -> float:
    """Return the median distance of neighbours along a dimension; 1.0 if it is not known."""
    along = coordinates_along(array, dim)
    if not along or along[0].size < 2 or not np.issubdtype(along[0].dtype, np.number):
        return 1.0
    step = float(np.median(np.abs(np.diff(along[0].values.astype(np.float64)))))
    return step if np.isfinite(step) and step > 0 else 1.0
