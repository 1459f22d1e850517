"""Operators fitted to gaps, and the test whether their gaps look like the real ones."""

import numpy as np
import pytest
import torch
import xarray as xr

from geogan.fields.field import Field
from geogan.gaps import fit_operators, gap_samples
from geogan.operators.cloud import CloudMask
from geogan.operators.errors import InputError

SIZE = 40


def field(seen):
    times = np.datetime64("2001-01-01", "ns") + np.arange(len(seen)) * np.timedelta64(1, "D")
    values = np.where(seen, 1.0, np.nan)
    return Field.of(xr.DataArray(values, dims=("time", "y", "x"), coords={"time": times}, name="sst"))


def clouds(**parameters):
    operator = CloudMask(**{"coverage": 0.5, "spread": 0.2, "scale": 6.0, "persistence": 0.0} | parameters)
    drawn = operator.sample((1, 96, 1, SIZE, SIZE), generator=torch.Generator().manual_seed(3))
    return drawn[0, :, 0].numpy()


DOMAIN = np.ones((SIZE, SIZE), bool)


@pytest.fixture(scope="module")
def fits():
    operators = ["remove_pixel:p=0.5", "cloud_mask", "observed_gaps"]
    return fit_operators(field(clouds()), DOMAIN, operators, seed=0)


def test_the_true_law_passes_and_a_wrong_one_does_not(fits):
    found = {fit.text.split(":")[0]: fit.accuracy.value for fit in fits}
    assert found["cloud_mask"] < 0.6 and found["observed_gaps"] < 0.6
    assert found["remove_pixel"] > 0.95
    # The best first, in the order in which they were given.
    assert [fit.text.split(":")[0] for fit in fits] == ["cloud_mask", "observed_gaps", "remove_pixel"]


def test_the_fitted_operator_has_the_statistics_of_the_gaps(fits):
    best = fits[0]
    assert best.operator.coverage == pytest.approx(0.5, abs=0.05)
    np.testing.assert_allclose(best.drawn.cover, best.real.cover, atol=0.15)
    np.testing.assert_allclose(best.drawn.variogram, best.real.variogram, rtol=0.2, atol=0.01)
    assert fits[-1].drawn.variogram[0, 0] > 5 * fits[-1].real.variogram[0, 0]


def test_results_are_plain_and_a_function_of_the_seed(fits):
    again = fit_operators(field(clouds()), DOMAIN, ["cloud_mask"], seed=0)[0]
    assert again.plain() == fits[0].plain()
    assert fits[0].plain()["classifier_accuracy"] == fits[0].accuracy.value


def test_samples_of_real_and_drawn_gaps():
    seen, domain = clouds(), DOMAIN.copy()
    domain[:4] = False
    samples = gap_samples(field(seen & domain), domain, "cloud_mask:scale=6")
    assert samples.text.startswith("cloud_mask:coverage=") and "scale=6" in samples.text
    assert samples.real.shape == samples.drawn.shape == (4, SIZE, SIZE)
    assert not samples.drawn[:, :4].any() and 0.2 < samples.drawn[:, 4:].mean() < 0.8


@pytest.mark.parametrize(
    ("seen", "operators", "words"),
    [
        (np.ones((6, SIZE, SIZE), bool), ["cloud_mask"], "has no gaps"),
        (clouds()[:2], ["cloud_mask"], "too few dates"),
        (clouds(), ["convolve_noise"], "does more than to hide"),
        (clouds(), ["nonsense"], "no operator is named"),
    ],
)
def test_what_cannot_be_fitted(seen, operators, words):
    with pytest.raises(InputError, match=words):
        fit_operators(field(seen), DOMAIN, operators)


def test_independent_images_have_no_overlap_of_dates():
    images = xr.DataArray(np.where(clouds(), 1.0, np.nan), dims=("sample", "y", "x"), name="image")
    found = fit_operators(Field.of(images), DOMAIN, ["cloud_mask"])[0]
    assert np.isnan(found.real.overlap) and found.plain()["real"]["overlap_of_consecutive_dates"] is None
