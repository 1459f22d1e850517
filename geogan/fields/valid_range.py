"""The valid range of a field: CF attributes in packed or physical units."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from geogan.fields.codes import Codes, number_type, one_number, reinterpreted

VALID = ("valid_min", "valid_max", "valid_range")
"""Attributes of a valid range."""


def valid_limits(field: xr.DataArray) -> tuple[float, float]:
    """Return the valid range of a field in its units; an end that the attributes do not give is infinite.

    CF gives ``valid_min``, ``valid_max`` and ``valid_range`` in packed units. Floats on a packed variable are in the
    units of its values, as the NetCDF users' guide requires.

    Examples
    --------
    >>> ice = xr.DataArray([0.5], dims="x", attrs={"valid_range": np.array([0, 250], "u1")})
    >>> ice.encoding = {"dtype": "uint8", "scale_factor": 0.004}
    >>> valid_limits(ice)
    (0.0, 1.0)
    """
    codes = Codes.of(field.encoding)
    stored = number_type(field.encoding.get("dtype"))
    # Limits of scaled floats refer to the stored numbers, as do those of packed integers.
    is_packed = not isinstance(codes, str) or (stored is not None and stored.kind == "f")
    numbers = [one_number(field.encoding.get(key)) for key in ("scale_factor", "add_offset")]
    if any(isinstance(number, str) for number in numbers):
        return -np.inf, np.inf  # the reader of the values refuses such a packing
    slope = Codes(np.dtype(float), *numbers).slope
    scale, offset = (slope if isinstance(codes, str) else codes.slope) if is_packed else (1.0, 0.0)
    sides: tuple[list[float], list[float]] = ([-np.inf], [np.inf])
    for side, end in enumerate(_valid_ends(field.attrs)):
        if end is None:
            continue
        if isinstance(codes, str) or np.asarray(end).dtype.kind in "iu":
            code = end if isinstance(codes, str) or stored is None else reinterpreted(end, stored, codes.dtype)
            sides[side if scale > 0 else 1 - side].append(float(code) * scale + offset)
        else:
            sides[side].append(float(end))
    least, most = max(sides[0]), min(sides[1])
    return (least, most) if least <= most else (-np.inf, np.inf)


def valid_codes(
    attrs: Mapping[Hashable, Any], encoding: Mapping[Hashable, Any], codes: Codes
) -> tuple[int | None, int | None]:
    """Return the lowest and the highest valid code; None for an end that the attributes do not give."""
    field = xr.DataArray(np.zeros(()), attrs=dict(attrs))
    field.encoding = dict(encoding)
    scale, offset = codes.slope
    ends = [None if np.isinf(end) else (end - offset) / scale for end in valid_limits(field)]
    low, high = ends if scale > 0 else ends[::-1]
    return (
        None if low is None else int(np.clip(np.ceil(low - 1e-6), *codes.ends)),
        None if high is None else int(np.clip(np.floor(high + 1e-6), *codes.ends)),
    )


def _valid_ends(attrs: Mapping[Hashable, Any]) -> tuple[Any, Any]:
    """Return the ends of the valid range that the attributes give; None for an end that is absent or not a number."""
    pair = np.ravel(np.asarray(attrs.get("valid_range", [])))
    if pair.size == 2 and pair.dtype.kind in "iuf":
        return tuple(None if np.isnan(end) else end for end in pair)  # type: ignore[return-value]
    ends = []
    for key in VALID[:2]:
        value = np.ravel(np.asarray(attrs.get(key, [])))
        is_number = value.size == 1 and value.dtype.kind in "iuf" and not np.isnan(value[0])
        ends.append(value[0] if is_number else None)
    return ends[0], ends[1]


def valid_attributes(attrs: Mapping[Hashable, Any], ends: Sequence[Any], dtype: np.dtype[Any]) -> dict[str, Any]:
    """Return the valid range as attributes of a variable of type ``dtype``, under the names that the source uses."""
    low, high = (None if end is None else dtype.type(end) for end in ends)
    if "valid_range" in attrs and low is not None and high is not None:
        return {"valid_range": np.array([low, high], dtype)}
    given = {"valid_min": low, "valid_max": high}
    return {key: value for key, value in given.items() if value is not None}
