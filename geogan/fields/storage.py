"""Choose how a variable of a product is stored: packed as in its source if no value is lost, otherwise as floats."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from geogan.fields.codes import Codes, Container, number_type, reinterpreted
from geogan.fields.packing_check import holds, wrong_decoding
from geogan.fields.valid_range import VALID, valid_attributes, valid_codes, valid_limits

PACKING_COUNT = "packings"
"""Key of a field's encoding: the number of different packings of its files, if they differ."""

# Keys of an encoding that define the values.
PACKING = ("dtype", "scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned")
# Other keys of an encoding that another file can keep.
_KEPT = ("units", "calendar", "grid_mapping")
# Units of time that xarray writes; it can also read others, such as "months since" in a calendar of 360 days.
_TIME_UNITS = ("nanosecond", "microsecond", "millisecond", "second", "minute", "hour", "day")
# Attributes that belong to the encoding; xarray refuses to write a key in both.
_OF_ENCODING = (*PACKING[1:], "grid_mapping", "actual_range")
_FLAGS = ("flag_values", "flag_masks", "flag_meanings")


class Storage(NamedTuple):
    """How one variable of a product is stored.

    Attributes
    ----------
    encoding : dict
        As xarray accepts it.
    attrs : dict
        Attributes of the variable; those in packed units are converted if the packing changes.
    room : (float, float), optional
        Lowest and highest value that the packing holds; None for floats.
    reason : str
        Why the source's encoding is not kept, as the end of a sentence; empty if it is kept.
    source : str
        Name of the source's encoding, for that sentence.
    """

    encoding: dict[str, Any]
    attrs: dict[str, Any]
    room: tuple[float, float] | None = None
    reason: str = ""
    source: str = ""

    @property
    def codes(self) -> Codes | None:
        """The packing; None for floats."""
        codes = None if self.room is None else Codes.of(self.encoding)
        return codes if isinstance(codes, Codes) else None

    def sentence(self, name: str) -> str:
        """Return a message about another encoding than the source's; empty if the source's is kept."""
        if not self.reason:
            return ""
        return f"{name} is stored as {self.encoding['dtype']} instead of {self.source}: {self.reason}"


