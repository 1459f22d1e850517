"""A product: a store written region by region beside its final name, which it gets when it is complete."""

import itertools
import json
import os
import re
import shutil
import threading
import uuid
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
import xarray as xr

from geogan.files.disk import writing
from geogan.files.lock import take_lock
from geogan.files.plain_file import parse_json, read_json, read_lines
from geogan.files.schema import DoneLine, PartialText, check
from geogan.files.swap import flush, replace
from geogan.files.user_path import user_path
from geogan.io.encoding import MARK, READ, consolidate, write_netcdf, write_template
from geogan.operators.errors import InputError
from geogan.product.checksums import as_text, from_text
from geogan.product.chunk_store import ChunkStore, Region

_NETCDF = (".nc", ".nc4")
_BLOCK_BYTES = 48 * 2**20
# What a digest begins with that no later run has: such a partial product cannot be gone on with.
_ONCE = "once-"
# Files of a partial product: what it is, the regions done, the state of the source in which these were last compared
# with it, and in place of the first what it was, once it has its name.
_STATE, _DONE, _SOURCE, _FINISHED = "product.json", "done.jsonl", "source.json", "finished.json"


class Product:
    """An output that is either complete under its name or not there.

    Everything is written to ``.<name>.partial`` in the same folder, with a record of the regions done, and
    renamed by `finish`. A run that was stopped goes on where it was when `begin` finds a partial product of
    the same digest, and what is done of another is not thrown away unasked. One process at a time may write a
    product; threads may write at the same time.

    Use `begin`; as a context manager it gives up the lock, not the partial product, when left early.

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

    def __init__(self, path: Path, state: dict[str, Any], *, overwrite: bool) -> None:
        self.path = path
        self.partial = partial_folder(path)
        self.mark = str(state["mark"])
        self.store = chunk_store(state, self.partial)
        self._overwrite = overwrite
        self._guard = threading.Lock()
        self._done: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._unlock: Callable[[], Any] = int  # begin, which holds the lock, says how to let go of it

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
        """Start a product, or go on with the one that was stopped.

        Parameters
        ----------
        path : str or Path
            Final name: a Zarr store ``.zarr``, or a NetCDF file ``.nc``; its folder must exist.
        template : Dataset
            Coordinates, attributes, encoding and the shapes of the variables, whose values are not looked at,
            scalars apart.
        chunks : mapping of str to int
            Stored chunk along each dimension, in pixels or dates; the whole dimension where not named.
        digest : str
            Says how the product is made; only a partial product of the same digest is gone on with.
        overwrite : bool
            Replace a complete product of that name, once this one is complete; and at once what is done of another one
            that was stopped.
        growing : str, optional
            Dimension that may be appended to one day: its chunk is as long as asked for even where the dimension is
            shorter, so that the chunks of a longer product are the same files.
        after : str, optional
            Digest of the complete product that this one takes the place of and goes on from. What is done of one that
            was stopped is then thrown away only if it went on from the same.

        Returns
        -------
        product : Product

        Raises
        ------
        InputError
            If the name cannot be used, is taken, is being written by another process, or cannot be written; or if
            regions of another product of that name are done.
        """
        path = check_output(path, overwrite=overwrite)
        partial = partial_folder(path)
        with writing(path):
            if not _is_ours(partial):
                raise InputError(f"{partial} is in the way and no partial product of geogan; move it first")
            lock = take_lock(partial, path)
            try:
                _bring_back(path)
                # The old product may have come back just now.
                check_output(path, overwrite=overwrite)
                sizes = {str(dim): int(size) for dim, size in template.sizes.items()}
                state: dict[str, Any] = {
                    "geogan_partial": 1,
                    "digest": digest,
                    "sizes": sizes,
                    "chunks": {
                        dim: int(chunks.get(dim, size)) if dim == growing else min(int(chunks.get(dim, size)), size)
                        for dim, size in sizes.items()
                    },
                    "dims": {str(k): [str(d) for d in v.dims] for k, v in template.data_vars.items() if v.ndim},
                }
                if after is not None:
                    state["after"] = after
                begun = read_state(partial)
                if begun is not None and begun.get("mark") == mark_of(path):
                    # A kill came after that product had its name, and before its partial folder was cleared.
                    _empty(partial)
                    begun = None
                if begun is not None and begun == state | {"mark": begun.get("mark")}:
                    state = begun
                else:
                    # Two products of one digest may be made from different states of the data.
                    state["mark"] = f"{digest}.{uuid.uuid4().hex[:16]}"
                    if not overwrite or (after is not None and begun is not None and begun.get("after") != after):
                        _check_nothing_done(partial, path, appending=after is not None)
                    _empty(partial)
                    to_netcdf = is_netcdf(path)
                    bare = _without(template, READ)
                    write_template(partial / "store.zarr", bare, state["chunks"], state["mark"], to_netcdf=to_netcdf)
                    chunk_store(state, partial).flush_metadata()
                    # Written last: without it the store is not trusted.
                    _write_text(partial / _STATE, json.dumps(state))
                    flush([partial])
                product = cls(path, state, overwrite=overwrite)
                product._recall()
            except BaseException:
                with suppress(OSError):
                    if read_state(partial) is None:
                        _discard(partial)
                os.close(lock)
                raise
            product._unlock = weakref.finalize(product, os.close, lock)
            return product

    def missing(self, regions: Iterable[Region]) -> list[Region]:
        """Those regions that are not yet on disk.

        Parameters
        ----------
        regions : iterable of mapping of str to slice

        Returns
        -------
        missing : list
            In their order.
        """
        with self._guard:
            return [region for region in regions if self._key(region) not in self._done]

    @property
    def notes(self) -> list[str]:
        """What was noted of the regions that are done, each text once."""
        with self._guard:
            return list(dict.fromkeys(note for line in self._done.values() for note in line.get("notes", [])))

    @property
    def source(self) -> str | None:
        """State of the source in which all regions done were last known to be right; None where unknown."""
        try:
            source = read_json(self.partial / _SOURCE)["source"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        return source if isinstance(source, str) else None

    def confirm(self, source: str | None) -> None:
        """Note that the regions done agree with the source in its present state.

        Parameters
        ----------
        source : str or None
            As `geogan.product.store_state.describe` gives it.
        """
        with writing(self.path, kept=self.partial):
            _write_text(self.partial / _SOURCE, json.dumps({"source": source}))

    def sums(self, region: Region) -> np.ndarray | None:
        """Return the checksums of what a region was made from; None where they were not recorded."""
        with self._guard:
            text = self._done[self._key(region)].get("read")
        try:
            return None if text is None else from_text(text)
        except ValueError:
            return None

    def forget(self, regions: Iterable[Region]) -> None:
        """Record regions as not done, so that they are made again.

        Raises
        ------
        InputError
            If the disk is full or may not be written to.
        """
        with writing(self.path, kept=self.partial), self._guard:
            for region in regions:
                del self._done[self._key(region)]
            self._rewrite()

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
            Starts and stops at chunk borders or the end of a dimension; dimensions not named are whole.
            A region is recorded once, so all its variables go together.
        arrays : dict of ndarray
            As in `geogan.product.chunk_store.ChunkStore.write`.
        notes, sums
            As in `record`.

        Raises
        ------
        ValueError
            If a region cuts a chunk, a variable is unknown, or an array has another shape.
        InputError
            If the disk is full or may not be written to; what was recorded stays and can be gone on with.
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
            What is to be said of the region when all is done.
        sums : ndarray of uint32, optional
            Checksums of what it was made from.

        Raises
        ------
        InputError
            If the disk is full or may not be written to.
        """
        line: dict[str, Any] = {
            "region": {str(dim): [part.start, part.stop] for dim, part in self.store.whole(region).items()},
            "names": list(names),
        }
        if notes:
            line["notes"] = list(notes)
        if sums is not None:
            line["read"] = as_text([sums])
        with writing(self.path, kept=self.partial), self._guard:
            with (self.partial / _DONE).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
                file.flush()
                os.fsync(file.fileno())
            self._record(line)

    def finish(self, *, read: str | None = None) -> Path:
        """Give the product its name.

        Parameters
        ----------
        read : str, optional
            Value of the global attribute that says from what the regions were made.

        Returns
        -------
        path : Path

        Raises
        ------
        ValueError
            If regions are missing.
        InputError
            If the disk is full, or something else took the name meanwhile, or the place of the partial product.
        """
        for name, covered in self._covered().items():
            if not covered.all():
                lacking = int(covered.size - covered.sum())
                raise ValueError(f"{lacking} of {covered.size} chunks of {name!r} are not written yet")
        with writing(self.path, kept=self.partial):
            state = read_state(self.partial)
            # Not every file system has locks.
            if state is None or state["mark"] != self.mark:
                raise InputError(f"{self.partial} was taken by another process meanwhile; wait for it, and run again")
            if read is not None:
                _add_attribute(self.store.path, READ, read)
            if is_netcdf(self.path):
                complete = self.partial / "product.nc"
                write_netcdf(self.store.path, complete)
                flush([complete])
            else:
                complete = self.store.path
                consolidate(complete)
                self.store.tidy()
                self.store.flush_metadata()
            check_output(self.path, overwrite=self._overwrite)
            replace(self.path, complete, self.partial / "old")
            flush([self.partial, self.path.parent])
        _discard(self.partial)
        self.close()
        return self.path

    def close(self) -> None:
        """Let another process write this product; what is on disk stays."""
        self._unlock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _key(self, region: Region) -> tuple[Any, ...]:
        return tuple((dim, part.start, part.stop) for dim, part in self.store.whole(region).items())

    def _record(self, line: dict[str, Any]) -> None:
        region = {dim: slice(*bounds) for dim, bounds in line["region"].items()}
        for name in line["names"]:
            self.store.numbers(name, region)
        self._done[self._key(region)] = line

    def _covered(self) -> dict[str, np.ndarray]:
        """Which chunks of each variable are done."""
        store = self.store
        covered = {
            name: np.zeros([-(-store.sizes[dim] // store.chunks[dim]) for dim in dims], dtype=bool)
            for name, dims in store.dims.items()
        }
        for line in self._done.values():
            region = {dim: slice(*bounds) for dim, bounds in line["region"].items()}
            for name in line["names"]:
                covered[name][store.numbers(name, region)] = True
        return covered

    def _knows(self, line: Mapping[str, Any]) -> bool:
        """Whether a recorded region lies in this product, and its variables are there."""
        store = self.store
        inside = all(
            dim in store.sizes and start < stop <= store.sizes[dim] for dim, (start, stop) in line["region"].items()
        )
        if not inside or not all(name in store.dims for name in line["names"]):
            return False
        region = {dim: slice(*bounds) for dim, bounds in line["region"].items()}
        try:
            for name in line["names"]:
                store.numbers(name, region)
        except ValueError:
            return False  # it cuts a chunk
        return True

    def _recall(self) -> None:
        """Read what an earlier run recorded."""
        for line in _recorded(self.partial):
            # A line of another product: what comes after it is not trusted either, and made again.
            if not self._knows(line):
                break
            self._record(line)
        self._rewrite()

    def _rewrite(self) -> None:
        _write_text(self.partial / _DONE, "".join(json.dumps(line) + "\n" for line in self._done.values()))


def write_dataset(dataset: xr.Dataset, path: str | Path, *, overwrite: bool = False, digest: str | None = None) -> Path:
    """Write a whole dataset safely, a region at a time.

    Parameters
    ----------
    dataset : Dataset
        Dask arrays are computed one block after another and never held whole.
    path : str or Path
        ``.zarr`` or ``.nc``, as in `Product.begin`.
    overwrite : bool
        Replace a complete product of that name.
    digest : str, optional
        With it a stopped run goes on where it was; without it, each run starts anew.

    Returns
    -------
    path : Path

    Raises
    ------
    InputError
        As in `Product.begin` and `Product.write`.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> maps = xr.Dataset({"sst": (("y", "x"), np.ones((4, 6)))})
    >>> write_dataset(maps, Path(folder.name) / "sst.nc").name
    'sst.nc'
    """
    chunks = _even_chunks(dataset)
    digest = digest or _ONCE + uuid.uuid4().hex
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, array in dataset.data_vars.items():
        if array.ndim:
            groups.setdefault(tuple(str(dim) for dim in array.dims), []).append(str(name))
    with Product.begin(path, dataset, chunks=chunks, digest=digest, overwrite=overwrite) as product:
        for dims, names in groups.items():
            for region in product.missing(_regions(dataset, dims, chunks)):
                block = dataset[names].isel(dict(region)).compute()
                product.write(region, {name: block[name].transpose(*dims).values for name in names})
        return product.finish()


def is_netcdf(path: Path) -> bool:
    """Whether the name of a product is that of a NetCDF file."""
    return path.suffix.lower() in _NETCDF


def check_output(path: str | Path, *, overwrite: bool = False) -> Path:
    """Whether an output may be written there; nothing is touched.

    Parameters
    ----------
    path : str or Path
    overwrite : bool
        Whether a product of that name may be replaced.

    Returns
    -------
    path : Path
        Absolute.

    Raises
    ------
    InputError
        If the name is empty, no ``.zarr`` or ``.nc``, a link, a URL, in a folder that does not exist, taken
        by a product while ``overwrite`` is False, or taken by anything else.

    Examples
    --------
    >>> check_output("sst.csv")
    Traceback (most recent call last):
        ...
    geogan.operators.errors.InputError: the output 'sst.csv' must end in .zarr or .nc
    """
    text = str(path)
    # A Path makes s3://bucket into s3:/bucket.
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text):
        raise InputError(
            f"the output {text!r} is a URL, where a name on this machine is expected; write it here, and copy it there"
        )
    given = user_path(text)
    if given.name in ("", "..", ".") or "\0" in text:
        raise InputError(f"the output {text!r} is no name of a file; give one such as filled.zarr or filled.nc")
    if given.suffix.lower() not in (".zarr", *_NETCDF) or given.name.startswith("."):
        raise InputError(f"the output {text!r} must end in .zarr or .nc")
    folder = given.parent.resolve()
    if not folder.is_dir():
        raise InputError(f"the folder {folder} of the output does not exist; make it first")
    given = folder / given.name
    if given.is_symlink():
        raise InputError(f"the output {given} is a link, which would be lost; name what it points to")
    if given.exists():
        if not is_product(given):
            raise InputError(f"{given} exists and was not made by geogan, so it stays; give another name")
        if not overwrite:
            raise InputError(f"{given} exists; give another name, or overwrite it with --overwrite")
    return given


def is_product(path: str | Path) -> bool:
    """Whether geogan wrote what is there.

    Examples
    --------
    >>> is_product("nothing.zarr")
    False
    """
    return mark_of(path) is not None


def mark_of(path: str | Path) -> str | None:
    """Digest of the product that is there; None where there is none of geogan's."""
    path = Path(path)
    try:
        if path.is_dir():
            return read_json(path / "zarr.json").get("attributes", {}).get(MARK)
        if path.is_file():
            # Through xarray, whose lock keeps other threads out of a library that is not safe for them.
            with xr.open_dataset(path, engine="netcdf4", decode_cf=False) as dataset:
                return dataset.attrs.get(MARK)
    except (OSError, ValueError, AttributeError):
        return None
    return None


def tidy(path: Path) -> None:
    """Finish what a killed process left around a finished product: its own name, and nothing beside it.

    A partial product that can be gone on with stays.

    Raises
    ------
    InputError
        Where another process is writing.
    """
    partial = partial_folder(path)
    if not partial.exists() or not _is_ours(partial):
        return
    with writing(path):
        lock = take_lock(partial, path)
        try:
            _bring_back(path)
            state = read_state(partial)
            if state is None or state["mark"] == mark_of(path):
                _discard(partial)
        finally:
            os.close(lock)


def is_finished(path: Path, digest: str, *, overwrite: bool = False) -> bool:
    """Whether the very product is there, and nothing needs to be done; what a kill left around it is cleared.

    Parameters
    ----------
    path : Path
    digest : str
        As in `Product.begin`.
    overwrite : bool
        It is to be made anew: then only one counts whose making was killed when it had its name already.

    Raises
    ------
    InputError
        Where another process is writing.
    """
    if not is_same(path, digest) or (overwrite and not _was_clearing(partial_folder(path), path)):
        return False
    tidy(path)
    return True


def is_same(path: Path, digest: str) -> bool:
    """Whether the product that is there was made in the way that the digest tells."""
    mark = mark_of(path)
    return mark is not None and (mark.rpartition(".")[0] or mark) == digest


def _was_clearing(partial: Path, path: Path) -> bool:
    """Whether a kill came after the product had its name, and before its partial folder was gone."""
    if (partial / _FINISHED).exists():
        return True
    try:
        begun = read_json(partial / _STATE)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    return isinstance(begun, dict) and begun.get("mark") == mark_of(path)


def partial_folder(path: Path) -> Path:
    """Where a product is until it is complete."""
    return path.with_name(f".{path.name}.partial")


def _is_ours(partial: Path) -> bool:
    """Whether the place of the partial product is free, or holds one."""
    if partial.is_symlink() or (partial.exists() and not partial.is_dir()):
        return False
    if not partial.exists() or not any(entry.name != "lock" for entry in partial.iterdir()):
        return True
    lock = partial / "lock"
    return lock.is_file() and not lock.is_symlink() and lock.read_bytes().startswith(b"pid ")


def chunk_store(state: Mapping[str, Any], partial: Path) -> ChunkStore:
    """Where the chunks of a partial product go.

    Parameters
    ----------
    state : mapping
        As `read_state` gives it.
    partial : Path
        Folder of the partial product.
    """
    dims = {name: tuple(dims) for name, dims in state["dims"].items()}
    return ChunkStore(partial / "store.zarr", dims, state["sizes"], state["chunks"])


def read_state(partial: Path) -> dict[str, Any] | None:
    """What the partial product is, or None where it cannot be gone on with."""
    try:
        state = read_json(partial / _STATE)
        check(PartialText, state)
        root = read_json(partial / "store.zarr" / "zarr.json")
        # After two stores have changed places, the older one is here.
        return state if root["attributes"][MARK] == state["mark"] else None
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        # Any other failure of the disk may pass, and says nothing of what is there.
        return None


def _recorded(partial: Path) -> list[dict[str, Any]]:
    """The record of the regions done; a line that is damaged or could not be finished ends it."""
    lines = []
    with suppress(FileNotFoundError, ValueError):
        for text, complete in read_lines(partial / _DONE):
            if not complete:
                break
            line = parse_json(text)
            check(DoneLine, line)
            lines.append(line)
    return lines


def _check_nothing_done(partial: Path, path: Path, *, appending: bool) -> None:
    """Refuse to throw away what was done of another product: a trifle may tell it from the one that is asked for."""
    state = read_state(partial)
    if state is None or state["digest"].startswith(_ONCE):
        return
    count = len(_recorded(partial))
    if count:
        raise InputError(
            f"{path} was begun from other data, with another model or with other options, and {count} of its regions "
            "are finished; give that command again to go on with it, or "
            + (f"remove {partial} to append to the product that is there" if appending else "--overwrite to begin anew")
        )


def _bring_back(path: Path) -> None:
    """Undo a replacement that was stopped between its two renames."""
    aside = partial_folder(path) / "old"
    if aside.exists() and not path.exists():
        aside.rename(path)


def _empty(partial: Path, *, but: Collection[str] = ("lock",)) -> None:
    """Remove what a partial product holds; what is left after a kill is trusted by nobody."""
    (partial / _STATE).unlink(missing_ok=True)
    flush([partial])
    for entry in partial.iterdir():
        if entry.name in but:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _discard(partial: Path) -> None:
    """Remove a partial product; what says that it is one goes last, so a kill leaves what the next run clears."""
    with suppress(OSError):
        with suppress(FileNotFoundError):
            (partial / _STATE).replace(partial / _FINISHED)
        _empty(partial, but=("lock", _FINISHED))
        (partial / _FINISHED).unlink(missing_ok=True)
        (partial / "lock").unlink()
        partial.rmdir()


def _without(template: xr.Dataset, attribute: str) -> xr.Dataset:
    """A dataset without an attribute that another product had."""
    copy = template.copy()
    copy.attrs = {key: value for key, value in template.attrs.items() if key != attribute}
    return copy


def _add_attribute(store: Path, name: str, value: str) -> None:
    """Add a global attribute to a Zarr store, in one move."""
    root = read_json(store / "zarr.json")
    root["attributes"][name] = value
    _write_text(store / "zarr.json", json.dumps(root))


def _write_text(file: Path, text: str) -> None:
    new = file.with_name(file.name + ".new")
    with new.open("w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    new.replace(file)


def _even_chunks(dataset: xr.Dataset) -> dict[str, int]:
    """One chunk length a dimension: that of the dask blocks, or a sensible one for arrays in memory."""
    chunks = {str(dim): int(size) for dim, size in dataset.sizes.items()}
    for array in dataset.data_vars.values():
        if array.chunks is None:
            continue
        for dim, blocks in zip(array.dims, array.chunks):
            chunks[str(dim)] = min(chunks[str(dim)], max(blocks))
    for array in dataset.data_vars.values():
        for dim in map(str, array.dims):
            volume = int(np.prod([chunks[str(d)] for d in array.dims])) * array.dtype.itemsize
            if volume > 2 * _BLOCK_BYTES:
                chunks[dim] = max(chunks[dim] * _BLOCK_BYTES // volume, 1)
    return chunks


def _regions(dataset: xr.Dataset, dims: tuple[str, ...], chunks: Mapping[str, int]) -> Iterator[dict[str, slice]]:
    steps = [
        [slice(i, min(i + chunks[dim], dataset.sizes[dim])) for i in range(0, dataset.sizes[dim], chunks[dim])]
        for dim in dims
    ]
    for spans in itertools.product(*steps):
        yield dict(zip(dims, spans))
