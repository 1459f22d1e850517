"""The posterior mean and draws of the Gaussian prior agree with dense linear algebra and with the Bayes limit."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geogan.operators.errors import InputError
from geogan.prior import multigrid
from geogan.prior.gaussian import GaussianPrior


def island(height: int, width: int) -> torch.Tensor:
    domain = torch.ones(height, width, dtype=torch.float64)
    domain[1 : height // 2, width // 3 : width // 2 + 1] = 0
    domain[-1, :2] = 0
    return domain


def dense_laplacian(domain: torch.Tensor, aspect: float = 1.0, tilt: float = 0.0) -> torch.Tensor:
    """Return the Laplacian of the graph of the domain's cells, written out edge by edge."""
    height, width = domain.shape
    laplacian = torch.zeros(height * width, height * width, dtype=torch.float64)
    unit = math.sqrt((aspect + abs(tilt)) * (1 / aspect + abs(tilt)) - tilt**2)
    for y in range(height):
        for x in range(width):
            diagonal = (y + 1, x + 1 if tilt > 0 else x - 1, abs(tilt))
            for v, u, coupling in ((y + 1, x, 1 / aspect), (y, x + 1, aspect), diagonal):
                coupling /= unit
                if v < height and 0 <= u < width and domain[y, x] and domain[v, u] and (domain[v, x] or domain[y, u]):
                    a, b = y * width + x, v * width + u
                    laplacian[a, a] += coupling
                    laplacian[b, b] += coupling
                    laplacian[a, b] -= coupling
                    laplacian[b, a] -= coupling
    return laplacian


def dense_covariance(prior: GaussianPrior, domain: torch.Tensor, days: torch.Tensor) -> torch.Tensor:
    """Return the prior covariance of the domain's cells, dates outermost."""
    cells = domain.flatten() > 0
    wave = 2 - 2 * torch.cos(2 * math.pi * torch.arange(512).double() / 512)
    precision, unit = torch.eye(int(cells.sum())).double(), torch.ones(512, 512).double()
    for length in (prior.length, prior.detail * prior.length):
        root = dense_laplacian(domain, prior.aspect, prior.tilt)[cells][:, cells] + 8 / length**2 * torch.eye(
            int(cells.sum())
        )
        precision, unit = precision @ root, unit / (8 / length**2 + wave[:, None] + wave)
    space = torch.linalg.inv(precision) / unit.mean()
    time = torch.exp(-(days[:, None] - days).abs() / prior.persistence)
    return torch.kron(time.contiguous(), space.contiguous())


