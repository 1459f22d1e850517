"""Tasks cover a grid once within their bounds, and a field does not depend on their rows and columns."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from fill_files import fill, job_and_workers
from hypothesis import given, settings
from hypothesis import strategies as st

from geogan.fields.field import Field
from geogan.files.attributes import FILL
from geogan.filling import FillOptions, estimate, fill_field, plan_tasks
from geogan.filling.append_plan import _same_tasks
from geogan.filling.fill import Filler
from geogan.filling.job import OpenJob
from geogan.filling.plan import Grid, TaskSizes, task_size
from geogan.filling.reader import TaskReader
from geogan.filling.tiles import group_tiles, turns, widened
from geogan.io import open_field
from geogan.model import prepare_archive, save_model


def read_lengths(length, size, sizes):
    """Return the number of cells that the longest task reads, and that it holds with its halo."""
    tasks = group_tiles(sizes.tiles(length, is_periodic=False), size, sizes.rim)
    wides = [widened(task.core, sizes.rim, length) for task in tasks]
    return max(t.read.stop - t.read.start for t in tasks), max(wide.stop - wide.start for wide in wides)


@given(
    st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    st.integers(1, 3),
    st.integers(1, 9),
    st.integers(1, 12),
    st.tuples(st.integers(1, 40), st.integers(0, 50), st.integers(1, 19)),
    st.integers(10_000, 50_000_000),
)
@settings(max_examples=60, deadline=None)
def test_tasks_keep_their_bounds(shape, bands, members, dates, lengths, values):
    sizes = TaskSizes(
        tile=16 * lengths[0], halo=lengths[1], around=lengths[2], dates=dates, small_values=10**12, values=values,
        read_values=3 * values,
    )  # fmt: skip
    count, *sides = task_size(Grid(*shape, bands, members), sizes)
    reads, wides = zip(*(read_lengths(length, size, sizes) for length, size in zip(shape, sides)))
    assert all(side % sizes.unit == 0 or side == length for side, length in zip(sides, shape))
    if dates * np.prod(shape) * bands * members <= values:
        assert (count, *sides) == (dates, *shape)
    smallest = [min(sizes.unit, length) for length in shape]
    if [count, *sides] != [1, *smallest]:
        assert count * np.prod(wides) * bands * members <= values
        assert tuple(sides) == shape or (count + 16) * np.prod(reads) * bands <= 3 * values


@pytest.mark.parametrize("side", [1500, 2048, 4096, 8192])
def test_tasks_are_never_more_work_than_few_dates_of_the_whole_grid(side):
    sizes = TaskSizes()
    dates, *sides = task_size(Grid(side, side), sizes)
    tiles = sizes.tiles(side, is_periodic=False)
    work = (dates + 16) / dates
    for size in sides:
        wides = [widened(task.core, sizes.rim, side) for task in group_tiles(tiles, size, sizes.rim)]
        work *= sum(bool(turns(t.read, wide, side, is_periodic=False)) for t in tiles for wide in wides) / len(tiles)
    whole = max(1, sizes.values // side**2)
    assert work <= (whole + 16) / whole
    assert side < 4096 or work < 1.7 * 40 / 24


def small(values, *, dates=3, around=1):
    """Return sizes of tasks of whole tiles of 4 x 4 cells, in pairs."""
    return TaskSizes(
        tile=4, halo=2, around=around, margin=3, dates=dates, values=values, small_values=10**9, read_values=10**9
    )


# Tasks of three dates of 8 x 8 cells, where a map has more than 192 cells.
PARTS = 3 * 8 * 8


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    """Return a model of the first guess and its predicted error, which is fast."""
    return save_model(tmp_path_factory.mktemp("model") / "run", dataclasses.replace(model, network=None))


@pytest.mark.parametrize("members", [1, 4])
def test_tasks_are_the_whole_bit_for_bit(model, gappy, members):
    model = dataclasses.replace(model, smoothing=2)
    archive = prepare_archive(model, Field.of(gappy[:12]))
    plan = plan_tasks(model, archive, members=members, sizes=small(3 * 10 * 10 * members, around=3))
    assert (plan.size, len(plan.rows), len(plan.columns)) == (3, 3, 3)
    chosen = 2
    task = plan.task(chosen)
    whole = estimate(model, archive, plan.whole_maps(task.dates.core, 12), plan, members=members)
    reader = TaskReader(archive)
    for number in range(chosen, plan.total, len(plan.dates)):
        task = plan.task(number)
        kept = (..., task.rows.core, task.columns.core)
        held, counted = reader.hold(task)
        assert held.domain.size < archive.domain.size
        for part, part_task in ((archive, task), (held, counted)):
            found = estimate(model, part, part_task, plan, members=members)
            for array, expected in zip(found, whole, strict=True):
                assert (array is None) == (expected is None)
                if array is not None:
                    np.testing.assert_array_equal(array, expected[kept])


def test_other_tasks_are_the_same_field(model, gappy):
    """For any number of cells in memory, with equal dates of a task."""
    model, found, plans = dataclasses.replace(model, network=None), [], set()
    for values in (PARTS, 2 * PARTS, 10**9):
        options = FillOptions(sizes=small(values))
        plan = Filler.of(model, Field.of(gappy[:6]), options).plan
        plans.add((plan.size, len(plan.rows), len(plan.columns)))
        found.append(fill_field(model, Field.of(gappy[:6]), options))
    assert len(plans) == 3 and {size for size, *_ in plans} == {3}
    for other in found[1:]:
        xr.testing.assert_identical(found[0], other)


def test_lazily_too_and_on_a_part_of_the_grid(model, gappy):
    options = FillOptions(members=2, sizes=small(2 * PARTS, dates=30))
    model = dataclasses.replace(model, network=None)
    for field in (gappy[:2], gappy[:2, 3:20, 1:23].transpose("lat", "time", "lon"), gappy[5]):
        eager = fill_field(model, Field.of(field), options)
        lazy = fill_field(model, Field.of(field.chunk(lat=7)), options)
        assert lazy["sst"].chunks is not None
        xr.testing.assert_identical(lazy.compute(), eager)


def test_a_task_that_memory_does_not_hold_is_read_tile_by_tile(model, gappy, tmp_path):
    gappy.to_dataset().to_zarr(tmp_path / "a.zarr", encoding={"sst": {"chunks": (5, 9, 7)}}, consolidated=False)
    filler = Filler.of(model, Field.of(open_field(tmp_path / "a.zarr")), FillOptions(sizes=small(PARTS)))
    task = filler.plan.task(filler.plan.total - 2)
    reader = TaskReader(filler.archive, sizes=TaskSizes(read_values=10))
    assert reader.hold(task) == (filler.archive, task)
    for one, other in zip(filler.arrays(task), dataclasses.replace(filler, reader=reader).arrays(task), strict=True):
        np.testing.assert_array_equal(one, other)


def archive_of(field: xr.DataArray, path: Path) -> Path:
    field.to_dataset().to_zarr(path, encoding={"sst": {"chunks": (5, 9, 7)}}, consolidated=False)
    return path


@pytest.fixture
def archives(gappy, tmp_path):
    """Return an archive, and the same with three more dates."""
    return [archive_of(gappy[:dates, :, 4:20], tmp_path / f"{dates}.zarr") for dates in (9, 12)]


def test_a_product_of_cut_maps_grows_and_goes_on(run, model, archives, tmp_path):
    short, long = archives
    sizes = small(PARTS)
    out = fill(short, run, tmp_path / "out.zarr", sizes=sizes)
    with xr.open_zarr(out) as product:
        assert len(json.loads(product.attrs[FILL])["panel"]) == 2
        assert product["sst"].encoding["chunks"][1:] == (8, 8)

    begun = []

    def stop(number):
        begun.append(number)
        if len(begun) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill(long, run, out, append=True, threads=1, sizes=sizes, begin=stop)
    fill(long, run, out, append=True, threads=1, sizes=sizes, begin=begun.append)
    total = OpenJob.open(job_and_workers(long, run, sizes=sizes)[0]).plan.total
    assert 4 < len(begun) < total
    guess, field = dataclasses.replace(model, network=None), Field.of(open_field(long).compute())
    whole = fill_field(guess, field, FillOptions(sizes=sizes))
    with xr.open_zarr(out) as product:
        for name in whole:
            np.testing.assert_array_equal(product[name].values, whole[name].values)


def test_a_product_cut_in_another_way_is_filled_again(run, archives, tmp_path):
    short, long = archives
    out = fill(short, run, tmp_path / "out.zarr", sizes=small(10**9))
    told = json.loads(xr.open_zarr(out).attrs[FILL])
    sizes = small(PARTS)
    opened = OpenJob.open(job_and_workers(long, run, sizes=sizes)[0])
    assert "panel" not in told and not opened.plan.has_whole_maps and _same_tasks(opened, told, 9) == set()
    fill(long, run, out, append=True, sizes=sizes)
    with xr.open_zarr(out) as product:
        whole = xr.open_zarr(fill(long, run, tmp_path / "whole.zarr", sizes=sizes))
        np.testing.assert_array_equal(product["sst"].values, whole["sst"].values)


@pytest.mark.parametrize("ending", ["nc", "zarr"])
def test_a_map_without_dates(run, model, gappy, tmp_path, ending):
    options = FillOptions(sizes=small(PARTS, dates=1))
    gappy[4].to_netcdf(tmp_path / "map.nc")
    out = fill(tmp_path / "map.nc", run, tmp_path / f"out.{ending}", sizes=options.sizes)
    guess, field = dataclasses.replace(model, network=None), Field.of(open_field(tmp_path / "map.nc").compute())
    whole = fill_field(guess, field, options)
    np.testing.assert_array_equal(open_field(out, variable="sst").values, whole["sst"].values)


def test_workers_fill_parts_of_maps(run, gappy, tmp_path):
    pytest.importorskip("distributed")
    data, sizes = archive_of(gappy[:3], tmp_path / "a.zarr"), small(PARTS)
    one, many = (fill(data, run, tmp_path / f"{n}.zarr", workers=n, sizes=sizes) for n in (None, 1))
    xr.testing.assert_equal(xr.open_zarr(one), xr.open_zarr(many))
