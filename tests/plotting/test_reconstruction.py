"""Tests of the figure of a reconstruction and its third map."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from geogan.operators.errors import InputError
from geogan.plotting import plot_reconstruction

pytestmark = pytest.mark.usefixtures("no_network")


def test_reconstruction_with_truth(tmp_path, a_field, texts):
    truth = a_field(dates=3)
    truth = truth.where((truth.lat < 38) | (truth.lon > 344))
    observed = truth.where(truth.lon > 345)
    filled = observed.fillna(truth + 0.5)
    path = tmp_path / "map.png"
    figure = plot_reconstruction(observed, filled, truth=truth, date="2019-03-02", path=path)
    words = texts(figure)
    for expected in ("observed", "filled − truth: RMSE 0.5 °C in the gaps", "[°C]", "2019-03-02", "land"):
        assert expected in words
    assert path.stat().st_size > 10_000
    maps = [ax for ax in figure.axes if ax.get_title()]
    meshes = [[c for c in ax.collections if hasattr(c, "get_coordinates")][-1] for ax in maps]
    assert meshes[0].get_clim() == meshes[1].get_clim()
    low, high = meshes[2].get_clim()
    assert low == -high
    # Gaps and land have different colours.
    background = [c for c in maps[0].collections if hasattr(c, "get_coordinates")][0]
    assert len(np.unique(background.to_rgba(background.get_array()).reshape(-1, 4), axis=0)) == 2


def test_the_default_date_is_half_observed(a_field):
    filled = a_field(dates=5)
    observed = filled.where((filled.time != filled.time[3]) | (filled.lat < 35))
    figure = plot_reconstruction(observed, filled)
    assert "2019-03-04" in figure.get_suptitle()


def test_calendars_without_leap_days(a_field):
    field = a_field(dates=4)
    times = xr.date_range("2001-02-27", periods=4, calendar="noleap", use_cftime=True)
    field = field.assign_coords(time=times)
    assert "2001-03-01" in plot_reconstruction(field, field, date="2001-03-01").get_suptitle()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"date": "2030-01-01"}, "date must lie within 2019-03-01 to 2019-03-03"),
        ({"date": "someday"}, "date must be one of the record's"),
        ({"truth": lambda field: field[::-1]}, "on the grid of the others"),
        ({"truth": lambda field: field[:3]}, "on the grid of the others"),
        ({"truth": lambda field: field.assign_attrs(units="K")}, "convert one of them"),
        ({"path": "map.doc"}, "path must end in"),
        ({"path": "nowhere/at/all/map.png"}, "does not exist"),
    ],
)
def test_errors(change, words, a_field):
    field = a_field(dates=3)
    change = {name: value(a_field()) if callable(value) else value for name, value in change.items()}
    with pytest.raises(InputError, match=words):
        plot_reconstruction(field, field, **change)


def test_a_cell_with_a_true_value_is_not_land(a_field, texts):
    truth = a_field()
    gappy = truth.where(truth.lon > 345)
    figure = plot_reconstruction(gappy, gappy, truth=truth)
    assert "land" not in texts(figure)


def test_colour_images(tmp_path, pictures, texts):
    truth = pictures()
    gappy = truth.where(np.random.default_rng(1).random((4, 1, 9, 12)) < 0.5)
    filled = gappy.fillna(0.25)
    figure = plot_reconstruction(gappy, filled, truth=truth, date=3, path=tmp_path / "colours.png")
    error = float(np.sqrt(((filled - truth)[3].where(gappy[3].isnull()) ** 2).mean()))
    assert f"RMSE {error:.2g} in the gaps" in texts(figure) and "image, sample 3" in texts(figure)
    assert "root mean square of the bands" in texts(figure) and (tmp_path / "colours.png").stat().st_size > 5000
    source = xr.where(gappy.notnull(), 0, 1).assign_attrs(flag_values=[0, 1], flag_meanings="observed filled")
    figure = plot_reconstruction(gappy, filled, source=source)
    assert "observed" in texts(figure) and "filled" in texts(figure)
    one = plot_reconstruction(gappy, filled, truth=truth, band="green", date=3)
    assert "image, green, sample 3" in texts(one) and "root mean square" not in texts(one)


def test_the_predicted_error_is_zero_where_observed():
    from geogan.fields.synthetic import synthetic_sst

    truth = synthetic_sst(days=1, size=24)["sst"]
    observed = truth.where(truth.lon < -45.2)
    std = (0.1 + 0 * truth).where(observed.isnull() & truth.notnull()).rename("sst_std")
    figure = plot_reconstruction(observed, truth, std=std)
    titles = [ax.get_title() for ax in figure.axes]
    assert "predicted error" in titles and "source" not in titles
    (error_map,) = [ax for ax in figure.axes if ax.get_title() == "predicted error"]
    shown = np.ma.filled(error_map.collections[1].get_array().astype(float), np.nan).reshape(24, 24)
    is_observed, is_gap = observed[0].notnull().values, std[0].notnull().values
    assert set(np.unique(shown[is_observed])) == {0.0} and np.allclose(shown[is_gap], 0.1)
    plt.close(figure)
