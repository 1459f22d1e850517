"""What reading costs, against counting it chunk by chunk."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geogan.filling.chunks import Cost, default_reads, reading_cost, touched, warning

lengths = st.lists(st.integers(1, 9), min_size=1, max_size=12)


@st.composite
def axes(draw):
    """Chunks of an axis, and stretches of it."""
    chunks = draw(lengths)
    count = sum(chunks)
    starts = draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=10))
    return chunks, [slice(start, draw(st.integers(start + 1, count))) for start in starts]


@given(axes())
def test_touched_are_those_that_share_an_entry(axis):
    chunks, reads = axis
    owner = list(itertools.chain(*([number] * length for number, length in enumerate(chunks))))
    for read in reads:
        assert set(touched(read, chunks)) == set(owner[read])


@given(axes())
def test_nothing_kept_is_every_chunk_of_every_stretch(axis):
    chunks, reads = axis
    cost = reading_cost(reads, chunks)
    assert cost.decoded == sum(chunks[number] for read in reads for number in touched(read, chunks))
    assert cost.needed == len(set(itertools.chain(*(range(read.start, read.stop) for read in reads))))


@given(axes(), st.integers(0, 40))
def test_keeping_more_never_costs_more_and_keeping_all_costs_each_chunk_once(axis, kept):
    chunks, reads = axis
    everything = reading_cost(reads, chunks, kept=sum(chunks))
    assert everything.decoded == sum(
        chunks[n] for n in set(itertools.chain(*(touched(read, chunks) for read in reads)))
    )
    some, more = (reading_cost(reads, chunks, kept=size) for size in (kept, kept + 3))
    assert reading_cost(reads, chunks).decoded >= some.decoded >= everything.decoded >= everything.needed
    assert more.needed == some.needed


@given(lengths)
def test_chunks_read_one_after_another_are_read_once(chunks):
    stops = list(itertools.accumulate(chunks))
    assert reading_cost([slice(stop - length, stop) for stop, length in zip(stops, chunks)], chunks).times == 1


@given(st.integers(1, 500), st.integers(1, 60_000_000))
def test_default_reads_cover_the_record(count, values):
    reads = default_reads(count, values)
    assert set(itertools.chain(*(range(read.start, read.stop) for read in reads))) == set(range(count))


def test_what_is_said():
    assert warning(Cost(100, 200), (365, 10, 10)) is None
    said = warning(Cost(100, 1210), (365, 10, 10))
    assert said == ("each byte of the archive is read 12 times: its chunks hold 365 dates; rechunk it to (8, 512, 512)")


@pytest.mark.parametrize(("year", "times"), [(8, 2.0), (365, 16.5)])
def test_daily_slabs(year, times):
    reads = default_reads(730, 1024**2)
    assert reading_cost(reads, [year] * (730 // year) + [730 % year] * (730 % year > 0)).times == pytest.approx(
        times, 0.2
    )


def test_panels_are_held_against_good_chunks():
    """They read beyond their rims, and no chunks spare them that."""
    assert warning(Cost(100, 440), (8, 512, 512), least=Cost(100, 430)) is None
    said = warning(Cost(100, 1800), (1, 4096, 4096), least=Cost(100, 430))
    assert said is not None and "read 18 times: its chunks hold 1 dates of 4096 x 4096 cells; rechunk it to" in said
