"""Tests of colour maps and their limits."""

import numpy as np
import pytest
import xarray as xr

from geogan.plotting.colours import colour_extend, colour_limits, colour_map, diverging_map


def test_colour_maps_of_temperatures_anomalies_images_and_other_fields(a_field, pictures):
    temperature = a_field()
    assert getattr(colour_map(temperature), "name", colour_map(temperature)) in ("inferno", "thermal")
    assert colour_map(temperature.rename("sst_anomaly")) == diverging_map()
    assert colour_map(pictures()) == "gray"
    assert colour_map(xr.DataArray(0.0, name="chlorophyll")) == "viridis"


def test_limits_are_percentiles_and_symmetric_for_anomalies(pictures):
    values = xr.DataArray(np.r_[np.linspace(10, 20, 1001), 900.0, np.nan], dims="x", name="sst")
    low, high = colour_limits([values])
    assert (low, high) == pytest.approx((10.2, 19.8), abs=0.02)
    low, high = colour_limits([(values - 14).rename("anomaly")])
    assert low == -high
    assert colour_limits([pictures()]) == (-1, 1)


def test_limits_of_empty_and_constant_fields_increase():
    for values in ([np.nan, np.nan], [3.0, 3.0]):
        low, high = colour_limits([xr.DataArray(values, dims="x")])
        assert low < high


def test_the_colour_bar_extends_where_values_exceed_the_limits():
    values = np.array([0.0, np.nan, 5.0])
    ends = [colour_extend([values], limits) for limits in ((0, 5), (1, 5), (0, 4), (1, 4))]
    assert ends == ["neither", "min", "max", "both"]
