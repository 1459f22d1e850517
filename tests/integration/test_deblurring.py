"""Blurred and gappy measurements become the field without blur: its product, its errors, its scores, its model file."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from geogan import Reconstructor, corrupt, evaluate
from geogan.fields.field import Field
from geogan.filling import plan_tasks
from geogan.filling.compose import FILLED, LAND
from geogan.filling.plan import TaskSizes
from geogan.model import load_model, prepare_archive, save_model
from geogan.operators.errors import InputError
from geogan.prior.gaussian import GaussianPrior

OPERATOR = ("convolve_noise:l=3,sigma=0.1", "remove_pixel:p=0.3")
TRUE = GaussianPrior(length=6.0, persistence=2.0)


@pytest.fixture(scope="module")
def field():
    """Fields of a known law with land in a corner."""
    nothing, random = torch.zeros(1, 10, 1, 18, 22), torch.Generator().manual_seed(3)
    drawn = TRUE.sample(nothing, nothing, torch.ones(18, 22), torch.arange(10.0), generator=random)
    values = 280 + drawn[0, :, 0].double().numpy()
    values[:, :5, :6] = np.nan
    dates = np.datetime64("2020-01-01", "ns") + np.arange(10) * np.timedelta64(1, "D")
    return xr.DataArray(values, {"time": dates}, ("time", "y", "x"), "t", {"units": "K"})


@pytest.fixture(scope="module")
def measured(field):
    return corrupt(field, OPERATOR, seed=1)


@pytest.fixture(scope="module")
def reconstructor(measured):
    return Reconstructor(OPERATOR, network=None, window=1, first_guess=TRUE, training={"prior_evaluations": 8}).fit(
        measured
    )


def test_the_product_is_the_field_without_blur(reconstructor, measured, field):
    product = reconstructor.fill(measured)
    error, std = (product.t - field).values, product.t_std.values
    sea, seen = field.notnull().values, measured.notnull().values
    assert (product.t_source.values == np.where(sea, FILLED, LAND)).all() and "blur" in product.t_source.attrs[
        "comment"
    ]
    assert np.isfinite(std[sea]).all() and "without the blur" in product.t_std.attrs["comment"]
    # Closer to the field than the measurements are, in their own cells.
    assert np.sqrt((error[seen] ** 2).mean()) < 0.8 * np.sqrt(((measured - field).values[seen] ** 2).mean())
    assert np.sqrt((std[sea] ** 2).mean()) == pytest.approx(np.sqrt((error[sea] ** 2).mean()), rel=0.2)


def test_withheld_measurements_are_compared_with_the_product_measured_again(reconstructor, measured):
    scores = evaluate(reconstructor, measured, methods="climatology,gaussian,model", members=4)
    rmse = dict(zip(scores["method"].values.tolist(), scores.rmse.values))
    noise = 0.1 * float(measured.std())
    assert noise < rmse["model"] < 2 * noise and rmse["model"] < rmse["climatology"]
    # Training subtracts the noise of the measurements.
    assert rmse["model"] == pytest.approx(np.hypot(reconstructor.model_.scores["withheld"], noise), rel=0.04)
    law = scores.sel({"method": "gaussian"})
    assert float(law.member_spread_skill) == pytest.approx(1, abs=0.35)


def test_with_a_truth_observed_cells_are_scored_too(reconstructor, measured, field):
    scores = evaluate(reconstructor, measured, truth=field, methods="model")
    assert int(scores.cells[0]) == int(field.notnull().sum())


def test_a_model_file_holds_the_blur_and_the_climatology_of_the_field(reconstructor, measured, tmp_path):
    model = reconstructor.model_
    save_model(tmp_path, model)
    loaded = load_model(tmp_path)
    assert loaded.prior == model.prior and loaded.prior.blur is not None
    np.testing.assert_array_equal(loaded.standardiser.fine, model.standardiser.fine)


def test_a_tile_reads_the_cells_that_its_measurements_depend_on(reconstructor, measured):
    model = reconstructor.model_
    archive, sizes = prepare_archive(model, Field.of(measured)), TaskSizes(tile=16, halo=0)
    for prior, is_wider in ((model.prior, True), (TRUE, False)):
        tile = plan_tasks(replace(model, prior=prior), archive, sizes=sizes).tile_columns[0]
        assert (tile.read.stop > tile.core.stop) == is_wider


def test_blurred_observations_cannot_be_kept(reconstructor, measured):
    with pytest.raises(InputError, match="keep_observed keeps values of the field, but the observations are blurred"):
        reconstructor.fill(measured, keep_observed=True)


def test_a_coarse_sensor_gives_the_fine_field(field):
    coarse = corrupt(field, "downsample:factor=2")
    reconstructor = Reconstructor(
        "downsample:factor=2", network=None, first_guess=TRUE, training={"prior_evaluations": 8}
    )
    product = reconstructor.fit(coarse).fill(coarse)
    error = (product.t - field).values
    assert np.isfinite(error[field.notnull().values]).mean() > 0.95
    # The value of a block in each of its cells.
    blocks = np.kron(coarse.values[:, 1::2, 1::2], np.ones((2, 2)))
    assert np.nanmean(error**2) < 0.7 * np.nanmean((blocks - field.values) ** 2)
