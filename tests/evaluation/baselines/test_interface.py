"""Baselines receive what the model receives, and fill in the field's units."""

import dataclasses
from functools import partial

import numpy as np
import pytest
import xarray as xr

from geogan.evaluation.baselines import BASELINES, ambientgan, deep_image_prior
from geogan.evaluation.baselines.ambientgan import GeneratorTraining, LatentSearch
from geogan.evaluation.baselines.deep_image_prior import NetworkFit
from geogan.evaluation.baselines.interface import BaselineInput, prepare_baseline
from geogan.fields.field import Field
from geogan.model import prepare_archive
from geogan.operators.convolve import ConvolveNoise
from geogan.operators.errors import InputError
from geogan.operators.pixels import RemovePixel

DATES = np.array([3, 4, 17])
# Fits and training of a few steps.
SHORT = {
    "deep_image_prior": partial(deep_image_prior.prepare, settings=NetworkFit(iterations=20, width=8)),
    "ambientgan": partial(
        ambientgan.prepare,
        training=GeneratorTraining(steps=2, width=4, batch=4),
        search=LatentSearch(iterations=2, restarts=1),
    ),
}
SLOW = [name for name, baseline in BASELINES.items() if baseline.is_slow]


@pytest.fixture
def archive(model, gappy):
    return prepare_archive(model, Field.of(gappy), withheld=True)


def prepare(name, given):
    return SHORT.get(name, partial(prepare_baseline, name))(given)


def input_of(archive, model, *, dates=DATES, messages=None, progress=None):
    messages, progress = [] if messages is None else messages, [] if progress is None else progress
    return BaselineInput(archive, model, dates, None, 1, lambda *share: progress.append(share), messages.append)


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_fills_the_domain_in_the_field_s_units(name, model, archive, gappy, domain):
    fill = prepare(name, input_of(archive, model))
    filled = np.concatenate([fill(slice(3, 5)), fill(slice(17, 18))])
    assert filled.shape == (3, 1, 20, 24)
    assert np.isfinite(filled[:, 0][:, domain]).mean() > 0.95 and np.isnan(filled[:, 0][:, ~domain]).all()
    observed = np.isfinite(gappy.values[DATES]) & ~archive.read(DATES).withheld[:, 0].numpy().astype(bool)
    atol = 1e-3 if name != "ambientgan" else 99
    np.testing.assert_allclose(filled[:, 0][observed], gappy.values[DATES][observed], atol=atol)
    # Within the range of the record, more or less, which anomalies are not.
    assert np.nanmin(filled) > gappy.min() - 5 and np.nanmax(filled) < gappy.max() + 5


@pytest.mark.parametrize("name", BASELINES)
def test_withheld_cells_are_hidden(name, model, archive, gappy):
    """Huge values in the withheld cells do not change any result."""
    poisoned = gappy.copy(deep=True)
    poisoned.values[archive.read(slice(None)).withheld[:, 0].numpy() > 0] = 1e7
    other = dataclasses.replace(archive, field=poisoned.expand_dims("band", 1))
    before, after = (prepare(name, input_of(part, model))(slice(3, 5)) for part in (archive, other))
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("name", ["total_variation", "deep_image_prior", "dineof"])
def test_the_result_of_a_date_does_not_depend_on_the_other_dates(name, model, archive):
    among_others = prepare(name, input_of(archive, model))(slice(17, 18))
    alone = prepare(name, input_of(archive, model, dates=np.array([17])))(slice(17, 18))
    np.testing.assert_array_equal(alone, among_others)


def test_a_slow_baseline_fills_only_the_dates_to_score(model, archive):
    assert np.isnan(prepare("total_variation", input_of(archive, model))(slice(5, 7))).all()


def test_ambientgan_trains_for_as_long_as_the_model(model, archive):
    messages, progress = [], []
    trained_for_90_seconds = dataclasses.replace(model, scores={**model.scores, "seconds": 90.0})
    assert ambientgan.training_like(trained_for_90_seconds).minutes == 1.5
    prepare("ambientgan", input_of(archive, trained_for_90_seconds, messages=messages, progress=progress))
    assert messages == ["training ambientgan on 30 dates for 90 s, then searching the latents of 3"]
    assert progress[-1] == (180.0, 180.0)


def test_images_stay_within_their_limits_and_have_bands(model):
    random = np.random.default_rng(0)
    pictures = xr.DataArray(
        np.sign(random.standard_normal((6, 2, 1, 24))) * np.ones((20, 1)),
        dims=("sample", "band", "y", "x"),
        attrs={"valid_min": -1, "valid_max": 1},
        name="image",
    ).astype("f4")
    gappy = pictures.where(random.random(pictures.shape) > 0.5)
    coefficients = np.zeros((1, 2, 20, 24), np.float32)
    images = dataclasses.replace(
        model,
        network=None,
        frames=1,
        domain=np.ones((20, 24), bool),
        operator=RemovePixel(0.5),
        standardiser=dataclasses.replace(
            model.standardiser, coefficients=coefficients, scale=np.ones(2), transform="identity"
        ),
        y=None,
        x=None,
        units="",
        variable="image",
    )
    archive = prepare_archive(images, Field.of(gappy))
    assert archive.is_image and np.ravel(archive.limits).tolist() == [-1, -1, 1, 1]
    for name in SLOW:
        filled = prepare(name, input_of(archive, images, dates=np.arange(6)))(slice(0, 6))
        assert filled.shape == (6, 2, 20, 24) and np.isfinite(filled).all() and np.abs(filled).max() <= 1


def test_noise_is_not_kept(model, archive, gappy):
    noisy = dataclasses.replace(model, operator=ConvolveNoise(l=3, sigma=0.3))
    observed = archive.read(DATES).mask.numpy() > 0
    for name in ("total_variation", "deep_image_prior"):
        filled = prepare(name, input_of(archive, noisy))(slice(3, 5))
        assert np.abs(filled - gappy.values[3:5, None])[observed[:2]].mean() > 0.01


def test_a_record_larger_than_memory_is_refused_by_slow_baselines(model, archive):
    given = input_of(dataclasses.replace(archive, memory=4000), model)
    with pytest.raises(InputError, match="dineof needs the record in memory, which has 14,400 values, more than 1,000"):
        prepare_baseline("dineof", given)
    assert prepare_baseline("climatology", given)(slice(0, 2)).shape == (2, 1, 20, 24)