@pytest.mark.parametrize("days", [[0.0], [0.0, 1.0, 2.0], [3.0, 3.5, 9.0, 10.0]])
@pytest.mark.parametrize("kind", [{}, {"aspect": 2.0}, {"detail": 0.3, "tilt": -0.8}, {"detail": 0.02, "tilt": 1.5}])
def test_map_is_kriging_with_the_same_covariance(days, kind):
    prior = GaussianPrior(length=5.0, persistence=3.0, noise=0.2, **kind)
    domain, dates = island(9, 7), torch.tensor(days, dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    shape = (1, len(days), 1, 9, 7)
    mask = (torch.rand(shape, generator=generator) < 0.4).double() * domain
    values = torch.randn(shape, generator=generator, dtype=torch.float64) * mask
    cells = domain.flatten() > 0
    seen = mask.flatten(2).flatten(1)[0].reshape(len(days), -1)[:, cells].flatten() > 0
    y = values.reshape(len(days), -1)[:, cells].flatten()[seen]
    covariance = dense_covariance(prior, domain, dates)
    gain = covariance[:, seen] @ torch.linalg.inv(
        covariance[seen][:, seen] + prior.noise**2 * torch.eye(int(seen.sum())).double()
    )
    expected = gain @ y
    found = prior.map(values, mask, domain, dates, tolerance=1e-8).reshape(len(days), -1)[:, cells].flatten()
    assert torch.allclose(found, expected, atol=1e-5)
    single = prior.map(values.float(), mask.float(), domain, dates, tolerance=1e-5)
    assert (single.reshape(len(days), -1)[:, cells].flatten() - expected).abs().max() < 1e-3


@pytest.mark.parametrize("kind", [{}, {"detail": 0.3, "tilt": -0.8, "aspect": 1.5}])
def test_the_covariance_is_that_of_the_graph(kind):
    prior, domain = GaussianPrior(length=5.0, **kind), island(9, 7)
    cells = domain.flatten() > 0
    covariance = prior.covariance(domain)
    expected = dense_covariance(prior, domain, torch.zeros(1))
    torch.testing.assert_close(covariance[cells][:, cells], expected, rtol=1e-4, atol=1e-6)
    assert (covariance[~cells] == 0).all() and (covariance[:, ~cells] == 0).all()


@pytest.mark.parametrize("kind", [{}, {"detail": 0.25}, {"detail": 0.4, "aspect": 1.5, "tilt": -0.7}])
def test_samples_have_the_posterior_mean_and_covariance(kind):
    prior = GaussianPrior(length=4.0, persistence=2.0, noise=0.5, **kind)
    domain, dates = island(6, 5), torch.tensor([0.0, 1.5], dtype=torch.float64)
    mask = torch.zeros(1, 2, 1, 6, 5, dtype=torch.float64)
    mask[:, 0, :, :3] = domain[:3]
    values = mask * 0.8
    cells = domain.flatten() > 0
    covariance = dense_covariance(prior, domain, dates)
    seen = mask.reshape(2, -1)[:, cells].flatten() > 0
    noisy = covariance[seen][:, seen] + prior.noise**2 * torch.eye(int(seen.sum())).double()
    posterior = covariance - covariance[:, seen] @ torch.linalg.inv(noisy) @ covariance[seen]
    many = 1500
    generator = torch.Generator().manual_seed(0)
    draws = prior.sample(
        values.expand(many, -1, -1, -1, -1),
        mask.expand(many, -1, -1, -1, -1),
        domain,
        dates,
        generator=generator,
        tolerance=1e-6,
    )
    draws = draws.reshape(many, 2, -1)[:, :, cells].flatten(1)
    mean = prior.map(values, mask, domain, dates, tolerance=1e-8).reshape(2, -1)[:, cells].flatten()
    spread = posterior.diagonal().sqrt()
    assert ((draws.mean(0) - mean) / spread * math.sqrt(many)).abs().max() < 4.5
    # Standard error of a covariance of two unit normals: sqrt(2 / many) at most.
    scaled = (torch.cov(draws.T) - posterior) / (spread[:, None] * spread)
    assert scaled.abs().max() < 5 * math.sqrt(2 / many)


def test_error_reaches_the_bayes_limit_on_gaussian_fields():
    """With the true parameters, on a field that is far larger than the observed part, the ratio is 1.00."""
    prior = GaussianPrior(length=8.0, persistence=4.0, noise=0.1)
    size, inner, frames, count = 48, 32, 2, 32
    generator = torch.Generator().manual_seed(3)
    none = torch.zeros(count, frames, 1, size, size)
    dates = torch.arange(float(frames), dtype=torch.float64)
    fields = prior.sample(none, none, torch.ones(size, size), dates, generator=generator, tolerance=1e-5)
    lo = (size - inner) // 2
    fields = fields[..., lo : lo + inner, lo : lo + inner].double()
    smooth = torch.nn.functional.avg_pool2d(torch.randn(frames, 1, inner + 6, inner + 6, generator=generator), 7, 1)
    mask = (smooth > 0).double()[None].expand_as(fields)
    noise = prior.noise * torch.randn(fields.shape, generator=generator, dtype=torch.float64)
    found = prior.map((fields + noise) * mask, mask, torch.ones(inner, inner), dates, tolerance=1e-5)
    # The exact solution is kriging with the covariance of the middle of the large field.
    covariance = dense_covariance(prior, torch.ones(size, size).double(), dates[:1])
    place = (torch.arange(size) >= lo) & (torch.arange(size) < lo + inner)
    middle = (place[:, None] & place).flatten()
    time = torch.exp(-(dates[:, None] - dates).abs() / prior.persistence)
    covariance = torch.kron(time, covariance[middle][:, middle].contiguous())
    seen = mask[0].flatten() > 0
    gain = torch.linalg.solve(
        covariance[seen][:, seen] + prior.noise**2 * torch.eye(int(seen.sum())).double(), covariance[seen]
    ).T
    limit = ((fields + noise).flatten(1)[:, seen] @ gain.T).reshape(fields.shape)
    hidden = mask == 0
    ratio = ((found - fields)[hidden].square().mean() / (limit - fields)[hidden].square().mean()).sqrt()
    assert float(ratio) == pytest.approx(1.0, abs=0.01)


def test_observations_beyond_land_have_no_effect():
    domain = torch.ones(10, 11)
    domain[:, 5] = 0
    mask = torch.zeros(2, 1, 1, 10, 11)
    mask[..., 2:5, 1:3] = 1
    mask[1, ..., 2:5, 7:9] = 1
    prior = GaussianPrior(length=30.0, noise=0.1)
    values = mask.clone()
    values[..., 6:] = 5.0 * mask[..., 6:]
    found = prior.map(values, mask, domain, torch.zeros(1), tolerance=1e-6)
    assert torch.allclose(found[0, ..., :5], found[1, ..., :5], atol=1e-4)
    assert (found[..., 5] == 0).all()
    assert found[0, ..., 6:].abs().max() < 1e-3


def test_batch_entries_may_have_different_domains_and_dates():
    generator = torch.Generator().manual_seed(0)
    prior = GaussianPrior(length=6.0, persistence=2.0, noise=0.1)
    shape = (3, 4, 1, 12, 9)
    domain = (torch.rand(3, 12, 9, generator=generator) < 0.9).float()
    dates = torch.rand(3, 4, generator=generator, dtype=torch.float64).cumsum(1) * 3
    mask = (torch.rand(shape, generator=generator) < 0.5).float() * domain[:, None, None]
    values = torch.randn(shape, generator=generator) * mask
    together = prior.map(values, mask, domain, dates, tolerance=1e-6)
    for b in range(3):
        alone = prior.map(values[b : b + 1], mask[b : b + 1], domain[b], dates[b], tolerance=1e-6)
        assert torch.allclose(together[b], alone[0], atol=1e-3)


@settings(deadline=None, max_examples=15)
@given(
    height=st.integers(6, 19),
    width=st.integers(6, 19),
    detail=st.sampled_from([1.0, 0.1]),
    tilt=st.sampled_from([0.0, 0.7]),
    seed=st.integers(0, 99),
)
def test_the_cycle_is_symmetric_and_positive(height, width, detail, tilt, seed):
    """Otherwise it could not precondition conjugate gradients."""
    generator = torch.Generator().manual_seed(seed)
    domain = (torch.rand(height, width, generator=generator) < 0.8).double()
    mask = (torch.rand(1, 3, 1, height, width, generator=generator) < 0.5).double() * domain
    system = GaussianPrior(length=9.0, noise=0.1, detail=detail, tilt=tilt).system(
        mask[:, :, 0], domain, torch.arange(3.0)
    )
    a, b = (torch.randn(1, 3, height, width, generator=generator, dtype=torch.float64) * domain for _ in range(2))
    cycled_a, cycled_b = (multigrid.cycle(system, x, multigrid.workspaces(system, x)) for x in (a, b))
    assert float((cycled_a * b).sum()) == pytest.approx(float((cycled_b * a).sum()), rel=1e-9, abs=1e-9)
    assert not domain.any() or float((cycled_a * a).sum()) > 0
    assert (cycled_a * (1 - domain) == 0).all()


@pytest.mark.parametrize("kind", [{}, {"detail": 0.05}, {"tilt": -1.0, "detail": 0.2}])
def test_the_number_of_iterations_does_not_grow_with_the_grid(kind):
    prior = GaussianPrior(length=20.0, persistence=5.0, noise=0.1, **kind)
    worst = []
    for size in (32, 96):
        generator = torch.Generator().manual_seed(0)
        blobs = torch.nn.functional.interpolate(
            torch.randn(1, 6, size // 8, size // 8, generator=generator), scale_factor=8
        )
        mask = (blobs > 0).double()[:, :, None]
        values = torch.randn(mask.shape, generator=generator, dtype=torch.float64) * mask
        dates = torch.arange(6.0)
        exact = prior.map(values, mask, torch.ones(size, size), dates, tolerance=1e-9, rounds=200)
        quick = prior.map(values, mask, torch.ones(size, size), dates, rounds=20)
        worst.append(float((quick - exact).square().mean().sqrt() / exact.square().mean().sqrt()))
    assert worst[0] < 0.02
    assert worst[1] < 2 * worst[0]


def test_the_solver_starts_from_the_given_field():
    mask = torch.ones(1, 2, 1, 12, 12)
    mask[..., 4:9, 3:9] = 0
    values = torch.randn(mask.shape, generator=torch.Generator().manual_seed(0)) * mask
    prior = GaussianPrior(length=8.0)
    solved = prior.map(values, mask, torch.ones(12, 12), torch.arange(2.0), tolerance=1e-6)
    kept = prior.map(values, mask, torch.ones(12, 12), torch.arange(2.0), start=solved, rounds=0)
    assert torch.equal(kept, solved)


def test_bands_are_independent():
    mask = torch.ones(2, 3, 2, 8, 8)
    mask[..., :4, :] = 0
    values = torch.randn(mask.shape, generator=torch.Generator().manual_seed(0)) * mask
    prior = GaussianPrior(length=8.0)
    both = prior.map(values, mask, torch.ones(8, 8), torch.arange(3.0), tolerance=1e-6)
    second = prior.map(values[:, :, 1:], mask[:, :, 1:], torch.ones(8, 8), torch.arange(3.0), tolerance=1e-6)
    assert torch.allclose(both[:, :, 1:], second, atol=1e-4)


def test_members_do_not_depend_on_where_a_tile_begins():
    """The noise of an edge depends on its cell only."""
    prior, noise = GaussianPrior(length=6.0, noise=0.1, detail=0.3), torch.randn(2, 1, 1, 1, 1, 24, 40)
    mask, day = torch.ones(1, 1, 1, 24, 40), torch.zeros(1)
    mask[..., 8:14, 24:30] = 0
    whole = prior.members(mask, mask, torch.ones(24, 40), day, noise=noise, loose=1e-5)[1]
    part = slice(8, None)
    cut = prior.members(
        mask[..., part], mask[..., part], torch.ones(24, 32), day, noise=noise[..., part].contiguous(), loose=1e-5
    )[1]
    assert (whole[..., 24:30] - cut[..., 16:22]).abs().max() < 0.02 * whole[..., 8:14, 24:30].std()


@pytest.mark.parametrize("kind", [{"detail": 1.5}, {"tilt": math.inf}])
def test_detail_and_tilt_out_of_range(kind):
    with pytest.raises(InputError, match="detail of a Gaussian prior must be at most 1 and tilt finite"):
        GaussianPrior(**kind)


@pytest.mark.parametrize("name", ["length", "persistence", "noise", "aspect", "detail"])
def test_parameters_out_of_range(name):
    with pytest.raises(InputError, match=f"{name} of a Gaussian prior must be positive"):
        GaussianPrior(**{name: 0.0})


@pytest.mark.parametrize("start", [False, True])
def test_independent_frames_are_solved_as_batch_entries(start):
    generator = torch.Generator().manual_seed(3)
    values = torch.randn(2, 5, 3, 12, 10, generator=generator)
    mask = (torch.rand(values.shape, generator=generator) < 0.4).float()
    domain, prior = torch.ones(12, 10), GaussianPrior(5.0, 2.0, 0.2)
    first = torch.zeros_like(values) if start else None
    together = prior.map(values * mask, mask, domain, torch.arange(5.0) * 1e6, tolerance=1e-6, start=first)
    for frame in range(5):
        part = slice(frame, frame + 1)
        alone = prior.map((values * mask)[:, part], mask[:, part], domain, torch.zeros(1), tolerance=1e-6)
        torch.testing.assert_close(together[:, part], alone, atol=1e-4, rtol=1e-4)
    near = prior.map(values * mask, mask, domain, torch.arange(5.0), tolerance=1e-6)
    assert (near - together).abs().max() > 0.05
