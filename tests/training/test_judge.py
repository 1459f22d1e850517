"""The judge measures on withheld observations alone, and is the same every time."""

import dataclasses

import numpy as np
import pytest
import torch
import xarray as xr

from geogan.archive import Archive, Standardiser
from geogan.fields.field import Field
from geogan.model import Calibration, prepare_archive
from geogan.model.networks import ErrorNet
from geogan.operators.cloud import CloudMask
from geogan.operators.compose import Compose
from geogan.operators.convolve import ConvolveNoise
from geogan.operators.errors import InputError
from geogan.prior import Film
from geogan.training.judge import Judge, Selection
from geogan.training.recorruption import RECORRUPTION

CLOUDS = CloudMask()


@pytest.fixture
def archive(model, gappy):
    return prepare_archive(model, Field.of(gappy), withheld=True)


def test_without_a_guess_the_error_is_that_of_the_climatology(archive):
    piece = archive.read(slice(None))
    expected = (piece.values[piece.withheld > 0] ** 2).mean().sqrt()
    assert Judge.of(archive, CLOUDS, None, frames=3).error(None) == pytest.approx(float(expected), rel=1e-5)


def test_every_withheld_cell_counts_once(archive):
    judge = Judge.of(archive, CLOUDS, None, frames=3)
    assert len(judge.films) == len(archive.withheld.runs())
    # Also where stretches overlap: they look at dates around a run, on which another run's cells may lie.
    assert judge.cells == archive.read(slice(None)).withheld.sum()
    for stretch in judge.films:
        assert (stretch.withheld * stretch.mask == 0).all() and len(stretch.values) >= 3


def test_a_guess_and_a_network_are_judged_as_they_fill(archive, prior, model):
    judge = Judge.of(archive, CLOUDS, prior, frames=3)
    guessed = judge.error(None)
    assert guessed < 0.8 * Judge.of(archive, CLOUDS, None, frames=3).error(None)
    untrained = dataclasses.replace(model).network.__class__(frames=3, width=4)
    assert judge.error(untrained) == pytest.approx(guessed, rel=1e-4)
    assert judge.error(model.network) != pytest.approx(guessed, rel=1e-3)
    assert judge.error(model.network) == Judge.of(archive, CLOUDS, prior, frames=3).error(model.network)
    assert judge.error(model.network, precision=torch.bfloat16) == pytest.approx(judge.error(model.network), rel=0.05)


def test_withheld_values_are_no_part_of_the_answer(archive, prior, model, gappy, domain):
    """If all withheld values are shifted, errors move by the shift, so estimates do not."""
    moved = gappy.copy(deep=True)
    for date in archive.withheld.dates:
        moved.values[date][archive.withheld.hidden(date, archive.seen)[0]] += 1000 * archive.standardiser.scale
    wild = dataclasses.replace(archive, field=moved.expand_dims("band", 1))
    for network in (None, model.network):
        assert Judge.of(wild, CLOUDS, prior, frames=3).error(network) == pytest.approx(1000, rel=0.01)


def test_large_grids_are_judged_around_what_is_withheld(archive):
    near = Selection(side=5)
    judge = Judge.of(archive, CLOUDS, None, frames=3, selection=near)
    assert all(max(stretch.domain.shape) <= 10 and stretch.withheld.any() for stretch in judge.films)
    again = Judge.of(archive, CLOUDS, None, frames=3, selection=near)
    assert all(torch.equal(a.values, b.values) for a, b in zip(judge.films, again.films))


def test_many_runs_are_judged_by_some(archive):
    assert len(Judge.of(archive, CLOUDS, None, frames=3, selection=Selection(films=1, values=1)).films) == 1


