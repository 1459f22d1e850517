"""The product: what was measured and what was filled, where each comes from, how far it may be off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from geogan.archive import Archive
from geogan.fields.codes import Container
from geogan.fields.field import Field
from geogan.fields.marks import is_screened, is_unreadable
from geogan.fields.quantities import is_direction
from geogan.fields.storage import Storage, choose_storage, coordinate_encoding, value_type
from geogan.fields.variables import is_joined, split_variables, variables_of
from geogan.filling.task import Slab
from geogan.io import check_finite
from geogan.model import Model
from geogan.operators.errors import InputError

# Scales above and below the climatology between which predictions are expected: a product's packing must hold all of
# them. What lies beyond is refused one by one.
PLAUSIBLE = 10.0
OBSERVED, FILLED, LAND, REFUSED, UNREADABLE, SCREENED = 0, 1, 2, 3, 4, 5
FLAGS = {
    "flag_values": np.array([OBSERVED, FILLED, LAND, REFUSED, UNREADABLE], np.int8),
    "flag_meanings": "observed filled land refused unreadable",
}
SCREENED_FLAGS = {
    "flag_values": np.array([OBSERVED, FILLED, LAND, REFUSED, UNREADABLE, SCREENED], np.int8),
    "flag_meanings": "observed filled land refused unreadable screened",
}
"""Those of a product whose suspicious observations were left out."""


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
    room: tuple[np.ndarray, np.ndarray] | None = None,
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
    room : (ndarray, ndarray), shape (C, 1, 1) each, optional
        Lowest and highest value that the product's packing holds; predictions beyond it are refused, not clipped.
    in_place : bool
        Write into ``filled``, which is used up: a slab's arrays are too large to have twice.
    name : str
        What is measured, and where, for a sentence.

    Returns
    -------
    Parts
        Values of the float type that holds those of ``raw``, and the flags of :data:`FLAGS`.

    Raises
    ------
    InputError
        Where a value is infinite: not every archive was looked at whole before. Where a whole number has more digits
        than float64, which also holds NaN.
    """
    count = len(raw)
    if count > 1:
        # A date at a time: what comes up on the way would take more memory than the slab.
        source = np.empty(raw.shape, np.int8)
        if in_place:
            kind = value_type(raw.dtype)
            values = filled.field if filled.field.dtype == kind else np.empty(raw.shape, kind)
            whole = Parts(values, source, *filled[1:])
        else:
            std, members = (None if part is None else np.empty(part.shape, np.float32) for part in filled[1:])
            whole = Parts(np.empty(raw.shape, value_type(raw.dtype)), source, std, members)
        for date in range(count):
            here = slice(date, date + 1)
            one = Slab(*(None if part is None else part[..., here, :, :, :] for part in filled))  # type: ignore[arg-type]
            made = compose(
                np.asarray(raw[here]), one, keep_observed=keep_observed, max_error=max_error, room=room, name=name
            )
            for target, part in zip(whole, made, strict=True):
                if target is not None and part is not None:
                    target[..., here, :, :, :] = part
        return whole
    raw = _as_floats(np.asarray(raw), name)
    check_finite(name, raw)
    seen, known = np.isfinite(raw), np.isfinite(filled.field)
    kept = seen if keep_observed else seen & ~known
    # A value that was measured but is reconstructed all the same is an estimate, and flagged as one.
    source = np.where(kept, OBSERVED, np.where(known, FILLED, LAND)).astype(np.int8)
    # Filled too, but perhaps measured: nobody can say.
    source[is_unreadable(raw) & known] = UNREADABLE
    source[is_screened(raw) & known] = SCREENED
    values = np.where(kept, raw, filled.field.astype(raw.dtype))
    predicted = np.isin(source, (FILLED, UNREADABLE, SCREENED))
    refused = np.zeros(source.shape, bool)
    if room is not None:
        refused |= predicted & ((values < room[0]) | (values > room[1]))
    if max_error is not None and filled.std is not None:
        refused |= predicted & ~(filled.std <= max_error)
    # What could not be read, or was screened, is still counted as that.
    source[refused & (source == FILLED)], values[refused] = REFUSED, np.nan
    if filled.std is None:
        return Parts(values, source)
    std = np.where(kept, np.nan, filled.std).astype(np.float32)
    members = None
    if filled.members is not None:
        members = np.where(kept, raw, filled.members).astype(np.float32)
        members[:, refused] = np.nan
    return Parts(values, source, std, members)


def _as_floats(raw: np.ndarray, name: str) -> np.ndarray:
    """Values as floats that hold them all."""
    kind = value_type(raw.dtype)
    values = raw.astype(kind, copy=False)
    if raw.dtype.kind in "iu" and raw.dtype.itemsize > 4 and (np.abs(values) >= 2.0**53).any():
        raise InputError(
            f"{name} holds whole numbers beyond 2^53, which no float holds exactly; take an offset off them"
        )
    return values


