"""Companions of a field are brought to its dimensions by name, and refused on other cells or dates."""

import numpy as np
import pytest
import xarray as xr
from runs import QUICK, make_reconstructor

from geogan.fields.alignment import aligned, as_domain
from geogan.fields.field import Field
from geogan.fields.observation_error import observation_error
from geogan.io import as_field
from geogan.operators.errors import InputError
from geogan.presets import PRESETS
from geogan.training import Checkpoint


def small(**more):
    settings = {"window": 1, "width": 4, "crop": 16, "batch": 2, "steps": 1, "precision": "float32", "threads": 1}
    return make_reconstructor("cloud_mask:scale=5", **QUICK | settings | more)


@pytest.fixture
def mask(sea):
    return sea["sea_mask"]


def test_a_domain_is_put_in_order_by_the_names_of_its_dimensions(gappy, mask, domain):
    for given in (mask, mask.T, mask.astype(bool).T, mask.where(mask == 1), mask.expand_dims("depth"), mask.values,
                  mask.drop_vars(["lat", "lon"]).T, mask.rename(lat="latitude", lon="longitude").T):  # fmt: skip
        np.testing.assert_array_equal(as_domain(given, Field.of(gappy)), domain)
    fitted = small().fit(gappy, domain=mask.T)
    np.testing.assert_array_equal(fitted.model_.domain, domain)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda mask: mask[::-1], "the domain 'sea_mask' is on another grid than sst: lat"),
        (lambda mask: mask.assign_coords(lon=mask.lon + 40), "is on another grid than sst: lon"),
        (lambda mask: mask[2:], "the domain 'sea_mask' has the shape lat 18, lon 24, sst lat 20, lon 24; give it"),
        (lambda mask: mask.drop_vars(["lat", "lon"]).rename(lat="station"), "has the shape station 20"),
        (lambda mask: mask.expand_dims(time=3), "has the shape"),
        (lambda mask: mask * 100, "must hold 1 where the field exists and 0 elsewhere"),
        (lambda mask: mask - 0.5, "must hold 1"),
        (lambda mask: mask.astype(str), "must hold 1"),
        (lambda mask: mask.values[:-1], r"the domain has shape \(19, 24\), sst has \(20, 24\)"),
        (lambda mask: mask.values.T, r"the domain has shape \(24, 20\)"),
        (lambda mask: 0 * mask, "no value inside the domain"),
    ],
)
def test_other_domains_are_refused(gappy, mask, change, words, tmp_path):
    with pytest.raises(InputError, match=words) as error:
        small().fit(gappy, domain=change(mask), checkpoint=Checkpoint(tmp_path / "run"))
    assert "\n" not in str(error.value) and not (tmp_path / "run").exists()


def test_coverage_of_a_domain_on_other_cells_is_refused(gappy, mask):
    found = gappy.geogan.coverage(domain=mask)
    xr.testing.assert_identical(gappy.geogan.coverage(domain=mask.T), found)
    with pytest.raises(InputError, match="on another grid"):
        gappy.geogan.coverage(domain=mask.assign_coords(lat=mask.lat + 1))


def test_errors_are_put_in_order_and_compared(gappy, domain):
    error = xr.full_like(gappy, 0.1).rename("sst_error")
    straight = small().fit(gappy, domain=domain, error=error)
    turned = small().fit(gappy, domain=domain, error=error.transpose("lon", "time", "lat"))
    xr.testing.assert_identical(
        turned.fill(gappy, error=error.transpose("lat", "lon", "time")), straight.fill(gappy, error=error)
    )
    shifted = error.assign_coords(time=error.time + np.timedelta64(1, "D"))
    for wrong, words in (
        (error[:, ::-1], "sst_error is on another grid than sst: lat"),
        (shifted, "sst_error has other coordinates along time"),
        (error.assign_coords(lon=error.lon + 10), "sst_error is on another grid than sst: lon"),
    ):
        for call in (lambda e: small().fit(gappy, domain=domain, error=e), lambda e: straight.fill(gappy, error=e)):
            with pytest.raises(InputError, match=words):
                call(wrong)


def test_errors_of_several_variables_follow_their_names(gappy):
    field = xr.Dataset({"sst": gappy, "ssh": 0.1 * gappy})
    errors = xr.Dataset({"ssh_error": xr.full_like(gappy, 0.01), "sst_error": xr.full_like(gappy, 0.2)})
    known = observation_error(Field.of(as_field(field).array), error=as_field(errors).array)
    assert known.isel(variable=0).max() == pytest.approx(0.2)
    assert known.isel(variable=1).max() == pytest.approx(0.01)


def test_clean_fields_of_pairs_are_compared(gappy, truth, domain):
    whole = truth.where(truth.notnull(), 0.0)
    paired = small(**PRESETS["paired"])
    paired.fit(gappy, domain=domain, clean=whole.transpose("lat", "lon", "time"))
    for wrong, words in (
        (whole[:, ::-1], "on another grid than sst: lat"),
        (whole.assign_coords(time=whole.time + np.timedelta64(3, "D")), "other coordinates along time"),
    ):
        with pytest.raises(InputError, match=words):
            paired.fit(gappy, domain=domain, clean=wrong)
    # Unrelated fields may come from elsewhere.
    elsewhere = whole.assign_coords(lon=whole.lon + 10, time=whole.time + np.timedelta64(3, "D"))
    small(**PRESETS["unpaired"]).fit(gappy, domain=domain, clean=elsewhere)


def test_bands_keep_their_order():
    bands = xr.DataArray(np.zeros((2, 3, 4)), dims=("band", "y", "x"), coords={"band": ["red", "nir"]})
    assert aligned(bands.transpose("x", "y", "band"), Field.of(bands), called="it").dims == ("band", "y", "x")
    with pytest.raises(InputError, match="other coordinates along band"):
        aligned(bands[::-1], Field.of(bands), called="it")
