"""Score fills of a MODIS scene of land surface temperature, 300 x 500, under the clouds of the next day.

    python benchmarks/lst.py DATA/modis_lst_20160804.nc [--minutes 15] [--members 40]

The model is trained on ``lst_masked`` with the defaults of ``geogan train``, and scored on 42,740 pixels. Scores are
those of Heaton et al. (2019), A case study competition among methods for analyzing large spatial data, whose rows are
read from ``published_scores.csv`` beside the data. With ``--minutes 0`` only the first guess is scored.
"""

import argparse
import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from geogan import Reconstructor
from geogan.evaluation.ensembles import EnsembleTally
from geogan.fields.field import Field
from geogan.filling import FillOptions, fill_field
from geogan.model import Model

NAME = "lst_masked"


def first_guess(model: Model, field: xr.DataArray, members: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of an observation, (H, W), by the Gaussian posterior that the model starts from."""
    filled = fill_field(replace(model, network=None, error=None), Field.of(field), FillOptions(members=members))
    noise = model.prior.noise * model.prior.amplitude * model.standardiser.scale[0]
    return filled[NAME].values.astype(float), np.hypot(filled[f"{NAME}_std"].values.astype(float), noise)


def row(name: str, mean: np.ndarray, std: np.ndarray, truth: np.ndarray, where: np.ndarray) -> str:
    """Return a line of the table."""
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
    trained = Reconstructor("observed_gaps", window=0, training={"minutes": given.minutes}).fit(field, message=print)
    print(trained.model_.prior, trained.model_.scores, sep="\n")
    rows = [row("first guess", *first_guess(trained.model_, field, given.members), truth, where)]
    if given.minutes > 0:
        filled = trained.fill(field)
        mean, std = (filled[name].values.astype(float) for name in (NAME, f"{NAME}_std"))
        rows.append(row("model", mean, std, truth, where))
    published = given.data.with_name("published_scores.csv")
    with published.open(encoding="utf-8", newline="") as file:
        for line in sorted(csv.DictReader(file), key=lambda line: float(line["rmse"])):
            rows.append(f"| {line['method']} (published) | {line['mae']} | {line['rmse']} | | | | | |")
    print("| °C | MAE | RMSE | CRPS | interval score, 95 % | coverage, 95 % | 90 % | spread / skill |")
    print("|---|---|---|---|---|---|---|---|", *rows, sep="\n")


if __name__ == "__main__":
    main()
