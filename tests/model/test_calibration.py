"""Calibrated standard deviations are those of the errors: by size, under noise, and with few clouds."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geogan.model.calibration import LEAST, MOST, Calibration
from geogan.operators.errors import InputError


def predicted(random, cells=20_000) -> np.ndarray:
    return np.exp(random.normal(np.log(0.4), 0.5, cells))


def covered(std, error) -> float:
    return float(np.mean(np.abs(error) <= 1.6449 * std))


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.5])
def test_one_factor_is_recovered(factor):
    random = np.random.default_rng(0)
    std = predicted(random)
    found = Calibration.fit(std, factor * std * random.normal(size=std.shape))
    np.testing.assert_allclose(found.factor, factor, rtol=0.04)
    np.testing.assert_allclose(found.apply(std), factor * std, rtol=0.05)
    assert found.cells == found.stretches == std.size


def test_the_error_of_observations_is_not_calibrated():
    random = np.random.default_rng(1)
    std = predicted(random)
    noise = random.uniform(0.1, 0.5, std.shape)
    error = 1.5 * std * random.normal(size=std.shape) + noise * random.normal(size=std.shape)
    np.testing.assert_allclose(Calibration.fit(std, error, observation_error=noise).factor, 1.5, rtol=0.08)
    assert max(Calibration.fit(std, error).factor) > 1.9


def test_errors_smaller_than_the_noise_stay_within_the_limits():
    std = np.full(200, 0.5)
    error = 0.01 * np.random.default_rng(2).normal(size=200)
    assert Calibration.fit(std, error, observation_error=1.0).factor == (pytest.approx(LEAST, rel=0.1),)
    assert Calibration.fit(std, 1e6 * error).factor == (pytest.approx(MOST, rel=0.1),)


def test_factors_follow_the_size():
    random = np.random.default_rng(3)
    std = predicted(random)
    true = 1.4 * np.sqrt(std * 0.4)
    found = Calibration.fit(std, true * random.normal(size=std.shape))
    assert np.all(np.diff(found.factor) < 0)
    fresh = predicted(random)
    error = 1.4 * np.sqrt(fresh * 0.4) * random.normal(size=fresh.shape)
    for low, high in ((0, 0.2), (0.4, 0.6), (0.8, 1)):
        part = (fresh >= np.quantile(fresh, low)) & (fresh <= np.quantile(fresh, high))
        assert covered(found.apply(fresh[part]), error[part]) == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize("freedom", [4, 6, 30])
def test_heavy_tails_keep_coverage_and_spread_in_bounds(freedom):
    random = np.random.default_rng(freedom)
    std = predicted(random, 60_000)
    error = 0.7 * std * random.standard_t(freedom, std.shape) / np.sqrt(freedom / (freedom - 2))
    calibrated = Calibration.fit(std[::2], error[::2]).apply(std[1::2])
    assert 0.89 <= covered(calibrated, error[1::2]) <= 0.92
    assert 0.93 <= np.sqrt(np.mean(calibrated**2) / np.mean(error[1::2] ** 2)) <= 1.05


def test_few_clouds_draw_the_factors_together():
    random = np.random.default_rng(4)
    cloud = np.repeat(np.arange(5), 400)
    std = np.array([0.1, 0.2, 0.4, 0.8, 1.6])[cloud] * random.uniform(0.99, 1.01, cloud.size)
    error = std * np.array([1.5, 1.0, 1.3, 0.8, 1.2])[cloud] * random.normal(size=cloud.size)
    alone, together = Calibration.fit(std, error), Calibration.fit(std, error, clusters=cloud)
    assert together.stretches == 5 and len(together.factor) == 5
    assert np.ptp(np.log(together.factor)) < 0.35 * np.ptp(np.log(alone.factor))


def test_clouds_of_one_film_count_as_a_few():
    """Many clouds of one film are less certain than as many of different films, and more than one cloud."""
    random = np.random.default_rng(5)
    cloud = np.arange(6000) // 10
    std = np.ones(cloud.size)
    error = 3.0 * random.normal(size=cloud.size)
    single, few, many = (
        Calibration.fit(std, error, clusters=clusters, films=films).factor[0]
        for clusters, films in ((0 * cloud, 0 * cloud), (cloud, 0 * cloud), (cloud, cloud))
    )
    assert 1.1 < single < few - 0.3 and few < many - 0.1
    assert many == pytest.approx(3.0, rel=0.05)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), cells=st.integers(1, 700), clouds=st.integers(1, 9))
def test_order_and_limits_are_kept(seed, cells, clouds):
    random = np.random.default_rng(seed)
    std = predicted(random, cells).astype("float32")
    error = random.standard_t(2, cells)
    found = Calibration.fit(std, error, clusters=random.integers(0, clouds, cells))
    size = np.geomspace(1e-3, 30, 400)
    calibrated = found.apply(size)
    assert (np.diff(calibrated) >= -1e-9 * calibrated[1:]).all()
    np.testing.assert_allclose(calibrated, size * found.scale(size))
    np.testing.assert_allclose(found.scale(size[[0, -1]]), [found.factor[0], found.factor[-1]])
    assert Calibration(**json.loads(json.dumps(asdict(found)))) == found


def test_units_do_not_matter():
    random = np.random.default_rng(6)
    std = predicted(random, 500)
    error = 1.2 * std * random.normal(size=500)
    one = Calibration.fit(std, error, observation_error=0.1)
    other = Calibration.fit(100 * std, 100 * error, observation_error=10.0)
    np.testing.assert_allclose(other.factor, one.factor)
    np.testing.assert_allclose(other.std, 100 * np.array(one.std))


def test_what_cannot_be_used_is_left_out():
    random = np.random.default_rng(7)
    std = predicted(random, 900)
    error = std * random.normal(size=900)
    spoilt = np.concatenate([std, [0.0, np.nan, 1.0]]), np.concatenate([error, [5.0, 5.0, np.nan]])
    assert Calibration.fit(*spoilt) == Calibration.fit(std, error)


def test_by_default_nothing_changes():
    std = np.array([[0.0, 0.25, np.nan]], "float32")
    same = Calibration().apply(std)
    assert same.dtype == np.float32
    np.testing.assert_array_equal(same, std)


@pytest.mark.parametrize(
    ("std", "factor", "words"),
    [
        ((1.0, 2.0), (1.0,), "a factor for each"),
        ((), (), "a factor for each"),
        ((1.0,), (0.0,), "must be positive"),
        ((1.0,), (float("nan"),), "must be positive"),
        ((2.0, 1.0), (1.0, 1.0), "must increase"),
        ((1.0, 2.0), (1.0, 0.1), "must increase"),
    ],
)
def test_a_damaged_calibration_is_refused(std, factor, words):
    with pytest.raises(InputError, match=words):
        Calibration(std, factor)


@pytest.mark.parametrize(
    ("std", "error", "words"),
    [
        (np.ones(3), np.ones(2), "one shape"),
        (-np.ones(2), np.ones(2), "not be negative"),
        (np.ones(2), np.full(2, np.nan), "got none"),
    ],
)
def test_errors(std, error, words):
    with pytest.raises(InputError, match=words):
        Calibration.fit(std, error)


def test_few_clouds_are_half_believed():
    """With an error ratio of 1.5, six clouds give half of the logarithmic correction and what they leave open."""
    random = np.random.default_rng(9)
    std = random.uniform(0.2, 1.0, 30_000)
    error = 1.5 * std * random.normal(size=std.shape)
    for clouds, expected in ((6, 1.5**0.5 * np.exp(1 / 24)), (600, 1.5)):
        found = Calibration.fit(std, error, clusters=np.arange(len(std)) % clouds)
        assert np.allclose(found.factor, expected, rtol=0.05), clouds


def test_where_clouds_are_few_the_level_is_believed():
    random = np.random.default_rng(0)
    std = random.uniform(0.5, 1.5, 4000)
    error = 3.0 * std * random.normal(size=std.size)
    one = np.zeros(std.size, int)
    shy, told = (Calibration.fit(std, error, clusters=one, level=level).scale(std).mean() for level in (1.0, 3.0))
    # One cloud leaves 8 % of the expected error open.
    assert told == pytest.approx(3.0 * 1.08, rel=0.05) and shy < 0.5 * told
    # Of many clouds it is nothing but where the search begins.
    many = [Calibration.fit(std, error, level=level).apply(std) for level in (1.0, 3.0)]
    np.testing.assert_allclose(*many, rtol=0.02)


def test_a_few_large_errors_say_more_than_a_few_small_ones():
    """With two independent errors, a factor of 4 is shrunk less than a factor of 1/4; with many, neither is."""

    def factor(true, count):
        errors = np.where(np.arange(count * 60) % 2, 1.0, -1.0) * true
        clouds = np.repeat(np.arange(count), 60)
        return float(Calibration.fit(np.ones(count * 60), errors, clusters=clouds).scale(np.ones(1))[0])

    # Errors of one size: 1.645 standard deviations hold all of them, so a factor fits as the mean of both criteria.
    fitted = factor(1.0, 4000)
    large, small = (np.log(factor(fitted_to, 2) / 1.0) for fitted_to in (4 / fitted, 0.25 / fitted))
    assert 0 < -small < 0.5 * large
    assert np.log(factor(4.0, 4000) / fitted) == pytest.approx(np.log(4), rel=0.02)
