"""Kriging with a covariance learned from gappy dates, against dense algebra and against the truth."""

import pytest
import torch

from geogan.covariance import ArchivePrior
from geogan.gaussian import GaussianPrior
from geogan.operators.errors import InputError

HEIGHT, WIDTH = 7, 9


def crops(count, seed=0, gaps=0.4):
    """Dates on which cells of a kind do the same, wherever they lie, and what is seen of them; on a grid with land."""
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


def test_cells_of_a_kind_are_recognised():
    values, mask, domain = crops(150)
    markov = GaussianPrior(length=4.0, noise=0.1)
    learned = ArchivePrior.fit(values, mask, domain, markov, share=0.8, steady=0.0)
    new, shown, _ = crops(20, seed=1, gaps=0.6)
    error = []
    for prior in (markov, learned):
        guess = prior.map((new * shown)[:, None], shown[:, None], domain, torch.zeros(1))[:, 0]
        error.append(float(((guess - new) * (domain - shown)).square().mean()))
    assert error[1] < 0.15 * error[0]


def test_an_unusual_date_tells_its_neighbours_less():
    values, mask, domain = crops(100)
    prior = ArchivePrior.fit(values, mask, domain, GaussianPrior(length=4.0))
    film = torch.zeros(2, 2, 1, HEIGHT, WIDTH)
    film[0, 0] = film[1, 0] = domain
    film[1, 0] *= 10
    shown = torch.zeros_like(film)
    shown[:, 0] = domain
    told = prior.map(film, shown, domain, torch.tensor([0.0, 8.0]))[:, 1].mean((1, 2, 3))
    assert float(told[0]) > 0.1 and float(told[1]) < 4 * float(told[0])


def test_bands_have_covariances_of_their_own():
    values, mask, domain = crops(80)
    both, seen = torch.cat([values, values.flip(0) ** 3], 1), torch.cat([mask, mask.flip(0)], 1)
    prior = ArchivePrior.fit(both, seen, domain, GaussianPrior(length=4.0))
    alone = ArchivePrior.fit(both[:, 1:], seen[:, 1:], domain, GaussianPrior(length=4.0))
    torch.testing.assert_close(prior.covariance[1:], alone.covariance)
    film, shown = (both * seen)[None, :3], seen[None, :3]
    found = prior.map(film, shown, domain, torch.arange(3.0), tolerance=1e-6)[:, :, 1:]
    second = alone.map(film[:, :, 1:], shown[:, :, 1:], domain, torch.arange(3.0), tolerance=1e-6)
    torch.testing.assert_close(found, second, atol=1e-4, rtol=1e-4)


def test_what_has_no_covariance_is_said():
    with pytest.raises(InputError, match="70 x 70 cells is too large"):
        ArchivePrior.fit(*(torch.ones(2, 1, 70, 70),) * 2, torch.ones(70, 70), GaussianPrior())
    with pytest.raises(InputError, match="no date of the archive has been seen"):
        ArchivePrior.fit(*(torch.zeros(2, 1, 7, 7),) * 2, torch.ones(7, 7), GaussianPrior())
    with pytest.raises(InputError, match="steady of an archive's prior must lie from 0 to 1"):
        ArchivePrior(torch.eye(4)[None], steady=1.5)
