"""The blur of an instrument: its adjoint, its borders, and the posterior of the field that it blurs."""

import numpy as np
import pytest
import torch
import xarray as xr

from geogan.fields.field import Field
from geogan.fields.measurement import measure
from geogan.operators.convolve import ConvolveNoise
from geogan.prior.blur import PointSpread
from geogan.prior.gaussian import GaussianPrior

# A kernel without any symmetry, and one whose transform has no zero.
LOPSIDED = PointSpread.of(torch.tensor([[0.0, 1.0, 2.0], [3.0, 5.0, 1.0], [0.0, 0.5, 0.0]]))
INVERTIBLE = PointSpread.of(torch.tensor([[0.0, 1.0, 0.0], [1.0, 12.0, 1.0], [0.0, 1.0, 0.0]]))
DAY = torch.zeros(1)


def with_land(*shape: int) -> torch.Tensor:
    domain = torch.ones(shape, dtype=torch.float64)
    domain[0, 1] = domain[-1, :2] = 0
    return domain


@pytest.mark.parametrize("is_periodic", [False, True])
def test_the_adjoint_has_the_same_products(is_periodic):
    random = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 3, 7, 5, generator=random, dtype=torch.float64)
    blur = LOPSIDED.on(with_land(7, 5), is_periodic=is_periodic)
    assert float((blur.measured(x) * y).sum()) == pytest.approx(float((x * blur.adjoint(y)).sum()), rel=1e-12)


def test_it_is_what_corrupting_a_field_does_beside_land_and_borders():
    domain = with_land(7, 9)
    x = torch.randn(domain.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    field = Field.of(xr.DataArray(np.where(domain > 0, x, np.nan), dims=("y", "x")))
    expected = measure(field, ConvolveNoise(l=3, sigma=0.0)).values
    found = PointSpread.of(torch.ones(3, 3)).on(domain).measured(x).numpy()
    np.testing.assert_allclose(np.where(domain > 0, found, np.nan), expected, atol=1e-12)


def test_a_point_does_not_blur():
    random = torch.Generator().manual_seed(2)
    values, noise = torch.randn(1, 2, 1, 8, 9, generator=random), torch.randn(2, 1, 1, 2, 1, 8, 9, generator=random)
    mask, days = (values > 0).float(), torch.tensor([0.0, 1.0])
    plain = GaussianPrior(length=5.0, noise=0.3, tilt=-0.2)
    point = GaussianPrior(length=5.0, noise=0.3, tilt=-0.2, blur=PointSpread.of(torch.ones(1, 1)))
    for exact, found in zip(
        *(prior.members(values * mask, mask, with_land(8, 9), days, noise=noise) for prior in (plain, point)),
        strict=True,
    ):
        torch.testing.assert_close(found, exact, atol=2e-4, rtol=0)


def test_the_posterior_is_the_closed_form():
    domain, random = with_land(4, 5), torch.Generator().manual_seed(3)
    cells = domain.numel()
    values, mask = torch.randn(1, 1, 1, 4, 5, generator=random, dtype=torch.float64), domain.clone()
    mask[2, 2:4] = 0
    mask = mask.expand_as(values)
    prior = GaussianPrior(length=4.0, noise=0.4, amplitude=2.0, tilt=-0.5, blur=LOPSIDED)
    # Deviations are linear in their noise: the squares of those of unit vectors add up to the variance.
    noise = torch.eye(2 * cells, dtype=torch.float64).view(2 * cells, 2, 1, 1, 1, 4, 5).transpose(0, 1)
    guess, deviations = prior.members(values * mask, mask, domain, DAY, noise=noise, tolerance=1e-10, loose=1e-10)

    units = torch.eye(cells, dtype=torch.float64).view(cells, 4, 5)
    matrix = LOPSIDED.on(domain).measured(units).flatten(1).mT[mask.flatten() > 0]
    covariance = prior.covariance(domain)
    error = (prior.noise * prior.amplitude) ** 2 * torch.eye(len(matrix))
    gain = covariance @ matrix.mT @ torch.linalg.inv(matrix @ covariance @ matrix.mT + error)
    torch.testing.assert_close(guess.flatten(), gain @ values.flatten()[mask.flatten() > 0], atol=1e-7, rtol=0)
    variance = (covariance - gain @ matrix @ covariance).diagonal()
    torch.testing.assert_close(deviations.square().sum(0).flatten(), variance, atol=1e-7, rtol=0)


@pytest.mark.parametrize("is_periodic", [False, True])
def test_without_noise_and_gaps_an_invertible_blur_is_undone(is_periodic):
    x = torch.randn(1, 1, 1, 8, 12, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    domain = with_land(8, 12)
    values = INVERTIBLE.on(domain, is_periodic=is_periodic).measured(x)
    prior = GaussianPrior(length=4.0, noise=1e-5, blur=INVERTIBLE).around(is_periodic)
    guess = prior.map(values, domain.expand_as(values), domain, DAY, tolerance=1e-6)
    torch.testing.assert_close(guess, x * domain, atol=1e-5, rtol=0)
