"""One process at a time: a lock that the system lets go of when its process dies."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from geogan.operators.errors import InputError


def take_lock(partial: Path, path: Path) -> int:
    """Take the lock of a partial product, made if need be; the system lets go of it when a process dies."""
    while True:
        partial.mkdir(exist_ok=True)
        try:
            descriptor = os.open(partial / "lock", os.O_RDWR | os.O_CREAT, 0o644)
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
            if os.fstat(descriptor).st_ino == (partial / "lock").stat().st_ino:
                # Never empty: an empty file is nobody's, and would be taken for something in the way.
                ours = f"pid {os.getpid()}".encode()
                os.write(descriptor, ours)
                os.ftruncate(descriptor, len(ours))
                return descriptor
        os.close(descriptor)


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
