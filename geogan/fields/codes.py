"""Whole numbers that stand for values, as CF packs them: what readers make of them, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import xarray as xr

from geogan.operators.errors import InputError

Container = Literal["zarr", "netcdf"]


class Codes(NamedTuple):
    """A packing: ``value = code * scale + offset``, and one code that stands for a missing value.

    Attributes
    ----------
    dtype : dtype
        Of the codes; 8 to 64 bits, signed or not.
    scale, offset : float or NumPy scalar, optional
        Their type decides the type of the values that readers compute; None where the attribute is absent.
    fill : int, optional
        Code of a missing value; None where there is none.

    Examples
    --------
    >>> codes = Codes(np.dtype("int16"), 0.5, None, -1)
    >>> packed = codes.pack(np.array([20.5, np.nan]), "sst")
    >>> packed, codes.read(packed, "zarr")
    (array([41, -1], dtype=int16), array([20.5,  nan]))
    """

    dtype: np.dtype[Any]
    scale: Any = None
    offset: Any = None
    fill: int | None = None

    @classmethod
    def of(cls, encoding: Mapping[Any, Any]) -> Codes | str:
        """Return the packing that an encoding describes, or why there is none, as the end of a sentence.

        Whole numbers marked by ``_Unsigned`` become those that their bits stand for.
        """
        try:
            dtype = np.dtype(encoding.get("dtype", float)).newbyteorder("=")
        except TypeError:
            return "its type is unknown"
        if dtype.kind not in "iu":
            return "it is not stored as whole numbers"
        marked = str(encoding.get("_Unsigned", "")).lower()
        if marked in ("true", "false"):
            dtype = np.dtype(f"{'u' if marked == 'true' else 'i'}{dtype.itemsize}")
        scale, offset = (one_number(encoding.get(key)) for key in ("scale_factor", "add_offset"))
        if isinstance(scale, str) or isinstance(offset, str):
            return "its scale_factor or add_offset is not one number"
        if scale is not None and float(scale) == 0:
            return "its scale_factor is 0"
        if not (isinstance(scale, np.float32) and (offset is None or isinstance(offset, np.float32))):
            # Only single precision of both makes readers compute in it; alone it is a double.
            scale, offset = (None if number is None else float(number) for number in (scale, offset))
        fill = one_number(encoding.get("_FillValue"))
        is_code = not isinstance(fill, str) and fill is not None and float(fill).is_integer()
        return cls(dtype, scale, offset, int(fill) if is_code else None)

    @property
    def attrs(self) -> dict[str, Any]:
        """CF attributes of a variable with these codes."""
        found = {"scale_factor": self.scale, "add_offset": self.offset}
        found["_FillValue"] = None if self.fill is None else self.dtype.type(self.fill)
        return {key: value for key, value in found.items() if value is not None}

    @property
    def slope(self) -> tuple[float, float]:
        """Scale and offset as numbers: 1 and 0 where there are none."""
        return 1.0 if self.scale is None else float(self.scale), 0.0 if self.offset is None else float(self.offset)

    @property
    def ends(self) -> tuple[int, int]:
        """Lowest and highest code of the type."""
        info = np.iinfo(self.dtype)
        return int(info.min), int(info.max)

    def pack(self, values: np.ndarray, name: str) -> np.ndarray:
        """Return the nearest code of each value, and the fill code for NaN.

        Parameters
        ----------
        values : ndarray
            Physical units; NaN where missing.
        name : str
            What errors call the variable.

        Raises
        ------
        InputError
            If a value lies beyond the codes or its code means missing, or if a value is missing and no code means
            that. Nothing is clipped.
        """
        scale, offset = self.slope
        whole = np.rint((np.asarray(values, np.float64) - offset) / scale)
        gaps, (low, high) = np.isnan(whole), self.ends
        if self.fill is None and gaps.any():
            raise InputError(
                f"{name} has gaps, and its encoding as {self.dtype} has no fill value for them; give it a _FillValue, "
                "or store it as floats with drop_encoding()"
            )
        # The highest code of 64 bits is no float64: the next one is.
        beyond = (whole < low) | ((whole > high) if int(float(high)) == high else (whole >= float(high)))
        if self.fill is not None:
            beyond |= whole == self.fill
        if beyond.any():
            value = np.asarray(values)[beyond].flat[0]
            raise InputError(
                f"{name} holds {float(value):g}, which its encoding as {self.dtype} has no number for; store it as "
                "floats with drop_encoding()"
            )
        packed = np.where(gaps, 0, whole).astype(self.dtype)
        if self.fill is not None:
            packed[gaps] = self.fill
        return packed

    def read(self, codes: np.ndarray, container: Container) -> np.ndarray:
        """Values that xarray reads from codes in a Zarr store or a NetCDF file."""
        attrs = self.attrs
        if container == "zarr":
            # JSON has no types: what was float32 comes back as a Python float.
            attrs |= {key: float(attrs[key]) for key in ("scale_factor", "add_offset") if key in attrs}
        return decoded(codes, attrs)

    def read_by_netcdf4(self, codes: np.ndarray) -> np.ndarray:
        """Values that netCDF4-python reads from codes, the fill code apart."""
        values: Any = codes
        # A Python float is a double in the file, which makes the values doubles.
        if self.scale is not None and (float(self.scale) != 1 or self.offset is not None):
            values = values * np.asarray(self.scale)[()]
        if self.offset is not None and float(self.offset) != 0:
            values = values + np.asarray(self.offset)[()]
        return np.asarray(values)

    def span(self, low: float, high: float) -> tuple[int, int]:
        """First and last of the codes between which the values from ``low`` to ``high`` are rounded."""
        scale, offset = self.slope
        first, last = sorted(((low - offset) / scale, (high - offset) / scale))
        # A value that is a code but for the rounding of this division counts as that code.
        return int(np.floor(first + 1e-6)), int(np.ceil(last - 1e-6))

    def values(self, first: int, last: int) -> tuple[float, float]:
        """Lowest and highest value of the codes from ``first`` to ``last``."""
        scale, offset = self.slope
        low, high = sorted((first * scale + offset, last * scale + offset))
        return low, high


def decoded(codes: np.ndarray, attrs: Mapping[str, Any]) -> np.ndarray:
    """Values that xarray decodes from stored numbers with the CF attributes ``attrs``."""
    variable = xr.Variable(("code",), np.ravel(codes), dict(attrs))
    found = xr.conventions.decode_cf_variable("values", variable, decode_times=False)
    return np.asarray(found.values).reshape(np.shape(codes))


def encoded(values: np.ndarray, codes: Codes) -> np.ndarray:
    """Codes that xarray itself writes for values, as `Dataset.to_netcdf` and `to_zarr` do."""
    variable = xr.Variable(("code",), np.ravel(values), encoding={"dtype": codes.dtype, **codes.attrs})
    return np.asarray(xr.conventions.encode_cf_variable(variable, name="values").values).reshape(np.shape(values))


def one_number(value: Any) -> Any:
    """Return one finite number in its type; None where there is none, a text where it is anything else."""
    if value is None:
        return None
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        return "no number"
    if array.dtype.kind in "iu":
        return float(array.item())
    return array.ravel()[0] if array.ndim else value
