"""Fill throughput, Zarr to Zarr, against the first guess and the networks alone on the same tiles in memory.

    python benchmarks/fill_throughput.py [--days 96] [--side 256] [--rounds 3] [--threads 2]

Prints the shares and one ratio: (first guess + networks alone) / fill, at the same number of threads. The networks are
the generator and the one that predicts its error. One process, alternating, medians.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr

from geogan.archive import Archive, Standardiser, Withheld
from geogan.compute.threads import side_by_side
from geogan.fields.field import Field
from geogan.fields.measurement import measure
from geogan.filling import Task, Workers, plan_tasks
from geogan.filling.tiles import Span
from geogan.io import open_field
from geogan.model import Model, Networks, prepare_archive, reconstruct, save_model
from geogan.model.networks import ErrorNet
from geogan.model.networks.unet import UNet
from geogan.operators.cloud import CloudMask
from geogan.pipelines.fill import fill
from geogan.prior import Film, GaussianPrior


def gappy_archive(days: int, side: int) -> xr.DataArray:
    """Return a smooth moving field of any size under clouds, with a land border."""
    y, x = np.mgrid[:side, :side] / 24.0
    t = np.arange(days)[:, None, None]
    values = 15 + np.sin(x + 0.1 * t) * np.cos(y - 0.07 * t) + 0.3 * np.sin(3.1 * x - 2.3 * y + 0.2 * t)
    values[:, : side // 10] = np.nan
    coords = {
        "time": np.datetime64("2001-01-01", "ns") + np.arange(days) * np.timedelta64(1, "D"),
        "lat": 30 + 0.02 * np.arange(side),
        "lon": -20 + 0.02 * np.arange(side),
    }
    field = xr.DataArray(values.astype("f4"), dims=("time", "lat", "lon"), coords=coords, name="sst")
    field.attrs["units"] = "degree_Celsius"
    return measure(Field.of(field), CloudMask(coverage=0.5, spread=0.2, scale=12.0, persistence=2.0), seed=0)


def untrained(field: xr.DataArray, precision: str) -> Model:
    """Return a model of the default size with random weights, on which speed does not depend."""
    domain = np.isfinite(field.values).any(0)
    network = UNet(frames=5, width=32).eval().requires_grad_(False).to(memory_format=torch.channels_last)
    torch.nn.init.normal_(network.leave.weight, std=1e-3)
    return Model(
        network=network,
        prior=GaussianPrior(length=10.0, persistence=5.0, noise=0.15),
        operator=CloudMask(),
        standardiser=Standardiser.fit(Field.of(field, domain=domain)),
        withheld=Withheld(np.full((field.sizes["time"], 1), -1, np.int32)),
        frames=5,
        precision=precision,
        error=ErrorNet(frames=5).eval().requires_grad_(False).to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        **Model.labels_of(Field.of(field, domain=domain)),
    )


class TileTensors(NamedTuple):
    """What is filled of a tile at a time, and the dates of its task: the error is predicted for them alone."""

    values: torch.Tensor
    mask: torch.Tensor
    domain: torch.Tensor
    days: torch.Tensor
    own: slice


def tile_tensors(
    archive: Archive, task: Task, row: Span, column: Span, device: str | torch.device = "cpu"
) -> TileTensors:
    """Return one tile of an archive, in memory."""
    film = archive.read(task.dates.read, row.read, column.read)
    parts = (film.values, film.mask, film.domain, film.days)
    return TileTensors(*(part.to(device) for part in parts), task.dates.inner)  # type: ignore[misc]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--days", type=int, default=96)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="bfloat16")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data, run = Path(folder) / "gappy.zarr", Path(folder) / "run"
        field = gappy_archive(given.days, given.side)
        field.to_dataset().chunk(time=8).to_zarr(data, consolidated=False)
        model = untrained(field, given.precision)
        save_model(run, model)
        archive = prepare_archive(model, Field.of(open_field(data))).held()
        plan = plan_tasks(model, archive)
        parts = itertools.product(plan.tasks, plan.tile_rows, plan.tile_columns)
        tiles = [tile_tensors(archive, *part) for part in parts]
        precision = getattr(torch, given.precision)

        def first_guess(part: TileTensors) -> torch.Tensor:
            values, mask, domain, days, _ = part
            with torch.no_grad():
                return model.prior.map(values[None], mask[None], domain, days)[0]  # type: ignore[union-attr]

        def network(part: TileTensors) -> torch.Tensor:
            values, mask, domain, days, _ = part
            film = Film(values=values, mask=mask, guess=values, domain=domain, days=days)
            return reconstruct(Networks(model.network, precision=precision), film).field

        def error(part: TileTensors) -> torch.Tensor | None:
            values, mask, domain, days, own = part
            film = Film(values=values, mask=mask, guess=values, domain=domain, days=days)
            return reconstruct(Networks(None, model.error, precision=precision), film, dates=own).std

        times: dict[str, list[float]] = {"first guess": [], "network": [], "error": [], "fill": []}
        for turn in range(given.rounds):
            for name, work in (("first guess", first_guess), ("network", network), ("error", error)):
                began = time.perf_counter()
                for _ in side_by_side(work, tiles, threads=given.threads):
                    pass
                times[name].append(time.perf_counter() - began)
            began = time.perf_counter()
            fill(data, run, Path(folder) / f"filled{turn}.zarr", workers=Workers(given.threads))
            times["fill"].append(time.perf_counter() - began)
        median = {name: statistics.median(values) for name, values in times.items()}
        cells = given.days * given.side**2
        for name, seconds in median.items():
            print(f"{name:12s} {seconds:7.2f} s  {seconds / cells * 1e6:6.2f} us per pixel of the product")
        print(f"first guess / network              {median['first guess'] / median['network']:.2f}")
        alone = sum(median[name] for name in ("first guess", "network", "error"))
        print(f"(first guess + networks) / fill    {alone / median['fill']:.2f}")


if __name__ == "__main__":
    main()
