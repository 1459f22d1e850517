"""Names are matched in any case; for a misspelt name the nearest is suggested."""

import pytest

from geogan.compute.device import find_device
from geogan.fields.covariates import Covariates
from geogan.fields.field import Field
from geogan.fields.measured import choose_variable
from geogan.operators.choices import choice, matching, suggestion
from geogan.operators.errors import InputError
from geogan.operators.parse import parse
from geogan.presets import preset_settings
from geogan.settings import NetworkConfig, check_settings

KNOWN = ("linear_time", "climatology", "model")


@pytest.mark.parametrize("given", ["linear_time", "LINEAR_TIME", "Linear-Time", " linear time ", "ｌｉｎｅａｒ_time"])  # noqa: RUF001
def test_the_name_that_is_meant(given):
    assert choice(given, KNOWN, "method") == "linear_time"


@pytest.mark.parametrize("given", ["kriging", "", "x" * 10_000, "model\0", "1e9", None, 3])
def test_a_name_that_is_none(given):
    with pytest.raises(
        InputError, match=r"^no method is named .*; choose from linear_time, climatology, model"
    ) as raised:
        choice(given, KNOWN, "method")
    assert len(str(raised.value)) < 300 and "\0" not in str(raised.value)


def test_the_nearest_is_suggested():
    assert suggestion("climatolgy", KNOWN) == "; did you mean 'climatology'"
    assert suggestion("kriging", KNOWN) == "" and suggestion("x", []) == ""


def test_names_that_differ_in_case_alone_are_told_apart():
    assert matching("SST", ["sst", "SST"]) == "SST"
    assert matching("Sst", ["sst", "SST"]) is None


def test_names_of_all_kinds(film):
    assert parse("Cloud-Mask:Coverage=0.4") == parse("cloud_mask:coverage=0.4")
    assert preset_settings(["UNIR"]) == preset_settings(["unir"])
    assert find_device("CPU").type == "cpu"
    assert check_settings({"precision": "Float32"}) == {"precision": "float32"}
    assert choose_variable(film(), "SST") == "sst"
    network = NetworkConfig(generator="UNet", discriminator="SAGAN")
    assert (network.generator, network.discriminator) == ("unet", "sagan")


@pytest.mark.parametrize(
    "refused, words",
    [
        (lambda film: parse("cloud_msk"), "did you mean 'cloud_mask'"),
        (lambda film: parse("cloud_mask:covrage=0.4"), "no parameter 'covrage'.*did you mean 'coverage'"),
        (lambda film: preset_settings(["unirr"]), "did you mean 'unir'"),
        (lambda film: choose_variable(film, "sstt"), "did you mean 'sst'"),
        (
            lambda film: Covariates.of("latitud", Field.of(film.sst, domain=film.sst[0].notnull().values)),
            "did you mean 'latitude'",
        ),
        (lambda film: find_device("meta"), "'meta' is not available"),
        (lambda film: find_device("cpu:99999999999999999999"), "is not available"),
    ],
)
def test_refusals_suggest(film, refused, words):
    with pytest.raises(InputError, match=words):
        refused(film())
