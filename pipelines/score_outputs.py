"""Where the scores of ``geogan evaluate`` go: a table on the terminal, a JSON file, figures."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from geogan.evaluation import LeagueTable
from geogan.files.disk import writing
from geogan.files.places import check_apart
from geogan.files.user_path import user_path
from geogan.operators.errors import InputError


@dataclass(frozen=True)
class Outputs:
    """Where scores are written.

    Attributes
    ----------
    json : Path, optional
        JSON file, or ``-`` for standard output; only an earlier table is replaced.
    figures : Path, optional
        Folder for figures: maps of all methods on one date, reliability and, for ensembles, rank histogram and power
        spectra.
    console : Console, optional
        Where the table is shown; None for none.
    messages : Console, optional
        Where messages and progress are shown; None for silence.
    """

    json: Path | None = None
    figures: Path | None = None
    console: Console | None = None
    messages: Console | None = None


def check_outputs(outputs: Outputs, inputs: Mapping[str, Any]) -> Outputs:
    """Return the outputs as paths, after a check before the long computation that they can be written."""
    json, figures = outputs.json, outputs.figures
    if json is not None and str(json) != "-":
        json = user_path(json)
        LeagueTable.check_file(json)
        check_apart(json, inputs, what="the table")
    if figures is not None:
        figures = user_path(figures)
        check_apart(figures, inputs, what="the folder of figures", holds=True)
        existing = next(part for part in (figures, *figures.absolute().parents) if part.exists())
        if not existing.is_dir():
            raise InputError(f"{existing} is a file, but --figures needs a folder; give another --figures")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise InputError(f"{existing} is not writable, so {figures} cannot be made; give another --figures")
    return Outputs(json, figures, outputs.console, outputs.messages)


def report_scores(table: LeagueTable, outputs: Outputs) -> None:
    """Print and write a table, and draw its figures."""
    if outputs.console is not None:
        table.print(outputs.console)
    # Before the figures: a figure that fails must not lose the numbers.
    if outputs.json is not None:
        table.write(outputs.json)
    if outputs.figures is not None:
        drawn = [file for variable in table.variables for file in _draw(table, variable, outputs.figures)]
        if outputs.messages is not None:
            sentence = f"{outputs.figures}/ holds {', '.join(drawn)}"
            outputs.messages.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _draw(table: LeagueTable, variable: str, folder: Path) -> list[str]:
    """Write the figures of a variable, and return their names."""
    from geogan.plotting import plot_methods, score_figures

    rows = {LeagueTable.title(row.method): row for row in table.rows_of(variable)}
    prefix = f"{variable}_" if variable else ""
    laws = {name: row.law for name, row in rows.items() if row.law is not None}
    ensembles = {name: row.members for name, row in rows.items() if row.members is not None}
    spectra = {name: row.spectrum for name, row in rows.items() if row.spectrum is not None}
    spectra |= {f"{name}, one member": row.member_spectrum for name, row in rows.items() if row.member_spectrum}
    drawn = score_figures(laws, ensembles, spectra, units=table.units[variable])
    figures = {f"{prefix}{name}.png": figure for name, figure in drawn.items()}
    maps = table.example_maps(variable)
    if maps:
        observed, truth = maps.pop("observed"), maps.pop("truth")
        figures[f"{prefix}methods.png"] = plot_methods(maps, observed, truth)
    if not figures:
        raise InputError("no method predicts its error, so there is nothing to draw; omit --figures")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in figures.items():
            figure.savefig(folder / name, dpi=150)
    if maps:
        import matplotlib.pyplot as plt

        plt.close(figures[f"{prefix}methods.png"])
    return list(figures)
