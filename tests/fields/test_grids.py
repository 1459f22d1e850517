"""Grids are compared by the coordinates of their cells, for any names of dimensions."""

import dataclasses

import numpy as np
import pytest
import xarray as xr
from runs import make_reconstructor

import geogan
from geogan.fields.field import Field
from geogan.fields.grids import Misfit, difference, part_of, places_of
from geogan.fields.observation_error import observation_error
from geogan.model import load_model, save_model
from geogan.operators.errors import InputError

LAT, LON = np.linspace(40.0, 43.8, 20), np.linspace(0.0, 4.6, 24)
NORTH, EAST = {"units": "degrees_north"}, {"units": "degrees_east"}


def coordinates(kind, south=0.0, east=0.0):
    """Return coordinates of 20 x 24 cells on dimensions nj, ni."""
    lat, lon = LAT - south, LON + east
    if kind == "index":
        return {"nj": ("nj", lat), "ni": ("ni", lon)}
    if kind == "projected":
        return {"nj": ("nj", lat * 1e5, {"units": "m"}), "ni": ("ni", lon * 1e5, {"units": "m"})}
    if kind == "beside":
        return {"latitude": ("nj", lat, NORTH), "longitude": ("ni", lon, EAST)}
    bent = lat[:, None] + 0.02 * np.arange(24), lon[None] + 0.02 * np.arange(20)[:, None]
    if kind == "moving":
        bent = tuple(np.broadcast_to(each, (4, 20, 24)) for each in bent)
        return {"XLAT": (("time", "nj", "ni"), bent[0], NORTH), "XLONG": (("time", "nj", "ni"), bent[1], EAST)}
    return {"lat": (("nj", "ni"), bent[0], NORTH), "lon": (("nj", "ni"), bent[1], EAST)}


KINDS = ("index", "projected", "beside", "curvilinear", "moving")


def maps(kind="curvilinear", south=0.0, east=0.0, steps=4, start=0):
    values = np.random.default_rng(start).normal(15, 3, (steps, 20, 24))
    for step in range(steps):
        values[step, 3:9, 3 * (step % 5) : 3 * (step % 5) + 7] = np.nan
    time = np.datetime64("2001-01-01", "ns") + (start + np.arange(steps)) * np.timedelta64(1, "D")
    coords = coordinates(kind, south, east) | {"time": time}
    return xr.DataArray(values, dims=("time", "nj", "ni"), coords=coords, name="sst", attrs={"units": "degC"})


@pytest.mark.parametrize("kind", KINDS)
def test_another_place_is_another_grid(kind):
    here = maps(kind)
    assert difference(Field.of(here), Field.of(maps(kind, start=4))) is None
    assert difference(Field.of(here), Field.of(here.astype("f4").transpose("ni", "time", "nj"))) is None
    assert difference(Field.of(here), Field.of(maps(kind, south=70))) is not None
    assert difference(Field.of(here), Field.of(maps(kind, east=120))) is not None


@pytest.mark.parametrize("kind", ["beside", "curvilinear"])
def test_longitudes_are_the_same_once_round_the_globe(kind):
    assert difference(Field.of(maps(kind)), Field.of(maps(kind, east=360))) is None


def test_single_precision_is_the_same_grid():
    field = maps("curvilinear", east=170)
    rounded = field.assign_coords({name: field[name].astype("f4") for name in ("lat", "lon")})
    assert (
        difference(Field.of(field), Field.of(rounded)) is None
        and difference(Field.of(rounded), Field.of(field)) is None
    )


def test_a_regular_grid_is_the_same_with_one_or_two_dimensions():
    flat = maps("beside")
    lat, lon = xr.broadcast(flat.latitude, flat.longitude)
    full = flat.drop_vars(["latitude", "longitude"]).assign_coords(lat=lat.variable, lon=lon.variable)
    assert difference(Field.of(flat), Field.of(full)) is None
    assert difference(Field.of(flat), Field.of(full.assign_coords(lat=full.lat.variable - 70))) is not None


def test_what_is_not_known_is_not_compared():
    assert difference(Field.of(maps()), Field.of(maps().drop_vars(["lat", "lon"]))) is None
    assert str(difference(Field.of(maps()), Field.of(maps()[:, :7]))) == "20 x 24 cells, and 7 x 24 cells"


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
@pytest.mark.parametrize("kind", KINDS)
def test_files_of_another_place_are_refused(tmp_path, kind, suffix):
    for number, south in enumerate((0, 0, 70)):
        dataset = maps(kind, south=south, start=4 * number).to_dataset()
        write = dataset.to_netcdf if suffix == "nc" else dataset.to_zarr
        write(tmp_path / f"{number}.{suffix}")
    paths = [tmp_path / f"{number}.{suffix}" for number in range(3)]
    assert geogan.open_field(paths[:2]).sizes["time"] == 8
    assert difference(Field.of(geogan.open_field(paths[:2])), Field.of(maps(kind))) is None
    with pytest.raises(InputError, match=rf"2\.{suffix} is on another grid than .*0\.{suffix} \("):
        geogan.open_field(paths)


