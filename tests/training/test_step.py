"""The training step is Algorithm 1: fresh theta, D on measurements only, the same theta twice."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from small_training import ALL, FRAMES, PAPER, Identity, same, state_of, weights, windows_of
from small_training import step as step_with
from torch import Tensor, nn

from geogan.model.networks import Discriminator, UNet
from geogan.operators.compose import Compose
from geogan.operators.convolve import ConvolveNoise
from geogan.operators.operator import Operator, masked
from geogan.operators.pixels import RemovePixel
from geogan.operators.within import applied_within
from geogan.training import objective

PIXELS = RemovePixel(0.4)


class Noting(nn.Module):
    """A network that records its inputs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.calls, self.returned = network, [], []

    @property
    def scale(self):
        return self.network.scale

    def forward(self, *parts, **more):
        self.calls.append([part.detach().clone() for part in parts])
        found = self.network(*parts, **more)
        self.returned.append(found.detach().clone())
        return found


class Spy(Operator):
    """An operator that records its calls."""

    def __init__(self, operator: Operator) -> None:
        self.operator, self.samples, self.applied = operator, [], []

    noise = property(lambda self: self.operator.noise)

    def sample(self, shape, *, generator):
        self.samples.append(self.operator.sample(shape, generator=generator))
        return self.samples[-1]

    def apply(self, x, theta):
        self.applied.append((x.detach().clone(), theta))
        return self.operator.apply(x, theta)


class Shared(Operator):
    """An operator with a deliberate error: theta is the mask that y was measured with."""

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask > 0

    def sample(self, shape, *, generator):
        return self.mask

    def apply(self, x, theta):
        return masked(x, theta)


def step(state, windows, operator=PIXELS, prior=None, weights=PAPER, **config):
    return step_with(state, windows, operator, prior, weights, **config)


# What the method promises.


def test_with_a_shared_theta_the_identity_is_perfect():
    """Its likelihood term is 0 and D sees equal inputs, hence theta must be fresh."""
    windows = windows_of()
    state = state_of(Identity(), Noting(Discriminator(frames=FRAMES, width=4)))
    for _ in range(20):
        losses = step(state, windows, Shared(windows.mask))
        assert float(losses["likelihood"]) == 0
        values, mask = state.discriminator.calls[-2]
        assert torch.equal(*values.chunk(2)) and torch.equal(*mask.chunk(2))
        assert float(losses["discriminator"]) >= 2 * math.log(2) - 1e-6


def test_with_a_fresh_theta_the_identity_is_bad():
    """D detects zeros seen through the fresh gaps, and withheld cells are not predicted."""
    state = state_of(Identity(), rate=3e-3)
    for seed in range(60):
        losses = step(state, windows_of(seed % 10, 16), PIXELS, None, ALL)
    assert float(losses["discriminator"]) < 0.8 and float(losses["prior"]) > 1.2
    windows = windows_of(3, 16)
    hidden = windows.mask - windows.kept
    hidden = hidden * objective.confidence(windows.kept)
    variance = float((hidden * windows.values**2).sum() / hidden.sum())
    assert float(step(state, windows, PIXELS, None, ALL)["withheld"]) == pytest.approx(variance, rel=1e-5)


def test_theta_is_drawn_anew_and_owes_nothing_to_the_data():
    windows, spy = windows_of(), Spy(PIXELS)
    state = state_of()
    for _ in range(3):
        step(state, windows, spy)
    assert len(spy.samples) == 3
    assert not torch.equal(spy.samples[0], spy.samples[1]) and not torch.equal(spy.samples[1], spy.samples[2])
    # Whatever was measured, the draw is the same.
    other, blank = Spy(PIXELS), replace(windows, mask=windows.mask * 0, values=windows.values * 0)
    step(state_of(), blank, other)
    assert torch.equal(other.samples[0], spy.samples[0])


def test_one_theta_makes_y_hat_and_measures_its_reconstruction():
    windows, spy = windows_of(), Spy(PIXELS)
    state = state_of(Noting(UNet(frames=FRAMES, width=4)))
    nn.init.normal_(state.generator.network.leave.weight, std=0.1)
    step(state, windows, spy)
    (first, theta), (second, again) = spy.applied
    assert theta is again and theta is spy.samples[0]
    once, twice = state.generator.returned
    assert torch.equal(first, once) and torch.equal(second, twice)
    # G is given y_hat the second time, and its mask.
    values, mask = state.generator.calls[1][:2]
    measured = PIXELS.apply(once, theta)
    assert torch.equal(mask, measured.mask * windows.domain) and torch.equal(values, measured.values * windows.domain)


