"""Table 1 as CSV, Markdown, text and a figure."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rich.table import Table

from geogan.fields.field import Field
from geogan.fields.measurement import measure
from geogan.operators.parse import parse
from geogan.paper.cells import FEW, Cell, published, split

# Entry of a cell that is not scored yet.
OPEN = "open"

Results = Mapping[tuple[str, str], dict[str, Any]]
"""Scores of the cells by (row, column), means over seeds; cells that are not scored yet are missing."""


def collected(out: Path, cells: Sequence[Cell]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the scores of the cells that exist: those of the first seed, with errors and times averaged over seeds."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for cell in cells:
        file = result_file(out, cell)
        if file.is_file():
            found.setdefault((cell.row, cell.column), []).append(json.loads(file.read_text()))
    return {
        place: several[0]
        | {name: float(np.mean([scores[name] for scores in several])) for name in ("mse", "mse_few", "seconds")}
        | {"seeds": [scores["mse"] for scores in several]}
        for place, several in found.items()
    }


def result_file(out: Path, cell: Cell) -> Path:
    """Return the JSON file of a cell."""
    return out / "cells" / f"{cell.name}.json"


def write_table(out: Path, results: Results, rows: Sequence[str], columns: Sequence[str]) -> None:
    """Write ``table.csv``, with a line for each cell, and ``table.md``, in the paper's layout, with minutes below."""
    with (out / "table.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(
            ["row", "column", "operator", "mse", "mse_few", "paper", "tested", "steps", "seconds", "seeds", "spread"]
        )
        for (row, column), scores in results.items():
            of_seeds = scores.get("seeds", [scores["mse"]])
            lines.writerow(
                [row, column, scores["operator"], f"{scores['mse']:.5f}", f"{scores['mse_few']:.5f}",
                 published(row, column) or "", scores["tested"], scores.get("steps", ""), f"{scores['seconds']:.0f}",
                 len(of_seeds), f"{np.ptp(of_seeds):.5f}"]
            )  # fmt: skip
    operators = {column: scores["operator"] for (_, column), scores in results.items()}
    head = [
        f" | {' | '.join(operators.get(column, column) for column in columns)} |",
        "|---" * (1 + len(columns)) + "|",
    ]
    text = [f"| MSE (the paper's){head[0]}", head[1]]
    text += [_line(row, [_entry(results, row, column) for column in columns]) for row in rows]
    for ours in ("unir_light", "model"):
        text += [
            _ratios(results, ours, other, columns) for other in ("paired", "ambientgan") if {ours, other} <= set(rows)
        ]
    text += ["", f"| minutes of a cell{head[0]}", head[1]]
    text += [_line(row, [_minutes(results, row, column) for column in columns]) for row in rows]
    (out / "table.md").write_text("\n".join(text) + "\n")


def _line(row: str, entries: Sequence[str]) -> str:
    return f"| {row.replace('_', ' ')} | {' | '.join(entries)} |"


def _minutes(results: Results, row: str, column: str) -> str:
    return f"{results[row, column]['seconds'] / 60:.1f}" if (row, column) in results else OPEN


def _ratios(results: Results, ours: str, other: str, columns: Sequence[str]) -> str:
    """Return the line of ratios of an error to that of another system, with the paper's in brackets."""
    # AmbientGAN is scored on few images, so the ratio is taken over these.
    score = "mse" if other == "paired" else "mse_few"
    entries = []
    for column in columns:
        if (ours, column) not in results or (other, column) not in results:
            entries.append(OPEN)
            continue
        papers = [published(name, column) for name in (ours, other)]
        ratio = results[ours, column][score] / results[other, column][score]
        beside = f" ({papers[0] / papers[1]:.2f})" if papers[0] is not None and papers[1] is not None else ""
        entries.append(f"{ratio:.2f}{beside}")
    tested = next((scores["tested"] for (row, _), scores in results.items() if row == ours), FEW)
    images = "" if other == "paired" else f", first {min(FEW, tested)} images"
    return f"| **{ours.replace('_', ' ')} / {other}**{images} | {' | '.join(entries)} |"


