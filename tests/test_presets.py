"""Presets: the paper's settings reach the training step, and the clean variants ask for what they need."""

from contextlib import closing

import numpy as np
import pytest
import torch
import xarray as xr
from runs import BRIEF, make_reconstructor

from geogan import Reconstructor
from geogan.compute.processes import ALONE
from geogan.fields.field import Field
from geogan.fields.measurement import measure
from geogan.model.networks import SaganGenerator
from geogan.operators.errors import InputError
from geogan.operators.pixels import RemovePixel
from geogan.presets import PRESETS, preset, preset_settings
from geogan.settings import Objective, Settings
from geogan.training import Inputs, prepare_training
from geogan.training.run import block_pool
from geogan.training.start import start_state


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(0)
    smooth = random.standard_normal((24, 3, 4, 4)).repeat(4, 2).repeat(4, 3) / 2
    attrs = {"valid_min": -1, "valid_max": 1, "units": "1"}
    values = np.clip(smooth, -1, 1).astype("f4")
    return xr.DataArray(values, dims=("sample", "band", "y", "x"), name="image", attrs=attrs)


@pytest.fixture(scope="module")
def gappy(images):
    return measure(Field.of(images), RemovePixel(p=0.5), seed=1)


def small(**settings):
    return make_reconstructor("remove_pixel:p=0.5", **{"width": 4, "crop": 16, "steps": 2, "threads": 1} | settings)


def test_presets_are_settings():
    assert preset_settings(["unir", "paired"]) == Settings().replaced(**PRESETS["unir"] | PRESETS["paired"])
    assert Reconstructor(**preset("unir", steps=60)).settings == preset_settings(["unir"]).replaced(steps=60)
    with pytest.raises(
        InputError, match="no preset is named 'wgan'; choose from unir, unir-light, unir-global, paired, unpaired"
    ):
        preset_settings(["wgan"])
    with pytest.raises(InputError, match="no setting is named 'stepz'.*did you mean 'steps'"):
        preset("unir", stepz=60)


def test_unir_is_the_papers_objective(gappy):
    """What section 4 and Algorithm 1 prescribe, in the training that is set up."""
    settings = small(**PRESETS["unir"]).settings
    training = prepare_training(Inputs(Field.of(gappy)), settings, device=torch.device("cpu"))
    assert settings.objective == Objective(
        weight_prior=1.0, weight_likelihood=2.0, weight_withheld=0.0, weight_paired=0.0, likelihood_every=1
    )
    descent = settings.training
    assert (descent.decay, descent.decay_every, descent.clip, descent.cooling) == (0.995, 400, None, 0.0)
    assert training.first.prior is None and training.first.frames == 1
    state = start_state(
        training.first, settings, scale=training.scale, is_bounded=training.is_bounded, device=training.device,
        ranks=ALONE,
    )  # fmt: skip
    for optimiser, rate in ((state.generator_optimiser, 1e-4), (state.discriminator_optimiser, 4e-4)):
        assert isinstance(optimiser, torch.optim.Adam)
        assert optimiser.defaults["lr"] == rate and optimiser.defaults["betas"] == (0.0, 0.9)
    assert isinstance(state.generator, SaganGenerator)
    assert not state.generator.show_mask and state.generator.bounded and state.generator.skip == "none"
    with closing(block_pool(training, state)) as pool:
        block = pool.at(0)[0]
    assert torch.equal(block.kept, block.mask) and not block.guess.any()


@pytest.mark.parametrize(("operator", "skip"), [("patch_band:h=4", "measurement"), ("convolve_noise", "measurement"),
                                                ("remove_pixel_channel:p=0.5", "none")])  # fmt: skip
def test_where_the_paper_adds_to_the_measurement(images, operator, skip):
    from geogan.operators.parse import parse

    settings = PRESETS["unir"] | {"width": 2, "steps": 1, "crop": 16, "threads": 1}
    fitted = make_reconstructor(operator, **settings).fit(measure(Field.of(images), parse(operator), seed=1))
    assert fitted.model_.network.skip == skip


