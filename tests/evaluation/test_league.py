"""Every method is scored on the same cells, which are hidden from all methods."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from geogan.evaluation import METHODS, LeagueTable, Scoring, score_methods
from geogan.evaluation.baselines.interface import BaselineInput
from geogan.evaluation.league import Gaps, method_fillers
from geogan.evaluation.methods import DEFAULT_METHODS
from geogan.fields.field import Field
from geogan.filling import Task, estimate, fill_field, plan_tasks
from geogan.filling.tiles import Span
from geogan.model import prepare_archive
from geogan.operators.convolve import ConvolveNoise
from geogan.operators.errors import InputError


@pytest.fixture
def archive(model, gappy):
    return prepare_archive(model, Field.of(gappy), withheld=True)


def withheld_cells(archive):
    return archive.read(slice(None)).withheld[:, 0].numpy() > 0


def scores_by_method(models, archive, methods=(), **options):
    return {row.method: row.score for row in score_methods(models, archive, Scoring(methods), **options)}


def estimates(model, archive, methods=DEFAULT_METHODS, **options):
    """Return the estimate of every method for each task, by method."""
    tasks, gaps = plan_tasks(model, archive, whole_maps=True), Gaps.of(archive, None, is_everywhere=False)
    given = BaselineInput(archive, model, np.zeros(0, int), None, 1, lambda *share: None, lambda sentence: None)
    fillers = method_fillers(methods, {"model": model}, given, tasks, members=1, **options)
    return {name: [fill(task).field for task in gaps.tasks(tasks)] for name, fill in fillers.items()}


def test_all_methods_are_scored_on_the_same_cells(model, archive):
    scores = scores_by_method({"model": model}, archive)
    assert tuple(scores) == DEFAULT_METHODS
    asked = int(withheld_cells(archive).sum())
    assert {score.cells / score.share for score in scores.values()} == {asked}
    assert scores["model"].cells == scores["gaussian"].cells == scores["climatology"].cells == asked > 50
    assert scores["gaussian"].rmse < scores["climatology"].rmse


def test_the_row_of_the_model_equals_a_fill_of_the_whole_field(model, archive, gappy):
    """The withheld cells are removed from the field, which is then filled at once."""
    cells = withheld_cells(archive)
    shown = prepare_archive(model, Field.of(gappy.where(~cells)))
    errors = {}
    for name, part in (("model", model), ("gaussian", dataclasses.replace(model, network=None, error=None))):
        plan = plan_tasks(part, shown)
        whole = estimate(part, shown, plan.whole_maps(slice(0, 30), 30), plan).field
        errors[name] = (whole[:, 0] - gappy.values)[cells].astype(float)
    scores = scores_by_method({"model": model}, archive)
    for name, error in errors.items():
        # Tasks read eight dates around, rather than all dates, which makes a small difference.
        assert scores[name].rmse == pytest.approx(np.sqrt((error**2).mean()), rel=0.02)
        assert scores[name].bias == pytest.approx(error.mean(), abs=0.02)
        assert scores[name].mae == pytest.approx(np.abs(error).mean(), rel=0.02)


def test_tasks_read_the_same_margin_however_the_record_is_cut(model, archive):
    tasks, gaps = plan_tasks(model, archive, whole_maps=True), Gaps.of(archive, None, is_everywhere=False)
    one_task = dataclasses.replace(tasks, dates=[Span(slice(0, 30), slice(0, 30))], size=30)
    assert gaps.tasks(one_task) == gaps.tasks(tasks)
    read = [task.dates for task in gaps.tasks(tasks)]
    assert all(dates.read.start == max(0, dates.core.start - tasks.margin) for dates in read)


def test_withheld_cells_are_hidden_from_every_method(model, archive, gappy):
    """A huge value in each of them changes no estimate."""
    poisoned = gappy.copy(deep=True)
    poisoned.values[withheld_cells(archive)] = 1e7
    other = dataclasses.replace(archive, field=poisoned.expand_dims("band", 1))
    before, after = estimates(model, archive), estimates(model, other)
    assert tuple(before) == DEFAULT_METHODS
    for name in before:
        assert len(before[name]) == len(archive.withheld.runs())
        where = [archive.read(run).withheld.numpy() > 0 for run in archive.withheld.runs()]
        for one, two, cells in zip(before[name], after[name], where):
            np.testing.assert_array_equal(one[cells], two[cells])


def test_against_a_truth(model, gappy, truth, domain):
    archive = prepare_archive(model, Field.of(gappy))
    gaps = gappy.isnull().values & domain
    models = {"model": model, "other": dataclasses.replace(model, network=None, error=None)}
    rows = scores_by_method(models, archive, truth=truth)
    assert list(rows) == ["climatology", "linear_time", "biharmonic", "gaussian", "model", "other"]
    assert rows["model"].cells == gaps.sum() and rows["other"] == rows["gaussian"]
    filled = fill_field(model, Field.of(gappy))["sst"]
    error = (filled - truth).values[gaps].astype(float)
    assert rows["model"].rmse == pytest.approx(np.sqrt((error**2).mean()), rel=1e-4)
    background = archive.standardiser.inverse(np.zeros((30, 1, 20, 24)), archive.phase)[:, 0]
    error = (background - truth.values)[gaps]
    assert rows["climatology"].rmse == pytest.approx(np.sqrt((error**2).mean()), rel=1e-4)
    assert rows["linear_time"].rmse < rows["climatology"].rmse


def test_threads_make_no_difference(model, archive):
    progress = []
    rows = score_methods({"model": model}, archive, threads=1, progress=lambda *done: progress.append(done))
    assert score_methods({"model": model}, archive, threads=3) == rows
    runs = len(archive.withheld.runs())
    assert progress == [("scoring", count, runs) for count in range(1, runs + 1)]


def test_only_named_methods_are_scored(model, bare, archive):
    assert list(scores_by_method({"model": model}, archive, ["linear_time", "model"])) == ["linear_time", "model"]
    assert "gaussian" not in scores_by_method({"model": bare}, archive)


def test_methods_keep_their_order(model, archive):
    prepared_names = []

    def prepare(name, given):
        prepared_names.append(name)
        return lambda dates: np.zeros((dates.stop - dates.start, 1, 20, 24))

    assert tuple(estimates(model, archive, METHODS, prepare=prepare)) == METHODS
    assert prepared_names == [name for name in METHODS if name not in ("gaussian", "model")]


def test_slow_baselines_receive_the_dates_to_score(archive):
    gaps = Gaps.of(archive, None, is_everywhere=False)
    expected = [date for date in range(30) if withheld_cells(archive)[date].any()]
    runs = [Task(Span(run, run), None, None, run) for run in archive.withheld.runs()]
    assert gaps.dates(runs).tolist() == expected


def test_every_cell_is_scored_if_the_operator_hides_nothing(model, truth):
    """A method that keeps the noise has its standard deviation as error."""
    noisy = dataclasses.replace(model, operator=ConvolveNoise(l=1, sigma=0.3), network=None, error=None)
    noise = 0.3 * float(model.standardiser.scale[0]) * np.random.default_rng(0).standard_normal(truth.shape)
    rows = scores_by_method(
        {"model": noisy},
        prepare_archive(noisy, Field.of(truth + noise.astype("f4"))),
        ["biharmonic", "total_variation"],
        truth=truth,
    )
    assert rows["biharmonic"].cells == rows["total_variation"].cells == truth.notnull().sum()
    assert rows["biharmonic"].rmse == pytest.approx(float(noise[truth.notnull()].std()), rel=0.01)
    assert rows["total_variation"].rmse < 0.8 * rows["biharmonic"].rmse


def test_what_cannot_be_scored(model, bare, archive, gappy):
    with pytest.raises(InputError, match="there is no cell to score"):
        score_methods({"model": model}, prepare_archive(model, Field.of(gappy)))
    with pytest.raises(InputError, match="there is no cell to score"):
        score_methods({"model": model}, prepare_archive(model, Field.of(gappy)), truth=gappy)
    with pytest.raises(InputError, match="the model has no first guess"):
        score_methods({"model": bare}, archive, Scoring("gaussian"))


def test_a_method_without_estimates_has_share_0(model, gappy, truth):
    """Biharmonic inpainting needs an observation on the date; the climatology does not."""
    unobserved = gappy.copy(deep=True)
    unobserved[6] = np.nan
    archive = prepare_archive(model, Field.of(unobserved.isel(time=[6])))
    rows = scores_by_method({"model": model}, archive, ["biharmonic", "climatology"], truth=truth.isel(time=[6]))
    assert rows["biharmonic"].cells == 0 and rows["biharmonic"].share == 0
    assert rows["climatology"].share == 1


def test_bands_without_common_units_are_scored_in_anomalies(model, gappy, truth, domain):
    """A band in kelvins and a band in millikelvins have the same weight."""
    scales = np.array([1.0, 1000.0])
    own = model.standardiser
    two = dataclasses.replace(
        model,
        network=None,
        error=None,
        standardiser=dataclasses.replace(
            own,
            coefficients=np.concatenate([own.coefficients * scale for scale in scales.astype("f4")], 1),
            scale=own.scale * scales,
        ),
    )
    bands = xr.DataArray(scales, dims="band")
    archive = prepare_archive(two, Field.of(gappy * bands))
    rows = scores_by_method({"model": two}, archive, truth=truth * bands)
    first_guess = dataclasses.replace(model, network=None, error=None)
    alone = scores_by_method({"model": first_guess}, prepare_archive(model, Field.of(gappy)), truth=truth)
    for name, score in rows.items():
        assert score.cells == 2 * alone[name].cells
        assert score.rmse * own.scale[0] == pytest.approx(alone[name].rmse, rel=0.01)


def test_samples_are_not_interpolated_in_time(model, gappy, truth):
    samples, complete = (field.drop_vars("time").rename(time="sample") for field in (gappy, truth))
    alone = {"model": dataclasses.replace(model, network=None, error=None, frames=1)}
    archive = prepare_archive(alone["model"], Field.of(samples))
    assert list(scores_by_method(alone, archive, truth=complete)) == ["climatology", "biharmonic", "gaussian", "model"]
    with pytest.raises(InputError, match="none of linear_time can be scored: samples have no time"):
        score_methods(alone, archive, Scoring("linear_time"), truth=complete)


def test_the_date_with_most_hidden_cells_is_kept_to_be_drawn(model, archive, gappy, domain):
    cells = withheld_cells(archive)
    rows = score_methods({"model": model}, archive, Scoring(("climatology", "model")))
    maps = LeagueTable.of(rows, model, archive, has_truth=False).example_maps()
    date = int(cells.sum((1, 2)).argmax())
    assert list(maps) == ["observed", "truth", "climatology", "model"]
    np.testing.assert_array_equal(maps["truth"].notnull(), cells[date])
    np.testing.assert_array_equal(maps["observed"], gappy[date].where(~cells[date]))
    np.testing.assert_array_equal(maps["model"].notnull(), domain)
    assert maps["model"].time == gappy.time[date] and maps["model"].dims == ("lat", "lon")
    assert len({row.score.cells for row in rows}) == 1 and rows[0].example.date == rows[1].example.date == date
