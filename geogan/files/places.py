"""Refuse an output that would overwrite an input or mix with it, also through links and other names."""

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

_WILDCARDS = "*?["


def check_apart(
    out: str | Path,
    inputs: Mapping[str, Any],
    *,
    what: str = "the output",
    holds: bool = False,
    within: Path | None = None,
) -> None:
    """Refuse an output that is an input, lies in one, contains one, or lies in any Zarr store or run.

    Links, ``~``, ``..``, relative names, ``file://`` URLs, globs and hard links are resolved first.

    Parameters
    ----------
    out : str or Path
        Need not exist.
    inputs : mapping of str to (str, Path, sequence of them, or None)
        Inputs, by the name of their option. Inputs that do not exist are skipped.
    what : str
        Noun for the output in the error.
    holds : bool
        Whether the output is a folder that may contain inputs, because no file in it is replaced.
    within : Path, optional
        A run in which the output may lie.

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
        return  # the writer refuses such a name
    target = _resolved(_local_path(text), what)
    for option, given in inputs.items():
        for name in _input_names(given):
            if _is_remote(name):
                continue
            path = _local_path(name)
            if _matches(path, target):
                raise InputError(
                    f"{what} {text!r} would be one of the files of {option} {name!r} the next time; give a name "
                    "that the pattern does not match"
                )
            for existing in _existing(path):
                _check_pair(text, target, existing, f"{option} {name!r}", what, holds)
    for folder in target.parents:
        if any((folder / file).is_file() for file in ("zarr.json", ".zgroup", ".zmetadata", ".zarray")):
            raise InputError(f"{what} {text!r} lies inside {folder}, which is a Zarr store; give a path outside it")
        if is_run(folder) and not (within is not None and _same(folder, within)):
            raise InputError(f"{what} {text!r} lies inside {folder}, which is a run; give a path outside it")


def _check_pair(text: str, target: Path, existing: Path, name: str, what: str, holds: bool) -> None:
    """Refuse an output that is, lies in or contains one existing input."""
    source = _resolved(existing, name)
    if _same(target, source):
        raise InputError(f"{what} {text!r} is the same as {name}, which would be lost; give another name")
    if any(_same(folder, source) for folder in target.parents):
        raise InputError(f"{what} {text!r} lies inside {name}, which is read; give a path outside it")
    if not holds and any(_same(folder, target) for folder in source.parents):
        raise InputError(f"{what} {text!r} contains {name}, which is read; give a path beside it")


def _input_names(given: Any) -> Iterator[str]:
    """Yield the names of an input that may be one name, several or none."""
    if given is None:
        return
    if isinstance(given, (str, Path)):
        yield str(given)
        return
    for part in given:
        yield from _input_names(part)


def _is_remote(text: str) -> bool:
    return "://" in text and not text.lower().startswith("file://")


def _local_path(text: str) -> Path:
    """Return the path of a name or a ``file://`` URL, with the home folder for ``~``."""
    if text.lower().startswith("file://"):
        text = urllib.request.url2pathname(urllib.parse.urlparse(text).path)
    try:
        return Path(text).expanduser()
    except RuntimeError:  # the home folder of an unknown user
        return Path(text)


def _resolved(path: Path, name: str) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise InputError(f"{name} {str(path)!r} is a link that leads back to itself; give its target") from error


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # the name is too long
        return False


def _existing(path: Path) -> Sequence[Path]:
    """Return the existing paths that a name or a glob stands for."""
    if _exists(path):
        return [path]
    if any(sign in str(path) for sign in _WILDCARDS):
        return [Path(name) for name in glob.glob(str(path), recursive=True)]  # noqa: PTH207 (absolute patterns too)
    return []


def _matches(pattern: Path, target: Path) -> bool:
    """Return whether a glob will match an output once it exists."""
    if not any(sign in str(pattern) for sign in _WILDCARDS) or _exists(pattern):
        return False
    parts = Path(os.path.abspath(pattern)).parts  # noqa: PTH100 (resolve would follow the wildcards)
    first = next(index for index, part in enumerate(parts) if any(sign in part for sign in _WILDCARDS))
    base = _resolved(Path(*parts[:first]), "the folder")
    if not target.is_relative_to(base):
        return False
    names, patterns = target.relative_to(base).parts, parts[first:]
    if "**" in patterns:
        return fnmatch.fnmatchcase("/".join(names), "/".join(patterns).replace("**/", "*"))
    return len(names) == len(patterns) and all(map(fnmatch.fnmatchcase, names, patterns))


def _same(first: Path, second: Path) -> bool:
    """Return whether two resolved paths are one file or folder; hard links and bind mounts count."""
    try:
        return first.samefile(second)
    except OSError:
        return first == second
