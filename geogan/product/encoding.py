"""How a product is stored: CF metadata and packing in Zarr, and the copy to NetCDF."""

import json
import warnings
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import xarray as xr

from geogan.fields.codes import Codes, Container
from geogan.fields.storage import coordinate_encoding, missing_codes
from geogan.files.attributes import PRODUCT
from geogan.files.plain_file import read_json
from geogan.files.swap import write_text

CONVENTIONS = "CF-1.8"
# Keys of an encoding that define the values; the other keys describe only how the source file stored them.
_VALUE_KEYS = ["dtype", "scale_factor", "add_offset", "_FillValue", "missing_value"]
_VALUE_KEYS += ["units", "calendar", "grid_mapping"]
# Attributes that CF requires in the type of the variable.
_TYPED = ("flag_values", "flag_masks", "valid_min", "valid_max", "valid_range", "missing_value")
# Attribute of a store that is to be copied to NetCDF: scale_factor and add_offset are float32 there. Zarr's JSON does
# not keep the type of a number.
_SINGLE = "geogan_single_precision_packing"


def write_template(
    store: Path, template: xr.Dataset, chunks: Mapping[str, int], mark: str, *, container: Container = "zarr"
) -> None:
    """Write the metadata and the coordinates of a store, and no chunks of its variables.

    Parameters
    ----------
    store : Path
    template : Dataset
        As in `geogan.product.Product.begin`.
    chunks : mapping of str to int
        Stored chunk along each dimension.
    mark : str
        Value of the global attribute ``geogan_product``.
    container : {"zarr", "netcdf"}
        Format of the product; `write_netcdf` copies a store of the second kind.
    """
    dataset = _for_output(template, mark)
    for name, array in template.data_vars.items():
        if array.ndim == 0:
            continue
        sizes = tuple(chunks[str(dim)] for dim in array.dims)
        variable = xr.Variable(array.dims, dask.array.zeros(array.shape, chunks=-1, dtype=array.dtype), array.attrs)
        variable.encoding = _portable_encoding(array) | {"chunks": sizes}
        scales = [variable.encoding[key] for key in ("scale_factor", "add_offset") if key in variable.encoding]
        if container == "netcdf" and scales and all(isinstance(scale, np.float32) for scale in scales):
            variable.attrs[_SINGLE] = 1
        dataset[name] = variable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Zarr v3 has no specification for text coordinates yet
        # Empty chunks are written too, so that an absent file always means a lost one.
        dataset.to_zarr(
            store, mode="w", compute=False, consolidated=False, zarr_format=3, write_empty_chunks=True,
            safe_chunks=False,
        )  # fmt: skip


def _for_output(template: xr.Dataset, mark: str) -> xr.Dataset:
    """Return the template with coordinates, scalars and attributes as CF requires them."""
    dataset = template.copy()
    conventions = str(template.attrs.get("Conventions", ""))
    dataset.attrs = dict(template.attrs) | {
        "Conventions": conventions if conventions.startswith(CONVENTIONS) else CONVENTIONS,
        PRODUCT: mark,
    }
    for name, coordinate in template.coords.items():
        loaded = coordinate.variable.compute().copy()
        portable = coordinate_encoding(coordinate)
        loaded.encoding = {key: value for key, value in _portable_encoding(coordinate).items() if key in portable}
        _drop_dangling_bounds(loaded, template)
        if loaded.ndim < 2:
            loaded.encoding.pop("missing_value", None)
            loaded.encoding["_FillValue"] = None
        if loaded.dtype == np.int64 and (not loaded.size or np.abs(loaded.values).max() < 2**31):
            # CF 1.8 has no whole numbers of 64 bits.
            loaded.encoding["dtype"] = "int32"
        if loaded.dtype.kind == "M" or "calendar" in loaded.encoding or _holds_cftime(loaded):
            loaded.encoding["dtype"] = "float64"
            loaded.encoding.pop("scale_factor", None)
            loaded.encoding.pop("add_offset", None)
        dataset = dataset.assign_coords({name: loaded})
    for name, array in template.data_vars.items():
        if array.ndim == 0:
            dataset[name] = array.variable.compute()
            dataset[name].encoding = _portable_encoding(array)
    return dataset


def _holds_cftime(variable: xr.Variable) -> bool:
    return variable.dtype.kind == "O" and variable.size > 0 and hasattr(variable.values.flat[0], "calendar")


def _drop_dangling_bounds(variable: xr.Variable, dataset: xr.Dataset) -> None:
    """Remove the attribute ``bounds`` if it names a variable that the dataset does not have, which CF forbids."""
    if variable.attrs.get("bounds") not in (None, *dataset.variables):
        del variable.attrs["bounds"]


