"""A product: a store written region by region beside its final name, which it gets when it is complete."""

import errno
import itertools
import json
import os
import re
import shutil
import threading
import uuid
import warnings
import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import dask.array
import numpy as np
import xarray as xr

from geogan.operators.errors import InputError

MARK = "geogan_product"
"""Global attribute of every product; nothing without it is ever replaced."""

Region = Mapping[str, slice]

_NETCDF = (".nc", ".nc4")
_BLOCK_BYTES = 48 * 2**20
# Of a source file's encoding this says what the numbers mean; the rest says how that file kept them.
_MEANING = ["dtype", "scale_factor", "add_offset", "_FillValue", "missing_value"]
_MEANING += ["units", "calendar", "grid_mapping"]


class Product:
    """An output that is either complete under its name or not there.

    Everything is written to ``.<name>.partial`` in the same folder, with a record of the regions done, and
    renamed by `finish`. A run that was stopped goes on where it was when `begin` finds a partial product of
    the same digest. One process at a time may write a product; threads may write at the same time.

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
        self.partial = _partial(path)
        self._store = self.partial / "store.zarr"
        self._overwrite = overwrite
        self._dims: dict[str, tuple[str, ...]] = {name: tuple(dims) for name, dims in state["dims"].items()}
        self._sizes: dict[str, int] = state["sizes"]
        self._chunks: dict[str, int] = state["chunks"]
        self._guard = threading.Lock()
        self._done: set[tuple[Any, ...]] = set()
        self._covered = {
            name: np.zeros([-(-self._sizes[dim] // self._chunks[dim]) for dim in dims], dtype=bool)
            for name, dims in self._dims.items()
        }
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
            Says from what the product is made; only a partial product of the same digest is gone on with.
        overwrite : bool
            Replace a complete product of that name, once this one is complete.

        Returns
        -------
        product : Product

        Raises
        ------
        InputError
            If the name cannot be used, is taken, is being written by another process, or cannot be written.
        """
        path = check_output(path, overwrite=overwrite)
        partial = _partial(path)
        with _writing(path):
            if not _is_ours(partial):
                raise InputError(f"{partial} is in the way and no partial product of geogan; move it first")
            lock = _lock(partial, path)
            try:
                _bring_back(path)
                # The old product may have come back just now.
                check_output(path, overwrite=overwrite)
                sizes = {str(dim): int(size) for dim, size in template.sizes.items()}
                state: dict[str, Any] = {
                    "geogan_partial": 1,
                    "digest": digest,
                    "sizes": sizes,
                    "chunks": {dim: min(int(chunks.get(dim, size)), size) for dim, size in sizes.items()},
                    "dims": {str(k): [str(d) for d in v.dims] for k, v in template.data_vars.items() if v.ndim},
                }
                if _state(partial) != state:
                    _empty(partial)
                    _write_template(partial / "store.zarr", template, state["chunks"], digest)
                    # Written last: without it the store is not trusted.
                    _write_text(partial / "product.json", json.dumps(state))
                product = cls(path, state, overwrite=overwrite)
                product._recall()
            except BaseException:
                if _state(partial) is None:
                    shutil.rmtree(partial, ignore_errors=True)
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

    def write(self, region: Region, arrays: Mapping[str, np.ndarray]) -> None:
        """Write one region of one or more variables, then record it as done.

        Parameters
        ----------
        region : mapping of str to slice
            Starts and stops at chunk borders or the end of a dimension; dimensions not named are whole.
            A region is recorded once, so all its variables go together.
        arrays : dict of ndarray
            Values in physical units, NaN where missing; packed here as the template's encoding says, at the
            nearest number that the packing can hold.

        Raises
        ------
        ValueError
            If a region cuts a chunk, a variable is unknown, or an array has another shape.
        InputError
            If the disk is full or may not be written to; what was recorded stays and can be gone on with.
        """
        spans: dict[str, dict[str, slice]] = {}
        whole = self._whole(region)
        for name, values in arrays.items():
            if name not in self._dims:
                raise ValueError(f"the product has no variable {name!r}; it has {', '.join(self._dims)}")
            spans[name] = {dim: self._span(dim, region.get(dim, slice(None))) for dim in self._dims[name]}
            expected = tuple(span.stop - span.start for span in spans[name].values())
            if np.shape(values) != expected:
                raise ValueError(f"{name!r} has shape {np.shape(values)} for a region of {expected}")
            foreign = set(region) - set(self._dims[name])
            if foreign:
                raise ValueError(f"region names {', '.join(sorted(foreign))}, which {name!r} does not have")
        with _writing(self.path, kept=self.partial):
            for name, values in arrays.items():
                block = xr.Dataset({name: (self._dims[name], self._fit_packing(name, np.asarray(values)))})
                block.to_zarr(self._store, region=spans[name], consolidated=False, write_empty_chunks=True)
                self._flush(name, spans[name])
            line = {
                "region": {str(dim): [span.start, span.stop] for dim, span in whole.items()},
                "names": list(arrays),
            }
            with self._guard:
                with (self.partial / "done.jsonl").open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                self._record(line)

    def finish(self) -> Path:
        """Give the product its name.

        Returns
        -------
        path : Path

        Raises
        ------
        ValueError
            If regions are missing.
        InputError
            If the disk is full, or something else took the name meanwhile.
        """
        for name, covered in self._covered.items():
            if not covered.all():
                lacking = int(covered.size - covered.sum())
                raise ValueError(f"{lacking} of {covered.size} chunks of {name!r} are not written yet")
        with _writing(self.path, kept=self.partial):
            if self.path.suffix.lower() in _NETCDF:
                complete = self.partial / "product.nc"
                _write_netcdf(self._store, complete)
            else:
                complete = self._store
                _consolidate(complete)
            check_output(self.path, overwrite=self._overwrite)
            aside = self.partial / "old"
            if self.path.exists():
                self.path.rename(aside)
            try:
                complete.rename(self.path)
            except BaseException:
                if aside.exists():
                    aside.rename(self.path)
                raise
        shutil.rmtree(self.partial, ignore_errors=True)
        self.close()
        return self.path

    def close(self) -> None:
        """Let another process write this product; what is on disk stays."""
        self._unlock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _span(self, dim: str, part: slice) -> slice:
        start, stop, step = part.indices(self._sizes[dim])
        chunk, size = self._chunks[dim], self._sizes[dim]
        if step != 1 or stop <= start or start % chunk or (stop % chunk and stop != size):
            raise ValueError(
                f"region {dim}={part.start}:{part.stop} must start and stop at multiples of "
                f"the chunk, {chunk}, or at the end, {size}"
            )
        return slice(start, stop)

    def _whole(self, region: Region) -> dict[str, slice]:
        unknown = set(region) - set(self._sizes)
        if unknown:
            raise ValueError(f"region names {', '.join(sorted(unknown))}; the product has {', '.join(self._sizes)}")
        return {dim: self._span(dim, region[dim]) for dim in sorted(region)}

    def _key(self, region: Region) -> tuple[Any, ...]:
        return tuple((dim, span.start, span.stop) for dim, span in self._whole(region).items())

    def _record(self, line: Mapping[str, Any]) -> None:
        region = {dim: slice(*bounds) for dim, bounds in line["region"].items()}
        for name in line["names"]:
            self._covered[name][self._indices(name, region)] = True
        self._done.add(self._key(region))

    def _indices(self, name: str, region: Region) -> tuple[slice, ...]:
        spans = [(dim, self._span(dim, region.get(dim, slice(None)))) for dim in self._dims[name]]
        return tuple(slice(s.start // self._chunks[d], -(-s.stop // self._chunks[d])) for d, s in spans)

    def _recall(self) -> None:
        """Read what an earlier run recorded; a line it could not finish does not count."""
        file = self.partial / "done.jsonl"
        if not file.exists():
            return
        whole = []
        for text in file.read_text(encoding="utf-8").splitlines(keepends=True):
            try:
                if not text.endswith("\n"):
                    break
                line = json.loads(text)
            except ValueError:
                break
            whole.append(text)
            self._record(line)
        _write_text(file, "".join(whole))

    def _fit_packing(self, name: str, values: np.ndarray) -> np.ndarray:
        """Bring values into the range of packed integers, which would wrap around without a word."""
        packing = _packing(self._store, name)
        if packing is None or values.dtype.kind not in "iuf":
            return values
        low, high = packing
        return np.clip(values, low, high).astype(values.dtype)

    def _flush(self, name: str, region: Region) -> None:
        """Wait until the chunk files of a region are on the disk itself."""
        steps = [range(s.start, s.stop) for s in self._indices(name, region)]
        for index in itertools.product(*steps):
            file = self._store / name / "c" / "/".join(map(str, index))
            with suppress(FileNotFoundError):
                descriptor = os.open(file, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)


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
    digest = digest or uuid.uuid4().hex
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
    given = Path(text).expanduser()
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
    path = Path(path)
    try:
        if path.is_dir():
            return MARK in json.loads((path / "zarr.json").read_text(encoding="utf-8")).get("attributes", {})
        if path.is_file():
            # Through xarray, whose lock keeps other threads out of a library that is not safe for them.
            with xr.open_dataset(path, engine="netcdf4", decode_cf=False) as dataset:
                return MARK in dataset.attrs
    except (OSError, ValueError, AttributeError):
        return False
    return False


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _is_ours(partial: Path) -> bool:
    """Whether the place of the partial product is free, or holds one."""
    if partial.is_symlink() or (partial.exists() and not partial.is_dir()):
        return False
    if not partial.exists() or not any(entry.name != "lock" for entry in partial.iterdir()):
        return True
    lock = partial / "lock"
    return lock.is_file() and lock.read_bytes().startswith(b"pid ")


def _state(partial: Path) -> dict[str, Any] | None:
    """What the partial product is, or None where it cannot be gone on with."""
    try:
        state = json.loads((partial / "product.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return state if (partial / "store.zarr" / "zarr.json").exists() else None


def _lock(partial: Path, path: Path) -> int:
    """Take the lock of a partial product, made if need be; the system lets go of it when a process dies."""
    while True:
        partial.mkdir(exist_ok=True)
        try:
            descriptor = os.open(partial / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:
            continue  # another process finished, and removed the folder, just now
        try:
            _lock_file(descriptor)
        except BlockingIOError:
            owner = os.read(descriptor, 64).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise InputError(
                f"{path} is being written by another process ({owner}); wait for it, or give another name"
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
        with suppress(FileNotFoundError):
            # The file may have been removed between its opening and its locking; such a lock guards nothing.
            if os.fstat(descriptor).st_ino == (partial / "lock").stat().st_ino:
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"pid {os.getpid()}".encode())
                return descriptor
        os.close(descriptor)


def _lock_file(descriptor: int) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError as error:
            raise BlockingIOError from error
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        # Some network file systems have no locks; writing without one beats not writing.
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL):
            raise


def _bring_back(path: Path) -> None:
    """Undo a replacement that was stopped between its two renames."""
    aside = _partial(path) / "old"
    if aside.exists() and not path.exists():
        aside.rename(path)


def _empty(partial: Path) -> None:
    for entry in partial.iterdir():
        if entry.name == "lock":
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _write_text(file: Path, text: str) -> None:
    new = file.with_name(file.name + ".new")
    with new.open("w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    new.replace(file)


def _write_template(store: Path, template: xr.Dataset, chunks: Mapping[str, int], digest: str) -> None:
    """Metadata and coordinates; the variables get their shapes only."""
    dataset = _for_output(template, digest)
    for name, array in template.data_vars.items():
        if array.ndim == 0:
            continue
        sizes = tuple(chunks[str(dim)] for dim in array.dims)
        variable = xr.Variable(array.dims, dask.array.zeros(array.shape, chunks=-1, dtype=array.dtype), array.attrs)
        variable.encoding = _meaning(array) | {"chunks": sizes}
        dataset[name] = variable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # texts as coordinates have no Zarr v3 specification yet
        # Empty chunks are written too, so that an absent file always means a lost one.
        dataset.to_zarr(
            store, mode="w", compute=False, consolidated=False, zarr_format=3, write_empty_chunks=True,
            safe_chunks=False,
        )  # fmt: skip


def _for_output(template: xr.Dataset, digest: str) -> xr.Dataset:
    """Coordinates and attributes as CF wants them; the variables still as they are."""
    dataset = template.copy()
    dataset.attrs = dict(template.attrs) | {"Conventions": "CF-1.8", MARK: digest}
    for name, coordinate in template.coords.items():
        loaded = coordinate.variable.compute().copy()
        loaded.encoding = _meaning(coordinate)
        _drop_dangling(loaded, template)
        if loaded.ndim < 2:
            loaded.encoding.pop("missing_value", None)
            loaded.encoding["_FillValue"] = None
        if loaded.dtype.kind == "M" or "calendar" in loaded.encoding or _holds_cftime(loaded):
            loaded.encoding["dtype"] = "float64"
            loaded.encoding.pop("scale_factor", None)
            loaded.encoding.pop("add_offset", None)
        dataset = dataset.assign_coords({name: loaded})
    for name, array in template.data_vars.items():
        if array.ndim == 0:
            dataset[name] = array.variable.compute()
            dataset[name].encoding = _meaning(array)
    return dataset


def _holds_cftime(variable: xr.Variable) -> bool:
    return variable.dtype.kind == "O" and variable.size > 0 and hasattr(variable.values.flat[0], "calendar")


def _drop_dangling(variable: xr.Variable, dataset: xr.Dataset) -> None:
    """Forget bounds that are not in the dataset; CF forbids naming what is not there."""
    if variable.attrs.get("bounds") not in (None, *dataset.variables):
        del variable.attrs["bounds"]


def _meaning(array: xr.DataArray) -> dict[Hashable, Any]:
    """The part of an encoding that another file can keep."""
    meaning: dict[Hashable, Any] = {key: array.encoding[key] for key in _MEANING if key in array.encoding}
    if meaning.get("_FillValue") is not None:
        meaning.pop("missing_value", None)  # two that differ cannot both be written
    if meaning.get("grid_mapping") not in array.coords:
        meaning.pop("grid_mapping", None)
    dtype = meaning.get("dtype")
    if dtype is not None and np.dtype(dtype).kind not in "iuf":
        del meaning["dtype"]
    elif dtype is not None and str(array.encoding.get("_Unsigned", "")).lower() == "true":
        # NetCDF 3 had no unsigned integers and marked them; Zarr and NetCDF 4 have them.
        unsigned = np.dtype(f"u{np.dtype(dtype).itemsize}")
        meaning["dtype"] = unsigned
        if meaning.get("_FillValue") is not None:
            meaning["_FillValue"] = np.array(meaning["_FillValue"]).astype(unsigned)[()]
    return meaning


def _packing(store: Path, name: str) -> tuple[float, float] | None:
    """Lowest and highest value that a packed variable can hold, its fill value apart; None if not packed."""
    meta = json.loads((store / name / "zarr.json").read_text(encoding="utf-8"))
    dtype = np.dtype(meta["data_type"]) if isinstance(meta["data_type"], str) else None
    attrs = meta["attributes"]
    if dtype is None or dtype.kind not in "iu":
        return None
    info = np.iinfo(dtype)
    low, high = int(info.min), int(info.max)
    fills = {attrs[key] for key in ("_FillValue", "missing_value") if isinstance(attrs.get(key), (int, float))}
    low, high = low + (low in fills), high - (high in fills)
    scale, offset = float(attrs.get("scale_factor", 1)), float(attrs.get("add_offset", 0))
    ends = sorted((low * scale + offset, high * scale + offset))
    return ends[0], ends[1]


def _consolidate(store: Path) -> None:
    """One file with all metadata, so that the product can be read through a web server."""
    import zarr

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Zarr v3 has not specified it yet; readers that do not know it ignore it
        zarr.consolidate_metadata(str(store))


def _write_netcdf(store: Path, path: Path) -> None:
    """Stream a finished store to NetCDF4, chunk by chunk."""
    path.unlink(missing_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = xr.open_zarr(store, consolidated=False, decode_timedelta=False)
        for name in dataset.variables:
            variable = dataset[name]
            sizes = variable.encoding.get("chunks")
            variable.encoding = _meaning(variable)
            if variable.dtype.kind in "OTU" and not _holds_cftime(variable.variable):
                # As characters: files with strings crash the NetCDF library when they are opened again and again.
                variable.encoding = {"dtype": "S1"}
                continue
            stored = np.dtype(variable.encoding.get("dtype", variable.dtype))
            for key in ("flag_values", "flag_masks"):
                if key in variable.attrs and stored.kind in "iu":
                    # Zarr keeps attributes as JSON, which forgets their type; CF wants that of the variable.
                    variable.attrs[key] = np.asarray(variable.attrs[key], dtype=stored)
            if name in dataset.coords:
                variable.encoding.setdefault("_FillValue", None)
            elif variable.ndim and variable.dtype.kind in "biuf":
                variable.encoding |= {"zlib": True, "complevel": 1, "chunksizes": sizes}
        dataset.to_netcdf(path, engine="netcdf4", format="NETCDF4")


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


@contextmanager
def _writing(path: Path, *, kept: Path | None = None) -> Iterator[None]:
    """Say in one sentence that the disk, not geogan, is the matter."""
    try:
        yield
    except OSError as error:
        rest = f"; what is done is kept in {kept}, run again to go on" if kept else ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(f"{path} cannot be written: the disk is full; make room{rest}") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise InputError(
                f"{path} cannot be written: the folder {path.parent} is read-only; give another place{rest}"
            ) from error
        raise InputError(f"{path} cannot be written: {error.strerror or error}{rest}") from error
