"""Sea level of the Mediterranean along the tracks of some altimeters: error and effective resolution of the maps.

    python benchmarks/altimetry.py DATA/med_adt_2005_apr_may.nc [--satellites 4 2] [--noise 0.02] [--minutes 0]
        [--every 1] [--seed 0]

The truth is a gridded product (absolute dynamic topography, 1/8 degree, 55 days). geogan sees of it what satellites in
the orbit of Jason pass over: ``tracks:orbit=jason``, with an independent position of the tracks of each satellite.
Errors are those on hidden sea cells. Linear interpolation in time has no value in cells that no satellite ever passes
over, so scores are given for cells that are passed over on some date, and for all. The effective resolution is the
wavelength below which the error of a map has more than half of the power of the truth, in runs of 32 cells along rows.
Measurements have a white error of ``--noise`` metres, which geogan is given (``noise=``). With ``--minutes 0`` there is
no network. ``--every 2`` leaves out every second row and column.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import xarray as xr

from geogan import Reconstructor, corrupt
from geogan.evaluation.baselines.linear_time import linear_time
from geogan.fields.cell_size import cell_size
from geogan.fields.field import Field
from geogan.fields.spectra import SpectrumTally

# Cells of a run for spectra.
RUN = 32


def resolution(truth: np.ndarray, estimate: np.ndarray, spacing: float) -> float:
    """Return the effective resolution along rows, in km; NaN without runs of cells that have a value."""
    spectrum = SpectrumTally(RUN).add(truth, estimate - truth, axes="x").score()
    return spectrum._replace(ratio=1 - spectrum.ratio).effective_resolution(spacing=spacing)


def rows_of(
    truth: xr.DataArray, sea: xr.DataArray, satellites: int, *, noise: float, minutes: float, seed: int
) -> list[str]:
    """Return the lines of the table for a number of satellites."""
    started, size = time.process_time(), cell_size(Field.of(truth))
    assert size is not None
    operator = f"tracks:orbit=jason,satellites={satellites}"
    seen = truth.where(sea == 1)
    if noise:
        seen = corrupt(seen, f"noise:sigma={noise / float(seen.std())}", seed=seed)
    seen = corrupt(seen, operator, seed=seed)
    hidden = seen.isnull().values & truth.notnull().values & (sea.values == 1)
    passed = hidden & seen.notnull().any("time").values
    network = {"network": None} if minutes == 0 else {"training": {"minutes": minutes}}
    reconstructor = Reconstructor(operator, seed=seed, noise=noise or None, **network).fit(
        seen, domain=sea == 1, message=print
    )
    filled = reconstructor.fill(seen)
    values, std = (filled[name].values.astype(float) for name in (truth.name, f"{truth.name}_std"))
    linear = linear_time(seen.values, domain=sea.values == 1, days=np.arange(truth.sizes["time"]))
    mean = np.where(sea == 1, float(seen.mean()), np.nan) + np.zeros_like(linear)
    land = np.where(sea == 1, truth.values, np.nan)
    lines = []
    share = f"{float(seen.count()) / float(hidden.sum() + seen.count()):.1%}"
    for name, estimate in (("mean of all observations", mean), ("linear in time", linear), ("geogan", values)):
        errors = [100 * float(np.sqrt(np.mean((estimate - land)[where] ** 2))) for where in (passed, hidden)]
        inside = "" if name != "geogan" else f"{(np.abs(values - land) < 1.645 * std)[hidden].mean():.1%}"
        wave = resolution(land, estimate, size.columns)
        all_cells = "none" if np.isnan(errors[1]) else f"{errors[1]:.2f}"
        lines.append(f"| {satellites}, {share} | {name} | {errors[0]:.2f} | {all_cells} | {inside} | {wave:.0f} |")
    ratio = np.sqrt(np.mean((values - land)[passed] ** 2) / np.mean((linear - land)[passed] ** 2))
    print(
        f"{satellites} satellites: error over that of linear in time {ratio:.3f}, {time.process_time() - started:.0f} s"
    )
    return lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--satellites", type=int, nargs="+", default=[4, 2])
    parser.add_argument("--noise", type=float, default=0.0, help="standard deviation of the error, m")
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    dataset = xr.open_dataset(given.data).load()
    dataset = dataset.isel(lat=slice(None, None, given.every), lon=slice(None, None, given.every))
    print(
        "| satellites, observed | method | error on cells passed over, cm | on all | 90 % interval | resolution, km |"
    )
    print("|---|---|---|---|---|---|")
    for satellites in given.satellites:
        lines = rows_of(
            dataset.adt, dataset.sea_mask, satellites, noise=given.noise, minutes=given.minutes, seed=given.seed
        )
        print(*lines, sep="\n", flush=True)


if __name__ == "__main__":
    main()
