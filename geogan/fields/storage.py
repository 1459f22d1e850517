"""How a variable of a product is stored: packed as in its source where that provably serves, as floats elsewhere."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from geogan.fields.codes import Codes, Container, encoded, one_number

APART = "packings"
"""Key of a field's encoding: in how many ways its files are packed, where that is more than one."""

# What an encoding says of the numbers themselves.
PACKING = ("dtype", "scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned")
# The rest of an encoding that another file can keep.
_KEPT = ("units", "calendar", "grid_mapping")
# Units of time that xarray writes; it reads others too, such as "months since" of a calendar of 360 days.
_TIME_UNITS = ("nanosecond", "microsecond", "millisecond", "second", "minute", "hour", "day")
# Attributes that belong to the encoding: both at once cannot be written.
_OF_ENCODING = (*PACKING[1:], "grid_mapping", "actual_range")
_VALID = ("valid_min", "valid_max", "valid_range")
_FLAGS = ("flag_values", "flag_masks", "flag_meanings")
# Share of a step by which a value may miss its code after it was computed from it.
_SLACK = 0.25
# Codes of a wide integer that are decoded as a sample; the rest is known from the rounding of float arithmetic.
_SAMPLE = 4096


class Storage(NamedTuple):
    """How one variable of a product is stored.

    Attributes
    ----------
    encoding : dict
        As xarray takes it.
    attrs : dict
        Attributes of the variable, those in packed units translated where the packing changes.
    room : (float, float), optional
        Lowest and highest value that the packing holds; None for floats.
    reason : str
        Why the source's encoding is not kept, as the end of a sentence; empty where it is.
    source : str
        What the source's encoding is, for that sentence.
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
        """What to tell the user; empty where the source's encoding is kept."""
        if not self.reason:
            return ""
        return f"{name} is stored as {self.encoding['dtype']} instead of {self.source}: {self.reason}"


def value_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the float type that holds values of a type, NaN and predictions.

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

    The encoding of the source is kept where every observed value comes back bit for bit with each reader, where every
    plausible prediction has a code, and where no such code means missing. Otherwise values are stored as floats.

    Parameters
    ----------
    field : DataArray, shape ([time,] [band,] y, x)
        Decoded, with the attributes and the encoding of its source.
    plausible : (float, float), optional
        Lowest and highest value that a model may predict; None where nothing is predicted.
    container : {"zarr", "netcdf"}, optional
        What the product is; by default either, written by xarray.
    is_proven : bool
        Whether the values are known to be those that the encoding decodes to. Otherwise they are compared, which an
        array of dask does not allow without reading all of it.
    as_floats : str
        Why no packing is wanted, as the end of a sentence; empty where one is.

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
    if APART in encoding:
        reason = f"its files are packed in {encoding[APART]} different ways"
        return _floats(field, kind, plausible, reason, "packed numbers", is_proven=False)
    stored = _number_type(encoding.get("dtype"))
    if stored is None or stored.kind not in "iu":
        return _floats(field, kind, plausible, _why_not(stored, encoding), str(stored), is_proven=is_proven)
    if as_floats:
        return _floats(field, kind, plausible, as_floats, str(stored), is_proven=False)
    found = _packed(field, stored, plausible, container, is_proven)
    if isinstance(found, Storage):
        return found
    return _floats(field, kind, plausible, found, str(stored), is_proven=False)


def _packed(
    field: xr.DataArray,
    stored: np.dtype[Any],
    plausible: tuple[float, float] | None,
    container: Container | None,
    is_proven: bool,
) -> Storage | str:
    """The encoding of the source, or why it does not serve."""
    encoding = field.encoding
    codes = Codes.of(encoding)
    if isinstance(codes, str):
        return codes
    if field.chunks is not None and not is_proven:
        return "its values are computed later, so whether its packing holds them cannot be checked"
    fills = missing_codes(encoding, codes)
    if not fills:
        return "it has no fill value for gaps"
    why = _wrong_decoding(codes, fills, field.dtype, container)
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
    own = {"dtype": codes.dtype, **codes.attrs}
    if container == "zarr":
        own |= {key: float(own[key]) for key in ("scale_factor", "add_offset") if key in own}
    attrs = _attributes(field) | _valid_attributes(field.attrs, valid, codes.dtype)
    for key in _FLAGS[:2]:
        if key in attrs:
            attrs[key] = _viewed(np.asarray(attrs[key]), stored, codes.dtype)
    return Storage(own | _others(field), attrs, codes.values(lowest, highest), source=str(stored))


