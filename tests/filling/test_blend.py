"""The weights of overlapping tiles sum to one at every cell."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geogan.filling.blend import TaskAxis, blend_weights
from geogan.filling.tiles import Span, group_tiles, tile_axis

axes = st.tuples(st.integers(1, 200), st.integers(1, 60), st.integers(0, 50), st.integers(1, 9))


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


def test_a_cell_that_no_tile_covers_is_named():
    with pytest.raises(ValueError, match="cell 2 of 4 uncovered"):
        blend_weights([Span(slice(0, 2), slice(0, 2))], 4)


@pytest.mark.parametrize(
    ("length", "core", "halo"), [(48, 12, 8), (50, 12, 4), (20, 12, 4), (21, 12, 4), (360, 192, 32)]
)
def test_on_a_periodic_axis_every_tile_has_its_halo(length, core, halo):
    tiles = tile_axis(length, core, halo, multiple=4, is_periodic=True)
    assert tiles[0].core.start == 0 and tiles[-1].core.stop == length
    total = np.zeros(length)
    for tile, weight in zip(tiles, blend_weights(tiles, length), strict=True):
        cells = np.arange(tile.read.start, tile.read.stop) % length
        assert len(set(cells)) == len(cells)
        total[cells] += weight
        if len(tiles) > 1:
            assert tile.core.start - tile.read.start == tile.read.stop - tile.core.stop == halo
    np.testing.assert_allclose(total, 1)
    assert (len(tiles) == 1) == (length <= core + 2 * halo)


@pytest.mark.parametrize("is_periodic", [False, True])
@pytest.mark.parametrize("size", [12, 24, 48])
def test_the_weights_of_a_task_sum_to_one_on_it_and_its_rim(size, is_periodic):
    tiles = tile_axis(48, 12, 8, is_periodic=is_periodic)
    for task in group_tiles(tiles, size, 3, is_periodic=is_periodic):
        axis = TaskAxis.of(tiles, task.core, rim=3, start=task.read.start, is_periodic=is_periodic)
        total = np.zeros(axis.size)
        for tile, weight in axis.tiles:
            for target, own in axis.shared(tile):
                total[target] += weight[own]
        np.testing.assert_allclose(total, 1)
