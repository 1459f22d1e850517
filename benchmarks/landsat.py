"""Run the benchmark of the stfit paper, site B: 15 real gap patterns on each of 20 complete Landsat images.

    python benchmarks/landsat.py DATA/landsat106.nc DATA/landsat106_benchmark.nc [--minutes 15] [--members 1]

For every pair, the pattern is removed from the image and the other images since 2000 stay unchanged. The score is the
mean over the 300 pairs of the RMSE over the removed pixels. Climatology, priors and network are fitted to the images
since 2000 without those 20, so no removed pixel is used. A pair is then filled from all data that the protocol allows.
With ``--minutes 0`` no network is trained.

The first guess is that of ``geogan train`` (:mod:`geogan.prior.archive_covariance`): its parameters are chosen on
hidden observations, not on complete images.
"""

import argparse

import numpy as np
import torch
import xarray as xr

from geogan import Reconstructor
from geogan.archive import check_field
from geogan.fields.field import Field
from geogan.model import Model
from geogan.prior import Prior
from geogan.settings import Settings
from geogan.training.preparation import prepare_model

# Images before and after that are looked at.
NEAR = 5
# Mean of what remains of the same image, over the same 300 pairs; computed.
IMAGE_MEAN = 161.5


def around(archive: xr.DataArray, image: int) -> slice:
    """Return the neighbouring images that have observations."""
    return slice(max(0, image - NEAR), image + NEAR + 1)


def gaussian(prior: Prior, model: Model, archive: xr.DataArray, image: int, patterns: np.ndarray):
    """Return the image filled under each pattern, (P, y, x)."""
    field, near = Field.of(archive), around(archive, image)
    phase = field.day_of_year
    phase = None if phase is None else phase[near]
    anomaly = model.standardiser.forward(archive.values[near, None], phase)
    seen = np.repeat(np.isfinite(anomaly)[None], len(patterns), 0)
    here = image - near.start
    seen[:, here, 0] &= ~patterns
    mask = torch.from_numpy(seen).float()
    values = torch.from_numpy(np.nan_to_num(anomaly)).float() * mask
    domain, dates = torch.from_numpy(model.domain).float(), torch.from_numpy(field.days[near])
    guess = prior.map(values, mask, domain, dates)[:, here].double().numpy()
    return np.stack(
        [model.standardiser.inverse(one[None], None if phase is None else phase[[here]])[0, 0] for one in guess]
    )


def learned(trained: Reconstructor, archive: xr.DataArray, image: int, patterns: np.ndarray, members: int):
    """Return the image filled by the trained model under each pattern, and its predicted error, both (P, y, x)."""
    near, name = around(archive, image), str(archive.name)
    here, found = image - near.start, []
    for pattern in patterns:
        part = archive[near].copy()
        part[here] = part[here].where(~pattern)
        filled = trained.fill(part, members=members)
        found.append([filled[one].values[here] for one in (name, f"{name}_std")])
    return np.stack(found, 1)


def rmse(filled: np.ndarray, truth: np.ndarray, patterns: np.ndarray) -> list[float]:
    """Return the RMSE over the pixels that each pattern removes."""
    return [float(np.sqrt(((one - truth)[gone] ** 2).mean())) for one, gone in zip(filled, patterns, strict=True)]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("pairs")
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--members", type=int, default=1)
    given = parser.parse_args()
    pairs = xr.open_dataset(given.pairs).load()
    archive = xr.open_dataset(given.data)["value"].sel(time=slice("2000", None)).load()
    archive = archive[np.isfinite(archive.values).any((1, 2))]
    patterns = pairs["pattern_missing"].values == 1
    images = [int(np.flatnonzero(archive.time.values == date)[0]) for date in pairs["image_time"].values]
    others = archive[np.setdiff1d(np.arange(len(archive)), images)]
    domain = np.ones(archive.shape[1:], bool)
    field = Field.of(others, domain=domain)
    model = prepare_model(
        field,
        check_field(field),
        Settings(operator="observed_gaps", window=1),
        message=print,
    ).model
    rows = {
        "stfit (published)": pairs["rmse_stfit"].values,
        "detrended kriging (published)": pairs["rmse_kriging_detrended"].values,
        "kriging (published)": pairs["rmse_kriging_not_detrended"].values,
        "gapfill (published, where it could)": pairs["rmse_gapfill"].values,
        "mean of the same image": np.full((1, 1), IMAGE_MEAN),
    }
    assert model.prior is not None
    filled = [gaussian(model.prior, model, archive, image, patterns) for image in images]
    rows["first guess"] = np.array(
        [rmse(*part, patterns) for part in zip(filled, archive.values[images], strict=True)]
    ).T
    if given.minutes > 0:
        trained = Reconstructor("observed_gaps", training={"minutes": given.minutes}).fit(
            others, domain=domain, message=print
        )
        filled, std = zip(*(learned(trained, archive, image, patterns, given.members) for image in images))
        rows["model"] = np.array([rmse(*part, patterns) for part in zip(filled, archive.values[images], strict=True)]).T
        gone = np.broadcast_to(patterns, (len(images), *patterns.shape))
        error, said = (np.stack(filled) - archive.values[images][:, None])[gone], np.stack(std)[gone]
        print(
            f"predicted error of the model: {(np.abs(error) < 1.645 * said).mean():.1%} within the 90 % interval, "
            f"spread {np.sqrt((said**2).mean() / (error**2).mean()):.2f}"
        )
    season = pairs["season"].values
    names = list(dict.fromkeys(season))
    print(f"\n| RMSE | all | {' | '.join(names)} |\n|---|---|{'---|' * len(names)}")
    for name, scores in rows.items():
        parts = [f"{np.nanmean(scores[:, season == one]):.1f}" if scores.shape[1] > 1 else "" for one in names]
        print(f"| {name} | {np.nanmean(scores):.1f} | {' | '.join(parts)} |")


if __name__ == "__main__":
    main()
