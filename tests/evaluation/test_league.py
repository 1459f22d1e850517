"""Every method is scored on the same cells, none of which it has seen."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from geogan.evaluation import league as module
from geogan.evaluation.league import DEFAULT, METHODS, league
from geogan.fields.field import Field
from geogan.filling import fill as filling
from geogan.filling import plan as cutting
from geogan.filling.fill import prepared
from geogan.filling.plan import plan
from geogan.filling.task import fill_slab
from geogan.filling.tiles import Tile
from geogan.operators.convolve import ConvolveNoise
from geogan.operators.errors import InputError


@pytest.fixture
def archive(model, gappy):
    return prepared(model, Field.of(gappy), withheld=True)


def cells_of(archive):
    return archive.read(slice(None)).withheld[:, 0].numpy() > 0


def rows_of(*args, **options):
    return {row.method: row.score for row in league(*args, **options)}


def test_all_on_the_same_cells(model, archive):
    rows = rows_of({"model": model}, archive)
    assert tuple(rows) == DEFAULT
    asked = int(cells_of(archive).sum())
    assert {score.cells / score.share for score in rows.values()} == {asked}
    assert rows["model"].cells == rows["gaussian"].cells == rows["climatology"].cells == asked > 50
    assert rows["gaussian"].rmse < rows["climatology"].rmse


def test_the_model_s_row_by_hand(model, archive, gappy):
    """The withheld cells taken out of the field, and the whole of it filled at once."""
    cells = cells_of(archive)
    shown = prepared(model, Field.of(gappy.where(~cells)))
    errors = {}
    for name, each in (("model", model), ("gaussian", dataclasses.replace(model, network=None, error=None))):
        whole = fill_slab(each, shown, Tile(slice(0, 30), slice(0, 30)), plan(each, shown)).field
        errors[name] = (whole[:, 0] - gappy.values)[cells].astype(float)
    rows = rows_of({"model": model}, archive)
    for name, error in errors.items():
        # Its stretches look at eight dates around, not at all: nearly the same.
        assert rows[name].rmse == pytest.approx(np.sqrt((error**2).mean()), rel=0.02)
        assert rows[name].bias == pytest.approx(error.mean(), abs=0.02)
        assert rows[name].mae == pytest.approx(np.abs(error).mean(), rel=0.02)


def test_a_record_of_one_slab_is_seen_around_what_is_withheld(model, archive, monkeypatch):
    """However it is cut, a stretch sees the dates around it."""
    expected = rows_of({"model": model}, archive, methods=["gaussian", "model"])
    monkeypatch.setattr(cutting, "DATES", 500)
    found = rows_of({"model": model}, archive, methods=["gaussian", "model"])
    assert found == expected


def test_withheld_cells_are_hidden_from_every_method(model, archive, gappy, domain, monkeypatch):
    """A huge value in each of them changes no estimate."""
    cells = cells_of(archive)
    poisoned = gappy.copy(deep=True)
    poisoned.values[cells] = 1e7
    wild = dataclasses.replace(archive, field=poisoned.expand_dims("band", 1))
    estimates = []

    class Spy(module.Tally):
        def add(self, estimate, truth, where):
            estimates.append(np.where(where, estimate, 0.0))
            return super().add(estimate, truth, where)

    monkeypatch.setattr(module, "Tally", Spy)
    league({"model": model}, archive, threads=1)
    plain = estimates.copy()
    estimates.clear()
    league({"model": model}, wild, threads=1)
    assert len(plain) == len(estimates) == len(DEFAULT) * len(archive.withheld.runs())
    for before, after in zip(plain, estimates):
        np.testing.assert_array_equal(before, after)


def test_against_a_truth(model, gappy, truth, domain):
    archive = prepared(model, Field.of(gappy))
    gaps = gappy.isnull().values & domain
    rows = rows_of(
        {"model": model, "other": dataclasses.replace(model, network=None, error=None)}, archive, truth=truth
    )
    assert list(rows) == ["climatology", "linear_time", "biharmonic", "gaussian", "model", "other"]
    assert rows["model"].cells == gaps.sum() and rows["other"] == rows["gaussian"]
    filled = filling.fill(model, gappy)["sst"]
    error = (filled - truth).values[gaps].astype(float)
    assert rows["model"].rmse == pytest.approx(np.sqrt((error**2).mean()), rel=1e-4)
    background = archive.standardiser.inverse(np.zeros((30, 1, 20, 24)), archive.phase)[:, 0]
    error = (background - truth.values)[gaps]
    assert rows["climatology"].rmse == pytest.approx(np.sqrt((error**2).mean()), rel=1e-4)
    assert rows["linear_time"].rmse < rows["climatology"].rmse


def test_threads_and_slabs_make_no_difference(model, archive):
    done = []
    one = league({"model": model}, archive, threads=1, progress=lambda *said: done.append(said))
    assert league({"model": model}, archive, threads=3) == one
    runs = len(archive.withheld.runs())
    assert done == [("scoring", count, runs) for count in range(1, runs + 1)]


def test_only_what_is_asked_for(model, bare, archive):
    assert list(rows_of({"model": model}, archive, methods=["linear_time", "model"])) == ["linear_time", "model"]
    assert "gaussian" not in rows_of({"model": bare}, archive)


def test_the_table_keeps_the_order_of_what_is_asked(model, archive, monkeypatch):
    """Rivals that take their time are fitted first, for the dates that are scored."""
    asked = []

    def ask(name, contest):
        asked.append((name, contest.dates.tolist()))
        return lambda dates: np.zeros((dates.stop - dates.start, 1, 20, 24))

    monkeypatch.setattr(module, "ask", ask)
    assert list(rows_of({"model": model}, archive, methods=METHODS)) == list(METHODS)
    dates = [date for date in range(30) if cells_of(archive)[date].any()]
    assert [name for name, _ in asked] == [name for name in METHODS if name not in ("gaussian", "model")]
    assert all(given == dates for _, given in asked)


def test_where_nothing_is_hidden_a_truth_is_scored_on_everywhere(model, truth):
    """Noise is what is to be removed: what leaves it in has its error."""
    noisy = dataclasses.replace(model, operator=ConvolveNoise(l=1, sigma=0.3), network=None, error=None)
    noise = 0.3 * float(model.standardiser.scale[0]) * np.random.default_rng(0).standard_normal(truth.shape)
    rows = rows_of(
        {"model": noisy},
        prepared(noisy, Field.of(truth + noise.astype("f4"))),
        truth=truth,
        methods=["biharmonic", "total_variation"],
    )
    assert rows["biharmonic"].cells == rows["total_variation"].cells == truth.notnull().sum()
    assert rows["biharmonic"].rmse == pytest.approx(float(noise[truth.notnull()].std()), rel=0.01)
    assert rows["total_variation"].rmse < 0.8 * rows["biharmonic"].rmse


def test_what_cannot_be_scored(model, bare, archive, gappy):
    with pytest.raises(InputError, match="unknown method 'kriging'; there are climatology, linear_time"):
        league({"model": model}, archive, methods=["kriging"])
    with pytest.raises(InputError, match="there is no cell to score on"):
        league({"model": model}, prepared(model, Field.of(gappy)))
    with pytest.raises(InputError, match="there is no cell to score on"):
        league({"model": model}, prepared(model, Field.of(gappy)), truth=gappy)
    with pytest.raises(InputError, match="the model has no first guess"):
        league({"model": bare}, archive, methods=["gaussian"])


def test_a_method_that_can_say_nothing_has_no_share(model, gappy, truth):
    """Biharmonic inpainting needs an observation on the date; others answer all the same."""
    blind = gappy.copy(deep=True)
    blind[6] = np.nan
    archive = prepared(model, Field.of(blind.isel(time=[6])))
    rows = rows_of({"model": model}, archive, truth=truth.isel(time=[6]), methods=["biharmonic", "climatology"])
    assert rows["biharmonic"].cells == 0 and rows["biharmonic"].share == 0
    assert rows["climatology"].share == 1


def test_bands_without_common_units_are_scored_in_anomalies(model, gappy, truth, domain):
    """One band in kelvins and one in thousandths of them count the same."""
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
    archive = prepared(two, Field.of(gappy * bands))
    rows = rows_of({"model": two}, archive, truth=truth * bands)
    alone = rows_of(
        {"model": dataclasses.replace(model, network=None, error=None)}, prepared(model, Field.of(gappy)), truth=truth
    )
    for name, score in rows.items():
        assert score.cells == 2 * alone[name].cells
        assert score.rmse * own.scale[0] == pytest.approx(alone[name].rmse, rel=0.01)


def test_samples_have_no_time_to_interpolate_in(model, gappy, truth):
    samples, complete = (field.drop_vars("time").rename(time="sample") for field in (gappy, truth))
    alone = {"model": dataclasses.replace(model, network=None, error=None, frames=1)}
    archive = prepared(alone["model"], Field.of(samples))
    assert list(rows_of(alone, archive, truth=complete)) == ["climatology", "biharmonic", "gaussian", "model"]
    with pytest.raises(InputError, match="none of linear_time can be scored: samples have no time"):
        league(alone, archive, truth=complete, methods=["linear_time"])
