"""Anomalies are inverted exactly, and a climatology is fitted only if the dates determine it."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from geogan.archive.climatology import ClimatologySums
from geogan.archive.standardiser import Standardiser
from geogan.fields.dates import YEAR
from geogan.fields.field import Field
from geogan.operators.errors import InputError

SEA = np.ones((3, 5), bool)
SEA[0, :2] = False


def labelled(values, times):
    return xr.DataArray(values, dims=("time", "y", "x"), coords={"time": times}, name="chl")


def daily(count, start="2001-02-03", step=1):
    return np.datetime64(start, "ns") + np.arange(count) * np.timedelta64(step, "D")


def seasonal(times, *, noise=0.1, gaps=0.6, seed=0):
    """Return gappy values of a cycle of two harmonics that differs between cells, and the cycle."""
    random = np.random.default_rng(seed)
    phase = 2 * np.pi * (times - times.astype("M8[Y]")) / np.timedelta64(1, "D") / YEAR
    size = np.linspace(1, 4, SEA.size).reshape(SEA.shape)
    cycle = 280 + size * np.cos(phase - 2)[:, None, None] + 0.5 * size * np.sin(2 * phase)[:, None, None]
    values = cycle + noise * random.standard_normal(cycle.shape)
    values[random.random(cycle.shape) < gaps] = np.nan
    return labelled(np.where(SEA, values, np.nan), times), cycle


def fit(field, domain=SEA, **options):
    return Standardiser.fit(Field.of(field, domain=domain), **options)


@settings(deadline=None, max_examples=25)
@given(
    transform=st.sampled_from(["none", "log"]),
    count=st.integers(2, 40),
    step=st.integers(1, 40),
    seed=st.integers(0, 99),
)
def test_inverse_restores_the_field(transform, count, step, seed):
    random = np.random.default_rng(seed)
    values = np.exp(random.standard_normal((count, 3, 5)) + 3)
    values[random.random(values.shape) < 0.4] = np.nan
    values[0, 1, 1], values[1, 1, 1] = 5.0, 9.0
    field = labelled(values, daily(count, step=step))
    phase = Field.of(field).day_of_year
    fitted = fit(field, transform=transform)
    values = values[:, None]
    np.testing.assert_allclose(fitted.inverse(fitted.forward(values, phase), phase), values, rtol=1e-9)
    y, x = slice(1, 3), slice(2, 5)
    part = fitted.forward(values[..., y, x], phase, y, x)
    np.testing.assert_allclose(part, fitted.forward(values, phase)[..., y, x], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(part, fitted.part(y, x).forward(values[..., y, x], phase), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(fitted.inverse(part, phase, y, x), values[..., y, x], rtol=1e-9)


def test_the_season_is_fitted_to_gappy_data():
    field, cycle = seasonal(daily(365, step=3))
    fitted = fit(field)
    found = fitted.climatology(Field.of(field).day_of_year)[:, 0]
    assert fitted.note == "mean and 2 harmonics of the year in every cell"
    assert np.abs(found - cycle)[:, SEA].max() < 0.35 and np.sqrt(((found - cycle)[:, SEA] ** 2).mean()) < 0.15
    assert fitted.scale == pytest.approx(0.1, rel=0.5)


def test_the_scale_is_the_spread_of_the_anomalies():
    random = np.random.default_rng(0)
    field = labelled(np.where(SEA, 15 + 0.7 * random.standard_normal((400, 3, 5)), np.nan), daily(400))
    assert fit(field).scale == pytest.approx(0.7, rel=0.05)


def test_dates_that_cover_two_months_a_year_get_no_season():
    """An unchecked fit would explode in the other ten months."""
    times = np.concatenate([daily(8, f"{year}-06-01", step=8) for year in range(2001, 2008)])
    field, cycle = seasonal(times, gaps=0.2)
    fitted = fit(field)
    assert len(fitted.coefficients) == 1 and "too little of the year" in fitted.note
    whole_year = fitted.climatology(np.arange(0.0, 365.0, 30.0))[:, 0]
    assert np.abs(whole_year - cycle.mean(0))[:, SEA].max() < 2.5


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (seasonal(daily(300))[0], "a record of 299 days is too short"),
        (seasonal(daily(300))[0].drop_vars("time"), "a record of 299 days is too short"),
        (seasonal(daily(1), gaps=0)[0][0], "mean of the scene"),
    ],
)
def test_the_note_gives_the_reason_for_a_missing_season(field, words):
    assert words in fit(field).note


def test_a_cell_with_few_dates_is_shrunk_towards_the_domain():
    values = np.full((50, 3, 5), np.nan)
    values[:, 1:] = 10 + np.random.default_rng(0).standard_normal((50, 2, 5))
    values[:2, 0, 4] = 20.0
    assert fit(labelled(values, daily(50))).coefficients[0, 0, 0, 4] < 12


def test_parts_order_and_land_have_no_effect():
    field, _ = seasonal(daily(300, step=3))
    whole = fit(field)
    for other in (field, field.transpose("x", "time", "y"), field.fillna(-5e9).where(field.notnull() | ~SEA)):
        lazy = other.chunk(time=50)
        again = fit(lazy, sums=ClimatologySums.read(Field.of(lazy, domain=SEA), ("none",), most=7 * SEA.size))
        np.testing.assert_allclose(again.coefficients, whole.coefficients, rtol=1e-4, atol=1e-4)
        assert again.scale == pytest.approx(whole.scale, rel=1e-6) and again.note == whole.note


def test_a_logarithm_accepts_any_value_on_land():
    values = np.where(SEA, np.exp(np.random.default_rng(0).standard_normal((9, 3, 5))), 0.0)
    assert fit(labelled(values, daily(9)), transform="log").scale > 0.5


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        (3.0, {}, r"chl is constant \(3\): there is nothing to learn"),
        (-2.0, {"transform": "log"}, "log needs positive values, but chl goes down to -2; use --transform none"),
        (0.0, {"transform": "log"}, "log needs positive values"),
        (3.0, {"transform": "none,log"}, "transform names 2 bands, the field has 1"),
        (np.nan, {}, "no value inside its domain"),
        (3.0, {"transform": "sqrt"}, "transform must be one of none, log, identity, got 'sqrt'"),
    ],
)
def test_fields_that_cannot_be_standardised_are_refused(values, options, words):
    with pytest.raises(InputError, match=words):
        fit(labelled(np.full((4, 3, 5), values), daily(4)), **options)


def test_hidden_values_are_not_used():
    values = np.random.default_rng(0).normal(10, 1, (40, 5, 4))
    hidden = np.random.default_rng(1).random(values.shape) < 0.3
    fields = [
        xr.DataArray(np.where(hidden, poison, values), dims=("time", "y", "x"), name="sst") for poison in (np.nan, 1e9)
    ]
    first, second = (
        Standardiser.fit(Field.of(field, domain=np.ones((5, 4), bool)), hidden=lambda date: hidden[date][None])
        for field in fields
    )
    np.testing.assert_array_equal(first.coefficients, second.coefficients)
    assert first.scale == second.scale


def two_bands(count=60):
    """Return temperature and chlorophyll, each with its own gaps; (band, time, y, x)."""
    random = np.random.default_rng(4)
    warm = 15 + 2.0 * random.standard_normal((count, 3, 5))
    green = np.exp(0.4 * random.standard_normal((count, 3, 5)) - 1)
    values = np.stack([warm, green])
    values[random.random(values.shape) < 0.3] = np.nan
    bands = {"time": daily(count), "band": ["sst", "chl"]}
    return xr.DataArray(np.where(SEA, values, np.nan), dims=("band", "time", "y", "x"), coords=bands, name="sea")


@pytest.mark.parametrize("transform", ["none", "log,log", "none,log", "identity,log"])
def test_bands_are_standardised_independently(transform):
    field = abs(two_bands())
    fitted = fit(field, transform=transform)
    assert fitted.coefficients.shape == (1, 2, 3, 5) and fitted.scale.shape == (2,)
    values = field.transpose("time", "band", "y", "x").values
    anomalies = fitted.forward(values, None)
    np.testing.assert_allclose(fitted.inverse(anomalies, None), values, rtol=1e-9)
    for band in (0, 1):
        alone = fit(field.isel(band=band, drop=True), transform=fitted.transforms[band])
        np.testing.assert_allclose(alone.coefficients[:, 0], fitted.coefficients[:, band], rtol=1e-6)
        np.testing.assert_allclose(alone.scale, fitted.scale[band : band + 1])
        np.testing.assert_allclose(alone.forward(values[:, band : band + 1], None), anomalies[:, band : band + 1])


def test_errors_have_units_only_if_bands_share_them():
    one, two = fit(two_bands()[0]), fit(two_bands())
    assert one.error_unit("K") == (one.scale[0], "K") and two.error_unit("K") == (1.0, "anomalies")
    same = fit(two_bands()[[0, 0]])
    assert same.error_unit("K") == (one.scale[0], "K")
    assert fit(two_bands()[1], transform="log").error_unit("")[1] == "ln"


def test_a_band_that_cannot_be_standardised_is_named():
    field = two_bands()
    with pytest.raises(InputError, match=r"log needs positive values, but band sst of sea goes down to -"):
        fit(field - 15, transform="log,none")
    with pytest.raises(InputError, match=r"band chl of sea is constant \(2\)"):
        fit(field.where(field.band == "sst", 2.0))
    with pytest.raises(InputError, match=r"band chl of sea has no value inside its domain"):
        fit(field.where(field.band == "sst"))


def test_images_and_identities_are_unchanged():
    random = np.random.default_rng(0)
    images = xr.DataArray(random.uniform(-1, 1, (9, 3, 5)), dims=("sample", "y", "x"))
    bounded = images.assign_attrs(valid_min=-1.0, valid_max=1.0)
    assert fit(images).note == "mean of every cell" and fit(images).transform == "none"
    assert fit(bounded).note == "values as they are: images"
    dated = bounded.rename(sample="time")
    assert fit(dated).transform == "none"
    for fitted in (fit(bounded), fit(dated, transform="identity")):
        values = images.values[:, None]
        np.testing.assert_array_equal(fitted.forward(values, None), values)
        np.testing.assert_array_equal(fitted.inverse(values, None), values)
        assert fitted.error_unit("1") == (1.0, "") and not fitted.coefficients.any()


def test_the_plane_of_a_single_scene_is_extrapolated():
    random = np.random.default_rng(0)
    slope = 20 + np.add.outer(-0.3 * np.arange(20), 0.1 * np.arange(30))
    values = slope + 0.2 * random.standard_normal(slope.shape)
    values[:9, 12:] = np.nan
    field = xr.DataArray(values, dims=("y", "x"), name="lst")
    fitted = Standardiser.fit(Field.of(field, domain=np.ones(slope.shape, bool)), plane=True)
    assert fitted.note == "a plane"
    assert np.abs(fitted.climatology(None)[0, 0] - slope).max() < 0.1
    assert fitted.scale == pytest.approx(0.2, rel=0.1)


def test_a_periodic_plane_has_no_step_at_the_seam():
    lat, lon = np.linspace(-40, 40, 12), np.arange(0, 360, 15.0)
    values = 10 + 0.1 * lat[:, None] + 0.01 * lon + np.random.default_rng(0).normal(0, 0.1, (1, 12, 24))
    field = xr.DataArray(values, dims=("time", "lat", "lon"), coords={"lat": lat, "lon": lon}, name="sst")
    found = Standardiser.fit(Field.of(field, domain=np.ones((12, 24), bool)), plane=True).coefficients[0, 0]
    np.testing.assert_allclose(found, found[:, :1].repeat(24, 1))
    assert found[-1, 0] - found[0, 0] == pytest.approx(8, abs=0.3)
    metres = field.drop_vars("lon")
    sloped = Standardiser.fit(Field.of(metres, domain=np.ones((12, 24), bool)), plane=True).coefficients[0, 0]
    assert sloped[0, -1] - sloped[0, 0] > 3
