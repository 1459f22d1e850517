"""Couplings, gains and modes are recovered from gappy dates, and chosen only where they predict better."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from geogan.prior import Film, GaussianPrior, fit_amplitude, hidden_error
from geogan.prior import mode_estimate as estimate
from geogan.prior.fit_covariance import fit_covariance, sampled_dates
from geogan.prior.fit_local import fit_local_prior
from geogan.prior.local import LocalPrior
from geogan.prior.local_moments import local_maps

DATES, HEIGHT, WIDTH = 96, 48, 50
MARKOV = GaussianPrior(length=8.0, persistence=0.1, noise=0.15, amplitude=0.6)


def smooth(random: np.random.Generator, sigma: tuple[float, float], size=(DATES, HEIGHT, WIDTH)) -> np.ndarray:
    """Return independent smooth fields of variance 1."""
    field = gaussian_filter(random.standard_normal(size), (0, *sigma), mode="wrap")
    return field / field.std()


def archive(*, modes: bool, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return truth and observed values (T, 1, H, W) of a sea: a smooth field, and two patches that go up and down."""
    random = np.random.default_rng(seed)
    field = 0.6 * smooth(random, (2.0, 2.0))
    if modes:
        patterns = np.sign(smooth(random, (2.0, 2.0), (2, HEIGHT, WIDTH)))
        field = field + np.tensordot(random.standard_normal((DATES, 2)), patterns, 1)
    truth = torch.from_numpy(field[:, None]).float()
    return truth, truth + 0.09 * torch.from_numpy(random.standard_normal(truth.shape)).float()


def sample_and_films(values: torch.Tensor, *, seed: int = 1) -> tuple[Film, list[Film]]:
    """Return all dates under clouds, and two films of 16 dates that hide more under other clouds."""
    random = np.random.default_rng(seed)
    clouds = torch.from_numpy(smooth(random, (4.0, 4.0))[:, None] > 0).float()
    domain, days = torch.ones(HEIGHT, WIDTH), torch.arange(DATES, dtype=torch.float64)
    place = torch.tensor([0, 0])
    sample = Film(values=values * clouds, mask=clouds, domain=domain, days=days, kept=clouds.clone(), place=place)
    films = []
    for start in (0, 40):
        t = slice(start, start + 16)
        kept = clouds[t] * clouds.roll(9, 0)[t]
        films.append(replace(sample.dates(t), kept=kept))
        sample.kept[t] = kept
    return sample, films


def test_modes_are_found_where_the_archive_has_them():
    truth, values = archive(modes=True)
    sample, films = sample_and_films(values)
    prior = fit_local_prior(MARKOV, films, sample)
    assert isinstance(prior, LocalPrior)
    assert prior.modes.shape[1] > 0
    assert hidden_error(prior, films) < 0.8 * hidden_error(MARKOV, films)
    # The spread of members is the error on truth under clouds.
    prior, film = fit_amplitude(prior, films, seed=0), sample.dates(slice(60, 76))
    noise = torch.randn((2, 8, 1, *film.values.shape), generator=torch.Generator().manual_seed(0))
    guess, deviations = prior.members(film.values[None], film.mask[None], film.domain, film.days, noise=noise)
    under = (1 - film.mask)[None]
    error = float(((guess - truth[60:76]) ** 2 * under).sum()) ** 0.5
    assert 0.9 < float((deviations.square().mean(0) * under).sum()) ** 0.5 / error < 1.1


def test_a_stationary_field_stays_stationary():
    _, values = archive(modes=False)
    sample, films = sample_and_films(values)
    assert fit_local_prior(MARKOV, films, sample) is MARKOV


def test_hidden_observations_do_not_affect_the_choice():
    _, values = archive(modes=True)
    sample, films = sample_and_films(values)
    spoiled = replace(sample, values=torch.where(sample.kept > 0, sample.values, 100 * sample.values))
    first, second = (fit_local_prior(MARKOV, films, replace(each, mask=each.kept)) for each in (sample, spoiled))
    assert isinstance(first, LocalPrior)
    assert isinstance(second, LocalPrior)
    assert torch.equal(first.modes, second.modes)
    assert torch.equal(first.maps, second.maps)


