"""Share of training time spent waiting for blocks.

python benchmarks/train_waiting.py [--minutes 1] [--days 160] [--size 64]
"""

import argparse
import json
import tempfile
from pathlib import Path

from geogan.operators.cloud import CloudMask
from geogan.operators.corrupt import corrupt
from geogan.pipelines.train import train
from geogan.synthetic import synthetic_sst


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--days", type=int, default=160)
    parser.add_argument("--size", type=int, default=64)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "gappy.zarr"
        truth = synthetic_sst(days=given.days, size=given.size)
        gappy = corrupt(truth.sst, CloudMask(coverage=0.5, scale=10.0, persistence=2.0))
        gappy.to_dataset().chunk(time=20).to_zarr(data, consolidated=False)
        run = train(data, out=Path(folder) / "run", minutes=given.minutes)
        last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    print(f"{last['step']} steps, {last['steps_per_second']:.1f} a second, {last['waited']:.1%} of the time waiting")


if __name__ == "__main__":
    main()
