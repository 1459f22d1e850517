"""The files of a run: what tells its folder from others, and from which data it was made; needs no torch."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from geogan.files.plain_file import check_plain, read_json
from geogan.files.user_path import user_path
from geogan.operators.errors import InputError

MODEL, STATE, TEXT = "model.safetensors", "state.safetensors", "model.json"
METRICS, RUN = "metrics.jsonl", "run.json"
# Folder in a run: the same training without the prior term, which `geogan evaluate` compares it with.
ABLATION = "without-prior"
# There while a training writes the others (`geogan.files.lock`), or where it was killed.
LOCK = "lock"


def is_run(path: str | Path) -> bool:
    """Whether a folder holds a run of geogan.

    Examples
    --------
    >>> is_run("nowhere")
    False
    """
    try:
        return (user_path(path) / MODEL).is_file()
    except (OSError, ValueError):
        return False  # a name that no file can have, or a folder that may not be looked into


def holds(path: Path, name: str) -> bool:
    """Whether a folder has an entry of that name, be it a file or not: what is no file is refused when it is read."""
    try:
        return os.path.lexists(user_path(path) / name)
    except (OSError, ValueError):
        return False


def check_files(path: Path) -> None:
    """Refuse a run one of whose files is a pipe, a device, or a link that leads out of its folder.

    Raises
    ------
    InputError
        With the name of the file.
    """
    for name in (MODEL, STATE, TEXT, METRICS, RUN):
        if holds(path, name):
            with suppress(FileNotFoundError):
                try:
                    check_plain(user_path(path) / name)
                except PermissionError as error:
                    raise InputError(f"{path / name} may not be read; check its permissions") from error


def holds_others(path: Path) -> bool:
    """Whether a folder holds anything that no run has; what a kill left of one that was begun is its own."""
    return next(others(path), None) is not None


def others(path: Path) -> Iterator[str]:
    """Names in a folder that no run has, or that are links or folders where a run has files."""
    own = {MODEL, STATE, TEXT, METRICS, RUN, LOCK}
    for file in path.iterdir():
        is_ours = file.name.removeprefix(".").removesuffix(".partial") in own
        if file.name == ABLATION and file.is_dir() and not file.is_symlink():
            yield from (f"{ABLATION}/{name}" for name in others(file))
        elif not is_ours or file.is_symlink() or file.is_dir():
            yield file.name


def discard_begun(path: Path) -> None:
    """Remove the description and the course of a run of which neither weights nor state were saved."""
    if not any(holds(path, name) for name in (MODEL, STATE)):
        for name in (RUN, METRICS):
            with suppress(OSError):
                (path / name).unlink()


def read_run(path: Path) -> dict[str, Any]:
    """From which data a run was made.

    Parameters
    ----------
    path : Path
        Folder of the run.

    Returns
    -------
    described : dict
        ``data``, ``variable``, ``domain`` and ``time``, as they were given to the training; ``dates``, the first and
        the last one that it saw; ``group``, ``dims`` and ``where``, where the data were read so.

    Raises
    ------
    InputError
        Where the folder is no run that can be gone on with, or its description is damaged.
    """
    # Only where a run is read: it takes some hundredths of a second to import.
    from geogan.files.schema import RunText, check

    path = user_path(path)
    file = path / RUN
    try:
        described = read_json(file)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{path} is no geogan run that can be gone on with: it has no {RUN}; give a folder made by geogan train"
        ) from None
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror or error}); copy it again") from error
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{file} is damaged ({error}); train it again") from error
    if not isinstance(described, dict) or not {"data", "variable", "domain", "time"} <= described.keys():
        raise InputError(f"{file} does not say what the run was trained on; train it again")
    try:
        check(RunText, described)
    except ValueError as error:
        raise InputError(f"{file} is damaged ({error}); train it again") from error
    return described
