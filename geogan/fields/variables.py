"""Several variables as one field: joined along a dimension of bands, and split again, each as it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from geogan.fields.axes import VARIABLE, Axes, band_names, find_axes, ordered
from geogan.fields.grids import difference
from geogan.fields.storage import APART, PACKING
from geogan.operators.errors import InputError

# What a file's encoding says of the numbers; the rest says how that file kept them.
_MEANING = (*PACKING, APART, "grid_mapping")
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
    first, axes = fields[0], find_axes(fields[0])
    for field in fields:
        _check_alike(first, axes, field)
    common = np.result_type(*(_floating(field.dtype) for field in fields))
    # Coordinates that only differ by rounding would make a grid of all of them.
    bare = [field.drop_vars(field.coords).transpose(*ordered(axes)).astype(common) for field in fields]
    joined = xr.concat(bare, VARIABLE, combine_attrs="drop").transpose(*ordered(axes._replace(band=VARIABLE)))
    coords = {name: coordinate for field in reversed(fields) for name, coordinate in field.coords.items()}
    joined = joined.assign_coords(coords).assign_coords(
        {VARIABLE: names, "units": (VARIABLE, [str(field.attrs.get("units", "")) for field in fields])}
    )
    joined.attrs = {"long_name": " and ".join(str(field.attrs.get("long_name", field.name)) for field in fields)}
    joined.attrs |= {name: value for name, value in first.attrs.items() if _all_say(fields, name, value)}
    joined[VARIABLE].attrs[_DESCRIBED] = json.dumps({str(field.name): _description(field) for field in fields})
    joined.encoding = {key: first.encoding[key] for key in ("preferred_chunks",) if key in first.encoding}
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
    axes = find_axes(field)
    described = json.loads(field[axes.band].attrs[_DESCRIBED], object_hook=_typed)
    fields = []
    for index, name in enumerate(band_names(field, axes)):
        one = field.isel({axes.band: index}, drop=True).astype(described[name]["dtype"], copy=False).rename(name)
        one.attrs, one.encoding = described[name]["attrs"], described[name]["encoding"]
        fields.append(one)
    return fields


def repeat_bands(field: xr.DataArray, bands: Sequence[int]) -> xr.DataArray:
    """Return a field in which bands stand again after themselves, lazily where it is lazy.

    Parameters
    ----------
    field : DataArray, shape ([time,] [band,] y, x)
        One without bands has one, and gets a dimension ``band``.
    bands : sequence of int
        Those that stand twice: the second time with `` cosine`` after their name.

    Examples
    --------
    >>> wind = xr.DataArray(np.ones((2, 3)), dims=("y", "x"), name="wdir")
    >>> twice = repeat_bands(wind, [0])
    >>> twice.dims, twice.band.values.tolist(), is_repeated(twice)
    (('band', 'y', 'x'), ['direction', 'direction cosine'], True)
    """
    axes = find_axes(field)
    band = axes.band or "band"
    whole = field.transpose(*ordered(axes))
    names = list(band_names(field, axes))
    if not names:
        names = ["direction"] if axes.band is None else [str(number) for number in range(field.sizes[band])]
    index = [each for number in range(len(names)) for each in [number] * (1 + (number in bands))]
    called = [names[each] for each in index]
    for place in range(1, len(index)):
        if index[place] == index[place - 1]:
            called[place] += " cosine"
    axis = 0 if axes.time is None else 1
    dims = tuple(ordered(axes._replace(band=band)))
    if whole.chunks is None:
        values = whole.values if axes.band else np.expand_dims(whole.values, axis)
        data: Any = np.take(values, index, axis)
    else:
        import dask.array

        source = _Repeated(whole.data, axis, index, is_added=axes.band is None)
        chunks = list(whole.chunks)
        chunks[axis : axis + (axes.band is not None)] = [(len(index),)]
        data = dask.array.from_array(source, chunks=tuple(chunks), meta=np.empty((0,) * len(dims), whole.dtype))
    along = {name: coordinate for name, coordinate in whole.coords.items() if band not in coordinate.dims}
    found = xr.DataArray(data, dims=dims, coords=along, name=field.name, attrs=field.attrs)
    for name, coordinate in whole.coords.items():
        if coordinate.dims == (band,) and name != band:
            found = found.assign_coords({name: (band, coordinate.values[index], coordinate.attrs)})
    attrs = dict(whole[band].attrs) if band in whole.coords else {}
    if _DESCRIBED in attrs:
        described = json.loads(attrs[_DESCRIBED])
        attrs[_DESCRIBED] = json.dumps({name: described[names[each]] for name, each in zip(called, index)})
    found = found.assign_coords({band: (band, called, attrs | {_REPEATED: 1})})
    found.encoding = dict(field.encoding)
    return found


def is_repeated(field: xr.DataArray) -> bool:
    """Return whether bands of a field stand twice, as :func:`repeat_bands` makes them."""
    return any(_REPEATED in coordinate.attrs for coordinate in field.coords.values())


def own_bands(field: xr.DataArray) -> list[int]:
    """Return the bands of a field but for those that stand a second time."""
    axes = find_axes(field)
    names = band_names(field, axes)
    if not is_repeated(field):
        return list(range(1 if axes.band is None else field.sizes[axes.band]))
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


def _check_alike(first: xr.DataArray, axes: Axes, other: xr.DataArray) -> None:
    """Refuse what is not of one grid and the same dates."""
    own, pair = find_axes(other), f"variables {str(first.name)!r} and {str(other.name)!r}"
    if own.band is not None:
        raise InputError(
            f"variable {str(other.name)!r} has bands of its own, along {own.band!r}, so it cannot be one of several; "
            "choose it alone, or one of its bands"
        )
    if own != axes:
        raise InputError(
            f"{pair} have different dimensions, ({', '.join(ordered(axes))}) and ({', '.join(ordered(own))}); choose "
            "variables that have the same"
        )
    apart = difference(first, other)
    if apart:
        dim = {"y": axes.y, "x": axes.x}.get(apart.kind)
        words = str(apart) if dim is None else f"{_span(first, dim)}, and {_span(other, dim)}"
        raise InputError(f"{pair} are on different grids: {words}; bring both to one grid")
    if axes.time is None:
        return
    ours, theirs = (field.indexes.get(axes.time) for field in (first, other))
    if ours is None or theirs is None:
        if first.sizes[axes.time] != other.sizes[axes.time]:
            raise InputError(
                f"{pair} have different time steps: {first.sizes[axes.time]} and {other.sizes[axes.time]}; give both "
                "the same dates"
            )
    elif not ours.equals(theirs):
        lacking = [
            f"{str(b.name)!r} lacks {len(dates)} of {str(a.name)!r} ({_day(dates[0])}{', ...' * (len(dates) > 1)})"
            for (a, i), (b, j) in (((first, ours), (other, theirs)), ((other, theirs), (first, ours)))
            if len(dates := i[~i.isin(j)])
        ]
        reason = " and ".join(lacking) or "they are in another order, or some are double"
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
