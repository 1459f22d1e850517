"""Tiles cover every cell once and read their halo; tasks are groups of whole tiles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geogan.filling.tiles import group_tiles, tile_axis, turns, widened

axes = st.tuples(st.integers(1, 200), st.integers(1, 60), st.integers(0, 50), st.integers(1, 9))


@settings(deadline=None, max_examples=150)
@given(axes)
def test_cores_cover_once_and_reads_stay_inside(axis):
    length, core, halo, multiple = axis
    tiles = tile_axis(length, core, halo, multiple=multiple)
    count = np.zeros(length, int)
    for tile in tiles:
        count[tile.core] += 1
        assert 0 <= tile.read.start <= tile.core.start < tile.core.stop <= tile.read.stop <= length
        assert tile.core.start % multiple == 0
        assert tile.core.start - tile.read.start == min(halo, tile.core.start)
        assert np.arange(length)[tile.read][tile.inner].tolist() == np.arange(length)[tile.core].tolist()
    assert (count == 1).all()
    assert tiles[-1].core.stop == length


@settings(deadline=None, max_examples=100)
@given(axes, st.integers(1, 4), st.integers(0, 9), st.booleans())
def test_tasks_cover_once_and_read_every_tile_that_contributes(axis, count, rim, is_periodic):
    length, core, halo, multiple = axis
    tiles = tile_axis(length, core, halo, multiple=multiple, is_periodic=is_periodic)
    size = count * -(-core // multiple) * multiple
    tasks = group_tiles(tiles, size, rim, is_periodic=is_periodic)
    assert [cell for task in tasks for cell in range(task.core.start, task.core.stop)] == list(range(length))
    for task in tasks if len(tasks) > 1 else ():
        wide = widened(task.core, rim, length, is_periodic=is_periodic)
        for tile in tiles:
            for turn in turns(tile.read, wide, length, is_periodic=is_periodic):
                assert task.read.start <= tile.read.start + turn and tile.read.stop + turn <= task.read.stop


def test_sizes_that_cannot_be_used_are_refused():
    with pytest.raises(ValueError, match="halo=-1"):
        tile_axis(10, 4, -1)
    with pytest.raises(ValueError, match="core=0"):
        tile_axis(10, 0, 1)
