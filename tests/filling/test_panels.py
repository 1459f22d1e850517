"""Panels cover the grid once within their bound, and what is filled in panels is what is filled at once."""

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from geogan.fields.field import Field
from geogan.files.attributes import FILL
from geogan.filling import plan as cutting
from geogan.filling.chunks import READ_SLABS, SLAB_VALUES
from geogan.filling.fill import fill, prepared, slab_parts
from geogan.filling.job import Filler, Job
from geogan.filling.panels import panel_axis, panel_size, reaches, widened
from geogan.filling.plan import plan
from geogan.filling.reader import SlabReader
from geogan.filling.task import fill_slab
from geogan.filling.tiles import tile_axis
from geogan.io import open_field
from geogan.model.model_file import digest, save_model
from geogan.pipelines.fill import fill as fill_archive

RULE = {"dates": 24, "margin": 8, "tile": 192, "halo": 32, "rim": 8}
BOUND = {"most": SLAB_VALUES, "most_read": READ_SLABS * SLAB_VALUES}


@given(
    st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    st.integers(1, 3),
    st.integers(1, 9),
    st.integers(1, 12),
    st.tuples(st.integers(1, 40), st.integers(0, 50), st.integers(0, 9)),
    st.integers(10_000, 50_000_000),
)
@settings(max_examples=60, deadline=None)
def test_panels_cover_the_grid_once_and_keep_the_bound(shape, bands, members, dates, sizes, most):
    tile, halo, rim = 16 * sizes[0], *sizes[1:]
    count, *panel = panel_size(
        shape,
        bands=bands,
        members=members,
        dates=dates,
        margin=8,
        tile=tile,
        halo=halo,
        rim=rim,
        most=most,
        most_read=3 * most,
    )
    wide, read = [], []
    for length, size in zip(shape, panel):
        tiles = tile_axis(length, tile, halo)
        panels = panel_axis(tiles, size, rim)
        assert [i for part in panels for i in range(part.core.start, part.core.stop)] == list(range(length))
        assert all(part.core.start % (2 * tile) == 0 for part in panels)
        for part in panels:
            about = widened(part.core, rim, length)
            for one in tiles:
                inside = part.read.start <= one.read.start and one.read.stop <= part.read.stop
                assert inside or not reaches(one, about)
        about = [widened(part.core, rim, length) for part in panels]
        wide.append(max(part.stop - part.start for part in about))
        read.append(max(p.read.stop - p.read.start for p in panels))
    if dates * np.prod(shape) * bands * members <= most:
        assert (count, *panel) == (dates, *shape)
    smallest = [min(2 * tile, length) for length in shape]
    if [count, *panel] != [1, *smallest]:
        assert count * np.prod(wide) * bands * members <= most
        assert tuple(panel) == shape or (count + 16) * np.prod(read) * bands <= 3 * most


