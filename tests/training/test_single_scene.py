"""Climatology and first guess of a single scene, chosen by predicting cells that its own mirrored gaps hide."""

import numpy as np
import pytest
import torch
import xarray as xr
from runs import PRIOR

from geogan.archive import check_field
from geogan.fields.field import Field
from geogan.operators.cloud import CloudMask
from geogan.settings import Settings
from geogan.training import preparation
from geogan.training import single_scene as scene
from geogan.training.preparation import prepare_model, read_once
from geogan.training.single_scene import choose_crops

SHAPE = (28, 36)
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]]


def noise(seed):
    return 0.3 * np.random.default_rng(seed).standard_normal(SHAPE)


def clouds(seed=1):
    """Return the observed cells of a scene under scattered clouds."""
    rough = np.random.default_rng(seed).random((7, 9)) < 0.65
    return rough.repeat(4, 0).repeat(4, 1)


def labelled(values, seen):
    return xr.DataArray(np.where(seen, values, np.nan), dims=("y", "x"), name="lst", attrs={"units": "K"})


def prepare(field, **options):
    survey = options.pop("survey", None) or check_field(Field.of(field))
    others = {name: options.pop(name) for name in ("sums", "message") if name in options}
    settings = Settings(operator=CloudMask(), window=0).replaced(**options)
    return prepare_model(Field.of(field, domain=np.ones(SHAPE, bool)), survey, settings, **others)


def guess_error(prepared, values, where):
    """Return the error of the first guess from all observations that are not withheld, in the field's units."""
    film, model = prepared.archive.read(slice(0, 1)), prepared.model
    shown = film.values * film.mask
    guess = model.prior.map(shown[None], film.mask[None], film.domain, film.days)[0].double().numpy()
    error = (model.standardiser.inverse(guess, None)[0, 0] - values)[where]
    return np.sqrt((error**2).mean())


SLOPE = 290 + 0.5 * Y - 0.4 * X
# Steep at a coast, flat beyond: a plane through the steep part is far off in the flat one.
COAST = 3 * np.exp(-X / 4)
CORNER = ~((Y >= 14) & (X < 18))


def test_on_a_slope_the_climatology_is_a_plane():
    said = []
    field = labelled(SLOPE + noise(0), clouds())
    prepared = prepare(field, message=said.append)
    assert prepared.model.standardiser.note == "a plane"
    assert said[1].startswith("climatology: a plane; error on hidden clouds ") and said[1].endswith(" with the mean")
    assert prepared.scale * prepared.model.standardiser.scale[0] < 0.6


@pytest.fixture
def quick(prior, monkeypatch):
    """Leave out the search for the prior's parameters, which takes seconds."""
    monkeypatch.setattr(scene, "fit_prior", lambda films, **settings: prior)
    monkeypatch.setattr(preparation, "fit_prior", lambda films, **settings: prior)


def test_a_plane_that_is_far_off_in_a_large_gap_is_refused(quick):
    said = []
    prepared = prepare(labelled(COAST + noise(0), CORNER), message=said.append)
    assert prepared.model.standardiser.note == "mean of the scene"
    plane, mean = (float(words.split(" with")[0]) for words in said[1].split("clouds ")[1].split(", "))
    assert plane > mean
    # The same with the plane enforced.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scene, "LEAST_GAIN", -9.0)
        forced = prepare(labelled(COAST + noise(0), CORNER))
    assert forced.model.standardiser.note == "a plane"
    hidden = prepared.archive.hidden(0)[0]
    assert guess_error(prepared, COAST, hidden) < 0.8 * guess_error(forced, COAST, hidden)


@pytest.fixture
def fitted(quick, monkeypatch):
    """Return a function that prepares a scene and returns the result and the films of the first guess."""
    taken, real = [], preparation.fit_amplitude

    def note(prior, films, *, seed):
        taken.append(films)
        return real(prior, films, seed=seed)

    monkeypatch.setattr(preparation, "fit_amplitude", note)
    return lambda field, **options: (prepare(field, **options), taken[-1])


