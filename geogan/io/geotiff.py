"""GeoTIFF files as datasets, through the optional package rioxarray."""

from __future__ import annotations

import urllib.parse
from typing import Any

import numpy as np
import xarray as xr

from geogan.operators.errors import InputError

NAME = "band_data"
"""Name of the variable of a GeoTIFF, which has no variable names; the same as in xarray's reader."""

_MAPPING = "spatial_ref"


def is_geotiff(path: str) -> bool:
    """Return whether a file is a GeoTIFF, by its name.

    Examples
    --------
    >>> is_geotiff("ndvi_20010117.TIF"), is_geotiff("https://server/a.tiff?token=1"), is_geotiff("a.nc")
    (True, True, False)
    """
    text = urllib.parse.urlparse(path).path if "://" in path else path
    return text.lower().endswith((".tif", ".tiff"))


def open_geotiff(path: str) -> xr.Dataset:
    """Open a GeoTIFF lazily, without decoding.

    Parameters
    ----------
    path : str
        File or URL.

    Returns
    -------
    dataset : Dataset
        One variable, ``band_data``, ([band,] y, x), with names of bands if the file has them. ``_FillValue`` is the
        nodata value of the file; the grid mapping ``spatial_ref`` holds the coordinate reference system.

    Raises
    ------
    InputError
        If rioxarray is not installed.
    """
    try:
        import rioxarray
    except ImportError as error:
        raise InputError(
            f"{path} is a GeoTIFF, which needs a package that is not installed ({str(error).splitlines()[0]}); pip "
            "install 'geogan[geotiff]'"
        ) from error
    opened: Any = rioxarray.open_rasterio(path, masked=False, mask_and_scale=False, cache=False)
    if isinstance(opened, list):
        raise InputError(f"{path} holds several rasters of different sizes; extract one of them first")
    if isinstance(opened, xr.Dataset):
        raise InputError(f"{path} holds several rasters, {', '.join(map(str, opened.data_vars))}; extract one of them")
    names = opened.attrs.get("long_name")
    if opened.sizes["band"] == 1:
        opened = opened.isel(band=0, drop=True)
    elif isinstance(names, tuple | list) and len(set(names)) == opened.sizes["band"]:
        opened = opened.assign_coords(band=[str(name) for name in names])
    attrs = {key: value for key, value in opened.attrs.items() if key in ("_FillValue", "units", "long_name")}
    if not isinstance(attrs.get("long_name", ""), str):
        del attrs["long_name"]
    if "_FillValue" in attrs:
        fill = np.asarray(attrs["_FillValue"])
        attrs["_FillValue"] = fill.astype(opened.dtype)[()]
    for key, neutral in (("scale_factor", 1.0), ("add_offset", 0.0)):
        value = opened.attrs.get(key, neutral)
        if isinstance(value, int | float | np.number) and value != neutral:
            attrs[key] = float(value)
    if _MAPPING in opened.coords:
        attrs["grid_mapping"] = _MAPPING
    variable = opened.variable.copy(deep=False)
    variable.attrs = attrs
    variable.encoding = {
        key: value for key, value in variable.encoding.items() if key in ("preferred_chunks", "source")
    }
    return xr.Dataset({NAME: variable}, coords=opened.coords)
