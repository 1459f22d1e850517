"""Transforms: text and back, values and back, moments against draws, bounds that hold in every type."""

import math

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import QUICK, make_reconstructor

from geogan import Reconstructor
from geogan.archive import Standardiser
from geogan.evaluation import Scoring, score_methods
from geogan.fields.band_transforms import transforms
from geogan.fields.field import Field
from geogan.fields.transforms import Transform, parse_transforms
from geogan.model import prepare_archive
from geogan.operators.errors import InputError

BOUNDED = ["bounded:0,1", "bounded:-40,60", "bounded:0.1,0.3", "bounded:0,inf", "bounded:-5,inf", "bounded:-inf,100"]
finite = st.floats(-1e6, 1e6, allow_nan=False)


@given(low=finite, width=st.floats(1e-6, 1e6), ends=st.sampled_from(["both", "low", "high"]))
def test_text_and_back(low, width, ends):
    high = math.inf if ends == "low" else low + width
    low = -math.inf if ends == "high" else low
    if not low < high:
        return
    transform = Transform("bounded", low, high)
    again = Transform.parse(str(transform))
    assert again.low == pytest.approx(low, rel=1e-14) and again.high == pytest.approx(high, rel=1e-14)
    assert transforms(f"log,{transform},none", 3) == ("log", str(transform), "none")


@pytest.mark.parametrize(
    ("text", "each"),
    [
        ("bounded:0,1", ["bounded:0,1"]),
        (" bounded: 0 , 1 , log", ["bounded:0,1", "log"]),
        ("bounded:0,,log", ["bounded:0,inf", "log"]),
        ("bounded:,100", ["bounded:-inf,100"]),
        ("none,bounded:-1e2,1e-3,bounded:0,inf,log", ["none", "bounded:-100,0.001", "bounded:0,inf", "log"]),
    ],
)
def test_bounds_have_a_comma_of_their_own(text, each):
    assert [str(transform) for transform in parse_transforms(text)] == each


@pytest.mark.parametrize(
    "text",
    ["bounded", "bounded:", "bounded:0", "bounded:1,0", "bounded:0,0", "bounded:0,log", "bounded:a,b", "bounded:nan,1",
     "bounded:,", "bounded:0,1,2", "bounded:0..1", "log:0,1", "", "none,", "bounded:-inf,inf"],
)  # fmt: skip
def test_what_is_no_transform(text):
    with pytest.raises(InputError, match=r"^transform [^\n]*(got '|needs)"):
        parse_transforms(text)


@settings(deadline=None)
@given(
    text=st.sampled_from(BOUNDED),
    share=st.lists(st.floats(0, 1), min_size=1, max_size=20),
    dtype=st.sampled_from(["f2", "f4", "f8"]),
)
def test_values_and_back(text, share, dtype):
    transform = Transform.parse(text)
    low = transform.low if math.isfinite(transform.low) else transform.high - 50
    high = transform.high if math.isfinite(transform.high) else transform.low + 50
    values = transform.clipped((low + (high - low) * np.array(share)).astype(dtype))
    moved = transform.forward(values)
    assert moved.dtype == np.float64 and np.isfinite(moved).all()
    np.testing.assert_allclose(transform.inverse(moved), values.astype(float), rtol=0, atol=1e-9 * (high - low))
    # Order is kept, and so are bounds.
    assert (np.diff(moved[np.argsort(values)]) >= 0).all()


@settings(deadline=None)
@given(text=st.sampled_from(BOUNDED), dtype=st.sampled_from(["f2", "f4", "f8"]), size=st.floats(-60, 60))
def test_nothing_leaves_the_bounds(text, dtype, size):
    """In double precision too, and for bounds that the type cannot represent."""
    transform = Transform.parse(text)
    found = transform.inverse(np.array([size, 0.0], dtype))
    assert found.dtype == dtype
    for value in found.tolist():
        assert transform.low <= value <= transform.high
    mean, std = transform.moments(np.array([size], np.float32), np.array([abs(size) / 3], np.float32))
    assert mean.dtype == std.dtype == np.float32 and std[0] >= 0 and np.isfinite([mean[0], std[0]]).all()
    assert transform.low <= mean.tolist()[0] <= transform.high


