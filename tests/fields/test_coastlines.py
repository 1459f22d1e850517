"""Coastlines are the Earth's."""

import numpy as np
import pytest
import shapely

from geogan.fields.coastlines import coastlines, land
from geogan.operators.errors import InputError


@pytest.mark.parametrize("resolution", ["110m", "50m"])
def test_known_places(resolution):
    shape = land(resolution)
    assert shape.is_valid
    shapely.prepare(shape)
    dry = [
        (2.35, 48.86),
        (-100, 40),
        (135, -25),
        (0, -89.9),
        (-179.9, -89),
        (179.9, -85),
        (-175, 67),
        (170, 67),
    ]
    dry += [(-60, -10), (105, 65), (-42, 72)]
    wet = [(-30, 30), (0, 0), (160, 0), (-179.9, 0), (179.9, 30), (5, 38), (-150, -60), (51, 42), (0, 89)]
    assert [point for point in dry if not shapely.contains_xy(shape, *point)] == []
    assert [point for point in wet if shapely.contains_xy(shape, *point)] == []
    # The land is 29 % of the globe; the area is weighted with the cosine of latitude.
    latitude, longitude = np.meshgrid(np.arange(-89.0, 90, 2), np.arange(-179.0, 180, 2), indexing="ij")
    weight = np.cos(np.deg2rad(latitude))
    share = np.sum(weight * shapely.contains_xy(shape, longitude, latitude)) / weight.sum()
    assert 0.27 < share < 0.31


@pytest.mark.parametrize("resolution", ["110m", "50m"])
def test_no_line_crosses_the_map(resolution):
    lines = coastlines(resolution)
    assert len(lines) > 100
    for line in lines:
        assert line.ndim == 2 and line.shape[1] == 2 and len(line) > 1
        assert np.abs(np.diff(line[:, 0])).max() < 30
        assert np.abs(line[:, 0]).max() <= 180 and np.abs(line[:, 1]).max() < 90
    # Cuts are no coast: nothing runs along the antimeridian or the pole.
    along = [np.all(np.abs(line[:, 0]) > 180 - 1e-6) for line in lines]
    assert not any(along)


def test_unknown_resolution():
    with pytest.raises(InputError, match="resolution must be"):
        land("10m")
