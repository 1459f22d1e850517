"""Radar sectors."""

import math

import pytest
import torch

from geogan.operators.errors import InputError
from geogan.operators.radar import RadarSector


def drawn(operator, shape, seed=0):
    return operator.sample(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("sectors", "width"), [(1, 90.0), (3, 40.0)])
def test_sectors_hide_their_share(sectors, width):
    seen = drawn(RadarSector(sectors=sectors, width=width), (2000, 1, 1, 12, 16))
    assert float(seen.float().mean()) == pytest.approx((1 - width / 360) ** sectors, abs=0.015)


def test_a_beam_is_blocked_along_its_whole_length():
    """Cells on the line from the radar away from a hidden cell are hidden: hidden cells form one angle."""
    radar = RadarSector(sectors=1, width=50.0)
    random = torch.Generator().manual_seed(3)
    seen = radar.sample((1, 1, 1, 60, 80), generator=random)[0, 0, 0]
    # The radar's place is the first draw.
    place = torch.rand((2,), generator=torch.Generator().manual_seed(3)) * torch.tensor([60, 80]) - 0.5
    rows, columns = (~seen).nonzero().double().T - place[:, None]
    direction = torch.atan2(rows, columns)
    middle = torch.atan2(direction.sin().mean(), direction.cos().mean())
    off = torch.rad2deg((direction - middle + math.pi) % (2 * math.pi) - math.pi)
    assert float(off.max() - off.min()) <= 50.001
    assert 0 < len(rows) < seen.numel() / 2


def test_cells_beyond_the_reach_are_hidden():
    seen = drawn(RadarSector(sectors=0, reach=8.0), (300, 1, 1, 50, 50))
    counts = seen.sum((1, 2, 3, 4))
    assert counts.max() <= 1.1 * math.pi * 64 and counts.min() > 0.2 * math.pi * 64


def test_mountains_stay_and_rain_moves():
    fixed, rain = (RadarSector(fixed=is_fixed) for is_fixed in (True, False))
    film = drawn(fixed, (2, 4, 1, 20, 30))
    assert (film == film[:, :1]).all() and not torch.equal(film[0], film[1])
    assert torch.equal(fixed.at((20, 30), 0.0, seed=1), fixed.at((20, 30), 9.5, seed=1))
    film = drawn(rain, (1, 4, 1, 20, 30))
    assert not torch.equal(film[:, 0], film[:, 1])
    assert not torch.equal(rain.at((20, 30), 0.0, seed=1), rain.at((20, 30), 1.0, seed=1))


def test_a_radar_sees_across_the_seam():
    """Around the globe, what lies within reach does not depend on the meridian of the radar."""
    seen = drawn(RadarSector(sectors=0, reach=5.0).around(True), (300, 1, 1, 1, 40))
    assert (seen.sum((1, 2, 3, 4)) >= 9).all()
    straight = drawn(RadarSector(sectors=0, reach=5.0), (300, 1, 1, 1, 40))
    assert (straight.sum((1, 2, 3, 4)) < 9).any()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sectors": -1}, "sectors of radar_sector must be a whole number"),
        ({"width": 360}, "width of radar_sector must lie between 0 and 360 degrees"),
        ({"reach": 0}, "reach of radar_sector must be more than 0"),
        ({"sectors": 0}, "hides nothing"),
    ],
)
def test_impossible_radars(settings, words):
    with pytest.raises(InputError, match=words):
        RadarSector(**settings)