def test_where_there_are_many_clouds_most_choose_nothing(archive):
    whole = Judge.of(archive, CLOUDS, None, frames=3)
    assert Judge.of(archive, CLOUDS, None, frames=3, chooses=False).cells == whole.cells, "few clouds do both"
    few = Selection(enough=3)
    assert len(whole.films) >= 3
    choosing, others = (
        Judge.of(archive, CLOUDS, None, frames=3, chooses=chooses, selection=few) for chooses in (True, False)
    )
    assert choosing.cells + others.cells == whole.cells
    assert 0 < len(choosing.films) <= len(others.films) + 1
    for stretch in choosing.films:
        assert not any(torch.equal(stretch.values, other.values) for other in others.films)


def test_nothing_withheld_is_said(archive):
    with pytest.raises(InputError, match="no observation could be withheld to choose the best weights by"):
        Judge.of(dataclasses.replace(archive, withheld=None), CLOUDS, None, frames=3)


def test_what_was_withheld_is_compared_with_its_like(archive):
    """Behind a blur, the blurred field has no error, and the field itself a large one."""
    blur = ConvolveNoise(l=5, sigma=0.0)
    sharp = torch.randn(6, 1, 20, 24, generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(sharp)
    measured = blur.blur(sharp[None])[0]
    stretch = Film(
        values=measured,
        mask=mask,
        domain=torch.ones(20, 24),
        days=torch.arange(6.0),
        withheld=mask,
        guess=sharp,
        target=measured,
    )
    assert Judge(Compose((blur, CLOUDS)), (stretch,)).error(None) == pytest.approx(0, abs=1e-6)
    assert Judge(CLOUDS, (stretch,)).error(None) > 0.5


@pytest.fixture
def noisy():
    """Return the operator, clean samples, and the archive of their blurred, noisy measurements."""
    operator = ConvolveNoise(l=3, sigma=0.3)
    smooth = ConvolveNoise(l=5, sigma=0.0).blur(
        torch.randn(1, 40, 1, 20, 24, generator=torch.Generator().manual_seed(0))
    )
    clean = (2 * smooth[0]).numpy()
    noise = 0.3 * np.random.default_rng(0).standard_normal(clean.shape).astype("f4")
    measured = operator.blur(torch.from_numpy(clean)[None])[0].numpy() + noise
    field = xr.DataArray(measured[:, 0], dims=("sample", "y", "x"), name="image")
    everywhere = np.ones((20, 24), bool)
    return operator, clean, Archive.of(Field.of(field, domain=everywhere), Standardiser.identity(1, everywhere))


class Answer(torch.nn.Module):
    """A network that returns given answers for any input."""

    frames, noise = 1, "none"

    def __init__(self, answers):
        super().__init__()
        self.register_buffer("scale", torch.ones(()))
        self.answers, self.at = answers, 0

    def forward(self, values, mask, guess, domain, *_):
        self.at += len(values)
        return self.answers[self.at - len(values) : self.at, None]


@pytest.mark.parametrize("error", [0.1, 0.3])
def test_against_noise_the_error_is_that_against_the_truth(noisy, error):
    """The estimated error equals the error of the blurred field, without clean values."""
    operator, clean, archive = noisy
    judge = Judge.of(archive, operator, None, frames=1)
    off = torch.from_numpy(clean) + error * torch.randn(clean.shape, generator=torch.Generator().manual_seed(5))
    expected = float((operator.blur(off[None]) - operator.blur(torch.from_numpy(clean)[None])).square().mean().sqrt())
    assert judge.cells == 40 * 480
    assert judge.error(Answer(off)) ** 2 == pytest.approx(expected**2, abs=3 * 0.3 * 2.3 * 0.3 / judge.cells**0.5)


def test_against_noise_what_returns_the_measurement_is_punished(noisy):
    """Returning the input has the error of its noise, which is independent of the target's."""
    operator, clean, archive = noisy
    plain = dataclasses.replace(operator, l=1)
    judge = Judge.of(archive, plain, None, frames=1)
    shown = torch.cat([stretch.values for stretch in judge.films])
    measured = archive.read(slice(None)).values
    added = (shown - measured).std()
    assert added == pytest.approx(RECORRUPTION * 0.3, rel=0.02)
    # Noise of the measurement and noise on top.
    assert judge.error(Answer(shown)) == pytest.approx(0.3 * (1 + RECORRUPTION**2) ** 0.5, rel=0.05)
    again = Judge.of(archive, plain, None, frames=1)
    assert all(torch.equal(a.values, b.values) for a, b in zip(judge.films, again.films))


def test_noise_is_withheld_of_films_too(truth, domain, prior):
    measured = truth + 0.3 * np.random.default_rng(0).standard_normal(truth.shape).astype("f4")
    archive = Archive.of(Field.of(measured, domain=domain), Standardiser.fit(Field.of(measured, domain=domain)))
    judge = Judge.of(archive, ConvolveNoise(l=1, sigma=0.3), prior, frames=3)
    assert len(judge.films) >= Selection().films and judge.cells == len(judge.films) * domain.sum()
    assert 0 < judge.error(None) < Judge.of(archive, ConvolveNoise(l=1, sigma=0.3), None, frames=3).error(None)


def test_samples_are_judged_side_by_side(gappy, domain, prior):
    samples = gappy.drop_vars("time").rename(time="sample")
    both = xr.concat([samples, samples[:, ::-1].assign_coords(lat=samples.lat)], "band")
    everywhere = np.ones_like(domain)
    archive = Archive.of(Field.of(both, domain=everywhere), Standardiser.fit(Field.of(both, domain=everywhere)))
    archive = archive.withholding(np.array([archive.seen(date).mean() for date in range(30)]), seed=1)
    judge = Judge.of(archive, CLOUDS, prior, frames=1)
    assert judge.cells == archive.read(slice(None)).withheld.sum() > 100
    assert all(stretch.values.shape[1:] == (2, 20, 24) for stretch in judge.films)
    assert judge.error(None) < 0.8 * Judge.of(archive, CLOUDS, None, frames=1).error(None)


def test_ensembles_are_those_of_a_fill(archive, prior, model):
    """Deviations are posterior draws scaled to calibrated errors, compared with withheld observations."""
    calibration = Calibration(factor=(2.0,))
    judge = Judge.of(archive, CLOUDS, prior, frames=3, draws=4)
    made = list(judge.ensembles(model.network, model.error, calibration))
    assert len(made) == len(judge.films) and sum(float(each.film.withheld.sum()) for each in made) == judge.cells
    for each, stretch in zip(made, judge.films, strict=True):
        torch.testing.assert_close(each.deviations, stretch.members, atol=1e-5, rtol=1e-4)
        assert torch.equal(each.film.target, stretch.target) and (stretch.mask[stretch.withheld > 0] == 0).all()
        assert (each.noise == 0).all()
    plain = list(judge.ensembles(model.network, model.error, Calibration()))
    np.testing.assert_allclose(made[0].std, 2 * plain[0].std)
    assert not list(Judge.of(archive, CLOUDS, prior, frames=3).ensembles(model.network, model.error, calibration))


def test_the_level_comes_from_the_posterior_and_the_clouds(archive, prior, model):
    """Predicted errors of half the posterior's spread, with the prior's noise, are doubled."""
    judge = Judge.of(archive, CLOUDS, prior, frames=3, draws=4)
    gaps = [(each.mask == 0) & (each.domain > 0) for each in judge.films]
    spread = torch.cat([each.members.square().mean(0)[where] for each, where in zip(judge.films, gaps)]).mean()
    spread = (spread + (prior.noise * prior.amplitude) ** 2).sqrt()
    error = ErrorNet(frames=3, width=4)
    error.scale.fill_(spread / 2)
    assert judge.residuals(None, error).level == pytest.approx(2.0, rel=1e-4)
    # And the less, the smaller the generator's errors are beside the first guess's on the withheld clouds.
    ratio = judge.error(model.network) / judge.error(None)
    assert judge.residuals(model.network, error).level == pytest.approx(2.0 * ratio, rel=1e-4)
    assert Judge.of(archive, CLOUDS, prior, frames=3).residuals(None, error).level == 1.0
