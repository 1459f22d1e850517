"""geogan fill: raw numbers of what was measured, whole products, gone on with after a kill."""

import dataclasses
import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from fill_files import fill, job_and_workers
from rich.console import Console
from runs import QUICK, train

from geogan.fields.field import Field
from geogan.files.attributes import FILL, INPUTS
from geogan.filling import fill_field
from geogan.filling.job import OpenJob
from geogan.filling.plan import TaskSizes
from geogan.filling.reader import TaskReader
from geogan.filling.write import check_archive
from geogan.io import open_field
from geogan.io.damage import GuardedVariable
from geogan.model import save_model
from geogan.operators.errors import InputError
from geogan.pipelines.corrupt import CorruptOptions, corrupt
from geogan.product import Product

EIGHT = {"sizes": TaskSizes(dates=8)}
PACKED = {"dtype": "int16", "scale_factor": 0.001, "add_offset": 15.0, "_FillValue": -32768}


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model") / "run", model)


@pytest.fixture(scope="module")
def data(gappy, tmp_path_factory):
    """Return a NetCDF file packed like satellite data."""
    path = tmp_path_factory.mktemp("data") / "gappy.nc"
    packed = gappy.to_dataset().assign_attrs(title="a sea", history="born")
    packed.to_netcdf(path, encoding={"sst": PACKED | {"zlib": True}})
    return path


def raw(path):
    """Return the stored integers, not decoded."""
    opened = xr.open_zarr if path.suffix == ".zarr" else xr.open_dataset
    with opened(path, mask_and_scale=False) as dataset:
        return dataset.load()


@pytest.mark.parametrize("ending", ["zarr", "nc"])
def test_packed_numbers_come_back_bit_for_bit(run, data, domain, tmp_path, ending):
    out = fill(data, run, tmp_path / f"filled.{ending}")
    before, after = raw(data)["sst"], raw(out)
    numbers, source = after["sst"], after["sst_source"].values
    assert numbers.dtype == before.dtype == np.int16
    assert {key: numbers.attrs[key] for key in ("scale_factor", "add_offset", "_FillValue", "units")} == {
        key: before.attrs[key] for key in ("scale_factor", "add_offset", "_FillValue", "units")
    }
    seen = before.values != -32768
    np.testing.assert_array_equal(numbers.values[seen], before.values[seen])
    assert (numbers.values[:, domain] != -32768).all() and (numbers.values[:, ~domain] == -32768).all()
    np.testing.assert_array_equal(source, np.where(seen, 0, np.where(domain, 1, 2)))
    field, original = open_field(out, variable="sst"), open_field(data)
    xr.testing.assert_equal(field.time, original.time)
    assert field.dims == original.dims
    lines = after.attrs["history"].split("\n")
    assert after.attrs["title"] == "a sea" and lines[1] == "born" and "filled with the model" in lines[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_come_back_bit_for_bit_and_the_rest_as_in_memory(run, model, gappy, tmp_path, dtype):
    field = gappy.astype(dtype) + (1e-9 if dtype == "float64" else 0)
    field.attrs = gappy.attrs
    field.to_netcdf(tmp_path / "gappy.nc")
    found = open_field(fill(tmp_path / "gappy.nc", run, tmp_path / "filled.zarr"), variable="sst").compute()
    assert found.dtype == dtype
    seen = field.notnull().values
    np.testing.assert_array_equal(found.values[seen], field.values[seen])
    np.testing.assert_allclose(found.values, fill_field(model, Field.of(field))["sst"].values, rtol=1e-5)


def test_some_dates_are_filled_as_in_the_whole(run, data, tmp_path):
    whole = raw(fill(data, run, tmp_path / "whole.zarr", **EIGHT))
    for number, time in enumerate(("2015-01-10/2015-01-28", "2015-01-06", "2015-02")):
        part = raw(fill(data, run, tmp_path / f"part{number}.nc", time=time, **EIGHT))
        chosen = whole.sel(time=slice(*time.split("/")) if "/" in time else time)
        assert 0 < part.sizes["time"] < 30
        for name in ("sst", "sst_source"):
            np.testing.assert_array_equal(part[name].values, chosen[name].values.reshape(part[name].shape))


def test_threads_make_no_difference(run, data, tmp_path):
    one, three = (raw(fill(data, run, tmp_path / f"{count}.zarr", threads=count, **EIGHT)) for count in (1, 3))
    np.testing.assert_array_equal(one["sst"].values, three["sst"].values)


def test_a_part_of_the_grid_and_an_image(run, gappy, domain, tmp_path):
    part = gappy[:, 3:18, 2:22]
    part.to_netcdf(tmp_path / "part.nc")
    found = open_field(fill(tmp_path / "part.nc", run, tmp_path / "part.zarr"), variable="sst")
    np.testing.assert_array_equal(found.notnull().all("time").values, domain[3:18, 2:22])
    gappy[4].to_netcdf(tmp_path / "image.nc")
    image = open_field(fill(tmp_path / "image.nc", run, tmp_path / "filled.nc"), variable="sst")
    assert image.dims == ("lat", "lon")
    np.testing.assert_array_equal(image.notnull().values, domain)


def test_estimates_everywhere_on_demand(run, data, tmp_path):
    out = fill(data, run, tmp_path / "a.zarr", keep_observed=False)
    seen = raw(data)["sst"].values != -32768
    assert (raw(out)["sst"].values[seen] != raw(data)["sst"].values[seen]).mean() > 0.9


def stop_at(begun, count):
    """Return a callback that stops a fill before its task with this number in order."""

    def begin(number):
        if len(begun) == count:
            raise KeyboardInterrupt
        begun.append(number)

    return begin


def test_a_stopped_fill_goes_on_with_what_is_missing(run, data, tmp_path):
    whole = fill(data, run, tmp_path / "whole.zarr", **EIGHT)
    out, first, rest = tmp_path / "filled.zarr", [], []
    with pytest.raises(KeyboardInterrupt):
        fill(data, run, out, threads=1, begin=stop_at(first, 2), **EIGHT)
    assert not out.exists() and (tmp_path / ".filled.zarr.partial").exists()
    fill(data, run, out, threads=1, begin=rest.append, **EIGHT)
    assert len(first) == 2 and len(rest) == 2 and not set(first) & set(rest)
    xr.testing.assert_equal(raw(out), raw(whole))
    assert not (tmp_path / ".filled.zarr.partial").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[4])
