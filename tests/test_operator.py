"""Promises that every operator keeps, and what they share."""

import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from geogan.operators.cloud import CloudMask
from geogan.operators.compose import Compose
from geogan.operators.convolve import ConvolveNoise
from geogan.operators.observed import ObservedGaps
from geogan.operators.operator import Observation, Operator, add_noise, dated_generator, masked
from geogan.operators.pixels import RemovePixel
from geogan.operators.sampling import SparseSampling

ARCHIVE = np.random.default_rng(3).random((12, 9, 14)) > 0.4
GAPS = ObservedGaps().fitted(ARCHIVE, np.ones((9, 14), dtype=bool))
OPERATORS = [
    RemovePixel(p=0.6),
    SparseSampling(fraction=0.3),
    SparseSampling(fraction=0.3, fixed=True),
    ConvolveNoise(l=3, sigma=0.2),
    CloudMask(scale=4),
    CloudMask(scale=4, persistence=2.0),
    GAPS,
    Compose((ConvolveNoise(l=3, sigma=0.1), CloudMask(scale=4), RemovePixel(p=0.2))),
]
every = pytest.mark.parametrize("operator", OPERATORS, ids=repr)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def leaves(theta) -> list[Tensor]:
    return [theta] if isinstance(theta, Tensor) else [leaf for part in theta for leaf in leaves(part)]


@every
@settings(max_examples=12, deadline=None)
@given(shape=st.tuples(*[st.integers(1, 3)] * 3, st.integers(1, 17), st.integers(1, 21)))
def test_values_are_zero_where_the_mask_is(operator, shape):
    x = torch.randn(shape, generator=generator()) + 5
    values, mask = operator.apply(x, operator.sample(shape, generator=generator(1)))
    assert values.shape == mask.shape == x.shape
    assert values.dtype == mask.dtype == x.dtype
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    assert not values[mask == 0].any()
    if operator.exact:
        assert torch.equal(values, x * mask)
    if not operator.masks:
        assert mask.all()


@every
def test_the_same_seed_draws_the_same_and_another_draws_another(operator):
    shape = (2, 3, 1, 20, 30)
    first, again, other = (leaves(operator.sample(shape, generator=generator(s))) for s in (4, 4, 5))
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    assert not first or not all(torch.equal(a, b) for a, b in zip(first, other))


@every
def test_sampling_leaves_global_randomness_alone(operator):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    operator.sample((1, 2, 1, 8, 9), generator=generator())
    operator.at((8, 9), 3.5, seed=1)
    assert torch.equal(torch.get_rng_state(), before)


@every
def test_apply_is_deterministic_and_differentiable(operator):
    shape = (1, 2, 2, 5, 6)
    theta = operator.sample(shape, generator=generator())
    x = torch.randn(shape, dtype=torch.float64, generator=generator()).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: operator.apply(x, theta).values, (x,))
    assert torch.equal(operator.apply(x, theta).values, operator.apply(x, theta).values)


@every
def test_channels_share_their_mask(operator):
    shape = (2, 2, 3, 12, 10)
    mask = operator.apply(torch.ones(shape), operator.sample(shape, generator=generator())).mask
    assert (mask == mask[:, :, :1]).all()


@every
def test_a_date_is_a_function_of_seed_and_step(operator):
    size = (16, 12)
    one, same, other = (leaves(operator.at(size, step, seed=2)) for step in (7.0, 7.0, 40.0))
    assert all(torch.equal(a, b) for a, b in zip(one, same))
    x = torch.ones(1, 1, 1, *size)
    assert operator.apply(x, operator.at(size, 7.0, seed=2)).values.shape == x.shape
    if getattr(operator, "fixed", False) or not one:
        return
    assert not all(torch.equal(a, b) for a, b in zip(one, other))


@every
def test_state_goes_round(operator):
    again = operator.with_state(operator.state())
    assert again == operator
    assert isinstance(again, Operator)
    draws = [leaves(o.sample((1, 1, 1, 6, 7), generator=generator())) for o in (operator, again)]
    assert all(torch.equal(a, b) for a, b in zip(*draws))


@every
def test_parameters_are_plain_data(operator):
    def plain(value) -> bool:
        if isinstance(value, dict | tuple | list):
            return all(plain(v) for v in (value.values() if isinstance(value, dict) else value))
        return value is None or isinstance(value, bool | int | float)

    assert plain(asdict(operator))


def test_noise_falls_only_where_something_is_seen():
    mask = (torch.rand(4, 1, 1, 50, 60, generator=generator()) > 0.5).float()
    clean = Observation(torch.zeros_like(mask), mask)
    noisy = add_noise(clean, 0.3, generator=generator(9))
    assert not noisy.values[mask == 0].any()
    assert noisy.values[mask == 1].std() == pytest.approx(0.3, rel=0.05)
    assert add_noise(clean, 0.0, generator=generator()) is clean


def test_nan_under_a_gap_does_not_come_through():
    x = torch.tensor([1.0, torch.nan]).reshape(1, 1, 1, 1, 2).requires_grad_()
    values, _ = masked(x, torch.tensor([True, False]))
    values.sum().backward()
    assert values.flatten().tolist() == [1.0, 0.0]
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [1.0, 0.0]


def test_dated_generators_differ_by_any_part_of_their_key():
    keys = [(0, 1.0), (1, 1.0), (0, 1.25), (0, -1.0), (0, 1.0, 1.0), (0,), (-1, 1.0)]
    draws = {float(torch.rand(1, generator=dated_generator(*key), dtype=torch.float64)) for key in keys}
    assert len(draws) == len(keys)


def test_catching_an_error_costs_no_torch():
    code = "import sys, geogan.operators.errors; sys.exit('torch' in sys.modules or 'xarray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_public_names_are_there():
    import geogan.operators as room

    assert {name for name in room.__all__ if getattr(room, name) is None} == set()
    with pytest.raises(AttributeError, match="no attribute 'CloudMusk'"):
        room.CloudMusk  # noqa: B018
