"""Noise depends on seed, cell and date only, so that parts of it agree."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geogan.model.member_noise import draws_at

DAYS = [0.0, 0.5, 400.25]
WHOLE = draws_at(DAYS, slice(0, 150), slice(0, 140), bands=2, pairs=3, seed=7)


@settings(deadline=None, max_examples=30)
@given(
    y=st.integers(0, 149).flatmap(lambda start: st.tuples(st.just(start), st.integers(start + 1, 150))),
    x=st.integers(0, 139).flatmap(lambda start: st.tuples(st.just(start), st.integers(start + 1, 140))),
    dates=st.sets(st.integers(0, 2), min_size=1),
    pairs=st.integers(1, 3),
)
def test_a_part_is_a_part_of_the_whole(y, x, dates, pairs):
    chosen = sorted(dates)
    part = draws_at([DAYS[date] for date in chosen], slice(*y), slice(*x), bands=2, pairs=pairs, seed=7)
    np.testing.assert_array_equal(part, WHOLE[:, :pairs][:, :, chosen][..., slice(*y), slice(*x)])


def test_it_is_standard_normal_and_white():
    assert WHOLE.dtype == np.float32 and WHOLE.shape == (2, 3, 3, 2, 150, 140)
    assert WHOLE.mean() == pytest.approx(0, abs=5e-3) and WHOLE.std() == pytest.approx(1, abs=5e-3)
    for axis in range(6):
        one, other = np.delete(WHOLE, 0, axis), np.delete(WHOLE, -1, axis)
        assert (one * other).mean() == pytest.approx(0, abs=8e-3), axis
    # Blocks that touch are no copies of each other.
    assert (WHOLE[..., :64, :64] * WHOLE[..., 64:128, :64]).mean() == pytest.approx(0, abs=0.02)


def test_seeds_differ():
    other = draws_at(DAYS, slice(0, 150), slice(0, 140), bands=2, pairs=3, seed=8)
    assert (other * WHOLE).mean() == pytest.approx(0, abs=5e-3)


def test_beyond_the_seam_noise_is_that_of_the_other_side():
    rows = slice(0, 40)
    whole = draws_at(DAYS, rows, slice(0, 140), bands=1, pairs=1, width=140)
    for part in (slice(-30, 50), slice(100, 200), slice(70, 210)):
        found = draws_at(DAYS, rows, part, bands=1, pairs=1, width=140)
        np.testing.assert_array_equal(found, np.take(whole, np.arange(part.start, part.stop) % 140, -1))
