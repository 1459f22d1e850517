"""Corruption: a labelled field as an operator would have measured it, its step and scale found from itself."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from geogan.coordinates import Axes, days, find_axes
from geogan.operators.compose import Compose
from geogan.operators.corrupt import corrupt as measure
from geogan.operators.observed import ObservedGaps
from geogan.operators.operator import Operator
from geogan.operators.parse import parse


def corrupt(
    field: xr.DataArray, operator: str | Sequence[str] | Operator = "cloud_mask", *, seed: int = 0
) -> xr.DataArray:
    """Measure a field: hide, blur and disturb it as ``operator`` says.

    What a date suffers depends on the seed and that date alone.

    Parameters
    ----------
    field : DataArray, shape ([time,] y, x)
        In its own units, NaN where unseen; lazy or not.
    operator : str, sequence of str, or Operator
        As in `geogan.operators.parse.parse`. Parameters that are not given take their defaults. Noise is
        counted in standard deviations of the field, for which the field is read once. Borrowed gaps
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
        If the operator is not understood, y or x is not found, or there are no gaps to borrow.

    Examples
    --------
    >>> from geogan.synthetic import synthetic_sst
    >>> truth = synthetic_sst(days=2, size=24)["sst"]
    >>> gappy = corrupt(truth, "remove_pixel:p=0.5", seed=1)
    >>> bool(gappy.count() < 0.6 * truth.count())
    True
    """
    operator = parse(operator)
    axes = find_axes(field)
    operator = _with_gaps_of(field, axes, operator, seed=seed)
    field = field if field.dtype.kind == "f" else field.astype(np.float32)
    gappy = measure(
        field,
        operator,
        seed=seed,
        time=axes.time,
        dims=(axes.y, axes.x),
        scale=float(field.std()) if operator.noise else 1.0,
        step=_step(field, axes),
    )
    gappy.encoding = _with_room_for_gaps(field.encoding)
    return gappy


def _with_gaps_of(field: xr.DataArray, axes: Axes, operator: Operator, *, seed: int) -> Operator:
    """The operator with gaps to borrow, where it borrows any; all others keep their defaults."""
    if isinstance(operator, Compose):
        return Compose(tuple(_with_gaps_of(field, axes, part, seed=seed) for part in operator.operators))
    if not isinstance(operator, ObservedGaps):
        return operator
    stack = field.notnull() if axes.time else field.notnull().expand_dims("time")
    seen = stack.transpose(axes.time or "time", axes.y, axes.x).values
    return operator.fitted(seen, np.any(seen, axis=0), seed=seed)


def _step(field: xr.DataArray, axes: Axes) -> float:
    """Time from one frame to the next, in days: operators count their memory in frames."""
    apart = np.abs(np.diff(days(field, axes)))
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
