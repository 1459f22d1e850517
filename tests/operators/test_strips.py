"""Parallel strips."""

import math

import pytest
import torch

from geogan.operators.strips import lean, strip_turns


def test_a_strip_runs_along_its_angle():
    """On the way of a strip, one row down and ``lean`` columns along, the position across it does not change."""
    angle, pitch = math.degrees(math.atan(2)), 7.0
    turns = strip_turns((5, 20), rows=-lean(angle) / pitch, columns=1 / pitch)
    torch.testing.assert_close(turns[1:, 2:], turns[:-1, :-2])
    assert float(turns[0, 7] - turns[0, 0]) == pytest.approx(1.0)


@pytest.mark.parametrize("columns", [0.0, 0.01, 0.13, -0.13])
def test_strips_meet_at_the_seam(columns):
    width = 24
    turns = strip_turns((3, width), rows=0.1, columns=columns, is_periodic=True)
    beyond = turns[:, -1] + (turns[:, 1] - turns[:, 0])
    around = beyond - turns[:, 0]
    torch.testing.assert_close(around, around.round())
    assert abs(float(around[0]) - columns * width) <= 0.5
