"""The product: what was measured and what was filled, where each comes from, how far it may be off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from geogan.coordinates import find_axes, ordered
from geogan.damage import unreadable
from geogan.io import check_finite
from geogan.model import Model
from geogan.operators.errors import InputError
from geogan.slab import Slab
from geogan.variables import is_joined, split_variables

OBSERVED, FILLED, LAND, REFUSED, UNREADABLE = 0, 1, 2, 3, 4
FLAGS = {
    "flag_values": np.array([OBSERVED, FILLED, LAND, REFUSED, UNREADABLE], np.int8),
    "flag_meanings": "observed filled land refused unreadable",
}


class Parts(NamedTuple):
    """The variables of a product."""

    values: np.ndarray
    source: np.ndarray
    std: np.ndarray | None = None
    members: np.ndarray | None = None


def compose(
    raw: np.ndarray | xr.Variable,
    filled: Slab,
    *,
    keep_observed: bool,
    max_error: float | np.ndarray | None = None,
    in_place: bool = False,
    name: str = "the field",
) -> Parts:
    """Values of the product, where each comes from, and how far it may be off.

    Parameters
    ----------
    raw : ndarray or Variable, shape (t, C, H, W)
        As measured, NaN where unseen; cells that could not be read have a NaN of their own. Of a lazy one a date is
        read at a time.
    filled : Slab
        The reconstruction.
    keep_observed : bool
        Measured values are returned bit for bit; the error of a measurement is not known, and NaN.
    max_error : float or ndarray, shape (C, 1, 1), optional
        Cells whose predicted error is larger stay empty, in the field's units; such as could not be read are flagged as
        that all the same.
    in_place : bool
        Write into ``filled``, which is used up: a slab's arrays are too large to have twice.
    name : str
        What is measured, and where, for a sentence.

    Returns
    -------
    Parts
        Values of ``raw``'s type, and the flags of :data:`FLAGS`.

    Raises
    ------
    InputError
        Where a value is infinite: not every archive was looked at whole before.
    """
    count = len(raw)
    if count > 1:
        # A date at a time: what comes up on the way would take more memory than the slab.
        source = np.empty(raw.shape, np.int8)
        if in_place:
            values = filled.field if filled.field.dtype == raw.dtype else np.empty(raw.shape, raw.dtype)
            whole = Parts(values, source, *filled[1:])
        else:
            std, members = (None if part is None else np.empty(part.shape, np.float32) for part in filled[1:])
            whole = Parts(np.empty(raw.shape, raw.dtype), source, std, members)
        for date in range(count):
            here = slice(date, date + 1)
            one = Slab(*(None if part is None else part[..., here, :, :, :] for part in filled))  # type: ignore[arg-type]
            made = compose(np.asarray(raw[here]), one, keep_observed=keep_observed, max_error=max_error, name=name)
            for target, part in zip(whole, made, strict=True):
                if target is not None and part is not None:
                    target[..., here, :, :, :] = part
        return whole
    raw = np.asarray(raw)
    check_finite(name, raw)
    seen, known = np.isfinite(raw), np.isfinite(filled.field)
    kept = seen if keep_observed else seen & ~known
    # A value that was measured but is reconstructed all the same is an estimate, and flagged as one.
    source = np.where(kept, OBSERVED, np.where(known, FILLED, LAND)).astype(np.int8)
    # Filled too, but perhaps measured: nobody can say.
    source[unreadable(raw) & known] = UNREADABLE
    values = np.where(kept, raw, filled.field.astype(raw.dtype))
    if filled.std is None:
        return Parts(values, source)
    if max_error is not None:
        refused = np.isin(source, (FILLED, UNREADABLE)) & ~(filled.std <= max_error)
        # What could not be read is still counted as that.
        source[refused & (source == FILLED)], values[refused] = REFUSED, np.nan
    std = np.where(kept, np.nan, filled.std).astype(np.float32)
    members = None
    if filled.members is not None:
        members = np.where(kept, raw, filled.members).astype(np.float32)
        if max_error is not None:
            members[:, refused] = np.nan
    return Parts(values, source, std, members)


def product_of(
    model: Model, field: xr.DataArray, values: Any, source: Any, std: Any = None, members: Any = None
) -> xr.Dataset:
    """The product, labelled: the filled variable, ``*_source``, and, where there are, ``*_std`` and ``*_member``.

    Dimensions are in the field's order, members before them. Of several variables that were joined, each has all of
    these, with units, type and packing of its own.
    """
    if is_joined(field):
        products = []
        for band, one in enumerate(split_variables(field)):
            rest = (None if part is None else part[..., band, :, :] for part in (source, std, members))
            products.append(product_of(model, one, values[..., band, :, :].astype(one.dtype), *rest))
        return xr.merge(products, combine_attrs="override")
    dims = ordered(find_axes(field))
    name = str(field.name or model.variable)
    template = field.transpose(*dims)
    filled = template.copy(data=values).rename(name)
    # Chunks and filters of the source are not those of the product.
    keep = ("dtype", "scale_factor", "add_offset", "_FillValue", "units", "calendar")
    filled.encoding = {key: value for key, value in field.encoding.items() if key in keep}
    described = field.attrs.get("long_name", name)
    flags = xr.DataArray(source, dims=dims, coords=template.coords, name=f"{name}_source")
    flags.attrs = {"long_name": f"origin of {described}"} | FLAGS
    found = {name: filled, f"{name}_source": flags}
    units = {"units": field.attrs["units"]} if "units" in field.attrs else {}
    if std is not None:
        spread = xr.DataArray(std, dims=dims, coords=template.coords)
        spread.attrs = {"long_name": f"standard deviation of the error of {described}", **units}
        if "standard_name" in field.attrs:
            spread.attrs["standard_name"] = f"{field.attrs['standard_name']} standard_error"
        spread.attrs["comment"] = "of filled cells; the error of a measurement is not estimated"
        found[f"{name}_std"] = spread
    filled.attrs = dict(field.attrs) | {"ancillary_variables": " ".join(list(found)[1:])}
    if members is not None:
        ensemble = xr.DataArray(members, dims=("member", *dims), coords=template.coords)
        ensemble.attrs = {"long_name": f"members of the ensemble of {described}", **units}
        ensemble.attrs["comment"] = "members of the second half lie opposite those of the first, about the estimate"
        found[f"{name}_member"] = ensemble
    return xr.Dataset(found).transpose("member", *field.dims, missing_dims="ignore")


def error_limits(model: Model, max_error: float | str | Sequence[float] | None, members: int) -> np.ndarray | None:
    """What the predicted error of each band is held against, (C, 1, 1); None for no limit.

    Parameters
    ----------
    max_error : float, str or sequence of float, optional
        One for all bands, or one each, as text with commas between. Variables have units of their own, so each needs
        one of its own.

    Raises
    ------
    InputError
        Where a limit is no positive number, there are not as many as bands, or the model predicts no error.
    """
    if max_error is None:
        return None
    count = len(model.standardiser.scale)
    try:
        each = max_error.split(",") if isinstance(max_error, str) else max_error
        # A truth value is a number to NumPy, and so is a text.
        plain = np.array(each)
        limits = (plain if plain.dtype.kind in "iuf" or isinstance(max_error, str) else np.zeros(1)).astype(np.float64)
        limits = limits.reshape(-1, 1, 1)
    except (TypeError, ValueError):
        limits = np.zeros((1, 1, 1))
    if not limits.size or not ((limits > 0) & np.isfinite(limits)).all():
        raise InputError(f"max_error must be positive, in the units of the field, got {max_error}; give a larger one")
    if len(limits) not in ({count} if model.band_units else {1, count}):
        named = ", ".join(model.bands) or f"{count} band{'s' * (count > 1)}"
        raise InputError(
            f"max_error must be one number for each of {named}, in its units, got {max_error}; write them with commas "
            "between"
        )
    if model.error is None and members == 1:
        raise InputError("the model predicts no error to hold against --max-error; train one with the withheld term")
    return limits
