"""Whole chunks of a Zarr store, written by any process that knows its path.

Processes that write different regions need no coordination. Which regions are done is recorded elsewhere
(`geogan.product.done_record`), by the one process that holds the product's lock.
"""

from __future__ import annotations

import itertools
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
import zarr

from geogan.files.plain_file import read_json
from geogan.files.swap import flush
from geogan.product.encoding import packing

# A part of a store that consists of whole stored chunks: a slice of each dimension that it does not span.
Region = Mapping[str, slice]
# Values that are packed and written at a time, unless one chunk has more. Packing needs three copies of them, two of
# which are float64.
_WRITTEN_VALUES = 4_000_000


class ChunkStore(NamedTuple):
    """A Zarr store with complete metadata, and the chunks of its variables.

    Attributes
    ----------
    path : Path
    dims : dict of tuple of str
        Dimensions of each variable.
    sizes, chunks : dict of int
        Length of each dimension, and of a chunk along it.

    Examples
    --------
    >>> store = ChunkStore(Path("sst.zarr"), {"sst": ("y", "x")}, {"y": 4, "x": 6}, {"y": 2, "x": 6})
    >>> store.span("y", slice(2, 4))
    slice(2, 4, None)
    """

    path: Path
    dims: dict[str, tuple[str, ...]]
    sizes: dict[str, int]
    chunks: dict[str, int]

    def span(self, dim: str, part: slice) -> slice:
        """Return a slice of a dimension with explicit ends.

        Raises
        ------
        ValueError
            If the slice cuts a chunk.
        """
        start, stop, step = part.indices(self.sizes[dim])
        chunk, size = self.chunks[dim], self.sizes[dim]
        if step != 1 or stop <= start or start % chunk or (stop % chunk and stop != size):
            raise ValueError(
                f"region {dim}={part.start}:{part.stop} must start and stop at multiples of "
                f"the chunk, {chunk}, or at the end, {size}"
            )
        return slice(start, stop)

    def whole(self, region: Region) -> dict[str, slice]:
        """Return a region with explicit ends of each dimension that it names, in alphabetical order.

        Raises
        ------
        ValueError
            If the region cuts a chunk or names an unknown dimension.
        """
        unknown = set(region) - set(self.sizes)
        if unknown:
            raise ValueError(f"region names {', '.join(sorted(unknown))}; the product has {', '.join(self.sizes)}")
        return {dim: self.span(dim, region[dim]) for dim in sorted(region)}

    def spans(self, name: str, region: Region) -> dict[str, slice]:
        """Return the slices of a variable that lie in a region, one for each of its dimensions."""
        if name not in self.dims:
            raise ValueError(f"the product has no variable {name!r}; it has {', '.join(self.dims)}")
        foreign = set(region) - set(self.dims[name])
        if foreign:
            raise ValueError(f"region names {', '.join(sorted(foreign))}, which {name!r} does not have")
        return {dim: self.span(dim, region.get(dim, slice(None))) for dim in self.dims[name]}

    def numbers(self, name: str, region: Region) -> tuple[slice, ...]:
        """Return the indices of the chunks of a variable in a region, one slice for each dimension."""
        spans = self.spans(name, region).items()
        return tuple(slice(s.start // self.chunks[d], -(-s.stop // self.chunks[d])) for d, s in spans)

    def files(self, name: str, region: Region) -> Iterator[Path]:
        """Yield the chunk files of a variable in a region, relative to the store."""
        for index in itertools.product(*(range(part.start, part.stop) for part in self.numbers(name, region))):
            yield Path(name, "c", *map(str, index))

    def write(self, region: Region, arrays: Mapping[str, np.ndarray]) -> None:
        """Write one region of one or more variables and flush it to the disk.

        Parameters
        ----------
        region : mapping of str to slice
            Starts and stops at chunk borders or at the end of a dimension; a dimension that is not named is whole.
        arrays : dict of ndarray
            Values in physical units, NaN where missing. They are packed as the store's metadata demand.

        Raises
        ------
        ValueError
            If a region cuts a chunk, a variable is unknown, or an array has another shape.
        InputError
            If the packing has no code for a value; values are never clipped.
        OSError
            If the disk is full or read-only.
        """
        self.whole(region)
        for name, values in arrays.items():
            expected = tuple(part.stop - part.start for part in self.spans(name, region).values())
            if np.shape(values) != expected:
                raise ValueError(f"{name!r} has shape {np.shape(values)} for a region of {expected}")
        for name, values in arrays.items():
            values, codes = np.asarray(values), packing(self.path, name)
            array = None
            if codes is not None and values.dtype.kind == "f":
                array = zarr.open_array(self.path / name, mode="r+", config={"write_empty_chunks": True})
            # Zarr writes each chunk aside and renames it. So a chunk is never absent for a moment, and a file that is
            # shared with another store stays unchanged there.
            for part, index in self._parts(name, region):
                if array is not None and codes is not None:
                    array[tuple(part[dim] for dim in self.dims[name])] = codes.pack(values[index], name)
                    continue
                block = xr.Dataset({name: (self.dims[name], values[index])})
                block.to_zarr(self.path, region=part, consolidated=False, write_empty_chunks=True)
            self.flush(name, region)

    def _parts(self, name: str, region: Region) -> Iterator[tuple[dict[str, slice], tuple[slice, ...]]]:
        """Yield parts of a region of a variable, whole chunks each: slices of the store, slices of the values."""
        spans = self.spans(name, region)
        cells, ranges = math.prod(span.stop - span.start for span in spans.values()), []
        for dim, span in spans.items():
            length = span.stop - span.start
            step = length if cells <= _WRITTEN_VALUES else min(length, self.chunks[dim])
            cells = cells // length * step
            ranges.append([slice(start, min(start + step, length)) for start in range(0, length, step)])
        for index in itertools.product(*ranges):
            pairs = zip(spans.items(), index)
            yield {dim: slice(span.start + part.start, span.start + part.stop) for (dim, span), part in pairs}, index

    def link(self, previous: Path, regions: Sequence[Region], names: Iterable[str]) -> None:
        """Take regions from another store of the same layout: hard links, or copies if the file system has no links.

        Two stores can share chunk files, because a finished chunk file is only ever replaced. Linked files are on the
        disk already; each folder is flushed once.

        Raises
        ------
        OSError
            If a file is absent or cannot be written.
        """
        folders = set[Path]()
        for name, region in itertools.product(names, regions):
            for file in self.files(name, region):
                target = self.path / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.unlink(missing_ok=True)
                try:
                    os.link(previous / file, target)
                except FileNotFoundError:
                    raise
                except OSError:  # the file system has no hard links
                    shutil.copyfile(previous / file, target)
                    flush([target])
            folders |= self._folders(name, region)
        flush(folders)

    def flush(self, name: str, region: Region) -> None:
        """Flush the chunk files of a region, and the folders that name them, to the disk."""
        flush(self.path / file for file in self.files(name, region))
        flush(self._folders(name, region))

    def _folders(self, name: str, region: Region) -> set[Path]:
        """Return the folders above the chunk files of a region, up to that of the variable."""
        files = (self.path / file for file in self.files(name, region))
        return {folder for file in files for folder in file.parents if folder.is_relative_to(self.path / name)}

    def remove_unfinished_files(self) -> None:
        """Remove the files that killed processes had begun to write aside."""
        for file in self.path.rglob("*.partial"):
            file.unlink(missing_ok=True)

    def flush_metadata(self) -> None:
        """Flush the metadata and the coordinates to the disk."""
        flush([self.path, *(file for file in self.path.iterdir() if file.is_file())])
        for folder in filter(Path.is_dir, self.path.iterdir()):
            flush([folder, folder / "zarr.json"] if folder.name in self.dims else [folder, *folder.rglob("*")])


def layout(store: Path, name: str) -> dict[str, Any]:
    """Return the metadata of a stored variable that must agree where two stores share chunk files.

    Parameters
    ----------
    store : Path
        A Zarr v3 store.
    name : str
    """
    meta = read_json(store / name / "zarr.json")
    keys = ("zarr_format", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value", "codecs", "dimension_names")
    packing_keys = ("scale_factor", "add_offset", "_FillValue", "missing_value")
    return {key: meta.get(key) for key in keys} | {key: meta["attributes"].get(key) for key in packing_keys}
