"""Pairs of cells that are observed together."""

import numpy as np
import pytest
import xarray as xr

from geogan.fields.field import Field
from geogan.gaps.packed import PackedMask
from geogan.gaps.seen_together import Lag, default_lags, seen_together

DATES, HEIGHT, WIDTH = 90, 12, 14


def packed(seen, domain=None):
    times = np.datetime64("2001-01-01", "ns") + np.arange(len(seen)) * np.timedelta64(1, "D")
    films = xr.DataArray(np.where(seen, 1.0, np.nan), dims=("time", "y", "x"), coords={"time": times})
    return PackedMask.read(Field.of(films), np.ones(seen.shape[1:], bool) if domain is None else domain)


@pytest.mark.parametrize("is_periodic", [False, True])
@pytest.mark.parametrize("lag", [(0, 1, 0), (0, 0, 3), (1, 0, 0), (1, -2, 0), (3, 0, -5), (70, 4, 2)])
def test_pairs_are_counted(lag, is_periodic):
    rng = np.random.default_rng(0)
    seen, domain = rng.random((DATES, HEIGHT, WIDTH)) < 0.1, rng.random((HEIGHT, WIDTH)) < 0.7
    seen &= domain
    steps, rows, columns = lag
    together = possible = never = cells = 0
    for y in range(HEIGHT):
        for x in range(WIDTH):
            v, u = y + rows, x + columns
            u = u % WIDTH if is_periodic else u
            if not (0 <= v < HEIGHT and 0 <= u < WIDTH and domain[y, x] and domain[v, u]):
                continue
            count = int((seen[: DATES - steps, y, x] & seen[steps:, v, u]).sum())
            together, possible = together + count, possible + DATES - steps
            never, cells = never + (count == 0), cells + 1
    found = seen_together(packed(seen, domain), (Lag(*lag),), is_periodic=is_periodic)
    assert [int(part[0]) for part in found[1:5]] == [together, possible, never, cells]


def test_a_pair_of_one_date_counts_for_both_cells():
    # Columns 0 and 1 are never observed on one date; columns 1 and 2 always are.
    seen = np.zeros((10, 5, 3), bool)
    seen[::2, :, 0] = seen[1::2, :, 1:] = True
    share = seen_together(packed(seen), (Lag(0, 0, 1),)).never_share
    np.testing.assert_array_equal(share, np.tile([1.0, 0.5, 0.0], (5, 1)))


def test_the_reverse_of_a_record_has_the_opposite_lags():
    seen = np.random.default_rng(1).random((30, 8, 8)) < 0.3
    forth = seen_together(packed(seen), (Lag(2, 1, 3), Lag(1, 0, -2)))
    back = seen_together(packed(seen[::-1]), (Lag(2, -1, -3), Lag(1, 0, 2)))
    np.testing.assert_array_equal(forth.together, back.together)


def test_lags_stay_inside_half_of_the_grid_and_the_record():
    lags = default_lags(packed(np.ones((3, 9, 70), bool)))
    assert {lag.rows for lag in lags} == {0, 1, 2, 4, -1, -2, -4}
    assert max(lag.columns for lag in lags) == 32 and {lag.steps for lag in lags} == {0, 1}
    assert len(set(lags)) == len(lags)
    assert default_lags(packed(np.ones((1, 2, 2), bool))) == (Lag(0, 1, 0), Lag(0, 0, 1))
