"""Crops of masks."""

import numpy as np

from geogan.gaps.crops import drawn_crops, real_crops
from geogan.operators.cloud import CloudMask


def test_crops_are_parts_of_the_masks():
    random = np.random.default_rng(0)
    domain = random.random((60, 70)) < 0.9
    observed = (random.random((9, 60, 70)) < 0.5) & domain
    crops = real_crops(observed, domain, np.array([0, 4, 7]), 12, frames=2, seed=1)
    assert crops.seen.shape == (12, 2, 48, 48) and set(crops.dates) == {0, 4, 7}
    for seen, inside, date in zip(crops.seen, crops.domain, crops.dates, strict=True):
        assert any(
            np.array_equal(seen, observed[date : date + 2, y : y + 48, x : x + 48])
            and np.array_equal(inside, domain[y : y + 48, x : x + 48])
            for y in range(13)
            for x in range(23)
        )


def test_drawn_crops_have_the_same_places():
    observed, domain = np.ones((4, 20, 30), bool), np.tri(20, 30, 5, dtype=bool)
    real = real_crops(observed & domain, domain, np.arange(4), 6, frames=1, seed=0)
    drawn = drawn_crops(CloudMask(coverage=0.5, scale=4), real, seed=0)
    np.testing.assert_array_equal(drawn.domain, real.domain)
    assert not (drawn.seen & ~drawn.domain[:, None]).any() and 0.2 < drawn.hidden_share.mean() < 0.8
    again = drawn_crops(CloudMask(coverage=0.5, scale=4), real, seed=0)
    np.testing.assert_array_equal(drawn.seen, again.seen)