def _entry(results: Results, row: str, column: str) -> str:
    """Return the error of a cell, with half of its range over seeds and the paper's number."""
    if (row, column) not in results:
        return OPEN
    scores, paper = results[row, column], published(row, column)
    of_seeds = scores.get("seeds", [])
    spread = f" ± {np.ptp(of_seeds) / 2:.4f}" if len(of_seeds) > 1 else ""
    return f"{scores['mse']:.4f}{spread}" + ("" if paper is None else f" ({paper:.4f})")


def draw_curves(out: Path, results: Results) -> None:
    """Draw ``curves.png``: the error of each training on what it set aside, against its steps."""
    from matplotlib.figure import Figure

    curves = {place: scores["curve"] for place, scores in results.items() if scores.get("curve")}
    columns = list(dict.fromkeys(column for _, column in curves))
    if not columns:
        return
    figure = Figure(figsize=(4 * len(columns), 3), layout="constrained")
    for ax, wanted in zip(figure.subplots(1, len(columns), squeeze=False)[0], columns, strict=True):
        for (row, column), curve in curves.items():
            if column == wanted:
                ax.plot(*zip(*curve, strict=True), label=row.replace("_", " "))
        ax.set(title=results[next(place for place in curves if place[1] == wanted)]["operator"], xlabel="step")
        ax.legend(fontsize=7)
    figure.axes[0].set_ylabel("RMSE on images set aside")
    figure.savefig(out / "curves.png", dpi=110)


def text_table(results: Results, rows: Sequence[str], columns: Sequence[str]) -> Table:
    """Return the table for the terminal."""
    table = Table("MSE (the paper's)", *columns)
    for row in rows:
        table.add_row(row.replace("_", " "), *(_entry(results, row, column) for column in columns))
    return table


def draw(out: Path, images: xr.DataArray, cells: Sequence[Cell]) -> Path:
    """Draw ``figure.png``, like the paper's figure 4: test images, their measurements, and every reconstruction."""
    from matplotlib.figure import Figure

    rows, columns = list(dict.fromkeys(c.row for c in cells)), list(dict.fromkeys(c.column for c in cells))
    count = shown_images()
    _, test = split(images.sizes["sample"], cells[0].seed)
    numbered = images.assign_coords(sample=np.arange(images.sizes["sample"])).isel(sample=test[:count])
    figure = Figure(figsize=(1.1 * count * len(columns) + 1.6, 1.1 * (len(rows) + 2)), layout="constrained")
    axes = figure.subplots(len(rows) + 2, count * len(columns), squeeze=False)
    for ax in axes.flat:
        ax.set_xticks([])
        ax.set_yticks([])
    for number, column in enumerate(columns):
        of_column = [cell for cell in cells if cell.column == column and cell.seed == cells[0].seed]
        operator = of_column[0].operator
        gappy = measure(Field.of(numbered), parse(operator), seed=cells[0].seed)
        pictures = {"clean": numbered.values, "measured": gappy.values}
        for cell in of_column:
            if not result_file(out, cell).is_file():
                continue
            with np.load(result_file(out, cell).with_suffix(".npz"), allow_pickle=False) as stored:
                pictures[cell.row.replace("_", "\n")] = stored["filled"]
        first = number * count
        axes[0, first].set_title(operator, fontsize=8, loc="left")
        for line, (name, row_pictures) in enumerate(pictures.items()):
            if number == 0:
                axes[line, 0].set_ylabel(name, fontsize=8, rotation=0, ha="right", va="center")
            for ax, picture in zip(axes[line, first : first + count], row_pictures):
                _draw_picture(ax, picture)
    figure.savefig(out / "figure.png", dpi=110)
    return out / "figure.png"


def shown_images() -> int:
    """Return the number of test images in the figure, which each cell keeps."""
    return 4


def _draw_picture(ax: Any, picture: np.ndarray) -> None:
    """Draw an image with values in [-1, 1], (band, y, x) or (y, x); gaps are grey."""
    shades = np.nan_to_num(picture, nan=0.0).clip(-1, 1) / 2 + 0.5
    ax.imshow(np.moveaxis(shades, 0, -1) if shades.ndim == 3 else shades, vmin=0, vmax=1, cmap="gray")
