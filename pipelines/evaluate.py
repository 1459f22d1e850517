"""``geogan evaluate``: a league table on withheld clouds, or against a truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr
from rich.console import Console
from rich.progress import Progress, TaskID

from geogan.compute.device import find_device
from geogan.evaluation import LeagueTable, Row, Scoring, match_truth, score_methods, scored_archive
from geogan.fields.covariates import relocated
from geogan.files.run_folder import ABLATION, RUN, holds, read_run
from geogan.files.user_path import user_path
from geogan.filling import FillOptions, adapt_model
from geogan.io import Source, find_paths, open_covariates, open_source
from geogan.model import Model, load_model
from geogan.operators.errors import InputError
from geogan.pipelines.ablation import ablated, can_be_ablated
from geogan.pipelines.fill import reading_of
from geogan.pipelines.progress import ProgressLines
from geogan.pipelines.score_outputs import Outputs, check_outputs, report_scores
from geogan.settings import check_settings


@dataclass(frozen=True)
class Inputs:
    """Options of the reading, and the truth to compare with.

    Attributes
    ----------
    variable : str or sequence of str, optional
        Variables that the model was trained on; each is scored in its own units.
    group, dims, where : str, optional
        As in `geogan.io.open_field`; by default as the run was trained. An empty text stands for none.
    truth : path or URL, optional
        A fuller archive: cells that it has and the data lack are scored, instead of the withheld clouds.
    truth_variable : str, optional
        Its variable, if it has another name than in the data.
    allow_product : bool
        Accept a filled product of geogan as the data, with its estimates as observations.
    screen : bool, optional
        Hide, and do not score, observations that neither neighbours nor the climatology support; by default as the
        model was trained.
    covariates : tuple of str
        Where covariates of the model are that change in time, as FILE:VARIABLE; by default as in the training.
    """

    variable: str | Sequence[str] | None = None
    group: str | None = None
    dims: str | Mapping[str, str] | None = None
    where: str | None = None
    truth: str | Path | None = None
    truth_variable: str | None = None
    allow_product: bool = False
    screen: bool | None = None
    covariates: tuple[str, ...] = ()


def evaluate(
    data: str | Path | Sequence[str | Path],
    model: Path,
    scoring: Scoring = Scoring(),
    *,
    inputs: Inputs = Inputs(),
    outputs: Outputs = Outputs(),
    ablation: bool = True,
    threads: int | None = None,
    device: str = "auto",
) -> list[Row]:
    """Score the model and the baselines on the same cells, and report the scores.

    Parameters
    ----------
    data : path or URL, or several
        The archive that the model was trained on.
    model : Path
        Folder of its run.
    scoring : Scoring
        Methods, members and categories.
    inputs : Inputs
    outputs : Outputs
    ablation : bool
        Also train the model, once and for as many steps, without the prior term, score it, and keep it in the run.
        Runs with settings that only presets have are not repeated.
    threads : int, optional
    device : str

    Returns
    -------
    list of Row

    Raises
    ------
    InputError
        If an argument or the data cannot be used.
    """
    if not data:
        raise InputError("evaluate needs the data that the model was trained on, got none; give DATA")
    outputs = check_outputs(outputs, {"--data": data, "--model": model, "--truth": inputs.truth})
    table = league_table(
        data,
        model,
        scoring,
        inputs=inputs,
        messages=outputs.messages,
        ablation=ablation,
        threads=threads,
        device=device,
    )
    report_scores(table, outputs)
    return table.rows


def league_table(
    data: str | Path | Sequence[str | Path],
    model: Path,
    scoring: Scoring = Scoring(),
    *,
    inputs: Inputs = Inputs(),
    messages: Console | None = None,
    ablation: bool = True,
    threads: int | None = None,
    device: str = "auto",
) -> LeagueTable:
    """Return the scores of the model and the baselines on the same cells, as a table.

    Parameters and errors are those of `evaluate`.
    """
    check_settings({"threads": threads})
    if inputs.truth_variable is not None and inputs.truth is None:
        raise InputError(f"--truth-variable {inputs.truth_variable!r} needs --truth; give the file of the truth")
    for paths in [data] if inputs.truth is None else [data, inputs.truth]:
        find_paths(paths)
    run, has_truth, console = user_path(model), inputs.truth is not None, messages
    trained = adapt_model(load_model(run), FillOptions(screen=inputs.screen))
    place = find_device(device)
    described = read_run(run) if holds(run, RUN) else {"variable": trained.variable, "time": None}
    source, error, truth = _open(data, run, trained, described, inputs)
    covariates = None
    if trained.covariates is not None and trained.covariates.varying:
        places = relocated(trained.settings.get("covariates", ()), inputs.covariates)
        covariates = open_covariates(data, places, reading=source.reading)
    archive, sentences = scored_archive(
        trained, source.field, scoring, error=error, covariates=covariates, has_truth=has_truth
    )
    if console is not None:
        for sentence in (*source.notes, *sentences):
            console.print(sentence, markup=False, highlight=False, soft_wrap=True)
    models = {"model": trained}
    if ablation and "model" in scoring.methods and can_be_ablated(trained):
        settings = described | source.reading.plain
        models[ABLATION] = ablated(data, run, trained, settings, threads=threads, device=device, console=console)
    with _shown_progress(console) as progress:
        rows = score_methods(
            models,
            archive,
            scoring,
            truth=truth,
            device=place,
            threads=threads,
            progress=progress,
            message=(lambda sentence: None) if console is None else console.print,
        )
    return LeagueTable.of(rows, trained, archive, has_truth=has_truth)


@contextmanager
def _shown_progress(console: Console | None) -> Iterator[Callable[[str, float, float], None]]:
    """Yield a function that shows the progress of each step: bars on a terminal, else lines."""
    if console is None or not console.is_terminal:
        lines: dict[str, ProgressLines] = {}

        def show(name: str, done: float, total: float) -> None:
            if console is not None:
                lines.setdefault(name, ProgressLines(console.print, LeagueTable.title(name))).show(done, total)

        yield show
        return
    with Progress(console=console, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def move(name: str, done: float, total: float) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(LeagueTable.title(name))
            bar.update(tasks[name], completed=done, total=total)

        yield move


def _open(
    data: str | Path | Sequence[str | Path], run: Path, model: Model, described: Mapping[str, Any], inputs: Inputs
) -> tuple[Source, xr.DataArray | None, xr.DataArray | None]:
    """Open the data, the error of each observation if the model was trained with one, and the truth."""
    # Withheld observations belong to the dates of the training; the archive may have grown since.
    time = described["time"]
    if inputs.truth is None:
        time = described.get("dates") or time
    reading = reading_of(run, group=inputs.group, dims=inputs.dims, where=inputs.where)
    source = open_source(data, variable=inputs.variable or described["variable"], time=time, reading=reading)
    reading = source.reading
    if not inputs.allow_product:
        source.check_measured()
    error = truth = None
    if isinstance(model.observation_error, str):
        unconditional = reading.unconditional()
        error = open_source(data, variable=model.observation_error, time=time, reading=unconditional).field.array
    if inputs.truth is not None:
        variable = inputs.truth_variable or described["variable"]
        opened = open_source(inputs.truth, variable=variable, reading=reading.beside())
        truth = match_truth(opened.field, source.field)
    return source, error, truth
