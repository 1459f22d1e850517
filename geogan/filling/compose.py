"""Compose the product of a task: observed and filled values, where each comes from, and the predicted error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from geogan.archive import Archive
from geogan.fields.codes import Container
from geogan.fields.field import Field
from geogan.fields.marks import is_screened, is_unreadable
from geogan.fields.measured import check_finite
from geogan.fields.quantities import is_direction
from geogan.fields.storage import Storage, choose_storage, coordinate_encoding, value_type
from geogan.fields.variables import is_joined, split_variables, variables_of
from geogan.filling.task import Estimate
from geogan.model import Model
from geogan.operators.errors import InputError
from geogan.operators.wording import counted

OBSERVED, FILLED, LAND, REFUSED, UNREADABLE, SCREENED = 0, 1, 2, 3, 4, 5
_MEANINGS = ("observed", "filled", "land", "refused", "unreadable", "screened")


def flag_attributes(*, has_screen: bool = False) -> dict[str, Any]:
    """Return the CF attributes of a ``*_source`` variable.

    Examples
    --------
    >>> flag_attributes()["flag_meanings"]
    'observed filled land refused unreadable'
    """
    count = len(_MEANINGS) if has_screen else SCREENED
    return {"flag_values": np.arange(count, dtype=np.int8), "flag_meanings": " ".join(_MEANINGS[:count])}


class Parts(NamedTuple):
    """The variables of a product, (t, C, H, W); members have one more axis in front."""

    values: np.ndarray
    source: np.ndarray
    std: np.ndarray | None = None
    members: np.ndarray | None = None


class Acceptance(NamedTuple):
    """Which values of a task enter the product.

    Attributes
    ----------
    keep_observed : bool
        Whether observed values are returned bit for bit. Their error is not known, and NaN in the product.
    max_error : ndarray, shape (C, 1, 1), or float, optional
        Cells with a larger predicted error stay empty; in the field's units.
    room : (ndarray, ndarray), shape (C, 1, 1) each, optional
        Lowest and highest value that the product's packing holds. Predictions beyond it are refused, not clipped.
    """

    keep_observed: bool
    max_error: float | np.ndarray | None = None
    room: tuple[np.ndarray, np.ndarray] | None = None

    def of_bands(self, sources: Sequence[int]) -> Acceptance:
        """Return the acceptance of stacked bands, of which each belongs to one of the field's bands."""
        max_error, room = self.max_error, self.room
        if isinstance(max_error, np.ndarray) and len(max_error) > 1:
            max_error = max_error[list(sources)]
        if room is not None and len(room[0]) > 1:
            room = room[0][list(sources)], room[1][list(sources)]
        return Acceptance(self.keep_observed, max_error, room)


def compose(
    raw: np.ndarray | xr.Variable, filled: Estimate, acceptance: Acceptance, *, name: str = "the field"
) -> Parts:
    """Combine observed and estimated values.

    Parameters
    ----------
    raw : ndarray or Variable, shape (t, C, H, W)
        Observations, NaN where there are none; marked NaN where a cell could not be read. A lazy variable is decoded
        date by date.
    filled : Estimate
        Its arrays are overwritten, because a task's arrays are too large to exist twice.
    acceptance : Acceptance
    name : str
        What errors call the field.

    Returns
    -------
    Parts
        Values of the float type that holds those of ``raw``, and the flags of `flag_attributes`. A cell that could
        not be read keeps its flag where its prediction is refused.

    Raises
    ------
    InputError
        If a value is infinite, or is an integer with more digits than float64 holds.
    """
    source, kind = np.empty(raw.shape, np.int8), value_type(raw.dtype)
    values = filled.field if filled.field.dtype == kind else np.empty(raw.shape, kind)
    whole = Parts(values, source, filled.std, filled.members)
    # A date at a time: intermediate arrays of all dates would take more memory than the task.
    for date in range(len(raw)):
        frame = slice(date, date + 1)
        estimate = Estimate(*(None if part is None else part[..., frame, :, :, :] for part in filled))  # type: ignore[arg-type]
        for target, part in zip(whole, _compose_date(np.asarray(raw[frame]), estimate, acceptance, name), strict=True):
            if target is not None and part is not None:
                target[..., frame, :, :, :] = part
    return whole


