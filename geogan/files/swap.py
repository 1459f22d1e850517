"""A finished folder takes the place of another in one move; what is on the disk itself outlasts the power."""

import ctypes
import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

# renameat2(2): paths are relative to the working folder; the two names change places.
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def exchange(one: Path, other: Path) -> bool:
    """Let two names change places, so that neither is ever missing.

    Parameters
    ----------
    one, other : Path
        Both exist, on one file system.

    Returns
    -------
    done : bool
        False where the system or the file system cannot do it; nothing is changed then.

    Raises
    ------
    OSError
        Where it can, and failed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     one, other = Path(folder, "one"), Path(folder, "other")
    ...     _, _ = one.write_text("1"), other.write_text("2")
    ...     done = exchange(one, other)
    ...     one.read_text() == ("2" if done else "1")
    True
    """
    try:
        move = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):  # no Linux, or an old one
        return False
    if move(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(one))


def replace(old: Path, new: Path, aside: Path) -> None:
    """Put ``new`` under the name ``old``; what was there is under ``aside`` or ``new`` afterwards.

    Files are replaced in one move everywhere, folders where the file system lets names change places. Elsewhere the
    name is missing for an instant, and a process killed in it leaves the old folder under ``aside``.

    Parameters
    ----------
    old, new, aside : Path
        ``old`` and ``aside`` need not exist.

    Raises
    ------
    OSError
        Where it failed; ``old`` is as it was.
    """
    if not old.is_dir():
        new.replace(old)
        return
    if exchange(new, old):
        return
    old.rename(aside)
    try:
        new.rename(old)
    except BaseException:
        aside.rename(old)
        raise


def flush(places: Iterable[Path]) -> None:
    """Wait until files, and folders with the names they hold, are on the disk itself.

    Parameters
    ----------
    places : iterable of Path
        Those that are not there do not count.
    """
    for place in places:
        with suppress(FileNotFoundError, PermissionError):  # Windows does not open folders
            descriptor = os.open(place, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
