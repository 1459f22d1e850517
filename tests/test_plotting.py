"""Maps say what they show, and nothing reaches for the network."""

import socket

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from geogan import plotting
from geogan.operators.errors import InputError
from geogan.plotting import (
    figure_path,
    observed_part,
    plot_field,
    plot_reconstruction,
    plot_training,
    select_band,
    select_date,
)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*arguments, **named):
        raise AssertionError("a map reached for the network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield
    plt.close("all")


def a_field(latitude=None, longitude=None, dates=0) -> xr.DataArray:
    latitude = np.arange(40.0, 30.0, -0.5) if latitude is None else latitude
    longitude = np.arange(340.0, 352.0, 0.5) if longitude is None else longitude
    y, x = np.meshgrid(latitude, longitude, indexing="ij")
    field = xr.DataArray(
        20 + np.sin(y / 3) + np.cos(x / 2),
        dims=("lat", "lon"),
        coords={
            "lat": ("lat", latitude, {"units": "degrees_north"}),
            "lon": ("lon", longitude, {"units": "degrees_east"}),
        },
        name="sst",
        attrs={"units": "degree_Celsius", "standard_name": "sea_surface_temperature"},
    )
    if dates:
        time = np.datetime64("2019-03-01", "ns") + np.arange(dates) * np.timedelta64(1, "D")
        field = (field + xr.DataArray(0.1 * np.arange(dates), dims="time")).assign_coords(time=time)
        field.attrs = {"units": "degree_Celsius", "standard_name": "sea_surface_temperature"}
        field.name = "sst"
    return field


def texts(figure) -> str:
    from cartopy.mpl.gridliner import Gridliner

    figure.canvas.draw()
    artists = [text for text in figure.findobj(matplotlib.text.Text) if text.get_visible()]
    for gridliner in figure.findobj(Gridliner):
        artists += [text for text in gridliner.label_artists if text.get_visible()]
    return " | ".join(text.get_text() for text in artists)


def test_a_map_has_units_date_and_colours():
    field = a_field(dates=2).isel(time=1)
    ax = plot_field(field)
    words = texts(ax.figure)
    assert "sea surface temperature [°C]" in words and "2019-03-02" in words
    assert "15°W" in words  # 0-360 longitudes are shown as what they are
    mesh = next(c for c in ax.collections if hasattr(c, "get_coordinates"))
    assert mesh.get_cmap().name in ("inferno", "thermal")


def test_north_is_up_and_values_stand_where_they_belong():
    field = a_field()
    ax = plot_field(field, coast=False)
    assert ax.get_ylim() == (30.25, 40.25)
    corner = next(c for c in ax.collections if hasattr(c, "get_coordinates"))
    edges, values = corner.get_coordinates(), corner.get_array().reshape(field.shape)
    assert edges[0, 0].tolist() == pytest.approx([-20.25, 40.25])
    assert values[0, 0] == field.values[0, 0]


@pytest.mark.parametrize(
    "longitude",
    [np.arange(0.5, 360, 4), np.arange(-178.0, 180, 4), np.arange(170.0, 200), np.r_[350:360, 0:10]],
)
def test_any_longitudes(longitude):
    field = a_field(latitude=np.arange(-60.0, 61, 5), longitude=longitude.astype(float))
    ax = plot_field(field)
    width = np.ptp(ax.get_xlim())
    assert width == pytest.approx(abs(np.ptp(np.unwrap(longitude, period=360))) + longitude[1] - longitude[0])
    assert "°" in texts(ax.figure)


def test_labels_across_the_antimeridian():
    ax = plot_field(a_field(latitude=np.arange(-50.0, -20), longitude=np.arange(150.0, 211)))
    assert "180°" in texts(ax.figure)


def test_plain_axes_keep_true_longitudes():
    _, ax = plt.subplots()
    assert plot_field(a_field(longitude=np.arange(170.0, 200)), ax=ax) is ax
    assert ax.get_xlim() == (169.5, 199.5)


def test_a_projection_of_the_callers_own():
    from cartopy import crs

    ax = plt.figure().add_subplot(projection=crs.LambertConformal(central_longitude=-14, central_latitude=35))
    assert plot_field(a_field(), ax=ax) is ax
    ax.figure.canvas.draw()
    low, high = ax.get_xlim()
    assert -1e6 < low < -2e5 and 2e5 < high < 1e6  # metres: the field alone, not the globe


def test_calendars_without_leap_days():
    field = a_field(dates=4)
    times = xr.date_range("2001-02-27", periods=4, calendar="noleap", use_cftime=True)
    field = field.assign_coords(time=times)
    assert "2001-03-01" in plot_reconstruction(field, field, date="2001-03-01").get_suptitle()


def test_a_grid_without_longitudes_gets_plain_axes():
    field = xr.DataArray(np.arange(30.0).reshape(5, 6), dims=("row", "col"), name="ndvi")
    ax = plot_field(field)
    assert not hasattr(ax, "projection")
    assert ax.get_xlabel() == "col" and "ndvi" in texts(ax.figure)


def test_an_empty_map_and_a_large_one():
    plot_field(a_field() * np.nan)
    large = xr.DataArray(np.zeros((3000, 40)), dims=("y", "x"))
    ax = plot_field(large)
    assert ax.collections[0].get_array().size < 1300 * 40
    assert ax.get_ylim() == (-0.5, 2999.5)


def test_reconstruction_with_truth(tmp_path):
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
    panels = [ax for ax in figure.axes if ax.get_title()]
    meshes = [[c for c in ax.collections if hasattr(c, "get_coordinates")][-1] for ax in panels]
    assert meshes[0].get_clim() == meshes[1].get_clim()
    low, high = meshes[2].get_clim()
    assert low == -high
    # A gap and the land do not look alike.
    background = [c for c in panels[0].collections if hasattr(c, "get_coordinates")][0]
    assert len(np.unique(background.to_rgba(background.get_array()).reshape(-1, 4), axis=0)) == 2


def test_reconstruction_with_source_flags(tmp_path):
    filled = a_field()
    source = xr.zeros_like(filled, dtype="int8")
    source.attrs = {"flag_values": np.array([0, 1], "int8"), "flag_meanings": "observed filled"}
    source[:5] = 1
    figure = plot_reconstruction(filled.where(source == 0), filled, source=source, path=tmp_path / "map.pdf")
    assert "source" in texts(figure)
    assert {text.get_text() for text in figure.axes[2].get_legend().get_texts()} == {"observed", "filled"}
    with pytest.raises(InputError, match="flag_meanings"):
        plot_reconstruction(filled, filled, source=filled)


def test_the_default_date_is_half_observed():
    filled = a_field(dates=5)
    observed = filled.where((filled.time != filled.time[3]) | (filled.lat < 35))
    figure = plot_reconstruction(observed, filled)
    assert "2019-03-04" in figure.get_suptitle()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"date": "2030-01-01"}, "date must lie within 2019-03-01 to 2019-03-03"),
        ({"date": "someday"}, "date must be one of the record's"),
        ({"truth": a_field()[::-1]}, "on the grid of the others"),
        ({"truth": a_field()[:3]}, "on the grid of the others"),
        ({"truth": a_field().assign_attrs(units="K")}, "convert one of them"),
        ({"path": "map.doc"}, "path must end in"),
        ({"path": "nowhere/at/all/map.png"}, "does not exist"),
    ],
)
def test_errors(change, words):
    field = a_field(dates=3)
    with pytest.raises(InputError, match=words):
        plot_reconstruction(field, field, **change)


