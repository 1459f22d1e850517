"""``geogan table1``: train and score every system on every measurement process."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import asdict
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from geogan.compute.device import find_device
from geogan.compute.threads import cores, torch_threads
from geogan.fields.field import Field
from geogan.fields.measurement import measure
from geogan.files.places import check_apart
from geogan.files.user_path import user_path
from geogan.operators.choices import choice
from geogan.operators.errors import InputError
from geogan.operators.parse import parse
from geogan.paper.cells import COLUMNS, FEW, ROWS, TRAINED, Cell, TableSettings, reduced, split, table_cells
from geogan.paper.results import collected, draw, draw_curves, result_file, shown_images, text_table, write_table
from geogan.paper.systems import SYSTEMS, System


def table1(
    data: str | Path,
    out: Path,
    settings: TableSettings = TableSettings(),
    *,
    rows: Sequence[str] = ROWS,
    columns: Sequence[str] = COLUMNS,
    jobs: int | None = None,
    systems: Mapping[str, System] = SYSTEMS,
    stop_after: float | None = None,
    console: Console | None = None,
) -> dict[tuple[str, str], dict[str, Any]]:
    """Train and score every row on every column, cell by cell; cells that exist already are kept.

    Parameters
    ----------
    data : path
        Clean images, as :func:`geogan.io.open_field` opens them. They are measured once, by number and seed;
        only the paired and the unpaired variant, and the score, use the clean images.
    out : Path
        Folder for ``cells/``, ``table.csv``, ``table.md`` and ``figure.png``.
    settings : TableSettings
    rows, columns : sequence of str
        Names of :data:`~geogan.paper.cells.ROWS` and :data:`~geogan.paper.cells.COLUMNS`.
    jobs : int, optional
        Cells at a time, each in its own process; by default one a core, or one on a GPU. A single job runs in this
        process.
    systems : mapping of str to callable
        The function of each row; other functions than the usual ones need ``jobs=1``.
    stop_after : float, optional
        Minutes after which no further cell is begun. The table then has open cells; the same call continues it.
    console : Console, optional

    Returns
    -------
    dict
        Scores by (row, column), means over seeds: ``mse`` over all pixels of the test images with values in [-1, 1],
        ``mse_few`` over the first :data:`~geogan.paper.cells.FEW` images, on which every row is scored, ``seeds`` with
        the ``mse`` of each seed, ...

    Raises
    ------
    InputError
        For unknown rows or columns, too few or too small images, or an output folder with other contents.
    """
    check_apart(out, {"--data": data}, what="the folder", holds=True)
    rows = [choice(name, ROWS, "row of table1") for name in rows]
    columns = [choice(name, COLUMNS, "column of table1") for name in columns]
    images = reduced(str(data), settings.variable, settings.size, settings.images)
    if images.sizes["sample"] < 20:
        raise InputError(f"a table needs at least 20 images, {data} has {images.sizes['sample']}; give more images")
    out = _prepared_folder(out)
    if "band" not in images.dims and "remove_pixel_channel" in columns:
        columns = list(dict.fromkeys("remove_pixel" if name == "remove_pixel_channel" else name for name in columns))
        if console is not None:
            console.print("the images have one band, so remove_pixel_channel equals remove_pixel and is scored as that")
    cells = table_cells(str(data), images, rows, columns, settings)
    if jobs is None:
        jobs = 1 if find_device(settings.device).type == "cuda" else cores()
    todo = [cell for cell in cells if not result_file(out, cell).is_file()]
    _announce(cells, todo, jobs, console)
    _score_cells(todo, out, jobs, systems, console, stop_after=stop_after)
    results = collected(out, cells)
    write_table(out, results, rows, columns)
    draw(out, images, cells)
    draw_curves(out, results)
    if console is not None:
        console.print(text_table(results, rows, columns))
        left = sum(not result_file(out, cell).is_file() for cell in cells)
        still = f"; {left} cells are open, repeat the command to score them" if left else ""
        console.print(f"{out}/ holds table.csv, table.md and figure.png{still}", markup=False)
    return results


def score_cell(cell: Cell, out: Path, systems: Mapping[str, System] = SYSTEMS) -> dict[str, Any]:
    """Train and score one cell, and write its results."""
    began = time.perf_counter()
    images = reduced(cell.data, cell.variable, cell.size, cell.images)
    train, test = split(images.sizes["sample"], cell.seed)
    if cell.row in ("ambientgan", "ambientgan_measured", "deep_image_prior"):
        test = test[:FEW]
    # The corruption of an image depends on its number, which the coordinate keeps.
    images = images.assign_coords(sample=np.arange(images.sizes["sample"]))
    operator = parse(cell.operator)
    gappy = measure(Field.of(images), operator, seed=cell.seed)
    clean = images.isel(sample=test)
    with torch_threads(1):
        filled, records = systems[cell.row](
            cell, operator, gappy.isel(sample=train), images.isel(sample=train), gappy.isel(sample=test), out
        )
    scores = {
        **asdict(cell),
        "mse": float(((filled - clean.values) ** 2).mean()),
        "mse_few": float(((filled - clean.values)[:FEW] ** 2).mean()),
        "tested": len(test),
        "seconds": time.perf_counter() - began,
        **records,
    }
    file = result_file(out, cell)
    np.savez_compressed(file.with_suffix(".npz"), filled=filled[: shown_images()])
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(scores, indent=2))
    partial.replace(file)
    return scores


def _prepared_folder(out: Path) -> Path:
    """Make the folder of the table, unless it holds other things."""
    out = user_path(out)
    if out.is_dir() and any(out.iterdir()) and not (out / "cells").is_dir():
        raise InputError(f"{out} is a folder with other contents; give another --out")
    (out / "cells").mkdir(parents=True, exist_ok=True)
    return out


def _score_cells(
    cells: Sequence[Cell],
    out: Path,
    jobs: int,
    systems: Mapping[str, System],
    console: Console | None,
    *,
    stop_after: float | None,
) -> None:
    """Score cells side by side, with a progress bar."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.completed}/{task.total} cells"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=console is None or not console.is_terminal,
    )
    # Trained cells take longest; starting them first keeps every core busy to the end.
    # All cells of a seed come before those of the next, so that a table that is stopped has each cell once.
    ordered = sorted(cells, key=lambda cell: (cell.seed, cell.row not in TRAINED))
    end = None if stop_after is None else time.perf_counter() + 60 * stop_after
    with bar:
        task = bar.add_task("table 1", total=len(cells))
        for cell, scores in _scored(ordered, out, jobs, systems, end):
            bar.advance(task)
            if console is not None:
                console.print(f"{cell.row:17s} {cell.column:21s} MSE {scores['mse']:.4f}", highlight=False)


