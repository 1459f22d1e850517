"""NaNs that record why a value is missing, and reading a variable whose file is damaged in places.

The payload of a NaN records the reason: the cell could not be read, or a rule of the file says that it is missing. The
payload outlives slicing, transposing, joining and a change of precision, so no second array travels with the field.
"""

from __future__ import annotations

import itertools
import zlib
from typing import Any

import dask.array
import numpy as np
import xarray as xr

from geogan.operators.errors import InputError

# Quiet NaN with a payload of its own that marks an unreadable cell; the payload of a double begins with the same bits.
_BITS: dict[int, Any] = {4: np.uint32(0x7FC6E0A1), 8: np.uint64(0x7FF8DC1420000000)}

GAP_RULES = (
    "missing_value",
    "flag_values",
    "valid_range",
    "default fill value",
    "fill_value of the store",
    "condition",
)
"""Rules by which a value is missing; a marked NaN holds the rule's position in this tuple. The last one is the user's
condition on other variables, all others are the file's.

A ``_FillValue`` becomes a plain NaN, as xarray decodes it.
"""

# A marked NaN holds this code plus the rule's position in the nine bits after the quiet bit, which half, single and
# double precision share. The codes differ from the first nine bits of an unreadable cell (0x37).
_CODE = 0x140
# The same nine bits of an observation that a screen left out.
_SCREENED = 0x1A0
# Bytes of a float type: the quiet NaN, and how far the nine bits are shifted.
_QUIET: dict[int, tuple[Any, int]] = {
    2: (np.uint16(0x7E00), 0),
    4: (np.uint32(0x7FC00000), 13),
    8: (np.uint64(0x7FF8000000000000), 42),
}


def unreadable(values: np.ndarray) -> np.ndarray:
    """Where values were not read, though they should have been.

    Parameters
    ----------
    values : ndarray

    Returns
    -------
    where : ndarray of bool, of that shape

    Examples
    --------
    >>> values = np.array([1.0, np.nan, missing(np.dtype("f4"))], "f4")
    >>> unreadable(values).tolist(), unreadable(values.astype("f8")).tolist()
    ([False, False, True], [False, False, True])
    """
    values = np.asarray(values)
    if values.dtype.kind != "f" or values.dtype.itemsize not in _BITS:
        return np.zeros(values.shape, bool)
    bits = _BITS[values.dtype.itemsize]
    native = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    return (native.view(bits.dtype) == bits).reshape(values.shape)


def missing(dtype: np.dtype) -> Any:
    """The value that stands for what could not be read."""
    return _BITS[dtype.itemsize].view(dtype.newbyteorder("="))


def gap(dtype: np.dtype, rule: int) -> Any:
    """Return the NaN that records by which rule a value is missing.

    Parameters
    ----------
    dtype : dtype
        Half, single or double precision.
    rule : int
        Position in :data:`GAP_RULES`.

    Examples
    --------
    >>> value = gap(np.dtype("f4"), GAP_RULES.index("valid_range"))
    >>> bool(np.isnan(value)), count_gaps(np.array([value, np.nan])).tolist()
    (True, [0, 0, 1, 0, 0, 0])
    """
    quiet, shift = _QUIET[dtype.itemsize]
    return np.asarray(int(quiet) | (_CODE + rule) << shift, quiet.dtype).view(dtype.newbyteorder("="))[()]


def screened_mark(dtype: np.dtype) -> Any:
    """Return the NaN that records that an observation was left out by a screen; see `geogan.archive.screening`."""
    quiet, shift = _QUIET[dtype.itemsize]
    return np.asarray(int(quiet) | _SCREENED << shift, quiet.dtype).view(dtype.newbyteorder("="))[()]


def screened(values: np.ndarray) -> np.ndarray:
    """Return where a screen left an observation out.

    Parameters
    ----------
    values : ndarray

    Returns
    -------
    where : ndarray of bool, of that shape

    Examples
    --------
    >>> values = np.array([1.0, np.nan, screened_mark(np.dtype("f8"))])
    >>> screened(values).tolist(), screened(values.astype("f4")).tolist()
    ([False, False, True], [False, False, True])
    """
    values = np.asarray(values)
    if values.dtype.kind != "f" or values.dtype.itemsize not in _QUIET:
        return np.zeros(values.shape, bool)
    quiet, _ = _QUIET[values.dtype.itemsize]
    native = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    mark = np.asarray(screened_mark(values.dtype), values.dtype.newbyteorder("=")).view(quiet.dtype)
    return (native.view(quiet.dtype) == mark).reshape(values.shape)


def count_gaps(values: np.ndarray) -> np.ndarray:
    """Count the values that each rule of :data:`GAP_RULES` took for missing.

    Parameters
    ----------
    values : ndarray

    Returns
    -------
    counts : ndarray of int64, shape (len(GAP_RULES),)
    """
    values = np.asarray(values)
    if values.dtype.kind != "f" or values.dtype.itemsize not in _QUIET:
        return np.zeros(len(GAP_RULES), np.int64)
    quiet, shift = _QUIET[values.dtype.itemsize]
    bits = np.ascontiguousarray(values[np.isnan(values)], values.dtype.newbyteorder("=")).view(quiet.dtype)
    codes = ((bits >> quiet.dtype.type(shift)) & quiet.dtype.type(0x1FF)).astype(np.int64) - _CODE
    return np.bincount(codes[(codes >= 0) & (codes < len(GAP_RULES))], minlength=len(GAP_RULES))


