"""Checks of sizes that a file claims, before memory is allocated for them."""

import math
import os
from collections.abc import Mapping
from typing import Any

import xarray as xr

from geogan.fields.axes import Axes
from geogan.operators.errors import InputError

MOST_ENTRIES = 2**27
"""Most entries along a dimension, since its coordinate is held in memory: one a minute over 255 years."""


def check_dimensions(path: str, sizes: Mapping[Any, int]) -> None:
    """Refuse a file that claims a dimension that is too long for its coordinate to be held in memory.

    Raises
    ------
    InputError
        If a dimension is longer than :data:`MOST_ENTRIES`.

    Examples
    --------
    >>> check_dimensions("sst.nc", {"time": 2**31})
    Traceback (most recent call last):
        ...
    geogan.operators.errors.InputError: sst.nc claims 2,147,483,648 entries along 'time', where at most 134,217,728 can
    be read; check how it was made
    """
    for dim, size in sizes.items():
        if size > MOST_ENTRIES:
            raise InputError(
                f"{path} claims {size:,} entries along {str(dim)!r}, where at most {MOST_ENTRIES:,} can be read; check "
                "how it was made"
            )


def check_memory(field: xr.DataArray, axes: Axes, label: str) -> None:
    """Refuse a field if one map or one stored chunk does not fit into memory.

    Raises
    ------
    InputError
        With the size of the map or chunk.
    """
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not available on Windows
        return
    size = field.dtype.itemsize
    stored: Mapping[Any, int] = field.encoding.get("preferred_chunks") or {}
    parts = {
        "one map": [field.sizes[dim] for dim in (axes.band, axes.y, axes.x) if dim is not None],
        "one stored chunk": [min(int(stored.get(dim, 1)), field.sizes[dim]) for dim in field.dims],
    }
    for part, shape in parts.items():
        if size * math.prod(shape) > memory:
            raise InputError(
                f"{part} of {label} takes {size * math.prod(shape) / 2**30:,.0f} GiB ({' x '.join(map(str, shape))} "
                f"values), where this machine has {memory / 2**30:,.0f} GiB of memory; check how the file was made"
            )
