"""Sparse sampling."""

import pytest
import torch

from geogan.operators.errors import InputError
from geogan.operators.sampling import SparseSampling


@pytest.mark.parametrize("fixed", [False, True])
def test_the_fraction_is_observed(fixed):
    theta = SparseSampling(fraction=0.05, fixed=fixed).sample(
        (20, 2, 1, 64, 48), generator=torch.Generator().manual_seed(0)
    )
    assert theta.float().mean() == pytest.approx(0.05, abs=0.004)


def test_fixed_stations_stay_and_floats_drift():
    fixed, drifting = (
        SparseSampling(fraction=0.2, fixed=fixed).sample((2, 3, 1, 30, 40), generator=torch.Generator().manual_seed(0))
        for fixed in (True, False)
    )
    assert (fixed == fixed[:, :1]).all()
    assert not torch.equal(fixed[0], fixed[1])
    assert not torch.equal(drifting[:, 0], drifting[:, 1])


def test_fixed_stations_are_the_same_on_all_dates():
    stations = SparseSampling(fraction=0.2, fixed=True)
    assert torch.equal(stations.at((9, 12), 0.0, seed=1), stations.at((9, 12), 99.5, seed=1))
    assert not torch.equal(stations.at((9, 12), 0.0, seed=1), stations.at((9, 12), 0.0, seed=2))


def test_everything_may_be_observed():
    theta = SparseSampling(fraction=1.0).sample((1, 1, 1, 8, 9), generator=torch.Generator())
    assert theta.all()


@pytest.mark.parametrize("fraction", [0.0, 1.1, float("nan")])
def test_impossible_fractions(fraction):
    with pytest.raises(InputError, match=r"fraction of sparse_sampling must lie in \(0, 1\], got"):
        SparseSampling(fraction=fraction)
