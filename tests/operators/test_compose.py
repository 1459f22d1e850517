"""Operators one after another."""

import numpy as np
import pytest
import torch

from geogan.operators.cloud import CloudMask
from geogan.operators.compose import Compose
from geogan.operators.convolve import ConvolveNoise
from geogan.operators.errors import InputError
from geogan.operators.observed import ObservedGaps
from geogan.operators.parse import describe
from geogan.operators.pixels import RemovePixel, RemovePixelChannel


def test_masks_multiply_and_values_are_blurred_before_they_are_hidden():
    blur, pixels, clouds = ConvolveNoise(l=3, sigma=0.0), RemovePixel(p=0.4), CloudMask(scale=4)
    shape = (2, 2, 2, 14, 11)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    theta = Compose((blur, pixels, clouds)).sample(shape, generator=torch.Generator().manual_seed(1))
    values, mask = Compose((blur, pixels, clouds)).apply(x, theta)
    expected = pixels.apply(x, theta[1]).mask * clouds.apply(x, theta[2]).mask
    assert torch.equal(mask, expected)
    assert torch.equal(values, blur.apply(x, theta[0]).values * expected)


def test_noises_add_in_quadrature():
    composed = Compose((ConvolveNoise(l=3, sigma=0.3), ConvolveNoise(l=1, sigma=0.4)))
    assert composed.noise == pytest.approx(0.5)
    assert not composed.masks
    assert not composed.exact
    assert Compose((RemovePixel(), CloudMask())).exact


def test_a_blur_after_a_gap_is_refused():
    with pytest.raises(InputError, match="ConvolveNoise blurs and must come before CloudMask"):
        Compose((CloudMask(), ConvolveNoise(l=3)))
    Compose((CloudMask(), ConvolveNoise(l=1, sigma=0.1)))


def test_nothing_to_compose():
    with pytest.raises(InputError, match="at least one operator"):
        Compose(())


def test_each_is_fitted_and_keeps_its_own_state():
    observed = np.random.default_rng(0).random((6, 8, 10)) > 0.5
    domain = np.ones((8, 10), dtype=bool)
    plain = Compose((RemovePixel(), ConvolveNoise(l=1)))
    assert plain.fitted(observed, domain) is plain
    composed = Compose((RemovePixel(p=0.1), ObservedGaps()))
    fitted = composed.fitted(observed, domain)
    assert set(fitted.state()) == {"1.packed", "1.runs", "1.width"}
    again = composed.with_state(fitted.state())
    draws = [o.sample((2, 2, 1, 5, 6), generator=torch.Generator().manual_seed(0)) for o in (fitted, again)]
    assert all(torch.equal(a, b) for a, b in zip(*draws))


def test_channels_differ_where_one_of_them_says_so():
    both = Compose((RemovePixel(p=0.5), RemovePixelChannel(p=0.3)))
    assert both.channelwise
    assert not Compose((RemovePixel(), CloudMask())).channelwise
    mask = both.apply(torch.ones(1, 1, 3, 20, 30), both.at((20, 30), 1.0, seed=0, channels=3)).mask
    alone = both.apply(torch.ones(1, 1, 1, 20, 30), both.at((20, 30), 1.0, seed=0)).mask
    assert not torch.equal(mask[:, :, 0], mask[:, :, 1])
    assert 1 - float(mask.mean()) == pytest.approx(1 - 0.5 * 0.7, abs=0.05)
    assert alone.shape == (1, 1, 1, 20, 30)


def test_two_of_a_kind_draw_apart():
    first, second = Compose((RemovePixel(p=0.5), RemovePixel(p=0.5))).at((20, 30), 1.0, seed=0)
    assert not torch.equal(first, second)


def test_each_goes_round():
    both = Compose((ConvolveNoise(l=3, sigma=0.1), CloudMask(coverage=0.4, scale=5)))
    assert [each.is_periodic for each in both.around(True).operators] == [True, True]
    assert both.around(True).around(False) == both
    assert (
        describe(both.around(False)) == describe(both) == "convolve_noise:sigma=0.1 + cloud_mask:coverage=0.4,scale=5"
    )
