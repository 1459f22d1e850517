"""Kriging with a covariance estimated from gappy dates agrees with dense algebra and recognises related cells."""

from dataclasses import replace

import pytest
import torch

from geogan.operators.errors import InputError
from geogan.prior.archive_covariance import ArchivePrior
from geogan.prior.gaussian import GaussianPrior

HEIGHT, WIDTH = 7, 9


def crops(count, seed=0, gaps=0.4):
    """Return values, mask and domain of dates on which all cells of one kind have one value; the grid has land."""
    random = torch.Generator().manual_seed(seed)
    kind = torch.randint(0, 4, (HEIGHT, WIDTH), generator=torch.Generator().manual_seed(7))
    values = torch.randn(count, 4, generator=random)[:, kind] + 0.1 * torch.randn(
        count, HEIGHT, WIDTH, generator=random
    )
    domain = torch.ones(HEIGHT, WIDTH)
    domain[0, :3] = 0
    mask = (torch.rand(count, HEIGHT, WIDTH, generator=random) > gaps).float() * domain
    return (values * domain)[:, None], mask[:, None], domain


@pytest.mark.parametrize("days", [[0.0], [0.0, 8.0, 40.0]])
def test_map_is_kriging(days):
    values, mask, domain = crops(60)
    dates = torch.tensor(days, dtype=torch.float64)
    prior = ArchivePrior.fit(values.double(), mask.double(), domain.double(), GaussianPrior(length=4.0), noise=0.2)
    values, mask = values[: len(days)].double(), mask[: len(days)].double()
    found = prior.map((values * mask)[None], mask[None], domain.double(), dates, tolerance=1e-9, rounds=500)[0]
    seen = mask.flatten() > 0
    size = ((values * mask).square().sum((1, 2, 3)) + 20) / (mask.sum((1, 2, 3)) + 20)
    time = 0.5 * torch.exp(-(dates[:, None] - dates).abs() / 40) + 0.5 * torch.diag(size.clamp_min(1))
    covariance = torch.kron(time.contiguous(), prior.covariance[0])
    noisy = covariance[seen][:, seen] + 0.2**2 * torch.eye(int(seen.sum()))
    expected = covariance[:, seen] @ torch.linalg.solve(noisy, values.flatten()[seen])
    torch.testing.assert_close(found.flatten(), expected, atol=1e-6, rtol=1e-6)
    assert (found[..., domain == 0] == 0).all()


def test_cells_of_one_kind_are_recognised():
    values, mask, domain = crops(150)
    markov = GaussianPrior(length=4.0, noise=0.1)
    learned = ArchivePrior.fit(values, mask, domain, markov, share=0.8, steady=0.0)
    new, shown, _ = crops(20, seed=1, gaps=0.6)
    error = []
    for prior in (markov, learned):
        guess = prior.map((new * shown)[:, None], shown[:, None], domain, torch.zeros(1))[:, 0]
        error.append(float(((guess - new) * (domain - shown)).square().mean()))
    assert error[1] < 0.15 * error[0]


def test_an_unusual_date_affects_its_neighbours_less():
    values, mask, domain = crops(100)
    prior = ArchivePrior.fit(values, mask, domain, GaussianPrior(length=4.0))
    film = torch.zeros(2, 2, 1, HEIGHT, WIDTH)
    film[0, 0] = film[1, 0] = domain
    film[1, 0] *= 10
    shown = torch.zeros_like(film)
    shown[:, 0] = domain
    filled = prior.map(film, shown, domain, torch.tensor([0.0, 8.0]))[:, 1].mean((1, 2, 3))
    assert float(filled[0]) > 0.1 and float(filled[1]) < 4 * float(filled[0])


def test_each_band_has_its_own_covariance():
    values, mask, domain = crops(80)
    both, seen = torch.cat([values, values.flip(0) ** 3], 1), torch.cat([mask, mask.flip(0)], 1)
    prior = ArchivePrior.fit(both, seen, domain, GaussianPrior(length=4.0))
    alone = ArchivePrior.fit(both[:, 1:], seen[:, 1:], domain, GaussianPrior(length=4.0))
    torch.testing.assert_close(prior.covariance[1:], alone.covariance)
    film, shown = (both * seen)[None, :3], seen[None, :3]
    found = prior.map(film, shown, domain, torch.arange(3.0), tolerance=1e-6)[:, :, 1:]
    second = alone.map(film[:, :, 1:], shown[:, :, 1:], domain, torch.arange(3.0), tolerance=1e-6)
    torch.testing.assert_close(found, second, atol=1e-4, rtol=1e-4)


def test_archives_without_a_covariance_are_refused():
    with pytest.raises(InputError, match="70 x 70 cells is too large"):
        ArchivePrior.fit(*(torch.ones(2, 1, 70, 70),) * 2, torch.ones(70, 70), GaussianPrior())
    with pytest.raises(InputError, match="the archive has no observation"):
        ArchivePrior.fit(*(torch.zeros(2, 1, 7, 7),) * 2, torch.ones(7, 7), GaussianPrior())
    with pytest.raises(InputError, match="steady of an archive's prior must lie from 0 to 1"):
        ArchivePrior(torch.eye(4)[None], steady=1.5)


