"""Promises that every operator keeps, and their shared functions."""

import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from geogan.operators.band import PatchBand
from geogan.operators.cloud import CloudMask
from geogan.operators.compose import Compose
from geogan.operators.convolve import ConvolveNoise
from geogan.operators.errors import InputError
from geogan.operators.footprint import Footprint
from geogan.operators.noise import Noise
from geogan.operators.observed import ObservedGaps
from geogan.operators.operator import Operator, dated_generator, masked
from geogan.operators.parse import OPERATORS as TABLE
from geogan.operators.pixels import RemovePixel, RemovePixelChannel
from geogan.operators.sampling import SparseSampling

ARCHIVE = np.random.default_rng(3).random((12, 9, 14)) > 0.4
GAPS = ObservedGaps().fitted(ARCHIVE, np.ones((9, 14), dtype=bool))
CHANNEL_GAPS = ObservedGaps().fitted(
    np.random.default_rng(4).random((12, 3, 9, 14)) > 0.4, np.ones((9, 14), dtype=bool)
)
# Everything that has a name, as it comes, and some with other parameters.
NAMED = {name: kind().fitted(ARCHIVE, np.ones((9, 14), dtype=bool)) for name, kind in TABLE.items()}
OPERATORS = [
    *NAMED.values(),
    RemovePixel(p=0.6),
    RemovePixelChannel(p=0.6),
    PatchBand(h=2),
    SparseSampling(fraction=0.3),
    SparseSampling(fraction=0.3, fixed=True),
    ConvolveNoise(l=3, sigma=0.2),
    Footprint(fwhm=7, across=3, angle=30),
    Noise(sigma=0.1, line=0.2, length=3),
    CloudMask(scale=4),
    CloudMask(scale=4, persistence=2.0),
    GAPS,
    CHANNEL_GAPS,
    Compose((ConvolveNoise(l=3, sigma=0.1), CloudMask(scale=4), RemovePixel(p=0.2))),
    Compose((RemovePixelChannel(p=0.2), PatchBand(h=1))),
]
every = pytest.mark.parametrize("operator", OPERATORS, ids=repr)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(operator: Operator) -> int:
    """Return the number of rows that a frame needs."""
    parts = operator.operators if isinstance(operator, Compose) else (operator,)
    return max(getattr(part, "h", 0) for part in parts)


def channels(operator: Operator) -> int:
    """Return the number of channels of a frame."""
    return 3 if operator is CHANNEL_GAPS else 2


def leaves(theta) -> list[Tensor]:
    return [theta] if isinstance(theta, Tensor) else [leaf for part in theta for leaf in leaves(part)]


@every
@settings(max_examples=12, deadline=None)
@given(shape=st.tuples(*[st.integers(1, 3)] * 3, st.integers(1, 17), st.integers(1, 21)))
def test_values_are_zero_where_the_mask_is(operator, shape):
    batch, frames, bands, height, width = shape
    bands = 3 if operator is CHANNEL_GAPS else bands
    shape = batch, frames, bands, height + rows(operator), width
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
    shape = (2, 3, channels(operator), 24, 30)
    first, again, other = (leaves(operator.sample(shape, generator=generator(s))) for s in (4, 4, 5))
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    assert not first or not all(torch.equal(a, b) for a, b in zip(first, other))


@every
def test_sampling_leaves_global_randomness_alone(operator):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    operator.sample((1, 2, channels(operator), 24, 9), generator=generator())
    operator.at((24, 9), 3.5, seed=1, channels=channels(operator))
    assert torch.equal(torch.get_rng_state(), before)


@every
def test_apply_is_deterministic_and_differentiable(operator):
    shape = (1, 2, channels(operator), rows(operator) + 3, 4)
    theta = operator.sample(shape, generator=generator())
    x = torch.randn(shape, dtype=torch.float64, generator=generator()).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: operator.apply(x, theta).values, (x,))
    assert torch.equal(operator.apply(x, theta).values, operator.apply(x, theta).values)


@every
def test_one_theta_is_one_mask_whatever_is_measured(operator):
    shape = (2, 2, channels(operator), 24, 10)
    theta = operator.sample(shape, generator=generator(1))
    first, second = torch.randn(2, *shape, generator=generator())
    assert torch.equal(operator.apply(first, theta).mask, operator.apply(second, theta).mask)


@every
def test_theta_is_fresh_at_every_draw(operator):
    shape = (2, 2, channels(operator), 24, 30)
    stream = generator()
    first, second = (leaves(operator.sample(shape, generator=stream)) for _ in range(2))
    assert not any(torch.equal(a, b) for a, b in zip(first, second))
    if operator.masks:
        assert first


@every
def test_channels_share_their_mask_unless_it_is_said(operator):
    shape = (2, 2, 3, 24, 10)
    mask = operator.apply(torch.ones(shape), operator.sample(shape, generator=generator())).mask
    assert operator.channelwise != bool((mask == mask[:, :, :1]).all())
    if operator.channelwise:
        return
    # One channel or three: the same draw of gaps.
    gaps = operator.without_noise()
    for a, b in zip(
        leaves(gaps.sample((2, 2, 1, 24, 10), generator=generator())),
        leaves(gaps.sample(shape, generator=generator())),
    ):
        assert torch.equal(a, b)
    for a, b in zip(leaves(gaps.at((24, 10), 3.0, seed=1)), leaves(gaps.at((24, 10), 3.0, seed=1, channels=3))):
        assert torch.equal(a, b)


