"""Prepare the Alboran case: what is seen on day t is hidden under the cloud of day (t + 4) mod 10.

    python benchmarks/alboran.py SHARED/alboran-dineof/alboranSST_small.nc OUT

writes ``OUT/alboran_gappy.nc`` and ``OUT/alboran_truth.nc``; days on which 90 % or more of what is seen would be
hidden are left alone. Then train, fill and evaluate with the commands of docs/results.md.
"""

import sys
from pathlib import Path

import numpy as np
import xarray as xr


def main(source: str, out: str) -> None:
    """Write the gappy archive and its truth."""
    Path(out).mkdir(parents=True, exist_ok=True)
    dataset = xr.open_dataset(source)
    sst, sea = dataset["SST"].load(), dataset["mask"].values == 1
    seen = np.isfinite(sst.values) & sea
    hidden = np.zeros_like(seen)
    for day in range(len(seen)):
        under = seen[day] & ~seen[(day + 4) % len(seen)]
        if under.sum() < 0.9 * seen[day].sum():
            hidden[day] = under
    kept = {"SST": sst.where(sea), "mask": dataset["mask"]}
    xr.Dataset(kept).to_netcdf(Path(out) / "alboran_truth.nc")
    xr.Dataset(kept | {"SST": sst.where(sea & ~hidden)}).to_netcdf(Path(out) / "alboran_gappy.nc")
    print(f"{hidden.sum():,} of {seen.sum():,} observations hidden")


if __name__ == "__main__":
    main(*sys.argv[1:])
