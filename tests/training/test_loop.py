"""The training step is Algorithm 1: fresh theta, D on measurements only, the same theta twice."""

import copy
import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from geogan.archive.archive import Archive
from geogan.archive.standardiser import Standardiser
from geogan.fields.field import Field
from geogan.model.networks import Discriminator, ErrorNet, UNet
from geogan.operators.cloud import CloudMask
from geogan.operators.compose import Compose
from geogan.operators.convolve import ConvolveNoise
from geogan.operators.errors import InputError
from geogan.operators.operator import Operator, masked
from geogan.operators.pixels import RemovePixel
from geogan.prior import Film
from geogan.training import loop as training
from geogan.training import objective
from geogan.training.blocks import BlockPool
from geogan.training.loop import TrainState, Weights, train, train_step
from geogan.training.preparation import block_maker
from geogan.training.state_file import load_state, save_state
from geogan.training.windows import draw_windows

FRAMES, CROP = 3, (12, 16)
PAPER = Weights(prior=1.0, likelihood=2.0, withheld=0.0)
ALL = Weights(prior=0.5, likelihood=1.0, withheld=1.0)
PIXELS = RemovePixel(0.4)


def windows_of(seed=0, batch=4, *, land=True):
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, FRAMES, 1, *CROP)
    domain = torch.ones(batch, 1, 1, *CROP)
    if land:
        domain[..., :3, :5] = 0
    smooth = nn.functional.avg_pool2d(torch.randn(batch, FRAMES, CROP[0] + 4, CROP[1] + 4, generator=generator), 5, 1)
    mask = (torch.rand(shape, generator=generator) < 0.6).float() * domain
    values = 4 * smooth[:, :, None] * mask
    kept = mask * (torch.rand(shape, generator=generator) < 0.7)
    days = torch.arange(FRAMES, dtype=torch.float64).expand(batch, -1)
    return Film(values=values, mask=mask, kept=kept, guess=torch.zeros(shape), domain=domain, days=days)


def state_of(generator=None, discriminator=None, error=None, *, seed=0, rate=1e-3):
    torch.manual_seed(seed)
    network = UNet(frames=FRAMES, width=4)
    nn.init.normal_(network.leave.weight, std=0.1)
    network = network.to(memory_format=torch.channels_last)  # as training has them, and a resumed run must find them
    return TrainState.start(
        generator or network,
        discriminator or Discriminator(frames=FRAMES, width=4).to(memory_format=torch.channels_last),
        error,
        rate_generator=rate,
        rate_discriminator=4 * rate,
        betas=(0.0, 0.9),
        seed=seed,
    )


