"""Tests of the accessors: methods give the results of the functions that they call."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import geogan
from geogan.archive import Standardiser, Withheld
from geogan.corruption import corrupt
from geogan.coverage import coverage
from geogan.fields.synthetic import synthetic_sst
from geogan.model import Model, save_model
from geogan.operators.cloud import CloudMask
from geogan.operators.errors import InputError
from geogan.prior import GaussianPrior


@pytest.fixture(scope="module")
def sea():
    return synthetic_sst(days=3, size=(24, 30), seed=2)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def product(sea):
    filled = sea[["sst"]].copy()
    source = xr.where(sea.sst.lon < -45, 1, 0).broadcast_like(sea.sst).astype("int8")
    source.attrs = {"flag_values": np.array([0, 1], "int8"), "flag_meanings": "observed filled"}
    return filled.assign(sst_source=source)


def test_corrupt_and_coverage(sea):
    operator = "cloud_mask:coverage=0.4,scale=5"
    gappy = sea.sst.geogan.corrupt(operator, seed=4)
    xr.testing.assert_identical(gappy, corrupt(sea.sst, operator, seed=4))
    whole = sea.geogan.corrupt(operator, seed=4)
    xr.testing.assert_identical(whole.sst, gappy)
    xr.testing.assert_identical(whole.sea_mask, sea.sea_mask)
    domain = sea.sea_mask.astype(bool)
    xr.testing.assert_identical(gappy.geogan.coverage(domain=domain), coverage(gappy, domain=domain))
    xr.testing.assert_identical(whole.geogan.coverage(), coverage(gappy))


@pytest.fixture(scope="module")
def run(sea, tmp_path_factory):
    """Save a model without a network: its first guess fills."""
    gappy = corrupt(sea.sst, "cloud_mask:coverage=0.4,scale=5", seed=4)
    domain = sea.sst.notnull().any("time").values
    model = Model(
        network=None,
        prior=GaussianPrior(length=8.0, persistence=3.0, noise=0.1),
        operator=CloudMask(coverage=0.4),
        standardiser=Standardiser(np.full((1, 1, *domain.shape), 15.0, "f4"), np.array([2.0]), "none", "mean"),
        domain=domain,
        withheld=Withheld(np.full((3, 1), -1), False),
        frames=3,
        variable="sst",
        units="degree_Celsius",
        y=gappy.lat.values.copy(),
        x=gappy.lon.values.copy(),
    )
    return save_model(tmp_path_factory.mktemp("accessor") / "run", model)


def test_fill_equals_that_of_the_reconstructor(sea, run):
    gappy = corrupt(sea.sst, "cloud_mask:coverage=0.4,scale=5", seed=4)
    expected = geogan.Reconstructor.load(run, device="cpu").fill(gappy, keep_observed=False)
    assert int(expected.sst.notnull().sum()) > int(gappy.notnull().sum())
    xr.testing.assert_identical(gappy.geogan.fill(run, keep_observed=False, device="cpu"), expected)
    whole = sea.assign(sst=gappy, ice=sea.sst * 0 + 1)
    # The model names its variable, of the two that the dataset holds.
    xr.testing.assert_identical(whole.geogan.fill(run, keep_observed=False, device="cpu"), expected)


def test_a_fill_without_a_model_fits_one(sea, run):
    sea = sea.isel(time=slice(0, 10), lat=slice(0, 12), lon=slice(0, 12))
    gappy = corrupt(sea.sst, CloudMask(coverage=0.4, scale=3.0), seed=1)
    expected = geogan.Reconstructor(network=None, device="cpu").fit(gappy, domain="all").fill(gappy)
    assert int(expected.sst.isnull().sum()) == 0
    filled = sea.assign(sst=gappy).geogan.fill(variable="sst", domain="all", device="cpu")
    xr.testing.assert_identical(filled, expected)
    with pytest.raises(InputError, match="has a domain of its own"):
        gappy.geogan.fill(run, domain=sea.sea_mask)
    with pytest.raises(InputError, match="has an operator of its own"):
        gappy.geogan.fill(run, operator="cloud_mask")


def test_blurred_measurements_are_deblurred_without_a_model(sea):
    """The operator says that observations are no values of the field."""
    blurred = corrupt(sea.sst[:6, :12, :12], "footprint:fwhm=3")
    for filled in (
        blurred.geogan.fill(operator="footprint:fwhm=3", device="cpu"),
        blurred.to_dataset().geogan.fill(operator="footprint:fwhm=3", device="cpu"),
    ):
        assert bool(((filled.sst_source == 1) == blurred.notnull()).all()) and not bool((filled.sst == blurred).any())


def test_plots(sea):
    assert sea.sst.geogan.plot(date="2015-01-03", coast=False).get_title() == "2015-01-03"
    titles = [ax.get_title(loc="left") for ax in product(sea).geogan.plot(date="2015-01-02").axes]
    assert titles[:3] == ["(a) observed", "(b) filled", "(c) source"]
    with pytest.raises(InputError, match=r"no filled product.*dataset\['sst'\]\.geogan\.plot\(\)"):
        sea.geogan.plot()


def test_one_of_several_variables_must_be_named(sea):
    two = sea.assign(ice=sea.sst * 0)
    with pytest.raises(InputError, match="several gridded variables"):
        two.geogan.coverage()
    assert float(two.geogan.coverage(variable="ice").max()) == 0
