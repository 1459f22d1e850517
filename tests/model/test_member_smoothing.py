"""Waves are damped by the expected factors, coasts hold, and the smoothing of observations is recovered."""

import math

import numpy as np
import pytest
import torch

from geogan.model.member_smoothing import ENOUGH, MOST, Ensemble, fit_smoothing, smoothed
from geogan.prior import Film

SEA = torch.ones(40, 48)


def white(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("wavelength", [2, 4, 16 / 3, 8, 16])
def test_waves_are_damped_by_the_filter(wavelength, steps):
    waves = torch.cos(2 * math.pi * torch.arange(48).double() / wavelength).expand(40, 48)
    excess = (1 - math.cos(2 * math.pi / wavelength)) / 2
    inner = (slice(2 * steps, 40 - 2 * steps), slice(2 * steps, 48 - 2 * steps))
    expected = (1 - (excess / 2) ** 2) ** steps * waves
    torch.testing.assert_close(smoothed(waves, SEA, steps)[inner], expected[inner])
    torch.testing.assert_close(smoothed(waves.T, SEA.T, steps), smoothed(waves, SEA, steps).T)


def test_coasts_hold():
    """Smoothing does not cross a wall one cell thick, and keeps the mean of each basin."""
    domain = torch.ones(12, 15)
    domain[:, 7] = domain[5:8, 10:13] = 0
    domain[6, 11] = 1
    field = white(3, 12, 15) * domain
    moved = field.clone()
    moved[..., 8:] = 5 * domain[:, 8:]
    found, other = smoothed(field, domain, 4), smoothed(moved, domain, 4)
    assert torch.equal(found[..., :7], other[..., :7]) and (found[:, domain == 0] == 0).all()
    assert torch.equal(found[:, 6, 11], field[:, 6, 11])
    torch.testing.assert_close(other[..., 8:], moved[..., 8:])
    assert not torch.allclose(found[..., :7], field[..., :7], atol=0.1)


def test_a_step_reaches_two_cells():
    """A tile with such a halo equals the whole grid, to the last bit."""
    field, land = white(2, 40, 48).float(), SEA.clone()
    land[10:20, 5:30] = 0
    whole, tile = smoothed(field * land, land, 3), smoothed((field * land)[:, 8:36, 4:40], land[8:36, 4:40], 3)
    assert torch.equal(whole[:, 14:30, 10:34], tile[:, 6:-6, 6:-6])
    assert not torch.equal(whole[:, 13:31, 9:35], tile[:, 5:-5, 5:-5])


def test_opposites_stay_opposite():
    field = white(40, 48).float()
    assert torch.equal(smoothed(-field, SEA, 5), -smoothed(field, SEA, 5))


def field(count, seed):
    """Return rough fields with most power in long waves, (count, 1, 40, 48)."""
    wavenumber = np.hypot(np.fft.fftfreq(80)[:, None], np.fft.rfftfreq(96))
    size = torch.from_numpy((wavenumber**2 + 0.04**2) ** -0.9)
    made = torch.fft.irfft2(size * torch.fft.rfft2(white(count, 1, 80, 96, seed=seed)), (80, 96))[..., :40, :48]
    return made / made.std()


def ensembles(steps, *, count=24, noise=0.0, known=0.0, side=30, seed=0):
    """Return ensembles whose members need a known number of smoothing steps to match the observations."""
    hidden = torch.zeros(1, 1, 40, 48)
    hidden[..., 4 : 4 + side, 6 : 6 + side] = 1
    for number in range(count):
        mean, *drawn = smoothed(field(6, seed + 1000 * number)[:, None], SEA, steps)
        rough = field(4, seed + 1000 * number + 1)[:, None]
        yield Ensemble(
            film=Film(
                values=0 * hidden,
                mask=0 * hidden,
                domain=SEA,
                days=torch.zeros(1),
                withheld=hidden,
                target=mean + drawn[0] + noise * white(1, 1, 40, 48, seed=seed + 1000 * number + 2),
            ),
            noise=torch.full((1, 1, 40, 48), known, dtype=torch.float64),
            field=mean,
            deviations=rough,
            std=np.ones((1, 1, 40, 48)),
        )


def found(*args, **settings):
    return fit_smoothing(ensembles(*args, **settings), blur=lambda x: x)


@pytest.mark.parametrize("steps", [0, 2, 5])
def test_the_smoothing_of_the_observations_is_found(steps):
    assert abs(found(steps) - steps) <= (steps > 0)


def test_small_clouds_say_it_too():
    assert 1 <= found(4, side=11, count=48) <= 6


def test_too_few_or_too_small_clouds_say_nothing():
    assert found(5, count=ENOUGH - 1) == 0
    assert found(5, side=7) == 0


def test_noise_smooths_no_members():
    """Observation noise does not change the number of steps: unknown noise gives none, known noise the field's own."""
    assert found(4, noise=0.3) == 0
    assert 2 <= found(4, noise=0.3, known=0.3) <= 5
    assert found(0, noise=0.1) == 0


def test_never_more_than_tiles_bear():
    assert found(4 * MOST) == MOST
