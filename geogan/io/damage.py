"""Damaged files: a variable whose unreadable parts are named in an error, or skipped."""

from __future__ import annotations

import itertools
import zlib
from typing import Any

import dask.array
import numpy as np
import xarray as xr

from geogan.fields.marks import can_be_unreadable, unreadable_mark
from geogan.fields.time_range import shown_date
from geogan.fields.written_dates import holds_dates
from geogan.operators.errors import InputError


class GuardedVariable:
    """A lazily read variable that names or skips the parts that cannot be read; Dask indexes it like an array.

    Parameters
    ----------
    array : DataArray
        As it is in the file; errors name its stored chunks, and ``skip`` skips them.
    path : str
        The file.
    skip : bool
        Mark unreadable chunks as gaps instead of raising an error. Network failures are raised all the same.

    Raises
    ------
    InputError
        If ``skip`` is given for a type that has no NaN; and on reading, if a part cannot be read and is not skipped.
    """

    def __init__(self, array: xr.DataArray, path: str, *, skip: bool = False) -> None:
        if skip and not can_be_unreadable(array.dtype):
            raise InputError(
                f"variable {array.name!r} of {path} is of type {array.dtype} without a fill value, which has no number "
                "for missing values; leave --skip-bad out"
            )
        self.variable, self.name, self.path, self.skip = array.variable, str(array.name), path, skip
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim
        stored = array.encoding.get("preferred_chunks") or {}
        # Without stored chunks, one date is read after another.
        sizes = [stored.get(dim, size if stored or axis else 1) for axis, (dim, size) in enumerate(array.sizes.items())]
        self.chunks = tuple(int(size) for size in sizes)
        self.dates = [
            array.indexes[dim] if dim in array.indexes and holds_dates(array[dim]) else None for dim in array.dims
        ]

    def __getitem__(self, key: Any) -> np.ndarray:
        try:
            return np.asarray(self.variable[key].values)
        except Exception as error:
            if not self._is_damage(error):
                raise
        return self._chunk_by_chunk(key if isinstance(key, tuple) else (key,))

    def dask(self, chunks: tuple[Any, ...]) -> dask.array.Array:
        """Return the variable as a Dask array with these chunks."""
        return dask.array.from_array(self, chunks=chunks, name=False, meta=np.empty((0,) * self.ndim, self.dtype))

    def _is_damage(self, error: Exception) -> bool:
        """Return whether an error means a damaged file, and not a failed connection."""
        kinds: tuple[type[Exception], ...] = (RuntimeError, ValueError, EOFError, zlib.error)
        if "://" not in self.path:
            kinds = (*kinds, OSError)
        return isinstance(error, kinds) and not isinstance(error, InputError)

    def _chunk_by_chunk(self, key: tuple[Any, ...]) -> np.ndarray:
        """Read each stored chunk separately, so that one unreadable chunk loses no other."""
        whole = key + (slice(None),) * (self.ndim - len(key))
        indices = [np.atleast_1d(np.arange(size)[part]) for size, part in zip(self.shape, whole)]
        result = np.empty([len(index) for index in indices], self.dtype)
        positions = [
            [np.flatnonzero(index // chunk == number) for number in np.unique(index // chunk)]
            for index, chunk in zip(indices, self.chunks)
        ]
        for block in itertools.product(*positions):
            stored = tuple(index[position] for index, position in zip(indices, block))
            try:
                result[np.ix_(*block)] = self.variable[stored].values
            except Exception as error:
                if not self._is_damage(error):
                    raise
                if not self.skip:
                    raise InputError(self._message(stored, error)) from error
                result[np.ix_(*block)] = unreadable_mark(self.dtype)
        for axis in reversed(range(self.ndim)):
            if isinstance(whole[axis], (int, np.integer)):
                result = result.take(0, axis)
        return result

    def _message(self, stored: tuple[np.ndarray, ...], error: Exception) -> str:
        """Return the message for an unreadable chunk, which contains the indices ``stored``."""
        parts = []
        for dim, chunk, index, size, dates in zip(
            self.variable.dims, self.chunks, stored, self.shape, self.dates, strict=True
        ):
            first = int(index[0]) // chunk * chunk
            last = min(first + chunk, size) - 1
            if dates is not None:
                parts.append(f"{shown_date(dates[first])} to {shown_date(dates[last])}")
            elif chunk < size:
                parts.append(f"{dim} {first} to {last}")
        text = " ".join(str(error).split())[:200]
        return (
            f"variable {self.name!r} of {self.path} cannot be read, {', '.join(parts) or 'as a whole'}: it is damaged "
            f"or cut short there ({text}); copy or write it again, or let geogan fill --skip-bad take it for a gap"
        )
