"""``geogan evaluate``: a league table on withheld clouds, or against a truth."""

from __future__ import annotations

import json as json_text
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from geogan.archive.archive import Archive
from geogan.archive.survey import check_field
from geogan.compute.device import find_device
from geogan.compute.regions import Region
from geogan.evaluation.league import DEFAULT, METHODS, Row, chosen_categories, chosen_methods, league
from geogan.evaluation.rivals import FITTED, QUICK
from geogan.fields.field import Field
from geogan.fields.grids import difference
from geogan.fields.observation_error import error_checker
from geogan.fields.units import same_units
from geogan.files.disk import writing
from geogan.files.places import check_apart
from geogan.files.plain_file import read_json
from geogan.files.run_folder import ABLATION, RUN, holds, is_run, read_run
from geogan.files.user_path import user_path
from geogan.filling.fill import check_members, prepared, with_screen
from geogan.filling.regime import Regime
from geogan.io import check_measured, find_paths, open_source
from geogan.model.model import Model
from geogan.model.model_file import load_model
from geogan.operators.errors import InputError
from geogan.pipelines.fill import reading_of
from geogan.pipelines.train import train
from geogan.presets import OPTIMISER
from geogan.reconstructor import Reconstructor
from geogan.settings import check_settings

# Settings that presets have and no option gives.
_OF_PRESETS = (*OPTIMISER, "show_mask", "weight_paired", "clean_unrelated", "likelihood_every", "averaging")
TITLES = {
    "climatology": "climatology",
    "linear_time": "linear in time",
    "biharmonic": "biharmonic",
    "total_variation": "total variation",
    "deep_image_prior": "Deep Image Prior",
    "dineof": "DINEOF",
    "ambientgan": "AmbientGAN",
    "gaussian": "Gaussian MAP",
    "model": "model",
    ABLATION: "model, prior term off",
}

RIVALS = (*QUICK, *FITTED)


