"""A drifting field: its posterior is that of dense kriging in coordinates that drift along."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from geogan.operators.errors import InputError
from geogan.prior import GaussianPrior, motion
from geogan.prior.motion import Drift, MovingGrid, stretches

PRIOR = GaussianPrior(length=5.0, persistence=3.0, noise=0.3, drift_y=0.7, drift_x=-1.3)


def observed(
    dates: int, height: int, width: int, *, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Random values, a mask with gaps, a domain with a corner of land, and uneven dates."""
    random = torch.Generator().manual_seed(0)
    mask = (torch.rand(1, dates, 1, height, width, generator=random) < 0.6).to(dtype)
    domain = torch.ones(height, width, dtype=dtype)
    domain[:2, :3] = 0
    days = torch.arange(dates, dtype=torch.float64) + 3
    days[-1] += 1
    return torch.randn(mask.shape, generator=random, dtype=dtype) * mask, mask, domain, days


def dense_posterior(
    prior: GaussianPrior, values: Tensor, mask: Tensor, domain: Tensor, days: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean and variance of the field, (T, H, W), by simple kriging with the covariance of the larger grid."""
    _, dates, _, height, width = values.shape
    grid = prior.moving_grid(days, (height, width))
    space = prior.covariance(grid.domain(domain)).contiguous()
    time = torch.exp(-(days[:, None] - days).abs() / prior.persistence)
    rows = [torch.kron(y.contiguous(), x.contiguous()) for y, x in zip(grid.rows[0], grid.columns[0])]
    read = torch.block_diag(*rows)
    covariance = read @ torch.kron(time, space) @ read.T
    seen = (mask[0, :, 0] * domain).flatten() > 0
    matrix = covariance[seen][:, seen] + prior.noise**2 * torch.eye(int(seen.sum()))
    weights = torch.linalg.solve(matrix, covariance[seen]).T
    shape = (dates, height, width)
    mean = (weights @ values[0, :, 0].flatten()[seen]).view(shape)
    variance = (covariance - weights @ covariance[seen]).diagonal().view(shape)
    return mean * domain, variance


@pytest.mark.parametrize("is_periodic", [False, True])
@pytest.mark.parametrize("tilt", [0.0, -0.3])
def test_posterior_mean_is_that_of_dense_kriging(is_periodic: bool, tilt: float) -> None:
    prior = replace(PRIOR, tilt=tilt).around(is_periodic)
    values, mask, domain, days = observed(4, 7, 8)
    mean, _ = dense_posterior(prior, values, mask, domain, days)
    torch.testing.assert_close(prior.map(values, mask, domain, days, tolerance=1e-9)[0, :, 0], mean, atol=1e-6, rtol=0)


def test_spread_of_the_members_is_that_of_dense_kriging() -> None:
    values, mask, domain, days = observed(3, 5, 6)
    _, variance = dense_posterior(PRIOR, values, mask, domain, days)
    count = 1500
    noise = torch.randn(2, 1, count, *values.shape[1:], generator=torch.Generator().manual_seed(1)).double()
    many = (part.expand(count, -1, -1, -1, -1) for part in (values, mask))
    _, deviations = PRIOR.members(*many, domain, days, noise=noise, loose=1e-5)
    ratio = deviations[0, :, :, 0].var(0)[:, domain > 0] / variance[:, domain > 0]
    # A variance of 1500 draws scatters by 4 %.
    assert 0.99 < float(ratio.mean()) < 1.01
    assert float(ratio.min()) > 0.85 and float(ratio.max()) < 1.15


def test_entries_of_a_batch_with_dates_of_their_own_are_solved_apart() -> None:
    values, mask, domain, days = observed(3, 7, 8)
    both = (torch.cat([part, part.flip(-1)]) for part in (values, mask))
    dates = torch.stack([days, 1.7 * days])
    together = PRIOR.map(*both, domain, dates, tolerance=1e-9)
    alone = PRIOR.map(values.flip(-1), mask.flip(-1), domain, dates[1], tolerance=1e-9)
    torch.testing.assert_close(together[1:], alone, atol=1e-6, rtol=0)


def test_without_a_drift_the_result_is_that_of_a_still_field_bit_for_bit() -> None:
    values, mask, domain, days = observed(4, 7, 8, dtype=torch.float32)
    still = replace(PRIOR, drift_y=0.0, drift_x=0.0)
    grid = MovingGrid.of(Drift(0.0, 0.0), days, (7, 8), persistence=3.0, length=5.0).to(values)
    x = values[:, :, 0]
    assert torch.equal(grid.interpolated(grid.spread(x)), x)
    assert not still.is_moving
    assert torch.equal(
        still.map(values, mask, domain, days),
        GaussianPrior(length=5.0, persistence=3.0, noise=0.3).map(values, mask, domain, days),
    )


def test_a_date_sees_on_the_moving_grid_what_another_date_saw_upstream() -> None:
    prior = GaussianPrior(length=3.0, persistence=50.0, noise=0.05, drift_y=2.0)
    mask = torch.zeros(1, 2, 1, 12, 8)
    mask[:, 0] = 1
    values = torch.zeros_like(mask)
    values[:, 0, :, 3] = 1
    guess = prior.map(values, mask, torch.ones(12, 8), torch.arange(2.0))
    assert int(guess[0, 1, 0, :, 4].argmax()) == 5


def test_a_break_in_the_dates_does_not_enlarge_the_grid() -> None:
    days = torch.tensor([0.0, 1.0, 5000.0])
    grid = MovingGrid.of(Drift(3.0, 0.0), days, (20, 10), persistence=2.0, length=5.0)
    assert grid.rows.shape[-1] < 20 + 10


def test_stretches_of_a_long_drift_agree_with_one_solve(monkeypatch: pytest.MonkeyPatch) -> None:
    prior = GaussianPrior(length=4.0, persistence=1.5, noise=0.3, drift_y=2.5)
    values, mask, domain, days = observed(30, 9, 8)
    pieces = stretches(Drift(2.5, 0.0), days, (9, 8), persistence=1.5)
    assert [date for piece in pieces for date in range(30)[piece.core]] == list(range(30))
    assert max(len(range(30)[piece.read]) for piece in pieces) < 20
    cut = prior.map(values, mask, domain, days, tolerance=1e-9)
    monkeypatch.setattr(motion, "MOST_GROWTH", 100.0)
    whole = prior.map(values, mask, domain, days, tolerance=1e-9)
    # Observations three e-folding times away are left out.
    assert float((cut - whole).square().mean()) < 1e-3 * float(whole.square().mean())


def test_a_start_near_the_solution_saves_iterations() -> None:
    values, mask, domain, days = observed(4, 7, 8)
    solution = PRIOR.map(values, mask, domain, days, tolerance=1e-9)
    errors = [
        float((PRIOR.map(values, mask, domain, days, tolerance=0.0, rounds=2, start=start) - solution).abs().max())
        for start in (None, solution)
    ]
    assert errors[1] < errors[0]


def test_a_drift_that_is_not_finite_is_refused() -> None:
    with pytest.raises(InputError, match="drift"):
        GaussianPrior(drift_y=float("nan"))
