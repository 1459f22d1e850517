"""Draw a picture of each operator for docs/operators.md: a synthetic sea, and what is measured of it on three dates.

python benchmarks/operator_pictures.py [--out docs/operators] [--only footprint tracks]
"""

import argparse
import io
from pathlib import Path

import matplotlib as mpl
import numpy as np
import xarray as xr

from geogan import corrupt, synthetic_sst
from geogan.operators.observed import ObservedGaps
from geogan.operators.operator import Operator

mpl.use("Agg")
import matplotlib.pyplot as plt
from PIL import Image

SIZE, DATES = 96, 3
# Parameters that show what an operator does on 96 x 96 cells.
PICTURES = {
    "cloud_mask": "cloud_mask:coverage=0.4,scale=10,persistence=2",
    "remove_pixel": "remove_pixel:p=0.7",
    "patch_band": "patch_band:h=30",
    "sparse_sampling": "sparse_sampling:fraction=0.05,fixed=true",
    "drifters": "drifters:fraction=0.03,speed=3",
    "swath": "swath:width=30,gap=20,angle=-15,repeat=2.4",
    "tracks": "tracks:spacing=6,repeat=5,angle=25,satellites=2",
    "stripes": "stripes:period=12,height=8,angle=8,wedge=96",
    "radar_sector": "radar_sector:sectors=3,width=25,reach=60",
    "footprint": "footprint:fwhm=14,across=7,angle=30",
    "downsample": "downsample:factor=4",
    "noise": "noise:sigma=0.15,line=0.4,length=40",
    "convolve_noise": "convolve_noise:l=5,sigma=0.3",
    "sequence": "footprint:fwhm=8 + noise:sigma=0.1,line=0.3 + swath:width=40,gap=20,angle=-15,repeat=2.4",
}
# Colours of a picture, at most: enough for a smooth map, and a third of the bytes of true colours.
COLOURS, SEED = 128, 6


def borrowed(truth: xr.DataArray) -> Operator:
    """Return the gaps of swaths and clouds together, to be borrowed."""
    gappy = corrupt(corrupt(truth, "swath:width=40,gap=25,angle=20", seed=3), "cloud_mask:coverage=0.3,scale=6", seed=4)
    return ObservedGaps().fitted(gappy.notnull().values, truth.notnull().any("time").values)


def draw(truth: xr.DataArray, operator: str | Operator, target: Path, *, is_coarse: bool = False) -> None:
    """Write the first date of the truth beside measurements of the first dates."""
    measured = corrupt(truth, operator, seed=SEED)
    panels = [("field", truth[0]), *((f"date {date + 1}", measured[date]) for date in range(DATES))]
    low, high = np.nanquantile(truth[:DATES], [0.01, 0.99])
    colours = plt.get_cmap("viridis").with_extremes(bad="#d9d9d9")
    figure, axes = plt.subplots(1, len(panels), figsize=(7.6, 2.1), dpi=100, layout="constrained")
    for axis, (title, panel) in zip(axes, panels, strict=True):
        values = panel.values
        if is_coarse and title != "field":
            # Measurements of single cells are drawn on the block that they are the mean of.
            values = np.kron(values[2::4, 2::4], np.ones((4, 4)))
        axis.imshow(values, vmin=low, vmax=high, cmap=colours, interpolation="nearest")
        land = np.ma.masked_where(truth[0].notnull().values, np.ones(truth[0].shape))
        axis.imshow(land, cmap="Greys", vmin=0, vmax=1.6, interpolation="nearest")
        axis.set_title(title, fontsize=9)
        axis.set_axis_off()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    image = Image.open(buffer).convert("RGB").quantize(COLOURS)
    image.save(target, optimize=True)


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/operators"))
    parser.add_argument("--only", nargs="*", default=[])
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    truth = synthetic_sst(days=12, size=SIZE, seed=1)["sst"]
    pictures: dict[str, str | Operator] = {**PICTURES, "observed_gaps": borrowed(truth)}
    for name, operator in pictures.items():
        if given.only and name not in given.only:
            continue
        target = given.out / f"{name}.png"
        draw(truth, operator, target, is_coarse=name == "downsample")
        print(f"{target}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
