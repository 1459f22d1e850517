"""Table 1 in kind: every cell is scored on test images, kept, and written in the paper's layout."""

import csv
import json
from functools import partial

import numpy as np
import pytest
import xarray as xr

from geogan.evaluation.baselines.ambientgan import LatentSearch
from geogan.fields.field import Field
from geogan.fields.measurement import measure
from geogan.operators.errors import InputError
from geogan.operators.parse import parse
from geogan.paper.cells import COLUMNS, PAPER, PUBLISHED, ROWS, Cell, TableSettings, process, reduced, split
from geogan.paper.results import write_table
from geogan.paper.systems import SYSTEMS, run_ambientgan, train_reconstructor, training_settings
from geogan.paper.table1 import score_cell, table1


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Forty pictures of two colours that meet somewhere: 32 x 32 x 3."""
    random = np.random.default_rng(0)
    left, right = random.integers(0, 256, (2, 40, 1, 1, 3))
    edge = random.integers(8, 24, (40, 1, 1, 1))
    pictures = np.where(np.arange(32)[None, None, :, None] < edge, left, right).repeat(32, 1).astype(np.uint8)
    path = tmp_path_factory.mktemp("images") / "images.npz"
    np.savez(path, images=pictures)
    return path


SETTINGS = TableSettings(size=16, steps=2, width=4, device="cpu")
# No search for a first guess.
BRIEF = dict.fromkeys(
    ("paired", "unpaired", "model", "unir"), partial(train_reconstructor, changes={"first_guess": False})
)
BRIEF |= dict.fromkeys(
    ("ambientgan", "ambientgan_measured"), partial(run_ambientgan, search=LatentSearch(restarts=1, iterations=3))
)
QUICK = {"rows": ("model", "ambientgan", "biharmonic"), "columns": ("remove_pixel", "convolve_noise"), "jobs": 1}


@pytest.fixture(scope="module")
def table(images, tmp_path_factory):
    out = tmp_path_factory.mktemp("table") / "table1"
    return out, table1(images, out, SETTINGS, systems=SYSTEMS | BRIEF, **QUICK)


def cell_of(row, column, images, **changes):
    settings = {"variable": None, "content": "digest", "size": 16, "images": 40, "generator": "unet", "width": 4}
    settings |= {"minutes": None, "steps": 2, "seed": 0, "device": "cpu"} | changes
    return Cell(row, column, process(column, 16), str(images), **settings)


def test_the_table_holds_every_cell(table):
    out, results = table
    assert set(results) == {(row, column) for row in QUICK["rows"] for column in QUICK["columns"]}
    assert all(np.isfinite(scores["mse"]) and scores["tested"] == 6 for scores in results.values())
    with (out / "table.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["row"] for line in lines[:2]] == ["model", "model"] and len(lines) == 6
    assert float(lines[0]["paper"]) == 0.0414 and lines[0]["operator"] == "remove_pixel:p=0.9"
    assert float(lines[0]["mse"]) == pytest.approx(results["model", "remove_pixel"]["mse"], abs=1e-5)
    text = (out / "table.md").read_text()
    ratio = results["model", "remove_pixel"]["mse"] / results["ambientgan", "remove_pixel"]["mse"]
    assert f"| **model / ambientgan**, first 6 images | {ratio:.2f} (0.14) |" in text and "(0.0088)" in text
    assert (out / "figure.png").read_bytes()[:4] == b"\x89PNG"


def test_existing_cells_are_kept(table, images):
    out, results = table
    before = {file: file.stat().st_mtime_ns for file in (out / "cells").glob("*.json")}
    again = table1(images, out, SETTINGS, systems={}, **QUICK)
    assert again == results and before == {file: file.stat().st_mtime_ns for file in (out / "cells").glob("*.json")}
    assert cell_of("model", "remove_pixel", images).name != cell_of("model", "remove_pixel", images, seed=1).name


def test_cells_belong_to_the_images_not_to_their_path(images, table, tmp_path):
    """Other images under the same name have other cells; the same images under another name have the same."""
    out, results = table
    with np.load(images) as stored:
        pictures = stored["images"]
    np.savez(tmp_path / "moved.npz", images=pictures)
    np.savez(tmp_path / "images.npz", images=pictures[:, :, ::-1])
    one = {"rows": ("biharmonic",), "columns": ("remove_pixel",), "jobs": 1}
    moved = table1(tmp_path / "moved.npz", out, SETTINGS, **one)
    assert moved["biharmonic", "remove_pixel"] == results["biharmonic", "remove_pixel"]
    other = table1(tmp_path / "images.npz", out, SETTINGS, **one)
    assert other["biharmonic", "remove_pixel"]["mse"] != moved["biharmonic", "remove_pixel"]["mse"]


def test_the_ratio_to_ambientgan_is_that_of_the_same_images(tmp_path):
    """The model's own entry is over all its test images."""
    common = {"operator": "remove_pixel:p=0.9", "seconds": 1.0}
    results = {
        ("model", "remove_pixel"): common | {"mse": 0.9, "mse_few": 0.2, "tested": 225},
        ("ambientgan", "remove_pixel"): common | {"mse": 0.4, "mse_few": 0.4, "tested": 40},
    }
    write_table(tmp_path, results, ("model", "ambientgan"), ("remove_pixel",))
    text = (tmp_path / "table.md").read_text()
    assert "| **model / ambientgan**, first 40 images | 0.50 (0.14) |" in text and "| model | 0.9000 (0.0414) |" in text
    assert "0.90000,0.20000,0.0414,225" in (tmp_path / "table.csv").read_text()


