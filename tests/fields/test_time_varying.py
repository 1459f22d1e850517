"""Covariates that change in time are matched by date and grid, standardised, and refused in one sentence."""

import numpy as np
import pytest
import xarray as xr

from geogan.fields.covariates import Covariates
from geogan.fields.field import Field
from geogan.operators.errors import InputError

DAYS, HEIGHT, WIDTH = 12, 5, 7
EVERYTHING = (slice(0, DAYS), slice(0, HEIGHT), slice(0, WIDTH))


def maps_of(name, *, step="D", count=DAYS, seed=0):
    """Return maps of normal noise on consecutive dates."""
    values = np.random.default_rng(seed).standard_normal((count, HEIGHT, WIDTH))
    time = np.datetime64("2001-01-01", "ns") + np.arange(count) * np.timedelta64(1, step)
    coords = {"time": time, "lat": np.linspace(40, 41, HEIGHT), "lon": np.linspace(0, 2, WIDTH)}
    return xr.DataArray(values, dims=("time", "lat", "lon"), coords=coords, name=name)


@pytest.fixture
def domain():
    inside = np.ones((HEIGHT, WIDTH), bool)
    inside[0, :3] = False
    return inside


@pytest.fixture
def field(domain):
    return Field.of(maps_of("lst"), domain=domain)


def read(array, field, name="t2m"):
    """Return the standardised values of a covariate on all dates of a field."""
    covariates = Covariates.of(name, field, {name: array})
    return covariates.read_varying(*EVERYTHING, field.domain)[:, 0]


def test_values_have_mean_0_and_deviation_1_in_the_domain_and_are_0_outside(field, domain):
    air = 280 + 3 * maps_of("t2m", seed=1)
    found = read(air, field)
    assert found.dtype == np.float32 and (found[:, ~domain] == 0).all()
    np.testing.assert_allclose([found[:, domain].mean(), found[:, domain].std()], [0, 1], atol=1e-5)
    inside = air.values[:, domain]
    np.testing.assert_allclose(found[:, domain], (inside - inside.mean()) / inside.std(), atol=1e-5)


def test_land_may_have_no_value(field, domain):
    air = maps_of("t2m", seed=1)
    np.testing.assert_array_equal(read(air.where(domain), field), read(air, field))


def test_dates_decide_not_positions(field):
    """Finer steps, further dates, another order of dates and of dimensions give the same values."""
    hourly = maps_of("t2m", step="h", count=24 * (DAYS + 2), seed=1)
    daily = hourly[::24][:DAYS]
    expected = read(daily, field)
    for array in (hourly, hourly[::-1], hourly.transpose("lon", "time", "lat"), hourly.chunk(time=30)):
        np.testing.assert_array_equal(read(array, field), expected)


def test_dates_of_cftime_match_those_of_numpy(field):
    daily = maps_of("t2m", seed=1)
    np.testing.assert_array_equal(read(daily.convert_calendar("standard", use_cftime=True), field), read(daily, field))
    with pytest.raises(InputError, match="dates of the calendar noleap, and those of lst have standard; convert it"):
        read(daily.convert_calendar("noleap", use_cftime=True), field)


def test_an_index_has_one_value_on_each_date(field, domain):
    tide = maps_of("tide", seed=1)[:, 0, 0].drop_vars(["lat", "lon"])
    found = read(tide, field, "tide")
    expected = (tide.values - tide.values.mean()) / tide.values.std()
    np.testing.assert_allclose(found[:, 2, 3], expected, rtol=1e-5)
    assert (found[:, domain] == found[:, 2, 3][:, None]).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a[:, 1:], "'t2m' is on another grid than lst"),
        (lambda a: a[:, ::-1], "'t2m' is on another grid than lst"),
        (lambda a: a[:-3], r"'t2m' has no value on 3 of 12 dates of lst \(first 2001-01-10.*every date of the field"),
        (lambda a: a.where(a < 1), r"'t2m' has no value on \d+ of 384 cells of the domain on the dates of lst"),
        (lambda a: 0 * a + 281.3, "'t2m' is the same in the whole domain on all dates; leave it out"),
        (lambda a: a.astype(str), "'t2m' has type .*, where numbers on a static map"),
        (lambda a: a.expand_dims(level=[1, 2]), r"'t2m' has the dimensions \(level, time, lat, lon\)"),
        (lambda a: a.drop_vars("time")[:5], "has 5 entries along time, and lst has 12 entries, without dates"),
    ],
)
def test_what_does_not_fit_is_refused(field, change, words):
    with pytest.raises(InputError, match=words) as refused:
        read(change(maps_of("t2m", seed=1)), field)
    assert "\n" not in str(refused.value)


def test_a_gap_that_appears_later_is_refused_where_it_is_read(field, domain):
    air = maps_of("t2m", seed=1)
    covariates = Covariates.of("t2m", field, {"t2m": air})
    gappy = air.copy()
    gappy[7, 3, 3] = np.nan
    later = covariates.on(field, {"t2m": gappy})
    assert np.isfinite(later.read_varying(slice(0, 7), *EVERYTHING[1:], domain)).all()
    with pytest.raises(InputError, match=r"no value on 1 cell of the domain, first on 2001-01-08; fill its gaps"):
        later.read_varying(slice(5, 9), *EVERYTHING[1:], domain)
    with pytest.raises(InputError, match="trained with 't2m', which changes in time, and lst comes without; add it"):
        covariates.on(field, {"depth": air[0]})


def test_columns_beyond_a_seam_are_those_across_it(field, domain):
    covariates = Covariates.of("t2m", field, {"t2m": maps_of("t2m", seed=1)})
    whole = covariates.read_varying(*EVERYTHING, domain)
    across = covariates.read_varying(
        slice(2, 6), slice(1, 4), slice(-2, 3), np.take(domain[1:4], np.arange(-2, 3) % WIDTH, 1)
    )
    np.testing.assert_array_equal(across, np.take(whole[2:6, :, 1:4], np.arange(-2, 3) % WIDTH, -1))


def test_the_hour_is_that_of_the_sun_and_is_added_where_the_day_is_resolved(domain):
    hourly = Field.of(maps_of("lst", step="h"), domain=domain)
    covariates = Covariates.of("t2m", hourly, {"t2m": maps_of("t2m", step="h", seed=1)})
    assert covariates.names == ("hour_of_day", "t2m") and covariates.channels == 3
    channels = covariates.films(
        hourly.day_of_year, domain, *EVERYTHING[1:], dates=DAYS, varying=np.zeros((DAYS, 1, 1, 1))
    )
    hours = (np.arange(DAYS)[:, None] + np.linspace(0, 2, WIDTH) / 15.0) / 24
    np.testing.assert_allclose(channels[:, 0, 2], np.sqrt(2) * np.cos(2 * np.pi * hours), atol=1e-5)
    np.testing.assert_allclose(channels[:, 1, 2], np.sqrt(2) * np.sin(2 * np.pi * hours), atol=1e-5)
    daily = Field.of(maps_of("lst"), domain=domain)
    assert Covariates.of("t2m", daily, {"t2m": maps_of("t2m", seed=1)}).names == ("t2m",)
