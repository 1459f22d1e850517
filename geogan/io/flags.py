"""Describe the masks and quality flags beside a field."""

from __future__ import annotations

import numpy as np
import xarray as xr

from geogan.fields.measured import is_gridded, is_mask

# Values whose meanings are listed; flags of satellites may have dozens.
_LISTED = 8
# Words of a meaning that mark the values to keep, the first one preferred.
_GOOD = ("best", "good", "high", "clear", "valid")


def describe_flags(dataset: xr.Dataset) -> dict[str, str]:
    """Return the gridded masks and flags of a dataset by name, with the meaning of their values.

    Examples
    --------
    >>> flags = {"flag_values": np.array([0, 5], "i1"), "flag_meanings": "no_data best_quality"}
    >>> describe_flags(xr.Dataset({"quality": (("y", "x"), np.zeros((2, 2), "i1"), flags)}))
    {'quality': '0 no_data, 5 best_quality; to select: --where "quality == 5"'}
    """
    return {
        str(name): _meaning(str(name), array)
        for name, array in dataset.data_vars.items()
        if is_gridded(array) and is_mask(array)
    }


def _meaning(name: str, array: xr.DataArray) -> str:
    """Return the values of a flag with their meanings, and the condition that selects the best ones."""
    words = str(array.attrs.get("flag_meanings", "")).split()
    key = next((key for key in ("flag_values", "flag_masks") if key in array.attrs), None)
    if not words or key is None:
        return f"a mask ({', '.join(map(str, array.dims))})"
    pairs = list(zip(np.atleast_1d(array.attrs[key]).tolist(), words))
    text = ", ".join(f"{value} {word}" for value, word in pairs[:_LISTED])
    text += f" and {len(pairs) - _LISTED} more" if len(pairs) > _LISTED else ""
    if key == "flag_masks":
        return f"bits: {text}"
    best = next((value for good in _GOOD for value, word in pairs[::-1] if good in word.lower()), None)
    return text if best is None else f'{text}; to select: --where "{name} == {best}"'
