"""``geogan table1``: the paper's Table 1 in kind, every system on every measurement process, on images of one's own."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from geogan import defaults
from geogan.compute.device import find_device
from geogan.compute.threads import cores, torch_threads
from geogan.evaluation.baselines.ambientgan import search_latent, train_ambientgan
from geogan.evaluation.baselines.biharmonic import biharmonic
from geogan.evaluation.baselines.deep_image_prior import deep_image_prior
from geogan.evaluation.baselines.total_variation import total_variation
from geogan.fields.field import Field
from geogan.fields.measurement import measure
from geogan.files.places import check_apart
from geogan.files.run_folder import STATE
from geogan.files.user_path import user_path
from geogan.io.images import open_images
from geogan.operators.choices import choice
from geogan.operators.errors import InputError
from geogan.operators.operator import Operator
from geogan.operators.parse import parse
from geogan.presets import OPTIMISER, settings_of
from geogan.reconstructor import Reconstructor

# Rows of the paper's table, ours of the same name, and what it has in each column (CelebA, 64 x 64, three bands).
PAPER: dict[str, tuple[float, float, float, float]] = {
    "ambientgan": (0.292, 0.2829, 0.1421, 0.0814),
    "model": (0.0414, 0.0409, 0.0165, 0.0088),
    "unpaired": (0.037, 0.0336, 0.034, 0.0103),
    "paired": (0.0383, 0.0401, 0.0147, 0.0084),
}
COLUMNS = ("remove_pixel", "remove_pixel_channel", "patch_band", "convolve_noise")
ROWS = (
    "paired",
    "unpaired",
    "model",
    "unir",
    "gaussian",
    "ambientgan",
    "deep_image_prior",
    "total_variation",
    "biharmonic",
)
TRAINED = ("paired", "unpaired", "model", "unir", "ambientgan")
# Share of the images kept apart for the test, as in the paper; the dearest systems are scored on so many of them.
TEST, FEW = 0.15, 40
SHOWN = 4
BATCH = 32


@dataclass(frozen=True)
class Cell:
    """One cell of the table, and all that its number depends on."""

    row: str
    column: str
    operator: str
    data: str
    variable: str | None
    content: str  # digest of the images: where they lie does not matter, what they are does
    size: int
    images: int
    generator: str
    width: int
    minutes: float | None
    steps: int | None
    seed: int
    device: str

    @property
    def name(self) -> str:
        """Of its files; a changed setting, or other images, make another cell."""
        text = json.dumps(asdict(self) | {"data": None, "variable": None}, sort_keys=True)
        return f"{self.row}-{self.column}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def table1(
    data: str | Path,
    out: Path,
    *,
    variable: str | None = None,
    size: int = 32,
    images: int | None = None,
    rows: Sequence[str] = ROWS,
    columns: Sequence[str] = COLUMNS,
    generator: str = "unet",
    width: int | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    jobs: int | None = None,
    seed: int = 0,
    device: str = "auto",
    console: Console | None = None,
) -> dict[tuple[str, str], dict[str, Any]]:
    """Train and score every row on every column, cell by cell; cells that are there already are kept.

    Parameters
    ----------
    data : path
        Clean images: what :func:`geogan.io.images.open_images` opens. They are measured once, by index and seed; the
        clean ones are shown to the paired and the unpaired variant alone, and to the score.
    out : Path
        Folder for ``cells/``, ``table.csv``, ``table.md`` and ``figure.png``.
    variable : str, optional
        The array of an ``.npz`` file.
    size : int
        Side to which images are reduced, by the mean of whole cells.
    images : int, optional
        Use the first so many; all by default.
    rows, columns : sequence of str
        Of :data:`ROWS` and :data:`COLUMNS`.
    generator : {"unet", "sagan"}
    width : int, optional
        Channels of the generator's first layer.
    minutes : float, optional
        Budget of each trained cell; two by default where no steps are given.
    steps : int, optional
    jobs : int, optional
        Cells at a time; by default one a core, or one where there is a GPU.
    seed : int
    device : str
    console : Console, optional

    Returns
    -------
    dict
        By (row, column), what ``cells/`` holds: ``mse`` over all pixels of the test images with values in [-1, 1],
        ``mse_few`` over those of the first :data:`FEW`, which every row is scored on, ...

    Raises
    ------
    InputError
        For unknown rows or columns, images too few or too small, or an output that is something else.
    """
    check_apart(out, {"--data": data}, what="the folder", holds=True)
    rows = [choice(name, ROWS, "row of table1") for name in rows]
    columns = [choice(name, COLUMNS, "column of table1") for name in columns]
    if minutes is None and steps is None:
        minutes = 2.0
    whole = reduced(str(data), variable, size, images)
    if whole.sizes["sample"] < 20:
        raise InputError(
            f"{data} has {whole.sizes['sample']} images; a table needs at least 20 to learn from and to test"
        )
    out = user_path(out)
    if out.is_dir() and any(out.iterdir()) and not (out / "cells").is_dir():
        raise InputError(f"{out} is a folder with other things in it; give another --out")
    (out / "cells").mkdir(parents=True, exist_ok=True)
    grey = "band" not in whole.dims
    if grey and "remove_pixel_channel" in columns:
        columns = list(dict.fromkeys("remove_pixel" if name == "remove_pixel_channel" else name for name in columns))
        if console is not None:
            console.print(
                "images have a single band, on which remove_pixel_channel equals remove_pixel: scored as that"
            )
    content = digest(whole)
    cells = [
        Cell(
            row,
            column,
            process(column, size),
            str(data),
            variable,
            content,
            size,
            whole.sizes["sample"],
            generator,
            width or defaults.WIDTH,
            minutes if row in TRAINED else None,
            steps if row in TRAINED else None,
            seed,
            device,
        )
        for row in rows
        for column in columns
    ]
    if jobs is None:
        jobs = 1 if find_device(device).type == "cuda" else cores()
    todo = [cell for cell in cells if not _result(out, cell).is_file()]
    _announce(cells, todo, minutes, jobs, console)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.completed}/{task.total} cells"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=console is None or not console.is_terminal,
    )
    with bar, ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        task = bar.add_task("table 1", total=len(cells), completed=len(cells) - len(todo))
        # The dearest first, so that no core is left with one at the end.
        waiting = {
            pool.submit(work, cell, out): cell for cell in sorted(todo, key=lambda cell: cell.row not in TRAINED)
        }
        try:
            while waiting:
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    cell, found = waiting.pop(future), future.result()
                    bar.advance(task)
                    if console is not None:
                        console.print(f"{cell.row:17s} {cell.column:21s} MSE {found['mse']:.4f}", highlight=False)
        except BaseException:
            for future in waiting:
                future.cancel()
            raise
    results = {(cell.row, cell.column): json.loads(_result(out, cell).read_text()) for cell in cells}
    write_table(out, results, rows, columns)
    draw(out, whole, cells)
    if console is not None:
        console.print(_shown(results, rows, columns))
        console.print(f"{out}/ holds table.csv, table.md and figure.png", markup=False)
    return results


def reduced(data: str, variable: str | None, size: int, images: int | None) -> xr.DataArray:
    """Images reduced to ``size`` cells a side, in memory, (sample, [band,] y, x).

    Raises
    ------
    InputError
        Where their sides are no multiples of it.
    """
    image = open_images([data], variable)
    image = image.isel(sample=slice(images)).astype(np.float32)
    factors = image.sizes["y"] / size, image.sizes["x"] / size
    if size < 16 or factors[0] != factors[1] or factors[0] != int(factors[0]) or factors[0] < 1:
        raise InputError(
            f"images of {image.sizes['y']} x {image.sizes['x']} cells cannot be reduced to {size} x {size}; give a "
            "--size of at least 16 that divides both sides of square images"
        )
    factor = int(factors[0])
    if factor > 1:
        image = image.coarsen(y=factor, x=factor).mean(keep_attrs=True)
    return image.compute()


def digest(images: xr.DataArray) -> str:
    """What tells these images from others.

    Examples
    --------
    >>> digest(xr.DataArray(np.zeros((2, 3)))) == digest(xr.DataArray(np.zeros((3, 2))))
    False
    """
    values = np.ascontiguousarray(images.values)
    return hashlib.sha256(f"{values.dtype} {values.shape}".encode() + values.tobytes()).hexdigest()[:16]


def process(column: str, size: int) -> str:
    """The measurement process of a column, in the paper's strength; a band is 20 rows of 64."""
    return {
        "remove_pixel": "remove_pixel:p=0.9",
        "remove_pixel_channel": "remove_pixel_channel:p=0.9",
        "patch_band": f"patch_band:h={max(1, round(size * 20 / 64))}",
        "convolve_noise": "convolve_noise:l=3,sigma=0.15",
    }[column]