def _compose_date(raw: np.ndarray, filled: Estimate, acceptance: Acceptance, name: str) -> Parts:
    raw = _as_floats(raw, name)
    check_finite(name, raw)
    is_seen, is_known = np.isfinite(raw), np.isfinite(filled.field)
    # An observed value that is estimated all the same is flagged as filled.
    is_kept = is_seen if acceptance.keep_observed else is_seen & ~is_known
    source = np.where(is_kept, OBSERVED, np.where(is_known, FILLED, LAND)).astype(np.int8)
    # Filled; the source could not be read, so the cell may have been observed.
    source[is_unreadable(raw) & is_known] = UNREADABLE
    source[is_screened(raw) & is_known] = SCREENED
    values = np.where(is_kept, raw, filled.field.astype(raw.dtype))
    is_predicted = np.isin(source, (FILLED, UNREADABLE, SCREENED))
    is_refused = np.zeros(source.shape, bool)
    if acceptance.room is not None:
        is_refused |= is_predicted & ((values < acceptance.room[0]) | (values > acceptance.room[1]))
    if acceptance.max_error is not None and filled.std is not None:
        is_refused |= is_predicted & ~(filled.std <= acceptance.max_error)
    # Unreadable and screened cells are counted as such, so they keep their flag.
    source[is_refused & (source == FILLED)], values[is_refused] = REFUSED, np.nan
    if filled.std is None:
        return Parts(values, source)
    std = np.where(is_kept, np.nan, filled.std).astype(np.float32)
    members = None
    if filled.members is not None:
        members = np.where(is_kept, raw, filled.members).astype(np.float32)
        members[:, is_refused] = np.nan
    return Parts(values, source, std, members)