def value_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the float type that can hold all values of a type, NaN and predictions.

    Examples
    --------
    >>> [str(value_type(np.dtype(kind))) for kind in ("float16", "int16", "int32", "float64")]
    ['float32', 'float32', 'float64', 'float64']
    """
    if dtype.kind == "f":
        return np.dtype("float32" if dtype.itemsize <= 4 else "float64")
    return np.dtype("float32" if dtype.itemsize <= 2 else "float64")


def choose_storage(
    field: xr.DataArray,
    plausible: tuple[float, float] | None,
    *,
    container: Container | None = None,
    is_proven: bool = False,
    as_floats: str = "",
) -> Storage:
    """Choose how the filled values of a variable are stored.

    The encoding of the source is kept if each reader decodes every observed value bit for bit, if every plausible
    prediction has a code, and if none of these codes means missing. Otherwise values are stored as floats.

    Parameters
    ----------
    field : DataArray, shape ([time,] [band,] y, x)
        Decoded, with the attributes and the encoding of its source.
    plausible : (float, float), optional
        Lowest and highest value that a model may predict; None if nothing is predicted.
    container : {"zarr", "netcdf"}, optional
        Format of the product; by default either, written by xarray.
    is_proven : bool
        Whether the values are known to be decoded with this encoding. Otherwise they are compared, which is impossible
        for a Dask array without reading it.
    as_floats : str
        Why floats are wanted, as the end of a sentence; empty if a packing may be used.

    Returns
    -------
    storage : Storage

    Examples
    --------
    >>> maps = xr.DataArray(np.float64([[20.5, np.nan]]), dims=("y", "x"), name="sst")
    >>> maps.encoding = {"dtype": "int16", "scale_factor": 0.5, "_FillValue": -1}
    >>> choose_storage(maps, (10.0, 30.0)).encoding["dtype"]
    dtype('int16')
    >>> choose_storage(maps, (-10.0, 30.0)).sentence("sst")
    'sst is stored as float64 instead of int16: its fill value -1 lies among the values to be filled in'
    """
    if plausible is not None:
        low, high = np.clip(plausible, *valid_limits(field)).tolist()
        plausible = (low, high)
    kind = value_type(field.dtype)
    encoding = dict(field.encoding)
    if PACKING_COUNT in encoding:
        reason = f"its files are packed in {encoding[PACKING_COUNT]} different ways"
        return _floats(field, kind, plausible, reason, "packed numbers", is_proven=False)
    stored = number_type(encoding.get("dtype"))
    if stored is None or stored.kind not in "iu":
        return _floats(field, kind, plausible, _why_not(stored, encoding), str(stored), is_proven=is_proven)
    if as_floats:
        return _floats(field, kind, plausible, as_floats, str(stored), is_proven=False)
    packed = _packed(field, stored, plausible, container, is_proven)
    if isinstance(packed, Storage):
        return packed
    return _floats(field, kind, plausible, packed, str(stored), is_proven=False)


def _packed(
    field: xr.DataArray,
    stored: np.dtype[Any],
    plausible: tuple[float, float] | None,
    container: Container | None,
    is_proven: bool,
) -> Storage | str:
    """Return the storage with the source's packing, or why that packing cannot be used."""
    encoding = field.encoding
    codes = Codes.of(encoding)
    if isinstance(codes, str):
        return codes
    if field.chunks is not None and not is_proven:
        return "its values are computed later, so whether its packing holds them cannot be checked"
    fills = missing_codes(encoding, codes)
    if not fills:
        return "it has no fill value for gaps"
    why = wrong_decoding(codes, fills, field.dtype, container)
    if why:
        return why
    if plausible is not None and not np.isfinite(plausible).all():
        return "there is no bound to what may be filled in"
    lowest, highest = codes.ends
    valid = valid_codes(field.attrs, encoding, codes)
    lowest = lowest if valid[0] is None else max(lowest, valid[0])
    highest = highest if valid[1] is None else min(highest, valid[1])
    codes = codes._replace(fill=fills[0])
    if plausible is not None:
        first, last = codes.span(*plausible)
        free = [code for code in fills if not first <= code <= last]
        if not free:
            return f"its fill value {fills[0]} lies among the values to be filled in"
        codes = codes._replace(fill=free[0])
        if free[0] < first:
            lowest = max(lowest, free[0] + 1)
        else:
            highest = min(highest, free[0] - 1)
        if first < lowest or last > highest:
            (low, high), (least, most) = codes.values(lowest, highest), plausible
            return f"it holds {low:g} to {high:g}, and predictions may lie between {least:g} and {most:g}"
    if not is_proven and not holds(codes, field):
        return "its packing does not hold its values"
    kept = {"dtype": codes.dtype, **codes.attrs}
    if container == "zarr":
        kept |= {key: float(kept[key]) for key in ("scale_factor", "add_offset") if key in kept}
    attrs = _attributes(field) | valid_attributes(field.attrs, valid, codes.dtype)
    for key in _FLAGS[:2]:
        if key in attrs:
            attrs[key] = reinterpreted(np.asarray(attrs[key]), stored, codes.dtype)
    return Storage(kept | _others(field), attrs, codes.values(lowest, highest), source=str(stored))


def _floats(
    field: xr.DataArray,
    kind: np.dtype[Any],
    plausible: tuple[float, float] | None,
    reason: str,
    source: str,
    *,
    is_proven: bool,
) -> Storage:
    """Return the storage as plain floats of a type that holds every decoded value."""
    encoding, fill = field.encoding, np.nan
    is_float = number_type(encoding.get("dtype"), kinds="f") is not None
    if is_float and is_proven and not {"scale_factor", "add_offset"}.intersection(encoding):
        given = _number(encoding.get("_FillValue"))
        # A prediction may equal a fill value that is plausible; NaN is never a value.
        is_apart = plausible is None or (given is not None and not plausible[0] <= given <= plausible[1])
        if given is not None and is_apart and kind.type(given) == given:
            fill = given
    attrs = _attributes(field)
    valid = [None if np.isinf(end) else end for end in valid_limits(field)]
    attrs |= valid_attributes(field.attrs, valid, kind)
    if not is_float and "dtype" in encoding:
        attrs = {key: value for key, value in attrs.items() if key not in _FLAGS}
    return Storage({"dtype": kind, "_FillValue": kind.type(fill)} | _others(field), attrs, None, reason, source)


def _why_not(stored: np.dtype[Any] | None, encoding: Mapping[Any, Any]) -> str:
    """Return why floats are not stored as in the source; empty if they are."""
    if stored is None:
        return ""
    if {"scale_factor", "add_offset"}.intersection(encoding):
        return "scaled floats do not come back bit for bit"
    if stored.itemsize < 4:
        return "predictions need more digits"
    return ""


