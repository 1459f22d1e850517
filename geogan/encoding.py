"""How a product is kept: CF metadata and packing in Zarr, and from there to NetCDF."""

import warnings
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import xarray as xr

from geogan.plain_file import read_json

MARK = "geogan_product"
"""Global attribute of every product; nothing without it is ever replaced."""

READ = "geogan_read"
"""Global attribute: checksums of what the regions of a product were made from, as JSON; see `geogan.checksums`."""

# Of a source file's encoding this says what the numbers mean; the rest says how that file kept them.
_MEANING = ["dtype", "scale_factor", "add_offset", "_FillValue", "missing_value"]
_MEANING += ["units", "calendar", "grid_mapping"]


def write_template(store: Path, template: xr.Dataset, chunks: Mapping[str, int], digest: str) -> None:
    """Metadata and coordinates; the variables get their shapes only."""
    dataset = _for_output(template, digest)
    for name, array in template.data_vars.items():
        if array.ndim == 0:
            continue
        sizes = tuple(chunks[str(dim)] for dim in array.dims)
        variable = xr.Variable(array.dims, dask.array.zeros(array.shape, chunks=-1, dtype=array.dtype), array.attrs)
        variable.encoding = _meaning(array) | {"chunks": sizes}
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
        loaded.encoding = _meaning(coordinate)
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
    """The part of an encoding that another file can keep."""
    meaning: dict[Hashable, Any] = {key: array.encoding[key] for key in _MEANING if key in array.encoding}
    if meaning.get("_FillValue") is not None:
        meaning.pop("missing_value", None)  # two that differ cannot both be written
    if meaning.get("grid_mapping") not in array.coords:
        meaning.pop("grid_mapping", None)
    dtype = meaning.get("dtype")
    if dtype is not None and np.dtype(dtype).kind not in "iuf":
        del meaning["dtype"]
    elif dtype is not None and str(array.encoding.get("_Unsigned", "")).lower() == "true":
        # NetCDF 3 had no unsigned integers and marked them; Zarr and NetCDF 4 have them.
        unsigned = np.dtype(f"u{np.dtype(dtype).itemsize}")
        meaning["dtype"] = unsigned
        if meaning.get("_FillValue") is not None:
            meaning["_FillValue"] = np.array(meaning["_FillValue"]).astype(unsigned)[()]
    return meaning


def packing(store: Path, name: str) -> tuple[float, float] | None:
    """Lowest and highest value that a packed variable can hold, its fill value apart; None if not packed."""
    meta = read_json(store / name / "zarr.json")
    dtype = np.dtype(meta["data_type"]) if isinstance(meta["data_type"], str) else None
    attrs = meta["attributes"]
    if dtype is None or dtype.kind not in "iu":
        return None
    info = np.iinfo(dtype)
    low, high = int(info.min), int(info.max)
    fills = {attrs[key] for key in ("_FillValue", "missing_value") if isinstance(attrs.get(key), (int, float))}
    low, high = low + (low in fills), high - (high in fills)
    scale, offset = float(attrs.get("scale_factor", 1)), float(attrs.get("add_offset", 0))
    ends = sorted((low * scale + offset, high * scale + offset))
    return ends[0], ends[1]


def consolidate(store: Path) -> None:
    """One file with all metadata, so that the product can be read through a web server."""
    import zarr

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Zarr v3 has not specified it yet; readers that do not know it ignore it
        zarr.consolidate_metadata(str(store))


def write_netcdf(store: Path, path: Path) -> None:
    """Stream a finished store to NetCDF4, chunk by chunk."""
    path.unlink(missing_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = xr.open_zarr(store, consolidated=False, decode_timedelta=False)
        for name in dataset.variables:
            variable = dataset[name]
            sizes = variable.encoding.get("chunks")
            variable.encoding = _meaning(variable)
            if variable.dtype.kind in "OTU" and not _holds_cftime(variable.variable):
                # As characters: files with strings crash the NetCDF library when they are opened again and again.
                variable.encoding = {"dtype": "S1"}
                continue
            stored = np.dtype(variable.encoding.get("dtype", variable.dtype))
            for key in ("flag_values", "flag_masks"):
                if key in variable.attrs and stored.kind in "iu":
                    # Zarr keeps attributes as JSON, which forgets their type; CF wants that of the variable.
                    variable.attrs[key] = np.asarray(variable.attrs[key], dtype=stored)
            if name in dataset.coords:
                variable.encoding.setdefault("_FillValue", None)
            elif variable.ndim and variable.dtype.kind in "biuf":
                cut = tuple(map(min, sizes, variable.shape))
                variable.encoding |= {"zlib": True, "complevel": 1, "chunksizes": cut}
        dataset.to_netcdf(path, engine="netcdf4", format="NETCDF4")
