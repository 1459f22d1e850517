"""``geogan report``: one page on the data, the model, its scores and its maps, to show to others."""

from __future__ import annotations

import platform
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console

from geogan.evaluation import LeagueTable, Row, Scoring
from geogan.fields.field import Field
from geogan.fields.time_range import shown_date
from geogan.files.disk import writing
from geogan.files.places import check_apart
from geogan.files.run_folder import RUN, holds, is_run, read_run
from geogan.files.swap import write_text
from geogan.files.user_path import Data, user_path
from geogan.filling import Workers
from geogan.io import Reading, open_source, variable_names
from geogan.operators.errors import InputError
from geogan.pipelines import report_page as html
from geogan.pipelines.command import COMMAND
from geogan.pipelines.evaluate import Inputs, league_table
from geogan.pipelines.fill import Selection, fill, reading_of
from geogan.pipelines.info import info
from geogan.pipelines.info_report import section_rows
from geogan.pipelines.operators import GapSource, show
from geogan.pipelines.plot import PlotOptions, plot
from geogan.pipelines.score_outputs import Outputs, report_scores

_ORDER = ("Maps", "Scores", "Data", "Gaps", "Model", "Commands")
# Captions of the figures of scores, by the end of their file names.
_CAPTIONS = {
    "reliability": "share of truths within intervals of the error bars; reliable error bars lie on the diagonal",
    "ranks": "rank of the truth among the members; flat if members are as far apart as they should be",
    "spectra": "power spectra by wavelength, and their ratio to that of the observations",
}
_LIBRARIES = ("geogan", "torch", "numpy", "scipy", "xarray", "dask", "zarr")


@dataclass(frozen=True)
class ReportOptions:
    """What a report shows.

    Attributes
    ----------
    product : path, optional
        Filled product to draw maps of; by default the dates of the maps are filled for the report alone.
    truth : path or URL, optional
        Fuller field to score on, as in `geogan.pipelines.evaluate.Inputs`.
    methods : sequence of str
        Methods to score; by default all but the slow ones.
    members : int
        Ensemble members that are scored.
    maps : int
        Dates of which maps are drawn, spread over the record.
    """

    product: str | Path | None = None
    truth: str | Path | None = None
    methods: Sequence[str] = ()
    members: int = 1
    maps: int = 6


def report(
    data: Data,
    model: str | Path,
    out: str | Path,
    options: ReportOptions = ReportOptions(),
    *,
    overwrite: bool = False,
    threads: int | None = None,
    device: str = "auto",
    console: Console | None = None,
) -> Path:
    """Write a page on data and a model: gaps, training, scores, calibration, maps, commands, versions.

    Parameters
    ----------
    data : path or URL, or several
        The archive that the model was trained on.
    model : path
        Folder of its run.
    out : path
        File to write, ``.html``. It needs no other file and no network.
    options : ReportOptions
    overwrite : bool
        Replace an earlier report.
    threads : int, optional
    device : str
    console : Console, optional
        Console for messages and progress.

    Returns
    -------
    path : Path

    Raises
    ------
    InputError
        If an input cannot be used, or the page cannot be written.
    """
    target, run = _page_path(out, overwrite=overwrite), user_path(model)
    check_apart(target, {"--data": data, "--model": run, "--product": options.product}, what="the report")
    if not is_run(run):
        raise InputError(f"{run} is no run of geogan train, so there is nothing to report; give --model RUN")
    if options.maps < 0:
        raise InputError(f"the number of maps is at least 0, got {options.maps}; give a larger one")
    record = read_run(run) if holds(run, RUN) else {}
    reading = reading_of(run, group=None, dims=None, where=None)
    told = {"variable": record.get("variable"), "time": record.get("time"), **reading.plain}

    def say(step: str) -> None:
        if console is not None:
            console.print(f"report: {step}", markup=False, highlight=False, soft_wrap=True)

    with tempfile.TemporaryDirectory(prefix="geogan-report-") as place:
        folder = Path(place)
        say("describing the data and the model")
        about, trained = info(data, domain=record.get("domain"), **told), info(run)
        name = about.get("variable", {}).get("long_name") or told["variable"] or "field"
        page = html.Page(f"{name}: gaps and their filling")
        page.add("Data", *_sections(about, leave_out=("gaps", "identifiability")))
        say("drawing the gaps")
        page.add("Gaps", *_gaps(data, about, trained, GapSource(domain=record.get("domain"), **told), folder))
        page.add("Model", *_model(trained, run, folder))
        say("scoring")
        scoring = Scoring(list(options.methods), options.members)
        try:
            table = league_table(
                data, run, scoring, inputs=Inputs(truth=options.truth), messages=console, ablation=False,
                threads=threads, device=device,
            )  # fmt: skip
        except InputError as error:
            page.add("Scores", html.paragraph(f"No scores: {error}."))
        else:
            page.lead = [sentence for variable in table.variables for sentence in table.verdict(variable)]
            page.add("Scores", *_scores(table, folder / "scores"))
        say("drawing maps")
        page.add("Maps", *_maps(data, run, options, told, folder, Workers(threads, device=device)))
        page.add("Model", html.folded("settings", _sections({"settings": trained["settings"]})))
        page.add("Commands", html.commands(_commands(data, run, target)))
        page.footer = _footer()
        # The result first, then how it came about.
        page.sections = {name: page.sections[name] for name in _ORDER}
        with writing(target):
            write_text(target, page.render())
    return target