class Identity(nn.Module):
    """The generator that reconstructs nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Parameter(torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, values, mask, guess, domain, extra=None):
        return values * mask + 0 * self.idle


class Noting(nn.Module):
    """Any network, and what it was given."""

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
    """Any operator, and what it was asked."""

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
    """The mistake: theta is the mask that y was measured with."""

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask > 0

    def sample(self, shape, *, generator):
        return self.mask

    def apply(self, x, theta):
        return masked(x, theta)


def step(state, windows, operator=PIXELS, prior=None, weights=PAPER, **options):
    return train_step(state, windows, operator, prior, weights, **options).losses


def same(a: nn.Module, b: nn.Module) -> bool:
    mine, other = a.state_dict(), b.state_dict()
    return mine.keys() == other.keys() and all(torch.equal(mine[name], other[name]) for name in mine)


# What the method promises.


def test_with_a_shared_theta_the_identity_is_perfect():
    """A likelihood of 0, and a D that sees the same twice: why theta must be fresh."""
    windows = windows_of()
    state = state_of(Identity(), Noting(Discriminator(frames=FRAMES, width=4)))
    for _ in range(20):
        losses = step(state, windows, Shared(windows.mask))
        assert float(losses["likelihood"]) == 0
        values, mask = state.discriminator.calls[-2]
        assert torch.equal(*values.chunk(2)) and torch.equal(*mask.chunk(2))
        assert float(losses["discriminator"]) >= 2 * math.log(2) - 1e-6


def test_with_a_fresh_theta_the_identity_is_bad():
    """Its zeros are seen through the fresh gaps, D tells them, and what is withheld is not predicted."""
    state, weights = state_of(Identity(), rate=3e-3), ALL
    for seed in range(60):
        losses = step(state, windows_of(seed % 10, 16), PIXELS, None, weights)
    assert float(losses["discriminator"]) < 0.8 and float(losses["prior"]) > 1.2
    windows = windows_of(3, 16)
    hidden = windows.mask - windows.kept
    hidden = hidden * objective.confidence(windows.kept)
    variance = float((hidden * windows.values**2).sum() / hidden.sum())
    assert float(step(state, windows, PIXELS, None, weights)["withheld"]) == pytest.approx(variance, rel=1e-5)


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
        y_hat, m_hat = operator.apply(x_hat, theta)
        y_hat, m_hat = y_hat * sea, m_hat * sea
        if operator.noise:
            y_hat = y_hat + operator.noise * torch.randn(y.shape, generator=random) * m_hat
        count = len(y)
        scores = discriminator(torch.cat([y, y_hat.detach()]), torch.cat([mask, m_hat]))
        gain = torch.log(torch.sigmoid(scores[:count])).mean() + torch.log(1 - torch.sigmoid(scores[count:])).mean()
        ascent.zero_grad()
        (-gain).backward()
        ascent.step()
        again = operator.apply(generator(y_hat, m_hat, torch.zeros_like(y), sea), theta).values * sea
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
        losses = step(state, windows_of(number), weights=Weights(0.0, 1.0, 1.0))
    assert same(state.discriminator, before) and not same(state.generator, generator)
    assert losses.keys() == {"withheld", "likelihood"}


def test_without_the_likelihood_term_the_generator_runs_once():
    state = state_of(Noting(UNet(frames=FRAMES, width=4)))
    losses = step(state, windows_of(), weights=Weights(1.0, 0.0, 1.0))
    assert len(state.generator.calls) == 1 and losses.keys() == {"withheld", "discriminator", "prior"}


def test_the_withheld_term_alone_measures_nothing():
    spy, judge = Spy(PIXELS), Noting(Discriminator(frames=FRAMES, width=4))
    losses = step(state_of(discriminator=judge), windows_of(), spy, weights=Weights(0.0, 0.0, 1.0))
    assert not spy.samples and not spy.applied and not judge.calls and losses.keys() == {"withheld"}


@pytest.mark.parametrize(("weight", "shown"), [(0.0, "mask"), (1.0, "kept")])
def test_hidden_observations_are_shown_unless_they_are_to_be_predicted(weight, shown):
    windows, state = windows_of(), state_of(Noting(UNet(frames=FRAMES, width=4)))
    step(state, windows, weights=Weights(1.0, 0.0, weight))
    values, mask = state.generator.calls[0][:2]
    assert torch.equal(mask, getattr(windows, shown)) and torch.equal(values, windows.values * mask)


def test_the_likelihood_comes_now_and_then_and_counts_as_much_more():
    state, seldom = state_of(), Weights(1.0, 1.0, 1.0)
    had = ["likelihood" in step(state, windows_of(), weights=seldom, likelihood_every=3) for _ in range(7)]
    assert had == [True, False, False, True, False, False, True]
    state, seldom = state_of(), Weights(0.0, 1.0, 1e-12)
    thrice, once = copy.deepcopy(state), copy.deepcopy(state)
    for each in (thrice, once):  # Adam forgets a factor, plain descent does not
        each.generator_optimiser = torch.optim.SGD(each.generator.parameters(), lr=1e-3)
    step(thrice, windows_of(), weights=seldom, likelihood_every=3)
    step(once, windows_of(), weights=seldom)
    for before, a, b in zip(state.generator.parameters(), thrice.generator.parameters(), once.generator.parameters()):
        torch.testing.assert_close(a - before, 3 * (b - before), rtol=1e-3, atol=1e-6)


def test_the_likelihood_alone_comes_at_every_step():
    state = state_of()
    for _ in range(3):
        before = copy.deepcopy(state.generator)
        assert step(state, windows_of(), weights=Weights(0.0, 1.0, 0.0), likelihood_every=4).keys() == {"likelihood"}
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


def test_the_average_follows_and_the_step_is_counted():
    state = state_of()
    for number in range(5):
        step(state, windows_of(number), averaging=0.9)
    assert state.step == 5 and not same(state.average, state.generator)
    step(state, windows_of(), averaging=0.0)
    assert same(state.average, state.generator)


def test_learning_lowers_the_withheld_error():
    state = state_of(rate=3e-3)
    errors = [float(step(state, windows_of(0, 8), weights=Weights(0.0, 0.0, 1.0))["withheld"]) for _ in range(40)]
    assert errors[-1] < 0.7 * errors[0]


# The loop.


class Setting(NamedTuple):
    archive: Archive
    share: np.ndarray


@pytest.fixture(scope="module")
def setting(gappy, domain):
    archive = Archive.of(Field.of(gappy, domain=domain), Standardiser.fit(Field.of(gappy, domain=domain)))
    share = np.array([archive.seen(date).sum() / domain.sum() for date in range(len(archive.days))])
    return Setting(archive.withholding(share, seed=5), share)


def run(setting, state, steps, *, prior=None, validate=None, minutes=None, weights=ALL, **options):
    clouds = CloudMask(coverage=0.4, scale=5.0)
    make = block_maker(setting.archive, clouds, setting.share, seed=0, frames=FRAMES, side=128, hiding=True)
    pool = BlockPool(lambda number: make(prior, number), size=2, every=2)
    options = {"validate_every": 2, "report_every": 1, "likelihood_every": 2} | options
    try:
        yield from train(
            state, pool, validate or (lambda network, _: (float(network.leave.weight.abs().sum()), None)),
            operator=clouds, prior=prior, weights=weights, batch=2, frames=FRAMES, crop=CROP, steps=steps,
            minutes=minutes, **options,
        )  # fmt: skip
    finally:
        pool.close()


def test_learning_rates_cool_down_at_the_end_of_the_budget(setting):
    state, rates = state_of(rate=1e-3), []
    for _ in run(setting, state, 10, cooling=0.4, validate_every=100):
        rates.append(
            [each.param_groups[0]["lr"] for each in (state.generator_optimiser, state.discriminator_optimiser)]
        )
    ours, theirs = np.array(rates[1:]).T
    np.testing.assert_allclose(ours[:10] / 1e-3, [1, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25], rtol=1e-6)
    np.testing.assert_allclose(theirs / theirs[0], ours / ours[0], rtol=1e-6)
    # By the clock too.
    state, rates = state_of(rate=1e-3), []
    for _ in run(setting, state, None, minutes=0.02, cooling=1.0, validate_every=1000):
        rates.append(state.generator_optimiser.param_groups[0]["lr"])
    assert len(rates) > 3 and (np.diff(rates[1:-1]) < 0).all() and rates[-1] < rates[1]


def test_a_resumed_run_is_an_undisturbed_one(setting, prior, tmp_path):
    whole = state_of()
    list(run(setting, whole, 7, prior=prior))
    part = state_of()
    list(run(setting, part, 4, prior=prior))
    save_state(tmp_path, part)
    resumed = state_of(seed=99)  # other weights, other draws: nothing of it may be left
    load_state(tmp_path, resumed)
    list(run(setting, resumed, 7, prior=prior))
    for name in ("generator", "discriminator", "average"):
        assert same(getattr(whole, name), getattr(resumed, name)), name
    for name in ("generator_optimiser", "discriminator_optimiser"):
        ours, theirs = (getattr(state, name).state_dict()["state"] for state in (whole, resumed))
        assert ours.keys() == theirs.keys() and len(ours) > 5
        assert all(torch.equal(ours[i][key], theirs[i][key]) for i in ours for key in ours[i])
    assert whole.best.keys() == resumed.best.keys()
    assert all(torch.equal(whole.best[name], resumed.best[name]) for name in whole.best)
    assert (whole.step, whole.best_step, whole.best_score) == (resumed.step, resumed.best_step, resumed.best_score)
    assert torch.equal(whole.random.get_state(), resumed.random.get_state()) and resumed.seconds > 0


def test_the_best_average_is_kept(setting):
    scores = iter([5.0, 3.0, 4.0, 1.0, 2.0])
    seen = []

    def validate(network, _):
        seen.append(copy.deepcopy(network.state_dict()))
        return next(scores), None

    state = state_of()
    reports = list(run(setting, state, 8, validate=validate))
    assert [report.score for report in reports if report.score is not None] == [5.0, 3.0, 4.0, 1.0, 2.0]
    assert (state.best_score, state.best_step) == (1.0, 6) and reports[-1].best_score == 1.0
    assert all(torch.equal(state.best[name], seen[3][name]) for name in seen[3])


def test_a_gain_too_small_to_be_believed_leaves_the_first_guess(setting):
    for scores, best in (([5.0, 4.99, 4.995], 0), ([5.0, 4.99, 4.98, 4.979], 6), ([-0.1, -0.1001, -0.11], 4)):
        state, told = state_of(), iter(scores)
        list(run(setting, state, 2 * len(scores) - 2, validate=lambda network, _, told=told: (next(told), None)))
        assert state.best_step == best and state.best_score == scores[best // 2]


def test_the_best_prediction_of_the_error_is_kept_by_its_own_score(setting):
    scores = iter([(5.0, 0.9), (3.0, 0.2), (1.0, 0.5)])
    seen = []

    def validate(_, error):
        seen.append(copy.deepcopy(error.state_dict()))
        return next(scores)

    state = state_of(error=ErrorNet(frames=FRAMES, width=4))
    list(run(setting, state, 4, validate=validate))
    assert state.best_step == 4 and state.error.best_score == 0.2
    assert all(torch.equal(state.error.best[name], seen[1][name]) for name in seen[1])
    assert any(not torch.equal(seen[0][name], seen[2][name]) for name in seen[0])


def test_a_resumed_prediction_of_the_error_is_an_undisturbed_one(setting, tmp_path):
    whole, part, resumed = (state_of(error=ErrorNet(frames=FRAMES, width=4)) for _ in range(3))
    list(run(setting, whole, 5))
    list(run(setting, part, 3))
    save_state(tmp_path, part)
    load_state(tmp_path, resumed)
    list(run(setting, resumed, 5))
    assert same(whole.error.network, resumed.error.network) and same(whole.error.average, resumed.error.average)
    assert whole.error.best.keys() == resumed.error.best.keys() != set()


def test_learning_the_error_leaves_the_generator_alone(setting):
    alone, beside = state_of(), state_of(error=ErrorNet(frames=FRAMES, width=4))
    list(run(setting, alone, 3))
    list(run(setting, beside, 3))
    assert same(alone.generator, beside.generator)


def test_the_predicted_error_becomes_the_error(setting):
    """An idle generator's errors are the anomalies themselves: their spread is what must be found."""
    error = ErrorNet(frames=FRAMES, width=4)
    error.scale.fill_(5.0)
    state = state_of(Identity(), error=error)
    list(run(setting, state, 150, weights=Weights(0.0, 0.0, 1.0), validate=lambda *_: (1.0, None)))
    piece = setting.archive.read(slice(None))
    expected = piece.values[piece.mask > 0].std(correction=0)
    clouds = CloudMask(coverage=0.4, scale=5.0)
    make = block_maker(setting.archive, clouds, setting.share, seed=1, frames=FRAMES, side=128, hiding=True)
    w = draw_windows([make(None, 0)], batch=8, frames=FRAMES, crop=CROP, generator=torch.Generator())
    with torch.no_grad():
        found = state.error.network(w.values * w.kept, w.kept, w.guess, w.guess, w.domain, w.covariates, w.near)
    hidden = (w.mask - w.kept) > 0
    assert float(found[hidden].mean()) == pytest.approx(float(expected), rel=0.35)


