"""Read maps without time that belong to a field: its domain, masks and static covariates."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from geogan.compute.streaming import explain_read_errors
from geogan.fields.axes import find_axes, squeezed
from geogan.fields.domains import WORDS
from geogan.fields.field import Field
from geogan.fields.grids import difference
from geogan.fields.measured import choose_variable, file_label, is_gridded, is_mask
from geogan.fields.variables import is_joined
from geogan.files.user_path import Data
from geogan.io.files import find_paths, open_dataset
from geogan.io.images import are_images
from geogan.io.reading import PLAIN, Reading
from geogan.operators.errors import InputError


def find_domain(data: Data, text: str, like: Field, *, reading: Reading = PLAIN) -> xr.DataArray | str:
    """Return the mask that ``text`` names, or ``text`` itself if it is a word that needs no mask.

    Parameters
    ----------
    data : str, Path or a sequence of them
        As in `open_field`.
    text : str
        Name of a variable that is 1 where the quantity exists, or ``not:`` and the name of one that is 0 there; or
        words of `geogan.fields.domains.WORDS` joined by ``+``. A variable takes precedence over a word.
    like : Field
        The field that the mask must match.
    reading : Reading
        Options of the reading.

    Raises
    ------
    InputError
        As `open_domain` does.
    """
    name, paths = text.removeprefix("not:"), find_paths(data)
    is_word = all(part.strip() in WORDS for part in text.split("+"))
    if is_word:
        datasets = (
            []
            if are_images(paths)
            else [open_dataset(path, reading) for path in (paths if is_joined(like.array) else paths[:1])]
        )
        if not any(_is_map(dataset, text) for dataset in datasets):
            return text
    cells = open_domain(data, name, like, is_inverse=name != text, reading=reading)
    return xr.DataArray(cells, dims=(like.axes.y, like.axes.x), name=text)


def _is_map(dataset: xr.Dataset, name: str) -> bool:
    """Return whether a dataset has a variable of that name without time."""
    return name in dataset.variables and squeezed(dataset[name], roles="yx").ndim == 2


def open_domain(
    data: Data, name: str, like: Field, *, is_inverse: bool = False, reading: Reading = PLAIN
) -> np.ndarray:
    """Read a mask that is 1 at sea and 0 on land.

    Parameters
    ----------
    data : str, Path or a sequence of them
        As in `open_field`. The first file is read; if the files hold several variables, the first file with the mask.
    name : str
        Name of the mask variable.
    like : Field
        The field that the mask must match.
    is_inverse : bool
        Whether the mask is 0 at sea and 1 on land.
    reading : Reading
        Options of the reading.

    Returns
    -------
    domain : ndarray of bool, shape (y, x)
        True at sea; a missing value counts as land.

    Raises
    ------
    InputError
        If there is no such variable, its grid differs, it holds values other than 0 and 1, or it is all land.
    """
    paths = find_paths(data)
    datasets = {path: open_dataset(path, reading) for path in (paths if is_joined(like.array) else paths[:1])}
    path = next((path for path, dataset in datasets.items() if name in dataset.variables), paths[0])
    dataset = datasets[path]
    choose_variable(dataset, name, label=path)
    mask = squeezed(dataset[name])
    if mask.ndim != 2:
        raise InputError(
            f"variable {name!r} of {path} has the dimensions {mask.dims}, where "
            f"({like.axes.y}, {like.axes.x}) is expected; name a variable without time"
        )
    axes = find_axes(mask)
    mask = mask.transpose(*axes.dims)
    mismatch = difference(Field(mask, axes), like)
    if mismatch:
        raise InputError(
            f"variable {name!r} of {path} is on a grid of {mask.shape}, where the grid of {file_label(like.array)}, "
            f"{like.grid}, is expected ({mismatch}); bring both to one grid and one order of rows"
        )
    with explain_read_errors(path, name):
        values = mask.values
    values = np.where(np.isnan(values), is_inverse, values) if values.dtype.kind == "f" else values
    if values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
        raise InputError(
            f"variable {name!r} of {path} holds values other than 1 (sea) and 0 (land); give a mask of 0 and 1"
        )
    sea = values == (0 if is_inverse else 1)
    if not sea.any():
        sea_value, opposite = (0, name) if is_inverse else (1, f"not:{name}")
        raise InputError(
            f"variable {name!r} of {path} is {1 - sea_value} everywhere, where {sea_value} marks the sea; invert it, "
            f"or give --domain {opposite}"
        )
    return sea


def open_maps(data: Data, names: Sequence[str], *, reading: Reading = PLAIN) -> xr.Dataset:
    """Open all variables of the first file; named static maps are read, all others stay lazy.

    Parameters
    ----------
    data : str, Path or a sequence of them
        As in `open_field`; maps that the first file lacks are read from the other files.
    names : sequence of str
        Names of static maps; a name without a variable is ignored.
    reading : Reading
        Options of the reading.

    Raises
    ------
    InputError
        If there is no such file, or it cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> xr.Dataset({"depth": (("y", "x"), np.ones((3, 2)))}).to_netcdf(f"{folder.name}/sea.nc")
    >>> open_maps(f"{folder.name}/sea.nc", ["depth", "slope"]).depth.shape
    (3, 2)
    """
    paths = find_paths(data)
    if are_images(paths):
        return xr.Dataset()
    opened = open_dataset(paths[0], reading)
    for name in names:
        for path in paths:
            dataset = open_dataset(path, reading)
            if name not in dataset.variables:
                continue
            if squeezed(dataset[name], roles="yx").ndim == 2:
                with explain_read_errors(path, name):
                    opened[name] = dataset[name].load()
            break
    return opened


def open_masks(data: Data, like: Field, *, reading: Reading = PLAIN) -> xr.Dataset:
    """Return the masks of land and sea stored with a field: maps without time on its dimensions.

    Parameters
    ----------
    data : str, Path or a sequence of them
        As in `open_field`; only the first file is read.
    like : Field
        The field, opened from the same data.
    reading : Reading
        Options of the reading.

    Returns
    -------
    masks : Dataset
        Masks (y, x) as stored, without coordinates (they are those of the field); empty if there is none.

    Raises
    ------
    InputError
        If there is no such file, or it cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> sea = xr.Dataset({"sst": (("y", "x"), np.ones((3, 2))), "sea_mask": (("y", "x"), np.ones((3, 2), "i1"))})
    >>> sea.to_netcdf(f"{folder.name}/sea.nc")
    >>> list(open_masks(f"{folder.name}/sea.nc", Field.of(sea.sst)))
    ['sea_mask']
    """
    dataset, axes = open_dataset(find_paths(data)[0], reading), like.axes
    masks = {}
    for name, array in dataset.data_vars.items():
        mask = squeezed(array) if is_gridded(array) and is_mask(array) else None
        if mask is None or set(mask.dims) != {axes.y, axes.x} or name in (like.array.name, *like.band_names):
            continue
        if all(mask.sizes[dim] == like.array.sizes[dim] for dim in mask.dims):
            masks[name] = mask.transpose(axes.y, axes.x).drop_vars(mask.coords)
    return xr.Dataset(masks)
