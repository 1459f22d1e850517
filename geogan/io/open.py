"""Open fields lazily: Zarr, NetCDF, GeoTIFF, several files, URLs, images."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import dask.array
import numpy as np
import xarray as xr

from geogan.fields.axes import Axes, find_axes, squeezed
from geogan.fields.dates import dated
from geogan.fields.field import Field
from geogan.fields.grids import check_sides, still
from geogan.fields.measured import check_numbers, choose_variable, measured_variables
from geogan.fields.time_range import select_time
from geogan.fields.units import check_units
from geogan.fields.variables import join_variables, named_variables
from geogan.files.attributes import FILL
from geogan.files.user_path import Data
from geogan.io.absent_chunks import check_chunks
from geogan.io.conditions import kept
from geogan.io.damage import GuardedVariable
from geogan.io.files import find_paths, is_zarr, open_dataset
from geogan.io.flags import describe_flags
from geogan.io.images import are_images, open_images
from geogan.io.labels import with_coordinates
from geogan.io.missing import mark_gaps
from geogan.io.reading import PLAIN, Reading
from geogan.io.series import join_files
from geogan.io.sizes import check_dimensions, check_memory
from geogan.operators.choices import matching, suggestion
from geogan.operators.errors import InputError

_CHUNK_BYTES = 8 * 2**20  # size of a Dask chunk: reads are efficient, and many chunks fit in memory


class Source(NamedTuple):
    """A field from files, with their attributes and how they were read.

    Parameters
    ----------
    field : Field
        Its array is lazy, CF decoded, NaN where not observed; coordinates, attributes and encoding as in the file.
    attrs : dict
        Global attributes of the (first) file.
    paths : tuple of str
        The files, stores or URLs.
    notes : tuple of str
        Sentences on choices that were made in reading (group, dates of files, condition).
    products : tuple of str
        Those of ``paths`` that are filled products of geogan.
    reading : Reading
        How it was read, with the group that was found.
    flags : mapping of str to str
        Masks and quality flags beside the field in the (first) file, with the meaning of their values.
    files_of_dates : tuple of str
        The file of each date; empty for one file, for several variables, and for a selection of dates.
    """

    field: Field
    attrs: dict[str, Any]
    paths: tuple[str, ...]
    notes: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    reading: Reading = PLAIN
    flags: Mapping[str, str] = {}  # noqa: RUF012
    files_of_dates: tuple[str, ...] = ()

    def check_measured(self) -> None:
        """Refuse filled products of geogan: their estimates would count as observations.

        Raises
        ------
        InputError
        """
        if self.products:
            raise InputError(
                f"{self.products[0]} is a product of geogan, whose gaps hold estimates; give the data that it was made "
                "from, or --allow-product (allow_product in Python) to take the estimates for observations"
            )


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
        A Zarr store (v2 or v3), a NetCDF file, a GeoTIFF, several of them, a glob such as ``"sst_*.nc"``, or a URL
        (``http://``, ``s3://``, ``file://``; a NetCDF file behind a URL is copied to a temporary folder). Or images,
        as in `geogan.io.images.open_images`.
    variable : str or sequence of str, optional
        Needed if there are several gridded variables; masks and flags do not count. Several names (``["sst", "chl"]``
        or ``"sst,chl"``), of one file or of several, are the bands of one field; see
        `geogan.fields.variables.join_variables`.
    time : str, optional
        A year, a month or a day (``"2001"``, ``"2001-07"``, ``"2001-07-14"``), or two of them separated by a slash,
        both included; either may be empty for an open end. ``"last"`` is the last date, ``"-7d"`` the last seven days
        (units: ``min``, ``h``, ``d``, ``w``).
    group : str, optional
        Group of a NetCDF4 file or a Zarr store, nested ones with slashes (``"HDFEOS/GRIDS/NDVI"``). By default the
        root, or the only group that holds fields.
    dims : str or mapping, optional
        Roles of dimensions that names and attributes do not identify: ``{"time": "t", "y": "YDim", "x": "XDim"}`` or
        ``"time=t,y=YDim,x=XDim"``, also ``band``. They are renamed to ``time``, ``band``, ``y`` and ``x``.
    where : str, optional
        Condition on other variables of the same files and grid, such as ``"quality_level>=4"`` or ``"quality_level>=4
        and flags & 4 == 0"``: cells that fail it, or where one of these variables is missing, are gaps.

    Returns
    -------
    field : DataArray, shape ([time,] [band,] y, x)
        A Dask array whose chunks are multiples of the stored chunks. Other dimensions of length one become scalar
        coordinates.

    Raises
    ------
    InputError
        If nothing is found, a file cannot be read or is incomplete, the variable is ambiguous, or several variables
        differ in grid or dates.

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
    return open_source(data, variable=variable, time=time, reading=Reading.of(group, dims, where)).field.array


def open_source(
    data: Data,
    *,
    variable: str | Sequence[str] | None = None,
    time: str | None = None,
    besides: Collection[str] = (),
    skip_bad: bool = False,
    reading: Reading = PLAIN,
) -> Source:
    """Open a field with the global attributes of its file.

    Parameters
    ----------
    data, variable, time
        As in `open_field`.
    besides : collection of str
        Variables that accompany the field, such as static covariates: without ``variable`` they are not the field, if
        there are others.
    skip_bad : bool
        Chunks that cannot be read become gaps, marked as in `geogan.fields.marks.is_unreadable`.
    reading : Reading
        Group, dimensions and condition.

    Returns
    -------
    source : Source

    Raises
    ------
    InputError
        As in `open_field`.
    """
    paths = find_paths(data)
    if are_images(paths):
        name = variable if variable is None or isinstance(variable, str) else ",".join(variable)
        field = Field.of(open_images(paths, name))
        return Source(field if time is None else select_time(field, time), {}, tuple(paths))
    wanted = () if variable is None else named_variables(variable)
    first = open_dataset(paths[0], reading, wanted=wanted)
    fields, notes, products, of_dates = [], dict[str, None](), dict[str, None](), tuple[str, ...]()
    if reading.group is None and "group" in first.encoding:
        reading = replace(reading, group=first.encoding["group"])
        notes[f"the group {reading.group!r} of {paths[0]} is read, the only one that holds the field"] = None
    datasets = [first, *(open_dataset(path, reading) for path in paths[1:])]
    for name, files in _files_of(variable, datasets, paths, reading, besides).items():
        products |= dict.fromkeys(paths[file] for file in files if _is_filled(datasets[file], name))
        parts = [_read_variable(datasets[file], name, paths[file], skip_bad, reading) for file in files]
        names = [paths[file] for file in files]
        check_units([part.array for part in parts], names)
        field, dated_by, of_dates = join_files(parts, names, [datasets[file].attrs for file in files])
        notes |= dict.fromkeys(dated_by)
        fields.append(field if time is None else select_time(field, time))
    field = _joined(fields)
    if reading.where is not None:
        notes[f"cells where {reading.where} does not hold, or is not known, are gaps"] = None
    return Source(
        field,
        dict(datasets[0].attrs),
        tuple(paths),
        tuple(notes),
        tuple(products),
        reading,
        describe_flags(datasets[0]),
        of_dates if len(fields) == 1 and time is None else (),
    )


def _is_filled(dataset: xr.Dataset, name: str) -> bool:
    """Return whether geogan filled a variable, by the attributes of the file or the flags of the variable."""
    flags = dataset.variables.get(f"{name}_source")
    return FILL in dataset.attrs or (flags is not None and "observed filled" in str(flags.attrs.get("flag_meanings")))


def as_field(data: xr.DataArray | xr.Dataset, variable: str | Sequence[str] | None = None) -> Field:
    """Return an array or dataset in memory as a field; several measured variables of a dataset are joined.

    Parameters
    ----------
    data : DataArray or Dataset
        Values that attributes or encoding declare missing become NaN; dates index the time dimension.
    variable : str or sequence of str, optional
        Variables of a dataset; by default all but masks and flags.

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
        return _labelled(mark_gaps(data))
    data = with_coordinates(data)
    if variable is None:
        names = measured_variables(data) or [choose_variable(data)]
    else:
        names = [choose_variable(data, name) for name in named_variables(variable)]
    fields = [_labelled(mark_gaps(data[name])) for name in names]
    return _joined(fields)


