"""Tests of the selection of one date and one band."""

import pytest

from geogan.fields.field import Field
from geogan.fields.selection import select_band, select_date
from geogan.operators.errors import InputError

pytestmark = pytest.mark.usefixtures("no_network")


def test_a_date_is_selected(a_field):
    field = a_field(dates=5)
    gappy = field.where((field.time != field.time[3]) | (field.lat < 35))
    assert select_date(Field.of(gappy)).array.time == field.time[3]
    assert select_date(Field.of(gappy), "2019-03-02").array.time == field.time[1]
    first = Field.of(field.isel(time=0))
    assert select_date(first).axes.dims == ("lat", "lon")
    with pytest.raises(InputError, match="single map"):
        select_date(first, "2019-03-02")
    with pytest.raises(InputError, match="2019-03-01 to 2019-03-05, got 2020-01-01"):
        select_date(Field.of(field), "2020-01-01")


def test_a_band_is_selected_by_name_or_number(a_field, pictures):
    optics = Field.of(a_field(dates=3).expand_dims(band=["nir", "swir"]))
    assert [select_band(optics, band).array.band.item() for band in (None, 1)] == ["nir", "swir"]
    nameless = Field.of(optics.array.drop_vars("band"))
    assert select_band(nameless, "1").array.dims == a_field(dates=3).dims
    assert select_band(select_date(optics), "swir").array.dims == ("lat", "lon")
    one = Field.of(a_field())
    assert select_band(one) is one
    for band in ("red", 2, "-1"):
        with pytest.raises(InputError, match=f"band must be nir, swir, or a number from 0 to 1, got {band!r}"):
            select_band(optics, band)
    with pytest.raises(InputError, match="the field has no bands; leave band out"):
        select_band(one, "nir")
    with pytest.raises(InputError, match=r"date must be the number of a sample, 0 to 3, got '2015-01-31'"):
        select_date(Field.of(pictures()), "2015-01-31")
