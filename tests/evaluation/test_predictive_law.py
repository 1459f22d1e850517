"""The predictive distribution of a variance that was estimated, with known observation error."""

import numpy as np
import pytest
from scipy import stats

from geogan.evaluation.predictive_law import PredictiveLaw, expected_absolute


def test_the_interval_is_that_of_scipy():
    error, variance, noise = np.array([1.0]), np.array([4.0]), np.array([0.0])
    low, high = PredictiveLaw.from_variances(error, variance, noise, None).interval(0.9)
    assert (low, high) == pytest.approx(stats.norm(1, 2).interval(0.9))
    low, high = PredictiveLaw.from_variances(error, variance, noise, 4).interval(0.9)
    assert (low, high) == pytest.approx(stats.t(4, 1, 2).interval(0.9))


def test_known_noise_adds_degrees_of_freedom():
    """Welch and Satterthwaite: equal variances, one of them known, have four times the degrees of freedom."""
    law = PredictiveLaw.from_variances(np.zeros(2), np.array([1.0, 0.0]), np.ones(2), 5)
    assert law.freedom[0] == pytest.approx(20) and law.freedom[1] > 1e4
    np.testing.assert_allclose(law.scale, [2**0.5, 1.0])


def test_the_expected_absolute_value_is_that_of_a_folded_normal():
    assert expected_absolute(np.array(1.5), np.array(0.7)) == pytest.approx(stats.foldnorm(1.5 / 0.7, scale=0.7).mean())
