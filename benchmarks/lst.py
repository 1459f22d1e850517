"""One MODIS scene of land surface temperature, 300 x 500, under the clouds of the next day: 42,740 pixels to score.

    python benchmarks/lst.py DATA/modis_lst_20160804.nc [--minutes 15] [--members 40]

``lst_masked`` is all there is to learn from: its own gaps, turned round, say which observations are hidden to fit the
Gaussian field, and to scale its error bars. Scores are those of Heaton et al. (2019), A case study competition among
methods for analyzing large spatial data, whose rows are read from ``published_scores.csv`` beside the data. With
``--minutes 0`` no network is trained; error bars of the network need ``--members`` (and ``members=2`` in training).
"""

import argparse
import csv
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from geogan import Reconstructor
from geogan.coordinates import find_axes
from geogan.gaussian import GaussianPrior, Hidden, fit_amplitude, fit_prior
from geogan.standardise import Standardiser
from geogan.verification import EnsembleTally

NAME = "lst_masked"
# Solved more exactly than usual: under large gaps the slow waves matter.
TOLERANCE = 1e-5


def scene(field: xr.DataArray) -> tuple[Standardiser, torch.Tensor, torch.Tensor, np.ndarray]:
    """Its climatology, anomalies and mask (1, 1, H, W), and what is seen (H, W)."""
    seen = np.isfinite(field.values)
    standardiser = Standardiser.fit(field, find_axes(field), np.ones(field.shape, bool), plane=True)
    anomaly = np.nan_to_num(standardiser.forward(field.values[None, None], None))
    return standardiser, torch.from_numpy(anomaly).float(), torch.from_numpy(seen).float()[None, None], seen


def turned(field: xr.DataArray) -> list[Hidden]:
    """The scene with its own gaps, mirrored along y, along x and along both, hiding what was seen."""
    pieces = []
    for axes in ((0,), (1,), (0, 1)):
        kept = np.isfinite(field.values) & np.flip(np.isfinite(field.values), axes)
        # The climatology must not know what is hidden.
        standardiser, _, mask, _ = scene(field.where(kept))
        values = torch.from_numpy(np.nan_to_num(standardiser.forward(field.values[None, None], None))).float()
        gone = torch.from_numpy(np.isfinite(field.values) & ~kept).float()[None, None]
        pieces.append(Hidden(values, mask, gone, torch.ones(field.shape), torch.zeros(1, dtype=torch.float64)))
    return pieces


def gaussian(field: xr.DataArray, members: int) -> tuple[np.ndarray, np.ndarray, GaussianPrior]:
    """Posterior mean and standard deviation of an observation, (H, W), and the prior that was found."""
    pieces = turned(field)
    prior = fit_amplitude(fit_prior(pieces, temporal=False, evaluations=100), pieces, seed=0)
    standardiser, values, mask, _ = scene(field)
    domain, day = torch.ones(field.shape), torch.zeros(1, dtype=torch.float64)
    random, square = torch.Generator().manual_seed(0), torch.zeros_like(values)
    guess = prior.map(values[None], mask[None], domain, day, tolerance=TOLERANCE)[0]
    for _ in range(members):
        noise = torch.randn((2, 1, 1, *values.shape), generator=random)
        square += prior.members(values[None], mask[None], domain, day, noise=noise)[1][0, 0].square() / members
    std = (square + (prior.noise * prior.amplitude) ** 2).sqrt() * float(standardiser.scale[0])
    return standardiser.inverse(guess.double().numpy(), None)[0, 0], std[0, 0].double().numpy(), prior


def row(name: str, mean: np.ndarray, std: np.ndarray | None, truth: np.ndarray, where: np.ndarray) -> str:
    """A line of the table."""
    if std is None:
        error = (mean - truth)[where]
        return f"| {name} | {abs(error).mean():.3f} | {np.sqrt((error**2).mean()):.3f} | | | | | |"
    tally = EnsembleTally().add_normal(mean, std, truth, where)
    score = tally.score()
    return (
        f"| {name} | {score.mae:.3f} | {score.rmse:.3f} | {score.crps:.3f} | {score.interval[0.95]:.2f} | "
        f"{score.coverage[0.95]:.3f} | {score.coverage[0.9]:.3f} | {score.spread_skill:.2f} |"
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--members", type=int, default=40, help="draws that the error bars are taken from")
    given = parser.parse_args()
    dataset = xr.open_dataset(given.data).load()
    field, truth, where = dataset[NAME], dataset["lst_full"].values, dataset["test_mask"].values == 1
    mean, std, prior = gaussian(field, given.members)
    print(prior)
    rows = [row("Gaussian", mean, std, truth, where)]
    if given.minutes > 0:
        trained = Reconstructor("observed_gaps", window=0, minutes=given.minutes).fit(field, message=print)
        filled = trained.fill(field)
        bars = filled[f"{NAME}_std"].values.astype(float) if f"{NAME}_std" in filled else None
        rows.append(row("model", filled[NAME].values.astype(float), bars, truth, where))
    published = given.data.with_name("published_scores.csv")
    with published.open(encoding="utf-8", newline="") as file:
        for line in sorted(csv.DictReader(file), key=lambda line: float(line["rmse"])):
            rows.append(f"| {line['method']} (published) | {line['mae']} | {line['rmse']} | | | | | |")
    print("| °C | MAE | RMSE | CRPS | interval score, 95 % | coverage, 95 % | 90 % | spread / skill |")
    print("|---|---|---|---|---|---|---|---|", *rows, sep="\n")


if __name__ == "__main__":
    main()
