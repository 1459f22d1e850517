"""Tests of the figure of members: their values and the spread of all of them."""

import numpy as np
import pytest
import xarray as xr

from geogan.operators.errors import InputError
from geogan.plotting import MapStyle, plot_members

pytestmark = pytest.mark.usefixtures("no_network")


def values_of(ax):
    mesh = [c for c in ax.collections if hasattr(c, "get_coordinates")][-1]
    return np.ma.filled(mesh.get_array().astype(float), np.nan).reshape(20, 24)


def test_members_and_their_spread(a_field):
    truth = a_field(longitude=np.arange(330.0, 342.0, 0.5), dates=2).transpose("time", "lat", "lon")
    observed = truth.where(truth.lon < 335)
    noise = np.random.default_rng(0).normal(size=(5, 2, 20, 24))
    members = xr.concat([truth] * 5, "member") + observed.isnull().values * noise
    figure = plot_members(
        members, truth, observed=observed, count=2, date="2019-03-02", style=MapStyle(limits=(18.0, 22.0))
    )
    first, second, estimate, spread = figure.axes[:4]
    for ax, expected in ((first, members[0, 1]), (second, members[1, 1]), (estimate, truth[1])):
        np.testing.assert_allclose(values_of(ax), expected)
        assert [c for c in ax.collections if hasattr(c, "get_coordinates")][-1].get_clim() == (18, 22)
    expected = members[:, 1].std("member", ddof=1).where(observed[1].isnull())
    np.testing.assert_allclose(values_of(spread), expected)
    assert "2019-03-02" in figure.get_suptitle()


@pytest.mark.parametrize("count", [0, 4, 2.5, True])
def test_as_many_members_as_there_are(a_field, count):
    members = xr.concat([a_field()] * 3, "member")
    with pytest.raises(InputError, match="from 1 to 3"):
        plot_members(members, a_field(), count=count)
    with pytest.raises(InputError, match="dimension member of 2 or more"):
        plot_members(a_field(), a_field())
