"""The file of a figure: check its path, write it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from geogan.files.user_path import user_path
from geogan.operators.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SUFFIXES = (".png", ".pdf", ".svg", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".eps")
_FILMS = (".gif", ".mp4")


def figure_path(path: str | Path, *, overwrite: bool = True, is_animation: bool = False) -> Path:
    """Check that a figure can be written to a path; create nothing.

    Parameters
    ----------
    path : str or Path
    overwrite : bool
        Whether an existing file may be replaced.
    is_animation : bool
        Whether the file is an animation, GIF or MP4.

    Returns
    -------
    path : Path

    Raises
    ------
    InputError
        If the suffix is not one of a figure, the folder does not exist, the path is a folder, or the file exists
        and ``overwrite`` is False; or if ffmpeg is missing for an MP4.

    Examples
    --------
    >>> figure_path("map.txt")
    Traceback (most recent call last):
        ...
    geogan.operators.errors.InputError: path must end in .png, .pdf or .svg, got 'map.txt'; add one of them
    """
    target = user_path(path)
    suffixes, expected = (_FILMS, ".gif or .mp4") if is_animation else (_SUFFIXES, ".png, .pdf or .svg")
    if target.suffix.lower() not in suffixes:
        raise InputError(f"path must end in {expected}, got {str(path)!r}; add one of them")
    if not target.parent.is_dir():
        raise InputError(f"the folder of {str(path)!r} does not exist; make it first")
    if target.is_dir():
        raise InputError(f"{str(path)!r} is a folder, where a figure should go; give another name")
    if target.exists() and not overwrite:
        raise InputError(f"{str(path)!r} exists; give another name, or overwrite it with --overwrite")
    if target.suffix.lower() == ".mp4":
        from matplotlib.animation import FFMpegWriter

        if not FFMpegWriter.isAvailable():
            raise InputError(
                f"{target.name} needs the program ffmpeg, which is not installed; install it, or give a .gif"
            )
    return target


def save_figure(figure: "Figure", path: Path, *, dpi: int = 150) -> None:
    """Write a figure under a temporary name, then rename it, so that an existing file is replaced as a whole.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    with replaced(path) as partial:
        figure.savefig(partial, dpi=dpi)


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Give a temporary name to write to, which becomes the path at the end; an error leaves the old file.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        if str(error.filename) != str(partial):
            raise
        raise InputError(f"{path} cannot be written ({error.strerror}); give another place") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
