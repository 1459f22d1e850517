"""One process at a time: a lock that the operating system releases when its process dies.

The lock file holds the id of the process, which other processes report.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from stat import S_ISREG

from geogan.files.disk import writing
from geogan.operators.errors import InputError

_PID = b"pid "
# Folders whose lock this thread holds through `locked`.
_HELD: ContextVar[frozenset[Path]] = ContextVar("geogan_locked", default=frozenset())


def take_lock(folder: Path, path: Path) -> int:
    """Take the lock of a folder, which is created if absent; the lock is free as soon as its process is dead.

    Parameters
    ----------
    folder : Path
        Such as the partial folder of a product.
    path : Path
        Output, for the error.

    Returns
    -------
    descriptor : int
        Close it to release the lock.

    Raises
    ------
    InputError
        If another process holds the lock, or if something else has its name: a link is not followed, and a file with
        other content is not changed.
    """
    lock = folder / "lock"
    while True:
        folder.mkdir(exist_ok=True)
        try:
            descriptor = _open_lock(lock)
        except FileNotFoundError:
            continue  # another process has just finished and removed the folder
        try:
            _lock_file(descriptor)
        except BlockingIOError:
            owner = os.read(descriptor, 64).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise InputError(
                f"{path} is being written by another process ({owner}); wait for it, or give another name"
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
        with suppress(FileNotFoundError):
            # The file may have been removed between opening and locking; a lock on a removed file protects nothing.
            if os.fstat(descriptor).st_ino == lock.lstat().st_ino:
                # Overwritten before it is cut: never empty, because an empty file is not recognised as a lock.
                content = _PID + str(os.getpid()).encode()
                os.write(descriptor, content)
                os.ftruncate(descriptor, len(content))
                return descriptor
        os.close(descriptor)


@contextmanager
def locked(folder: Path, path: Path) -> Iterator[None]:
    """Hold the lock of a folder; create the folder and its parents if absent, and remove them if they stay empty.

    Parameters
    ----------
    folder, path : Path
        As in `take_lock`.

    Raises
    ------
    InputError
        As in `take_lock`, or if the folder cannot be created.
    """
    absent = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = take_lock(folder, path)
    token = _HELD.set(_HELD.get() | {folder.resolve()})
    try:
        yield
    finally:
        _HELD.reset(token)
        with suppress(OSError):
            (folder / "lock").unlink()
        os.close(descriptor)
        for parent in absent:
            with suppress(OSError):
                parent.rmdir()


def is_held(folder: Path) -> bool:
    """Return whether this thread is inside `locked` for a folder.

    Examples
    --------
    >>> is_held(Path("run"))
    False
    """
    return folder.resolve() in _HELD.get()


def _open_lock(lock: Path) -> int:
    """Open a lock file, created if absent; refuse anything else of its name and leave it unchanged."""
    foreign = InputError(f"{lock} is in the way: it is not a lock of geogan; move it, or give another name")
    # A link could lead to a user's file, and opening a pipe without a reader would block.
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | flags, 0o644)
    except IsADirectoryError:
        raise foreign from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.ENOTDIR) or lock.is_symlink():
            raise foreign from None
        raise
    stat = os.fstat(descriptor)
    # A hard link to another file is not a lock either.
    is_plain = S_ISREG(stat.st_mode) and stat.st_nlink <= 1 and not lock.is_symlink()
    beginning = os.pread(descriptor, len(_PID), 0) if is_plain and hasattr(os, "pread") else b""
    if not is_plain or (beginning and not beginning.startswith(_PID)):
        os.close(descriptor)
        raise foreign
    return descriptor


def _lock_file(descriptor: int) -> None:
    """Lock an open file; raise BlockingIOError if another process holds it."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError as error:
            raise BlockingIOError from error
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        # Some network file systems have no locks. Writing without a lock is better than not writing.
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL):
            raise
