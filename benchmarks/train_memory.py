"""Measure the peak memory of ``geogan train`` on an archive on disk, and on one several times as long (Linux).

    python benchmarks/train_memory.py [--days 1200] [--side 192] [--times 16] [--chunks 1,192,192]

Both archives are read from disk; ``--in-memory 0`` keeps the shorter one, which would fit, out of memory. It is long
enough for a season, and for the largest number of runs of withheld clouds that training uses. The search for the first
guess's parameters, which reads a fixed number of small films, takes minutes and is left out; ``--no-first-guess``
omits the first guess. Every training runs in a separate process. Prints the peaks and their ratio.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import zarr
from fill_throughput import gappy_archive

TRAIN = """
import sys
from pathlib import Path
from geogan.prior import GaussianPrior
from geogan.pipelines.train import train
from geogan.settings import DataConfig, Settings
first_guess = sys.argv[5] == "True" and GaussianPrior(length=10.0, persistence=5.0, noise=0.15)
training = {"steps": int(sys.argv[4]), "threads": 1, "memory": 4 * int(sys.argv[3])}
settings = Settings(first_guess=first_guess, training=training)
train(DataConfig(data=sys.argv[1]), settings, out=sys.argv[2])
print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])
"""


def archive_on_disk(path: Path, days: int, side: int, chunks: tuple[int, int, int]) -> Path:
    """Write a packed archive of any length in parts: a month of clouds and sea, repeated with shifts."""
    month = gappy_archive(min(days, 24), side).values
    packed = np.where(np.isnan(month), -32768, np.round(month * 100)).astype("i2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # consolidated metadata are not in the specification of Zarr 3 yet
        group = zarr.open_group(path, mode="w")
        names = ("time", "lat", "lon")
        field = group.create_array(
            "sst", shape=(days, side, side), chunks=chunks, dtype="i2", fill_value=-32768, dimension_names=names
        )
        field.attrs.update(units="degree_Celsius", scale_factor=0.01, _FillValue=-32768)
        length = max(chunks[0], 24)
        for start in range(0, days, length):
            dates = range(start, min(start + length, days))
            moved = [np.roll(packed[date % len(packed)], 37 * (date // len(packed)), -1) for date in dates]
            field[start : start + len(moved)] = np.stack(moved)
        coordinates = {
            "time": (np.arange(days), {"units": "days since 2001-01-01", "calendar": "standard"}),
            "lat": (30 + 0.02 * np.arange(side), {"units": "degrees_north"}),
            "lon": (-20 + 0.02 * np.arange(side), {"units": "degrees_east"}),
        }
        for name, (values, attrs) in coordinates.items():
            along = group.create_array(
                name, shape=values.shape, chunks=values.shape, dtype="f8", dimension_names=(name,)
            )
            along[:] = values
            along.attrs.update(attrs)
        zarr.consolidate_metadata(path)
    return path


def peak(data: Path, run: Path, *, in_memory: int, steps: int, first_guess: bool) -> float:
    """Return the peak resident memory of a training, in MiB."""
    # The kernel's own high-water mark, see fill_memory.py.
    command = [sys.executable, "-c", TRAIN, data, run, str(in_memory), str(steps), str(first_guess)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1]) / 1024


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--days", type=int, default=1200)
    parser.add_argument("--side", type=int, default=192)
    parser.add_argument("--times", type=int, default=16)
    parser.add_argument("--chunks", default="1,192,192")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--in-memory", type=int, default=0, help="values up to which an archive is held in memory")
    parser.add_argument("--first-guess", action=argparse.BooleanOptionalAction, default=True)
    given = parser.parse_args()
    chunks, peaks = tuple(int(size) for size in given.chunks.split(",")), []
    with tempfile.TemporaryDirectory() as folder:
        for times in (1, given.times):
            data, run = Path(folder) / f"gappy{times}.zarr", Path(folder) / f"run{times}"
            archive_on_disk(data, given.days * times, given.side, chunks)  # type: ignore[arg-type]
            peaks.append(peak(data, run, in_memory=given.in_memory, steps=given.steps, first_guess=given.first_guess))
            last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
            print(
                f"{given.days * times:5d} days of {given.side} x {given.side}: {peaks[-1]:.0f} MiB, "
                f"{last['waited']:.1%} of {last['seconds']:.0f} s waiting"
            )
    print(f"ratio {peaks[1] / peaks[0]:.3f}")


if __name__ == "__main__":
    main()
