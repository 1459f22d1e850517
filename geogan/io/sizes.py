"""Sizes that a file claims and no machine could hold: refused before anything is allocated for them."""

import math
import os
from collections.abc import Mapping
from typing import Any

import xarray as xr

from geogan.fields.axes import Axes
from geogan.operators.errors import InputError

# Entries along a dimension, as dates of one a minute over 255 years: what is known of each is held in memory.
MOST_ENTRIES = 2**27


def check_dimensions(path: str, sizes: Mapping[Any, int]) -> None:
    """Refuse a file that claims a dimension too long to be indexed.

    Raises
    ------
    InputError
        With the dimension and its size.

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
    """Refuse a field of which not even one map, or one stored chunk, fits into memory.

    Raises
    ------
    InputError
        With what does not fit, and its size.
    """
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows does not say
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
