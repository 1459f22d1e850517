"""The product says of every cell where it comes from, and never more than is known."""

import numpy as np
import pytest

from geogan.composing import FILLED, LAND, OBSERVED, REFUSED, UNREADABLE, compose
from geogan.damage import missing
from geogan.slab import Slab


def test_compose_keeps_or_not():
    raw = np.array([[[1.0, np.nan, np.nan, 7.0]]], np.float32)
    estimate = Slab(np.array([[[2.0, 3.0, np.nan, np.nan]]], np.float64))
    values, source, *none = compose(raw, estimate, keep_observed=True)
    np.testing.assert_array_equal(values, [[[1.0, 3.0, np.nan, 7.0]]])
    np.testing.assert_array_equal(source, [[[0, 1, 2, 0]]])
    np.testing.assert_array_equal(compose(raw, estimate, keep_observed=False)[0], [[[2.0, 3.0, np.nan, 7.0]]])
    assert values.dtype == np.float32 and none == [None, None]


def test_compose_refuses_what_is_too_uncertain():
    raw = np.array([[[1.0, np.nan, np.nan, np.nan]]], np.float32)
    estimate = Slab(np.array([[[2.0, 3.0, 4.0, np.nan]]]), np.array([[[0.1, 0.1, 0.9, np.nan]]]))
    parts = compose(raw, estimate, keep_observed=True, max_error=0.5)
    np.testing.assert_array_equal(parts.values, [[[1.0, 3.0, np.nan, np.nan]]])
    np.testing.assert_array_equal(parts.source, [[[OBSERVED, FILLED, REFUSED, LAND]]])
    # The error of a measurement is not known; that of what is refused is said.
    np.testing.assert_array_equal(parts.std, np.float32([[[np.nan, 0.1, 0.9, np.nan]]]))


def test_what_could_not_be_read_is_said_to_be_so_also_where_it_is_refused():
    raw = np.full((1, 1, 2), missing(np.dtype("f4")), np.float32)
    parts = compose(raw, Slab(np.ones((1, 1, 2)), np.array([[[0.1, 0.9]]])), keep_observed=True, max_error=0.5)
    np.testing.assert_array_equal(parts.values, [[[1.0, np.nan]]])
    np.testing.assert_array_equal(parts.source, [[[UNREADABLE, UNREADABLE]]])


@pytest.mark.parametrize("keep_observed", [True, False])
@pytest.mark.parametrize("dates", [1, 3])
def test_in_place_it_says_the_same(dates, keep_observed):
    random = np.random.default_rng(0)
    raw, field, std = random.normal(size=(3, dates, 2, 5, 6)).astype(np.float32)
    raw[random.random(raw.shape) < 0.5] = np.nan
    field[..., 0] = np.nan
    made = Slab(field, np.abs(std), random.normal(size=(4, *raw.shape)).astype(np.float32))
    expected = compose(raw, made, keep_observed=keep_observed, max_error=0.8)
    before = raw.copy()
    found = compose(raw, made, keep_observed=keep_observed, max_error=0.8, in_place=True)
    np.testing.assert_array_equal(raw, before)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (found.source == REFUSED).any() and (found.source == OBSERVED).any()
