"""The drift of a simulated field is recovered from gappy frames, and a field that stands still gets none."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from geogan.prior import Film, GaussianPrior, fit_drift, fit_prior
from geogan.prior.drift import estimate_drift
from geogan.prior.motion import Drift

STEP = 1 / 144  # ten minutes


def moving_film(
    drift: tuple[float, float],
    *,
    size: tuple[int, int] = (40, 32),
    dates: int = 10,
    memory: float = 0.95,
    seed: int = 0,
) -> Film:
    """A periodic field that drifts by some cells a date, keeps ``memory`` of itself, and is seen through clouds."""
    random = np.random.default_rng(seed)
    waves = [
        np.fft.fftfreq(length)[:, None] if axis == 0 else np.fft.fftfreq(length) for axis, length in enumerate(size)
    ]
    turn = np.exp(-2j * np.pi * (drift[0] * waves[0] + drift[1] * waves[1]))

    def smooth(shape: tuple[int, ...]) -> np.ndarray:
        field = gaussian_filter(random.standard_normal(shape), 2.0, mode="wrap", axes=(-2, -1))
        return field / field.std()

    frames = [smooth(size)]
    for _ in range(dates - 1):
        moved = np.fft.ifft2(np.fft.fft2(frames[-1]) * turn).real
        frames.append(memory * moved + np.sqrt(1 - memory**2) * smooth(size))
    values = torch.tensor(np.array(frames)[:, None], dtype=torch.float32)
    values += 0.1 * torch.from_numpy(random.standard_normal(values.shape)).float()
    mask = torch.from_numpy(smooth((dates, 1, *size)) > -0.4).float()
    hidden = torch.zeros_like(mask)
    hidden[dates // 2, :, :, :] = 1
    days = 11000 + STEP * torch.arange(dates, dtype=torch.float64)
    return Film(values=values * mask, mask=mask, kept=mask * (1 - hidden), domain=torch.ones(size), days=days)


@pytest.mark.parametrize("drift", [(2.3, 0.8), (-1.5, 3.25), (0.0, -0.75)])
def test_the_drift_of_a_gappy_field_is_recovered(drift: tuple[float, float]) -> None:
    estimate = estimate_drift([moving_film(drift, seed=seed) for seed in (1, 2)])
    assert estimate is not None
    np.testing.assert_allclose(np.array(estimate) * STEP, drift, atol=0.15)


def test_a_drift_across_the_seam_of_a_periodic_grid_is_recovered() -> None:
    film = moving_film((0.0, 2.5), size=(12, 24))
    around = Film(**film.parts() | {"values": film.values.roll(7, -1), "mask": film.mask.roll(7, -1)})
    first, second = (estimate_drift([each], is_periodic=True) for each in (film, around))
    assert first is not None and second is not None
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(first.x * STEP, 2.5, atol=0.2)


@pytest.mark.parametrize("memory", [0.98, 0.6])
def test_a_field_that_stands_still_has_no_drift(memory: float) -> None:
    assert estimate_drift([moving_film((0.0, 0.0), memory=memory)]) is None


def test_frames_without_neighbours_in_time_have_no_drift() -> None:
    film = moving_film((2.0, 1.0), dates=2)
    alone = film.dates(slice(0, 1))
    assert estimate_drift([alone]) is None
    assert estimate_drift([Film(**film.parts() | {"mask": 0 * film.mask})]) is None


def test_a_drift_is_kept_only_if_it_predicts_hidden_observations_better() -> None:
    film = moving_film((2.3, 0.8))
    still = GaussianPrior(length=8.0, persistence=10 * STEP, noise=0.1)
    moving = fit_drift(still, [film], fit=lambda prior: prior)
    assert moving.is_moving
    np.testing.assert_allclose(np.array(Drift(moving.drift_y, moving.drift_x)) * STEP, (2.3, 0.8), atol=0.15)
    # The other parameters of this fit make the drift useless: nothing lasts until the next date.
    useless = GaussianPrior(length=8.0, persistence=0.01 * STEP, noise=0.1)
    assert fit_drift(useless, [film], fit=lambda prior: prior) is useless


def test_the_persistence_of_a_field_that_drifts_is_measured_along_its_drift() -> None:
    truth = GaussianPrior(length=6.0, persistence=8.0, noise=0.2, drift_y=2.0, drift_x=-1.0)
    nothing, days = torch.zeros(1, 16, 1, 16, 16), torch.arange(16.0, dtype=torch.float64)
    random = torch.Generator().manual_seed(0)
    field = truth.sample(nothing, nothing, torch.ones(16, 16), days, generator=random)[0]
    values = field + truth.noise * torch.randn(field.shape, generator=random)
    mask = (torch.rand(field.shape, generator=random) < 0.7).float()
    kept = mask.clone()
    kept[6:9, :, 4:12, 4:12] = 0
    film = Film(values=values * mask, mask=mask, kept=kept, domain=torch.ones(16, 16), days=days)
    moving, still = (
        fit_prior([film], start=replace(start, persistence=3.0), evaluations=12)
        for start in (truth, replace(truth, drift_y=0.0, drift_x=0.0))
    )
    assert 4.0 < moving.persistence < 16.0
    assert still.persistence < 2.0
