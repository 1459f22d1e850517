"""Arrays that accompany a field, aligned with its dimensions and checked against its coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from geogan.fields.axes import VARIABLE, Axes, axis_roles
from geogan.fields.field import Field
from geogan.fields.grids import difference
from geogan.operators.errors import InputError


def aligned(
    array: xr.DataArray,
    field: Field,
    *,
    called: str,
    dims: Sequence[str] | None = None,
    remedy: str = "give it on the same cells and dates",
) -> xr.DataArray:
    """Return an array with the dimensions of a field, in the same order.

    Parameters
    ----------
    array : DataArray
        Its dimensions are matched by name, else by role; other dimensions of length one are dropped. Lazy or not.
    field : Field
    called : str
        Words for the array in messages.
    dims : sequence of str, optional
        Dimensions of the field that the array must have; by default all.
    remedy : str
        What to do about a wrong shape, for the message.

    Returns
    -------
    array : DataArray
        Lazy if ``array`` is.

    Raises
    ------
    InputError
        If a dimension is missing or has another length, or a coordinate differs from the field's.

    Examples
    --------
    >>> maps = xr.DataArray(np.zeros((2, 3)), dims=("lat", "lon"), coords={"lat": [1.0, 2.0]}, name="sst")
    >>> aligned(maps.T, Field.of(maps), called="the domain").dims
    ('lat', 'lon')
    >>> aligned(maps.assign_coords(lat=[2.0, 1.0]), Field.of(maps), called="the domain")
    Traceback (most recent call last):
        ...
    geogan.operators.errors.InputError: the domain is on another grid than sst: ...
    """
    dims = [str(dim) for dim in field.array.dims] if dims is None else list(dims)
    sizes, axes = field.array.sizes, field.axes
    array = array.squeeze([dim for dim, size in array.sizes.items() if size == 1 and dim not in dims], drop=True)
    if set(array.dims) != set(dims):
        array = _renamed(array, field.array, dims)
    shape = ({str(dim): size for dim, size in array.sizes.items()}, {dim: sizes[dim] for dim in dims})
    if shape[0] != shape[1]:
        theirs, ours = (", ".join(f"{dim} {size}" for dim, size in each.items()) or "no dimension" for each in shape)
        raise InputError(f"{called} has the shape {theirs}, {field.name} {ours}; {remedy}")
    array = array.transpose(*dims)
    own = axes if set(axes.dims) == set(dims) else Axes(None, axes.y, axes.x)
    apart = difference(Field(array, own), field)
    if apart:
        raise InputError(
            f"{called} is on another grid than {field.name}: {apart}; select, sort or interpolate it to the same cells"
        )
    for dim in dims:
        # Names of joined variables may differ, such as sst and sst_error.
        if dim not in (axes.y, axes.x, VARIABLE) and not _same(array, field.array, dim):
            raise InputError(
                f"{called} has other coordinates along {dim} ({_span(array, dim)}) than {field.name} "
                f"({_span(field.array, dim)}); select or sort it to those"
            )
    return array


def as_domain(domain: Any, field: Field) -> np.ndarray:
    """Return a domain as booleans on the grid of a field.

    Parameters
    ----------
    domain : DataArray or array_like, shape (y, x)
        1 or True where the quantity exists, 0 or False elsewhere; NaN counts as 0. A DataArray may be transposed, and
        its coordinates are compared with those of the field.
    field : Field

    Returns
    -------
    domain : ndarray of bool, shape (y, x)

    Raises
    ------
    InputError
        If the domain has another shape or other coordinates, or holds other values.

    Examples
    --------
    >>> field = Field.of(xr.DataArray(np.zeros((2, 3)), dims=("y", "x")))
    >>> as_domain(xr.DataArray([[1, 0], [1, 1], [0, 1]], dims=("x", "y")), field).astype(int).tolist()
    [[1, 1, 0], [0, 1, 1]]
    """
    if isinstance(domain, xr.DataArray):
        called = "the domain" if domain.name is None else f"the domain {str(domain.name)!r}"
        domain = aligned(domain, field, called=called, dims=(field.axes.y, field.axes.x)).values
    values = np.asarray(domain)
    if values.shape != field.grid:
        raise InputError(f"the domain has shape {values.shape}, {field.name} has {field.grid}; give one on its grid")
    if values.dtype.kind == "f":
        values = np.nan_to_num(values, nan=0.0)
    if values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
        raise InputError(
            "the domain must hold 1 where the field exists and 0 elsewhere, and holds other values; give such a mask"
        )
    return np.ascontiguousarray(values, bool)


def _renamed(array: xr.DataArray, field: xr.DataArray, dims: Sequence[str]) -> xr.DataArray:
    """Return an array with the dimension names of the field, matched by role; unchanged if names would collide."""
    ours = {dim: role for role, dim in axis_roles(field).items()}
    theirs = axis_roles(array)
    names = {theirs[ours[dim]]: dim for dim in dims if dim not in array.dims and ours.get(dim) in theirs}
    if any(name in dims for name in names):
        return array
    return array.drop_vars([dim for dim in names.values() if dim in array.coords]).rename(names)


def _same(array: xr.DataArray, field: xr.DataArray, dim: str) -> bool:
    if dim not in array.coords or dim not in field.coords:
        return True
    ours, theirs = array[dim].values, field[dim].values
    if ours.dtype.kind in "iuf" and theirs.dtype.kind in "iuf":
        return bool(np.allclose(ours, theirs))
    try:
        return bool(np.all(ours == theirs))
    except TypeError:  # dates of two calendars
        return False


def _span(array: xr.DataArray, dim: str) -> str:
    values = array[dim].values
    first, last = (f"{value:g}" if values.dtype.kind in "iuf" else str(value)[:10] for value in (values[0], values[-1]))
    return f"{first} to {last}"
