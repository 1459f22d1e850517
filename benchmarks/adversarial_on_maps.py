"""Train with and without the adversarial terms on a synthetic sea, and compare errors, spectra and a two-sample score.

python benchmarks/adversarial_on_maps.py [--steps 500] [--seeds 1] [--days 160] [--size 64] [--cases "none;default"]

The sea and its clouds are those of ``geogan demo``. All trainings have the same number of steps and the same first
guess. Columns: the root mean square error in the gaps; the fair CRPS of eight members there; the ratio of the
spectrum to that of the truth at wavelengths of 16, 8 and 4 cells, for the product and for a member; the two-sample
score of product and member: how often a fresh classifier is right that is shown measurements, or reconstructed cells
under gaps of the same law (50 % is perfect); the CPU time of a step, with the preparation of the training. The first
line scores the truth in the same way.
"""

import argparse
import resource
import warnings
from typing import NamedTuple

import numpy as np
import xarray as xr

from geogan import Reconstructor
from geogan.corruption import corrupt
from geogan.evaluation.ensembles import fair_crps
from geogan.fields.spectra import SpectrumTally
from geogan.fields.synthetic import synthetic_sst
from geogan.gaps.classifier import tell_apart

CLOUDS = "cloud_mask:coverage=0.5,spread=0.2,scale=10,persistence=2"
MEMBERS, SIDE = 8, 32
# Changes of the objective, and members of a training step.
CASES: dict[str, tuple[dict[str, float], int]] = {
    "none": ({"weight_prior": 0.0, "weight_likelihood": 0.0}, 1),
    "default": ({}, 1),
    "every step": ({"prior_every": 1}, 1),
    "strong": ({"prior_every": 1, "weight_prior": 0.2}, 1),
    "prior only": ({"weight_likelihood": 0.0}, 1),
    "likelihood only": ({"weight_prior": 0.0}, 1),
    "none, 2 members": ({"weight_prior": 0.0, "weight_likelihood": 0.0}, 2),
    "default, 2 members": ({}, 2),
    "strong, 2 members": ({"prior_every": 1, "weight_prior": 0.2}, 2),
}


class Maps(NamedTuple):
    """A sea (T, H, W), NaN on land, and its measurements, NaN in gaps; other gaps of the same law; the domain."""

    truth: np.ndarray
    real: np.ndarray
    other_gaps: np.ndarray
    domain: np.ndarray
    seed: int


