"""A model finds the position of a field on its grid, and refuses other grids."""

import copy
import dataclasses

import numpy as np
import pytest
import xarray as xr

from geogan.fields.field import Field
from geogan.fields.variables import join_variables
from geogan.model import Model
from geogan.operators.errors import InputError


def field(rows, columns, *, y=None, x=None, units="K"):
    coords = {name: values for name, values in (("lat", y), ("lon", x)) if values is not None}
    return xr.DataArray(np.zeros((2, rows, columns)), dims=("time", "lat", "lon"), coords=coords, name="t",
                        attrs={"units": units})  # fmt: skip


@pytest.fixture
def kelvins(model):
    return dataclasses.replace(
        model, y=np.linspace(50, 40, 11), x=np.arange(0.0, 7.0), domain=np.ones((11, 7), bool), units="K"
    )


@pytest.mark.parametrize(("rows", "columns"), [(slice(0, 11), slice(0, 7)), (slice(3, 9), slice(6, 7))])
def test_a_part_is_found(kelvins, rows, columns):
    part = field(11, 7, y=kelvins.y, x=kelvins.x)[:, rows, columns]
    assert kelvins.place(Field.of(part)) == (rows, columns)
    assert kelvins.place(Field.of(part.transpose("lon", "time", "lat"))) == (rows, columns)
    nudged = part.assign_coords(lat=part.lat.astype(np.float32) + 1e-3)
    assert kelvins.place(Field.of(nudged)) == (rows, columns)


def test_without_coordinates_sizes_decide(kelvins):
    assert kelvins.place(Field.of(field(11, 7))) == (slice(0, 11), slice(0, 7))
    gridless = dataclasses.replace(kelvins, y=None, x=None)
    assert gridless.place(Field.of(field(11, 7, y=np.arange(11), x=np.arange(7)))) == (slice(0, 11), slice(0, 7))
    with pytest.raises(InputError, match="the model's grid has 11 cells along lat, but t has 6"):
        kelvins.place(Field.of(field(6, 7)))


@pytest.mark.parametrize(
    "y", [np.linspace(40, 50, 11), np.linspace(50, 40, 11) + 0.4, np.linspace(51, 41, 11), np.linspace(50, 45, 11)]
)
def test_other_rows_are_refused(kelvins, y):
    with pytest.raises(InputError, match=r"lat of t .* 11 cells\) is not part of the model's grid \(50 to 40"):
        kelvins.place(Field.of(field(11, 7, y=y, x=kelvins.x)))


def test_a_larger_grid_is_refused(kelvins):
    with pytest.raises(InputError, match="lon of t .* 9 cells.* is not part of the model's grid"):
        kelvins.place(Field.of(field(11, 9, y=kelvins.y, x=np.arange(0.0, 9.0))))


def test_other_units_are_refused(kelvins):
    with pytest.raises(InputError, match="in K, but t is in degC; convert it"):
        kelvins.place(Field.of(field(11, 7, units="degC")))
    with pytest.raises(InputError, match="in K, but t is in no units"):
        kelvins.place(Field.of(field(11, 7, units="")))


def test_the_grid_of_a_field():
    labels = Model.labels_of(Field.of(field(3, 2, y=[3, 2, 1], x=["a", "b"])))
    y, x = labels["y"], labels["x"]
    assert y.tolist() == [3.0, 2.0, 1.0] and y.dtype == np.float64 and x is None


def test_of_several_variables_each_has_units(kelvins):
    scale = np.ones(2)
    standardiser = dataclasses.replace(kelvins.standardiser, scale=scale, transform="none,log")
    two = dataclasses.replace(
        kelvins, standardiser=standardiser, variable="t,chl", units="", bands=("t", "chl"), band_units=("K", "mg m-3")
    )
    t, chl = (
        field(11, 7, y=kelvins.y, x=kelvins.x, units=units).rename(name)
        for name, units in zip(two.bands, two.band_units, strict=True)
    )
    assert two.place(Field.of(join_variables([t, chl]))) == (slice(0, 11), slice(0, 7))
    assert two.place(Field.of(join_variables([t, chl])[:, :, 3:9])) == (slice(3, 9), slice(0, 7))
    with pytest.raises(InputError, match="trained on chl in mg m-3, but chl is in g m-3; convert it"):
        two.place(Field.of(join_variables([t, chl.assign_attrs(units="g m-3")])))
    for other in (join_variables([chl, t]), t):
        with pytest.raises(InputError, match=f"variables t, chl together, but {other.name} was given"):
            two.place(Field.of(other))


def test_on_a_globe_a_field_may_begin_at_any_meridian(kelvins):
    east = np.arange(0.0, 360, 30)
    globe = dataclasses.replace(kelvins, x=east, domain=np.ones((11, 12), bool))
    for start, count in ((0, 12), (5, 12), (9, 7), (11, 1)):
        x = (east[(np.arange(count) + start) % 12] + 180) % 360 - 180
        assert globe.place(Field.of(field(11, count, y=globe.y, x=x))) == (slice(0, 11), slice(start, start + count))
    for x in (east[::-1], east + 10, east[::2], np.arange(0.0, 391, 30)):
        with pytest.raises(InputError, match="is not part of the model's grid"):
            globe.place(Field.of(field(11, len(x), y=globe.y, x=x)))
    # Metres do not go round.
    metres = (
        field(11, 12, y=globe.y, x=np.roll(east, 3))
        .rename(lon="x")
        .assign_coords(x=("x", np.roll(east, 3), {"units": "m"}))
    )
    with pytest.raises(InputError, match="is not part of the model's grid"):
        globe.place(Field.of(metres))


def spoiled(model, **changes):
    return dataclasses.replace(model, **changes)


def test_a_model_that_is_not_finite_is_refused_and_the_parameter_named(model):
    model.check_finite()
    network = copy.deepcopy(model.network)
    network.leave.weight.data[0, 0] = float("nan")
    error = copy.deepcopy(model.error)
    next(iter(error.parameters())).data.fill_(1)
    next(iter(error.parameters())).data[0] = float("inf")
    standard = model.standardiser
    holes = standard.coefficients.copy()
    holes[0, 0][model.domain.nonzero()[0][0], model.domain.nonzero()[1][0]] = np.nan
    land = standard.coefficients.copy()
    land[..., ~model.domain] = np.nan
    for changes, named in [
        ({"network": network}, r"network\..*weight"),
        ({"error": error}, r"error\..*weight"),
        ({"standardiser": dataclasses.replace(standard, coefficients=holes)}, "standardiser.coefficients"),
        ({"standardiser": dataclasses.replace(standard, scale=np.array([np.nan]))}, "standardiser.scale"),
        ({"standardiser": dataclasses.replace(standard, scale=np.array([0.0]))}, "standardiser.scale"),
        ({"standardiser": dataclasses.replace(standard, scale=np.array([np.inf]))}, "standardiser.scale"),
        ({"observation_error": float("nan")}, "observation_error"),
    ]:
        with pytest.raises(InputError, match=named):
            spoiled(model, **changes).check_finite()
    # What lies outside the domain is never looked at.
    spoiled(model, standardiser=dataclasses.replace(standard, coefficients=land)).check_finite()
