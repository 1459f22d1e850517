"""Measure the gain of covariates: of a depth on a synthetic sea, or of air temperature where hours of land are hidden.

python benchmarks/covariates.py [--steps 400] [--seed 0]
python benchmarks/covariates.py goes16_lst_gfs.nc [--hours 6] [--steps 0] [--seed 0]

The anomalies of the synthetic sea are smooth up to a factor that depends on depth, so observations beside a cloud
predict the cells under it only together with the depth.

Of the hourly land surface temperatures one hour in five is hidden completely, in runs of some consecutive hours; the
covariate is the 2 m temperature of a forecast (``t2m``) on the same hours. The field is filled with and without
covariates, without a network (--steps 0) or by a trained model.
"""

import argparse
import time

import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter

from geogan import Reconstructor, corrupt

DAYS, HEIGHT, WIDTH = 120, 48, 56
# Share of the hours that is hidden.
HIDDEN = 0.2


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


def hidden_hours(count: int, run: int, seed: int) -> np.ndarray:
    """Return which of some hours are hidden, in runs of ``run`` consecutive ones, (T,) bool."""
    random, hidden = np.random.default_rng(seed), np.zeros(count, bool)
    while hidden.mean() < HIDDEN:
        start = int(random.integers(0, count - run + 1))
        hidden[start : start + run] = True
    return hidden


def filled(
    gappy: xr.DataArray, names: tuple[str, ...], given: dict[str, xr.DataArray], steps: int, seed: int
) -> tuple[xr.Dataset, float]:
    """Return the filled field, and the error on observations that were withheld from the training."""
    training = {"crop": 32, "steps": steps or None, "precision": "float32", "threads": 1}
    reconstructor = Reconstructor(
        covariates=names,
        window=1,
        network={"width": 16} if steps else None,
        training=training,
        seed=seed,
    )
    reconstructor.fit(gappy, covariates=given)
    return reconstructor.fill(gappy, covariates=given), reconstructor.model_.scores["withheld"]


def main() -> None:
    """Print one row for each set of covariates."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", nargs="?", help="file with lst and t2m; by default the synthetic sea")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--hours", type=int, default=6, help="length of the runs of hidden hours")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sets", type=int, nargs="*", help="numbers of the rows to print; by default all")
    options = parser.parse_args()
    if options.data is None:
        truth, depth = sea(options.seed)
        gappy = corrupt(truth, "cloud_mask:coverage=0.5,scale=8,persistence=2", seed=options.seed + 1)
        given, sets = {"depth": depth}, [(), ("depth",)]
        hidden = gappy.isnull().values
    else:
        dataset = xr.open_dataset(options.data).load()
        truth, given, sets = dataset.lst, {"t2m": dataset.t2m}, [(), ("hour_of_day",), ("t2m",)]
        hours = hidden_hours(truth.sizes["time"], options.hours, options.seed)
        gappy = truth.where(~xr.DataArray(hours, dims="time"))
        hidden = truth.notnull().values & hours[:, None, None]
    print("| covariates | withheld | hidden | over none | 90 % interval covers | seconds |\n|---|---|---|---|---|---|")
    alone = None
    for names in sets if options.sets is None else [sets[number] for number in options.sets]:
        started = time.process_time()
        product, withheld = filled(gappy, names, given, options.steps, options.seed)
        error = (product[str(truth.name)] - truth).values[hidden]
        size = float(np.sqrt((error**2).mean()))
        alone = alone or size
        inside = float((np.abs(error) < 1.645 * product[f"{truth.name}_std"].values[hidden]).mean())
        print(
            f"| {', '.join(names) or 'none'} | {withheld:.4f} | {size:.4f} | {size / alone:.3f} | {inside:.1%} "
            f"| {time.process_time() - started:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