def _floats(
    field: xr.DataArray,
    kind: np.dtype[Any],
    plausible: tuple[float, float] | None,
    reason: str,
    source: str,
    *,
    is_proven: bool,
) -> Storage:
    """Plain floats of a type that holds every decoded value."""
    encoding, fill = field.encoding, np.nan
    is_float = _number_type(encoding.get("dtype"), kinds="f") is not None
    if is_float and is_proven and not {"scale_factor", "add_offset"}.intersection(encoding):
        given = _number(encoding.get("_FillValue"))
        # A prediction may be equal to a fill value among plausible values, and NaN is never a value.
        is_apart = plausible is None or (given is not None and not plausible[0] <= given <= plausible[1])
        if given is not None and is_apart and kind.type(given) == given:
            fill = given
    attrs = _attributes(field)
    valid = [None if np.isinf(end) else end for end in valid_limits(field)]
    attrs |= _valid_attributes(field.attrs, valid, kind)
    if not is_float and "dtype" in encoding:
        attrs = {key: value for key, value in attrs.items() if key not in _FLAGS}
    return Storage({"dtype": kind, "_FillValue": kind.type(fill)} | _others(field), attrs, None, reason, source)


def _why_not(stored: np.dtype[Any] | None, encoding: Mapping[Any, Any]) -> str:
    """Why values that were stored as floats are not stored as they were; empty where they are."""
    if stored is None:
        return ""
    if {"scale_factor", "add_offset"}.intersection(encoding):
        return "scaled floats do not come back bit for bit"
    if stored.itemsize < 4:
        return "predictions need more digits"
    return ""


def _wrong_decoding(codes: Codes, gaps: Sequence[int], dtype: np.dtype[Any], container: Container | None) -> str:
    """Why readers of a product would see other values than those of the source; empty where they see the same."""
    every = _all_codes(codes, gaps)
    product = codes._replace(fill=gaps[0])
    with np.errstate(over="ignore", invalid="ignore"):
        values = product.read(every, "netcdf")
    if values.dtype != dtype or values.dtype.kind != "f":
        return f"its packing leads to values of type {values.dtype}, and they are of type {dtype}"
    if not np.isfinite(values).all():
        return "its packing leads to values that are not finite"
    by_others = np.array_equal(product.read_by_netcdf4(every), values) if container != "zarr" else True
    if container != "netcdf":
        read = product.read(every, "zarr")
        by_others &= read.dtype == dtype and read.tobytes() == values.tobytes()
    if not by_others:
        return "readers of the product would compute other values from it"
    scale, offset = codes.slope
    if codes.dtype.itemsize > 2:
        # Each value is a product and a sum, rounded to its type: known for all codes from the largest value.
        largest = abs(scale) * float(max(map(abs, codes.ends))) + abs(offset)
        if not 4 * np.finfo(values.dtype).eps * largest < _SLACK * abs(scale):
            return "its packing is finer than the values that it is decoded to"
        return ""
    back = (values.astype(np.float64) - offset) / scale
    if (np.abs(back - every) > _SLACK).any():
        return "its packing is finer than the values that it is decoded to"
    if container is None and not np.array_equal(encoded(values, product), every):
        return "its packing is finer than the values that it is decoded to"
    return ""


def _all_codes(codes: Codes, gaps: Sequence[int]) -> np.ndarray:
    """Every code of a value of 8 or 16 bits; a sample of those of wider ones."""
    low, high = codes.ends
    if codes.dtype.itemsize <= 2:
        every = np.arange(low, high + 1, dtype=np.int64).astype(codes.dtype)
    else:
        bits = np.random.default_rng(0).bytes(_SAMPLE * codes.dtype.itemsize)
        ends = np.array([low, low + 1, 0, 1, high - 1, high], codes.dtype)
        every = np.concatenate([np.frombuffer(bits, codes.dtype), ends])
    return every[~np.isin(every, np.array(gaps, codes.dtype))]


