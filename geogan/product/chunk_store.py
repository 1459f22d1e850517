"""Whole chunks of a store, written by any process that knows where it is.

Processes that write different regions need not know of each other. What is done is not remembered here: that is for
the one process that holds the product's lock.
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
from geogan.io.encoding import packing

Region = Mapping[str, slice]
# Values that are packed and written at a time, if a chunk has no more.
WRITTEN = 4_000_000


class ChunkStore(NamedTuple):
    """A Zarr store whose metadata is there, and how its variables are cut.

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
        """The part of a dimension, with both ends.

        Raises
        ------
        ValueError
            Where it would cut a chunk.
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
        """A region with both ends of each dimension it names, in their order.

        Raises
        ------
        ValueError
            Where it cuts a chunk, or names an unknown dimension.
        """
        unknown = set(region) - set(self.sizes)
        if unknown:
            raise ValueError(f"region names {', '.join(sorted(unknown))}; the product has {', '.join(self.sizes)}")
        return {dim: self.span(dim, region[dim]) for dim in sorted(region)}

    def spans(self, name: str, region: Region) -> dict[str, slice]:
        """The part of a variable that lies in a region, along each of its dimensions."""
        if name not in self.dims:
            raise ValueError(f"the product has no variable {name!r}; it has {', '.join(self.dims)}")
        foreign = set(region) - set(self.dims[name])
        if foreign:
            raise ValueError(f"region names {', '.join(sorted(foreign))}, which {name!r} does not have")
        return {dim: self.span(dim, region.get(dim, slice(None))) for dim in self.dims[name]}

    def numbers(self, name: str, region: Region) -> tuple[slice, ...]:
        """Numbers of the chunks of a variable that a region holds, along each dimension."""
        spans = self.spans(name, region).items()
        return tuple(slice(s.start // self.chunks[d], -(-s.stop // self.chunks[d])) for d, s in spans)

    def files(self, name: str, region: Region) -> Iterator[Path]:
        """Files of the chunks of a variable that a region holds, relative to the store."""
        for index in itertools.product(*(range(part.start, part.stop) for part in self.numbers(name, region))):
            yield Path(name, "c", *map(str, index))

    def write(self, region: Region, arrays: Mapping[str, np.ndarray]) -> None:
        """Write one region of one or more variables; when this returns, it is on the disk itself.

        Parameters
        ----------
        region : mapping of str to slice
            Starts and stops at chunk borders or the end of a dimension; dimensions not named are whole.
        arrays : dict of ndarray
            Values in physical units, NaN where missing; packed here as the store's metadata says.

        Raises
        ------
        ValueError
            If a region cuts a chunk, a variable is unknown, or an array has another shape.
        InputError
            If the packing has no number for a value; nothing is clipped.
        OSError
            If the disk is full, or may not be written to.
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
            # Zarr writes each chunk aside and renames it: none is missing for a moment, and one that is another store's
            # file too stays what it is there.
            for part, own in self._parts(name, region):
                if array is not None and codes is not None:
                    array[tuple(part[dim] for dim in self.dims[name])] = codes.pack(values[own], name)
                    continue
                block = xr.Dataset({name: (self.dims[name], values[own])})
                block.to_zarr(self.path, region=part, consolidated=False, write_empty_chunks=True)
            self.flush(name, region)

    def _parts(self, name: str, region: Region) -> Iterator[tuple[dict[str, slice], tuple[slice, ...]]]:
        """A region of a variable in parts of whole chunks, and where each is in the region's values.

        What is packed is for a while there three times, twice of it in float64.
        """
        spans = self.spans(name, region)
        cells, ranges = math.prod(span.stop - span.start for span in spans.values()), []
        for dim, span in spans.items():
            length = span.stop - span.start
            step = length if cells <= WRITTEN else min(length, self.chunks[dim])
            cells = cells // length * step
            ranges.append([slice(at, min(at + step, length)) for at in range(0, length, step)])
        for own in itertools.product(*ranges):
            starts = zip(spans.items(), own)
            yield {dim: slice(span.start + part.start, span.start + part.stop) for (dim, span), part in starts}, own

    def adopt(self, older: Path, regions: Sequence[Region], names: Iterable[str]) -> None:
        """Take regions over from an older store of the same layout: the very files, where the file system links them.

        Finished chunk files are never written to again, only replaced, so two stores can share them; they are on the
        disk itself already, and each folder is waited for once.

        Raises
        ------
        OSError
            If a file is not there, or cannot be written.
        """
        folders = set[Path]()
        for name, region in itertools.product(names, regions):
            for file in self.files(name, region):
                target = self.path / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.unlink(missing_ok=True)
                try:
                    os.link(older / file, target)
                except FileNotFoundError:
                    raise
                except OSError:  # no links here
                    shutil.copyfile(older / file, target)
                    flush([target])
            folders |= self._folders(name, region)
        flush(folders)

    def layout(self, name: str) -> dict[str, Any]:
        """What must agree where chunk files are to be shared: all of a variable's metadata but its length and names."""
        return layout(self.path, name)

    def flush(self, name: str, region: Region) -> None:
        """Wait until the chunk files of a region, and the folders that name them, are on the disk itself."""
        flush(self.path / file for file in self.files(name, region))
        flush(self._folders(name, region))

    def _folders(self, name: str, region: Region) -> set[Path]:
        """Folders that name the chunk files of a region, up to that of the variable."""
        files = (self.path / file for file in self.files(name, region))
        return {folder for file in files for folder in file.parents if folder.is_relative_to(self.path / name)}

    def tidy(self) -> None:
        """Remove what was written aside by a process that was killed."""
        for file in self.path.rglob("*.partial"):
            file.unlink(missing_ok=True)

    def flush_metadata(self) -> None:
        """Wait until all but the chunks of the variables is on the disk itself."""
        flush([self.path, *(file for file in self.path.iterdir() if file.is_file())])
        for folder in filter(Path.is_dir, self.path.iterdir()):
            flush([folder, folder / "zarr.json"] if folder.name in self.dims else [folder, *folder.rglob("*")])


def layout(store: Path, name: str) -> dict[str, Any]:
    """How the chunks of a stored variable are cut, packed and compressed.

    Parameters
    ----------
    store : Path
        A Zarr v3 store.
    name : str
    """
    meta = read_json(store / name / "zarr.json")
    kept = ("zarr_format", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value", "codecs", "dimension_names")
    packed = ("scale_factor", "add_offset", "_FillValue", "missing_value")
    return {key: meta.get(key) for key in kept} | {key: meta["attributes"].get(key) for key in packed}
