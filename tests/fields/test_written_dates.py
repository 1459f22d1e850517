"""Dates written as numbers or text are read as dates, and nothing else is."""

import datetime

import cftime
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geogan.fields.written_dates import date_of_text, dates_in_names, decode
from geogan.operators.errors import InputError

DAYS = st.dates(datetime.date(1850, 1, 1), datetime.date(2199, 12, 31))


@given(st.lists(DAYS, min_size=1, max_size=8), st.sampled_from(["i4", "u4", "i8", "f8"]))
def test_whole_numbers_are_days(days, kind):
    numbers = np.array([int(f"{day:%Y%m%d}") for day in days], kind)
    for units in ("", "YYYYMMDD", "day as %Y%m%d.%f", "days", "1"):
        assert decode(numbers, units=units).astype("M8[D]").tolist() == days


@given(DAYS, st.integers(0, 86399))
def test_the_fraction_is_a_part_of_the_day(day, second):
    number = np.array([int(f"{day:%Y%m%d}") + second / 86400])
    found = decode(number, units="day as %Y%m%d.%f")[0]
    assert found == np.datetime64(day, "s") + np.timedelta64(second, "s")


@pytest.mark.parametrize(
    ("number", "units", "date"),
    [
        (2001011712, "", "2001-01-17T12"), (2001011712, "yyyymmddhh", "2001-01-17T12"),
        (200101171230, "", "2001-01-17T12:30"), (20010117123015, "", "2001-01-17T12:30:15"),
        (200102, "", "2001-02-01"), (200102, "YYYYMM", "2001-02-01"), (200102.5, "month as %Y%m.%f", "2001-02-15"),
        (2001.5, "year as %Y.%f", "2001-07-02T12"), (20010117, "yyyy-mm-dd", "2001-01-17"),
        (20010117, "date (YYYYMMDD)", "2001-01-17"), (20010117, "%Y%m%d", "2001-01-17"),
        (17890714, "YYYYMMDD", "1789-07-14"), (12150615, "YYYYMMDD", "1215-06-15"),
    ],
)  # fmt: skip
def test_other_layouts(number, units, date):
    assert decode(np.array([number]), units=units)[0] == np.datetime64(date)


@pytest.mark.parametrize(
    ("values", "units"),
    [
        ([0, 1, 2], ""), ([20010117, 20010132], ""), ([730486, 730487], ""), ([2451545.0, 2451546.0], ""),
        ([979689600, 979776000], ""), ([1.7e9, 1.8e9], ""), ([20010117], "hours since 1900-01-01"),
        ([20010117], "K"), ([1.5, 2.5], "day"), ([200101.5], ""), ([2001011712.5], ""), ([np.nan, 20010117], ""),
    ],
)  # fmt: skip
def test_other_numbers_are_left_alone(values, units):
    assert decode(np.array(values), units=units) is None


def test_units_that_promise_dates_are_held_to_it():
    with pytest.raises(InputError, match="has the units 'YYYYMMDD', but 20010230 is not such a date"):
        decode(np.array([20010228, 20010230]), units="YYYYMMDD")
    with pytest.raises(InputError, match="has missing dates"):
        decode(np.array([20010228, np.nan]), units="day as %Y%m%d.%f")


def test_single_precision_has_lost_the_day():
    with pytest.raises(InputError, match="in the type float32, which rounds them to other days"):
        decode(np.array([20010117, 20010118], "f4"))


def test_a_calendar_of_its_own():
    found = decode(np.array([20010230.5]), units="day as %Y%m%d.%f", calendar="360_day")
    assert found[0] == cftime.datetime(2001, 2, 30, 12, calendar="360_day")
    with pytest.raises(InputError, match="20010230"):
        decode(np.array([20010230]), units="YYYYMMDD", calendar="noleap")


@pytest.mark.parametrize("kind", [str, bytes, object])
def test_texts(kind):
    texts = ["2001-01-17_12:00:00", "2001-01-18_12:00:00"]
    values = np.array([text.encode() if kind is bytes else text for text in texts], object if kind is object else None)
    assert decode(values).astype("M8[h]").tolist()[0] == datetime.datetime(2001, 1, 17, 12)
    assert decode(np.array(["spring", "summer"])) is None


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2001-01-01T00:00:00.000Z", "2001-01-01"), ("20010101T123000Z", "2001-01-01T12:30"),
        ("2001-01-01 06:00:00 UTC", "2001-01-01T06"), ("20010101 060000.000000 UTC", "2001-01-01T06"),
        ("2001-01-01T06:00:00+00:00", "2001-01-01T06"), ("2001032003000123", "2001-02-01T00:30"),
        ("2001366", None), ("2000366", "2000-12-31"), ("yesterday", None), (None, None), (7, None),
    ],
)  # fmt: skip
def test_attributes(text, date):
    found = date_of_text(text)
    assert found is None if date is None else found == np.datetime64(date)


@pytest.mark.parametrize(
    ("names", "first"),
    [
        (["AQUA_MODIS.20010101.L3m.DAY.4km.nc", "AQUA_MODIS.20010102.L3m.DAY.4km.nc"], "2001-01-01"),
        (["A2001001.L3m_DAY", "A2001032.L3m_DAY"], "2001-01-01"),
        (["A20010012001008.L3m_8D", "A20010092001016.L3m_8D"], "2001-01-01"),
        (["A20010732001080.L3m_8D", "A20010812001088.L3m_8D"], "2001-03-14"),
        (["sst_2001-01-05.nc", "sst_2001-01-04.nc"], "2001-01-05"),
        (["sst_2001_01_05.nc", "sst_2001_01_04.nc"], "2001-01-05"),
        (["chl_20010101-20010108.nc", "chl_20010109-20010116.nc"], "2001-01-01"),
        (["oisst.20010101.v20200101.nc", "oisst.20010102.v20200101.nc"], "2001-01-01"),
        (["g_20010101T0030Z.nc", "g_20010101T0200Z.nc"], "2001-01-01T00:30"),
        (["g_20010101_0030.nc", "g_20010101_0200.nc"], "2001-01-01T00:30"),
        (["g_20010101_0001.nc", "g_20010102_0002.nc"], "2001-01-01"),
        (["20010101123000-GHRSST.nc", "20010102123000-GHRSST.nc"], "2001-01-01T12:30"),
        (["ice_200101.nc", "ice_200102.nc"], "2001-01-01"),
        (["ice_2001-01.nc", "ice_2001-02.nc"], "2001-01-01"),
        (["v.2001.032.tif", "v.2001.033.tif"], "2001-02-01"),
    ],
)  # fmt: skip
def test_names(names, first):
    dates, layout = dates_in_names(names)
    assert dates[0] == np.datetime64(first), layout
    assert len(set(dates)) == len(names)


@pytest.mark.parametrize(
    "names",
    [
        ["a.nc", "b.nc"],
        ["a_1.nc", "a_2.nc"],
        ["a_20010101.nc", "b_20010101.nc"],
        ["a_20010101.nc", "a_20011301.nc"],
        ["a_20010101_v20200301.nc", "a_20010102_v20200307.nc"],
    ],
)
def test_names_without_one_reading(names):
    assert dates_in_names(names) is None
