"""Swaths."""

import pytest
import torch

from geogan.operators.errors import InputError
from geogan.operators.swath import Swath


def drawn(operator, shape, seed=0):
    return operator.sample(shape, generator=torch.Generator().manual_seed(seed))


def test_a_row_has_swaths_and_gaps_of_the_given_widths():
    (row,) = drawn(Swath(width=6, gap=4, angle=0), (1, 1, 1, 1, 60))[0, 0, 0].int()
    edges = (row.diff() != 0).nonzero().flatten()
    lengths = edges.diff().tolist()
    first_is_seen = bool(row[int(edges[0]) + 1])
    assert lengths[::2] == [6 if first_is_seen else 4] * len(lengths[::2])
    assert lengths[1::2] == [4 if first_is_seen else 6] * len(lengths[1::2])


def test_swaths_lean_by_their_angle():
    """At 45 degrees the next row has the same swaths one column further west."""
    seen = drawn(Swath(width=6, gap=5, angle=45), (3, 2, 1, 9, 30))
    assert torch.equal(seen[..., 1:, :-1], seen[..., :-1, 1:])


def test_a_repeat_orbit_comes_back_and_sees_every_cell():
    swaths = Swath(width=10, gap=20, angle=12, repeat=6)
    dates = torch.stack([swaths.at((8, 40), float(step), seed=3) for step in range(12)])
    assert torch.equal(dates[:6], dates[6:])
    assert not torch.equal(dates[0], dates[1])
    assert dates[:6].any(0).all()


def test_a_film_moves_on_as_dates_do():
    swaths = Swath(width=10, gap=20, repeat=6)
    film = drawn(swaths, (1, 7, 1, 8, 40))
    assert torch.equal(film[:, 0], film[:, 6])
    # A sixth of the distance of 30 cells is 5 columns a frame.
    assert torch.equal(film[:, :-1, ..., 5:], film[:, 1:, ..., :-5])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"width": 0}, "width of swath must be more than 0"),
        ({"gap": -3}, "gap of swath must be more than 0"),
        ({"angle": 90}, "angle of swath must lie between -80 and 80 degrees, got 90"),
        ({"repeat": -1}, "repeat of swath must be 0 or more"),
    ],
)
def test_impossible_swaths(settings, words):
    with pytest.raises(InputError, match=words):
        Swath(**settings)


def test_swaths_meet_at_the_seam():
    """Around the globe a swath that leaves on the right goes on at the left: moved round, gaps have the same widths."""
    (row,) = drawn(Swath(width=7, gap=6, angle=30).around(True), (1, 1, 1, 1, 50))[0, 0, 0].int()
    changes = (row != row.roll(1)).sum()
    assert int(changes) == 2 * round(50 / 13)
    runs = (row != row.roll(1)).nonzero().flatten()
    lengths = torch.cat([runs.diff(), runs[:1] + 50 - runs[-1:]])
    assert int(lengths.max()) <= 8 and int(lengths.min()) >= 5


def test_one_swath_goes_round_a_narrow_globe():
    seen = drawn(Swath(width=60, gap=40, angle=0).around(True), (200, 1, 1, 2, 20))
    assert float(seen.float().mean()) == pytest.approx(0.6, abs=0.01)
    assert (seen.float().mean((-1, -2)) - 0.6).abs().max() < 0.06
