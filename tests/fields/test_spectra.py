"""Known spectra are recovered from fields with gaps, and any split gives the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geogan.fields.spectra import Spectrum, SpectrumTally
from geogan.operators.errors import InputError


def power_law(slope, lines, cells, seed=0) -> np.ndarray:
    """Return periodic lines whose power is proportional to wavenumber ** -slope."""
    random = np.random.default_rng(seed)
    wavenumber = np.fft.rfftfreq(cells)
    size = np.zeros(len(wavenumber))
    size[1:] = wavenumber[1:] ** (-slope / 2)
    waves = random.normal(size=(lines, len(size))) + 1j * random.normal(size=(lines, len(size)))
    return np.fft.irfft(size * waves, cells)


def clouded(field, seed=1, share=0.02) -> np.ndarray:
    return np.where(np.random.default_rng(seed).random(field.shape) < share, np.nan, field)


def test_white_noise_has_its_variance_at_every_wavelength():
    noise = 3 * np.random.default_rng(0).normal(size=(600, 96))
    spectrum = SpectrumTally(32).add(clouded(noise), noise).score()
    expected = np.r_[np.full(15, 2.0), 1.0] * 9  # density per cycle a cell, of both signs
    np.testing.assert_allclose(spectrum.reference[2:], expected[2:], rtol=0.08)
    np.testing.assert_allclose(spectrum.ratio, 1)
    assert np.isnan(spectrum.effective_resolution())


@pytest.mark.parametrize("slope", [1, 2, 3])
def test_the_slope_of_a_power_law(slope):
    field = power_law(slope, 400, 512)
    spectrum = SpectrumTally(64).add(clouded(field, share=0.004), field, axes="x").score()
    inner = slice(3, 22)  # what is longer than the segment bends one end, what is folded at 2 cells the other
    found = np.polyfit(np.log(spectrum.wavelength[inner]), np.log(spectrum.reference[inner]), 1)[0]
    assert found == pytest.approx(slope, abs=0.2)


@pytest.mark.parametrize("axis", ["x", "y"])
def test_the_ratio_is_the_filter_squared(axis):
    field = power_law(2, 300, 512)
    smooth = (np.roll(field, 1, 1) + 2 * field + np.roll(field, -1, 1)) / 4
    gappy = clouded(field, share=0.01)
    arrays = (gappy, smooth) if axis == "x" else (gappy.T, smooth.T)
    spectrum = SpectrumTally(32).add(*arrays, axes=axis).score()
    transfer = np.cos(np.pi / spectrum.wavelength) ** 4
    np.testing.assert_allclose(spectrum.ratio, transfer, atol=0.03)
    exact = np.pi / np.arccos(0.5**0.25)
    assert spectrum.effective_resolution() == pytest.approx(exact, rel=0.04)
    assert spectrum.effective_resolution(spacing=4.0) == pytest.approx(4 * spectrum.effective_resolution())


def test_noise_of_the_reference_is_taken_off():
    field = power_law(3, 300, 256)
    field /= field.std()
    noisy = field + 0.2 * np.random.default_rng(2).normal(size=field.shape)
    plain = SpectrumTally(32).add(noisy, field, axes="x").score()
    clean = SpectrumTally(32).add(noisy, field, axes="x", observation_error=0.2).score()
    exact = SpectrumTally(32).add(field, field, axes="x").score()
    assert plain.ratio[10] < 0.6
    np.testing.assert_allclose(clean.reference, exact.reference, atol=0.006)  # of 0.08


def test_straight_lines_have_no_power():
    slope = 280 + 0.5 * np.arange(40.0)[:, None] - 0.3 * np.arange(48.0)
    field = np.random.default_rng(3).normal(size=slope.shape)
    plain = SpectrumTally(16).add(field, field).score()
    np.testing.assert_allclose(SpectrumTally(16).add(field + slope, field).score().reference, plain.reference)


def test_segments_are_whole_runs():
    field = np.random.default_rng(4).normal(size=(2, 1, 5, 50))
    assert SpectrumTally(16).add(field, field, axes="x").segments == 2 * 5 * 5
    assert SpectrumTally(16).add(field, field, axes="y").segments == 0  # five cells only
    gappy = field.copy()
    gappy[0, 0, 2, 20] = np.nan  # 20 cells on one side, 29 on the other
    assert SpectrumTally(16).add(gappy, field, axes="x").segments == 9 * 5 + 3
    assert SpectrumTally(16).add(field, gappy, axes="x").segments == 9 * 5 + 3
    where = np.zeros((5, 50), bool)
    where[1, 3:19] = True
    only = SpectrumTally(16).add(field, field, where)
    assert only.segments == 2
    spoilt = np.where(where, field, 1e6)
    np.testing.assert_allclose(SpectrumTally(16).add(spoilt, field, where).reference, only.reference)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), cuts=st.lists(st.integers(0, 6), max_size=3), axes=st.sampled_from(["yx", "x"]))
def test_any_split_by_dates_in_any_order_equals_the_whole(seed, cuts, axes):
    field = clouded(280 + power_law(2, 6 * 20, 24, seed).reshape(6, 1, 20, 24), seed, 0.03).astype("float32")
    estimate = field + 1
    whole = SpectrumTally(8).add(field, estimate, axes=axes)
    bounds = [0, *sorted(cuts), 6]
    merged = SpectrumTally(8)
    for first, last in reversed(list(zip(bounds, bounds[1:]))):
        merged = SpectrumTally(8).add(field[first:last], estimate[first:last], axes=axes) + merged
    assert merged.segments == whole.segments
    np.testing.assert_allclose(merged.score().reference, whole.score().reference, rtol=1e-10)
    np.testing.assert_allclose(merged.score().estimate, whole.score().estimate, rtol=1e-10)


def test_the_limits_of_the_effective_resolution():
    lengths = np.array([16.0, 8.0, 4.0, 2.0])
    for ratio, expected in (
        ([1.0, 0.75, 0.25, 0.9], 2**2.5),
        ([0.9, 0.8, 0.7, 0.6], np.nan),
        ([0.4, 1.0, 1.0, 1.0], np.inf),
        ([1.0, np.nan, 0.0, 0.0], 8.0),
    ):
        found = Spectrum(lengths, lengths, lengths, np.array(ratio), 1).effective_resolution()
        np.testing.assert_allclose(found, expected)


def test_nothing_to_score():
    spectrum = SpectrumTally(8).add(np.full((9, 9), np.nan), np.ones((9, 9))).score()
    assert spectrum.segments == 0 and np.isnan(spectrum.ratio).all()
    assert np.isnan(spectrum.effective_resolution())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: SpectrumTally(7), "even and 8 or more"),
        (lambda: SpectrumTally(8) + SpectrumTally(16), "cannot be added"),
        (lambda: SpectrumTally().add(np.ones((3, 4)), np.ones((4, 3))), "one shape"),
        (lambda: SpectrumTally().add(np.ones((3, 4)), np.ones((3, 4)), np.ones((3, 4))), "must be boolean"),
        (lambda: SpectrumTally().add(np.ones((3, 4)), np.ones((3, 4)), np.ones((2, 4), bool)), "must broadcast"),
        (lambda: SpectrumTally().add(np.ones((3, 4)), np.ones((3, 4)), axes="z"), "yx, y or x"),
        (lambda: SpectrumTally().add(np.ones((3, 4)), np.ones((3, 4)), observation_error=-1), "not be negative"),
    ],
)
def test_errors(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_segments_lie_across_the_seam():
    """The spectrum of periodic rows does not depend on their first column, with or without gaps."""
    field = np.random.default_rng(0).normal(size=(6, 5, 48))
    gappy = np.where(np.random.default_rng(1).random(field.shape) < 0.03, np.nan, field)
    gappy[:, :, 20] = np.nan
    for values in (field, gappy):
        turned = np.roll(values, 24, -1)
        here, there = (SpectrumTally(16).add(each, 0.5 * each, axes="x", is_periodic=True) for each in (values, turned))
        assert here.segments == there.segments > 0
        np.testing.assert_allclose(here.reference, there.reference)
        flat = SpectrumTally(16).add(values, values, axes="x")
        assert here.segments > flat.segments
    # No segment counts twice: one gap in each row, and runs of 47 cells from there on.
    one_gap = np.where(np.arange(48) == 20, np.nan, field)
    whole = SpectrumTally(16).add(one_gap, one_gap, axes="x", is_periodic=True)
    cut = SpectrumTally(16).add(np.roll(one_gap, -20, -1), np.roll(one_gap, -20, -1), axes="x")
    assert whole.segments == cut.segments
    np.testing.assert_allclose(whole.reference, cut.reference)
    # Along columns there is no seam.
    along = [SpectrumTally(8).add(np.zeros((9, 20)), np.zeros((9, 20)), axes="y", is_periodic=each) for each in (0, 1)]
    assert along[0].segments == along[1].segments
