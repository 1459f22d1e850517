"""Failures of a disk as one sentence for the user."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geogan.operators.errors import InputError


@contextmanager
def writing(path: Path, *, kept: Path | None = None) -> Iterator[None]:
    """Turn an error of the operating system into one sentence.

    Parameters
    ----------
    path : Path
        Output, by the name that the user gave.
    kept : Path, optional
        Folder that keeps the finished part of the work, which the same command resumes.

    Raises
    ------
    InputError
        If the operating system could not write.

    Examples
    --------
    >>> with writing(Path("out.zarr")):
    ...     raise OSError(errno.ENOSPC, "No space left on device")
    Traceback (most recent call last):
    geogan.operators.errors.InputError: out.zarr cannot be written: the disk is full; free some space
    """
    try:
        yield
    except OSError as error:
        rest = f"; what is done is kept in {kept}, run again to resume" if kept else ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(f"{path} cannot be written: the disk is full; free some space{rest}") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise InputError(
                f"{path} cannot be written: the folder {path.parent} is read-only; give another folder{rest}"
            ) from error
        raise InputError(f"{path} cannot be written: {error.strerror or error}{rest}") from error
