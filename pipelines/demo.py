"""``geogan demo``: train, fill, score and draw on a synthetic archive with a known truth."""

from __future__ import annotations

import shutil
from pathlib import Path

import xarray as xr
from rich.console import Console

from geogan.evaluation import Row
from geogan.fields.field import Field
from geogan.fields.measurement import measure
from geogan.fields.synthetic import synthetic_sst
from geogan.files.places import check_apart
from geogan.files.user_path import user_path
from geogan.filling import Workers
from geogan.io import open_field
from geogan.operators.errors import InputError
from geogan.operators.parse import parse
from geogan.pipelines.evaluate import Inputs, Outputs, evaluate
from geogan.pipelines.fill import fill
from geogan.pipelines.train import train
from geogan.plotting import plot_reconstruction
from geogan.product import write_dataset
from geogan.settings import DataConfig, Settings, TrainConfig

# Half of the sea is hidden, by clouds of some ten cells that last some two days.
CLOUDS = "cloud_mask:coverage=0.5,spread=0.2,scale=10,persistence=2"
# File that marks a folder as an earlier demo, which may be replaced.
MARK = ".geogan-demo"


def demo(
    out: Path = Path("demo"),
    *,
    days: int = 160,
    size: int = 64,
    minutes: float = 2.0,
    seed: int = 0,
    threads: int | None = None,
    console: Console | None = None,
) -> list[Row]:
    """Make a synthetic archive, hide half of it under clouds, train, fill, score and draw.

    Parameters
    ----------
    out : Path
        Folder for all results; only the folder of an earlier demo is replaced.
    days, size : int
        Number of daily maps, and their side in cells.
    minutes : float
        Length of training, in minutes.
    seed : int
        Seed of the sea, the clouds and the training.
    threads : int, optional
    console : Console, optional

    Returns
    -------
    list of Row
        The league table against the truth; also in ``table.json``.
    """
    out = _new_folder(user_path(out))

    def announce(step: str) -> None:
        if console is not None:
            console.rule()
            console.print(step, style="bold", markup=False, highlight=False, soft_wrap=True)

    announce(f"a synthetic sea: {days} days of {size} x {size} cells, seed {seed}")
    truth = synthetic_sst(days=days, size=size, seed=seed)
    gappy = measure(Field.of(truth.sst), parse(CLOUDS), seed=seed)
    write_dataset(truth.chunk(time=40), out / "truth.zarr")
    write_dataset(xr.Dataset({"sst": gappy, "sea_mask": truth.sea_mask}).chunk(time=40), out / "gappy.zarr")

    announce(f"geogan train {out}/gappy.zarr --domain sea_mask --minutes {minutes:g} --seed {seed} --out {out}/model")
    run = train(
        DataConfig(data=(out / "gappy.zarr",), domain="sea_mask"),
        Settings(seed=seed, training=TrainConfig(minutes=minutes, threads=threads)),
        out=out / "model",
        console=console,
    )
    announce(f"geogan fill {out}/gappy.zarr --model {out}/model --out {out}/filled.zarr")
    filled = fill(out / "gappy.zarr", run, out / "filled.zarr", workers=Workers(threads), console=console)

    announce(f"geogan evaluate {out}/gappy.zarr --model {out}/model --truth {out}/truth.zarr --no-ablation")
    rows = evaluate(
        out / "gappy.zarr",
        run,
        inputs=Inputs(truth=out / "truth.zarr"),
        outputs=Outputs(json=out / "table.json", console=console, messages=console),
        ablation=False,
        threads=threads,
    )
    plot_reconstruction(
        open_field(out / "gappy.zarr", variable="sst"),
        open_field(filled, variable="sst"),
        truth=open_field(out / "truth.zarr", variable="sst"),
        path=out / "map.png",
    )
    if console is not None:
        console.print(f"{out}/ holds truth.zarr, gappy.zarr, model/, filled.zarr, table.json and map.png", markup=False)
    return rows


def _new_folder(out: Path) -> Path:
    """Make an empty folder with the mark of a demo; replace an earlier demo.

    Raises
    ------
    InputError
        If the folder holds anything else.
    """
    check_apart(out, {}, what="the folder")
    if out.exists() and not (out / MARK).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is no demo of geogan; give another --out")
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / MARK).touch()
    return out
