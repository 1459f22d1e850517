"""Tests of the comparison of methods on one date: one colour scale, errors in hidden cells alone."""

import numpy as np
import pytest

from geogan.operators.errors import InputError
from geogan.plotting import plot_methods

pytestmark = pytest.mark.usefixtures("no_network")


def test_errors_are_those_of_hidden_cells(a_field, texts):
    sea = a_field(longitude=np.arange(330.0, 342.0, 0.5))
    hidden = (sea.lon > 336) & (sea.lat > 35)
    estimates = {"high": sea + 0.5, "low": sea - 0.25}
    figure = plot_methods(estimates, sea.where(~hidden), sea.where(hidden))
    meshes = [[c for c in ax.collections if hasattr(c, "get_coordinates")][-1] for ax in figure.axes[:6]]
    shown = [np.ma.filled(mesh.get_array().astype(float), np.nan).reshape(20, 24) for mesh in meshes]
    for number, error in ((3, 0.5), (5, -0.25)):
        np.testing.assert_allclose(shown[number], np.where(hidden.transpose("lat", "lon"), error, np.nan))
    assert len({mesh.get_clim() for mesh in meshes[:3] + meshes[4:5]}) == 1
    assert meshes[3].get_clim() == meshes[5].get_clim() == (-0.5, 0.5)
    words = texts(figure)
    assert "(d) error: RMSE 0.5 °C" in words and "(f) error: RMSE 0.25 °C" in words


def test_errors(a_field):
    with pytest.raises(InputError, match="needs estimates, got none"):
        plot_methods({}, a_field(), a_field())
    with pytest.raises(InputError, match="needs cells with an estimate and a truth"):
        plot_methods({"mean": a_field()}, a_field(), a_field() * np.nan)
