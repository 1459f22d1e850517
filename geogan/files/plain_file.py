"""Files that may come from anybody: regular files of bounded size, and JSON that cannot exhaust memory."""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from geogan.operators.errors import InputError

JSON_BYTES = 16 * 2**20
"""Largest size of a JSON file, in bytes. The description of a model of 10,000 bands has less than 1 MiB."""


def open_plain(file: Path, *, most: int | None = None) -> BufferedReader:
    """Open a regular file for reading; never wait for a pipe, never read a device.

    Parameters
    ----------
    file : Path
        May be a link to a file within its own folder.
    most : int, optional
        Largest size, in bytes.

    Returns
    -------
    opened : binary file

    Raises
    ------
    InputError
        If it is a link that leads out of its folder, not a regular file, or larger than ``most``.
    OSError
        If it is absent or cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.json").write_text("[1]")
    ...     with open_plain(Path(folder, "a.json"), most=10) as opened:
    ...         opened.read()
    b'[1]'
    """
    target = _within_folder(file)
    _check_kind(file, os.lstat(target).st_mode)
    # Windows has neither flag, and no such files.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(target, flags)
    opened = os.fdopen(descriptor, "rb")
    try:
        status = os.fstat(descriptor)
        _check_kind(file, status.st_mode)
        if most is not None and status.st_size > most:
            raise InputError(
                f"{file} has {status.st_size:,} bytes, where at most {most:,} are expected; it is damaged, or not a "
                "file of geogan"
            )
    except BaseException:
        opened.close()
        raise
    return opened


def check_plain(file: Path) -> None:
    """Refuse what :func:`open_plain` refuses, for a library that opens a file by its name.

    Raises
    ------
    InputError, OSError
        As :func:`open_plain`.
    """
    open_plain(file).close()


@contextmanager
def readable(file: Path, *, absent: str | None = None, remedy: str = "train it again") -> Iterator[None]:
    """Turn a failure to read a file of geogan into one sentence.

    Parameters
    ----------
    file : Path
    absent : str, optional
        Sentence for a file that is absent; by default FileNotFoundError is raised.
    remedy : str
        What to do about a damaged file.

    Raises
    ------
    InputError
        If the file cannot be read or is damaged; an InputError raised within passes unchanged.

    Examples
    --------
    >>> with readable(Path("run.json")):
    ...     raise ValueError("time is missing")
    Traceback (most recent call last):
    geogan.operators.errors.InputError: run.json is damaged (time is missing); train it again
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        if absent is None:
            raise
        raise InputError(absent) from None
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror or error}); copy it again") from error
    except InputError:
        raise
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(f"{file} is damaged ({one_line(error)}); {remedy}") from error


def read_json(file: Path, *, most: int = JSON_BYTES) -> Any:
    """Read a JSON file.

    Parameters
    ----------
    file : Path
        As in :func:`open_plain`.
    most : int
        Largest size, in bytes.

    Returns
    -------
    content : object

    Raises
    ------
    ValueError
        If it is not JSON, nested too deeply, or names an entry twice; InputError, a ValueError, as :func:`open_plain`.
    OSError
        If it is absent or cannot be read.
    """
    with open_plain(file, most=most) as opened:
        # Some files of the operating system report a size of 0 and never end.
        content = opened.read(most + 1)
    if len(content) > most:
        raise InputError(f"{file} has more than {most:,} bytes; it is damaged, or not a file of geogan")
    return parse_json(content)


def read_lines(file: Path, *, most: int = 2 * 2**30, most_line: int = 2**20) -> Iterator[tuple[str, bool]]:
    """Yield the lines of a file of one JSON record a line, and whether each is complete.

    A kill may cut the last line short.

    Parameters
    ----------
    file : Path
        As in :func:`open_plain`.
    most, most_line : int
        Largest size of the file and of a line, in bytes. A record of ten million regions has less than 1 GiB.

    Raises
    ------
    InputError, OSError
        As :func:`open_plain`; also if a line is too long.
    """
    with open_plain(file, most=most) as opened:
        while line := opened.readline(most_line):
            if len(line) == most_line and not line.endswith(b"\n"):
                raise InputError(f"{file} has a line of more than {most_line:,} bytes; it is damaged")
            yield line.decode("utf-8", errors="replace").rstrip("\n"), line.endswith(b"\n")


def parse_json(text: str | bytes) -> Any:
    """Parse JSON from an untrusted source.

    Raises
    ------
    ValueError
        If it is not JSON in UTF-8, is nested too deeply, or names an entry twice.

    Examples
    --------
    >>> parse_json('{"a": 1}')
    {'a': 1}
    >>> parse_json("[" * 100_000)
    Traceback (most recent call last):
        ...
    ValueError: it is nested too deeply
    >>> parse_json('{"a": 1, "a": 2}')
    Traceback (most recent call last):
        ...
    ValueError: it names 'a' twice
    """
    try:
        return json.loads(text.decode("utf-8") if isinstance(text, bytes) else text, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def one_line(error: Exception) -> str:
    """Return the message of an error on one line of at most 200 characters; torch lists tensors on many lines."""
    return " ".join(str(error).split())[:200]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for name, value in pairs:
        if name in entries:
            raise ValueError(f"it names {name[:100]!r} twice")
        entries[name] = value
    return entries


def _within_folder(file: Path) -> Path:
    """Return the file that a link leads to; refuse one outside the folder of the link."""
    if not file.is_symlink():
        return file
    try:
        target, folder = file.resolve(strict=True), file.parent.resolve(strict=True)
    except RuntimeError as error:
        raise InputError(f"{file} is a link that leads back to itself; copy the file itself there") from error
    if not target.is_relative_to(folder):
        raise InputError(f"{file} is a link that leads out of its folder, to {target}; copy the file itself there")
    return target


def _check_kind(file: Path, mode: int) -> None:
    kinds = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in kinds if is_kind(mode)), "not a regular file")
        raise InputError(f"{file} is {kind}, where a regular file is expected; copy the folder again")
