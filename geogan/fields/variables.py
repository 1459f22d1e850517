"""Several variables joined into one field along a band dimension, and split again without loss."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from geogan.fields.axes import VARIABLE, Axes
from geogan.fields.field import Field
from geogan.fields.grids import difference
from geogan.fields.storage import PACKING, PACKING_COUNT
from geogan.operators.errors import InputError

# Entries of an encoding that define the numbers; other entries concern the storage in one file.
_MEANING = (*PACKING, PACKING_COUNT, "grid_mapping")
_DESCRIBED = "described"
_REPEATED = "repeated"


def join_variables(fields: Sequence[xr.DataArray]) -> xr.DataArray:
    """Join variables with the same grid and dates into one field with a band for each.

    Variables may differ in gaps, units and type. Their metadata is kept as text in the attributes of the coordinate
    ``variable``, so that the field can be selected, computed with and stored, and still be split again.

    Parameters
    ----------
    fields : sequence of DataArray, shape ([time,] y, x)
        With different names; lazy or not.

    Returns
    -------
    field : DataArray, shape ([time,] variable, y, x)
        Lazy if they are; of a type that represents all values exactly. Coordinates: ``variable`` (the names) and
        ``units``. Attributes are those that all variables have in common.

    Raises
    ------
    InputError
        If a variable has no name or the name of another, has bands, or differs from the first in dimensions, grid or
        dates.

    Examples
    --------
    >>> sst = xr.DataArray(np.ones((2, 3), "f4"), dims=("y", "x"), name="sst", attrs={"units": "K"})
    >>> chl = xr.DataArray(np.ones((2, 3), "f8"), dims=("y", "x"), name="chl", attrs={"units": "mg m-3"})
    >>> field = join_variables([sst, chl])
    >>> field.name, dict(field.sizes), field.units.values.tolist()
    ('sst,chl', {'variable': 2, 'y': 2, 'x': 3}, ['K', 'mg m-3'])
    >>> split_variables(field)[0].identical(sst)
    True
    """
    names = [str(field.name) for field in fields]
    if not names or any(field.name is None for field in fields) or len(set(names)) < len(names):
        raise InputError(f"variables are joined by their names, got {', '.join(names) or 'none'}; name each, and once")
    first, *others = map(Field.of, fields)
    for other in (first, *others):
        _check_same_grid(first, other)
    axes = first.axes
    common = np.result_type(*(_floating(field.dtype) for field in fields))
    # xr.concat would align coordinates that differ by rounding.
    bare = [field.drop_vars(field.coords).transpose(*axes.dims).astype(common) for field in fields]
    joined = xr.concat(bare, VARIABLE, combine_attrs="drop").transpose(*axes._replace(band=VARIABLE).dims)
    coords = {name: coordinate for field in reversed(fields) for name, coordinate in field.coords.items()}
    joined = joined.assign_coords(coords).assign_coords(
        {VARIABLE: names, "units": (VARIABLE, [str(field.attrs.get("units", "")) for field in fields])}
    )
    joined.attrs = {"long_name": " and ".join(str(field.attrs.get("long_name", field.name)) for field in fields)}
    joined.attrs |= {name: value for name, value in fields[0].attrs.items() if _all_have(fields, name, value)}
    joined[VARIABLE].attrs[_DESCRIBED] = json.dumps({str(field.name): _description(field) for field in fields})
    encoding = fields[0].encoding
    joined.encoding = {key: encoding[key] for key in ("preferred_chunks",) if key in encoding}
    sources = dict.fromkeys(str(field.encoding["source"]) for field in fields if "source" in field.encoding)
    if sources:
        joined.encoding["source"] = " and ".join(sources)
    return joined.rename(",".join(names))


def split_variables(field: xr.DataArray) -> list[xr.DataArray]:
    """Return the variables of a field from :func:`join_variables`, with their names, types, attributes and encodings.

    Any other field is its only variable.

    Parameters
    ----------
    field : DataArray, shape ([time,] [variable,] y, x)
        Also a selection of a joined field, or a result computed from one.

    Returns
    -------
    fields : list of DataArray, shape ([time,] y, x)
        Lazy if the field is. Whole numbers are returned as floats of a type that represents them.
    """
    if not is_joined(field):
        return [field]
    described = json.loads(field[VARIABLE].attrs[_DESCRIBED], object_hook=_typed)
    fields = []
    for index, name in enumerate(map(str, field[VARIABLE].values)):
        variable = field.isel({VARIABLE: index}, drop=True).astype(described[name]["dtype"], copy=False).rename(name)
        variable.attrs, variable.encoding = described[name]["attrs"], described[name]["encoding"]
        fields.append(variable)
    return fields


def variables_of(field: Field) -> list[Field]:
    """Return each of several joined variables as a field; any other field is its only variable."""
    if not is_joined(field.array):
        return [field]
    axes = field.axes._replace(band=None)
    return [Field(variable, axes, field.domain) for variable in split_variables(field.array)]


def repeat_bands(field: Field, bands: Sequence[int]) -> Field:
    """Return a field in which some bands occur twice, one after the other; lazy if the field is.

    Parameters
    ----------
    field : Field
        Without a band dimension it gets one named ``band``.
    bands : sequence of int
        Indices of the bands to repeat; the copy has `` cosine`` after the band's name.

    Examples
    --------
    >>> wind = xr.DataArray(np.ones((2, 3)), dims=("y", "x"), name="wdir")
    >>> twice = repeat_bands(Field.of(wind), [0]).array
    >>> twice.dims, twice.band.values.tolist(), is_repeated(twice)
    (('band', 'y', 'x'), ['direction', 'direction cosine'], True)
    """
    axes = field.axes._replace(band=field.axes.band or "band")
    array = field.array.transpose(*field.axes.dims)
    names = list(field.band_names)
    if not names:
        names = ["direction"] if field.axes.band is None else [str(number) for number in range(field.bands)]
    index = [band for band in range(len(names)) for _ in range(1 + (band in bands))]
    labels = [names[band] for band in index]
    for position in range(1, len(index)):
        if index[position] == index[position - 1]:
            labels[position] += " cosine"
    repeated = xr.DataArray(
        _take_bands(array, field.axes, index),
        dims=axes.dims,
        coords={name: coordinate for name, coordinate in array.coords.items() if axes.band not in coordinate.dims},
        name=array.name,
        attrs=array.attrs,
    )
    for name, coordinate in array.coords.items():
        if coordinate.dims == (axes.band,) and name != axes.band:
            repeated = repeated.assign_coords({name: (axes.band, coordinate.values[index], coordinate.attrs)})
    attrs = dict(array[axes.band].attrs) if axes.band in array.coords else {}
    if _DESCRIBED in attrs:
        described = json.loads(attrs[_DESCRIBED])
        attrs[_DESCRIBED] = json.dumps({label: described[names[band]] for label, band in zip(labels, index)})
    repeated = repeated.assign_coords({axes.band: (axes.band, labels, attrs | {_REPEATED: 1})})
    repeated.encoding = dict(array.encoding)
    return Field(repeated, axes, field.domain, field.error)


def _take_bands(array: xr.DataArray, axes: Axes, index: Sequence[int]) -> Any:
    """Return the bands with these indices of an array in the order of ``axes.dims``, as NumPy or Dask array."""
    axis = 0 if axes.time is None else 1
    if array.chunks is None:
        return np.take(array.values if axes.band else np.expand_dims(array.values, axis), index, axis)
    import dask.array

    source = _Repeated(array.data, axis, index, is_added=axes.band is None)
    chunks = list(array.chunks)
    chunks[axis : axis + (axes.band is not None)] = [(len(index),)]
    return dask.array.from_array(source, chunks=tuple(chunks), meta=np.empty((0,) * source.ndim, array.dtype))


def is_repeated(array: xr.DataArray) -> bool:
    """Return whether :func:`repeat_bands` made an array."""
    return any(_REPEATED in coordinate.attrs for coordinate in array.coords.values())


def own_bands(array: xr.DataArray) -> list[int]:
    """Return the indices of the bands of an array from :func:`repeat_bands`, without the copies."""
    coordinate = next(coordinate for coordinate in array.coords.values() if _REPEATED in coordinate.attrs)
    names = [str(name) for name in coordinate.values]
    return [band for band, name in enumerate(names) if not (band and name == f"{names[band - 1]} cosine")]


class _Repeated:
    """A Dask array with repeated bands; slicing reads each band once."""

    def __init__(self, array: Any, axis: int, index: Sequence[int], *, is_added: bool) -> None:
        self.array, self.axis, self.index, self.is_added = array, axis, np.array(index), is_added
        shape = list(array.shape)
        shape[axis : axis + (not is_added)] = [len(index)]
        self.shape, self.dtype, self.ndim = tuple(shape), array.dtype, len(shape)

    def __dask_tokenize__(self) -> tuple[str, int, list[int], bool]:
        return self.array.name, self.axis, self.index.tolist(), self.is_added

    def __getitem__(self, key: tuple[Any, ...]) -> np.ndarray:
        # An integer index removes its axis; the axis is kept until the end as a slice of length one.
        is_integer = [isinstance(index, int | np.integer) for index in key]
        stored = [slice(index, index + 1) if single else index for index, single in zip(key, is_integer)]
        bands = self.index[stored[self.axis]]
        needed, positions = np.unique(bands, return_inverse=True)
        stored[self.axis : self.axis + 1] = [] if self.is_added else [slice(int(needed.min()), int(needed.max()) + 1)]
        # Dask computes chunks in parallel already, on threads or on a cluster.
        part = np.asarray(self.array[tuple(stored)].compute(scheduler="synchronous"))
        part = np.expand_dims(part, self.axis) if self.is_added else part
        part = np.take(part, needed[positions] - needed.min(), self.axis)
        return part[tuple(0 if single else slice(None) for single in is_integer)]


def is_joined(field: xr.DataArray) -> bool:
    """Return whether the bands of a field are variables from :func:`join_variables`."""
    return VARIABLE in field.dims and VARIABLE in field.coords and _DESCRIBED in field[VARIABLE].attrs


def named_variables(text: str | Sequence[str]) -> list[str]:
    """Return the names of variables in texts with commas.

    Raises
    ------
    InputError
        If a name is empty or occurs twice.

    Examples
    --------
    >>> named_variables("sst, chl"), named_variables(["sst", "chl"])
    (['sst', 'chl'], ['sst', 'chl'])
    """
    names = [name.strip() for part in ([text] if isinstance(text, str) else text) for name in part.split(",")]
    if not all(names) or not names or len(set(names)) < len(names):
        raise InputError(f"variable must be names with commas between, each once, got {text!r}; write sst,chl")
    return names


def _check_same_grid(first: Field, other: Field) -> None:
    """Refuse a variable with bands, or with another grid or other dates than the first."""
    axes, pair = first.axes, f"variables {first.name!r} and {other.name!r}"
    if other.axes.band is not None:
        raise InputError(
            f"variable {other.name!r} has bands along {other.axes.band!r}, so it cannot be joined with others; choose "
            "it alone, or one of its bands"
        )
    if other.axes != axes:
        raise InputError(
            f"{pair} have different dimensions, ({', '.join(axes.dims)}) and ({', '.join(other.axes.dims)}); choose "
            "variables that have the same"
        )
    mismatch = difference(first, other)
    if mismatch:
        dim = {"y": axes.y, "x": axes.x}.get(mismatch.kind)
        words = str(mismatch) if dim is None else f"{_span(first.array, dim)}, and {_span(other.array, dim)}"
        raise InputError(f"{pair} are on different grids: {words}; bring both to one grid")
    if axes.time is not None:
        _check_same_dates(first.array, other.array, axes.time, pair)


def _check_same_dates(first: xr.DataArray, other: xr.DataArray, dim: str, pair: str) -> None:
    """Refuse variables with different dates."""
    ours, theirs = first.indexes.get(dim), other.indexes.get(dim)
    if ours is None or theirs is None:
        if first.sizes[dim] != other.sizes[dim]:
            raise InputError(
                f"{pair} have different time steps: {first.sizes[dim]} and {other.sizes[dim]}; give both the same dates"
            )
    elif not ours.equals(theirs):
        missing = [
            f"{str(b.name)!r} lacks {len(dates)} of {str(a.name)!r} ({_day(dates[0])}{', ...' * (len(dates) > 1)})"
            for (a, i), (b, j) in (((first, ours), (other, theirs)), ((other, theirs), (first, ours)))
            if len(dates := i[~i.isin(j)])
        ]
        reason = " and ".join(missing) or "they are in another order, or some occur twice"
        raise InputError(f"{pair} have different time steps: {reason}; give both the same dates, once and in order")


def _all_have(fields: Sequence[xr.DataArray], name: str, value: Any) -> bool:
    return all(name in field.attrs and np.array_equal(field.attrs[name], value) for field in fields)


def _span(field: xr.DataArray, dim: str) -> str:
    text = f"{dim} of {str(field.name)!r} has {field.sizes[dim]} cells"
    if dim in field.coords and field[dim].dtype.kind in "iuf":
        text += f" from {field[dim].values[0]:g} to {field[dim].values[-1]:g}"
    return text


def _day(date: Any) -> str:
    return str(date).removesuffix(" 00:00:00")


def _floating(dtype: np.dtype) -> np.dtype:
    """Return the float type that represents the values of a type, and NaN."""
    return dtype if dtype.kind == "f" else np.result_type(dtype, np.float32)


def _description(field: xr.DataArray) -> dict[str, Any]:
    encoding = {key: field.encoding[key] for key in _MEANING if key in field.encoding}
    if "dtype" in encoding:
        encoding["dtype"] = str(np.dtype(encoding["dtype"]))
    # NumPy types are kept, since the type of a scale factor determines the type of the unpacked values.
    attrs, encoding = json.loads(json.dumps([field.attrs, encoding], default=_plain))
    return {"dtype": str(_floating(field.dtype)), "attrs": attrs, "encoding": encoding}


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return {"dtype": str(value.dtype), "value": value.tolist()}
    return str(value)


def _typed(entry: dict[str, Any]) -> Any:
    """Return the value that :func:`_plain` converted."""
    return np.array(entry["value"], entry["dtype"])[()] if entry.keys() == {"dtype", "value"} else entry