def plain_gaps(values: np.ndarray) -> np.ndarray:
    """Return values whose marked NaNs are plain NaNs; unreadable cells keep their mark.

    Parameters
    ----------
    values : ndarray

    Returns
    -------
    values : ndarray
        The same object where nothing is marked.
    """
    if not count_gaps(values).any():
        return values
    return np.where(np.isnan(values) & ~unreadable(values), values.dtype.type(np.nan), values)


def hide_unreadable(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return values without those that belong to others which could not be read.

    Parameters
    ----------
    values, others : ndarray, of one shape
        Observations, and the errors of each, for instance.

    Returns
    -------
    values : ndarray
        The same array where everything could be read.

    Examples
    --------
    >>> hidden = hide_unreadable(np.array([1.0, 2.0]), np.array([missing(np.dtype("f8")), 0.1]))
    >>> unreadable(hidden).tolist()
    [True, False]
    """
    lost = unreadable(others) & np.isfinite(values)
    if not lost.any():
        return values
    return np.where(lost, missing(values.dtype) if values.dtype.itemsize in _BITS else np.nan, values)


class Guarded:
    """A lazily read variable that names the part that cannot be read, or leaves it out.

    Dask indexes it as it would the variable.

    Parameters
    ----------
    array : DataArray
        As it is in the file; its stored chunks are what is named, or left out.
    path : str
        The file.
    skip : bool
        Leave out what cannot be read; where a network fails, nothing is left out all the same.

    Raises
    ------
    InputError
        Where values could not say that they are missing; and when read, what cannot be, where it is not left out.
    """

    def __init__(self, array: xr.DataArray, path: str, *, skip: bool = False) -> None:
        if skip and (array.dtype.kind != "f" or array.dtype.itemsize not in _BITS):
            raise InputError(
                f"variable {array.name!r} of {path} is of type {array.dtype} without a fill value, which has no number "
                "for what is missing; leave --skip-bad out"
            )
        self.variable, self.name, self.path, self.skip = array.variable, str(array.name), path, skip
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim
        stored = array.encoding.get("preferred_chunks") or {}
        # Of a variable without chunks one date after another.
        sizes = [stored.get(dim, size if stored or axis else 1) for axis, (dim, size) in enumerate(array.sizes.items())]
        self.chunks = tuple(int(size) for size in sizes)
        self.labels = [
            array.indexes[dim] if dim in array.indexes and _is_time(array[dim]) else None for dim in array.dims
        ]

    def __getitem__(self, key: Any) -> np.ndarray:
        try:
            return np.asarray(self.variable[key].values)
        except Exception as error:
            if not self._damaged(error):
                raise
        return self._piece_by_piece(key if isinstance(key, tuple) else (key,))

    def dask(self, chunks: tuple[Any, ...]) -> dask.array.Array:
        """It as a dask array."""
        return dask.array.from_array(self, chunks=chunks, name=False, meta=np.empty((0,) * self.ndim, self.dtype))

    def _damaged(self, error: Exception) -> bool:
        """Whether an error says that a file is damaged, and not that the way to it is."""
        kinds: tuple[type[Exception], ...] = (RuntimeError, ValueError, EOFError, zlib.error)
        if "://" not in self.path:
            kinds = (*kinds, OSError)
        return isinstance(error, kinds) and not isinstance(error, InputError)

    def _piece_by_piece(self, key: tuple[Any, ...]) -> np.ndarray:
        """What is asked for, each stored chunk for itself."""
        whole = key + (slice(None),) * (self.ndim - len(key))
        wanted = [np.atleast_1d(np.arange(size)[part]) for size, part in zip(self.shape, whole)]
        result = np.empty([len(part) for part in wanted], self.dtype)
        axes = [
            [np.flatnonzero(part // chunk == number) for number in np.unique(part // chunk)]
            for part, chunk in zip(wanted, self.chunks)
        ]
        for places in itertools.product(*axes):
            here = tuple(part[place] for part, place in zip(wanted, places))
            try:
                result[np.ix_(*places)] = self.variable[here].values
            except Exception as error:
                if not self._damaged(error):
                    raise
                if not self.skip:
                    raise InputError(self._sentence(here, error)) from error
                result[np.ix_(*places)] = missing(self.dtype)
        for axis in reversed(range(self.ndim)):
            if isinstance(whole[axis], (int, np.integer)):
                result = result.take(0, axis)
        return result

    def _sentence(self, here: tuple[np.ndarray, ...], error: Exception) -> str:
        where = []
        for dim, chunk, part, size, labels in zip(
            self.variable.dims, self.chunks, here, self.shape, self.labels, strict=True
        ):
            first = int(part[0]) // chunk * chunk
            last = min(first + chunk, size) - 1
            if labels is not None:
                where.append(f"{_date(labels[first])} to {_date(labels[last])}")
            elif chunk < size:
                where.append(f"{dim} {first} to {last}")
        text = " ".join(str(error).split())[:200]
        return (
            f"variable {self.name!r} of {self.path} cannot be read, {', '.join(where) or 'as a whole'}: it is damaged "
            f"or cut short there ({text}); copy or write it again, or let geogan fill --skip-bad take it for a gap"
        )


def _is_time(coordinate: xr.DataArray) -> bool:
    return coordinate.dtype.kind == "M" or (coordinate.size > 0 and hasattr(coordinate.values.flat[0], "calendar"))


def _date(time: Any) -> str:
    return str(time).removesuffix(" 00:00:00")
