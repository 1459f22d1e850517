"""Errors are computed over the right cells, in double precision, and do not depend on the split into blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geogan.evaluation.errors import Score, Tally
from geogan.operators.errors import InputError


def score(estimate, truth, where):
    return Tally().add(estimate, truth, where).score()


def test_known_errors():
    truth = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    estimate = truth + [[3.0, -4.0, 100.0], [0.0, np.nan, 100.0]]
    where = np.array([[True, True, False], [False, True, False]])
    assert score(estimate, truth, where) == Score(
        rmse=pytest.approx(12.5**0.5), bias=-0.5, mae=3.5, cells=2, share=pytest.approx(2 / 3)
    )


def test_cells_without_truth_are_not_counted():
    assert score(np.array([1.0, np.nan]), np.array([1.0, np.nan]), np.array([True, True])).share == 1.0


@pytest.mark.parametrize(("where", "share"), [(False, np.nan), (True, 0.0)])
def test_nothing_to_score(where, share):
    result = score(np.full(3, np.nan), np.ones(3), np.full(3, where))
    assert result.cells == 0
    assert np.isnan([result.rmse, result.bias, result.mae]).all()
    np.testing.assert_equal(result.share, share)


def test_single_precision_input_is_summed_in_double():
    # A running sum of float32 squares would stall long before a million cells.
    truth = np.full(10**6, 300.0, dtype="float32")
    estimate = truth + np.float32(0.0625)
    assert score(estimate, truth, np.ones(truth.shape, bool)).rmse == 0.0625
    integers = np.array([250, 3], dtype="uint8")
    assert score(integers, integers[::-1], np.array([True, True])).mae == 247


def test_where_is_broadcast():
    truth = np.zeros((4, 2, 3))
    where = np.array([[True, False, False], [True, False, False]])
    assert score(truth, truth, where).cells == 8


@settings(max_examples=60, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), cells=st.integers(0, 200))
def test_any_split_in_any_order_equals_the_whole(data, seed, cells):
    generator = np.random.default_rng(seed)
    truth = 290 + generator.standard_normal(cells)
    estimate = np.where(generator.random(cells) < 0.8, truth + generator.standard_normal(cells), np.nan)
    where = generator.random(cells) < 0.6
    cuts = sorted(data.draw(st.lists(st.integers(0, cells), max_size=6)))
    parts = [slice(a, b) for a, b in zip([0, *cuts], [*cuts, cells])]
    parts = data.draw(st.permutations(parts))
    streamed = Tally()
    merged = Tally()
    for part in parts:
        block = estimate[part], truth[part], where[part]
        streamed = streamed.add(*block)
        merged = Tally().add(*block) + merged
    whole = score(estimate, truth, where)
    for tally in (streamed, merged):
        assert tally.score().cells == whole.cells
        np.testing.assert_allclose(tally.score(), whole, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("estimate", "where", "words"),
    [
        (np.zeros(3), np.ones(2, bool), "one shape"),
        (np.zeros(2), np.ones(2), "must be boolean"),
        (np.zeros(2), np.ones(3, bool), "must broadcast"),
    ],
)
def test_errors(estimate, where, words):
    with pytest.raises(InputError, match=words):
        score(estimate, np.zeros(2), where)
