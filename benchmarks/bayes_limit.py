"""Compare error and CRPS with the Bayes limit during training, on Gaussian fields with a known posterior.

python benchmarks/bayes_limit.py [--steps 100,300,900] [--minutes 4] [--length 12] [--noise 0.1] [--samples 512]

Gaussian fields are measured once each, with noise and under clouds. A model is trained on some of them and fills the
others. The limit is the error of kriging with the true covariance, the least possible on average. The score is error /
limit on the cells under clouds, against the fields without noise. The CRPS of the predicted distribution, and of
ensemble members, is divided by that of the exact posterior. Minutes are the budget of all trainings together.
"""

import argparse
import math
import tempfile
from typing import Any

import numpy as np
import torch
import xarray as xr

from geogan import Reconstructor
from geogan.evaluation.ensembles import EnsembleTally
from geogan.operators.operator import Operator
from geogan.operators.parse import parse
from geogan.presets import PRESETS
from geogan.prior import GaussianPrior
from geogan.settings import by_object
from geogan.training import Checkpoint

SIDE, TEST, MEMBERS = 32, 256, 8
CLOUDS = "cloud_mask:coverage=0.5,spread=0.1,scale=4"
PAPER = {name: PRESETS["unir"][name] for name in ("weight_prior", "weight_likelihood", "weight_withheld",
                                                         "likelihood_every", "betas", "first_guess")}  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "no first guess": {"first_guess": False},
    "first guess": {"first_guess": True},
    "first guess, ensemble": {"first_guess": True, "members": 2},
    "the paper's terms alone": PAPER,
}


def draw(truth: GaussianPrior, operator: Operator, count: int, random: torch.Generator) -> list[torch.Tensor]:
    """Return fields, their measurements and masks, each (count, 1, 1, SIDE, SIDE)."""
    shape = (count, 1, 1, SIDE, SIDE)
    none, day = torch.zeros(shape), torch.zeros(1, dtype=torch.float64)
    fields = truth.sample(none, none, torch.ones(SIDE, SIDE), day, generator=random, tolerance=1e-5)
    return [fields, *operator.apply(fields, operator.sample(shape, generator=random))]


def labelled(values: torch.Tensor, mask: torch.Tensor) -> xr.DataArray:
    """Return measurements as an archive of samples, NaN in gaps."""
    return xr.DataArray(np.where(mask > 0, values, np.nan)[:, 0, 0], dims=("sample", "y", "x"), name="field")


def exact_std(truth: GaussianPrior, mask: torch.Tensor, random: torch.Generator, draws: int = 64) -> torch.Tensor:
    """Return the posterior's standard deviation in every cell, of the shape of ``mask``, from exact draws."""
    domain, day = torch.ones(SIDE, SIDE), torch.zeros(1, dtype=torch.float64)
    noise = torch.randn((2, draws, *mask.shape), generator=random)
    _, deviations = truth.members(torch.zeros_like(mask), mask, domain, day, noise=noise, loose=1e-3)
    # The root of a mean of squares is on average too small by a quarter of their number's inverse.
    return deviations.square().mean(0).sqrt() * (1 + 0.25 / draws)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", default="100,300,900", help="step counts, with commas between")
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--length", type=float, default=12.0, help="range of the fields, in cells")
    parser.add_argument("--noise", type=float, default=0.1, help="standard deviation, in units of the fields'")
    parser.add_argument("--samples", type=int, default=512)
    given = parser.parse_args()
    truth = GaussianPrior(length=given.length, noise=given.noise)
    operator = parse(f"convolve_noise:l=1,sigma={given.noise} + {CLOUDS}")
    random = torch.Generator().manual_seed(0)
    _, *archive = draw(truth, operator, given.samples, random)
    fields, values, mask = draw(truth, operator, TEST, random)

    def error(found: torch.Tensor) -> float:
        square = (1 - mask) * (found - fields) ** 2
        return float(square.sum() / (1 - mask).sum()) ** 0.5

    day = torch.zeros(1, dtype=torch.float64)
    limit = error(truth.map(values, mask, torch.ones(SIDE, SIDE), day, tolerance=1e-6))
    exact = float(((1 - mask) * exact_std(truth, mask, random)).sum() / (1 - mask).sum()) / math.sqrt(math.pi)
    zeros = error(torch.zeros_like(fields)) / limit
    print(f"Bayes limit {limit:.4f}, zeros {zeros:.3f} times as much; exact CRPS {exact:.4f}")
    hidden = (1 - mask)[:, :, 0].numpy() > 0
    whole = fields[:, :, 0].numpy()
    counts = [0, *(int(count) for count in given.steps.split(","))]
    for number, (name, settings) in enumerate(CASES.items()):
        with tempfile.TemporaryDirectory() as folder:
            for count in counts:
                small = {"transform": "identity", "width": 16, "crop": SIDE, "batch": 16, "averaging": 0.99}
                budget = {"steps": count, "minutes": given.minutes / len(CASES), "precision": "float32", "threads": 1}
                fitted = Reconstructor(operator, **by_object(small | budget | settings))
                fitted.fit(labelled(*archive), checkpoint=Checkpoint(f"{folder}/{number}", resume=count > 0))
                drawing = count > 0 and fitted.first_guess
                made = fitted.fill(labelled(values, mask), keep_observed=False, members=2 * MEMBERS if drawing else 1)
                found = torch.from_numpy(made.field.values)
                score, steps = error(found[:, None, None]) / limit, fitted.model_.scores["steps"]
                said = f"error / limit {score:.3f}"
                if "field_std" in made and count:
                    parts = (made.field.values[:, None], made.field_std.values[:, None])
                    law = EnsembleTally().add_normal(*parts, whole, hidden).score()
                    said += f", CRPS / exact {law.crps / exact:.3f}"
                    if drawing:
                        # The others lie opposite them.
                        members = made.field_member.values[:MEMBERS, :, None]
                        drawn = EnsembleTally().add_members(members, whole, hidden).score()
                        said += f" (of {MEMBERS} members {drawn.crps / exact:.3f})"
                    said += f", 90 % interval {law.coverage[0.9]:.3f}, spread / skill {law.spread_skill:.2f}"
                print(f"{name}: {said}, after {steps} steps", flush=True)
                if steps < count:
                    print(f"{name}: the minutes are over", flush=True)
                    break


if __name__ == "__main__":
    main()
