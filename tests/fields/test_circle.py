"""Columns taken modulo the width of a grid that goes round the globe."""

import numpy as np
import pytest
import torch

from geogan.fields.circle import around, columns, rim_of, stretches, taken, widened


@pytest.mark.parametrize("part", [slice(0, 8), slice(2, 5), slice(-3, 2), slice(5, 12), slice(-9, 20), slice(10, 12)])
def test_a_stretch_is_its_columns_however_they_are_asked_for(part):
    numbers = [column % 8 for column in range(part.start, part.stop)]
    row = np.arange(8)
    assert row[columns(part, 8)].tolist() == numbers
    assert taken(row[None], slice(None), part).tolist() == [numbers]
    assert np.concatenate([row[each] for each in stretches(part, 8)]).tolist() == numbers


def test_inside_the_grid_nothing_is_copied():
    row = np.arange(8)
    assert np.shares_memory(row[columns(slice(2, 8), 8)], row)
    assert np.shares_memory(taken(row[None], slice(0, 1), slice(2, 8)), row)
    assert columns(slice(None), 8) == slice(None)
    assert stretches(slice(None), 8) == [slice(None)]


@pytest.mark.parametrize("rim", [0, 1, 4, 9])
def test_widened_is_the_stretch_around(rim):
    row = torch.arange(4.0)
    assert widened(row, rim).tolist() == row[columns(slice(-rim, 4 + rim), 4)].tolist()


def test_a_network_does_not_know_where_the_seam_is():
    torch.manual_seed(0)
    layers = torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(3, 1, 3, padding=1)
    )
    x = torch.randn(1, 1, 5, 6)
    seen = around(layers, 2)
    torch.testing.assert_close(seen(x.roll(2, -1)).roll(-2, -1), seen(x))
    assert not torch.allclose(layers(x.roll(2, -1)).roll(-2, -1), layers(x))
    assert around(lambda x, other=None: (x, other), 2)(x)[1] is None


def test_the_rim_is_as_wide_as_the_network_reaches():
    assert [rim_of(reach) for reach in (1, 4, 5, 33)] == [4, 4, 8, 36]