def test_d_sees_measurements_never_a_reconstruction():
    windows = windows_of()
    judge = Noting(Discriminator(frames=FRAMES, width=4))
    state = state_of(Noting(UNet(frames=FRAMES, width=4)), judge)
    nn.init.normal_(state.generator.network.leave.weight, std=0.1)
    nn.init.normal_(state.generator.network.leave.bias, std=1.0)
    for _ in range(2):
        judge.calls.clear(), state.generator.returned.clear()
        step(state, windows)
        reconstruction = state.generator.returned[0]
        (both, masks), (again, theirs) = judge.calls
        real, fake = both.chunk(2)
        mask, drawn = masks.chunk(2)
        assert torch.equal(real, windows.values) and torch.equal(mask, windows.mask)
        assert torch.equal(again, fake) and torch.equal(theirs, drawn)
        assert set(drawn.unique().tolist()) == {0.0, 1.0} and not torch.equal(drawn, mask)
        assert torch.equal(fake, reconstruction * drawn) and not torch.equal(fake, reconstruction)
        assert (masks * (1 - windows.domain).repeat(2, 1, 1, 1, 1) == 0).all()


@pytest.mark.parametrize("operator", [PIXELS, Compose((ConvolveNoise(l=3, sigma=0.3), PIXELS))])
def test_the_papers_weights_are_algorithm_1_written_by_hand(operator):
    state = state_of(seed=5)
    generator, discriminator = copy.deepcopy(state.generator), copy.deepcopy(state.discriminator)
    random = torch.Generator().manual_seed(5)
    descent = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.0, 0.9))
    ascent = torch.optim.Adam(discriminator.parameters(), lr=4e-3, betas=(0.0, 0.9))
    for number in range(3):
        windows = windows_of(number)
        step(state, windows, operator)

        y, mask, sea = windows.values, windows.mask, windows.domain
        theta = operator.sample(tuple(y.shape), generator=random)
        x_hat = generator(y, mask, torch.zeros_like(y), sea)  # all of y is shown
        y_hat, m_hat = applied_within(operator, x_hat, theta, sea)
        y_hat, m_hat = y_hat * sea, m_hat * sea
        count = len(y)
        scores = discriminator(torch.cat([y, y_hat.detach()]), torch.cat([mask, m_hat]))
        gain = torch.log(torch.sigmoid(scores[:count])).mean() + torch.log(1 - torch.sigmoid(scores[count:])).mean()
        ascent.zero_grad()
        (-gain).backward()
        ascent.step()
        twice = generator(y_hat, m_hat, torch.zeros_like(y), sea)
        again = applied_within(operator, twice, theta, sea).values * sea
        square = (m_hat * (y_hat - again) ** 2).sum() / m_hat.sum()
        loss = 2 * square - torch.log(torch.sigmoid(discriminator(y_hat, m_hat))).mean()
        descent.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(generator.parameters(), 10.0)
        descent.step()
    for mine, other in ((state.generator, generator), (state.discriminator, discriminator)):
        for a, b in zip(mine.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-5)


# What the weights mean.


def test_without_the_prior_term_d_stays_as_it_is():
    state = state_of()
    before, generator = copy.deepcopy(state.discriminator), copy.deepcopy(state.generator)
    for number in range(3):
        losses = step(state, windows_of(number), weights=weights(0.0, 1.0, 1.0))
    assert same(state.discriminator, before) and not same(state.generator, generator)
    assert losses.keys() == {"withheld", "likelihood"}


def test_without_the_likelihood_term_the_generator_runs_once():
    state = state_of(Noting(UNet(frames=FRAMES, width=4)))
    losses = step(state, windows_of(), weights=weights(1.0, 0.0, 1.0))
    assert len(state.generator.calls) == 1 and losses.keys() == {"withheld", "discriminator", "prior"}


