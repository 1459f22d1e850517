"""Operators as text and as plain data: ``cloud_mask:coverage=0.4,scale=12`` and back."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import MISSING, fields
from typing import Any

from geogan.operators.band import PatchBand
from geogan.operators.choices import choice, matching, suggestion
from geogan.operators.cloud import CloudMask
from geogan.operators.compose import Compose
from geogan.operators.convolve import ConvolveNoise
from geogan.operators.downsample import Downsample
from geogan.operators.drifters import Drifters
from geogan.operators.errors import InputError
from geogan.operators.footprint import Footprint
from geogan.operators.installed import installed_operators
from geogan.operators.lengths import Kilometres, OnGround
from geogan.operators.noise import Noise
from geogan.operators.observed import ObservedGaps
from geogan.operators.operator import Operator
from geogan.operators.orbits import orbit_of
from geogan.operators.pixels import RemovePixel, RemovePixelChannel
from geogan.operators.radar import RadarSector
from geogan.operators.sampling import SparseSampling
from geogan.operators.stripes import Stripes
from geogan.operators.swath import Swath
from geogan.operators.tracks import Tracks

OPERATORS: dict[str, type] = {
    "cloud_mask": CloudMask,
    "observed_gaps": ObservedGaps,
    "remove_pixel": RemovePixel,
    "remove_pixel_channel": RemovePixelChannel,
    "patch_band": PatchBand,
    "sparse_sampling": SparseSampling,
    "drifters": Drifters,
    "swath": Swath,
    "tracks": Tracks,
    "stripes": Stripes,
    "radar_sector": RadarSector,
    "footprint": Footprint,
    "downsample": Downsample,
    "noise": Noise,
    "convolve_noise": ConvolveNoise,
}
"""Operator classes of geogan by the name that users write; those of other packages are in `known_operators`."""


class _OrbitName(str):
    """The name of an orbit, the only parameter that is text."""


_WORDS: dict[str, bool | None] = {"true": True, "false": False, "none": None}


def known_operators() -> dict[str, type]:
    """Return all operator classes by name: those of geogan, and those of installed packages."""
    return OPERATORS | installed_operators(tuple(OPERATORS))


def parse(text: str | Sequence[str] | Operator) -> Operator:
    """Return the operator that a text describes.

    Parameters
    ----------
    text : str, sequence of str, or Operator
        A name, with parameters after a colon, such as ``cloud_mask:coverage=0.4,scale=12``. Several texts, in a
        sequence or joined by ``" + "``, are composed in order. An operator is returned unchanged. Lengths are in cells,
        or in km as in ``footprint:fwhm=25km``: `Operator.on_grid` then returns the operator in cells.

    Returns
    -------
    Operator

    Raises
    ------
    InputError
        If a name or a parameter does not exist, or a value is not allowed.

    Examples
    --------
    >>> parse("remove_pixel:p=0.5")
    RemovePixel(p=0.5)
    >>> parse(["convolve_noise:l=5,sigma=0.3", "cloud_mask"]).noise
    0.3
    >>> parse("clouds")
    Traceback (most recent call last):
        ...
    geogan.operators.errors.InputError: no operator is named 'clouds'; choose from cloud_mask, ...
    """
    if isinstance(text, str):
        parts: Sequence[str] = text.split(" + ")
    elif isinstance(text, Operator):
        return text
    else:
        parts = [part for item in text for part in item.split(" + ")]
    operators = tuple(_parse_one(part) for part in parts)
    return operators[0] if len(operators) == 1 else Compose(operators)


def describe(operator: Operator) -> str:
    """Return the text that `parse` reads back as ``operator``, without parameters at their default.

    The text does not hold the arrays that an operator was fitted to (``state``).

    Examples
    --------
    >>> describe(CloudMask(coverage=0.4, scale=12))
    'cloud_mask:coverage=0.4,scale=12'
    """
    if isinstance(operator, Compose):
        return " + ".join(describe(part) for part in operator.operators)
    if isinstance(operator, OnGround):
        given = [f"orbit={operator.orbit}"] if operator.orbit else []
        given += [f"{name}={Kilometres(value)}" for name, value in operator.given]
        base = describe(operator.base)
        return f"{base}{',' if ':' in base else ':'}{','.join(given)}"
    changed = [
        f"{name}={str(value).lower() if isinstance(value, bool) or value is None else repr(value)}"
        for name, value in _parameters(operator).items()
        if value != _defaults(type(operator))[name]
    ]
    return ":".join([_name(operator), *([",".join(changed)] if changed else [])])


def to_dict(operator: Operator) -> dict[str, Any]:
    """Return an operator as plain data for JSON: its name and all its parameters.

    Examples
    --------
    >>> to_dict(RemovePixel(p=0.5))
    {'name': 'remove_pixel', 'p': 0.5}
    """
    if isinstance(operator, Compose):
        return {"name": "compose", "operators": [to_dict(part) for part in operator.operators]}
    return {"name": _name(operator), **_parameters(operator)}


def from_dict(data: dict[str, Any]) -> Operator:
    """Return the operator that `to_dict` wrote.

    Raises
    ------
    InputError
        As `parse`.

    Examples
    --------
    >>> from_dict({"name": "remove_pixel", "p": 0.5})
    RemovePixel(p=0.5)
    """
    parameters = {key: value for key, value in data.items() if key != "name"}
    if data.get("name") == "compose":
        return Compose(tuple(from_dict(part) for part in parameters.get("operators", ())))
    return _build(str(data.get("name")), parameters)


def _parse_one(text: str) -> Operator:
    name, _, rest = text.strip().partition(":")
    parameters: dict[str, Any] = {}
    for item in filter(None, rest.split(",")):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals:
            raise InputError(
                f"a parameter of {name} is written name=value, got {item!r}; write it as in cloud_mask:coverage=0.4"
            )
        key = matching(key, _known(name)) or key
        if key in parameters:
            raise InputError(f"{key} of {name} is given twice in {text.strip()!r}; give it once")
        is_orbit = key == "orbit" and hasattr(_kind(name), "on_orbit")
        parameters[key] = _OrbitName(value) if is_orbit else _value(name, key, value)
    return _build(name.strip(), parameters)


def _kind(name: str) -> type | None:
    """Return the operator class with this name; None if there is none."""
    known = known_operators()
    match = matching(name, known)
    return None if match is None else known[match]


def _known(name: str) -> list[str]:
    """Return the parameters of the operator with this name; an empty list if there is no such operator."""
    kind = _kind(name)
    return [] if kind is None else list(_defaults(kind))


def _value(name: str, key: str, text: str) -> float | bool | Kilometres | None:
    """Return the value of a parameter: a number, a length in km, true, false or none."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    with suppress(ValueError):
        if text.lower().endswith("km"):
            return Kilometres(float(text[:-2]))
    is_length = key in getattr(_kind(name), "lengths", {})
    raise InputError(
        f"{key} of {name} must be a number, {'a length such as 25km, ' if is_length else ''}true, false or none, got "
        f"{text!r}; give one of these"
    )


