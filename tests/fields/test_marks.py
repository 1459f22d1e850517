"""Marks in NaNs survive everything that keeps a NaN: slicing, transposing, joining, changes of precision."""

import numpy as np
import pytest
import xarray as xr

from geogan.fields.marks import (
    GAP_RULES,
    can_be_unreadable,
    count_gaps,
    hide_unreadable,
    is_screened,
    is_unreadable,
    plain_gaps,
    rule_mark,
    screened_mark,
    unreadable_mark,
)

CHANGES = [
    lambda a: a,
    lambda a: a.astype("f8"),
    lambda a: a.T.copy().T,
    lambda a: a.astype(">f4"),
    lambda a: a[:, ::-1],
    lambda a: xr.concat([xr.DataArray(a), xr.DataArray(a.astype("f8"))], "band")[0].values,
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(("mark", "has_mark"), [(unreadable_mark, is_unreadable), (screened_mark, is_screened)])
def test_marks_survive(change, mark, has_mark):
    values = np.random.default_rng(0).normal(15, 2, (6, 5, 8)).astype("f4")
    values[1], values[2] = mark(values.dtype), np.nan
    where = has_mark(change(values))
    assert where[1].all() and not where[[0, 2, 3, 4, 5]].any()


def test_the_marks_differ():
    for dtype in map(np.dtype, ("f4", "f8")):
        marks = [
            unreadable_mark(dtype),
            screened_mark(dtype),
            *(rule_mark(dtype, rule) for rule in range(len(GAP_RULES))),
        ]
        values = np.array([*marks, np.nan, 1.0], dtype)
        assert np.isnan(values[:-1]).all()
        assert is_unreadable(values).tolist() == [True] + [False] * (len(values) - 1)
        assert is_screened(values).tolist() == [False, True] + [False] * (len(values) - 2)
        assert count_gaps(values).tolist() == [1] * len(GAP_RULES)


@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
def test_rules_survive_changes_of_precision(kind):
    for rule, name in enumerate(GAP_RULES):
        values = np.array([1, rule_mark(np.dtype(kind), rule), np.nan], kind)
        for other in ("f4", "f8", kind):
            counts = dict(zip(GAP_RULES, count_gaps(values.astype(other)).tolist(), strict=True))
            assert counts == {other_name: int(other_name == name) for other_name in GAP_RULES}
        plain = plain_gaps(values)
        assert not count_gaps(plain).any() and plain.tobytes() == np.array([1, np.nan, np.nan], kind).tobytes()


def test_types_without_marks_have_none():
    assert not is_unreadable(np.arange(3)).any() and not is_screened(np.arange(3)).any()
    assert not count_gaps(np.arange(3)).any() and not is_unreadable(np.array([np.nan], "f2")).any()
    assert can_be_unreadable(np.dtype("f4")) and not can_be_unreadable(np.dtype("f2"))


def test_values_whose_error_is_unreadable_are_hidden():
    values, errors = np.array([1.0, np.nan, 3.0]), np.array([0.1, 0.1, 0.1])
    assert hide_unreadable(values, errors) is values
    errors[[1, 2]] = unreadable_mark(errors.dtype)
    assert is_unreadable(hide_unreadable(values, errors)).tolist() == [False, False, True]
