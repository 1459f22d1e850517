"""A fuller field as the truth of a gappy one: the same cells, dates and units."""

from __future__ import annotations

import numpy as np
import xarray as xr

from geogan.fields.field import Field
from geogan.fields.grids import difference
from geogan.fields.units import same_units
from geogan.operators.errors import InputError


def match_truth(truth: Field, field: Field) -> xr.DataArray:
    """Return the truth on the dates of a field, as (T, C, H, W).

    Parameters
    ----------
    truth : Field
        Fuller field; it may have more dates.
    field : Field
        Gappy field.

    Raises
    ------
    InputError
        If the truth lacks dates, or has another grid or other units.
    """
    times, truth_time = field.array.coords.get(field.axes.time), truth.axes.time
    if times is not None and truth_time in truth.array.coords:
        try:
            truth = truth.with_array(truth.array.sel({truth_time: times.values}))
        except KeyError as error:
            raise InputError(
                f"the truth lacks dates that {field.name} has ({error}); give a truth that covers them all"
            ) from error
    _check_same_cells(field, truth)
    return truth.stacked


def _check_same_cells(field: Field, truth: Field) -> None:
    if field.shape != truth.shape:
        raise InputError(
            f"the truth has shape {truth.array.shape}, the data {field.array.shape}; give the same dates on the same "
            "grid"
        )
    for units, others in zip(field.band_units, truth.band_units, strict=True):
        if not same_units(units, others):
            raise InputError(f"the truth is in {others or 'no units'}, the data in {units or 'no units'}; convert it")
    mismatch = difference(field, truth)
    if mismatch:
        raise InputError(
            f"the truth has other coordinates along {mismatch.kind} ({mismatch.second}) than the data "
            f"({mismatch.first}); give the same dates on the same grid"
        )
    days, truth_days = field.days, truth.days
    # Times may differ by rounding: by a hundredth of the shortest interval.
    if np.abs(days - truth_days).max() > 0.01 * np.abs(np.diff(days)).min(initial=1.0):
        raise InputError(
            f"the truth has other coordinates along time ({truth_days[0]:g} to {truth_days[-1]:g} days) than the data "
            f"({days[0]:g} to {days[-1]:g}); give the same dates on the same grid"
        )
