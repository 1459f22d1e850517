"""Outputs that are inputs, lie in them or contain them; products given as data; outputs made from other data."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from bad_input import EVALUATE, FILL, SMALL, TRAIN, case, refused, run, sea
from fill_files import fill

from geogan.product import write_dataset


def store():
    sea().to_zarr("sea.zarr", consolidated=False)


def links():
    store()
    Path("link.zarr").symlink_to("sea.zarr")
    Path("model-link").symlink_to("model")
    Path("around").symlink_to(Path.cwd())


def ours():
    """Write data by geogan without a fill, which --overwrite may replace."""
    write_dataset(sea(), "ours.zarr")
    Path("other.zarr").symlink_to("ours.zarr")


def images():
    from PIL import Image

    Path("images").mkdir()
    for number in range(3):
        Image.new("L", (16, 16), 60 * number).save(f"images/{number}.png")


def filled(name):
    return lambda: fill("sst.nc", Path("model"), Path(name), threads=1)


def later():
    """Write the full field with dates one year later."""
    full = xr.load_dataset("full.nc")
    full.assign_coords(time=full.time + np.timedelta64(365, "D")).to_netcdf("later.nc")


ON = "--threads 1 --model model"
SAME, INSIDE, AROUND = "which would be lost; give another name", "give a path outside it", "give a path beside it"
PRODUCT = "is a product of geogan, whose gaps hold estimates; give the data that it was made from, or --allow-product"

CASES = [
    case("fill-itself", f"fill {ON} --data ours.zarr --out ours.zarr --overwrite", SAME, make=ours),
    case("fill-itself-dots", f"fill {ON} --data ours.zarr --out model/../ours.zarr --overwrite", SAME, make=ours),
    case("fill-itself-link", f"fill {ON} --data other.zarr --out ours.zarr --overwrite", SAME, make=ours),
    case("fill-itself-glob", f"fill {ON} --data our*.zarr --out ours.zarr --overwrite", "one of the files", make=ours),
    case("fill-itself-append", f"fill {ON} --data ours.zarr --out ./ours.zarr --append", SAME, make=ours),
    case("fill-inside", f"fill {ON} --data sea.zarr --out sea.zarr/filled.zarr", INSIDE, make=store),
    case("fill-inside-array", f"fill {ON} --data sea.zarr --out sea.zarr/sst/filled.nc", INSIDE, make=store),
    case("fill-inside-link", f"fill {ON} --data sea.zarr --out link.zarr/filled.zarr", INSIDE, make=links),
    case("fill-inside-another", f"fill {ON} --data sst.nc --out sea.zarr/filled.zarr", "is a Zarr store", make=store),
    case("fill-in-model", f"fill {ON} --data sst.nc --out model/filled.zarr", "inside --model 'model'"),
    case("fill-in-model-link", f"fill {ON} --data sst.nc --out model-link/filled.nc", INSIDE, make=links),
    case("fill-glob", f"fill {ON} --data s*.nc --out sst-filled.nc", "give a name that the pattern does not match"),
    case("corrupt-itself", "corrupt --data ours.zarr --out around/ours.zarr --overwrite", SAME,
         make=lambda: (ours(), links())),
    case("corrupt-inside", "corrupt --data sea.zarr --out sea.zarr/gappy.zarr", INSIDE, make=store),
    case("corrupt-in-model", "corrupt --data sst.nc --out model/gappy.zarr", "which is a run"),
    case("train-is-data", f"train {SMALL} --data sea.zarr --out sea.zarr", SAME, make=store),
    case("train-inside", f"train {SMALL} --data sea.zarr --out sea.zarr/run", INSIDE, make=store),
    case("train-inside-images", f"train {SMALL} --data images --out images/run", INSIDE, make=images),
    case("train-around", f"train {SMALL} --data sea.zarr --out .", AROUND, make=store),
    case("train-around-link", f"train {SMALL} --data sst.nc --out around", AROUND, make=links),
    case("train-around-overwrite", f"train {SMALL} --data model/sst.nc --out model --overwrite", AROUND,
         make=lambda: shutil.copy("sst.nc", "model/sst.nc")),
    case("train-in-model", f"train {SMALL} --data sst.nc --out model/again", "which is a run"),
    case("evaluate-json-is-data", f"evaluate {ON} --data sst.nc --json sst.nc", "so it is kept"),
    case("evaluate-json-inside", f"evaluate {ON} --data sea.zarr --json sea.zarr/table.json", INSIDE, make=store),
    case("evaluate-json-in-model", f"evaluate {ON} --data sst.nc --json model/table.json", "inside --model 'model'"),
    case("evaluate-json-is-truth", f"evaluate {ON} --data sst.nc --truth truth.nc --json ./truth.nc", "so it is kept"),
    case("evaluate-figures-inside", f"evaluate {ON} --data sea.zarr --figures sea.zarr/maps", INSIDE, make=store),
    case("evaluate-figures-in-model", f"evaluate {ON} --data sst.nc --figures model/maps", "inside --model 'model'"),
    case("plot-inside", "plot sea.zarr --out sea.zarr/map.png", INSIDE, make=store),
    case("plot-in-model", "plot sst.nc --out model/map.png", "which is a run"),
    case("plot-is-images", "plot images/0.png --out images/0.png --overwrite", SAME, make=images),
    case("table1-inside", "table1 --data images --out images/table", INSIDE, make=images),
    case("demo-inside", "demo --out sea.zarr/demo", "is a Zarr store", make=store),
    case("train-product", f"{TRAIN} full.nc", PRODUCT, make=filled("full.nc")),
    case("train-product-zarr", f"{TRAIN} full.zarr --variable sst", PRODUCT, make=filled("full.zarr")),
    case("fill-product", f"{FILL} full.zarr", PRODUCT, make=filled("full.zarr")),
    case("fill-product-part", f"{FILL} part.nc", PRODUCT,
         make=lambda: (filled("full.nc")(), xr.load_dataset("full.nc")[["sst"]].to_netcdf("part.nc"))),
    case("fill-product-joined", f"{FILL} sst.nc --data later.nc", "later.nc is a product of geogan",
         make=lambda: (filled("full.nc")(), later())),
    case("evaluate-product", f"{EVALUATE} full.nc", PRODUCT, make=filled("full.nc")),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_sentence_and_nothing_written(folder, case):
    refused(case)


@pytest.mark.parametrize("ending", ["nc", "zarr"])
def test_a_product_is_accepted_as_data_on_request(folder, ending):
    """Its corrupted copy is not a product."""
    filled(f"full.{ending}")()
    for line in (
        f"{FILL} full.{ending} --allow-product",
        f"corrupt --data full.{ending} --out gappy.nc",
        "fill --threads 1 --out again.nc --model model --data gappy.nc",
        f"info full.{ending}",
        f"plot full.{ending} --out full.png",
    ):
        result = run(line)
        assert result.exit_code == 0, (line, result.output, result.exception)
    # It is accepted, but has no observations to score and no gaps to learn from.
    for line, words in ((EVALUATE, "no cell to score"), (TRAIN, "gaps")):
        result = run(f"{line} full.{ending} --allow-product")
        assert result.exit_code == 2 and words in result.stderr and "allow-product" not in result.stderr
