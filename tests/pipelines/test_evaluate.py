"""geogan evaluate: the league table of a run, its ablation trained once, and the same numbers in Python."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from rich.console import Console
from runs import train

import geogan
from geogan.evaluation import Scoring, score_methods
from geogan.evaluation.methods import DEFAULT_METHODS
from geogan.fields.field import Field
from geogan.files.run_folder import ABLATION
from geogan.io import open_field
from geogan.model import load_model, prepare_archive, save_model
from geogan.operators.errors import InputError
from geogan.pipelines.evaluate import Inputs, evaluate
from geogan.pipelines.score_outputs import Outputs
from geogan.pipelines.train import resume

SMALL = {"window": 1, "width": 4, "crop": 16, "batch": 2, "steps": 2, "first_guess": False, "precision": "float32",
         "threads": 1, "domain": "sea_mask", "variable": "sst"}  # fmt: skip
DAY = np.timedelta64(1, "D")


@pytest.fixture(scope="module")
def folder(sea, gappy, tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    gappy.to_dataset().assign(sea_mask=sea["sea_mask"]).to_netcdf(path / "gappy.nc")
    sea.to_netcdf(path / "truth.nc")
    return path


@pytest.fixture(scope="module")
def data(folder):
    return folder / "gappy.nc"


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    return train(data, out=tmp_path_factory.mktemp("trained") / "run", **SMALL)


@pytest.fixture
def run(trained, tmp_path):
    """Return a copy that a test may change."""
    return shutil.copytree(trained, tmp_path / "run")


def names(rows):
    return [row.method for row in rows]


def test_the_table_holds_the_scores(data, run, tmp_path):
    console = Console(record=True, width=120)
    rows = evaluate(data, run, outputs=Outputs(json=tmp_path / "scores.json", console=console), ablation=False)
    model = load_model(run)
    assert rows == score_methods({"model": model}, prepare_archive(model, Field.of(open_field(data)), withheld=True))
    written = json.loads((tmp_path / "scores.json").read_text())
    assert [row["rmse"] for row in written["rows"]] == [row.score.rmse for row in rows]
    assert written["units"] == "degree_Celsius" and "withheld clouds" in written["cells"]
    shown = console.export_text()
    assert "RMSE" in shown and "degree_Celsius" in shown and all(f"{row.score.rmse:.4f}" in shown for row in rows)
    assert names(rows) == [name for name in DEFAULT_METHODS if name != "gaussian"]  # the run has no first guess


def test_slow_baselines_report_what_they_compute(data, run):
    console = Console(record=True, width=120)
    scoring = Scoring(["dineof, climatology", "total_variation"])
    rows = evaluate(data, run, scoring, outputs=Outputs(console=console, messages=console))
    assert names(rows) == ["dineof", "climatology", "total_variation"]
    assert "DINEOF" in console.export_text(clear=False) and "fitting total_variation to" in console.export_text()


@pytest.mark.parametrize("with_truth", [False, True])
def test_python_gives_the_numbers_of_the_json(data, folder, run, truth, tmp_path, with_truth):
    scoring = Scoring("climatology,model", by=("distance", "season"))
    inputs, file = Inputs(truth=folder / "truth.nc" if with_truth else None), tmp_path / "scores.json"
    evaluate(data, run, scoring, inputs=inputs, outputs=Outputs(json=file), ablation=False)
    written = {row["method"]: row for row in json.loads(file.read_text())["rows"]}
    scores = geogan.evaluate(
        run, open_field(data), truth=truth if with_truth else None, methods=scoring.methods, by=scoring.by
    )
    assert scores.method.values.tolist() == list(written) == ["climatology", "model"]
    assert scores.rmse.attrs["units"] == "degree_Celsius" and scores.share.attrs["units"] == "1"
    for name, row in written.items():
        of_method = scores.sel({"method": name})
        for score in ("rmse", "bias", "mae", "cells", "share"):
            assert of_method[score].item() == row[score]
        assert of_method.crps.item() == row["law"]["crps"] if "law" in row else of_method.crps.isnull()
        for label, part in row["by"]["season"].items():
            assert of_method.rmse_by_season.sel(season=label).item() == part["rmse"]
        assert of_method.cells_by_distance.sum() == row["cells"]
    law = written["model"]["law"]
    assert scores.coverage.sel({"method": "model", "level": 0.9}).item() == law["coverage"]["0.9"]


def test_json_on_standard_output(data, run, capsys):
    evaluate(data, run, Scoring("climatology"), outputs=Outputs(json="-"))
    assert json.loads(capsys.readouterr().out)["rows"][0]["method"] == "climatology"


def test_the_ablation_is_trained_once(data, run):
    rows = evaluate(data, run)
    assert names(rows)[-2:] == ["model", ABLATION]
    other, model = load_model(run / ABLATION), load_model(run)
    assert other.settings["objective"]["weight_prior"] == 0 and other.scores["steps"] == model.scores["steps"]
    assert (other.withheld.sources == model.withheld.sources).all()
    before = {file: file.stat().st_mtime_ns for file in (run / ABLATION).iterdir()}
    assert evaluate(data, run) == rows
    assert {file: file.stat().st_mtime_ns for file in (run / ABLATION).iterdir()} == before
    assert names(evaluate(data, run, Scoring("climatology"))) == ["climatology"]


def test_the_ablation_of_a_replaced_run_is_trained_again(data, run):
    evaluate(data, run)
    train(data, out=run, overwrite=True, **SMALL | {"window": 2, "seed": 3})
    evaluate(data, run)
    other = load_model(run / ABLATION)
    assert other.frames == 5 and other.settings["seed"] == 3
    resume(run, {"steps": 4})
    evaluate(data, run)
    assert load_model(run / ABLATION).scores["steps"] == 4


def test_a_run_without_prior_term_has_no_ablation(data, tmp_path):
    run = train(data, out=tmp_path / "run", weight_prior=0.0, **SMALL)
    assert ABLATION not in names(evaluate(data, run)) and not (run / ABLATION).exists()


def test_the_paired_preset_has_no_ablation(data, folder, tmp_path):
    """Without its prior term the paired preset would learn nothing."""
    run = train(data, out=tmp_path / "run", preset=["paired"], clean=folder / "truth.nc", **SMALL | {"batch": 2})
    assert ABLATION not in names(evaluate(data, run, Scoring("model"))) and not (run / ABLATION).exists()


def test_against_a_truth(data, folder, run, gappy, domain):
    rows = evaluate(data, run, inputs=Inputs(truth=folder / "truth.nc"), ablation=False)
    assert {row.score.cells for row in rows if row.score.share == 1} == {int((gappy.isnull().values & domain).sum())}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda truth: truth[:, 1:], r"the truth has shape \(30, 19, 24\), the data \(30, 20, 24\)"),
        (lambda truth: truth[1:], "the truth lacks dates that sst has"),
        (lambda truth: truth[:, ::-1], "the truth has other coordinates along y"),
        (lambda truth: truth.assign_coords(time=truth.time.values + DAY), "the truth lacks dates that sst has"),
        (lambda truth: (truth + 273.15).assign_attrs(units="K"), "the truth is in K, the data in degree_Celsius"),
    ],
)
def test_a_truth_that_does_not_fit_is_refused(data, run, truth, tmp_path, change, words):
    change(truth).to_netcdf(tmp_path / "truth.nc")
    with pytest.raises(InputError, match=words):
        evaluate(data, run, inputs=Inputs(truth=tmp_path / "truth.nc"), ablation=False)


def test_what_cannot_be_evaluated(data, run, gappy, model, tmp_path):
    with pytest.raises(InputError, match="is not a geogan run"):
        evaluate(data, tmp_path)
    with pytest.raises(InputError, match="--truth-variable 'sst' needs --truth"):
        evaluate(data, run, inputs=Inputs(truth_variable="sst"))
    gappy[2:].to_netcdf(tmp_path / "part.nc")
    with pytest.raises(InputError, match="give the archive that it was trained on"):
        evaluate(tmp_path / "part.nc", run)
    with pytest.raises(InputError, match="scores.json could not be written"):
        evaluate(data, run, outputs=Outputs(json=tmp_path / "nowhere" / "scores.json"))


def test_a_model_saved_from_python_can_be_evaluated(data, model, tmp_path):
    """Its folder has no description of the data."""
    path = save_model(tmp_path / "model", dataclasses.replace(model))
    assert "gaussian" in names(evaluate(data, path, ablation=False))


def test_an_archive_that_has_grown_is_scored_on_the_dates_of_the_training(sea, gappy, tmp_path):
    """The dates of the training lie inside the archive."""
    archive = tmp_path / "a.nc"

    def archived(dates):
        gappy[dates].to_dataset().assign(sea_mask=sea["sea_mask"]).to_netcdf(archive)

    archived(slice(2, 24))
    run = train(archive, out=tmp_path / "run", **SMALL)
    before = evaluate(archive, run, Scoring("model,climatology"), ablation=False)
    archived(slice(None))
    assert evaluate(archive, run, Scoring("model,climatology"), ablation=False) == before
