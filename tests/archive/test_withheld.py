"""Withheld cells were observed, lie in the gaps of another date, and depend on the seed only."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geogan.archive.withheld import LEAST, MOST, Withheld, withhold


def clouds(count, *, share=0.5, size=(9, 13), seed=0):
    """Return observed cells (T, H, W) in square clouds."""
    random = np.random.default_rng(seed)
    rough = random.random((count, size[0] // 3 + 1, size[1] // 3 + 1)) < share
    return rough.repeat(3, 1).repeat(3, 2)[:, : size[0], : size[1]]


def choose(seen, **options):
    return withhold(seen.__getitem__, seen.mean((1, 2)), **options)


@settings(deadline=None, max_examples=40)
@given(count=st.integers(1, 60), share=st.floats(0.02, 0.99), seed=st.integers(0, 99))
def test_hidden_cells_were_observed_and_are_a_share_of_the_date(count, share, seed):
    seen = clouds(count, share=share, seed=seed)
    rule = choose(seen, seed=seed)
    assert rule.sources.shape[0] == count
    for date in range(count):
        hidden = rule.hidden(date, seen.__getitem__)
        assert (hidden is not None) == (date in rule.dates)
        if hidden is None:
            continue
        assert (hidden <= seen[date]).all()
        assert LEAST < hidden.sum() / seen[date].sum() < MOST
        if count > 1:
            # The gaps are those of other dates, in which none of these has an observation.
            assert date not in rule.sources[date] and not hidden[seen[rule.sources[date]].any(0)].any()


def test_tracks_that_repeat_are_withheld_too():
    """A satellite sees the same cells every ten dates; nearly all sets of dates hold such a date, and hide nothing."""
    rows, columns = np.mgrid[:40, :100]
    cycle = [sum((columns + slant * rows - 10 * date) % 100 == 0 for slant in (1, -1)) > 0 for date in range(10)]
    seen = np.tile(np.stack(cycle), (12, 1, 1))
    rule = choose(seen)
    assert len(rule.dates) == 12
    for date in rule.dates:
        assert LEAST < rule.hidden(date, seen.__getitem__).sum() / seen[date].sum() < MOST


def test_the_seed_decides_the_choice():
    seen = clouds(80)
    first, again, other = choose(seen, seed=3), choose(seen, seed=3), choose(seen, seed=4)
    np.testing.assert_array_equal(first.sources, again.sources)
    assert not np.array_equal(first.sources, other.sources)


def test_runs_of_dates_take_their_gaps_from_runs_of_dates():
    rule = choose(clouds(200), share=0.2)
    assert len(rule.dates) == 40
    lags = {date: rule.sources[date, 0] - date for date in rule.dates}
    kept = [(lags[date + 1] - lag) % 200 == 0 for date, lag in lags.items() if date + 1 in lags]
    assert np.mean(kept) > 0.6 and len(kept) > 10
    runs = rule.runs()
    assert sorted(date for run in runs for date in range(run.start, run.stop)) == rule.dates.tolist()
    assert all(before.stop < after.start for before, after in zip(runs, runs[1:]))


def test_the_number_of_dates_is_limited():
    assert len(choose(clouds(300), most=7).dates) == 7
    assert len(choose(clouds(30)).dates) == 3
    assert 1 <= len(choose(clouds(6), share=0.9).dates) <= 2


def test_sparse_stations_use_the_common_gaps_of_several_dates():
    seen = np.random.default_rng(0).random((60, 20, 24)) < 0.05
    rule = choose(seen)
    assert rule.sources.shape[1] > 5 and len(rule.dates) >= 3
    shares = [rule.hidden(date, seen.__getitem__).sum() / seen[date].sum() for date in rule.dates]
    assert 0.25 < np.mean(shares) < 0.75


def test_a_single_image_uses_its_own_gaps_rotated():
    seen = np.ones((1, 6, 8), bool)
    seen[0, :2, :5] = False
    rule = choose(seen)
    assert rule.flip and rule.dates.tolist() == [0]
    expected = np.zeros((6, 8), bool)
    expected[4:, 3:] = True
    np.testing.assert_array_equal(rule.hidden(0, seen.__getitem__), expected)


@pytest.mark.parametrize("seen", [np.ones((9, 4, 5), bool), np.ones((1, 4, 5), bool), np.zeros((9, 4, 5), bool)])
def test_nothing_to_withhold(seen):
    rule = choose(seen)
    assert isinstance(rule, Withheld) and not len(rule.dates) and rule.runs() == []


def test_empty_dates_are_not_used():
    seen = clouds(60)
    seen[::2] = False
    rule = choose(seen)
    assert (rule.dates % 2 == 1).all() and (rule.sources[rule.dates] % 2 == 1).all()


@pytest.mark.parametrize("share", [0.05, 0.1, 0.3, 0.5, 0.7])
def test_little_is_withheld_of_many_samples(share):
    seen = np.random.default_rng(0).random((90, 3, 16, 16)) < share
    rule = withhold(seen.__getitem__, seen.mean((1, 2, 3)), independent=True)
    shares = [rule.hidden(date, seen.__getitem__).sum() / seen[date].sum() for date in rule.dates]
    assert len(rule.dates) == 27 and 0.05 < np.mean(shares) < 0.2