def test_field_errors():
    with pytest.raises(InputError, match="select one date"):
        plot_field(a_field(dates=2))
    with pytest.raises(InputError, match="limits must increase"):
        plot_field(a_field(), limits=(2, 1))
    with pytest.raises(InputError, match="single map"):
        plot_reconstruction(a_field(), a_field(), date="2019-03-01")


def test_training_figure(tmp_path):
    records = [{"step": i, "loss_prior": 1 / (i + 1), "withheld_rmse": 0.5 if i % 2 else None} for i in range(9)]
    before = plt.get_fignums()
    path = plot_training([*records, {"step": 10}], tmp_path / "training.png")
    assert path.stat().st_size > 5_000
    assert plt.get_fignums() == before
    with pytest.raises(InputError, match="first report"):
        plot_training([{"step": 1}], path)


def test_one_date_is_selected():
    field = a_field(dates=5)
    gappy = field.where((field.time != field.time[3]) | (field.lat < 35))
    assert select_date(gappy).time == field.time[3]
    assert select_date(gappy, "2019-03-02").time == field.time[1]
    assert select_date(field.isel(time=0)).ndim == 2
    with pytest.raises(InputError, match="single map"):
        select_date(field.isel(time=0), "2019-03-02")
    with pytest.raises(InputError, match="2019-03-01 to 2019-03-05, got 2020-01-01"):
        select_date(field, "2020-01-01")


def test_what_was_observed_of_a_product():
    filled = a_field(dates=2)
    source = xr.zeros_like(filled, dtype="int8")
    source.attrs = {"flag_values": np.array([3, 1], "int8"), "flag_meanings": "observed filled"}
    source[:] = 1
    source[1, 4:] = 3
    seen = observed_part(filled, source)
    assert seen.notnull().values.tolist() == (source == 3).values.tolist()
    source.attrs["flag_meanings"] = "measured filled"
    with pytest.raises(InputError, match="must name observed"):
        observed_part(filled, source)


