"""A product: a store written region by region beside its final name, which it gets when it is complete."""

from __future__ import annotations

import json
import os
import uuid
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
import xarray as xr

from geogan.files.attributes import INPUTS
from geogan.files.disk import writing
from geogan.files.plain_file import read_json
from geogan.files.swap import flush, replace, write_text
from geogan.operators.errors import InputError
from geogan.operators.wording import counted
from geogan.product.checksums import to_text
from geogan.product.chunk_store import Region
from geogan.product.done_record import DoneRecord, count_done
from geogan.product.encoding import add_attribute, consolidate, write_netcdf, write_template
from geogan.product.output import check_output, container_of, mark_of
from geogan.product.partial import (
    FITTED,
    MODEL,
    SOURCE,
    STATE,
    chunk_store,
    empty_folder,
    lock_partial,
    partial_folder,
    read_state,
    remove_folder,
    restore_previous,
)

ONCE = "once-"
"""Prefix of a digest that no later run has: such a partial product cannot be resumed."""


class Product:
    """An output that is either complete under its name or absent.

    All data go to ``.<name>.partial`` in the same folder, with a record of the regions that are on disk; `finish`
    renames it. A *region* is a part of the store that consists of whole stored chunks. If `begin` finds a partial
    product of the same digest, it resumes it; it discards another partial product only on request. One process at a
    time may write a product; its threads may write at the same time.

    Create a product with `begin`. Leaving the context manager early releases the lock and keeps the partial product.

    Attributes
    ----------
    path : Path
        Final name.
    partial : Path
        Partial folder.
    store : ChunkStore
        The chunks in the partial folder.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> template = xr.Dataset({"sst": (("y", "x"), np.zeros((4, 6), "f4"))})
    >>> out = Path(folder.name) / "sst.zarr"
    >>> with Product.begin(out, template, chunks={"y": 2}, digest="a") as product:
    ...     for region in product.missing([{"y": slice(0, 2)}, {"y": slice(2, 4)}]):
    ...         product.write(region, {"sst": np.ones((2, 6), "f4")})
    ...     finished = product.finish()
    >>> float(xr.open_zarr(out).sst.sum())
    24.0
    """

    def __init__(self, path: Path, state: Mapping[str, Any], *, overwrite: bool) -> None:
        self.path = path
        self.partial = partial_folder(path)
        self.store = chunk_store(state, self.partial)
        self._mark = str(state["mark"])
        self._done = DoneRecord(self.partial, self.store)
        self._overwrite = overwrite
        self._unlock: Callable[[], Any] = int  # `begin`, which holds the lock, sets the function that releases it

    @classmethod
    def begin(
        cls,
        path: str | Path,
        template: xr.Dataset,
        *,
        chunks: Mapping[str, int],
        digest: str,
        overwrite: bool = False,
        growing: str | None = None,
        after: str | None = None,
    ) -> Self:
        """Start a product, or resume the one that was interrupted.

        Parameters
        ----------
        path : str or Path
            Final name: a Zarr store ``.zarr`` or a NetCDF file ``.nc``, in a folder that exists.
        template : Dataset
            Coordinates, attributes, encoding and the shapes of the variables. Values are read from coordinates and
            scalars only.
        chunks : mapping of str to int
            Stored chunk along each dimension, in cells or dates; the whole dimension where none is given.
        digest : str
            Identifies how the product is made; only a partial product of the same digest is resumed.
        overwrite : bool
            Replace a complete product of that name once this one is complete, and discard a partial product of another
            digest at once.
        growing : str, optional
            Dimension along which the product may grow. Its chunk keeps the requested length even if the dimension is
            shorter, so that a longer product has the same chunk files.
        after : str, optional
            Mark of the complete product that this one replaces and continues. A partial product is then discarded only
            if it continues the same product.

        Returns
        -------
        product : Product

        Raises
        ------
        InputError
            If the name cannot be used, is taken, is being written by another process, or cannot be written; or if
            regions of another partial product of that name are done.
        """
        path = check_output(path, overwrite=overwrite)
        partial = partial_folder(path)
        with writing(path):
            lock = lock_partial(path)
            try:
                restore_previous(path)
                check_output(path, overwrite=overwrite)  # again: the previous product may have been restored
                wanted = _new_state(template, chunks, digest, growing, after)
                state = _resumable_state(path, wanted)
                if state is None:
                    _check_discardable(path, overwrite=overwrite, after=after)
                    # The random suffix separates products of one digest that are made from different data.
                    state = wanted | {"mark": f"{digest}.{uuid.uuid4().hex[:16]}"}
                    _create(path, template, state)
                product = cls(path, state, overwrite=overwrite)
            except BaseException:
                with suppress(OSError):
                    if read_state(partial) is None:
                        remove_folder(partial)
                os.close(lock)
                raise
            product._unlock = weakref.finalize(product, os.close, lock)
            return product

    def missing(self, regions: Iterable[Region]) -> list[Region]:
        """Return the regions that are not yet on disk, in their order.

        Parameters
        ----------
        regions : iterable of mapping of str to slice

        Returns
        -------
        missing : list of mapping of str to slice
        """
        return self._done.missing(regions)

    @property
    def notes(self) -> list[str]:
        """Notes of the regions that are done, each text once."""
        return self._done.notes

    @property
    def source(self) -> str | None:
        """State of the source with which all finished regions were last known to agree; None if unknown."""
        try:
            source = read_json(self.partial / SOURCE)["source"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        return source if isinstance(source, str) else None

    def confirm(self, source: str | None) -> None:
        """Record that the finished regions agree with the source in this state.

        Parameters
        ----------
        source : str or None
            As `geogan.io.describe_source` returns it.
        """
        with writing(self.path, kept=self.partial):
            write_text(self.partial / SOURCE, json.dumps({"source": source}))

    def sums(self, region: Region) -> np.ndarray | None:
        """Return the checksums of the dates that a finished region was computed from; None if it has none."""
        return self._done.sums(region)

    def forget(self, regions: Iterable[Region]) -> None:
        """Record regions as not done, so that they are computed again.

        Raises
        ------
        InputError
            If the disk is full or read-only.
        """
        with writing(self.path, kept=self.partial):
            self._done.forget(regions)

    def write(
        self,
        region: Region,
        arrays: Mapping[str, np.ndarray],
        *,
        notes: Sequence[str] = (),
        sums: np.ndarray | None = None,
    ) -> None:
        """Write one region of one or more variables, then record it as done.

        Parameters
        ----------
        region : mapping of str to slice
            Starts and stops at chunk borders or at the end of a dimension; a dimension that is not named is whole.
            A region is recorded once, with all its variables.
        arrays : dict of ndarray
            As in `geogan.product.chunk_store.ChunkStore.write`.
        notes, sums
            As in `record`.

        Raises
        ------
        ValueError
            If a region cuts a chunk, a variable is unknown, or an array has another shape.
        InputError
            If the disk is full or read-only; the regions recorded so far stay and can be resumed.
        """
        with writing(self.path, kept=self.partial):
            self.store.write(region, arrays)
        self.record(region, arrays, notes=notes, sums=sums)

    def record(
        self, region: Region, names: Iterable[str], *, notes: Sequence[str] = (), sums: np.ndarray | None = None
    ) -> None:
        """Record as done a region that is safely on disk, whichever process wrote it.

        Parameters
        ----------
        region : mapping of str to slice
        names : iterable of str
            Variables that were written.
        notes : sequence of str
            Messages about the region for the user, shown when the product is complete.
        sums : ndarray of uint32, optional
            Checksums of the dates that the region was computed from.

        Raises
        ------
        InputError
            If the disk is full or read-only.
        """
        with writing(self.path, kept=self.partial):
            self._done.append(region, names, notes=notes, sums=sums)

    def inputs(self, regions: Iterable[Region], source: str | None, *, files: np.ndarray | None = None) -> str | None:
        """Encode what the product was computed from; `geogan.product.PreviousProduct` decodes it.

        Parameters
        ----------
        regions : iterable of mapping
            All regions, in order.
        source : str or None
            State of the source, as `geogan.io.describe_source` returns it.
        files : ndarray of uint32, optional
            State of the file of each date.

        Returns
        -------
        str or None
            None if the checksums of a region are not recorded.
        """
        sums = [self.sums(region) for region in regions]
        known = [values for values in sums if values is not None]
        if len(known) < len(sums):
            return None
        of_files = {} if files is None else {"files": to_text([files])}
        return json.dumps({"source": source, "sums": to_text(known), **of_files})

    def finish(self, *, inputs: str | None = None) -> Path:
        """Give the product its final name, remove the partial folder and release the lock.

        Parameters and errors are those of `publish`.
        """
        self.publish(inputs=inputs)
        remove_folder(self.partial)
        self.close()
        return self.path

    def publish(self, *, inputs: str | None = None) -> None:
        """Give the product its final name; the partial folder stays.

        Parameters
        ----------
        inputs : str, optional
            Value of the global attribute ``geogan_read``, made by `inputs`.

        Raises
        ------
        ValueError
            If regions are missing.
        InputError
            If the disk is full, or if something else took the name or the partial folder meanwhile.
        """
        self._done.check_complete()
        with writing(self.path, kept=self.partial):
            state = read_state(self.partial)
            # Some file systems have no locks, so that another process can have taken the folder.
            if state is None or state["mark"] != self._mark:
                raise InputError(f"{self.partial} was taken by another process meanwhile; wait for it, and run again")
            if inputs is not None:
                add_attribute(self.store.path, INPUTS, inputs)
            if container_of(self.path) == "netcdf":
                complete = self.partial / "product.nc"
                write_netcdf(self.store.path, complete)
                flush([complete])
            else:
                complete = self.store.path
                consolidate(complete)
                self.store.remove_unfinished_files()
                self.store.flush_metadata()
            check_output(self.path, overwrite=self._overwrite)
            replace(self.path, complete, self.partial / "old")
            flush([self.partial, self.path.parent])

    def close(self) -> None:
        """Release the lock; the files stay."""
        self._unlock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _new_state(
    template: xr.Dataset, chunks: Mapping[str, int], digest: str, growing: str | None, after: str | None
) -> dict[str, Any]:
    """Return the state of a new partial product, without its mark; arguments as in `Product.begin`."""
    sizes = {str(dim): int(size) for dim, size in template.sizes.items()}
    state: dict[str, Any] = {
        "geogan_partial": 1,
        "digest": digest,
        "sizes": sizes,
        "chunks": {
            dim: int(chunks.get(dim, size)) if dim == growing else min(int(chunks.get(dim, size)), size)
            for dim, size in sizes.items()
        },
        "dims": {str(name): [str(dim) for dim in v.dims] for name, v in template.data_vars.items() if v.ndim},
    }
    return state if after is None else state | {"after": after}


def _resumable_state(path: Path, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the state of the partial product at a path if it equals the wanted one; otherwise None."""
    partial = partial_folder(path)
    state = read_state(partial)
    if state is None:
        return None
    if state.get("mark") == mark_of(path):
        # A kill came between the renaming of that product and the removal of its partial folder.
        empty_folder(partial)
        return None
    return state if state == {**wanted, "mark": state.get("mark")} else None


def _check_discardable(path: Path, *, overwrite: bool, after: str | None) -> None:
    """Refuse to discard finished regions of another partial product, which may differ by a detail only."""
    partial = partial_folder(path)
    state = read_state(partial)
    if state is None or state["digest"].startswith(ONCE):
        return
    if overwrite and (after is None or state.get("after") == after):
        return
    count = count_done(partial)
    if count:
        remedy = (
            f"remove {partial} to append to the product that is there"
            if after is not None
            else "--overwrite to begin anew"
        )
        raise InputError(
            f"{path} was begun from other data, with another model or with other options, with "
            f"{counted(count, 'finished task')}; give that command again to resume it, or {remedy}"
        )


def _create(path: Path, template: xr.Dataset, state: Mapping[str, Any]) -> None:
    """Create the partial folder of a product: metadata and coordinates on disk, no chunks of variables."""
    partial = partial_folder(path)
    empty_folder(partial, keep=("lock", MODEL, FITTED))
    # A template made from another product may hold that product's inputs.
    bare = template.assign_attrs({})
    bare.attrs.pop(INPUTS, None)
    write_template(partial / "store.zarr", bare, state["chunks"], state["mark"], container=container_of(path))
    chunk_store(state, partial).flush_metadata()
    # Written last: without the state no process trusts the store.
    write_text(partial / STATE, json.dumps(state))
    flush([partial])
