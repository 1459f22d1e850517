"""The predicted error is that of the posterior plus the noise, with and without a network, after few steps too."""

import numpy as np
import pytest
import torch
import xarray as xr
from runs import make_reconstructor
from scipy.ndimage import distance_transform_edt

import geogan
from geogan.prior import GaussianPrior

SHAPE = (24, 28)
CLOUDS = "cloud_mask:coverage=0.4,spread=0.1,scale=6"
WITHOUT, SHORT = {"network": None}, {"width": 4, "window": 1, "blocks": 2, "crop": 24, "batch": 2, "steps": 2}


def labelled(values):
    """Return values as a field of daily maps."""
    days = np.datetime64("2020-01-01", "ns") + np.arange(len(values)) * np.timedelta64(1, "D")
    return xr.DataArray(np.asarray(values, np.float32), dims=("time", "y", "x"), coords={"time": days}, name="field")


def drawn(prior, count=14):
    """Draw a field of the prior, with its noise."""
    random = torch.Generator().manual_seed(3)
    none = torch.zeros(1, count, 1, *SHAPE)
    field = prior.sample(none, none, torch.ones(SHAPE), torch.arange(count, dtype=torch.float64), generator=random)
    field = field + prior.noise * prior.amplitude * torch.randn(field.shape, generator=random)
    return labelled(field[0, :, 0].numpy())


def filled(truth, prior, seed=0, **settings):
    """Return the gappy field and its product."""
    gappy = geogan.corrupt(truth, CLOUDS, seed=seed)
    return gappy, make_reconstructor(first_guess=prior, **settings).fit(gappy).fill(gappy)


@pytest.mark.parametrize("settings", [WITHOUT, SHORT], ids=["without a network", "two steps"])
def test_white_noise_has_an_error_of_one_standard_deviation(settings):
    truth = labelled(5 + 2 * np.random.default_rng(0).normal(size=(14, *SHAPE)))
    # The field's amplitude and noise, if the noise is all of its variance.
    prior = GaussianPrior(length=12.0, persistence=5.0, noise=3.0, amplitude=0.33)
    gappy, product = filled(truth, prior, **settings)
    hidden = gappy.isnull().values
    error = (product.field - truth).values[hidden]
    ratio = np.sqrt(np.mean(product.field_std.values[hidden] ** 2) / np.mean(error**2))
    assert 0.9 < ratio < 1.1
    assert 0.85 < np.mean(np.abs(error) < 1.645 * product.field_std.values[hidden]) < 0.95


@pytest.mark.parametrize("settings", [WITHOUT, SHORT], ids=["without a network", "two steps"])
def test_with_few_steps_the_error_follows_the_posterior(settings):
    prior = GaussianPrior(length=9.0, persistence=3.0, noise=0.2)
    gappy, product = filled(drawn(prior), prior, **settings)
    mask = torch.from_numpy(gappy.notnull().values)[None, :, None].float()
    noise = torch.randn((2, 64, *mask.shape), generator=torch.Generator().manual_seed(0))
    days = torch.arange(len(gappy), dtype=torch.float64)
    _, deviations = prior.members(0 * mask, mask, torch.ones(SHAPE), days, noise=noise)
    exact = (deviations.square().mean(0)[0, :, 0] + prior.noise**2).sqrt().numpy()
    hidden = gappy.isnull().values
    ratio = product.field_std.values[hidden] / exact[hidden]
    assert ratio.std() / ratio.mean() < 0.15 and np.std(np.log(exact[hidden])) > 0.2
    # It is no constant: it rises with the distance to observations.
    away = np.stack([distance_transform_edt(part) for part in hidden])[hidden]
    std = product.field_std.values[hidden]
    assert std[away >= 4].mean() > 1.2 * std[away == 1].mean()