def _page_path(out: str | Path, *, overwrite: bool) -> Path:
    """Return the path of the page after a check that it may be written."""
    target = user_path(out).absolute()
    if target.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"the report {str(out)!r} must end in .html; add it")
    if not target.parent.is_dir():
        raise InputError(f"the folder {target.parent} of the report does not exist; make it first")
    if target.exists():
        if target.is_dir() or html.GENERATOR.encode() not in target.read_bytes()[:2000]:
            raise InputError(f"{target} exists and is no report of geogan, so it stays; give another name")
        if not overwrite:
            raise InputError(f"{target} exists; give another name, or overwrite it with --overwrite")
    return target


def _sections(description: Mapping[str, Any], *, leave_out: Sequence[str] = ()) -> Iterator[html.Html]:
    """Yield the sections of a description as tables."""
    chosen = {title: section for title, section in description.items() if title not in leave_out}
    for title, rows in section_rows(chosen).items():
        yield html.table(rows, caption=title)


def _gaps(
    data: Data, about: Mapping[str, Any], trained: Mapping[str, Any], source: GapSource, folder: Path
) -> Iterator[html.Html]:
    """Yield the rules that mark gaps, warnings, and gaps of the operator below real ones."""
    yield html.table(section_rows(about).get("gaps", []), caption="rules that mark gaps")
    for warning in about.get("identifiability", {}).get("warnings", ()):
        yield html.paragraph(warning)
    operator = trained["operator"]["operator"]
    yield html.paragraph(f"operator: {operator}")
    # An operator that hides nothing, and a field without gaps, have no masks to draw.
    with suppress(InputError):
        figure = show(data, operator, folder / "gaps.png", source)
        yield html.picture(figure, "real gaps (above) and gaps that the operator draws (below)")


def _model(trained: Mapping[str, Any], run: Path, folder: Path) -> Iterator[html.Html]:
    """Yield what is known of the model, and the curves of its training."""
    yield from _sections(trained, leave_out=("settings",))
    # A model without a network has no curves.
    with suppress(InputError):
        yield html.picture(plot(run, folder / "training.png"), "losses and error on withheld observations by step")


