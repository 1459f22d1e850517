"""Measure the time from the command to a filled store with a smaller error than DINEOF's.

    python benchmarks/time_to_dineof.py DATA/oisst_tasman_1982_2005.nc [--out oisst] [--years 1995/2004]

`geogan train --steps 1` and `geogan fill` run in separate processes, one after the other, on the gappy archive of
``oisst.py``: after one step the model is its first guess, calibrated. Both errors are those of all hidden cells. DINEOF
is cross-validated (200 modes at most); its error is kept in ``--out`` and not computed again.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from oisst import CLOUDS

from geogan.evaluation import Scoring
from geogan.io import open_field
from geogan.pipelines.corrupt import CorruptOptions, corrupt
from geogan.pipelines.evaluate import Inputs, evaluate
from geogan.pipelines.score_outputs import Outputs


def rmse(filled: np.ndarray, truth: np.ndarray, gappy: np.ndarray) -> float:
    """Return the RMSE over all hidden cells."""
    hidden = np.isfinite(truth) & ~np.isfinite(gappy)
    return float(np.sqrt(np.mean((filled[hidden].astype("f8") - truth[hidden]) ** 2)))


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--out", type=Path, default=Path("oisst"))
    parser.add_argument("--years", default="1995/2004")
    parser.add_argument("--clouds", choices=CLOUDS, default="persistent")
    parser.add_argument("--steps", type=int, default=1)
    given = parser.parse_args()
    given.out.mkdir(exist_ok=True)
    name = f"{given.clouds}-{given.years.replace('/', '-')}"
    archive, run, store = given.out / f"{name}.zarr", given.out / f"{name}-quick", given.out / f"{name}-filled.zarr"
    if not archive.exists():
        options = CorruptOptions(CLOUDS[given.clouds], variable="sst", time=given.years)
        corrupt(given.data, archive, options)

    def command(*words: object) -> float:
        began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "geogan", *map(str, words)], check=True)
        took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        computed = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"geogan {words[0]}: {took:.1f} s, {computed:.1f} s of the processor", flush=True)
        return took

    about = ("--variable", "sst", "--overwrite")
    trained = command("train", "--data", archive, "--out", run, "--domain", "sea_mask", "--steps", given.steps, *about)
    filled = command("fill", "--data", archive, "--model", run, "--out", store, *about)

    gappy = open_field(archive, variable="sst").values
    truth = open_field(given.data, variable="sst", time=given.years).values
    ours = rmse(open_field(store, variable="sst").values, truth, gappy)
    kept = given.out / f"{name}-dineof.json"
    if not kept.exists():
        began = time.perf_counter()
        truth, table = Inputs(truth=given.data), Outputs(json=kept)
        evaluate(archive, run, Scoring("dineof"), inputs=truth, outputs=table, ablation=False)
        print(f"DINEOF took {time.perf_counter() - began:.0f} s")
    theirs = next(row["rmse"] for row in json.loads(kept.read_text())["rows"] if row["method"] == "dineof")
    print(f"error {ours:.4f}, DINEOF's {theirs:.4f}")
    verdict = f"{trained + filled:.1f} s" if ours < theirs else "not yet"
    print(f"to a filled store below DINEOF's error (aim: under 60 s)    {verdict}")


if __name__ == "__main__":
    main()