@every
def test_nan_in_a_gap_stays_there(operator):
    shape = (1, 2, channels(operator), 24, 10)
    theta = operator.sample(shape, generator=generator())
    clean = torch.randn(shape, generator=generator(1))
    seen = operator.apply(clean, theta)
    if operator.blurs and operator.masks:
        # The blur comes before the gap and takes from it: to be given zeros there is the caller's part.
        return
    x = torch.where(seen.mask > 0, clean, torch.nan).requires_grad_()
    values = operator.apply(x, theta).values
    assert torch.equal(values, seen.values)
    values.square().sum().backward()
    assert torch.isfinite(x.grad).all()


def share_hidden(name: str) -> float:
    """Return the mean share that the parameters hide in frames of 24 rows."""
    operator = NAMED[name]
    return {
        "cloud_mask": lambda: operator.coverage,
        "observed_gaps": lambda: 1 - ARCHIVE.mean(),
        "remove_pixel": lambda: operator.p,
        "remove_pixel_channel": lambda: operator.p,
        "patch_band": lambda: operator.h / 24,
        "sparse_sampling": lambda: 1 - operator.fraction,
        "drifters": lambda: 1 - operator.fraction,
        "swath": lambda: operator.gap / (operator.width + operator.gap),
        "tracks": lambda: (1 - 1 / (operator.spacing * operator.repeat)) ** (2 * operator.satellites),
        "stripes": lambda: operator.height / operator.period,
        "radar_sector": lambda: 1 - (1 - operator.width / 360) ** operator.sectors,
        "footprint": lambda: 0.0,
        "downsample": lambda: 1 - 1 / operator.factor**2,
        "noise": lambda: 0.0,
        "convolve_noise": lambda: 0.0,
    }[name]()


@pytest.mark.parametrize("name", TABLE)
def test_the_hidden_share_is_what_the_parameters_say(name):
    shape = (400, 1, 2, 24, 30)
    theta = NAMED[name].sample(shape, generator=generator(3))
    hidden = 1 - NAMED[name].apply(torch.ones(shape), theta).mask.mean()
    assert float(hidden) == pytest.approx(share_hidden(name), abs=0.015)


def test_a_film_that_cannot_be_measured_is_refused_before_it_is():
    for operator in (PatchBand(h=6), Compose((CloudMask(), PatchBand(h=6)))):
        operator.check_shape((1, 1, 1, 7, 3))
        with pytest.raises(InputError, match="h of patch_band must be less than the number of rows"):
            operator.check_shape((1, 1, 1, 6, 30))
    CHANNEL_GAPS.check_shape((1, 1, 3, 4, 4))
    with pytest.raises(InputError, match="fitted to 3 channels, each with gaps of its own, but 2 are to be"):
        CHANNEL_GAPS.check_shape((1, 1, 2, 4, 4))


@every
def test_a_date_is_a_function_of_seed_and_step(operator):
    size, bands = (24, 12), channels(operator)
    one, other, same, reseeded = (
        leaves(operator.at(size, step, seed=seed, channels=bands))
        for step, seed in ((7.0, 2), (40.0, 2), (7.0, 2), (7.0, 3))
    )
    assert all(torch.equal(a, b) for a, b in zip(one, same))
    x = torch.ones(1, 1, bands, *size)
    assert operator.apply(x, operator.at(size, 7.0, seed=2, channels=bands)).values.shape == x.shape
    if not one:
        return
    assert not all(torch.equal(a, b) for a, b in zip(one, reseeded))
    assert getattr(operator, "fixed", False) == all(torch.equal(a, b) for a, b in zip(one, other))


@every
def test_state_goes_round(operator):
    again = operator.with_state(operator.state())
    assert again == operator
    assert isinstance(again, Operator)
    shape = (1, 1, channels(operator), 24, 7)
    draws = [leaves(o.sample(shape, generator=generator())) for o in (operator, again)]
    assert all(torch.equal(a, b) for a, b in zip(*draws))


@every
def test_parameters_are_plain_data(operator):
    def plain(value) -> bool:
        if isinstance(value, dict | tuple | list):
            return all(plain(v) for v in (value.values() if isinstance(value, dict) else value))
        return value is None or isinstance(value, bool | int | float)

    assert plain(asdict(operator))


@every
def test_without_noise_only_the_noise_is_missing(operator):
    """F is affine: the measurement of zeros is the noise, under the mask, of the standard deviation that is stated."""
    shape = (8, 2, channels(operator), 24, 10)
    theta = operator.sample(shape, generator=generator())
    x = torch.randn(shape, dtype=torch.float64, generator=generator(1))
    seen, noise = operator.apply(x, theta), operator.apply(torch.zeros_like(x), theta)
    assert operator.without_noise().noise == 0
    expected = operator.blur(x) * seen.mask
    torch.testing.assert_close(seen.values - noise.values, expected, rtol=0, atol=1e-6)
    assert not noise.values[noise.mask == 0].any()
    assert float(noise.values[noise.mask == 1].std()) == pytest.approx(operator.noise, rel=0.1)


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
