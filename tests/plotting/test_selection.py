"""Tests of the selection of one date and one band."""

import pytest

from geogan.operators.errors import InputError
from geogan.plotting import plot_field, select_band, select_date

pytestmark = pytest.mark.usefixtures("no_network")


def test_a_date_is_selected(a_field):
    field = a_field(dates=5)
    gappy = field.where((field.time != field.time[3]) | (field.lat < 35))
    assert select_date(gappy).time == field.time[3]
    assert select_date(gappy, "2019-03-02").time == field.time[1]
    assert select_date(field.isel(time=0)).ndim == 2
    with pytest.raises(InputError, match="single map"):
        select_date(field.isel(time=0), "2019-03-02")
    with pytest.raises(InputError, match="2019-03-01 to 2019-03-05, got 2020-01-01"):
        select_date(field, "2020-01-01")


def test_a_band_is_selected_by_name_or_number(a_field, pictures):
    optics = a_field(dates=3).expand_dims(band=["nir", "swir"])
    assert select_band(optics).band.item() == "nir" and select_band(optics, 1).band.item() == "swir"
    assert select_band(optics.drop_vars("band"), "1").dims == a_field(dates=3).dims
    assert plot_field(select_band(select_date(optics), "swir")).get_title().startswith("2019")
    assert select_band(a_field()).dims == ("lat", "lon")
    for band in ("red", 2, "-1"):
        with pytest.raises(InputError, match=f"band must be nir, swir, or a number from 0 to 1, got {band!r}"):
            select_band(optics, band)
    with pytest.raises(InputError, match="the field has no bands; leave band out"):
        select_band(a_field(), "nir")
    with pytest.raises(InputError, match=r"date must be the number of a sample, 0 to 3, got '2015-01-31'"):
        select_date(pictures(), "2015-01-31")
