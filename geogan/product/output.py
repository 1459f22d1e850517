"""The name of an output: whether it may be used, and which product has it now."""

import re
from pathlib import Path

import xarray as xr

from geogan.fields.codes import Container
from geogan.files.attributes import PRODUCT
from geogan.files.plain_file import read_json
from geogan.files.user_path import user_path
from geogan.operators.errors import InputError

_NETCDF = (".nc", ".nc4")


def container_of(path: Path) -> Container:
    """Return the format that the suffix of a product asks for.

    Examples
    --------
    >>> container_of(Path("sst.NC")), container_of(Path("sst.zarr"))
    ('netcdf', 'zarr')
    """
    return "netcdf" if path.suffix.lower() in _NETCDF else "zarr"


def check_output(path: str | Path, *, overwrite: bool = False) -> Path:
    """Check that an output may be written under a name, without touching anything.

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
        If the name is empty, does not end in ``.zarr`` or ``.nc``, is a link or a URL, or lies in a folder that does
        not exist; if a product has this name and ``overwrite`` is False; or if anything else has this name.

    Examples
    --------
    >>> check_output("sst.csv")
    Traceback (most recent call last):
        ...
    geogan.operators.errors.InputError: the output 'sst.csv' must end in .zarr or .nc
    """
    text = str(path)
    # Path turns s3://bucket into s3:/bucket.
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text):
        raise InputError(
            f"the output {text!r} is a URL, where a local path is expected; write to a local path and copy the result"
        )
    given = user_path(text)
    if given.name in ("", "..", ".") or "\0" in text:
        raise InputError(f"the output {text!r} is not a file name; give one such as filled.zarr or filled.nc")
    if given.suffix.lower() not in (".zarr", *_NETCDF) or given.name.startswith("."):
        raise InputError(f"the output {text!r} must end in .zarr or .nc")
    folder = given.parent.resolve()
    if not folder.is_dir():
        raise InputError(f"the folder {folder} of the output does not exist; make it first")
    given = folder / given.name
    if given.is_symlink():
        raise InputError(f"the output {given} is a link, which would be lost; give the path that it points to")
    if given.exists():
        if mark_of(given) is None:
            raise InputError(f"{given} exists and was not made by geogan, so it stays; give another name")
        if not overwrite:
            raise InputError(f"{given} exists; give another name, or overwrite it with --overwrite")
    return given


def mark_of(path: str | Path) -> str | None:
    """Return the mark of the finished product at a path; None if no product of geogan is there.

    The mark is the digest followed by a dot and random characters: two products of one digest may be made from
    different states of the data.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return read_json(path / "zarr.json").get("attributes", {}).get(PRODUCT)
        if path.is_file():
            # The NetCDF library is not thread-safe: xarray holds the lock that other threads wait for.
            with xr.open_dataset(path, engine="netcdf4", decode_cf=False) as dataset:
                return dataset.attrs.get(PRODUCT)
    except (OSError, ValueError, AttributeError):
        return None
    return None


def has_digest(path: Path, digest: str) -> bool:
    """Return whether the finished product at a path has this digest."""
    mark = mark_of(path)
    return mark is not None and (mark.rpartition(".")[0] or mark) == digest
