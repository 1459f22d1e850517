"""Covariates that change in time go from files through training, filling, appending and scoring."""

import numpy as np
import pytest
import xarray as xr
from runs import PRIOR, train
from scipy.ndimage import gaussian_filter
from typer.testing import CliRunner

import geogan
from geogan.cli import app
from geogan.evaluation import Scoring
from geogan.model import load_model
from geogan.operators.errors import InputError
from geogan.pipelines.evaluate import Inputs, evaluate
from geogan.pipelines.fill import Selection, fill
from geogan.pipelines.fill_without_model import Fitting, fill_without_model
from geogan.pipelines.train import resume
from geogan.settings import TrainConfig

DATES, HEIGHT, WIDTH = 24, 12, 16
QUICK = {"first_guess": PRIOR, "posterior_draws": 2, "blocks": 2, "batch": 2, "crop": 8, "width": 4, "window": 1}
QUICK |= {"precision": "float32", "threads": 1}


@pytest.fixture(scope="module")
def weather():
    """Return a gappy field and its covariate, of which land has no value."""
    random, shape = np.random.default_rng(3), (DATES, HEIGHT, WIDTH)
    air, rest = (gaussian_filter(random.standard_normal(shape), scale) for scale in ((0.7, 2, 2), (2, 3, 3)))
    time = np.datetime64("2001-01-01", "ns") + np.arange(DATES) * np.timedelta64(1, "D")
    coords = {"time": time, "lat": np.linspace(40, 42, HEIGHT), "lon": np.linspace(0, 3, WIDTH)}
    air, rest = (
        xr.DataArray((each / each.std()).astype("f4"), dims=("time", "lat", "lon"), coords=coords)
        for each in (air, rest)
    )
    land = xr.DataArray(np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)) < 4, dims=("lat", "lon"))
    truth = (10 + rest + 1.5 * air).where(~land).rename("lst")
    gappy = geogan.corrupt(truth, "cloud_mask:coverage=0.45,scale=5,persistence=2", seed=4)
    return gappy, (280 + 3 * air).where(~land).rename("t2m")


@pytest.fixture(scope="module")
def files(weather, tmp_path_factory):
    """Return a file with field and covariate, one of the field alone, and one of the covariate, as whole numbers."""
    folder = tmp_path_factory.mktemp("data")
    gappy, air = weather
    packed = {"t2m": {"dtype": "int16", "scale_factor": 0.01, "add_offset": 280.0, "_FillValue": -9999}}
    xr.Dataset({"lst": gappy, "t2m": air}).to_netcdf(folder / "both.nc", encoding=packed)
    gappy.to_netcdf(folder / "lst.nc")
    longer = xr.concat([air, air.assign_coords(time=air.time + np.timedelta64(DATES, "D"))], "time")
    longer.to_netcdf(folder / "air.nc", encoding=packed)
    return folder


