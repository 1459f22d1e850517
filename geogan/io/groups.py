"""Groups of NetCDF4 files and Zarr stores: which there are, and one of them with the coordinates of those around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import xarray as xr
import zarr

from geogan.fields.axes import role_of
from geogan.fields.geography import geographic_kind
from geogan.operators.errors import InputError

# Groups that are looked at: a file has tens of them; more would make its opening endless.
_MOST = 1000

Open = Callable[[str | None], xr.Dataset]
"""Opens a group of a file, None for the root; not decoded."""


def netcdf_groups(path: str) -> list[str]:
    """Return the names of all groups of a NetCDF4 file, nested ones with slashes, in the order of the file."""
    import netCDF4

    with netCDF4.Dataset(path) as root:
        return _names(root, lambda group: list(group.groups.items()))


def zarr_groups(store: Any) -> list[str]:
    """Return the names of all groups of a Zarr store; none where it cannot list them."""
    try:
        root = zarr.open_group(store, mode="r")
        return _names(root, lambda group: sorted(group.groups()))
    except (NotImplementedError, OSError, KeyError, ValueError, TypeError, zarr.errors.BaseZarrError):
        return []


def chosen_group(
    path: str, groups: Sequence[str], open_one: Open, fields_of: Callable[[xr.Dataset], Sequence[str]]
) -> str | None:
    """Choose the group that holds fields, where the root holds none.

    Parameters
    ----------
    path : str
        What errors call the file.
    groups : sequence of str
        All there are.
    open_one : callable
        Opens one of them.
    fields_of : callable
        Names of the fields in a dataset: those that were asked for, or all.

    Returns
    -------
    group : str or None
        The only one that holds fields; None where there is none.

    Raises
    ------
    InputError
        Where several groups hold fields.
    """
    found = {name: fields for name in groups if (fields := list(fields_of(open_one(name))))}
    if len(found) > 1:
        listed = [f"{name!r} ({', '.join(fields[:4])}{', ...' * (len(fields) > 4)})" for name, fields in found.items()]
        listed = listed[:8] + ["..."] * (len(listed) > 8)
        raise InputError(
            f"{path} has its fields in groups, {', '.join(listed)}; choose one with --group (group= in Python)"
        )
    return next(iter(found), None)


def group_with_coordinates(group: str, groups: Sequence[str], open_one: Open) -> xr.Dataset:
    """Open a group, with the coordinates that groups around it hold.

    Coordinates of a dimension are inherited from the groups that it is in; latitudes and longitudes are also looked for
    in all other groups, as satellite swaths have them in ``navigation_data`` or ``geolocation_data``.

    Parameters
    ----------
    group : str
    groups : sequence of str
        All that the file has.
    open_one : callable

    Returns
    -------
    dataset : Dataset
        Not decoded; global attributes are those of the root under those of the group.
    """
    dataset = open_one(group)
    parts = group.split("/")
    parents: list[str | None] = ["/".join(parts[:count]) for count in range(len(parts) - 1, 0, -1)]
    attrs = dict(dataset.attrs)
    for parent in [*parents, None]:
        around = open_one(parent)
        attrs = dict(around.attrs) | attrs
        dataset = _with(dataset, around, inherited=True)
    for other in groups:
        if other != group and other not in parents:
            dataset = _with(dataset, open_one(other), inherited=False)
    dataset.attrs = attrs
    return dataset


def _with(dataset: xr.Dataset, around: xr.Dataset, *, inherited: bool) -> xr.Dataset:
    """A dataset with what another one knows of its places and times."""
    wanted = {}
    for name, array in around.variables.items():
        if name in dataset.variables or not set(array.dims) <= set(dataset.dims):
            continue
        if any(array.sizes[dim] != dataset.sizes[dim] for dim in array.dims):
            continue
        coordinate = xr.DataArray(array, name=name)
        is_place = bool(array.dims) and geographic_kind(coordinate) is not None
        is_time = array.ndim == 1 and role_of(coordinate) == "time"
        if is_place or is_time or (inherited and (array.dims == (name,) or array.ndim == 0)):
            wanted[name] = array
    return dataset.assign(wanted)


def _names(group: Any, members: Callable[[Any], list[tuple[str, Any]]]) -> list[str]:
    found: list[str] = []
    waiting = [("", group)]
    while waiting and len(found) < _MOST:
        path, here = waiting.pop(0)
        for name, inner in members(here):
            whole = f"{path}/{name}" if path else str(name)
            found.append(whole)
            waiting.append((whole, inner))
    return found[:_MOST]
