"""What a disk that is full, read-only or gone is called, in one sentence."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geogan.operators.errors import InputError


@contextmanager
def writing(path: Path, *, kept: Path | None = None) -> Iterator[None]:
    """Say in one sentence that the disk, not geogan, is the matter.

    Parameters
    ----------
    path : Path
        What is written, by the name that the user gave.
    kept : Path, optional
        Where what is done so far stays, for the same command to go on with.

    Raises
    ------
    InputError
        Where the system could not write.

    Examples
    --------
    >>> with writing(Path("out.zarr")):
    ...     raise OSError(errno.ENOSPC, "No space left on device")
    Traceback (most recent call last):
    geogan.operators.errors.InputError: out.zarr cannot be written: the disk is full; make room
    """
    try:
        yield
    except OSError as error:
        rest = f"; what is done is kept in {kept}, run again to go on" if kept else ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(f"{path} cannot be written: the disk is full; make room{rest}") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise InputError(
                f"{path} cannot be written: the folder {path.parent} is read-only; give another place{rest}"
            ) from error
        raise InputError(f"{path} cannot be written: {error.strerror or error}{rest}") from error
