"""Drifters."""

import pytest
import torch

from geogan.operators.drifters import Drifters
from geogan.operators.errors import InputError


def test_the_fraction_is_observed_at_every_date():
    drifters = Drifters(fraction=0.1, speed=3.0)
    film = drifters.sample((60, 5, 1, 30, 40), generator=torch.Generator().manual_seed(0))
    shares = film.float().mean((0, 2, 3, 4))
    assert shares.tolist() == pytest.approx([0.1] * 5, abs=0.004)
    # Their number varies as that of a Poisson process.
    counts = film[:, 0].sum((1, 2, 3)).double()
    assert 0.5 < float(counts.var() / counts.mean()) < 1.5
    late = [drifters.at((30, 40), 18262.25, seed=seed).float().mean() for seed in range(40)]
    assert float(torch.stack(late).mean()) == pytest.approx(0.1, abs=0.006)


def test_moorings_stay_and_drifters_move_by_their_speed():
    moored = Drifters(fraction=0.05, speed=0.0)
    assert torch.equal(moored.at((20, 30), 0.0, seed=1), moored.at((20, 30), 99.5, seed=1))
    # A single drifter of a wide frame, followed over some frames.
    distances = []
    for seed in range(400):
        first, last = (Drifters(fraction=1e-4, speed=2.0).at((100, 100), step, seed=seed) for step in (0.0, 5.0))
        if int(first.sum()) == int(last.sum()) == 1:
            move = (last.nonzero() - first.nonzero())[0, 3:].double()
            distances.append(float(((move + 50) % 100 - 50).square().sum()))
    assert len(distances) > 80
    assert (sum(distances) / len(distances)) ** 0.5 == pytest.approx(10.0, rel=0.15)


def test_a_date_does_not_depend_on_other_dates():
    drifters = Drifters(fraction=0.1, speed=1.5)
    film = [drifters.at((16, 20), float(step), seed=5) for step in range(6)]
    assert torch.equal(film[3], drifters.at((16, 20), 3.0, seed=5))
    assert not torch.equal(film[3], film[4])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"fraction": 0}, r"fraction of drifters must lie in \(0, 1\), got 0"),
        ({"fraction": 1}, r"fraction of drifters must lie in \(0, 1\), got 1"),
        ({"speed": -1}, "speed of drifters must be 0 or more"),
    ],
)
def test_impossible_drifters(settings, words):
    with pytest.raises(InputError, match=words):
        Drifters(**settings)