def evaluate(
    data: str | Path | Sequence[str | Path],
    model: Path,
    *,
    variable: str | Sequence[str] | None = None,
    group: str | None = None,
    dims: str | Mapping[str, str] | None = None,
    where: str | None = None,
    truth: str | Path | None = None,
    truth_variable: str | None = None,
    methods: Sequence[str] | None = None,
    members: int = 1,
    by: Sequence[str] = (),
    figures: Path | None = None,
    ablation: bool = True,
    json: Path | None = None,
    allow_product: bool = False,
    screen: bool | None = None,
    threads: int | None = None,
    device: str = "auto",
    console: Console | None = None,
) -> list[Row]:
    """Score the model and its rivals on the same cells.

    Parameters
    ----------
    data : path or URL, or several
        The archive that the model was trained on.
    model : Path
        Folder of its run.
    variable : str or sequence of str, optional
        Those that the model was trained on, of which each is scored in its own units.
    group, dims, where : str, optional
        How the data are read, as in `geogan.io.open_field`; by default as the run was trained. An empty text stands for
        none.
    truth : path or URL, optional
        A fuller archive: score on what is in it and not in the data, instead of on the withheld clouds.
    truth_variable : str, optional
        Its variable, where that has another name there than in the data.
    methods : sequence of str, optional
        Of :data:`geogan.evaluation.league.METHODS`, also several with commas between, or ``"all"``; by default those
        that take seconds.
    members : int
        Draws of the ensembles of the model and of the Gaussian MAP; two or more are scored, with their power spectra.
    by : sequence of str
        Of :data:`geogan.evaluation.league.CATEGORIES`: scores apart by distance to the nearest observation, cloud or
        season.
    figures : Path, optional
        Folder to draw into: how often the truth lies in which interval, and, of ensembles, rank histogram and power
        spectra.
    ablation : bool
        Also train, once, for as many steps, with the prior term off, and score that; kept in the run. Not of a run
        whose settings only a preset has.
    json : Path, optional
        Write the rows there too; ``-`` for standard output. Of what is there, only an earlier table is replaced.
    allow_product : bool
        Take a filled product of geogan as the data, its estimates for observations.
    screen : bool, optional
        Neither show nor score observations that neither neighbours nor the climatology support; by default as the
        model was trained.
    threads : int, optional
    device : str
    console : Console, optional
        Where to show the table and the progress; None for silence.

    Returns
    -------
    list of Row

    Raises
    ------
    InputError
        Where something cannot be used.
    """
    check_settings({"members": members, "threads": threads})
    inputs = {"--data": data, "--model": model, "--truth": truth}
    chosen = chosen_methods(named(methods))
    categories = chosen_categories([name.strip() for text in by for name in text.split(",") if name.strip()])
    if truth_variable is not None and truth is None:
        raise InputError(f"the variable {truth_variable!r} of a truth is named, but no truth; give --truth too")
    # All that is written must have its place before anything long runs.
    json = None if json is None else json if str(json) == "-" else user_path(json)
    if json is not None:
        _check_json(json)
        if str(json) != "-":
            check_apart(json, inputs, what="the table")
    figures = None if figures is None else user_path(figures)
    if figures is not None:
        check_apart(figures, inputs, what="the folder of figures", holds=True)
        _check_figures(figures)
    for given in [data] if truth is None else [data, truth]:
        find_paths(given)
    model = user_path(model)
    trained = with_screen(load_model(model), screen)
    check_members(trained, members)
    place = find_device(device)
    described = read_run(model) if holds(model, RUN) else {"variable": trained.variable, "time": None}
    # What was withheld belongs to the dates that were trained on; the archive may have grown since.
    time = described["time"] if truth is not None else described.get("dates") or described["time"]
    reading = reading_of(model, group=group, dims=dims, where=where)
    source = open_source(data, variable=variable or described["variable"], time=time, reading=reading)
    reading = source.reading
    if not allow_product:
        check_measured(source)
    if console is not None:
        for note in source.notes:
            console.print(note, markup=False, highlight=False, soft_wrap=True)
    error = None
    if isinstance(trained.observation_error, str):
        stated, beside = trained.observation_error, reading.unconditional()
        error = open_source(data, variable=stated, time=time, reading=beside).field
    field = Field.of(source.field)
    archive = prepared(trained, field, error=error, withheld=truth is None)
    for sentence in _regime(field, archive, trained):
        if console is not None:
            console.print(sentence, highlight=False, soft_wrap=True)
    if "season" in categories and archive.phase is None:
        raise InputError("the archive has no dates, so there are no seasons to score apart; leave season out")
    archive = archive.held()
    fuller = None
    if truth is not None:
        true = open_source(truth, variable=truth_variable or described["variable"], reading=reading.beside()).field
        fuller = _same_cells(true, field)
    models: dict[str, Model] = {"model": trained}
    if ablation and "model" in chosen and _has_ablation(trained):
        models[ABLATION] = _ablation(data, model, trained, described | reading.plain, threads, device, console)
    with Progress(console=console, transient=True, disable=console is None or not console.is_terminal) as bar:
        tasks: dict[str, TaskID] = {}

        def progress(what: str, done: float, total: float) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(TITLES.get(what, what))
            bar.update(tasks[what], completed=done, total=total)

        rows = league(
            models,
            archive,
            truth=fuller,
            methods=chosen,
            members=members,
            by=categories,
            device=place,
            threads=threads,
            progress=progress,
            message=None if console is None else console.print,
        )
    count = len(trained.withheld.dates)
    withheld = f"withheld cells of {count} samples" if archive.independent else f"withheld clouds on {count} dates"
    against = "cells hidden from the data" if trained.operator.masks else "all cells of the truth"
    kind = against if truth is not None else withheld
    each = {name: [row for row in rows if row.variable == name] for name in dict.fromkeys(row.variable for row in rows)}
    if console is not None:
        for own in each.values():
            _print(own, trained, kind, console)
    # Written first: a figure that fails must not lose the numbers.
    if json is not None:
        _write(rows, trained, kind, json)
    if figures is not None:
        drawn = [file for own in each.values() for file in _draw(own, figures, trained)]
        if console is not None:
            console.print(f"{figures}/ holds {', '.join(drawn)}", markup=False, highlight=False, soft_wrap=True)
    return rows


def _regime(field: Field, archive: Archive, model: Model) -> list[str]:
    """Look once at all of a field; return what is to be said of values that the model does not expect."""
    regime = Regime(archive, field.name, model.bands if model.band_units else ())
    check = error_checker(field.with_error(archive.error))

    def look(region: Region, values: np.ndarray) -> None:
        check(region, values)
        regime.add(region, values)

    check_field(field, look=look)
    return regime.sentences()