@pytest.mark.parametrize("name", ["unir-light", "unir-global"])
def test_the_presets_for_a_cpu_have_the_papers_objective(name, gappy):
    """Their networks and optimisers differ; dense layers need the whole grid."""
    settings = preset_settings([name])
    terms = ("weight_prior", "weight_likelihood", "weight_withheld", "weight_paired", "likelihood_every")
    for term in terms:
        assert getattr(settings.objective, term) == getattr(preset_settings(["unir"]).objective, term)
    assert settings.first_guess is False and settings.window == 0
    fitted = small(**PRESETS[name] | {"width": 2, "steps": 1, "batch": 4, "crop": 16, "threads": 1}).fit(gappy)
    assert float(abs(fitted.fill(gappy).image).max()) <= 1
    if name == "unir-global":
        with pytest.raises(InputError, match="a dense generator sees whole grids, here of 16 x 16 cells; give --crop"):
            small(**PRESETS[name] | {"steps": 1, "crop": 8}).fit(gappy)


def test_d_sees_whole_measurements_and_judged_images_are_not_trained_on(gappy):
    """Images of which cells are withheld take no part in a training without withheld term; no image is turned over."""
    settings = small(**PRESETS["unir-light"] | {"width": 2, "steps": 1, "blocks": 3}).settings
    training = prepare_training(Inputs(Field.of(gappy)), settings, device=torch.device("cpu"))
    state = start_state(training.first, settings, scale=1.0, is_bounded=True, device=training.device, ranks=ALONE)
    aside = training.archive.withheld.dates
    assert 0 < len(aside) <= 3
    with closing(block_pool(training, state)) as pool:
        blocks = pool.at(0)
    kept = {
        tuple(image)
        for image in gappy.values[np.setdiff1d(np.arange(24), aside)].reshape(21, -1).view(np.uint32).tolist()
    }
    for block in blocks:
        shown = np.where(block.mask > 0, block.values, np.nan).astype(np.float32)
        whole = {tuple(image) for image in shown.reshape(len(shown), -1).view(np.uint32).tolist()}
        assert len(whole) == len(shown) and whole <= kept


def test_unir_is_saved_and_fills(gappy, tmp_path):
    fitted = small(**PRESETS["unir"]).fit(gappy)
    filled = fitted.fill(gappy)
    assert float(abs(filled.image).max()) <= 1
    loaded = Reconstructor.load(fitted.save(tmp_path / "run"))
    xr.testing.assert_allclose(loaded.fill(gappy), filled, atol=1e-5)
    assert loaded.training.betas == (0.0, 0.9)


def test_pairs_teach_the_clean_field(images, gappy):
    """With nothing but pairs the error on what was hidden falls below that of zeros."""
    settings = PRESETS["paired"] | {
        "weight_prior": 0.0,
        "first_guess": False,
        "steps": 60,
        "rate_generator": 5e-3,
    }
    filled = small(**settings).fit(gappy, clean=images).fill(gappy).image
    hidden = gappy.isnull()
    assert float(((filled - images) ** 2).where(hidden).mean()) < 0.5 * float((images**2).where(hidden).mean())


@pytest.mark.parametrize("preset", ["paired", "unpaired"])
def test_the_discriminator_is_shown_clean_fields(images, gappy, preset, monkeypatch):
    from geogan.training import step as training

    shown = []
    original = training.update_discriminator

    def watched(step, real, fake, rate):
        shown.append((real, fake))
        return original(step, real, fake, rate)

    monkeypatch.setattr(training, "update_discriminator", watched)
    small(**PRESETS[preset] | BRIEF).fit(gappy, clean=images)
    clean = {tuple(values.flatten().tolist()) for values in _turned(images.values)}
    for real, fake in shown:
        assert bool(real.mask.all()) and bool(fake.mask.all())
        assert all(tuple(values.flatten().tolist()) in clean for values in real.values[:, 0].numpy())


def _turned(values):
    return np.concatenate([values[..., ::y, ::x] for y in (1, -1) for x in (1, -1)])


@pytest.mark.parametrize("preset", ["paired", "unpaired"])
def test_clean_fields_that_cannot_be_used(images, gappy, preset):
    chosen = small(**PRESETS[preset] | {"first_guess": False})
    with pytest.raises(InputError, match="learn from clean fields; give them with --clean"):
        chosen.fit(gappy)
    with pytest.raises(InputError, match="give clean fields of the same bands and size"):
        chosen.fit(gappy, clean=images[..., :8])
    with pytest.raises(InputError, match="has gaps of its own"):
        chosen.fit(gappy, clean=images.where(images.y < 12))
    if preset == "paired":
        with pytest.raises(InputError, match="there are 20 clean fields for 24 measurements"):
            chosen.fit(gappy, clean=images[:20])
    else:
        chosen.fit(gappy, clean=images[:20])
    with pytest.raises(InputError, match="this training does not use clean fields"):
        small().fit(gappy, clean=images)
