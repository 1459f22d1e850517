"""White noise, and noise of scan lines."""

import numpy as np
import pytest
import torch

from geogan.operators.compose import Compose
from geogan.operators.convolve import ConvolveNoise
from geogan.operators.errors import InputError
from geogan.operators.noise import Noise
from geogan.testing import check_operator


def drawn(operator: Noise) -> np.ndarray:
    """Return noise of many rows of 40 cells, (N, 40)."""
    theta = operator.sample((4, 2, 2, 400, 40), generator=torch.Generator().manual_seed(0))
    assert isinstance(theta, torch.Tensor)
    return theta.numpy().reshape(-1, 40)


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        (Noise(sigma=0.3), lambda lag: 0.0),
        (Noise(sigma=0.3, line=0.4), lambda lag: 0.16),
        (Noise(sigma=0.3, line=0.4, length=5), lambda lag: 0.16 * np.exp(-lag / 5)),
    ],
    ids=["white", "lines", "parts of lines"],
)
def test_the_covariance_is_what_the_parameters_say(operator, expected):
    noise = drawn(operator)
    assert noise.std() == pytest.approx(operator.noise, rel=0.02)
    for lag in (1, 5, 20):
        for start in (0, 15):
            covariance = (noise[:, start] * noise[:, start + lag]).mean()
            assert covariance == pytest.approx(expected(lag), abs=0.01)
    rows = noise.reshape(-1, 400, 40)
    assert (rows[:, 1:] * rows[:, :-1]).mean() == pytest.approx(0, abs=0.01), "lines are independent"


def test_a_later_blur_reduces_the_noise():
    both = Compose((Noise(sigma=0.9), ConvolveNoise(l=3, sigma=0.4)))
    assert both.noise == pytest.approx(0.5)


def test_it_keeps_its_promises():
    check_operator(Noise(sigma=0.2, line=0.3, length=4))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"sigma": -1}, "sigma of noise must be 0 or more, got -1"),
        ({"line": float("inf")}, "line of noise must be 0 or more, got inf"),
        ({"length": 0}, "length of noise must be more than 0, got 0"),
    ],
)
def test_deviations_and_lengths_out_of_range_are_refused(parameters, message):
    with pytest.raises(InputError, match=message):
        Noise(**parameters)
