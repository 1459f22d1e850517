"""Blurred and noisy temperature over the British Isles: deblur it, beside Wiener deconvolution with the true spectrum.

    python benchmarks/deblurring.py DATA/era5_t2m_uk_201903.nc [--operators "..."] [--every 1] [--seeds 1]

Hourly fields are blurred by a mean filter or a footprint, and get noise. Methods see these measurements alone, but for
Wiener deconvolution: it knows the covariance of the true field, its mean, the blur and the noise. It is solved densely,
with the blur as it is at the borders, so it is the best linear estimate from one hour of a stationary field.

- ``Wiener``: the field has one mean; its covariance at each lag is that of all true fields.
- ``Wiener, true mean``: every cell has its true mean of all hours.
- ``one hour``: geogan where hours are independent samples, so that it sees one hour at a time as Wiener does.
- ``geogan``: geogan on the record as it is.

Scores are over all cells and hours: root mean square error in K, that over Wiener's, the root mean square of
``*_std`` over the error, and the share of errors in the 90 % interval.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from geogan import Reconstructor, corrupt
from geogan.operators.parse import parse
from geogan.prior.blur import PointSpread

OPERATORS = "convolve_noise:l=3,sigma=0.15;convolve_noise:l=5,sigma=0.3;footprint:fwhm=4+noise:sigma=0.1"


def stationary_covariance(fields: np.ndarray) -> np.ndarray:
    """Return the mean covariance at each lag of fields (T, H, W), as a matrix of all pairs of cells."""
    count, height, width = fields.shape
    sides = (2 * height, 2 * width)
    power = (np.abs(np.fft.rfft2(fields, sides)) ** 2).mean(0)
    # Divided by the number of cells, not of pairs: such a covariance is positive definite.
    by_lag = np.fft.irfft2(power, sides) / (height * width)
    y, x = (part.ravel() for part in np.mgrid[:height, :width])
    return by_lag[y[:, None] - y, x[:, None] - x]


def wiener(measured: np.ndarray, fields: np.ndarray, blur: np.ndarray, noise: float, mean: np.ndarray) -> np.ndarray:
    """Return the deconvolution of measurements (T, H, W), given the true fields and their mean."""
    covariance = stationary_covariance(fields - mean)
    cross = covariance @ blur.T
    left = blur @ cross + noise**2 * np.eye(len(blur))
    flat = np.broadcast_to(mean, fields.shape[1:]).ravel()
    anomalies = measured.reshape(len(measured), -1) - blur @ flat
    return (flat + np.linalg.solve(left, anomalies.T).T @ cross.T).reshape(measured.shape)


def deblurred(measured: xr.DataArray, operator: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the product of the Gaussian first guess of geogan, and its predicted error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reconstructor = Reconstructor(operator, network=None, seed=seed).fit(measured)
        print(reconstructor.model_.prior)
        product = reconstructor.fill(measured)
    return product.t2m.values, product.t2m_std.values


def row(name: str, estimate: np.ndarray, std: np.ndarray | None, truth: np.ndarray, reference: float) -> str:
    """Return a line of the table."""
    error = estimate - truth
    rmse = float(np.sqrt((error**2).mean()))
    cells = [name, f"{rmse:.4f}", f"{rmse / (reference or rmse):.3f}", "", ""]
    if std is not None:
        cells[3:] = [f"{np.sqrt((std**2).mean()) / rmse:.2f}", f"{(np.abs(error) < 1.645 * std).mean():.1%}"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--operators", default=OPERATORS, help="with semicolons between; + joins several")
    parser.add_argument("--every", type=int, default=1, help="use every so many hours")
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    field = xr.open_dataset(given.data).t2m.load()[:: given.every]
    truth, (height, width) = field.values.astype(float), field.shape[1:]
    units = torch.eye(height * width, dtype=torch.float64).view(-1, height, width)
    for text in given.operators.split(";"):
        parts = text.split("+")
        spread = PointSpread.of_operator(parse(parts))
        blur = spread.on(torch.ones(height, width, dtype=torch.float64)).measured(units).flatten(1).mT.numpy()
        noise = parse(parts).noise * truth.std()
        for seed in range(given.seeds):
            measured = corrupt(field, parts, seed=seed)
            seen = measured.values.astype(float)
            samples = measured.drop_vars("time").rename(time="sample").assign_coords(sample=np.arange(len(seen)))
            found = {
                "measurement": (seen, None),
                "Wiener": (wiener(seen, truth, blur, noise, np.array(truth.mean())), None),
                "Wiener, true mean": (wiener(seen, truth, blur, noise, truth.mean(0)), None),
                "one hour": deblurred(samples, parts, seed),
                "geogan": deblurred(measured, parts, seed),
            }
            reference = float(np.sqrt(((found["Wiener"][0] - truth) ** 2).mean()))
            print(f"\n{text}, draw {seed}\n\n| | RMSE (K) | over Wiener's | std | 90 % |\n|---|---|---|---|---|")
            for name, (estimate, std) in found.items():
                print(row(name, estimate, std, truth, reference), flush=True)


if __name__ == "__main__":
    main()
