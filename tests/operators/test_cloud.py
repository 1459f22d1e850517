"""Fractal clouds."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from geogan.operators.cloud import CloudMask
from geogan.operators.cloud_motion import motion_of
from geogan.operators.errors import InputError
from geogan.operators.fractal import amplitudes, correlation, fields, half_distance, white


def draw(operator: CloudMask, *shape: int, seed: int = 0) -> np.ndarray:
    """Return hidden cells (B, T, H, W)."""
    batch, frames, height, width = shape
    theta = operator.sample((batch, frames, 1, height, width), generator=torch.Generator().manual_seed(seed))
    assert isinstance(theta, torch.Tensor)
    return ~theta[:, :, 0].numpy()


def together(a: np.ndarray, b: np.ndarray, mean: float) -> float:
    """Return the correlation of two masks of known mean."""
    return float(((a - mean) * (b - mean)).mean() / (mean * (1 - mean)))


@pytest.mark.parametrize("slope", [2.5, 3.0, 4.0])
@pytest.mark.parametrize(("length", "aspect"), [(3.0, 1.0), (15.0, 1.0), (60.0, 1.0), (6.0, 4.0), (6.0, 0.25)])
def test_fields_have_the_correlation_asked_for(slope, length, aspect):
    size = (24, 40)
    spectrum = amplitudes(size, length=length, slope=slope, aspect=aspect)
    noise = white(1500, spectrum, generator=torch.Generator().manual_seed(0))
    drawn = fields(noise, spectrum, size=size)
    field = torch.cat([drawn.real, drawn.imag]).numpy()
    assert field.var() == pytest.approx(1, abs=0.1)
    # Both across the frame and from one edge to the other: nothing wraps round.
    for lag in (1, 5, 20, 39):
        found = (field[..., lag:] * field[..., : 40 - lag]).mean()
        assert found == pytest.approx(float(correlation(np.array(lag / length / aspect**0.5), slope=slope)), abs=0.08)
    for lag in (1, 5, 20):
        found = (field[:, lag:] * field[:, : 24 - lag]).mean()
        assert found == pytest.approx(float(correlation(np.array(lag / length * aspect**0.5), slope=slope)), abs=0.08)
    assert abs((drawn.real * drawn.imag).mean()) < 0.05


@pytest.mark.parametrize("slope", [2.5, 3.0, 4.0])
def test_scale_is_where_half_the_correlation_is_left(slope):
    hidden = draw(CloudMask(coverage=0.5, spread=0.0, scale=7, slope=slope), 500, 1, 40, 48)[:, 0]
    assert together(hidden[..., 7:], hidden[..., :-7], 0.5) == pytest.approx(0.5, abs=0.05)
    assert together(hidden[:, 7:], hidden[:, :-7], 0.5) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("coverage", [0.1, 0.5, 0.8])
def test_coverage_is_the_mean_share_and_spread_its_scatter(coverage):
    # Clouds much smaller than the frame: what the frame shows is the sky's own coverage.
    hidden = draw(CloudMask(coverage=coverage, spread=0.1, scale=1.0), 400, 1, 64, 56)
    shares = hidden.mean(axis=(1, 2, 3))
    assert shares.mean() == pytest.approx(coverage, abs=0.02)
    assert shares.std() == pytest.approx(0.1, abs=0.02)
    steady = draw(CloudMask(coverage=coverage, spread=0.0, scale=1.0), 100, 1, 64, 56).mean(axis=(1, 2, 3))
    assert steady.std() < 0.06


def test_small_crops_differ_from_one_another():
    shares = draw(CloudMask(coverage=0.5, spread=0.0, scale=12), 200, 1, 32, 32).mean(axis=(1, 2, 3))
    assert shares.std() > 0.2
    assert shares.min() < 0.1
    assert shares.max() > 0.9


def test_the_law_of_a_crop_does_not_depend_on_what_it_is_cut_from():
    operator = CloudMask(coverage=0.4, scale=6)
    whole = draw(operator, 300, 1, 90, 90)[..., 30:50, 40:60].mean(axis=(1, 2, 3))
    alone = draw(operator, 300, 1, 20, 20, seed=1).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(np.quantile(whole, [0.25, 0.5, 0.75]), np.quantile(alone, [0.25, 0.5, 0.75]), atol=0.1)


def test_frames_forget_at_the_rate_of_the_persistence():
    operator = CloudMask(coverage=0.5, spread=0.0, scale=3, persistence=2.0)
    hidden = draw(operator, 60, 6, 40, 40)
    for lag in (1, 2, 4):
        found = together(hidden[:, lag:], hidden[:, :-lag], 0.5)
        assert found == pytest.approx(2 / np.pi * np.arcsin(np.exp(-lag / 2)), abs=0.03)
    independent = draw(replace(operator, persistence=0.0), 60, 6, 40, 40)
    assert together(independent[:, 1:], independent[:, :-1], 0.5) == pytest.approx(0, abs=0.03)


def test_overcast_days_follow_overcast_days():
    hidden = draw(CloudMask(spread=0.25, scale=1.0, persistence=3.0), 150, 2, 32, 32)
    shares = hidden.mean(axis=(2, 3))
    assert np.corrcoef(shares.T)[0, 1] == pytest.approx(np.exp(-1 / 3), abs=0.12)


@pytest.mark.parametrize(
    "truth",
    [
        CloudMask(coverage=0.5, spread=0.2, scale=6.0, persistence=0.0, slope=3.0),
        CloudMask(coverage=0.4, spread=0.15, scale=8.0, persistence=2.0, slope=3.5),
        CloudMask(coverage=0.3, spread=0.25, scale=5.0, persistence=1.0, slope=4.0),
        CloudMask(coverage=0.5, spread=0.1, scale=6.0, persistence=0.0, slope=3.0, aspect=2.5),
        CloudMask(coverage=0.5, spread=0.1, scale=6.0, persistence=0.0, slope=3.0, aspect=0.4),
    ],
    ids=str,
)
def test_fitting_recovers_the_law(truth):
    hidden = draw(truth, 6, 64, 80, 96).reshape(-1, 80, 96)
    domain = np.ones((80, 96), dtype=bool)
    domain[:30, :40] = False
    found, truth = CloudMask().fitted(~hidden & domain, domain), truth.with_defaults
    for name in ("coverage", "spread", "scale", "slope", "aspect"):
        assert getattr(found, name) == pytest.approx(getattr(truth, name), rel=0.2), name
    assert found.persistence == pytest.approx(truth.persistence, rel=0.2, abs=0.01)


def test_a_record_of_clear_and_overcast_frames_has_a_large_spread():
    """Frames that are mostly clear or mostly hidden have the mean and the variogram of frames with large clouds."""
    truth = CloudMask(coverage=0.25, spread=0.33, scale=4.0, persistence=0.0, slope=4.0)
    hidden = draw(truth, 150, 1, 32, 32)[:, 0]
    hidden = hidden[~hidden.all(axis=(1, 2))]
    domain = np.ones((32, 32), dtype=bool)
    again = draw(CloudMask(persistence=0.0).fitted(~hidden, domain), 150, 1, 32, 32)[:, 0]
    again = again[~again.all(axis=(1, 2))]
    quantiles = [np.quantile(masks.mean(axis=(1, 2)), (0.25, 0.5, 0.75)) for masks in (hidden, again)]
    np.testing.assert_allclose(*quantiles, atol=0.12)


def test_fitting_keeps_what_is_given():
    hidden = draw(CloudMask(scale=4), 20, 1, 32, 40)[:, 0]
    domain = np.ones((32, 40), dtype=bool)
    found = CloudMask(scale=9, slope=3.5).fitted(~hidden, domain)
    assert (found.scale, found.slope) == (9, 3.5)
    assert found.coverage is not None
    assert found.spread is not None
    assert found.fitted(~hidden, domain) is found
    assert CloudMask(coverage=0.3, spread=0.1).fitted(~hidden, domain).coverage == 0.3


def test_empty_frames_teach_nothing_and_clear_ones_do():
    hidden = draw(CloudMask(scale=3), 40, 1, 48, 40)[:, 0]
    domain = np.ones((48, 40), dtype=bool)
    empty = np.ones_like(hidden)
    fit = CloudMask(persistence=0.0).fitted
    assert fit(~np.concatenate([hidden, empty]), domain) == fit(~hidden, domain)
    clear = fit(~np.concatenate([hidden, np.zeros_like(hidden)]), domain).coverage
    assert clear == pytest.approx(fit(~hidden, domain).coverage / 2, abs=1e-3)


def test_fitting_a_single_frame_or_a_single_row_works():
    hidden = draw(CloudMask(scale=5, spread=0.0), 1, 1, 60, 70)[0]
    one = CloudMask().fitted(~hidden, np.ones((60, 70), dtype=bool))
    assert one.persistence == 0
    row = CloudMask().fitted(~hidden[:, :1], np.ones((1, 70), dtype=bool))
    assert row.scale is not None


def test_clouds_are_what_all_channels_share():
    hidden = draw(CloudMask(scale=5), 20, 1, 32, 40)[:, 0]
    stripes = np.random.default_rng(0).random((20, 3, 32, 40)) < 0.3
    stripes[:, 0] = False
    domain = np.ones((32, 40), dtype=bool)
    assert CloudMask().fitted(~(hidden[:, None] | stripes), domain) == CloudMask().fitted(~hidden, domain)
    with pytest.raises(InputError, match="hides all bands of a cell at once, but .*; use observed_gaps"):
        CloudMask().fitted(~stripes, domain)
    with pytest.raises(InputError, match="every cell of the domain is observed at every date"):
        CloudMask().fitted(np.ones_like(stripes), domain)


def test_what_cannot_be_fitted_is_said():
    domain = np.ones((5, 6), dtype=bool)
    complete = np.ones((3, 5, 6), dtype=bool)
    with pytest.raises(InputError, match="every cell of the domain is observed at every date.*geogan corrupt"):
        CloudMask().fitted(complete, domain)
    with pytest.raises(InputError, match="each is either complete or empty"):
        CloudMask().fitted(complete & (np.arange(3) > 0)[:, None, None], domain)
    # A gap on land is no gap.
    domain[0] = False
    complete[:, 0] = False
    with pytest.raises(InputError, match="every cell of the domain"):
        CloudMask().fitted(complete, domain)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"coverage": 1.2}, r"coverage of cloud_mask must lie in \(0, 1\), got 1.2"),
        ({"coverage": float("nan")}, "coverage of cloud_mask"),
        ({"coverage": 0.1, "spread": 0.4}, "spread of cloud_mask must be 0 or more and less than 0.3"),
        ({"spread": -0.1}, "spread of cloud_mask"),
        ({"scale": 0}, "scale of cloud_mask must be more than 0, got 0"),
        ({"persistence": -1}, "persistence of cloud_mask must be 0 or more"),
        ({"slope": 2}, r"slope of cloud_mask must lie in \(2, 6\]"),
    ],
)
def test_impossible_parameters(parameters, message):
    with pytest.raises(InputError, match=message):
        CloudMask(**parameters)


def test_defaults_suit_any_coverage():
    for coverage in (0.01, 0.5, 0.99):
        CloudMask(coverage=coverage).with_defaults  # noqa: B018
    assert CloudMask().with_defaults == CloudMask(coverage=0.5, spread=0.2, scale=12, persistence=0, slope=3, aspect=1)


def test_dated_skies_obey_the_same_law():
    operator = CloudMask(coverage=0.5, spread=0.0, scale=2, persistence=2.0)
    sky = np.stack([~operator.at((48, 40), float(day), seed=1)[0, 0, 0].numpy() for day in range(300)])
    assert sky.mean() == pytest.approx(0.5, abs=0.03)
    for lag in (1, 3):
        found = together(sky[lag:], sky[:-lag], 0.5)
        assert found == pytest.approx(2 / np.pi * np.arcsin(np.exp(-lag / 2)), abs=0.05)
    assert together(sky[..., 2:], sky[..., :-2], 0.5) == pytest.approx(0.5, abs=0.05)
    quarter = ~operator.at((48, 40), 5.25, seed=1)[0, 0, 0].numpy()
    assert together(quarter, sky[5], 0.5) > together(sky[6], sky[5], 0.5)


def test_half_distance_is_where_signs_are_half_correlated():
    for slope in (2.3, 3.0, 4.0, 6.0):
        rho = float(correlation(np.array(half_distance(slope)), slope=slope))
        assert 2 / np.pi * np.arcsin(rho) == pytest.approx(0.5)


@pytest.mark.parametrize("persistence", [0.0, 3.0])
@pytest.mark.parametrize("width", [36, 45])
def test_clouds_lie_across_the_seam(width, persistence):
    """On periodic frames the last column is as similar to the first as any two neighbouring columns."""
    shape = (60, 2, 1, 24, width)
    flat = CloudMask(coverage=0.4, spread=0.1, scale=6, persistence=persistence)
    shares = []
    for clouds in (flat, flat.around(True)):
        seen = clouds.sample(shape, generator=torch.Generator().manual_seed(0))
        assert seen.shape == shape
        inside = (seen[..., 1:] != seen[..., :-1]).float().mean()
        shares.append(float((seen[..., 0] != seen[..., -1]).float().mean() / inside))
        assert seen.float().mean() == pytest.approx(0.6, abs=0.06)
    assert shares[0] > 2.5
    assert shares[1] == pytest.approx(1.0, abs=0.2)
    one = flat.around(True).at((24, width), 5.25, seed=1)
    assert one.shape == (1, 1, 1, 24, width)
    assert flat.around(True).around(False) == flat


def test_what_is_fitted_round_the_globe_is_what_was_drawn():
    drawn = CloudMask(coverage=0.4, spread=0.1, scale=6, persistence=0.0, slope=3.0).around(True)
    seen = drawn.sample((200, 1, 1, 32, 48), generator=torch.Generator().manual_seed(0))[:, 0, 0].numpy()
    domain = np.ones((32, 48), bool)
    fitted = CloudMask().around(True).fitted(seen, domain)
    turned = CloudMask().around(True).fitted(np.roll(seen, 20, -1), domain)
    assert fitted.is_periodic
    assert fitted.scale == pytest.approx(6, rel=0.2) and fitted.coverage == pytest.approx(0.4, abs=0.03)
    assert (turned.scale, turned.coverage, turned.spread) == pytest.approx(
        (fitted.scale, fitted.coverage, fitted.spread), rel=0.05
    )


@pytest.mark.parametrize("is_dated", [False, True])
def test_clouds_drift_and_the_drift_is_found(is_dated):
    """Sky by sky, the next mask is the one before, moved; with dates the result does not depend on the other dates."""
    clouds = CloudMask(coverage=0.5, spread=0.0, scale=4, persistence=8.0, slope=3.5, aspect=1.0, drift_y=-1, drift_x=3)
    shape = (24, 40)
    if is_dated:
        seen = torch.cat([clouds.at(shape, float(step), seed=1)[0] for step in range(40)]).numpy()[:, 0]
    else:
        seen = clouds.sample((1, 40, 1, *shape), generator=torch.Generator().manual_seed(3)).numpy()[0, :, 0]
    domain = np.ones(shape, bool)
    assert motion_of(~seen[:-1], ~seen[1:], domain) == (-1, 3)
    fitted = CloudMask(coverage=0.5, spread=0.0, scale=4, slope=3.5, aspect=1.0).fitted(seen, domain)
    assert (fitted.drift_y, fitted.drift_x) == (-1, 3)
    assert fitted.persistence == pytest.approx(8.0, rel=0.5)


def test_clouds_that_stay_have_no_drift():
    clouds = CloudMask(coverage=0.5, spread=0.2, scale=4, persistence=3.0, slope=3.0, aspect=1.0)
    seen = clouds.sample((1, 30, 1, 20, 30), generator=torch.Generator().manual_seed(1)).numpy()[0, :, 0]
    assert replace(clouds, persistence=None).fitted(seen, np.ones((20, 30), bool)).drift_x is None
