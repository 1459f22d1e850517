"""A field that is independent from date to date is found beside a lasting one, and only where there is one."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from geogan.prior import Film, GaussianPrior
from geogan.prior.brief import fit_brief
from geogan.prior.fit import _errors

LASTING = GaussianPrior(length=14.0, persistence=6.0, noise=0.05)
BOTH = replace(LASTING, brief=0.4, brief_length=8.0)
SHAPE = (4, 8, 1, 32, 32)


@pytest.fixture(scope="module")
def fields() -> dict[str, torch.Tensor]:
    """Return fields without gaps: the lasting field alone, and with a brief one."""
    generator = torch.Generator().manual_seed(0)
    nothing, domain, days = torch.zeros(SHAPE), torch.ones(SHAPE[-2:]), torch.arange(8.0, dtype=torch.float64)
    lasting = LASTING.sample(nothing, nothing, domain, days, generator=generator)
    brief = BOTH.date_field.sample(nothing, nothing, domain, days, generator=generator)
    noise = 0.05 * torch.randn(SHAPE, generator=generator)
    return {"lasting": lasting + noise, "both": lasting + brief + noise}


@pytest.fixture(scope="module")
def films(fields) -> dict[str, list[Film]]:
    """Return films with hidden squares and hidden single cells."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.randn(SHAPE[0] * SHAPE[1], 1, 4, 4, generator=generator)
    hidden = (torch.nn.functional.interpolate(coarse, scale_factor=8) > 0.6).float().view(SHAPE)
    single = (torch.rand(SHAPE, generator=generator) < 0.1) * (1 - hidden)
    made = {}
    for name, field in fields.items():
        made[name] = [
            Film(
                values=field[n],
                mask=torch.ones(SHAPE[1:]),
                kept=1 - hidden[n] - single[n],
                single=single[n],
                domain=torch.ones(SHAPE[-2:]),
                days=torch.arange(8.0, dtype=torch.float64),
            )
            for n in range(SHAPE[0])
        ]
    return made


def test_a_brief_field_is_found(films):
    """A smooth prior takes the brief field for noise; the search makes a field of it, and predicts better."""
    smooth = replace(LASTING, noise=0.4)
    found = fit_brief(smooth, smooth, partial(_errors, films=films["both"]))
    assert 0.3 < found.brief < 0.41 and 0.02 < found.noise < 0.25
    before, after = (_errors(prior, films["both"]) for prior in (smooth, found))
    assert after[0] < before[0] and after[1] < 0.85 * before[1]


def test_noise_is_not_taken_for_a_brief_field(films):
    random = torch.Generator().manual_seed(2)
    noisy = [
        replace(film, values=film.values + 0.4 * torch.randn(film.values.shape, generator=random))
        for film in films["lasting"]
    ]
    smooth = replace(LASTING, noise=0.4)
    assert fit_brief(smooth, smooth, partial(_errors, films=noisy)) == smooth


def test_members_spread_as_the_errors(films):
    """Of both fields together: near observations and in gaps."""
    film = Film.stack(films["both"])
    noise = torch.randn((2, 8, *film.values.shape), generator=torch.Generator().manual_seed(3))
    guess, deviations = BOTH.members(film.values * film.kept, film.kept, film.cells, film.days, noise=noise)
    torch.testing.assert_close(
        guess, BOTH.map(film.values * film.kept, film.kept, film.cells, film.days), atol=0.02, rtol=0.0
    )
    variance = deviations.square().mean(0) + BOTH.noise**2
    for where in (film.hidden > 0, film.single > 0):
        error = (guess - film.values)[where].square().mean().sqrt()
        assert float(variance[where].mean().sqrt() / error) == pytest.approx(1.0, abs=0.15)


def test_without_observations_members_have_the_variance_of_both():
    nothing, domain = torch.zeros(1, 3, 1, 40, 40), torch.ones(40, 40)
    noise = torch.randn((2, 8, *nothing.shape), generator=torch.Generator().manual_seed(4))
    _, deviations = replace(BOTH, length=8.0).members(nothing, nothing, domain, torch.arange(3.0), noise=noise)
    inner = deviations[..., 10:30, 10:30].square().mean()
    assert float(inner) == pytest.approx(1 + BOTH.brief**2, rel=0.15)
