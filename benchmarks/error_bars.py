"""Compare the predicted error with the error found in the gaps of small fields, with and without a network.

python benchmarks/error_bars.py [--steps 0,20,200] [--cases "white noise,two dates"] [--seeds 3] [--large MINUTES]

The fields are white noise, a constant or a plane plus noise, and a synthetic sea surface temperature of five, two and
one dates; clouds hide half of each. ``--steps 0`` fits a Gaussian without a network. The score is the root mean square
of ``*_std`` over that of the errors in hidden cells, all seeds together, which is 1 for true error bars; the share of
errors in the 90 % interval; the ratio near observations and far from them (the two halves of the hidden cells); and
how far ``*_std`` varies within the field (standard deviation over mean). ``--large`` trains that long on 14 dates of
420 x 420 cells instead.
"""

import argparse
import warnings

import numpy as np
import xarray as xr
from scipy.ndimage import distance_transform_edt

from geogan import Reconstructor
from geogan.corruption import corrupt
from geogan.fields.synthetic import synthetic_sst

CLOUDS = "cloud_mask:coverage=0.5,scale=6"
LARGE_CLOUDS = "cloud_mask:coverage=0.55,scale=40,persistence=2"
SHAPE = (40, 48)
CASES = ("white noise", "constant", "plane", "five dates", "two dates", "one scene")


def truth_of(case: str, seed: int) -> xr.DataArray:
    """Return a field without gaps; land is NaN."""
    random = np.random.default_rng(seed)
    noise = random.normal(size=(20, *SHAPE))
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    values = {
        "white noise": 10 + noise,
        "constant": 10 + 1e-3 * noise,
        "plane": 10 + 0.05 * rows - 0.03 * columns + 0.3 * noise,
    }
    if case in values:
        days = np.datetime64("2020-01-01", "ns") + np.arange(20) * np.timedelta64(1, "D")
        return xr.DataArray(
            values[case].astype(np.float32), dims=("time", "y", "x"), coords={"time": days}, name="field"
        )
    days = {"five dates": 5, "two dates": 2, "one scene": 1}[case]
    return synthetic_sst(days=days, size=SHAPE, seed=seed).sst.rename("field")


def filled_with(gappy: xr.DataArray, steps: int, seed: int, minutes: float | None = None) -> xr.Dataset:
    """Return the product of a model that is trained on the field itself."""
    training = {"minutes": minutes} if minutes else {"steps": steps}
    network = {} if steps or minutes else {"network": None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        window = min(2, gappy.sizes["time"] - 1)
        reconstructor = Reconstructor("cloud_mask", window=window, training=training, seed=seed, **network)
        return reconstructor.fit(gappy).fill(gappy)


def distances(gappy: np.ndarray) -> np.ndarray:
    """Return the distance to the nearest observation of the date, in cells, shape (T, H, W)."""
    return np.stack([distance_transform_edt(np.isnan(one)) for one in gappy])


def jumps(std: np.ndarray) -> tuple[float, float]:
    """Return the mean jump of the logarithm between columns, across the edges of blocks of four cells and inside."""
    steps = np.abs(np.diff(np.log(std), axis=-1))
    is_edge = np.arange(1, std.shape[-1]) % 4 == 0
    return float(np.nanmean(steps[..., is_edge])), float(np.nanmean(steps[..., ~is_edge]))


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", default="0,20,200", help="step counts, with commas between; 0 for no network")
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--large", type=float, help="minutes")
    given = parser.parse_args()
    cases = ("large",) if given.large else tuple(given.cases.split(","))
    print(f"{'field':12} {'steps':>6} {'error':>8} {'std':>8} {'ratio':>6} {'near':>6} {'far':>6} {'90 %':>6} "
          f"{'varies':>6} {'edge':>6} {'inside':>6}")  # fmt: skip
    for steps in [0] if given.large else [int(part) for part in given.steps.split(",")]:
        for case in cases:
            report(case, steps, given.seeds, given.large)


def report(case: str, steps: int, seeds: int, minutes: float | None) -> None:
    """Fill one case and print its line."""
    errors, spreads, far, varies, steep = [], [], [], [], []
    for seed in [3] if minutes else range(seeds):
        truth = synthetic_sst(days=14, size=420, seed=3).sst.rename("field") if minutes else truth_of(case, seed)
        gappy = corrupt(truth, LARGE_CLOUDS if minutes else CLOUDS, seed=1 if minutes else seed)
        product = filled_with(gappy, steps, seed, minutes)
        std = product.field_std.values
        # A cell that is never observed counts as land.
        hidden = (gappy.isnull() & truth.notnull()).values & ~np.isnan(std)
        errors.append((product.field - truth).values[hidden])
        spreads.append(std[hidden])
        away = distances(gappy.values)[hidden]
        far.append(away > np.median(away))
        varies.append(std[hidden].std() / std[hidden].mean())
        steep.append(jumps(np.where(hidden, std, np.nan)))
    error, std, is_far = (np.concatenate(part) for part in (errors, spreads, far))

    def ratio(where: np.ndarray) -> float:
        return float(np.sqrt((std[where] ** 2).mean() / (error[where] ** 2).mean()))

    inside = (np.abs(error) < 1.645 * std).mean()
    edge, within = np.mean(steep, 0)
    budget = f"{minutes} min" if minutes else str(steps)
    found, predicted = (np.sqrt((part**2).mean()) for part in (error, std))
    ratios = [ratio(where) for where in (is_far | True, ~is_far, is_far)]
    columns = " ".join(f"{part:6.2f}" for part in ratios)
    print(f"{case:12} {budget:>6} {found:8.4f} {predicted:8.4f} {columns} {inside:6.1%} {np.mean(varies):6.2f} "
          f"{edge:6.3f} {within:6.3f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
