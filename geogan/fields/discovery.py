"""Attributes by which a dataset is found: its extent in space and time (ACDD 1.3), and the meaning of its axes (CF)."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import xarray as xr

from geogan.fields.axes import Axes
from geogan.fields.dates import days
from geogan.fields.geography import geographic_kind
from geogan.fields.units import same_units

# Beginnings of attributes that state an extent; those of a source do not hold for a product of several files.
EXTENTS = ("geospatial_lat_", "geospatial_lon_", "geospatial_bounds", "time_coverage_")
_UNITS = {"latitude": "degrees_north", "longitude": "degrees_east"}
_SHORT = {"latitude": "lat", "longitude": "lon"}
_LETTERS, _LINES = {"y": "Y", "x": "X"}, {"y": "row", "x": "column"}
# Standard names by words of a variable's name, and the units that they need: a name alone is often another quantity.
_TEMPERATURE = ("K", "degC")
_QUANTITIES: tuple[tuple[tuple[str, ...], tuple[str, ...], str], ...] = (
    (("sst", "sea_surface_temperature"), _TEMPERATURE, "sea_surface_temperature"),
    (("lst", "land_surface_temperature"), _TEMPERATURE, "surface_temperature"),
    (("t2m", "air_temperature"), _TEMPERATURE, "air_temperature"),
    (("chl", "chla", "chlor", "chlorophyll"), ("mg m-3", "kg m-3"), "mass_concentration_of_chlorophyll_a_in_sea_water"),
    (("adt",), ("m", "cm"), "sea_surface_height_above_geoid"),
    (("ndvi",), ("1",), "normalized_difference_vegetation_index"),
    (("reflectivity",), ("dBZ",), "equivalent_reflectivity_factor"),
)
# Units of a projected coordinate.
_METRES = ("m", "metre", "metres", "meter", "meters", "km")


def extent_attributes(array: xr.DataArray, axes: Axes) -> dict[str, Any]:
    """Return the global attributes of ACDD 1.3 on the extent of a field.

    Parameters
    ----------
    array : DataArray
    axes : Axes

    Returns
    -------
    attrs : dict
        ``geospatial_lat_min`` and others where the field has latitudes and longitudes, ``time_coverage_start`` and
        others where it has dates.

    Examples
    --------
    >>> maps = xr.DataArray(np.zeros((2, 3)), dims=("lat", "lon"), coords={"lat": [1.0, 0.0], "lon": [5, 6, 7]})
    >>> attrs = extent_attributes(maps, Axes(None, "lat", "lon"))
    >>> attrs["geospatial_lat_max"], attrs["geospatial_lon_resolution"]
    (1.0, '1 degree')
    """
    attrs: dict[str, Any] = {}
    for coordinate in array.coords.values():
        kind = geographic_kind(coordinate)
        if kind is None or not coordinate.ndim or not set(coordinate.dims) <= {axes.y, axes.x}:
            continue
        values, name = np.asarray(coordinate.values, np.float64), f"geospatial_{_SHORT[kind]}"
        if f"{name}_min" in attrs or not np.isfinite(values).any():
            continue
        attrs[f"{name}_min"], attrs[f"{name}_max"] = _plain(np.nanmin(values)), _plain(np.nanmax(values))
        attrs[f"{name}_units"] = _UNITS[kind]
        if values.ndim == 1 and values.size > 1:
            attrs[f"{name}_resolution"] = f"{float(np.median(np.abs(np.diff(values)))):.4g} degree"
    return attrs | _time_attributes(array, axes)


def _plain(value: float) -> float:
    """Return a number without the last digits, which are rounding errors of the coordinates."""
    return float(f"{value:.9g}")


def _time_attributes(array: xr.DataArray, axes: Axes) -> dict[str, Any]:
    index = None if axes.time is None or axes.independent else array.indexes.get(axes.time)
    if index is None or not (np.issubdtype(index.dtype, np.datetime64) or isinstance(index, xr.CFTimeIndex)):
        return {}
    first, last = index.min(), index.max()
    attrs = {"time_coverage_start": _iso(first), "time_coverage_end": _iso(last)}
    numbers = days(array, axes)
    attrs["time_coverage_duration"] = _iso_duration(float(numbers.max() - numbers.min()))
    if len(numbers) > 1:
        attrs["time_coverage_resolution"] = _iso_duration(float(np.median(np.abs(np.diff(numbers)))))
    return attrs


def _iso(date: Any) -> str:
    return f"{date.isoformat().partition('.')[0]}Z"


def _iso_duration(length: float) -> str:
    """Return a number of days as a duration of ISO 8601.

    Examples
    --------
    >>> _iso_duration(59.0), _iso_duration(0.25), _iso_duration(0.0)
    ('P59D', 'PT21600S', 'P0D')
    """
    if abs(length - round(length)) < 1e-6:
        return f"P{round(length)}D"
    return f"PT{round(length * 86400)}S"


def inferred_standard_name(name: str, units: str) -> str | None:
    """Return the standard name of a variable, by a word of its name together with its units; None if that is not clear.

    Examples
    --------
    >>> inferred_standard_name("chl_8day", "mg m-3"), inferred_standard_name("sst", "m")
    ('mass_concentration_of_chlorophyll_a_in_sea_water', None)
    """
    words = {name.lower(), *re.split(r"[^a-z0-9]+", name.lower())}
    for known, possible, standard in _QUANTITIES:
        if words & set(known) and any(same_units(units, each) for each in possible):
            return standard
    return None


def label_axes(dataset: xr.Dataset, axes: Axes) -> xr.Dataset:
    """Return a dataset whose coordinates state what they are, as far as their names, units and values tell.

    Standard name, long name, units and axis are added where they are missing; what a coordinate states is kept.

    Parameters
    ----------
    dataset : Dataset
    axes : Axes
        Of its fields.

    Examples
    --------
    >>> maps = xr.Dataset({"sst": (("lat", "lon"), np.zeros((2, 3)))}, coords={"lat": [1.0, 0.0], "lon": [5, 6, 7]})
    >>> label_axes(maps, Axes(None, "lat", "lon")).lat.attrs["units"]
    'degrees_north'
    """
    dataset = dataset.copy()
    for name, coordinate in dataset.coords.items():
        attrs = dataset[name].attrs
        role = next((role for role in ("y", "x", "time") if getattr(axes, role) == name), None)
        kind = geographic_kind(coordinate)
        is_date = coordinate.dtype.kind == "M" and not coordinate.ndim and "time" in str(name).lower()
        if (role == "time" and not axes.independent) or is_date:
            found = {"standard_name": "time", "long_name": "time", "axis": "T"}
        elif kind is not None:
            found = {"standard_name": kind, "long_name": kind, "units": _UNITS[kind]}
        elif role in ("y", "x") and str(attrs.get("units", "")) in _METRES and "standard_name" not in attrs:
            text = f"projection_{role}_coordinate"
            found = {"standard_name": text, "long_name": text.replace("_", " ")}
        else:
            found = {}
        if role is not None and role != "time":
            # An axis without units would count as a latitude or longitude.
            is_index = coordinate.dtype.kind in "iu" and "units" not in attrs
            found = found or {"long_name": _LINES[role] if is_index else str(name)}
            found |= {"axis": _LETTERS[role]} if "units" in found or "units" in attrs else {}
        if coordinate.dtype.kind in "iufMO":
            dataset[name].attrs.update({key: value for key, value in found.items() if key not in attrs})
    return dataset