def named(methods: Sequence[str] | None) -> list[str]:
    """Methods one by one, each once.

    Examples
    --------
    >>> named(["model,dineof", "model"])
    ['model', 'dineof']
    """
    if not methods:
        return list(DEFAULT)
    each = [name.strip() for text in methods for name in text.split(",") if name.strip()]
    return list(dict.fromkeys(METHODS if "all" in [name.casefold() for name in each] else each))


def _same_cells(truth: xr.DataArray, field: Field) -> xr.DataArray:
    """The truth on the dates of the data, as (T, C, H, W)."""
    array, axes, theirs = field.array, field.axes, Field.of(truth).axes
    if axes.time in array.coords and theirs.time in truth.coords:
        try:
            truth = truth.sel({theirs.time: array[axes.time].values})
        except KeyError as error:
            raise InputError(
                f"the truth lacks dates that {field.name} has ({error}); give a truth that covers them all"
            ) from error
    _check_truth(field, Field(truth, theirs))
    return Field(truth, theirs).stacked


def _check_truth(data: Field, truth: Field) -> None:
    """Refuse a truth of other cells, dates or units: its errors would be numbers without meaning."""
    if data.shape != truth.shape:
        own, theirs = data.array.shape, truth.array.shape
        raise InputError(f"the truth has shape {theirs}, the data {own}; give the same dates on the same grid")
    for units, others in zip(data.band_units, truth.band_units, strict=True):
        if not same_units(units, others):
            raise InputError(f"the truth is in {others or 'no units'}, the data in {units or 'no units'}; convert it")
    apart = difference(data, truth)
    if apart:
        raise InputError(
            f"the truth has other coordinates along {apart.kind} ({apart.second}) than the data ({apart.first}); give "
            "the same dates on the same grid"
        )
    a, b = data.days, truth.days
    if np.abs(a - b).max() > 0.01 * np.abs(np.diff(a)).min(initial=1.0):
        raise InputError(
            f"the truth has other coordinates along time ({b[0]:g} to {b[-1]:g} days) than the data ({a[0]:g} to "
            f"{a[-1]:g}); give the same dates on the same grid"
        )


def _print(rows: Sequence[Row], model: Model, kind: str, console: Console) -> None:
    console.print(heading(rows, model, kind), style="italic", markup=False, highlight=False, soft_wrap=True)
    console.print(table(rows))
    if any(row.law for row in rows):
        console.print("90 %: truths within the 90 % interval; spread: predicted error over the error found")
    for category in rows[0].parts:
        console.print(by_class(rows, category))
    for line in _resolution(rows):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def heading(rows: Sequence[Row], model: Model, kind: str) -> str:
    """What stands over the table: the variable, the cells and the unit, which are those of every row."""
    variable = rows[0].variable
    units = f", in {unit}" if (unit := _units(model, variable)) else ""
    asked = max([round(row.score.cells / row.score.share) for row in rows if row.score.share > 0] or [0])
    return f"{variable or model.variable}: error on {kind} ({asked:,} values){units}"


def table(rows: Sequence[Row]) -> Table:
    """The rows as a table of at most 80 characters, the least error in bold."""
    shown = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    shown.add_column("method", no_wrap=True)
    sure = any(row.law for row in rows)
    # 90 %: share of the truths within the 90 % interval; spread: the predicted error over the one found.
    for name in ("RMSE", "bias", "MAE", *(("CRPS", "90 %", "spread") if sure else ()), "filled"):
        shown.add_column(name, justify="right", no_wrap=True)
    best = min((row.score.rmse for row in rows if row.score.share > 0.999), default=None)
    for row in rows:
        score, law = row.score, row.law
        said = (
            ("", "", "") if law is None else (f"{law.crps:.4f}", f"{law.coverage[0.9]:.1%}", f"{law.spread_skill:.2f}")
        )
        shown.add_row(
            TITLES.get(row.method, row.method),
            f"{score.rmse:.4f}",
            f"{score.bias:+.4f}",
            f"{score.mae:.4f}",
            *(said if sure else ()),
            f"{score.share:.1%}",
            style="bold" if score.rmse == best else None,
        )
    return shown


