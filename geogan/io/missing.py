"""Decide which stored values mean missing: one place for files, stores and arrays in memory.

The rules are those of the CF conventions and the NetCDF users' guide: ``_FillValue``, ``missing_value``, ``valid_min``,
``valid_max``, ``valid_range``, ``flag_values`` among measurements, the NetCDF library's default fill values, and the
``fill_value`` of a Zarr 3 array, which is what a chunk that was never written reads as.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from xarray.core import indexing

from geogan.fields.axes import SAMPLES
from geogan.fields.marks import GAP_RULES, rule_mark
from geogan.fields.variables import is_joined
from geogan.io.measured import MASK_WORDS, has_physical_units, label_of
from geogan.operators.errors import InputError

# The user's condition, the last of the rules, is applied where a field is opened.
_MISSING, _FLAG, _RANGE, _DEFAULT, _STORE = range(len(GAP_RULES) - 1)
_FILL = -1  # a plain NaN

# What the NetCDF library returns for cells that were never written, by type; bytes have none, for all 256 may be used.
_DEFAULT_FILLS: dict[str, int | float] = {
    "i2": -32767,
    "u2": 65535,
    "i4": -2147483647,
    "u4": 4294967295,
    "i8": -9223372036854775806,
    "u8": 18446744073709551614,
    "f4": 9.969209968386869e36,
    "f8": 9.969209968386869e36,
}
# Attributes that a decoded variable keeps in its encoding.
_DECODING = ("_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned")
_RANGES = ("valid_range", "valid_min", "valid_max")
# In the encoding of a field to which the rules were applied, so that they are not applied again.
_DECIDED = "gaps_decided"
# Texts in missing_value and its like that state no number.
_NO_NUMBER = ("", "none", "null", "na", "n/a")


@dataclass(frozen=True)
class MissingRules:
    """Which numbers of a stored variable mean missing, and how the other numbers are decoded.

    Attributes
    ----------
    compared : dtype
        Type of the stored numbers, unsigned where ``_Unsigned`` says so; what is missing is compared in it.
    decoded : dtype
        Type of the decoded values, the one that xarray chooses.
    scale, offset : float, int or None
        ``scale_factor`` and ``add_offset``.
    numbers : tuple of (int, number)
        Position in :data:`geogan.fields.marks.GAP_RULES`, -1 for ``_FillValue``, and a number that means missing.
    lowest, highest : number or None
        Range of valid numbers, both included.

    Examples
    --------
    >>> attrs = {"scale_factor": 0.5, "missing_value": "-99", "valid_max": np.int16(80)}
    >>> rules = MissingRules.of(np.dtype("i2"), attrs)
    >>> rules.decode(np.array([41, -99, 81], "i2")).tolist()
    [20.5, nan, nan]
    """

    compared: np.dtype[Any]
    decoded: np.dtype[Any]
    scale: Any = None
    offset: Any = None
    numbers: tuple[tuple[int, Any], ...] = ()
    lowest: Any = None
    highest: Any = None

    @classmethod
    def of(
        cls,
        dtype: np.dtype[Any],
        attrs: Mapping[Any, Any],
        *,
        name: Any = None,
        label: str = "the variable",
        netcdf: bool = False,
        store_fill: Any = None,
    ) -> MissingRules:
        """Return the rules that the attributes of a stored variable state.

        Parameters
        ----------
        dtype : dtype
            Type of the stored numbers.
        attrs : mapping
            Attributes as they are stored, those of the packing among them.
        name : str, optional
            Name of the variable, which may say that it is a mask.
        label : str
            What errors call the variable.
        netcdf : bool
            Whether whole numbers were stored by the NetCDF library, which has default fill values for them.
        store_fill : number, optional
            ``fill_value`` of a Zarr 3 array.

        Raises
        ------
        InputError
            Where an attribute states no number, a number that the type may hold by another name, or an empty range.
        """
        stored = np.dtype(dtype)
        attributes = _Attributes(attrs, label)
        compared = attributes.compared(stored)
        scale, offset = attributes.number("scale_factor"), attributes.number("add_offset")
        packing = None if scale is None and offset is None else (1 if scale is None else scale, offset or 0)
        numbers = [
            (rule, number)
            for rule, key in ((_FILL, "_FillValue"), (_MISSING, "missing_value"))
            for number in attributes.stored_numbers(key, compared, packing)
        ]
        lowest, highest = attributes.valid_range(compared, packing)
        is_flags = _is_flags(name, compared, attrs)
        if not is_flags:
            # A flag within the stated range of valid values is a value.
            bounded = lowest is not None or highest is not None
            numbers += [
                (_FLAG, number)
                for number in attributes.stored_numbers("flag_values", compared, packing)
                if not (bounded and _within(number, lowest, highest))
            ]
        default = _DEFAULT_FILLS.get(stored.str[1:])
        if default is not None and (stored.kind == "f" or (netcdf and "_FillValue" not in attrs and not is_flags)):
            numbers.append((_DEFAULT, stored.type(default).astype(compared)))
        if store_fill is not None and not is_flags and store_fill != 0:
            numbers += [(_STORE, number) for number in _stored(store_fill, compared, packing, "fill_value", attributes)]
        distinct = {number: (rule, number) for rule, number in reversed(numbers)}
        found = tuple(sorted(distinct.values(), key=lambda each: each[0]))
        has_gaps = bool(found) or lowest is not None or highest is not None
        decoded = _decoded_type(compared, scale, offset, has_gaps=has_gaps)
        return cls(compared, decoded, scale, offset, found, lowest, highest)

    @property
    def is_plain(self) -> bool:
        """Whether the stored numbers are the values, and none means missing."""
        return self.scale is None and self.offset is None and not self._has_gaps

    @property
    def _has_gaps(self) -> bool:
        return bool(self.numbers) or self.lowest is not None or self.highest is not None

    def decode(self, stored: np.ndarray) -> np.ndarray:
        """Return stored numbers as values; a NaN records by which rule a value is missing.

        Valid numbers get the very bits that xarray decodes them to.
        """
        stored = np.asarray(stored).astype(self.compared, copy=False)
        values = self._unpacked(stored)
        for rule, where in self._missing(stored):
            if values is stored:
                values = stored.copy()
            values[where] = np.nan if rule == _FILL else rule_mark(self.decoded, rule)
        return values

    def mask(self, values: np.ndarray) -> np.ndarray:
        """Return values that another reader decoded, NaN where a rule says that they are missing.

        Parameters
        ----------
        values : ndarray of float
            Decoded by the same packing, but not masked by all rules.

        Returns
        -------
        values : ndarray
            The same object where nothing is missing.
        """
        if values.dtype.kind != "f":
            return values
        masked = values
        for rule, where in self._decoded_missing(values):
            if masked is values:
                masked = values.copy()
            masked[where] = np.nan if rule == _FILL else rule_mark(values.dtype, rule)
        return masked

    def limits(self) -> tuple[float | None, float | None]:
        """Return the lowest and the highest valid value, decoded; None where there is no limit."""
        low, high = (
            None if end is None else float(self._unpacked(np.array([end]))[0]) for end in (self.lowest, self.highest)
        )
        return (high, low) if self._is_reversed else (low, high)

    @property
    def _is_reversed(self) -> bool:
        return self.scale is not None and self.scale < 0

    def _unpacked(self, stored: np.ndarray) -> np.ndarray:
        """Return stored numbers as values, those that mean missing among them."""
        if self.scale is None and self.offset is None:
            return stored.astype(self.decoded, copy=False)
        values = stored.astype(self.decoded)
        if self.scale is not None:
            values *= self.scale
        if self.offset is not None:
            values += self.offset
        return values

    def _missing(self, stored: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yield where each rule holds; the first of several rules comes last, so that it is the one recorded."""
        for end, where in ((self.lowest, np.less), (self.highest, np.greater)):
            if end is not None:
                yield from _some(_RANGE, where(stored, end))
        for rule, number in reversed(self.numbers):
            yield from _some(rule, stored == number)

    def _decoded_missing(self, values: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the same of decoded values; half a step of the packing is left to rounding."""
        margin = 0.5 if self.compared.kind in "iu" else 0
        scale, offset = 1 if self.scale is None else self.scale, self.offset or 0
        for end, step, below in ((self.lowest, -margin, True), (self.highest, margin, False)):
            if end is not None:
                limit = (float(end) + step) * scale + offset
                yield from _some(_RANGE, values < limit if below != self._is_reversed else values > limit)
        for rule, number in reversed(self.numbers):
            with np.errstate(over="ignore"):
                value = self._unpacked(np.array([number])).astype(values.dtype)[0]
            yield from _some(rule, values == value)


def decoded_dataset(stored: xr.Dataset, path: str, *, netcdf: bool) -> xr.Dataset:
    """Return a dataset whose gridded variables decode themselves by :class:`MissingRules` when they are read.

    Parameters
    ----------
    stored : Dataset
        As :func:`xarray.open_dataset` returns it with ``decode_cf=False``.
    path : str
        Where it came from, for errors.
    netcdf : bool
        Whether the NetCDF library wrote it.

    Returns
    -------
    dataset : Dataset
        Times, coordinates and texts are still to be decoded with :func:`xarray.decode_cf`. Attributes of the packing
        have moved to ``encoding``. A variable with attributes that cannot be used raises when it is read.
    """
    bounds = {
        str(variable.attrs.get(key)) for variable in stored.variables.values() for key in ("bounds", "climatology")
    }
    found = {}
    for name, variable in stored.variables.items():
        is_time = " since " in str(variable.attrs.get("units", ""))
        if variable.ndim < 2 or variable.dtype.kind not in "iuf" or is_time or name in bounds:
            continue
        found[name] = _decoding(variable, str(name), path, netcdf=netcdf)
    return stored.assign(found)


def is_missing(stored: np.ndarray, field: xr.DataArray) -> bool:
    """Return whether a stored number means missing in a field that was opened from a Zarr store.

    Parameters
    ----------
    stored : ndarray of one number
        Of the type of the stored numbers.
    field : DataArray
        With the attributes and the encoding of the opened variable.

    Examples
    --------
    >>> field = xr.DataArray(0.0, attrs={"valid_min": 1})
    >>> is_missing(np.array(0, "i2"), field), is_missing(np.array(5, "i2"), field)
    (True, False)
    """
    stated = {key: field.encoding[key] for key in _DECODING if field.encoding.get(key) is not None} | field.attrs
    stated = dict(_ruling(stated, field.dims))
    rules = MissingRules.of(stored.dtype, stated, name=field.name, store_fill=field.encoding.get("fill_value"))
    return bool(np.isnan(rules.decode(stored.reshape(1))).all())


def decided(field: xr.DataArray) -> xr.DataArray:
    """Return a field in memory with NaN wherever its attributes or its encoding say that a value is missing.

    Parameters
    ----------
    field : DataArray
        Decoded by xarray or not (``mask_and_scale=False``); lazy or not.

    Returns
    -------
    field : DataArray
        The same object where nothing is missing or was decided before; else attributes of the packing have moved to
        ``encoding``.

    Raises
    ------
    InputError
        Where an attribute cannot be used, or whether the values are packed is not known.

    Examples
    --------
    >>> maps = xr.DataArray([[1.0, -99.0]], dims=("y", "x"), attrs={"missing_value": -99.0})
    >>> decided(maps).values.tolist()
    [[1.0, nan]]
    """
    if field.dtype.kind not in "iuf" or _DECIDED in field.encoding or is_joined(field):
        return field
    attrs, encoding = field.attrs, field.encoding
    source = str(encoding.get("source", ""))
    options: dict[str, Any] = {"name": field.name, "label": label_of(field), "store_fill": encoding.get("fill_value")}
    options["netcdf"] = bool(source) and not source.rstrip("/").endswith(".zarr") and "dtype" in encoding
    is_stored = any(key in attrs for key in _DECODING) or field.dtype.kind in "iu"
    if is_stored:
        _check_packing(field)
        stored = field.dtype
        if "_Unsigned" in encoding and "_Unsigned" not in attrs:
            # xarray has decoded the sign, and nothing else.
            attrs, stored = attrs | {"_Unsigned": encoding["_Unsigned"]}, np.dtype(encoding.get("dtype", stored))
        rules = MissingRules.of(stored, _ruling(attrs, field.dims), **options)
        return field if rules.is_plain else _applied(field, rules.decode, rules.decoded)
    stated = {key: encoding[key] for key in _DECODING if key in encoding} | attrs
    stored = np.dtype(encoding.get("dtype", field.dtype))
    stored = stored if stored.kind in "iuf" else field.dtype
    if "dtype" not in encoding:
        if field.chunks is not None and not any(key in attrs for key in (*_RANGES, "flag_values")):
            return field
        _check_types(field)
    rules = MissingRules.of(stored, _ruling(stated, field.dims), **options)
    return field if not rules.numbers and rules.limits() == (None, None) else _applied(field, rules.mask, field.dtype)


def _applied(field: xr.DataArray, function: Callable[[np.ndarray], np.ndarray], dtype: Any) -> xr.DataArray:
    """Return a field whose values went through a function, its packing moved to the encoding."""
    if not field.variable._in_memory and field.chunks is None:
        # A file that xarray reads when values are asked for, perhaps larger than memory.
        values = _lazy(field.variable, function, dtype)
    elif field.chunks is None:
        stored = field.values
        values = function(stored)
        if values is stored:
            return field
    else:
        values = field.data.map_blocks(function, dtype=dtype, meta=np.empty((0,) * field.ndim, dtype))
    masked = field.copy(data=values)
    moved = {key: masked.attrs.pop(key) for key in _DECODING if key in masked.attrs}
    masked.encoding = {"dtype": field.dtype} | dict(field.encoding) | moved | {_DECIDED: True}
    return masked


def _ruling(attrs: Mapping[Any, Any], dims: Iterable[Any]) -> Mapping[Any, Any]:
    """Return the attributes that rules are taken from.

    The limits -1 and 1 of images are those of a pixel's colour; pixels that were measured with noise lie beyond them.
    """
    is_images = any(str(dim).lower() in SAMPLES for dim in dims)
    if is_images and np.all(attrs.get("valid_min", 0) == -1) and np.all(attrs.get("valid_max", 0) == 1):
        return {key: value for key, value in attrs.items() if key not in _RANGES}
    return attrs


def _check_packing(field: xr.DataArray) -> None:
    """Refuse floats with a scale or an offset among their attributes, which may have been applied or not."""
    stated = {key: field.attrs[key] for key in ("scale_factor", "add_offset") if key in field.attrs}
    trivial = {"scale_factor": 1, "add_offset": 0}
    if field.dtype.kind == "f" and any(not np.all(value == trivial[key]) for key, value in stated.items()):
        raise InputError(
            f"{label_of(field)} has {' and '.join(stated)} among its attributes and values of type {field.dtype}, so "
            "whether they were applied is not known; apply them with xarray.decode_cf, or delete the attributes"
        )


def _check_types(field: xr.DataArray) -> None:
    """Refuse limits and flags of packed numbers on values that were unpacked, where the packing is not known."""
    for key in (*_RANGES, "flag_values"):
        dtype = getattr(field.attrs.get(key), "dtype", None)
        if dtype is not None and field.dtype.kind == "f" and dtype.kind in "iu" and dtype.itemsize < 8:
            raise InputError(
                f"{label_of(field)} has values of type {field.dtype}, but its {key} is of type {dtype}, as of packed "
                f"numbers, and the packing is not known; give {key} in the field's units, or delete it with "
                f"field.attrs.pop({key!r})"
            )


class _Decoded(xr.backends.BackendArray):
    """A stored variable that is decoded when it is read."""

    def __init__(self, variable: xr.Variable, function: Callable[[np.ndarray], np.ndarray], dtype: Any) -> None:
        self.variable, self.function = variable, function
        self.shape, self.dtype = variable.shape, np.dtype(dtype)

    def __getitem__(self, key: Any) -> np.ndarray:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> np.ndarray:
        return self.function(np.asarray(self.variable[key].values))


def _lazy(variable: xr.Variable, function: Callable[[np.ndarray], np.ndarray], dtype: Any) -> Any:
    """Return the data of a variable that goes through a function when it is read."""
    return indexing.LazilyIndexedArray(_Decoded(variable, function, dtype))


def _decoding(variable: xr.Variable, name: str, path: str, *, netcdf: bool) -> xr.Variable:
    """Return one variable that decodes itself."""
    label = f"variable {name!r} of {path}"
    attrs = {key: value for key, value in variable.attrs.items() if key not in _DECODING}
    encoding = dict(variable.encoding) | {key: variable.attrs[key] for key in _DECODING if key in variable.attrs}
    encoding[_DECIDED] = True
    try:
        rules = MissingRules.of(
            variable.dtype,
            _ruling(variable.attrs, variable.dims),
            name=name,
            label=label,
            netcdf=netcdf,
            store_fill=variable.encoding.get("fill_value"),
        )
    except InputError as error:
        # Other variables of the file can be used.
        return xr.Variable(variable.dims, _lazy(variable, partial(_refuse, error), variable.dtype), attrs, encoding)
    encoding["dtype"] = variable.dtype
    if isinstance(encoding.get("missing_value"), str):
        # Nothing that writes a number can use a text.
        del encoding["missing_value"]
        numbers = [number for rule, number in rules.numbers if rule == _MISSING]
        if numbers:
            encoding["missing_value"] = numbers[0]
    return xr.Variable(variable.dims, _lazy(variable, rules.decode, rules.decoded), attrs, encoding)


def _refuse(error: InputError, values: np.ndarray) -> np.ndarray:
    raise error


class _Attributes:
    """Attributes of a stored variable, read as numbers of its type."""

    def __init__(self, attrs: Mapping[Any, Any], label: str) -> None:
        self.attrs, self.label = attrs, label

    def compared(self, stored: np.dtype[Any]) -> np.dtype[Any]:
        """Return the type that the stored numbers are read as."""
        unsigned = str(self.attrs.get("_Unsigned", "")).lower()
        kinds = {("true", "i"): "u", ("false", "u"): "i"}
        kind = kinds.get((unsigned, stored.kind), stored.kind)
        return np.dtype(f"{kind}{stored.itemsize}")

    def number(self, key: str) -> Any:
        """Return one finite number; None where the attribute is absent."""
        if key not in self.attrs:
            return None
        value = np.asarray(self.attrs[key])
        if value.size != 1 or value.dtype.kind not in "iuf" or not np.isfinite(value).all():
            raise InputError(f"{key} of {self.label} is {self._shown(key)}, where one number is expected; correct it")
        if key == "scale_factor" and not value.any():
            raise InputError(f"scale_factor of {self.label} is 0, so no value can be decoded; correct it")
        # A Python number stays one: its type decides what the packed numbers are decoded to.
        return self.attrs[key] if isinstance(self.attrs[key], int | float | np.number) else value.ravel()[0]

    def numbers(self, key: str) -> list[int | float]:
        """Return the numbers of an attribute, also where they are written as text."""
        if key not in self.attrs or self.attrs[key] is None:
            return []
        found: list[int | float] = []
        for value in np.ravel(np.asarray(self.attrs[key])):
            if isinstance(value, bytes | str):
                found += self._parsed(key, value.decode("latin-1") if isinstance(value, bytes) else str(value))
            elif isinstance(value, np.number | int | float) and not isinstance(value, complex | np.complexfloating):
                found.append(value.item() if isinstance(value, np.generic) else value)
            else:
                raise InputError(f"{key} of {self.label} is {self._shown(key)}, where numbers are expected; correct it")
        return found

    def _parsed(self, key: str, text: str) -> list[int | float]:
        """Return the numbers of a text, which may have the suffixes of ncdump (-999.f, 254UB)."""
        if text.strip().strip("\0").lower() in _NO_NUMBER:
            return []
        found: list[int | float] = []
        for part in re.split(r"[\s,;]+|\bto\b", text.strip().strip("\0")):
            if not part:
                continue
            bare = re.sub(r"(?<=[0-9.])(u?[bsl]{1,2}|[fd])$", "", part, flags=re.IGNORECASE)
            try:
                found.append(int(bare) if re.fullmatch(r"[+-]?\d+", bare) else float(bare))
            except ValueError:
                raise InputError(
                    f"{key} of {self.label} is the text {self._shown(key)}, where numbers are expected; write numbers "
                    "of the variable's type, or delete it"
                ) from None
        return found

    def _shown(self, key: str) -> str:
        return repr(str(self.attrs[key])[:60])

    def stored_numbers(self, key: str, compared: np.dtype[Any], packing: tuple[Any, Any] | None) -> list[Any]:
        """Return the stored numbers that an attribute names, of the type that they are compared in."""
        return [number for stated in self.numbers(key) for number in _stored(stated, compared, packing, key, self)]

    def valid_range(self, compared: np.dtype[Any], packing: tuple[Any, Any] | None) -> tuple[Any, Any]:
        """Return the lowest and the highest valid number as stored, None for no limit."""
        key, stated = "valid_range", self.numbers("valid_range")
        if stated and len(stated) != 2:
            raise InputError(
                f"valid_range of {self.label} is {self._shown(key)}, where two numbers are expected; correct it"
            )
        ends: list[Any] = [float(end) for end in stated] if any(isinstance(end, float) for end in stated) else [*stated]
        if not stated:
            key = "valid_min and valid_max"
            for one in ("valid_min", "valid_max"):
                numbers = self.numbers(one)
                if len(numbers) > 1:
                    raise InputError(f"{one} of {self.label} is {self._shown(one)}, where one number is expected")
                ends.append(numbers[0] if numbers else None)
        ends = [None if end is None or not np.isfinite(end) else end for end in ends]
        if ends[0] is not None and ends[1] is not None and ends[0] > ends[1] and not self.wraps:
            raise InputError(
                f"{key} of {self.label} goes from {ends[0]:g} down to {ends[1]:g}, so no value is valid; correct it"
            )
        if compared.kind == "f":
            return tuple(None if end is None else compared.type(end) for end in ends)  # type: ignore[return-value]
        if packing is not None and any(isinstance(end, float) for end in ends):
            ends = _packed_ends(ends, packing, np.iinfo(compared), wraps=self.wraps)
        elif self.wraps:
            ends = [None if end is None else _same_bits(end, np.iinfo(compared)) for end in ends]
        return self._whole_ends(ends, compared, key)

    @property
    def wraps(self) -> bool:
        """Whether numbers may be stated with the other signedness than that of the values."""
        return "_Unsigned" in self.attrs

    def _whole_ends(self, ends: list[Any], compared: np.dtype[Any], key: str) -> tuple[Any, Any]:
        """Return limits of whole numbers, None where the type has none beyond them."""
        info = np.iinfo(compared)
        low, high = (None if end is None else int(rounded(end)) for end, rounded in zip(ends, (np.ceil, np.floor)))
        if not self.wraps and low is not None and high is not None and low >= 0 and info.max < high < 2**info.bits:
            raise InputError(
                f"{key} of {self.label} is {low} to {high}, which the type {compared} holds only if it is unsigned; "
                "set its attribute _Unsigned to 'true', or correct the range"
            )
        if (
            (low is not None and low > info.max)
            or (high is not None and high < info.min)
            or (low is not None and high is not None and low > high)
        ):
            raise InputError(
                f"{key} of {self.label} lies outside the numbers of its type {compared}, so no value is valid; "
                "correct it"
            )
        return (
            None if low is None or low <= info.min else compared.type(low),
            None if high is None or high >= info.max else compared.type(high),
        )


def _packed_ends(ends: list[Any], packing: tuple[Any, Any], info: np.iinfo, *, wraps: bool) -> list[Any]:
    """Return limits as packed numbers, None where the packing cannot reach them.

    By the NetCDF users' guide limits of the type of the unpacked values are in their units; whole numbers are packed.
    """
    sides: tuple[list[int], list[int]] = ([], [])
    for side, end in enumerate(ends):
        if isinstance(end, float):
            # Every number of the type is within a limit beyond it, which is nothing that wraps.
            packed = round((end - packing[1]) / packing[0])
            side = side if packing[0] > 0 else 1 - side
            if side == 0 and packed > info.min:
                sides[0].append(packed)
            elif side == 1 and packed < info.max:
                sides[1].append(packed)
        elif end is not None:
            sides[side].append(_same_bits(int(end), info) if wraps else int(end))
    lows, highs = sides
    return [max(lows, default=None), min(highs, default=None)]


def _stored(
    stated: Any, compared: np.dtype[Any], packing: tuple[Any, Any] | None, key: str, attributes: _Attributes
) -> list[Any]:
    """Return a stated number as one of a type, alone in a list; an empty list where no stored number can be it.

    A double is rounded to the single precision of the values. A fraction on packed numbers is in unpacked units.
    """
    stated = stated.item() if isinstance(stated, np.generic) else stated
    if not np.isfinite(stated):
        return []
    if compared.kind == "f":
        with np.errstate(over="ignore"):
            number = np.float64(stated).astype(compared)
        return [number] if np.isfinite(number) else []
    info = np.iinfo(compared)
    if stated == int(stated):
        whole = _same_bits(int(stated), info) if attributes.wraps else int(stated)
        if info.min <= whole <= info.max:
            return [compared.type(whole)]
    if packing is not None:
        packed = (stated - packing[1]) / packing[0]
        # Beyond rounding a packed number is whole.
        if info.min <= packed <= info.max and abs(packed - round(packed)) < 1e-3:
            return [compared.type(round(packed))]
    if info.min <= stated <= info.max or -(2 ** (info.bits - 1)) <= stated < 2**info.bits:
        raise InputError(
            f"{key} of {attributes.label} is {stated!r}, which its type {compared} cannot hold; write it as a number "
            "of that type, or delete it"
        )
    return []


def _same_bits(whole: int, info: np.iinfo) -> int:
    """Return the number of a type that has the bits of a number of the other signedness."""
    if info.min == 0 and -(2 ** (info.bits - 1)) <= whole < 0:
        return whole + 2**info.bits
    return whole - 2**info.bits if info.min < 0 and info.max < whole < 2**info.bits else whole


def _decoded_type(compared: np.dtype[Any], scale: Any, offset: Any, *, has_gaps: bool) -> np.dtype[Any]:
    """Return the type of decoded values, as xarray chooses it."""
    if scale is None and offset is None:
        if compared.kind == "f" or not has_gaps:
            return compared
        return np.dtype("f4" if compared.itemsize <= 2 else "f8")
    types = [np.dtype(type(each)) for each in (scale, offset) if each is not None]
    if len(types) == 2 and types[0] == types[1] and types[0] in (np.float32, np.float64):
        # A float32 does not hold all whole numbers of 32 bits.
        return np.dtype("f8") if compared.itemsize == 4 and compared.kind in "iu" else types[0]
    if offset is not None or types[0].kind != "f":
        return np.dtype("f8")
    return types[0]


def _is_flags(name: Any, compared: np.dtype[Any], attrs: Mapping[Any, Any]) -> bool:
    """Whether the flags are the values, as in a mask, and not gaps among measurements."""
    words = str(name).lower().replace("-", "_").split("_")
    standard_name = str(attrs.get("standard_name", "")).lower()
    if any(word in MASK_WORDS for word in words) or standard_name.endswith(("flag", "mask", "type")):
        return True
    if "scale_factor" in attrs or "add_offset" in attrs:
        return False
    is_quantity = has_physical_units(attrs.get("units")) or bool(standard_name)
    return ("flag_values" in attrs or "flag_masks" in attrs) and not is_quantity


def _within(number: Any, lowest: Any, highest: Any) -> bool:
    return bool((lowest is None or number >= lowest) and (highest is None or number <= highest))


def _some(rule: int, where: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield what a rule found, if anything."""
    if where.any():
        yield rule, where
