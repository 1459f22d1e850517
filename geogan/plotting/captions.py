"""What a figure says of a field in words: what it is, its unit, its date."""

from typing import Any

import numpy as np
import xarray as xr

_UNITS = {
    "degree_celsius": "°C",
    "degrees_celsius": "°C",
    "degree_c": "°C",
    "degc": "°C",
    "deg_c": "°C",
    "celsius": "°C",
    "c": "°C",
    "kelvin": "K",
    "degree_kelvin": "K",
}


def label_of(field: xr.DataArray) -> str:
    """Name and unit, as a colour bar bears them."""
    units = units_of(field)
    return " ".join(part for part in (name_of(field), f"[{units}]" if units else "") if part)


def name_of(field: xr.DataArray) -> str:
    """The name for people, of the attributes or of the variable itself."""
    for name in (field.attrs.get("long_name"), field.attrs.get("standard_name"), field.name):
        if name:
            return str(name).replace("_", " ")
    return ""


def units_of(field: xr.DataArray | None) -> str:
    """The unit as a figure writes it; nothing where there is none."""
    units = "" if field is None else str(field.attrs.get("units", "")).strip()
    if units in ("1", ""):
        return ""
    return _UNITS.get(units.lower().replace(" ", "_"), units)


def date_of(field: xr.DataArray) -> str:
    """The date of a map, or the number of a sample; nothing where it has neither."""
    for coordinate in field.coords.values():
        dated = np.issubdtype(coordinate.dtype, np.datetime64) or hasattr(coordinate.values[()], "calendar")
        if coordinate.ndim == 0 and dated:
            return written(coordinate.values[()])
    sample = next((field.coords[name] for name in ("sample", "image", "n") if name in field.coords), None)
    return f"{sample.name} {sample.item()}" if sample is not None and sample.ndim == 0 else ""


def written(time: Any) -> str:
    """A date, with its hour where that is not midnight."""
    if isinstance(time, np.datetime64):
        text = str(time.astype("M8[m]"))
    else:
        text = time.strftime("%Y-%m-%dT%H:%M") if hasattr(time, "strftime") else str(time)
    return text.removesuffix("T00:00").replace("T", " ")


def words_of(field: xr.DataArray) -> str:
    """All that a field is called, in lower case, for what its names tell."""
    named = (field.name, field.attrs.get("standard_name"), field.attrs.get("long_name"))
    return " ".join(str(word).lower() for word in named if word)


def is_anomaly(field: xr.DataArray) -> bool:
    """Whether its names say that the values stand around zero."""
    return any(word in words_of(field) for word in ("anomaly", "anomalies", "difference"))


def is_image(field: xr.DataArray) -> bool:
    """Whether the values are brightness, from -1 to 1."""
    return field.attrs.get("valid_min") == -1 and field.attrs.get("valid_max") == 1


def outside_of(field: xr.DataArray) -> str:
    """What the cells are in which the quantity does not exist."""
    marine = any(word in words_of(field) for word in ("sea", "sst", "ocean", "chlor"))
    return "land" if marine else "outside the domain"
