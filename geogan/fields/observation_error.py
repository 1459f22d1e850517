"""Known error of observations: one standard deviation for all, or one for each."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import xarray as xr

from geogan.compute.extent import Extent
from geogan.compute.streaming import read_values
from geogan.fields.alignment import aligned
from geogan.fields.axes import VARIABLE
from geogan.fields.field import Field
from geogan.fields.marks import hide_unreadable
from geogan.fields.stacking import stacked
from geogan.fields.units import same_units, units_of
from geogan.operators.errors import InputError
from geogan.operators.wording import counted

CHECKED_VALUES = 8_000_000
"""Number of values that are checked at a time, which bounds the memory for temporary arrays."""


def observation_error(
    field: Field, *, noise: float | None = None, error: xr.DataArray | None = None
) -> xr.DataArray | float | None:
    """Return the standard deviation of the observations' errors, after checks.

    Parameters
    ----------
    field : Field
        The observations.
    noise : float, optional
        One standard deviation for all observations, in the units of the field; 0 is the same as None.
    error : DataArray, shape ([time,] [band,] y, x), optional
        Standard deviation of each observation, in the units of the field; transposed or not. Values are checked here if
        both arrays are in memory, else by :func:`check_errors` when they are read.

    Returns
    -------
    error : DataArray, shape (T, C, H, W), float, or None
        None if the error is not known.

    Raises
    ------
    InputError
        If both are given, one is negative, or the error has other units, another shape or other coordinates, or is
        missing for an observation.

    Examples
    --------
    >>> field = Field.of(xr.DataArray([[1.0, np.nan]], dims=("y", "x"), attrs={"units": "K"}))
    >>> observation_error(field, noise=0.2)
    0.2
    >>> error = xr.DataArray([[0.3, np.nan]], dims=("y", "x"), attrs={"units": "K"})
    >>> observation_error(field, error=error).shape
    (1, 1, 1, 2)
    """
    units = units_of(field.array)
    if noise is not None and error is not None:
        raise InputError("the observations' error is given twice, as noise and as a variable; leave one of them out")
    if noise is not None and not (noise >= 0 and math.isfinite(noise)):
        raise InputError(
            f"noise is a standard deviation in the units of the field, got {noise}; give a positive number"
        )
    if noise and len(set(units)) > 1:
        raise InputError(
            f"noise is one number, but {field.name} has several units ({', '.join(units)}); give an error variable"
        )
    if error is None:
        return noise or None
    called = str(error.name or "the error variable")
    error = aligned(_ordered(error, field.array), field, called=called, remedy="give one error for each observation")
    theirs = units_of(error)
    has_same_units = len(units) == len(theirs) and all(map(same_units, units, theirs))
    if any(theirs) and not has_same_units:
        raise InputError(
            f"{called} is in {', '.join(theirs) or 'no units'}, {field.name} in "
            f"{', '.join(units) or 'no units'}; convert it"
        )
    error, values = stacked(error, field.axes), field.stacked
    if error.chunks is None and values.chunks is None:
        step = max(1, CHECKED_VALUES // int(np.prod(values.shape[1:])))
        for start in range(0, len(values), step):
            dates = slice(start, start + step)
            check_errors(values[dates].values, error[dates].values, called=called, name=field.name)
    return error


def check_errors(values: np.ndarray, errors: np.ndarray, *, called: str, name: str) -> None:
    """Refuse standard deviations that are negative, or missing for an observation.

    Parameters
    ----------
    values, errors : ndarray, of one shape
        Observations (NaN where there are none) and the standard deviation of each error.
    called, name : str
        Words for the errors and the field in messages.

    Raises
    ------
    InputError
        If an error is missing where there is an observation, or negative.

    Examples
    --------
    >>> check_errors(np.array([1.0, np.nan]), np.array([0.5, np.nan]), called="sst_error", name="sst")
    """
    is_observed = np.isfinite(values)
    stated = errors[is_observed]
    missing = int((~np.isfinite(stated)).sum())
    if missing:
        raise InputError(
            f"{called} has no value at {missing} of {counted(int(is_observed.sum()), 'observation')} of {name}; give "
            "their error, or leave those observations out"
        )
    if (stated < 0).any():
        raise InputError(
            f"{called} goes down to {np.nanmin(stated):g}, but no standard deviation is negative; mask them"
        )


def error_checker(field: Field) -> Callable[[Extent, np.ndarray], None]:
    """Return a function that checks the errors of each part of a field while the field is read.

    Parameters
    ----------
    field : Field
        With its error. Errors in memory were checked by :func:`observation_error`, so only lazy ones are checked.

    Returns
    -------
    check : callable
        Takes a region and its values, (t, C, h, w), and reads the errors of the region.
    """
    error = field.error

    def check(region: Extent, values: np.ndarray) -> None:
        if isinstance(error, xr.DataArray) and error.chunks is not None:
            errors = read_values(error, *region)
            check_errors(
                hide_unreadable(values, errors), errors, called=str(error.name or "the error variable"), name=field.name
            )

    return check


def _ordered(error: xr.DataArray, field: xr.DataArray) -> xr.DataArray:
    """Return errors in the order of the variables that their names begin with: ``sst_error`` belongs to ``sst``."""
    if VARIABLE not in field.coords or VARIABLE not in error.dims or VARIABLE not in error.coords:
        return error
    variables, errors = ([str(name) for name in array[VARIABLE].values] for array in (field, error))
    matches = [[number for number, name in enumerate(errors) if name.startswith(variable)] for variable in variables]
    if any(len(numbers) != 1 for numbers in matches) or len({numbers[0] for numbers in matches}) < len(errors):
        return error
    return error.isel({VARIABLE: [numbers[0] for numbers in matches]})
