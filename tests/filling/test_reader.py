"""What a task holds in memory is what the archive holds; each chunk is decoded once where memory allows."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from geogan.compute.threads import side_by_side
from geogan.fields.codes import Codes
from geogan.fields.field import Field
from geogan.fields.marks import rule_mark, unreadable_mark
from geogan.filling import FillOptions, Task, plan_tasks
from geogan.filling.fill import Filler
from geogan.filling.plan import TaskSizes
from geogan.filling.reader import TaskReader, as_codes
from geogan.filling.tiles import Span
from geogan.io import damage, open_field
from geogan.model import prepare_archive

ROWS, COLUMNS = Span(slice(0, 20), slice(0, 20)), Span(slice(0, 24), slice(0, 24))


def tasks_of(dates, margin, count=30):
    """Return tasks of whole maps that read more dates on either side."""
    spans = [
        Span(slice(start, start + dates), slice(max(0, start - margin), min(count, start + dates + margin)))
        for start in range(0, count, dates)
    ]
    return [Task(span, ROWS, COLUMNS, span.inner) for span in spans]


TASKS = tasks_of(6, 3)


@pytest.fixture
def archive(model, gappy, tmp_path):
    gappy.to_dataset().to_zarr(tmp_path / "a.zarr", encoding={"sst": {"chunks": (5, 20, 24)}}, consolidated=False)
    return prepare_archive(model, Field.of(open_field(tmp_path / "a.zarr")))


@pytest.fixture
def packed(model, gappy, tmp_path):
    encoding = {"dtype": "int16", "scale_factor": 0.001, "add_offset": 20.0, "_FillValue": -32768}
    path = tmp_path / "packed.zarr"
    gappy.to_dataset().to_zarr(path, encoding={"sst": encoding | {"chunks": (5, 20, 24)}}, consolidated=False)
    return prepare_archive(model, Field.of(open_field(path)))


@pytest.fixture
def decoded(monkeypatch):
    """Return the dates of all reads of the file."""
    dates, read = [], damage.GuardedVariable.__getitem__

    def count(guarded, key):
        values = read(guarded, key)
        dates.append(values.shape[0])
        return values

    monkeypatch.setattr(damage.GuardedVariable, "__getitem__", count)
    return dates


@pytest.mark.parametrize("kept", [0, 2 * 10 * 20 * 24 * 8, 10**9])
def test_tasks_hold_what_the_archive_holds(archive, gappy, decoded, kept):
    reader = TaskReader(archive, sizes=TaskSizes(kept_bytes=kept))
    for task in TASKS:
        held, counted = reader.hold(task)
        np.testing.assert_array_equal(held.field.values[:, 0], gappy.values[task.dates.read])
        np.testing.assert_array_equal(held.days[counted.dates.core], archive.days[task.dates.core])
        np.testing.assert_array_equal(held.read(slice(None)).mask, archive.read(task.dates.read).mask)


@pytest.mark.parametrize("threads", [1, 3])
def test_each_chunk_is_decoded_once(archive, decoded, threads):
    list(side_by_side(TaskReader(archive).hold, TASKS, threads=threads))
    assert sum(decoded) == 30


@pytest.mark.parametrize("kept", [0, 2 * 10 * 20 * 24 * 2, 10**9])
def test_a_packed_archive_is_held_as_integers(packed, kept):
    reader = TaskReader(packed, sizes=TaskSizes(kept_bytes=kept))
    whole = packed.field.values
    for task in TASKS:
        held, _ = reader.hold(task)
        assert not isinstance(held.field.variable._data, np.ndarray) and held.field.chunks is None
        assert held.field.values.tobytes() == np.ascontiguousarray(whole[task.dates.read]).tobytes()
        np.testing.assert_array_equal(held.read(slice(None)).values, packed.read(task.dates.read).values)
    assert {block.dtype for block in reader._kept.values()} <= {np.dtype("int16")}


@pytest.mark.parametrize("lost", range(6))
def test_a_chunk_with_unreadable_cells_is_held_decoded(packed, lost):
    """An unreadable cell is a marked NaN at any position in a task."""
    values = packed.field.values.copy()
    values[5 * lost : 5 * lost + 2, 0, :4] = unreadable_mark(values.dtype)
    field = packed.field.copy(data=values).chunk(packed.field.chunksizes)
    reader = TaskReader(replace(packed, field=field))
    for task in TASKS:
        held, _ = reader.hold(task)
        assert held.field.values.tobytes() == np.ascontiguousarray(values[task.dates.read]).tobytes()


def test_values_that_integers_cannot_represent_are_not_packed():
    codes = Codes(np.dtype("int16"), 0.1, None, 5)
    values = codes.read(np.arange(24, dtype="i2").reshape(2, 1, 3, 4), "netcdf")
    packed = as_codes(values, codes)
    np.testing.assert_array_equal(packed, np.arange(24).reshape(values.shape))
    for wrong in (
        values[1, 0, 2, 2] + 0.05,
        np.nextafter(values[1, 0, 2, 2], 9.0),
        unreadable_mark(values.dtype),
        np.inf,
        1e6,
    ):
        changed = values.copy()
        changed[1, 0, 2, 2] = wrong
        assert as_codes(changed, codes) is None
    # The rule by which a value is missing is of no use to a fill.
    values[0, 0, 0, 0] = rule_mark(values.dtype, 2)
    assert (as_codes(values, codes) == 5).sum() == 2


@pytest.mark.parametrize("encoding", [{}, {"dtype": "int16", "scale_factor": 0.1}, {"dtype": "int64", "_FillValue": 5}])
def test_only_smaller_integers_with_a_fill_value_are_held_as_such(archive, encoding):
    field = archive.field.copy()
    field.encoding |= {"_FillValue": None} | encoding
    assert TaskReader(replace(archive, field=field))._codes is None


def test_a_filled_packed_archive_keeps_its_values(packed, model):
    filler = Filler.of(model, Field.of(packed.field[:, 0]), FillOptions(sizes=TaskSizes(dates=10)))
    assert filler.reader._codes is not None
    for task in filler.plan.tasks:
        values, source, *_ = filler.arrays(task)
        raw = packed.field[task.dates.core].values
        assert values.dtype == raw.dtype and (source == 0).any()
        np.testing.assert_array_equal(values[source == 0], raw[source == 0])


def test_no_more_is_kept_than_tasks_share(archive, model, decoded):
    """For any length of the archive, and each chunk is decoded once."""
    plan = replace(plan_tasks(model, archive), dates=[task.dates for task in tasks_of(2, 1)])
    reader, most = TaskReader(archive, plan), 0
    for task in plan.tasks:
        reader.hold(task)
        most = max(most, sum(len(block) for block in reader._kept.values()))
    assert sum(decoded) == 30 and 5 < most <= 2 * 4 + 4 * 5 < 30
    assert TaskReader(archive, plan, sizes=TaskSizes(kept_bytes=10)).sizes.kept_bytes == 10
    make, given = reader.__reduce__()
    assert make(*given).sizes == reader.sizes


def test_what_was_decoded_is_not_sent_along(archive):
    reader = TaskReader(archive)
    before = len(pickle.dumps(reader))
    reader.hold(TASKS[0])
    assert len(pickle.dumps(reader)) < before + 1000


def test_a_task_that_memory_does_not_hold_is_read_tile_by_tile(archive, model):
    """With the same result."""
    filler = Filler.of(model, Field.of(archive.field[:, 0]), FillOptions(), dates=slice(0, 6))
    (task,) = filler.plan.tasks
    reader = TaskReader(archive, sizes=TaskSizes(read_values=100))
    assert reader.hold(TASKS[1]) == (archive, TASKS[1])
    for held, tiled in zip(filler.arrays(task), replace(filler, reader=reader).arrays(task), strict=True):
        np.testing.assert_array_equal(held, tiled)
