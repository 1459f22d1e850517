"""Measure pixels filled per second, and their error, by geogan and other methods on fields in memory.

    python benchmarks/pixels_per_second.py [--days 40] [--side 128] [--dates 4]

A synthetic sea under persistent clouds; one thread each; hidden sea cells are counted and scored. geogan fills with
its default networks, and with its first guess alone. The preparation (climatology, clouds, first guess) is not timed,
nor is the choice of parameters of other methods. ``rasterio`` and ``pydineof`` are run if they are installed.
Biharmonic inpainting, fillnodata and kriging use one date at a time; the first and the last are timed on some dates,
on which all methods are scored.
"""

import argparse
import contextlib
import io
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import dask
import numpy as np
import torch
from scipy.spatial import cKDTree

from geogan import Reconstructor
from geogan.evaluation.baselines.biharmonic import biharmonic
from geogan.evaluation.baselines.dineof import dineof
from geogan.fields.field import Field
from geogan.fields.measurement import measure
from geogan.fields.synthetic import synthetic_sst
from geogan.filling import fill_field
from geogan.operators.cloud import CloudMask


class Sea(NamedTuple):
    """Gappy maps, (T, H, W), in degrees; their anomalies from the mean; the truth; where there is sea."""

    gappy: np.ndarray
    anomaly: np.ndarray
    truth: np.ndarray
    domain: np.ndarray

    def first(self, dates: int) -> "Sea":
        """Return the first dates."""
        return Sea(self.gappy[:dates], self.anomaly[:dates], self.truth[:dates], self.domain)


def kriging(sea: Sea, neighbours: int = 16, length: float = 8.0, nugget: float = 0.01) -> np.ndarray:
    """Fill each map by simple kriging from the nearest observations, with an exponential covariance."""
    filled = np.full_like(sea.anomaly, np.nan)
    for values, out in zip(sea.anomaly, filled):
        seen, hidden = np.isfinite(values), np.argwhere(sea.domain & ~np.isfinite(values))
        places = np.argwhere(seen)
        distance, index = cKDTree(places).query(hidden, neighbours)
        near = places[index].astype(float)
        between = np.linalg.norm(near[:, :, None] - near[:, None], axis=-1)
        among = np.exp(-between / length) + nugget * np.eye(neighbours)
        weights = np.linalg.solve(among, np.exp(-distance / length)[..., None])[..., 0]
        out[tuple(hidden.T)] = (weights * values[seen][index]).sum(1)
    return filled


def fillnodata(sea: Sea) -> np.ndarray | None:
    """Fill by GDAL's fillnodata, from rasterio."""
    try:
        from rasterio.fill import fillnodata as fill_one
    except ImportError:
        print("rasterio is not installed: pip install rasterio to see its fillnodata")
        return None
    seen = np.isfinite(sea.anomaly)
    return np.stack(
        [fill_one(np.nan_to_num(values), mask=mask.astype("u1")) for values, mask in zip(sea.anomaly, seen)]
    )


def pydineof(sea: Sea) -> np.ndarray | None:
    """Fill by the DINEOF of RBINS, with its defaults except the number of modes."""
    try:
        from pydineof import run_2D
    except ImportError:
        print("pydineof is not installed: pip install pydineof to see it")
        return None
    import xarray as xr

    coords = {
        "time": np.arange(len(sea.gappy)),
        "lat": np.arange(sea.domain.shape[0]),
        "lon": np.arange(sea.domain.shape[1]),
    }
    data = xr.DataArray(sea.anomaly.astype("f4"), dims=tuple(coords), coords=coords, name="sst")
    mask = xr.DataArray(
        sea.domain.astype("f4"), dims=("lat", "lon"), coords={name: coords[name] for name in ("lat", "lon")}
    )
    with contextlib.redirect_stdout(io.StringIO()):
        return np.log(run_2D(np.exp(data), mask=mask, nev=10, ncv=20, seed=0).values)  # it works on logarithms


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--days", type=int, default=40)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--dates", type=int, default=4, help="that the slow ones are timed on, and all scored")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    given = parser.parse_args()
    torch.set_num_threads(1)
    dask.config.set(scheduler="synchronous")
    truth = synthetic_sst(days=given.days, size=given.side, seed=0)
    field = measure(
        Field.of(truth.sst), CloudMask(coverage=0.5, spread=0.2, scale=12.0, persistence=2.0), seed=0
    ).load()
    domain, values = truth.sea_mask.values == 1, field.values
    with warnings.catch_warnings(action="ignore"):
        mean = np.nanmean(values, 0)
    mean = np.where(np.isfinite(mean), mean, np.nanmean(values))
    sea = Sea(values, values - mean, truth.sst.values, domain)
    model = (
        Reconstructor(training={"steps": 1, "precision": given.precision, "threads": 1})
        .fit(field, domain=domain)
        .model_
    )
    bare = replace(model, network=None, error=None)

    def ours(model) -> Callable[[Sea], np.ndarray]:  # noqa: ANN001
        return lambda sea: fill_field(model, Field.of(field)).sst.values - mean

    methods: dict[str, tuple[Sea, Callable[[Sea], np.ndarray | None]]] = {
        "geogan, first guess and networks": (sea, ours(model)),
        "geogan, first guess alone": (sea, ours(bare)),
        "biharmonic (scikit-image)": (sea.first(given.dates), lambda sea: biharmonic(sea.anomaly, domain=domain)),
        "fillnodata (rasterio)": (sea, fillnodata),
        "DINEOF (ours)": (sea, lambda sea: dineof(sea.anomaly, domain=domain)),
        "DINEOF (pydineof, 10 modes)": (sea, pydineof),
        "local kriging, 16 neighbours": (sea.first(given.dates), kriging),
    }
    print(f"{'':34s} {'pixels a second':>16s} {'RMSE, degrees':>14s} {'times biharmonic':>17s}")
    rows = {}
    for name, (part, method) in methods.items():
        began = time.perf_counter()
        with warnings.catch_warnings(action="ignore"):
            said = method(part)
        took = time.perf_counter() - began
        if said is None:
            continue
        filled = domain & ~np.isfinite(part.gappy) & np.isfinite(said)
        off = (said + mean - part.truth)[: given.dates][filled[: given.dates]]
        rows[name] = filled.sum() / took, float(np.sqrt(np.mean(off**2)))
    for name, (speed, error) in rows.items():
        times = speed / rows["biharmonic (scikit-image)"][0]
        print(f"{name:34s} {speed:16,.0f} {error:14.3f} {times:17.1f}")


if __name__ == "__main__":
    main()
