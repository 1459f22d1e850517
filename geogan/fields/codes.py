"""CF packing: integers (codes) that encode values, and the values that readers decode from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import xarray as xr

from geogan.operators.errors import InputError

Container = Literal["zarr", "netcdf"]


class Codes(NamedTuple):
    """A packing: ``value = code * scale + offset``, and one code for missing values.

    Attributes
    ----------
    dtype : dtype
        Type of the codes: an integer of 8 to 64 bits, signed or unsigned.
    scale, offset : float or NumPy scalar, optional
        Their type decides the type of the values that readers compute; None if the attribute is absent.
    fill : int, optional
        Code of missing values; None if there is none.

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
        """Return the packing that an encoding describes, or the reason why there is none, as the end of a sentence.

        The attribute ``_Unsigned`` reinterprets the bits of the codes.
        """
        try:
            dtype = np.dtype(encoding.get("dtype", float)).newbyteorder("=")
        except TypeError:
            return "its type is unknown"
        if dtype.kind not in "iu":
            return "it is not stored as integers"
        is_unsigned = str(encoding.get("_Unsigned", "")).lower()
        if is_unsigned in ("true", "false"):
            dtype = np.dtype(f"{'u' if is_unsigned == 'true' else 'i'}{dtype.itemsize}")
        scale, offset = (one_number(encoding.get(key)) for key in ("scale_factor", "add_offset"))
        if isinstance(scale, str) or isinstance(offset, str):
            return "its scale_factor or add_offset is not one number"
        if scale is not None and float(scale) == 0:
            return "its scale_factor is 0"
        if not (isinstance(scale, np.float32) and (offset is None or isinstance(offset, np.float32))):
            # Readers compute in single precision only if both are float32; otherwise in double precision.
            scale, offset = (None if number is None else float(number) for number in (scale, offset))
        fill = one_number(encoding.get("_FillValue"))
        is_code = not isinstance(fill, str) and fill is not None and float(fill).is_integer()
        return cls(dtype, scale, offset, int(fill) if is_code else None)

    @property
    def attrs(self) -> dict[str, Any]:
        """CF attributes of a variable with these codes."""
        attrs = {"scale_factor": self.scale, "add_offset": self.offset}
        attrs["_FillValue"] = None if self.fill is None else self.dtype.type(self.fill)
        return {key: value for key, value in attrs.items() if value is not None}

    @property
    def slope(self) -> tuple[float, float]:
        """Scale and offset as numbers; 1 and 0 if the attributes are absent."""
        return 1.0 if self.scale is None else float(self.scale), 0.0 if self.offset is None else float(self.offset)

    @property
    def ends(self) -> tuple[int, int]:
        """Lowest and highest code of the type."""
        info = np.iinfo(self.dtype)
        return int(info.min), int(info.max)

    def pack(self, values: np.ndarray, name: str) -> np.ndarray:
        """Return the nearest code of each value, and the fill code for NaN; never clip.

        Parameters
        ----------
        values : ndarray
            Physical units; NaN where missing.
        name : str
            Name of the variable, for errors.

        Raises
        ------
        InputError
            If a value has no code or only the fill code, or if a value is missing and there is no fill code.
        """
        scale, offset = self.slope
        codes = np.rint((np.asarray(values, np.float64) - offset) / scale)
        is_missing, (low, high) = np.isnan(codes), self.ends
        if self.fill is None and is_missing.any():
            raise InputError(
                f"{name} has gaps, and its encoding as {self.dtype} has no fill value for them; give it a _FillValue, "
                "or store it as floats with drop_encoding()"
            )
        # The highest code of 64 bits is not a float64; float() rounds it up to the next integer.
        has_no_code = (codes < low) | ((codes > high) if int(float(high)) == high else (codes >= float(high)))
        if self.fill is not None:
            has_no_code |= codes == self.fill
        if has_no_code.any():
            value = np.asarray(values)[has_no_code].flat[0]
            raise InputError(
                f"{name} holds {float(value):g}, for which its encoding as {self.dtype} has no number; store it as "
                "floats with drop_encoding()"
            )
        packed = np.where(is_missing, 0, codes).astype(self.dtype)
        if self.fill is not None:
            packed[is_missing] = self.fill
        return packed

    def read(self, codes: np.ndarray, container: Container) -> np.ndarray:
        """Return the values that xarray reads from codes in a Zarr store or a NetCDF file."""
        attrs = self.attrs
        if container == "zarr":
            # JSON has no types: a float32 attribute is read as a Python float.
            attrs |= {key: float(attrs[key]) for key in ("scale_factor", "add_offset") if key in attrs}
        return decoded(codes, attrs)

    def read_by_netcdf4(self, codes: np.ndarray) -> np.ndarray:
        """Return the values that netCDF4-python reads from codes other than the fill code."""
        values: Any = codes
        # A Python float is stored in double precision, in which the values are then computed.
        if self.scale is not None and (float(self.scale) != 1 or self.offset is not None):
            values = values * np.asarray(self.scale)[()]
        if self.offset is not None and float(self.offset) != 0:
            values = values + np.asarray(self.offset)[()]
        return np.asarray(values)

    def span(self, low: float, high: float) -> tuple[int, int]:
        """Return the first and the last code to which values from ``low`` to ``high`` are rounded."""
        scale, offset = self.slope
        first, last = sorted(((low - offset) / scale, (high - offset) / scale))
        # The tolerance absorbs the rounding of this division.
        return int(np.floor(first + 1e-6)), int(np.ceil(last - 1e-6))

    def values(self, first: int, last: int) -> tuple[float, float]:
        """Return the lowest and the highest value of the codes from ``first`` to ``last``."""
        scale, offset = self.slope
        low, high = sorted((first * scale + offset, last * scale + offset))
        return low, high