def test_the_withheld_term_alone_measures_nothing():
    spy, judge = Spy(PIXELS), Noting(Discriminator(frames=FRAMES, width=4))
    losses = step(state_of(discriminator=judge), windows_of(), spy, weights=weights(0.0, 0.0, 1.0))
    assert not spy.samples and not spy.applied and not judge.calls and losses.keys() == {"withheld"}


@pytest.mark.parametrize(("weight", "shown"), [(0.0, "mask"), (1.0, "kept")])
def test_hidden_observations_are_shown_unless_they_are_to_be_predicted(weight, shown):
    windows, state = windows_of(), state_of(Noting(UNet(frames=FRAMES, width=4)))
    step(state, windows, weights=weights(1.0, 0.0, weight))
    values, mask = state.generator.calls[0][:2]
    assert torch.equal(mask, getattr(windows, shown)) and torch.equal(values, windows.values * mask)


@pytest.mark.parametrize(
    ("term", "always"), [("likelihood", weights(0.0, 1.0, 1e-12)), ("prior", weights(1.0, 0.0, 1e-12))]
)
def test_a_term_comes_now_and_then_and_counts_as_much_more(term, always):
    interval = {f"{term}_every": 3}
    state, seldom = state_of(), replace(weights(1.0, 1.0, 1.0), **interval)
    had = [term in step(state, windows_of(), weights=seldom) for _ in range(4)]
    assert had == [True, False, False, True]
    state = state_of()
    thrice, once = copy.deepcopy(state), copy.deepcopy(state)
    for each in (thrice, once):  # Adam forgets a factor, plain descent does not
        each.generator_optimiser = torch.optim.SGD(each.generator.parameters(), lr=1e-3)
    step(thrice, windows_of(), weights=replace(always, **interval))
    step(once, windows_of(), weights=always)
    for before, a, b in zip(state.generator.parameters(), thrice.generator.parameters(), once.generator.parameters()):
        torch.testing.assert_close(a - before, 3 * (b - before), rtol=1e-3, atol=1e-6)


def test_the_papers_terms_alone_come_at_every_step():
    state, seldom = state_of(), replace(PAPER, prior_every=3)
    assert all(step(state, windows_of(), weights=seldom).keys() >= {"prior", "discriminator"} for _ in range(2))


def test_the_likelihood_alone_comes_at_every_step():
    state = state_of()
    for _ in range(3):
        before = copy.deepcopy(state.generator)
        assert step(state, windows_of(), weights=weights(0.0, 1.0, 0.0, every=4)).keys() == {"likelihood"}
        assert not same(before, state.generator)


def test_what_a_reconstruction_says_on_land_is_not_measured():
    class OnLand(nn.Module):
        def __init__(self, junk):
            super().__init__()
            self.network, self.junk = UNet(frames=FRAMES, width=4), junk

        scale = property(lambda self: self.network.scale)

        def forward(self, values, mask, guess, domain, extra=None):
            return self.network(values, mask, guess, domain) + self.junk * (1 - domain)

    outcomes = []
    for junk in (0.0, 1e3):
        torch.manual_seed(0)
        state = state_of(OnLand(junk))
        losses = [step(state, windows_of(number), PIXELS, None, ALL) for number in range(2)]
        outcomes.append((losses, state))
    (quiet, first), (loud, second) = outcomes
    assert all(torch.equal(a[name], b[name]) for a, b in zip(quiet, loud) for name in a)
    assert same(first.generator, second.generator) and same(first.discriminator, second.discriminator)


def test_the_first_guess_of_y_hat_is_solved_from_y_hat_alone(prior):
    state = state_of(Noting(UNet(frames=FRAMES, width=4)))
    nn.init.normal_(state.generator.network.leave.bias, std=1.0)
    windows = windows_of()
    step(state, windows, prior=prior)
    (_, _, first, _), (values, mask, second, _) = state.generator.calls
    assert torch.equal(first, windows.guess)
    exact = prior.map(values, mask, windows.domain[:, 0, 0], windows.days, tolerance=1e-6)
    # Some iterations, from a cold start here.
    assert (second - exact).abs().mean() < 0.15 * exact.abs().mean()


def test_learning_lowers_the_withheld_error():
    state = state_of(rate=3e-3)
    errors = [float(step(state, windows_of(0, 8), weights=weights(0.0, 0.0, 1.0))["withheld"]) for _ in range(40)]
    assert errors[-1] < 0.7 * errors[0]