from fill_files import fill
from geogan.filling.plan import TaskSizes
begun = []
def begin(number):
    begun.append(number)
    if len(begun) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
fill(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), threads=1, sizes=TaskSizes(dates=8), begin=begin)
"""


def test_a_killed_fill_ends_equal(run, data, tmp_path):
    out, helpers = tmp_path / "filled.nc", str(Path(__file__).parents[1])
    words = [sys.executable, "-c", KILLED, str(data), str(run), str(out), helpers]
    ended = subprocess.run(words, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False)
    assert ended.returncode == -signal.SIGKILL and not out.exists()
    done = (tmp_path / ".filled.nc.partial" / "done.jsonl").read_text().splitlines()
    assert len(done) == 2 and json.loads(done[0])["names"] == ["sst", "sst_source", "sst_std"]
    begun = []
    fill(data, run, out, threads=1, begin=begun.append, **EIGHT)
    assert len(begun) == 2
    xr.testing.assert_equal(raw(out), raw(fill(data, run, tmp_path / "whole.nc", threads=1, **EIGHT)))


def stop_after_one(data, run, out, **options):
    """Begin a fill that stops after one of its four tasks."""
    with pytest.raises(KeyboardInterrupt):
        fill(data, run, out, threads=1, begin=stop_at([], 1), **(EIGHT | options))


def test_another_model_does_not_go_on_with_it(run, model, data, tmp_path):
    other = save_model(tmp_path / "other", dataclasses.replace(model, network=None))
    out, begun = tmp_path / "a.zarr", []
    stop_after_one(data, run, out)
    for options in ({"model": other}, {"model": run, "seed": 1}):
        with pytest.raises(InputError, match="with 1 finished task; give that command again to resume it"):
            fill(data, out=out, threads=1, **options, **EIGHT)
    fill(data, other, out, threads=1, overwrite=True, begin=begun.append, **EIGHT)
    assert len(begun) == 4


def test_what_makes_no_difference_is_no_reason_to_begin_anew(run, gappy, tmp_path, monkeypatch):
    """A path from another folder, another history attribute, or changes on dates that no task reads."""
    field, out = gappy.to_dataset().assign_attrs(history="born"), tmp_path / "filled.zarr"
    field[["sst"]].isel(time=slice(29)).to_netcdf(tmp_path / "gappy.nc")
    options, begun = {"sizes": TaskSizes(dates=8, margin=4), "time": "/2015-01-24"}, []
    stop_after_one(tmp_path / "gappy.nc", run, out, **options)
    (tmp_path / "gappy.nc").unlink()
    field.assign_attrs(history="born\nlooked at").to_netcdf(tmp_path / "gappy.nc")
    monkeypatch.chdir(tmp_path)
    fill("gappy.nc", run, "filled.zarr", threads=1, begin=begun.append, **options)
    assert len(begun) == 2 and 0 not in begun
    whole = fill(tmp_path / "gappy.nc", run, tmp_path / "whole.zarr", threads=1, **options)
    xr.testing.assert_equal(raw(out), raw(whole))


@pytest.mark.parametrize("ending", ["zarr", "nc"])
def test_a_finished_fill_says_so(run, data, tmp_path, ending):
    said, out, begun = Console(file=io.StringIO(), width=300), tmp_path / f"filled.{ending}", []
    fill(data, run, out, time="2015-01")
    # As a kill leaves it that comes when the product has its name.
    partial = tmp_path / f".filled.{ending}.partial"
    partial.mkdir()
    (partial / "lock").write_text("pid 1")
    assert fill(data, run, out, time="2015-01", console=said, begin=begun.append) == out and not begun
    assert f"{out} is finished already" in said.file.getvalue()
    assert not list(tmp_path.glob(".*"))
    with pytest.raises(InputError, match="exists; give another name, or overwrite it"):
        fill(data, run, out, time="2015-02")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "nowhere"}, "is not a geogan run"),
        ({"data": "no.nc"}, "does not exist"),
        ({"out": "filled.csv"}, "must end in .zarr or .nc"),
        ({"variable": "salt"}, "no variable 'salt'"),
        ({"time": "1999"}, "1999"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"device": "cuda:99"}, "not available"),
    ],
)
def test_a_refusal_leaves_nothing(run, data, tmp_path, changes, words):
    options = {"data": data, "model": run, "out": tmp_path / "filled.zarr"} | {
        key: tmp_path / value if key in ("model", "data", "out") else value for key, value in changes.items()
    }
    with pytest.raises(InputError, match=words):
        fill(**options)
    assert list(tmp_path.iterdir()) == []


def test_another_unit_and_a_product_that_is_there(run, gappy, data, tmp_path):
    (gappy + 273).assign_attrs(units="K").to_netcdf(tmp_path / "kelvin.nc")
    with pytest.raises(InputError, match="sst is in K; convert it"):
        fill(tmp_path / "kelvin.nc", run, tmp_path / "x.zarr")
    gappy[:, :, ::-1].to_netcdf(tmp_path / "turned.nc")
    with pytest.raises(InputError, match="is not part of the model's grid"):
        fill(tmp_path / "turned.nc", run, tmp_path / "x.zarr")
    assert not (tmp_path / "x.zarr").exists()
    out = fill(data, run, tmp_path / "y.nc", time="2015-01-07")
    with pytest.raises(InputError, match="exists"):
        fill(data, run, out)
    assert fill(data, run, out, overwrite=True, time="2015-01-06") == out


def test_the_data_are_not_touched(run, data, tmp_path):
    before = data.read_bytes()
    fill(data, run, tmp_path / "a.nc", time="2015-01-07")
    assert data.read_bytes() == before


def test_other_data_of_the_same_name_do_not_go_on_with_it(run, gappy, tmp_path):
    """A partial product of former values is not mixed with present ones."""
    (tmp_path / "later").mkdir()
    path, out = tmp_path / "gappy.nc", tmp_path / "filled.zarr"
    gappy.to_netcdf(path)
    stop_after_one(path, run, out)
    (gappy + 1).assign_attrs(gappy.attrs).to_netcdf(tmp_path / "later" / "gappy.nc")
    (tmp_path / "later" / "gappy.nc").replace(path)
    said = Console(file=io.StringIO(), width=300)
    fill(path, run, out, threads=1, console=said, **EIGHT)
    assert "16 of 16 dates that were read so far changed since; refilling 1 of 1 finished task" in said.file.getvalue()
    xr.testing.assert_equal(raw(out), raw(fill(path, run, tmp_path / "anew.zarr", threads=1, **EIGHT)))


@pytest.mark.parametrize("where", [{}, {"workers": 1}])
def test_a_chunk_that_cannot_be_read(run, gappy, domain, tmp_path, where):
    """It stops the fill, or becomes a flagged and counted gap, also in a resumed fill."""
    where = where | EIGHT
    whole, bad, out = tmp_path / "whole.zarr", tmp_path / "bad.zarr", tmp_path / "filled.zarr"
    lost = (slice(12, 16), slice(0, 10), slice(12, 24))
    for path in (whole, bad):
        field = gappy.copy(deep=True)
        if path == whole:
            field.values[lost] = np.nan
        encoding = {"sst": {"chunks": (4, 10, 12)}}
        field.to_dataset().to_zarr(path, encoding=encoding, consolidated=False)
    (bad / "sst" / "c" / "3" / "0" / "1").write_bytes(b"nothing of the kind")
    dates = " to ".join(str(gappy.time.values[date].astype("M8[D]")) for date in (12, 15))
    with pytest.raises(InputError, match=f"'sst' of .*bad.zarr cannot be read, {dates}, lat 0 to 9, lon 12 to 23:"):
        fill(bad, run, out, **EIGHT)
    assert not out.exists()
    said = Console(file=io.StringIO())
    fill(bad, run, out, skip_bad=True, console=said, **where)
    found, expected = raw(out), raw(fill(whole, run, tmp_path / "expected.zarr", **EIGHT))
    np.testing.assert_array_equal(found["sst"].values, expected["sst"].values)
    np.testing.assert_array_equal(found["sst_std"].values, expected["sst_std"].values)
    place = np.zeros(gappy.shape, bool)
    place[lost] = True
    np.testing.assert_array_equal(
        found["sst_source"].values, np.where(place & domain, 4, expected["sst_source"].values)
    )
    count = f"{(place & domain).sum():,}"
    assert f"sst, {dates}: {count} cells could not be read" in said.file.getvalue()
    assert found["sst_source"].attrs["flag_meanings"].split()[4] == "unreadable"


def test_a_badly_chunked_archive_is_named(run, gappy, tmp_path):
    gappy.to_dataset().to_zarr(tmp_path / "a.zarr", encoding={"sst": {"chunks": (15, 20, 24)}}, consolidated=False)
    said, sizes = Console(file=io.StringIO(), width=300), TaskSizes(dates=3, kept_bytes=1000)
    fill(tmp_path / "a.zarr", run, tmp_path / "b.zarr", console=said, threads=1, sizes=sizes)
    words = r"each byte of the archive is read about 5 times: its chunks hold 15 dates; rechunk it to \(8, 512, 512\)"
    assert re.search(words, said.file.getvalue())


def test_of_a_long_archive_some_dates_are_checked(run, gappy, tmp_path):
    """The values of those dates alone are read before the fill."""
    gappy.to_dataset().to_zarr(tmp_path / "a.zarr", encoding={"sst": {"chunks": (1, 20, 24)}}, consolidated=False)
    opened = OpenJob.open(job_and_workers(tmp_path / "a.zarr", run)[0])
    read = []
    dates = opened.field.data.rechunk({0: 1})
    watched = dates.map_blocks(lambda block: (read.append(len(block)), block)[1], dtype=dates.dtype)
    field = opened.field.copy(data=watched)
    source = opened.source._replace(field=opened.source.field.with_array(field))
    opened = dataclasses.replace(opened, source=source)
    read.clear()
    check_archive(opened, opened.plan.task(0).dates, dates=5, memory=4000)
    assert sum(read) == 5
    read.clear()
    check_archive(opened, opened.plan.task(0).dates)
    assert sum(read) == 30


def test_an_infinite_value_that_no_check_met_is_met_in_time(run, gappy, tmp_path):
    field = gappy.copy(deep=True)
    # Of 30 dates 24 are checked before the fill, and not this one.
    field.values[4][np.isfinite(field.values[4])] = np.inf
    field.to_dataset().to_zarr(tmp_path / "a.zarr", consolidated=False)
    with pytest.raises(InputError, match=r"variable 'sst' of .*a.zarr, in dates 4 to 7, holds infinite values"):
        fill(tmp_path / "a.zarr", run, tmp_path / "b.zarr", threads=1, sizes=TaskSizes(dates=4), more={"memory": 4000})
    assert not (tmp_path / "b.zarr").exists()


def revise(field, dates, shift=5):
    """Return an archive with other values on some dates and the same gaps."""
    later = field.copy(deep=True)
    later[dates] = later[dates] + shift
    return later.assign_attrs(field.attrs)


def stored(field, folder, kind):
    """Write the field as the data of a fill, replacing earlier data of the same name."""
    if kind.startswith("zarr"):
        format_ = int(kind[-1])
        field.to_dataset().to_zarr(
            folder / "a.zarr", mode="w", consolidated=False, zarr_format=format_,
            encoding={"sst": {"chunks": (5, 20, 24)}},
        )  # fmt: skip
        return folder / "a.zarr"
    if kind in ("nc", "packed"):
        (folder / "a.nc").unlink(missing_ok=True)
        field.to_netcdf(folder / "a.nc", encoding={"sst": PACKED} if kind == "packed" else {})
        return folder / "a.nc"
    for number in range(3):
        part = folder / f"part{number}.nc"
        part.unlink(missing_ok=True)
        field[10 * number : 10 * number + 10].to_netcdf(part)
    return [folder / f"part{number}.nc" for number in range(3)]


@pytest.fixture
def small():
    """Fill four tasks of 8 dates, which read 4 more on either side; ``made`` has the numbers of filled tasks."""
    made = []

    def fill_small(*args, **options):
        return fill(*args, sizes=TaskSizes(dates=8, margin=4), begin=made.append, **options)

    fill_small.made = made
    return fill_small


@pytest.fixture(scope="module")
def guess(model, tmp_path_factory):
    """Return a model of the first guess and its predicted error."""
    return save_model(tmp_path_factory.mktemp("guess") / "run", dataclasses.replace(model, network=None))


@pytest.mark.parametrize("ending", ["zarr", "nc"])
@pytest.mark.parametrize("kind", ["zarr2", "zarr3", "nc", "packed", "many"])
def test_a_revised_archive_is_not_finished_already(guess, gappy, tmp_path, small, kind, ending):
    """All dates are revised but the first, middle and last one."""
    data, out = stored(gappy, tmp_path, kind), tmp_path / f"out.{ending}"
    small(data, guess, out)
    before = raw(out)
    dates = np.setdiff1d(np.arange(30), [0, 15, 29])
    stored(revise(gappy, dates), tmp_path, kind)
    with pytest.raises(
        InputError, match=r"but 27 of 30 dates changed since; give --overwrite to refill 4 of 4 tasks, or"
    ):
        small(data, guess, out)
    xr.testing.assert_identical(raw(out), before)
    small(data, guess, out, overwrite=True)
    xr.testing.assert_equal(raw(out), raw(small(data, guess, tmp_path / f"whole.{ending}")))
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("ending", ["zarr", "nc"])
@pytest.mark.parametrize(
    ("kind", "options"), [("nc", "overwrite"), ("packed", "append"), ("zarr3", "append"), ("many", "append")]
)
def test_only_regions_that_read_what_changed_are_filled_again(guess, gappy, tmp_path, small, kind, options, ending):
    data, out = stored(gappy, tmp_path, kind), tmp_path / f"out.{ending}"
    small(data, guess, out, members=2)
    # In the margin of the third task, and in the fourth.
    stored(revise(gappy, [26]), tmp_path, kind)
    small.made.clear()
    said = Console(file=io.StringIO(), width=300)
    small(data, guess, out, members=2, console=said, **{options: True})
    assert sorted(small.made) == [2, 3] and "1 of 30 dates changed since" in said.file.getvalue()
    assert raw(out).drop_attrs().equals(raw(small(data, guess, tmp_path / f"whole.{ending}", members=2)).drop_attrs())
    small.made.clear()
    small(data, guess, out, members=2, console=said)
    assert f"{out} is finished already" in said.file.getvalue() and not small.made


@pytest.mark.parametrize("ending", ["zarr", "nc"])
def test_another_group_of_the_same_file_is_not_there_already(guess, gappy, tmp_path, ending):
    data, out = tmp_path / "a.nc", tmp_path / f"out.{ending}"
    gappy.to_netcdf(data, group="day")
    revise(gappy, slice(None)).to_netcdf(data, group="night", mode="a")
    fill(data, guess, out, group="day")
    before = raw(out)
    with pytest.raises(InputError, match="sst differs on .* from the data that .* was filled from"):
        fill(data, guess, out, group="night", append=True)
    with pytest.raises(InputError, match="exists; give another name, or overwrite it"):
        fill(data, guess, out, group="night")
    xr.testing.assert_identical(raw(out), before)
    said = Console(file=io.StringIO(), width=300)
    fill(data, guess, out, group="day", console=said)
    fill(data, guess, out, group="day", append=True, console=said)
    assert (
        "is finished already" in said.file.getvalue() and "it has all dates of the archive (30)" in said.file.getvalue()
    )


@pytest.mark.parametrize("ending", ["zarr", "nc"])
def test_an_append_fills_all_again_where_every_region_reads_a_date_that_changed(guess, gappy, tmp_path, ending):
    """One task holds all dates; most of them are unchanged, so it is the same archive."""
    data, out = stored(gappy, tmp_path, "nc"), tmp_path / f"out.{ending}"
    fill(data, guess, out)
    stored(revise(gappy, [7]), tmp_path, "nc")
    said = Console(file=io.StringIO(), width=300)
    fill(data, guess, out, append=True, console=said)
    assert "refilling 1 task, because 1 of 30 dates changed since" in said.file.getvalue()
    assert raw(out).drop_attrs().equals(raw(fill(data, guess, tmp_path / f"whole.{ending}")).drop_attrs())
    before = raw(out)
    stored(revise(gappy, slice(None)), tmp_path, "nc")
    with pytest.raises(InputError, match="sst differs on [23][0-9] dates, from .* on, from the data that"):
        fill(data, guess, out, append=True)
    xr.testing.assert_identical(raw(out), before)


@pytest.mark.parametrize("kind", ["zarr3", "nc", "many"])
def test_an_archive_copied_over_with_equal_values_is_finished_already(guess, gappy, tmp_path, small, kind):
    data, out = stored(gappy, tmp_path, kind), tmp_path / "out.zarr"
    small(data, guess, out)
    stored(gappy.assign_attrs(gappy.attrs | {"comment": "copied"}), tmp_path, kind)
    small.made.clear()
    said = Console(file=io.StringIO(), width=300)
    small(data, guess, out, console=said)
    small(data, guess, out, append=True, console=said)
    assert not small.made
    assert (
        "is finished already" in said.file.getvalue() and "it has all dates of the archive (30)" in said.file.getvalue()
    )


@pytest.mark.parametrize("append", [False, True])
def test_nothing_is_read_of_an_archive_that_did_not_change(guess, gappy, tmp_path, small, monkeypatch, append):
    data, out = stored(gappy, tmp_path, "zarr3"), tmp_path / "out.nc"
    small(data, guess, out)

    def never(*_):
        raise AssertionError("values were read")

    monkeypatch.setattr(TaskReader, "hold", never)
    monkeypatch.setattr(GuardedVariable, "__getitem__", never)
    assert small(data, guess, out, append=append) == out


def test_an_append_reads_only_tasks_whose_files_changed(guess, gappy, tmp_path, small, monkeypatch):
    """Of three files of ten dates the last one is revised; the first two tasks read dates of the others alone."""
    data, out, held, real = stored(gappy, tmp_path, "many"), tmp_path / "out.zarr", [], TaskReader.hold
    small(data, guess, out)
    revise(gappy, [29])[20:].to_netcdf(data[2])
    small.made.clear()
    monkeypatch.setattr(TaskReader, "hold", lambda *args: (held.append(args[1].dates.core.start), real(*args))[1])
    small(data, guess, out, append=True)
    assert set(held) == {16, 24} and small.made == [3]
    xr.testing.assert_equal(raw(out), raw(small(data, guess, tmp_path / "whole.zarr")))


def test_a_fill_reads_each_chunk_once(guess, gappy, tmp_path, small, monkeypatch):
    """Checksums are those of the values that tasks read; the check of a small archive is another pass."""
    data, read, real = stored(gappy, tmp_path, "zarr3"), [], TaskReader._read
    monkeypatch.setattr(TaskReader, "_read", lambda *args: (read.append(args[1].dates), real(*args))[1])
    small(data, guess, tmp_path / "out.zarr", threads=1)
    assert sorted(part.start for part in read) == [0, 5, 10, 15, 20, 25]


def test_the_errors_of_observations_count_too(gappy, domain, tmp_path, small):
    errors = xr.full_like(gappy, 0.1).rename("err").where(gappy.notnull())
    both = xr.Dataset({"sst": gappy, "err": errors})
    both.to_netcdf(tmp_path / "a.nc")
    settings = {"window": 1, "width": 4, "crop": 16, "batch": 2, "steps": 1, "precision": "float32", "threads": 1}
    run = train(
        tmp_path / "a.nc", variable="sst", error_variable="err", out=tmp_path / "run", operator=["cloud_mask:scale=5"],
        **settings, **QUICK,
    )  # fmt: skip
    out = small(tmp_path / "a.nc", run, tmp_path / "out.zarr")
    errors[3] = errors[3] * 2
    (tmp_path / "a.nc").unlink()
    both.to_netcdf(tmp_path / "a.nc")
    with pytest.raises(InputError, match=r"but 1 of 30 dates changed since; give --overwrite to refill 1 of 4 tasks"):
        small(tmp_path / "a.nc", run, out)
    small(tmp_path / "a.nc", run, out, overwrite=True)
    xr.testing.assert_equal(raw(out), raw(small(tmp_path / "a.nc", run, tmp_path / "whole.zarr")))


def test_a_single_map_that_changed(guess, gappy, tmp_path):
    gappy[4].to_netcdf(tmp_path / "a.nc")
    out = fill(tmp_path / "a.nc", guess, tmp_path / "out.nc")
    (tmp_path / "a.nc").unlink()
    revise(gappy, [4])[4].to_netcdf(tmp_path / "a.nc")
    with pytest.raises(InputError, match="was filled from this archive, but the map changed since; give --overwrite"):
        fill(tmp_path / "a.nc", guess, out)
    fill(tmp_path / "a.nc", guess, out, overwrite=True)
    xr.testing.assert_equal(raw(out), raw(fill(tmp_path / "a.nc", guess, tmp_path / "whole.nc")))


@pytest.mark.parametrize("where", [{}, {"workers": 1}])
def test_an_archive_that_is_revised_while_it_is_filled(guess, gappy, tmp_path, small, monkeypatch, where):
    """Checksums are compared at the end, and no task mixes old and new values."""
    data, out, record = stored(gappy, tmp_path, "zarr3"), tmp_path / "out.zarr", Product.record
    later, count = revise(gappy, slice(6, 12)), []

    def revising(product, *args, **named):
        record(product, *args, **named)
        count.append(1)
        if len(count) == 2:
            stored(later, tmp_path, "zarr3")

    said = Console(file=io.StringIO(), width=300)
    with monkeypatch.context() as patch:
        patch.setattr(Product, "record", revising)
        small(data, guess, out, console=said, **(where or {"threads": 1}))
    assert "the archive changed during the fill" in said.file.getvalue()
    assert (
        "6 of 30 dates that were read so far changed since; refilling 2 of 4 finished tasks" in said.file.getvalue()
        or where
    )
    whole = small(data, guess, tmp_path / "whole.zarr", **where)
    xr.testing.assert_equal(raw(out), raw(whole))
    small.made.clear()
    assert small(data, guess, out) == out and not small.made


def test_an_archive_that_never_rests_is_refused_and_what_is_done_stays(guess, gappy, tmp_path, small):
    data, out, states = stored(gappy, tmp_path, "nc"), tmp_path / "out.zarr", iter("abcdefgh")
    with pytest.raises(InputError, match="changed 3 times during the fill; run again when it is comp"):
        small(data, guess, out, more={"state_of": lambda job: next(states)})
    assert not out.exists()
    small.made.clear()
    small(data, guess, out)
    assert not small.made


def test_what_the_storage_does_not_tell_is_found_in_the_values(guess, gappy, tmp_path, small):
    """Like files behind a web server that sends neither ETag nor modification time."""
    data, out, unknown = stored(gappy, tmp_path, "nc"), tmp_path / "out.zarr", {"state_of": lambda job: None}
    small(data, guess, out, more=unknown)
    small.made.clear()
    assert small(data, guess, out, more=unknown) == out and not small.made
    stored(revise(gappy, [17]), tmp_path, "nc")
    with pytest.raises(InputError, match="but 1 of 30 dates changed since"):
        small(data, guess, out, more=unknown)


def test_a_product_that_is_data_does_not_hand_on_what_it_was_made_from(guess, gappy, tmp_path, small):
    data = stored(gappy, tmp_path, "nc")
    first = small(data, guess, tmp_path / "first.zarr")
    corrupt([first], tmp_path / "again.nc", CorruptOptions("remove_pixel:p=0.5", variable="sst"))
    assert {INPUTS, FILL} <= raw(first).attrs.keys() and not {INPUTS, FILL} & raw(tmp_path / "again.nc").attrs.keys()