def test_maps_show_where_the_field_is_large_and_where_it_is_short():
    random = np.random.default_rng(0)
    field = np.concatenate([2 * smooth(random, (1.5, 1.5)), smooth(random, (1.5, 6.0))], 2)
    values = torch.from_numpy(field).float()
    seen = torch.from_numpy(random.random(values.shape) < 0.6).float()
    maps = local_maps(values * seen, seen, torch.ones(values.shape[1:]), radius=4.0, noise2=0.0, is_periodic=False)
    left, right = (maps[:, 8:-8, x].mean((1, 2)) for x in (slice(8, WIDTH - 12), slice(WIDTH + 12, -8)))
    along, across, gain = (right / left).tolist()
    # Lengths are 4 times as large along x, so the couplings are 16 times as large but for the smoothing.
    assert 8 < across / along < 24
    # Gain over the fourth root of the couplings is the standard deviation.
    assert gain / (along * across) ** 0.25 == pytest.approx(0.5, abs=0.08)


def test_patterns_and_persistence_are_recovered():
    random = np.random.default_rng(1)
    count, modes, persistence = 400, 5, 6.0
    series = [random.standard_normal(modes)]
    share = np.exp(-1 / persistence)
    for _ in range(count - 1):
        series.append(share * series[-1] + np.sqrt(1 - share**2) * random.standard_normal(modes))
    mean = torch.from_numpy(np.array(series))
    true = torch.from_numpy(random.standard_normal((modes, 7, 9)))
    values = torch.einsum("tk,khw->thw", mean, true).float()
    seen = torch.from_numpy(random.random(values.shape) < 0.5).float()
    found = estimate.patterns(values * seen, seen, mean, torch.zeros(count, modes, modes, dtype=torch.float64))
    # The regression is shrunk by ten dates of the 200 that see a cell.
    assert torch.allclose(found.double(), true, atol=0.3)
    assert estimate.mode_persistence(mean, torch.arange(count).double()) == pytest.approx(persistence, rel=0.5)


def test_patterns_of_strips_are_those_of_the_whole_grid(monkeypatch):
    random = torch.Generator().manual_seed(0)
    values, mean = torch.randn((20, 6, 5), generator=random), torch.randn((20, 3), generator=random).double()
    parts = (values, torch.ones_like(values), mean, torch.zeros(20, 3, 3).double())
    whole = estimate.patterns(*parts)
    monkeypatch.setattr(estimate, "ENTRIES", 100)
    assert torch.allclose(estimate.patterns(*parts), whole, atol=1e-6)


def test_no_more_is_read_than_allowed():
    _, values = archive(modes=True)
    sample, films = sample_and_films(values)
    asked: list[np.ndarray] = []

    def read(numbers: np.ndarray) -> Film:
        asked.append(numbers)
        return replace(sample.dates(slice(0, len(numbers))), days=sample.days[numbers])

    def fitted(most: int):
        return fit_covariance(
            MARKOV,
            films,
            [slice(0, 16), slice(40, 56)],
            read,
            dates=DATES,
            shape=(1, HEIGHT, WIDTH),
            most=most,
            has_time=True,
        )

    # Too few dates fit into memory to estimate modes.
    assert fitted(50 * HEIGHT * WIDTH) is MARKOV
    assert not asked
    fitted(72 * HEIGHT * WIDTH)
    assert sum(len(numbers) for numbers in asked) == 72


def test_sampled_dates_follow_each_other_in_runs():
    numbers = sampled_dates(1000, 80)
    assert len(numbers) == 80
    assert numbers[0] == 0
    assert numbers[-1] == 999
    assert int((np.diff(numbers) == 1).sum()) == 70
