"""Files that are copied from elsewhere into a temporary folder: as far as the disk goes, and removed at the end."""

from __future__ import annotations

import atexit
import errno
import http.client
import os
import shutil
import signal
import threading
import time
import urllib.error
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from geogan.io import http_store
from geogan.io.web import Refused, answered, pieces, size_of
from geogan.operators.errors import InputError

# Bytes of the disk that a copy leaves free for everybody else.
SPARE = 256 * 2**20

_folders: set[Path] = set()


def remove_at_end(folder: Path) -> None:
    """Remove a folder when this process ends, also where it is asked to by SIGTERM and nothing else listens to that."""
    if not _folders:
        atexit.register(_remove)
        # Only the main thread may say what a signal does.
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _remove_and_end)
    _folders.add(folder)


def download(url: str, file: Path) -> None:
    """Copy a file from a web server, asked again as for chunks of a store where it fails.

    Parameters
    ----------
    url : str
    file : Path
        Where it goes; what is there is replaced.

    Raises
    ------
    InputError
        If the disk has no room for it.
    OSError
        If the server does not give it, or too slowly.
    """
    for wait in (*http_store.WAITS, None):
        try:
            with answered(url) as answer, file.open("wb") as opened:
                room = _room(file)
                size = size_of(answer)
                if size is not None and size > room:
                    raise _no_room(url, file, f"{size:,} bytes")
                copy_pieces(pieces(answer, most=room), opened, url)
                return
        except Refused:
            raise
        except (OSError, http.client.HTTPException) as error:
            code = error.code if isinstance(error, urllib.error.HTTPError) else None
            refused = isinstance(getattr(error, "reason", error), ConnectionRefusedError)
            if wait is None or refused or (code is not None and code < 500 and code != 429):
                raise
            time.sleep(wait)


def copy_pieces(content: Iterable[bytes], file: BinaryIO, url: str) -> None:
    """Write pieces to a file, as long as the disk has room.

    Raises
    ------
    InputError
        If it has none.
    """
    place = Path(file.name)
    for piece in content:
        if _room(place) < len(piece):
            raise _no_room(url, place, "more")
        try:
            file.write(piece)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise _no_room(url, place, "more") from error
            raise


def _room(file: Path) -> int:
    return max(0, shutil.disk_usage(file.parent).free - SPARE)


def _no_room(url: str, file: Path, size: str) -> InputError:
    return InputError(
        f"{url} has {size}, where {file.parent.parent} has room for {_room(file):,} bytes; make room there, or name "
        "another folder by TMPDIR"
    )


def _remove() -> None:
    for folder in _folders:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_and_end(number: int, _: FrameType | None) -> None:
    _remove()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
