"""Compare several local workers with one: the same fill, Zarr to Zarr, in turns.

    python benchmarks/fill_workers.py [--days 96] [--side 256] [--rounds 3] [--workers 2]

Prints seconds and one ratio: pixels a second of several workers / of one. Both clusters run all the time, and have
filled once before; the idle one waits. The ratio needs one free core for each worker, so the number of free cores is
printed. The processor time of the workers is printed too, because it does not depend on free cores: if it is equal,
the speed is proportional to the number of workers.
"""

import argparse
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from distributed import Client
from fill_throughput import gappy_archive, untrained

from geogan.filling import Workers
from geogan.filling.cluster import connect
from geogan.model import save_model
from geogan.pipelines.fill import fill


def busy() -> tuple[int, int]:
    """Return the busy ticks of the cores and all ticks since the start of the machine (Linux)."""
    ticks = [int(part) for part in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def processors_time(client: Client) -> float:
    """Return the processor seconds of all workers so far."""
    return sum(client.run(time.process_time).values())


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--days", type=int, default=96)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--precision", default="bfloat16")
    given = parser.parse_args()
    with ExitStack() as ends:
        folder = ends.enter_context(tempfile.TemporaryDirectory())
        data, run = Path(folder) / "gappy.zarr", Path(folder) / "run"
        field = gappy_archive(given.days, given.side)
        field.to_dataset().chunk(time=8).to_zarr(data, consolidated=False)
        save_model(run, untrained(field, given.precision))
        before = busy()
        time.sleep(2)
        after = busy()
        free = (1 - (after[0] - before[0]) / (after[1] - before[1])) * (os.cpu_count() or 1)
        print(f"cores free before: {free:.1f} of {os.cpu_count()}")
        clusters = {count: ends.enter_context(connect(workers=count)) for count in (1, given.workers)}
        times: dict[int, list[float]] = {count: [] for count in clusters}
        took: dict[int, list[float]] = {count: [] for count in clusters}
        for turn in range(given.rounds + 1):
            for count, client in clusters.items():
                computed, began = processors_time(client), time.perf_counter()
                workers = Workers(scheduler=client.scheduler.address)
                fill(data, run, Path(folder) / f"filled{count}-{turn}.zarr", workers=workers)
                if turn:
                    times[count].append(time.perf_counter() - began)
                    took[count].append(processors_time(client) - computed)
        median = {count: statistics.median(values) for count, values in times.items()}
        cells = given.days * given.side**2
        for count, seconds in median.items():
            spent = statistics.median(took[count])
            print(f"{count} worker{'s' * (count > 1)} {seconds:7.2f} s, {spent:7.2f} s of processors, "
                  f"{seconds / cells * 1e6:6.2f} us per pixel")  # fmt: skip
        print(f"{given.workers} workers / 1                       {median[1] / median[given.workers]:.2f}")
        ratio = given.workers * statistics.median(took[1]) / statistics.median(took[given.workers])
        print(f"{given.workers} workers / 1, by processors' time  {ratio:.2f}")


if __name__ == "__main__":
    main()
