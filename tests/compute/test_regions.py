"""Regions are whole chunks that hold a block, within bounds; which one a block is cut from is said by its number."""

import threading
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geogan.compute.regions import BLOCKS_EACH, REGIONS, Region, ShuffleBuffer, decoded, plan_regions, serving

BLOCK = (16, 128, 128)
axes = st.lists(st.integers(1, 200), min_size=1, max_size=12)


@settings(deadline=None)
@given(st.tuples(axes, axes, axes), st.tuples(*[st.integers(1, 150)] * 3), st.integers(1, 10**6))
def test_regions_hold_a_block_and_cover_all(chunks, least, most):
    regions = plan_regions(chunks, least, most=most)
    for stretches, axis, block in zip(regions, chunks, least):
        assert stretches[0][0] == 0 and stretches[-1][1] == sum(axis)
        assert all(stop - start >= min(block, sum(axis)) for start, stop in stretches)
        for one, other in pairwise(stretches):
            assert one[0] < other[0] <= one[1] and one[1] <= other[1]


@settings(deadline=None)
@given(st.tuples(axes, axes, axes), st.tuples(*[st.integers(1, 150)] * 3), st.integers(1, 10**6))
def test_regions_are_whole_chunks_unless_those_are_too_large(chunks, least, most):
    regions = plan_regions(chunks, least, most=most)
    edges = [{0, *accumulate(axis)} for axis in chunks]
    whole = all(set(stretch) <= ends for stretches, ends in zip(regions, edges) for stretch in stretches)
    smallest = plan_regions(chunks, least, most=10**12)
    if not whole:
        assert smallest.values > most
    if regions.values > most:
        # Nothing shorter holds a block: no part of a region could be left out.
        for stretches, block in zip(regions, least):
            assert max(stop - start for start, stop in stretches) < 2 * block


@pytest.mark.parametrize(
    ("chunks", "longest"),
    [
        (([1] * 7300, [1024], [1024]), (16, 1024, 1024)),
        (([64] * 30, [128] * 8, [128] * 8), (64, 512, 512)),
        (([365] * 20, [32] * 32, [32] * 32), (365, 160, 224)),
        (([1] * 100, [4096], [4096]), (16, 1024, 1024)),
        (([365, 365], [1024], [1024]), (46, 512, 512)),
    ],
)
def test_the_usual_chunks(chunks, longest):
    regions = plan_regions(chunks, BLOCK)
    assert tuple(max(stop - start for start, stop in axis) for axis in regions) == longest


@settings(deadline=None)
@given(st.tuples(axes, axes, axes), st.tuples(*[st.integers(1, 150)] * 3))
def test_whole_chunks_are_decoded_once(chunks, least):
    assert decoded(plan_regions(chunks, least, most=10**12), chunks) == 1
    assert decoded(plan_regions(chunks, least, most=1000), chunks) >= 1


def test_an_archive_that_is_small_is_one_region():
    assert plan_regions(([4] * 5, [20], [24]), BLOCK) == ([(0, 20)], [(0, 20)], [(0, 24)])


def test_blocks_in_a_row_come_from_different_places_that_are_filled_anew_one_by_one():
    keys = [serving(number) for number in range(200)]
    for start in range(190):
        assert len({place for place, _ in keys[start : start + REGIONS]}) == REGIONS
    assert all(keys.count(key) == BLOCKS_EACH for key in set(keys[30:150]) if keys[-1][1] > key[1] > 0)
    first_seen = sorted(keys.index(key) for key in set(keys[:160]))[REGIONS:]
    assert max(later - sooner for sooner, later in pairwise(first_seen)) <= BLOCKS_EACH + REGIONS


def test_a_region_is_read_once_ahead_and_is_a_function_of_the_number():
    regions = plan_regions(([1] * 50, [8] * 20, [8] * 20), (4, 8, 8), most=2000)
    read, threads = [], set()

    def load(region):
        read.append(region)
        threads.add(threading.current_thread())
        return region

    buffer = ShuffleBuffer(regions.draw, load, seed=3)
    went = [buffer.at(number) for number in range(60)]
    assert went == [buffer.region(number) for number in range(60)] and len({str(region) for region in went}) > 8
    assert len(read) <= len({serving(number) for number in range(60 + REGIONS)})
    assert threading.main_thread() not in threads and len(threads) == 1
    resumed = ShuffleBuffer(regions.draw, load, seed=3)
    assert [resumed.at(number) for number in (47, 48, 9)] == [went[47], went[48], went[9]]
    other = ShuffleBuffer(regions.draw, load, seed=4)
    assert [other.region(number) for number in range(20)] != went[:20]


def test_few_regions_are_held_at_a_time():
    alive = set()

    class Content:
        def __init__(self, region):
            alive.add(id(self))

        def __del__(self):
            alive.discard(id(self))

    everywhere = Region(slice(0, 1), slice(0, 1), slice(0, 1))
    buffer = ShuffleBuffer(lambda generator: everywhere, Content, seed=0)
    most = 0
    for number in range(100):
        buffer.at(number)
        most = max(most, len(alive))
    assert most <= REGIONS + 2


def test_a_region_that_cannot_be_read_is_heard_of():
    def load(region):
        raise OSError("the disk is gone")

    buffer = ShuffleBuffer(plan_regions(([4], [4], [4]), (1, 1, 1)).draw, load, seed=0)
    with pytest.raises(OSError, match="the disk is gone"):
        buffer.at(0)
    assert isinstance(buffer.region(0), Region) and np.size(buffer.region(0)) == 3


@pytest.mark.parametrize("most", [4_000, 20_000, 10**9])
def test_regions_lie_across_the_seam(most):
    chunks = [[10] * 6, [8, 8], [10, 10, 10, 6]]
    regions = plan_regions(chunks, (10, 8, 12), most=most, is_periodic=True)
    edges = {0, 10, 20, 30, 36}
    lengths = [stop - start for start, stop in regions.x]
    assert min(lengths) >= 12 and max(lengths) <= 36
    assert all(start in edges and (stop % 36 or 36) in edges for start, stop in regions.x)
    # Every column, the seam's too, is in the middle of some region.
    assert regions.x == [(0, 36)] or any(stop > 36 for _, stop in regions.x)
    assert decoded(regions, chunks) == pytest.approx(1.0)
