"""Copies of remote files in a temporary folder: never more than the disk has room for, removed at the end."""

from __future__ import annotations

import atexit
import errno
import http.client
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from geogan.io.web import PATIENT, Patience, answered, content_length, is_refused_connection, may_pass, read_parts
from geogan.operators.errors import InputError

# Bytes of the disk that a copy leaves free for other programs.
_SPARE = 256 * 2**20

_folders: set[Path] = set()


def remove_at_end(folder: Path) -> None:
    """Remove a folder when this process ends, also on SIGTERM unless the program handles that signal itself."""
    if not _folders:
        atexit.register(_remove)
        # Only the main thread may set a signal handler.
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _remove_and_end)
    _folders.add(folder)


def download(url: str, file: Path, *, patience: Patience = PATIENT, spare: int = _SPARE) -> None:
    """Copy a file from a web server; a failed request is repeated.

    Parameters
    ----------
    url : str
    file : Path
        Destination, replaced if it exists.
    patience : Patience
        How long to wait for the server.
    spare : int
        Bytes of the disk that stay free.

    Raises
    ------
    InputError
        If the disk has no room for it.
    OSError
        If the server does not send it, or too slowly.
    """
    for wait in (*patience.waits, None):
        try:
            with answered(url, patience=patience) as answer, file.open("wb") as opened:
                room, size = _room(file, spare), content_length(answer)
                if size is not None and size > room:
                    raise _no_room(url, file, f"{size:,} bytes", room)
                copy_parts(read_parts(answer, most=room, patience=patience), opened, url, spare=spare)
                return
        except (OSError, http.client.HTTPException) as error:
            if wait is None or is_refused_connection(error) or not may_pass(error):
                raise
            time.sleep(wait)


def copy_parts(content: Iterable[bytes], file: BinaryIO, url: str, *, spare: int = _SPARE) -> None:
    """Write parts of a download to a file while the disk has room.

    Raises
    ------
    InputError
        If the disk has no more room.
    """
    path = Path(file.name)
    for part in content:
        room = _room(path, spare)
        if room < len(part):
            raise _no_room(url, path, "more", room)
        try:
            file.write(part)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise _no_room(url, path, "more", room) from error
            raise


def _room(file: Path, spare: int) -> int:
    return max(0, shutil.disk_usage(file.parent).free - spare)


def _no_room(url: str, file: Path, size: str, room: int) -> InputError:
    return InputError(
        f"{url} has {size}, where {file.parent.parent} has room for {room:,} bytes; free some space there, or set "
        "TMPDIR to another folder"
    )


def _remove() -> None:
    for folder in _folders:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_and_end(number: int, _: FrameType | None) -> None:
    _remove()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