def decoded(codes: np.ndarray, attrs: Mapping[str, Any]) -> np.ndarray:
    """Return the values that xarray decodes from stored numbers with the CF attributes ``attrs``."""
    variable = xr.Variable(("code",), np.ravel(codes), dict(attrs))
    values = xr.conventions.decode_cf_variable("values", variable, decode_times=False)
    return np.asarray(values.values).reshape(np.shape(codes))


def encoded(values: np.ndarray, codes: Codes) -> np.ndarray:
    """Return the codes that `Dataset.to_netcdf` and `to_zarr` write for values."""
    variable = xr.Variable(("code",), np.ravel(values), encoding={"dtype": codes.dtype, **codes.attrs})
    return np.asarray(xr.conventions.encode_cf_variable(variable, name="values").values).reshape(np.shape(values))


def one_number(value: Any) -> Any:
    """Return one finite number in its type; None if it is None, a text if it is anything else."""
    if value is None:
        return None
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        return "no number"
    if array.dtype.kind in "iu":
        return float(array.item())
    return array.ravel()[0] if array.ndim else value


def reinterpreted(value: Any, stored: np.dtype[Any], dtype: np.dtype[Any]) -> Any:
    """Return numbers of the stored type as the numbers that their bits mean in type ``dtype``."""
    values = np.asarray(value)
    info = np.iinfo(stored)
    if stored == dtype or values.dtype.kind not in "iu" or (values < info.min).any() or (values > info.max).any():
        return values if values.ndim else values[()]
    numbers = values.astype(stored).view(dtype)
    return numbers if numbers.ndim else numbers[()]


def number_type(dtype: Any, kinds: str = "iuf") -> np.dtype[Any] | None:
    """Return the number type that an encoding names, in the byte order of this machine; None if it names none."""
    try:
        known = np.dtype(dtype).newbyteorder("=") if dtype is not None else None
    except TypeError:
        return None
    return known if known is not None and known.kind in kinds else None
