"""The file that a figure goes to."""

from pathlib import Path

from geogan.files.user_path import user_path
from geogan.operators.errors import InputError

_SUFFIXES = (".png", ".pdf", ".svg", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".eps")


def figure_path(path: str | Path, *, overwrite: bool = True) -> Path:
    """Whether a figure may be written there; nothing is touched.

    Parameters
    ----------
    path : str or Path
    overwrite : bool
        Whether a file of that name may be replaced.

    Returns
    -------
    path : Path

    Raises
    ------
    InputError
        If its ending is none of a figure, its folder does not exist, it is a folder itself, or it exists
        while ``overwrite`` is False.

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
