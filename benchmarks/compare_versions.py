"""Compare the results of this checkout with those of another version, bit for bit.

    python benchmarks/compare_versions.py v0.1.0 [--only film,scene,images] [--keep FOLDER]

Each version runs the same command lines in separate processes on this machine: a short training in float32 on one
thread, fills to Zarr and to NetCDF, ensemble members, an append and a league table, for a film archive, a single scene
and a set of images. Both versions are run because digests differ between kinds of processors. Prints a row for each
result that differs; the exit code is 1 if there is one.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[1]
TRAIN = ["--steps", "60", "--width", "8", "--precision", "float32", "--threads", "1", "--seed", "0"]
# Attributes that name the version, the hour or the times of files, and a digest of the whole job.
VOLATILE = {"history", "geogan_product", "geogan_fill", "geogan_read"}


def smooth(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Return a smooth random field of unit variance, by a low-pass filter in Fourier space."""
    noise = np.fft.rfftn(np.random.default_rng(seed).normal(size=shape))
    waves = [*map(np.fft.fftfreq, shape[:-1]), np.fft.rfftfreq(shape[-1])]
    squared = sum(wave**2 for wave in np.meshgrid(*waves, indexing="ij"))
    field = np.fft.irfftn(noise * np.exp(-squared * 150), shape, axes=range(len(shape)))
    return field / field.std()


def make_inputs(folder: Path) -> None:
    """Write the film archive (and its first dates), the scene and the images."""
    shape = (40, 28, 32)
    values = np.where(smooth(shape, 1) > 0.3, np.nan, 15 + 2 * smooth(shape, 0)).astype("f4")
    values[:, :4, :6] = np.nan
    coords = {
        "time": np.datetime64("2001-01-01", "ns") + np.arange(shape[0]) * np.timedelta64(1, "D"),
        "lat": np.linspace(40, 45, shape[1]),
        "lon": np.linspace(0, 6, shape[2]),
    }
    film = xr.Dataset({"temperature": (("time", "lat", "lon"), values, {"units": "degC"})}, coords=coords)
    film.to_zarr(folder / "film.zarr", consolidated=False)
    film.isel(time=slice(32)).to_zarr(folder / "film_begun.zarr", consolidated=False)
    film.isel(time=5, drop=True).to_netcdf(folder / "scene.nc")
    images = np.clip(128 + 50 * smooth((48, 16, 16), 2), 0, 255).astype("u1")
    np.savez(folder / "images.npz", images=images)


def commands(kind: str) -> Iterator[list[str]]:
    """Yield the command lines of one kind of archive, without the program's name."""
    evaluate = ["--methods", "climatology,linear_time,gaussian,model", "--no-ablation", "--threads", "1"]
    if kind == "film":
        model = ["--model", "film_run", "--threads", "1"]
        yield ["train", "--data", "film_begun.zarr", "--out", "film_run", "--members", "2", *TRAIN]
        yield ["fill", "--data", "film_begun.zarr", "--out", "film.zarr.filled.zarr", "--members", "4", *model]
        yield ["fill", "--data", "film_begun.zarr", "--out", "film.nc", *model]
        yield ["fill", "--data", "film_begun.zarr", "--out", "grown.zarr", *model]
        # A name may stand for a longer archive later on: the append reads another store of the same dates.
        yield ["fill", "--data", "film.zarr", "--out", "grown.zarr", "--append", *model]
        yield [
            "evaluate", "--data", "film_begun.zarr", "--model", "film_run", "--members", "2", "--json", "film.json",
            *evaluate,
        ]  # fmt: skip
    elif kind == "scene":
        yield ["train", "--data", "scene.nc", "--out", "scene_run", *TRAIN]
        yield ["fill", "--data", "scene.nc", "--model", "scene_run", "--out", "scene_filled.nc", "--threads", "1"]
    else:
        operator = ["--operator", "remove_pixel:p=0.5"]
        yield ["corrupt", "--data", "images.npz", "--out", "gappy.zarr", "--seed", "1", *operator]
        networks = ["--generator", "unet", "--discriminator", "convolutional", "--batch", "8"]
        yield ["train", "--data", "gappy.zarr", "--out", "images_run", "--preset", "unir", *operator, *networks, *TRAIN]
        yield ["fill", "--data", "gappy.zarr", "--model", "images_run", "--out", "images.zarr", "--threads", "1"]


