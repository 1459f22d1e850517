"""The search recovers the parameters of synthetic fields, and scores are errors on hidden observations."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from geogan.operators.errors import InputError
from geogan.prior import Film, GaussianPrior, fit_amplitude, fit_prior, hidden_error
from geogan.prior.fit import _MarkovSpace, _Pieces, _with_pieces, fit_archive_prior
from geogan.prior.predictive_score import PredictiveScore, draw_blocks


def film(values, kept, hidden, domain, days, *, single=None) -> Film:
    """Return a film whose observations are shown, hidden under a cloud, or hidden one by one."""
    mask = kept + hidden if single is None else kept + hidden + single
    return Film(values=values, mask=mask, kept=kept, domain=domain, days=days, single=single)


def draw(prior: GaussianPrior, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Draw fields (B, T, 1, H, W) of daily dates from a prior on a grid without land."""
    nothing = torch.zeros(shape)
    return prior.sample(nothing, nothing, torch.ones(shape[-2:]), torch.arange(float(shape[1])), generator=generator)


def clouds(shape: tuple[int, ...], cells: int, threshold: float, generator: torch.Generator) -> torch.Tensor:
    """Return a mask (N, C, H, W) that is 1 under square clouds of so many cells."""
    count, channels, height, width = shape
    coarse = torch.randn(count, channels, height // cells, width // cells, generator=generator)
    return (torch.nn.functional.interpolate(coarse, scale_factor=cells) > threshold).float()


def test_parameters_are_recovered():
    true = GaussianPrior(length=10.0, persistence=4.0, noise=0.2)
    generator = torch.Generator().manual_seed(5)
    domain, dates = torch.ones(40, 40), torch.arange(12.0)
    fields = draw(true, (2, 12, 1, 40, 40), generator)
    fields = fields + true.noise * torch.randn(fields.shape, generator=generator)
    films = []
    for field in fields:
        hidden = clouds((1, 12, 40, 40), 5, 0.5, generator)[0][:, None]
        films.append(film(field, 1 - hidden, hidden, domain, dates))
    fitted = fit_prior(films, evaluations=20)
    assert hidden_error(fitted, films) <= 1.01 * hidden_error(true, films)
    assert np.log(fitted.length / true.length) == pytest.approx(0, abs=0.6)
    assert np.log(fitted.persistence / true.persistence) == pytest.approx(0, abs=0.7)


def test_a_search_without_hidden_observations_is_refused():
    ones = torch.ones(1, 1, 4, 4)
    empty = film(ones, ones, torch.zeros_like(ones), torch.ones(4, 4), torch.zeros(1))
    with pytest.raises(InputError, match="no observation could be hidden"):
        fit_prior([empty])


def test_detail_and_tilt_of_a_rough_field_are_recovered():
    true = GaussianPrior(length=60.0, noise=0.1, detail=0.05, tilt=-1.0)
    generator = torch.Generator().manual_seed(2)
    domain, dates = torch.ones(48, 48), torch.zeros(1)
    fields = draw(true, (6, 1, 1, 48, 48), generator)
    fields = fields + true.noise * torch.randn(fields.shape, generator=generator)
    masks = clouds((6, 1, 48, 48), 6, 0.3, generator)[:, :, None]
    films = [film(field, 1 - hidden, hidden, domain, dates) for field, hidden in zip(fields, masks, strict=True)]
    fitted = fit_prior(films)
    assert hidden_error(fitted, films) <= 1.01 * hidden_error(true, films)
    assert fitted.detail < 0.3 and fitted.tilt < -0.2


def amplitude_films(count: int, generator: torch.Generator) -> tuple[GaussianPrior, list[Film]]:
    """Return a prior, and films of three times its amplitude and noise."""
    true = GaussianPrior(length=8.0, persistence=4.0, noise=0.2)
    domain, dates = torch.ones(32, 32), torch.arange(8.0, dtype=torch.float64)
    field = 3 * draw(true, (count, 8, 1, 32, 32), generator)
    field = field + 0.6 * torch.randn(field.shape, generator=generator)
    kept = (torch.rand(field.shape, generator=generator) < 0.3).float()
    return true, [film(values, shown, 1 - shown, domain, dates) for values, shown in zip(field, kept, strict=True)]


def test_the_amplitude_is_that_of_the_field():
    """A field of three times the amplitude and noise has the same mean and three times the spread."""
    generator = torch.Generator().manual_seed(4)
    true, films = amplitude_films(4, generator)
    fitted = fit_amplitude(replace(true, amplitude=3.0), films, seed=0)
    assert fitted.amplitude == pytest.approx(3.0, rel=0.05)
    one = films[0]
    noise = torch.randn((2, 2, 1, *one.values.shape), generator=generator)
    observed = ((one.values * one.kept)[None], one.kept[None], one.domain, one.days)
    ours, unit = (prior.members(*observed, noise=noise) for prior in (fitted, true))
    torch.testing.assert_close(ours[0], unit[0])
    torch.testing.assert_close(ours[1], fitted.amplitude * unit[1])


def test_the_amplitude_of_the_score_counts_beside_that_of_few_clouds():
    """More independent films draw the amplitude away from the one given; the same film again does not."""
    true, films = amplitude_films(6, torch.Generator().manual_seed(4))
    few, same, many = (fit_amplitude(true, part, seed=0).amplitude for part in (films[:1], films[:1] * 3, films))
    assert 1.1 < few < 2.0 < many < 3.0
    assert same == pytest.approx(few, rel=0.02)


def test_a_small_noise_is_found_beside_a_large_gap():
    """Under a large gap no observation is near enough to tell noise from a field that changes quickly."""
    shape, generator = (6, 1, 24, 24), torch.Generator().manual_seed(3)
    truth = GaussianPrior(length=8.0, persistence=1.5, noise=0.05)
    domain, days = torch.ones(24, 24), torch.arange(6.0, dtype=torch.float64)
    gap = torch.zeros(shape)
    gap[2:4, :, 4:20, 4:20] = 1
    films, singles = [], []
    for _ in range(3):
        values = draw(truth, (1, *shape), generator)[0] + 0.05 * torch.randn(shape, generator=generator)
        single = (torch.rand(shape, generator=generator) < 0.05) * (1 - gap)
        films.append(film(values, 1 - gap, gap, domain, days))
        singles.append(film(values, 1 - gap - single, gap, domain, days, single=single))
    fitted = fit_prior(films, start=GaussianPrior(length=16.0, persistence=5.0, noise=0.4))
    assert fitted.noise < 0.1
    assert fitted.length == pytest.approx(8.0, rel=0.2) and fitted.persistence == pytest.approx(1.5, rel=0.4)
    # The score of clouds does not contain the error on single observations.
    assert hidden_error(truth, singles) == pytest.approx(hidden_error(truth, films), rel=0.02)


def test_a_seed_decides_the_fit():
    generator = torch.Generator().manual_seed(1)
    field = draw(GaussianPrior(length=6.0, persistence=3.0), (1, 5, 1, 12, 12), generator)[0]
    hidden = clouds((1, 5, 12, 12), 4, 0.5, generator)[0][:, None]
    films = [film(field, 1 - hidden, hidden, torch.ones(12, 12), torch.arange(5.0, dtype=torch.float64))]
    one, other, different = (fit_prior(films, evaluations=8, seed=seed) for seed in (0, 0, 1))
    assert one == other and one != different


@pytest.mark.parametrize("dates", [1, 5])
def test_a_constant_field_has_a_prior(dates):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.zeros(dates, 1, 12, 12)
    hidden[:, :, 3:7, 2:8] = 1
    shown = (torch.rand(hidden.shape, generator=generator) < 0.8) * (1 - hidden)
    mask = shown + hidden
    constant = Film(values=mask, mask=mask, kept=shown, domain=torch.ones(12, 12), days=torch.arange(float(dates)))
    assert hidden_error(fit_prior([constant], evaluations=20), [constant]) < 0.05


@pytest.mark.parametrize("has_kinds", [True, False])
def test_the_archives_covariance_is_taken_if_it_is_better(has_kinds):
    """It is better for cells of four kinds at random places, and not for a Markov field."""
    generator = torch.Generator().manual_seed(0)
    markov = GaussianPrior(length=6.0, persistence=0.1, noise=0.1)
    values, domain = draw(markov, (150, 1, 1, 7, 9), generator)[:, 0], torch.ones(7, 9)
    if has_kinds:
        kind = torch.randint(0, 4, (7, 9), generator=generator)
        values = torch.randn(150, 4, generator=generator)[:, None, kind]
        values = values + 0.1 * torch.randn(values.shape, generator=generator)
    mask = (torch.rand(values.shape, generator=generator) > 0.4).float()
    days, films, searched = 8.0 * torch.arange(10.0, dtype=torch.float64), [], mask.clone()
    for first in (20, 60):
        dates = slice(first, first + 10)
        hidden = mask[dates] * (torch.rand(mask[dates].shape, generator=generator) < 0.3)
        searched[dates] -= hidden
        films.append(film(values[dates], mask[dates] - hidden, hidden, domain, days))
    fitted = fit_archive_prior(markov, films, values * mask, mask, searched, domain, evaluations=8)
    assert fitted.stationary is not has_kinds
    if has_kinds:
        assert hidden_error(fitted, films) < 0.5 * hidden_error(markov, films)
    else:
        assert fitted is markov


def test_hidden_pieces_shorten_a_length_that_suits_a_thin_sample():
    """The field is smoother than the family. The more clouds the pieces count for, the better they are predicted."""
    random, shape = np.random.default_rng(0), (6, 24, 24)
    changes = gaussian_filter(random.standard_normal(shape), (0, 2, 2))
    fields = [changes[0]]
    for change in changes[1:]:
        fields.append(0.8 * fields[-1] + 0.6 * change)
    seen, shown = (gaussian_filter(random.standard_normal(shape), (0, 2, 2)) > 0 for _ in range(2))
    values, mask, kept = (
        torch.from_numpy(part.astype(np.float32))[:, None]
        for part in (np.stack(fields) / changes.std() * seen, seen, seen & shown)
    )
    pieces = [film(values, kept, mask - kept, torch.ones(24, 24), torch.arange(6.0, dtype=torch.float64))]
    space = _MarkovSpace.of(pieces, None, has_time=True)
    score = PredictiveScore(draw_blocks(pieces, 12, size=40, generator=random))
    point, free = space.point(GaussianPrior(length=25.0, noise=0.1)), space.free(is_rough=False)
    found = [_with_pieces(space, score, _Pieces(pieces, clouds), point, free).point for clouds in (0.0, 1000.0)]
    by_score, by_pieces = (space.prior(each) for each in found)
    assert by_pieces.length < by_score.length
    assert hidden_error(by_pieces, pieces) < 0.98 * hidden_error(by_score, pieces)
