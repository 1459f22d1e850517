"""geogan fill without --model: fitted once, calibrated, resumable, and honest about what it is."""

import io
import json
from dataclasses import replace

import fill_files
import numpy as np
import pytest
import xarray as xr
from rich.console import Console
from typer.testing import CliRunner

from geogan.cli import app
from geogan.files.attributes import FILL
from geogan.filling import FillOptions, Workers
from geogan.filling.plan import TaskSizes
from geogan.io import open_field
from geogan.model import digest, load_model, save_model
from geogan.operators.errors import InputError
from geogan.pipelines.fill import Selection, fill
from geogan.pipelines.fill_without_model import Fitting, fill_without_model
from geogan.product.partial import partial_folder
from geogan.settings import TrainConfig

# A short search for the parameters of the Gaussian.
FITTING = Fitting(domain="sea_mask", training=TrainConfig(prior_evaluations=4, posterior_draws=1))


def write(field, domain, path):
    mask = xr.DataArray(domain.astype("int8"), dims=field.dims[1:])
    xr.Dataset({"sst": field, "sea_mask": mask}).to_netcdf(path)
    return path


@pytest.fixture(scope="module")
def data(gappy, domain, tmp_path_factory):
    return write(gappy, domain, tmp_path_factory.mktemp("data") / "gappy.nc")


@pytest.fixture(scope="module")
def filled(data, tmp_path_factory):
    """A product, the model that was kept, and what was printed."""
    folder, printed = tmp_path_factory.mktemp("filled"), io.StringIO()
    path = fill_without_model(
        data,
        folder / "filled.zarr",
        fitting=replace(FITTING, save_model=folder / "model"),
        console=Console(file=printed, width=1000),
    )
    return path, folder / "model", printed.getvalue()


def settings_of(path):
    with xr.open_zarr(path) as product:
        return json.loads(product.attrs[FILL])


def test_a_repeated_fill_is_finished_already_and_fits_nothing(filled, data):
    printed = io.StringIO()
    path = fill_without_model(data, filled[0], fitting=FITTING, console=Console(file=printed, width=1000))
    assert path == filled[0] and printed.getvalue() == f"{path} is finished already\n"
    with pytest.raises(InputError, match="exists; give another name, or overwrite"):
        fill_without_model(data, filled[0], fitting=FITTING, options=FillOptions(seed=1))


def test_observed_cells_stay_and_gaps_of_the_domain_are_filled(filled, gappy, domain):
    product = xr.open_zarr(filled[0]).load()
    seen = gappy.notnull().values
    np.testing.assert_array_equal(product.sst.values[seen], gappy.values[seen])
    np.testing.assert_array_equal(product.sst_source.values, np.where(seen, 0, np.where(domain, 1, 2)))
    assert (
        np.isfinite(product.sst.values[:, domain]).all() and np.isfinite(product.sst_std.values[~seen & domain]).all()
    )


def test_the_truth_lies_in_the_predicted_intervals(filled, truth, gappy, domain):
    product = xr.open_zarr(filled[0]).load()
    gaps = gappy.isnull().values & domain
    error, std = (product.sst - truth).values[gaps], product.sst_std.values[gaps]
    variability = (truth - truth.mean("time")).values[gaps]
    assert np.sqrt(np.mean(error**2)) < 0.5 * np.sqrt(np.mean(variability**2))
    assert 0.82 < np.mean(np.abs(error) < 1.645 * std) < 0.97
    # Errors rise with the predicted ones, so these are no constant.
    small, large = (part(std, [30, 70])[index] for part, index in ((np.percentile, 0), (np.percentile, 1)))
    assert np.sqrt(np.mean(error[std > large] ** 2)) > 1.3 * np.sqrt(np.mean(error[std < small] ** 2))


def test_the_product_and_the_messages_say_that_no_network_was_used(filled):
    path, model, printed = filled
    product = xr.open_zarr(path)
    assert settings_of(path)["network"] is False
    assert "without a network" in product.attrs["history"].splitlines()[0]
    assert "Gaussian posterior" in product.sst_std.attrs["comment"]
    assert load_model(model).network is None
    assert "error without a network" in printed and "the most that training might add" in printed


def test_a_fill_that_stopped_resumes_with_its_model(filled, data, tmp_path):
    """The fit is complete and the fill stops, first at a check, then after a task; the model is not fitted again."""
    out, options, begun = tmp_path / "filled.zarr", FillOptions(sizes=TaskSizes(dates=8)), []
    with pytest.raises(InputError, match="1950"):
        fill_without_model(data, out, fitting=FITTING, options=options, selection=Selection(time="1950"))
    kept = partial_folder(out) / "model"
    # The same seed gives the same model in another folder.
    assert digest(kept) == digest(filled[1])

    def begin(number):
        begun.append(number)
        if len(begun) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill_files.fill(data, kept, out, threads=1, begin=begin, sizes=options.sizes)
    with pytest.raises(InputError, match="with 2 finished tasks; give that command again to resume it"):
        fill_without_model(data, out, fitting=replace(FITTING, noise=0.1), options=options)
    printed = io.StringIO()
    fill_without_model(
        data, out, fitting=FITTING, options=options, workers=Workers(threads=1), console=Console(file=printed)
    )
    assert "first guess:" not in printed.getvalue() and "2 of 4" in printed.getvalue()
    assert not partial_folder(out).exists()
    assert settings_of(out)["model"] == settings_of(filled[0])["model"]
    whole = fill(data, filled[1], tmp_path / "whole.zarr", options=options)
    xr.testing.assert_equal(xr.open_zarr(out).load(), xr.open_zarr(whole).load())


def test_an_append_needs_the_model_that_was_kept(filled, gappy, domain, data, tmp_path):
    with pytest.raises(InputError, match="--save-model"):
        fill_without_model(data, filled[0], mode="append")
    short = write(gappy[:22], domain, tmp_path / "gappy.nc")
    out = fill(short, filled[1], tmp_path / "filled.zarr")
    write(gappy, domain, short)
    fill(short, filled[1], out, mode="append")
    xr.testing.assert_equal(open_field(out, variable="sst").compute(), open_field(filled[0], variable="sst").compute())


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--noise", "0.1"], "--noise"),
        (["--domain", "observed"], "--domain"),
        (["--save-model", "elsewhere"], "--save-model"),
        (["--operator", "cloud_mask"], "--operator"),
    ],
)
def test_a_given_model_is_not_fitted(filled, data, tmp_path, more, words):
    line = ["fill", str(data), "--model", str(filled[1]), "--out", str(tmp_path / "out.zarr"), *more]
    result = CliRunner().invoke(app, line)
    assert result.exit_code == 2 and f"{words} belongs to the fit of a model" in result.stderr


def test_a_model_is_not_replaced_by_chance(filled, data, tmp_path):
    with pytest.raises(InputError, match="holds a run already; fill with it by --model"):
        fill_without_model(
            data, tmp_path / "out.zarr", fitting=Fitting(save_model=filled[1]), options=FillOptions(seed=5)
        )
    assert not partial_folder(tmp_path / "out.zarr").exists()


def test_a_product_of_a_given_model_is_refused_before_the_fit(model, data, tmp_path):
    out = fill(data, save_model(tmp_path / "run", model), tmp_path / "out.zarr")
    printed = io.StringIO()
    with pytest.raises(InputError, match="overwrite it with --overwrite"):
        fill_without_model(data, out, fitting=FITTING, console=Console(file=printed))
    assert not printed.getvalue() and not partial_folder(out).exists()
