"""Comparison of units of measurement in any spelling; values are never converted."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np
import xarray as xr

from geogan.operators.errors import InputError

_NAMES = {
    "kelvin": "K", "kelvins": "K", "degk": "K",
    "celsius": "degC", "centigrade": "degC", "degc": "degC",
    "fahrenheit": "degF", "degf": "degF",
    "metre": "m", "meter": "m",
    "gram": "g", "gramme": "g",
    "second": "s", "sec": "s", "minute": "min", "hour": "h", "hr": "h", "day": "d", "year": "yr",
    "litre": "L", "liter": "L", "l": "L",
    "mole": "mol", "pascal": "Pa", "watt": "W", "joule": "J", "newton": "N", "volt": "V", "bar": "bar",
    "mb": "hPa", "mbar": "hPa", "millibar": "hPa",
    "percent": "%", "percentage": "%", "pct": "%",
    "deg": "degree", "degree": "degree", "radian": "rad",
    "micron": "um", "dbz": "dBZ",
}  # fmt: skip
_PREFIXES = {
    "nano": "n", "micro": "u", "milli": "m", "centi": "c", "deci": "d", "hecto": "h", "kilo": "k", "mega": "M",
}  # fmt: skip
_DIMENSIONLESS = ("", "-", "dimensionless", "unitless", "none", "nondimensional", "non-dimensional", "fraction")
# Practical salinity is a number in thousandths by the CF conventions.
_SALINITY = ("psu", "pss", "pss-78", "pss78")
_TEMPERATURE = {
    "degC": re.compile(r"\bdeg(?:ree)?s?[\s_.]*(?:celsius|centigrade|c)\b", re.IGNORECASE),
    "K": re.compile(r"\bdeg(?:ree)?s?[\s_.]*(?:kelvin|k)\b", re.IGNORECASE),
    "degF": re.compile(r"\bdeg(?:ree)?s?[\s_.]*(?:fahrenheit|f)\b", re.IGNORECASE),
}
_TOKEN = re.compile(
    r"(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?P<power>[+-]\d+)?"
    r"|(?P<name>[^\W\d]+|%)(?P<exponent>[+-]?\d+)?"
    r"|(?P<sign>[/()*.·⋅])|(?P<space>\s+)"
)

Canonical = tuple[float, tuple[tuple[str, int], ...]] | str


def same_units(first: str, second: str) -> bool:
    """Return whether two texts name the same unit.

    Parameters
    ----------
    first, second : str
        As in the attribute ``units``; an empty text means dimensionless.

    Examples
    --------
    >>> same_units("degC", "degree_Celsius"), same_units("mg/m^3", "mg m-3"), same_units("K", "degC")
    (True, True, False)
    """
    return canonical_units(first) == canonical_units(second)


def check_units(fields: Sequence[xr.DataArray], labels: Sequence[str]) -> None:
    """Refuse fields with different units that are to be combined.

    Parameters
    ----------
    fields : sequence of DataArray
    labels : sequence of str
        The file of each field.

    Raises
    ------
    InputError
    """
    first = units_of(fields[0])
    for field, label in zip(fields, labels, strict=True):
        units = units_of(field)
        if len(units) != len(first) or not all(map(same_units, units, first)):
            ours, theirs = (", ".join(filter(None, each)) or "no units" for each in (units, first))
            raise InputError(
                f"{fields[0].name or 'the field'} of {label} is in {ours}, of {labels[0]} in {theirs}; convert one of "
                "them, and state its new units"
            )


def units_of(field: xr.DataArray) -> list[str]:
    """Return the units of a field; for joined variables the units of each. Empty texts mean no units.

    Examples
    --------
    >>> units_of(xr.DataArray(0.0, attrs={"units": "K"}))
    ['K']
    """
    if "units" in field.coords:
        return [str(each) for each in np.atleast_1d(field["units"].values)]
    return [str(field.attrs.get("units", ""))]


def canonical_units(text: str) -> Canonical:
    """Return a factor and the powers of each unit, independent of the spelling.

    A text that is not a product of powers is returned with single spaces.

    Examples
    --------
    >>> canonical_units("kg/(m2 s)")
    (1.0, (('kg', 1), ('m', -2), ('s', -1)))
    >>> canonical_units("degrees C"), canonical_units("counts [raw]")
    ((1.0, (('degC', 1),)), 'counts [raw]')
    """
    plain = " ".join(unicodedata.normalize("NFKC", str(text)).replace("\u2212", "-").split())
    if plain.lower() in _DIMENSIONLESS:
        return 1.0, ()
    if plain.lower() in _SALINITY:
        return 0.001, ()
    if plain == "C":
        return 1.0, (("degC", 1),)
    prepared = plain.replace("\u03bc", "u").replace("\u00b0", " degree ").strip()
    for name, pattern in _TEMPERATURE.items():
        prepared = pattern.sub(name, prepared)
    prepared = re.sub(r"\bper\b", "/", prepared).replace("**", "^")
    prepared = re.sub(r"\^\s*\(?\s*([+-]?\d+)\s*\)?", r"\1", prepared)
    parsed = _parsed(prepared)
    return plain if parsed is None else parsed


def _parsed(text: str) -> tuple[float, tuple[tuple[str, int], ...]] | None:
    """Return factor and powers of a product; None if the text is not a product."""
    powers: Counter[str] = Counter()
    factor, position = 1.0, 0
    signs, sign = [1], 1  # signs of the powers in open brackets, and of the next factor
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            return None
        position = token.end()
        if token["space"] or (token["sign"] and token["sign"] not in "/()"):
            continue
        if token["sign"] == "/":
            sign = -1
            continue
        if token["sign"] == "(":
            signs.append(signs[-1] * sign)
        elif token["sign"] == ")":
            if len(signs) == 1:
                return None
            signs.pop()
        elif token["number"]:
            if abs(int(token["power"] or 1)) > 99 or len(token["number"]) > 30 or not float(token["number"]):
                return None
            factor *= float(token["number"]) ** (int(token["power"] or 1) * signs[-1] * sign)
        else:
            powers[_short(token["name"])] += int(token["exponent"] or 1) * signs[-1] * sign
        sign = 1
    if len(signs) > 1:
        return None
    return float(f"{factor:.9g}"), tuple(sorted((name, power) for name, power in powers.items() if power))


def _short(name: str) -> str:
    """Return the symbol of a unit that may be written in words, singular or plural."""
    lower = name.lower()
    for word in (lower, lower.removesuffix("s")):
        if len(word) > 1 and word in _NAMES:
            return _NAMES[word]
        for prefix, symbol in _PREFIXES.items():
            rest = word.removeprefix(prefix)
            if rest != word and rest in _NAMES and len(rest) > 2:
                return symbol + _NAMES[rest]
    return _NAMES.get(name, name)
