"""The file of a figure: check its path, write it."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from geogan.files.user_path import user_path
from geogan.operators.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SUFFIXES = (".png", ".pdf", ".svg", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".eps")


def figure_path(path: str | Path, *, overwrite: bool = True) -> Path:
    """Check that a figure can be written to a path; create nothing.

    Parameters
    ----------
    path : str or Path
    overwrite : bool
        Whether an existing file may be replaced.

    Returns
    -------
    path : Path

    Raises
    ------
    InputError
        If the suffix is not one of a figure, the folder does not exist, the path is a folder, or the file exists
        and ``overwrite`` is False.

    Examples
    --------
    >>> figure_path("map.txt")
    Traceback (most recent call last):
        ...
    geogan.operators.errors.InputError: path must end in .png, .pdf or .svg, got 'map.txt'; add one of them
    """
    target = user_path(path)
    if target.suffix.lower() not in _SUFFIXES:
        raise InputError(f"path must end in .png, .pdf or .svg, got {str(path)!r}; add one of them")
    if not target.parent.is_dir():
        raise InputError(f"the folder of {str(path)!r} does not exist; make it first")
    if target.is_dir():
        raise InputError(f"{str(path)!r} is a folder, where a figure should go; give another name")
    if target.exists() and not overwrite:
        raise InputError(f"{str(path)!r} exists; give another name, or overwrite it with --overwrite")
    return target


def save_figure(figure: "Figure", path: Path, *, dpi: int = 150) -> None:
    """Write a figure under a temporary name, then rename it, so that an existing file is replaced as a whole.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        figure.savefig(partial, dpi=dpi)
        partial.replace(path)
    except OSError as error:
        if str(error.filename) != str(partial):
            raise
        raise InputError(f"{path} cannot be written ({error.strerror}); give another place") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
