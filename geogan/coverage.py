"""Coverage: the share of the domain that is under gaps."""

import xarray as xr

from geogan.fields.alignment import as_domain
from geogan.io import as_field
from geogan.operators.errors import InputError


def coverage(field: xr.DataArray, *, domain: xr.DataArray | None = None) -> xr.DataArray:
    """Return the share of the domain under gaps, date by date.

    Parameters
    ----------
    field : DataArray, shape ([time,] [band,] y, x)
        NaN where not observed; lazy or not.
    domain : DataArray of bool, shape (y, x), optional
        True where the quantity exists. By default the cells that were ever observed in any band; for samples all cells.

    Returns
    -------
    coverage : DataArray, shape ([time,] [band])
        In [0, 1]: 0 where all of the domain is observed; NaN where the domain is empty. Lazy if the field is.

    Raises
    ------
    InputError
        If y or x is not found, or the domain has other dimensions.

    Examples
    --------
    >>> maps = xr.DataArray([[[1.0, float("nan")]], [[2.0, 3.0]]], dims=("time", "y", "x"))
    >>> coverage(maps).values.tolist()
    [0.5, 0.0]
    """
    known = as_field(field)
    axes, seen = known.axes, known.array.notnull()
    if domain is None:
        domain = seen.any([dim for dim in (axes.time, axes.band) if dim]) | axes.independent
    elif set(domain.dims) != {axes.y, axes.x}:
        raise InputError(
            f"domain must have the dimensions ({axes.y}, {axes.x}), got {domain.dims}; rename or select them"
        )
    else:
        # xarray would leave cells with other coordinates out of the sum without an error.
        domain = xr.DataArray(as_domain(domain, known), dims=(axes.y, axes.x))
    domain = domain.astype(bool)
    covered = 1 - (seen & domain).sum([axes.y, axes.x]) / domain.sum()
    covered.attrs = {"long_name": "share of the domain under gaps", "units": "1"}
    return covered.rename("coverage")
