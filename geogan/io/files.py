"""Find and open the files, stores and URLs that a name of data stands for."""

import glob
import shutil
import tempfile
import urllib.parse
import urllib.request
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import xarray as xr

from geogan.fields.measured import measured_variables
from geogan.files.user_path import Data, user_path
from geogan.io.downloads import copy_parts, download, remove_at_end
from geogan.io.geotiff import is_geotiff, open_geotiff
from geogan.io.groups import chosen_group, group_with_coordinates, netcdf_groups, zarr_groups
from geogan.io.http_store import HttpStore
from geogan.io.images import are_images, open_images
from geogan.io.labels import with_coordinates
from geogan.io.missing import decoded_dataset
from geogan.io.reading import PLAIN, Reading
from geogan.io.sizes import check_dimensions
from geogan.io.web import PART_BYTES
from geogan.operators.errors import InputError

_ZARR_FILES = ("zarr.json", ".zgroup", ".zmetadata", ".zarray")


def find_paths(data: Data) -> list[str]:
    """Return the files, stores and URLs that ``data`` names; a glob is expanded and sorted.

    Raises
    ------
    InputError
        If a path does not exist, a glob matches nothing, or ``data`` is empty.
    """
    if not isinstance(data, (str, Path)):
        paths = [path for part in data for path in find_paths(part)]
        if not paths:
            raise InputError("no file is named; give a Zarr store, a NetCDF file, a glob or a URL")
        return paths
    text = str(data)
    if text.startswith("file://"):
        text = urllib.request.url2pathname(urllib.parse.urlparse(text).path)
    if "://" in text:
        _check_url(text)
        return [text]
    if not text.strip():
        raise InputError("the name of the data is empty; give a Zarr store, a NetCDF file, a glob or a URL")
    path = user_path(text)
    if path.exists():
        return [str(path)]
    if any(sign in text for sign in "*?["):
        matches = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 (absolute patterns too)
        if not matches:
            raise InputError(f"no file matches {text!r}; check the folder and the pattern")
        return matches
    hint = f"; the folder {path.parent} does not exist either" if not path.parent.exists() else ""
    raise InputError(f"{text!r} does not exist{hint}; give a Zarr store, a NetCDF file, a glob or a URL")


def _check_url(text: str) -> None:
    """Refuse an address without a server before a request is sent."""
    try:
        parts = urllib.parse.urlsplit(text)
        has_server = bool(parts.netloc) and (parts.scheme not in ("http", "https") or bool(parts.hostname))
        assert parts.port is None or parts.port >= 0  # reading an invalid port raises ValueError
    except ValueError as error:
        raise InputError(f"{text!r} is not a valid URL ({error}); give one such as https://server/sst.zarr") from error
    if (
        not has_server
        or not parts.scheme
        or any(character.isspace() or not character.isprintable() for character in text)
    ):
        raise InputError(
            f"{text!r} is not a valid URL; give one such as https://server/sst.zarr or s3://bucket/sst.zarr"
        )


def variable_names(data: Data, *, reading: Reading = PLAIN) -> list[str]:
    """Return the names of all data variables of the first file.

    Parameters
    ----------
    data : str, Path or a sequence of them
        As in `open_field`.
    reading : Reading
        Options of the reading.

    Returns
    -------
    names : list of str

    Raises
    ------
    InputError
        If there is no such file, or it cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> xr.Dataset({"sst": ("x", [1.0])}).to_netcdf(Path(folder.name) / "sst.nc")
    >>> variable_names(Path(folder.name) / "sst.nc")
    ['sst']
    """
    return [str(name) for name in open_dataset(find_paths(data)[0], reading).data_vars]


