"""The folder of a run: its files, whether a folder is one, and whether a folder is free for one; needs no torch."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from geogan.files.plain_file import check_plain, one_line, read_json, readable
from geogan.files.user_path import user_path
from geogan.operators.errors import InputError

MODEL, STATE, TEXT = "model.safetensors", "state.safetensors", "model.json"
METRICS, RUN = "metrics.jsonl", "run.json"
ABLATION = "without-prior"
"""Folder in a run: the same training without the prior term, with which `geogan evaluate` compares it."""
# Exists while a training writes the other files (`geogan.files.lock`), and after a kill.
_LOCK = "lock"


def is_run(path: str | Path) -> bool:
    """Return whether a folder holds a run of geogan.

    Examples
    --------
    >>> is_run("nowhere")
    False
    """
    try:
        return (user_path(path) / MODEL).is_file()
    except (OSError, ValueError):
        return False  # not a valid name, or a folder without read permission


def holds(path: Path, name: str) -> bool:
    """Return whether a folder has an entry of this name, also one that is not a file (its reader refuses it)."""
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


def foreign_names(path: Path) -> Iterator[str]:
    """Yield the names in a folder that no run has, or that are links or folders where a run has files."""
    run_files = {MODEL, STATE, TEXT, METRICS, RUN, _LOCK}
    for file in path.iterdir():
        if file.name == ABLATION and file.is_dir() and not file.is_symlink():
            yield from (f"{ABLATION}/{name}" for name in foreign_names(file))
            continue
        # A kill leaves a file that was being written aside.
        is_run_file = file.name.removeprefix(".").removesuffix(".partial") in run_files
        if not is_run_file or file.is_symlink() or file.is_dir():
            yield file.name


def discard_begun(path: Path) -> None:
    """Remove the description and the metrics of a run if neither its weights nor its state were saved."""
    if not any(holds(path, name) for name in (MODEL, STATE)):
        for name in (RUN, METRICS):
            with suppress(OSError):
                (path / name).unlink()


def read_run(path: Path) -> dict[str, Any]:
    """Read from which data a run was trained.

    Parameters
    ----------
    path : Path
        Folder of the run.

    Returns
    -------
    description : dict
        ``data``, ``variable``, ``domain`` and ``time``, as they were given to the training; ``dates``, the first and
        the last date it read; ``group``, ``dims`` and ``where``, if the data were read with them.

    Raises
    ------
    InputError
        If the folder is not a run that can be resumed, or its description is damaged.
    """
    # Imported where a run is read: pydantic takes some hundredths of a second.
    from geogan.files.schema import RunText, check

    path = user_path(path)
    file = path / RUN
    absent = f"{path} is not a geogan run that can be resumed: it has no {RUN}; give a folder made by geogan train"
    with readable(file, absent=absent):
        description = read_json(file)
    if not isinstance(description, dict) or not {"data", "variable", "domain", "time"} <= description.keys():
        raise InputError(f"{file} does not describe the training data of the run; train it again")
    with readable(file):
        check(RunText, description)
    return description


def is_just_begun(path: Path) -> bool:
    """Return whether a run was killed after its first model was written and before its first state was.

    Raises
    ------
    InputError
        If its model is damaged, or not geogan's.
    """
    from geogan.files.tensor_header import read_header

    if holds(path, STATE) or not is_run(path):
        return False
    text = read_header(path.expanduser() / MODEL)[1]
    scores = text.get("scores")
    # A model without a network, for a grid too thin for one, is complete without a state.
    return isinstance(scores, dict) and scores.get("steps") == 0 and text.get("network") is not None


def check_free(path: Path, *, overwrite: bool, ways: str, other: str) -> None:
    """Refuse a folder that is not free for a new run; only a run made by geogan is ever replaced.

    Parameters
    ----------
    path : Path
        Need not exist.
    overwrite : bool
        Whether an existing run may be replaced. A run that was killed before its first step may always be.
    ways : str
        Remedies for an existing run, for the error.
    other : str
        How another folder is given, for the error.

    Raises
    ------
    InputError
    """
    existing = next(folder for folder in (path, *path.absolute().parents) if os.path.lexists(folder))
    if not existing.is_dir():
        raise InputError(f"{existing} is a file; give another {other}")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"{existing} may not be written to, so {path} cannot be made; give another {other}")
    if not path.is_dir():
        return
    foreign = next(foreign_names(path), None)
    if not is_run(path):
        if foreign is not None:
            raise InputError(f"{path} is a folder with other things in it; give another {other}")
        return
    if not overwrite and not is_just_begun(path):
        raise InputError(f"{path} holds a run already; {ways}")
    if foreign is not None:
        raise InputError(
            f"{path} holds {foreign} beside the files of a run, so it stays; move {foreign}, or give another {other}"
        )
    try:
        _check_replaceable(path)
    except (InputError, OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} holds no run that geogan can read, so it stays ({one_line(error)}); give another {other}"
        ) from error


def _check_replaceable(path: Path) -> None:
    """Raise an error if a file of a run was not written by geogan."""
    from geogan.files.tensor_header import read_header

    read_header(path / MODEL)
    if holds(path, TEXT) and "geogan" not in read_json(path / TEXT):
        raise InputError(f"{TEXT} was not written by geogan")
    if holds(path, RUN):
        read_run(path)
