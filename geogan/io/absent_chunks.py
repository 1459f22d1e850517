"""Chunks that a local Zarr store does not have: all gaps, or lost."""

import heapq
import math
import os
from pathlib import Path

import numpy as np
import xarray as xr
import zarr

from geogan.compute.streaming import reading
from geogan.io.missing import is_missing
from geogan.operators.errors import InputError


def missing_chunks(path: str | Path, variable: str) -> tuple[int, int]:
    """Count the chunks of a local Zarr variable that are not on disk.

    Zarr leaves out chunks that hold nothing but the fill value, so an absent chunk may be a whole block of
    gaps, or may have been lost.

    Parameters
    ----------
    path : str or Path
        A Zarr store in a folder.
    variable : str

    Returns
    -------
    absent, total : int
        Files on disk are counted, so a shard counts as one.
    """
    array, present = _chunk_files(path, variable)
    total = math.prod(_file_grid(array))
    return total - len(present), total


def check_chunks(path: str, name: str, field: xr.DataArray) -> None:
    """Refuse absent chunks that would read as measurements.

    Zarr leaves out a chunk that holds only the fill value, and reads an absent one as that value. Where it
    stands for missing (NaN, _FillValue, a number beyond valid_range) an absent chunk is a gap like any other.
    Where it stands for a number, as 0 does in packed integers, a lost chunk would read as measured: it is
    believed only if that number occurs among the values that are on disk.
    """
    array = zarr.open_array(str(Path(path) / name), mode="r")
    # Without a fill value zarr-python reads an absent chunk as 0.
    fill = np.asarray(0 if array.fill_value is None else array.fill_value, array.dtype)
    if is_missing(fill, field):
        return
    array, present = _chunk_files(path, name)
    total = math.prod(_file_grid(array))
    absent = total - len(present)
    if absent == 0:
        return
    if not present:
        raise InputError(f"variable {name!r} of {path} has none of its {total} chunks on disk; copy the store again")
    sizes = array.shards or array.chunks
    # The neighbours of what is absent are the likeliest to share its value; four chunks are a cheap look.
    there = set(present)
    gap = next(index for index in np.ndindex(_file_grid(array)) if index not in there)
    for index in heapq.nsmallest(4, present, key=lambda index: sum(abs(a - b) for a, b in zip(index, gap))):
        with reading(path, name):
            chunk = array[tuple(slice(i * n, (i + 1) * n) for i, n in zip(index, sizes))]
            if np.any(np.asarray(chunk) == fill):
                return
    raise InputError(
        f"variable {name!r} of {path} lacks {absent} of its {total} chunk files, which would read as "
        f"{fill.item()} as if measured; copy the store again, or write it with write_empty_chunks=True"
    )


def _chunk_files(path: str | Path, variable: str) -> tuple[zarr.Array, list[tuple[int, ...]]]:
    """The array, and the grid positions of its chunk (or shard) files that are on disk."""
    array = zarr.open_array(str(Path(path) / variable), mode="r")
    folder, files = Path(path) / variable, set[str]()
    # A listing of each folder: to ask for every file by its name takes minutes where a disk is far away.
    for here, _, names in os.walk(folder, followlinks=True):
        inside = Path(here).relative_to(folder)
        files.update((inside / name).as_posix() for name in names)
    keys = ((index, array.metadata.encode_chunk_key(index)) for index in np.ndindex(_file_grid(array)))
    return array, [index for index, key in keys if key in files]


def _file_grid(array: zarr.Array) -> tuple[int, ...]:
    sizes = array.shards or array.chunks
    return tuple(-(-n // c) for n, c in zip(array.shape, sizes))