def test_members_are_draws_of_the_posterior():
    """Their covariance between cells and dates agrees with dense algebra."""
    values, mask, domain = (part.double() for part in crops(60))
    dates = torch.tensor([0.0, 8.0], dtype=torch.float64)
    prior = ArchivePrior.fit(values, mask, domain, GaussianPrior(length=4.0), noise=0.3)
    prior = replace(prior, amplitude=2.0)
    values, mask = (values * mask)[:2], mask[:2]
    random = torch.Generator().manual_seed(0)
    # Each batch entry draws one member.
    noise = torch.randn((2, 1, 2000, *values.shape), generator=random, dtype=torch.float64)
    batch = (part.expand(2000, -1, -1, -1, -1) for part in (values, mask))
    guess, deviations = prior.members(*batch, domain, dates, noise=noise, tolerance=1e-6, loose=1e-6, rounds=400)
    mean = prior.map(values[None], mask[None], domain, dates, tolerance=1e-6, rounds=400)
    torch.testing.assert_close(guess[:1], mean, atol=1e-5, rtol=1e-4)
    seen = mask.flatten() > 0
    size = ((values.square().sum((1, 2, 3)) + 20) / (mask.sum((1, 2, 3)) + 20)).clamp_min(1)
    time = 0.5 * torch.exp(-(dates[:, None] - dates).abs() / 40) + 0.5 * torch.diag(size)
    covariance = torch.kron(time.contiguous(), prior.covariance[0])
    noisy = covariance[seen][:, seen] + 0.3**2 * torch.eye(int(seen.sum()))
    posterior = covariance - covariance[:, seen] @ torch.linalg.solve(noisy, covariance[seen])
    drawn = deviations.view(2000, -1)
    torch.testing.assert_close(drawn.T @ drawn / 2000, 4 * posterior, atol=0.5, rtol=0)
    torch.testing.assert_close(drawn.square().mean(0), 4 * posterior.diagonal(), atol=0.05, rtol=0.16)
    assert (deviations[..., domain == 0] == 0).all()


def test_an_uncertain_observation_counts_less():
    values, mask, domain = crops(60)
    prior = ArchivePrior.fit(values, mask, domain, GaussianPrior(length=4.0), noise=0.1)
    film, shown, date = (values * mask)[None, :1], mask[None, :1], torch.zeros(1)
    sure = prior.map(film, shown, domain, date, uncertainty=torch.zeros_like(film))
    torch.testing.assert_close(sure, prior.map(film, shown, domain, date))
    noisier = replace(prior, noise=0.5).map(film, shown, domain, date)
    same = prior.map(film, shown, domain, date, uncertainty=torch.full_like(film, (0.5**2 - 0.1**2) ** 0.5))
    torch.testing.assert_close(same, noisier, atol=1e-4, rtol=1e-3)


def test_without_a_tolerance_the_residual_is_never_read():
    """A training step must not wait for an accelerator. Tensors on "meta" have no values to read."""
    values, mask, domain = crops(60)
    prior = ArchivePrior.fit(values, mask, domain, GaussianPrior(length=4.0))
    parts = [part.to("meta") for part in ((values * mask)[None], mask[None], domain, 8.0 * torch.arange(60.0))]
    assert prior.map(*parts, tolerance=0.0, rounds=2).shape == values[None].shape
    with pytest.raises(RuntimeError, match="meta"):
        prior.map(*parts, rounds=2)


def test_a_part_of_the_grid_and_a_batch():
    values, mask, domain = crops(60)
    prior = ArchivePrior.fit(values, mask, domain, GaussianPrior(length=4.0))
    assert prior.part(slice(0, HEIGHT), slice(0, WIDTH), (HEIGHT, WIDTH)) is prior
    y, x = slice(2, 7), slice(1, 6)
    # Nothing is observed outside the part, so the whole grid gives the same result.
    shown = torch.zeros_like(mask)
    shown[..., y, x] = mask[..., y, x]
    film, days = (values * shown).view(12, 5, 1, HEIGHT, WIDTH), 8.0 * torch.arange(5.0)
    whole = prior.map(film, shown.view_as(film), domain, days, tolerance=1e-6)
    part = prior.part(y, x, (HEIGHT, WIDTH))
    inside = (film[..., y, x], shown.view_as(film)[..., y, x])
    torch.testing.assert_close(
        part.map(*inside, domain[y, x], days, tolerance=1e-6), whole[..., y, x], atol=1e-4, rtol=1e-3
    )
    batched = part.map(*inside, domain[y, x].expand(12, -1, -1), days.expand(12, -1), tolerance=1e-6)
    torch.testing.assert_close(batched, whole[..., y, x], atol=1e-4, rtol=1e-3)
