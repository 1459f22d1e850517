"""Orbits of satellites that repeat their ground tracks, and the angle and distance of the tracks at a latitude.

Orbits are circular; formulas are those of Capderou, *Handbook of Satellite Orbits* (2014), chapter 8.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from geogan.operators.errors import InputError

# Length of a degree of latitude, on a sphere with the mean radius of the Earth.
KM_A_DEGREE = 6371.0 * math.pi / 180


class Orbit(NamedTuple):
    """A repeat orbit.

    Attributes
    ----------
    inclination : float
        Angle of the orbit's plane from the equator, in degrees; more than 90 for an orbit towards the west.
    days : int
        Turns of the Earth under the orbit's plane in a cycle; those of a sun-synchronous orbit are days.
    revolutions : int
        Revolutions of the satellite in a cycle.

    Examples
    --------
    >>> round(Orbit(66.04, 10, 127).equator_step, 2)
    28.35
    """

    inclination: float
    days: int
    revolutions: int

    @property
    def per_turn(self) -> float:
        """Revolutions of the satellite per turn of the Earth."""
        return self.revolutions / self.days

    @property
    def equator_step(self) -> float:
        """Degrees of longitude between consecutive ascending passes."""
        return 360 / self.per_turn


ORBITS = {
    "jason": Orbit(66.04, 10, 127),
    "sentinel3": Orbit(98.65, 27, 385),
    "envisat": Orbit(98.55, 35, 501),
    "haiyang2": Orbit(99.3, 14, 193),
    "geosat": Orbit(108.04, 17, 244),
    "swot": Orbit(77.6, 21, 292),
    "aqua": Orbit(98.2, 16, 233),
    "metop": Orbit(98.7, 29, 412),
    "viirs": Orbit(98.7, 16, 227),
}
"""Orbits by name: TOPEX, Jason and Sentinel-6 share one, as do ENVISAT and SARAL, or Aqua, Terra and Landsat."""


def orbit_of(text: str) -> Orbit:
    """Return the orbit of a name, or of ``inclination/days/revolutions``.

    Raises
    ------
    InputError

    Examples
    --------
    >>> orbit_of("jason") == orbit_of("66.04/10/127")
    True
    """
    orbit = ORBITS.get(text.strip().lower())
    if orbit is None and text.count("/") == 2:
        inclination, days, revolutions = text.split("/")
        try:
            orbit = Orbit(float(inclination), int(days), int(revolutions))
        except ValueError:
            orbit = None
    if orbit is None or not (0 < orbit.inclination < 180 and 0 < orbit.days < orbit.revolutions):
        raise InputError(
            f"no orbit is named {text!r}; choose from {', '.join(ORBITS)}, or give inclination/days/revolutions, such "
            "as 66.04/10/127"
        )
    return orbit


def ground_track(orbit: Orbit, turned: float) -> tuple[float, float]:
    """Return latitude and longitude below a satellite that has turned so far since its ascending node, in degrees.

    The node is at longitude 0.

    Examples
    --------
    >>> [round(part, 2) for part in ground_track(ORBITS["jason"], 90.0)]
    [66.04, 82.91]
    """
    angle, tilt = math.radians(turned), math.radians(orbit.inclination)
    latitude = math.degrees(math.asin(math.sin(tilt) * math.sin(angle)))
    longitude = math.degrees(math.atan2(math.cos(tilt) * math.sin(angle), math.cos(angle)))
    return latitude, (longitude - turned / orbit.per_turn + 180) % 360 - 180


def track_angle(orbit: Orbit, latitude: float) -> float:
    """Return the angle of ascending tracks from north at a latitude, in degrees, positive towards the east.

    ``tan j = (cos i - cos^2(latitude) / k) / sqrt(cos^2(latitude) - cos^2 i)`` for k revolutions per turn of the
    Earth.

    Raises
    ------
    InputError
        If the satellite does not come as far as this latitude.

    Examples
    --------
    >>> round(track_angle(ORBITS["jason"], 0.0), 1), round(track_angle(ORBITS["sentinel3"], 40.0), 1)
    (19.7, -14.3)
    """
    cos_tilt, cos = math.cos(math.radians(orbit.inclination)), math.cos(math.radians(latitude))
    if cos <= abs(cos_tilt):
        raise InputError(
            f"a satellite with an inclination of {orbit.inclination:g} degrees does not come to the latitude "
            f"{latitude:.4g}; name another orbit"
        )
    return math.degrees(math.atan2(cos_tilt - cos**2 / orbit.per_turn, math.sqrt(cos**2 - cos_tilt**2)))
