"""Fields opened lazily: Zarr, NetCDF, many files, URLs, images."""

import atexit
import glob
import math
import shutil
import tempfile
import urllib.parse
import urllib.request
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
import zarr

from geogan.coordinates import Axes, axis_roles, band_names, find_axes, ordered, same_coordinate, squeezed, stacked
from geogan.damage import Guarded
from geogan.http_store import HttpStore
from geogan.images import are_images, open_images
from geogan.operators.errors import InputError
from geogan.regions import Region
from geogan.streaming import parts, reading
from geogan.variables import is_joined, join_variables, named_variables

Data = str | Path | Sequence[str | Path]

_BLOCK_BYTES = 8 * 2**20  # a dask chunk: large enough to be quick, small enough for some to fit in memory
_MOST_BLOCKS = 2**14  # of an array, or its graph alone would take gigabytes
_MASK_WORDS = ("mask", "flag", "flags", "lsm", "qc", "quality")
_ZARR_FILES = ("zarr.json", ".zgroup", ".zmetadata", ".zarray")


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
    """

    field: xr.DataArray
    attrs: dict[str, Any]
    paths: tuple[str, ...]


class Survey(NamedTuple):
    """What one pass over a field tells.

    Parameters
    ----------
    cells : int
        Cells of the domain.
    observed : int
        Measured values, all dates together.
    minimum, maximum : float
        Of the measured values, in the field's units.
    first, last : datetime64, cftime.datetime, float or None
        First and last time; None without a time coordinate.
    domain : ndarray of bool, shape (y, x)
        True where a value was ever seen; of independent samples everywhere.
    seen_share : ndarray of float64, shape (T,)
        Share of the domain seen at each date, all bands together.
    gap_free : bool
        Whether every cell of the domain is seen at every date, in every band.
    """

    cells: int
    observed: int
    minimum: float
    maximum: float
    first: Any
    last: Any
    domain: np.ndarray
    seen_share: np.ndarray
    gap_free: bool


def open_field(data: Data, *, variable: str | Sequence[str] | None = None, time: str | None = None) -> xr.DataArray:
    """Open one gridded variable, or several as one field, lazily.

    Parameters
    ----------
    data : str, Path or a sequence of them
        A Zarr store (v2 or v3), a NetCDF file, several of either, a glob such as ``"sst_*.nc"``, or a URL
        (``http://``, ``s3://``, ``file://``; a NetCDF file behind a URL is copied to a temporary folder). Or images,
        as in `geogan.images.open_images`.
    variable : str or sequence of str, optional
        Needed where there are several gridded variables; masks and flags do not count. Several names (``["sst",
        "chl"]`` or ``"sst,chl"``), of one file or of different ones, make a field whose bands they are; see
        `geogan.variables.join_variables`.
    time : str, optional
        A year, a month or a day (``"2001"``, ``"2001-07"``, ``"2001-07-14"``), or two of them with a slash
        between, both included; an open end may be left empty.

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
    >>> folder = tempfile.TemporaryDirectory()
    >>> maps = xr.DataArray(np.ones((2, 4, 3)), dims=("time", "lat", "lon"), name="sst")
    >>> maps.to_netcdf(Path(folder.name) / "sst.nc")
    >>> dict(open_field(Path(folder.name) / "sst.nc").sizes)
    {'time': 2, 'lat': 4, 'lon': 3}
    """
    return open_source(data, variable=variable, time=time).field


def open_source(
    data: Data, *, variable: str | Sequence[str] | None = None, time: str | None = None, skip_bad: bool = False
) -> Source:
    """Open a field with the global attributes of its file.

    Parameters and errors are those of `open_field`; with ``skip_bad``, chunks that cannot be read are gaps, which
    `geogan.damage.unreadable` tells from others.

    Returns
    -------
    source : Source
    """
    paths = find_paths(data)
    if are_images(paths):
        name = variable if variable is None or isinstance(variable, str) else ",".join(variable)
        field = open_images(paths, name)
        return Source(field if time is None else select_time(field, time), {}, tuple(paths))
    datasets = [_open_dataset(path) for path in paths]
    fields = []
    for name, files in _files_of(variable, datasets, paths).items():
        pieces = [_gridded(datasets[file], name, paths[file], skip_bad) for file in files]
        field = pieces[0] if len(pieces) == 1 else _along_time(pieces, [paths[file] for file in files])
        fields.append(field if time is None else select_time(field, time))
    field = fields[0] if len(fields) == 1 else join_variables(fields)
    return Source(field, dict(datasets[0].attrs), tuple(paths))


def _files_of(
    variable: str | Sequence[str] | None, datasets: Sequence[xr.Dataset], paths: Sequence[str]
) -> dict[str, list[int]]:
    """Numbers of the files that hold each variable: one must be in all of them, of several each in some."""
    # A name may have a comma of its own.
    one = variable is None or (isinstance(variable, str) and variable in datasets[0].variables)
    names = [] if one else named_variables(variable or "")
    if len(names) < 2:
        name = variable if one else names[0]
        return {choose_variable(datasets[0], name, label=paths[0]): list(range(len(paths)))}  # type: ignore[arg-type]
    found = {name: [file for file, dataset in enumerate(datasets) if name in dataset.variables] for name in names}
    for name, files in found.items():
        if not files:
            every = dict.fromkeys(str(each) for dataset in datasets for each in dataset.data_vars)
            label = f"{paths[0]} has no" if len(paths) == 1 else f"none of the {len(paths)} files has a"
            raise InputError(f"{label} variable {name!r}; there are {_listed(every)}, choose among them")
    idle = set(range(len(paths))).difference(*found.values())
    if idle:
        raise InputError(f"{paths[min(idle)]} has none of the variables {_listed(found)}; leave this file out")
    return found


def as_field(data: xr.DataArray | xr.Dataset, variable: str | Sequence[str] | None = None) -> xr.DataArray:
    """The field of what is in memory: of a dataset all its measured variables, joined where there are several.

    Parameters
    ----------
    data : DataArray or Dataset
        A DataArray is the field already.
    variable : str or sequence of str, optional
        Which variables of a dataset; masks and flags do not count where none is named.

    Returns
    -------
    field : DataArray, shape ([time,] [band,] y, x)

    Raises
    ------
    InputError
        If the dataset has no such variable or none on a grid, or several are not of one grid and the same dates.

    Examples
    --------
    >>> maps = xr.Dataset({name: (("y", "x"), np.ones((3, 2))) for name in ("sst", "chl")})
    >>> as_field(maps).name, as_field(maps, "chl").name
    ('sst,chl', 'chl')
    """
    if isinstance(data, xr.DataArray):
        return data
    if variable is None:
        names = _measured(data) or [choose_variable(data)]
    else:
        names = [choose_variable(data, name) for name in named_variables(variable)]
    fields = [data[name] for name in names]
    return fields[0] if len(fields) == 1 else join_variables(fields)


def find_paths(data: Data) -> list[str]:
    """Files, stores and URLs that ``data`` names; a glob is expanded and sorted.

    Raises
    ------
    InputError
        If a path does not exist, a glob finds nothing, or nothing is named.
    """
    if not isinstance(data, (str, Path)):
        paths = [path for part in data for path in find_paths(part)]
        if not paths:
            raise InputError("no file is named; give a Zarr store, a NetCDF file, a glob or a URL")
        return paths
    text = str(data)
    if text.startswith("file://"):
        text = urllib.request.url2pathname(urllib.parse.urlparse(text).path)
    if "://" in text:
        return [text]
    if not text.strip():
        raise InputError("the name of the data is empty; give a Zarr store, a NetCDF file, a glob or a URL")
    path = Path(text).expanduser()
    if path.exists():
        return [str(path)]
    if any(sign in text for sign in "*?["):
        found = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 (absolute patterns too)
        if not found:
            raise InputError(f"no file matches {text!r}; check the folder and the pattern")
        return found
    hint = f"; the folder {path.parent} does not exist either" if not path.parent.exists() else ""
    raise InputError(f"{text!r} does not exist{hint}; give a Zarr store, a NetCDF file, a glob or a URL")


def select_time(field: xr.DataArray, time: str) -> xr.DataArray:
    """The part of a field between two dates, both included.

    Parameters
    ----------
    field : DataArray, shape (time, y, x)
    time : str
        As in `open_field`.

    Returns
    -------
    field : DataArray, shape (fewer times, y, x)

    Raises
    ------
    InputError
        If the field has no dates, the text is no date, or no date lies between.

    Examples
    --------
    >>> days = np.arange("2001-01-30", "2001-02-03", dtype="datetime64[D]").astype("datetime64[ns]")
    >>> field = xr.DataArray(np.zeros((4, 3, 2)), dims=("time", "y", "x"), coords={"time": days})
    >>> select_time(field, "2001-02").sizes["time"], select_time(field, "/2001-01-30").sizes["time"]
    (2, 1)
    """
    axes = find_axes(field)
    index = field.indexes.get(axes.time) if axes.time else None
    if index is None or not (np.issubdtype(index.dtype, np.datetime64) or isinstance(index, xr.CFTimeIndex)):
        raise InputError(f"time {time!r} cannot be selected, since {_named(field)} has no dates; leave time out")
    start, slash, stop = (part.strip() for part in time.partition("/"))
    try:
        part = index.sort_values().slice_indexer(start or None, (stop or None) if slash else start)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"time {time!r} is not understood; write a year, a date such as 2001-07-14, "
            "or two of them such as 2001-01-01/2002-12-31"
        ) from error
    keep = index.isin(index.sort_values()[part])
    if not keep.any():
        span = f"{_date(index.min())} to {_date(index.max())}"
        raise InputError(
            f"time {time!r} selects nothing of {_named(field)}, whose dates go from {span}; choose among them"
        )
    first, last = np.flatnonzero(keep)[[0, -1]]
    whole = keep[first : last + 1].all()
    # A slice keeps the chunks; picking by number is for files whose dates are in disorder.
    return field.isel({axes.time: slice(first, last + 1) if whole else np.flatnonzero(keep)})


def observed_anywhere(field: xr.DataArray) -> np.ndarray:
    """Cells seen at least once, in one pass.

    Parameters
    ----------
    field : DataArray, shape ([time,] [band,] y, x)

    Returns
    -------
    domain : ndarray of bool, shape (y, x)

    Examples
    --------
    >>> maps = np.array([[[np.nan, 1.0]], [[np.nan, np.nan]]])
    >>> observed_anywhere(xr.DataArray(maps, dims=("time", "y", "x"))).tolist()
    [[False, True]]
    """
    axes = find_axes(field)
    seen = field.notnull()
    return seen.any([dim for dim in (axes.time, axes.band) if dim]).transpose(axes.y, axes.x).values


def open_domain(data: Data, name: str, like: xr.DataArray) -> np.ndarray:
    """Read a mask that is 1 at sea and 0 on land.

    Parameters
    ----------
    data : str, Path or a sequence of them
        As in `open_field`; of several files the first is read, of those of several variables the first that has it.
    name : str
        Name of the mask variable.
    like : DataArray, shape ([time,] [band,] y, x)
        The field the mask must match.

    Returns
    -------
    domain : ndarray of bool, shape (y, x)
        True at sea; a missing value counts as land.

    Raises
    ------
    InputError
        If there is no such variable, its grid differs, it holds other values than 0 and 1, or it is all land.
    """
    paths = find_paths(data)
    datasets = {path: _open_dataset(path) for path in (paths if is_joined(like) else paths[:1])}
    path = next((path for path, dataset in datasets.items() if name in dataset.variables), paths[0])
    dataset = datasets[path]
    choose_variable(dataset, name, label=path)
    mask, axes = squeezed(dataset[name]), find_axes(like)
    shape = (like.sizes[axes.y], like.sizes[axes.x])
    if mask.ndim != 2:
        raise InputError(
            f"variable {name!r} of {path} has the dimensions {mask.dims}, where a mask of "
            f"({axes.y}, {axes.x}) is expected; name a variable without time"
        )
    own = find_axes(mask)
    mask = mask.transpose(own.y, own.x)
    if mask.shape != shape or not all(same_coordinate(mask, a, like, b) for a, b in ((own.y, axes.y), (own.x, axes.x))):
        raise InputError(
            f"variable {name!r} of {path} is on a grid of {mask.shape}, which is not the grid of "
            f"{_named(like)}, {shape}; bring both to one grid and one order of rows"
        )
    with reading(path, name):
        values = mask.values
    values = np.where(np.isnan(values), 0, values) if values.dtype.kind == "f" else values
    if values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
        raise InputError(f"variable {name!r} of {path} must hold 1 at sea and 0 on land, and holds other values")
    if not values.any():
        raise InputError(f"variable {name!r} of {path} is 0 everywhere, where 1 marks the sea; invert it")
    return values.astype(bool)


def open_maps(data: Data, names: Sequence[str]) -> xr.Dataset:
    """All variables of the data's first file, lazy but for the static maps among those named, which are read.

    Parameters
    ----------
    data : str, Path or a sequence of them
        As in `open_field`; what the first file lacks is looked for in the others.
    names : sequence of str
        What is not there is left out.

    Raises
    ------
    InputError
        If nothing is found, or a file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> xr.Dataset({"depth": (("y", "x"), np.ones((3, 2)))}).to_netcdf(Path(folder.name) / "sea.nc")
    >>> open_maps(Path(folder.name) / "sea.nc", ["depth", "slope"]).depth.shape
    (3, 2)
    """
    paths = find_paths(data)
    if are_images(paths):
        return xr.Dataset()
    found = _open_dataset(paths[0])
    for name in names:
        for path in paths:
            dataset = _open_dataset(path)
            if name not in dataset.variables:
                continue
            if squeezed(dataset[name], roles="yx").ndim == 2:
                with reading(path, name):
                    found[name] = dataset[name].load()
            break
    return found


def choose_variable(dataset: xr.Dataset, variable: str | None = None, *, label: str = "the dataset") -> str:
    """Name of the measured variable: the one asked for, or the only one there is.

    Parameters
    ----------
    dataset : Dataset
    variable : str, optional
        Needed where there are several; masks and flags do not count, nor does what comes with a variable of
        a filled product.
    label : str
        What errors call the dataset.

    Returns
    -------
    name : str

    Raises
    ------
    InputError
        If there is no such variable, none on a grid, or more than one.

    Examples
    --------
    >>> choose_variable(xr.Dataset({"sst": (("y", "x"), np.ones((3, 2))), "area": 1.0}))
    'sst'
    """
    if variable is not None:
        if variable not in dataset.variables:
            names = _listed(map(str, dataset.data_vars))
            raise InputError(f"{label} has no variable {variable!r}; it has {names}, choose one of them")
        return variable
    candidates = _measured(dataset)
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise InputError(
            f"{label} has several gridded variables, {_listed(candidates)}; choose one with "
            "--variable (variable= in Python), or several of one grid with commas between"
        )
    raise InputError(
        f"{label} has no numeric variable on a grid of y and x; it has {_listed(map(str, dataset.data_vars))}, "
        "rename its dimensions to time, y and x, or give another file"
    )


def _measured(dataset: xr.Dataset) -> list[str]:
    """Names of the gridded variables but for masks and flags, where there is anything else."""
    gridded = [str(name) for name, array in dataset.data_vars.items() if _is_gridded(array)]
    # In a filled product the error estimate goes with its variable, as the flags do.
    filled = [name for name in gridded if f"{name}_source" in dataset.data_vars]
    return filled or [name for name in gridded if not _is_mask(dataset[name])] or gridded


def variable_names(data: Data) -> list[str]:
    """Names of all variables, coordinates apart; of several files those of the first.

    Parameters
    ----------
    data : str, Path or a sequence of them
        As in `open_field`.

    Returns
    -------
    names : list of str

    Raises
    ------
    InputError
        If nothing is found, or the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> xr.Dataset({"sst": ("x", [1.0])}).to_netcdf(Path(folder.name) / "sst.nc")
    >>> variable_names(Path(folder.name) / "sst.nc")
    ['sst']
    """
    return [str(name) for name in _open_dataset(find_paths(data)[0]).data_vars]


def open_masks(data: Data, like: xr.DataArray) -> xr.Dataset:
    """Masks of land and sea that come with a field: maps without time, on its dimensions.

    Parameters
    ----------
    data : str, Path or a sequence of them
        As in `open_field`; of several files those of the first.
    like : DataArray, shape ([time,] [band,] y, x)
        The field, opened from the same data.

    Returns
    -------
    masks : Dataset
        Each (y, x), as stored; without coordinates, for those are the field's. Empty where there is none.

    Raises
    ------
    InputError
        If nothing is found, or the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> sea = xr.Dataset({"sst": (("y", "x"), np.ones((3, 2))), "sea_mask": (("y", "x"), np.ones((3, 2), "i1"))})
    >>> sea.to_netcdf(Path(folder.name) / "sea.nc")
    >>> list(open_masks(Path(folder.name) / "sea.nc", sea.sst))
    ['sea_mask']
    """
    dataset, axes = _open_dataset(find_paths(data)[0]), find_axes(like)
    masks = {}
    for name, array in dataset.data_vars.items():
        mask = squeezed(array) if _is_gridded(array) and _is_mask(array) else None
        if mask is None or set(mask.dims) != {axes.y, axes.x} or name in (like.name, *band_names(like, axes)):
            continue
        if all(mask.sizes[dim] == like.sizes[dim] for dim in mask.dims):
            masks[name] = mask.transpose(axes.y, axes.x).drop_vars(mask.coords)
    return xr.Dataset(masks)


def check_field(
    field: xr.DataArray,
    axes: Axes,
    *,
    look: Callable[[Region, np.ndarray], None] | None = None,
    message: Callable[[str], None] = lambda sentence: None,
) -> Survey:
    """Look once at all of a field, and refuse what cannot be filled.

    Parameters
    ----------
    field : DataArray, shape ([time,] [band,] y, x)
        Each chunk is read once; memory is bounded by a few of them.
    axes : Axes
    look : callable, optional
        Shown every part of it too, (t, C, h, w), and where it is: an archive on disk should be read but once.
    message : callable
        Called with how far it is, where it takes long.

    Returns
    -------
    survey : Survey

    Raises
    ------
    InputError
        If the variable is not numeric, a dimension is empty, dates are out of order or double, a chunk cannot
        be read, a value is infinite, there is no value at all, or all values are equal.

    Examples
    --------
    >>> maps = xr.DataArray([[[1.0, np.nan]], [[2.0, np.nan]]], dims=("time", "y", "x"), name="sst")
    >>> survey = check_field(maps, find_axes(maps))
    >>> survey.cells, survey.observed, survey.gap_free
    (1, 2, True)
    """
    name = _named(field)
    _check_kind(field, name)
    times = field.indexes.get(axes.time) if axes.time and not axes.independent else None
    if times is not None and not (times.is_monotonic_increasing and times.is_unique):
        raise InputError(
            f"the times of {name} do not increase from one to the next; sort them with "
            f"field.sortby({axes.time!r}) and drop doubles with field.drop_duplicates({axes.time!r})"
        )
    films = stacked(field, axes)
    count, bands, *grid = films.shape
    domain, of_bands = np.zeros(grid, bool), np.zeros((count, bands), int)
    least, most = np.full(bands, np.inf), np.full(bands, -np.inf)
    for region, part in parts(films, what=f"reading {name}", message=message):
        (t, y, x), seen = region, ~np.isnan(part)
        domain[y, x] |= seen.any(axis=(0, 1))
        of_bands[t] += seen.sum(axis=(2, 3))
        least = np.minimum(least, np.where(seen, part, np.inf).min(axis=(0, 2, 3)))
        most = np.maximum(most, np.where(seen, part, -np.inf).max(axis=(0, 2, 3)))
        if look is not None:
            look(region, part)
    if axes.independent:
        # What a cell is in one sample says nothing of what it is in another.
        domain = np.ones_like(domain)
    counts, cells, lowest, highest = of_bands.sum(1), int(domain.sum()), least.min(), most.max()
    observed = int(counts.sum())
    if is_joined(field):
        for band, own in enumerate(band_names(field, axes)):
            _check_values(f"variable {own!r}", int(of_bands[:, band].sum()), least[band], most[band])
    _check_values(name, observed, lowest, highest)
    first, last = (times[0], times[-1]) if times is not None else (None, None)
    return Survey(
        cells=cells,
        observed=observed,
        minimum=float(lowest),
        maximum=float(highest),
        first=first,
        last=last,
        domain=domain,
        seen_share=counts / (cells * bands),
        gap_free=observed == cells * bands * count,
    )


def _check_values(name: str, observed: int, lowest: float, highest: float) -> None:
    if observed == 0:
        raise InputError(
            f"{name} holds no value at all, only gaps; check the variable, the dates chosen and, for a Zarr "
            "store, that its copy is complete"
        )
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise InputError(f"{name} holds infinite values; set them to NaN, for example field.where(abs(field) < 1e30)")
    if lowest == highest:
        raise InputError(f"{name} is {float(lowest):g} wherever it is seen; a constant field has nothing to learn")


def missing_chunks(path: str | Path, variable: str) -> tuple[int, int]:
    """Count the chunks of a local Zarr variable that are not on disk.

    Zarr leaves out chunks that hold nothing but the fill value, so an absent chunk may be a whole block of
    gaps, or may have been lost.

    Parameters
    ----------
    path : str or Path
        A Zarr store in a folder.
    variable : str

    Returns
    -------
    absent, total : int
        Files on disk are counted, so a shard counts as one.
    """
    array, present = _chunk_files(path, variable)
    total = math.prod(_file_grid(array))
    return total - len(present), total


def _open_dataset(path: str) -> xr.Dataset:
    """Open anything readable without dask, so that chunks can be chosen from those stored."""
    if are_images([path]):
        return open_images([path]).to_dataset()
    options: dict[str, Any] = {"chunks": None, "decode_timedelta": False, "decode_coords": "all"}
    try:
        with warnings.catch_warnings():
            # Bounds or grid mappings named but absent are common, and no concern of a gap filler.
            warnings.simplefilter("ignore")
            if _is_zarr(path):
                store: Any = HttpStore(path) if path.startswith(("http://", "https://")) else path
                return xr.open_dataset(store, engine="zarr", **options)
            local = _fetch_netcdf(path) if "://" in path else path
            _check_netcdf(local, path)
            return xr.open_dataset(local, engine="netcdf4", **options)
    except InputError:
        raise
    except ImportError as error:
        raise InputError(
            f"{path} needs a package that is not installed ({str(error).splitlines()[0]}); "
            "for object stores: pip install 'geogan[cloud]'"
        ) from error
    except PermissionError as error:
        raise InputError(f"{path} may not be read; check its permissions") from error
    except Exception as error:
        # Readers raise whatever they like for a damaged file (OSError, RuntimeError, KeyError...).
        text = " ".join(str(error).split())
        if "decode time" in text or "decoding_times" in text or "calendar" in text:
            raise InputError(
                f"the times of {path} cannot be decoded; its time needs units such as "
                "'days since 1970-01-01' and a CF calendar"
            ) from error
        if "redentials" in text:
            raise InputError(
                f"{path} asks for credentials and finds none ({text[:100]}); set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or GOOGLE_APPLICATION_CREDENTIALS"
            ) from error
        if "://" in path:
            raise InputError(
                f"{path} cannot be read ({text[:200]}); check the address, and that a Zarr store has "
                "consolidated metadata (zarr.consolidate_metadata)"
            ) from error
        raise InputError(
            f"{path} cannot be read: it is damaged or cut short ({text[:200]}); copy or write it again"
        ) from error


def _is_zarr(path: str) -> bool:
    if "://" in path:
        return not urllib.parse.urlparse(path).path.lower().endswith((".nc", ".nc4", ".cdf", ".h5"))
    folder = Path(path)
    if not folder.is_dir():
        return False
    if not any((folder / name).exists() for name in _ZARR_FILES):
        hint = "give the folder that has them"
        if any(folder.glob("*.nc")):
            hint = f"for the NetCDF files in it give {str(folder / '*.nc')!r}"
        raise InputError(
            f"{path} is a folder but not a Zarr store: it has no zarr.json or .zgroup, nor PNG or JPEG images; {hint}"
        )
    if (folder / ".zarray").exists():
        raise InputError(f"{path} is one Zarr array, where a group with named variables is expected; give its parent")
    return True


def _check_netcdf(path: str, shown: str) -> None:
    if Path(path).stat().st_size == 0:
        raise InputError(f"{shown} is empty; copy or write it again")
    with Path(path).open("rb") as file:
        magic = file.read(8)
    if not magic.startswith((b"CDF", b"\x89HDF")):
        hint = (
            "convert GRIB to NetCDF first, for example with cfgrib" if magic.startswith(b"GRIB") else "give one of them"
        )
        raise InputError(f"{shown} is neither a Zarr store nor a NetCDF file; {hint}")
    if magic.startswith((b"CDF\x01", b"CDF\x02")):
        # The NetCDF library reads garbage past the end of a classic file; scipy maps it, and notices.
        from scipy.io import netcdf_file

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            netcdf_file(path, mmap=True).close()


def _fetch_netcdf(url: str) -> str:
    """Copy a remote NetCDF file, which cannot be read in parts, to a folder that lasts as long as we do."""
    folder = tempfile.mkdtemp(prefix="geogan-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    copy = Path(folder) / (Path(urllib.parse.urlparse(url).path).name or "data.nc")
    if url.startswith(("http://", "https://")):
        with urllib.request.urlopen(url, timeout=60) as remote, copy.open("wb") as file:
            shutil.copyfileobj(remote, file)
    else:
        import fsspec

        with fsspec.open(url, "rb") as remote, copy.open("wb") as file:
            shutil.copyfileobj(remote, file)
    return str(copy)


def _is_gridded(array: xr.DataArray) -> bool:
    roles = axis_roles(array)
    bounds = any(str(dim).lower() in ("bnds", "bounds", "nv", "vertices", "nvertex") for dim in array.dims)
    return array.dtype.kind in "biuf" and "y" in roles and "x" in roles and not bounds


def _is_mask(array: xr.DataArray) -> bool:
    words = str(array.name).lower().replace("-", "_").split("_")
    return (
        array.dtype.kind in "bi"
        and "scale_factor" not in array.encoding
        and array.dtype.itemsize == 1
        or any(word in _MASK_WORDS for word in words)
        or "flag_values" in array.attrs
        or "flag_masks" in array.attrs
        or str(array.attrs.get("standard_name", "")).endswith("binary_mask")
    )


def _gridded(dataset: xr.Dataset, name: str, path: str, skip_bad: bool = False) -> xr.DataArray:
    """One variable of one file: squeezed, in the order (time, band, y, x), in dask chunks."""
    if name not in dataset.variables:
        raise InputError(
            f"{path} has no variable {name!r}, which the first file has; leave this file out, or name the variables of "
            "all files with --variable"
        )
    array = dataset[name]
    label = f"variable {name!r} of {path}"
    _check_kind(array, label)
    if array.ndim < 2:
        raise InputError(f"{label} has the dimensions {array.dims}, where a map of y and x is expected")
    if _is_zarr(path) and "://" not in path:
        _check_chunks(path, name, array)
    array = squeezed(array)
    axes = find_axes(array)
    chunks = _dask_chunks(array, axes)
    guarded = Guarded(array, path, skip=skip_bad)
    array = array.copy(data=guarded.dask(tuple(chunks[str(dim)] for dim in array.dims)))
    array = array.transpose(*ordered(axes))
    array.encoding["source"] = path
    return array


def _check_kind(field: xr.DataArray, label: str) -> None:
    if field.dtype.kind not in "iuf":
        raise InputError(f"{label} has values of type {field.dtype}, where numbers are expected; choose another one")
    for dim, size in field.sizes.items():
        if size == 0:
            raise InputError(f"{label} has no entry along {str(dim)!r}; check how the file was made or selected")


def _dask_chunks(array: xr.DataArray, axes: Axes) -> dict[str, int]:
    """Stored chunks, merged along x, then y, then bands, then time, up to a sensible size."""
    stored: Mapping[Any, int] = array.encoding.get("preferred_chunks") or {}
    order = ordered(axes)[::-1]
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
    name = axes.time or next((str(c) for c in first.coords if first[c].ndim == 0 and "time" in str(c).lower()), None)
    if name is None:
        raise InputError(f"{paths[0]} has no time, so {len(paths)} files cannot be put in order; give one file")
    films = []
    for piece, path in zip(pieces, paths):
        own = find_axes(piece)
        if (own.y, own.x) != (axes.y, axes.x) or not all(
            same_coordinate(piece, dim, first, dim) for dim in (axes.y, axes.x)
        ):
            raise InputError(f"{path} is on another grid than {paths[0]}; give files of one grid")
        film = piece.expand_dims(name) if own.time is None and name in piece.coords else piece
        if name not in film.dims or name not in film.coords:
            raise InputError(f"{path} has no {name!r} coordinate, so the files cannot be put in order; add one")
        films.append(film)
    films.sort(key=lambda film: film[name].values.min())
    field = xr.concat(films, dim=name, coords="minimal", compat="override", join="override", combine_attrs="override")
    field.encoding = dict(films[0].encoding)
    field[name].encoding = dict(films[0][name].encoding)
    times = field.indexes[name]
    if not times.is_unique:
        double = _date(times[times.duplicated()][0])
        raise InputError(f"{double} is found in more than one of the {len(paths)} files; leave one of them out")
    return field if times.is_monotonic_increasing else field.sortby(name)


def _chunk_files(path: str | Path, variable: str) -> tuple[zarr.Array, list[tuple[int, ...]]]:
    """The array, and the grid positions of its chunk (or shard) files that are on disk and not empty."""
    array = zarr.open_array(str(Path(path) / variable), mode="r")
    folder = Path(path) / variable
    present = [
        index for index in np.ndindex(_file_grid(array)) if (folder / array.metadata.encode_chunk_key(index)).is_file()
    ]
    return array, present


def _file_grid(array: zarr.Array) -> tuple[int, ...]:
    sizes = array.shards or array.chunks
    return tuple(-(-n // c) for n, c in zip(array.shape, sizes))


def _check_chunks(path: str, name: str, field: xr.DataArray) -> None:
    """Refuse absent chunks that would read as measurements.

    Zarr leaves out a chunk that holds only the fill value, and reads an absent one as that value. Where it
    stands for missing (NaN, _FillValue) an absent chunk is a gap like any other. Where it stands for a
    number, as 0 does in packed integers, a lost chunk would read as measured: it is believed only if that
    number occurs among the values that are on disk.
    """
    array = zarr.open_array(str(Path(path) / name), mode="r")
    fill = np.asarray(array.fill_value)
    missing = [field.encoding.get(key) for key in ("_FillValue", "missing_value")]
    if (fill.dtype.kind == "f" and np.isnan(fill)) or any(fill == value for value in missing if value is not None):
        return
    array, present = _chunk_files(path, name)
    total = math.prod(_file_grid(array))
    absent = total - len(present)
    if absent == 0:
        return
    if not present:
        raise InputError(f"variable {name!r} of {path} has none of its {total} chunks on disk; copy the store again")
    sizes = array.shards or array.chunks
    # The neighbours of what is absent are the likeliest to share its value; four chunks are a cheap look.
    absents = set(np.ndindex(_file_grid(array))) - set(present)
    near = sorted(present, key=lambda index: min(sum(abs(a - b) for a, b in zip(index, gap)) for gap in absents))
    for index in near[:4]:
        with reading(path, name):
            chunk = array[tuple(slice(i * n, (i + 1) * n) for i, n in zip(index, sizes))]
            if np.any(np.asarray(chunk) == fill):
                return
    raise InputError(
        f"variable {name!r} of {path} lacks {absent} of its {total} chunk files, which would read as "
        f"{fill.item()} as if measured; copy the store again, or write it with write_empty_chunks=True"
    )


def _named(field: xr.DataArray) -> str:
    label = f"variable {str(field.name)!r}" if field.name is not None else "the field"
    source = field.encoding.get("source")
    return f"{label} of {source}" if source else label


def _date(time: Any) -> str:
    text = str(time)
    return text.removesuffix(" 00:00:00").removesuffix("T00:00:00.000000000")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
