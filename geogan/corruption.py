"""Corruption: a labelled field as an operator would have measured it, its step and scale found from itself."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from geogan.fields.field import Field
from geogan.fields.geography import check_columns
from geogan.fields.storage import choose_storage
from geogan.fields.variables import is_joined, join_variables, split_variables
from geogan.io import as_field
from geogan.operators.compose import Compose
from geogan.operators.corrupt import corrupt as measure
from geogan.operators.observed import ObservedGaps
from geogan.operators.operator import Operator
from geogan.operators.parse import parse
from geogan.settings import check_settings


def corrupt(
    field: xr.DataArray, operator: str | Sequence[str] | Operator = "cloud_mask", *, seed: int = 0
) -> xr.DataArray:
    """Measure a field: hide, blur and disturb it as ``operator`` says.

    What a date (or a sample) suffers depends on the seed and that date alone. On a grid that goes once round the globe,
    clouds, borrowed gaps and blurs lie across the seam.

    Parameters
    ----------
    field : DataArray, shape ([time,] [band,] y, x)
        In its own units, NaN where unseen; lazy or not.
    operator : str, sequence of str, or Operator
        As in `geogan.operators.parse.parse`. Parameters that are not given take their defaults. Noise is
        counted in standard deviations of each band, for which the field is read once; that of images, which lie
        within [-1, 1], as it stands. Borrowed gaps
        (``observed_gaps``) come from the field's own dates.
    seed : int
        Two seeds give two independent measurements.

    Returns
    -------
    gappy : DataArray
        As ``field``, NaN where hidden; lazy where the field is. Whole numbers become float32, so that there
        is a NaN.

    Raises
    ------
    InputError
        If the operator is not understood, the seed is none, y or x is not found, there are no gaps to borrow, or a grid
        that goes round the globe has its first column twice.

    Examples
    --------
    >>> from geogan.fields.synthetic import synthetic_sst
    >>> truth = synthetic_sst(days=2, size=24)["sst"]
    >>> gappy = corrupt(truth, "remove_pixel:p=0.5", seed=1)
    >>> bool(gappy.count() < 0.6 * truth.count())
    True
    """
    check_settings({"seed": seed})
    operator, known = parse(operator), as_field(field)
    given, axes = known.array, known.axes
    check_columns(given, axes)
    operator = _with_gaps_of(known, operator, seed=seed).around(known.is_periodic)
    field = given if given.dtype.kind == "f" else given.astype(np.float32)
    known = known.with_array(field)
    spread = _spread(known) if operator.noise else 1.0
    several = isinstance(spread, xr.DataArray)
    gappy = measure(
        # Bands of different spreads get their noise in units of their own.
        (field / spread).assign_attrs(field.attrs) if several else field,
        operator,
        seed=seed,
        time=axes.time,
        dims=(axes.y, axes.x),
        band=axes.band,
        scale=1.0 if isinstance(spread, xr.DataArray) else spread,
        step=_step(known),
        independent=axes.independent,
    )
    if several:
        gappy = (gappy * spread).transpose(*field.dims).assign_attrs(field.attrs).rename(field.name)
    gappy.encoding = given.encoding
    disturbed = bool(operator.noise) and not known.is_image
    variables = split_variables(gappy)
    for one, original in zip(variables, split_variables(given), strict=True):
        one.encoding = _with_room_for_gaps(original.encoding)
        if not operator.exact and "dtype" in original.encoding:
            # A packing rounds values that are noisy or blurred, or has no number for them.
            storage = choose_storage(original, None, as_floats="its values are disturbed")
            one.encoding, one.attrs = storage.encoding, storage.attrs
        one.attrs = _without_limits(one).attrs if disturbed else one.attrs
    if not is_joined(gappy):
        return variables[0]
    return join_variables(variables).transpose(*gappy.dims)


def _without_limits(field: xr.DataArray) -> xr.DataArray:
    """Return a field without limits of valid values, which noise exceeds: values beyond them would be read as gaps."""
    limits = ("valid_range", "valid_min", "valid_max")
    bare = field.copy(deep=False)
    bare.attrs = {key: value for key, value in field.attrs.items() if key not in limits}
    return bare


def _with_gaps_of(field: Field, operator: Operator, *, seed: int) -> Operator:
    """The operator with gaps to borrow, where it borrows any; all others keep their defaults."""
    if isinstance(operator, Compose):
        return Compose(tuple(_with_gaps_of(field, part, seed=seed) for part in operator.operators))
    if not isinstance(operator, ObservedGaps):
        return operator
    seen = field.stacked.notnull().values
    domain = np.ones_like(seen[0, 0]) if field.axes.independent else np.any(seen, axis=(0, 1))
    return operator.fitted(seen if field.axes.band else seen[:, 0], domain, seed=seed)


def _spread(field: Field) -> float | xr.DataArray:
    """What noise is counted in: the standard deviation, of each band where there are several."""
    array, band = field.array, field.axes.band
    if field.is_image:
        return 1.0
    if band is None:
        return float(array.std())
    spread = array.std([dim for dim in array.dims if dim != band]).compute()
    return spread.where(spread > 0, 1.0)


def _step(field: Field) -> float:
    """Time from one frame to the next, in days: operators count their memory in frames."""
    apart = np.abs(np.diff(field.days))
    step = float(np.median(apart)) if apart.size else 1.0
    return step if step > 0 else 1.0


def _with_room_for_gaps(encoding: dict) -> dict:
    """An encoding that can hold NaN: packed integers without a fill value are given up."""
    kept = dict(encoding)
    fills = (kept.get("_FillValue"), kept.get("missing_value"))
    if np.dtype(kept.get("dtype", float)).kind in "iu" and all(fill is None for fill in fills):
        for key in ("dtype", "scale_factor", "add_offset", "_FillValue", "missing_value"):
            kept.pop(key, None)
    return kept
