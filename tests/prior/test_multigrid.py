"""The solver on a grid that goes round the globe: compiled kernels, torch and dense matrices agree."""

import pytest
import torch

from geogan.prior import multigrid
from geogan.prior.gaussian import GaussianPrior

SIZES = [(9, 12), (9, 13), (7, 11), (20, 22), (6, 3), (18, 48)]


def system(height: int, width: int, *, tilt: float = 0.4, seed: int = 0) -> multigrid.System:
    """Return a small periodic system with land, in float64."""
    random = torch.Generator().manual_seed(seed)
    domain = (torch.rand((height, width), generator=random) < 0.85).double()
    mask = (torch.rand((2, 3, height, width), generator=random) < 0.5).double() * domain
    prior = GaussianPrior(length=8.0, persistence=4.0, noise=0.2, tilt=tilt, detail=0.3, is_periodic=True)
    return prior.system(mask, domain, torch.arange(3.0, dtype=torch.float64))


def field(solver: multigrid.System, seed: int = 1) -> torch.Tensor:
    """Draw a field of the system's shape, 0 on land."""
    grid = solver.grids[0]
    random = torch.Generator().manual_seed(seed)
    return torch.randn(grid.weight.shape, generator=random, dtype=grid.weight.dtype) * grid.domain


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tilt", [0.0, 0.4])
def test_the_system_does_not_depend_on_the_first_column(size: tuple[int, int], tilt: float) -> None:
    solver = system(*size, tilt=tilt)
    grid, x = solver.grids[0], field(solver)
    space = multigrid.SpatialPrecision(0.1, 0.1, scale=1.0, aspect=1.3, tilt=tilt, is_periodic=True)
    assert grid.is_periodic

    def applied(shift: int) -> torch.Tensor:
        parts = [part.roll(shift, -1) for part in (grid.domain, grid.weight)]
        shifted = multigrid.build(*parts, solver.frames, space)
        return multigrid.apply(shifted.grids[0], solver.frames, x.roll(shift, -1)).roll(-shift, -1)

    torch.testing.assert_close(applied(2), applied(0))


@pytest.mark.parametrize("size", SIZES)
def test_torch_agrees_with_the_compiled_kernels(size: tuple[int, int]) -> None:
    solver = system(*size)
    by_torch = solver._replace(grids=[grid._replace(arrays=None) for grid in solver.grids])
    right = field(solver)
    compiled, uncompiled = (
        (
            multigrid.apply(one.grids[0], one.frames, right),
            multigrid.solve(one, right.clone(), start=None, tolerance=0.0, iterations=4),
        )
        for one in (solver, by_torch)
    )
    torch.testing.assert_close(uncompiled, compiled)


@pytest.mark.parametrize("width", [8, 9, 12, 13, 14, 15])
def test_restriction_is_the_transpose_of_interpolation(width: int) -> None:
    random = torch.Generator().manual_seed(0)
    fine = torch.randn((1, 1, 7, width), generator=random, dtype=torch.float64)
    coarse = torch.randn((1, 1, 4, -(-width // 2)), generator=random, dtype=torch.float64)
    up, down = (
        multigrid._interpolated(coarse, fine.shape, is_periodic=True),
        multigrid._restricted(fine, is_periodic=True),
    )
    torch.testing.assert_close((up * fine).sum(), (coarse * down).sum())


@pytest.mark.parametrize("width", [16, 17, 22, 23, 27])
def test_the_cycle_is_symmetric_and_positive(width: int) -> None:
    """Otherwise it could not precondition; widths are odd on the finest grid or on coarser ones."""
    solver = system(14, width)
    assert len(solver.grids) > 1
    assert all(grid.is_periodic for grid in solver.grids)
    a, b = field(solver, 1), field(solver, 2)
    cycled_a, cycled_b = (multigrid.cycle(solver, x, multigrid.workspaces(solver, x)).clone() for x in (a, b))
    torch.testing.assert_close((cycled_a * b).sum(), (cycled_b * a).sum())
    assert float((cycled_a * a).sum()) > 0


@pytest.mark.parametrize("width", [64, 63, 65, 90])
def test_the_number_of_cycles_does_not_grow_with_the_width(width: int) -> None:
    random = torch.Generator().manual_seed(0)
    mask = (torch.rand((1, 4, 1, 48, width), generator=random) < 0.3).double()
    mask[..., :10] = mask[..., -10:] = 0
    values = torch.randn(mask.shape, generator=random, dtype=torch.float64) * mask
    prior, sea, days = GaussianPrior(length=20.0, noise=0.1, is_periodic=True), torch.ones(48, width), torch.arange(4.0)
    exact = prior.map(values, mask, sea, days, tolerance=1e-9, rounds=300)
    quick = prior.map(values, mask, sea, days, tolerance=0.0, rounds=16)
    assert float((quick - exact).norm() / exact.norm()) < 0.02


@pytest.mark.parametrize("shift", [1, 7, 24])
@pytest.mark.parametrize("kind", [{}, {"detail": 0.3, "tilt": 0.5}, {"detail": 0.4, "tilt": -0.8, "aspect": 1.4}])
def test_the_first_guess_does_not_depend_on_the_seam(shift: int, kind: dict[str, float]) -> None:
    random = torch.Generator().manual_seed(3)
    sea = (torch.rand((18, 48), generator=random) < 0.9).double()
    mask = (torch.rand((1, 3, 1, 18, 48), generator=random) < 0.4).double() * sea
    mask[..., 20:30] = 0
    values, days = torch.randn(mask.shape, generator=random, dtype=torch.float64) * mask, torch.arange(3.0)
    noise = torch.randn((2, 2, *mask.shape), generator=random, dtype=torch.float64)
    prior = GaussianPrior(length=9.0, persistence=3.0, noise=0.1, is_periodic=True, **kind)

    def solved(columns: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and deviations on the grid that begins at another column."""
        parts = [part.roll(columns, -1) for part in (values, mask, sea)]
        return prior.members(*parts, days, noise=noise.roll(columns, -1), tolerance=1e-10, loose=1e-10, rounds=200)

    for original, shifted in zip(solved(0), solved(shift), strict=True):
        torch.testing.assert_close(shifted.roll(-shift, -1), original, atol=1e-7, rtol=0)


def test_the_variance_is_the_same_in_every_column() -> None:
    """On a grid that does not go round the globe, that at the edge is larger."""
    periodic, flat = (
        GaussianPrior(length=6.0, is_periodic=is_periodic).covariance(torch.ones(8, 20)).diagonal().view(8, 20)[4]
        for is_periodic in (True, False)
    )
    torch.testing.assert_close(periodic, periodic[:1].expand(20))
    assert flat[0] > 1.5 * periodic[0]


def test_draws_of_the_prior_have_its_covariance() -> None:
    prior, sea = GaussianPrior(length=4.0, detail=0.4, tilt=0.6, is_periodic=True), torch.ones(5, 6)
    random = torch.Generator().manual_seed(0)
    nothing, count = torch.zeros(4000, 1, 1, 5, 6), 4000
    draws = prior.sample(nothing, nothing, sea, torch.zeros(1), generator=random, tolerance=1e-5).view(count, 30)
    estimate, expected = (draws.T @ draws / count).double(), prior.covariance(sea)
    assert float((estimate - expected).abs().max()) < 0.12 * float(expected.diagonal().max())
