"""DINEOF recovers fields of few modes, follows its definition, and agrees with the authors' reference run."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from geogan.evaluation.baselines import dineof as module
from geogan.evaluation.baselines.dineof import Truncation
from geogan.operators.errors import InputError

ALBORAN = Path(__file__).parents[4] / "shared" / "data" / "alboran-dineof"
DOMAIN = np.ones((7, 9), bool)
DOMAIN[2:4, :3] = False
DAYS = np.delete(np.arange(44.0), [3, 4, 17, 30])


def split(options):
    """Return the arguments of the functions, with the settings of the truncation in one object."""
    arguments = {name: options.pop(name) for name in ("days", "held_out", "seed") if name in options}
    return arguments | {"truncation": Truncation(**options)}


def dineof(values, *, domain, **options):
    return module.dineof(values, domain=domain, **split(options))


def decompose(values, *, domain, **options):
    return module.decompose(values, domain=domain, **split(options))


def low_rank(dates=40, modes=3, seed=0):
    random = np.random.default_rng(seed)
    weight = 2.0 ** -np.arange(modes)
    return 15 + np.einsum("tk,kyx->tyx", random.normal(size=(dates, modes)) * weight, random.normal(size=(modes, 7, 9)))


def gappy(truth, share=0.4, seed=1):
    return np.where(np.random.default_rng(seed).random(truth.shape) < share, np.nan, truth)


def plain(values, *, modes, days=None, alpha=0.0, numit=0, rounds):
    """Return the result of the definition, with a full decomposition in each round; every cell is in the domain."""
    x = values.reshape(len(values), -1).T
    gaps = np.isnan(x)
    mean = x[~gaps].mean()
    x = np.where(gaps, 0, x - mean)
    diffused = np.eye(len(values))
    for _ in range(numit):
        flow = alpha * np.diff(diffused, axis=0) / np.diff(days)[:, None]
        edges = np.concatenate(
            [[1.5 * days[0] - days[1] / 2], (days[1:] + days[:-1]) / 2, [1.5 * days[-1] - days[-2] / 2]]
        )
        diffused = diffused + np.diff(np.pad(flow, ((1, 1), (0, 0))), axis=0) / np.diff(edges)[:, None]
    for number in range(1, modes + 1):
        for _ in range(rounds):
            square, v = np.linalg.eigh(diffused @ x.T @ x @ diffused.T)
            square, v = square[::-1][:number], v[:, ::-1][:, :number]
            u = x @ v
            estimate = u / np.linalg.norm(u, axis=0) * np.sqrt(square) @ v.T
            x[gaps] = estimate[gaps]
    return mean + x.T.reshape(values.shape), np.sqrt(square)


def test_a_field_of_few_modes_is_recovered_in_the_gaps():
    truth = low_rank()
    filled = dineof(gappy(truth), domain=DOMAIN, modes=4, tolerance=1e-9, rounds=3000)
    np.testing.assert_allclose(filled[:, DOMAIN], truth[:, DOMAIN], atol=1e-5)


def test_cross_validation_finds_the_number_of_modes():
    truth = low_rank(modes=2)
    noisy = truth + np.random.default_rng(5).normal(0, 0.05, truth.shape)
    eofs = decompose(gappy(noisy), domain=DOMAIN, tolerance=1e-5, rounds=1000)
    # Two, and up to two small ones: from the mean that was removed, and by chance of the few held-out observations.
    assert 2 <= len(eofs.singular_values) <= 4
    assert 0.04 < eofs.expected_errors.min() < 0.08
    assert eofs.expected_errors[0] > 5 * eofs.expected_errors.min()
    assert eofs.expected_errors[-1] > 1.3 * eofs.expected_errors.min()


@pytest.mark.parametrize("filtered", [False, True])
def test_the_subspace_iteration_equals_the_definition(filtered):
    truth = low_rank(modes=8) + np.random.default_rng(3).normal(0, 0.1, (40, 7, 9))
    values, everywhere = gappy(truth), np.ones_like(DOMAIN)
    days = {"days": DAYS, "alpha": 0.2} if filtered else {}
    expected, singular_values = plain(values, modes=3, rounds=400, **days, numit=2 * filtered)
    same = {"modes": 3, "tolerance": 1e-12, "rounds": 400, **days, "filter_rounds": 2}
    eofs = decompose(values, domain=everywhere, **same)
    np.testing.assert_allclose(eofs.singular_values, singular_values, rtol=1e-6)
    np.testing.assert_allclose(dineof(values, domain=everywhere, **same), expected, atol=1e-5)


def test_modes_are_orthonormal_and_explain_the_variance():
    eofs = decompose(gappy(low_rank()), domain=DOMAIN, modes=3)
    spatial = eofs.spatial[:, DOMAIN]
    np.testing.assert_allclose(spatial @ spatial.T, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(eofs.temporal.T @ eofs.temporal, np.eye(3), atol=1e-10)
    assert (np.diff(eofs.singular_values) < 0).all()
    assert 0.95 < eofs.explained_variance.sum() < 1.0001


def test_observed_cells_are_kept_bit_for_bit_and_values_on_land_are_ignored():
    values = gappy(low_rank()).astype("float32")
    filled = dineof(values, domain=DOMAIN, days=DAYS)
    observed = np.isfinite(values) & DOMAIN
    assert filled.dtype == "float32"
    np.testing.assert_array_equal(filled[observed], values[observed])
    assert np.isfinite(filled[:, DOMAIN]).all()
    assert np.isnan(filled[:, ~DOMAIN]).all()
    wild = np.where(DOMAIN, values, np.float32(1e6))
    np.testing.assert_array_equal(dineof(wild, domain=DOMAIN, days=DAYS), filled)


@settings(max_examples=15, deadline=None)
@given(scale=st.floats(0.01, 100), sign=st.sampled_from([-1, 1]), offset=st.floats(-300, 300))
def test_units_do_not_matter(scale, sign, offset):
    values = gappy(low_rank())
    expected = sign * scale * dineof(values, domain=DOMAIN, days=DAYS, most_modes=4) + offset
    filled = dineof(sign * scale * values + offset, domain=DOMAIN, days=DAYS, most_modes=4)
    np.testing.assert_allclose(filled, expected, atol=1e-6 * scale, rtol=1e-9)


@settings(max_examples=10, deadline=None)
@given(unit=st.sampled_from([24.0, 1 / 365, 2.0]), start=st.integers(-5000, 5000))
def test_the_unit_and_the_origin_of_time_do_not_matter(unit, start):
    values = gappy(low_rank())
    expected = dineof(values, domain=DOMAIN, days=DAYS, modes=3, alpha=0.1)
    np.testing.assert_allclose(
        dineof(values, domain=DOMAIN, days=unit * DAYS + start, modes=3, alpha=0.1), expected, atol=1e-6
    )


def test_without_dates_their_order_does_not_matter():
    values, order = gappy(low_rank(dates=12)), np.random.default_rng(4).permutation(12)
    filled = dineof(values, domain=DOMAIN, modes=3)
    np.testing.assert_allclose(dineof(values[order], domain=DOMAIN, modes=3), filled[order], atol=1e-9)


def test_the_filter_removes_noise_of_single_dates():
    random = np.random.default_rng(6)
    truth = 15 + 3 * np.sin(DAYS / 8)[:, None, None] * random.normal(size=(7, 9))
    values = gappy(truth + random.normal(0, 1.0, truth.shape), 0.8)
    hidden = np.isnan(values) & DOMAIN
    errors = [
        np.sqrt(np.square(dineof(values, domain=DOMAIN, days=DAYS, modes=4, alpha=alpha) - truth)[hidden].mean())
        for alpha in (0.0, 0.1)
    ]
    assert errors[1] < 0.8 * errors[0]


def test_unobserved_dates_are_interpolated_and_unobserved_cells_get_the_mean():
    trend = 10 + 0.2 * DAYS[:, None, None] * np.linspace(0, 1, 63).reshape(7, 9)
    values = gappy(trend, 0.2)
    values[[9, 20, 21]] = np.nan
    values[:, 5, 5] = np.nan
    mean = np.nanmean(values[:, DOMAIN])
    exact = {"domain": DOMAIN, "modes": 2, "tolerance": 1e-9, "rounds": 3000}
    filled = dineof(values, days=DAYS, alpha=0.0, **exact)
    elsewhere = DOMAIN.copy()
    elsewhere[5, 5] = False
    np.testing.assert_allclose(filled[:, elsewhere], trend[:, elsewhere], atol=1e-4)
    np.testing.assert_allclose(filled[:, 5, 5], mean)
    np.testing.assert_allclose(dineof(values, **exact)[20][DOMAIN], mean)


def test_few_observations_are_enough():
    nothing = np.full((4, 7, 9), np.nan)
    assert np.isnan(dineof(nothing, domain=DOMAIN)).all()
    assert dineof(nothing[:0], domain=DOMAIN).shape == (0, 7, 9)
    one = nothing.copy()
    one[2, 0, 0] = 3.0
    for values in (one, np.where(np.isnan(gappy(np.ones_like(nothing))), np.nan, 3.0), one[2:3]):
        np.testing.assert_allclose(dineof(values, domain=DOMAIN, days=np.arange(len(values)))[:, DOMAIN], 3.0)


def test_held_out_observations_choose_the_number_of_modes_and_are_then_used():
    truth = low_rank() + np.random.default_rng(5).normal(0, 0.05, (40, 7, 9))
    values = gappy(truth)
    clouds = np.zeros(values.shape, bool)
    clouds[::7, :4, 3:7] = True
    eofs = decompose(values, domain=DOMAIN, held_out=clouds, tolerance=1e-6)
    scored = clouds & np.isfinite(values) & DOMAIN
    shown = np.where(scored, np.nan, values)
    error = dineof(shown, domain=DOMAIN, modes=len(eofs.singular_values), tolerance=1e-6) - values
    assert eofs.expected_errors.min() == pytest.approx(np.sqrt(np.square(error)[scored].mean()), rel=0.02)
    again = decompose(values, domain=DOMAIN, modes=len(eofs.singular_values), tolerance=1e-6)
    np.testing.assert_allclose(eofs.singular_values, again.singular_values, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"days": np.zeros(40)}, "days must be 40 increasing"),
        ({"modes": 0}, "modes must be 1 to 40"),
        ({"modes": 41}, "modes must be 1 to 40"),
        ({"modes": 2, "held_out": np.ones((40, 7, 9), bool)}, "give modes or held_out"),
        ({"held_out": np.ones((40, 7, 9))}, "held_out must be a mask"),
        ({"held_out": np.ones((7, 9), bool)}, "held_out must be a mask"),
        ({"held_out": np.ones((40, 7, 9), bool)}, "hide some observations and leave some"),
        ({"held_out": np.zeros((40, 7, 9), bool)}, "hide some observations and leave some"),
        ({"alpha": 0.6}, "alpha must lie in"),
        ({"filter_rounds": -1}, "filter_rounds must be"),
        ({"tolerance": 0.0}, "tolerance must be"),
        ({"rounds": 0}, "rounds and most_modes"),
        ({"most_modes": 0}, "rounds and most_modes"),
    ],
)
def test_errors(options, message):
    with pytest.raises(InputError, match=message):
        dineof(gappy(low_rank()), domain=DOMAIN, **options)


def test_a_record_without_observations_has_no_modes():
    with pytest.raises(InputError, match="must have an observation"):
        decompose(np.full((4, 7, 9), np.nan), domain=DOMAIN)


@pytest.fixture(scope="module")
def alboran():
    if not ALBORAN.is_dir():
        pytest.skip(f"the reference run of DINEOF is not at {ALBORAN}")
    with xr.open_dataset(ALBORAN / "alboranSST_small.nc", decode_times=False) as dataset:
        return dataset["SST"].values, dataset["mask"].values == 1, dataset["time"].values


def test_the_reference_run_is_reproduced(alboran):
    values, sea, days = alboran
    reference = json.loads((ALBORAN / "reference.json").read_text())
    # Two and three modes have equal errors in the reference, 0.4446 and 0.4445: the points of this seed choose three.
    eofs = decompose(values, domain=sea, days=days, most_modes=5, seed=3)
    # The held-out points of the reference are not known: over 24 seeds the errors scatter by 2 % around 0.502, 0.437,
    # 0.440, 0.478 and 0.460, and the reference is 0.5 to 1.3 standard deviations from these.
    expected = list(reference["expected_error_by_number_of_modes"].values())
    np.testing.assert_allclose(eofs.expected_errors, expected, rtol=0.08)
    assert eofs.mean == pytest.approx(reference["matrix"]["mean"], abs=1e-4)
    np.testing.assert_allclose(eofs.singular_values, reference["singular_values"], rtol=0.01)
    np.testing.assert_allclose(100 * eofs.explained_variance, reference["variance_explained_percent"], atol=0.25)
    with xr.open_dataset(ALBORAN / "reference" / "eof.nc") as modes:
        spatial, scale, temporal = (modes[name].values for name in ("Usst", "Sigma", "V"))
    assert (np.abs((spatial[:, sea] * eofs.spatial[:, sea]).sum(1)) > 0.985).all()
    assert (np.abs((temporal * eofs.temporal.T).sum(1)) > 0.999).all()
    theirs = 18.797 + np.einsum("ks,k,kt->ts", spatial[:, sea], scale, temporal)
    ours = eofs.mean + eofs.temporal * eofs.singular_values @ eofs.spatial[:, sea]
    # The authors' program replaces the held-out points by estimates in its last reconstruction, so that a tenth of the
    # cells differ.
    apart = np.sqrt(np.square(ours - theirs).mean(0))
    assert np.median(apart) < 0.004
    assert (apart > 0.05).mean() < 0.08


def test_the_error_under_clouds_of_other_dates_is_that_of_the_authors_program(alboran):
    values, sea, days = alboran
    seen = np.isfinite(values) & sea
    hidden = seen & ~np.roll(seen, -4, axis=0)
    hidden[hidden.sum((1, 2)) >= 0.9 * seen.sum((1, 2))] = False
    filled = dineof(np.where(hidden, np.nan, values), domain=sea, days=days, most_modes=5)
    assert np.sqrt(np.square(filled - values)[hidden].mean()) == pytest.approx(0.502, abs=0.003)
