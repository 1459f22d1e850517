"""Measure the gain of a covariate on which the variability of the field depends.

python benchmarks/covariates.py [--steps 400] [--seed 0]

The anomalies of a synthetic sea are smooth up to a factor that depends on depth, so observations beside a cloud predict
the cells under it only together with the depth. The sea is filled with and without that covariate.
"""

import argparse

import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter

from geogan import Reconstructor, corrupt

DAYS, HEIGHT, WIDTH = 120, 48, 56


def sea(seed: int) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the field, in degrees, and the logarithm of its depth."""
    random = np.random.default_rng(seed)
    smooth = gaussian_filter(random.standard_normal((DAYS + 20, HEIGHT, WIDTH)), (3, 5, 5), mode="wrap")[10:-10]
    relief = gaussian_filter(random.standard_normal((HEIGHT, WIDTH)), 1.0)
    relief /= relief.std()
    noise = 0.05 * random.standard_normal(smooth.shape)
    values = 10 + np.exp(0.8 * relief) * smooth / smooth.std() + noise
    places = {"lat": np.linspace(40, 42, HEIGHT), "lon": np.linspace(0, 2.4, WIDTH)}
    time = np.datetime64("2001-01-01") + np.arange(DAYS).astype("m8[D]")
    field = xr.DataArray(
        values.astype(np.float32), dims=("time", "lat", "lon"), coords={"time": time} | places, name="sst"
    )
    field.attrs["units"] = "degC"
    return field, xr.DataArray(6 - relief, dims=("lat", "lon"), coords=places)


def main() -> None:
    """Print one row without the covariate and one with it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    truth, depth = sea(given.seed)
    gappy = corrupt(truth, "cloud_mask:coverage=0.5,scale=8,persistence=2", seed=given.seed + 1)
    hidden = gappy.isnull().values
    print("| covariates | withheld, °C | under clouds, °C |\n|---|---|---|")
    for covariates in ((), ("depth",)):
        reconstructor = Reconstructor(
            covariates=covariates,
            window=1,
            network={"width": 16},
            training={"crop": 32, "steps": given.steps, "precision": "float32", "threads": 1},
            seed=given.seed,
        )
        filled = reconstructor.fit(gappy, covariates={"depth": depth}).fill(gappy)
        error = np.sqrt(((filled.sst.values - truth.values)[hidden] ** 2).mean())
        withheld = reconstructor.model_.scores["withheld"]
        print(f"| {', '.join(covariates) or 'none'} | {withheld:.4f} | {error:.4f} |", flush=True)


if __name__ == "__main__":
    main()
