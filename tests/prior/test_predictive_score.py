"""The predictive score equals a direct computation, and parameters of simulated fields are recovered from blocks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from geogan.prior import Film, GaussianPrior
from geogan.prior.blur import PointSpread
from geogan.prior.predictive_score import (
    Block,
    BoundedSpace,
    EndlessSpace,
    Parameters,
    PredictiveScore,
    draw_blocks,
)


def number(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


POINT = Parameters(*(number(value) for value in (8.0, 3.0, 0.2, 1.3, 0.5, 0.8, 0.4)))


def film(values, mask, *, uncertainty=None, days=None) -> Film:
    """Return a film of daily dates from arrays (T, H, W)."""
    values, mask = (torch.as_tensor(part).float()[:, None] for part in (values, mask))
    days = torch.arange(len(values), dtype=torch.float64) if days is None else torch.as_tensor(days)
    domain = torch.ones(values.shape[-2:])
    known = None if uncertainty is None else torch.full_like(values, uncertainty)
    return Film(values=values * mask, mask=mask, kept=mask, domain=domain, days=days, uncertainty=known)


def noise_film(seed: int = 0, shape: tuple[int, int, int] = (6, 20, 24), **parts) -> Film:
    random = np.random.default_rng(seed)
    return film(random.standard_normal(shape), random.random(shape) < 0.6, **parts)


def drawn(films, count: int = 6, *, seed: int = 0, size: int = 40, **options) -> list[Block]:
    return draw_blocks(films, count, size=size, generator=np.random.default_rng(seed), **options)


def direct_score(blocks: list[Block], point: Parameters, prior: GaussianPrior, shape: tuple[int, int]) -> float:
    """Return the mean score with the dense covariance of a prior on a whole grid."""
    length, persistence, noise, _, _, amplitude, _ = (float(part) for part in point)
    space = prior.covariance(torch.ones(shape)).numpy()
    if prior.blur is not None:
        cells = torch.eye(shape[0] * shape[1], dtype=torch.float64).view(-1, *shape)
        blur = prior.blur.on(torch.ones(shape, dtype=torch.float64)).measured(cells).flatten(1).numpy()
        space = blur.T @ space @ blur
    total, count = 0.0, 0
    for block in blocks:
        cell = block.rows * shape[1] + block.columns
        covariance = space[cell[:, None], cell] * np.exp(-np.abs(block.days[:, None] - block.days) / persistence)
        covariance = amplitude**2 * (covariance + noise**2 * np.eye(len(cell))) + np.diag(block.error)
        hidden, shown = np.flatnonzero(block.hidden), np.flatnonzero(~block.hidden)
        between = covariance[np.ix_(hidden, shown)]
        weights = np.linalg.solve(covariance[np.ix_(shown, shown)], between.T)
        variance = covariance[hidden, hidden] - (between * weights.T).sum(1)
        error = block.values[hidden] - weights.T @ block.values[shown]
        total += float(0.5 * (error**2 / variance + np.log(2 * np.pi * variance)).sum())
        count += len(hidden)
    return total / count


# Weights without any symmetry.
BLUR = PointSpread.of(torch.tensor([[0.0, 1.0, 2.0], [3.0, 5.0, 1.0], [0.0, 0.5, 0.0]]))


@pytest.mark.parametrize(("uncertainty", "blur"), [(None, None), (0.3, None), (None, BLUR)])
def test_the_score_is_that_of_the_dense_prior(uncertainty, blur):
    shape = (12, 14)
    blocks = drawn([noise_film(shape=(5, *shape), uncertainty=uncertainty)])
    names = ("length", "persistence", "noise", "aspect", "detail", "tilt")
    prior = GaussianPrior(**{name: float(getattr(POINT, name)) for name in names}, blur=blur)
    value, _ = PredictiveScore(blocks, BoundedSpace(torch.ones(shape), prior)).value_and_gradient(POINT)
    assert value == pytest.approx(direct_score(blocks, POINT, prior, shape), rel=1e-6)


@pytest.mark.parametrize("blur", [None, BLUR])
def test_far_from_edges_the_score_is_that_of_the_dense_prior(blur):
    point = POINT._replace(length=number(4.0))
    names = ("length", "persistence", "noise", "aspect", "detail", "tilt")
    prior = GaussianPrior(**{name: float(getattr(point, name)) for name in names}, blur=blur)
    blocks = drawn([noise_film(shape=(3, 14, 14))], size=60)
    value, _ = PredictiveScore(blocks, EndlessSpace(blocks, blur=blur)).value_and_gradient(point)
    inside = [block._replace(rows=block.rows + 10, columns=block.columns + 10) for block in blocks]
    assert value == pytest.approx(direct_score(inside, point, prior, (34, 34)), abs=3e-3)


@pytest.mark.parametrize("name", Parameters._fields)
def test_derivatives_are_those_of_the_score(name):
    score = PredictiveScore(drawn([noise_film(uncertainty=0.2)]))
    _, slopes = score.value_and_gradient(POINT)
    step = 1e-5
    sides = [score.value_and_gradient(POINT._replace(**{name: getattr(POINT, name) + s}))[0] for s in (step, -step)]
    assert float(getattr(slopes, name)) == pytest.approx((sides[0] - sides[1]) / (2 * step), abs=1e-6)


def test_swapping_the_axes_inverts_the_aspect():
    blocks = drawn([noise_film()])
    swapped = [block._replace(rows=block.columns, columns=block.rows) for block in blocks]
    value, _ = PredictiveScore(blocks).value_and_gradient(POINT)
    other, _ = PredictiveScore(swapped).value_and_gradient(POINT._replace(aspect=1 / POINT.aspect))
    assert other == pytest.approx(value, rel=1e-9)


def test_blocks_may_lie_across_the_seam():
    """On a grid that goes round, columns moved round have the same score; blocks hold both sides of the seam."""
    width = 24
    blocks = drawn([noise_film()], 12, is_periodic=True)
    assert any({0, width - 1} <= set(block.columns.tolist()) for block in blocks)
    moved = [block._replace(columns=(block.columns + 7) % width) for block in blocks]
    values = [
        PredictiveScore(part, EndlessSpace(part, width=width)).value_and_gradient(POINT)[0] for part in (blocks, moved)
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-9)


def test_a_seed_decides_the_blocks():
    same, other, different = (drawn([noise_film()], seed=seed) for seed in (0, 0, 1))
    for mine, yours in zip(same, other, strict=True):
        for part, twin in zip(mine, yours):
            np.testing.assert_array_equal(part, twin)
    assert any(not np.array_equal(mine.rows, yours.rows) for mine, yours in zip(same, different))


def test_blocks_hold_observations_of_one_band_and_a_hidden_part():
    source = noise_film()
    double = replace(source, **{name: torch.cat([getattr(source, name)] * 2, 1) for name in ("values", "mask", "kept")})
    double.values[:, 1] += 100.0 * double.mask[:, 1]
    for block in drawn([double], 12):
        assert np.ptp(block.values) < 50.0
        assert block.hidden.any() and not block.hidden.all()


def test_independent_samples_share_no_block():
    for block in drawn([noise_film()], has_time=False):
        assert len(np.unique(block.days)) == 1


def test_nothing_observed_gives_no_blocks():
    assert drawn([film(np.zeros((3, 8, 8)), np.zeros((3, 8, 8)))]) == []


def test_observations_of_infinite_error_are_left_out():
    source = noise_film(uncertainty=0.1)
    source.uncertainty[:3] = torch.inf
    for block in drawn([source]):
        assert block.days.min() >= 3 and np.isfinite(block.error).all()


def test_one_date_is_hidden_under_its_mirrored_gaps():
    random = np.random.default_rng(0)
    mask = np.ones((1, 16, 16), bool)
    mask[:, :6] = False
    blocks = drawn([film(random.standard_normal((1, 16, 16)), mask)], 8)
    assert blocks and all((block.rows >= 6).all() and block.hidden.any() for block in blocks)
