"""Remove-Pixel."""

import pytest
import torch

from geogan.operators.errors import InputError
from geogan.operators.pixels import RemovePixel


@pytest.mark.parametrize("p", [0.0, 0.5, 0.9, 0.95])
def test_the_share_is_hidden(p):
    theta = RemovePixel(p=p).sample((4, 2, 3, 64, 48), generator=torch.Generator().manual_seed(0))
    hidden = 1 - theta.float().mean()
    assert hidden == pytest.approx(p, abs=0.01)


def test_frames_are_independent():
    theta = RemovePixel(p=0.5).sample((1, 2, 1, 64, 48), generator=torch.Generator().manual_seed(0))
    assert (theta[:, 0] == theta[:, 1]).float().mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("p", [1.0, -0.1, float("nan")])
def test_impossible_shares(p):
    with pytest.raises(InputError, match=r"p of remove_pixel must lie in \[0, 1\), got"):
        RemovePixel(p=p)
