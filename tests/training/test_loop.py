"""The loop keeps its budget and its best weights, and a training that is resumed is one that was not interrupted."""

import copy
from typing import NamedTuple

import numpy as np
import pytest
import torch
from small_training import ALL, CROP, FRAMES, PLAIN, Identity, same, state_of, weights
from torch import nn

from geogan.archive import Archive, Standardiser
from geogan.fields.field import Field
from geogan.model.networks import ErrorNet, SpreadTable, UNet
from geogan.operators.cloud import CloudMask
from geogan.operators.errors import InputError
from geogan.settings import TrainConfig
from geogan.training.block_pool import BlockPool
from geogan.training.blocks import BlockContent, BlockMaker, block_dates
from geogan.training.loop import CollapseWatch, train
from geogan.training.state_file import load_state, save_state
from geogan.training.step import Problem, train_step
from geogan.training.windows import WindowSampler

CLOUDS = CloudMask(coverage=0.4, scale=5.0)
OFTEN = weights(0.5, 1.0, 1.0, every=2)


class Setting(NamedTuple):
    archive: Archive
    share: np.ndarray

    def blocks(self, prior=None, *, seed=0, **content):
        return BlockMaker(
            self.archive, CLOUDS, prior, self.share, dates=block_dates(self.archive, FRAMES), seed=seed,
            content=BlockContent(**content),
        )  # fmt: skip


@pytest.fixture(scope="module")
def setting(gappy, domain):
    archive = Archive.of(Field.of(gappy, domain=domain), Standardiser.fit(Field.of(gappy, domain=domain)))
    share = np.array([archive.seen(date).sum() / domain.sum() for date in range(len(archive.days))])
    return Setting(archive.withholding(share, seed=5), share)


def score_of(network, _):
    return float(network.leave.weight.abs().sum()), None


def run(setting, state, steps, *, prior=None, validate=score_of, objective=OFTEN, **config):
    pool = BlockPool(setting.blocks(prior), size=2, every=2)
    config = PLAIN | {"batch": 2, "steps": steps, "validate_every": 2, "report_every": 1} | config
    sampler = WindowSampler.of(prior, frames=FRAMES, crop=CROP)
    try:
        yield from train(
            state, pool, sampler, Problem(CLOUDS, prior), objective, TrainConfig(**config), validate=validate
        )
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
    """A generator that returns 0 has errors equal to the anomalies, so their spread must be learned."""
    error = ErrorNet(frames=FRAMES, width=4)
    error.scale.fill_(5.0)
    state = state_of(Identity(), error=error)
    list(run(setting, state, 150, objective=weights(0.0, 0.0, 1.0), validate=lambda *_: (1.0, None)))
    piece = setting.archive.read(slice(None))
    expected = piece.values[piece.mask > 0].std(correction=0)
    w = WindowSampler(FRAMES, CROP).draw([setting.blocks(seed=1)(0)], 8, torch.Generator())
    with torch.no_grad():
        found = state.error.network(w.values * w.kept, w.kept, w.guess, w.guess, w.domain, w.covariates, w.near)
    hidden = (w.mask - w.kept) > 0
    assert float(found[hidden].mean()) == pytest.approx(float(expected), rel=0.35)


def test_the_spread_becomes_the_posteriors(setting, prior):
    """The spread is learned from draws in all cells; the ratio of errors to the spread is learned separately."""
    error = ErrorNet(frames=FRAMES, width=8, spread=True)
    make, sampler = setting.blocks(prior, seed=1, has_deviation=True), WindowSampler(FRAMES, CROP)
    blocks = [make(number) for number in range(6)]
    w = sampler.draw(blocks, 48, torch.Generator())
    near = w.near.unflatten(2, (3, -1)).movedim(2, -1)[w.domain.expand_as(w.values) > 0].numpy()
    draws = w.deviation[w.domain.expand_as(w.values) > 0].square().numpy()
    # It starts at twice the posterior's spread.
    error.table.load_state_dict(SpreadTable.fit(near, 4 * draws, draws=1, noise=0.0, frames=FRAMES).state_dict())
    state = state_of(Identity(), error=error)
    for _ in range(150):
        w = sampler.draw(blocks, 8, state.random)
        train_step(state, w, Problem(CLOUDS, prior), weights(0.0, 0.0, 1.0), TrainConfig(**PLAIN))
    w = sampler.draw([make(number) for number in range(6, 22)], 48, torch.Generator())
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
    windows = WindowSampler(FRAMES, CROP).draw([setting.blocks(prior, members=2)(0)], 2, torch.Generator())
    assert windows.members.shape == (2, 2, *windows.values.shape[1:])
    for _ in range(3):
        losses = train_step(state, windows, Problem(CLOUDS, prior), ALL, TrainConfig(**PLAIN))
    assert torch.isfinite(losses["ensemble"])
    assert losses.keys() == {"withheld", "ensemble", "likelihood", "discriminator", "prior"}
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


def test_losses_that_are_not_finite_stop_training(setting):
    state = state_of()
    nn.init.constant_(state.generator.leave.bias, float("nan"))
    with pytest.raises(InputError, match="stopped at step 1: a loss is not finite .* the best weights so far are kept"):
        list(run(setting, state, 5))
    assert state.best_step == 0


def test_a_collapsed_discriminator_stops_training():
    watch = CollapseWatch(least=0.01, patience=3)
    for step, loss in ((10, 0.001), (20, 0.001), (30, 0.02), (40, 0.009), (50, 0.0)):
        watch.check({"discriminator": loss, "prior": 9.0}, step)
    with pytest.raises(InputError, match="stopped at step 60: .* collapsed .* since step 40.* observed_gaps"):
        watch.check({"discriminator": 0.001}, 60)
    for step in range(100):
        CollapseWatch().check({"withheld": 0.0}, step)
