"""Patch-Band."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from geogan.operators.band import PatchBand
from geogan.operators.errors import InputError


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 9), st.integers(1, 5))
def test_a_frame_misses_rows_that_follow_one_another_and_nothing_else(h, more, width):
    height = h + more
    theta = PatchBand(h=h).sample((3, 2, 2, height, width), generator=torch.Generator().manual_seed(0))
    assert theta.shape == (3, 2, 1, height, width)
    for frame in theta.reshape(-1, height, width).numpy():
        assert (frame == frame[:, :1]).all()
        (hidden,) = np.nonzero(~frame[:, 0])
        assert len(hidden) == h == hidden[-1] - hidden[0] + 1


def test_the_first_row_is_uniform_and_each_frame_has_its_own():
    theta = PatchBand(h=5).sample((1500, 2, 1, 14, 1), generator=torch.Generator().manual_seed(0))
    first = (~theta[:, :, 0, :, 0]).int().argmax(dim=2).numpy()
    assert chisquare(np.bincount(first.ravel(), minlength=10)).pvalue > 0.01
    assert len(np.bincount(first.ravel())) == 10
    together = np.histogram2d(first[:, 0], first[:, 1], bins=10)[0]
    assert chisquare(together.ravel()).pvalue > 0.01


@pytest.mark.parametrize("h", [0, -2, 2.5])
def test_impossible_heights(h):
    with pytest.raises(InputError, match="h of patch_band must be a whole number of rows, 1 or more, got"):
        PatchBand(h=h)


@pytest.mark.parametrize("height", [1, 3, 20])
def test_a_band_as_high_as_the_frame(height):
    with pytest.raises(InputError, match=rf"less than the number of rows of the frame \({height}\), got 20; give"):
        PatchBand().sample((1, 1, 1, height, 4), generator=torch.Generator())
