"""Replace a folder or a file in one move, and flush it to the disk so that it survives a loss of power."""

import ctypes
import errno
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path


def exchange(first: Path, second: Path) -> bool:
    """Exchange two names in one step, so that neither is ever absent.

    Parameters
    ----------
    first, second : Path
        Both exist, on one file system.

    Returns
    -------
    is_done : bool
        False if the operating system or the file system cannot do it; nothing is changed then.

    Raises
    ------
    OSError
        If it can, and failed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first, second = Path(folder, "first"), Path(folder, "second")
    ...     _, _ = first.write_text("1"), second.write_text("2")
    ...     is_done = exchange(first, second)
    ...     first.read_text() == ("2" if is_done else "1")
    True
    """
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):  # not Linux, or an old version
        return False
    # renameat2(2): relative paths start at the working folder; RENAME_EXCHANGE exchanges the names.
    at_fdcwd, rename_exchange = -100, 2
    if renameat2(at_fdcwd, os.fsencode(first), at_fdcwd, os.fsencode(second), rename_exchange) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(first))


def replace(old: Path, new: Path, aside: Path, *, exchange: Callable[[Path, Path], bool] = exchange) -> None:
    """Give ``new`` the name ``old``; the previous content is under ``aside`` or ``new`` afterwards.

    A file is replaced in one step on every system, a folder where the file system can exchange names. Elsewhere the
    name is absent for an instant, and a process killed in this instant leaves the old folder under ``aside``.

    Parameters
    ----------
    old, new, aside : Path
        ``old`` and ``aside`` need not exist.
    exchange : function
        Exchanges two names, or returns False.

    Raises
    ------
    OSError
        If it failed; ``old`` is unchanged.
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


def flush(paths: Iterable[Path]) -> None:
    """Wait until files, and folders with the names in them, are on the disk itself.

    Parameters
    ----------
    paths : iterable of Path
        Absent ones are skipped.
    """
    for path in paths:
        with suppress(FileNotFoundError, PermissionError):  # Windows cannot open folders
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def write_text(file: Path, text: str) -> None:
    """Write a text file aside, flush it to the disk and rename it: a kill leaves the old file or the new one."""
    aside = file.with_name(f".{file.name}.partial")
    with aside.open("w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    aside.replace(file)
