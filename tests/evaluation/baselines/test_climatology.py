"""The climatology fills gaps, keeps observations, and leaves land empty."""

import numpy as np
import pytest

from geogan.evaluation.baselines.climatology import climatology
from geogan.operators.errors import InputError

DOMAIN = np.array([[True, True, False], [True, True, True]])


def test_gaps_take_the_background_and_observed_cells_stay():
    generator = np.random.default_rng(0)
    values = generator.standard_normal((4, 2, 3)).astype("float32")
    background = generator.standard_normal((4, 2, 3))
    observed = generator.random((4, 2, 3)) < 0.5
    observed[2] = False
    gappy = np.where(observed, values, np.float32(np.nan))
    before = gappy.copy()
    filled = climatology(gappy, domain=DOMAIN, background=background)
    assert filled.dtype == "float32"
    np.testing.assert_array_equal(gappy, before)
    sea = np.broadcast_to(DOMAIN, observed.shape)
    np.testing.assert_array_equal(filled[observed & sea], values[observed & sea])
    np.testing.assert_array_equal(filled[~observed & sea], background.astype("float32")[~observed & sea])
    assert np.isnan(filled[~sea]).all()


def test_one_background_for_all_dates():
    filled = climatology(np.full((3, 2, 3), np.nan), domain=DOMAIN, background=np.full((2, 3), 7.0))
    assert (filled[:, DOMAIN] == 7).all()


def test_errors():
    with pytest.raises(InputError, match="values must be"):
        climatology(np.zeros((2, 3)), domain=DOMAIN, background=np.zeros(()))
    with pytest.raises(InputError, match="background must broadcast"):
        climatology(np.zeros((5, 2, 3)), domain=DOMAIN, background=np.zeros((4, 2, 3)))