def coordinate_encoding(coordinate: xr.DataArray) -> dict[str, Any]:
    """Return the part of a coordinate's encoding that any container can keep.

    The packing of floats is dropped, because packing again may round them. Units of time that xarray cannot write are
    dropped; xarray then chooses others.

    Examples
    --------
    >>> level = xr.DataArray(np.zeros(2), dims="x")
    >>> level.encoding = {"chunks": (2,), "scale_factor": 0.5, "dtype": "int16"}
    >>> coordinate_encoding(level)
    {}
    """
    packing = () if coordinate.dtype.kind == "f" else PACKING
    kept = {key: coordinate.encoding[key] for key in (*packing, *_KEPT[:2]) if key in coordinate.encoding}
    unit = str(kept.get("units", "")).lower().partition(" since ")
    if unit[1] and unit[0].strip().removesuffix("s") not in _TIME_UNITS:
        del kept["units"]
    return kept


def shared_storage(fields: Sequence[xr.DataArray]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the encoding and the attributes of a field whose dates come from several files.

    If the packings of the files differ, the field has none.

    Parameters
    ----------
    fields : sequence of DataArray
        Decoded, of one variable.
    """
    encoding, attrs = dict(fields[0].encoding), dict(fields[0].attrs)
    packings = {_packing_text(field.encoding) for field in fields}
    limits = {valid_limits(field) for field in fields}
    if len(packings) > 1 or len(limits) > 1:
        attrs = {key: value for key, value in attrs.items() if key not in VALID}
        least, most = min(low for low, _ in limits), max(high for _, high in limits)
        attrs |= {"valid_min": float(least)} if np.isfinite(least) else {}
        attrs |= {"valid_max": float(most)} if np.isfinite(most) else {}
    if len(packings) > 1:
        encoding = {key: value for key, value in encoding.items() if key not in PACKING}
        # Plain floats that differ only in type or fill value have no packing.
        if not all(_is_plain(field.encoding) for field in fields):
            encoding[PACKING_COUNT] = len(packings)
        attrs = {key: value for key, value in attrs.items() if key not in _FLAGS}
    return encoding, attrs


def _is_plain(encoding: Mapping[Any, Any]) -> bool:
    """Return whether values are stored as unscaled floats."""
    is_float = number_type(encoding.get("dtype", float), kinds="f") is not None
    return is_float and not {"scale_factor", "add_offset"}.intersection(encoding)


def _packing_text(encoding: Mapping[Any, Any]) -> str:
    return repr([(key, np.asarray(encoding[key]).tolist()) for key in PACKING[1:] if key in encoding]) + str(
        (number_type(encoding.get("dtype")), [np.asarray(encoding.get(key)).dtype for key in PACKING[1:3]])
    )


def missing_codes(encoding: Mapping[Hashable, Any], codes: Codes) -> list[int]:
    """Return the codes that mean missing in the source: its ``_FillValue`` first, then each ``missing_value``."""
    missing: list[int] = []
    stored = np.dtype(encoding["dtype"]).newbyteorder("=")
    for key in ("_FillValue", "missing_value"):
        for value in np.ravel(np.asarray(encoding.get(key, []))).tolist():
            if isinstance(value, (int, float)) and float(value).is_integer():
                code = int(reinterpreted(int(value), stored, codes.dtype))
                if codes.ends[0] <= code <= codes.ends[1]:
                    missing.append(code)
    return list(dict.fromkeys(missing))


def _number(value: Any) -> float | None:
    """Return a finite number; None for anything else."""
    number = np.asarray(value)
    is_number = number.size == 1 and number.dtype.kind in "iuf" and np.isfinite(number).all()
    return float(number) if is_number else None


def _attributes(field: xr.DataArray) -> dict[str, Any]:
    """Return the attributes that are valid for any encoding."""
    left_out = (*_OF_ENCODING, *VALID)
    return {str(key): value for key, value in field.attrs.items() if key not in left_out}


def _others(field: xr.DataArray) -> dict[str, Any]:
    """Return the part of an encoding that does not define the values."""
    others = {key: field.encoding[key] for key in _KEPT if key in field.encoding}
    mapping = str(field.encoding.get("grid_mapping", field.attrs.get("grid_mapping", "")))
    others.pop("grid_mapping", None)
    if mapping and all(word.rstrip(":") in field.coords for word in mapping.split()):
        others["grid_mapping"] = mapping
    return others
