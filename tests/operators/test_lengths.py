"""Lengths in km: converted to cells by the coordinates of a field."""

import numpy as np
import pytest
import torch
import xarray as xr

import geogan
from geogan.fields.cell_size import cell_size
from geogan.fields.field import Field
from geogan.operators.errors import InputError
from geogan.operators.footprint import Footprint, beam_covariance
from geogan.operators.operator import CellSize
from geogan.operators.parse import describe, parse

# Rows are 10 km apart, columns 5 km.
CELLS = CellSize(rows=10.0, columns=5.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("swath:width=300km,gap=50 km,angle=0", geogan.Swath(width=60, gap=10, angle=0)),
        ("tracks:spacing=20km,angle=0", geogan.Tracks(spacing=4, angle=0)),
        ("cloud_mask:scale=100km,aspect=1", geogan.CloudMask(scale=14.1421, aspect=2)),
        ("cloud_mask:scale=100km", geogan.CloudMask(scale=14.1421)),
        ("downsample:factor=25km", geogan.Downsample(factor=2, columns=5)),
        ("downsample:columns=2KM", geogan.Downsample(factor=4, columns=1)),
        ("stripes:period=80km,height=20km,wedge=500km", geogan.Stripes(period=8, height=2, wedge=100)),
        ("radar_sector:reach=150km", geogan.RadarSector(reach=21.2132)),
        ("drifters:speed=7.0710678km", geogan.Drifters(speed=1)),
        ("noise:line=0.2,length=40km", geogan.Noise(line=0.2, length=8)),
        ("footprint:fwhm=25km + swath:width=20km", "footprint:fwhm=5.0,across=2.5,angle=90.0 + swath:width=4.0"),
    ],
)
def test_lengths_become_cells_along_their_axis(text, expected):
    expected = parse(expected) if isinstance(expected, str) else expected
    operator = parse(text)
    assert parse(describe(operator)) == operator
    found = operator.on_grid(CELLS)
    if "swath" in text and "angle" not in text:
        found = geogan.Compose((found.operators[0], geogan.Swath(width=found.operators[1].width)))
    assert found == expected
    assert parse(describe(expected)).on_grid(None) == expected, "cells stay cells"


def test_a_beam_keeps_its_shape_on_the_ground():
    """Moments of the kernel, in km, are those of the beam."""
    operator = parse("footprint:fwhm=120km,across=60km,angle=35").on_grid(CELLS)
    kernel = operator.point_spread().numpy()
    grid = np.meshgrid(*[np.arange(side) - side // 2 for side in kernel.shape], indexing="ij")
    places = np.stack(grid) * np.array([10.0, 5.0])[:, None, None]
    found = np.einsum("ayx,byx,yx->ab", places, places, kernel)
    rows, both, columns = beam_covariance(120.0, 60.0, 35.0)
    np.testing.assert_allclose(found, [[rows, both], [both, columns]], rtol=0.06)


@pytest.mark.parametrize("name", ["swath", "tracks"])
def test_strips_keep_their_angle_on_the_ground(name):
    length = {"swath": "width", "tracks": "spacing"}[name]
    operator = parse(f"{name}:{length}=200km,angle=20").on_grid(CELLS)
    # A strip moves by tan(20 degrees) km to the side in one km along, so by twice as many columns as rows.
    assert np.tan(np.deg2rad(operator.angle)) == pytest.approx(2 * np.tan(np.deg2rad(20)), rel=1e-4)


def field(**coords) -> xr.DataArray:
    values = np.random.default_rng(0).standard_normal((2, 12, 16)).astype("float32")
    return xr.DataArray(values, dims=("time", "y", "x"), coords=coords)


def curved() -> dict:
    latitude, longitude = np.meshgrid(60 + 0.1 * np.arange(12), 179 + 0.2 * np.arange(16), indexing="ij")
    return {
        "lat": (("y", "x"), latitude),
        "lon": (("y", "x"), (longitude + 180) % 360 - 180),
    }


@pytest.mark.parametrize(
    ("coords", "rows", "columns"),
    [
        ({"y": ("y", 60 + 0.1 * np.arange(12), {"units": "degrees_north"}),
          "x": ("x", 0.2 * np.arange(16), {"units": "degrees_east"})}, 11.12, 22.24 * np.cos(np.deg2rad(60.55))),
        ({"y": ("y", -4000.0 * np.arange(12), {"units": "m"}), "x": ("x", np.arange(16), {"units": "km"})}, 4.0, 1.0),
        (curved(), 11.12, 22.24 * np.cos(np.deg2rad(60.55))),
    ],
    ids=["degrees", "metres", "curved"],
)  # fmt: skip
def test_the_size_of_cells_is_that_in_the_middle(coords, rows, columns):
    size = cell_size(Field.of(field(**coords)))
    assert size is not None
    assert (size.rows, size.columns) == pytest.approx((rows, columns), rel=2e-3)


def test_a_field_is_blurred_by_a_beam_in_km():
    coords = {"y": ("y", 10.0 * np.arange(12), {"units": "km"}), "x": ("x", 5.0 * np.arange(16), {"units": "km"})}
    truth = field(**coords)
    xr.testing.assert_allclose(
        geogan.corrupt(truth, "footprint:fwhm=50km"), geogan.corrupt(truth, Footprint(fwhm=10, across=5, angle=90))
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("footprint:fwhm=-25km", "fwhm of footprint must be more than 0, got -25km"),
        ("footprint:fwhm=0km", "fwhm of footprint must be more than 0, got 0km"),
        ("footprint:fwhm=nankm", "fwhm of footprint must be more than 0, got nankm"),
        ("footprint:fwhm=25 miles", "must be a number, a length such as 25km, true, false or none, got '25 miles'"),
        ("cloud_mask:coverage=25km", "coverage of cloud_mask is no length in km, got 25km"),
        ("patch_band:h=25km", "h of patch_band is no length in km"),
    ],
)
def test_what_is_no_length_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "footprint:fwhm=25km",
            "fwhm=25km needs a field with latitudes and longitudes, or with coordinates in m or km",
        ),
        ("noise + swath:gap=25km", "gap=25km needs a field"),
        ("cloud_mask:scale=25km", "or scale in cells"),
    ],
)
def test_km_without_coordinates_are_refused(text, message):
    for use in (
        lambda: geogan.corrupt(field(), text),
        lambda: parse(text).sample((1, 1, 1, 5, 5), generator=torch.Generator()),
    ):
        with pytest.raises(InputError, match=message):
            use()


def test_a_length_out_of_range_in_cells_is_refused():
    with pytest.raises(InputError, match="must have the same unit, got one in km and one in cells"):
        parse("footprint:fwhm=3,across=25km").on_grid(CELLS)
    with pytest.raises(InputError, match=r"fwhm of footprint must be more than 0 and at most 200 cells, got 1000"):
        parse("footprint:fwhm=10000km").on_grid(CellSize(10, 10))
