"""Text of a figure: name, unit and date of a field."""

import re
from typing import Any

import numpy as np
import xarray as xr

from geogan.fields.quantities import surface_of

# Words of units with a short form, in lower case and with underscores.
_DISPLAY_UNITS = {
    "degree_celsius": "°C",
    "degrees_celsius": "°C",
    "degree_c": "°C",
    "degc": "°C",
    "deg_c": "°C",
    "celsius": "°C",
    "c": "°C",
    "kelvin": "K",
    "degree_kelvin": "K",
    "percent": "%",
    "degree": "°",
    "degrees": "°",
    "degree_true": "°",
    "degrees_north": "°N",
    "degrees_east": "°E",
}
_MICRO = {"um": "µm", "ug": "µg", "umol": "µmol"}
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
# A symbol with an exponent, such as m-3, m^-3, m**2 or s+1.
_POWER = re.compile(r"(?<![\w.])(1e|10|[^\W\d_]+)(?:\^|\*\*)?\+?(-?\d+)(?![\w.])")


def colour_bar_label(field: xr.DataArray) -> str:
    """Return the label of a colour bar: the field's name and its unit in brackets."""
    return with_units(display_name(field), display_units(field))


def with_units(label: str, units: str) -> str:
    """Append the unit in brackets to a label; a field without unit keeps the label alone."""
    return " ".join(part for part in (label, f"[{units}]" if units else "") if part)


def number_with_units(value: float, units: str) -> str:
    """Return a number of two digits with its unit; a line does not break between them.

    Examples
    --------
    >>> number_with_units(0.3141, "°C").split()
    ['0.31', '°C']
    """
    return f"{value:.2g}\u00a0{units}".strip()


def display_name(field: xr.DataArray) -> str:
    """Return the long name of a field, else its standard name, else the name of the variable."""
    for name in (field.attrs.get("long_name"), field.attrs.get("standard_name"), field.name):
        if name:
            return str(name).replace("_", " ")
    return ""


def display_units(field: xr.DataArray | None) -> str:
    """Return the unit as one writes it in print; an empty text for a dimensionless field.

    Examples
    --------
    >>> display_units(xr.DataArray(0.0, attrs={"units": "mg m-3"}))
    'mg m⁻³'
    """
    units = "" if field is None else str(field.attrs.get("units", "")).strip()
    return "" if units in ("1", "", "none", "dimensionless") else _in_print(units)


def _in_print(units: str) -> str:
    """Return a unit with superscripts and short names: ``degree_Celsius day-1`` as ``°C day⁻¹``."""
    whole = units.lower().replace(" ", "_")
    if whole in _DISPLAY_UNITS:
        return _DISPLAY_UNITS[whole]
    words = [_DISPLAY_UNITS.get(word.lower(), _MICRO.get(word, word)) for word in re.split(r"[ .]+", units)]
    # "C" alone means degrees Celsius, but within a unit it may be coulomb or carbon.
    words = [own if own.lower() == "c" else word for own, word in zip(re.split(r"[ .]+", units), words)]
    return " ".join(_POWER.sub(_raised, word) for word in words)


def _raised(match: re.Match[str]) -> str:
    """Return a symbol with its exponent in superscript; the base of a logarithm in subscript."""
    if match[1] == "log":
        return "log" + match[2].translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))
    symbol = _DISPLAY_UNITS.get(match[1].lower(), match[1]) if match[1].lower() != "c" else match[1]
    return ("10" if symbol == "1e" else symbol) + match[2].translate(_SUPERSCRIPTS)


def date_title(field: xr.DataArray) -> str:
    """Return the date of a map or the number of a sample; an empty text if the field has neither."""
    for coordinate in field.coords.values():
        is_date = np.issubdtype(coordinate.dtype, np.datetime64) or hasattr(coordinate.values[()], "calendar")
        if coordinate.ndim == 0 and is_date:
            return format_date(coordinate.values[()])
    sample = next((field.coords[name] for name in ("sample", "image", "n") if name in field.coords), None)
    return f"{sample.name} {sample.item()}" if sample is not None and sample.ndim == 0 else ""


def format_date(time: Any) -> str:
    """Return a date as text, with hours and minutes unless the time is midnight."""
    if isinstance(time, np.datetime64):
        text = str(time.astype("M8[m]"))
    else:
        text = time.strftime("%Y-%m-%dT%H:%M") if hasattr(time, "strftime") else str(time)
    return text.removesuffix("T00:00").replace("T", " ")


def all_names(field: xr.DataArray) -> str:
    """Return variable name, standard name and long name in lower case, to search for words in them."""
    names = (field.name, field.attrs.get("standard_name"), field.attrs.get("long_name"))
    return " ".join(str(name).lower() for name in names if name)


def is_anomaly(field: xr.DataArray) -> bool:
    """Return whether the names mark the field as an anomaly, with values around zero."""
    return any(word in all_names(field) for word in ("anomaly", "anomalies", "difference"))


def is_image(field: xr.DataArray) -> bool:
    """Return whether the values are brightness from -1 to 1."""
    return field.attrs.get("valid_min") == -1 and field.attrs.get("valid_max") == 1


def is_marine(field: xr.DataArray) -> bool:
    """Return whether the names say that the quantity exists at sea only."""
    surface = surface_of(field)
    if surface is not None:
        return surface == "sea"
    return any(word in all_names(field) for word in ("sea", "sst", "ocean", "chlor"))


def outside_label(field: xr.DataArray) -> str:
    """Return the label of cells outside the domain: land for a marine quantity."""
    return "land" if is_marine(field) else "outside the domain"
