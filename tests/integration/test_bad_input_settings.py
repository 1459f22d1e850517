"""Settings, screens and errors of observations that cannot be used: one sentence each, and nothing is written."""

import shutil

import pytest
import xarray as xr
from bad_input import CORRUPT, EVALUATE, FILL, TRAIN, case, changed, refused
from runs import QUICK, train


def with_error(change):
    """Return a function that writes the gappy sea to ``bad.nc`` with changed errors of the observations."""

    def add(sea):
        error = xr.full_like(sea.sst, 0.1)
        return sea.assign(sst_error=change(error))

    return changed(add)


ERROR = f"{TRAIN} bad.nc --variable sst --error-variable sst_error"
CASES = [
    *[
        case(f"{name}-{value}", f"{TRAIN} sst.nc --{name} {value}", name.split("-")[0])
        for name, value in (
            ("minutes", "nan"), ("minutes", "inf"), ("weight-prior", "nan"), ("weight-likelihood", "inf"),
            ("weight-withheld", "nan"), ("noise", "nan"), ("noise", "inf"), ("screen-threshold", "nan"),
            ("screen-threshold", "inf"), ("screen-threshold", "0.5"), ("seed", "-1"), ("members", "0"),
            ("members", "-3"), ("threads", "1000000"), ("crop", "-8"), ("window", "-1"),
        )
    ],
    case("seed-too-long", f"{TRAIN} sst.nc --seed 99999999999999999999", "seed must be at most"),
    case("seed-of-a-corruption", f"{CORRUPT} truth.nc --seed -1", "seed must be at least 0, got -1"),
    case("members-of-a-fill", f"{FILL} sst.nc --members 0", "members must be at least 1, got 0"),
    case("seed-of-a-fill", f"{FILL} sst.nc --seed -7", "seed must be at least 0, got -7"),
    case("limit-nan", f"{FILL} sst.nc --max-error nan", "max_error must be positive", "got nan"),
    case("limit-inf", f"{FILL} sst.nc --max-error inf", "max_error must be positive", "got inf"),
    case("workers-of-a-fill", f"{FILL.replace('--threads 1 ', '')} sst.nc --workers 0", "workers must be at least 1"),
    case("members-of-a-league", f"{EVALUATE} sst.nc --members 0", "members must be at least 1, got 0"),
    *[
        case(f"operator-{operator}", f"{CORRUPT} truth.nc --operator {operator}", *words)
        for operator, words in (
            ("cloud_mask:coverage=nan", ("coverage", "nan")),
            ("cloud_mask:scale=inf", ("scale", "inf")),
            ("cloud_mask:persistence=-2", ("persistence", "-2")),
            ("remove_pixel:p=1.5", ("p of remove_pixel", "1.5")),
            ("remove_pixel:p=true", ("p of remove_pixel must be a number", "true")),
            ("sparse_sampling:fraction=0", ("fraction", "got 0")),
            ("convolve_noise:l=2.5", ("l of convolve_noise", "2.5")),
        )
    ],
    case("error-negative", ERROR, "sst_error goes down to", "mask them", make=with_error(lambda error: error - 1)),
    case("error-with-gaps", ERROR, "sst_error has no value at", "give their error",
         make=with_error(lambda error: error.where(error.lat < error.lat[9]))),
    case("error-in-kelvin", ERROR, "sst_error is in K", "convert it",
         make=with_error(lambda error: error.assign_attrs(units="K"))),
    case("error-of-a-map", ERROR, "sst_error has the shape", "give one error for each observation",
         make=with_error(lambda error: error.isel(time=0, drop=True))),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_sentence_and_nothing_written(folder, case):
    refused(case)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda error: error.where(error.lat < error.lat[9]), "sst_error has no value at"),
        (lambda error: -error, "sst_error goes down to"),
    ],
)
def test_an_error_variable_is_checked_before_a_fill_writes(folder, change, words):
    """A model that was trained with errors fills an archive whose errors are not valid."""
    with_error(lambda error: error)()
    shutil.move("bad.nc", "trained.nc")
    train(
        "trained.nc", out=folder / "with_errors", variable="sst", error_variable="sst_error", domain="sea_mask",
        window=1, width=4, crop=16, batch=2, steps=1, precision="float32", threads=1, **QUICK,
    )  # fmt: skip
    line = "fill --threads 1 --out filled.nc --model with_errors --variable sst --data bad.nc"
    refused(case("errors", line, words, make=with_error(change)).values[0])
