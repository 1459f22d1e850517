"""Share of training time spent waiting for blocks.

    python benchmarks/train_waiting.py [--minutes 1] [--days 160] [--size 64]
    python benchmarks/train_waiting.py --on-disk 1,1024,1024 --on-disk 64,128,128 --days 400 --size 1024

The second form reads archives from disk, in chunks that suit no block; the minutes count from the first step.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from train_memory import archive_on_disk

from geogan.fields.field import Field
from geogan.fields.measurement import measure
from geogan.fields.synthetic import synthetic_sst
from geogan.operators.cloud import CloudMask
from geogan.pipelines.train import train
from geogan.settings import DataConfig, Settings, TrainConfig


def report(what: str, data: Path, out: Path, minutes: float) -> None:
    """Train, and print how long it waited."""
    began = time.perf_counter()
    run = train(DataConfig(data=(data,)), Settings(training=TrainConfig(minutes=minutes)), out=out)
    spent = time.perf_counter() - began
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    print(
        f"{what}: {last['step']} steps, {last['steps_per_second']:.1f} a second, {last['waited']:.1%} of the time "
        f"waiting; {spent - last['seconds']:.0f} s before",
        flush=True,
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--days", type=int, default=160)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--on-disk", action="append", default=[], help="chunks of an archive that stays on disk")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for text in given.on_disk:
            chunks = tuple(int(size) for size in text.split(","))
            data = archive_on_disk(Path(folder) / f"{text}.zarr", given.days, given.size, chunks)  # type: ignore[arg-type]
            report(f"chunks of {text}", data, Path(folder) / text, given.minutes)
        if not given.on_disk:
            data = Path(folder) / "gappy.zarr"
            truth = synthetic_sst(days=given.days, size=given.size)
            gappy = measure(Field.of(truth.sst), CloudMask(coverage=0.5, scale=10.0, persistence=2.0))
            gappy.to_dataset().chunk(time=20).to_zarr(data, consolidated=False)
            report("in memory", data, Path(folder) / "run", given.minutes)


if __name__ == "__main__":
    main()
