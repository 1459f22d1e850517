"""Fields as four-dimensional arrays (T, C, H, W), and back."""

from typing import Any

import numpy as np
import xarray as xr

from geogan.fields.axes import Axes


def stacked(array: xr.DataArray, axes: Axes) -> xr.DataArray:
    """Return a field as (T, C, H, W): missing time and band dimensions are added with length one.

    Parameters
    ----------
    array : DataArray, shape ([time,] [band,] y, x)
        In any order of dimensions; lazy or not.
    axes : Axes

    Returns
    -------
    films : DataArray, shape (T, C, H, W)
        Lazy if ``array`` is.

    Examples
    --------
    >>> maps = xr.DataArray(np.zeros((3, 2, 4)), dims=("lat", "lon", "time"))
    >>> stacked(maps, Axes("time", "lat", "lon")).sizes
    Frozen({'time': 4, 'band': 1, 'lat': 3, 'lon': 2})
    """
    time, band = axes.time or "time", axes.band or "band"
    missing = [name for name, dim in ((time, axes.time), (band, axes.band)) if dim is None]
    films = (array.expand_dims(missing) if missing else array).transpose(time, band, axes.y, axes.x)
    if not missing or films.chunks is None:
        return films
    import dask.array

    # Dask reads whole chunks when it slices an expanded array; `_Expanded` reads only the slice.
    is_added = tuple(dim not in array.dims for dim in films.dims)
    source = _Expanded(array.transpose(*(dim for dim in films.dims if dim in array.dims)).data, is_added)
    meta = np.empty((0,) * 4, films.dtype)
    return films.copy(data=dask.array.from_array(source, chunks=films.chunks, meta=meta))


def unstacked(values: Any, axes: Axes) -> Any:
    """Return an array (..., T, C, H, W) without the dimensions that a field with these axes does not have."""
    values = values if axes.time else values[..., 0, :, :, :]
    return values if axes.band else values[..., 0, :, :]


class _Expanded:
    """A Dask array with added axes of length one; slicing reads only the requested part."""

    ndim = 4

    def __init__(self, array: Any, is_added: tuple[bool, ...]) -> None:
        sizes = iter(array.shape)
        self.array, self.is_added, self.dtype = array, is_added, array.dtype
        self.shape = tuple(1 if new else next(sizes) for new in is_added)

    def __dask_tokenize__(self) -> tuple[str, tuple[bool, ...]]:
        return self.array.name, self.is_added

    def __getitem__(self, key: tuple[Any, ...]) -> np.ndarray:
        # An integer index removes its axis; the axis is kept until the end as a slice of length one.
        is_integer = [isinstance(index, int | np.integer) for index in key]
        slices = [slice(index, index + 1) if single else index for index, single in zip(key, is_integer)]
        stored = tuple(index for index, new in zip(slices, self.is_added) if not new)
        # Dask computes chunks in parallel already, on threads or on a cluster.
        part = np.asarray(self.array[stored].compute(scheduler="synchronous"))
        part = np.expand_dims(part, tuple(axis for axis, new in enumerate(self.is_added) if new))
        return part[
            tuple(
                index if new else 0 if single else slice(None)
                for index, single, new in zip(key, is_integer, self.is_added)
            )
        ]
