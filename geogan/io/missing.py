"""Missing values: which stored numbers mean missing, for files, stores and arrays in memory.

The rules are those of the CF conventions and the NetCDF users' guide: ``_FillValue``, ``missing_value``, ``valid_min``,
``valid_max``, ``valid_range``, ``flag_values`` among measurements, default fill values of the NetCDF library, and the
``fill_value`` of a Zarr 3 array, which is the value of chunks that were never written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from xarray.core import indexing

from geogan.fields.axes import SAMPLES
from geogan.fields.marks import GAP_RULES, rule_mark
from geogan.fields.measured import MASK_WORDS, file_label, has_physical_units
from geogan.fields.variables import is_joined
from geogan.io.attributes import Attributes, stored_numbers
from geogan.operators.errors import InputError

# Positions in GAP_RULES. The last rule, the user's condition, is applied in `geogan.io.open`.
_MISSING, _FLAG, _RANGE, _DEFAULT, _STORE = range(len(GAP_RULES) - 1)
_FILL = -1  # a plain NaN

# Values of cells that the NetCDF library never wrote, by type. Bytes have none, since all 256 may be data.
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
# Attributes that decoding moves to the encoding.
_DECODING = ("_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned")
_RANGES = ("valid_range", "valid_min", "valid_max")
# Key in the encoding of a field whose gaps are marked, so that the rules are not applied twice.
_IS_MARKED = "gaps_decided"


@dataclass(frozen=True)
class MissingRules:
    """Which numbers of a stored variable mean missing, and how the other numbers are decoded.

    Attributes
    ----------
    compared : dtype
        Type of the stored numbers, with the signedness that ``_Unsigned`` states; comparisons are made in it.
    decoded : dtype
        Type of the decoded values, as xarray chooses it.
    scale, offset : float, int or None
        ``scale_factor`` and ``add_offset``.
    numbers : tuple of (int, number)
        A number that means missing, and the position of its rule in :data:`geogan.fields.marks.GAP_RULES` (-1 for
        ``_FillValue``).
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
            Attributes as stored, with those of the packing.
        name : str, optional
            Name of the variable; names of masks contain words such as ``mask`` or ``flag``.
        label : str
            Words for the variable in messages.
        netcdf : bool
            Whether the NetCDF library stored the numbers, which has default fill values for whole numbers.
        store_fill : number, optional
            ``fill_value`` of a Zarr 3 array.

        Raises
        ------
        InputError
            If an attribute is not a number, is a number that the type cannot hold, or states an empty range.
        """
        stored = np.dtype(dtype)
        attributes = Attributes(attrs, label)
        compared = attributes.compared(stored)
        scale, offset = attributes.number("scale_factor"), attributes.number("add_offset")
        packing = None if scale is None and offset is None else (1 if scale is None else scale, offset or 0)
        numbers = [
            (rule, number)
            for rule, key in ((_FILL, "_FillValue"), (_MISSING, "missing_value"))
            for number in attributes.stated_numbers(key, compared, packing)
        ]
        lowest, highest = attributes.valid_range(compared, packing)
        is_flags = _is_flags(name, compared, attrs)
        if not is_flags:
            # A flag within the valid range is a value.
            is_bounded = lowest is not None or highest is not None
            numbers += [
                (_FLAG, number)
                for number in attributes.stated_numbers("flag_values", compared, packing)
                if not (is_bounded and _within(number, lowest, highest))
            ]
        default = _DEFAULT_FILLS.get(stored.str[1:])
        if default is not None and (stored.kind == "f" or (netcdf and "_FillValue" not in attrs and not is_flags)):
            numbers.append((_DEFAULT, stored.type(default).astype(compared)))
        if store_fill is not None and not is_flags and store_fill != 0:
            numbers += [
                (_STORE, number) for number in stored_numbers(store_fill, compared, packing, "fill_value", attributes)
            ]
        distinct = {number: (rule, number) for rule, number in reversed(numbers)}
        ordered = tuple(sorted(distinct.values(), key=lambda pair: pair[0]))
        has_gaps = bool(ordered) or lowest is not None or highest is not None
        decoded = _decoded_type(compared, scale, offset, has_gaps=has_gaps)
        return cls(compared, decoded, scale, offset, ordered, lowest, highest)

    @property
    def is_plain(self) -> bool:
        """Whether stored numbers are the values, and no number means missing."""
        return self.scale is None and self.offset is None and not self._has_gaps

    @property
    def _has_gaps(self) -> bool:
        return bool(self.numbers) or self.lowest is not None or self.highest is not None

    def decode(self, stored: np.ndarray) -> np.ndarray:
        """Return stored numbers as values; missing ones are NaNs with the mark of their rule.

        Valid values are bit for bit those of xarray.
        """
        stored = np.asarray(stored).astype(self.compared, copy=False)
        values = self._unpacked(stored)
        for rule, where in self._missing(stored):
            if values is stored:
                values = stored.copy()
            values[where] = np.nan if rule == _FILL else rule_mark(self.decoded, rule)
        return values

    def mask(self, values: np.ndarray) -> np.ndarray:
        """Return values that another reader decoded, with marked NaNs where a rule says that they are missing.

        Parameters
        ----------
        values : ndarray of float
            Decoded with the same packing; not all rules were applied.

        Returns
        -------
        values : ndarray
            The same object if no value is missing.
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
        """Return the lowest and highest valid value, decoded; None for no limit."""
        low, high = (
            None if end is None else float(self._unpacked(np.array([end]))[0]) for end in (self.lowest, self.highest)
        )
        return (high, low) if self._is_reversed else (low, high)

    @property
    def _is_reversed(self) -> bool:
        return self.scale is not None and self.scale < 0

    def _unpacked(self, stored: np.ndarray) -> np.ndarray:
        """Return stored numbers unpacked; missing ones are not marked."""
        if self.scale is None and self.offset is None:
            return stored.astype(self.decoded, copy=False)
        values = stored.astype(self.decoded)
        if self.scale is not None:
            values *= self.scale
        if self.offset is not None:
            values += self.offset
        return values

    def _missing(self, stored: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yield where each rule holds; rules of higher precedence come last, so that their marks overwrite others."""
        for end, where in ((self.lowest, np.less), (self.highest, np.greater)):
            if end is not None:
                yield from _some(_RANGE, where(stored, end))
        for rule, number in reversed(self.numbers):
            yield from _some(rule, stored == number)

    def _decoded_missing(self, values: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yield where each rule holds for decoded values, with a tolerance of half a step of the packing."""
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
    """Return a dataset whose gridded variables are decoded by :class:`MissingRules` when they are read.

    Parameters
    ----------
    stored : Dataset
        From :func:`xarray.open_dataset` with ``decode_cf=False``.
    path : str
        The file, for messages.
    netcdf : bool
        Whether the NetCDF library wrote the dataset.

    Returns
    -------
    dataset : Dataset
        Not yet decoded by :func:`xarray.decode_cf` (times, coordinates, texts). Attributes of the packing are in
        ``encoding``. A variable with unusable attributes raises an error when it is read.
    """
    bounds = {
        str(variable.attrs.get(key)) for variable in stored.variables.values() for key in ("bounds", "climatology")
    }
    decoded = {}
    for name, variable in stored.variables.items():
        is_time = " since " in str(variable.attrs.get("units", ""))
        if variable.ndim < 2 or variable.dtype.kind not in "iuf" or is_time or name in bounds:
            continue
        decoded[name] = _decoding(variable, str(name), path, netcdf=netcdf)
    return stored.assign(decoded)


def is_missing(stored: np.ndarray, field: xr.DataArray) -> bool:
    """Return whether a stored number means missing in a field from a Zarr store.

    Parameters
    ----------
    stored : ndarray of one number
        In the type of the stored numbers.
    field : DataArray
        With attributes and encoding of the opened variable.

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


def mark_gaps(field: xr.DataArray) -> xr.DataArray:
    """Return a field with NaN where its attributes or its encoding say that a value is missing.

    Parameters
    ----------
    field : DataArray
        Decoded by xarray or not (``mask_and_scale=False``); lazy or not.

    Returns
    -------
    field : DataArray
        The same object if no value is missing or gaps are marked already; else attributes of the packing are in
        ``encoding``.

    Raises
    ------
    InputError
        If an attribute cannot be used, or it is not known whether the values are packed.

    Examples
    --------
    >>> maps = xr.DataArray([[1.0, -99.0]], dims=("y", "x"), attrs={"missing_value": -99.0})
    >>> mark_gaps(maps).values.tolist()
    [[1.0, nan]]
    """
    if field.dtype.kind not in "iuf" or _IS_MARKED in field.encoding or is_joined(field):
        return field
    attrs, encoding = field.attrs, field.encoding
    source = str(encoding.get("source", ""))
    options: dict[str, Any] = {
        "name": field.name,
        "label": file_label(field),
        "store_fill": encoding.get("fill_value"),
    }
    options["netcdf"] = bool(source) and not source.rstrip("/").endswith(".zarr") and "dtype" in encoding
    is_stored = any(key in attrs for key in _DECODING) or field.dtype.kind in "iu"
    if is_stored:
        _check_packing(field)
        stored = field.dtype
        if "_Unsigned" in encoding and "_Unsigned" not in attrs:
            # xarray has decoded only the signedness.
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
    """Return a field with a function applied to its values, and the attributes of its packing in the encoding."""
    if not field.variable._in_memory and field.chunks is None:
        # A file that xarray reads on access, perhaps larger than memory.
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
    masked.encoding = {"dtype": field.dtype} | dict(field.encoding) | moved | {_IS_MARKED: True}
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
            f"{file_label(field)} has {' and '.join(stated)} among its attributes and values of type {field.dtype}, so "
            "whether they were applied is not known; apply them with xarray.decode_cf, or delete the attributes"
        )


def _check_types(field: xr.DataArray) -> None:
    """Refuse limits and flags of packed numbers for unpacked values whose packing is not known."""
    for key in (*_RANGES, "flag_values"):
        dtype = getattr(field.attrs.get(key), "dtype", None)
        if dtype is not None and field.dtype.kind == "f" and dtype.kind in "iu" and dtype.itemsize < 8:
            raise InputError(
                f"{file_label(field)} has values of type {field.dtype}, but its {key} is of type {dtype}, as of packed "
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
    """Return the data of a variable, to which a function is applied when they are read."""
    return indexing.LazilyIndexedArray(_Decoded(variable, function, dtype))


def _decoding(variable: xr.Variable, name: str, path: str, *, netcdf: bool) -> xr.Variable:
    """Return a variable that is decoded when it is read."""
    label = f"variable {name!r} of {path}"
    attrs = {key: value for key, value in variable.attrs.items() if key not in _DECODING}
    encoding = dict(variable.encoding) | {key: variable.attrs[key] for key in _DECODING if key in variable.attrs}
    encoding[_IS_MARKED] = True
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
        # The error is raised only if this variable is read.
        return xr.Variable(variable.dims, _lazy(variable, partial(_refuse, error), variable.dtype), attrs, encoding)
    encoding["dtype"] = variable.dtype
    if isinstance(encoding.get("missing_value"), str):
        # xarray cannot encode numbers with a fill value that is text.
        del encoding["missing_value"]
        numbers = [number for rule, number in rules.numbers if rule == _MISSING]
        if numbers:
            encoding["missing_value"] = numbers[0]
    return xr.Variable(variable.dims, _lazy(variable, rules.decode, rules.decoded), attrs, encoding)


def _refuse(error: InputError, values: np.ndarray) -> np.ndarray:
    raise error


def _decoded_type(compared: np.dtype[Any], scale: Any, offset: Any, *, has_gaps: bool) -> np.dtype[Any]:
    """Return the type of decoded values, as xarray chooses it."""
    if scale is None and offset is None:
        if compared.kind == "f" or not has_gaps:
            return compared
        return np.dtype("f4" if compared.itemsize <= 2 else "f8")
    types = [np.dtype(type(factor)) for factor in (scale, offset) if factor is not None]
    if len(types) == 2 and types[0] == types[1] and types[0] in (np.float32, np.float64):
        # Single precision does not represent all 32-bit integers.
        return np.dtype("f8") if compared.itemsize == 4 and compared.kind in "iu" else types[0]
    if offset is not None or types[0].kind != "f":
        return np.dtype("f8")
    return types[0]


def _is_flags(name: Any, compared: np.dtype[Any], attrs: Mapping[Any, Any]) -> bool:
    """Return whether flags are the values of a variable, as in a mask, and not gaps among measurements."""
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
    """Yield a rule and its cells, if there are any."""
    if where.any():
        yield rule, where
