"""Coverage counts gaps of the domain, and stays lazy."""

import numpy as np
import pytest
import xarray as xr

from geogan.coverage import coverage
from geogan.operators.errors import InputError


def maps():
    values = np.ones((3, 4, 5))
    values[:, :, 0] = np.nan  # land
    values[1, :, :3] = np.nan
    values[2] = np.nan
    return xr.DataArray(values, dims=("time", "lat", "lon"), coords={"time": [5, 6, 7]}, name="sst")


def test_land_is_no_gap():
    covered = coverage(maps())
    assert covered.values.tolist() == [0.0, 0.5, 1.0]
    assert covered.time.values.tolist() == [5, 6, 7]
    assert covered.attrs["units"] == "1"


def test_another_domain():
    everywhere = xr.DataArray(np.ones((4, 5), int), dims=("lat", "lon"))
    assert coverage(maps(), domain=everywhere).values.tolist() == pytest.approx([0.2, 0.6, 1.0])
    with pytest.raises(InputError, match=r"domain must have the dimensions \(lat, lon\)"):
        coverage(maps(), domain=everywhere.rename(lat="y"))


def test_lazy_stays_lazy_and_a_single_map_is_covered_by_nothing():
    assert coverage(maps().chunk(time=1)).chunks is not None
    assert float(coverage(maps()[1])) == 0.0


def test_bands_are_covered_each_and_samples_everywhere():
    both = xr.concat([maps(), maps().where(maps().lat > 1)], "band")
    covered = coverage(both)
    assert set(covered.dims) == {"time", "band"}
    assert covered.sel(band=1).transpose("time").values.tolist() == [0.5, 0.75, 1.0]
    assert coverage(maps().rename(time="sample")).values.tolist() == pytest.approx([0.2, 0.6, 1.0])
