"""A fill warns about another quantity, unit, location or season than the model's, and continues."""

import warnings

import numpy as np
import pytest
import xarray as xr
from bad_input import EVALUATE, FILL, run
from runs import QUICK, make_reconstructor

from geogan.operators.errors import InputError

WORDS = "standard deviations off the model's climatology"


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("shift", [273.15, -40.0])
def test_python_warns_once(reconstructor, gappy, shift, lazy):
    other = (gappy + shift).assign_attrs(gappy.attrs)
    with pytest.warns(UserWarning, match=WORDS) as caught:
        filled = reconstructor.fill(other.chunk(time=6) if lazy else other)
        if not lazy:
            assert len([each for each in caught if WORDS in str(each.message)]) == 1
        filled.sst.compute()
    (text,) = [str(each.message) for each in caught if WORDS in str(each.message)]
    assert "\n" not in text and "sst is " in text and "train a model on it" in text
    assert float(text.split("values about ")[1].split(",")[0]) == pytest.approx(float(other.median()), abs=0.5)


def test_what_is_expected_is_not_warned_of(reconstructor, gappy, truth):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reconstructor.fill(gappy)
        reconstructor.fill((gappy + 0.5).assign_attrs(gappy.attrs)[:6, 3:15])
        reconstructor.fill(gappy.where(False))


@pytest.mark.parametrize("line", [f"{FILL} bad.nc", f"{EVALUATE} bad.nc --method climatology,gaussian"])
def test_the_command_line_says_so(folder, line):
    sea = xr.load_dataset("sst.nc")
    sea.assign(sst=(sea.sst + 273.15).assign_attrs(sea.sst.attrs)).to_netcdf("bad.nc")
    result = run(line)
    assert result.exit_code == 0, result.output
    said = " ".join((result.stderr + result.stdout).split())
    assert WORDS in said and "sst is " in said
    assert WORDS not in " ".join(run(line.replace("bad.nc", "sst.nc").replace("filled", "other")).stderr.split())


def test_one_of_several_variables_is_named(gappy):

    both = xr.Dataset({"sst": gappy, "ssh": (0.1 * gappy).assign_attrs(units="m")})
    fitted = make_reconstructor("observed_gaps", window=0, width=4, crop=16, batch=2, steps=1, threads=1, **QUICK).fit(
        both
    )
    with pytest.warns(UserWarning, match="^ssh is ") as caught:
        fitted.fill(both.assign(ssh=(both.ssh + 30).assign_attrs(both.ssh.attrs)))
    assert not any("sst lies" in str(each.message) for each in caught)


def test_values_that_a_transform_cannot_take_are_refused_as_ever(gappy):

    fitted = make_reconstructor(
        "cloud_mask:scale=5", transform="log", window=0, width=4, crop=16, batch=2, steps=1, threads=1, **QUICK
    ).fit(np.exp(0.1 * gappy).assign_attrs(gappy.attrs).rename("sst"))
    with pytest.raises(InputError):
        fitted.fill((gappy - 100).assign_attrs(gappy.attrs))
