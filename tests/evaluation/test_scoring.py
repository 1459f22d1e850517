"""Names of methods and categories are matched in any case, singly or with commas between."""

import pytest

from geogan.evaluation import METHODS, LeagueTable, Scoring
from geogan.evaluation.methods import DEFAULT_METHODS
from geogan.operators.errors import InputError


@pytest.mark.parametrize(
    ("methods", "expected"),
    [
        ((), DEFAULT_METHODS),
        ("all", METHODS),
        (["model", "All"], METHODS),
        (["dineof, climatology", "Total-Variation", "dineof"], ("dineof", "climatology", "total_variation")),
    ],
)
def test_names_of_methods(methods, expected):
    assert Scoring(methods).methods == expected


def test_every_method_has_a_title():
    titles = [LeagueTable.title(name) for name in METHODS]
    assert len(set(titles)) == len(METHODS) and "DINEOF" in titles


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"methods": "kriging"}, "unknown method 'kriging'; choose from climatology, linear_time"),
        ({"methods": ["dinoef"]}, "did you mean"),
        ({"by": "month"}, "unknown category 'month'; choose from distance, cloud, season"),
        ({"members": 0}, "members must be at least 1"),
    ],
)
def test_unknown_names_and_numbers_are_refused(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        Scoring(**settings)
