"""Ground tracks."""

import math

import pytest
import torch

from geogan.operators.errors import InputError
from geogan.operators.tracks import Tracks


def dates_of(operator, size, count, seed=0):
    return torch.cat([operator.at(size, float(step), seed=seed) for step in range(count)])


def test_a_cycle_comes_back_and_lies_densely():
    """Tracks of a cycle are ``spacing`` cells apart: no run of unseen cells in a row is longer."""
    tracks = Tracks(spacing=3, repeat=7, angle=20, satellites=1)
    dates = dates_of(tracks, (12, 60), 14)
    assert torch.equal(dates[:7], dates[7:])
    assert all(not torch.equal(dates[0], other) for other in dates[1:7])
    for row in dates[:7].any(0)[0, 0]:
        assert int(row.nonzero().flatten().diff().max()) <= 3


def test_a_row_of_one_date_is_crossed_once_by_each_pass():
    tracks = Tracks(spacing=5, repeat=4, angle=30, satellites=3)
    seen = dates_of(tracks, (40, 20), 4)
    counts = seen[:, 0, 0].sum(-1)
    assert counts.max() == 6 and counts.float().mean() > 5
    assert (counts >= 1).all()


def test_ascending_and_descending_tracks_lean_oppositely():
    """At 45 degrees each track moves on by one column a row, to either side."""
    seen = Tracks(spacing=10, repeat=10, angle=45, satellites=1).at((30, 100), 0.0, seed=2)[0, 0, 0]
    moved = {int(by): int((seen[1:] & seen[:-1].roll(int(by), -1)).sum()) for by in range(-2, 3)}
    assert moved[1] >= 27 and moved[-1] >= 27
    assert max(moved[2], moved[-2]) <= 3


def test_consecutive_dates_have_tracks_far_from_each_other():
    tracks = Tracks(spacing=2, repeat=10)
    assert math.gcd(tracks.stride, 10) == 1 and 2 < tracks.stride < 5
    assert Tracks(spacing=4, repeat=1).stride == 1


def test_films_and_dates_have_the_same_law():
    tracks = Tracks(spacing=4, repeat=5, satellites=2)
    film = tracks.sample((500, 1, 1, 6, 9), generator=torch.Generator().manual_seed(0))
    dates = torch.stack([tracks.at((6, 9), 0.0, seed=seed) for seed in range(500)])
    expected = 1 - (1 - 1 / 20) ** 4
    for seen in (film, dates):
        assert float(seen.float().mean()) == pytest.approx(expected, abs=0.02)


def test_tracks_meet_at_the_seam():
    """Moved round by any number of columns, each row of one pass has tracks at equal distances."""
    seen = Tracks(spacing=3, repeat=3, angle=0, satellites=1).around(True).at((1, 28), 0.0, seed=4)[0, 0, 0, 0]
    # Two passes of three tracks each, 28 / 3 columns apart.
    places = seen.nonzero().flatten()
    assert len(places) in (3, 6)
    ring = torch.cat([places, places[:1] + 28])
    assert int(ring.diff().max()) <= 10


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"spacing": 0}, "spacing of tracks must be more than 0"),
        ({"repeat": 2.5}, "repeat of tracks must be a whole number"),
        ({"satellites": 0}, "satellites of tracks must be a whole number"),
        ({"angle": -5}, "angle of tracks must lie between 0 and 80 degrees"),
        ({"spacing": 1, "repeat": 1}, "1 cells apart, which hides hardly anything"),
    ],
)
def test_impossible_tracks(settings, words):
    with pytest.raises(InputError, match=words):
        Tracks(**settings)