def run(version: Path, folder: Path, kinds: list[str]) -> None:
    """Run the command lines of a checkout in a folder."""
    make_inputs(folder)
    for kind in kinds:
        for line in commands(kind):
            environment = os.environ | {"PYTHONPATH": str(version), "OMP_NUM_THREADS": "1"}
            done = subprocess.run(
                [sys.executable, "-m", "geogan", *line], cwd=folder, env=environment, capture_output=True, text=True
            )
            if done.returncode:
                sys.exit(f"geogan {' '.join(line)} failed in {version}:\n{done.stderr}")


def results(folder: Path) -> dict[str, Any]:
    """Return every array, number and attribute that the command lines made, by name."""
    found: dict[str, Any] = {}
    for file in sorted(folder.glob("*_run/model.safetensors")):
        found |= {f"{file.parent.name}: {name}": values for name, values in load_file(file).items()}
    for file in sorted(folder.glob("*.json")):
        found |= {f"{file.name}: {name}": np.array(value) for name, value in _numbers(json.loads(file.read_text()))}
    inputs = {"film.zarr", "film_begun.zarr", "scene.nc"}
    for path in sorted([*folder.glob("*.nc"), *folder.glob("*.zarr")]):
        if path.name in inputs:
            continue
        options: dict[str, Any] = {"engine": "zarr", "consolidated": False} if path.is_dir() else {}
        with xr.open_dataset(path, decode_cf=False, **options) as dataset:
            for name, array in dataset.variables.items():
                found[f"{path.name}: {name}"] = array.values
                found[f"{path.name}: {name} attributes"] = np.array(str(sorted(map(str, array.attrs.items()))))
            attrs = {name: value for name, value in dataset.attrs.items() if name not in VOLATILE}
            found[f"{path.name}: attributes"] = np.array(str(sorted(map(str, attrs.items()))))
    return found


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _numbers(part, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _numbers(part, f"{name}[{index}]")
    elif isinstance(value, int | float) and "seconds" not in name:
        yield name, float(value)


def difference(before: np.ndarray | None, after: np.ndarray | None) -> str | None:
    """Return what differs between two arrays, or None where all bits are equal."""
    if before is None or after is None:
        return "only in the other version" if after is None else "only in this version"
    if before.dtype != after.dtype or before.shape != after.shape:
        return f"{before.dtype} {before.shape} there, {after.dtype} {after.shape} here"
    if before.tobytes() == after.tobytes():
        return None
    if before.dtype.kind not in "biuf":
        return f"{before} there, {after} here"
    apart = np.abs(before.astype("f8") - after.astype("f8"))
    unequal = ~((before == after) | ((before != before) & (after != after)))
    if not unequal.any():
        return "differs in the bits of zeros or NaN only"
    return f"{unequal.mean():.2%} of the values differ, by {np.nanmax(apart):.3g} at most"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", help="tag, branch or commit to compare with")
    parser.add_argument("--only", default="film,scene,images", help="kinds of archive, with commas between")
    parser.add_argument("--keep", type=Path, help="folder to leave the results in")
    options = parser.parse_args()
    kinds = options.only.split(",")
    with tempfile.TemporaryDirectory() as scratch:
        other = Path(scratch) / "version"
        git = ["git", "-C", str(ROOT)]
        subprocess.run([*git, "worktree", "add", "--detach", "--quiet", str(other), options.version], check=True)
        try:
            folders = [(options.keep or Path(scratch)) / name for name in ("there", "here")]
            for version, folder in zip((other, ROOT), folders):
                folder.mkdir(parents=True)
                run(version, folder, kinds)
            there, here = map(results, folders)
        finally:
            subprocess.run([*git, "worktree", "remove", "--force", str(other)], check=True)
    names = sorted(there.keys() | here.keys())
    found = {name: difference(there.get(name), here.get(name)) for name in names}
    for name, text in found.items():
        if text is not None:
            print(f"{name}: {text}")
    changed = sum(text is not None for text in found.values())
    print(f"{len(names) - changed} of {len(names)} results are equal bit for bit")
    sys.exit(bool(changed))


if __name__ == "__main__":
    main()
