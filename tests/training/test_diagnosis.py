"""The copy trap is found, and averaged weights get statistics of their own."""

import math

import pytest
import torch
from small_training import PAPER, PLAIN, Identity, state_of, windows_of

from geogan.model.networks import GENERATORS
from geogan.operators.operator import Observation
from geogan.operators.pixels import RemovePixel
from geogan.settings import TrainConfig
from geogan.training.diagnosis import CopyTrap, Diagnosis, RecentFilms, fill_spread
from geogan.training.state import follow
from geogan.training.step import WHOLE_BATCH, Problem, train_step

PIXELS = RemovePixel(p=0.5)


def test_the_spread_of_the_fill_is_that_between_images():
    random = torch.Generator().manual_seed(0)
    shape = (400, 1, 1, 6, 7)
    mask = (torch.rand(shape, generator=random) < 0.5).float()
    fields = 3 + 2 * torch.randn(shape, generator=random)
    seen, domain = Observation(fields * mask, mask), torch.ones(400, 1, 1, 6, 7)
    assert float(fill_spread(fields, seen, domain)) == pytest.approx(1, rel=0.05)
    # Flat: it differs between cells, and is the same in every image.
    flat = torch.randn(1, 1, 1, 6, 7, generator=random).expand(shape)
    assert float(fill_spread(torch.where(mask > 0, fields, flat), seen, domain)) < 1e-5


def test_a_copy_with_a_flat_fill_is_reported_once():
    trap, undecided = CopyTrap(), 2 * math.log(2)
    caught = {"likelihood": 1e-5, "discriminator": undecided + 0.01}, {"fill_spread": 0.1}
    free = [
        ({"likelihood": 1e-2, "discriminator": undecided}, {"fill_spread": 0.1}),
        ({"likelihood": 1e-5, "discriminator": 1.1}, {"fill_spread": 0.1}),
        ({"likelihood": 1e-5, "discriminator": undecided}, {"fill_spread": 0.9}),
        ({"likelihood": 1e-5, "discriminator": undecided}, {}),
    ]
    assert [trap.check(*each) for each in [caught, caught, *free, caught, caught]] == [""] * 8
    assert "copies observed cells and its fill is flat" in trap.check(*caught)
    assert trap.check(*caught) == ""


def test_a_generator_that_copies_is_diagnosed():
    """The identity has no gradient but that of its idle weight; its fill is 0 everywhere."""
    diagnosis = Diagnosis()
    config = TrainConfig(**PLAIN)
    losses = train_step(state_of(Identity()), windows_of(), Problem(PIXELS), PAPER, config, diagnose=diagnosis)
    found = {name: float(value) for name, value in diagnosis.values.items()}
    assert float(losses["likelihood"]) == 0 and found["fill_spread"] == 0
    assert found["gradient_likelihood"] == 0 and found["gradient_prior"] == 0
    assert {"logit_real", "logit_fake"} <= found.keys()
    learning = Diagnosis()
    train_step(state_of(), windows_of(), Problem(PIXELS), PAPER, config, diagnose=learning)
    assert float(learning.values["gradient_prior"]) > 0 and float(learning.values["gradient_likelihood"]) > 0
    assert float(learning.values["fill_spread"]) > 0


def test_averaged_weights_get_statistics_of_their_own_features():
    """The first batch norm sees the input: its mean is that of the films kept; weights are not touched."""
    torch.manual_seed(0)
    network = GENERATORS["sagan"](frames=3, width=2)
    state = state_of(network)
    config = TrainConfig(**PLAIN)
    films, recent = [windows_of(seed) for seed in range(3)], RecentFilms(state)
    for windows in films:
        train_step(state, windows, Problem(PIXELS), PAPER, config)
        recent.add(windows)
    before = [weight.clone() for weight in state.average.parameters()]
    raw = state.generator.blocks[0].first_norm.running_mean.clone()
    recent.refresh(state, Problem(PIXELS), PAPER, config, WHOLE_BATCH)
    layer = state.average.blocks[0].first_norm
    values = torch.cat([windows.values * windows.mask for windows in films]).mean((0, 2, 3, 4))
    torch.testing.assert_close(layer.running_mean[:3], values)
    assert not torch.allclose(layer.running_mean, raw) and not state.average.training
    assert all(torch.equal(a, b) for a, b in zip(before, state.average.parameters(), strict=True))
    assert layer.momentum == state.generator.blocks[0].first_norm.momentum
    follow(state.average, state.generator, state.step, 0.9)
    assert torch.equal(layer.running_mean, raw)


def test_a_generator_without_batch_norm_keeps_no_films():
    state = state_of()
    recent = RecentFilms(state)
    recent.add(windows_of())
    before = {name: value.clone() for name, value in state.average.state_dict().items()}
    recent.refresh(state, Problem(PIXELS), PAPER, TrainConfig(**PLAIN), WHOLE_BATCH)
    assert all(torch.equal(before[name], value) for name, value in state.average.state_dict().items())