def open_dataset(path: str, reading: Reading = PLAIN, *, wanted: Sequence[str] = ()) -> xr.Dataset:
    """Open a file, a store or a URL as a dataset without dask arrays; the caller chooses chunks from the stored ones.

    Parameters
    ----------
    path : str
    reading : Reading
        Group and names of the dimensions.
    wanted : sequence of str
        Variables that the group must hold if no group is given and the root has none of them.

    Returns
    -------
    dataset : Dataset
        Its encoding has the opened ``group``, unless that is the root.

    Raises
    ------
    InputError
        If the file cannot be read, or there is no such group.
    """
    if are_images([path]):
        return open_images([path]).to_dataset()
    try:
        with warnings.catch_warnings():
            # Attributes often name bounds or grid mappings that are absent; geogan does not use them.
            warnings.simplefilter("ignore")
            return _open_group(_File.of(path), reading, wanted)
    except InputError:
        raise
    except ImportError as error:
        raise InputError(
            f"{path} needs a package that is not installed ({str(error).splitlines()[0]}); "
            "for object stores: pip install 'geogan[cloud]'"
        ) from error
    except PermissionError as error:
        raise InputError(f"permission to read {path} is denied; check its permissions") from error
    except Exception as error:
        # Readers raise many kinds of exceptions for a damaged file (OSError, RuntimeError, KeyError...).
        text = " ".join(str(error).split()) or type(error).__name__
        if "decode time" in text or "decoding_times" in text or "calendar" in text:
            raise InputError(
                f"the times of {path} cannot be decoded; give its time units such as "
                "'days since 1970-01-01' and a CF calendar"
            ) from error
        if "redentials" in text:
            raise InputError(
                f"{path} needs credentials, and none were found ({text[:100]}); set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or GOOGLE_APPLICATION_CREDENTIALS"
            ) from error
        if is_opendap(path):
            raise InputError(
                f"{path} cannot be read through OPeNDAP ({text[:200]}); check the address, or copy the file"
            ) from error
        if "://" in path:
            raise InputError(
                f"{path} cannot be read ({text[:200]}); check the address, and that a Zarr store has "
                "consolidated metadata (zarr.consolidate_metadata)"
            ) from error
        raise InputError(
            f"{path} cannot be read: it is damaged or cut short ({text[:200]}); copy or write it again"
        ) from error


class _File(NamedTuple):
    """A checked file or store with methods that open its groups."""

    path: str
    opened: Any
    kind: str  # "zarr", "netcdf4" or "geotiff"

    @classmethod
    def of(cls, path: str) -> "_File":
        """Check a path or URL, and copy a remote NetCDF file."""
        if is_geotiff(path):
            return cls(path, path, "geotiff")
        if is_opendap(path):
            return cls(path, _opendap_url(path), "netcdf4")
        if is_zarr(path):
            return cls(path, HttpStore(path) if path.startswith(("http://", "https://")) else path, "zarr")
        local = _fetch_netcdf(path) if "://" in path else path
        _check_netcdf(local, path)
        return cls(path, local, "netcdf4")

    def open(self, group: str | None) -> xr.Dataset:
        """Open a group without decoding it; None opens the root."""
        if self.kind == "geotiff":
            return open_geotiff(self.path)
        source: Any = self.opened
        if self.kind == "netcdf4" and "://" not in source:
            return xr.open_dataset(_netcdf_store(source, group), chunks=None, decode_cf=False)
        return xr.open_dataset(source, engine=self.kind, group=group, chunks=None, decode_cf=False)

    def groups(self) -> list[str]:
        """Return the names of all groups."""
        if self.kind == "geotiff":
            return []
        return netcdf_groups(self.opened) if self.kind == "netcdf4" else zarr_groups(self.opened)


# Open NetCDF files by device, inode, size, time and path; a file closes with the last array that reads it. The NetCDF
# library may crash when a file with text variables is opened twice.
_OPEN: WeakValueDictionary[tuple[Any, ...], Any] = WeakValueDictionary()


def _netcdf_store(path: str, group: str | None) -> Any:
    """Return a group of a local NetCDF file, from the file that is already open if there is one."""
    state = Path(path).stat()
    key = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, str(Path(path).absolute()))
    opened = _OPEN.get(key)
    if opened is not None:
        return xr.backends.NetCDF4DataStore(opened, group=group, mode="r")
    store = xr.backends.NetCDF4DataStore.open(path, group=group)
    _OPEN[key] = store._manager  # the open file; stores and the arrays that read it refer to it
    return store


def _open_group(file: _File, reading: Reading, wanted: Sequence[str]) -> xr.Dataset:
    """Open the group of ``reading``, else the root, else the only group with fields."""
    groups: list[str] = []
    group = reading.group
    if group is None:
        root = file.open(None)
        if not _fields_of(root, reading, wanted):
            groups = file.groups()
            group = chosen_group(file.path, groups, file.open, partial(_fields_of, reading=reading, wanted=wanted))
    else:
        groups = file.groups()
        # A store behind a web server may not list its groups.
        if group not in groups and (groups or file.kind != "zarr"):
            if not reading.is_beside:
                known = ", ".join(map(repr, groups[:20])) or "none"
                raise InputError(
                    f"{file.path} has no group {group!r}; its groups are {known}: choose one with --group, "
                    "or leave it out"
                )
            group = None
        root = file.open(None)
    dataset = root if group is None else group_with_coordinates(group, groups, file.open)
    dataset = reading.renamed(_decoded(dataset, file.path, netcdf=file.kind == "netcdf4"), file.path)
    if group is not None:
        dataset.encoding["group"] = group
    return dataset


def _fields_of(stored: xr.Dataset, reading: Reading, wanted: Sequence[str]) -> list[str]:
    """Return the names of fields in an undecoded dataset: those in ``wanted``, or all measured variables."""
    if wanted:
        return [name for name in wanted if name in stored.variables]
    return [str(name) for name in measured_variables(with_coordinates(reading.beside().renamed(stored, "")))]


