"""A product that grows with its archive equals one filled at once, and the previous one stays until then."""

import dataclasses
import json

import numpy as np
import pytest
import xarray as xr
from fill_files import fill as fill_files

from geogan.files.attributes import FILL
from geogan.filling.plan import TaskSizes
from geogan.model import save_model
from geogan.operators.errors import InputError
from geogan.product import Product

PACKED = {"dtype": "int16", "scale_factor": 0.001, "add_offset": 15.0, "_FillValue": -32768}


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    """Return a model of the first guess and its predicted error: fast and deterministic."""
    return save_model(tmp_path_factory.mktemp("model") / "run", dataclasses.replace(model, network=None))


def fill(*args, margin=8, **options):
    """Fill in tasks of four dates."""
    return fill_files(*args, sizes=TaskSizes(dates=4, margin=margin), **options)


@pytest.fixture
def grown(gappy, tmp_path):
    """Return the archive with the given number of dates."""

    def upto(dates):
        path = tmp_path / f"gappy{dates}.nc"
        gappy[:dates].to_netcdf(path, encoding={"sst": PACKED})
        return path

    return upto


def raw(path):
    opened = xr.open_zarr if path.suffix == ".zarr" else xr.open_dataset
    with opened(path, mask_and_scale=False) as dataset:
        return dataset.load()


@pytest.mark.parametrize(
    ("steps", "ending"), [((17, 30), "nc"), ((20, 21, 23, 30), "zarr"), ((18, 29), "zarr"), ((2, 30), "zarr")]
)
def test_appended_is_filled_at_once_bit_for_bit(run, grown, tmp_path, steps, ending):
    """For any position of the old end among chunks and tasks."""
    made = []
    out = fill(grown(steps[0]), run, tmp_path / f"out.{ending}", members=2)
    for dates in steps[1:]:
        made.clear()
        assert fill(grown(dates), run, out, members=2, append=True, begin=made.append) == out
    if steps[0] > 12:
        assert 0 not in made
    whole = fill(grown(steps[-1]), run, tmp_path / f"whole.{ending}", members=2)
    xr.testing.assert_equal(raw(out), raw(whole))
    for name, array in raw(out).variables.items():
        assert str(array.attrs) == str(raw(whole)[name].attrs) and array.dtype == raw(whole)[name].dtype
    assert not list(tmp_path.glob(".*"))


def test_what_is_kept_is_not_copied(run, grown, tmp_path):
    out = fill(grown(28), run, tmp_path / "out.zarr")
    inode = (out / "sst" / "c" / "0" / "0" / "0").stat().st_ino
    fill(grown(30), run, out, append=True)
    assert (out / "sst" / "c" / "0" / "0" / "0").stat().st_ino == inode


@pytest.mark.parametrize("missing", [1e20, np.nan])
def test_a_product_of_floats_grows_whatever_stands_for_missing(run, gappy, tmp_path, missing):
    """Zarr and NetCDF keep the same number in other types."""
    for dates in (12, 16):
        encoding = {"sst": {"dtype": "float32", "_FillValue": np.float32(missing)}}
        gappy[:dates].to_netcdf(tmp_path / "gappy.nc", encoding=encoding)
        out = fill(tmp_path / "gappy.nc", run, tmp_path / "out.nc", append=dates > 12)
    xr.testing.assert_equal(raw(out)["time"], raw(tmp_path / "gappy.nc")["time"])


def test_a_part_of_the_dates_grows_too(run, grown, tmp_path):
    out = fill(grown(20), run, tmp_path / "out.zarr", time="2015-01-08/")
    fill(grown(30), run, out, time="2015-01-08/", append=True)
    whole = fill(grown(30), run, tmp_path / "whole.zarr", time="2015-01-08/")
    xr.testing.assert_equal(raw(out), raw(whole))


@pytest.mark.parametrize(("day", "kept"), [(26, {0, 1, 2, 3, 4}), (17, {0, 1, 2})])
def test_days_that_were_revised_are_filled_anew(run, gappy, grown, tmp_path, day, kept):
    """Near-real-time archives revise their last days."""
    out, later, made = fill(grown(28), run, tmp_path / "out.zarr", margin=4), gappy.copy(deep=True), []
    later[day] = later[day].shift(lon=1) + 0.5
    later.to_netcdf(tmp_path / "later.nc", encoding={"sst": PACKED})
    fill(tmp_path / "later.nc", run, out, append=True, margin=4, begin=made.append)
    assert set(range(8)) - set(made) == kept
    xr.testing.assert_equal(raw(out), raw(fill(tmp_path / "later.nc", run, tmp_path / "whole.zarr", margin=4)))