def _scored(
    cells: Sequence[Cell], out: Path, jobs: int, systems: Mapping[str, System], end: float | None
) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """Yield cells with their scores as they are done, each in its own process if there are several jobs.

    No cell is begun after ``end``, on the clock of `time.perf_counter`.
    """

    def ahead() -> Iterator[Cell]:
        yield from (cell for cell in cells if end is None or time.perf_counter() < end)

    if jobs == 1:
        yield from ((cell, score_cell(cell, out, systems)) for cell in ahead())
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        # Processes import the systems by themselves, because not every function can be sent to them.
        todo = ahead()
        waiting = {pool.submit(score_cell, cell, out): cell for cell in islice(todo, jobs)}
        try:
            while waiting:
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    cell, scores = waiting.pop(future), future.result()
                    waiting |= {pool.submit(score_cell, each, out): each for each in islice(todo, 1)}
                    yield cell, scores
        except BaseException:
            for future in waiting:
                future.cancel()
            raise


def _announce(cells: Sequence[Cell], todo: Sequence[Cell], jobs: int, console: Console | None) -> None:
    """Print the number of cells, and an estimate of the time for the missing ones."""
    if console is None:
        return
    existing = len(cells) - len(todo)
    kept = f"; {existing} exist already" if existing else ""
    trained = [cell for cell in todo if cell.row in TRAINED]
    # Minutes of one core beside the training, and for a system without training, measured on 32 x 32 images.
    beside, untrained = 0.4, 0.8
    estimate = ""
    if all(cell.minutes is not None for cell in trained):
        minutes = sum(cell.minutes + beside for cell in trained if cell.minutes is not None)
        minutes = (minutes + untrained * (len(todo) - len(trained))) / jobs
        estimate = f", about {math.ceil(minutes)} minutes"
    console.print(f"{len(cells)} cells{kept}; {jobs} at a time{estimate}", highlight=False)
