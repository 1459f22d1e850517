"""Tiles cover every pixel once, and blend without a seam."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geogan.filling.tiles import Tile, blend_weights, grid_tiles, tile_axis

axes = st.tuples(st.integers(1, 200), st.integers(1, 60), st.integers(0, 50), st.integers(1, 9))


@settings(deadline=None, max_examples=150)
@given(axes)
def test_cores_cover_once_and_reads_stay_inside(axis):
    length, core, halo, multiple = axis
    tiles = tile_axis(length, core, halo, multiple=multiple)
    seen = np.zeros(length, int)
    for tile in tiles:
        seen[tile.core] += 1
        assert 0 <= tile.read.start <= tile.core.start < tile.core.stop <= tile.read.stop <= length
        assert tile.core.start % multiple == 0
        assert tile.core.start - tile.read.start == min(halo, tile.core.start)
        assert np.arange(length)[tile.read][tile.inner].tolist() == np.arange(length)[tile.core].tolist()
    assert (seen == 1).all()
    assert tiles[-1].core.stop == length


@settings(deadline=None, max_examples=150)
@given(axes)
def test_weights_are_positive_and_sum_to_one(axis):
    length, core, halo, multiple = axis
    tiles = tile_axis(length, core, halo, multiple=multiple)
    total = np.zeros(length)
    for tile, weight in zip(tiles, blend_weights(tiles, length)):
        assert (weight > 0).all()
        total[tile.read] += weight
    np.testing.assert_allclose(total, 1)


def test_weights_fade_over_the_overlap_only():
    tiles = tile_axis(30, 10, 2)
    middle = blend_weights(tiles, 30)[1]
    assert (np.diff(middle[:5]) > 0).all()
    assert (middle[4:10] == 1).all()
    assert (np.diff(middle[-5:]) < 0).all()


def test_grid_is_asymmetric_and_complete():
    seen = np.zeros((7, 11), int)
    for row, column in grid_tiles((7, 11), (3, 4), (1, 2), multiple=(1, 2)):
        seen[row.core, column.core] += 1
    assert (seen == 1).all()


def test_what_cannot_be_tiled_says_so():
    with pytest.raises(ValueError, match="halo=-1"):
        tile_axis(10, 4, -1)
    with pytest.raises(ValueError, match="core=0"):
        tile_axis(10, 0, 1)
    with pytest.raises(ValueError, match="one entry an axis"):
        grid_tiles((3, 4), (2,), (0, 0))
    with pytest.raises(ValueError, match="pixel 2 of 4 uncovered"):
        blend_weights([Tile(slice(0, 2), slice(0, 2))], 4)


@pytest.mark.parametrize(
    ("length", "core", "halo"), [(48, 12, 8), (50, 12, 4), (20, 12, 4), (21, 12, 4), (360, 192, 32)]
)
def test_round_the_globe_every_tile_has_its_halo(length, core, halo):
    tiles = tile_axis(length, core, halo, multiple=4, is_periodic=True)
    assert [tile.core.start for tile in tiles][0] == 0 and tiles[-1].core.stop == length
    total = np.zeros(length)
    for tile, weight in zip(tiles, blend_weights(tiles, length), strict=True):
        places = np.arange(tile.read.start, tile.read.stop) % length
        assert len(set(places)) == len(places)
        total[places] += weight
        if len(tiles) > 1:
            assert tile.core.start - tile.read.start == tile.read.stop - tile.core.stop == halo
    np.testing.assert_allclose(total, 1)
    assert (len(tiles) == 1) == (length <= core + 2 * halo)
