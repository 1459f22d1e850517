"""A prior that knows its place: its posterior is that of dense matrices, on windows as on the whole grid."""

from dataclasses import replace

import pytest
import torch

from geogan.operators.errors import InputError
from geogan.prior import GaussianPrior
from geogan.prior.local import LocalPrior

HEIGHT, WIDTH = 9, 10


def some_prior(dtype=torch.float64, *, modes: int = 2, detail: float = 1.0) -> LocalPrior:
    """Return a prior whose couplings, gains and modes are random."""
    random = torch.Generator().manual_seed(1)
    maps = torch.rand((1, 3, HEIGHT, WIDTH), generator=random) * 2 + 0.4
    patterns = torch.randn((1, modes, HEIGHT, WIDTH), generator=random)
    return LocalPrior(
        maps.to(dtype),
        patterns.to(dtype),
        mode_persistence=4.0,
        length=5.0,
        persistence=2.0,
        noise=0.2,
        aspect=1.3,
        detail=detail,
        amplitude=1.7,
    )


def observations(dtype=torch.float64):
    """Return values, mask, domain and uneven days; nothing is observed on the third date."""
    random = torch.Generator().manual_seed(2)
    days = torch.tensor([0.0, 1.0, 2.5, 3.0, 7.0], dtype=torch.float64)
    domain = torch.ones(HEIGHT, WIDTH, dtype=dtype)
    domain[:3, :2] = 0
    mask = (torch.rand((1, 5, 1, HEIGHT, WIDTH), generator=random) < 0.4).to(dtype) * domain
    mask[:, 2] = 0
    values = torch.randn(mask.shape, generator=random).to(dtype) * mask
    return values, mask, domain, days


def dense_posterior(prior: LocalPrior, values, mask, domain, days):
    """Return mean and variance of all cells and dates from dense matrices."""
    markov = replace(prior, modes=prior.modes[:, :0]).covariance(domain)
    modes = (prior.covariance(domain) - markov).contiguous()
    apart = (days[:, None] - days).abs()
    covariance = torch.kron(torch.exp(-apart / prior.persistence), markov.contiguous())
    covariance += torch.kron(torch.exp(-apart / prior.mode_persistence), modes)
    seen = torch.nonzero(mask.flatten())[:, 0]
    observed = covariance[seen][:, seen] + (prior.noise * prior.amplitude) ** 2 * torch.eye(len(seen))
    weights = torch.linalg.solve(observed, covariance[seen])
    mean = values.double().flatten()[seen] @ weights
    return mean, covariance.diagonal() - (covariance[:, seen] * weights.mT).sum(1)


@pytest.mark.parametrize("detail", [1.0, 0.3])
def test_mean_is_that_of_dense_matrices(detail):
    prior, observed = some_prior(detail=detail), observations()
    mean, _ = dense_posterior(prior, *observed)
    assert torch.allclose(prior.map(*observed, tolerance=1e-9).flatten(), mean, atol=1e-6)


def test_members_have_the_spread_of_dense_matrices():
    prior, (values, mask, domain, days) = some_prior(torch.float32), observations(torch.float32)
    count = 200
    noise = torch.randn((2, 1, count, *values.shape[1:]), generator=torch.Generator().manual_seed(3))
    many = (part.expand(count, *part.shape[1:]) for part in (values, mask))
    guess, deviations = prior.members(*many, domain, days, noise=noise, tolerance=1e-5, loose=1e-4)
    guess, deviations = guess[0], deviations[0]
    mean, variance = dense_posterior(prior, values, mask, domain.double(), days)
    inside = domain.flatten().repeat(len(days)) > 0
    ratio = deviations.double().square().mean(0).flatten()[inside] / variance[inside]
    assert torch.allclose(guess.double().flatten(), mean, atol=1e-3)
    assert float(ratio.mean()) == pytest.approx(1, abs=0.05)
    # The variance of a variance from so many draws.
    assert float(ratio.std()) < 1.5 * (2 / count) ** 0.5


def test_without_maps_and_modes_it_is_the_stationary_field():
    values, mask, domain, days = observations()
    markov = GaussianPrior(length=5.0, persistence=2.0, noise=0.2, aspect=1.3, detail=0.5)
    maps = torch.ones(1, 3, HEIGHT, WIDTH)
    prior = LocalPrior(maps, maps[:, :0], 1.0, length=5.0, persistence=2.0, noise=0.2, aspect=1.3, detail=0.5)
    both = (each.map(values, mask, domain, days, tolerance=1e-9) for each in (prior, markov))
    assert torch.allclose(*both, atol=1e-6)
    assert torch.allclose(prior.covariance(domain), markov.covariance(domain))