@pytest.fixture(scope="module")
def run(files, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    return train(files / "both.nc", out=out, covariates=["t2m"], steps=2, **QUICK)


@pytest.fixture(scope="module")
def product(files, run, tmp_path_factory):
    return fill(files / "both.nc", run, tmp_path_factory.mktemp("product") / "filled.zarr")


def opened(path):
    with xr.open_dataset(path) as product:
        return product.load().drop_attrs()


def test_a_covariate_of_the_file_is_not_the_field_and_is_used(run, product, files, weather):
    model = load_model(run)
    assert model.variable == "lst" and model.covariates.names == ("t2m",) and model.network.extras == 1
    assert model.standardiser.regression.terms == ((0,),)
    filled, gappy = opened(product), weather[0]
    seen = gappy.notnull().values
    assert filled.lst.values[seen].tobytes() == gappy.values[seen].tobytes()
    assert (filled.lst.notnull() == gappy.notnull().any("time")).all()


def test_another_file_gives_the_same(run, product, files, weather, tmp_path):
    """The covariate may lie in a file with more dates; a fill finds it where it was, or where it is said to be."""
    place = f"{files / 'air.nc'}:t2m"
    other = train(files / "lst.nc", out=tmp_path / "run", covariates=[place], steps=2, **QUICK)
    assert load_model(other).covariates.names == ("t2m",)
    xr.testing.assert_identical(opened(fill(files / "lst.nc", other, tmp_path / "a.zarr")), opened(product))
    arguments = ["fill", files / "lst.nc", "--model", run, "--out", tmp_path / "b.zarr", "--covariate", place]
    assert CliRunner().invoke(app, list(map(str, arguments))).exit_code == 0
    xr.testing.assert_identical(opened(tmp_path / "b.zarr"), opened(product))
    # Data in memory.
    filled = xr.Dataset({"lst": weather[0], "t2m": xr.open_dataset(files / "both.nc").t2m}).geogan.fill(run)
    np.testing.assert_array_equal(filled.lst.values, opened(product).lst.values)


def test_what_a_fill_lacks_is_refused(run, files, tmp_path):
    with pytest.raises(InputError, match="trained with 't2m', which changes in time, and lst comes without; add it"):
        fill(files / "lst.nc", run, tmp_path / "a.zarr")
    with pytest.raises(InputError, match="air.nc has no variable 'd2m' for a covariate; it has t2m, choose among"):
        train(files / "lst.nc", out=tmp_path / "no", covariates=[f"{files / 'air.nc'}:d2m"], steps=1, **QUICK)
    with pytest.raises(InputError, match="the model was trained without the covariate 'd2m'; it has t2m, so leave"):
        fill(files / "lst.nc", run, tmp_path / "a.zarr", selection=Selection(covariates=("other.nc:d2m",)))
    assert not (tmp_path / "a.zarr").exists() and not (tmp_path / "no").exists()


def test_a_training_is_resumed_with_its_covariates(files, tmp_path):
    out = train(files / "both.nc", out=tmp_path / "run", covariates=["t2m"], steps=1, **QUICK)
    before = load_model(out)
    resume(out, {"steps": 2})
    again = load_model(out)
    assert again.standardiser.regression.terms == before.standardiser.regression.terms
    np.testing.assert_array_equal(
        again.standardiser.regression.coefficients, before.standardiser.regression.coefficients
    )


def test_an_append_equals_a_fill_of_all_dates(files, run, product, tmp_path):
    whole = xr.open_dataset(files / "both.nc", mask_and_scale=False)
    whole.isel(time=slice(0, 16)).to_netcdf(tmp_path / "growing.nc")
    out = fill(tmp_path / "growing.nc", run, tmp_path / "filled.zarr")
    whole.to_netcdf(tmp_path / "longer.nc")
    (tmp_path / "longer.nc").replace(tmp_path / "growing.nc")
    fill(tmp_path / "growing.nc", run, out, mode="append")
    xr.testing.assert_identical(opened(out), opened(product))


def test_a_changed_covariate_is_filled_anew(files, run, product, tmp_path):
    whole = xr.open_dataset(files / "both.nc")
    whole.to_netcdf(tmp_path / "data.nc")
    out = fill(tmp_path / "data.nc", run, tmp_path / "filled.zarr")
    before = opened(out)
    whole.assign(t2m=whole.t2m[::-1].variable).to_netcdf(tmp_path / "other.nc")
    (tmp_path / "other.nc").replace(tmp_path / "data.nc")
    fill(tmp_path / "data.nc", run, out, mode="overwrite")
    assert float(abs(opened(out).lst - before.lst).max()) > 0.5


def test_scores_of_a_model_with_covariates(files, run):
    rows = evaluate(files / "both.nc", run, Scoring(["model", "gaussian"]), ablation=False)
    errors = {row.method: row.score.rmse for row in rows}
    elsewhere = evaluate(
        files / "lst.nc",
        run,
        Scoring(["model", "gaussian"]),
        inputs=Inputs(variable="lst", covariates=(f"{files / 'air.nc'}:t2m",)),
        ablation=False,
    )
    assert {row.method: row.score.rmse for row in elsewhere} == errors


def test_a_fill_without_a_model(files, weather, tmp_path):
    """Without a network the covariate is used by the Gaussian alone."""
    training = TrainConfig(prior_evaluations=2, posterior_draws=2)
    fitting = Fitting(covariates=("t2m",), training=training, save_model=tmp_path / "model")
    filled = opened(fill_without_model(files / "both.nc", tmp_path / "a.zarr", fitting=fitting))
    model = load_model(tmp_path / "model")
    assert model.network is None and model.covariates.names == ("t2m",)
    assert float(model.standardiser.regression.coefficients.ravel()[0]) == pytest.approx(1.5, rel=0.15)
    assert filled.lst.notnull().any("time").sum() == weather[0].notnull().any("time").sum()


def test_the_accessor_passes_covariates_on(weather, run):
    """A constant covariate is refused before anything is fitted, so it was found; a model's own is found by itself."""
    gappy, air = weather
    constant = xr.ones_like(air)
    refusal = "covariate 't2m' is the same in the whole domain on all dates; leave it out"
    with pytest.raises(InputError, match=refusal):
        xr.Dataset({"lst": gappy, "t2m": constant}).geogan.fill(covariates="t2m")
    with pytest.raises(InputError, match=refusal):
        gappy.geogan.fill(covariates={"t2m": constant})
    with pytest.raises(InputError, match="has covariates of its own, but covariates were given; leave them out"):
        xr.Dataset({"lst": gappy, "t2m": air}).geogan.fill(run, covariates="t2m")
    with_air = gappy.geogan.fill(run, covariates={"t2m": air})
    np.testing.assert_array_equal(with_air.lst, xr.Dataset({"lst": gappy, "t2m": air}).geogan.fill(run).lst)
