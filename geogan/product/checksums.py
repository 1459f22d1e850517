"""Checksums of the values that a fill reads, one a date, and their text form in a product."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr

# Bytes of the checksums of one product, 64 million of them. A few compressed bytes of a hostile file can decompress to
# a thousand times as many.
_MOST_BYTES = 256 * 2**20


def date_checksums(
    field: xr.DataArray, error: xr.DataArray | None = None, *, covariates: Sequence[np.ndarray] = ()
) -> np.ndarray:
    """Compute a checksum of the values of each date.

    Parameters
    ----------
    field : DataArray, shape (T, C, H, W)
        In memory, or lazy: then one date is read at a time.
    error : DataArray, shape (T, C, H, W), optional
        Standard deviations of the observations' errors, included in the checksum.
    covariates : sequence of ndarray, shape (T, ...)
        Covariates that change in time, included in the checksum.

    Returns
    -------
    sums : ndarray of uint32, shape (T,)
        CRC-32 of the decoded values in the byte order of this machine. Equal values have equal checksums in
        any storage.

    Examples
    --------
    >>> maps = xr.DataArray(np.array([1.0, 2.0, 1.0]).reshape(3, 1, 1, 1), dims=("time", "band", "y", "x"))
    >>> sums = date_checksums(maps)
    >>> bool(sums[0] == sums[2]), bool(sums[0] == sums[1])
    (True, False)
    """
    sums = np.empty(len(field), np.uint32)
    for date in range(len(field)):
        total = _crc(field[date])
        total = total if error is None else _crc(error[date], total)
        for values in covariates:
            total = zlib.crc32(np.ascontiguousarray(values[date]).view(np.uint8).data, total)
        sums[date] = total
    return sums


def _crc(values: xr.DataArray, start: int = 0) -> int:
    """Return the CRC-32 of some values, continued from that of other values."""
    if values.chunks is not None:
        values = values.compute(scheduler="synchronous")
    array = values.values
    return zlib.crc32(np.ascontiguousarray(array, array.dtype.newbyteorder("=")).view(np.uint8).data, start)


def to_text(sums: Iterable[np.ndarray]) -> str:
    """Encode checksums compactly as text.

    Examples
    --------
    >>> from_text(to_text([np.array([7, 8], np.uint32), np.array([9], np.uint32)])).tolist()
    [7, 8, 9]
    """
    joined = b"".join(np.asarray(part, "<u4").tobytes() for part in sums)
    return base64.b64encode(zlib.compress(joined)).decode("ascii")


def from_text(text: str) -> np.ndarray:
    """Decode the checksums that :func:`to_text` encoded.

    Raises
    ------
    ValueError
        If the text is damaged.
    """
    try:
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(base64.b64decode(text, validate=True), _MOST_BYTES)
        if not unpacker.eof:
            raise ValueError("damaged or too many checksums")
        return np.frombuffer(content, "<u4").astype(np.uint32)
    except zlib.error as error:
        raise ValueError(f"damaged checksums ({error})") from error