def test_films_are_the_whole_scene_under_all_reflections_but_the_withheld_one(fitted):
    seen = clouds()
    prepared, films = fitted(labelled(SLOPE + noise(0), seen))
    withheld = prepared.archive.hidden(0)[0]
    np.testing.assert_array_equal(withheld, seen & ~seen[::-1, ::-1])
    for film, gaps in zip(films, (~seen[::-1], ~seen[:, ::-1]), strict=True):
        np.testing.assert_array_equal(film.hidden[0, 0] > 0, seen & ~withheld & gaps)
        np.testing.assert_array_equal(film.kept[0, 0] > 0, seen & ~withheld & ~gaps)


@pytest.mark.parametrize("kind", ["a plane", "mean of the scene"])
def test_the_climatology_of_a_film_uses_neither_hidden_nor_withheld_cells(fitted, monkeypatch, kind):
    monkeypatch.setattr(scene, "LEAST_GAIN", -9.0 if kind == "a plane" else 1.0)
    values, seen = SLOPE + noise(0), clouds()
    prepared, films = fitted(labelled(values, seen))
    assert prepared.model.standardiser.note == kind
    withheld = prepared.archive.hidden(0)[0]
    wild = fitted(labelled(np.where(withheld, 1e3, values), seen))[1]
    for film, other in zip(films, wild, strict=True):
        for where in (film.kept, film.hidden):
            assert where.any() and torch.equal(film.values * where, other.values * where)
    other = fitted(labelled(np.where(films[0].hidden[0, 0], values + 9, values), seen))[1][0]
    # The climatology is the same, and only the unit of the anomalies differs.
    shown = films[0].kept > 0
    ratio = other.values[shown] / films[0].values[shown]
    assert ratio.std() < 1e-3 * ratio.mean() and ratio.mean() < 1


def test_a_scene_on_disk_is_prepared_alike(fitted):
    field = labelled(SLOPE + noise(0), clouds())
    expected, films = fitted(field)
    lazy = field.chunk(y=7, x=9)
    survey, sums = read_once(Field.of(lazy), transform="none", memory=40, message=print)
    prepared, others = fitted(lazy, survey=survey, sums=sums, memory=40)
    assert prepared.archive.streamed and sums is not None
    np.testing.assert_allclose(
        prepared.model.standardiser.coefficients, expected.model.standardiser.coefficients, rtol=1e-6
    )
    for film, other in zip(films, others, strict=True):
        assert torch.equal(film.hidden, other.hidden)
        assert (film.values - other.values).abs().max() < 1e-4


def test_known_errors_are_in_the_units_of_the_plane(fitted):
    """The known error in units of the field does not depend on the climatology."""
    prepared, films = fitted(labelled(SLOPE + noise(0), clouds()), noise=0.3)
    standardiser = prepared.model.standardiser
    assert standardiser.note == "a plane"
    known = films[0].uncertainty[films[0].kept > 0]
    np.testing.assert_allclose(known * standardiser.scale[0], 0.3, rtol=1e-5)


def test_the_films_of_a_large_scene_are_crops(fitted, monkeypatch):
    monkeypatch.setattr(scene, "CROP_VALUES", 300)
    field = labelled(SLOPE + noise(0), clouds())
    sizes = [film.domain.shape for film in fitted(field)[1]]
    assert sizes == [(17, 17)] * 2
    for size in ((4, 3000), (3000, 4), (40, 60)):
        ((_, (y, x)),) = choose_crops([np.ones((1, *size), bool)], 600)
        cells = (y.stop - y.start) * (x.stop - x.start)
        assert 500 < cells <= 600


def test_a_scene_with_symmetric_gaps_is_fitted_under_drawn_gaps(fitted):
    """Its own gaps, mirrored, hide nothing."""
    seen = np.ones(SHAPE, bool)
    seen[10:18, 12:24] = False
    prepared, films = fitted(labelled(SLOPE + noise(0), seen), network=None)
    assert prepared.model.prior is not None and all(film.hidden.any() for film in films)


def test_a_scene_without_a_first_guess_and_films_are_left_alone(gappy, domain, monkeypatch):
    monkeypatch.setattr(preparation, "fit_scene", None)
    assert prepare(labelled(SLOPE + noise(0), clouds()), first_guess=False).model.prior is None
    known = Field.of(gappy, domain=domain)
    prepare_model(known, check_field(known), Settings(operator=CloudMask(), window=1, first_guess=PRIOR))
