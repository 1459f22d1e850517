"""Convolve-Noise."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geogan.operators.convolve import ConvolveNoise
from geogan.operators.errors import InputError


def filtered(x: np.ndarray, size: int) -> np.ndarray:
    """Return the mean over the existing cells of each window, cell by cell."""
    reach = size // 2
    result = np.empty_like(x)
    for i, j in np.ndindex(x.shape):
        result[i, j] = x[max(i - reach, 0) : i + reach + 1, max(j - reach, 0) : j + reach + 1].mean()
    return result


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.integers(1, 11), st.sampled_from([1, 3, 5, 7]))
def test_it_is_the_mean_over_the_cells_that_exist(height, width, size):
    x = np.random.default_rng(0).standard_normal((height, width))
    values, mask = ConvolveNoise(l=size).apply(torch.from_numpy(x)[None, None, None], ())
    np.testing.assert_allclose(values[0, 0, 0].numpy(), filtered(x, size), atol=1e-12)
    assert mask.all()


def test_constants_stay_constant():
    x = torch.full((1, 2, 3, 7, 9), 3.25)
    torch.testing.assert_close(ConvolveNoise(l=5).apply(x, ()).values, x)


def test_it_is_linear_and_keeps_frames_and_bands_apart():
    operator = ConvolveNoise(l=3)
    a, b = torch.randn(2, 1, 2, 3, 8, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    both = operator.apply(2 * a - 3 * b, ()).values
    torch.testing.assert_close(both, 2 * operator.apply(a, ()).values - 3 * operator.apply(b, ()).values)
    torch.testing.assert_close(operator.apply(a, ()).values[:, 1:, 2:], operator.apply(a[:, 1:, 2:], ()).values)


def test_its_noise_is_theta():
    """The same theta adds the same noise, of the given standard deviation, to whatever is measured."""
    operator, shape = ConvolveNoise(l=3, sigma=0.4), (4, 1, 2, 30, 40)
    theta = operator.sample(shape, generator=torch.Generator().manual_seed(0))
    a, b = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))
    first, second = (operator.apply(x, theta).values - operator.blur(x) for x in (a, b))
    torch.testing.assert_close(first, second, atol=1e-6, rtol=0)
    assert float(first.std()) == pytest.approx(0.4, rel=0.03) and abs(float(first.mean())) < 0.02
    assert operator.without_noise().sample(shape, generator=torch.Generator()) == ()


def test_what_it_says_of_itself():
    assert (ConvolveNoise().l, ConvolveNoise().sigma) == (3, 0.15)
    assert ConvolveNoise(sigma=0.3).noise == 0.3
    assert not ConvolveNoise().masks
    assert not ConvolveNoise(sigma=0.0).exact
    assert ConvolveNoise(l=1, sigma=0.0).exact
    assert not ConvolveNoise(l=1).blurs


@pytest.mark.parametrize("size", [0, 2, -3, 3.0])
def test_impossible_sizes(size):
    with pytest.raises(InputError, match="l of convolve_noise must be an odd whole number"):
        ConvolveNoise(l=size)


@pytest.mark.parametrize("noise", [-0.1, float("nan"), float("inf")])
def test_impossible_noise(noise):
    with pytest.raises(InputError, match="sigma of convolve_noise must be 0 or more"):
        ConvolveNoise(sigma=noise)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_a_blur_lies_across_the_seam(size):
    x = torch.randn((2, 1, 1, 6, 9), generator=torch.Generator().manual_seed(0))
    blur = ConvolveNoise(l=size, sigma=0.0).around(True)
    torch.testing.assert_close(blur.blur(x.roll(4, -1)).roll(-4, -1), blur.blur(x))
    flat = ConvolveNoise(l=size, sigma=0.0).blur(x)
    inside = slice(size // 2, 9 - size // 2)
    torch.testing.assert_close(blur.blur(x)[..., inside], flat[..., inside])
    assert blur.blur(x).shape == x.shape
