"""Operators as text and as data."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geogan.operators.band import PatchBand
from geogan.operators.cloud import CloudMask
from geogan.operators.compose import Compose
from geogan.operators.convolve import ConvolveNoise
from geogan.operators.errors import InputError
from geogan.operators.observed import ObservedGaps
from geogan.operators.operator import Operator
from geogan.operators.parse import OPERATORS, describe, from_dict, parse, to_dict
from geogan.operators.pixels import RemovePixel, RemovePixelChannel
from geogan.operators.sampling import SparseSampling

share = st.floats(0.01, 0.99)
one = st.one_of(
    st.builds(RemovePixel, p=share),
    st.builds(RemovePixelChannel, p=share),
    st.builds(PatchBand, h=st.integers(1, 99)),
    st.builds(SparseSampling, fraction=share, fixed=st.booleans()),
    st.builds(ObservedGaps, flip=st.booleans(), shift=st.booleans()),
    st.builds(
        CloudMask,
        coverage=share | st.none(),
        scale=st.floats(1e-6, 1e20) | st.integers(1, 99) | st.none(),
        persistence=st.floats(0, 9) | st.none(),
    ),
)
blur = st.builds(ConvolveNoise, l=st.sampled_from([1, 3, 5]), sigma=st.floats(0, 2))
composed = st.builds(lambda first, rest: Compose((first, *rest)), blur, st.lists(one, min_size=1, max_size=3))


@given(st.one_of(one, blur, composed))
def test_text_goes_round(operator):
    assert parse(describe(operator)) == operator
    assert parse(operator) is operator


@given(st.one_of(one, blur, composed))
def test_json_goes_round(operator):
    assert from_dict(json.loads(json.dumps(to_dict(operator)))) == operator


@pytest.mark.parametrize("name", OPERATORS)
def test_a_name_alone_is_enough(name):
    operator = parse(name)
    assert isinstance(operator, Operator)
    assert operator == OPERATORS[name]()
    assert describe(operator) == name


def test_parameters_are_read():
    assert parse("cloud_mask:coverage=0.4,scale=12") == CloudMask(coverage=0.4, scale=12)
    assert parse(" cloud_mask : coverage = none , scale = 1e1 ") == CloudMask(scale=10)
    assert parse("sparse_sampling:fixed=true") == SparseSampling(fixed=True)


def test_several_are_composed_in_order():
    expected = Compose((ConvolveNoise(l=5), CloudMask()))
    assert parse(["convolve_noise:l=5", "cloud_mask"]) == expected
    assert parse("convolve_noise:l=5 + cloud_mask") == expected
    assert parse(["cloud_mask"]) == CloudMask()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clouds", "no operator is named 'clouds'; choose from cloud_mask, observed_gaps, remove_pixel"),
        ("", "no operator is named ''"),
        ("cloud_mask:cover=1", "cloud_mask has no parameter 'cover'; it has coverage, spread, scale"),
        ("cloud_mask:coverage", "a parameter of cloud_mask is written name=value, got 'coverage'"),
        (
            "cloud_mask:coverage=half",
            "coverage of cloud_mask must be a number, true, false or none, got 'half'",
        ),
        ("cloud_mask:coverage=2", r"coverage of cloud_mask must lie in \(0, 1\), got 2"),
        (
            "cloud_mask:coverage=true",
            "coverage of cloud_mask must be a number, got true; the default is none",
        ),
        ("remove_pixel:p=none", "p of remove_pixel must be a number, got none"),
        ("sparse_sampling:fixed=1", "fixed of sparse_sampling must be true or false, got 1"),
        ("remove_pixel:fraction=0.5", "remove_pixel has no parameter 'fraction'; it has p"),
        ("remove_pixel_channel:p=1", r"p of remove_pixel_channel must lie in \[0, 1\), got 1"),
        ("patch_band:h=0", "h of patch_band must be a whole number of rows, 1 or more, got 0"),
        ("convolve_noise:l=2.5", "l of convolve_noise must be an odd whole number"),
        ("observed_gaps:library=1", "observed_gaps has no parameter 'library'; it has flip, shift"),
        ("cloud_mask + convolve_noise", "ConvolveNoise blurs and must come before CloudMask"),
    ],
)
def test_mistakes_are_named(text, message):
    with pytest.raises(InputError, match=message):
        parse(text)


def test_nothing_is_no_operator():
    with pytest.raises(InputError, match="at least one operator"):
        parse([])


def test_an_operator_of_ones_own_has_no_text():
    class Own(RemovePixel):
        pass

    with pytest.raises(InputError, match="Own has no name that parse knows"):
        describe(Own())