def choose_storages(
    archive: Archive,
    field: xr.DataArray,
    *,
    container: Container | None = None,
    is_proven: bool = False,
    as_floats: str = "",
) -> tuple[Storage, ...]:
    """Choose how each variable of a product is stored; see `geogan.fields.storage.choose_storage`.

    Parameters
    ----------
    archive : Archive
        The field as a model sees it: its climatology bounds what may be predicted.
    field : DataArray, shape ([time,] [band,] y, x)
    container : {"zarr", "netcdf"}, optional
    is_proven : bool
        Whether the values are known to be those of the files that the encoding describes.
    as_floats : str
        Why no packing is wanted, as the end of a sentence; empty where one is.
    """
    low, high = (
        end[archive.standardiser.field_bands] for end in archive.standardiser.extremes(PLAUSIBLE, archive.domain)
    )
    variables = split_variables(field)
    bands = [slice(band, band + 1) for band in range(len(variables))] if is_joined(field) else [slice(None)]
    return tuple(
        choose_storage(
            one,
            (float(low[band].min()), float(high[band].max())),
            container=container,
            is_proven=is_proven,
            as_floats=as_floats,
        )
        for one, band in zip(variables, bands, strict=True)
    )


def check_held(storage: Storage, values: np.ndarray, source: np.ndarray, name: str) -> None:
    """Refuse observed values that would not come back bit for bit: the file has changed, or says what does not hold.

    Parameters
    ----------
    storage : Storage
    values, source : ndarray, of one shape
        A variable of the product, and its flags.
    name : str
        What the variable is called in the error.
    """
    codes = storage.codes
    if codes is None:
        return
    for one, flags in zip(values, source, strict=True):
        seen = one[flags == OBSERVED]
        seen = seen[~np.isnan(seen)]
        if not np.array_equal(codes.read(codes.pack(seen, name), "netcdf"), seen):
            raise InputError(
                f"{name} holds values that are not those of its packing as {codes.dtype}; convert it to floats first"
            )


def room_of(storages: Sequence[Storage]) -> tuple[np.ndarray, np.ndarray] | None:
    """Lowest and highest value that the packing of each variable holds, (C, 1, 1) each; None where all are floats."""
    if all(storage.room is None for storage in storages):
        return None
    ends = np.array([storage.room or (-np.inf, np.inf) for storage in storages])
    return ends[:, 0, None, None], ends[:, 1, None, None]


def product_of(
    model: Model,
    field: Field,
    storages: Sequence[Storage],
    values: Any,
    source: Any,
    std: Any = None,
    members: Any = None,
) -> xr.Dataset:
    """The product, labelled: the filled variable, ``*_source``, and, where there are, ``*_std`` and ``*_member``.

    Dimensions are in the field's order, members before them. Of several variables that were joined, each has all of
    these, with units, type and packing of its own.

    Parameters
    ----------
    storages : sequence of Storage
        How each variable is stored, as `choose_storages` has it.
    values, source, std, members : array, optional
        Those of `Parts`, in the field's dimensions.
    """
    array, dims = field.array, field.axes.dims
    if is_joined(array):
        products = []
        for band, one in enumerate(variables_of(field)):
            rest = (None if part is None else part[..., band, :, :] for part in (source, std, members))
            kept = values[..., band, :, :].astype(value_type(one.array.dtype))
            products.append(product_of(model, one, [storages[band]], kept, *rest))
        return xr.merge(products, combine_attrs="override")
    name = str(array.name or model.variable)
    template = array.transpose(*dims)
    filled = template.copy(data=values).rename(name)
    # Chunks and filters of the source are not those of the product.
    filled.encoding = dict(storages[0].encoding)
    described = array.attrs.get("long_name", name)
    flags = xr.DataArray(source, dims=dims, coords=template.coords, name=f"{name}_source")
    flags.attrs = {"long_name": f"origin of {described}"} | (
        FLAGS if model.screen is None or model.screen.threshold is None else SCREENED_FLAGS
    )
    found = {name: filled, f"{name}_source": flags}
    units = {"units": array.attrs["units"]} if "units" in array.attrs else {}
    if std is not None:
        spread = xr.DataArray(std, dims=dims, coords=template.coords)
        spread.attrs = {"long_name": f"standard deviation of the error of {described}", **units}
        if "standard_name" in array.attrs:
            spread.attrs["standard_name"] = f"{array.attrs['standard_name']} standard_error"
        spread.attrs["comment"] = "of filled cells; the error of a measurement is not estimated"
        if model.standardiser.is_of_directions or (
            is_direction(array) and len(model.standardiser.field_bands) < len(model.standardiser.scale)
        ):
            spread.attrs["comment"] = f"circular standard deviation, {spread.attrs['comment']}"
        found[f"{name}_std"] = spread
    filled.attrs = storages[0].attrs | {"ancillary_variables": " ".join(list(found)[1:])}
    if members is not None:
        ensemble = xr.DataArray(members, dims=("member", *dims), coords=template.coords)
        ensemble.attrs = {"long_name": f"members of the ensemble of {described}", **units}
        ensemble.attrs["comment"] = "members of the second half lie opposite those of the first, about the estimate"
        found[f"{name}_member"] = ensemble
    if "grid_mapping" in filled.encoding:
        for part in list(found.values())[1:]:
            part.encoding["grid_mapping"] = filled.encoding["grid_mapping"]
    product = xr.Dataset(found).transpose("member", *array.dims, missing_dims="ignore").copy()
    for coordinate in product.coords.values():
        coordinate.encoding = coordinate_encoding(coordinate)
    return product


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
    own = model.standardiser.field_bands
    count = len(own)
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
        named = ", ".join(model.bands[band] for band in own if model.bands) or f"{count} band{'s' * (count > 1)}"
        raise InputError(
            f"max_error must be one number for each of {named}, in its units, got {max_error}; write them with commas "
            "between"
        )
    if model.error is None and members == 1:
        raise InputError("the model predicts no error to hold against --max-error; train one with the withheld term")
    return limits
