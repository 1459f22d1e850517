"""What the name of data stands for: files, stores and URLs, found and opened."""

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
from geogan.io.downloads import copy_pieces, download, remove_at_end
from geogan.io.geotiff import is_geotiff, open_geotiff
from geogan.io.groups import chosen_group, group_with_coordinates, netcdf_groups, zarr_groups
from geogan.io.http_store import HttpStore
from geogan.io.images import are_images, open_images
from geogan.io.labels import with_coordinates
from geogan.io.missing import decoded_dataset
from geogan.io.reading import PLAIN, Reading
from geogan.io.sizes import check_dimensions
from geogan.io.web import PIECE
from geogan.operators.errors import InputError

_ZARR_FILES = ("zarr.json", ".zgroup", ".zmetadata", ".zarray")


def find_paths(data: Data) -> list[str]:
    """Files, stores and URLs that ``data`` names; a glob is expanded and sorted.

    Raises
    ------
    InputError
        If a path does not exist, a glob finds nothing, or nothing is named.
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
        found = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 (absolute patterns too)
        if not found:
            raise InputError(f"no file matches {text!r}; check the folder and the pattern")
        return found
    hint = f"; the folder {path.parent} does not exist either" if not path.parent.exists() else ""
    raise InputError(f"{text!r} does not exist{hint}; give a Zarr store, a NetCDF file, a glob or a URL")


def _check_url(text: str) -> None:
    """Refuse an address that names no server, before anything waits for it."""
    try:
        parts = urllib.parse.urlsplit(text)
        named = bool(parts.netloc) and (parts.scheme not in ("http", "https") or bool(parts.hostname))
        assert parts.port is None or parts.port >= 0  # a port that is no number is refused when it is read
    except ValueError as error:
        raise InputError(f"{text!r} is no address ({error}); give one such as https://server/sst.zarr") from error
    if not named or not parts.scheme or any(character.isspace() or not character.isprintable() for character in text):
        raise InputError(f"{text!r} is no address; give one such as https://server/sst.zarr or s3://bucket/sst.zarr")


def variable_names(data: Data, *, reading: Reading = PLAIN) -> list[str]:
    """Names of all variables, coordinates apart; of several files those of the first.

    Parameters
    ----------
    data : str, Path or a sequence of them
        As in `open_field`.
    reading : Reading
        How the files are read.

    Returns
    -------
    names : list of str

    Raises
    ------
    InputError
        If nothing is found, or the file cannot be read.

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
    """Open anything readable without dask, so that chunks can be chosen from those stored.

    Parameters
    ----------
    path : str
    reading : Reading
        The group and the names of the dimensions.
    wanted : sequence of str
        Variables by which a group is found, where none is given and the root has none of them.

    Returns
    -------
    dataset : Dataset
        Its encoding has the ``group`` that was opened, where it is not the root.
    """
    if are_images([path]):
        return open_images([path]).to_dataset()
    try:
        with warnings.catch_warnings():
            # Bounds or grid mappings named but absent are common, and no concern of a gap filler.
            warnings.simplefilter("ignore")
            return _of_group(_File.of(path), reading, wanted)
    except InputError:
        raise
    except ImportError as error:
        raise InputError(
            f"{path} needs a package that is not installed ({str(error).splitlines()[0]}); "
            "for object stores: pip install 'geogan[cloud]'"
        ) from error
    except PermissionError as error:
        raise InputError(f"{path} may not be read; check its permissions") from error
    except Exception as error:
        # Readers raise whatever they like for a damaged file (OSError, RuntimeError, KeyError...).
        text = " ".join(str(error).split()) or type(error).__name__
        if "decode time" in text or "decoding_times" in text or "calendar" in text:
            raise InputError(
                f"the times of {path} cannot be decoded; its time needs units such as "
                "'days since 1970-01-01' and a CF calendar"
            ) from error
        if "redentials" in text:
            raise InputError(
                f"{path} asks for credentials and finds none ({text[:100]}); set AWS_ACCESS_KEY_ID and "
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
    """A file or a store, found and checked, of which groups can be opened."""

    path: str
    opened: Any
    kind: str  # "zarr", "netcdf4" or "geotiff"

    @classmethod
    def of(cls, path: str) -> "_File":
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
        """A group as it is stored; None for the root."""
        if self.kind == "geotiff":
            return open_geotiff(self.path)
        source: Any = self.opened
        if self.kind == "netcdf4" and "://" not in source:
            return xr.open_dataset(_netcdf_store(source, group), chunks=None, decode_cf=False)
        return xr.open_dataset(source, engine=self.kind, group=group, chunks=None, decode_cf=False)

    def groups(self) -> list[str]:
        if self.kind == "geotiff":
            return []
        return netcdf_groups(self.opened) if self.kind == "netcdf4" else zarr_groups(self.opened)


# NetCDF files that are open, by what tells one state of a file from another; they close with the last array that reads
# them. The NetCDF library may crash where a file whose texts were read is opened once more.
_OPEN: WeakValueDictionary[tuple[Any, ...], Any] = WeakValueDictionary()


def _netcdf_store(path: str, group: str | None) -> Any:
    """A group of a local NetCDF file, through the open file that is in use where there is one."""
    state = Path(path).stat()
    key = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, str(Path(path).absolute()))
    opened = _OPEN.get(key)
    if opened is not None:
        return xr.backends.NetCDF4DataStore(opened, group=group, mode="r")
    store = xr.backends.NetCDF4DataStore.open(path, group=group)
    _OPEN[key] = store._manager  # the open file; stores and the arrays that read it refer to it
    return store


