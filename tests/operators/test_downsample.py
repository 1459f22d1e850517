"""A coarse sensor on a fine grid."""

import numpy as np
import pytest
import torch
import xarray as xr

import geogan
from geogan.operators.compose import Compose
from geogan.operators.downsample import Downsample
from geogan.operators.errors import InputError
from geogan.operators.footprint import Footprint
from geogan.testing import check_operator


@pytest.mark.parametrize(("factor", "columns"), [(3, None), (4, None), (2, 5)])
def test_measurements_are_the_means_of_blocks(factor, columns):
    side = columns or factor
    truth = xr.DataArray(np.random.default_rng(0).standard_normal((2, 4 * factor, 3 * side)), dims=("time", "y", "x"))
    operator = Downsample(factor=factor, columns=columns)
    coarse = geogan.corrupt(truth, operator)
    middles = coarse[:, factor // 2 :: factor, side // 2 :: side]
    expected = truth.coarsen(y=factor, x=side).mean()
    np.testing.assert_allclose(middles, expected, atol=1e-12)
    assert int(coarse.count()) == middles.size


def test_a_block_beside_land_is_the_mean_of_its_sea():
    field = xr.DataArray(np.arange(36.0).reshape(1, 6, 6), dims=("time", "y", "x"))
    field[:, :, :2] = np.nan
    coarse = geogan.corrupt(field, "downsample:factor=3")
    # The block of columns 0 to 2 has sea in column 2 alone, and land in its middle.
    assert np.isnan(coarse[0, 1, 1])
    field[:, :, 1] = field[:, :, 2]
    coarse = geogan.corrupt(field, "downsample:factor=3")
    assert float(coarse[0, 1, 1]) == pytest.approx(float(field[0, :3, 1:3].mean()))


def test_blocks_of_films_begin_anywhere_and_stay_through_a_film():
    shape = (200, 3, 1, 12, 12)
    seen = Downsample(factor=4).sample(shape, generator=torch.Generator().manual_seed(0))
    assert (seen == seen[:, :1]).all()
    assert (seen.sum((-2, -1)) == 9).all()
    assert len(torch.unique(seen[:, 0].flatten(1), dim=0)) == 16


def test_a_beam_then_blocks_then_gaps_and_not_the_other_way():
    both = Compose((Footprint(fwhm=4), Downsample(factor=3), geogan.RemovePixel(p=0.2)))
    assert both.downsampling == (3, 3)
    kernel = both.point_spread()
    assert kernel is not None
    assert float(kernel.sum()) == pytest.approx(1)
    with pytest.raises(InputError, match="Downsample blurs and must come before RemovePixel, which hides cells"):
        Compose((geogan.RemovePixel(p=0.2), Downsample(factor=3)))


def test_blocks_of_one_cell_change_nothing():
    assert Downsample(factor=1).exact
    assert not Downsample(factor=1).masks


def test_it_keeps_its_promises():
    check_operator(Downsample(factor=3, columns=2))


@pytest.mark.parametrize("parameters", [{"factor": 0}, {"factor": -2}, {"factor": 2.5}, {"columns": 1000}])
def test_blocks_that_are_not_whole_are_refused(parameters):
    with pytest.raises(InputError, match=r"of downsample must be a whole number of cells between 1 and 512, got"):
        Downsample(**parameters)
