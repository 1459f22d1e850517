"""League tables as text and as JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from geogan.archive import Archive
from geogan.evaluation.baselines import BASELINES
from geogan.evaluation.rows import Row
from geogan.evaluation.verdict import verdict
from geogan.fields.variables import is_joined, split_variables
from geogan.files.plain_file import read_json
from geogan.files.run_folder import ABLATION
from geogan.model import Model
from geogan.operators.errors import InputError
from geogan.operators.wording import counted

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


@dataclass(frozen=True)
class LeagueTable:
    """Rows of a league table with their units.

    Attributes
    ----------
    rows : list of Row
    variable : str
        Name of the field.
    cells : str
        Description of the cells that are scored.
    units : dict of str to str
        Units of the errors by variable of the rows; empty if there are none.
    band_units : str
        Units of all bands, with commas between.
    clouds : int or None
        Runs of withheld dates, or withheld samples, that are scored; None for the cells of a truth.
    is_blurred : bool
        Whether the model deblurs its measurements.
    field : DataArray, shape (T, C, H, W), optional
        The archive that is scored, lazy or not.
    domain : ndarray of bool, shape (H, W), optional
    """

    rows: list[Row]
    variable: str
    cells: str
    units: dict[str, str]
    band_units: str
    clouds: int | None = None
    is_blurred: bool = False
    field: xr.DataArray | None = None
    domain: np.ndarray | None = None

    @classmethod
    def of(cls, rows: list[Row], model: Model, archive: Archive, *, has_truth: bool) -> LeagueTable:
        """Return the table of the rows of a model."""
        count = len(model.withheld.dates)
        if has_truth:
            has_exact_cells = model.operator.masks and not model.operator.blurs
            cells = "cells hidden from the data" if has_exact_cells else "all cells of the truth"
        else:
            cells = f"withheld cells of {count} samples" if archive.independent else f"withheld clouds on {count} dates"
        units = {row.variable: _units(model, row.variable) for row in rows}
        clouds = None
        if not has_truth:
            clouds = count if archive.independent else len(model.withheld.runs())
        band_units = ", ".join(model.band_units) or _units(model, "")
        is_blurred = model.operator.blurs
        return cls(rows, model.variable, cells, units, band_units, clouds, is_blurred, archive.field, archive.domain)

    @staticmethod
    def title(method: str) -> str:
        """Return the name of a method in tables; the name of a model is its own."""
        if method in BASELINES:
            return BASELINES[method].title
        return {"gaussian": "Gaussian MAP", ABLATION: "model, prior term off"}.get(method, method)

    @staticmethod
    def check_file(file: Path) -> None:
        """Check before a long computation that a JSON file can be written, and that no other file is lost.

        Raises
        ------
        InputError
            If it cannot be written, or exists and is not a league table.
        """
        if file.is_dir():
            raise InputError(f"{file} is a folder, but --json needs a file; give another --json")
        if not file.parent.is_dir():
            raise InputError(f"{file} could not be written: its folder does not exist; make it first")
        if not os.access(file.parent, os.W_OK | os.X_OK):
            raise InputError(f"{file.parent} is not writable, so {file} cannot be made; give another --json")
        if file.exists() and not _is_league_table(file):
            raise InputError(f"{file} exists and is not a table of geogan, so it is kept; give another --json")

    @property
    def variables(self) -> list[str]:
        """Variables of the rows; one empty name if there is only one."""
        return list(self.units)

    def rows_of(self, variable: str) -> list[Row]:
        """Return the rows of a variable."""
        return [row for row in self.rows if row.variable == variable]

    def example_maps(self, variable: str = "") -> dict[str, xr.DataArray]:
        """Return one date as maps: ``observed`` without the scored cells, ``truth`` in them, each estimate by title.

        The date is the one with most cells to score; the result is empty if there is none.
        """
        examples = {self.title(row.method): row.example for row in self.rows_of(variable) if row.example is not None}
        if not examples or self.field is None:
            return {}
        first = next(iter(examples.values()))
        time, band = self.field.dims[:2]
        array = self.field.isel({time: first.date})
        if is_joined(self.field):
            array = next(each for each in split_variables(array) if each.name == variable)
        else:
            array = array.isel({band: first.band}, drop=True)
        domain = np.ones(first.where.shape, bool) if self.domain is None else self.domain
        shown = np.where(first.where, np.nan, np.asarray(array.values, np.float64))
        maps = {"observed": shown, "truth": np.where(first.where, first.truth, np.nan)}
        maps |= {name: np.where(domain, example.estimate, np.nan) for name, example in examples.items()}
        return {name: array.copy(data=values) for name, values in maps.items()}

    def heading(self, variable: str = "") -> str:
        """Return the sentence above the rows of a variable: name, cells and units."""
        counts = [round(row.score.cells / row.score.share) for row in self.rows_of(variable) if row.score.share > 0]
        units = f", in {self.units[variable]}" if self.units[variable] else ""
        return f"{variable or self.variable}: error on {self.cells} ({counted(max(counts, default=0), 'value')}){units}"

    def print(self, console: Console) -> None:
        """Print the scores, by category as well, the power spectra, and the verdict on the model."""
        for variable in self.variables:
            rows = self.rows_of(variable)
            heading = self.heading(variable)
            console.print(heading, style="italic", markup=False, highlight=False, soft_wrap=True)
            console.print(score_table(rows))
            if any(row.law for row in rows):
                console.print(
                    "90 %: share of truths within the 90 % interval; spread: predicted error over\nactual error",
                    highlight=False,
                )
            for category in rows[0].parts:
                console.print(category_table(rows, category))
            if any(row.member_spectrum for row in rows):
                console.print(spectrum_table(rows))
            for sentence in self.verdict(variable):
                console.print(sentence, markup=False, highlight=False)

    def verdict(self, variable: str = "") -> list[str]:
        """Return sentences on the error of the model, its error bars and its use; empty without a model."""
        cells = (
            self.cells if self.clouds is None else "withheld cells" if "samples" in self.cells else "withheld clouds"
        )
        return verdict(
            self.rows_of(variable),
            name=variable or self.variable,
            units=self.units[variable],
            cells=cells,
            clouds=self.clouds,
            is_blurred=self.is_blurred,
        )

    def record(self) -> dict[str, Any]:
        """Return the table as JSON holds it."""
        return {
            "variable": self.variable,
            "units": self.band_units,
            "cells": self.cells,
            "verdict": [sentence for variable in self.variables for sentence in self.verdict(variable)],
            "rows": [
                ({"variable": row.variable, "units": self.units[row.variable]} if row.variable else {}) | _record(row)
                for row in self.rows
            ],
        }

    def write(self, file: Path) -> None:
        """Write the table to a JSON file, in one move, or to standard output for ``-``.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        text = json.dumps(self.record(), indent=2)
        if str(file) == "-":
            sys.stdout.write(text + "\n")
            return
        partial = file.with_name(f".{file.name}.partial")
        try:
            partial.write_text(text + "\n")
            partial.replace(file)
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            reason = error.strerror or str(error)
            raise InputError(f"{file} could not be written ({reason}); give another --json") from error


