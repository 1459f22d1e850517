"""A product flags where each cell comes from, and returns observed values bit for bit."""

import numpy as np
import pytest

from geogan.fields.marks import unreadable_mark
from geogan.fields.storage import Storage
from geogan.filling.compose import FILLED, LAND, OBSERVED, REFUSED, UNREADABLE, Acceptance, check_held, compose
from geogan.filling.task import Estimate
from geogan.operators.errors import InputError


def map_of(*values, dtype=np.float32):
    """Return one date of one band of one row."""
    return np.array([[[values]]], dtype)


def test_compose_keeps_or_not():
    raw = map_of(1.0, np.nan, np.nan, 7.0)
    estimate = Estimate(map_of(2.0, 3.0, np.nan, np.nan, dtype=np.float64))
    values, source, *none = compose(raw, estimate, Acceptance(True))
    np.testing.assert_array_equal(values, map_of(1.0, 3.0, np.nan, 7.0))
    np.testing.assert_array_equal(source, map_of(0, 1, 2, 0))
    everywhere = compose(raw, estimate, Acceptance(False)).values
    np.testing.assert_array_equal(everywhere, map_of(2.0, 3.0, np.nan, 7.0))
    assert values.dtype == np.float32 and none == [None, None]


def test_uncertain_predictions_are_refused():
    raw = map_of(1.0, np.nan, np.nan, np.nan)
    estimate = Estimate(map_of(2.0, 3.0, 4.0, np.nan), map_of(0.1, 0.1, 0.9, np.nan))
    parts = compose(raw, estimate, Acceptance(True, max_error=0.5))
    np.testing.assert_array_equal(parts.values, map_of(1.0, 3.0, np.nan, np.nan))
    np.testing.assert_array_equal(parts.source, map_of(OBSERVED, FILLED, REFUSED, LAND))
    # The error of an observation is not known; that of a refused prediction is returned.
    np.testing.assert_array_equal(parts.std, map_of(np.nan, 0.1, 0.9, np.nan))


def test_unreadable_cells_keep_their_flag_where_they_are_refused():
    raw = np.full((1, 1, 1, 2), unreadable_mark(np.dtype("f4")), np.float32)
    parts = compose(raw, Estimate(map_of(1, 1), map_of(0.1, 0.9)), Acceptance(True, max_error=0.5))
    np.testing.assert_array_equal(parts.values, map_of(1.0, np.nan))
    np.testing.assert_array_equal(parts.source, map_of(UNREADABLE, UNREADABLE))


@pytest.mark.parametrize("keep_observed", [True, False])
def test_several_dates_are_composed_as_each_of_them(keep_observed):
    """Memory of the estimate is reused, that of the observations is not."""
    random = np.random.default_rng(0)
    raw, field, std = random.normal(size=(3, 3, 2, 5, 6)).astype(np.float32)
    raw[random.random(raw.shape) < 0.5] = np.nan
    field[..., 0] = np.nan
    estimate = Estimate(field, np.abs(std), random.normal(size=(4, *raw.shape)).astype(np.float32))
    acceptance, before, dates = Acceptance(keep_observed, max_error=0.8), raw.copy(), []
    for date in range(3):
        one = Estimate(*(part[..., date : date + 1, :, :, :].copy() for part in estimate))
        dates.append(compose(raw[date : date + 1], one, acceptance))
    found = compose(raw, estimate, acceptance)
    np.testing.assert_array_equal(raw, before)
    assert found.values is field
    for number, part in enumerate(found):
        np.testing.assert_array_equal(part, np.concatenate([each[number] for each in dates], -4))
    assert (found.source == REFUSED).any() and (found.source == OBSERVED).any()


def test_predictions_beyond_the_packing_are_refused_and_not_clipped():
    """Their members too; observed values are packed already."""
    raw = map_of(9.0, np.nan, np.nan, np.nan, unreadable_mark(np.dtype("f4")))
    field = map_of(1.0, 2.0, 4.5, -1.0, 9.0)
    members = np.ones((2, *field.shape), np.float32)
    acceptance = Acceptance(True, room=(np.zeros((1, 1, 1)), np.full((1, 1, 1), 4.0)))
    parts = compose(raw, Estimate(field.copy(), np.full_like(field, 0.1), members), acceptance)
    np.testing.assert_array_equal(parts.values, map_of(9.0, 2.0, np.nan, np.nan, np.nan))
    np.testing.assert_array_equal(parts.source, map_of(OBSERVED, FILLED, REFUSED, REFUSED, UNREADABLE))
    np.testing.assert_array_equal(np.isnan(parts.members[0]), map_of(False, False, True, True, True, dtype=bool))
    # Without a predicted error too.
    parts = compose(raw, Estimate(field), acceptance)
    np.testing.assert_array_equal(parts.source, map_of(OBSERVED, FILLED, REFUSED, REFUSED, UNREADABLE))


@pytest.mark.parametrize(("dtype", "kind"), [("i2", "f4"), ("u1", "f4"), ("i4", "f8"), ("i8", "f8"), ("f2", "f4")])
def test_a_product_holds_nan_and_predictions_whatever_was_measured(dtype, kind):
    raw = map_of(7, 3, dtype=dtype)
    for dates in (1, 2):
        estimate = Estimate(np.repeat(map_of(2.25, np.nan), dates, 0))
        values = compose(np.repeat(raw, dates, 0), estimate, Acceptance(False)).values
        assert values.dtype == kind
        np.testing.assert_array_equal(values[0], map_of(2.25, 3.0)[0])


def test_whole_numbers_that_no_float_holds_are_refused():
    raw = map_of(2**53 + 1, dtype=np.int64)
    with pytest.raises(InputError, match=r"the counts holds whole numbers beyond 2\^53"):
        compose(raw, Estimate(map_of(1)), Acceptance(True), name="the counts")
    with pytest.raises(InputError, match="holds values beyond 3e"):
        compose(map_of(1e39, dtype=np.float64), Estimate(map_of(1)), Acceptance(True))


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
