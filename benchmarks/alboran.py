"""Score fills of ten days of the Alboran Sea (DINEOF's example, 45 % clouds) under clouds and at single points.

    python benchmarks/alboran.py DATA/alboranSST_small.nc [--out alboran] [--minutes 15]

``clouds``: observations of day t are hidden under the cloud of day (t + 4) mod 10, except on days where that would hide
90 % or more of them. ``points``: 2,258 single observations, as many as in DINEOF's cross-validation (its choice is not
known). With ``--minutes 0`` only the archives are written: ``OUT/<case>_gappy.nc`` and ``OUT/alboran_truth.nc``.
"""

import argparse
from pathlib import Path

import numpy as np
import xarray as xr
from rich.console import Console

from geogan.evaluation import Scoring
from geogan.pipelines.evaluate import Inputs, evaluate
from geogan.pipelines.score_outputs import Outputs
from geogan.pipelines.train import train
from geogan.settings import DataConfig, Settings, TrainConfig

POINTS = 2258
KNOWN = {
    "clouds": "DINEOF 0.502, linear in time 0.484, pull-push 0.431, a Gaussian MAP tuned by hand 0.28",
    "points": "DINEOF 0.4445, pull-push 0.128, a Gaussian MAP tuned by hand 0.091",
}


def hidden(case: str, seen: np.ndarray) -> np.ndarray:
    """Return the observations to hide, (T, y, x) bool."""
    if case == "points":
        chosen = np.random.default_rng(0).choice(np.flatnonzero(seen), POINTS, replace=False)
        return np.isin(np.arange(seen.size), chosen).reshape(seen.shape)
    found = np.zeros_like(seen)
    for day in range(len(seen)):
        under = seen[day] & ~seen[(day + 4) % len(seen)]
        if under.sum() < 0.9 * seen[day].sum():
            found[day] = under
    return found


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--out", type=Path, default=Path("alboran"))
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--methods", default="climatology,linear_time,biharmonic,dineof,gaussian,model")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    console = Console(width=100)
    dataset = xr.open_dataset(given.data)
    sst, sea = dataset["SST"].load(), dataset["mask"].values == 1
    seen = np.isfinite(sst.values) & sea
    whole = xr.Dataset({"SST": sst.where(sea), "mask": dataset["mask"]})
    truth = given.out / "alboran_truth.nc"
    whole.to_netcdf(truth)
    for case, known in KNOWN.items():
        gone = hidden(case, seen)
        gappy = given.out / f"{case}_gappy.nc"
        whole.assign(SST=sst.where(sea & ~gone)).to_netcdf(gappy)
        print(f"{case}: {gone.sum():,} of {seen.sum():,} observations hidden; known: {known}", flush=True)
        if not given.minutes:
            continue
        run = given.out / case
        train(
            DataConfig(data=(gappy,), variable="SST", domain="mask"),
            Settings("observed_gaps", training=TrainConfig(minutes=given.minutes)),
            out=run,
            overwrite=True,
            console=console,
        )
        evaluate(
            gappy,
            run,
            Scoring(given.methods, given.members, by=("distance", "cloud")),
            inputs=Inputs(truth=truth),
            outputs=Outputs(json=given.out / f"{case}_scores.json", console=console),
            ablation=False,
        )


if __name__ == "__main__":
    main()
