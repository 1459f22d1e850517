"""Time a GPU: the paper's training step, the first guess against the network, and a fill from Zarr to Zarr.

    python benchmarks/gpu.py [--device cuda] [--batch 64] [--side 512] [--days 96]

The peak is measured with a product of two large bfloat16 matrices. The operations of a step are those of the networks'
passes (convolutions, products, attention). With ``--device cpu`` it runs on small sizes, to test the command.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from fill_throughput import gappy_archive, tile_tensors, untrained
from train_step import compare

from geogan.fields.field import Field
from geogan.filling import Workers, plan_tasks
from geogan.io import open_field
from geogan.model import Networks, prepare_archive, reconstruct, save_model
from geogan.pipelines.fill import fill
from geogan.prior import Film


def timer(device: torch.device, rounds: int) -> Callable[[Callable[[], Any]], float]:
    """Return the median seconds of some rounds after a warm-up round."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    def seconds(work: Callable[[], Any]) -> float:
        took = []
        for _ in range(rounds + 1):
            wait()
            began = time.perf_counter()
            work()
            wait()
            took.append(time.perf_counter() - began)
        return statistics.median(took[1:])

    return seconds


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, help="windows of a training step")
    parser.add_argument("--side", type=int)
    parser.add_argument("--days", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    device = torch.device(given.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no CUDA device is here; run this where one is, or try it out with --device cpu")
    tiny = device.type == "cpu"
    batch, crop = given.batch or (1 if tiny else 64), 16 if tiny else 64
    side, days = given.side or (48 if tiny else 512), given.days or (32 if tiny else 96)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    seconds = timer(device, given.rounds)

    size = 512 if tiny else 8192
    one, two = (torch.randn((size, size), device=device, dtype=torch.bfloat16) for _ in range(2))
    peak = 2 * size**3 / seconds(lambda: one @ two)
    print(f"{name}: {peak / 1e12:.1f} TFLOP/s bfloat16, measured on {size} x {size} matrices")

    took = compare(
        networks="sagan", precision=torch.bfloat16, device=device, batch=batch, crop=crop, rounds=given.rounds
    )
    print(f"training step, the paper's networks, batch {batch}: {took.step * 1e3:.2f} ms, {took.flop / 1e12:.3f} TFLOP")
    print(f"  of the peak (aim: 0.45 on an H200)                {took.flop / took.step / peak:.2f}")
    print(f"  step / networks alone (aim: at most 1.15)         {took.ratio:.2f}")

    field = gappy_archive(days, side)
    cells = days * side**2
    with tempfile.TemporaryDirectory() as folder:
        data, run = Path(folder) / "gappy.zarr", Path(folder) / "run"
        field.to_dataset().chunk(time=8).to_zarr(data, consolidated=False)
        for precision in ("float32", "bfloat16"):
            model = untrained(field, precision)
            save_model(run, model)
            archive = prepare_archive(model, Field.of(open_field(data))).held()
            plan = plan_tasks(model, archive)
            network, error = (None if each is None else each.to(device) for each in (model.network, model.error))
            tiles = [
                tile_tensors(archive, *part, device=device)
                for part in itertools.product(plan.tasks, plan.tile_rows, plan.tile_columns)
            ]

            def first_guess() -> None:
                for values, mask, domain, dates, _ in tiles:  # noqa: B023
                    with torch.no_grad():
                        model.prior.map(values[None], mask[None], domain, dates)  # type: ignore[union-attr] # noqa: B023

            def generator() -> None:
                for values, mask, domain, days, _ in tiles:  # noqa: B023
                    film = Film(values=values, mask=mask, guess=values, domain=domain, days=days)
                    reconstruct(Networks(network, precision=getattr(torch, precision)), film)  # noqa: B023

            def errors() -> None:
                for values, mask, domain, days, own in tiles:  # noqa: B023
                    dtype = getattr(torch, precision)  # noqa: B023
                    film = Film(values=values, mask=mask, guess=values, domain=domain, days=days)
                    reconstruct(Networks(None, error, precision=dtype), film, dates=own)  # noqa: B023

            turn = iter(range(10**6))

            def whole() -> None:
                fill(data, run, Path(folder) / f"{precision}{next(turn)}.zarr", workers=Workers(device=given.device))  # noqa: B023

            guess, one_pass, error_pass, filled = map(seconds, (first_guess, generator, errors, whole))
            alone = guess + one_pass + error_pass
            print(f"fill, {precision}: {cells / filled / 1e6:.2f} million pixels a second, Zarr to Zarr")
            print(
                f"  a pixel: first guess {guess / cells * 1e9:.1f} ns, generator {one_pass / cells * 1e9:.1f} ns, "
                f"error {error_pass / cells * 1e9:.1f} ns"
            )
            print(f"  first guess / generator (aim: at most 1)          {guess / one_pass:.2f}")
            print(f"  (first guess + networks) / fill (aim: 0.80)       {alone / filled:.2f}")


if __name__ == "__main__":
    main()
