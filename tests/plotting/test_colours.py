"""Colours fit what a field is, and span most of its values."""

import numpy as np
import pytest
import xarray as xr

from geogan.plotting.colours import colour_extend, colour_limits, colour_map, diverging_map


def test_the_colours_of_temperatures_anomalies_images_and_the_rest(a_field, pictures):
    temperature = a_field()
    assert getattr(colour_map(temperature), "name", colour_map(temperature)) in ("inferno", "thermal")
    assert colour_map(temperature.rename("sst_anomaly")) == diverging_map()
    assert colour_map(pictures()) == "gray"
    assert colour_map(xr.DataArray(0.0, name="chlorophyll")) == "viridis"


def test_limits_leave_outliers_out_and_anomalies_stand_around_zero(pictures):
    values = xr.DataArray(np.r_[np.linspace(10, 20, 1001), 900.0, np.nan], dims="x", name="sst")
    low, high = colour_limits([values])
    assert (low, high) == pytest.approx((10.2, 19.8), abs=0.02)
    low, high = colour_limits([(values - 14).rename("anomaly")])
    assert low == -high
    assert colour_limits([pictures()]) == (-1, 1)


def test_there_are_always_two_limits():
    for values in ([np.nan, np.nan], [3.0, 3.0]):
        low, high = colour_limits([xr.DataArray(values, dims="x")])
        assert low < high


def test_the_bar_points_to_values_beyond_it():
    values = np.array([0.0, np.nan, 5.0])
    ends = [colour_extend([values], limits) for limits in ((0, 5), (1, 5), (0, 4), (1, 4))]
    assert ends == ["neither", "min", "max", "both"]
