"""Properties of a quantity by its attributes: bounds, directions, sea or land."""

from __future__ import annotations

import re

import numpy as np
import xarray as xr

_DEGREES = ("degree", "degrees", "deg", "degree_true", "degrees_true", "degt", "arcdeg", "°")
_RADIANS = ("radian", "radians", "rad")
_PERCENT = ("%", "percent", "percentage", "pct", "per_cent")
_UNITLESS = ("", "1", "fraction", "dimensionless", "unitless", "none", "m3 m-3", "m3/m3", "m2 m-2", "km2 km-2", "0-1")
_DIRECTIONS = ("direction", "wdir", "winddir", "wind_dir", "mwd", "bearing", "heading")
# Words in names of shares of an area, a volume or a number of cases.
_SHARES = frozenset(
    (
        "fraction", "percent", "percentage", "probability", "cover", "coverage", "albedo", "reflectance",
        "emissivity", "transmissivity", "humidity", "porosity", "saturation", "siconc", "sic", "aice", "iceconc",
        "seaice", "clt", "tcc", "cloudiness", "fapar", "fpar", "fcover", "fvc",
    )
)  # fmt: skip
# Words in names of amounts that are 0 in places or range over orders of magnitude.
_AMOUNTS = frozenset(
    (
        "precipitation", "rainfall", "rain", "precip", "prcp", "pr", "tp", "snowfall", "concentration", "conc",
        "chlorophyll", "chl", "chla", "chlor", "turbidity", "sediment", "particulate", "aerosol",
    )
)  # fmt: skip
# Ratio of the largest to the smallest positive value above which a logarithm is proposed.
_DECADES = 30.0


def is_direction(field: xr.DataArray, *, by_name: bool = False) -> bool:
    """Return whether a field holds directions, that is angles modulo a full turn.

    Parameters
    ----------
    field : DataArray
        Its units must be degrees or radians, and its ``standard_name`` that of a direction, such as
        ``wind_from_direction`` or ``sea_surface_wave_to_direction``.
    by_name : bool
        Also consider ``long_name`` and the name.

    Examples
    --------
    >>> wind = xr.DataArray(0.0, name="wdir", attrs={"units": "degree", "standard_name": "wind_from_direction"})
    >>> is_direction(wind), is_direction(wind.assign_attrs(units="m s-1"))
    (True, False)
    """
    if full_turn(field) is None:
        return False
    standard = str(field.attrs.get("standard_name", "")).lower()
    if "direction" in standard.split("_") or standard.endswith(("azimuth_angle", "azimuth")):
        return True
    return by_name and not standard and bool(_words(field) & set(_DIRECTIONS))


def full_turn(field: xr.DataArray) -> float | None:
    """Return a full turn in the units of a field; None if these are not units of an angle.

    Examples
    --------
    >>> full_turn(xr.DataArray(0.0, attrs={"units": "degree"})), full_turn(xr.DataArray(0.0, attrs={"units": "K"}))
    (360.0, None)
    """
    units = str(field.attrs.get("units", "")).strip().lower().replace(" ", "_")
    if units in _DEGREES:
        return 360.0
    return 2 * np.pi if units in _RADIANS else None


def surface_of(field: xr.DataArray) -> str | None:
    """Return where a quantity exists by its ``standard_name``: ``"sea"``, ``"land"``, or None if that is not known.

    Examples
    --------
    >>> surface_of(xr.DataArray(0.0, attrs={"standard_name": "sea_surface_temperature"}))
    'sea'
    """
    name = str(field.attrs.get("standard_name", "")).lower().split(" ")[0]
    # Area fractions exist everywhere, although their names contain sea or land.
    if name in ("sea_area_fraction", "sea_binary_mask", "land_area_fraction", "land_binary_mask"):
        return None
    if name.startswith(("sea_", "ocean_")) or any(part in name for part in ("_sea_water", "_sea_ice", "_in_sea_")):
        return "sea"
    words = set(name.split("_"))
    if name.startswith("land_") or words & {"soil", "vegetation", "canopy", "leaf", "land"}:
        return "land"
    return None


def proposed_transform(field: xr.DataArray, lowest: float, highest: float) -> tuple[str, str] | None:
    """Return a transform that suits a quantity, and the reason; None if no transform is needed.

    Parameters
    ----------
    field : DataArray
        Its name, ``standard_name``, ``long_name``, ``units`` and ``valid_range`` say what it is.
    lowest, highest : float
        Extremes of its values, which the transform must take.

    Returns
    -------
    (str, str) or None
        As ``--transform`` takes it, and a reason in words.

    Examples
    --------
    >>> ice = xr.DataArray(0.0, name="ice", attrs={"standard_name": "sea_ice_area_fraction", "units": "1"})
    >>> proposed_transform(ice, 0.0, 1.0)
    ('bounded:0,1', 'a share')
    """
    if is_direction(field, by_name=True):
        return "circular", "directions"
    words, units = _words(field), str(field.attrs.get("units", "")).strip().lower()
    is_percent = units in _PERCENT
    spans = [(0.0, 100.0)] if is_percent else [(0.0, 1.0), (0.0, 100.0)]
    stated = _valid_range(field)
    is_share = is_percent or bool(words & _SHARES) or ("ice" in words and bool(words & {"concentration", "conc"}))
    if stated in spans:
        is_share, spans = True, [stated]
    if is_share and (is_percent or units in _UNITLESS):
        for low, high in spans:
            # Fractions of trace gases are shares too, but far below 1.
            if low <= lowest and 0.02 * high < highest <= high * (1 + 1e-6):
                return f"bounded:{low:g},{high:g}", "a percentage" if high == 100 else "a share"
    if words & _AMOUNTS and lowest >= 0:
        if lowest > 0 and highest / lowest > _DECADES:
            return "log", "positive, and spread over decades"
        return "bounded:0,inf", "never negative"
    return None


def _words(field: xr.DataArray) -> set[str]:
    """Return the words in the names of a field, in lower case; ``long_name`` counts without a ``standard_name``."""
    standard = str(field.attrs.get("standard_name", ""))
    names = [str(field.name or ""), standard or str(field.attrs.get("long_name", ""))]
    whole = {name.lower() for name in names}
    return whole | {word for name in whole for word in re.split(r"[^a-z0-9]+", name) if word}


def _valid_range(field: xr.DataArray) -> tuple[float, float] | None:
    """Return the valid range of a field, unpacked; None if it has none."""
    stated = np.ravel(field.attrs.get("valid_range", [field.attrs.get(name) for name in ("valid_min", "valid_max")]))
    scale, offset = (
        field.encoding.get(name, default) for name, default in (("scale_factor", 1.0), ("add_offset", 0.0))
    )
    if stated.dtype.kind not in "iu":
        scale, offset = 1.0, 0.0  # only limits that are whole numbers are packed
    try:
        low, high = (float(end) * float(scale) + float(offset) for end in stated)
    except (TypeError, ValueError):
        return None
    return low, high
