"""Biharmonic inpainting recovers smooth surfaces, ignores land, and leaves maps without observations empty."""

import warnings

import numpy as np
import pytest

from geogan.evaluation.baselines.biharmonic import biharmonic
from geogan.operators.errors import InputError

Y, X = np.mgrid[0:24, 0:31].astype(float)
SEA = np.ones((24, 31), bool)


def gap(field, rows, columns):
    gappy = field.copy()
    gappy[..., rows, columns] = np.nan
    return gappy


@pytest.mark.parametrize("field", [280 + 0.3 * Y - 0.1 * X, (Y - 12) * (X - 15), (Y - 11) ** 2 - (X - 14) ** 2])
def test_exact_on_harmonic_fields(field):
    filled = biharmonic(gap(field[None], slice(6, 15), slice(9, 19)), domain=SEA)
    np.testing.assert_allclose(filled[0], field, atol=1e-8)


def test_better_than_the_mean_under_irregular_gaps_up_to_the_edge():
    field = np.sin(Y / 5) + np.cos(X / 6)
    observed = np.random.default_rng(0).random(field.shape) < 0.3
    filled = biharmonic(np.where(observed, field, np.nan)[None], domain=SEA)
    assert np.isfinite(filled).all()
    assert np.std((filled[0] - field)[~observed]) < 0.1 * np.std(field)


def test_values_on_land_are_ignored():
    field = 15 + 0.1 * Y + 0.2 * X
    domain = SEA.copy()
    domain[8:14, 10:13] = False
    values = gap(field[None], slice(6, 16), slice(12, 18))
    empty_land = biharmonic(np.where(domain, values, np.nan), domain=domain)
    zero_land = biharmonic(np.where(domain, values, 0.0), domain=domain)
    np.testing.assert_array_equal(empty_land, zero_land)
    assert np.isnan(empty_land[0, ~domain]).all()
    np.testing.assert_allclose(empty_land[0, domain], field[domain], atol=1e-8)


def test_maps_are_independent_and_a_map_without_observations_stays_empty():
    values = np.stack([np.full(SEA.shape, 4.0), np.full(SEA.shape, np.nan), np.full(SEA.shape, 6.0)])
    values[0, 2:9, 3:9] = np.nan
    values = values.astype("float32")
    filled = biharmonic(values, domain=SEA)
    assert filled.dtype == "float32"
    assert np.isnan(filled[1]).all()
    np.testing.assert_allclose(filled[0], 4, rtol=1e-6)
    np.testing.assert_array_equal(filled[2], 6)


def test_observed_cells_are_kept_bit_for_bit():
    values = np.random.default_rng(1).normal(290, 5, (2, 24, 31)).astype("float32")
    observed = np.random.default_rng(2).random(values.shape) < 0.5
    filled = biharmonic(np.where(observed, values, np.float32(np.nan)), domain=SEA)
    np.testing.assert_array_equal(filled[observed], values[observed])


def test_each_band_is_inpainted_separately():
    bands = np.random.default_rng(1).normal(290, 5, (2, 3, 24, 31))
    bands[np.random.default_rng(2).random(bands.shape) < 0.5] = np.nan
    filled = biharmonic(bands, domain=SEA)
    for band in range(3):
        np.testing.assert_array_equal(filled[:, band], biharmonic(bands[:, band], domain=SEA))


@pytest.mark.parametrize("cells", [1, 2, 5])
def test_a_few_observations_give_values_in_their_range_and_no_warning(cells):
    values = np.full((1, 24, 31), np.nan)
    where = np.random.default_rng(cells).choice(values.size, cells, replace=False)
    values.flat[where] = np.arange(cells) + 280.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        filled = biharmonic(values, domain=SEA)
    finite = filled[np.isfinite(filled)]
    assert finite.min() >= 280 and finite.max() <= 280 + cells - 1


def test_errors():
    with pytest.raises(InputError, match="values must be"):
        biharmonic(np.zeros((24, 31)), domain=SEA)
    with pytest.raises(InputError, match="at least 5 cells"):
        biharmonic(np.zeros((1, 4, 9)), domain=np.ones((4, 9), bool))
