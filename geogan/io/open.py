"""Fields opened lazily: Zarr, NetCDF, many files, URLs, images."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import dask.array
import numpy as np
import xarray as xr

from geogan.fields.axes import Axes, find_axes, squeezed
from geogan.fields.dates import calendar_of, dated
from geogan.fields.field import Field
from geogan.fields.grids import check_sides, difference, still
from geogan.fields.storage import shared_storage
from geogan.fields.units import check_units
from geogan.fields.variables import join_variables, named_variables
from geogan.files.attributes import FILL
from geogan.io.absent_chunks import check_chunks
from geogan.io.conditions import kept
from geogan.io.damage import GuardedVariable
from geogan.io.dates import select_time, shown_date
from geogan.io.file_dates import dates_of_files
from geogan.io.files import Data, find_paths, is_zarr, open_dataset
from geogan.io.images import are_images, open_images
from geogan.io.labels import with_coordinates
from geogan.io.measured import check_numbers, choose_variable, measured_variables
from geogan.io.missing import decided
from geogan.io.reading import PLAIN, Reading
from geogan.io.sizes import check_dimensions, check_memory
from geogan.operators.choices import matching, suggestion
from geogan.operators.errors import InputError

_BLOCK_BYTES = 8 * 2**20  # a dask chunk: large enough to be quick, small enough for some to fit in memory
_MOST_BLOCKS = 2**14  # of an array, or its graph alone would take gigabytes


class Source(NamedTuple):
    """A field and what its file says beyond it.

    Parameters
    ----------
    field : DataArray, shape ([time,] [band,] y, x)
        Lazy; CF decoded, NaN where unseen; coordinates, attributes and encoding as in the file.
    attrs : dict
        Global attributes of the (first) file.
    paths : tuple of str
        Where it came from.
    notes : tuple of str
        Sentences on how it was read, where that had to be decided.
    products : tuple of str
        Those of them that are filled products of geogan.
    reading : Reading
        How it was read; with the group, where one was found.
    """

    field: xr.DataArray
    attrs: dict[str, Any]
    paths: tuple[str, ...]
    notes: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    reading: Reading = PLAIN


def open_field(
    data: Data,
    *,
    variable: str | Sequence[str] | None = None,
    time: str | None = None,
    group: str | None = None,
    dims: str | Mapping[str, str] | None = None,
    where: str | None = None,
) -> xr.DataArray:
    """Open one gridded variable, or several as one field, lazily.

    Parameters
    ----------
    data : str, Path or a sequence of them
        A Zarr store (v2 or v3), a NetCDF file, several of either, a glob such as ``"sst_*.nc"``, or a URL
        (``http://``, ``s3://``, ``file://``; a NetCDF file behind a URL is copied to a temporary folder). Or images,
        as in `geogan.io.images.open_images`.
    variable : str or sequence of str, optional
        Needed where there are several gridded variables; masks and flags do not count. Several names (``["sst",
        "chl"]`` or ``"sst,chl"``), of one file or of different ones, make a field whose bands they are; see
        `geogan.fields.variables.join_variables`.
    time : str, optional
        A year, a month or a day (``"2001"``, ``"2001-07"``, ``"2001-07-14"``), or two of them with a slash
        between, both included; an open end may be left empty.
    group : str, optional
        Group of a NetCDF4 file or a Zarr store, nested ones with slashes (``"HDFEOS/GRIDS/NDVI"``). By default the
        root, or the only group that holds fields.
    dims : str or mapping, optional
        Which dimension is which, where names and attributes do not tell: ``{"time": "t", "y": "YDim", "x": "XDim"}`` or
        ``"time=t,y=YDim,x=XDim"``; ``band`` is the fourth. They are renamed to ``time``, ``band``, ``y`` and ``x``.
    where : str, optional
        Condition on other variables of the same files and grid, such as ``"quality_level>=4"`` or ``"quality_level>=4
        and flags & 4 == 0"``: cells that fail it, or where such a variable is missing, are gaps.

    Returns
    -------
    field : DataArray, shape ([time,] [band,] y, x)
        Dask array in whole multiples of the stored chunks. Further dimensions of length one stay as scalar
        coordinates.

    Raises
    ------
    InputError
        If nothing is found, a file cannot be read or is incomplete, the variable cannot be told, or several are not
        of one grid and the same dates.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> folder = tempfile.TemporaryDirectory()
    >>> maps = xr.DataArray(np.ones((2, 4, 3)), dims=("time", "lat", "lon"), name="sst")
    >>> maps.to_netcdf(f"{folder.name}/sst.nc")
    >>> dict(open_field(f"{folder.name}/sst.nc").sizes)
    {'time': 2, 'lat': 4, 'lon': 3}
    """
    return open_source(data, variable=variable, time=time, reading=Reading.of(group, dims, where)).field


def open_source(
    data: Data,
    *,
    variable: str | Sequence[str] | None = None,
    time: str | None = None,
    skip_bad: bool = False,
    reading: Reading = PLAIN,
) -> Source:
    """Open a field with the global attributes of its file.

    Parameters and errors are those of `open_field`, ``reading`` holds its last three; with ``skip_bad``, chunks that
    cannot be read are gaps, which `geogan.fields.marks.unreadable` tells from others.

    Returns
    -------
    source : Source
    """
    paths = find_paths(data)
    if are_images(paths):
        name = variable if variable is None or isinstance(variable, str) else ",".join(variable)
        field = open_images(paths, name)
        return Source(field if time is None else select_time(field, time), {}, tuple(paths))
    wanted = () if variable is None else named_variables(variable)
    first = open_dataset(paths[0], reading, wanted=wanted)
    fields, notes, products = [], dict[str, None](), dict[str, None]()
    if reading.group is None and "group" in first.encoding:
        reading = replace(reading, group=first.encoding["group"])
        notes[f"the group {reading.group!r} of {paths[0]} is read, the only one that holds the field"] = None
    datasets = [first, *(open_dataset(path, reading) for path in paths[1:])]
    for name, files in _files_of(variable, datasets, paths, reading).items():
        products |= dict.fromkeys(paths[file] for file in files if _is_filled(datasets[file], name))
        pieces = [_piece(datasets[file], name, paths[file], skip_bad, reading) for file in files]
        own = [paths[file] for file in files]
        check_units(pieces, own)
        if len(pieces) > 1 and not any(_has_time(piece) for piece in pieces):
            dates, sentence = dates_of_files(own, [datasets[file].attrs for file in files])
            pieces = [_at(piece, date) for piece, date in zip(pieces, dates, strict=True)]
            notes[sentence] = None
        field = pieces[0] if len(pieces) == 1 else _along_time(pieces, own)
        fields.append(field if time is None else select_time(field, time))
    field = fields[0] if len(fields) == 1 else join_variables(fields)
    if reading.where is not None:
        notes[f"cells where {reading.where} does not hold, or is not known, are gaps"] = None
    return Source(field, dict(datasets[0].attrs), tuple(paths), tuple(notes), tuple(products), reading)


def check_measured(source: Source) -> None:
    """Refuse a filled product of geogan, whose estimates would be taken for observations.

    Raises
    ------
    InputError
    """
    if source.products:
        raise InputError(
            f"{source.products[0]} is a product of geogan, whose gaps hold estimates; give the data that it was made "
            "from, or --allow-product (allow_product in Python) to take the estimates for observations"
        )


def _is_filled(dataset: xr.Dataset, name: str) -> bool:
    """Whether a variable was filled by geogan: its file says so, or flags beside it say which cells were."""
    flags = dataset.variables.get(f"{name}_source")
    return FILL in dataset.attrs or (flags is not None and "observed filled" in str(flags.attrs.get("flag_meanings")))


def as_field(data: xr.DataArray | xr.Dataset, variable: str | Sequence[str] | None = None) -> Field:
    """The field of what is in memory: of a dataset all its measured variables, joined where there are several.

    Parameters
    ----------
    data : DataArray or Dataset
        A DataArray is the field already. Values that their attributes or encoding declare missing become NaN.
    variable : str or sequence of str, optional
        Which variables of a dataset; masks and flags do not count where none is named.

    Returns
    -------
    field : Field

    Raises
    ------
    InputError
        If the axes of the field are not found, the dataset has no such variable or none on a grid, or several
        variables differ in grid or dates.

    Examples
    --------
    >>> import numpy as np
    >>> maps = xr.Dataset({name: (("y", "x"), np.ones((3, 2))) for name in ("sst", "chl")})
    >>> as_field(maps).name, as_field(maps, "chl").name
    ('sst,chl', 'chl')
    """
    if isinstance(data, xr.DataArray):
        return _labelled(decided(data))
    data = with_coordinates(data)
    if variable is None:
        names = measured_variables(data) or [choose_variable(data)]
    else:
        names = [choose_variable(data, name) for name in named_variables(variable)]
    fields = [_labelled(decided(data[name])) for name in names]
    return fields[0] if len(fields) == 1 else Field.of(join_variables([field.array for field in fields]))


def _files_of(
    variable: str | Sequence[str] | None, datasets: Sequence[xr.Dataset], paths: Sequence[str], reading: Reading
) -> dict[str, list[int]]:
    """Numbers of the files that hold each variable: one must be in all of them, of several each in some."""
    # A name may have a comma of its own.
    one = variable is None or (isinstance(variable, str) and variable in datasets[0].variables)
    names = [] if one else named_variables(variable or "")
    if len(names) < 2:
        name = variable if one else names[0]
        among = datasets[0]
        if name is None:
            # What a condition looks at is not what is to be filled.
            among = among.drop_vars([each.name for each in reading.conditions], errors="ignore")
        return {choose_variable(among, name, label=paths[0]): list(range(len(paths)))}  # type: ignore[arg-type]
    every = sorted({str(each) for dataset in datasets for each in dataset.data_vars})
    names = [matching(name, every) or name for name in names]
    found = {name: [file for file, dataset in enumerate(datasets) if name in dataset.variables] for name in names}
    for name, files in found.items():
        if not files:
            label = f"{paths[0]} has no" if len(paths) == 1 else f"none of the {len(paths)} files has a"
            raise InputError(
                f"{label} variable {name!r}; there are {', '.join(every) or 'none'}, choose among them"
                f"{suggestion(name, every)}"
            )
    idle = set(range(len(paths))).difference(*found.values())
    if idle:
        raise InputError(f"{paths[min(idle)]} has none of the variables {', '.join(found)}; leave this file out")
    return found


def _piece(dataset: xr.Dataset, name: str, path: str, skip_bad: bool, reading: Reading) -> xr.DataArray:
    """One variable of one file, with gaps where a condition does not hold; lazy, chunk by chunk."""
    array = _gridded(dataset, name, path, skip_bad)
    if not reading.conditions:
        return array
    holds = None
    for condition in reading.conditions:
        if condition.name not in dataset.variables:
            names = ", ".join(map(str, dataset.data_vars))
            raise InputError(
                f"{path} has no variable {condition.name!r}, which the condition {reading.where!r} needs; it has "
                f"{names}, choose among them with --where, or leave it out"
            )
        looked_at = _gridded(dataset, condition.name, path, False)
        sizes = {dim: size for dim, size in looked_at.sizes.items() if array.sizes.get(dim) != size}
        if sizes:
            raise InputError(
                f"{condition.name!r} of {path} has the dimensions {dict(looked_at.sizes)} and {name!r} "
                f"{dict(array.sizes)}; a condition needs a variable on the grid of the field"
            )
        part = looked_at.variable.copy(data=looked_at.data.map_blocks(condition.holds, dtype=bool))
        holds = part if holds is None else holds & part
    assert holds is not None
    holds = holds.set_dims(array.sizes).transpose(*array.dims)
    kind = array.dtype if array.dtype.kind == "f" else np.result_type(array.dtype, np.float32)
    screened = dask.array.map_blocks(kept, array.data, holds.data.rechunk(array.chunks), dtype=kind)
    result = array.copy(data=screened)
    result.encoding["condition"] = reading.where
    return result


def _gridded(dataset: xr.Dataset, name: str, path: str, skip_bad: bool = False) -> xr.DataArray:
    """One variable of one file: squeezed, in the order (time, band, y, x), in dask chunks."""
    if name not in dataset.variables:
        raise InputError(
            f"{path} has no variable {name!r}, which the first file has; leave this file out, or name the variables of "
            "all files with --variable"
        )
    array = dataset[name]
    label = f"variable {name!r} of {path}"
    check_numbers(array, label)
    if array.ndim < 2:
        raise InputError(f"{label} has the dimensions {array.dims}, where a map of y and x is expected")
    check_dimensions(path, {dim: array.sizes[dim] for dim in array.dims})
    raw, array = array, squeezed(array)
    axes = find_axes(array)
    check_memory(array, axes, label)
    if "://" not in path and is_zarr(path):
        check_chunks(str(Path(path) / dataset.encoding.get("group", "")), name, raw)
    array = dated(still(array, axes), axes)
    chunks = _dask_chunks(array, axes)
    guarded = GuardedVariable(array, path, skip=skip_bad)
    array = array.copy(data=guarded.dask(tuple(chunks[str(dim)] for dim in array.dims)))
    array = array.transpose(*axes.dims)
    array.encoding["source"] = path
    check_sides(Field(array, axes))
    return array


def _labelled(array: xr.DataArray) -> Field:
    """Return an array in memory as a field whose dates index its time dimension."""
    axes = find_axes(array)
    return Field(dated(array, axes), axes)


def _has_time(piece: xr.DataArray) -> bool:
    """Whether a map says when it is of: by a time dimension, or a scalar."""
    return find_axes(piece).time is not None or _scalar_time(piece) is not None


def _scalar_time(piece: xr.DataArray) -> str | None:
    times = (str(name) for name, each in piece.coords.items() if each.ndim == 0 and "time" in str(name).lower())
    return next(times, None)


def _at(piece: xr.DataArray, date: np.datetime64) -> xr.DataArray:
    """A map of a date."""
    return piece.assign_coords(time=xr.Variable((), date, {"standard_name": "time"}))


def _dask_chunks(array: xr.DataArray, axes: Axes) -> dict[str, int]:
    """Stored chunks, merged along x, then y, then bands, then time, up to a sensible size."""
    stored: Mapping[Any, int] = array.encoding.get("preferred_chunks") or {}
    order = axes.dims[::-1]
    chunks = {dim: min(int(stored.get(dim, 1)), array.sizes[dim]) for dim in order}
    room = max(_BLOCK_BYTES // array.dtype.itemsize, array.size // _MOST_BLOCKS)
    for dim in order:
        others = math.prod(size for other, size in chunks.items() if other != dim)
        multiple = max(room // (others * chunks[dim]), 1)
        chunks[dim] = min(chunks[dim] * multiple, array.sizes[dim])
    return chunks


def _along_time(pieces: list[xr.DataArray], paths: list[str]) -> xr.DataArray:
    """Several files as one field; each holds the same grid at other times."""
    first, axes = pieces[0], find_axes(pieces[0])
    name = axes.time or _scalar_time(first)
    if name is None:
        raise InputError(f"{paths[0]} has no time, which other files have, so they cannot be put in order; add one")
    grid = {each: at.variable for each, at in first.coords.items() if at.dims and set(at.dims) <= {axes.y, axes.x}}
    films = []
    for piece, path in zip(pieces, paths):
        own = find_axes(piece)
        if (own.y, own.x) != (axes.y, axes.x):
            apart: object = f"dimensions ({own.y}, {own.x}), and ({axes.y}, {axes.x})"
        else:
            apart = None if piece is first else difference(Field(piece, own), Field(first, axes))
        if apart:
            raise InputError(f"{path} is on another grid than {paths[0]} ({apart}); give files of one grid")
        if piece is not first:
            # The grid is the first file's; a copy for each of many files would take gigabytes.
            piece = piece.drop_vars([each for each in piece.coords if {own.y, own.x} & set(piece[each].dims)])
            piece = piece.assign_coords(grid)
        film = piece.expand_dims(name) if own.time is None and name in piece.coords else piece
        if name not in film.dims or name not in film.coords:
            raise InputError(f"{path} has no {name!r} coordinate, so the files cannot be put in order; add one")
        films.append(film)
    films = _of_one_calendar(films, name, paths)
    films.sort(key=lambda film: film[name].values.min())
    field = xr.concat(films, dim=name, coords="minimal", compat="override", join="override", combine_attrs="override")
    field.encoding, field.attrs = shared_storage(films)
    field[name].encoding = dict(films[0][name].encoding)
    times = field.indexes[name]
    if not times.is_unique:
        double = shown_date(times[times.duplicated()][0])
        raise InputError(f"{double} is found in more than one of the {len(paths)} files; leave one of them out")
    return field if times.is_monotonic_increasing else field.sortby(name)


def _of_one_calendar(films: list[xr.DataArray], name: str, paths: list[str]) -> list[xr.DataArray]:
    """Refuse dates of different calendars, which have no common order."""
    calendars = [calendar_of(film, find_axes(film)) for film in films]
    kinds = [calendar or "no calendar, but numbers," for calendar in calendars]
    for path, kind in zip(paths, kinds):
        if kind != kinds[0]:
            raise InputError(
                f"the times of {path} have the calendar {kind} and those of {paths[0]} {kinds[0]}, so they have no "
                f"common order; bring both to one, for example with dataset.convert_calendar('standard')"
            )
    types = {film[name].dtype.kind for film in films}
    if calendars[0] is None or len(types) == 1:
        return films
    # Dates of one calendar, some of them too far from today for datetime64 in nanoseconds.
    return [film.convert_calendar("standard", dim=name, use_cftime=True) for film in films]