def test_dates_of_another_spacing_ask_for_another_margin(run, model, gappy, tmp_path):
    """Then all tasks are filled again."""
    dates = gappy.time.values.copy()
    dates[6:] = dates[6] + np.arange(24) * np.timedelta64(5, "D")
    field = gappy.assign_coords(time=dates)
    field[:6].to_netcdf(tmp_path / "a.nc")
    field.to_netcdf(tmp_path / "b.nc")
    out = fill(tmp_path / "a.nc", run, tmp_path / "out.zarr")
    made = []
    fill(tmp_path / "b.nc", run, out, append=True, begin=made.append)
    assert sorted(made) == list(range(8))
    xr.testing.assert_equal(raw(out), raw(fill(tmp_path / "b.nc", run, tmp_path / "whole.zarr")))


def test_a_date_that_came_late_is_put_in_its_place(run, gappy, tmp_path):
    """Tasks before it are kept; those that read dates behind it are filled again."""
    early, late = tmp_path / "early.nc", tmp_path / "late.nc"
    gappy.drop_isel(time=21).to_netcdf(early, encoding={"sst": PACKED})
    gappy.to_netcdf(late, encoding={"sst": PACKED})
    out, made = fill(early, run, tmp_path / "out.zarr", margin=4), []
    fill(late, run, out, append=True, margin=4, begin=made.append)
    assert set(range(8)) - set(made) == {0, 1, 2, 3}
    xr.testing.assert_equal(raw(out), raw(fill(late, run, tmp_path / "whole.zarr", margin=4)))
    with pytest.raises(InputError, match="do not include the 30 of"):
        fill(early, run, out, append=True, margin=4)


def stopped(*args, after=2, **options):
    """Begin a fill that stops after the given number of tasks."""
    begun = []

    def begin(number):
        if len(begun) == after:
            raise KeyboardInterrupt
        begun.append(number)

    with pytest.raises(KeyboardInterrupt):
        fill(*args, threads=1, begin=begin, **options)


def test_a_stopped_append_leaves_the_old_one_and_goes_on(run, grown, tmp_path):
    out, made = fill(grown(18), run, tmp_path / "out.zarr"), []
    before = raw(out)
    stopped(grown(30), run, out, append=True)
    xr.testing.assert_identical(raw(out), before)
    fill(grown(30), run, out, append=True, threads=1, begin=made.append)
    whole = fill(grown(30), run, tmp_path / "whole.zarr", threads=1)
    xr.testing.assert_equal(raw(out), raw(whole))
    # Two of eight tasks are kept, two were done before the stop.
    assert len(made) == 8 - 2 - 2


def test_an_archive_may_grow_again_after_an_append_was_stopped(run, grown, tmp_path):
    out = fill(grown(18), run, tmp_path / "out.zarr")
    stopped(grown(26), run, out, append=True)
    fill(grown(30), run, out, append=True)
    xr.testing.assert_equal(raw(out), raw(fill(grown(30), run, tmp_path / "whole.zarr")))


def test_what_is_done_of_a_product_made_otherwise_is_not_lost_to_an_append(run, grown, tmp_path):
    out = fill(grown(18), run, tmp_path / "out.zarr")
    stopped(grown(30), run, out, overwrite=True, members=2)
    with pytest.raises(InputError, match=r"with 2 finished tasks; .* or remove .*\.out\.zarr\.partial to append"):
        fill(grown(30), run, out, append=True)
    fill(grown(30), run, out, overwrite=True, members=2)
    assert "sst_member" in raw(out)


def test_a_reader_that_opened_the_previous_product_reads_on(run, grown, tmp_path):
    out = fill(grown(18), run, tmp_path / "out.zarr")
    before, reader = raw(out), xr.open_zarr(out, mask_and_scale=False)
    fill(grown(30), run, out, append=True)
    np.testing.assert_array_equal(reader["sst"][:4].values, before["sst"][:4].values)
    assert reader["sst"].shape == before["sst"].shape and (reader["sst_source"].values == before["sst_source"]).all()
    reader.close()


def publish(product, **options):
    """Give a product its name, without the removal of its partial folder."""
    product.publish(**options)
    return product.path


def test_an_append_without_new_dates_removes_what_a_kill_left(run, grown, tmp_path, monkeypatch):
    out = fill(grown(18), run, tmp_path / "out.zarr")
    with monkeypatch.context() as patch:
        patch.setattr(Product, "finish", publish)
        fill(grown(30), run, out, append=True)
    assert (tmp_path / ".out.zarr.partial").exists()
    after = raw(out)
    made = []
    fill(grown(30), run, out, append=True, begin=made.append)
    xr.testing.assert_identical(raw(out), after)
    assert not made and not (tmp_path / ".out.zarr.partial").exists()
    # Between the two moves of a file system that cannot let names change places.
    (tmp_path / ".out.zarr.partial").mkdir()
    (tmp_path / ".out.zarr.partial" / "lock").write_text("pid 1")
    out.rename(tmp_path / ".out.zarr.partial" / "old")
    fill(grown(30), run, out, append=True)
    xr.testing.assert_identical(raw(out), after)


