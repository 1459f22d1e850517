"""Nearness is that of the nearest observation in space and time."""

import math

import pytest
import torch

from geogan.prior.gaussian import GaussianPrior
from geogan.prior.nearness import nearness

DAYS = torch.tensor([0.0, 1, 2, 5, 6, 6.5, 9, 20, 21], dtype=torch.float64)


def test_it_is_that_of_the_nearest_observation():
    generator = torch.Generator().manual_seed(0)
    mask = (torch.rand(9, 2, 5, 6, generator=generator) < 0.05).float()
    found = nearness(mask, DAYS, GaussianPrior(persistence=3.0, length=4.0, aspect=2.0)).view(9, 3, 2, 5, 6)
    y, x = torch.arange(5.0), torch.arange(6.0)
    apart = (y[:, None, None, None] - y[:, None]).abs() * 2**0.5 + (x[:, None, None] - x).abs() / 2**0.5
    space = torch.exp(-2 * apart / 4.0)  # (y, x, y', x')
    here = (space * mask[:, :, None, None]).amax((-1, -2))
    later = DAYS[:, None] - DAYS
    time = torch.exp(-later.abs() / 3).float()[..., None, None, None]
    before = (time * here * (later >= 0)[..., None, None, None]).amax(1)
    after = (time * here * (later <= 0)[..., None, None, None]).amax(1)
    for part, expected in zip(found.unbind(1), (here, before, after), strict=True):
        torch.testing.assert_close(part, expected)
    assert ((found[:, 0] == 1) == (mask == 1)).all()


def test_without_a_first_guess_time_is_counted_in_steps():
    mask = torch.zeros(4, 1, 1, 1)
    mask[0] = 1
    hourly, daily = (nearness(mask, step * torch.arange(4.0)) for step in (1 / 24, 1.0))
    torch.testing.assert_close(hourly, daily)


def test_dates_far_apart_are_independent():
    mask = (torch.rand(5, 1, 3, 3, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    here, before, after = nearness(mask, 1e9 * torch.arange(5.0), GaussianPrior(length=16.0, persistence=1.0)).unbind(1)
    torch.testing.assert_close(before, here)
    torch.testing.assert_close(after, here)
    alone = nearness(mask[:1], torch.zeros(1))
    torch.testing.assert_close(alone, here[:1].unsqueeze(1).repeat(1, 3, 1, 1))


@pytest.mark.parametrize("shift", [0.0, 700.0])
def test_only_differences_of_dates_count(shift):
    mask = (torch.rand(6, 1, 3, 3, generator=torch.Generator().manual_seed(1)) < 0.3).float()
    days = torch.arange(6.0, dtype=torch.float64)
    torch.testing.assert_close(nearness(mask, days + shift), nearness(mask, days))


def test_reversed_time_swaps_before_and_after():
    mask = (torch.rand(9, 1, 4, 4, generator=torch.Generator().manual_seed(2)) < 0.1).float()
    here, before, after = nearness(mask, DAYS).unbind(1)
    turned = nearness(mask.flip(0), (21 - DAYS).flip(0)).flip(0).unbind(1)
    for part, expected in zip(turned, (here, after, before), strict=True):
        torch.testing.assert_close(part, expected)


@pytest.mark.parametrize("width", [9, 12])
def test_the_nearest_observation_may_be_across_the_seam(width):
    mask = (torch.rand((3, 1, 5, width), generator=torch.Generator().manual_seed(0)) < 0.05).float()
    mask[0, 0, 2, -1] = 1
    days, prior = torch.arange(3.0), GaussianPrior(length=5.0)
    flat, round_ = (nearness(mask, days, prior, is_periodic=each) for each in (False, True))
    assert round_.is_contiguous() and (round_ >= flat).all()
    assert round_[0, 0, 2, 0] == pytest.approx(math.exp(-2 / 5.0), rel=1e-5)
    turned = nearness(mask.roll(4, -1), days, prior, is_periodic=True)
    torch.testing.assert_close(turned.roll(-4, -1), round_)


def test_times_are_counted_along_the_drift():
    mask = torch.zeros(3, 1, 9, 7)
    mask[0, 0, 2, 1] = 1
    still = GaussianPrior(length=5.0, persistence=2.0)
    _, before, _ = nearness(mask, torch.arange(3.0), still).unbind(1)
    _, along, _ = nearness(mask, torch.arange(3.0), GaussianPrior(5.0, 2.0, drift_y=2.0, drift_x=-1.0)).unbind(1)
    assert int(along[1].argmax()) == 4 * 7 + 0
    assert along[1].max() == before[1].max()
    torch.testing.assert_close(along[0], before[0])
