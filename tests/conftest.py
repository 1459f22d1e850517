"""A small sea that several tests look at: unequal sides, a coast, an island, uneven dates, clouds that stay."""

import dataclasses

import numpy as np
import pytest
import torch

import geogan
from geogan.gaussian import GaussianPrior
from geogan.synthetic import synthetic_sst


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def sea():
    """Thirty uneven dates of 20 x 24 cells, no clouds; ``sst`` and ``sea_mask``."""
    dates = np.delete(np.arange(36), [3, 4, 11, 19, 20, 30])
    return synthetic_sst(days=36, size=(20, 24), seed=2).isel(time=dates)


@pytest.fixture(scope="session")
def truth(sea):
    return sea["sst"]


@pytest.fixture(scope="session")
def domain(sea):
    return sea["sea_mask"].values == 1


@pytest.fixture(scope="session")
def gappy(truth):
    return geogan.corrupt(truth, "cloud_mask:coverage=0.45,spread=0.2,scale=5,persistence=2", seed=1)


@pytest.fixture(scope="session")
def prior():
    return GaussianPrior(length=6.0, persistence=8.0, noise=0.05)


@pytest.fixture
def quick(monkeypatch, prior):
    """The search for the first guess's parameters, which takes seconds, left out; few blocks."""
    monkeypatch.setattr("geogan.reconstructor.BLOCKS", 2)
    for room in ("preparation", "scene"):
        monkeypatch.setattr(f"geogan.{room}.fit_prior", lambda pieces, **_: prior)


@pytest.fixture(scope="session")
def reconstructor(gappy, domain, prior):
    """A few steps of training, then a last layer that is far from nothing, so that the network counts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("geogan.preparation.fit_prior", lambda pieces, **_: prior)
        fitted = geogan.Reconstructor(
            "cloud_mask:scale=5", window=1, width=4, crop=16, batch=2, steps=2, precision="float32", threads=1
        ).fit(gappy, domain=domain)
    leave = fitted.model_.network.leave
    torch.nn.init.normal_(leave.weight, std=0.3, generator=torch.Generator().manual_seed(0))
    return fitted


@pytest.fixture(scope="session")
def model(reconstructor):
    return reconstructor.model_


@pytest.fixture(scope="session")
def bare(model):
    """The network without a first guess before it: what it says has a finite reach."""
    return dataclasses.replace(model, prior=None)
