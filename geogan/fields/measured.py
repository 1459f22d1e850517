"""Measured variables of a dataset, as opposed to masks, flags and uncertainties."""

from collections.abc import Iterable

import numpy as np
import xarray as xr

from geogan.fields.axes import axis_roles
from geogan.operators.choices import matching, suggestion
from geogan.operators.errors import InputError

MASK_WORDS = ("mask", "flag", "flags", "lsm", "qc", "quality")
# Endings of names of uncertainties, after the name of the measured variable.
_ERROR_ENDINGS = ("uncertainty", "error", "std", "stdev", "stddev", "sigma", "standard_error", "standard_deviation")


def choose_variable(dataset: xr.Dataset, variable: str | None = None, *, label: str = "the dataset") -> str:
    """Return the name of the requested variable, or of the only measured variable.

    Parameters
    ----------
    dataset : Dataset
    variable : str, optional
        Needed if there are several measured variables; masks, flags and the companions of a variable in a filled
        product do not count.
    label : str
        Words for the dataset in messages.

    Returns
    -------
    name : str

    Raises
    ------
    InputError
        If there is no such variable, no variable on a grid, or more than one.

    Examples
    --------
    >>> import numpy as np
    >>> choose_variable(xr.Dataset({"sst": (("y", "x"), np.ones((3, 2))), "area": 1.0}))
    'sst'
    """
    if variable is not None:
        if variable in dataset.variables:
            return variable
        match = matching(variable, map(str, dataset.data_vars))
        if match is None:
            names = [str(name) for name in dataset.data_vars]
            raise InputError(
                f"{label} has no variable {variable!r}; it has {_listed(names)}, choose one of them"
                f"{suggestion(variable, names)}"
            )
        return match
    candidates = measured_variables(dataset)
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise InputError(
            f"{label} has several gridded variables, {_listed(candidates)}; choose one with "
            "--variable (variable= in Python), or several of one grid with commas between"
        )
    raise InputError(
        f"{label} has no numeric variable on a grid of y and x; it has {_listed(map(str, dataset.data_vars))}, "
        "rename its dimensions to time, y and x, name them with --dims y=...,x=... (dims= in Python), or give another "
        "file"
    )


def measured_variables(dataset: xr.Dataset) -> list[str]:
    """Return the names of gridded variables without masks, flags and uncertainties, unless there are no others.

    Examples
    --------
    >>> import numpy as np
    >>> measured_variables(xr.Dataset({name: (("y", "x"), np.ones((3, 2))) for name in ("sm", "sm_uncertainty")}))
    ['sm']
    """
    gridded = [str(name) for name, array in dataset.data_vars.items() if is_gridded(array)]
    # In a filled product, flags and the predicted error belong to the filled variable.
    filled = [name for name in gridded if f"{name}_source" in dataset.data_vars]
    measured = [name for name in gridded if not is_mask(dataset[name]) and not is_time(dataset[name])]
    return filled or [name for name in measured if not _is_error(dataset, name)] or measured or gridded


def is_time(array: xr.DataArray) -> bool:
    """Return whether values are times of observation, by their units or type."""
    units = str(array.attrs.get("units", array.encoding.get("units", "")))
    return array.dtype.kind in "mM" or " since " in units


def _is_error(dataset: xr.Dataset, name: str) -> bool:
    """Return whether a variable is the uncertainty of another variable of the dataset, by its name or attributes."""
    standard_name = str(dataset[name].attrs.get("standard_name", ""))
    if standard_name.endswith("standard_error"):
        return True
    return any(name == f"{other}_{ending}" for other in dataset.data_vars for ending in _ERROR_ENDINGS)


def is_gridded(array: xr.DataArray) -> bool:
    """Return whether a variable has numbers along y and x, and maybe other dimensions; cell bounds do not count."""
    roles = axis_roles(array)
    has_bounds = any(str(dim).lower() in ("bnds", "bounds", "nv", "vertices", "nvertex") for dim in array.dims)
    return array.dtype.kind in "biuf" and "y" in roles and "x" in roles and not has_bounds


def is_mask(array: xr.DataArray) -> bool:
    """Return whether a variable is a mask or a flag, by its type, name or attributes."""
    words = str(array.name).lower().replace("-", "_").split("_")
    return (
        array.dtype.kind in "bi"
        and not _is_packed(array)
        and array.dtype.itemsize == 1
        or any(word in MASK_WORDS for word in words)
        or (not _is_quantity(array) and ("flag_values" in array.attrs or "flag_masks" in array.attrs))
        or str(array.attrs.get("standard_name", "")).endswith("binary_mask")
    )


def has_physical_units(units: object) -> bool:
    """Return whether units are those of a physical quantity; flags have none.

    Examples
    --------
    >>> has_physical_units("percent"), has_physical_units("1"), has_physical_units(None)
    (True, False, False)
    """
    return str(units or "").strip().lower() not in ("", "1", "none", "dimensionless", "unitless")


def _is_quantity(array: xr.DataArray) -> bool:
    """Return whether values are measurements (packed numbers, or numbers with units); some may still be flags."""
    return _is_packed(array) or has_physical_units(array.attrs.get("units"))


def _is_packed(array: xr.DataArray) -> bool:
    """Return whether values are or were packed; before decoding, the scale is an attribute."""
    return "scale_factor" in array.encoding or "scale_factor" in array.attrs


def check_numbers(field: xr.DataArray, label: str) -> None:
    """Refuse an array that is not numeric, or has a dimension of length 0."""
    if field.dtype.kind not in "iuf":
        raise InputError(f"{label} has values of type {field.dtype}, where numbers are expected; choose another one")
    for dim, size in field.sizes.items():
        if size == 0:
            raise InputError(f"{label} has no entry along {str(dim)!r}; check how the file was made or selected")


LARGEST = 3e36
"""Largest absolute value of a field. Single precision reaches 3.4e38; sums of about 100 values must not overflow."""


def check_finite(label: str, values: np.ndarray) -> None:
    """Refuse values that are infinite, or would overflow in single precision."""
    if np.isinf(values).any():
        raise InputError(f"{label} holds infinite values; set them to NaN, for example field.where(abs(field) < 1e30)")
    if (np.abs(values) > LARGEST).any():
        raise InputError(
            f"{label} holds values beyond {LARGEST:g}, with which single precision overflows; set them to NaN, or "
            "scale the field"
        )


def file_label(field: xr.DataArray) -> str:
    """Return the words for a field in messages: its name and, if known, its file."""
    label = f"variable {str(field.name)!r}" if field.name is not None else "the field"
    source = field.encoding.get("source")
    return f"{label} of {source}" if source else label


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
