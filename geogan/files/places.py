"""Where an output may go: apart from all that is read, by whatever name."""

from __future__ import annotations

import fnmatch
import glob
import os
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from geogan.files.run_folder import is_run
from geogan.operators.errors import InputError

_ZARR_FILES = ("zarr.json", ".zgroup", ".zmetadata", ".zarray")
_MAGIC = "*?["


def check_apart(
    out: str | Path,
    inputs: Mapping[str, Any],
    *,
    what: str = "the output",
    holds: bool = False,
    within: Path | None = None,
) -> None:
    """Refuse an output that is an input, lies in one, or contains one, or lies in any Zarr store or run.

    Links, ``~``, ``..``, relative names, ``file://`` URLs, globs and hard links are followed to what they stand for.

    Parameters
    ----------
    out : str or Path
        Need not exist.
    inputs : mapping of str to (str, Path, sequence of them, or None)
        What is read, by the name of its option. What does not exist does not count.
    what : str
        What the output is called in the error.
    holds : bool
        Whether the output is a folder that may hold inputs beside it, because nothing in it is replaced.
    within : Path, optional
        A run that the output is a part of.

    Raises
    ------
    InputError

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "a.nc").touch()
    >>> check_apart(folder / "filled.nc", {"--data": folder / "a.nc"})
    >>> try:
    ...     check_apart(folder / "." / "a.nc", {"--data": folder / "a.nc"})
    ... except InputError as error:
    ...     print(error)
    the output '...a.nc' is the same as --data '...a.nc', which would be lost; give another name
    """
    text = str(out)
    if "\0" in text or _is_remote(text):
        return  # refused by the one that writes
    target = _resolved(_plain(text), what)
    for option, given in inputs.items():
        for name in _names(given):
            if _is_remote(name):
                continue
            path = _plain(name)
            if _matches(path, target):
                raise InputError(
                    f"{what} {text!r} would be one of the files of {option} {name!r} the next time; give a name "
                    "that it does not match"
                )
            for found in _found(path):
                _check_pair(text, target, found, f"{option} {name!r}", what, holds)
    for folder in target.parents:
        if any((folder / file).is_file() for file in _ZARR_FILES):
            raise InputError(f"{what} {text!r} lies inside {folder}, which is a Zarr store; give a place outside it")
        if is_run(folder) and not (within is not None and _same(folder, within)):
            raise InputError(f"{what} {text!r} lies inside {folder}, which is a run; give a place outside it")


def _check_pair(text: str, target: Path, found: Path, name: str, what: str, holds: bool) -> None:
    source = _resolved(found, name)
    if _same(target, source):
        raise InputError(f"{what} {text!r} is the same as {name}, which would be lost; give another name")
    if any(_same(folder, source) for folder in target.parents):
        raise InputError(f"{what} {text!r} lies inside {name}, which is read; give a place outside it")
    if not holds and any(_same(folder, target) for folder in source.parents):
        raise InputError(f"{what} {text!r} contains {name}, which is read; give a place beside it")


def _names(given: Any) -> Iterator[str]:
    if given is None:
        return
    if isinstance(given, (str, Path)):
        yield str(given)
        return
    for each in given:
        yield from _names(each)


def _is_remote(text: str) -> bool:
    return "://" in text and not text.lower().startswith("file://")


def _plain(text: str) -> Path:
    if text.lower().startswith("file://"):
        text = urllib.request.url2pathname(urllib.parse.urlparse(text).path)
    try:
        return Path(text).expanduser()
    except RuntimeError:  # ~ of a user that there is not
        return Path(text)


def _resolved(path: Path, name: str) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"{name} {str(path)!r} is a link that leads back to itself; give what it stands for"
        ) from error


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long
        return False


def _found(path: Path) -> Sequence[Path]:
    if _exists(path):
        return [path]
    if any(sign in str(path) for sign in _MAGIC):
        return [Path(name) for name in glob.glob(str(path), recursive=True)]  # noqa: PTH207 (absolute patterns too)
    return []


def _matches(pattern: Path, target: Path) -> bool:
    """Whether a glob will find an output once it is there."""
    if not any(sign in str(pattern) for sign in _MAGIC) or _exists(pattern):
        return False
    parts = Path(os.path.abspath(pattern)).parts  # noqa: PTH100 (resolve would follow the signs)
    fixed = next(index for index, part in enumerate(parts) if any(sign in part for sign in _MAGIC))
    base = _resolved(Path(*parts[:fixed]), "the folder")
    if not target.is_relative_to(base):
        return False
    own, wanted = target.relative_to(base).parts, parts[fixed:]
    if "**" in wanted:
        return fnmatch.fnmatchcase("/".join(own), "/".join(wanted).replace("**/", "*"))
    return len(own) == len(wanted) and all(map(fnmatch.fnmatchcase, own, wanted))


def _same(one: Path, other: Path) -> bool:
    """Whether two resolved names stand for one file or folder, hard links and bind mounts included."""
    try:
        return one.samefile(other)
    except OSError:
        return one == other
