"""Coordinates that a dataset holds as plain variables: latitudes, longitudes and dates."""

from __future__ import annotations

import xarray as xr

from geogan.fields.axes import role_of
from geogan.fields.geography import geographic_kind
from geogan.fields.written_dates import decode, holds_dates


def with_coordinates(dataset: xr.Dataset) -> xr.Dataset:
    """Return a dataset whose latitudes, longitudes and dates are coordinates.

    Many files do not list them in the attribute ``coordinates``: swaths, model output such as ``XLAT`` and ``XTIME`` of
    WRF, and files made by hand.

    Parameters
    ----------
    dataset : Dataset

    Returns
    -------
    dataset : Dataset
        The same variables. Dates are one-dimensional variables of a date type, or variables named like a time that hold
        dates written as numbers or text, as in :func:`geogan.fields.written_dates.decode`.

    Examples
    --------
    >>> import numpy as np
    >>> maps = xr.Dataset({"lat": (("y", "x"), np.ones((3, 2))), "sst": (("y", "x"), np.ones((3, 2)))})
    >>> list(with_coordinates(maps).coords)
    ['lat']
    """
    names = [
        name
        for name, array in dataset.data_vars.items()
        if 1 <= array.ndim <= 3
        and ((array.dtype.kind in "iuf" and geographic_kind(array)) or (array.ndim == 1 and _are_dates(array)))
    ]
    return dataset.set_coords(names) if names else dataset


def _are_dates(array: xr.DataArray) -> bool:
    """Return whether a one-dimensional variable holds dates."""
    if holds_dates(array):
        return True
    name = str(array.name).lower()
    if role_of(array) != "time" and not any(word in name for word in ("time", "date", "yyyymm")):
        return False
    units, calendar = (str(array.attrs.get(key, "")) for key in ("units", "calendar"))
    return decode(array.values, units=units, calendar=calendar, name=f"variable {str(array.name)!r}") is not None