def score_table(rows: Sequence[Row]) -> Table:
    """Return a table of at most 80 characters, with the least error in bold."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("method", no_wrap=True)
    has_law = any(row.law for row in rows)
    for name in ("RMSE", "bias", "MAE", *(("CRPS", "90 %", "spread") if has_law else ()), "filled"):
        table.add_column(name, justify="right", no_wrap=True)
    # A method that omits cells does not compete.
    least = min((row.score.rmse for row in rows if row.score.share > 0.999), default=None)
    for row in rows:
        score, law = row.score, row.law
        columns = ("",) * 3
        if law is not None:
            columns = (f"{law.crps:.4f}", f"{law.coverage[0.9]:.1%}", f"{law.spread_skill:.2f}")
        table.add_row(
            LeagueTable.title(row.method),
            f"{score.rmse:.4f}",
            f"{score.bias:+.4f}",
            f"{score.mae:.4f}",
            *(columns if has_law else ()),
            f"{score.share:.1%}",
            style="bold" if score.rmse == least else None,
        )
    return table


def category_table(rows: Sequence[Row], category: str) -> Table:
    """Return the RMSE in the classes of a category, and the calibration of the model's error there.

    Columns are the models and the Gaussian MAP, if they are scored; the JSON file has every method.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    rows = [row for row in rows if row.method not in BASELINES] or list(rows)
    table = Table(title=f"RMSE by {category}", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for row in rows:
        table.add_column(LeagueTable.title(row.method), justify="right")
    with_law = next((row for row in rows if row.method == "model" and row.law is not None), None)
    for name in ("90 %", "spread") if with_law else ():
        table.add_column(name, justify="right")
    table.add_column("share", justify="right")
    labels = list(dict.fromkeys(label for row in rows for label in row.parts.get(category, {})))
    total = sum(part.score.cells for part in rows[-1].parts[category].values())
    for label in labels:
        parts = [row.parts[category][label] for row in rows]
        law = None if with_law is None else with_law.parts[category][label].law
        table.add_row(
            label,
            *(f"{part.score.rmse:.4f}" for part in parts),
            *(() if law is None else (f"{law.coverage[0.9]:.1%}", f"{law.spread_skill:.2f}")),
            f"{parts[-1].score.cells / total:.1%}",
        )
    return table


def spectrum_table(rows: Sequence[Row]) -> Table:
    """Return the power of a member over the truth's by wavelength, of the methods that have an ensemble."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    title = "power of a member over the truth's, by wavelength"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("cells", no_wrap=True)
    rows = [row for row in rows if row.spectrum is not None and row.member_spectrum is not None]
    first = rows[0].member_spectrum
    assert first is not None
    # Shorter waves than four cells are mostly those of the grid.
    chosen = [number for number, wavelength in enumerate(first.wavelength) if wavelength >= 4]
    for number in chosen:
        table.add_column(f"{first.wavelength[number]:.1f}", justify="right")
    table.add_column("resolution of\nthe mean", justify="right")
    for row in rows:
        assert row.spectrum is not None and row.member_spectrum is not None
        effective = row.spectrum.effective_resolution()
        table.add_row(
            LeagueTable.title(row.method),
            *(f"{row.member_spectrum.ratio[number]:.2f}" for number in chosen),
            f"{effective:.1f} cells" if np.isfinite(effective) else "none here",
        )
    return table


def _is_league_table(file: Path) -> bool:
    try:
        content = read_json(file)
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and {"variable", "units", "cells", "rows"} <= content.keys()


def _record(row: Row) -> dict[str, Any]:
    """Return a row as JSON holds it."""
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


def _units(model: Model, variable: str) -> str:
    """Return the units of the errors of a variable, or of the field; empty for a quantity without units."""
    if variable:
        units = model.band_units[model.bands.index(variable)]
    elif model.standardiser.error_unit("")[1] == "anomalies":
        return "anomalies"
    else:
        units = model.units
    return "" if units == "1" else units
