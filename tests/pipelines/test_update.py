"""Daily use: a product is brought up to date with its archive, and a day is filled from its neighbours alone."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from geogan.files.attributes import FILL
from geogan.model import save_model
from geogan.operators.errors import InputError
from geogan.pipelines.fill import Selection, fill
from geogan.pipelines.fill_each import fill_each
from geogan.pipelines.update import update


@pytest.fixture(scope="module")
def guess(model, tmp_path_factory):
    """Return a model of the first guess and its predicted error."""
    return save_model(tmp_path_factory.mktemp("guess") / "run", dataclasses.replace(model, network=None))


@pytest.fixture
def days(gappy, tmp_path):
    """Write the chosen dates as daily files, and return a pattern of their names."""

    def write(numbers):
        for number in numbers:
            gappy[[number]].to_netcdf(tmp_path / f"sst_{number:02}.nc")
        return str(tmp_path / "sst_*.nc")

    return write


def raw(path):
    return xr.open_dataset(path, mask_and_scale=False, engine="zarr" if path.suffix == ".zarr" else None).load()


def test_an_update_makes_a_product_extends_it_and_is_safe_to_run_twice(guess, days, gappy, tmp_path):
    out, dates = tmp_path / "filled.zarr", [str(date)[:10] for date in gappy.time.values]
    assert update(days(range(4)), guess, out).endswith(f"{out}: filled; 4 dates, {dates[0]} to {dates[3]}")
    before = raw(out)
    line = update(days([]), guess, out)
    assert line.endswith(f"{out}: nothing new; 4 dates, {dates[0]} to {dates[3]}") and "\n" not in line
    assert raw(out).identical(before)
    line = update(days([4, 6]), guess, out)
    assert ": appending 2 dates; refilling the last 4 dates" in line and f"6 dates, {dates[0]} to {dates[6]}" in line
    assert f": adding 1 date, the first of them {dates[5]}" in update(days([5]), guess, out)
    assert raw(out).equals(raw(fill(days([]), guess, tmp_path / "whole.zarr")))
    with pytest.raises(InputError, match="--time last moves with the last date; give a first date"):
        update(days([]), guess, out, selection=Selection(time="last"))


def test_a_day_is_filled_without_the_archive(guess, days, tmp_path):
    """Neither the other files nor their dates change the day by a twentieth of the field's standard deviation."""
    whole = raw(fill(days(range(24)), guess, tmp_path / "whole.nc", selection=Selection(time="last")))
    for number in range(24 - 9):
        (tmp_path / f"sst_{number:02}.nc").unlink()
    alone = raw(fill(days([]), guess, tmp_path / "alone.nc", selection=Selection(time="last")))
    assert alone.sizes["time"] == 1 and alone.time.equals(whole.time)
    difference = (alone.sst - whole.sst).values
    assert np.sqrt(np.nanmean(difference**2)) < 0.05 * float(whole.sst.std())


def test_each_file_has_a_product_and_only_its_neighbours_are_opened(guess, days, gappy, tmp_path):
    pattern, folder = days(range(12, 24)), tmp_path / "filled"
    for number in range(12):
        (tmp_path / f"sst_{number:02}.nc").write_text("not a file of this archive")
    folder.mkdir()
    for number in (*range(20), 22, 23):
        (folder / f"sst_{number:02}.nc").touch()
    made = fill_each(pattern, guess, folder, skip_existing=True)
    assert made == [folder / "sst_20.nc", folder / "sst_21.nc"]
    filled = raw(made[0])
    assert list(filled.time.values) == [gappy.time.values[20]] and FILL in filled.attrs
    near = raw(fill([tmp_path / f"sst_{number}.nc" for number in range(12, 24)], guess, tmp_path / "near.nc"))
    assert filled.equals(near.isel(time=[8]))
    assert fill_each(pattern, guess, folder, skip_existing=True) == []


def test_files_in_another_order_than_their_dates_are_refused(guess, days, gappy, tmp_path):
    days(range(3))
    files = [tmp_path / f"sst_{number:02}.nc" for number in (0, 2, 1)]
    with pytest.raises(
        InputError,
        match=f"sst_02.nc holds {str(gappy.time.values[2])[:10]}, which is not between .* order of their dates",
    ):
        fill_each(files, guess, tmp_path / "filled")
    assert (tmp_path / "filled" / "sst_00.nc").exists()
    with pytest.raises(InputError, match="would both be filled into .*sst_00.nc; fill them into two folders"):
        fill_each([files[0], files[0]], guess, tmp_path / "filled")