def _of_group(file: _File, reading: Reading, wanted: Sequence[str]) -> xr.Dataset:
    """The group that is asked for, else the root, else the only group with fields."""
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
                there = f"it has {', '.join(map(repr, groups[:20]))}, choose one of them" if groups else "it has none"
                raise InputError(f"{file.path} has no group {group!r}; {there} with --group, or leave it out")
            group = None
        root = file.open(None)
    dataset = root if group is None else group_with_coordinates(group, groups, file.open)
    dataset = reading.renamed(_decoded(dataset, file.path, netcdf=file.kind == "netcdf4"), file.path)
    if group is not None:
        dataset.encoding["group"] = group
    return dataset


def _fields_of(stored: xr.Dataset, reading: Reading, wanted: Sequence[str]) -> list[str]:
    """Names of the fields of a dataset that is not decoded: those wanted, or all that are measured."""
    if wanted:
        return [name for name in wanted if name in stored.variables]
    return [str(name) for name in measured_variables(with_coordinates(reading.beside().renamed(stored, "")))]


def _decoded(stored: xr.Dataset, path: str, *, netcdf: bool = False) -> xr.Dataset:
    """Return a dataset whose gridded variables are decoded by one set of rules, and all else by xarray."""
    gridded = decoded_dataset(stored, path, netcdf=netcdf)
    return with_coordinates(xr.decode_cf(gridded, decode_timedelta=False, decode_coords="all"))


def is_opendap(path: str) -> bool:
    """Whether an address is read in parts through OPeNDAP rather than copied.

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
    # Hyrax gives whole files under names with a second suffix; ERDDAP has no suffix for OPeNDAP.
    is_copy = address.endswith((".nc.nc4", ".nc4.nc4", ".nc.nc", ".h5.nc4", ".hdf.nc4"))
    served = any(part in address for part in ("/dodsC/", "/opendap/")) and not is_copy
    return served or ("/griddap/" in address and "." not in address.rsplit("/", 1)[-1])


def _opendap_url(path: str) -> str:
    """The address as the NetCDF library takes it."""
    scheme, _, rest = path.partition("://")
    if scheme == "dap4":
        return f"http://{rest}#mode=dap4"
    return f"http://{rest}" if scheme in ("dap2", "dods") else path


def is_zarr(path: str) -> bool:
    if is_geotiff(path) or is_opendap(path):
        return False
    if "://" in path:
        return not urllib.parse.urlparse(path).path.lower().endswith((".nc", ".nc4", ".cdf", ".h5"))
    folder = Path(path)
    if not folder.is_dir():
        return False
    if not any((folder / name).exists() for name in _ZARR_FILES):
        hint = "give the folder that has them"
        if any(folder.glob("*.nc")):
            hint = f"for the NetCDF files in it give {str(folder / '*.nc')!r}"
        raise InputError(
            f"{path} is a folder but not a Zarr store: it has no zarr.json or .zgroup, nor PNG or JPEG images "
            f"alone; {hint}"
        )
    if (folder / ".zarray").exists():
        raise InputError(f"{path} is one Zarr array, where a group with named variables is expected; give its parent")
    return True


def _check_netcdf(path: str, shown: str) -> None:
    if Path(path).stat().st_size == 0:
        raise InputError(f"{shown} is empty; copy or write it again")
    with Path(path).open("rb") as file:
        magic = file.read(8)
    if not magic.startswith((b"CDF", b"\x89HDF")):
        hint = (
            "convert GRIB to NetCDF first, for example with cfgrib" if magic.startswith(b"GRIB") else "give one of them"
        )
        raise InputError(f"{shown} is neither a Zarr store nor a NetCDF file; {hint}")
    # Before xarray reads the coordinates of a dimension, however long it claims to be.
    store = xr.backends.NetCDF4DataStore.open(path)
    try:
        sizes = dict(store.get_dimensions())
    finally:
        store.close()
    check_dimensions(shown, sizes)
    if magic.startswith((b"CDF\x01", b"CDF\x02")):
        # The NetCDF library reads garbage past the end of a classic file; scipy maps it, and notices.
        from scipy.io import netcdf_file

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                netcdf_file(path, mmap=True).close()
            except Exception as error:
                # Its frames hold the file, which would complain beyond this filter when they go.
                raise error.with_traceback(None) from None


def _fetch_netcdf(url: str) -> str:
    """Copy a remote NetCDF file, which cannot be read in parts, to a folder that lasts as long as this process."""
    folder = Path(tempfile.mkdtemp(prefix="geogan-"))
    remove_at_end(folder)
    # A name of the server's may be too long, or mean another folder; its ending is all that counts.
    copy = folder / "data.nc"
    try:
        if url.startswith(("http://", "https://")):
            download(url, copy)
        else:
            import fsspec

            with fsspec.open(url, "rb") as remote, copy.open("wb") as file:
                copy_pieces(iter(lambda: remote.read(PIECE), b""), file, url)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return str(copy)
