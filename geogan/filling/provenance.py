"""Provenance of a product: what it is, how it was made, with which error, and where and when it holds."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import xarray as xr

from geogan.fields.discovery import EXTENTS, extent_attributes, inferred_standard_name, label_axes
from geogan.fields.field import Field
from geogan.fields.variables import split_variables
from geogan.model import Model
from geogan.operators.parse import describe
from geogan.operators.wording import counted

# Attributes that identify a file or say when it was made: those of a source do not hold for a product.
_OF_THE_SOURCE = ("id", "uuid", "tracking_id", "date_issued", "date_modified", "date_metadata_modified")
# Further names for the dates of a file.
_DATES = ("start_time", "stop_time", "start_date", "stop_date")
_LIBRARIES = ("torch", "numpy", "scipy", "xarray", "dask", "zarr")


def describe_product(
    product: xr.Dataset,
    model: Model,
    field: Field,
    attrs: Mapping[Any, Any] | None = None,
    *,
    digest: str = "",
    command: str = "",
    date: str = "",
) -> xr.Dataset:
    """Return a product with its global attributes (CF 1.8, ACDD 1.3), and with attributes of its coordinates.

    Parameters
    ----------
    product : Dataset
        As `geogan.filling.compose.product_of` returns it.
    model : Model
    field : Field
        The field that was filled.
    attrs : mapping, optional
        Global attributes of the source. What they say of the source as a file is left out.
    digest : str
        Digest of the model; empty if it is not known.
    command : str
        Command line, for the history.
    date : str
        Date and time of the fill. Datasets in memory have none, so that two fills of one field are identical.
    """
    product = label_axes(product, field.axes)
    for measured in split_variables(field.array):
        filled = str(measured.name or model.variable)
        standard = inferred_standard_name(filled, str(measured.attrs.get("units", "")))
        if standard is not None and "standard_name" not in measured.attrs:
            product[filled].attrs["standard_name"] = standard
            if f"{filled}_std" in product:
                product[f"{filled}_std"].attrs["standard_name"] = f"{standard} standard_error"
    for name, variable in product.data_vars.items():
        kind = "physicalMeasurement"
        if str(name).endswith(("_source", "_std")):
            kind = "qualityInformation"
        elif str(name).endswith("_member"):
            kind = "modelResult"
            mean = product.get(str(name).removesuffix("_member"), variable)
            variable.attrs |= {key: mean.attrs[key] for key in ("standard_name",) if key in mean.attrs}
        variable.attrs.setdefault("coverage_content_type", kind)
        variable.attrs.setdefault("long_name", str(name))
    for coordinate in product.coords.values():
        # What xarray writes by default, fill values and whole numbers of 64 bits, is not CF 1.8.
        if coordinate.dtype.kind in "fM" and coordinate.ndim < 2:
            coordinate.encoding["_FillValue"] = None
        if coordinate.dtype.kind == "M":
            coordinate.encoding.setdefault("dtype", "float64")
        elif coordinate.dtype == np.int64 and abs(coordinate.variable).max() < 2**31:
            coordinate.encoding["dtype"] = "int32"
    product.attrs = _global_attributes(model, field, attrs or {}, digest=digest, command=command, date=date)
    return product


def _global_attributes(
    model: Model, field: Field, source: Mapping[Any, Any], *, digest: str, command: str, date: str
) -> dict[str, Any]:
    array = field.array
    extents = extent_attributes(array, field.axes)
    has_dates = "time_coverage_start" in extents
    kept = {
        key: value
        for key, value in source.items()
        if key not in _OF_THE_SOURCE
        and not (has_dates and (key in _DATES or str(key).startswith("time_coverage_")))
        and not (str(key).startswith(EXTENTS[:3]) and "geospatial_lat_min" in extents)
    }
    variables = split_variables(array)
    names = [str(variable.attrs.get("long_name", variable.name or model.variable)) for variable in variables]
    standard = [str(variable.attrs["standard_name"]) for variable in variables if "standard_name" in variable.attrs]
    keywords = ", ".join(dict.fromkeys([*standard, "gap filling"]))
    attrs = {"title": f"{' and '.join(names)}, gaps filled", "keywords": keywords} | kept
    attrs["Conventions"] = "CF-1.8, ACDD-1.3"
    summary = _summary(model, names)
    attrs["summary"] = f"{summary} The source: {source['summary']}" if source.get("summary") else summary
    attrs["history"] = f"{_line(model, date, digest=digest, command=command)}\n{source.get('history', '')}".strip()
    attrs.pop("date_created", None)
    attrs |= {"date_created": date} if date else {}
    if "processing_level" in source:
        attrs["processing_level"] = f"L4 (gap filled), from {source['processing_level']}"
    return attrs | extents | _method(model)


def _summary(model: Model, names: list[str]) -> str:
    """Return what the product is, in sentences."""
    method = (
        "a neural network that was trained on the gappy observations alone, on top of optimal interpolation in space "
        "and time"
        if model.network is not None
        else "optimal interpolation in space and time (a Gaussian process fitted to the gappy observations)"
    )
    text = f"{' and '.join(names)} without gaps: missing values are estimated by {method}."
    error, cells = model.scores.get("withheld"), model.scores.get("cells")
    if error is not None and np.isfinite(error):
        units = f" {model.scores.get('units') or model.units}".rstrip()
        count = f" on {counted(int(cells), 'withheld observation')}" if cells else " on withheld observations"
        text += f" The root mean square error{count} is {error:.4g}{units}."
    return f"{text} *_source states the origin of each value, *_std its predicted standard error."


def _line(model: Model, date: str, *, digest: str, command: str) -> str:
    """Return the line of the history."""
    means = "" if model.network is not None else " (a Gaussian fitted to the observations, without a network)"
    which = f"the model {digest}" if digest else "a model"
    made = f"geogan {version('geogan')}: gaps of {model.variable} filled with {which}{means}"
    # Signatures and passwords in addresses are secrets.
    public = re.sub(r"(\w+://)[^/\s@']*@", r"\1", re.sub(r"(\w+://[^\s?']+)\?[^\s']*", r"\1", command))
    return f"{date} {public} ({made})".strip() if command else f"{date} {made}".strip()


def _method(model: Model) -> dict[str, Any]:
    """Return the operator, the error and the versions as attributes of their own, for programs."""
    attrs: dict[str, Any] = {"geogan_operator": describe(model.operator)}
    scores = {"withheld": "rmse", "first_guess": "rmse_of_first_guess"}
    for key, name in scores.items():
        value = model.scores.get(key)
        if value is not None and np.isfinite(value):
            attrs[f"geogan_withheld_{name}"] = float(value)
    if "geogan_withheld_rmse" in attrs:
        attrs["geogan_withheld_units"] = str(model.scores.get("units") or model.units or "1")
        cells = model.scores.get("cells")
        attrs |= {"geogan_withheld_cells": int(cells)} if cells else {}
    libraries = [f"{name} {version(name)}" for name in ("geogan", *_LIBRARIES)]
    attrs["geogan_software"] = ", ".join([f"Python {platform.python_version()}", *libraries])
    return attrs
