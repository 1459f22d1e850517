"""Refuse a local Zarr variable whose absent chunks would be read as measurements."""

import heapq
import math
import os
from pathlib import Path

import numpy as np
import xarray as xr
import zarr

from geogan.compute.streaming import explain_read_errors
from geogan.io.missing import is_missing
from geogan.operators.errors import InputError
from geogan.operators.wording import counted


def check_chunks(path: str, name: str, field: xr.DataArray) -> None:
    """Refuse a variable of a local Zarr store whose absent chunks would be read as measurements.

    Zarr does not store a chunk that holds only the fill value, and reads an absent chunk as that value. If the fill
    value means missing (NaN, ``_FillValue``, outside ``valid_range``), an absent chunk is a gap. If it is a valid
    number, such as 0 in packed integers, a lost chunk would be read as measured: absent chunks are then accepted only
    if the number also occurs in the chunks on disk.

    Parameters
    ----------
    path : str
        A Zarr store in a folder.
    name : str
        A variable.
    field : DataArray
        The decoded variable, whose attributes say which numbers mean missing.

    Raises
    ------
    InputError
    """
    array = zarr.open_array(str(Path(path) / name), mode="r")
    # Without a fill value, zarr-python reads an absent chunk as 0.
    fill = np.asarray(0 if array.fill_value is None else array.fill_value, array.dtype)
    if is_missing(fill, field):
        return
    array, present = _chunk_files(path, name)
    total = math.prod(_file_grid(array))
    absent = total - len(present)
    if absent == 0:
        return
    if not present:
        raise InputError(
            f"variable {name!r} of {path} has none of its {counted(total, 'chunk')} on disk; copy the store again"
        )
    sizes = array.shards or array.chunks
    # The neighbours of an absent chunk are the most likely ones to hold its value; reading four chunks is cheap.
    on_disk = set(present)
    gap = next(index for index in np.ndindex(_file_grid(array)) if index not in on_disk)
    for index in heapq.nsmallest(4, present, key=lambda index: sum(abs(a - b) for a, b in zip(index, gap))):
        with explain_read_errors(path, name):
            chunk = array[tuple(slice(i * n, (i + 1) * n) for i, n in zip(index, sizes))]
            if np.any(np.asarray(chunk) == fill):
                return
    raise InputError(
        f"variable {name!r} of {path} lacks {absent} of its {counted(total, 'chunk file')}, which would be read as "
        f"measured values of {fill.item()}; copy the store again, or write it with write_empty_chunks=True"
    )


def _chunk_files(path: str, name: str) -> tuple[zarr.Array, list[tuple[int, ...]]]:
    """Return the array, and the grid positions of its chunk (or shard) files that are on disk."""
    array = zarr.open_array(str(Path(path) / name), mode="r")
    folder, files = Path(path) / name, set[str]()
    # One listing of each folder: a request for every file takes minutes on a remote disk.
    for parent, _, file_names in os.walk(folder, followlinks=True):
        inside = Path(parent).relative_to(folder)
        files.update((inside / file_name).as_posix() for file_name in file_names)
    keys = ((index, array.metadata.encode_chunk_key(index)) for index in np.ndindex(_file_grid(array)))
    return array, [index for index, key in keys if key in files]


def _file_grid(array: zarr.Array) -> tuple[int, ...]:
    """Return the number of chunk (or shard) files along each dimension."""
    sizes = array.shards or array.chunks
    return tuple(-(-length // size) for length, size in zip(array.shape, sizes))
