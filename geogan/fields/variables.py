"""Several variables as one field: joined along a dimension of bands, and split again, each as it was."""

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

# What a file's encoding says of the numbers; the rest says how that file kept them.
_MEANING = (*PACKING, PACKING_COUNT, "grid_mapping")
_DESCRIBED = "described"
_REPEATED = "repeated"


def join_variables(fields: Sequence[xr.DataArray]) -> xr.DataArray:
    """Join variables of one grid and the same dates into one field, whose bands they are.

    Each may have gaps, units and a type of its own. What is known of it travels in the attributes of the coordinate
    ``variable``, as text, so that the field can be cut, computed with and stored, and still be split again.

    Parameters
    ----------
    fields : sequence of DataArray, shape ([time,] y, x)
        With names; lazy or not.

    Returns
    -------
    field : DataArray, shape ([time,] variable, y, x)
        Lazy where they are; of a type that holds the values of all exactly. Coordinates: ``variable``, the names, and
        ``units`` along it. Attributes are those that all have in common.

    Raises
    ------
    InputError
        If a variable has no name or one of another, has bands, or has other dimensions, another grid or other dates
        than the first.

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
    # Coordinates that only differ by rounding would make a grid of all of them.
    bare = [field.drop_vars(field.coords).transpose(*axes.dims).astype(common) for field in fields]
    joined = xr.concat(bare, VARIABLE, combine_attrs="drop").transpose(*axes._replace(band=VARIABLE).dims)
    coords = {name: coordinate for field in reversed(fields) for name, coordinate in field.coords.items()}
    joined = joined.assign_coords(coords).assign_coords(
        {VARIABLE: names, "units": (VARIABLE, [str(field.attrs.get("units", "")) for field in fields])}
    )
    joined.attrs = {"long_name": " and ".join(str(field.attrs.get("long_name", field.name)) for field in fields)}
    joined.attrs |= {name: value for name, value in fields[0].attrs.items() if _all_say(fields, name, value)}
    joined[VARIABLE].attrs[_DESCRIBED] = json.dumps({str(field.name): _description(field) for field in fields})
    encoding = fields[0].encoding
    joined.encoding = {key: encoding[key] for key in ("preferred_chunks",) if key in encoding}
    sources = dict.fromkeys(str(field.encoding["source"]) for field in fields if "source" in field.encoding)
    if sources:
        joined.encoding["source"] = " and ".join(sources)
    return joined.rename(",".join(names))


def split_variables(field: xr.DataArray) -> list[xr.DataArray]:
    """The variables of a field made by :func:`join_variables`, each with its own name, type, attributes and encoding.

    Any other field is its own only variable.

    Parameters
    ----------
    field : DataArray, shape ([time,] [variable,] y, x)
        Also a part of what was joined, or what was computed from it.

    Returns
    -------
    fields : list of DataArray, shape ([time,] y, x)
        Lazy where the field is. What was whole numbers has the float type that holds them.
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
    """A lazy array of which bands stand more than once, each read once for a piece."""

    def __init__(self, array: Any, axis: int, index: Sequence[int], *, is_added: bool) -> None:
        self.array, self.axis, self.index, self.is_added = array, axis, np.array(index), is_added
        shape = list(array.shape)
        shape[axis : axis + (not is_added)] = [len(index)]
        self.shape, self.dtype, self.ndim = tuple(shape), array.dtype, len(shape)

    def __dask_tokenize__(self) -> tuple[str, int, list[int], bool]:
        return self.array.name, self.axis, self.index.tolist(), self.is_added

    def __getitem__(self, key: tuple[Any, ...]) -> np.ndarray:
        # A number takes its axis away, which is done last.
        numbers = [isinstance(part, int | np.integer) for part in key]
        there = [slice(part, part + 1) if number else part for part, number in zip(key, numbers)]
        bands = self.index[there[self.axis]]
        needed, places = np.unique(bands, return_inverse=True)
        there[self.axis : self.axis + 1] = [] if self.is_added else [slice(int(needed.min()), int(needed.max()) + 1)]
        # Chunks are computed side by side already, on threads or on a cluster.
        part = np.asarray(self.array[tuple(there)].compute(scheduler="synchronous"))
        part = np.expand_dims(part, self.axis) if self.is_added else part
        part = np.take(part, needed[places] - needed.min(), self.axis)
        return part[tuple(0 if number else slice(None) for number in numbers)]


def is_joined(field: xr.DataArray) -> bool:
    """Whether the bands of a field are variables that :func:`join_variables` joined."""
    return VARIABLE in field.dims and VARIABLE in field.coords and _DESCRIBED in field[VARIABLE].attrs


def named_variables(text: str | Sequence[str]) -> list[str]:
    """Names of variables, from a text with commas between them, or several.

    Raises
    ------
    InputError
        If one is named twice, or none.

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
    apart = difference(first, other)
    if apart:
        dim = {"y": axes.y, "x": axes.x}.get(apart.kind)
        words = str(apart) if dim is None else f"{_span(first.array, dim)}, and {_span(other.array, dim)}"
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


def _all_say(fields: Sequence[xr.DataArray], name: str, value: Any) -> bool:
    return all(name in field.attrs and np.array_equal(field.attrs[name], value) for field in fields)


def _span(field: xr.DataArray, dim: str) -> str:
    text = f"{dim} of {str(field.name)!r} has {field.sizes[dim]} cells"
    if dim in field.coords and field[dim].dtype.kind in "iuf":
        text += f" from {field[dim].values[0]:g} to {field[dim].values[-1]:g}"
    return text


def _day(date: Any) -> str:
    return str(date).removesuffix(" 00:00:00")


def _floating(dtype: np.dtype) -> np.dtype:
    """The float type that holds a type's values, and NaN."""
    return dtype if dtype.kind == "f" else np.result_type(dtype, np.float32)


def _description(field: xr.DataArray) -> dict[str, Any]:
    encoding = {key: field.encoding[key] for key in _MEANING if key in field.encoding}
    if "dtype" in encoding:
        encoding["dtype"] = str(np.dtype(encoding["dtype"]))
    # With the types of what NumPy holds: the scale of packed numbers decides what they are unpacked to.
    attrs, encoding = json.loads(json.dumps([field.attrs, encoding], default=_plain))
    return {"dtype": str(_floating(field.dtype)), "attrs": attrs, "encoding": encoding}


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return {"dtype": str(value.dtype), "value": value.tolist()}
    return str(value)


def _typed(entry: dict[str, Any]) -> Any:
    """What :func:`_plain` made plain."""
    return np.array(entry["value"], entry["dtype"])[()] if entry.keys() == {"dtype", "value"} else entry
