"""Covariates are standardised over the domain, cut with the grid, kept with the model, and refused in one sentence."""

import dataclasses

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import QUICK, make_reconstructor, train

import geogan
from geogan.archive import Archive, Standardiser
from geogan.fields.covariates import Covariates, distance_to_coast, named
from geogan.fields.field import Field
from geogan.filling import fill_field
from geogan.model import load_model, prepare_archive, save_model
from geogan.operators.errors import InputError
from geogan.pipelines.train import resume
from geogan.training.windows import WindowSampler

NAMES = ("day_of_year", "latitude", "distance_to_coast", "depth")


@pytest.fixture(scope="module")
def depth(truth, domain):
    """Return a depth that grows to the south-east, unknown on land."""
    y, x = np.indices(domain.shape)
    values = np.where(domain, 100 + 30.0 * x + y**2, np.nan)
    return truth[0].drop_vars("time").copy(data=values).rename("depth")


@pytest.fixture(scope="module")
def covariates(gappy, domain, depth):
    return Covariates.of(NAMES, Field.of(gappy, domain=domain), {"depth": depth})


def small(covariates=(), **more):
    settings = {"window": 1, "width": 4, "crop": 16, "batch": 2, "steps": 4, "precision": "float32", "threads": 1}
    return make_reconstructor("cloud_mask:scale=5", covariates=covariates, **QUICK | settings | more)


def test_maps_have_mean_0_and_deviation_1_over_the_domain_and_are_0_on_land(covariates, domain, gappy):
    assert covariates.names == NAMES and covariates.channels == 5 and covariates.maps.shape == (3, *domain.shape)
    inside = covariates.maps[:, domain]
    np.testing.assert_allclose(inside.mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(inside.std(1), 1, rtol=1e-5)
    assert (covariates.maps[:, ~domain] == 0).all()
    latitude = np.broadcast_to(np.sin(np.deg2rad(gappy.lat.values))[:, None], domain.shape)[domain]
    assert np.corrcoef(latitude, covariates.maps[0][domain])[0, 1] == pytest.approx(1)


def test_the_day_of_the_year_goes_round(covariates, domain):
    phase = np.linspace(0, 365.2425, 401)[:-1]
    season = covariates.films(phase, domain, slice(None), slice(None), dates=400)[:, :2]
    np.testing.assert_allclose((season[:, :, domain] ** 2).sum(1), 2, rtol=1e-5)
    np.testing.assert_allclose(season[:, :, domain].std(0), 1, rtol=1e-4)
    assert np.abs(np.diff(season, axis=0)).max() < 0.03 and np.abs(season[0] - season[-1]).max() < 0.03
    assert (season[:, :, ~domain] == 0).all()


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 999), height=st.integers(3, 8), width=st.integers(3, 8))
def test_distance_to_coast_is_that_of_the_nearest_cell_outside(seed, height, width):
    domain = np.random.default_rng(seed).random((height, width)) < 0.8
    domain[0, 0] = False
    outside = np.argwhere(~domain)
    for cell in np.argwhere(domain):
        nearest = np.sqrt(((outside - cell) ** 2).sum(1).min())
        assert distance_to_coast(domain)[tuple(cell)] == pytest.approx(np.log(nearest))


def test_names_are_told_apart_by_commas_too():
    assert named("day_of_year,depth") == named(["day_of_year", "depth,day_of_year"]) == ("day_of_year", "depth")
    assert named(()) == ()


def test_rows_and_columns_in_another_order_are_one_map(gappy, domain, depth, covariates):
    turned = Covariates.of(
        NAMES, Field.of(gappy, domain=domain), xr.Dataset({"depth": depth.transpose()}).expand_dims(time=[0])
    )
    np.testing.assert_array_equal(turned.maps, covariates.maps)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("depth", lambda d: d[:, 1:], "'depth' .20 cells along lat .* 23 cells along lon .* on another grid than sst"),
        ("depth", lambda d: d[::-1], "'depth' .* is on another grid than sst .*; interpolate it to that grid"),
        ("depth", lambda d: d.where(d > 400), r"no value on \d+ of \d+ cells of the domain; fill its gaps, or"),
        ("depth", lambda d: d.expand_dims(time=3), "'depth' has 3 entries along time, .* give one for each"),
        ("depth", lambda d: d.astype(str), "'depth' has type .*, where numbers on a static map"),
        ("depth", lambda d: 0 * d, "'depth' is the same in the whole domain; leave it out"),
        ("slope", lambda d: d, "'slope'; choose from day_of_year, .*, distance_to_coast, or .* data: depth"),
    ],
)  # fmt: skip
def test_what_is_no_covariate_is_refused(gappy, domain, depth, name, change, words):
    with pytest.raises(InputError, match=words) as refused:
        Covariates.of(name, Field.of(gappy, domain=domain), {"depth": change(depth)})
    assert "\n" not in str(refused.value)


def test_what_a_field_cannot_tell_is_refused(gappy, domain):
    bare = gappy.drop_vars(["time", "lat", "lon"]).rename(lat="y", lon="x")
    for name, words in (("day_of_year", "day_of_year needs dates, but sst has none"), ("latitude", "along y, but sst")):
        with pytest.raises(InputError, match=words):
            Covariates.of(name, Field.of(bare, domain=domain))
    with pytest.raises(InputError, match="distance_to_coast needs a coast, but every cell is in the domain"):
        Covariates.of("distance_to_coast", Field.of(gappy, domain=np.ones_like(domain)))
    with pytest.raises(InputError, match="no covariate is named 'depth'; .* of the data, which have none"):
        Covariates.of("depth", Field.of(gappy, domain=domain))


