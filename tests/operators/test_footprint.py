"""The beam of a radiometer."""

import numpy as np
import pytest
import torch
import xarray as xr

import geogan
from geogan.operators.errors import InputError
from geogan.operators.footprint import Footprint
from geogan.testing import check_operator

FWHM_OF_ONE_DEVIATION = 2 * np.sqrt(2 * np.log(2))


@pytest.mark.parametrize(
    ("operator", "covariance"),
    [
        (Footprint(fwhm=9), [[1, 0], [0, 1]]),
        (Footprint(fwhm=9, across=4.5), [[1, 0], [0, 0.25]]),
        (Footprint(fwhm=9, across=4.5, angle=45), [[0.625, -0.375], [-0.375, 0.625]]),
        (Footprint(fwhm=9, across=4.5, angle=-90), [[0.25, 0], [0, 1]]),
    ],
    ids=["round", "long", "oblique", "wide"],
)
def test_the_kernel_has_the_moments_of_the_beam(operator, covariance):
    kernel = operator.point_spread().numpy()
    places = [np.arange(side) - side // 2 for side in kernel.shape]
    grid = np.stack(np.meshgrid(*places, indexing="ij"))
    found = np.einsum("ayx,byx,yx->ab", grid, grid, kernel) / (9 / FWHM_OF_ONE_DEVIATION) ** 2
    # A beam that ends at three deviations is narrower by 3 % in variance; a cell adds a twelfth of its area.
    np.testing.assert_allclose(found, covariance, atol=0.04)


def test_a_swath_of_the_same_angle_is_parallel_to_the_axis():
    """Averaging along a strip keeps it; averaging across it does not."""
    inside = geogan.Swath(width=6, gap=30, angle=30).at((60, 60), 0.0, seed=3).double()
    along, across = (
        Footprint(fwhm=20, across=0.5, angle=angle).blur(inside)[..., 20:40, 20:40] for angle in (30.0, -60.0)
    )
    middle = inside[..., 20:40, 20:40]
    assert float((along - middle).abs().mean()) < 0.4 * float((across - middle).abs().mean())


def test_a_constant_stays_constant_at_borders_land_and_gaps():
    field = xr.DataArray(np.full((2, 20, 30), 7.0), dims=("time", "y", "x"))
    field[:, :6, :9] = np.nan
    blurred = geogan.corrupt(field, "footprint:fwhm=8,across=4,angle=20")
    np.testing.assert_allclose(blurred, field, rtol=1e-9)


def test_it_crosses_the_seam_of_a_globe():
    x = torch.zeros(1, 1, 1, 9, 36)
    x[..., 4, 0] = 1.0
    turned = torch.roll(x, 18, -1)
    operator = Footprint(fwhm=6, across=3, angle=40).around(True)
    torch.testing.assert_close(torch.roll(operator.blur(x), 18, -1), operator.blur(turned), rtol=0, atol=1e-6)
    assert float(operator.blur(x)[..., -1].sum()) > 0


def test_a_kernel_wider_than_the_frame_gives_its_mean():
    x = torch.randn(1, 1, 1, 4, 5, generator=torch.Generator().manual_seed(0))
    for is_periodic in (False, True):
        blurred = Footprint(fwhm=150, across=100, angle=10).around(is_periodic).blur(x)
        torch.testing.assert_close(blurred, x.mean().expand_as(x), rtol=0, atol=0.02)


def test_a_point_of_a_beam_changes_nothing():
    operator = Footprint(fwhm=0.2)
    assert not operator.blurs
    assert operator.exact


def test_it_keeps_its_promises():
    check_operator(Footprint(fwhm=6, across=2, angle=70))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"fwhm": 0}, "fwhm of footprint must be more than 0 and at most 200 cells, got 0"),
        ({"fwhm": -5.0}, "fwhm of footprint must be more than 0"),
        ({"across": float("nan")}, "across of footprint must be more than 0"),
        ({"fwhm": 1e6}, "at most 200 cells, got 1000000.0"),
        ({"angle": 91}, "angle of footprint must lie between -90 and 90 degrees, got 91"),
    ],
)
def test_widths_and_angles_out_of_range_are_refused(parameters, message):
    with pytest.raises(InputError, match=message):
        Footprint(**parameters)
