"""Linear trends in time are recovered for any spacing of the dates."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geogan.evaluation.baselines.linear_time import linear_time
from geogan.operators.errors import InputError

DOMAIN = np.array([[True, True, False], [True, True, True]])


def test_exact_on_lines_with_uneven_dates():
    generator = np.random.default_rng(1)
    days = np.cumsum(generator.uniform(0.2, 9, 30))
    slope, level = generator.standard_normal((2, 2, 3))
    truth = level + slope * days[:, None, None]
    observed = generator.random(truth.shape) < 0.4
    observed[[0, -1]] = True
    filled = linear_time(np.where(observed, truth, np.nan), domain=DOMAIN, days=days)
    np.testing.assert_allclose(filled[:, DOMAIN], truth[:, DOMAIN], rtol=0, atol=1e-11)
    sea = observed & DOMAIN
    np.testing.assert_array_equal(filled[sea], truth[sea])
    assert np.isnan(filled[:, ~DOMAIN]).all()


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), dates=st.integers(1, 9), share=st.floats(0, 1))
def test_agrees_with_numpy_cell_by_cell(seed, dates, share):
    generator = np.random.default_rng(seed)
    days = np.cumsum(generator.integers(1, 6, dates))
    values = generator.standard_normal((dates, 2, 3)).astype("float32")
    values[generator.random(values.shape) > share] = np.nan
    filled = linear_time(values, domain=DOMAIN, days=days)
    assert filled.dtype == "float32"
    for row, column in np.argwhere(DOMAIN):
        cell = values[:, row, column]
        observed = np.isfinite(cell)
        expected = np.interp(days, days[observed], cell[observed]) if observed.any() else np.full(dates, np.nan)
        np.testing.assert_allclose(filled[:, row, column], expected, rtol=1e-5, atol=1e-6)


def test_the_ends_are_constant_and_cells_without_observations_stay_empty():
    values = np.full((4, 2, 3), np.nan)
    values[1, 0, 0], values[2, 0, 0] = 5.0, 8.0
    filled = linear_time(values, domain=DOMAIN, days=np.arange(4.0))
    np.testing.assert_array_equal(filled[:, 0, 0], [5, 5, 8, 8])
    assert np.isnan(filled[:, 1]).all()


@pytest.mark.parametrize("days", [np.arange(3), np.array([0, 2, 2, 3])])
def test_dates_must_increase(days):
    with pytest.raises(InputError, match="days must be 4 increasing numbers"):
        linear_time(np.zeros((4, 2, 3)), domain=DOMAIN, days=days)


def test_shapes_must_fit():
    with pytest.raises(InputError, match="values must be"):
        linear_time(np.zeros((4, 3, 2)), domain=DOMAIN, days=np.arange(4))
