"""Check the labels of a field: sizes, places and dates."""

import pandas as pd

from geogan.fields.field import Field
from geogan.fields.geography import check_columns
from geogan.fields.grids import places_of
from geogan.fields.measured import check_numbers, file_label
from geogan.operators.errors import InputError


def check_labels(field: Field) -> pd.Index | None:
    """Check the labels of a field without reading its values.

    Returns
    -------
    pandas.Index or None
        Its dates, increasing; None if there are none, or if the samples are independent.

    Raises
    ------
    InputError
        If the field is not numeric, has no cell, has dates out of order or twice, or has the first column of a periodic
        grid twice.
    """
    axes, name = field.axes, file_label(field.array)
    check_numbers(field.array, name)
    places_of(field)
    check_columns(field.array, axes)
    times = field.array.indexes.get(axes.time) if axes.time and not axes.independent else None
    if times is not None and not (times.is_monotonic_increasing and times.is_unique):
        raise InputError(
            f"the times of {name} do not increase from one to the next; sort them with "
            f"field.sortby({axes.time!r}) and drop doubles with field.drop_duplicates({axes.time!r})"
        )
    return times
