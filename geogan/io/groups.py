"""Groups of NetCDF4 files and Zarr stores: their names, and a group with coordinates of other groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import xarray as xr
import zarr

from geogan.fields.axes import role_of
from geogan.fields.geography import geographic_kind
from geogan.operators.errors import InputError

# Most groups that are listed. Files have tens of groups; a crafted file with millions must not block opening.
_MOST = 1000

Open = Callable[[str | None], xr.Dataset]
"""Function that opens a group of a file (None for the root) without decoding."""


def netcdf_groups(path: str) -> list[str]:
    """Return the names of all groups of a NetCDF4 file in the order of the file, nested ones with slashes."""
    import netCDF4

    with netCDF4.Dataset(path) as root:
        return _names(root, lambda group: list(group.groups.items()))


def zarr_groups(store: Any) -> list[str]:
    """Return the names of all groups of a Zarr store; an empty list if the store cannot list them."""
    try:
        root = zarr.open_group(store, mode="r")
        return _names(root, lambda group: sorted(group.groups()))
    except (NotImplementedError, OSError, KeyError, ValueError, TypeError, zarr.errors.BaseZarrError):
        return []


def chosen_group(
    path: str, groups: Sequence[str], open_one: Open, fields_of: Callable[[xr.Dataset], Sequence[str]]
) -> str | None:
    """Return the only group that holds fields.

    Parameters
    ----------
    path : str
        The file, for messages.
    groups : sequence of str
        All groups of the file.
    open_one : callable
        Opens a group.
    fields_of : callable
        Returns the names of the fields in a dataset: the requested ones, or all.

    Returns
    -------
    group : str or None
        None if no group holds fields.

    Raises
    ------
    InputError
        If several groups hold fields.
    """
    with_fields = {name: fields for name in groups if (fields := list(fields_of(open_one(name))))}
    if len(with_fields) > 1:
        listed = [
            f"{name!r} ({', '.join(fields[:4])}{', ...' * (len(fields) > 4)})" for name, fields in with_fields.items()
        ]
        listed = listed[:8] + ["..."] * (len(listed) > 8)
        raise InputError(
            f"{path} has its fields in groups, {', '.join(listed)}; choose one with --group (group= in Python)"
        )
    return next(iter(with_fields), None)


def group_with_coordinates(group: str, groups: Sequence[str], open_one: Open) -> xr.Dataset:
    """Open a group with coordinates from other groups.

    Coordinates of dimensions are inherited from parent groups. Latitudes, longitudes and times are taken from all other
    groups too, since satellite swaths have them in ``navigation_data`` or ``geolocation_data``.

    Parameters
    ----------
    group : str
    groups : sequence of str
        All groups of the file.
    open_one : callable

    Returns
    -------
    dataset : Dataset
        Not decoded. Global attributes of parent groups are included; attributes of the group take precedence.
    """
    dataset = open_one(group)
    parts = group.split("/")
    parents: list[str | None] = ["/".join(parts[:count]) for count in range(len(parts) - 1, 0, -1)]
    attrs = dict(dataset.attrs)
    for parent in [*parents, None]:
        outer = open_one(parent)
        attrs = dict(outer.attrs) | attrs
        dataset = _with_coordinates_of(dataset, outer, is_parent=True)
    for other in groups:
        if other != group and other not in parents:
            dataset = _with_coordinates_of(dataset, open_one(other), is_parent=False)
    dataset.attrs = attrs
    return dataset


def _with_coordinates_of(dataset: xr.Dataset, other: xr.Dataset, *, is_parent: bool) -> xr.Dataset:
    """Return a dataset with latitudes, longitudes, times and, from a parent group, dimension coordinates of another."""
    added = {}
    for name, array in other.variables.items():
        if name in dataset.variables or not set(array.dims) <= set(dataset.dims):
            continue
        if any(array.sizes[dim] != dataset.sizes[dim] for dim in array.dims):
            continue
        coordinate = xr.DataArray(array, name=name)
        is_geographic = bool(array.dims) and geographic_kind(coordinate) is not None
        is_time = array.ndim == 1 and role_of(coordinate) == "time"
        if is_geographic or is_time or (is_parent and (array.dims == (name,) or array.ndim == 0)):
            added[name] = array
    return dataset.assign(added)


def _names(group: Any, members: Callable[[Any], list[tuple[str, Any]]]) -> list[str]:
    """Return the paths of all groups inside a group, breadth first."""
    paths: list[str] = []
    queue = [("", group)]
    while queue and len(paths) < _MOST:
        parent, current = queue.pop(0)
        for name, inner in members(current):
            path = f"{parent}/{name}" if parent else str(name)
            paths.append(path)
            queue.append((path, inner))
    return paths[:_MOST]
