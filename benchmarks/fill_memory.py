"""Measure the peak memory of ``geogan fill`` on an archive on disk, and on one several times as long (Linux).

    python benchmarks/fill_memory.py [--days 192] [--side 256] [--times 16] [--chunks 8,256,256]
    python benchmarks/fill_memory.py --days 2000 --side 1024 --times 1 --chunks 8,256,256 --seconds 600

Every fill runs in a separate process. Prints the peaks and their ratio. With ``--seconds`` a fill is stopped after that
time: its peak is that of one task on each thread, and all tasks have one size.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fill_throughput import untrained
from train_memory import archive_on_disk

from geogan.io import open_field
from geogan.model import save_model

FILL = """
import sys
from pathlib import Path
from geogan.filling import Workers
from geogan.pipelines.fill import fill
fill(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), workers=Workers(int(sys.argv[4])))
"""


def peak(data: Path, run: Path, out: Path, *, threads: int, seconds: float | None) -> float:
    """Return the peak resident memory of a fill, in MiB."""
    began, found = time.monotonic(), 0.0
    with subprocess.Popen([sys.executable, "-c", FILL, data, run, out, str(threads)]) as child:
        while child.poll() is None:
            # The kernel's own high-water mark, and not getrusage's: that one a child inherits from its parent.
            status = Path(f"/proc/{child.pid}/status").read_text().splitlines()
            found = max(found, *(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM")), 0.0)
            if seconds is not None and time.monotonic() - began > seconds:
                child.kill()
            time.sleep(0.2)
    if child.returncode and seconds is None:
        raise SystemExit(f"the fill failed with status {child.returncode}")
    return found


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--days", type=int, default=384)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--times", type=int, default=16)
    parser.add_argument("--chunks", default="8,256,256")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float)
    given = parser.parse_args()
    chunks, peaks = tuple(int(size) for size in given.chunks.split(",")), []
    with tempfile.TemporaryDirectory() as folder:
        for times in sorted({1, given.times}):
            data, run = Path(folder) / f"gappy{times}.zarr", Path(folder) / f"run{times}"
            archive_on_disk(data, given.days * times, given.side, chunks)  # type: ignore[arg-type]
            save_model(run, untrained(open_field(data)[:48].compute(), "bfloat16"))
            out = Path(folder) / f"filled{times}.zarr"
            peaks.append(peak(data, run, out, threads=given.threads, seconds=given.seconds))
            print(f"{given.days * times:5d} days of {given.side} x {given.side}: {peaks[-1]:.0f} MiB", flush=True)
    if len(peaks) > 1:
        print(f"ratio {peaks[1] / peaks[0]:.3f}")


if __name__ == "__main__":
    main()
