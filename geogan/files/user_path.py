"""Paths that a user gives: the home folder, and names that no file system takes."""

from __future__ import annotations

import os
from pathlib import Path

from geogan.operators.errors import InputError

# Bytes of one name and of a whole path that Linux and macOS take.
_NAME_BYTES, _PATH_BYTES = 255, 4095
# Characters of a path that a sentence repeats.
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
        If it is empty, no path, longer than a file system takes, or names the home folder of an unknown user.

    Examples
    --------
    >>> user_path("~/sst.nc") == Path.home() / "sst.nc"
    True
    >>> user_path("a" * 300 + ".nc")
    Traceback (most recent call last):
        ...
    geogan.operators.errors.InputError: the name 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...' has
    303 bytes, where a file system takes 255 at most; give a shorter one
    """
    if not isinstance(path, (str, os.PathLike)):
        raise InputError(f"a path must be a text or a Path, got {path!r}; give the name of a file or folder")
    text = os.fspath(path)
    if not isinstance(text, str):
        text = os.fsdecode(text)
    if not text.strip():
        raise InputError("the name of a file or folder is empty; give its path")
    if "\0" in text:
        raise InputError(f"{_shown(text)} holds a NUL character, which no path has; leave it out")
    try:
        found = Path(text).expanduser()
    except RuntimeError as error:
        raise InputError(
            f"{_shown(text)} begins with the home folder of a user who is not known here; write that folder itself"
        ) from error
    for name in found.parts:
        if (size := len(os.fsencode(name))) > _NAME_BYTES:
            raise InputError(
                f"the name {_shown(name)} has {size} bytes, where a file system takes {_NAME_BYTES} at most; give a "
                "shorter one"
            )
    if (size := len(os.fsencode(found))) > _PATH_BYTES:
        raise InputError(
            f"the path {_shown(text)} has {size} bytes, where the system takes {_PATH_BYTES} at most; give a shorter "
            "one"
        )
    return found


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
