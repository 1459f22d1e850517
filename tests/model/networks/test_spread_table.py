"""The table of a Gaussian posterior: exact variances are found again, and rise with the distance to observations."""

import numpy as np
import pytest
import torch

from geogan.model.networks import SpreadTable
from geogan.prior import GaussianPrior, nearness


def exact_variance(prior, mask, domain):
    """The posterior variance of single frames by dense algebra, (N, H, W)."""
    covariance = prior.covariance(domain).numpy() / prior.amplitude**2
    found = []
    for frame in mask.reshape(len(mask), -1).bool().numpy():
        shared = covariance[:, frame]
        inner = covariance[np.ix_(frame, frame)] + prior.noise**2 * np.eye(frame.sum())
        found.append(np.diag(covariance) - np.einsum("ij,ji->i", shared, np.linalg.solve(inner, shared.T)))
    return prior.amplitude**2 * np.stack(found).reshape(mask.shape)


def patchy(count, side, seed):
    """Frames of which a half is hidden in blocks of 4 x 4 cells."""
    hidden = np.random.default_rng(seed).random((count, side // 4, side // 4)) < 0.5
    return torch.from_numpy(1.0 - np.kron(hidden, np.ones((4, 4)))).float()


def features(prior, mask):
    """Of frames so far from each other that none sees the others."""
    days = 1e6 * torch.arange(len(mask), dtype=torch.float64)
    return nearness(mask[:, None], days, prior).movedim(1, -1)


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_the_exact_spread_of_other_gaps_is_found(noise):
    prior, side = GaussianPrior(length=7.0, persistence=5.0, noise=0.1, amplitude=1.4), 24
    domain = torch.ones(side, side)
    fitted, other = patchy(12, side, 0), patchy(6, side, 1)
    variance = exact_variance(prior, fitted, domain)
    random = np.random.default_rng(2)
    drawn = variance * random.chisquare(8, variance.shape) / 8
    table = SpreadTable.fit(
        features(prior, fitted).reshape(-1, 3).numpy(), drawn.ravel(), draws=8, noise=noise, frames=1
    )
    truth = np.sqrt(exact_variance(prior, other, domain) + noise**2)
    found = table.lookup(features(prior, other)).numpy()
    gaps = other.numpy() == 0
    constant = np.full_like(found, np.sqrt(np.mean(variance[fitted.numpy() == 0]) + noise**2))
    relative, before = (np.sqrt(np.mean((guess / truth - 1)[gaps] ** 2)) for guess in (found, constant))
    assert relative < 0.15 and relative < 0.6 * before


def test_it_takes_what_the_error_network_takes():
    random = torch.Generator().manual_seed(0)
    near = torch.rand((2, 3, 6, 5, 4), generator=random)  # two bands
    table = SpreadTable(frames=3, channels=2)
    table.table.copy_(torch.randn(table.table.shape, generator=random))
    x = torch.zeros(2, 3, 2, 5, 4)
    std = table(x, x, x, x, torch.ones(2, 1, 1, 5, 4), near=near)
    for band in range(2):
        alone = table.lookup(torch.stack([near[:, :, band + 2 * part] for part in range(3)], -1))
        torch.testing.assert_close(std[:, :, band], alone)


def test_before_and_after_count_alike():
    near = np.sort(np.random.default_rng(0).random((500, 3)), 1)
    table = SpreadTable.fit(near, 1.1 - near[:, 2], draws=64, noise=0.0, frames=1)
    there, back = (torch.from_numpy(near[:, order]).float() for order in ([0, 1, 2], [0, 2, 1]))
    assert torch.equal(table.lookup(there), table.lookup(back))


def test_a_cell_without_any_others_like_it_gets_a_finite_value():
    near = np.full((50, 3), 0.9)
    table = SpreadTable.fit(near, np.full(50, 0.04), draws=64, noise=0.0, frames=1)
    everywhere = table.lookup(torch.rand(1000, 3, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(everywhere, torch.full_like(everywhere, 0.2), atol=0.01, rtol=0)