@pytest.mark.parametrize("kind", ["index", "beside"])
def test_a_row_without_a_place_is_refused(kind):
    field = maps(kind)
    name = "nj" if kind == "index" else "latitude"
    values = field[name].values.copy()
    values[3] = np.nan
    broken = field.assign_coords({name: (field[name].dims, values, field[name].attrs)})
    with pytest.raises(InputError, match=f"coordinate '{name}' of variable 'sst' is not a finite number at 1 of 20"):
        places_of(Field.of(broken))


def test_corners_of_a_swath_may_have_no_place_but_not_all_of_it():
    field = maps()
    corner = field.assign_coords(lat=field.lat.where(field.lat > 40.1))
    assert np.isnan(places_of(Field.of(corner))["latitude"]).any()
    assert difference(Field.of(corner), Field.of(field)) is None
    with pytest.raises(InputError, match="coordinate 'lat' of variable 'sst' is not a finite number at 480 of 480"):
        places_of(Field.of(field.assign_coords(lat=field.lat * np.nan)))


def test_a_grid_that_moves_with_time_is_refused():
    field = maps("moving")
    moved = field.assign_coords(XLAT=field.XLAT + xr.DataArray(np.arange(4.0), dims="time"))
    moved.XLAT.attrs.update(NORTH)
    with pytest.raises(InputError, match="coordinate 'XLAT' changes along 'time', so the grid moves with time"):
        places_of(Field.of(moved))


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_is_found_where_it_lies(kind):
    whole, rows, columns = places_of(Field.of(maps(kind))), slice(5, 15), slice(2, 20)
    part = places_of(Field.of(maps(kind)[:, rows, columns]))
    assert part_of(whole, (20, 24), part, (10, 18)) == (rows, columns)
    assert isinstance(part_of(part, (10, 18), whole, (20, 24)), Misfit)
    other = places_of(Field.of(maps(kind, south=70)[:, rows, columns]))
    assert isinstance(part_of(whole, (20, 24), other, (10, 18)), Misfit)


@pytest.fixture
def trained(prior):
    def train(field, **more):
        return make_reconstructor(
            "observed_gaps", window=1, width=4, crop=16, batch=2, steps=1, precision="float32", threads=1,
            first_guess=prior, blocks=2, posterior_draws=2,
        ).fit(field, **more)  # fmt: skip

    return train


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_fills_its_own_place_only(trained, tmp_path, kind):
    field = maps(kind, steps=12) if kind != "moving" else maps("curvilinear", steps=12)
    trained(field).save(tmp_path / "model")
    model = load_model(tmp_path / "model")
    assert model.place(Field.of(field[:, 4:12, 3:20])) == (slice(4, 12), slice(3, 20))
    for other in (maps(kind, south=70), maps(kind, east=120)):
        with pytest.raises(InputError, match="is not part of the model's grid"):
            other.geogan.fill(tmp_path / "model")


def test_a_model_of_an_earlier_format_is_read(model, tmp_path):
    earlier = dataclasses.replace(model, kinds={}, places={})
    save_model(tmp_path, earlier)
    loaded = load_model(tmp_path)
    assert loaded.kinds == {} and loaded.places == {} and np.array_equal(loaded.y, model.y)


def test_a_model_of_rows_and_columns_knows_their_latitudes(trained):
    field = maps("index", steps=12).rename(nj="lat", ni="lon")
    model = trained(field).model_
    assert model.kinds == {"y": "latitude", "x": "longitude"}
    full = maps("curvilinear", south=70)
    with pytest.raises(InputError, match="latitude of sst .* is not part of the model's grid"):
        model.place(Field.of(full))


def test_an_error_of_another_place_is_refused():
    field, error = maps(), maps(south=70).fillna(1.0).clip(0.1).assign_attrs(units="degC")
    assert observation_error(Field.of(field), error=maps(start=0).fillna(1.0).clip(0.1)) is not None
    with pytest.raises(InputError, match="is on another grid than sst: latitude"):
        observation_error(Field.of(field), error=error)


def test_a_covariate_of_another_place_is_refused(trained):
    field = maps(steps=12)
    depth = maps(south=70)[0].drop_vars("time").fillna(1.0).rename("depth")
    with pytest.raises(InputError, match="covariate 'depth' .* is on another grid than sst"):
        make_reconstructor("observed_gaps", covariates="depth", steps=1, width=4).fit(
            field, covariates={"depth": depth}
        )
