"""Marks of missing values: NaNs whose payload records why a value is missing.

A value is missing because its cell could not be read, because a screen rejected the observation, or by one of the
rules in :data:`GAP_RULES`. Slicing, transposing, joining and a change of precision keep the payload, so no second array
accompanies the field.
"""

from __future__ import annotations

from typing import Any

import numpy as np

GAP_RULES = (
    "missing_value",
    "flag_values",
    "valid_range",
    "default fill value",
    "fill_value of the store",
    "condition",
)
"""Rules by which a value is missing; a mark holds the position of its rule in this tuple. The last rule is the user's
condition on other variables, all others come from the file.

A ``_FillValue`` becomes a plain NaN, as in xarray.
"""

# Quiet NaN of each float type by its bytes, and the position of the nine bits after the quiet bit, which half, single
# and double precision share.
_QUIET: dict[int, tuple[Any, int]] = {
    2: (np.uint16(0x7E00), 0),
    4: (np.uint32(0x7FC00000), 13),
    8: (np.uint64(0x7FF8000000000000), 42),
}
# Codes in these nine bits: a rule has _RULE plus its position in GAP_RULES. The code of unreadable cells is 0x37.
_RULE, _SCREENED = 0x140, 0x1A0
# Full marks of unreadable cells, whose payload is longer; half precision has none.
_UNREADABLE: dict[int, Any] = {4: np.uint32(0x7FC6E0A1), 8: np.uint64(0x7FF8DC1420000000)}


def can_be_unreadable(dtype: np.dtype) -> bool:
    """Return whether a type has a mark for unreadable cells: single and double precision."""
    return dtype.kind == "f" and dtype.itemsize in _UNREADABLE


def unreadable_mark(dtype: np.dtype) -> Any:
    """Return the NaN that records that a cell could not be read."""
    return _UNREADABLE[dtype.itemsize].view(dtype.newbyteorder("="))


def rule_mark(dtype: np.dtype, rule: int) -> Any:
    """Return the NaN that records by which rule a value is missing.

    Parameters
    ----------
    dtype : dtype
        Half, single or double precision.
    rule : int
        Position in :data:`GAP_RULES`.

    Examples
    --------
    >>> mark = rule_mark(np.dtype("f4"), GAP_RULES.index("valid_range"))
    >>> bool(np.isnan(mark)), count_gaps(np.array([mark, np.nan])).tolist()
    (True, [0, 0, 1, 0, 0, 0])
    """
    return _mark(dtype, _RULE + rule)


def screened_mark(dtype: np.dtype) -> Any:
    """Return the NaN that records that a screen rejected an observation; see `geogan.archive.screening`."""
    return _mark(dtype, _SCREENED)


def is_unreadable(values: np.ndarray) -> np.ndarray:
    """Return where cells could not be read, as booleans of the shape of ``values``.

    Examples
    --------
    >>> values = np.array([1.0, np.nan, unreadable_mark(np.dtype("f4"))], "f4")
    >>> is_unreadable(values).tolist(), is_unreadable(values.astype("f8")).tolist()
    ([False, False, True], [False, False, True])
    """
    values = np.asarray(values)
    if not can_be_unreadable(values.dtype):
        return np.zeros(values.shape, bool)
    return _has_bits(values, _UNREADABLE[values.dtype.itemsize])


def is_screened(values: np.ndarray) -> np.ndarray:
    """Return where a screen rejected an observation, as booleans of the shape of ``values``.

    Examples
    --------
    >>> values = np.array([1.0, np.nan, screened_mark(np.dtype("f8"))])
    >>> is_screened(values).tolist(), is_screened(values.astype("f4")).tolist()
    ([False, False, True], [False, False, True])
    """
    values = np.asarray(values)
    if values.dtype.kind != "f" or values.dtype.itemsize not in _QUIET:
        return np.zeros(values.shape, bool)
    quiet, shift = _QUIET[values.dtype.itemsize]
    return _has_bits(values, quiet.dtype.type(int(quiet) | _SCREENED << shift))


def count_gaps(values: np.ndarray) -> np.ndarray:
    """Count the missing values by rule.

    Returns
    -------
    counts : ndarray of int64, shape (len(GAP_RULES),)
    """
    values = np.asarray(values)
    if values.dtype.kind != "f" or values.dtype.itemsize not in _QUIET:
        return np.zeros(len(GAP_RULES), np.int64)
    quiet, shift = _QUIET[values.dtype.itemsize]
    bits = np.ascontiguousarray(values[np.isnan(values)], values.dtype.newbyteorder("=")).view(quiet.dtype)
    codes = ((bits >> quiet.dtype.type(shift)) & quiet.dtype.type(0x1FF)).astype(np.int64) - _RULE
    return np.bincount(codes[(codes >= 0) & (codes < len(GAP_RULES))], minlength=len(GAP_RULES))


def plain_gaps(values: np.ndarray) -> np.ndarray:
    """Return values with plain NaNs in place of all marks but those of unreadable cells.

    The result is the same object if no value is marked by a rule.
    """
    if not count_gaps(values).any():
        return values
    return np.where(np.isnan(values) & ~is_unreadable(values), values.dtype.type(np.nan), values)


def hide_unreadable(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return values without those whose counterpart in ``others`` could not be read.

    Parameters
    ----------
    values, others : ndarray, of one shape
        For example observations and their errors.

    Returns
    -------
    values : ndarray
        The same object if all of ``others`` could be read.

    Examples
    --------
    >>> hidden = hide_unreadable(np.array([1.0, 2.0]), np.array([unreadable_mark(np.dtype("f8")), 0.1]))
    >>> is_unreadable(hidden).tolist()
    [True, False]
    """
    is_lost = is_unreadable(others) & np.isfinite(values)
    if not is_lost.any():
        return values
    return np.where(is_lost, unreadable_mark(values.dtype) if can_be_unreadable(values.dtype) else np.nan, values)


def _mark(dtype: np.dtype, code: int) -> Any:
    quiet, shift = _QUIET[dtype.itemsize]
    return np.asarray(int(quiet) | code << shift, quiet.dtype).view(dtype.newbyteorder("="))[()]


def _has_bits(values: np.ndarray, mark: Any) -> np.ndarray:
    """Return where values have exactly the bits of a mark."""
    native = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    return (native.view(mark.dtype) == mark).reshape(values.shape)