def _joined(fields: Sequence[Field]) -> Field:
    """Return one field of several variables."""
    return fields[0] if len(fields) == 1 else Field.of(join_variables([field.array for field in fields]))


def _files_of(
    variable: str | Sequence[str] | None,
    datasets: Sequence[xr.Dataset],
    paths: Sequence[str],
    reading: Reading,
    besides: Collection[str],
) -> dict[str, list[int]]:
    """Return the indices of the files of each variable; a single variable must be in all files."""
    # The name of a single variable may contain a comma.
    is_single = variable is None or (isinstance(variable, str) and variable in datasets[0].variables)
    names = [] if is_single else named_variables(variable or "")
    if len(names) < 2:
        name = variable if is_single else names[0]
        among = datasets[0]
        if name is None:
            # Variables of a condition, and those besides, are not the field, unless no other is on a grid.
            for others in ([condition.name for condition in reading.conditions], list(besides)):
                if len(measured_variables(among)) > 1:
                    rest = among.drop_vars([name for name in others if name in among.data_vars])
                    among = rest if measured_variables(rest) else among
        return {choose_variable(among, name, label=paths[0]): list(range(len(paths)))}  # type: ignore[arg-type]
    every = sorted({str(name) for dataset in datasets for name in dataset.data_vars})
    names = [matching(name, every) or name for name in names]
    files_by_name = {
        name: [file for file, dataset in enumerate(datasets) if name in dataset.variables] for name in names
    }
    for name, files in files_by_name.items():
        if not files:
            label = f"{paths[0]} has no" if len(paths) == 1 else f"none of the {len(paths)} files has a"
            raise InputError(
                f"{label} variable {name!r}; there are {', '.join(every) or 'none'}, choose among them"
                f"{suggestion(name, every)}"
            )
    unused = set(range(len(paths))).difference(*files_by_name.values())
    if unused:
        raise InputError(
            f"{paths[min(unused)]} has none of the variables {', '.join(files_by_name)}; leave this file out"
        )
    return files_by_name


