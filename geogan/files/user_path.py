"""Paths given by a user: replace the home folder, refuse names that no file system accepts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from geogan.operators.errors import InputError

Data = str | Path | Sequence[str | Path]
"""Names of data: files, folders, globs or URLs."""

# Largest sizes of one name and of a path on Linux and macOS, in bytes.
_NAME_BYTES, _PATH_BYTES = 255, 4095
# Characters of a path that an error repeats.
_SHOWN = 60


def user_path(path: str | os.PathLike[str]) -> Path:
    """Return a path with ``~`` and ``~name`` replaced by the home folder.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    path : Path

    Raises
    ------
    InputError
        If it is empty, not a path, too long for a file system, or in the home folder of an unknown user.

    Examples
    --------
    >>> user_path("~/sst.nc") == Path.home() / "sst.nc"
    True
    >>> user_path("a" * 300 + ".nc")
    Traceback (most recent call last):
        ...
    geogan.operators.errors.InputError: the name 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...' has
    303 bytes, where a file system accepts at most 255; give a shorter one
    """
    if not isinstance(path, (str, os.PathLike)):
        raise InputError(f"a path must be a text or a Path, got {path!r}; give the name of a file or folder")
    text = os.fspath(path)
    if not isinstance(text, str):
        text = os.fsdecode(text)
    if not text.strip():
        raise InputError("the name of a file or folder is empty; give its path")
    if "\0" in text:
        raise InputError(f"{_shown(text)} contains a NUL character, which is not allowed in a path; leave it out")
    try:
        expanded = Path(text).expanduser()
    except RuntimeError as error:
        raise InputError(
            f"{_shown(text)} begins with the home folder of an unknown user; write the folder in full"
        ) from error
    for name in expanded.parts:
        if (size := len(os.fsencode(name))) > _NAME_BYTES:
            raise InputError(
                f"the name {_shown(name)} has {size} bytes, where a file system accepts at most {_NAME_BYTES}; give a "
                "shorter one"
            )
    if (size := len(os.fsencode(expanded))) > _PATH_BYTES:
        raise InputError(
            f"the path {_shown(text)} has {size} bytes, where the system accepts at most {_PATH_BYTES}; give a "
            "shorter one"
        )
    return expanded


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
