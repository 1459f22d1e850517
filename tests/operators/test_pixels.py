"""Remove-Pixel and Remove-Pixel-Channel."""

import pytest
import torch

from geogan.operators.errors import InputError
from geogan.operators.pixels import RemovePixel, RemovePixelChannel


@pytest.mark.parametrize("p", [0.0, 0.5, 0.9, 0.95])
def test_the_share_is_hidden(p):
    theta = RemovePixel(p=p).sample((4, 2, 3, 64, 48), generator=torch.Generator().manual_seed(0))
    hidden = 1 - theta.float().mean()
    assert hidden == pytest.approx(p, abs=0.01)


def test_frames_are_independent():
    theta = RemovePixel(p=0.5).sample((1, 2, 1, 64, 48), generator=torch.Generator().manual_seed(0))
    assert (theta[:, 0] == theta[:, 1]).float().mean() == pytest.approx(0.5, abs=0.03)


def test_channels_go_by_themselves():
    theta = RemovePixelChannel(p=0.9).sample((4, 2, 3, 64, 48), generator=torch.Generator().manual_seed(0))
    assert theta.shape == (4, 2, 3, 64, 48)
    assert 1 - theta.float().mean() == pytest.approx(0.9, abs=0.01)
    for first, second in ((0, 1), (1, 2), (0, 2)):
        both = (theta[:, :, first] & theta[:, :, second]).float().mean()
        assert both == pytest.approx(0.1**2, abs=0.003)


@pytest.mark.parametrize("p", [0.0, 0.3, 0.95])
def test_a_single_channel_goes_as_all_channels_do(p):
    draws = [
        kind(p=p).sample((2, 3, 1, 17, 23), generator=torch.Generator().manual_seed(5))
        for kind in (RemovePixel, RemovePixelChannel)
    ]
    assert torch.equal(*draws)
    assert torch.equal(RemovePixel(p=p).at((9, 7), 4.0, seed=1), RemovePixelChannel(p=p).at((9, 7), 4.0, seed=1))


@pytest.mark.parametrize("p", [1.0, -0.1, float("nan")])
def test_impossible_shares(p):
    with pytest.raises(InputError, match=r"p of remove_pixel must lie in \[0, 1\), got"):
        RemovePixel(p=p)
    with pytest.raises(InputError, match=r"p of remove_pixel_channel must lie in \[0, 1\), got"):
        RemovePixelChannel(p=p)