def holds(codes: Codes, field: xr.DataArray) -> bool:
    """Whether every value of a field is one that its codes decode to, bit for bit; a date at a time."""
    dates = [field] if field.ndim < 3 else (field[number] for number in range(len(field)))
    low, high = codes.ends
    scale, offset = codes.slope
    for date in dates:
        values = np.asarray(date.values)
        values = values[~np.isnan(values)]
        whole = np.rint((values.astype(np.float64) - offset) / scale)
        inside = (whole >= low) & (whole <= high) & (whole != codes.fill)
        if not inside.all() or not np.array_equal(codes.read(whole.astype(codes.dtype), "netcdf"), values):
            return False
    return True


def coordinate_encoding(coordinate: xr.DataArray) -> dict[str, Any]:
    """Return the part of a coordinate's encoding that any container can keep.

    Packed floats are left plain, for they may be rounded when they are packed again. Units of time that cannot be
    written are left out; the times then get units that can.

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
    """Return the encoding and the attributes of a field that several files hold, each some of its dates.

    Where the files are packed in several ways, none of them is the field's.

    Parameters
    ----------
    fields : sequence of DataArray
        Decoded, of one variable.
    """
    encoding, attrs = dict(fields[0].encoding), dict(fields[0].attrs)
    ways = {_packing_text(field.encoding) for field in fields}
    limits = {valid_limits(field) for field in fields}
    if len(ways) > 1 or len(limits) > 1:
        attrs = {key: value for key, value in attrs.items() if key not in _VALID}
        least, most = min(low for low, _ in limits), max(high for _, high in limits)
        attrs |= {"valid_min": float(least)} if np.isfinite(least) else {}
        attrs |= {"valid_max": float(most)} if np.isfinite(most) else {}
    if len(ways) > 1:
        encoding = {key: value for key, value in encoding.items() if key not in PACKING}
        # Plain floats that only differ in type or fill value need no packing.
        if not all(_is_plain(field.encoding) for field in fields):
            encoding[APART] = len(ways)
        attrs = {key: value for key, value in attrs.items() if key not in _FLAGS}
    return encoding, attrs


def _is_plain(encoding: Mapping[Any, Any]) -> bool:
    """Whether values are stored as the floats that they are."""
    is_float = _number_type(encoding.get("dtype", float), kinds="f") is not None
    return is_float and not {"scale_factor", "add_offset"}.intersection(encoding)


def _packing_text(encoding: Mapping[Any, Any]) -> str:
    return repr([(key, np.asarray(encoding[key]).tolist()) for key in PACKING[1:] if key in encoding]) + str(
        (_number_type(encoding.get("dtype")), [np.asarray(encoding.get(key)).dtype for key in PACKING[1:3]])
    )


def valid_limits(field: xr.DataArray) -> tuple[float, float]:
    """Return the valid range of a field in its own units, infinite at an end that is not given.

    CF gives ``valid_min``, ``valid_max`` and ``valid_range`` in packed units; floats on a packed variable are in the
    units of its values, as the NetCDF users' guide has it.

    Examples
    --------
    >>> ice = xr.DataArray([0.5], dims="x", attrs={"valid_range": np.array([0, 250], "u1")})
    >>> ice.encoding = {"dtype": "uint8", "scale_factor": 0.004}
    >>> valid_limits(ice)
    (0.0, 1.0)
    """
    codes = Codes.of(field.encoding)
    stored = _number_type(field.encoding.get("dtype"))
    # Limits of scaled floats are compared with the stored numbers, as those of whole numbers that are packed.
    is_packed = not isinstance(codes, str) or (stored is not None and stored.kind == "f")
    numbers = [one_number(field.encoding.get(key)) for key in PACKING[1:3]]
    if any(isinstance(number, str) for number in numbers):
        return -np.inf, np.inf  # such a packing is refused where values are read
    slope = Codes(np.dtype(float), *numbers).slope
    scale, offset = (slope if isinstance(codes, str) else codes.slope) if is_packed else (1.0, 0.0)
    sides: tuple[list[float], list[float]] = ([-np.inf], [np.inf])
    for side, end in enumerate(_valid_ends(field.attrs)):
        if end is None:
            continue
        if isinstance(codes, str) or np.asarray(end).dtype.kind in "iu":
            code = end if isinstance(codes, str) or stored is None else _viewed(end, stored, codes.dtype)
            sides[side if scale > 0 else 1 - side].append(float(code) * scale + offset)
        else:
            sides[side].append(float(end))
    least, most = max(sides[0]), min(sides[1])
    return (least, most) if least <= most else (-np.inf, np.inf)


def valid_codes(
    attrs: Mapping[Hashable, Any], encoding: Mapping[Hashable, Any], codes: Codes
) -> tuple[int | None, int | None]:
    """Return the lowest and the highest valid code, None at an end that is not given."""
    field = xr.DataArray(np.zeros(()), attrs=dict(attrs))
    field.encoding = dict(encoding)
    scale, offset = codes.slope
    ends = [None if np.isinf(end) else (end - offset) / scale for end in valid_limits(field)]
    low, high = ends if scale > 0 else ends[::-1]
    return (
        None if low is None else int(np.clip(np.ceil(low - 1e-6), *codes.ends)),
        None if high is None else int(np.clip(np.floor(high + 1e-6), *codes.ends)),
    )


def _valid_ends(attrs: Mapping[Hashable, Any]) -> tuple[Any, Any]:
    """Lower and upper end of the valid range as the attributes give them; None for one that is absent or no number."""
    pair = np.ravel(np.asarray(attrs.get("valid_range", [])))
    if pair.size == 2 and pair.dtype.kind in "iuf":
        return tuple(None if np.isnan(end) else end for end in pair)  # type: ignore[return-value]
    ends = []
    for key in _VALID[:2]:
        value = np.ravel(np.asarray(attrs.get(key, [])))
        is_number = value.size == 1 and value.dtype.kind in "iuf" and not np.isnan(value[0])
        ends.append(value[0] if is_number else None)
    return ends[0], ends[1]


def _valid_attributes(attrs: Mapping[Hashable, Any], ends: Sequence[Any], dtype: np.dtype[Any]) -> dict[str, Any]:
    """The valid range as attributes of a variable of that type, by the names that it had."""
    low, high = (None if end is None else dtype.type(end) for end in ends)
    if "valid_range" in attrs and low is not None and high is not None:
        return {"valid_range": np.array([low, high], dtype)}
    given = {"valid_min": low, "valid_max": high}
    return {key: value for key, value in given.items() if value is not None}


def missing_codes(encoding: Mapping[Hashable, Any], codes: Codes) -> list[int]:
    """Codes that the source takes for missing values: its ``_FillValue`` first, then each ``missing_value``."""
    found: list[int] = []
    stored = np.dtype(encoding["dtype"]).newbyteorder("=")
    for key in ("_FillValue", "missing_value"):
        for value in np.ravel(np.asarray(encoding.get(key, []))).tolist():
            if isinstance(value, (int, float)) and float(value).is_integer():
                code = int(_viewed(int(value), stored, codes.dtype))
                if codes.ends[0] <= code <= codes.ends[1]:
                    found.append(code)
    return list(dict.fromkeys(found))


def _viewed(value: Any, stored: np.dtype[Any], dtype: np.dtype[Any]) -> Any:
    """Numbers of the stored type as those of the type that their bits are taken for."""
    values = np.asarray(value)
    info = np.iinfo(stored)
    if stored == dtype or values.dtype.kind not in "iu" or (values < info.min).any() or (values > info.max).any():
        return values if values.ndim else values[()]
    found = values.astype(stored).view(dtype)
    return found if found.ndim else found[()]


def _number_type(dtype: Any, kinds: str = "iuf") -> np.dtype[Any] | None:
    """The type that an encoding names, in this machine's byte order; None where it is none of numbers."""
    try:
        found = np.dtype(dtype).newbyteorder("=") if dtype is not None else None
    except TypeError:
        return None
    return found if found is not None and found.kind in kinds else None


def _number(value: Any) -> float | None:
    """A finite number; None for anything else."""
    found = np.asarray(value)
    return float(found) if found.size == 1 and found.dtype.kind in "iuf" and np.isfinite(found).all() else None


def _attributes(field: xr.DataArray) -> dict[str, Any]:
    """The attributes that hold for any encoding."""
    left_out = (*_OF_ENCODING, *_VALID)
    return {str(key): value for key, value in field.attrs.items() if key not in left_out}


def _others(field: xr.DataArray) -> dict[str, Any]:
    """The part of an encoding that does not concern the numbers."""
    found = {key: field.encoding[key] for key in _KEPT if key in field.encoding}
    mapping = str(field.encoding.get("grid_mapping", field.attrs.get("grid_mapping", "")))
    found.pop("grid_mapping", None)
    if mapping and all(word.rstrip(":") in field.coords for word in mapping.split()):
        found["grid_mapping"] = mapping
    return found
