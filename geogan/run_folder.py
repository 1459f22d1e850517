"""The files of a run: what tells its folder from others, and from which data it was made; needs no torch."""

import json
from pathlib import Path
from typing import Any

from geogan.operators.errors import InputError

MODEL, STATE, TEXT = "model.safetensors", "state.safetensors", "model.json"
METRICS, RUN = "metrics.jsonl", "run.json"
# There while a training writes the others (`geogan.lock`), or where it was killed.
LOCK = "lock"


def is_run(path: str | Path) -> bool:
    """Whether a folder holds a run of geogan.

    Examples
    --------
    >>> is_run("nowhere")
    False
    """
    return (Path(path) / MODEL).is_file()


def holds_others(path: Path) -> bool:
    """Whether a folder holds anything that no run has; what a kill left of one that was begun is its own."""
    own = {MODEL, STATE, TEXT, METRICS, RUN, LOCK}
    return any(file.name.removeprefix(".").removesuffix(".partial") not in own for file in path.iterdir())


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
        the last one that it saw.

    Raises
    ------
    InputError
        Where the folder is no run that can be gone on with, or its description is damaged.
    """
    file = path / RUN
    try:
        described = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{path} is no geogan run that can be gone on with: it has no {RUN}; give a folder made by geogan train"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{file} is damaged ({error}); train it again") from error
    if not isinstance(described, dict) or not {"data", "variable", "domain", "time"} <= described.keys():
        raise InputError(f"{file} does not say what the run was trained on; train it again")
    return described
