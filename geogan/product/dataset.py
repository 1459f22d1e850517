"""Write a whole dataset as a product."""

import itertools
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import xarray as xr

from geogan.product.product import ONCE, Product

# Bytes of the largest block that is held at a time, unless a Dask chunk is up to twice as large.
_BLOCK_BYTES = 48 * 2**20


def write_dataset(dataset: xr.Dataset, path: str | Path, *, overwrite: bool = False, digest: str | None = None) -> Path:
    """Write a whole dataset safely, one block at a time.

    Parameters
    ----------
    dataset : Dataset
        Dask arrays are computed block by block and never held as a whole.
    path : str or Path
        ``.zarr`` or ``.nc``, as in `geogan.product.Product.begin`.
    overwrite : bool
        Replace a complete product of that name.
    digest : str, optional
        With a digest, an interrupted run is resumed; without one, each run starts anew.

    Returns
    -------
    path : Path

    Raises
    ------
    InputError
        As in `geogan.product.Product.begin` and `geogan.product.Product.write`.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> maps = xr.Dataset({"sst": (("y", "x"), np.ones((4, 6)))})
    >>> write_dataset(maps, Path(folder.name) / "sst.nc").name
    'sst.nc'
    """
    chunks = _even_chunks(dataset)
    digest = digest or ONCE + uuid.uuid4().hex
    names_by_dims: dict[tuple[str, ...], list[str]] = {}
    for name, array in dataset.data_vars.items():
        if array.ndim:
            names_by_dims.setdefault(tuple(str(dim) for dim in array.dims), []).append(str(name))
    with Product.begin(path, dataset, chunks=chunks, digest=digest, overwrite=overwrite) as product:
        for dims, names in names_by_dims.items():
            for region in product.missing(_regions(dataset, dims, chunks)):
                block = dataset[names].isel(dict(region)).compute()
                product.write(region, {name: block[name].transpose(*dims).values for name in names})
        return product.finish()


def _even_chunks(dataset: xr.Dataset) -> dict[str, int]:
    """Return one chunk length a dimension: that of the Dask chunks, or a moderate one for arrays in memory."""
    chunks = {str(dim): int(size) for dim, size in dataset.sizes.items()}
    for array in dataset.data_vars.values():
        if array.chunks is None:
            continue
        for dim, lengths in zip(array.dims, array.chunks):
            chunks[str(dim)] = min(chunks[str(dim)], max(lengths))
    for array in dataset.data_vars.values():
        for dim in map(str, array.dims):
            volume = int(np.prod([chunks[str(d)] for d in array.dims])) * array.dtype.itemsize
            if volume > 2 * _BLOCK_BYTES:
                chunks[dim] = max(chunks[dim] * _BLOCK_BYTES // volume, 1)
    return chunks


def _regions(dataset: xr.Dataset, dims: tuple[str, ...], chunks: Mapping[str, int]) -> Iterator[dict[str, slice]]:
    """Yield one region for each chunk of the variables with these dimensions."""
    spans_by_dim = [
        [slice(i, min(i + chunks[dim], dataset.sizes[dim])) for i in range(0, dataset.sizes[dim], chunks[dim])]
        for dim in dims
    ]
    for spans in itertools.product(*spans_by_dim):
        yield dict(zip(dims, spans))