def test_a_cell_is_scored_on_test_images(images, tmp_path):
    """Training and test images are disjoint, and the error is that of all pixels."""
    given = {}

    def system(cell, operator, train, clean, test, out):
        given.update(train=train, clean=clean, test=test)
        return np.zeros(test.shape, np.float32), {}

    (tmp_path / "cells").mkdir()
    scores = score_cell(cell_of("model", "remove_pixel", images), tmp_path, {"model": system})
    whole = reduced(str(images), None, 16, None)
    train, test = split(40, 0)
    assert not set(train) & set(test) and len(train) + len(test) == 40
    assert set(given["train"].sample.values) == set(train) and set(given["test"].sample.values) == set(test)
    np.testing.assert_array_equal(given["clean"].values, whole.values[train])
    assert scores["mse"] == pytest.approx(float((whole.values[test] ** 2).mean()), rel=1e-6)
    numbered = whole.assign_coords(sample=np.arange(40))
    xr.testing.assert_equal(given["test"], measure(Field.of(numbered), parse("remove_pixel:p=0.9"), seed=0)[test])
    assert json.loads(next((tmp_path / "cells").glob("*.json")).read_text())["mse"] == scores["mse"]


@pytest.mark.parametrize("row", ["paired", "unpaired", "unir", "unir_light", "ambientgan_measured", "total_variation"])
def test_every_system_reconstructs_the_test_images(row, images, tmp_path):
    (tmp_path / "cells").mkdir()
    column = "convolve_noise" if row == "unpaired" else "patch_band"
    scores = score_cell(cell_of(row, column, images), tmp_path, SYSTEMS | BRIEF)
    assert np.isfinite(scores["mse"]) and scores["tested"] == 6


def test_the_gaussian_row_is_an_untrained_model(images):
    trained, untrained = (training_settings(cell_of(row, "remove_pixel", images)) for row in ("model", "gaussian"))
    assert untrained["steps"] == 0 and trained["steps"] == 2
    assert {name for name in trained.keys() | untrained.keys() if trained.get(name) != untrained.get(name)} == {"steps"}


def test_the_band_scales_with_the_images():
    assert process("patch_band", 64) == "patch_band:h=20" and process("patch_band", 32) == "patch_band:h=10"
    assert all(parse(process(column, 32)) for column in COLUMNS)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rows": ["wgan"]}, "no row of table1 is named 'wgan'; choose from paired"),
        ({"columns": ["fog"]}, "no column of table1 is named 'fog'; choose from remove_pixel"),
        ({"settings": TableSettings(size=24)}, "cannot be reduced to 24 x 24"),
        ({"settings": TableSettings(size=16, images=10)}, "a table needs at least 20 images"),
    ],
)
def test_wrong_arguments_are_refused_and_nothing_is_written(changes, sentence, images, tmp_path):
    with pytest.raises(InputError, match=sentence):
        table1(images, tmp_path / "out", **({"settings": SETTINGS} | changes))
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_contents_is_refused(images, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="is a folder with other contents"):
        table1(images, tmp_path, SETTINGS)
    assert [file.name for file in tmp_path.iterdir()] == ["letter.txt"]


def test_grey_images_are_scored_by_pixel(tmp_path):
    np.save(tmp_path / "grey.npy", np.random.default_rng(0).integers(0, 256, (20, 16, 16), np.uint8))
    columns = ("remove_pixel", "remove_pixel_channel")
    one = {"rows": ("biharmonic",), "jobs": 1}
    both = table1(tmp_path / "grey.npy", tmp_path / "out", SETTINGS, columns=columns, **one)
    assert set(both) == {("biharmonic", "remove_pixel")}
    only = table1(tmp_path / "grey.npy", tmp_path / "out", SETTINGS, columns=columns[1:], **one)
    assert only == both


def test_the_rows_are_those_of_the_paper():
    assert set(PAPER) < set(ROWS) and COLUMNS[:4] == PUBLISHED


def test_a_table_that_is_stopped_has_open_cells_and_continues(images, tmp_path):
    """Cells of all seeds are averaged; the spread is half of their range."""
    small = {"rows": ("zeros", "mean"), "columns": ("patch_band",), "jobs": 1}
    seeds = TableSettings(size=16, seeds=3)
    assert table1(images, tmp_path / "out", seeds, stop_after=0, **small) == {}
    assert "| zeros | open |" in (tmp_path / "out" / "table.md").read_text()
    results = table1(images, tmp_path / "out", seeds, **small)
    of_seeds = [
        table1(images, tmp_path / "out", TableSettings(size=16, seed=seed), **small)["zeros", "patch_band"]["mse"]
        for seed in range(3)
    ]
    assert results["zeros", "patch_band"]["seeds"] == of_seeds and len(set(of_seeds)) == 3
    assert results["zeros", "patch_band"]["mse"] == pytest.approx(np.mean(of_seeds))
    table1(images, tmp_path / "out", seeds, **small)
    entry = f"| zeros | {np.mean(of_seeds):.4f} ± {np.ptp(of_seeds) / 2:.4f} |"
    assert entry in (tmp_path / "out" / "table.md").read_text()
    assert len(list((tmp_path / "out" / "cells").glob("*.json"))) == 6