def test_where_a_figure_may_go(tmp_path):
    (tmp_path / "map.png").write_text("old")
    (tmp_path / "folder.png").mkdir()
    assert figure_path(tmp_path / "map.png") == tmp_path / "map.png"
    with pytest.raises(InputError, match="exists; give another name"):
        figure_path(tmp_path / "map.png", overwrite=False)
    with pytest.raises(InputError, match="is a folder"):
        figure_path(tmp_path / "folder.png")


def test_a_cell_with_a_truth_is_no_land():
    truth = a_field()
    gappy = truth.where(truth.lon > 345)
    figure = plot_reconstruction(gappy, gappy, truth=truth)
    assert "land" not in texts(figure)


def pictures(bands=3, count=4):
    values = np.random.default_rng(0).uniform(-1, 1, (count, bands, 9, 12))
    field = xr.DataArray(values, dims=("sample", "band", "y", "x"), name="image")
    field.attrs = {"units": "1", "valid_min": -1.0, "valid_max": 1.0, "long_name": "image"}
    return field.assign_coords(band=["red", "green", "blue"]) if bands == 3 else field[:, 0]


def test_an_image_is_drawn_in_its_colours_top_row_first():
    image = select_date(pictures(), "2")
    holed = image.where(~((image.y == 0) & (image.x == 0)))
    ax = plot_field(holed)
    (mesh,) = ax.collections
    colours = mesh.get_array()
    assert colours.shape == (9, 12, 4) and colours[0, 0, 3] == 0 and (colours[1:, :, 3] == 1).all()
    np.testing.assert_allclose(colours[1, 1, :3], (image[:, 1, 1].values + 1) / 2)
    assert ax.get_ylim()[0] > ax.get_ylim()[1] and len(ax.figure.axes) == 1 and ax.get_title() == "sample 2"


def test_a_colour_that_is_not_seen_looks_like_the_gaps():
    image = select_date(pictures(), 1)
    (mesh,) = plot_field(image.where((image.band != "green") | (image.x > 5))).collections
    grey = matplotlib.colors.to_rgb(plotting._GAP)[1]
    assert (mesh.get_array()[:, :6, 1] == grey).all() and (mesh.get_array()[:, :6, 3] == 1).all()


def test_a_triptych_in_colours(tmp_path):
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


def test_a_band_is_named_or_numbered():
    optics = a_field(dates=3).expand_dims(band=["nir", "swir"])
    assert select_band(optics).band.item() == "nir" and select_band(optics, 1).band.item() == "swir"
    assert select_band(optics.drop_vars("band"), "1").dims == a_field(dates=3).dims
    assert plot_field(select_band(select_date(optics), "swir")).get_title().startswith("2019")
    assert select_band(a_field()).dims == ("lat", "lon")
    for band in ("red", 2, "-1"):
        with pytest.raises(InputError, match=f"band must be nir, swir, or a number from 0 to 1, got {band!r}"):
            select_band(optics, band)
    with pytest.raises(InputError, match="the field has no bands; leave band out"):
        select_band(a_field(), "nir")
    with pytest.raises(InputError, match=r"date must be the number of a sample, 0 to 3, got '2015-01-31'"):
        select_date(pictures(), "2015-01-31")


def test_grey_images_have_gaps_in_another_colour():
    grey = pictures(bands=1)
    ax = plot_field(select_date(grey.where(grey.x > 3), 0))
    assert matplotlib.colors.to_hex(ax.get_facecolor()) == plotting._GAP_OF_IMAGES
    assert ax.collections[0].get_clim() == (-1, 1) and ax.collections[0].get_cmap().name == "gray"


def test_the_predicted_error_is_the_third_panel_and_what_was_observed_is_certain():
    from geogan.synthetic import synthetic_sst

    truth = synthetic_sst(days=1, size=24)["sst"]
    observed = truth.where(truth.lon < -45.2)
    std = (0.1 + 0 * truth).where(observed.isnull() & truth.notnull()).rename("sst_std")
    figure = plot_reconstruction(observed, truth, std=std)
    titles = [ax.get_title() for ax in figure.axes]
    assert "predicted error" in titles and "source" not in titles
    (panel,) = [ax for ax in figure.axes if ax.get_title() == "predicted error"]
    shown = np.ma.filled(panel.collections[1].get_array().astype(float), np.nan).reshape(24, 24)
    seen, gap = observed[0].notnull().values, std[0].notnull().values
    assert set(np.unique(shown[seen])) == {0.0} and np.allclose(shown[gap], 0.1)
    plt.close(figure)
