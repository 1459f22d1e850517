"""Every cell of the domain has one class of each category, and it is the right one."""

from itertools import product

import cftime
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geogan.evaluation.categories import DISTANCES, SEASONS, Category, cloud_fraction, distance_to_observed, season
from geogan.operators.errors import InputError


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.sampled_from([0.0, 0.01, 0.2, 1.0]))
def test_distances_are_those_of_brute_force(seed, share):
    random = np.random.default_rng(seed)
    observed = random.random((2, 2, 7, 23)) < share
    domain = random.random((7, 23)) < 0.8
    found = distance_to_observed(observed, domain).classes
    for t, c in product(range(2), range(2)):
        places = np.argwhere(observed[t, c] & domain)
        for y, x in np.argwhere(domain):
            nearest = np.sqrt(((places - [y, x]) ** 2).sum(1)).min(initial=np.inf)
            assert found[t, c, y, x] == sum(nearest > end for end in DISTANCES)
    assert (found[..., ~domain] == -1).all()


def test_the_cloud_fraction_is_that_of_each_band_and_date():
    domain = np.ones((4, 5), bool)
    domain[0, 0] = False
    observed = np.ones((2, 2, 4, 5), bool)
    observed[0, 1, 2:] = False  # 10 of 19
    observed[1] = False
    assert cloud_fraction(observed, domain).classes[..., 0, 0].tolist() == [[0, 2], [3, 3]]


def test_quarters_include_their_upper_end():
    domain = np.ones((4, 5), bool)
    hidden = np.arange(21)
    observed = (np.arange(20) >= hidden[:, None]).reshape(21, 1, 4, 5)
    expected = np.maximum(np.ceil(hidden / 5) - 1, 0)
    np.testing.assert_array_equal(cloud_fraction(observed, domain).classes.ravel(), expected)


def test_seasons_of_both_kinds_of_dates():
    dates = np.arange("1969-11", "1971-03", dtype="M8[M]")
    names = [SEASONS[number] for number in season(dates.astype("M8[ns]")).classes.ravel()]
    assert names[:6] == ["SON", "DJF", "DJF", "DJF", "MAM", "MAM"] and names[-3:] == ["DJF"] * 3
    other = np.array([cftime.DatetimeNoLeap(date.year, date.month, 3) for date in dates.tolist()])
    np.testing.assert_array_equal(season(other).classes, season(dates).classes)


def test_classes_cover_all_cells_once():
    random = np.random.default_rng(0)
    observed, domain = random.random((3, 2, 9, 11)) < 0.1, random.random((9, 11)) < 0.7
    where = (random.random(observed.shape) < 0.5) & domain
    dates = np.array(["2015-01-05", "2015-07-05", "2015-08-05"], "M8[D]")
    for category in (distance_to_observed(observed, domain), cloud_fraction(observed, domain), season(dates)):
        parts = dict(category.cells_by_label(where))
        assert set(parts) <= set(category.labels)
        np.testing.assert_array_equal(sum(cells.astype(int) for cells in parts.values()), where)
    assert list(Category("none", ("a",), np.array(-1)).cells_by_label(where)) == []


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: distance_to_observed(np.ones((1, 1, 2, 3)), np.ones((2, 3), bool)), "observed must be boolean"),
        (lambda: cloud_fraction(np.ones((1, 1, 2, 3), bool), np.ones((2, 3))), "domain must be boolean"),
        (lambda: distance_to_observed(np.ones((1, 1, 2, 3), bool), np.ones((3, 3), bool)), "of one grid"),
        (lambda: cloud_fraction(np.ones((1, 1, 2, 3), bool), np.zeros((2, 3), bool)), "True somewhere"),
        (lambda: season(np.arange(3)), "seasons need dates"),
        (lambda: season(np.array(["NaT"], "M8[D]")), "seasons need dates"),
    ],
)
def test_errors(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_the_nearest_observation_may_lie_across_the_seam():
    observed, domain = np.zeros((1, 1, 2, 20), bool), np.ones((2, 20), bool)
    observed[..., 0] = True
    flat, periodic = (
        distance_to_observed(observed, domain, is_periodic=is_periodic).classes[0, 0, 0].tolist()
        for is_periodic in (False, True)
    )
    assert flat[-1] == len(DISTANCES) and periodic[-1] == 0
    assert periodic[1:] == periodic[1:][::-1]
    assert flat[:11] == periodic[:11]