def _portable_encoding(array: xr.DataArray) -> dict[Hashable, Any]:
    """Return the part of an encoding that any file can keep and that reproduces the values."""
    encoding: dict[Hashable, Any] = {key: array.encoding[key] for key in _VALUE_KEYS if key in array.encoding}
    mapping = str(encoding.get("grid_mapping", ""))
    if not mapping or not all(word.rstrip(":") in array.coords for word in mapping.split()):
        encoding.pop("grid_mapping", None)
    codes = Codes.of({"dtype": float} | array.encoding)
    if isinstance(codes, Codes) and array.dtype.kind == "f":
        fills = missing_codes(array.encoding, codes)
        encoding["dtype"] = codes.dtype
        for key in ("_FillValue", "missing_value"):
            encoding.pop(key, None)
        if fills:
            encoding["_FillValue"] = codes.dtype.type(fills[0])
        return encoding
    if array.dtype.kind in "iuf":
        # Only integers that encode floats are packed; other values keep the type that they have in memory.
        for key in ("dtype", "scale_factor", "add_offset"):
            encoding.pop(key, None)
        if array.dtype == np.float16:
            encoding["dtype"] = np.dtype("float32")  # NetCDF has no half precision
        if array.dtype.kind in "iu":
            for key in ("_FillValue", "missing_value"):
                encoding.pop(key, None)  # every integer is a value
    if encoding.get("_FillValue") is not None:
        encoding.pop("missing_value", None)  # xarray refuses to write two that differ
    dtype = encoding.get("dtype")
    if dtype is not None and np.dtype(dtype).kind not in "iuf":
        del encoding["dtype"]
    return encoding


def packing(store: Path, name: str) -> Codes | None:
    """Return the packing of a stored variable; None if the stored numbers are the values."""
    meta = read_json(store / name / "zarr.json")
    dtype = np.dtype(meta["data_type"]) if isinstance(meta["data_type"], str) else None
    if dtype is None or dtype.kind not in "iu":
        return None
    codes = Codes.of({**meta["attributes"], "dtype": dtype})
    return codes if isinstance(codes, Codes) else None


def add_attribute(store: Path, name: str, value: str) -> None:
    """Add a global attribute to a Zarr store, in one move."""
    root = read_json(store / "zarr.json")
    root["attributes"][name] = value
    write_text(store / "zarr.json", json.dumps(root))


def consolidate(store: Path) -> None:
    """Write all metadata of a store into one file, so that the store can be read through a web server."""
    import zarr

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not yet specified for Zarr v3; readers that do not know it ignore it
        zarr.consolidate_metadata(str(store))


def write_netcdf(store: Path, path: Path) -> None:
    """Copy a complete store to NetCDF4, chunk by chunk, with the stored numbers unchanged.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    path.unlink(missing_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = xr.open_zarr(store, consolidated=False, decode_cf=False)
        for name in dataset.variables:
            variable = dataset[name]
            chunks = variable.encoding.get("chunks")
            if variable.dtype.kind in "OTU":
                # The NetCDF library crashes when a file with strings is opened repeatedly; characters are safe.
                variable.encoding = {"dtype": "S1"}
                continue
            variable.encoding = {} if "_FillValue" in variable.attrs else {"_FillValue": None}
            variable.attrs = _with_types(variable)
            if name not in dataset.coords and variable.ndim and variable.dtype.kind in "biuf":
                sizes = tuple(map(min, chunks, variable.shape))
                variable.encoding |= {"zlib": True, "complevel": 1, "chunksizes": sizes}
        try:
            dataset.to_netcdf(path, engine="netcdf4", format="NETCDF4")
        except RuntimeError as error:  # the NetCDF library does not report why a write failed
            raise OSError(f"the NetCDF library failed ({error}), perhaps because the disk is full") from error


def _with_types(variable: xr.DataArray) -> dict[Hashable, Any]:
    """Return the attributes with the types that Zarr's JSON does not keep."""
    attrs, dtype = dict(variable.attrs), variable.dtype
    if dtype.kind not in "iuf":
        return attrs
    for key in _TYPED:
        given = np.asarray(attrs.get(key, "none"))
        if given.dtype.kind in "iuf":
            typed = given.astype(dtype)
            if dtype.kind == "f" or np.array_equal(typed, given):
                attrs[key] = typed if typed.ndim else typed[()]
    if "_FillValue" in attrs:
        attrs["_FillValue"] = dtype.type(attrs["_FillValue"])
    scale = np.float32 if attrs.pop(_SINGLE, 0) else np.float64
    for key in ("scale_factor", "add_offset"):
        if isinstance(attrs.get(key), (int, float)):
            attrs[key] = scale(attrs[key])
    return attrs
