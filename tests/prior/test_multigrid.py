"""The solver on a grid that goes round the globe, compiled and not, against dense matrices."""

import pytest
import torch

from geogan.prior import multigrid
from geogan.prior.gaussian import GaussianPrior

SIZES = [(9, 12), (9, 13), (7, 11), (20, 22), (6, 3), (18, 48)]


def system(height: int, width: int, *, tilt: float = 0.4, seed: int = 0) -> multigrid.System:
    """A small system with land, in float64, whose last column touches the first."""
    random = torch.Generator().manual_seed(seed)
    domain = (torch.rand((height, width), generator=random) < 0.85).double()
    mask = (torch.rand((2, 3, height, width), generator=random) < 0.5).double() * domain
    prior = GaussianPrior(length=8.0, persistence=4.0, noise=0.2, tilt=tilt, detail=0.3, is_periodic=True)
    return prior._system(mask, domain, torch.arange(3.0, dtype=torch.float64))


def field(one: multigrid.System, seed: int = 1) -> torch.Tensor:
    grid = one.grids[0]
    random = torch.Generator().manual_seed(seed)
    return torch.randn(grid.weight.shape, generator=random, dtype=grid.weight.dtype) * grid.domain


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tilt", [0.0, 0.4])
def test_the_system_turns_with_the_globe(size: tuple[int, int], tilt: float) -> None:
    one = system(*size, tilt=tilt)
    grid, x = one.grids[0], field(one)
    assert grid.is_periodic

    def applied(shift: int) -> torch.Tensor:
        parts = [part.roll(shift, -1) for part in (grid.domain, grid.weight)]
        again = multigrid.build(*parts, one.frames, kappa2=0.1, scale=1.0, aspect=1.3, tilt=tilt, is_periodic=True)
        return multigrid.apply(again.grids[0], one.frames, x.roll(shift, -1)).roll(-shift, -1)

    torch.testing.assert_close(applied(2), applied(0))


@pytest.mark.parametrize("size", SIZES)
def test_torch_and_compiled_agree(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    one = system(*size)
    right = field(one)
    compiled = multigrid.apply(one.grids[0], one.frames, right)
    solved = multigrid.solve(one, right.clone(), start=None, tolerance=0.0, rounds=4)
    monkeypatch.setattr(multigrid, "_compiled", lambda x: False)
    torch.testing.assert_close(multigrid.apply(one.grids[0], one.frames, right), compiled)
    torch.testing.assert_close(multigrid.solve(one, right.clone(), start=None, tolerance=0.0, rounds=4), solved)


@pytest.mark.parametrize("width", [8, 9, 12, 13, 14, 15])
def test_restriction_is_the_transpose_of_interpolation(width: int) -> None:
    random = torch.Generator().manual_seed(0)
    fine = torch.randn((1, 1, 7, width), generator=random, dtype=torch.float64)
    coarse = torch.randn((1, 1, 4, -(-width // 2)), generator=random, dtype=torch.float64)
    up, down = multigrid._up(coarse, fine.shape, is_periodic=True), multigrid._down(fine, is_periodic=True)
    torch.testing.assert_close((up * fine).sum(), (coarse * down).sum())


@pytest.mark.parametrize("width", [16, 17, 22, 23, 27])
def test_the_cycle_is_symmetric_and_positive(width: int) -> None:
    # Odd widths, on the finest grid and on coarser ones: else the cycle could not precondition.
    one = system(14, width)
    assert len(one.grids) > 1
    assert all(grid.is_periodic for grid in one.grids)
    a, b = field(one, 1), field(one, 2)
    there, back = (multigrid._cycle(one, 0, x, multigrid._rooms(one, x)).clone() for x in (a, b))
    torch.testing.assert_close((there * b).sum(), (back * a).sum())
    assert float((there * a).sum()) > 0


@pytest.mark.parametrize("width", [64, 63, 65, 90])
def test_few_cycles_solve_whatever_the_width(width: int) -> None:
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
def test_the_first_guess_does_not_know_where_the_seam_is(shift: int, kind: dict[str, float]) -> None:
    random = torch.Generator().manual_seed(3)
    sea = (torch.rand((18, 48), generator=random) < 0.9).double()
    mask = (torch.rand((1, 3, 1, 18, 48), generator=random) < 0.4).double() * sea
    mask[..., 20:30] = 0
    values, days = torch.randn(mask.shape, generator=random, dtype=torch.float64) * mask, torch.arange(3.0)
    noise = torch.randn((2, 2, *mask.shape), generator=random, dtype=torch.float64)
    prior = GaussianPrior(length=9.0, persistence=3.0, noise=0.1, is_periodic=True, **kind)

    def solved(*parts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values, mask, sea, noise = (part.roll(shift * (len(parts) > 4), -1) for part in parts[:4])
        return prior.members(values, mask, sea, days, noise=noise, tolerance=1e-10, loose=1e-10, rounds=200)

    here, turned = solved(values, mask, sea, noise), solved(values, mask, sea, noise, values)
    for one, other in zip(here, turned, strict=True):
        torch.testing.assert_close(other.roll(-shift, -1), one, atol=1e-7, rtol=0)


def test_the_variance_is_the_same_in_every_column() -> None:
    # And half of that at the edge of a grid that does not go round.
    round_, flat = (GaussianPrior(length=6.0, is_periodic=each).covariance(torch.ones(8, 20)) for each in (True, False))
    variances = [each.diagonal().view(8, 20)[4] for each in (round_, flat)]
    torch.testing.assert_close(variances[0], variances[0][:1].expand(20))
    assert variances[1][0] > 1.5 * variances[0][0]


def test_draws_of_the_prior_have_its_covariance() -> None:
    prior, sea = GaussianPrior(length=4.0, detail=0.4, tilt=0.6, is_periodic=True), torch.ones(5, 6)
    random = torch.Generator().manual_seed(0)
    nothing, count = torch.zeros(4000, 1, 1, 5, 6), 4000
    drawn = prior.sample(nothing, nothing, sea, torch.zeros(1), generator=random, tolerance=1e-5).view(count, 30)
    found, expected = (drawn.T @ drawn / count).double(), prior.covariance(sea)
    assert float((found - expected).abs().max()) < 0.12 * float(expected.diagonal().max())
