"""The extent of a part of a field: its dates, rows and columns."""

from __future__ import annotations

from typing import NamedTuple


class Extent(NamedTuple):
    """Dates, rows and columns of a part of a field (T, C, H, W), as slices of its axes.

    Examples
    --------
    >>> Extent(slice(0, 2), slice(0, 8), slice(4, 8)).x
    slice(4, 8, None)
    """

    t: slice
    y: slice
    x: slice
