"""Whether gaps depend on the field."""

import numpy as np

from geogan import synthetic_sst
from geogan.gaps.dependence import compare_beside_gaps
from geogan.operators.cloud import CloudMask


def films(seed, days=60, size=32):
    sea = synthetic_sst(days=days, size=size, seed=seed)
    field = sea.sst.values[:, None]
    return (field - np.nanmean(field, 0)) / np.nanstd(field), sea.sea_mask.values == 1


def clouds(seed, days=60, size=32):
    import torch

    operator = CloudMask(coverage=0.5, scale=6, persistence=2)
    drawn = operator.sample((1, days, 1, size, size), generator=torch.Generator().manual_seed(seed))
    return drawn[0].numpy()


def test_independent_clouds_are_not_accused():
    found = []
    for seed in range(12):
        values, sea = films(seed)
        found.append(compare_beside_gaps([np.where(clouds(seed + 100) & sea, values, np.nan)]))
    # The difference of independent clouds is 0 but for chance.
    mean = np.mean([one.difference for one in found])
    scatter = np.std([one.difference for one in found], ddof=1) / len(found) ** 0.5
    assert abs(mean) < 3 * scatter
    assert sum(one.is_found for one in found) <= 1


def test_fog_over_cold_water_is_found():
    for seed in range(3):
        values, sea = films(seed)
        random = np.random.default_rng(seed)
        foggy = values + random.normal(0, 0.5, values.shape) < -0.3
        found = compare_beside_gaps([np.where(~foggy & sea, values, np.nan)])
        assert found.is_found and found.difference < 0
        assert "lower than the others" in found.sentence(2.0, "K")


def test_too_few_dates_give_no_interval_and_no_verdict():
    values, sea = films(0, days=3)
    found = compare_beside_gaps([np.where((values > 0) & sea, values, np.nan)])
    assert found is None or (np.isnan(found.low) and not found.is_found)
    assert compare_beside_gaps([np.full((4, 1, 8, 8), np.nan)]) is None
