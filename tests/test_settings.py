"""Each setting has a type and a finite range; a refusal names both."""

import inspect
import math
from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest
from runs import make_reconstructor

import geogan
from geogan.operators.errors import InputError
from geogan.reconstructor import Reconstructor
from geogan.settings import (
    GROUPS,
    MINUTES,
    DataConfig,
    NetworkConfig,
    Objective,
    Settings,
    TrainConfig,
    check_settings,
)

WHOLE = ["window", "width", "members", "batch", "crop", "steps", "decay_every", "warm_up", "likelihood_every",
         "prior_every", "seed", "threads"]  # fmt: skip
REAL = ["weight_prior", "weight_likelihood", "weight_withheld", "weight_paired", "minutes", "rate_generator",
        "rate_discriminator", "decay", "cooling", "clip", "averaging", "noise"]  # fmt: skip
SWITCHES = ["show_mask", "clean_unrelated", "first_guess"]


def one_sentence(error, *words):
    text = str(error.value)
    assert "\n" not in text and len(text) < 300
    for word in words:
        assert word in text, text


def test_every_parameter_is_defined_once():
    parameters = dict(inspect.signature(Reconstructor.__init__).parameters)
    assert [*parameters][1:-1] == [each.name for each in fields(Settings)]
    named = [each.name for kind in (Settings, *GROUPS.values()) for each in fields(kind)]
    assert len(named) == len(set(named))
    for kind in (DataConfig, Settings, *GROUPS.values()):
        for each in fields(kind):
            assert each.metadata["help"].endswith(".") and each.metadata["help"] in kind.__doc__


def test_objects_are_frozen_and_compare():
    assert Objective() == Objective(weight_prior=0.02) != Objective(weight_prior=0.5)
    with pytest.raises(FrozenInstanceError):
        TrainConfig().steps = 3
    assert Settings(training={"steps": 3}) == Settings().replaced(steps=3)
    assert Settings.stored(Settings().plain()) == Settings()
    with pytest.raises(InputError, match="all weights are 0"):
        Objective(weight_prior=0, weight_likelihood=0, weight_withheld=0)


def test_time_limits():
    assert TrainConfig().time_limit == MINUTES
    assert TrainConfig(steps=3).time_limit is None
    assert TrainConfig(minutes=1).time_limit == TrainConfig(steps=3, minutes=1).time_limit == 1


def test_the_networks_are_those_that_exist():
    from geogan.model.networks import DISCRIMINATORS, GENERATORS

    for names, key in ((GENERATORS, "generator"), (DISCRIMINATORS, "discriminator")):
        assert [getattr(NetworkConfig(**{key: name}), key) for name in names] == list(names)


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("value", [2.5, 2.0, True, "3", math.nan, math.inf, -(10**30), -1, [1], np.float32(1)])
def test_whole_numbers(name, value):
    with pytest.raises(InputError) as error:
        Settings().replaced(**{name: value})
    one_sentence(error, f"{name} must be ")


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.5, "0.1", True, np.float32("nan"), [0.1]])
def test_numbers(name, value):
    with pytest.raises(InputError) as error:
        Settings().replaced(**{name: value})
    one_sentence(error, name, "got " + ("true" if value is True and name != "noise" else ""))


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("value", [1, 0.0, "yes", None, math.nan])
def test_switches(name, value):
    with pytest.raises(InputError, match=f"{name} must be true or false"):
        Settings().replaced(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("betas", (0.5,), "two numbers"),
        ("betas", (0.5, 1.0), "less than 1, got 1.0"),
        ("betas", (math.nan, 0.9), "betas must be a finite number"),
        ("betas", "ab", "two numbers"),
        ("cooling", 1.2, "between 0 and 1, got 1.2"),
        ("averaging", 1, "less than 1, got 1"),
        ("decay", 0, "more than 0, got 0"),
        ("clip", 0.0, "more than 0"),
        ("transform", 3, "transform must be a text"),
        ("covariates", 3, "covariates must be a name"),
        ("covariates", ["a", 2], "covariates must be a name"),
        ("precision", 16, "no precision is named 16; choose from auto, float32, bfloat16"),
        ("precision", "half", "no precision is named 'half'"),
        ("seed", 2**63, "at most"),
        ("threads", 10**9, "at most 4096"),
        ("width", None, "width must be a whole number between 2 and 8192, got None"),
        pytest.param("steps", 10**5000, "got a number of more than 4000 digits", id="many digits"),
        pytest.param("minutes", 10**5000, "got a number of more than 4000 digits", id="minutes of many digits"),
        ("width", 10**7, "width must be at most 8192, got 10000000"),
        ("window", 10**6, "at most 5000"),
        ("batch", 10**12, "batch must be at most 65536"),
        ("crop", 2**40, "at most"),
        ("steps", 10**30, "steps must be at most 1000000000, got 1"),
        ("warm_up", 10**12, "at most"),
        ("decay_every", 10**12, "at most"),
        ("likelihood_every", 10**12, "at most"),
        ("weight_prior", None, "weight_prior must be a finite number"),
        ("operator", "cloud_mask:coverage=nan", "coverage"),
    ],
)
def test_others(name, value, words, gappy):
    with pytest.raises(InputError) as error:
        make_reconstructor(**{name: value})
    one_sentence(error, words)


