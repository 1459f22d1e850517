"""Groups are whole chunks, large enough for a block and bounded; the number of a block decides its group."""

import threading
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geogan.compute.chunk_groups import BLOCKS_EACH, GROUPS, ShuffleBuffer, decoding_ratio, plan_groups, slot_of
from geogan.compute.extent import Extent

BLOCK = (16, 128, 128)
axes = st.lists(st.integers(1, 200), min_size=1, max_size=12)


@settings(deadline=None)
@given(st.tuples(axes, axes, axes), st.tuples(*[st.integers(1, 150)] * 3), st.integers(1, 10**6))
def test_groups_hold_a_block_and_cover_the_archive(chunks, least, most):
    groups = plan_groups(chunks, least, most=most)
    for intervals, axis, block in zip(groups, chunks, least):
        assert intervals[0][0] == 0 and intervals[-1][1] == sum(axis)
        assert all(stop - start >= min(block, sum(axis)) for start, stop in intervals)
        for previous, following in pairwise(intervals):
            assert previous[0] < following[0] <= previous[1] <= following[1]


@settings(deadline=None)
@given(st.tuples(axes, axes, axes), st.tuples(*[st.integers(1, 150)] * 3), st.integers(1, 10**6))
def test_groups_are_whole_chunks_unless_those_are_too_large(chunks, least, most):
    groups = plan_groups(chunks, least, most=most)
    edges = [{0, *accumulate(axis)} for axis in chunks]
    whole = all(set(interval) <= ends for intervals, ends in zip(groups, edges) for interval in intervals)
    smallest = plan_groups(chunks, least, most=10**12)
    if not whole:
        assert smallest.values > most
    if groups.values > most:
        # Every group is as short as a block allows.
        for intervals, block in zip(groups, least):
            assert max(stop - start for start, stop in intervals) < 2 * block


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
def test_groups_of_common_chunks(chunks, longest):
    groups = plan_groups(chunks, BLOCK)
    assert tuple(max(stop - start for start, stop in axis) for axis in groups) == longest


@settings(deadline=None)
@given(st.tuples(axes, axes, axes), st.tuples(*[st.integers(1, 150)] * 3))
def test_whole_chunks_are_decoded_once(chunks, least):
    assert decoding_ratio(plan_groups(chunks, least, most=10**12), chunks) == 1
    assert decoding_ratio(plan_groups(chunks, least, most=1000), chunks) >= 1


def test_a_small_archive_is_one_group():
    assert plan_groups(([4] * 5, [20], [24]), BLOCK) == ([(0, 20)], [(0, 20)], [(0, 24)])


def test_consecutive_blocks_come_from_different_slots_that_are_refilled_one_by_one():
    keys = [slot_of(number) for number in range(200)]
    for start in range(190):
        assert len({slot for slot, _ in keys[start : start + GROUPS]}) == GROUPS
    assert all(keys.count(key) == BLOCKS_EACH for key in set(keys[30:150]) if keys[-1][1] > key[1] > 0)
    first_seen = sorted(keys.index(key) for key in set(keys[:160]))[GROUPS:]
    assert max(later - sooner for sooner, later in pairwise(first_seen)) <= BLOCKS_EACH + GROUPS


def test_a_group_is_read_once_ahead_of_need_and_depends_on_the_number_only():
    groups = plan_groups(([1] * 50, [8] * 20, [8] * 20), (4, 8, 8), most=2000)
    read, threads = [], set()

    def load(extent):
        read.append(extent)
        threads.add(threading.current_thread())
        return extent

    buffer = ShuffleBuffer(groups.draw, load, seed=3)
    contents = [buffer.at(number) for number in range(60)]
    assert contents == [buffer.extent(number) for number in range(60)] and len({str(extent) for extent in contents}) > 8
    assert len(read) <= len({slot_of(number) for number in range(60 + GROUPS)})
    assert threading.main_thread() not in threads and len(threads) == 1
    resumed = ShuffleBuffer(groups.draw, load, seed=3)
    assert [resumed.at(number) for number in (47, 48, 9)] == [contents[47], contents[48], contents[9]]
    other = ShuffleBuffer(groups.draw, load, seed=4)
    assert [other.extent(number) for number in range(20)] != contents[:20]


def test_few_groups_are_in_memory_at_a_time():
    alive = set()

    class Content:
        def __init__(self, extent):
            alive.add(id(self))

        def __del__(self):
            alive.discard(id(self))

    everywhere = Extent(slice(0, 1), slice(0, 1), slice(0, 1))
    buffer = ShuffleBuffer(lambda generator: everywhere, Content, seed=0)
    most = 0
    for number in range(100):
        buffer.at(number)
        most = max(most, len(alive))
    assert most <= GROUPS + 2


def test_errors_of_reading_are_raised():
    def load(extent):
        raise OSError("the disk is gone")

    buffer = ShuffleBuffer(plan_groups(([4], [4], [4]), (1, 1, 1)).draw, load, seed=0)
    with pytest.raises(OSError, match="the disk is gone"):
        buffer.at(0)
    assert isinstance(buffer.extent(0), Extent) and np.size(buffer.extent(0)) == 3


@pytest.mark.parametrize("most", [4_000, 20_000, 10**9])
def test_groups_may_cross_the_seam(most):
    chunks = [[10] * 6, [8, 8], [10, 10, 10, 6]]
    groups = plan_groups(chunks, (10, 8, 12), most=most, is_periodic=True)
    edges = {0, 10, 20, 30, 36}
    lengths = [stop - start for start, stop in groups.x]
    assert min(lengths) >= 12 and max(lengths) <= 36
    assert all(start in edges and (stop % 36 or 36) in edges for start, stop in groups.x)
    # Every column, also at the seam, is inside some group.
    assert groups.x == [(0, 36)] or any(stop > 36 for _, stop in groups.x)
    assert decoding_ratio(groups, chunks) == pytest.approx(1.0)
