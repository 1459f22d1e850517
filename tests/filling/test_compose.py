"""The product says of every cell where it comes from, and never more than is known."""

import numpy as np
import pytest

from geogan.fields.marks import unreadable_mark
from geogan.fields.storage import Storage
from geogan.filling.compose import FILLED, LAND, OBSERVED, REFUSED, UNREADABLE, check_held, compose
from geogan.filling.task import Slab
from geogan.operators.errors import InputError


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
    raw = np.full((1, 1, 2), unreadable_mark(np.dtype("f4")), np.float32)
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


def test_predictions_beyond_the_packing_are_refused_and_not_clipped():
    """With all that is said of them; what was observed is packed already."""
    raw = np.array([[[9.0, np.nan, np.nan, np.nan, np.nan]]], np.float32)
    raw[..., 4] = unreadable_mark(np.dtype("f4"))
    made = Slab(
        np.array([[[1.0, 2.0, 4.5, -1.0, 9.0]]], np.float32),
        np.full((1, 1, 5), 0.1, np.float32),
        np.ones((2, 1, 1, 5), np.float32),
    )
    ends = np.zeros((1, 1, 1)), np.full((1, 1, 1), 4.0)
    for in_place in (False, True):
        parts = compose(raw, Slab(*(part.copy() for part in made)), keep_observed=True, room=ends, in_place=in_place)
        np.testing.assert_array_equal(parts.values, [[[9.0, 2.0, np.nan, np.nan, np.nan]]])
        np.testing.assert_array_equal(parts.source, [[[OBSERVED, FILLED, REFUSED, REFUSED, UNREADABLE]]])
        np.testing.assert_array_equal(np.isnan(parts.members[0]), [[[False, False, True, True, True]]])
    # Without a predicted error too.
    parts = compose(raw, Slab(made.field), keep_observed=True, room=ends)
    np.testing.assert_array_equal(parts.source, [[[OBSERVED, FILLED, REFUSED, REFUSED, UNREADABLE]]])


@pytest.mark.parametrize(("dtype", "kind"), [("i2", "f4"), ("u1", "f4"), ("i4", "f8"), ("i8", "f8"), ("f2", "f4")])
def test_a_product_holds_nan_and_predictions_whatever_was_measured(dtype, kind):
    raw = np.array([[[7, 3]]], dtype)
    estimate = Slab(np.array([[[2.25, np.nan]]], np.float32))
    for dates in (1, 2):
        values = compose(np.repeat(raw[None], dates, 0), Slab(np.repeat(estimate.field[None], dates, 0)),
                         keep_observed=False).values  # fmt: skip
        assert values.dtype == kind
        np.testing.assert_array_equal(values[0], [[[2.25, 3.0]]])


def test_whole_numbers_that_no_float_holds_are_refused():
    raw = np.array([[[2**53 + 1]]], np.int64)
    with pytest.raises(InputError, match=r"the counts holds whole numbers beyond 2\^53"):
        compose(raw, Slab(np.ones((1, 1, 1), np.float32)), keep_observed=True, name="the counts")
    big = np.array([[[1e39]]])
    with pytest.raises(InputError, match="holds values beyond 3e"):
        compose(big, Slab(np.ones((1, 1, 1), np.float32)), keep_observed=True)


def test_observed_values_that_a_packing_does_not_hold_are_refused():
    storage = Storage({"dtype": np.dtype("i2"), "scale_factor": 0.01, "_FillValue": np.int16(-1)}, {}, (-300.0, 300.0))
    values, source = np.array([[1.5, 2.0, np.nan]]), np.array([[OBSERVED, FILLED, LAND]])
    check_held(storage, values, source, "sst")
    values[0, 1] = 2.0001  # a prediction may be rounded
    check_held(storage, values, source, "sst")
    for wrong in (1.503, np.nextafter(1.5, 2), 400.0, -0.01):
        values[0, 0] = wrong
        with pytest.raises(InputError, match="sst holds"):
            check_held(storage, values, source, "sst")
