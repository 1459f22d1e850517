"""Time ``geogan --help``, and ``geogan fill`` until its first region is on disk, in new processes.

    python benchmarks/cold_start.py [--days 48] [--side 128] [--rounds 3]

Prints medians of some rounds. Files are in the page cache.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fill_throughput import gappy_archive, untrained

from geogan.model import save_model


def help_seconds() -> float:
    """Return the seconds from the command to its end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "geogan", "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def computed(pid: int) -> float:
    """Return the processor seconds of a process so far (Linux)."""
    stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def region_seconds(data: Path, run: Path, out: Path) -> tuple[float, float]:
    """Return wall and processor seconds from the command to the first chunk of the filled variable on disk."""
    command = [sys.executable, "-m", "geogan", "fill", "--data", data, "--model", run, "--out", out]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        # A process that has ended, but was not waited for, still has its account.
        while not any(written(out)):
            if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) and not any(written(out)):
                raise SystemExit("geogan fill ended without a region; try it by hand")
            time.sleep(0.01)
        return time.perf_counter() - began, computed(process.pid)
    finally:
        process.wait()


def written(out: Path) -> list[Path]:
    """Return the chunk files of the filled variable in the store or in its partial folder."""
    return [
        Path(folder) / name
        for folder, _, names in os.walk(out.parent)
        if f"{os.sep}sst{os.sep}c" in f"{folder}{os.sep}"
        for name in names
        if not name.startswith(".") and "partial" not in name
    ]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--days", type=int, default=48)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data, run = Path(folder) / "gappy.zarr", Path(folder) / "run"
        field = gappy_archive(given.days, given.side)
        field.to_dataset().chunk(time=8).to_zarr(data, consolidated=False)
        save_model(run, untrained(field, "float32"))
        asked, filled = [], []
        for turn in range(given.rounds):
            asked.append(help_seconds())
            place = Path(folder) / str(turn)
            place.mkdir()
            filled.append(region_seconds(data, run, place / "filled.zarr"))
    print(f"geogan --help (aim: under 0.6 s)                     {statistics.median(asked):6.2f} s")
    clock, processor = (statistics.median(each) for each in zip(*filled))
    print(f"geogan fill to its first region (aim: under 12 s)    {clock:6.2f} s, {processor:.2f} s of the processor")


if __name__ == "__main__":
    main()