def cpu_seconds() -> float:
    """Return the CPU time of this process so far, of all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def trained(case: str, gappy: xr.DataArray, sea: xr.DataArray, prior: object, steps: int, seed: int) -> Reconstructor:
    """Return a trained model."""
    objective, members = CASES[case]
    reconstructor = Reconstructor(
        CLOUDS,
        first_guess=prior,
        members=members,
        objective=objective,
        training={"steps": steps, "threads": 1},
        seed=seed,
    )
    return reconstructor.fit(gappy, domain=sea)


def crops(
    values: np.ndarray, sea: np.ndarray, dates: np.ndarray, count: int, *, step: float, seed: int
) -> tuple[np.ndarray, ...]:
    """Return crops of measurements, (N, 6, h, w), and the date of each.

    Channels are values, their differences along both axes, and the curvature, all 0 where a cell is missing; mask and
    domain. A classifier as small as this one finds the texture in the differences, not in the values; ``step`` is their
    standard deviation in measurements.
    """
    random = np.random.default_rng(seed)
    chosen = random.permutation(np.resize(dates, count))
    rows, columns = (random.integers(0, size - SIDE + 1, count) for size in sea.shape)
    cut = [(slice(row, row + SIDE), slice(column, column + SIDE)) for row, column in zip(rows, columns, strict=True)]
    seen = np.stack([values[date][place] for date, place in zip(chosen, cut, strict=True)])
    right, down = (np.diff(seen, axis=axis, append=np.nan) for axis in (2, 1))
    bend = right - np.roll(right, 1, 2) + down - np.roll(down, 1, 1)
    shown = [np.nan_to_num(part) for part in (seen, right / step, down / step, bend / (2 * step))]
    images = np.stack([*shown, np.isfinite(seen), [sea[place] for place in cut]], 1)
    return images.astype(np.float32), chosen


def two_sample(maps: Maps, field: np.ndarray) -> str:
    """Return how often a classifier tells measurements from a field (T, H, W), each shown where the other is not.

    Measurements are shown under other clouds, the field in its gaps outside of those clouds. Both clouds have the same
    law, so the shapes have, and no cell of the field that was observed is shown.
    """
    real, seed = maps.real, maps.seed
    # Anomalies of order one, with respect to the mean of each cell.
    mean, scale = np.nanmean(real, 0), np.nanstd(real - np.nanmean(real, 0))
    step = float(np.nanstd(np.diff(real - mean, axis=2)) / scale)
    shown = np.where(maps.other_gaps, real, np.nan), np.where(np.isnan(real) & ~maps.other_gaps, field, np.nan)
    is_test = np.arange(len(real)) // 8 % 2 == 1
    images = [
        crops((values - mean) / scale, maps.domain, np.flatnonzero(part), number, step=step, seed=seed + number)
        for part, number in ((~is_test, 1536), (is_test, 768))
        for values in shown
    ]
    (a, _), (b, _), (c, dates), (d, _) = images
    return str(tell_apart(a, b, c, d, dates=dates, seed=seed, steps=400))


def spectrum(truth: np.ndarray, field: np.ndarray) -> str:
    """Return the ratio of two spectra at wavelengths of 16, 8 and 4 cells."""
    found = SpectrumTally(16).add(truth, field).score()
    return " ".join(f"{found.ratio[found.wavelength == length][0]:4.2f}" for length in (16, 8, 4))


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--days", type=int, default=160)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--cases", default="none;default", help="names with semicolons between, or all")
    given = parser.parse_args()
    cases = list(CASES) if given.cases == "all" else given.cases.split(";")
    warnings.simplefilter("ignore")
    print(f"{'seed, case':24} {'RMSE':>7} {'CRPS':>7} {'product 16 8 4':>15} {'members 16 8 4':>15} "
          f"{'product told':>13} {'member told':>13} {'CPU ms':>7}", flush=True)  # fmt: skip
    for seed in range(given.first_seed, given.first_seed + given.seeds):
        sea = synthetic_sst(days=given.days, size=given.size, seed=seed)
        gappy = corrupt(sea.sst, CLOUDS, seed=seed)
        domain = sea.sea_mask.values > 0
        # The law of the clouds is known, so measurements of reconstructions have clouds of their own.
        other = corrupt(sea.sst, CLOUDS, seed=seed + 1000)
        truth, real, other = (
            np.where(domain, part.transpose("time", "lat", "lon").values, np.nan) for part in (sea.sst, gappy, other)
        )
        maps = Maps(truth, real, np.isnan(other), domain, seed)
        first = Reconstructor(CLOUDS, network=None, seed=seed).fit(gappy, domain=sea.sea_mask)
        score(f"{seed} truth", maps, truth)
        filled = first.fill(gappy, members=MEMBERS)
        score(f"{seed} first guess", maps, *fields(filled, domain))
        for case in cases:
            began = cpu_seconds()
            model = trained(case, gappy, sea.sea_mask, first.model_.prior, given.steps, seed)
            used = (cpu_seconds() - began) / given.steps
            filled = model.fill(gappy, members=MEMBERS)
            score(f"{seed} {case}", maps, *fields(filled, domain), used)


def fields(filled: xr.Dataset, domain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the product (T, H, W) and its members (M, T, H, W); land is NaN."""
    members = filled.sst_member.transpose("member", "time", "lat", "lon").values
    product = filled.sst.transpose("time", "lat", "lon").values
    return np.where(domain, product, np.nan), np.where(domain, members, np.nan)


def score(name: str, maps: Maps, product: np.ndarray, members: np.ndarray | None = None, used: float = 0.0) -> None:
    """Print one line."""
    hidden = np.isnan(maps.real) & maps.domain
    error = np.sqrt(np.mean((product - maps.truth)[hidden] ** 2))
    crps, member_spectrum, member_told = "", "", ""
    if members is not None:
        errors = np.sort((members - maps.truth)[:, hidden], 0)
        crps = f"{fair_crps(errors, np.zeros(errors.shape[1])).mean():.4f}"
        member_spectrum, member_told = spectrum(maps.truth, members[0]), two_sample(maps, members[0])
    print(f"{name:24} {error:7.4f} {crps:>7} {spectrum(maps.truth, product):>15} {member_spectrum:>15} "
          f"{two_sample(maps, product):>13} {member_told:>13} {1000 * used:7.0f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
