"""Files of one map each and no time get the dates of their attributes or names."""

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

import geogan
from geogan.cli import app
from geogan.io import open_source
from geogan.operators.errors import InputError

LAT, LON = np.linspace(40, 42, 9), np.linspace(0, 2, 10)


def chlorophyll(folder, number, name, **attrs):
    values = np.random.default_rng(number).normal(3, 0.2, (9, 10)).astype("f4")
    values[2:5, number % 5 : number % 5 + 4] = np.nan
    maps = xr.Dataset({"chlor_a": (("lat", "lon"), values, {"units": "mg m^-3"})}, {"lat": LAT, "lon": LON}, attrs)
    write = maps.to_zarr if name.endswith("zarr") else maps.to_netcdf
    write(folder / name)


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
@pytest.mark.parametrize("key", ["time_coverage_start", "start_time", "date"])
def test_dates_of_attributes_come_first(tmp_path, suffix, key):
    for number in (2, 0, 1):  # neither in the order of their names nor of their dates
        chlorophyll(
            tmp_path, number, f"{'abc'[2 - number]}_19990101.{suffix}", **{key: f"2001-01-0{number + 1}T00:30:00Z"}
        )
    source = open_source(str(tmp_path / f"*.{suffix}"))
    wanted = np.datetime64("2001-01-01T00:30", "ns") + np.arange(3) * np.timedelta64(1, "D")
    assert source.field.array.time.values.tolist() == wanted.tolist()
    assert np.nanmean(source.field.array[2]) == pytest.approx(
        np.nanmean(np.random.default_rng(2).normal(3, 0.2, (9, 10))), abs=0.05
    )
    (note,) = source.notes
    assert note == (
        f"3 files have no time; their dates are those of the global attribute {key}, 2001-01-01 00:30:00 to "
        "2001-01-03 00:30:00"
    )
    assert geogan.open_field(str(tmp_path / f"*.{suffix}"), time="2001-01-02").sizes["time"] == 1


def test_dates_of_names(tmp_path):
    for number in range(3):
        chlorophyll(tmp_path, number, f"A200100{3 - number}.L3m_DAY_CHL.nc", title="chlorophyll")
    source = open_source(str(tmp_path / "*.nc"))
    assert source.field.array.time.dt.day.values.tolist() == [1, 2, 3]
    assert "their dates are those in their names (YYYYDDD), 2001-01-01 to 2001-01-03" in source.notes[0]


def test_attributes_that_are_the_same_in_all_files_give_no_order(tmp_path):
    for number in range(2):
        chlorophyll(tmp_path, number, f"x_2001010{number + 1}.nc", time_coverage_start="2001-01-01")
    assert "in their names (YYYYMMDD)" in open_source(str(tmp_path / "*.nc")).notes[0]


def test_without_dates_the_sentence_says_how_to_give_them(tmp_path):
    for number in range(2):
        chlorophyll(tmp_path, number, f"{'ab'[number]}.nc")
    with pytest.raises(InputError, match="time_coverage_start nor their names .* add a time with dataset.expand_dims"):
        open_source(str(tmp_path / "*.nc"))


def test_a_file_without_time_among_files_with_time_is_refused(tmp_path):
    chlorophyll(tmp_path, 0, "a_20010101.nc")
    chlorophyll(tmp_path, 1, "b_20010102.nc")
    dated = xr.load_dataset(tmp_path / "b_20010102.nc").expand_dims(time=[np.datetime64("2001-01-02", "ns")])
    dated.to_netcdf(tmp_path / "b_20010102.nc")
    for order in (["a_20010101.nc", "b_20010102.nc"], ["b_20010102.nc", "a_20010101.nc"]):
        with pytest.raises(InputError, match="a_20010101.nc has no"):
            open_source([tmp_path / name for name in order])


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_a_product_of_daily_files_has_a_time(tmp_path, suffix):
    for number in range(6):
        chlorophyll(tmp_path, number, f"AQUA_MODIS.2001010{number + 1}.L3m.DAY.CHL.chlor_a.4km.nc")
    data = str(tmp_path / "AQUA*.nc")
    lines = [
        f"train {data} --no-first-guess --operator observed_gaps --steps 1 --width 4 --window 1 --crop 8 "
        f"--out {tmp_path}/run",
        f"fill --data {data} --model {tmp_path}/run --out {tmp_path}/filled.{suffix}",
    ]
    for line in lines:
        result = CliRunner().invoke(app, line.split())
        assert result.exit_code == 0, result.output
        assert "6 files have no time; their dates are those in their names" in result.stderr
    raw = xr.open_dataset(
        tmp_path / f"filled.{suffix}", engine="zarr" if suffix == "zarr" else None, decode_times=False
    )
    assert " since " in raw.time.attrs["units"] and raw.time.attrs["standard_name"] == "time"
    filled = geogan.open_field(tmp_path / f"filled.{suffix}", variable="chlor_a")
    assert filled.time.dt.day.values.tolist() == [1, 2, 3, 4, 5, 6]