def _scores(table: LeagueTable, folder: Path) -> Iterator[html.Html]:
    """Yield the league table of each variable, and figures of the calibration."""
    for variable in table.variables:
        rows = table.rows_of(variable)
        least = min((row.score.rmse for row in rows if row.score.share > 0.999), default=None)
        best = next((number for number, row in enumerate(rows) if row.score.rmse == least), None)
        yield html.table(
            [_score_row(row) for row in rows],
            head=("method", "RMSE", "bias", "MAE", "CRPS", "90 %", "spread", "filled"),
            caption=table.heading(variable),
            best=best,
        )
    yield html.paragraph("90 %: share of truths within the 90 % interval; spread: predicted error over actual error.")
    # Without a predicted error there is nothing to draw.
    with suppress(InputError):
        report_scores(table, Outputs(figures=folder))
        for file in sorted(folder.glob("*.png")):
            variable, _, kind = file.stem.rpartition("_")
            yield html.picture(file, f"{variable + ': ' if variable else ''}{_CAPTIONS.get(kind, kind)}")


def _score_row(row: Row) -> list[str]:
    score, law = row.score, row.law
    laws = ["", "", ""] if law is None else [f"{law.crps:.4f}", f"{law.coverage[0.9]:.1%}", f"{law.spread_skill:.2f}"]
    numbers = [f"{score.rmse:.4f}", f"{score.bias:+.4f}", f"{score.mae:.4f}", *laws, f"{score.share:.1%}"]
    return [LeagueTable.title(row.method), *numbers]


def _maps(
    data: Data, run: Path, options: ReportOptions, told: Mapping[str, Any], folder: Path, workers: Workers
) -> Iterator[html.Html]:
    """Yield maps of some dates behind a slider."""
    files: dict[str, Path] = {}
    for number, date in enumerate(_dates(data, options, told)):
        product: Any = options.product
        if product is None:
            selection = Selection(time=None if date is None else str(date.isoformat()))
            product = fill(data, run, folder / f"filled{number}.nc", selection=selection, workers=workers)
        name = next(name.removesuffix("_source") for name in variable_names(product) if name.endswith("_source"))
        chosen = PlotOptions(date=None if date is None else str(date.isoformat()), variable=name)
        figure = plot(product, folder / f"map{number}.png", chosen)
        files["the scene" if date is None else shown_date(date)] = figure
    yield html.slides(files) if files else html.paragraph("No maps were asked for.")


def _dates(data: Data, options: ReportOptions, told: Mapping[str, Any]) -> list[Any]:
    """Return dates spread over the record of the product, or of the data; None for a single map."""
    if not options.maps:
        return []
    if options.product is not None:
        name = next((name for name in variable_names(options.product) if name.endswith("_source")), None)
        if name is None:
            raise InputError(f"{options.product} is no filled product; give one, or leave --product out")
        field: Field = open_source(options.product, variable=name.removesuffix("_source")).field
    else:
        keys = ("group", "dims", "where")
        reading = Reading.of(**{key: told.get(key) for key in keys})
        field = open_source(data, variable=told["variable"], time=told["time"], reading=reading).field
    index = None if field.axes.time is None else field.array.indexes.get(field.axes.time)
    has_dates = index is not None and (np.issubdtype(index.dtype, np.datetime64) or isinstance(index, xr.CFTimeIndex))
    if index is None or not has_dates:
        return [None] if field.shape[0] == 1 else []
    return [index[number] for number in np.unique(np.linspace(0, len(index) - 1, options.maps).round().astype(int))]


def _commands(data: Data, run: Path, target: Path) -> list[str]:
    """Return the commands that lead to the same figures."""
    names = shlex.join([str(data)] if isinstance(data, str | Path) else [str(path) for path in data][:3])
    model = shlex.quote(str(run))
    return [
        f"geogan info {names}",
        f"geogan evaluate {names} --model {model} --no-ablation",
        f"geogan fill {names} --model {model} --out filled.zarr",
        COMMAND.get() or f"geogan report {names} --model {model} --out {shlex.quote(str(target))}",
    ]


def _footer() -> str:
    versions = ", ".join([f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in _LIBRARIES)])
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC. {versions}."
