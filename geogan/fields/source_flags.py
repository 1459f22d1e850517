"""Source flags of a filled product: where each value comes from."""

import numpy as np
import xarray as xr

from geogan.operators.errors import InputError


def observed_part(filled: xr.DataArray, source: xr.DataArray) -> xr.DataArray:
    """Return the observed values of a filled product.

    Parameters
    ----------
    filled : DataArray, shape ([time,] y, x)
    source : DataArray of int, same shape
        CF flags of each cell (``flag_values``, ``flag_meanings``), one of which means ``observed``.

    Returns
    -------
    observed : DataArray, shape ([time,] y, x)
        NaN where the product was filled; lazy if ``filled`` is lazy.

    Raises
    ------
    InputError
        If no flag means ``observed``.

    Examples
    --------
    >>> flags = {"flag_values": [0, 1], "flag_meanings": "observed filled"}
    >>> source = xr.DataArray([[0, 1]], dims=("y", "x"), attrs=flags)
    >>> observed_part(xr.DataArray([[5.0, 6.0]], dims=("y", "x")), source).values.tolist()
    [[5.0, nan]]
    """
    for value, meaning in flag_names(source).items():
        if meaning == "observed":
            return filled.where(source == value)
    raise InputError(
        f"flag_meanings of {source.name} must name observed, got {source.attrs['flag_meanings']!r}; pass the "
        "gappy field as observed"
    )


def flag_names(source: xr.DataArray) -> dict[int, str]:
    """Return the meaning of each flag value.

    Raises
    ------
    InputError
        If ``flag_values`` and ``flag_meanings`` are missing or differ in number.
    """
    meanings = str(source.attrs.get("flag_meanings", "")).split()
    values = np.atleast_1d(source.attrs.get("flag_values", []))
    if not meanings or len(meanings) != len(values):
        raise InputError(
            f"source must name its flags in flag_values and flag_meanings, got {len(values)} values and "
            f"{len(meanings)} meanings; pass the sst_source of a filled product"
        )
    return {int(value): meaning for value, meaning in zip(values, meanings)}
