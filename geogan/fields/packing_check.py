"""Check that readers of a packed product decode the values of its source, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from geogan.fields.codes import Codes, Container, encoded

# Largest error of a code after decoding and encoding, in steps of the packing.
_SLACK = 0.25


def wrong_decoding(codes: Codes, fills: Sequence[int], dtype: np.dtype[Any], container: Container | None) -> str:
    """Return why readers of a product would decode other values than those of the source; empty if they would not."""
    sample = _sample_codes(codes, fills)
    product = codes._replace(fill=fills[0])
    with np.errstate(over="ignore", invalid="ignore"):
        values = product.read(sample, "netcdf")
    if values.dtype != dtype or values.dtype.kind != "f":
        return f"its packing leads to values of type {values.dtype}, and they are of type {dtype}"
    if not np.isfinite(values).all():
        return "its packing leads to values that are not finite"
    is_same = np.array_equal(product.read_by_netcdf4(sample), values) if container != "zarr" else True
    if container != "netcdf":
        read = product.read(sample, "zarr")
        is_same &= read.dtype == dtype and read.tobytes() == values.tobytes()
    if not is_same:
        return "readers of the product would compute other values from it"
    scale, offset = codes.slope
    if codes.dtype.itemsize > 2:
        # Each value is a product and a sum, rounded to its type: the largest value bounds the error of all codes.
        largest = abs(scale) * float(max(map(abs, codes.ends))) + abs(offset)
        if not 4 * np.finfo(values.dtype).eps * largest < _SLACK * abs(scale):
            return "its packing is finer than the values that it is decoded to"
        return ""
    back = (values.astype(np.float64) - offset) / scale
    if (np.abs(back - sample) > _SLACK).any():
        return "its packing is finer than the values that it is decoded to"
    if container is None and not np.array_equal(encoded(values, product), sample):
        return "its packing is finer than the values that it is decoded to"
    return ""


def _sample_codes(codes: Codes, fills: Sequence[int]) -> np.ndarray:
    """Return every code of a value for 8 or 16 bits, and a sample for wider types."""
    low, high = codes.ends
    if codes.dtype.itemsize <= 2:
        sample = np.arange(low, high + 1, dtype=np.int64).astype(codes.dtype)
    else:
        # For the other codes, `wrong_decoding` derives the result from the rounding of float arithmetic.
        bits = np.random.default_rng(0).bytes(4096 * codes.dtype.itemsize)
        ends = np.array([low, low + 1, 0, 1, high - 1, high], codes.dtype)
        sample = np.concatenate([np.frombuffer(bits, codes.dtype), ends])
    # By sorting: the table of NumPy 2.0 cannot hold the largest codes of 64 bits.
    return sample[~np.isin(sample, np.array(fills, codes.dtype), kind="sort")]


def holds(codes: Codes, field: xr.DataArray) -> bool:
    """Return whether the codes decode to every value of a field, bit for bit; one date is read at a time."""
    dates = [field] if field.ndim < 3 else (field[number] for number in range(len(field)))
    low, high = codes.ends
    scale, offset = codes.slope
    for date in dates:
        values = np.asarray(date.values)
        values = values[~np.isnan(values)]
        numbers = np.rint((values.astype(np.float64) - offset) / scale)
        is_inside = (numbers >= low) & (numbers <= high) & (numbers != codes.fill)
        if not is_inside.all() or not np.array_equal(codes.read(numbers.astype(codes.dtype), "netcdf"), values):
            return False
    return True
