"""``geogan demo``: the main job on an embedded synthetic archive, scored against its truth."""

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
from geogan.io import open_field
from geogan.operators.errors import InputError
from geogan.operators.parse import parse
from geogan.pipelines.evaluate import Inputs, Outputs, evaluate
from geogan.pipelines.fill import fill
from geogan.pipelines.train import train
from geogan.plotting import plot_reconstruction
from geogan.product import write_dataset
from geogan.settings import DataConfig, Settings, TrainConfig

# The sky of the demo: half covered, clouds of some ten cells that stay for some two days.
CLOUDS = "cloud_mask:coverage=0.5,spread=0.2,scale=10,persistence=2"
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
    """Make an archive, cloud it, learn, fill, score, draw.

    Parameters
    ----------
    out : Path
        Folder for what is made; an earlier demo's is replaced, anything else is left alone.
    days, size : int
        Dates of the archive, and cells of its side.
    minutes : float
        Budget of training.
    seed : int
        Of the sea, the clouds and the training.
    threads : int, optional
    console : Console, optional

    Returns
    -------
    list of Row
        The league table against the truth; also in ``table.json``.
    """
    out = user_path(out)
    check_apart(out, {}, what="the folder")
    if out.exists() and not (out / MARK).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already and no demo of geogan; give another --out")
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / MARK).touch()

    def say(sentence: str) -> None:
        if console is not None:
            console.rule(sentence, align="left")

    say(f"a synthetic sea: {days} days of {size} x {size} cells, seed {seed}")
    truth = synthetic_sst(days=days, size=size, seed=seed)
    gappy = measure(Field.of(truth.sst), parse(CLOUDS), seed=seed)
    write_dataset(truth.chunk(time=40), out / "truth.zarr")
    write_dataset(xr.Dataset({"sst": gappy, "sea_mask": truth.sea_mask}).chunk(time=40), out / "gappy.zarr")

    say(f"geogan train {out}/gappy.zarr --domain sea_mask --minutes {minutes:g} --seed {seed} --out {out}/model")
    run = train(
        DataConfig(data=(out / "gappy.zarr",), domain="sea_mask"),
        Settings(seed=seed, training=TrainConfig(minutes=minutes, threads=threads)),
        out=out / "model",
        console=console,
    )
    say(f"geogan fill --data {out}/gappy.zarr --model {out}/model --out {out}/filled.zarr")
    filled = fill(out / "gappy.zarr", run, out / "filled.zarr", threads=threads, console=console)

    say(f"geogan evaluate --data {out}/gappy.zarr --model {out}/model --truth {out}/truth.zarr --no-ablation")
    rows = evaluate(
        out / "gappy.zarr",
        run,
        inputs=Inputs(truth=out / "truth.zarr"),
        outputs=Outputs(json=out / "table.json", console=console),
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
