"""Rivals see what the model sees, train no longer than it did, and answer in the field's units."""

import dataclasses
from functools import partial

import numpy as np
import pytest
import xarray as xr

from geogan.evaluation import rivals as module
from geogan.evaluation.rivals import FITTED, QUICK, Contest, ask
from geogan.fields.field import Field
from geogan.filling.fill import prepared
from geogan.operators.convolve import ConvolveNoise
from geogan.operators.errors import InputError
from geogan.operators.pixels import RemovePixel

DATES = np.array([3, 4, 17])


@pytest.fixture
def archive(model, gappy):
    return prepared(model, Field.of(gappy), withheld=True)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Fits and training of a few steps."""
    monkeypatch.setattr(module, "deep_image_prior", partial(module.deep_image_prior, iterations=20, width=8))
    train = module.train_ambientgan
    monkeypatch.setattr(
        module, "train_ambientgan", lambda *given, minutes, **more: train(*given, steps=2, width=4, batch=4, **more)
    )
    monkeypatch.setattr(module, "search_latent", partial(module.search_latent, iterations=2, restarts=1))


def contest_of(archive, model, *, dates=DATES, said=None, done=None):
    said, done = [] if said is None else said, [] if done is None else done
    return Contest(archive, model, dates, None, 1, lambda *share: done.append(share), said.append)


@pytest.mark.parametrize("name", [*QUICK, *FITTED])
def test_every_rival_fills_the_sea_in_degrees(name, model, archive, gappy, domain):
    filler = ask(name, contest_of(archive, model))
    there = np.concatenate([filler(slice(3, 5)), filler(slice(17, 18))])
    assert there.shape == (3, 1, 20, 24)
    assert np.isfinite(there[:, 0][:, domain]).mean() > 0.95 and np.isnan(there[:, 0][:, ~domain]).all()
    seen = np.isfinite(gappy.values[DATES]) & ~archive.read(DATES).withheld[:, 0].numpy().astype(bool)
    np.testing.assert_allclose(there[:, 0][seen], gappy.values[DATES][seen], atol=1e-3 if name != "ambientgan" else 99)
    # Between the coldest and the warmest of the record, more or less: not in anomalies.
    assert np.nanmin(there) > gappy.min() - 5 and np.nanmax(there) < gappy.max() + 5


@pytest.mark.parametrize("name", [*QUICK, *FITTED])
def test_withheld_cells_are_hidden(name, model, archive, gappy):
    """A huge value in each of them changes nothing that is said."""
    poisoned = gappy.copy(deep=True)
    poisoned.values[archive.read(slice(None)).withheld[:, 0].numpy() > 0] = 1e7
    wild = dataclasses.replace(archive, field=poisoned.expand_dims("band", 1))
    plain, other = (ask(name, contest_of(each, model))(slice(3, 5)) for each in (archive, wild))
    np.testing.assert_array_equal(plain, other)


@pytest.mark.parametrize("name", ["total_variation", "deep_image_prior", "dineof"])
def test_what_is_said_of_a_date_does_not_depend_on_the_others(name, model, archive):
    some = ask(name, contest_of(archive, model))(slice(17, 18))
    np.testing.assert_array_equal(ask(name, contest_of(archive, model, dates=np.array([17])))(slice(17, 18)), some)


def test_a_date_that_was_not_asked_for_has_no_answer(model, archive):
    assert np.isnan(ask("total_variation", contest_of(archive, model))(slice(5, 7))).all()


def test_ambientgan_trains_on_the_whole_record_as_long_as_the_model_did(model, archive, monkeypatch):
    given, said, done = {}, [], []
    train = module.train_ambientgan

    def spy(values, mask, operator, **more):
        given.update(more, values=values, mask=mask, operator=operator)
        return train(values, mask, operator, **more)

    monkeypatch.setattr(module, "train_ambientgan", spy)
    long = dataclasses.replace(model, scores={**model.scores, "seconds": 90.0})
    ask("ambientgan", contest_of(archive, long, said=said, done=done))
    assert given["minutes"] == 1.5 and given["operator"] == model.operator and not given["bounded"]
    piece = archive.read(slice(None))
    assert (given["mask"][:, 0] == piece.mask).all() and (given["values"][given["mask"] == 0] == 0).all()
    assert said == ["training ambientgan on 30 dates for 90 s, then searching the latents of 3"]
    assert done[-1] == (180.0, 180.0)


def test_images_stay_within_their_limits_and_have_bands(model, monkeypatch):
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
    archive = prepared(images, Field.of(gappy))
    assert archive.is_image and np.ravel(archive.limits).tolist() == [-1, -1, 1, 1]
    for name in FITTED:
        there = ask(name, contest_of(archive, images, dates=np.arange(6)))(slice(0, 6))
        assert there.shape == (6, 2, 20, 24) and np.isfinite(there).all() and np.abs(there).max() <= 1


def test_noise_is_not_kept(model, archive, gappy):
    noisy = dataclasses.replace(model, operator=ConvolveNoise(l=3, sigma=0.3))
    seen = archive.read(DATES).mask.numpy() > 0
    for name in ("total_variation", "deep_image_prior"):
        there = ask(name, contest_of(archive, noisy))(slice(3, 5))
        assert np.abs(there - gappy.values[3:5, None])[seen[:2]].mean() > 0.01


def test_a_record_that_memory_does_not_hold_is_refused(model, archive, monkeypatch):
    monkeypatch.setattr(module, "IN_MEMORY", 1000)
    with pytest.raises(InputError, match="dineof needs the record in memory, which has 14,400 values, more than 1,000"):
        ask("dineof", contest_of(archive, model))
    assert ask("climatology", contest_of(archive, model))(slice(0, 2)).shape == (2, 1, 20, 24)