@pytest.mark.parametrize("text", [*BOUNDED, "log"])
@settings(deadline=None, max_examples=20)
@given(mean=st.floats(-4, 4), std=st.floats(0.02, 2))
def test_moments_are_those_of_draws(text, mean, std):
    transform = Transform.parse(text)
    std = min(std, 0.6) if text == "log" else std
    draws = transform.inverse(mean + std * np.random.default_rng(0).standard_normal(400_000))
    found = transform.moments(np.array(mean), np.array(std))
    # Where hardly a draw leaves a bound, few of them tell.
    width = transform.high - transform.low
    rare = 2e-3 * (width if math.isfinite(width) else 1.0)
    assert abs(found[0] - draws.mean()) < 0.01 * draws.std() + rare
    assert abs(found[1] - draws.std()) < 0.02 * draws.std() + rare


@pytest.mark.parametrize("text", BOUNDED)
def test_errors_go_there_and_back(text):
    """First order inside the bounds; finite errors stay finite at a bound, infinite ones infinite."""
    transform = Transform.parse(text)
    low = transform.low if math.isfinite(transform.low) else transform.high - 2
    high = transform.high if math.isfinite(transform.high) else transform.low + 2
    inner = low + (high - low) * np.array([0.2, 0.5, 0.8])
    error = np.full(3, 1e-4 * (high - low))
    np.testing.assert_allclose(transform.unspread(transform.spread(error, inner), inner), error, rtol=1e-3)
    at = np.array([low, high])
    assert (transform.spread(error[:2], at) > 0).all() and np.isfinite(transform.spread(error[:2], at)).all()
    assert np.isinf(transform.spread(np.array([np.inf, np.inf]), at)).all()


def test_one_standardiser_has_bounds_in_some_bands():
    random = np.random.default_rng(0)
    values = np.stack([random.normal(15, 3, (40, 3, 4)), np.clip(random.normal(0.3, 0.6, (40, 3, 4)), 0, 1)], 1)
    fitted = Standardiser(np.zeros((1, 2, 3, 4), "f4"), np.array([2.0, 0.5]), "none,bounded:0,1")
    anomaly = fitted.forward(values, None)
    np.testing.assert_allclose(fitted.inverse(anomaly, None), values, atol=1e-9)
    mean, std = fitted.moments(anomaly.astype("f4"), np.full(values.shape, 0.3, "f4"), None)
    np.testing.assert_allclose(std[:, 0], 0.6, rtol=1e-6)
    assert mean[:, 1].min() >= 0 and mean[:, 1].max() <= 1 and std[:, 1].max() < 0.1
    assert fitted.neutral.ravel().tolist() == [1.0, 0.5]
    assert fitted.clipped(np.full((1, 2, 3, 4), 7.0))[:, 1].max() == 1
    with pytest.raises(InputError, match=r"needs values from 0 to 1, but the field goes from -?\d"):
        fitted.forward(values + 0.1, None)
    with pytest.raises(InputError, match="transform names 2 bands, the field has 1"):
        Standardiser(np.zeros((1, 1, 3, 4), "f4"), np.ones(1), "none,bounded:0,1")


SMALL = {"window": 1, "width": 4, "crop": 16, "batch": 2, "steps": 2, "precision": "float32", "threads": 1, **QUICK}


def small(transform, operator="cloud_mask:scale=5"):
    return make_reconstructor(operator, transform=transform, **SMALL)


def ice(gappy):
    """Return a fraction that is 0 in some cells and 1 in others."""
    share = ((gappy - float(gappy.quantile(0.2))) / float(gappy.quantile(0.8) - gappy.quantile(0.2))).clip(0, 1)
    return share.rename("siconc").assign_attrs(units="1", standard_name="sea_ice_area_fraction").astype("f4")


