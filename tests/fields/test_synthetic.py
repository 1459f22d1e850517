"""The synthetic sea is reproducible, labelled, stationary, and far from Gaussian."""

import numpy as np
import pytest
import xarray as xr
from scipy import ndimage

from geogan.fields.synthetic import synthetic_sst
from geogan.operators.errors import InputError


@pytest.fixture(scope="module")
def sea() -> xr.Dataset:
    return synthetic_sst(days=120, size=(64, 56), seed=4)


@pytest.fixture(scope="module")
def anomaly(sea):
    """Return deviations from each cell's mean and seasonal cycle, (time, lat, lon)."""
    values = sea["sst"].values.astype(float)
    day = sea["time"].dt.dayofyear.values - 1
    season = 3 * np.cos(2 * np.pi * (day - 228) / 365.25)[:, None] * (1 + 0.15 * np.linspace(-1, 1, 64))
    values = values - season[:, :, None]
    return values - values.mean(axis=0)


def test_labels(sea):
    sst = sea["sst"]
    assert sst.dims == ("time", "lat", "lon") and sst.shape == (120, 64, 56) and sst.dtype == "float32"
    assert sst.attrs["standard_name"] == "sea_surface_temperature"
    assert sst.attrs["units"] == "degree_Celsius"
    assert sea["lat"].attrs["units"] == "degrees_north" and sea["lon"].attrs["units"] == "degrees_east"
    assert sea["sea_mask"].dtype == "int8"
    assert str(sea["time"].values[0])[:10] == "2015-01-01"
    assert "sst_observed" not in sea


@pytest.mark.parametrize(("seed", "size"), [(0, 64), (1, 64), (2, (48, 96)), (3, (96, 48)), (5, 40)])
def test_land_is_a_coast_and_an_island(seed, size):
    land = synthetic_sst(days=1, size=size, seed=seed)["sea_mask"].values == 0
    assert 0.12 < land.mean() < 0.28
    assert ndimage.label(land)[1] == 2
    assert ndimage.label(~land)[1] == 1


def test_nan_on_land_alone(sea):
    np.testing.assert_array_equal(np.isfinite(sea["sst"].values[7]), sea["sea_mask"].values == 1)


def test_a_large_field_stays_in_the_range_of_the_ocean():
    sst = synthetic_sst(days=1, size=(320, 32))["sst"].values
    assert np.nanmin(sst) > 0 and np.nanmax(sst) < 34


def test_same_seed_same_bits_and_a_longer_record_begins_with_the_shorter():
    short = synthetic_sst(days=2, size=(20, 24), seed=7, noise=0.1)
    again = synthetic_sst(days=2, size=(20, 24), seed=7, noise=0.1)
    longer = synthetic_sst(days=4, size=(20, 24), seed=7, noise=0.1)
    xr.testing.assert_identical(short, again)
    xr.testing.assert_equal(short, longer.isel(time=slice(2)))
    other = synthetic_sst(days=2, size=(20, 24), seed=8)
    assert float(abs(other["sst"] - short["sst"]).max()) > 0.1


def test_noise_leaves_the_truth_alone():
    clean = synthetic_sst(days=2, size=(48, 40), seed=3)
    noisy = synthetic_sst(days=2, size=(48, 40), seed=3, noise=0.5)
    xr.testing.assert_equal(clean["sst"], noisy["sst"])
    error = (noisy["sst_observed"] - noisy["sst"]).values
    assert np.nanstd(error) == pytest.approx(0.5, rel=0.05)
    assert noisy["sst_observed"].dtype == "float32"


def test_sharp_fronts(anomaly):
    for axis in (1, 2):
        increments = np.diff(anomaly, axis=axis)
        increments = increments[np.isfinite(increments)]
        kurtosis = np.mean(increments**4) / np.mean(increments**2) ** 2
        assert kurtosis > 6  # 3 for any Gaussian field


def test_size_and_pace_of_the_anomaly(anomaly):
    sea = anomaly[:, np.isfinite(anomaly[0])]
    assert 0.7 < sea.std() < 1.4
    assert 0.6 < sea[:60].std() / sea[60:].std() < 1.6  # no spin-up left in it
    correlation = [np.mean(sea[lag:] * sea[:-lag]) / np.mean(sea**2) for lag in (1, 4, 20)]
    assert correlation[0] > 0.8
    assert 0.3 < correlation[1] < 0.85
    assert abs(correlation[2]) < 0.35


def test_a_seasonal_cycle_of_three_degrees():
    mean = [float(synthetic_sst(days=1, size=24, start=f"2015-{month:02d}-15")["sst"].mean()) for month in (2, 8)]
    # The same seed gives the same anomaly, so the season is all that differs.
    assert mean[1] - mean[0] == pytest.approx(6, abs=0.3)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"days": 0}, "days must be at least 1"),
        ({"size": (64, 8)}, "size must be at least 16"),
        ({"noise": -1.0}, "noise must be 0 or more"),
        ({"start": "soon"}, "start must be a date"),
    ],
)
def test_errors(wrong, words):
    with pytest.raises(InputError, match=words):
        synthetic_sst(**wrong)
