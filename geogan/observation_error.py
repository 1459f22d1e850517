"""What is known of the error of observations: one standard deviation for all of them, or one for each."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr

from geogan.coordinates import find_axes, stacked
from geogan.grids import difference
from geogan.operators.errors import InputError

# Values looked at together.
SLAB = 8_000_000


def observation_error(
    field: xr.DataArray, *, noise: float | None = None, error: xr.DataArray | None = None
) -> xr.DataArray | float | None:
    """The standard deviation of the observations' errors, checked.

    Parameters
    ----------
    field : DataArray, shape ([time,] [band,] y, x)
        The observations, NaN where there is none.
    noise : float, optional
        One standard deviation for all of them, in the field's units; 0 says no more than None.
    error : DataArray, shape ([time,] [band,] y, x), optional
        One for each, in the field's units; lazy or not, looked at once.

    Returns
    -------
    error : DataArray, shape (T, C, H, W), float, or None
        None where nothing is known.

    Raises
    ------
    InputError
        Where both are given, one is negative, or the error is in other units, of another shape, or missing where there
        is an observation.

    Examples
    --------
    >>> field = xr.DataArray([[1.0, np.nan]], dims=("y", "x"), attrs={"units": "K"})
    >>> observation_error(field, noise=0.2)
    0.2
    >>> error = xr.DataArray([[0.3, np.nan]], dims=("y", "x"), attrs={"units": "K"})
    >>> observation_error(field, error=error).shape
    (1, 1, 1, 2)
    """
    name = field.name or "the field"
    if noise is not None and error is not None:
        raise InputError("the observations' error is given twice, as noise and as a variable; leave one of them out")
    if noise is not None and not (noise >= 0 and math.isfinite(noise)):
        raise InputError(
            f"noise is a standard deviation in the units of the field, got {noise}; give a positive number"
        )
    if noise and len(set(_units(field))) > 1:
        raise InputError(
            f"noise is one number, but {name} has several units ({', '.join(_units(field))}); give an error variable"
        )
    if error is None:
        return noise or None
    called = error.name or "the error variable"
    if {dim: size for dim, size in error.sizes.items() if size > 1} != {
        dim: size for dim, size in field.sizes.items() if size > 1
    }:
        raise InputError(
            f"{called} has the shape {_shape(error)}, {name} {_shape(field)}; give one error for each observation"
        )
    own, theirs = _units(field), _units(error)
    if any(theirs) and own != theirs:
        raise InputError(
            f"{called} is in {', '.join(theirs) or 'no units'}, {name} in {', '.join(own) or 'no units'}; convert it"
        )
    axes = find_axes(field)
    error = error.squeeze([dim for dim in error.dims if dim not in field.dims], drop=True)
    apart = difference(field, error)
    if apart:
        raise InputError(f"{called} is on another grid than {name}: {apart}; give the error of the same cells")
    error = stacked(error.expand_dims([dim for dim in field.dims if dim not in error.dims]), axes)
    values = stacked(field, axes)
    slab = max(1, SLAB // int(np.prod(values.shape[1:])))
    for start in range(0, len(values), slab):
        there = np.isfinite(values[start : start + slab].values)
        stated = error[start : start + slab].values[there]
        lacking = int((~np.isfinite(stated)).sum())
        if lacking:
            raise InputError(
                f"{called} has no value at {lacking} of {there.sum()} observations of {name}; give their error, or "
                "leave those observations out"
            )
        if (stated < 0).any():
            raise InputError(
                f"{called} goes down to {stated.min():g}, but no standard deviation is negative; mask them"
            )
    return error


def _units(field: xr.DataArray) -> list[str]:
    if "units" in field.coords:
        return [str(each) for each in np.atleast_1d(field["units"].values)]
    return [str(field.attrs.get("units", ""))]


def _shape(field: xr.DataArray) -> str:
    return ", ".join(f"{dim} {size}" for dim, size in field.sizes.items())
