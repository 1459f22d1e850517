"""The partial folder of a product: its state, and what a kill leaves in it.

A product ``sst.zarr`` is written to ``.sst.zarr.partial`` in the same folder until it is complete. The partial folder
holds ``lock``, ``product.json`` (the state: digest, sizes, chunks), ``store.zarr`` (the chunks), ``done.jsonl`` (the
regions that are on disk) and ``source.json`` (the state of the source when these were last compared with it). A fill
without a given model also keeps the model that it fitted there, in ``model``, and in ``fitted.json`` what the model was
fitted to.
"""

import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from geogan.files.attributes import PRODUCT
from geogan.files.disk import writing
from geogan.files.lock import take_lock
from geogan.files.plain_file import read_json
from geogan.files.schema import PartialText, check
from geogan.files.swap import flush
from geogan.operators.errors import InputError
from geogan.product.chunk_store import ChunkStore
from geogan.product.done_record import count_done
from geogan.product.output import has_digest, mark_of

STATE, SOURCE = "product.json", "source.json"
# The model that was fitted for a product, and what it was fitted to.
MODEL, FITTED = "model", "fitted.json"
# The name of STATE once the product is complete and its partial folder is being removed.
_FINISHED = "finished.json"


def partial_folder(path: Path) -> Path:
    """Return the folder that holds a product until it is complete."""
    return path.with_name(f".{path.name}.partial")


def is_ours(partial: Path) -> bool:
    """Return whether the name of a partial folder is free, or belongs to a partial product of geogan."""
    if partial.is_symlink() or (partial.exists() and not partial.is_dir()):
        return False
    if not partial.exists() or not any(entry.name != "lock" for entry in partial.iterdir()):
        return True
    lock = partial / "lock"
    return lock.is_file() and not lock.is_symlink() and lock.read_bytes().startswith(b"pid ")


def chunk_store(state: Mapping[str, Any], partial: Path) -> ChunkStore:
    """Return the store of a partial folder with this state."""
    dims = {name: tuple(dims) for name, dims in state["dims"].items()}
    return ChunkStore(partial / "store.zarr", dims, state["sizes"], state["chunks"])


def read_state(partial: Path) -> dict[str, Any] | None:
    """Return the state of a partial product; None if it cannot be resumed.

    Raises
    ------
    OSError
        If the disk fails for another reason than an absent file.
    """
    try:
        state = read_json(partial / STATE)
        check(PartialText, state)
        root = read_json(partial / "store.zarr" / "zarr.json")
        # After `geogan.files.swap.exchange` the store in the partial folder is the previous product.
        return state if root["attributes"][PRODUCT] == state["mark"] else None
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        # Other failures of the disk may be temporary and are no reason to begin anew.
        return None


def open_partial(path: Path, digest: str) -> ChunkStore | None:
    """Return the store of a partial product, for a process that does not hold its lock.

    Parameters
    ----------
    path : Path
        Name of the product.
    digest : str
        As in `geogan.product.Product.begin`.

    Returns
    -------
    store : ChunkStore or None
        None if this process sees no partial product of this digest. The partial folder is ``store.path.parent``.
    """
    partial = partial_folder(path)
    state = read_state(partial)
    return None if state is None or state["digest"] != digest else chunk_store(state, partial)


def is_resumable(path: Path, digest: str) -> bool:
    """Return whether a partial product of this digest exists that takes no regions from a finished product."""
    state = read_state(partial_folder(path))
    return state is not None and state["digest"] == digest and "after" not in state


def is_finished(path: Path, digest: str, *, overwrite: bool = False) -> bool:
    """Return whether a product is complete, and remove remains of a killed process.

    Parameters
    ----------
    path : Path
    digest : str
        As in `geogan.product.Product.begin`.
    overwrite : bool
        Whether the product is made again: a complete product then counts only if a kill interrupted the removal of
        its partial folder.

    Raises
    ------
    InputError
        If another process is writing the product.
    """
    if not has_digest(path, digest) or (overwrite and not _was_being_removed(path)):
        return False
    clear_leftovers(path)
    return True


def _was_being_removed(path: Path) -> bool:
    """Return whether a process was killed between the renaming of a product and the removal of its partial folder."""
    partial = partial_folder(path)
    if (partial / _FINISHED).exists():
        return True
    try:
        state = read_json(partial / STATE)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    return isinstance(state, dict) and state.get("mark") == mark_of(path)


class FittingFolder(NamedTuple):
    """Where a model that is fitted for a product stays until the product is complete.

    Attributes
    ----------
    model : Path
        Folder of the model.
    record : Path
        JSON file that says what the model was fitted to.
    regions_done : int
        Finished regions of the partial product.
    """

    model: Path
    record: Path
    regions_done: int


def lock_partial(path: Path) -> int:
    """Return the lock of the partial folder of a product, which is created if there is none.

    Raises
    ------
    InputError
        If another process is writing the product, or something else has the name of the partial folder.
    """
    partial = partial_folder(path)
    if not is_ours(partial):
        raise InputError(f"{partial} is in the way and is not a partial product of geogan; move it first")
    return take_lock(partial, path)


@contextmanager
def fitting_folder(path: Path) -> Iterator[FittingFolder]:
    """Hold the lock of a product while a model is fitted for it.

    Parameters
    ----------
    path : Path
        Name of the product, as `geogan.product.check_output` returns it.

    Yields
    ------
    folder : FittingFolder
        Inside the partial folder, which is removed if an exception is raised before the product was begun.

    Raises
    ------
    InputError
        If another process is writing the product, or something else has the name of the partial folder.
    """
    partial = partial_folder(path)
    with writing(path):
        lock = lock_partial(path)
    try:
        done = 0 if read_state(partial) is None else count_done(partial)
        yield FittingFolder(partial / MODEL, partial / FITTED, done)
    except BaseException:
        if read_state(partial) is None:
            remove_folder(partial)
        raise
    finally:
        os.close(lock)


def clear_leftovers(path: Path) -> None:
    """Remove what a killed process left beside a finished product; keep a partial product that can be resumed.

    Raises
    ------
    InputError
        If another process is writing the product.
    """
    partial = partial_folder(path)
    if not partial.exists() or not is_ours(partial):
        return
    with writing(path):
        lock = take_lock(partial, path)
        try:
            restore_previous(path)
            state = read_state(partial)
            if state is None or state["mark"] == mark_of(path):
                remove_folder(partial)
        finally:
            os.close(lock)


def restore_previous(path: Path) -> None:
    """Undo a replacement that was interrupted between its two renames (`geogan.files.swap.replace`)."""
    aside = partial_folder(path) / "old"
    if aside.exists() and not path.exists():
        aside.rename(path)


def empty_folder(partial: Path, *, keep: Collection[str] = ("lock",)) -> None:
    """Remove the files of a partial product, the state first: without it no process trusts the rest."""
    (partial / STATE).unlink(missing_ok=True)
    flush([partial])
    for entry in partial.iterdir():
        if entry.name in keep:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def remove_folder(partial: Path) -> None:
    """Remove the partial folder of a complete product.

    The file that identifies the folder goes last, so that the next run can remove what a kill leaves.
    """
    with suppress(OSError):
        with suppress(FileNotFoundError):
            (partial / STATE).replace(partial / _FINISHED)
        empty_folder(partial, keep=("lock", _FINISHED))
        (partial / _FINISHED).unlink(missing_ok=True)
        (partial / "lock").unlink()
        partial.rmdir()
