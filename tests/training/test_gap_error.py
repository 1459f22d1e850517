"""The error expected in the gaps is that found there, where withheld observations are easier than the gaps."""

import numpy as np
import pytest
import torch
import xarray as xr

from geogan import Reconstructor
from geogan.corruption import corrupt
from geogan.prior import GaussianPrior
from geogan.training.gap_error import _away_from_cut


@pytest.fixture(scope="module")
def truth() -> xr.DataArray:
    """Return a draw of a Gaussian field of 24 dates."""
    prior = GaussianPrior(length=14.0, persistence=3.0, noise=0.1)
    nothing, generator = torch.zeros(1, 24, 1, 40, 48), torch.Generator().manual_seed(3)
    field = prior.sample(nothing, nothing, torch.ones(40, 48), torch.arange(24.0), generator=generator)[0, :, 0]
    days = np.datetime64("2020-01-01", "ns") + np.arange(24) * np.timedelta64(1, "D")
    return xr.DataArray(10 + field.numpy(), dims=("time", "y", "x"), coords={"time": days}, name="field")


def test_the_expected_error_is_that_in_the_gaps(truth):
    """Clouds that last for days leave gaps farther from observations than the withheld ones."""
    gappy = corrupt(truth, "cloud_mask:coverage=0.6,scale=12,persistence=3", seed=1)
    prior = GaussianPrior(length=14.0, persistence=3.0, noise=0.1)
    fitted = Reconstructor("cloud_mask", network=None, first_guess=prior, seed=0).fit(gappy)
    error = (fitted.fill(gappy).field - truth).values[gappy.isnull().values]
    found, scores = np.sqrt(np.nanmean(error**2)), fitted.model_.scores
    assert scores["withheld"] < 0.85 * found
    assert scores["expected_in_gaps"] == pytest.approx(found, rel=0.15)


@pytest.mark.parametrize(("part", "expected"), [(slice(0, 5), slice(0, 3)), (slice(4, 9), slice(2, 3))])
def test_what_is_near_to_a_cut_is_left_out(part, expected):
    assert _away_from_cut(part, 20, 2) == expected