def test_the_spread_becomes_the_posteriors(setting, prior):
    """It is learned from draws, where nothing is hidden either; what the errors are over it is learned beside it."""
    error = ErrorNet(frames=FRAMES, width=8, spread=True)
    error.scale.fill_(2.0)
    state = state_of(Identity(), error=error)
    clouds = CloudMask(coverage=0.4, scale=5.0)
    make = block_maker(
        setting.archive, clouds, setting.share, seed=1, frames=FRAMES, side=128, hiding=True, deviating=True
    )
    blocks = [make(prior, number) for number in range(6)]
    for _ in range(150):
        w = draw_windows(blocks, batch=8, frames=FRAMES, crop=CROP, generator=state.random)
        train_step(state, w, clouds, prior, Weights(0.0, 0.0, 1.0))
    others = [make(prior, number) for number in range(6, 22)]
    w = draw_windows(others, batch=48, frames=FRAMES, crop=CROP, generator=torch.Generator())
    with torch.no_grad():
        found = state.error.network.predict(w.values * w.kept, w.kept, w.guess, w.guess, w.domain, near=w.near)[1]
    gaps = (w.kept == 0) & (w.domain > 0)
    assert float(found[gaps].square().mean()) == pytest.approx(float(w.deviation[gaps].square().mean()), rel=0.4)
    # It knows where: cells that it calls certain are.
    certain = gaps & (found < found[gaps].median())
    assert w.deviation[certain].std() < 0.8 * w.deviation[gaps & ~certain].std()