def _build(name: str, parameters: dict[str, Any]) -> Operator:
    known = known_operators()
    name = choice(name, known, "operator")
    kind = known[name]
    defaults = _defaults(kind)
    orbit = str(parameters.pop("orbit")) if isinstance(parameters.get("orbit"), _OrbitName) else ""
    if orbit:
        orbit_of(orbit)
    for key, value in parameters.items():
        if key not in defaults:
            raise InputError(
                f"{name} has no parameter {key!r}; it has {', '.join(defaults)}{suggestion(key, defaults)}"
            )
        if isinstance(value, Kilometres):
            _check_length(name, kind, key, value)
            continue
        default = defaults[key]
        # In Python, true is a number and None cannot be compared, so neither may reach the range checks.
        if isinstance(value, bool) != isinstance(default, bool) or (value is None and default is not None):
            wanted = "true or false" if isinstance(default, bool) else "a number"
            raise InputError(
                f"{key} of {name} must be {wanted}, got {str(value).lower()}; the default is {str(default).lower()}"
            )
    lengths = {key: value.value for key, value in parameters.items() if isinstance(value, Kilometres)}
    operator = kind(**{key: value for key, value in parameters.items() if key not in lengths})
    return OnGround(operator, tuple(lengths.items()), orbit) if lengths or orbit else operator


def _check_length(name: str, kind: type, key: str, length: Kilometres) -> None:
    """Refuse a length in km of a parameter that is no length, and one that is not positive."""
    if key not in getattr(kind, "lengths", {}):
        raise InputError(f"{key} of {name} is no length in km, got {length}; give a number")
    if not 0 < length.value < float("inf"):
        raise InputError(f"{key} of {name} must be more than 0, got {length}; give a length such as 25km")


def _name(operator: Operator) -> str:
    known = known_operators()
    for name, kind in known.items():
        if type(operator) is kind:
            return name
    raise InputError(
        f"{type(operator).__name__} has no name that parse knows; use one of {', '.join(known)}, or register it as an "
        "entry point of the group geogan.operators"
    )


def _parameters(operator: Any) -> dict[str, Any]:
    return {field.name: getattr(operator, field.name) for field in fields(operator)}


def _defaults(kind: type) -> dict[str, Any]:
    return {field.name: field.default for field in fields(kind) if field.default is not MISSING}


def remarks(operator: Operator, bands: int) -> list[str]:
    """Return sentences that a user should know about an operator on a field with ``bands`` bands.

    Examples
    --------
    >>> remarks(parse("remove_pixel_channel:p=0.9"), 1)
    ['with one band, remove_pixel_channel equals remove_pixel']
    >>> remarks(parse("remove_pixel_channel:p=0.9"), 3)
    []
    """
    parts = operator.operators if isinstance(operator, Compose) else (operator,)
    if bands == 1 and any(isinstance(part, RemovePixelChannel) for part in parts):
        return ["with one band, remove_pixel_channel equals remove_pixel"]
    return []
