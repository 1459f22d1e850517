"""The verdict on a model follows from the figures of the league table."""

import pytest

from geogan.evaluation.ensembles import EnsembleScore
from geogan.evaluation.errors import Score
from geogan.evaluation.rows import Row
from geogan.evaluation.verdict import verdict


def row(method, rmse, coverage=None, spread=1.0):
    law = None
    if coverage is not None:
        law = EnsembleScore(rmse, 0.0, rmse, rmse, rmse, spread, {0.9: coverage}, {}, (), 100, 1.0)
    return Row(method, Score(rmse, 0.0, rmse, 100, 1.0), law)


def said(*rows, clouds=9):
    return verdict(rows, name="sst", units="K", cells="withheld clouds", clouds=clouds)


def test_two_sentences_name_the_error_the_best_rival_and_the_use():
    assert said(row("climatology", 1.0), row("gaussian", 0.344), row("model", 0.33, 0.88)) == [
        "sst: 0.33 K on withheld clouds (9 of them), 4 % better than optimal interpolation (Gaussian MAP).",
        "Its 90 % error bars hold 88 % of the truths: reliable. Fit to use.",
    ]


@pytest.mark.parametrize(
    ("rows", "clouds", "words"),
    [
        ([row("gaussian", 0.4), row("model", 0.3, 0.9)], 3, "Too few withheld clouds to judge"),
        ([row("climatology", 0.32), row("model", 0.3, 0.9)], 9, "Hardly better than the climatology"),
        ([row("gaussian", 0.27), row("model", 0.3, 0.9)], 9, "Use geogan fill without --model"),
        ([row("linear_time", 0.2), row("gaussian", 0.3), row("model", 0.3, 0.9)], 9, "Not fit to use: linear in time"),
        ([row("gaussian", 0.4), row("model", 0.3, 0.6, 0.5)], 9, "too narrow; the actual errors are 2 times"),
        ([row("gaussian", 0.4), row("model", 0.3, 0.6, 0.5)], None, "Use the filled values, but not the error bars"),
        ([row("gaussian", 0.4), row("model", 0.3, 0.97)], 9, "slightly too wide. Fit to use."),
        ([row("gaussian", 0.4), row("model", 0.3, 0.9, 1.4)], 9, "but the predicted error is 1.4 times the actual one"),
        ([row("gaussian", 0.301), row("model", 0.3, 0.9)], 9, "geogan fill without --model is as good"),
    ],
)
def test_a_model_is_not_praised_beyond_its_figures(rows, clouds, words):
    assert words in said(*rows, clouds=clouds)[1]


def test_without_a_model_or_a_rival_there_is_no_verdict():
    assert said(row("gaussian", 0.3)) == said(row("model", 0.3)) == said(row("model", 0.3), row("gaussian", 0.3)) == []
