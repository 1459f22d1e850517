"""Keep a training in a folder: its model and its state, so that it can be resumed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from geogan.compute.processes import Ranks
from geogan.files.lock import is_held, locked
from geogan.files.places import check_apart
from geogan.files.run_folder import METRICS, RUN, STATE, check_free
from geogan.files.user_path import user_path
from geogan.model import Model, save_model
from geogan.operators.parameters import real_number, switch
from geogan.training.state import TrainState
from geogan.training.state_file import save_state


@dataclass(frozen=True)
class Checkpoint:
    """Folder that a training is saved in, and resumed from.

    Parameters
    ----------
    folder : str or Path
        Holds the model and the state of training. One process at a time may train in it.
    every : float
        Interval between two saves, in seconds; a save happens between two steps.
    resume : bool
        Resume the training in the folder, under the same settings but for ``steps``, ``minutes`` and ``threads``. With
        more steps or minutes than before, the learning rate starts at its full value again and falls at the new end. A
        training that was killed before its first state was saved begins at step 0.
    overwrite : bool
        Replace a run in the folder, once the first model of the new one is ready. Only runs of geogan are replaced.

    Raises
    ------
    InputError
        If a value has another type or lies outside its range.

    Examples
    --------
    >>> Checkpoint("run", every=60).resume
    False
    """

    folder: str | Path
    every: float = 30.0
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        for name, value in (
            ("folder", user_path(self.folder)),
            ("every", real_number("every", self.every, least=0)),
            ("resume", switch("resume", self.resume)),
            ("overwrite", switch("overwrite", self.overwrite)),
        ):
            object.__setattr__(self, name, value)

    @property
    def path(self) -> Path:
        """The folder as a path."""
        return Path(self.folder)


@contextmanager
def claimed(checkpoint: Checkpoint | None, field: xr.DataArray) -> Iterator[None]:
    """Check that the folder of a checkpoint is free for a training, and keep other processes from training in it.

    Parameters
    ----------
    checkpoint : Checkpoint, optional
        Without one, and in all processes of a training but the first, nothing is claimed.
    field : DataArray
        Field of the training; its source must lie outside the folder.

    Raises
    ------
    InputError
        If the folder holds something else, a run that is not to be replaced, or the field; or if another process
        trains in it.
    """
    if checkpoint is None or not Ranks.here().first:
        yield
        return
    folder = checkpoint.path
    # The command line has claimed the folder already, and compared it with all of its inputs.
    is_claimed = is_held(folder)
    if not checkpoint.resume:
        if not is_claimed:
            sources = [name for name in str(field.encoding.get("source", "")).split(" and ") if name]
            check_apart(folder, {"the field of": sources}, what="the run")
        check_free(
            folder,
            overwrite=checkpoint.overwrite,
            ways="resume it with resume=True, replace it with overwrite=True, or give another folder",
            other="folder",
        )
    with nullcontext() if is_claimed else locked(folder, folder):
        yield


class Saver:
    """Save a training in the folder of its checkpoint, from the first process; without a folder, do nothing.

    Parameters
    ----------
    checkpoint : Checkpoint, optional
    ranks : Ranks
    """

    def __init__(self, checkpoint: Checkpoint | None, ranks: Ranks) -> None:
        self._folder = checkpoint.path if checkpoint is not None and ranks.first else None
        self._every = 0.0 if checkpoint is None else checkpoint.every
        self._saved = time.perf_counter()

    @property
    def is_due(self) -> bool:
        """Whether the interval between two saves is over."""
        return time.perf_counter() - self._saved > self._every

    def discard_replaced(self) -> None:
        """Remove what would let a run that is replaced be resumed under the name of the new one."""
        for name in (STATE, RUN, METRICS) if self._folder is not None else ():
            (self._folder / name).unlink(missing_ok=True)  # type: ignore[operator]

    def save_model(self, make: Callable[[], Model]) -> None:
        """Save the model that a function makes, which is called only where there is a folder."""
        if self._folder is not None:
            save_model(self._folder, make())

    def save(self, make: Callable[[], Model], state: TrainState) -> None:
        """Save model and state."""
        if self._folder is not None:
            save_model(self._folder, make())
            save_state(self._folder, state)
        self._saved = time.perf_counter()