def test_what_cannot_be_appended_to_is_refused(run, model, gappy, grown, tmp_path):
    data, out = grown(12), tmp_path / "out.zarr"
    with pytest.raises(InputError, match="does not exist, so nothing can be appended to it; leave --append out"):
        fill(data, run, out, append=True)
    fill(data, run, out, time="2015-01-05/2015-01-12")
    before = raw(out)
    other = save_model(tmp_path / "other", model)
    shifted = gappy[:12].assign_coords(time=gappy.time[:12] + np.timedelta64(1, "D"))
    for name, field in {
        "part": gappy[:12, 2:],
        "shifted": shifted,
        "renamed": gappy[:12].rename("temperature"),
        "revised": gappy[:28] + 0.5,
    }.items():
        field.assign_attrs(gappy.attrs).to_netcdf(tmp_path / f"{name}.nc")
    time = {"time": "2015-01-05/"}
    for source, options, words in [
        (data, {"model": other} | time, "was filled with the model .*, and not with the model"),
        (data, {"members": 2} | time, "was filled with --members 1, and not with --members 2"),
        (data, {"screen": True} | time, "was filled with the screening threshold none, and not with the .* 5.0"),
        (tmp_path / "renamed.nc", time, "was filled from the variable sst, and not from the variable temperature"),
        (tmp_path / "part.nc", time, "has another grid than sst now has"),
        (tmp_path / "shifted.nc", time, "the dates of sst do not include the 6 of"),
        (data, {"time": "2015-01-05/2015-01-07"}, "the dates of sst do not include the 6 of"),
    ]:
        with pytest.raises(InputError, match=words):
            fill(source, options.pop("model", run), out, append=True, **options)
        xr.testing.assert_identical(raw(out), before)
    gappy[:12].to_netcdf(tmp_path / "foreign.nc")
    with pytest.raises(InputError, match="was not made by geogan, so it stays"):
        fill(data, run, tmp_path / "foreign.nc", append=True)
    long = fill(grown(24), run, tmp_path / "long.zarr")
    with pytest.raises(InputError, match="differs on .* from the data that .* was filled from"):
        fill(tmp_path / "revised.nc", run, long, append=True)
    root = json.loads((long / "zarr.json").read_text())
    del root["attributes"][FILL]
    root.pop("consolidated_metadata")
    (long / "zarr.json").write_text(json.dumps(root))
    with pytest.raises(InputError, match="does not store the settings it was filled with"):
        fill(grown(30), run, long, append=True)
    gappy[4].to_netcdf(tmp_path / "image.nc")
    image = fill(tmp_path / "image.nc", run, tmp_path / "image.zarr")
    with pytest.raises(InputError, match="has no dates, so nothing can be appended"):
        fill(tmp_path / "image.nc", run, image, append=True)


def test_a_product_of_floats_grows_with_an_archive_that_is_packed_now(run, gappy, grown, tmp_path):
    """A product keeps its encoding if it holds the values; another packing is refused before anything is written."""
    with xr.open_dataset(grown(18)) as dataset:
        dataset.load().drop_encoding().to_netcdf(tmp_path / "floats.nc")
    out = fill(tmp_path / "floats.nc", run, tmp_path / "out.nc")
    before = raw(out)
    assert before["sst"].dtype == np.float64
    fill(grown(30), run, out, append=True)
    after, archive = raw(out)["sst"], xr.open_dataset(grown(30)).sst
    assert after.dtype == np.float64
    np.testing.assert_array_equal(after[:8], before["sst"][:8])
    seen = archive.notnull().values
    np.testing.assert_array_equal(after.values[seen], archive.values[seen])
    packed = fill(grown(18), run, tmp_path / "packed.zarr")
    before = raw(packed)
    assert before["sst"].dtype == np.int16
    with xr.open_dataset(grown(30)) as dataset:
        dataset.load().drop_encoding().to_netcdf(tmp_path / "longer.nc")
    with pytest.raises(InputError, match="sst of .*packed.zarr has another packing than the archive now has"):
        fill(tmp_path / "longer.nc", run, packed, append=True)
    xr.testing.assert_identical(raw(packed), before)
    assert not list(tmp_path.glob(".*"))
