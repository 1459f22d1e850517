"""Files that somebody else may have made: regular files only, bounded in size, and JSON that cannot exhaust memory."""

import json
import os
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

from geogan.operators.errors import InputError

# Bytes of a JSON file. The largest that geogan writes, the description of a model of 10,000 bands, takes less than 1.
JSON_BYTES = 16 * 2**20
# Bytes of a file of one JSON record a line, and of one line: a record of ten million regions takes less than 1 GiB.
LINES_BYTES, LINE_BYTES = 2 * 2**30, 2**20

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_plain(file: Path, *, most: int | None = None) -> BufferedReader:
    """Open a regular file for reading; never wait for a pipe, never read a device.

    Parameters
    ----------
    file : Path
        It may be a link only to a file within its own folder.
    most : int, optional
        Bytes that it may have.

    Returns
    -------
    opened : binary file

    Raises
    ------
    InputError
        If it is a link that leads out of its folder, no regular file, or larger than ``most``.
    OSError
        If it is not there, or cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.json").write_text("[1]")
    ...     with open_plain(Path(folder, "a.json"), most=10) as opened:
    ...         opened.read()
    b'[1]'
    """
    place = _within(file)
    _check_kind(file, os.lstat(place).st_mode)
    # Neither flag exists on Windows, which has no such files.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(place, flags)
    opened = os.fdopen(descriptor, "rb")
    try:
        status = os.fstat(descriptor)
        _check_kind(file, status.st_mode)
        if most is not None and status.st_size > most:
            raise InputError(
                f"{file} has {status.st_size:,} bytes, where at most {most:,} are expected; it is damaged, or no file "
                "of geogan"
            )
    except BaseException:
        opened.close()
        raise
    return opened


def check_plain(file: Path) -> None:
    """Refuse what :func:`open_plain` refuses, for readers that open a file by its name.

    Raises
    ------
    InputError, OSError
        As :func:`open_plain`.
    """
    open_plain(file).close()


def read_json(file: Path, *, most: int = JSON_BYTES) -> Any:
    """Read a JSON file.

    Parameters
    ----------
    file : Path
        As in :func:`open_plain`.
    most : int
        Bytes that it may have.

    Returns
    -------
    content : object

    Raises
    ------
    ValueError
        If it is no JSON, nested too deeply, or names an entry twice; InputError, which is one, as :func:`open_plain`.
    OSError
        If it is not there, or cannot be read.
    """
    with open_plain(file, most=most) as opened:
        # Some files of the system say that they have no bytes, and go on for ever.
        content = opened.read(most + 1)
    if len(content) > most:
        raise InputError(f"{file} has more than {most:,} bytes; it is damaged, or no file of geogan")
    return parse_json(content)


def read_lines(file: Path) -> Iterator[tuple[str, bool]]:
    """Lines of a file of one JSON record a line, and whether each is complete.

    Lines come one at a time. The last one may have been cut short by a kill.

    Raises
    ------
    InputError, OSError
        As :func:`open_plain`; also for a line that is too long, or no UTF-8.
    """
    with open_plain(file, most=LINES_BYTES) as opened:
        while line := opened.readline(LINE_BYTES):
            if len(line) == LINE_BYTES and not line.endswith(b"\n"):
                raise InputError(f"{file} has a line of more than {LINE_BYTES:,} bytes; it is damaged")
            yield line.decode("utf-8", errors="replace").rstrip("\n"), line.endswith(b"\n")


def parse_json(text: str | bytes) -> Any:
    """Parse JSON that may be hostile.

    Raises
    ------
    ValueError
        If it is no JSON in UTF-8, nested too deeply, or names an entry twice.

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
        return json.loads(text.decode("utf-8") if isinstance(text, bytes) else text, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"it names {name[:100]!r} twice")
        found[name] = value
    return found


def _within(file: Path) -> Path:
    """The file itself, if a link in its folder leads to it."""
    if not file.is_symlink():
        return file
    try:
        place, folder = file.resolve(strict=True), file.parent.resolve(strict=True)
    except RuntimeError as error:
        raise InputError(f"{file} is a link that leads round in a circle; copy the file itself there") from error
    if not place.is_relative_to(folder):
        raise InputError(f"{file} is a link that leads out of its folder, to {place}; copy the file itself there")
    return place


def _check_kind(file: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((name for test, name in _KINDS if test(mode)), "no regular file")
        raise InputError(f"{file} is {kind}, where a regular file is expected; copy the folder again")