def _as_floats(raw: np.ndarray, name: str) -> np.ndarray:
    """Return values as floats that hold every one of them."""
    kind = value_type(raw.dtype)
    values = raw.astype(kind, copy=False)
    if raw.dtype.kind in "iu" and raw.dtype.itemsize > 4 and (np.abs(values) >= 2.0**53).any():
        raise InputError(
            f"{name} holds whole numbers beyond 2^53, which no float holds exactly; subtract an offset from them"
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
        Its climatology bounds the predictions.
    field : DataArray, shape ([time,] [band,] y, x)
    container : {"zarr", "netcdf"}, optional
    is_proven : bool
        Whether the values are known to be those of the files that the encoding describes.
    as_floats : str
        Why the variables are stored as floats, as the end of a sentence; empty to pack them where possible.
    """
    # Predictions lie within ten standard deviations of the climatology; a packing must hold them. Predictions beyond
    # its range are refused one by one.
    scales = 10.0
    low, high = (end[archive.standardiser.field_bands] for end in archive.standardiser.extremes(scales, archive.domain))
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
    """Refuse observed values that the packing would not return bit for bit.

    Parameters
    ----------
    storage : Storage
    values, source : ndarray, of one shape
        A variable of the product, and its flags.
    name : str
        What errors call the variable.

    Raises
    ------
    InputError
        If a value is not a multiple of the packing's scale: the file has changed, or its attributes are wrong.
    """
    codes = storage.codes
    if codes is None:
        return
    for date, flags in zip(values, source, strict=True):
        observed = date[flags == OBSERVED]
        observed = observed[~np.isnan(observed)]
        if not np.array_equal(codes.read(codes.pack(observed, name), "netcdf"), observed):
            raise InputError(
                f"{name} holds values that are not those of its packing as {codes.dtype}; convert it to floats first"
            )


def room_of(storages: Sequence[Storage]) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the lowest and highest value that each packing holds, (C, 1, 1) each; None if all variables are floats."""
    if all(storage.room is None for storage in storages):
        return None
    ends = np.array([storage.room or (-np.inf, np.inf) for storage in storages])
    return ends[:, 0, None, None], ends[:, 1, None, None]


def product_of(model: Model, field: Field, storages: Sequence[Storage], parts: Sequence[Any]) -> xr.Dataset:
    """Label the product: the filled variable, ``*_source``, and, where there are, ``*_std`` and ``*_member``.

    Dimensions are in the field's order, members before them. Joined variables are split; each has all of these
    variables, with its own units, type and packing.

    Parameters
    ----------
    model : Model
    field : Field
        The field that was filled.
    storages : sequence of Storage
        How each variable is stored, as `choose_storages` returns it.
    parts : sequence of array
        Those of `Parts` that exist, in the field's dimensions.
    """
    values, source, std, members = (*parts, None, None)[:4]
    array, dims = field.array, field.axes.dims
    if is_joined(array):
        products = []
        for band, variable in enumerate(variables_of(field)):
            band_parts = [part[..., band, :, :] for part in parts]
            band_parts[0] = band_parts[0].astype(value_type(variable.array.dtype))
            products.append(product_of(model, variable, [storages[band]], band_parts))
        return xr.merge(products, combine_attrs="override")
    name = str(array.name or model.variable)
    template = array.transpose(*dims)
    filled = template.copy(data=values).rename(name)
    # Chunks and filters of the source are not those of the product.
    filled.encoding = dict(storages[0].encoding)
    described = array.attrs.get("long_name", name)
    flags = xr.DataArray(source, dims=dims, coords=template.coords, name=f"{name}_source")
    has_screen = model.screen is not None and model.screen.threshold is not None
    flags.attrs = {"long_name": f"origin of {described}"} | flag_attributes(has_screen=has_screen)
    if model.operator.blurs:
        flags.attrs["comment"] = (
            "observations are blurred: every value is an estimate of the field without blur, and is flagged as filled"
        )
    variables = {name: filled, f"{name}_source": flags}
    units = {"units": array.attrs["units"]} if "units" in array.attrs else {}
    if std is not None:
        variables[f"{name}_std"] = xr.DataArray(
            std, dims=dims, coords=template.coords, attrs=_error_attributes(model, array, str(described), units)
        )
    filled.attrs = storages[0].attrs | {"ancillary_variables": " ".join(list(variables)[1:])}
    if members is not None:
        ensemble = xr.DataArray(members, dims=("member", *dims), coords=template.coords)
        ensemble.attrs = {"long_name": f"members of the ensemble of {described}", **units}
        ensemble.attrs["comment"] = "members of the second half lie opposite those of the first, about the estimate"
        variables[f"{name}_member"] = ensemble
    if "grid_mapping" in filled.encoding:
        for ancillary in list(variables.values())[1:]:
            ancillary.encoding["grid_mapping"] = filled.encoding["grid_mapping"]
    product = xr.Dataset(variables).transpose("member", *array.dims, missing_dims="ignore").copy()
    for coordinate in product.coords.values():
        coordinate.encoding = coordinate_encoding(coordinate)
    return product


def _error_attributes(model: Model, field: xr.DataArray, described: str, units: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of the predicted error."""
    attrs = {"long_name": f"standard deviation of the error of {described}", **units}
    if "standard_name" in field.attrs:
        attrs["standard_name"] = f"{field.attrs['standard_name']} standard_error"
    if model.operator.blurs:
        attrs["comment"] = (
            "of all cells: standard deviation of the estimate minus the field without the blur of the instrument, from "
            "the Gaussian posterior"
        )
        return attrs
    attrs["comment"] = (
        "of filled cells: standard deviation of the fill minus the value that an observed cell holds, without its "
        "known error; it includes scales that neighbouring observations do not determine"
    )
    if model.network is None:
        attrs["comment"] = f"of the Gaussian posterior, calibrated on withheld observations; {attrs['comment']}"
    is_angle = is_direction(field) and len(model.standardiser.field_bands) < len(model.standardiser.scale)
    if model.standardiser.is_of_directions or is_angle:
        attrs["comment"] = f"circular standard deviation, {attrs['comment']}"
    return attrs


def error_limits(model: Model, max_error: float | str | Sequence[float] | None, members: int) -> np.ndarray | None:
    """Return the largest accepted error of each band, (C, 1, 1), in the field's units; None for no limit.

    Parameters
    ----------
    model : Model
    max_error : float, str or sequence of float, optional
        One limit for all bands, or one for each; text has commas between them. Variables differ in their units, so
        each variable needs a limit.
    members : int
        Ensemble members; their spread is an error where the model predicts none.

    Raises
    ------
    InputError
        If a limit is not a positive number, if there are not as many limits as bands, or if the model predicts no
        error.
    """
    if max_error is None:
        return None
    own = model.standardiser.field_bands
    count = len(own)
    try:
        # NumPy takes a truth value and a text for numbers too.
        plain = np.array(max_error.split(",") if isinstance(max_error, str) else max_error)
        limits = (plain if plain.dtype.kind in "iuf" or isinstance(max_error, str) else np.zeros(1)).astype(np.float64)
        limits = limits.reshape(-1, 1, 1)
    except (TypeError, ValueError):
        limits = np.zeros((1, 1, 1))
    if not limits.size or not ((limits > 0) & np.isfinite(limits)).all():
        raise InputError(f"max_error must be positive, in the units of the field, got {max_error}; give a larger one")
    if len(limits) not in ({count} if model.band_units else {1, count}):
        named = ", ".join(model.bands[band] for band in own if model.bands) or counted(count, "band")
        raise InputError(
            f"max_error must be one number for each of {named}, in its units, got {max_error}; write them with commas "
            "between"
        )
    if model.error is None and members == 1:
        raise InputError(
            "the model predicts no error to compare with --max-error; leave it out, or train a model with the withheld "
            "term"
        )
    return limits
