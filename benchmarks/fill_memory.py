"""Peak memory of ``geogan fill`` on an archive, and on one so many times longer (Linux).

    python benchmarks/fill_memory.py [--days 96] [--side 256] [--times 8]

Every fill runs in a process of its own; prints both peaks and their ratio.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from fill_throughput import gappy_archive, untrained

from geogan.checkpoint import save_model


def peak(data: Path, run: Path, out: Path) -> float:
    """Peak resident memory of a fill, in MiB."""
    # The kernel's own high-water mark, and not getrusage's: that one a child inherits from its parent, which has just
    # held a whole archive.
    code = (
        "import sys; from pathlib import Path; from geogan.pipelines.fill import fill; "
        "fill(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), threads=2); "
        "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
    )
    done = subprocess.run([sys.executable, "-c", code, data, run, out], check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1]) / 1024


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--days", type=int, default=96)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--times", type=int, default=8)
    given = parser.parse_args()
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        for times in (1, given.times):
            data, run = Path(folder) / f"gappy{times}.zarr", Path(folder) / f"run{times}"
            field = gappy_archive(given.days * times, given.side)
            field.to_dataset().chunk(time=8).to_zarr(data, consolidated=False)
            save_model(run, untrained(field, "bfloat16"))
            del field
            peaks.append(peak(data, run, Path(folder) / f"filled{times}.zarr"))
            print(f"{given.days * times:5d} days of {given.side} x {given.side}: {peaks[-1]:.0f} MiB")
    print(f"ratio {peaks[1] / peaks[0]:.3f}")


if __name__ == "__main__":
    main()
