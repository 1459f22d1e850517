"""Values of a packed archive held as they are stored: in a quarter of the memory of what they are decoded to."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from geogan.fields.marks import plain_gaps


class Packing(NamedTuple):
    """How a field's values are kept as small whole numbers, and what they are as numbers of its own type.

    Attributes
    ----------
    dtype : dtype
        Of the whole numbers.
    attrs : dict
        ``scale_factor``, ``add_offset`` and ``_FillValue``, as CF has them, and what else the field's encoding says of
        it.
    decoded : dtype
        Of the field.

    Examples
    --------
    >>> maps = xr.DataArray([[20.5, np.nan]], dims=("y", "x"), name="sst")
    >>> maps.encoding = {"dtype": "int16", "scale_factor": 0.5, "_FillValue": -1}
    >>> packing = Packing.of(maps)
    >>> packed = packing.pack(maps.values)
    >>> packed, packing.unpack(packed, maps.dims).values
    (array([[41, -1]], dtype=int16), array([[20.5,  nan]]))
    """

    dtype: np.dtype[Any]
    attrs: dict[str, Any]
    decoded: np.dtype[Any]

    @classmethod
    def of(cls, field: xr.DataArray) -> Packing | None:
        """That of a field that was decoded from whole numbers smaller than its own; None for any other."""
        encoding, dtype = field.encoding, np.dtype(field.encoding.get("dtype", field.dtype))
        attrs = {key: encoding[key] for key in ("scale_factor", "add_offset", "_FillValue") if key in encoding}
        small = dtype.kind in "iu" and field.dtype.kind == "f" and dtype.itemsize < field.dtype.itemsize
        if not small or "_FillValue" not in attrs or "_Unsigned" in encoding:
            return None
        return cls(dtype, attrs | {"_FillValue": dtype.type(attrs["_FillValue"])}, field.dtype)

    def pack(self, values: np.ndarray) -> np.ndarray | None:
        """Values as whole numbers, date by date; None where decoding those would not give the very same bits.

        It would not where a field was changed after it was decoded, or holds a NaN that says more than that.
        """
        packed, info = np.empty(values.shape, self.dtype), np.iinfo(self.dtype)
        scale, offset = self.attrs.get("scale_factor", 1), self.attrs.get("add_offset", 0)
        for date, every in zip(plain_gaps(values), packed):
            whole = np.rint((date - offset) / scale)
            whole[np.isnan(whole)] = self.attrs["_FillValue"]
            if not ((whole >= info.min) & (whole <= info.max)).all():
                return None
            every[...] = whole
            again = self.unpack(every, range(every.ndim)).values
            if again.dtype != date.dtype or again.tobytes() != date.tobytes():
                return None
        return packed

    def unpack(self, packed: np.ndarray, dims: Any) -> xr.Variable:
        """Whole numbers as a variable that is decoded, by xarray, where and when it is looked at."""
        stored = xr.Dataset({"values": xr.Variable(dims, packed, self.attrs)})
        return xr.decode_cf(stored, decode_times=False, decode_coords=False)["values"].variable
