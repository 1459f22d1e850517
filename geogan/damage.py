"""Parts of a file that cannot be read: named, or taken for gaps that can be told from others.

What was not read is NaN, as a gap is, but a NaN of its own: its bits say so, as those of R's NA do. They outlive
slicing, transposing, joining and a change of precision, so no second array has to travel beside the field.
"""

from __future__ import annotations

import itertools
import zlib
from typing import Any

import dask.array
import numpy as np
import xarray as xr

from geogan.operators.errors import InputError

# A quiet NaN with a payload of our own; in double precision the same one, wider.
_BITS: dict[int, Any] = {4: np.uint32(0x7FC6E0A1), 8: np.uint64(0x7FF8DC1420000000)}


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