def _decoded(stored: xr.Dataset, path: str, *, netcdf: bool = False) -> xr.Dataset:
    """Decode a dataset: gridded variables by the rules of :mod:`geogan.io.missing`, all others by xarray."""
    gridded = decoded_dataset(stored, path, netcdf=netcdf)
    return with_coordinates(xr.decode_cf(gridded, decode_timedelta=False, decode_coords="all"))


def is_opendap(path: str) -> bool:
    """Return whether a URL is read in parts through OPeNDAP instead of copied.

    Examples
    --------
    >>> is_opendap("https://server/thredds/dodsC/sst.nc"), is_opendap("https://server/thredds/fileServer/sst.nc")
    (True, False)
    """
    if path.startswith(("dap2://", "dap4://", "dods://")):
        return True
    if not path.startswith(("http://", "https://")):
        return False
    address = urllib.parse.urlparse(path).path
    # Hyrax serves whole files under names with a second suffix; ERDDAP uses no suffix for OPeNDAP.
    is_copy = address.endswith((".nc.nc4", ".nc4.nc4", ".nc.nc", ".h5.nc4", ".hdf.nc4"))
    is_served = any(part in address for part in ("/dodsC/", "/opendap/")) and not is_copy
    return is_served or ("/griddap/" in address and "." not in address.rsplit("/", 1)[-1])


def _opendap_url(path: str) -> str:
    """Return the URL in the form that the NetCDF library expects."""
    scheme, _, rest = path.partition("://")
    if scheme == "dap4":
        return f"http://{rest}#mode=dap4"
    return f"http://{rest}" if scheme in ("dap2", "dods") else path


def is_zarr(path: str) -> bool:
    """Return whether a path is a Zarr store.

    Raises
    ------
    InputError
        If it is another kind of folder, or a Zarr array instead of a group.
    """
    if is_geotiff(path) or is_opendap(path):
        return False
    if "://" in path:
        return not urllib.parse.urlparse(path).path.lower().endswith((".nc", ".nc4", ".cdf", ".h5"))
    folder = Path(path)
    if not folder.is_dir():
        return False
    if not any((folder / name).exists() for name in _ZARR_FILES):
        hint = "give a folder that has them"
        if any(folder.glob("*.nc")):
            hint = f"to read the NetCDF files in it, give {str(folder / '*.nc')!r}"
        raise InputError(
            f"{path} is a folder without zarr.json or .zgroup, where a Zarr store or a folder of PNG or JPEG images "
            f"alone is expected; {hint}"
        )
    if (folder / ".zarray").exists():
        raise InputError(f"{path} is one Zarr array, where a group with named variables is expected; give its parent")
    return True


def _check_netcdf(path: str, shown: str) -> None:
    """Refuse a file that is empty, not NetCDF, too large or truncated; messages call it ``shown``."""
    if Path(path).stat().st_size == 0:
        raise InputError(f"{shown} is empty; copy or write it again")
    with Path(path).open("rb") as file:
        magic = file.read(8)
    if not magic.startswith((b"CDF", b"\x89HDF")):
        hint = (
            "convert GRIB to NetCDF first, for example with cfgrib" if magic.startswith(b"GRIB") else "give one of them"
        )
        raise InputError(f"{shown} is not a Zarr store or a NetCDF file; {hint}")
    # Check sizes before xarray reads the coordinates: the header may claim any length.
    store = xr.backends.NetCDF4DataStore.open(path)
    try:
        sizes = dict(store.get_dimensions())
    finally:
        store.close()
    check_dimensions(shown, sizes)
    if magic.startswith((b"CDF\x01", b"CDF\x02")):
        # The NetCDF library reads garbage past the end of a truncated classic file; scipy maps the file and raises.
        from scipy.io import netcdf_file

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                netcdf_file(path, mmap=True).close()
            except Exception as error:
                # The traceback keeps the file open; closing it later would warn outside this filter.
                raise error.with_traceback(None) from None


def _fetch_netcdf(url: str) -> str:
    """Copy a remote NetCDF file, which cannot be read in parts, to a folder that is removed with this process."""
    folder = Path(tempfile.mkdtemp(prefix="geogan-"))
    remove_at_end(folder)
    # The server's file name may be too long or contain a path, so it is not used.
    copy = folder / "data.nc"
    try:
        if url.startswith(("http://", "https://")):
            download(url, copy)
        else:
            import fsspec

            with fsspec.open(url, "rb") as remote, copy.open("wb") as file:
                copy_parts(iter(lambda: remote.read(PART_BYTES), b""), file, url)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return str(copy)
