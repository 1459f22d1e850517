"""Deep Image Prior fills smooth maps, undoes a blur, and stops before it fits the noise."""

import numpy as np
import pytest
import torch

from geogan.evaluation.baselines.deep_image_prior import NetworkFit, deep_image_prior
from geogan.operators.convolve import ConvolveNoise
from geogan.operators.errors import InputError

Y, X = np.mgrid[0:16, 0:19].astype(float)
SEA = np.ones((16, 19), bool)
SMOOTH = np.stack([10 + np.sin(Y / 4) * np.cos(X / 5), 300 + 20 * np.cos(Y / 5 + X / 6)])


@pytest.fixture(scope="module")
def gappy():
    """Two measurements of two bands with different gaps; float32."""
    maps = np.stack([SMOOTH, 2 * SMOOTH]).astype("float32")
    maps[np.random.default_rng(0).random(maps.shape) < 0.6] = np.nan
    return maps


def quick(values, *, domain=SEA, measure=None, noisy=False, seed=0, threads=1, **settings):
    fit = NetworkFit(**{"iterations": 20, "width": 6} | settings)
    return deep_image_prior(
        values, domain=domain, measure=measure, noisy=noisy, settings=fit, seed=seed, threads=threads
    )


def test_smooth_maps_are_recovered_in_their_units(gappy):
    filled = quick(gappy[:1], iterations=200, width=12)
    error = np.square(filled[0] - SMOOTH).mean((1, 2)) / SMOOTH.var((1, 2))
    assert (error < 0.15).all(), error
    assert filled.dtype == "float32"
    observed = np.isfinite(gappy[:1])
    np.testing.assert_array_equal(filled[observed], gappy[:1][observed])


def test_measurements_are_independent(gappy):
    both = quick(gappy)
    np.testing.assert_array_equal(quick(gappy[:1])[0], both[0])
    other = gappy.copy()
    other[0] = np.random.default_rng(0).normal(size=other[0].shape)
    np.testing.assert_array_equal(quick(other)[1], both[1])
    np.testing.assert_array_equal(quick(gappy, threads=2), both)


def test_the_seed_decides(gappy):
    first = quick(gappy[:1], seed=3)
    np.testing.assert_array_equal(quick(gappy[:1], seed=3), first)
    assert not np.allclose(quick(gappy[:1], seed=4), first)


def test_values_on_land_are_ignored(gappy):
    domain = SEA.copy()
    domain[5:9, 10:13] = False
    empty_land = quick(np.where(domain, gappy, np.float32(np.nan)), domain=domain)
    np.testing.assert_array_equal(empty_land, quick(np.where(domain, gappy, np.float32(99)), domain=domain))
    assert np.isnan(empty_land[..., ~domain]).all() and np.isfinite(empty_land[..., domain]).all()


def test_bands_without_observations_stay_empty(gappy):
    values = gappy.copy()
    values[0] = np.nan
    values[1, 1] = np.nan
    filled = quick(values)
    assert np.isnan(filled[0]).all() and np.isnan(filled[1, 1]).all() and np.isfinite(filled[1, 0]).all()


def test_one_observation_fills_the_map_with_itself():
    values = np.full((1, 1, 16, 19), np.nan)
    values[0, 0, 3, 4] = 281.5
    filled = quick(values, iterations=60, rate=0.03)
    assert filled[0, 0, 3, 4] == 281.5
    assert np.abs(filled - 281.5).mean() < 1.5


def test_a_blur_is_undone():
    wave = (280 + np.sin(1.3 * X))[None, None]
    blur = ConvolveNoise(l=3, sigma=0.0).blur
    measured = blur(torch.from_numpy(wave)[:, None])[:, 0].numpy()
    sharp = quick(measured, measure=blur, iterations=300, width=12)
    assert np.square(sharp - wave).mean() < 0.3 * np.square(measured - wave).mean()


def test_the_fit_stops_before_it_learns_the_noise():
    calls = []

    def counted(x):
        calls.append(1)
        return x

    truth = SMOOTH[None, :1]
    measured = truth + np.random.default_rng(1).normal(0, truth.std(), truth.shape)
    settings = {"noisy": True, "iterations": 400, "width": 12, "rate": 0.02, "input_noise": 0.0}
    stopped = quick(measured, measure=counted, patience=50, held_out=0.1, **settings)
    assert len(calls) < 400
    learned = quick(measured, held_out=0, **settings)
    assert np.square(stopped - truth).mean() < 0.8 * np.square(learned - truth).mean()
    assert np.square(stopped - truth).mean() < 0.5 * truth.var()


def test_errors():
    with pytest.raises(InputError, match="values must be"):
        quick(np.zeros((1, 16, 19)))
    with pytest.raises(InputError, match="at least 8 cells"):
        quick(np.zeros((1, 1, 6, 19)), domain=np.ones((6, 19), bool))
    with pytest.raises(InputError, match="iterations, patience and width"):
        quick(np.zeros((1, 1, 16, 19)), iterations=0)
    with pytest.raises(InputError, match="held_out must lie"):
        quick(np.zeros((1, 1, 16, 19)), held_out=1.0)
