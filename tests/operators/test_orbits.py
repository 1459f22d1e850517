"""Repeat orbits: angle and distance of ground tracks."""

import numpy as np
import pytest
import xarray as xr

import geogan
from geogan.fields.cell_size import cell_size
from geogan.fields.field import Field
from geogan.operators.errors import InputError
from geogan.operators.operator import CellSize
from geogan.operators.orbits import ORBITS, ground_track, orbit_of, track_angle
from geogan.operators.parse import describe, parse


@pytest.mark.parametrize("name", ORBITS)
def test_the_angle_is_that_of_the_ground_track(name):
    """The formula of the angle against a small piece of the track, which is rotated under the orbit."""
    orbit = ORBITS[name]
    for turned in (0.0, 20.0, 35.0, 60.0):
        (south, west), (north, east) = (ground_track(orbit, turned + step) for step in (-0.01, 0.01))
        middle, _ = ground_track(orbit, turned)
        eastward = ((east - west + 180) % 360 - 180) * np.cos(np.deg2rad(middle))
        assert track_angle(orbit, middle) == pytest.approx(np.degrees(np.arctan2(eastward, north - south)), abs=0.01)


@pytest.mark.parametrize("name", ORBITS)
def test_a_cycle_closes_and_its_tracks_are_evenly_spaced(name):
    orbit = ORBITS[name]
    starts = np.array([ground_track(orbit, 360.0 * number)[1] for number in range(orbit.revolutions + 1)]) % 360
    assert (starts[-1] - starts[0] + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(np.diff(np.sort(starts[:-1])), 360 / orbit.revolutions, atol=1e-6)


def sea(latitude: float, step: float = 0.25) -> xr.DataArray:
    coords = {"lat": latitude + step * (np.arange(40) - 19.5), "lon": step * np.arange(60)}
    return xr.DataArray(np.ones((20, 40, 60), np.float32), dims=("time", "lat", "lon"), coords=coords)


@pytest.mark.parametrize("latitude", [0.0, 40.0, -60.0])
def test_tracks_of_an_orbit_have_its_distance_and_angle(latitude):
    field = sea(latitude)
    tracks = parse("tracks:orbit=jason,satellites=1").on_grid(cell_size(Field.of(field)))
    # Distances in degrees of longitude do not depend on the latitude.
    assert tracks.spacing * 0.25 == pytest.approx(360 / 127, rel=1e-4)
    assert tracks.repeat == 10
    slope = np.tan(np.deg2rad(tracks.angle)) * np.cos(np.deg2rad(latitude))
    assert slope == pytest.approx(np.tan(np.deg2rad(track_angle(ORBITS["jason"], latitude))), rel=1e-4)
    seen = geogan.corrupt(field, "tracks:orbit=jason,satellites=1", seed=1).notnull().values
    # On a date, a row of 15 degrees has 0.53 ascending and as many descending tracks; ten dates have them all.
    assert seen[:10].sum((0, 2)).mean() == pytest.approx(2 * 15 / 360 * 127, rel=0.15)
    assert (seen[:10] == seen[10:]).all()


def test_swaths_of_an_orbit_leave_the_gaps_between_its_passes():
    swath = parse("swath:orbit=metop,width=1400km").on_grid(CellSize(rows=25.0, columns=25.0, latitude=0.0))
    orbit = ORBITS["metop"]
    assert 25 * (swath.width + swath.gap) == pytest.approx(6371 * 2 * np.pi / orbit.per_turn, rel=1e-4)
    assert 25 * swath.width * np.cos(np.deg2rad(swath.angle)) == pytest.approx(1400, rel=1e-4)
    # Passes of the next date are shifted by the part of a revolution that is left after a turn of the Earth.
    assert 1 / swath.repeat == pytest.approx(orbit.per_turn % 1, rel=1e-4)
    assert swath.angle < 0, "ascending passes of a retrograde orbit lean to the west"


def test_an_orbit_of_numbers_and_its_text():
    operator = parse("tracks:satellites=3,orbit=66.04/10/127")
    assert parse(describe(operator)) == operator
    assert operator.on_grid(CellSize(10.0, 10.0, 30.0)) == parse("tracks:orbit=jason,satellites=3").on_grid(
        CellSize(10.0, 10.0, 30.0)
    )


@pytest.mark.parametrize("text", ["sputnik", "66/10", "66/ten/127", "66.0/127/10", "190/10/127"])
def test_orbits_that_are_none_are_refused(text):
    with pytest.raises(InputError, match=r"no orbit is named .*choose from jason, .* or give inclination/days/revol"):
        orbit_of(text)
    with pytest.raises(InputError, match="no orbit is named"):
        parse(f"tracks:orbit={text}")


@pytest.mark.parametrize(
    ("text", "latitude", "message"),
    [
        ("tracks:orbit=jason", 70.0, "inclination of 66.04 degrees does not come to the latitude 70"),
        ("tracks:orbit=jason", None, "orbit=jason needs a field with latitudes and longitudes"),
        ("swath:orbit=viirs,width=3000km", 60.0, "swaths of 3000 km overlap at latitude 60, where passes are 14"),
    ],
)
def test_orbits_that_do_not_fit_the_field_are_refused(text, latitude, message):
    with pytest.raises(InputError, match=message):
        parse(text).on_grid(CellSize(10.0, 10.0, latitude))


def test_an_orbit_of_an_operator_without_one_is_refused():
    with pytest.raises(InputError, match="orbit of cloud_mask must be a number"):
        parse("cloud_mask:orbit=jason")