def test_bands_have_maps_and_modes_of_their_own():
    first, second = some_prior(), some_prior(detail=1.0)
    second = replace(second, maps=second.maps.flip(-1), modes=second.modes.flip(-2))
    values, mask, domain, days = observations()
    joined = replace(first, maps=torch.cat([first.maps, second.maps]), modes=torch.cat([first.modes, second.modes]))
    both = joined.map(torch.cat([values] * 2, 2), torch.cat([mask] * 2, 2), domain, days, tolerance=1e-9)
    for band, prior in enumerate((first, second)):
        alone = prior.map(values, mask, domain, days, tolerance=1e-9)
        assert torch.allclose(both[:, :, [band]], alone, atol=1e-6)


def test_windows_of_a_batch_know_their_places():
    prior, (values, mask, _, days) = some_prior(), observations()
    place, size = torch.tensor([[0, 2], [3, 7]]), (5, 6)
    windows = prior.at(place, size)
    batch, shown = values[:, :, :, :5, :6].repeat(2, 1, 1, 1, 1), mask[:, :, :, :5, :6].repeat(2, 1, 1, 1, 1)
    filled = windows.map(batch, shown, torch.ones(size), days, tolerance=1e-9)
    for number, (row, column) in enumerate(place.tolist()):
        # The second window goes across the seam.
        part = prior.part(slice(row, row + 5), slice(column, column + 6), (HEIGHT, WIDTH))
        alone = part.map(batch[:1], shown[:1], torch.ones(size), days, tolerance=1e-9)
        assert torch.allclose(filled[[number]], alone, atol=1e-6)
    assert not torch.allclose(filled[0], filled[1], atol=1e-2)


def test_a_grid_that_goes_round_the_globe_may_begin_anywhere():
    prior, (values, mask, domain, days) = some_prior().around(True), observations()
    turned = prior.part(slice(0, HEIGHT), slice(4, 4 + WIDTH), (HEIGHT, WIDTH))
    filled = prior.map(values, mask, domain, days, tolerance=1e-9)
    moved = turned.map(*(part.roll(-4, -1) for part in (values, mask, domain)), days, tolerance=1e-9)
    assert torch.allclose(moved, filled.roll(-4, -1), atol=1e-6)


def test_uncertain_observations_count_less():
    prior, (values, mask, domain, days) = some_prior(), observations()
    error = torch.full_like(values, 0.5)
    noisy = replace(prior, noise=(prior.noise**2 + (0.5 / prior.amplitude) ** 2) ** 0.5)
    known = prior.map(values, mask, domain, days, tolerance=1e-9, uncertainty=error)
    assert torch.allclose(known, noisy.map(values, mask, domain, days, tolerance=1e-9), atol=1e-6)


def test_noise_of_the_coefficients_may_be_given():
    prior, (values, _, domain, days) = some_prior(torch.float32), observations(torch.float32)
    prior = replace(prior, maps=prior.maps * torch.tensor([1.0, 1.0, 0.05])[:, None, None])
    noise = torch.randn((2, 1, *values.shape), generator=torch.Generator().manual_seed(3))
    draws = torch.randn((1, 1, len(days), 1, 2), generator=torch.Generator().manual_seed(4))
    drawn = prior.with_draws(lambda count: draws[..., :count])
    parts = []
    for x in (slice(0, 7), slice(3, 10)):
        tile, y = drawn.part(slice(0, HEIGHT), x, (HEIGHT, WIDTH)), slice(0, HEIGHT)
        nothing = torch.zeros_like(values[..., y, x])
        parts.append(tile.members(nothing, nothing, domain[y, x], days, noise=noise[..., y, x], loose=1e-4)[1])
    # Without observations nearly all of a deviation is that of the modes, the same in every tile.
    assert float((parts[0][..., 3:] - parts[1][..., :4]).std()) < 0.2
    assert float(parts[0].std()) > 0.5


def test_parts_that_do_not_belong_together_are_refused():
    prior = some_prior()
    with pytest.raises(InputError, match="must have the shape"):
        replace(prior, modes=prior.modes[..., 1:])
    with pytest.raises(InputError, match="mode_persistence of a local prior must be positive"):
        replace(prior, mode_persistence=0.0)
    with pytest.raises(InputError, match="noise of a Gaussian prior"):
        replace(prior, noise=-1.0)
