"""Measure the cost of outliers in training and filling, and the gain of ``--screen``.

    python benchmarks/outliers.py [--steps 60] [--share 0.01] [--shift -15] [--data FILE VARIABLE ...]

A synthetic sea of 48 days and 48 x 48 cells under clouds; 1 % of its observations are off by -15 standard deviations
of the anomalies. Three models are trained: on clean observations, on those with outliers, and on those with outliers
screened. The error is that of hidden cells, against the truth. ``--data`` prints the share of a real field that the
screen masks.
"""

import argparse
import time
from dataclasses import replace

import numpy as np
import xarray as xr

import geogan
from geogan.archive import Archive, Screen, Standardiser
from geogan.archive.screening import count_suspicious
from geogan.fields.axes import find_axes
from geogan.fields.field import Field
from geogan.fields.marks import is_screened


def trained(field: xr.DataArray, domain: np.ndarray, steps: int, *, screen: bool) -> geogan.Reconstructor:
    """Return a small model, and the messages of its preparation."""
    training = {"crop": 32, "batch": 4, "steps": steps, "precision": "float32", "threads": 1}
    said: list[str] = []
    model = geogan.Reconstructor("cloud_mask", window=1, screen=screen, network={"width": 8}, training=training)
    model.fit(field, domain=domain, message=said.append)
    for sentence in said:
        if sentence.startswith(("first guess", "screen", "sst:")):
            print("   ", sentence)
    return model


def masked_share(path: str, variable: str) -> str:
    """Return the share of the observations of a real field that the screen masks."""
    field = geogan.open_field(path, variable=variable).load()
    axes = find_axes(field)
    domain = field.notnull().any([dim for dim in field.dims if dim not in (axes.y, axes.x)]).values
    archive = Archive.of(Field.of(field, domain=domain), Standardiser.fit(Field.of(field, domain=domain)))
    screen = Screen.fit([_every(archive, 5)], independent=archive.independent, threshold=Screen.threshold_of(True))
    values = replace(archive, screen=screen).screened().field.values
    masked, observed = int(is_screened(values).sum()), int(np.isfinite(archive.field.values).sum())
    found, looked = count_suspicious(archive.field.values[:200])
    share = f"{masked:,} of {observed:,} masked ({masked / observed:.1e})"
    return f"{path} {variable}: {share}, without a climatology {found / looked:.1e}"


def _every(archive: Archive, dates: int) -> np.ndarray:
    """Return anomalies of the first dates, NaN where not observed."""
    film = archive.read(slice(0, dates))
    return np.where(film.mask.numpy() > 0, film.values.numpy(), np.nan)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--share", type=float, default=0.01)
    parser.add_argument("--shift", type=float, default=-15.0)
    parser.add_argument("--data", nargs=2, action="append", default=[])
    given = parser.parse_args()
    for path, variable in given.data:
        print(masked_share(path, variable))
    if given.data:
        return
    sea = geogan.synthetic_sst(days=48, size=48, seed=4)
    truth, domain = sea.sst, sea.sea_mask.values == 1
    clean = geogan.corrupt(truth, "cloud_mask:coverage=0.45,scale=6,persistence=2", seed=1)
    anomalies = (clean - clean.mean("time")).std().item()
    random = np.random.default_rng(0).random(clean.shape) < given.share
    spoilt = clean.copy(data=np.where(random, clean.values + given.shift * anomalies, clean.values).astype("f4"))
    hidden = clean.isnull() & truth.notnull()
    print(f"{int((random & clean.notnull().values).sum()):,} of {int(clean.count()):,} observations spoilt")
    for name, field, screen in (
        ("clean", clean, False), ("clean, screened", clean, True), ("outliers", spoilt, False),
        ("outliers, screened", spoilt, True),
    ):  # fmt: skip
        began = time.perf_counter()
        print(name)
        filled = trained(field, domain, given.steps, screen=screen).fill(field)
        error = float((((filled.sst - truth) ** 2).where(hidden)).mean() ** 0.5)
        flagged = filled.sst_source.values == 5
        caught = (flagged & random)[clean.notnull().values].sum()
        print(
            f"    error {error:.4f} degree_Celsius on hidden cells; {flagged.sum():,} screened, of which {caught:,} "
            f"spoilt; {time.perf_counter() - began:.0f} s"
        )


if __name__ == "__main__":
    main()
