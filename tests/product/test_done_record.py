"""The record of finished regions: it survives a kill, and never claims a region that it cannot vouch for."""

import numpy as np
import pytest

from geogan.product.chunk_store import ChunkStore
from geogan.product.done_record import DoneRecord, count_done

TOP, BOTTOM = {"y": slice(0, 2)}, {"y": slice(2, 4)}


@pytest.fixture
def store(tmp_path):
    return ChunkStore(tmp_path / "store.zarr", {"sst": ("y", "x")}, {"y": 4, "x": 6}, {"y": 2, "x": 6})


def test_regions_notes_and_checksums_are_read_again(tmp_path, store):
    sums = np.array([7, 8], np.uint32)
    record = DoneRecord(tmp_path, store)
    record.append(TOP, ["sst"], notes=["cloudy"], sums=sums)
    with pytest.raises(ValueError, match="1 of 2 chunks of 'sst' are not written yet"):
        record.check_complete()
    record.append(BOTTOM, ["sst"], notes=["cloudy"])
    record.check_complete()
    again = DoneRecord(tmp_path, store)
    assert again.missing([TOP, BOTTOM]) == [] and again.notes == ["cloudy"] and count_done(tmp_path) == 2
    np.testing.assert_array_equal(again.sums(TOP), sums)
    assert again.sums(BOTTOM) is None


def test_a_forgotten_region_is_missing_in_the_file_too(tmp_path, store):
    record = DoneRecord(tmp_path, store)
    record.append(TOP, ["sst"])
    record.append(BOTTOM, ["sst"])
    record.forget([TOP])
    assert record.missing([TOP, BOTTOM]) == [TOP] == DoneRecord(tmp_path, store).missing([TOP, BOTTOM])


@pytest.mark.parametrize(
    "line",
    [
        '{"region": {"y": [2, 4]}, "names": ["sst"]}',  # cut short: no line break
        "no JSON\n",
        '{"region": {"y": [2, 6]}, "names": ["sst"]}\n',  # beyond the product
        '{"region": {"y": [1, 3]}, "names": ["sst"]}\n',  # cuts a chunk
        '{"region": {"y": [2, 4]}, "names": ["ssh"]}\n',
        '{"region": {"time": [0, 1]}, "names": ["sst"]}\n',
    ],
)
def test_lines_after_a_damaged_or_foreign_line_are_not_trusted(tmp_path, store, line):
    DoneRecord(tmp_path, store).append(TOP, ["sst"])
    with (tmp_path / "done.jsonl").open("a") as file:
        file.write(line + '{"region": {"y": [2, 4]}, "names": ["sst"]}\n' * line.endswith("\n"))
    assert DoneRecord(tmp_path, store).missing([TOP, BOTTOM]) == [BOTTOM]
    assert count_done(tmp_path) == 1
