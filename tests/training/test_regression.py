"""A regression on covariates is recovered, chosen where it predicts hidden observations better, and kept."""

import dataclasses

import numpy as np
import pytest
import xarray as xr
from runs import PRIOR
from scipy.ndimage import gaussian_filter

import geogan
from geogan import Reconstructor
from geogan.fields.field import Field
from geogan.filling import FillOptions, fill_field
from geogan.filling.plan import TaskSizes
from geogan.operators.errors import InputError

DATES, HEIGHT, WIDTH, SLOPE = 30, 20, 24, 1.5


def smooth(random, scale, *shape):
    """Return smooth noise with mean 0 and standard deviation 1."""
    noise = gaussian_filter(random.standard_normal(shape), scale, mode="wrap")
    return (noise - noise.mean()) / noise.std()


def labelled(values, name):
    """Return maps, or maps of consecutive days, with coordinates."""
    coords = {"lat": np.linspace(40, 42, HEIGHT), "lon": np.linspace(0, 3, WIDTH)}
    if values.ndim == 3:
        coords["time"] = np.datetime64("2001-01-01", "ns") + np.arange(len(values)) * np.timedelta64(1, "D")
    dims = ("time", "lat", "lon")[3 - values.ndim :]
    return xr.DataArray(values.astype(np.float32), dims=dims, coords=coords, name=name)


@pytest.fixture(scope="module")
def weather():
    """Return a field that depends on ``t2m``, the field under clouds, and covariates: ``t2m`` and ``chance``."""
    random, shape = np.random.default_rng(3), (DATES, HEIGHT, WIDTH)
    air = smooth(random, (0.7, 2, 2), *shape)
    values = 10 + smooth(random, (2, 4, 4), *shape) + SLOPE * air + 0.05 * random.standard_normal(shape)
    truth = labelled(values, "lst")
    gappy = geogan.corrupt(truth, "cloud_mask:coverage=0.5,scale=6,persistence=2", seed=4)
    given = {"t2m": labelled(280 + 3 * air, "t2m"), "chance": labelled(smooth(random, (1, 3, 3), *shape), "chance")}
    return truth, gappy, given


def fitted(gappy, names, given, **settings):
    """Return a reconstructor without a network, with a ready prior."""
    settings = {"first_guess": PRIOR, "training": {"posterior_draws": 2}} | settings
    return Reconstructor(network=None, covariates=names, **settings).fit(gappy, covariates=given)


@pytest.fixture(scope="module")
def with_air(weather):
    _, gappy, given = weather
    return fitted(gappy, "t2m", given)


def error_of(reconstructor, weather):
    truth, gappy, given = weather
    filled = reconstructor.fill(gappy, covariates=given)
    return float(np.sqrt(((filled.lst - truth).values[gappy.isnull().values] ** 2).mean()))


def test_a_known_coefficient_is_recovered(weather, with_air):
    regression, (varying,) = with_air.model_.standardiser.regression, with_air.model_.covariates.varying
    assert regression.terms == ((0,),)
    # In units of the field for one unit of the covariate, which was multiplied by 3.
    assert float(regression.coefficients.ravel()[0]) / varying.scale == pytest.approx(SLOPE / 3, rel=0.05)
    assert error_of(with_air, weather) < 0.7 * error_of(fitted(weather[1], (), None), weather)


def test_chance_is_not_chosen(weather):
    _, gappy, given = weather
    alone = fitted(gappy, "chance", given)
    assert alone.model_.standardiser.regression is None and alone.model_.covariates is None
    xr.testing.assert_identical(alone.fill(gappy), fitted(gappy, (), None).fill(gappy))


def test_observations_are_kept_and_tiles_do_not_matter(weather, with_air):
    _, gappy, given = weather
    whole = with_air.fill(gappy, covariates=given, members=2)
    seen = gappy.notnull().values
    assert whole.lst.values[seen].tobytes() == gappy.values[seen].tobytes()
    options = FillOptions(members=2, sizes=TaskSizes(read_values=3000))
    lazy = {name: array.chunk(time=7) for name, array in given.items()}
    tiles = fill_field(with_air.model_, Field.of(gappy.chunk(time=5)), options, covariates=lazy)
    xr.testing.assert_identical(tiles.compute(), whole)


def test_a_model_keeps_its_regression(weather, with_air, tmp_path):
    _, gappy, given = weather
    again = Reconstructor.load(with_air.save(tmp_path / "run"))
    expected = with_air.fill(gappy, covariates=given)
    xr.testing.assert_identical(again.fill(gappy, covariates=given), expected)
    # A part of the grid, and of the dates.
    part = again.fill(gappy[4:12, 5:, 3:], covariates={"t2m": given["t2m"][:, 5:, 3:]})
    assert part.lst.notnull().all()