def _read_variable(dataset: xr.Dataset, name: str, path: str, skip_bad: bool, reading: Reading) -> Field:
    """Return a variable of a file, lazy, with gaps where a condition fails."""
    field = _gridded(dataset, name, path, skip_bad)
    if not reading.conditions:
        return field
    array = field.array
    holds = None
    for condition in reading.conditions:
        if condition.name not in dataset.variables:
            names = ", ".join(map(str, dataset.data_vars))
            raise InputError(
                f"{path} has no variable {condition.name!r}, which the condition {reading.where!r} needs; it has "
                f"{names}, choose among them with --where, or leave it out"
            )
        other = _gridded(dataset, condition.name, path, False).array
        if any(array.sizes.get(dim) != size for dim, size in other.sizes.items()):
            raise InputError(
                f"{condition.name!r} of {path} has the dimensions {dict(other.sizes)} and {name!r} "
                f"{dict(array.sizes)}; a condition needs a variable on the grid of the field"
            )
        is_met = other.variable.copy(data=other.data.map_blocks(condition.holds, dtype=bool))
        holds = is_met if holds is None else holds & is_met
    assert holds is not None
    holds = holds.set_dims(array.sizes).transpose(*array.dims)
    dtype = array.dtype if array.dtype.kind == "f" else np.result_type(array.dtype, np.float32)
    result = array.copy(data=dask.array.map_blocks(kept, array.data, holds.data.rechunk(array.chunks), dtype=dtype))
    result.encoding["condition"] = reading.where
    return field.with_array(result)


def _gridded(dataset: xr.Dataset, name: str, path: str, skip_bad: bool = False) -> Field:
    """Return a variable of a file in the order (time, band, y, x), in Dask chunks, without other dimensions."""
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
    chunks = dask_chunks(array, axes)
    guarded = GuardedVariable(array, path, skip=skip_bad)
    array = array.copy(data=guarded.dask(tuple(chunks[str(dim)] for dim in array.dims)))
    array = array.transpose(*axes.dims)
    array.encoding["source"] = path
    field = Field(array, axes)
    check_sides(field)
    return field


def _labelled(array: xr.DataArray) -> Field:
    """Return an array in memory as a field whose dates index its time dimension."""
    axes = find_axes(array)
    return Field(dated(array, axes), axes)


def dask_chunks(array: xr.DataArray, axes: Axes, *, most_chunks: int = 2**14) -> dict[str, int]:
    """Return the size of Dask chunks: stored chunks merged along x, then y, bands and time, up to 8 MiB.

    Parameters
    ----------
    array : DataArray
    axes : Axes
    most_chunks : int
        Chunks are larger if there would be more of them; the graph of more would take gigabytes.
    """
    stored: Mapping[Any, int] = array.encoding.get("preferred_chunks") or {}
    order = axes.dims[::-1]
    chunks = {dim: min(int(stored.get(dim, 1)), array.sizes[dim]) for dim in order}
    largest = max(_CHUNK_BYTES // array.dtype.itemsize, array.size // most_chunks)
    for dim in order:
        others = math.prod(size for other, size in chunks.items() if other != dim)
        multiple = max(largest // (others * chunks[dim]), 1)
        chunks[dim] = min(chunks[dim] * multiple, array.sizes[dim])
    return chunks
