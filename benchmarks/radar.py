"""Rain radar over Sydney, twelve frames of ten minutes: two frames and a tenth of the other values are hidden.

    python benchmarks/radar.py DATA/sydney_radar.nc [--minutes 1] [--members 40] [--seeds 1]

The frames of 09:35 and 09:45 are hidden whole, the other values at random. What is left is all there is to learn from,
by ``geogan train`` as it is. Scores of other methods are those of Wikle, Zammit-Mangion and Cressie (2019),
*Spatio-Temporal Statistics with R*, table 6.2, whose draw of the random values differs; PCV is the mean square error.
With ``--minutes 0`` there is the first guess alone.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from geogan import Reconstructor
from geogan.evaluation.baselines.linear_time import linear_time
from geogan.evaluation.ensembles import EnsembleTally
from geogan.fields.field import Field
from geogan.filling import FillOptions, fill_field
from geogan.model import Model

HIDDEN = slice(7, 9)
# Method: PCV and CRPS of the hidden frames, PCV of the random values.
PUBLISHED = {
    "fixed rank kriging (published)": ("50.8", "3.75", "34.2"),
    "integro-difference equation (published)": ("29.9", "3.03", "30.0"),
}


def first_guess(model: Model, field: xr.DataArray, members: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of an observation, (T, H, W), by the Gaussian posterior."""
    name = str(field.name)
    filled = fill_field(replace(model, network=None, error=None), Field.of(field), FillOptions(members=members))
    noise = model.prior.noise * model.prior.amplitude * model.standardiser.scale[0]
    return filled[name].values.astype(float), np.hypot(filled[f"{name}_std"].values.astype(float), noise)


def row(name: str, mean: np.ndarray, std: np.ndarray | None, truth: np.ndarray, parts: list[np.ndarray]) -> str:
    """A line of the table; ``parts`` are the cells of the hidden frames and those at random."""
    cells = []
    for where in parts:
        cells.append(f"{((mean - truth)[where] ** 2).mean():.1f}")
        if std is None:
            cells += ["", "", ""]
            continue
        score = EnsembleTally().add_normal(mean, std, truth, where).score()
        cells += [f"{score.crps:.2f}", f"{score.coverage[0.9]:.1%}", f"{score.spread_skill:.2f}"]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--members", type=int, default=40, help="draws that the error bars are taken from")
    parser.add_argument("--seeds", type=int, default=1, help="draws of the random values")
    given = parser.parse_args()
    dataset = xr.open_dataset(given.data).load()
    whole = next(iter(dataset.data_vars.values()))
    truth, rows = whole.values.astype(float), []
    frames = np.zeros(truth.shape, bool)
    frames[HIDDEN] = True
    for seed in range(given.seeds):
        random = (np.random.default_rng(seed).random(truth.shape) < 0.1) & ~frames
        parts, field = [frames, random], whole.where(~(frames | random))
        trained = Reconstructor("observed_gaps", seed=seed, training={"minutes": given.minutes}).fit(
            field, message=print
        )
        print(trained.model_.prior, trained.model_.scores, sep="\n")
        rows.append(row(f"Gaussian MAP, draw {seed}", *first_guess(trained.model_, field, given.members), truth, parts))
        if given.minutes > 0:
            filled = trained.fill(field)
            mean, std = (filled[name].values.astype(float) for name in (whole.name, f"{whole.name}_std"))
            rows.append(row(f"model, draw {seed}", mean, std, truth, parts))
        linear = linear_time(field.values, domain=np.ones(truth.shape[1:], bool), days=np.arange(len(truth)))
        rows.append(row(f"linear in time, draw {seed}", linear.astype(float), None, truth, parts))
    rows += [
        f"| {name} | {pcv} | {crps} | | | {at_random} | | | |" for name, (pcv, crps, at_random) in PUBLISHED.items()
    ]
    print("| dBZ² (CRPS: dBZ) | hidden frames: PCV | CRPS | 90 % | spread | at random: PCV | CRPS | 90 % | spread |")
    print("|---|---|---|---|---|---|---|---|---|", *rows, sep="\n")


if __name__ == "__main__":
    main()
