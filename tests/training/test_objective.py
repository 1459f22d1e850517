"""Each term is its equation."""

import math

import pytest
import torch

from geogan.operators.operator import Observation
from geogan.training import objective


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_the_prior_terms_are_those_of_the_paper():
    real, again = [0.3, -1.2, 2.0], [0.1, 0.7, -3.0]
    expected = -sum(math.log(sigmoid(s)) for s in real) / 3 - sum(math.log(1 - sigmoid(s)) for s in again) / 3
    assert float(objective.prior_discriminator(torch.tensor(real), torch.tensor(again))) == pytest.approx(expected)
    expected = -sum(math.log(sigmoid(s)) for s in again) / 3
    assert float(objective.prior_generator(torch.tensor(again))) == pytest.approx(expected)


def test_one_score_for_all_cannot_beat_two_logarithms_of_two():
    """A discriminator with equal inputs has the least loss 2 log 2."""
    for score in (-40.0, -1.0, 0.0, 2.0, 90.0):
        both = torch.tensor([score])
        assert float(objective.prior_discriminator(both, both)) >= 2 * math.log(2) - 1e-6


def test_certain_scores_stay_finite():
    for score in (-1e4, 1e4):
        loss = objective.prior_generator(torch.tensor([score])) + objective.prior_discriminator(
            torch.tensor([-score]), torch.tensor([score])
        )
        assert loss.isfinite()


def test_squares_are_means_over_the_cells_asked_for():
    random = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2, 3, 1, 5, 7, generator=random).requires_grad_() for _ in range(2))
    where = (torch.rand(2, 3, 1, 5, 7, generator=random) < 0.3).float()
    expected = (
        sum(((x - y) / 0.4) ** 2 for x, y, w in zip(a.flatten(), b.flatten(), where.flatten()) if w) / where.sum()
    )
    for term in (
        objective.withheld(a, b, where, 0.4),
        objective.likelihood(Observation(a, where), Observation(b, where), torch.tensor(0.4)),
    ):
        torch.testing.assert_close(term, expected)
        for gradient in torch.autograd.grad(term, (a, b)):
            assert ((gradient != 0) == (where > 0)).all()


def test_nowhere_is_nothing():
    a = torch.randn(1, 1, 1, 2, 3)
    assert float(objective.withheld(a, a + 1, torch.zeros_like(a))) == 0


def test_confidence_is_high_where_much_is_shown_and_moves_no_optimum():
    kept = torch.ones(1, 3, 1, 24, 20)
    kept[..., 6:18, :] = 0
    confidence = objective.confidence(kept)
    assert confidence.shape == (1, 1, 1, 24, 20)
    assert float(confidence[0, 0, 0, 0, 0]) == pytest.approx(1.05)
    assert float(confidence[0, 0, 0, 12, 10]) == pytest.approx(0.05)
    # With any weights, the constant that fits best one cell's draws is their mean.
    draws = torch.tensor([1.0, 2.0, 6.0]).reshape(3, 1, 1, 1, 1)
    guess = torch.zeros(1, requires_grad=True)
    weight = confidence[..., :1, :1].expand(3, 1, 1, 1, 1)
    objective.withheld((guess + 3.0).expand(3, 1, 1, 1, 1), draws, weight).backward()
    assert float(guess.grad) == pytest.approx(0, abs=1e-6)


def test_the_fair_score_of_two_members_is_that_of_many():
    """Its mean does not depend on the number of members (Ferro 2014)."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn((1, 1, 1, 200, 200), generator=generator)
    members = 0.3 + 1.4 * torch.randn((8, 1, 1, 1, 200, 200), generator=generator)
    where = torch.ones_like(values)
    few, many = (float(objective.fair_crps(members[:count], values, where)) for count in (2, 8))
    assert few == pytest.approx(many, rel=0.02)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_an_ensemble_scores_best_when_it_is_drawn_from_what_can_be(count):
    generator = torch.Generator().manual_seed(1)
    values = torch.randn((1, 1, 1, 300, 300), generator=generator)
    draws = torch.randn((count, 1, 1, 1, 300, 300), generator=generator)
    where = torch.ones_like(values)

    def score(shift, spread):
        return float(objective.fair_crps(shift + spread * draws, values, where))

    best = score(0.0, 1.0)
    # The exact score of a normal law against itself is 1 / sqrt(pi).
    assert best == pytest.approx(1 / math.sqrt(math.pi), rel=0.02)
    assert all(score(*other) > best for other in ((0.0, 0.6), (0.0, 1.6), (0.4, 1.0), (0.0, 0.0)))


def test_only_hidden_cells_count_for_an_ensemble():
    generator = torch.Generator().manual_seed(3)
    values = torch.randn((2, 3, 1, 5, 6), generator=generator)
    hidden = (torch.rand(values.shape, generator=generator) < 0.4).float()
    members = torch.randn((2, *values.shape), generator=generator)
    junk = members + 9 * (1 - hidden)
    score = objective.fair_crps
    torch.testing.assert_close(score(members, values, hidden, 2.0), score(junk, values, hidden, 2.0))
    assert score(members, values, 0 * hidden) == 0
    with pytest.raises(ValueError, match="at least two members, got 1"):
        objective.fair_crps(members[:1], values, hidden)


def test_the_likeliest_error_is_the_root_of_the_mean_square():
    square = torch.tensor([1.0, 4.0, 9.0, 2.0])
    where = torch.tensor([1.0, 1.0, 0.0, 1.0])
    stds = torch.linspace(0.5, 4, 400)
    losses = torch.stack([objective.error_likelihood(std.expand(4), square, where, 3.0) for std in stds])
    assert float(stds[losses.argmin()]) == pytest.approx(math.sqrt(7 / 3), abs=0.02)