def split(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which images are learned from and which are kept for the test, in order.

    Examples
    --------
    >>> [part.size for part in split(100, 0)]
    [85, 15]
    """
    order = np.random.default_rng([seed, 0x7AB1]).permutation(count)
    tested = max(1, round(TEST * count))
    return np.sort(order[tested:]), np.sort(order[:tested])


def work(cell: Cell, out: Path) -> dict[str, Any]:
    """Train and score one cell, and write it down."""
    began = time.perf_counter()
    whole = reduced(cell.data, cell.variable, cell.size, cell.images)
    train, test = split(whole.sizes["sample"], cell.seed)
    if cell.row in ("ambientgan", "deep_image_prior"):
        test = test[:FEW]
    # An image is corrupted by its index, and stays so: the coordinate is its index in the data.
    whole = whole.assign_coords(sample=np.arange(whole.sizes["sample"]))
    operator = parse(cell.operator)
    gappy = measure(Field.of(whole), operator, seed=cell.seed)
    clean = whole.isel(sample=test)
    with torch_threads(1):
        learned, teacher, asked = gappy.isel(sample=train), whole.isel(sample=train), gappy.isel(sample=test)
        filled, more = SYSTEMS[cell.row](cell, operator, learned, teacher, asked, out)
    found = {
        **asdict(cell),
        "mse": float(((filled - clean.values) ** 2).mean()),
        "mse_few": float(((filled - clean.values)[:FEW] ** 2).mean()),
        "tested": len(test),
        "seconds": time.perf_counter() - began,
        **more,
    }
    np.savez_compressed(_result(out, cell).with_suffix(".npz"), filled=filled[:SHOWN])
    aside = _result(out, cell).with_suffix(".partial")
    aside.write_text(json.dumps(found, indent=2))
    aside.replace(_result(out, cell))
    return found


def _result(out: Path, cell: Cell) -> Path:
    return out / "cells" / f"{cell.name}.json"


Found = tuple[np.ndarray, dict[str, Any]]


def _trained(
    cell: Cell, operator: Operator, train: xr.DataArray, clean: xr.DataArray, test: xr.DataArray, out: Path
) -> Found:
    """The method, the paper's objective, and the variants that see clean images: one loop, one budget."""
    paper = settings_of(["unir"])
    networks = ("generator", "discriminator", "show_mask", "batch")
    settings: dict[str, Any] = {"batch": BATCH}
    if cell.row == "unir":
        settings |= {name: value for name, value in paper.items() if name not in networks}
    elif cell.row in ("paired", "unpaired"):
        settings |= settings_of([cell.row])
    if cell.generator == "sagan":
        # The paper's networks come with its optimisers, whatever they are trained for.
        settings |= {name: paper[name] for name in (*networks, *OPTIMISER)}
    if cell.row == "gaussian":
        settings |= {"steps": 0}  # untrained, the generator returns the first guess
    else:
        settings |= {"steps": cell.steps, "minutes": cell.minutes}
    settings |= {"generator": cell.generator, "width": cell.width, "crop": cell.size}
    run = out / "cells" / cell.name
    reconstructor = Reconstructor(operator, seed=cell.seed, threads=1, device=cell.device, **settings)
    reconstructor.fit(
        train,
        clean=clean if cell.row in ("paired", "unpaired") else None,
        path=run,
        resume=(run / STATE).is_file(),
    )
    scores = reconstructor.model_.scores
    filled = reconstructor.fill(test)[str(test.name)].transpose(*test.dims)
    return filled.values, {"steps": scores["steps"], "best_step": scores["step"]}


def _ambientgan(
    cell: Cell, operator: Operator, train: xr.DataArray, clean: xr.DataArray, test: xr.DataArray, out: Path
) -> Found:
    """Conditional AmbientGAN: a generator of images from latents, then the latent of each measurement."""
    device = find_device(cell.device)
    (values, mask), (measured, seen) = _tensors(train), _tensors(test)
    taken = [0]

    def count(step: int, losses: dict[str, float]) -> None:
        taken[0] = step

    generator = train_ambientgan(
        values,
        mask,
        operator,
        bounded=True,
        steps=cell.steps,
        minutes=cell.minutes,
        seed=cell.seed,
        precision=torch.bfloat16,
        device=device,
        progress=count,
    )
    found = search_latent(generator, measured, seen, operator, seed=cell.seed, device=device).cpu()
    if operator.exact:
        found = torch.where(seen > 0, measured, found)
    return found.numpy().reshape(test.shape), {"steps": taken[0]}


def _tensors(images: xr.DataArray) -> tuple[torch.Tensor, torch.Tensor]:
    """Values, 0 in gaps, and where they are known, (N, 1, C, H, W)."""
    values = torch.from_numpy(images.values).reshape(len(images), 1, -1, *images.shape[-2:])
    return values.nan_to_num(), values.isfinite().to(values.dtype)


def _by_itself(fill: Callable[[np.ndarray, np.ndarray, Operator, Cell], np.ndarray]) -> System:
    """A system that looks at one measurement at a time, and learns from no other."""

    def system(
        cell: Cell, operator: Operator, train: xr.DataArray, clean: xr.DataArray, test: xr.DataArray, out: Path
    ) -> Found:
        values = test.values.reshape(len(test), -1, *test.shape[-2:])
        return fill(values, np.ones(values.shape[-2:], bool), operator, cell).reshape(test.shape), {}

    return system


System = Callable[[Cell, Operator, xr.DataArray, xr.DataArray, xr.DataArray, Path], Found]
SYSTEMS: dict[str, System] = {
    **dict.fromkeys(("paired", "unpaired", "model", "unir", "gaussian"), _trained),
    "ambientgan": _ambientgan,
    "biharmonic": _by_itself(lambda values, domain, operator, cell: biharmonic(values, domain=domain)),
    "total_variation": _by_itself(
        lambda values, domain, operator, cell: total_variation(values, domain=domain, noisy=not operator.exact)
    ),
    "deep_image_prior": _by_itself(
        lambda values, domain, operator, cell: deep_image_prior(
            values,
            domain=domain,
            measure=None if operator.exact else operator.blur,
            seed=cell.seed,
            threads=1,
            device=find_device(cell.device),
        )
    ),
}


def write_table(
    out: Path, results: dict[tuple[str, str], dict[str, Any]], rows: Sequence[str], columns: Sequence[str]
) -> None:
    """Write ``table.csv``, a line a cell, and ``table.md``, as the paper has it."""
    with (out / "table.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["row", "column", "operator", "mse", "mse_few", "paper", "tested", "steps", "seconds"])
        for (row, column), found in results.items():
            known = PAPER[row][COLUMNS.index(column)] if row in PAPER else ""
            lines.writerow(
                [row, column, found["operator"], f"{found['mse']:.5f}", f"{found['mse_few']:.5f}", known,
                 found["tested"], found.get("steps", ""), f"{found['seconds']:.0f}"]
            )  # fmt: skip
    text = [f"| MSE (the paper's) | {' | '.join(results[rows[0], column]['operator'] for column in columns)} |"]
    text.append("|---" * (1 + len(columns)) + "|")
    for row in rows:
        text.append(f"| {row.replace('_', ' ')} | {' | '.join(_entry(results, row, column) for column in columns)} |")
    for other in ("paired", "ambientgan"):
        if {"model", other} <= set(rows):
            # AmbientGAN is scored on few images: over any others the ratio would be that of the images too.
            over = "mse" if other == "paired" else "mse_few"
            ratios = (results["model", column][over] / results[other, column][over] for column in columns)
            theirs = (PAPER["model"][COLUMNS.index(c)] / PAPER[other][COLUMNS.index(c)] for c in columns)
            entries = (f"{ratio:.2f} ({paper:.2f})" for ratio, paper in zip(ratios, theirs))
            same = "" if other == "paired" else f", first {min(FEW, results['model', columns[0]]['tested'])} images"
            text.append(f"| **model / {other}**{same} | {' | '.join(entries)} |")
    (out / "table.md").write_text("\n".join(text) + "\n")


def _entry(results: dict[tuple[str, str], dict[str, Any]], row: str, column: str) -> str:
    ours = f"{results[row, column]['mse']:.4f}"
    return f"{ours} ({PAPER[row][COLUMNS.index(column)]:.4f})" if row in PAPER else ours


def draw(out: Path, whole: xr.DataArray, cells: Sequence[Cell]) -> Path:
    """Draw ``figure.png``, like the paper's figure 4: test images, their measurements, and every system's answer."""
    from matplotlib.figure import Figure

    rows, columns = list(dict.fromkeys(c.row for c in cells)), list(dict.fromkeys(c.column for c in cells))
    _, test = split(whole.sizes["sample"], cells[0].seed)
    numbered = whole.assign_coords(sample=np.arange(whole.sizes["sample"])).isel(sample=test[:SHOWN])
    figure = Figure(figsize=(1.1 * SHOWN * len(columns) + 1.6, 1.1 * (len(rows) + 2)), layout="constrained")
    axes = figure.subplots(len(rows) + 2, SHOWN * len(columns), squeeze=False)
    for at, column in enumerate(columns):
        operator = next(cell.operator for cell in cells if cell.column == column)
        gappy = measure(Field.of(numbered), parse(operator), seed=cells[0].seed)
        shown = {"clean": numbered.values, "measured": gappy.values}
        for cell in cells:
            if cell.column == column:
                with np.load(_result(out, cell).with_suffix(".npz"), allow_pickle=False) as kept:
                    shown[cell.row.replace("_", "\n")] = kept["filled"]
        for line, (name, pictures) in enumerate(shown.items()):
            for number in range(SHOWN):
                ax = axes[line, at * SHOWN + number]
                ax.set_xticks([])
                ax.set_yticks([])
                if number < len(pictures):
                    picture = np.nan_to_num(pictures[number], nan=0.0).clip(-1, 1) / 2 + 0.5
                    ax.imshow(
                        np.moveaxis(picture, 0, -1) if picture.ndim == 3 else picture, vmin=0, vmax=1, cmap="gray"
                    )
                if at == number == 0:
                    ax.set_ylabel(name, fontsize=8, rotation=0, ha="right", va="center")
        axes[0, at * SHOWN].set_title(operator, fontsize=8, loc="left")
    figure.savefig(out / "figure.png", dpi=110)
    return out / "figure.png"


def _announce(cells: list[Cell], todo: list[Cell], minutes: float | None, jobs: int, console: Console | None) -> None:
    if console is None:
        return
    there = len(cells) - len(todo)
    going_on = f"; {there} are there already" if there else ""
    trained = sum(cell.row in TRAINED for cell in todo)
    rest = len(todo) - trained
    estimate = "" if minutes is None else f", some {math.ceil((trained * (minutes + 0.4) + rest * 0.8) / jobs)} minutes"
    console.print(f"{len(cells)} cells{going_on}; {jobs} at a time{estimate}", highlight=False)


def _shown(results: dict[tuple[str, str], dict[str, Any]], rows: Sequence[str], columns: Sequence[str]) -> Table:
    table = Table("MSE (the paper's)", *columns)
    for row in rows:
        table.add_row(row.replace("_", " "), *(_entry(results, row, column) for column in columns))
    return table