def test_an_ensemble_learns_from_its_members(setting, prior):
    torch.manual_seed(0)
    made = UNet(frames=FRAMES, width=4, noise="posterior")
    state = state_of(made)
    clouds = CloudMask(coverage=0.4, scale=5.0)
    make = block_maker(setting.archive, clouds, setting.share, seed=0, frames=FRAMES, side=128, hiding=True, members=2)
    windows = draw_windows([make(prior, 0)], batch=2, frames=FRAMES, crop=CROP, generator=torch.Generator())
    assert windows.members.shape == (2, 2, *windows.values.shape[1:])
    for _ in range(3):
        step = train_step(state, windows, clouds, prior, ALL)
    assert torch.isfinite(step.losses["ensemble"])
    assert step.losses.keys() == {"withheld", "ensemble", "likelihood", "discriminator", "prior"}
    moved = state.generator.enter.weight.detach()
    noise = slice(3 * FRAMES, 4 * FRAMES)
    torch.manual_seed(0)
    assert (moved[:, noise] != UNet(frames=FRAMES, width=4, noise="posterior").enter.weight[:, noise]).any()


def test_a_budget_is_kept(setting):
    state = state_of()
    reports = list(run(setting, state, 5))
    assert [report.step for report in reports] == [0, 1, 2, 3, 4, 5, 5] and state.step == 5
    assert reports[0].losses == {} and reports[-1].score is not None
    assert reports[1].losses.keys() == {"withheld", "likelihood", "discriminator", "prior"}
    assert all(0 <= report.waited <= 1.01 for report in reports)
    list(run(setting, state, 5))
    assert state.step == 5
    fresh = state_of()
    list(run(setting, fresh, None, minutes=0.0))
    assert fresh.step == 0 and fresh.best_step == 0


def test_losses_that_are_no_numbers_stop_training(setting, monkeypatch):
    monkeypatch.setattr(objective, "withheld", lambda *parts: torch.tensor(float("nan"), requires_grad=True))
    state = state_of()
    with pytest.raises(InputError, match="stopped at step 1: a loss is not finite .* the best weights so far are kept"):
        list(run(setting, state, 5))
    assert state.best_step == 0


def test_a_collapsed_discriminator_stops_training(setting, monkeypatch):
    monkeypatch.setattr(training, "COLLAPSED", 100.0)
    monkeypatch.setattr(training, "LOOKS", 3)
    with pytest.raises(InputError, match="stopped at step 3: the discriminator has collapsed .* observed_gaps"):
        list(run(setting, state := state_of(), 5))
    assert state.step == 3 and state.best_step <= 2 and state.best
    list(run(setting, state_of(), 4, weights=Weights(0.0, 0.0, 1.0)))
