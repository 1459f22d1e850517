"""Open the covariates of a field: variables of its own files, or of others given as FILE:VARIABLE."""

from collections.abc import Collection, Hashable, Mapping, Sequence

import xarray as xr

from geogan.compute.streaming import explain_read_errors
from geogan.fields.axes import axis_roles, squeezed
from geogan.fields.covariates import MADE
from geogan.files.user_path import Data
from geogan.io.files import find_paths, open_dataset
from geogan.io.images import are_images
from geogan.io.maps import open_maps
from geogan.io.missing import mark_gaps
from geogan.io.open import open_source
from geogan.io.reading import PLAIN, Reading
from geogan.operators.errors import InputError


def marked(
    covariates: Mapping[Hashable, xr.DataArray] | xr.Dataset, names: Collection[str] | None = None
) -> dict[Hashable, xr.DataArray]:
    """Return covariates with NaN where their attributes or encoding say that a value is missing.

    Parameters
    ----------
    covariates : mapping of DataArray, or Dataset
    names : collection of str, optional
        Those that are used; the others are returned as they are.
    """
    arrays = covariates.data_vars if isinstance(covariates, xr.Dataset) else covariates
    return {name: mark_gaps(array) if names is None or name in names else array for name, array in arrays.items()}


def open_covariates(data: Data, names: Sequence[str], *, reading: Reading = PLAIN) -> dict[Hashable, xr.DataArray]:
    """Open covariates by name: static maps are read, those that change in time stay lazy.

    Parameters
    ----------
    data : str, Path or a sequence of them
        The files of the field, as in `open_field`.
    names : sequence of str
        Variables of these files, or FILE:VARIABLE for those of another file. Covariates that are computed from the
        field are ignored.
    reading : Reading
        How the files of the field are read; a condition is not applied to covariates.

    Returns
    -------
    covariates : dict of DataArray
        By variable, with all other variables of the first file, so that an error can name them.

    Raises
    ------
    InputError
        If a file or a variable of another file does not exist.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> folder = tempfile.TemporaryDirectory()
    >>> maps = xr.Dataset({"t2m": (("time", "y", "x"), np.ones((4, 3, 2)))})
    >>> maps.to_netcdf(f"{folder.name}/era5.nc")
    >>> open_covariates([], [f"{folder.name}/era5.nc:t2m"])["t2m"].shape
    (4, 3, 2)
    """
    own = [name for name in names if ":" not in name and name not in MADE]
    found: dict[Hashable, xr.DataArray] = {}
    reading = reading.unconditional()
    if own and not are_images(find_paths(data)):
        found |= dict(open_maps(data, own, reading=reading).data_vars)
        found |= {name: _series(data, name, reading) for name in own if _changes(found.get(name))}
    for text in names:
        path, _, name = text.rpartition(":")
        if path and name:
            found[name] = _of_file(path, name, reading.beside())
    return found


def _of_file(path: str, name: str, reading: Reading) -> xr.DataArray:
    """Return a variable of another file, store or URL."""
    dataset = open_dataset(find_paths(path)[0], reading)
    if name not in dataset.variables:
        names = ", ".join(map(str, dataset.data_vars)) or "none"
        raise InputError(f"{path} has no variable {name!r} for a covariate; it has {names}, choose among them")
    return _series(path, name, reading) if _changes(dataset[name]) else _loaded(dataset[name], path)


def _changes(array: xr.DataArray | None) -> bool:
    """Return whether a variable has dates: several maps, or a value on each date."""
    return array is not None and "time" in axis_roles(squeezed(array, roles="yx"))


def _series(data: Data, name: str, reading: Reading) -> xr.DataArray:
    """Return a variable with dates, joined over all files."""
    paths = find_paths(data)
    parts = [(path, open_dataset(path, reading)) for path in paths]
    parts = [(path, dataset) for path, dataset in parts if name in dataset.variables]
    roles = axis_roles(parts[0][1][name])
    if "y" in roles or "x" in roles:
        return open_source([path for path, _ in parts], variable=name, reading=reading).field.array
    series = [_loaded(dataset[name], path) for path, dataset in parts]
    return series[0] if len(series) == 1 else xr.concat(series, roles["time"])


def _loaded(array: xr.DataArray, path: str) -> xr.DataArray:
    with explain_read_errors(path, str(array.name)):
        return array.load()