@pytest.mark.parametrize("side", [1500, 2048, 4096, 8192])
def test_panels_are_never_more_work_than_few_dates_of_the_whole(side):
    dates, *panel = panel_size((side, side), bands=1, members=1, **RULE, **BOUND)
    tiles = tile_axis(side, 192, 32)
    work = (dates + 16) / dates
    for size in panel:
        about = [widened(part.core, 8, side) for part in panel_axis(tiles, size, 8)]
        work *= sum(reaches(tile, part) for tile, part in itertools.product(tiles, about)) / len(tiles)
    today = max(1, SLAB_VALUES // side**2)
    assert work <= (today + 16) / today
    assert side < 4096 or work < 1.7 * 40 / 24


@pytest.fixture
def small(monkeypatch):
    """Small tiles, and panels of so many rows and columns, of so many dates."""
    for name, value in (("TILE", 8), ("HALO", 4), ("AROUND", 5), ("MARGIN", 3)):
        monkeypatch.setattr(cutting, name, value)

    def cut(dates, rows, columns):
        monkeypatch.setattr(
            cutting, "panel_size", lambda shape, **_: (dates, min(rows, shape[0]), min(columns, shape[1]))
        )

    return cut


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    """The first guess and the prediction of its error, which is quick."""
    return save_model(tmp_path_factory.mktemp("model") / "run", dataclasses.replace(model, network=None))


@pytest.mark.parametrize("members", [1, 4])
def test_panels_are_the_whole_bit_for_bit(model, gappy, small, members, monkeypatch):
    small(3, 8, 8)
    monkeypatch.setattr(cutting, "TILE", 4)
    monkeypatch.setattr(cutting, "HALO", 2)
    model = dataclasses.replace(model, smoothing=2)
    archive = prepared(model, Field.of(gappy[:12, :, :12]))
    cut = plan(model, archive, members=members)
    assert (len(cut.down), len(cut.across)) == (3, 2)
    chosen = 2
    whole = fill_slab(model, archive, cut.slabs[chosen], cut, members=members)
    reader = SlabReader(archive)
    for number in range(chosen, cut.total, len(cut.slabs)):
        slab, panel = cut.at(number)
        kept = (..., panel.y.core, panel.x.core)
        held, here = reader.hold(slab, panel)
        assert held.domain.size == panel.cells < archive.domain.size
        for where, dates in ((archive, slab), (held, here)):
            made = fill_slab(model, where, dates, cut, panel=panel, members=members)
            for part, all_of_it in zip(made, whole, strict=True):
                assert (part is None) == (all_of_it is None)
                if part is not None:
                    np.testing.assert_array_equal(part, all_of_it[kept])


def test_other_panels_are_the_same_field(model, gappy, small):
    """However many cells memory holds, with the same dates of a slab."""
    made = []
    for rows, columns in ((8, 8), (16, 16), (20, 8)):
        small(5, rows, columns)
        made.append(fill(dataclasses.replace(model, network=None), Field.of(gappy[:6, :, 4:20])))
    xr.testing.assert_identical(made[0], made[1])
    xr.testing.assert_identical(made[0], made[2])


def test_lazily_too_and_on_a_part_of_the_grid(model, gappy, small):
    small(30, 16, 16)
    model = dataclasses.replace(model, network=None)
    for field in (gappy[:4], gappy[:4, 3:20, 1:23].transpose("lat", "time", "lon"), gappy[5]):
        eager = fill(model, Field.of(field), members=2)
        lazy = fill(model, Field.of(field.chunk(lat=7)), members=2)
        assert lazy["sst"].chunks is not None
        xr.testing.assert_identical(lazy.compute(), eager)


def test_a_tile_that_memory_does_not_hold_is_read_alone(model, gappy, small, tmp_path, monkeypatch):
    small(3, 16, 24)
    gappy.to_dataset().to_zarr(tmp_path / "a.zarr", encoding={"sst": {"chunks": (5, 9, 7)}}, consolidated=False)
    archive = prepared(model, Field.of(open_field(tmp_path / "a.zarr")))
    cut = plan(model, archive)
    slab, panel = cut.at(cut.total - 2)
    held = slab_parts(model, SlabReader(archive), cut, slab, panel=panel, keep_observed=True)
    monkeypatch.setattr("geogan.filling.reader.SLAB_VALUES", 10)
    reader = SlabReader(archive)
    assert reader.hold(slab, panel) == (archive, slab)
    tiled = slab_parts(model, reader, cut, slab, panel=panel, keep_observed=True)
    for one, other in zip(held, tiled, strict=True):
        np.testing.assert_array_equal(one, other)


def archive_of(field: xr.DataArray, path: Path) -> Path:
    field.to_dataset().to_zarr(path, encoding={"sst": {"chunks": (5, 9, 7)}}, consolidated=False)
    return path


def test_a_product_of_panels_grows_and_goes_on(run, model, gappy, small, tmp_path, monkeypatch):
    small(3, 16, 24)
    short, long = (
        archive_of(gappy[:9, :, 8:16], tmp_path / "short.zarr"),
        archive_of(gappy[:12, :, 8:16], tmp_path / "long.zarr"),
    )
    out = fill_archive(short, run, tmp_path / "out.zarr")
    with xr.open_zarr(out) as product:
        assert len(json.loads(product.attrs[FILL])["panel"]) == 2
        assert product["sst"].encoding["chunks"][1:] != (20, 8)
    real, numbers = Filler.arrays, []

    def stops(filler, number):
        numbers.append(number)
        if len(numbers) == 4:
            raise KeyboardInterrupt
        return real(filler, number)

    monkeypatch.setattr(Filler, "arrays", stops)
    with pytest.raises(KeyboardInterrupt):
        fill_archive(long, run, out, append=True, threads=1)
    fill_archive(long, run, out, append=True, threads=1)
    filler = Filler.open(Job((str(long),), str(run), digest(run)))
    assert filler.cut.panelled and len(numbers) < filler.cut.total
    whole = fill(dataclasses.replace(model, network=None), Field.of(open_field(long).compute()))
    with xr.open_zarr(out) as product:
        for name in whole:
            np.testing.assert_array_equal(product[name].values, whole[name].values)


def test_what_was_published_stays_panel_by_panel(run, gappy, small, tmp_path):
    small(3, 16, 24)
    short, long = (
        archive_of(gappy[:9, :, 8:16], tmp_path / "short.zarr"),
        archive_of(gappy[:12, :, 8:16], tmp_path / "long.zarr"),
    )
    out = fill_archive(short, run, tmp_path / "out.zarr")
    before = xr.open_zarr(out).load()
    fill_archive(long, run, out, append=True, refill=False)
    with xr.open_zarr(out) as product:
        for name in before:
            np.testing.assert_array_equal(product[name][:9].values, before[name].values)
        assert product["sst"].notnull().sum() > before["sst"].notnull().sum()


def test_other_panels_than_before_are_filled_again(run, gappy, small, tmp_path):
    small(3, 20, 24)
    short, long = (
        archive_of(gappy[:9, :, 8:16], tmp_path / "short.zarr"),
        archive_of(gappy[:12, :, 8:16], tmp_path / "long.zarr"),
    )
    out = fill_archive(short, run, tmp_path / "out.zarr")
    told = json.loads(xr.open_zarr(out).attrs[FILL])
    small(3, 16, 24)
    filler = Filler.open(Job((str(long),), str(run), digest(run)))
    assert "panel" not in told and filler.cut.panelled and filler.same_as(told, 9) == set()
    fill_archive(long, run, out, append=True)
    with xr.open_zarr(out) as product:
        whole = xr.open_zarr(fill_archive(long, run, tmp_path / "whole.zarr"))
        np.testing.assert_array_equal(product["sst"].values, whole["sst"].values)


@pytest.mark.parametrize("ending", ["nc", "zarr"])
def test_a_map_without_dates(run, model, gappy, small, tmp_path, ending):
    small(1, 8, 16)
    gappy[4].to_netcdf(tmp_path / "map.nc")
    found = open_field(fill_archive(tmp_path / "map.nc", run, tmp_path / f"out.{ending}"), variable="sst")
    whole = fill(dataclasses.replace(model, network=None), Field.of(open_field(tmp_path / "map.nc").compute()))["sst"]
    np.testing.assert_array_equal(found.values, whole.values)


def test_workers_fill_panels(run, gappy, small, tmp_path):
    pytest.importorskip("distributed")
    small(3, 16, 16)
    data = archive_of(gappy[:3], tmp_path / "a.zarr")
    one, many = (fill_archive(data, run, tmp_path / f"{n}.zarr", workers=n) for n in (None, 1))
    xr.testing.assert_equal(xr.open_zarr(one), xr.open_zarr(many))


def test_reading_is_counted_panel_by_panel(model, gappy, small, tmp_path):
    small(15, 8, 16)
    archive = prepared(model, Field.of(open_field(archive_of(gappy, tmp_path / "a.zarr"))))
    cut = plan(model, archive)
    cost = SlabReader(archive, kept=10**9).cost(cut.slabs, (cut.down, cut.across))
    cells = sum(down.read.stop - down.read.start for down in cut.down) * 24 * len(cut.across)
    # All panels read all columns, in chunks of 7; rows 0 to 20 are in chunks of 9.
    assert cost.needed == 30 * 20 * 24 and cells <= cost.decoded / 30 <= 3 * 20 * 24 * 2