def by_class(rows: Sequence[Row], category: str) -> Table:
    """RMSE of the models and the Gaussian MAP in the classes of a category, and how honest the model's error is there.

    A JSON file has those of all methods.
    """
    rows = [row for row in rows if row.method not in RIVALS] or list(rows)
    shown = Table(title=f"RMSE by {category}", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    shown.add_column("", no_wrap=True)
    for row in rows:
        shown.add_column(TITLES.get(row.method, row.method), justify="right")
    sure = next((row for row in rows if row.method == "model" and row.law is not None), None)
    for name in ("90 %", "spread") if sure else ():
        shown.add_column(name, justify="right")
    shown.add_column("share", justify="right")
    labels = list(dict.fromkeys(label for row in rows for label in row.parts.get(category, {})))
    total = sum(part.score.cells for part in rows[-1].parts[category].values())
    for label in labels:
        parts = [row.parts[category][label] for row in rows]
        law = None if sure is None else sure.parts[category][label].law
        shown.add_row(
            label,
            *(f"{part.score.rmse:.4f}" for part in parts),
            *(() if law is None else (f"{law.coverage[0.9]:.1%}", f"{law.spread_skill:.2f}")),
            f"{parts[-1].score.cells / total:.1%}",
        )
    return shown


def _resolution(rows: Sequence[Row]) -> Iterator[str]:
    """Sentences on the power spectra."""
    for row in rows:
        if row.spectrum is None or row.member_spectrum is None:
            continue
        short = [
            f"{wavelength:.1f} cells {ratio:.2f}"
            for wavelength, ratio in zip(row.member_spectrum.wavelength, row.member_spectrum.ratio, strict=True)
            if wavelength >= 4
        ]
        effective = row.spectrum.effective_resolution()
        reached = f"{effective:.1f} cells" if np.isfinite(effective) else "none within these wavelengths"
        yield (
            f"{TITLES.get(row.method, row.method)}: power of a member over the truth's at {', '.join(short)}; "
            f"effective resolution of the mean: {reached}"
        )


def _draw(rows: Sequence[Row], figures: Path, model: Model) -> list[str]:
    """Write the figures of a variable; their names."""
    from geogan.plotting import plot_ranks, plot_reliability, plot_spectra

    def called(row: Row) -> str:
        return TITLES.get(row.method, row.method)

    variable, made = rows[0].variable, {}
    prefix = f"{variable}_" if variable else ""
    laws = {called(row): row.law for row in rows if row.law is not None}
    ensembles = {called(row): row.members for row in rows if row.members is not None}
    spectra = {called(row): row.spectrum for row in rows if row.spectrum is not None}
    spectra |= {f"{called(row)}, one member": row.member_spectrum for row in rows if row.member_spectrum is not None}
    if laws:
        made[f"{prefix}reliability.png"] = plot_reliability(laws)
    if ensembles:
        made[f"{prefix}ranks.png"] = plot_ranks(ensembles)
    if spectra:
        made[f"{prefix}spectra.png"] = plot_spectra(spectra, units=_units(model, variable))
    if not made:
        raise InputError("no method says how sure it is, so there is nothing to draw; leave --figures out")
    with writing(figures):
        figures.mkdir(parents=True, exist_ok=True)
        for name, figure in made.items():
            figure.savefig(figures / name, dpi=150)
    return list(made)


def _units(model: Model, variable: str = "") -> str:
    """Units of the table's errors: the variable's or the field's, unless its bands have none in common."""
    if variable:
        units = model.band_units[model.bands.index(variable)]
        return "" if units == "1" else units
    if model.standardiser.error_unit("")[1] == "anomalies":
        return "anomalies"
    return "" if model.units == "1" else model.units


def _ablation(
    data: str | Path | Sequence[str | Path],
    run: Path,
    model: Model,
    described: dict[str, Any],
    threads: int | None,
    device: str,
    console: Console | None,
) -> Model:
    """The same training without the prior term, for as many steps; trained once and kept in the run."""
    path = run / ABLATION
    settings = model.settings
    if not is_run(path) or not _is_ablation(load_model(path), model):
        if console is not None:
            seconds = model.scores["seconds"]
            console.print(
                f"training without the prior term, once, {model.scores['steps']} steps (at most {seconds:.0f} s)"
            )
        train(
            data,
            operator=[settings["operator"]] if isinstance(settings["operator"], str) else settings["operator"],
            out=path,
            variable=described["variable"],
            # Runs of earlier versions keep no domain where none was given.
            domain=described.get("domain") or ("all" if model.domain.all() else "observed"),
            time=described.get("dates") or described["time"],
            group=described.get("group"),
            dims=described.get("dims"),
            where=described.get("where"),
            transform=settings["transform"],
            covariate=settings.get("covariates", ()),
            noise=settings.get("noise"),
            error_variable=described.get("error_variable"),
            generator=settings["generator"],
            discriminator=settings["discriminator"],
            window=settings["window"],
            width=settings["width"],
            crop=settings["crop"],
            batch=settings["batch"],
            members=settings["members"],
            weight_prior=0.0,
            weight_likelihood=settings["weight_likelihood"],
            weight_withheld=settings["weight_withheld"],
            first_guess=settings["first_guess"],
            steps=model.scores["steps"],
            precision=model.precision,
            seed=settings["seed"],
            threads=threads or settings["threads"],
            device=device,
            overwrite=True,
            allow_product=True,
            console=console,
        )
    return load_model(path)


def _has_ablation(model: Model) -> bool:
    """Whether a run has a prior term to leave out, something to learn without it, and settings that can be repeated.

    What only presets set has no option of its own: a training that differed in it too would say nothing.
    """
    if model.network is None:
        return False
    usual, own = vars(Reconstructor()), model.settings
    learns = own.get("weight_prior", 0) > 0 and own["weight_likelihood"] + own["weight_withheld"] > 0
    return learns and all(own.get(name, usual[name]) == usual[name] for name in _OF_PRESETS)


def _is_ablation(other: Model, model: Model) -> bool:
    """Whether a model differs from another in its prior term alone; a run that was replaced leaves an old one."""
    free = ("weight_prior", "steps", "minutes", "threads", "precision", "operator")
    settings = [{name: value for name, value in each.settings.items() if name not in free} for each in (other, model)]
    return (
        settings[0] == settings[1]
        and other.scores["steps"] >= model.scores["steps"]
        and other.operator == model.operator
        and np.array_equal(other.withheld.sources, model.withheld.sources)
        and np.array_equal(other.standardiser.coefficients, model.standardiser.coefficients)
    )


def _write(rows: Sequence[Row], model: Model, kind: str, json: Path) -> None:
    content = {
        "variable": model.variable,
        "units": ", ".join(model.band_units) or _units(model),
        "cells": kind,
        "rows": [
            ({"variable": row.variable, "units": _units(model, row.variable)} if row.variable else {}) | _record(row)
            for row in rows
        ],
    }
    text = json_text.dumps(content, indent=2)
    if str(json) == "-":
        sys.stdout.write(text + "\n")
        return
    aside = json.with_name(f".{json.name}.partial")
    try:
        aside.write_text(text + "\n")
        aside.replace(json)
    except OSError as error:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise InputError(f"{json} could not be written ({reason}); give another --json") from error


def _record(row: Row) -> dict[str, Any]:
    """A row as JSON holds it."""
    record: dict[str, Any] = {"method": row.method, **row.score._asdict()}
    for name, law in (("law", row.law), ("members", row.members)):
        if law is not None:
            record[name] = law._asdict()
    for name, spectrum in (("spectrum", row.spectrum), ("member_spectrum", row.member_spectrum)):
        if spectrum is not None:
            record[name] = {"wavelength": spectrum.wavelength.tolist(), "ratio": spectrum.ratio.tolist()}
    if row.parts:
        record["by"] = {
            category: {
                label: part.score._asdict() | ({} if part.law is None else {"law": part.law._asdict()})
                for label, part in classes.items()
            }
            for category, classes in row.parts.items()
        }
    return record


def _check_figures(folder: Path) -> None:
    """Refuse, before anything is scored, a place where no folder of figures can be made or written to."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, where a folder should go; give another --figures")
    there = next(part for part in (folder, *folder.absolute().parents) if part.exists())
    if not there.is_dir():
        raise InputError(f"{there} is a file, where a folder should go; give another --figures")
    _check_writable(there, folder, "--figures")


def _check_writable(there: Path, what: Path, option: str) -> None:
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{there} may not be written to, so {what} cannot be made; give another {option}")


def _check_json(json: Path) -> None:
    """Refuse, before anything is scored, a place that is not free for a table."""
    if str(json) == "-":
        return
    if json.is_dir():
        raise InputError(f"{json} is a folder, where a file should go; give another --json")
    if not json.parent.is_dir():
        raise InputError(f"{json} could not be written: its folder does not exist; make it first")
    _check_writable(json.parent, json, "--json")
    if json.exists() and not _is_table(json):
        raise InputError(f"{json} exists and is no table of geogan, so it stays; give another --json")


def _is_table(file: Path) -> bool:
    try:
        content = read_json(file)
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and {"variable", "units", "cells", "rows"} <= content.keys()
