"""How a product is kept: CF metadata and packing in Zarr, and from there to NetCDF."""

import warnings
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import xarray as xr

from geogan.fields.codes import Codes
from geogan.fields.storage import coordinate_encoding, missing_codes
from geogan.files.plain_file import read_json

MARK = "geogan_product"
"""Global attribute of every product; nothing without it is ever replaced."""

TOLD = "geogan_fill"
"""Global attribute of a filled product: what it was filled with, as JSON."""

READ = "geogan_read"
"""Global attribute: checksums of what the regions of a product were made from, as JSON."""

# Of a source file's encoding this says what the numbers mean; the rest says how that file kept them.
_MEANING = ["dtype", "scale_factor", "add_offset", "_FillValue", "missing_value"]
_MEANING += ["units", "calendar", "grid_mapping"]
# Attributes that CF wants in the type of the variable.
_TYPED = ("flag_values", "flag_masks", "valid_min", "valid_max", "valid_range", "missing_value")
# Attribute of a store on its way to NetCDF: the packing's scale and offset are float32 there, which JSON cannot say.
_SINGLE = "geogan_single_precision_packing"


def write_template(
    store: Path, template: xr.Dataset, chunks: Mapping[str, int], digest: str, *, to_netcdf: bool = False
) -> None:
    """Write metadata and coordinates; the variables get their shapes only.

    ``to_netcdf`` says that the store is to be copied by `write_netcdf`, which keeps the type of a packing.
    """
    dataset = _for_output(template, digest)
    for name, array in template.data_vars.items():
        if array.ndim == 0:
            continue
        sizes = tuple(chunks[str(dim)] for dim in array.dims)
        variable = xr.Variable(array.dims, dask.array.zeros(array.shape, chunks=-1, dtype=array.dtype), array.attrs)
        variable.encoding = _meaning(array) | {"chunks": sizes}
        scales = [variable.encoding[key] for key in ("scale_factor", "add_offset") if key in variable.encoding]
        if to_netcdf and scales and all(isinstance(scale, np.float32) for scale in scales):
            variable.attrs[_SINGLE] = 1
        dataset[name] = variable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # texts as coordinates have no Zarr v3 specification yet
        # Empty chunks are written too, so that an absent file always means a lost one.
        dataset.to_zarr(
            store, mode="w", compute=False, consolidated=False, zarr_format=3, write_empty_chunks=True,
            safe_chunks=False,
        )  # fmt: skip


def _for_output(template: xr.Dataset, digest: str) -> xr.Dataset:
    """Coordinates and attributes as CF wants them; the variables still as they are."""
    dataset = template.copy()
    dataset.attrs = dict(template.attrs) | {"Conventions": "CF-1.8", MARK: digest}
    for name, coordinate in template.coords.items():
        loaded = coordinate.variable.compute().copy()
        portable = coordinate_encoding(coordinate)
        loaded.encoding = {key: value for key, value in _meaning(coordinate).items() if key in portable}
        _drop_dangling(loaded, template)
        if loaded.ndim < 2:
            loaded.encoding.pop("missing_value", None)
            loaded.encoding["_FillValue"] = None
        if loaded.dtype.kind == "M" or "calendar" in loaded.encoding or _holds_cftime(loaded):
            loaded.encoding["dtype"] = "float64"
            loaded.encoding.pop("scale_factor", None)
            loaded.encoding.pop("add_offset", None)
        dataset = dataset.assign_coords({name: loaded})
    for name, array in template.data_vars.items():
        if array.ndim == 0:
            dataset[name] = array.variable.compute()
            dataset[name].encoding = _meaning(array)
    return dataset


def _holds_cftime(variable: xr.Variable) -> bool:
    return variable.dtype.kind == "O" and variable.size > 0 and hasattr(variable.values.flat[0], "calendar")


def _drop_dangling(variable: xr.Variable, dataset: xr.Dataset) -> None:
    """Forget bounds that are not in the dataset; CF forbids naming what is not there."""
    if variable.attrs.get("bounds") not in (None, *dataset.variables):
        del variable.attrs["bounds"]


def _meaning(array: xr.DataArray) -> dict[Hashable, Any]:
    """The part of an encoding that another file can keep, and that holds the values."""
    meaning: dict[Hashable, Any] = {key: array.encoding[key] for key in _MEANING if key in array.encoding}
    mapping = str(meaning.get("grid_mapping", ""))
    if not mapping or not all(word.rstrip(":") in array.coords for word in mapping.split()):
        meaning.pop("grid_mapping", None)
    codes = Codes.of({"dtype": float} | array.encoding)
    if isinstance(codes, Codes) and array.dtype.kind == "f":
        fills = missing_codes(array.encoding, codes)
        meaning["dtype"] = codes.dtype
        for key in ("_FillValue", "missing_value"):
            meaning.pop(key, None)
        if fills:
            meaning["_FillValue"] = codes.dtype.type(fills[0])
        return meaning
    if array.dtype.kind in "iuf":
        # Anything but whole numbers that stand for floats is kept in the type that it has in memory.
        for key in ("dtype", "scale_factor", "add_offset"):
            meaning.pop(key, None)
        if array.dtype == np.float16:
            meaning["dtype"] = np.dtype("float32")  # NetCDF has no half precision
        if array.dtype.kind in "iu":
            for key in ("_FillValue", "missing_value"):
                meaning.pop(key, None)  # each number is a value
    if meaning.get("_FillValue") is not None:
        meaning.pop("missing_value", None)  # two that differ cannot both be written
    dtype = meaning.get("dtype")
    if dtype is not None and np.dtype(dtype).kind not in "iuf":
        del meaning["dtype"]
    return meaning


def packing(store: Path, name: str) -> Codes | None:
    """Return the packing of a stored variable; None where its numbers are its values."""
    meta = read_json(store / name / "zarr.json")
    dtype = np.dtype(meta["data_type"]) if isinstance(meta["data_type"], str) else None
    if dtype is None or dtype.kind not in "iu":
        return None
    codes = Codes.of({**meta["attributes"], "dtype": dtype})
    return codes if isinstance(codes, Codes) else None


def consolidate(store: Path) -> None:
    """One file with all metadata, so that the product can be read through a web server."""
    import zarr

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Zarr v3 has not specified it yet; readers that do not know it ignore it
        zarr.consolidate_metadata(str(store))


def write_netcdf(store: Path, path: Path) -> None:
    """Stream a finished store to NetCDF4, chunk by chunk; numbers are copied as they are stored."""
    path.unlink(missing_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = xr.open_zarr(store, consolidated=False, decode_cf=False)
        for name in dataset.variables:
            variable = dataset[name]
            sizes = variable.encoding.get("chunks")
            if variable.dtype.kind in "OTU":
                # As characters: files with strings crash the NetCDF library when they are opened again and again.
                variable.encoding = {"dtype": "S1"}
                continue
            variable.encoding = {} if "_FillValue" in variable.attrs else {"_FillValue": None}
            variable.attrs = _with_types(variable)
            if name not in dataset.coords and variable.ndim and variable.dtype.kind in "biuf":
                cut = tuple(map(min, sizes, variable.shape))
                variable.encoding |= {"zlib": True, "complevel": 1, "chunksizes": cut}
        dataset.to_netcdf(path, engine="netcdf4", format="NETCDF4")


def _with_types(variable: xr.DataArray) -> dict[Hashable, Any]:
    """Attributes with the types that Zarr's JSON has lost."""
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
