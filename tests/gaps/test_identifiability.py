"""What the gaps of a field leave unknown."""

import numpy as np
import pytest
import xarray as xr

from geogan import corrupt, synthetic_sst
from geogan.fields.field import Field
from geogan.gaps import identifiability


def field(seen, year=2001):
    random = np.random.default_rng(0)
    times = np.datetime64(f"{year}-01-01", "ns") + np.arange(len(seen)) * np.timedelta64(1, "D")
    values = np.where(seen, random.normal(15, 2, seen.shape), np.nan)
    return xr.DataArray(values, dims=("time", "y", "x"), coords={"time": times}, name="sst", attrs={"units": "K"})


def test_alternating_stripes_leave_a_lag_unknown():
    seen = np.zeros((40, 24, 24), bool)
    seen[::2, :, ::2] = seen[1::2, :, 1::2] = True
    found = identifiability(Field.of(field(seen)), np.ones((24, 24), bool))
    assert {(lag.rows, lag.columns) for lag in found.unseen_lags if lag.steps == 0} == {(0, 1)}
    (sentence,) = found.warnings()
    assert sentence.startswith("no two cells at a lag of 1 column, ")


def test_cells_that_are_never_observed_are_counted():
    seen = np.random.default_rng(1).random((20, 16, 16)) < 0.6
    seen[:, :2, :3] = False
    found = identifiability(Field.of(field(seen)), np.ones((16, 16), bool))
    assert found.never == 6
    assert found.warnings() == [
        "6 cells of the domain (2.3%) are never observed: fills there follow from the neighbours alone"
    ]


def test_ordinary_clouds_raise_no_warning():
    sea = synthetic_sst(days=40, size=32, seed=0)
    gappy = corrupt(sea.sst, "cloud_mask:coverage=0.5,scale=6", seed=1)
    found = identifiability(Field.of(gappy), sea.sea_mask.values == 1)
    assert found.warnings() == []
    table = found.table()
    assert list(table) == ["same cell", "1 cell", "2 cells", "4 cells", "8 cells", "16 cells"]
    shares = [table[name]["same date"] for name in table]
    # Neighbours are observed together more often than distant cells.
    assert shares == sorted(shares, reverse=True)
    observed = gappy.notnull().values[:, sea.sea_mask.values == 1].mean()
    assert shares[0] == pytest.approx(observed)


@pytest.mark.parametrize("kind", ["scene", "samples", "bands"])
def test_other_kinds_of_fields(kind):
    seen = np.random.default_rng(0).random((6, 16, 16)) < 0.5
    maps = field(seen)
    if kind == "scene":
        maps = maps.isel(time=0)
    elif kind == "samples":
        maps = maps.drop_vars("time").rename(time="sample")
    else:
        maps = xr.concat([maps, maps + 1], "band").transpose("time", "band", "y", "x")
    found = identifiability(Field.of(maps), np.ones((16, 16), bool))
    assert found.dates == (1 if kind == "scene" else 6)
    assert {lag.steps for lag in found.pairs.lags} == ({0, 1, 2} if kind == "bands" else {0})
    assert found.plain()["never_observed_cells"] == found.never
