"""Total variation restores piecewise constant maps, agrees with scikit-image, and treats maps and bands separately."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.restoration import denoise_tv_chambolle

from geogan.evaluation.baselines.total_variation import total_variation
from geogan.operators.errors import InputError

Y, X = np.mgrid[0:20, 0:27].astype(float)
SEA = np.ones((20, 27), bool)
STEP = np.where(X < 13, 280.0, 290.0)


def hide(maps, fraction, seed=0):
    observed = np.random.default_rng(seed).random(maps.shape) >= fraction
    return np.where(observed, maps, np.nan), observed


def test_a_front_is_restored_from_a_fifth_of_its_cells():
    gappy, observed = hide(STEP[None, None], 0.8)
    filled = total_variation(gappy, domain=SEA)
    # Beside the front the nearest observation may lie across it; elsewhere TV reduces the contrast a little.
    assert np.abs(filled[0, 0] - STEP)[(X < 10) | (X > 15)].max() < 0.05 * 10
    assert np.std(filled - STEP) < 0.3 * np.std(STEP)
    np.testing.assert_array_equal(filled[observed], gappy[observed])


def test_denoising_is_skimage_in_units_of_the_standard_deviation():
    noisy = np.random.default_rng(1).normal(STEP, 2.0)[None, None]
    filled = total_variation(noisy, domain=SEA, weight=0.3, noisy=True)
    expected = denoise_tv_chambolle(noisy[0, 0], weight=0.3 * noisy.std())
    np.testing.assert_allclose(filled[0, 0], expected, atol=0.01 * noisy.std())
    assert np.std(filled - STEP) < 0.5 * np.std(noisy - STEP)


def test_noise_and_gaps_together():
    noisy, observed = hide(np.random.default_rng(1).normal(STEP, 2.0)[None, None], 0.5)
    filled = total_variation(noisy, domain=SEA, weight=0.3, noisy=True)
    assert np.std((filled - STEP)[observed]) < 0.7 * np.std((noisy - STEP)[observed])
    assert np.std((filled - STEP)[~observed]) < 0.5 * np.std(STEP)


def test_maps_without_gaps_or_noise_are_unchanged():
    values = np.random.default_rng(0).normal(size=(1, 2, 20, 27))
    np.testing.assert_array_equal(total_variation(values, domain=SEA), values)


@settings(max_examples=8, deadline=None)
@given(level=st.floats(-300, 300), scale=st.floats(0.01, 100))
def test_units_do_not_matter(level, scale):
    gappy, _ = hide(np.sin(Y / 5)[None, None] + np.cos(X / 6), 0.7)
    plain = total_variation(gappy, domain=SEA, iterations=5)
    np.testing.assert_allclose(
        total_variation(level + scale * gappy, domain=SEA, iterations=5), level + scale * plain, atol=1e-6 * (1 + scale)
    )


def test_maps_and_bands_are_independent_and_the_dtype_stays():
    maps = np.random.default_rng(3).normal(size=(2, 3, 20, 27)).astype("float32")
    gappy, _ = hide(maps, 0.5)
    gappy = gappy.astype("float32")
    gappy[1, 2] = np.nan
    filled = total_variation(gappy, domain=SEA, iterations=10)
    assert filled.dtype == "float32"
    assert np.isnan(filled[1, 2]).all() and np.isfinite(filled[1, :2]).all()
    alone = total_variation(gappy[1:, 1:2], domain=SEA, iterations=10)
    np.testing.assert_array_equal(alone[0, 0], filled[1, 1])


def test_values_on_land_are_ignored():
    domain = SEA.copy()
    domain[8:14, 10:13] = False
    gappy, _ = hide(STEP[None, None], 0.3)
    empty_land = total_variation(np.where(domain, gappy, np.nan), domain=domain)
    np.testing.assert_array_equal(empty_land, total_variation(np.where(domain, gappy, 0.0), domain=domain))
    assert np.isnan(empty_land[..., ~domain]).all() and np.isfinite(empty_land[..., domain]).all()


def test_one_observation_fills_the_map_with_itself():
    values = np.full((1, 1, 20, 27), np.nan)
    values[0, 0, 3, 4] = 281.5
    np.testing.assert_array_equal(total_variation(values, domain=SEA), 281.5)


def test_errors():
    with pytest.raises(InputError, match="values must be"):
        total_variation(np.zeros((1, 20, 27)), domain=SEA)
    with pytest.raises(InputError, match="weight must be"):
        total_variation(np.zeros((1, 1, 20, 27)), domain=SEA, weight=0)
    with pytest.raises(InputError, match="iterations and inner"):
        total_variation(np.zeros((1, 1, 20, 27)), domain=SEA, iterations=0)