@pytest.mark.parametrize(("factor", "dtype"), [(1, "f4"), (100, "f8")])
def test_fractions_are_filled_inside_their_bounds(gappy, domain, tmp_path, factor, dtype):
    field = (factor * ice(gappy)).astype(dtype).assign_attrs(units="1" if factor == 1 else "%")
    fitted = small(f"bounded:0,{factor}").fit(field, domain=domain)
    assert fitted.model_.scores["units"] == ("" if factor == 1 else "%")
    assert 0 < fitted.model_.scores["first_guess"] < factor
    fitted.save(tmp_path)
    again = Reconstructor.load(tmp_path)
    assert again.transform == again.model_.standardiser.transform == f"bounded:0,{factor}"
    product = again.fill(field, members=4)
    seen = field.notnull().values
    np.testing.assert_array_equal(product.siconc.values[seen], field.values[seen])
    for name in ("siconc", "siconc_member"):
        values = product[name].values[np.isfinite(product[name].values)]
        assert values.min() >= 0 and values.max() <= factor
    spread = product.siconc_std.values[np.isfinite(product.siconc_std.values)]
    assert (
        spread.min() >= 0
        and spread.max() <= factor / 2
        and np.isfinite(product.siconc_std.values[~seen & domain]).all()
    )
    limit = float(np.median(spread))
    refused = again.fill(field, max_error=limit)
    np.testing.assert_array_equal(refused.siconc_source.values == 3, (product.siconc_std.values > limit) & ~seen)


def test_what_has_one_bound_stays_on_its_side(gappy, domain):
    rain = ((gappy - 14).clip(0) ** 2).rename("rain").assign_attrs(units="mm h-1")
    product = small("bounded:0,inf").fit(rain, domain=domain).fill(rain, members=2)
    assert float(product.rain.min()) >= 0 and float(product.rain_member.min()) >= 0


def test_scores_of_fractions_are_fractions(gappy, domain):
    field = ice(gappy)
    model = small("bounded:0,1").fit(field, domain=domain).model_
    archive = prepare_archive(model, Field.of(field), withheld=True)
    scoring = Scoring("climatology,dineof,gaussian,model", members=2)
    rows = score_methods({"model": model}, archive, scoring, threads=1)
    assert [row.method for row in rows] == ["climatology", "dineof", "gaussian", "model"]
    for row in rows:
        assert 0 < row.score.rmse < 0.7 and row.score.share == 1
    assert 0 < rows[-1].law.spread < 0.7 and 0 <= rows[-1].law.coverage[0.9] <= 1
    assert rows[2].members.ranks


@pytest.mark.parametrize("field", ["one", "two"])
def test_values_outside_their_bounds_are_refused(gappy, domain, field):
    share = ice(gappy)
    if field == "two":
        share = xr.concat([share, gappy.rename("siconc")], xr.Variable("band", ["ice", "sst"]))
        share = share.transpose("time", "band", "lat", "lon")
    with pytest.raises(
        InputError, match=r"^transform bounded:0,0.5 needs values from 0 to 0.5, but (band ice of )?siconc"
    ):
        small("bounded:0,0.5" + ",none" * (field == "two")).fit(share, domain=domain)


def test_later_dates_outside_their_bounds_are_refused(gappy, domain):
    field = ice(gappy)
    fitted = small("bounded:0,1").fit(field, domain=domain)
    with pytest.raises(InputError, match="needs values from 0 to 1, but the field goes from 0 to 1.5"):
        fitted.fill(1.5 * field)


def test_noisy_fractions_are_estimated_inside_their_bounds(gappy, domain):
    field = ice(gappy)
    fitted = make_reconstructor("cloud_mask:scale=5", transform="bounded:0,1", noise=0.05, **SMALL).fit(
        field, domain=domain
    )
    filled = fitted.fill(field)
    inside = filled.siconc.values[:, domain]
    assert np.isfinite(inside).all() and inside.min() >= 0 and inside.max() <= 1
    assert float(filled.siconc_std.where(field.notnull()).median()) <= 0.06


def test_a_scene_of_fractions(gappy):
    scene = ice(gappy).isel(time=8, drop=True)
    values = small("bounded:0,1").fit(scene).fill(scene).siconc.values
    assert np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1
