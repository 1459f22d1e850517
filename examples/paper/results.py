"""Table 1 as CSV, Markdown, text and a figure."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rich.table import Table

from geogan.fields.field import Field
from geogan.fields.measurement import measure
from geogan.operators.parse import parse
from geogan.paper.cells import COLUMNS, FEW, PAPER, Cell, split

Results = Mapping[tuple[str, str], dict[str, Any]]
"""Scores of the cells by (row, column)."""


def result_file(out: Path, cell: Cell) -> Path:
    """Return the JSON file of a cell."""
    return out / "cells" / f"{cell.name}.json"


def write_table(out: Path, results: Results, rows: Sequence[str], columns: Sequence[str]) -> None:
    """Write ``table.csv``, with a line for each cell, and ``table.md``, in the paper's layout."""
    with (out / "table.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["row", "column", "operator", "mse", "mse_few", "paper", "tested", "steps", "seconds"])
        for (row, column), scores in results.items():
            published = PAPER[row][COLUMNS.index(column)] if row in PAPER else ""
            lines.writerow(
                [row, column, scores["operator"], f"{scores['mse']:.5f}", f"{scores['mse_few']:.5f}", published,
                 scores["tested"], scores.get("steps", ""), f"{scores['seconds']:.0f}"]
            )  # fmt: skip
    text = [f"| MSE (the paper's) | {' | '.join(results[rows[0], column]['operator'] for column in columns)} |"]
    text.append("|---" * (1 + len(columns)) + "|")
    for row in rows:
        text.append(f"| {row.replace('_', ' ')} | {' | '.join(_entry(results, row, column) for column in columns)} |")
    text += [_ratios(results, other, columns) for other in ("paired", "ambientgan") if {"model", other} <= set(rows)]
    (out / "table.md").write_text("\n".join(text) + "\n")


def _ratios(results: Results, other: str, columns: Sequence[str]) -> str:
    """Return the line of ratios of the model's error to that of another system, with the paper's in brackets."""
    # AmbientGAN is scored on few images, so the ratio is taken over these.
    score = "mse" if other == "paired" else "mse_few"
    ratios = (results["model", column][score] / results[other, column][score] for column in columns)
    published = (PAPER["model"][COLUMNS.index(column)] / PAPER[other][COLUMNS.index(column)] for column in columns)
    entries = (f"{ratio:.2f} ({paper:.2f})" for ratio, paper in zip(ratios, published))
    images = "" if other == "paired" else f", first {min(FEW, results['model', columns[0]]['tested'])} images"
    return f"| **model / {other}**{images} | {' | '.join(entries)} |"


def _entry(results: Results, row: str, column: str) -> str:
    score = f"{results[row, column]['mse']:.4f}"
    return f"{score} ({PAPER[row][COLUMNS.index(column)]:.4f})" if row in PAPER else score


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
        of_column = [cell for cell in cells if cell.column == column]
        operator = of_column[0].operator
        gappy = measure(Field.of(numbered), parse(operator), seed=cells[0].seed)
        pictures = {"clean": numbered.values, "measured": gappy.values}
        for cell in of_column:
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
