"""Attributes of a stored variable that state numbers: fill values, limits and packing, read as numbers of its type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from geogan.operators.errors import InputError

# Texts in missing_value and similar attributes that state no number.
_NO_NUMBER = ("", "none", "null", "na", "n/a")


class Attributes:
    """Attributes of a stored variable, read as numbers of its type.

    Parameters
    ----------
    attrs : mapping
        As stored, with those of the packing.
    label : str
        Words for the variable in messages.
    """

    def __init__(self, attrs: Mapping[Any, Any], label: str) -> None:
        self.attrs, self.label = attrs, label

    def compared(self, stored: np.dtype[Any]) -> np.dtype[Any]:
        """Return the type of the stored numbers, with the signedness that ``_Unsigned`` states."""
        unsigned = str(self.attrs.get("_Unsigned", "")).lower()
        kinds = {("true", "i"): "u", ("false", "u"): "i"}
        kind = kinds.get((unsigned, stored.kind), stored.kind)
        return np.dtype(f"{kind}{stored.itemsize}")

    def number(self, key: str) -> Any:
        """Return an attribute of one finite number; None if it is absent."""
        if key not in self.attrs:
            return None
        value = np.asarray(self.attrs[key])
        if value.size != 1 or value.dtype.kind not in "iuf" or not np.isfinite(value).all():
            raise InputError(f"{key} of {self.label} is {self._shown(key)}, where one number is expected; correct it")
        if key == "scale_factor" and not value.any():
            raise InputError(f"scale_factor of {self.label} is 0, so no value can be decoded; correct it")
        # Python numbers are kept, since their type determines the type of the decoded values.
        return self.attrs[key] if isinstance(self.attrs[key], int | float | np.number) else value.ravel()[0]

    def numbers(self, key: str) -> list[int | float]:
        """Return the numbers of an attribute, also if they are written as text."""
        if key not in self.attrs or self.attrs[key] is None:
            return []
        numbers: list[int | float] = []
        for value in np.ravel(np.asarray(self.attrs[key])):
            if isinstance(value, bytes | str):
                numbers += self._parsed(key, value.decode("latin-1") if isinstance(value, bytes) else str(value))
            elif isinstance(value, np.number | int | float) and not isinstance(value, complex | np.complexfloating):
                numbers.append(value.item() if isinstance(value, np.generic) else value)
            else:
                raise InputError(f"{key} of {self.label} is {self._shown(key)}, where numbers are expected; correct it")
        return numbers

    def _parsed(self, key: str, text: str) -> list[int | float]:
        """Return the numbers in a text, which may have the suffixes of ncdump (-999.f, 254UB)."""
        if text.strip().strip("\0").lower() in _NO_NUMBER:
            return []
        numbers: list[int | float] = []
        for part in re.split(r"[\s,;]+|\bto\b", text.strip().strip("\0")):
            if not part:
                continue
            bare = re.sub(r"(?<=[0-9.])(u?[bsl]{1,2}|[fd])$", "", part, flags=re.IGNORECASE)
            try:
                numbers.append(int(bare) if re.fullmatch(r"[+-]?\d+", bare) else float(bare))
            except ValueError:
                raise InputError(
                    f"{key} of {self.label} is the text {self._shown(key)}, where numbers are expected; write numbers "
                    "of the variable's type, or delete it"
                ) from None
        return numbers

    def _shown(self, key: str) -> str:
        return repr(str(self.attrs[key])[:60])

    def stated_numbers(self, key: str, compared: np.dtype[Any], packing: tuple[Any, Any] | None) -> list[Any]:
        """Return the stored numbers that an attribute states, in the type of comparison."""
        return [
            number for stated in self.numbers(key) for number in stored_numbers(stated, compared, packing, key, self)
        ]

    def valid_range(self, compared: np.dtype[Any], packing: tuple[Any, Any] | None) -> tuple[Any, Any]:
        """Return the lowest and highest valid stored number; None for no limit."""
        key, stated = "valid_range", self.numbers("valid_range")
        if stated and len(stated) != 2:
            raise InputError(
                f"valid_range of {self.label} is {self._shown(key)}, where two numbers are expected; correct it"
            )
        ends: list[Any] = [float(end) for end in stated] if any(isinstance(end, float) for end in stated) else [*stated]
        if not stated:
            key = "valid_min and valid_max"
            for limit in ("valid_min", "valid_max"):
                numbers = self.numbers(limit)
                if len(numbers) > 1:
                    raise InputError(f"{limit} of {self.label} is {self._shown(limit)}, where one number is expected")
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
        """Whether attributes may have the other signedness than the values."""
        return "_Unsigned" in self.attrs

    def _whole_ends(self, ends: list[Any], compared: np.dtype[Any], key: str) -> tuple[Any, Any]:
        """Return limits as whole numbers; None for a limit that every number of the type satisfies."""
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
    """Return limits as packed numbers; None for a limit that every packed number satisfies.

    By the NetCDF users' guide, floating-point limits are in the units of the unpacked values, and whole numbers are
    packed.
    """
    sides: tuple[list[int], list[int]] = ([], [])
    for side, end in enumerate(ends):
        if isinstance(end, float):
            # A limit beyond the range of the type is satisfied by every number, and is not converted modulo 2**bits.
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


def stored_numbers(
    stated: Any, compared: np.dtype[Any], packing: tuple[Any, Any] | None, key: str, attributes: Attributes
) -> list[Any]:
    """Return a list with a stated number in the stored type; an empty list if no stored number can equal it.

    A double is rounded to the precision of the values. For packed numbers a fraction is in the units of the unpacked
    values.
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
        # A packed number is whole, except for rounding errors of the division.
        if info.min <= packed <= info.max and abs(packed - round(packed)) < 1e-3:
            return [compared.type(round(packed))]
    if info.min <= stated <= info.max or -(2 ** (info.bits - 1)) <= stated < 2**info.bits:
        raise InputError(
            f"{key} of {attributes.label} is {stated!r}, which its type {compared} cannot hold; write it as a number "
            "of that type, or delete it"
        )
    return []


def _same_bits(whole: int, info: np.iinfo) -> int:
    """Return the number of a type with the same bits as a number of the other signedness."""
    if info.min == 0 and -(2 ** (info.bits - 1)) <= whole < 0:
        return whole + 2**info.bits
    return whole - 2**info.bits if info.min < 0 and info.max < whole < 2**info.bits else whole
