"""Stripes."""

import pytest
import torch

from geogan.operators.errors import InputError
from geogan.operators.stripes import Stripes


def drawn(operator, shape, seed=0):
    return operator.sample(shape, generator=torch.Generator().manual_seed(seed))


def test_stripes_come_back_after_their_period():
    seen = drawn(Stripes(period=9, height=4), (5, 3, 1, 40, 6))
    assert torch.equal(seen[..., 9:, :], seen[..., :-9, :])
    assert (seen == seen[..., :1]).all()
    # Whole periods hide exactly their share.
    assert ((~seen[..., :36, 0]).sum(-1) == 16).all()
    assert not torch.equal(seen[0, 0], seen[0, 1])


def test_wedges_open_from_the_middle_of_a_scene():
    seen = drawn(Stripes(period=20, height=18, wedge=40), (400, 1, 1, 20, 40))
    hidden = (~seen).sum(-2).double().flatten(0, 2)
    # One column of a scene loses nothing, another one at its edge 18 of 20 rows, and half of that on average.
    assert hidden.min(1).values.max() <= 1 and hidden.max(1).values.min() >= 17
    assert float(hidden.mean()) == pytest.approx(9.0, abs=0.1)
    # Heights change by the same step from column to column: 18 rows over half a scene.
    assert hidden.diff(dim=1).abs().max() <= 2


def test_stripes_lean_by_their_angle():
    seen = drawn(Stripes(period=9, height=4, angle=45), (3, 1, 1, 30, 20))
    assert torch.equal(seen[..., 1:, :-1], seen[..., :-1, 1:])


@pytest.mark.parametrize("wedge", [0.0, 70.0])
def test_stripes_meet_at_the_seam(wedge):
    """Around the globe, the last column is as near to the first as any two neighbours are."""
    seen = drawn(Stripes(period=12, height=6, angle=20, wedge=wedge).around(True), (60, 1, 1, 24, 40))
    changed = (seen != seen.roll(1, -1)).float().mean((0, 1, 2, 3))
    assert float(changed[0]) <= 1.3 * float(changed[1:].mean()) + 0.02
    straight = drawn(Stripes(period=12, height=6, angle=20), (60, 1, 1, 24, 40))
    changed = (straight != straight.roll(1, -1)).float().mean((0, 1, 2, 3))
    assert float(changed[0]) > 2 * float(changed[1:].mean())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"period": 0}, "period of stripes must be more than 0"),
        ({"period": 5, "height": 5}, r"height of stripes must be more than 0 and less than the period \(5\)"),
        ({"height": -1}, "height of stripes must be more than 0"),
        ({"angle": 85}, "angle of stripes must lie between"),
        ({"wedge": -2}, "wedge of stripes must be 0 or more"),
    ],
)
def test_impossible_stripes(settings, words):
    with pytest.raises(InputError, match=words):
        Stripes(**settings)
