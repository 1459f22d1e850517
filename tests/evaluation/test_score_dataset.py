"""A Dataset of scores holds every number of a league table, with units."""

import numpy as np
import pytest

from geogan.evaluation.categories import season
from geogan.evaluation.rows import Estimate, RowSums, ScoredCells
from geogan.evaluation.score_dataset import score_dataset
from geogan.evaluation.tables import LeagueTable

DATES = np.array(["2015-01-05", "2015-07-05", "2015-08-05"], "M8[D]")


def table_of(units):
    """Return a table of a method with members and a method without, for each variable."""
    random, rows = np.random.default_rng(0), []
    for variable in units:
        truth = random.normal(size=(3, 1, 12, 40))
        cells = ScoredCells(truth, np.ones(truth.shape, bool), [season(DATES)], False, has_spectrum=True)
        mean, std = truth + random.normal(size=truth.shape), np.ones(truth.shape)
        members = mean + random.normal(size=(6, *truth.shape))
        for name, estimate in (("climatology", Estimate(0 * truth)), ("model", Estimate(mean, std, members))):
            sums = RowSums.compare(estimate, cells, error=0.0, is_ensemble=False)
            rows.append(sums.row(name, variable))
    return LeagueTable(rows, "sst", "withheld clouds on 3 dates", units, ", ".join(units.values()))


@pytest.fixture(scope="module")
def table():
    return table_of({"": "K"})


def test_scores_are_those_of_the_rows(table):
    scores = score_dataset(table)
    climatology, model = table.rows
    assert scores.attrs["title"] == "sst: error on withheld clouds on 3 dates"
    assert scores.rmse.values.tolist() == [climatology.score.rmse, model.score.rmse]
    assert np.isnan(scores.crps[0]) and scores.crps[1] == model.law.crps
    assert scores.coverage.sel({"method": "model", "level": 0.9}) == model.law.coverage[0.9]
    assert scores.member_interval.sel({"method": "model", "level": 0.5}) == model.members.interval[0.5]
    assert scores.ranks.sel({"method": "model"}).values.tolist() == list(model.members.ranks)
    ratio = scores.member_power_ratio.sel({"method": "model"})
    np.testing.assert_array_equal(ratio, model.member_spectrum.ratio)
    summer = model.parts["season"]["JJA"]
    assert scores.rmse_by_season.sel({"method": "model", "season": "JJA"}) == summer.score.rmse
    assert scores.crps_by_season.sel({"method": "model", "season": "JJA"}) == summer.law.crps


def test_every_score_has_units_and_a_long_name(table):
    scores = score_dataset(table)
    assert all({"units", "long_name"} <= array.attrs.keys() for array in scores.values())
    assert {scores[name].attrs["units"] for name in ("rmse", "crps", "interval", "rmse_by_season")} == {"K"}
    assert {scores[name].attrs["units"] for name in ("share", "coverage", "spread_skill")} == {"1"}


def test_each_variable_has_its_own_units():
    table = table_of({"sst": "K", "salinity": "g/kg"})
    scores = score_dataset(table)
    assert scores.rmse.dims == ("variable", "method") and "units" not in scores.rmse.attrs
    assert scores.units.sel(variable="salinity") == "g/kg"
    for row in table.rows:
        assert scores.rmse.sel({"variable": row.variable, "method": row.method}) == row.score.rmse