def test_what_is_changed_later_is_checked_by_fit(gappy):
    reconstructor = Reconstructor()
    reconstructor.training = {"minutes": math.nan}
    with pytest.raises(InputError, match="minutes must be a finite number of 0 or more, got nan"):
        reconstructor.fit(gappy)


def test_numbers_of_numpy_become_pythons_own():
    settings = Settings(window=np.int64(1), first_guess=np.bool_(False)).replaced(
        minutes=np.float32(0.5), betas=[0, 0.9]
    )
    for value, kind in ((settings.window, int), (settings.training.minutes, float), (settings.first_guess, bool)):
        assert type(value) is kind
    assert settings.training.betas == (0, 0.9)
    assert check_settings({"other": object, "threads": None, "noise": None})["threads"] is None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"members": 0}, "members must be at least 1, got 0"),
        ({"members": 1.5}, "members must be a whole number between 1 and 10000, got 1.5"),
        ({"members": True}, "got true"),
        ({"seed": "1"}, "seed must be a whole number"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"keep_observed": "no"}, "keep_observed must be true or false, got 'no'"),
        ({"max_error": math.nan}, "max_error must be positive"),
        ({"max_error": math.inf}, "max_error must be positive"),
        ({"max_error": True}, "max_error must be positive"),
        ({"max_error": -1}, "max_error must be positive"),
        ({"max_error": []}, "max_error must be positive"),
    ],
)
def test_fill(reconstructor, gappy, settings, words):
    for fill in (reconstructor.fill, lambda field, **more: reconstructor.fill(field.chunk(time=5), **more)):
        with pytest.raises(InputError) as error:
            fill(gappy, **settings)
        one_sentence(error, words)


@pytest.mark.parametrize(
    ("operator", "words"),
    [
        ("cloud_mask:coverage=nan", "coverage of cloud_mask must lie in (0, 1), got nan"),
        ("cloud_mask:scale=inf", "scale of cloud_mask must be more than 0, got inf"),
        ("cloud_mask:scale=-3", "got -3"),
        ("cloud_mask:persistence=-1", "persistence of cloud_mask"),
        ("cloud_mask:spread=nan", "spread of cloud_mask"),
        ("cloud_mask:slope=inf", "slope of cloud_mask"),
        ("remove_pixel:p=1.5", "p of remove_pixel must lie in [0, 1), got 1.5"),
        ("remove_pixel:p=nan", "got nan"),
        ("remove_pixel_channel:p=-0.1", "got -0.1"),
        ("convolve_noise:sigma=inf", "sigma of convolve_noise"),
        ("convolve_noise:l=-3", "l of convolve_noise"),
        ("patch_band:h=0", "h of patch_band"),
        ("sparse_sampling:fraction=nan", "fraction of sparse_sampling"),
    ],
)
def test_operators(operator, words, truth):
    for call in (lambda: geogan.corrupt(truth, operator), lambda: Reconstructor(operator).fit(truth)):
        with pytest.raises(InputError) as error:
            call()
        one_sentence(error, words)


@pytest.mark.parametrize("seed", [math.nan, 1.5, "1", True, -1])
def test_the_seed_of_a_corruption(truth, seed):
    with pytest.raises(InputError, match="seed must be"):
        geogan.corrupt(truth, "remove_pixel", seed=seed)
    with pytest.raises(InputError, match="seed must be"):
        truth.geogan.corrupt("remove_pixel", seed=seed)
