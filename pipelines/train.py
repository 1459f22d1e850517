"""``geogan train``: from a gappy archive to a trained model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from geogan.compute.processes import Ranks
from geogan.files.lock import locked
from geogan.files.places import check_apart
from geogan.files.run_folder import (
    ABLATION,
    STATE,
    check_files,
    check_free,
    discard_begun,
    holds,
    is_just_begun,
    is_run,
    read_run,
)
from geogan.files.user_path import user_path
from geogan.io import find_paths
from geogan.operators.errors import InputError
from geogan.pipelines.train_progress import TrainingProgress
from geogan.pipelines.training_inputs import OpenedInputs, open_inputs
from geogan.reconstructor import Reconstructor
from geogan.settings import DataConfig, Settings
from geogan.training import Checkpoint, RunLog, saved_step, settings_json

# The operator that stands for the one whose gaps look most like the real ones.
AUTO = "auto"


def train(
    data: DataConfig,
    settings: Settings | None = None,
    *,
    out: str | Path | None = None,
    device: str = "auto",
    overwrite: bool = False,
    save_every: float = Checkpoint.every,
    console: Console | None = None,
) -> Path:
    """Train a model on a gappy archive.

    Parameters
    ----------
    data : DataConfig
        The archive, with its domain, errors and clean fields. The domain is a word or a variable, as in
        :func:`geogan.io.find_domain`; by default a mask of the data that holds the observed cells, else sea or land by
        the standard name, as in :func:`geogan.fields.domains.known_domain`. Clean fields have a variable of the same
        name, or one only.
    settings : Settings, optional
        Parameters of :class:`geogan.reconstructor.Reconstructor`.
    out : str or Path, optional
        Folder of the run; by default ``runs/`` and the name of the data.
    device : str
    overwrite : bool
        Replace a run in the folder; its files are replaced when the new ones are ready.
    save_every : float
        Interval between two saves, in seconds.
    console : Console, optional
        Where to show progress; None for silence.

    Returns
    -------
    Path
        The folder of the run.

    Raises
    ------
    InputError
        If the data or a parameter cannot be used; nothing is written then.
    """
    if not data.data:
        raise InputError("training needs a field, got none; give its path or --data FIELD")
    # Check the paths first: the error about an existing run of the default name would hide a missing file.
    find_paths(data.data)
    if data.clean:
        find_paths(data.clean)
    out = user_path(out) if out is not None else Path("runs") / _name(data.data[0])
    if Ranks.here().first:
        within = out.absolute().parent if out.name == ABLATION else None
        check_apart(out, {"--data": data.data, "--clean": data.clean or None}, what="the run", within=within)
        check_free(
            out,
            overwrite=overwrite,
            ways=f"resume it with --resume {out}, replace it with --overwrite, or give another --out",
            other="--out",
        )
    settings = with_operator(settings or Settings(), data, console=console)
    reconstructor = Reconstructor(**vars(settings), device=device)
    opened = open_inputs(data, reconstructor.settings, dates=None, begins=True)
    return _fit(
        reconstructor, opened, Checkpoint(out, every=save_every, overwrite=overwrite), is_new=True, console=console
    )


def with_operator(settings: Settings, data: DataConfig, *, console: Console | None) -> Settings:
    """Return settings in which ``auto`` is the operator whose gaps look most like those of the data.

    Every process finds the same.
    """
    if settings.operator not in (AUTO, [AUTO], (AUTO,)):
        return settings
    from geogan.pipelines.operators import GapSource, chosen_operator

    named = {each.name: getattr(data, each.name) for each in fields(GapSource)}

    def message(sentence: str) -> None:
        if console is not None and Ranks.here().first:
            console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    field, domain = GapSource(**named).open(list(data.data))
    return replace(settings, operator=chosen_operator(field, domain, seed=settings.seed, message=message))


def resume(
    run: str | Path,
    changes: Mapping[str, Any] | None = None,
    *,
    data: Sequence[str | Path] = (),
    device: str = "auto",
    save_every: float = Checkpoint.every,
    console: Console | None = None,
) -> Path:
    """Resume the training of a run, under its own settings.

    Parameters
    ----------
    run : str or Path
        Folder of the run.
    changes : mapping, optional
        New values of ``steps``, ``minutes`` and ``threads``, by name.
    data : sequence of path or URL
        The archive, if its path has changed.
    device : str
    save_every : float
        Interval between two saves, in seconds.
    console : Console, optional
        Where to show progress; None for silence.

    Returns
    -------
    Path
        The folder of the run.

    Raises
    ------
    InputError
        If the folder is not a run, its archive has changed, or a file is damaged.
    """
    out = user_path(run)
    check_files(out)
    described = read_run(out)
    begins = not holds(out, STATE)
    reconstructor = _begun_again(out, described, device) if begins else Reconstructor.load(out, device=device)
    changed = {name: value for name, value in (changes or {}).items() if value is not None}
    if changed.keys() & {"steps", "minutes"}:
        changed = {"steps": None, "minutes": None} | changed
    reconstructor.training = replace(reconstructor.settings.training, **changed)
    names = [each.name for each in fields(DataConfig) if each.name in described]
    config = DataConfig(**{name: described[name] for name in names} | {"allow_product": True})
    config = replace(config, data=tuple(data) or config.data)
    # The archive may have grown since.
    opened = open_inputs(config, reconstructor.settings, dates=described.get("dates"), begins=begins)
    checkpoint = Checkpoint(out, every=save_every, resume=not begins, overwrite=True)
    return _fit(reconstructor, opened, checkpoint, is_new=False, console=console)


def _fit(
    reconstructor: Reconstructor,
    opened: OpenedInputs,
    checkpoint: Checkpoint,
    *,
    is_new: bool,
    console: Console | None,
) -> Path:
    """Train in the folder of a run, and report the error."""
    is_first, out = Ranks.here().first, checkpoint.path
    resumed_at = saved_step(out) if checkpoint.resume and is_first else -1
    log = RunLog(out, opened.description, settings_json(reconstructor.settings), resumed_at)
    with (
        locked(out, out) if is_first else nullcontext(),
        TrainingProgress(reconstructor, log, console if is_first else None) as report,
    ):
        if not is_new and not checkpoint.resume:
            report.message(f"no state of {out} was saved yet, so the training begins at step 0")
        for note in opened.notes:
            report.message(note)
        try:
            reconstructor.fit(
                opened.field.array, **opened.beside, checkpoint=checkpoint, progress=report.show, message=report.message
            )
        except Exception:
            # After a failure the folder is removed; after a kill, run.json allows the run to be started again.
            if is_new:
                discard_begun(out)
            raise
        report.summarise(reconstructor.model_.scores, resumed_at)
    return out


def _begun_again(out: Path, described: Mapping[str, Any], device: str) -> Reconstructor:
    """Return a new `Reconstructor` for a run that was killed before its first state was saved.

    Raises
    ------
    InputError
        If the run has a trained model, and only its state is missing.
    """
    settings = described.get("settings")
    if settings is None or (is_run(out) and not is_just_begun(out)):
        raise InputError(
            f"{out} cannot be resumed: it has no {STATE}; train it again with --overwrite, or give another --out"
        )
    return Reconstructor(**settings, device=device)


def _name(data: str | Path) -> str:
    stem = Path(str(data).rstrip("/")).name.split(".")[0]
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in stem).strip("_") or "run"
