"""Compare a covariance that differs from place to place with a stationary one, on grids of more than 2,048 cells.

python benchmarks/local_covariance.py [--goes DATA/goes16_lst_gfs.nc]

A synthetic sea has an eddying west, a calm east and a shelf in the south where the field is long along the coast; it is
scored on truth under clouds. The land surface temperature of GOES is scored on observations that are withheld. Both
priors have the same Markov parameters, and neither has seen what is scored.
"""

import argparse

import numpy as np
import torch
import xarray as xr
from scipy.ndimage import gaussian_filter

from geogan import corrupt
from geogan.archive import check_field
from geogan.fields.field import Field
from geogan.prior.local import LocalPrior
from geogan.settings import Settings
from geogan.training.preparation import Prepared, prepare_model

DAYS, SIDE = 120, 128
# Dates that are filled together.
FRAMES = 24


def lasting_field(random: np.random.Generator, sigma: tuple[float, float], days: float) -> np.ndarray:
    """Return a field of variance 1, smoothed over so many rows and columns, that lasts so many days."""
    noise = gaussian_filter(random.standard_normal((DAYS + 40, SIDE, SIDE)), (0, *sigma), mode="wrap")
    share = np.exp(-1 / days)
    for date in range(1, len(noise)):
        noise[date] = share * noise[date - 1] + np.sqrt(1 - share**2) * noise[date]
    return noise[40:] / noise[40:].std()


def sea(seed: int) -> tuple[xr.DataArray, xr.DataArray]:
    """Return truth and noisy observations under clouds, in degrees."""
    random = np.random.default_rng(seed)
    west = 1 / (1 + np.exp((np.arange(SIDE) - SIDE / 2) / 6))
    south = (1 / (1 + np.exp((np.arange(SIDE) - 24) / 3)))[:, None]
    eddies, calm = 1.6 * lasting_field(random, (2.5, 2.5), 5), 0.6 * lasting_field(random, (9, 9), 8)
    shelf = lasting_field(random, (1.2, 10), 5)
    values = np.sqrt(1 - south) * (np.sqrt(west) * eddies + np.sqrt(1 - west) * calm) + np.sqrt(south) * shelf
    places = {"lat": 40 + 0.05 * np.arange(SIDE), "lon": 0.05 * np.arange(SIDE)}
    time = np.datetime64("2001-01-01") + np.arange(DAYS).astype("m8[D]")
    attributes = {"units": "degC"}
    truth = xr.DataArray(
        values.astype(np.float32), dims=("time", "lat", "lon"), coords={"time": time} | places, attrs=attributes
    ).rename("sst")
    noisy = truth + 0.1 * random.standard_normal(values.shape).astype(np.float32)
    noisy.attrs = attributes
    clouds = "cloud_mask:coverage=0.55,spread=0.2,scale=8,persistence=2"
    return truth, corrupt(noisy.rename("sst"), clouds, seed=seed + 1)


def scores(prepared: Prepared, truth: np.ndarray | None) -> dict[str, tuple[float, float]]:
    """Return error, in units, and spread over error of the chosen prior and of its Markov field alone."""
    archive, prior, standardiser = prepared.archive, prepared.model.prior, prepared.archive.standardiser
    assert prior is not None
    priors = {"chosen": prior} | ({"stationary": prior.markov} if isinstance(prior, LocalPrior) else {})
    sums = {name: np.zeros(3) for name in priors}
    for start in range(0, len(archive.days) - FRAMES + 1, FRAMES):
        dates = slice(start, start + FRAMES)
        film = archive.read(dates)
        target, where, noise2 = film.values, film.withheld, (prior.noise * prior.amplitude) ** 2
        if truth is not None:
            phase = None if archive.phase is None else archive.phase[dates]
            target = torch.from_numpy(standardiser.forward(truth[dates, None], phase)).float()
            where, noise2 = (1 - film.mask) * film.domain, 0.0
        noise = torch.randn((2, 6, 1, *film.values.shape), generator=torch.Generator().manual_seed(start))
        observed = ((film.values * film.mask)[None], film.mask[None], film.domain, film.days)
        for name, each in priors.items():
            guess, deviations = film.prior(each).members(*observed, noise=noise)
            variance = deviations.square().mean(0)[0] + noise2
            square = (guess[0] - target) ** 2
            sums[name] += [float((part * where).sum()) for part in (square, variance, torch.ones_like(square))]
    unit = standardiser.error_unit("")[0]
    return {
        name: (unit * float(np.sqrt(square / count)), float(np.sqrt(variance / square)))
        for name, (square, variance, count) in sums.items()
    }


def main() -> None:
    """Print a row for each archive and prior."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--goes")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    truth, gappy = sea(given.seed)
    cases: dict[str, tuple[xr.DataArray, np.ndarray | None]] = {"synthetic sea": (gappy, truth.values)}
    if given.goes:
        cases["land temperature"] = (xr.open_dataset(given.goes)["lst"].load(), None)
    print("| archive | prior | error | spread over error |\n|---|---|---|---|")
    for name, (field, known) in cases.items():
        domain = np.isfinite(field.values).any(0)
        stacked = Field.of(field, domain=domain)
        settings = Settings(operator="observed_gaps", window=1, network=None)
        prepared = prepare_model(stacked, check_field(stacked), settings)
        for prior, (error, spread) in scores(prepared, known).items():
            print(f"| {name} | {prior} | {error:.4g} | {spread:.2f} |", flush=True)


if __name__ == "__main__":
    main()