def test_a_fill_without_its_covariate_is_refused(weather, with_air):
    _, gappy, given = weather
    with pytest.raises(InputError, match="trained with 't2m', which changes in time, and lst comes without") as refused:
        with_air.fill(gappy)
    assert "\n" not in str(refused.value)
    with pytest.raises(InputError, match="no value on 2 of 30 dates of lst .first 2001-01-29"):
        with_air.fill(gappy, covariates={"t2m": given["t2m"][:-2]})
    with pytest.raises(InputError, match="'t2m' is on another grid than lst"):
        with_air.fill(gappy, covariates={"t2m": given["t2m"][:, ::-1]})
    with pytest.raises(InputError, match="no value on 1 cell of the domain, first on"):
        with_air.fill(gappy, covariates={"t2m": given["t2m"].where(given["t2m"] > given["t2m"].min())})


def test_a_covariate_that_is_the_field_is_refused(weather):
    truth, gappy, _ = weather
    with pytest.raises(InputError, match="predict the field exactly .*, so a covariate is the field itself; leave it"):
        fitted(gappy, "copy", {"copy": 2 * gappy.fillna(truth) + 1})
    with pytest.raises(InputError, match="covariate 'lst' is the field itself; leave it out"):
        fitted(gappy, "lst", {"lst": truth})


def test_a_scene_gains_by_a_static_map():
    random = np.random.default_rng(5)
    relief, rest = smooth(random, 1.5, HEIGHT, WIDTH), smooth(random, 4, HEIGHT, WIDTH)
    truth = labelled(15 - 2 * relief + 0.5 * rest, "lst")
    gappy = geogan.corrupt(truth, "cloud_mask:coverage=0.4,scale=5", seed=2)
    errors = []
    for names in ((), ("height",)):
        found = fitted(gappy, names, {"height": labelled(500 + 100 * relief, "height")})
        filled = found.fill(gappy)
        errors.append(float(np.sqrt(((filled.lst - truth).values[gappy.isnull().values] ** 2).mean())))
    assert found.model_.standardiser.regression is not None
    assert errors[1] < 0.6 * errors[0]


def test_a_field_larger_than_memory_has_the_same_regression(weather, with_air):
    _, gappy, given = weather
    lazy = {"t2m": given["t2m"].chunk(time=6)}
    streamed = fitted(gappy.chunk(time=5), "t2m", lazy, training={"posterior_draws": 2, "memory": 4 * gappy.size // 2})
    ours, theirs = (each.model_.standardiser.regression for each in (streamed, with_air))
    assert ours.terms == theirs.terms
    np.testing.assert_allclose(ours.coefficients, theirs.coefficients, rtol=1e-4)


def test_each_variable_has_its_own_coefficient(weather):
    _, gappy, given = weather
    air = (given["t2m"] - 280) / 3
    both = xr.Dataset({"lst": gappy, "soil": (5 + 0.5 * gappy - 1.25 * air).where(gappy.notnull()).rename("soil")})
    regression = fitted(both, "t2m", given).model_.standardiser.regression
    first, second = regression.coefficients.ravel().tolist()
    # The second variable does not depend on the covariate where it is half of the first minus 1.25 times it.
    assert first == pytest.approx(SLOPE, rel=0.05) and second == pytest.approx(SLOPE / 2 - 1.25, rel=0.1)


def test_hours_times_a_covariate():
    """The covariate has another effect at noon than at night: products of hour and covariate are chosen."""
    random, shape = np.random.default_rng(6), (96, HEIGHT, WIDTH)
    air = smooth(random, (3, 2, 2), *shape)
    wave = np.cos(2 * np.pi * np.arange(96) / 24)[:, None, None]
    values = 3 * wave + (1 + 0.8 * wave) * air + 0.2 * smooth(random, (1, 3, 3), *shape)
    time = np.datetime64("2001-01-01", "ns") + np.arange(96) * np.timedelta64(1, "h")
    truth, air = (labelled(each, name).assign_coords(time=time) for each, name in ((values, "lst"), (air, "t2m")))
    truth, air = (each.drop_vars("lon") for each in (truth, air))
    gappy = geogan.corrupt(truth, "cloud_mask:coverage=0.5,scale=6,persistence=3", seed=1)
    prior = dataclasses.replace(PRIOR, persistence=0.5)
    regression = fitted(gappy, "t2m", {"t2m": air}, first_guess=prior).model_.standardiser.regression
    found = dict(zip(regression.terms, regression.coefficients.ravel().tolist()))
    # Channels: cosine and sine of the hour, with a standard deviation of 1, and the covariate.
    assert found[(2,)] == pytest.approx(1.0, rel=0.1)
    assert found[(2, 0)] == pytest.approx(0.8 / 2**0.5, rel=0.15)
    assert abs(found[(2, 1)]) < 0.1


@pytest.mark.parametrize("change", [{"reach": (1.0,)}, {"terms": ((9,),)}])
def test_a_file_with_an_impossible_regression_is_refused(with_air, tmp_path, change):
    regression = dataclasses.replace(with_air.model_.standardiser.regression, **change)
    if "reach" in change:
        regression = dataclasses.replace(regression, reach=(1.0, 2.0))
    standardiser = dataclasses.replace(with_air.model_.standardiser, regression=regression)
    model = dataclasses.replace(with_air.model_, standardiser=standardiser)
    geogan.model.save_model(tmp_path, model)
    with pytest.raises(InputError, match="damaged geogan model .regression must have one reach for each term"):
        geogan.model.load_model(tmp_path)
