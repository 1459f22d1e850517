"""One process at a time: a lock that the system lets go of when its process dies."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from stat import S_ISREG

from geogan.files.disk import writing
from geogan.operators.errors import InputError

# Of a file that is no lock: what is behind a link would be written over, and a pipe without a reader never opens.
_PLAINLY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_PID = b"pid "
# Folders whose lock this thread holds by `locked`.
_HELD: ContextVar[frozenset[Path]] = ContextVar("geogan_locked", default=frozenset())


def take_lock(partial: Path, path: Path) -> int:
    """Take the lock of a folder, made if need be; the system lets go of it when a process dies.

    Parameters
    ----------
    partial : Path
        The folder, such as that of a partial product.
    path : Path
        What is written, for the error.

    Returns
    -------
    descriptor : int
        To be closed when all is written.

    Raises
    ------
    InputError
        Where another process holds it, or what has its name is no lock: a link is not followed, and a file that holds
        something else is not written to.
    """
    lock = partial / "lock"
    while True:
        partial.mkdir(exist_ok=True)
        try:
            descriptor = _open_plain(lock)
        except FileNotFoundError:
            continue  # another process finished, and removed the folder, just now
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
            # The file may have been removed between its opening and its locking; such a lock guards nothing.
            if os.fstat(descriptor).st_ino == lock.lstat().st_ino:
                # Never empty: an empty file is nobody's, and would be taken for something in the way.
                ours = _PID + str(os.getpid()).encode()
                os.write(descriptor, ours)
                os.ftruncate(descriptor, len(ours))
                return descriptor
        os.close(descriptor)


@contextmanager
def locked(folder: Path, path: Path) -> Iterator[None]:
    """Hold the lock of a folder, made with those above it if need be; a folder that stays empty is removed again.

    Parameters
    ----------
    folder, path : Path
        As in `take_lock`.

    Raises
    ------
    InputError
        As in `take_lock`, or if the folder cannot be made.
    """
    absent = [each for each in (folder, *folder.parents) if not each.exists()]
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = take_lock(folder, path)
    held = _HELD.set(_HELD.get() | {folder.resolve()})
    try:
        yield
    finally:
        _HELD.reset(held)
        with suppress(OSError):
            (folder / "lock").unlink()
        os.close(descriptor)
        for each in absent:
            with suppress(OSError):
                each.rmdir()


def is_held(folder: Path) -> bool:
    """Whether this thread is inside `locked` for a folder.

    Examples
    --------
    >>> is_held(Path("run"))
    False
    """
    return folder.resolve() in _HELD.get()


def _open_plain(lock: Path) -> int:
    """Open a lock, made if need be; refuse whatever else has its name, and leave it as it is."""
    wrong = InputError(f"{lock} is in the way: it is no lock of geogan; move it, or give another name")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | _PLAINLY, 0o644)
    except IsADirectoryError:
        raise wrong from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.ENOTDIR) or lock.is_symlink():
            raise wrong from None
        raise
    stat = os.fstat(descriptor)
    plain = S_ISREG(stat.st_mode) and stat.st_nlink <= 1 and not lock.is_symlink()
    # A name that a hard link gives to another file is no lock either.
    begins = os.pread(descriptor, len(_PID), 0) if plain and hasattr(os, "pread") else b""
    if not plain or (begins and not begins.startswith(_PID)):
        os.close(descriptor)
        raise wrong
    return descriptor


def _lock_file(descriptor: int) -> None:
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
        # Some network file systems have no locks; writing without one beats not writing.
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL):
            raise