def test_windows_are_shown_their_own_place_and_their_middle_day(gappy, domain, covariates):
    """Static maps encode the cells of a window, mirrored or not, and must match its domain."""
    y, x = np.indices(domain.shape).astype(np.float32)
    where = Covariates(("day_of_year", "y", "x"), np.stack([y, x]))
    archive = dataclasses.replace(
        Archive.of(Field.of(gappy, domain=domain), Standardiser.identity(1, domain)), covariates=where
    )
    block = archive.read(slice(4, 12), slice(2, 20), slice(1, 23))
    windows = WindowSampler(3, (7, 9)).draw([block], 30, torch.Generator().manual_seed(0))
    season, rows, columns = windows.covariates.split([2, 1, 1], 1)
    assert {int(torch.sign(part[0, -1, 0] - part[0, 0, 0])) for part in rows} == {-1, 1}
    assert torch.equal(windows.domain[:, 0], torch.from_numpy(domain[rows.long(), columns.long()]).float())
    phases = xr.DataArray(gappy.time.dt.dayofyear.values - 1.0 + 0.5 * (gappy.time.dt.hour.values == 12))
    for window in range(30):
        (date,) = np.flatnonzero(archive.days == float(windows.days[window, 1]))
        angle = 2 * np.pi * float(phases[date]) / 365.2425
        inside = windows.domain[window, 0, 0] > 0
        np.testing.assert_allclose(season[window, 0][inside], np.sqrt(2) * np.cos(angle), atol=1e-3)


def test_a_model_keeps_its_covariates(gappy, domain, depth, tmp_path):
    fitted = small(NAMES, members=2).fit(gappy, domain=domain, covariates={"depth": depth})
    torch.nn.init.normal_(fitted.model_.network.leave.weight, std=0.05)
    again = geogan.Reconstructor.load(fitted.save(tmp_path / "run"))
    assert again.model_.covariates.names == NAMES and tuple(again.covariates) == NAMES
    np.testing.assert_array_equal(again.model_.covariates.maps, fitted.model_.covariates.maps)
    whole = fitted.fill(gappy, members=2)
    xr.testing.assert_identical(again.fill(gappy, members=2), whole)
    # They count, and a part of the grid is shown its own.
    turned = dataclasses.replace(fitted.model_.covariates, maps=-fitted.model_.covariates.maps)
    other = dataclasses.replace(fitted.model_, covariates=turned)
    assert float(abs(fill_field(other, Field.of(gappy)).sst - whole.sst).max()) > 1e-4
    part = prepare_archive(fitted.model_, Field.of(gappy[:, 4:, 8:]))
    np.testing.assert_array_equal(part.covariates.maps, fitted.model_.covariates.maps[:, 4:, 8:])
    with pytest.raises(InputError, match="day_of_year needs dates, but sst has none"):
        fitted.fill(gappy.drop_vars("time"))


def test_without_covariates_nothing_changes(gappy, domain, depth, tmp_path):
    """Maps that are not asked for are ignored, and models without covariates are read."""
    plain, beside = (small().fit(gappy, domain=domain, covariates=maps) for maps in (None, {"depth": depth}))
    assert plain.model_.covariates is None and plain.model_.network.extras == 0
    for name, value in plain.model_.network.state_dict().items():
        assert torch.equal(value, beside.model_.network.state_dict()[name])
    save_model(tmp_path, plain.model_)
    assert load_model(tmp_path).covariates is None


def test_a_static_variable_of_the_archive(gappy, domain, depth, tmp_path):
    """A covariate in the data does not count as the variable to fill; a resumed run has it in its model."""
    dataset = xr.Dataset({"sst": gappy, "depth": depth, "sea": (depth.dims, domain.astype("i1"))})
    dataset.to_netcdf(tmp_path / "sea.nc")
    settings = {
        "domain": "sea",
        "window": 1,
        "width": 4,
        "crop": 16,
        "batch": 2,
        "precision": "float32",
        "threads": 1,
        **QUICK,
    }
    out = train(tmp_path / "sea.nc", out=tmp_path / "run", covariates=["day_of_year,depth"], steps=1, **settings)
    assert load_model(out).covariates.names == ("day_of_year", "depth")
    resume(out, {"steps": 2})
    filled = geogan.Reconstructor.load(out).fill(gappy)
    assert int(filled.sst.isnull().sum()) == int((~domain).sum()) * gappy.sizes["time"]
    with pytest.raises(InputError, match="no covariate is named 'slope'; .* of the data: depth"):
        train(
            tmp_path / "sea.nc",
            out=tmp_path / "other",
            variable="sst",
            covariates=["slope"],
            steps=1,
            **settings,
        )
    with pytest.raises(InputError, match="covariate 'sst' is the field itself; leave it out"):
        train(
            tmp_path / "sea.nc",
            out=tmp_path / "other",
            variable="sst",
            covariates=["sst"],
            steps=1,
            **settings,
        )
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("generator", ["unet", "sagan"])
def test_both_generators_hear_them(gappy, domain, generator):
    fitted = small(("latitude",), generator=generator, steps=1).fit(gappy, domain=domain)
    assert fitted.model_.network.extras == fitted.model_.error.extras == 1


def test_the_coast_may_lie_across_the_seam():
    sea = np.ones((9, 20), bool)
    sea[:, 0] = False
    flat, round_ = (distance_to_coast(sea, is_periodic=each) for each in (False, True))
    np.testing.assert_allclose(round_[4, 1:], round_[4, 1:][::-1])
    np.testing.assert_allclose(flat[4, :11], round_[4, :11])
    assert flat[4, 19] > round_[4, 19] == 0
    turned = distance_to_coast(np.roll(sea, 7, 1), is_periodic=True)
    np.testing.assert_allclose(np.roll(turned, -7, 1), round_)
