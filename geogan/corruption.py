"""Corruption: a field with the gaps and errors of an operator, its time step and scale taken from the field."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from geogan.fields.cell_size import cell_size
from geogan.fields.field import Field
from geogan.fields.geography import check_columns
from geogan.fields.measurement import measure
from geogan.fields.storage import choose_storage
from geogan.fields.variables import is_joined, join_variables, split_variables
from geogan.io import as_field
from geogan.operators.compose import Compose
from geogan.operators.observed import ObservedGaps
from geogan.operators.operator import Operator
from geogan.operators.parse import parse
from geogan.settings import check_settings


def corrupt(
    field: xr.DataArray, operator: str | Sequence[str] | Operator = "cloud_mask", *, seed: int = 0
) -> xr.DataArray:
    """Measure a field with an operator that hides, blurs or adds noise.

    The measurement of a date (or a sample) depends on the seed and that date only. On a grid that goes once round the
    globe, clouds, borrowed gaps and blurs cross the seam.

    Parameters
    ----------
    field : DataArray, shape ([time,] [band,] y, x)
        In any units, NaN where not observed; lazy or not.
    operator : str, sequence of str, or Operator
        As in `geogan.operators.parse.parse`. Parameters that are not given have their defaults. Noise is given in
        standard deviations of each band, for which the field is read once; for images, whose valid range is [-1, 1],
        in their own units. Borrowed gaps (``observed_gaps``) come from the dates of the field.
    seed : int
        Two seeds give two independent measurements.

    Returns
    -------
    gappy : DataArray
        As ``field``, NaN where hidden; lazy if the field is. Whole numbers become float32, which has NaN.

    Raises
    ------
    InputError
        If the operator is not understood, the seed is not a whole number, y or x is not found, the field has no gaps to
        borrow, or a grid that goes round the globe repeats its first column.

    Examples
    --------
    >>> from geogan.fields.synthetic import synthetic_sst
    >>> truth = synthetic_sst(days=2, size=24)["sst"]
    >>> gappy = corrupt(truth, "remove_pixel:p=0.5", seed=1)
    >>> bool(gappy.count() < 0.6 * truth.count())
    True
    """
    check_settings({"seed": seed})
    operator, original = parse(operator), as_field(field)
    check_columns(original.array, original.axes)
    operator = operator.on_grid(cell_size(original))
    operator = _with_gaps_of(original, operator, seed=seed).around(original.is_periodic)
    is_float = original.array.dtype.kind == "f"
    truth = original if is_float else original.with_array(original.array.astype(np.float32))
    spread = _spread(truth) if operator.noise else 1.0
    step = _step(truth)
    if isinstance(spread, xr.DataArray):
        # Each band is measured in units of its own spread.
        attrs, dims = truth.array.attrs, truth.array.dims
        scaled = truth.with_array((truth.array / spread).assign_attrs(attrs))
        gappy = measure(scaled, operator, seed=seed, step=step) * spread
        gappy = gappy.transpose(*dims).assign_attrs(attrs).rename(truth.array.name)
    else:
        gappy = measure(truth, operator, seed=seed, scale=spread, step=step)
    gappy.encoding = original.array.encoding
    is_noisy = bool(operator.noise) and not truth.is_image
    variables = split_variables(gappy)
    for variable, source in zip(variables, split_variables(original.array), strict=True):
        variable.encoding = _with_fill_value(source.encoding)
        if not operator.exact and "dtype" in source.encoding:
            # A packing would round values that are noisy or blurred, or cannot hold them.
            storage = choose_storage(source, None, as_floats="its values are disturbed")
            variable.encoding, variable.attrs = storage.encoding, storage.attrs
        variable.attrs = _without_limits(variable.attrs) if is_noisy else variable.attrs
    if not is_joined(gappy):
        return variables[0]
    return join_variables(variables).transpose(*gappy.dims)


def _without_limits(attrs: dict) -> dict:
    """Return attributes without a valid range: noise exceeds it, and values beyond it would be read as gaps."""
    limits = ("valid_range", "valid_min", "valid_max")
    return {key: value for key, value in attrs.items() if key not in limits}


def _with_gaps_of(field: Field, operator: Operator, *, seed: int) -> Operator:
    """Return the operator; one that borrows gaps is fitted to those of the field."""
    if isinstance(operator, Compose):
        return Compose(tuple(_with_gaps_of(field, part, seed=seed) for part in operator.operators))
    if not isinstance(operator, ObservedGaps):
        return operator
    seen = field.stacked.notnull().values
    domain = np.ones_like(seen[0, 0]) if field.axes.independent else np.any(seen, axis=(0, 1))
    return operator.fitted(seen if field.axes.band else seen[:, 0], domain, seed=seed)


def _spread(field: Field) -> float | xr.DataArray:
    """Return the unit of noise: the standard deviation of the field, or of each band; 1 for images."""
    array, band = field.array, field.axes.band
    if field.is_image:
        return 1.0
    if band is None:
        return float(array.std())
    spread = array.std([dim for dim in array.dims if dim != band]).compute()
    return spread.where(spread > 0, 1.0)


def _step(field: Field) -> float:
    """Return the median time from one frame to the next, in days: operators count persistence in frames."""
    steps = np.abs(np.diff(field.days))
    step = float(np.median(steps)) if steps.size else 1.0
    return step if step > 0 else 1.0


def _with_fill_value(encoding: dict) -> dict:
    """Return an encoding that can hold NaN: without its packing if that is of integers and has no fill value."""
    kept = dict(encoding)
    fills = (kept.get("_FillValue"), kept.get("missing_value"))
    if np.dtype(kept.get("dtype", float)).kind in "iu" and all(fill is None for fill in fills):
        for key in ("dtype", "scale_factor", "add_offset", "_FillValue", "missing_value"):
            kept.pop(key, None)
    return kept
