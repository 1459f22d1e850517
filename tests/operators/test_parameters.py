"""Parameters of operators: numbers of Python, of the type that each default has."""

import numpy as np
import pytest

from geogan.operators.band import PatchBand
from geogan.operators.cloud import CloudMask
from geogan.operators.convolve import ConvolveNoise
from geogan.operators.errors import InputError
from geogan.operators.observed import ObservedGaps
from geogan.operators.parameters import real_number, whole_number
from geogan.operators.parse import describe, parse
from geogan.operators.pixels import RemovePixel, RemovePixelChannel
from geogan.operators.sampling import SparseSampling


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (CloudMask, {"coverage": "0.4"}),
        (CloudMask, {"scale": True}),
        (CloudMask, {"persistence": [1.0]}),
        (RemovePixel, {"p": None}),
        (RemovePixel, {"p": "0.5"}),
        (RemovePixelChannel, {"p": False}),
        (ConvolveNoise, {"l": True}),
        (ConvolveNoise, {"sigma": "1"}),
        (PatchBand, {"h": True}),
        (SparseSampling, {"fraction": "all"}),
    ],
)
def test_what_is_no_number_is_refused(kind, given):
    (name,) = given
    with pytest.raises(InputError, match=f"{name} of .* must be a number, got "):
        kind(**given)


@pytest.mark.parametrize(("kind", "name"), [(SparseSampling, "fixed"), (ObservedGaps, "flip"), (ObservedGaps, "shift")])
def test_what_is_no_switch_is_refused(kind, name):
    with pytest.raises(InputError, match=f"{name} of .* must be true or false, got 1"):
        kind(**{name: 1})


def test_numbers_of_numpy_are_written_down_and_read_back():
    for operator in (
        RemovePixel(p=np.float64(0.5)),
        CloudMask(coverage=np.float32(0.25), scale=np.int64(12)),
        ConvolveNoise(l=np.int32(5), sigma=np.float64(0.3)),
        SparseSampling(fraction=np.float64(0.5), fixed=np.bool_(True)),
    ):
        assert "np." not in describe(operator)
        assert parse(describe(operator)) == operator


def test_sentences_name_parameter_range_and_value():
    for call, words in (
        (lambda: whole_number("n", 3.0, least=1, most=9), "n must be a whole number between 1 and 9, got 3.0"),
        (lambda: whole_number("n", 0, least=1), "n must be at least 1, got 0"),
        (lambda: whole_number("n", 10, most=9), "n must be at most 9, got 10"),
        (lambda: real_number("p", 1, least=0, below=1), "p must be a number of at least 0 and less than 1, got 1"),
        (lambda: real_number("p", np.nan), "p must be a finite number, got nan"),
        (lambda: real_number("p", "x" * 500), "..."),
    ):
        with pytest.raises(InputError) as error:
            call()
        assert words in str(error.value) and len(str(error.value)) < 200
