"""One look at all of a field, which refuses what cannot be filled."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from geogan.compute.regions import Region
from geogan.compute.streaming import parts
from geogan.fields.field import Field
from geogan.fields.geography import check_columns
from geogan.fields.grids import places_of
from geogan.fields.marks import GAP_RULES, count_gaps, is_unreadable
from geogan.fields.variables import is_joined, is_repeated, own_bands
from geogan.io.measured import check_finite, check_numbers, label_of
from geogan.operators.errors import InputError

# The NetCDF library's default fill value of floats, in single precision.
_NETCDF_FILL = np.float32(9.969209968386869e36)


class Survey(NamedTuple):
    """What one pass over a field tells.

    Parameters
    ----------
    cells : int
        Cells of the domain.
    observed : int
        Values measured there, all dates together.
    minimum, maximum : float
        Of the measured values, in the field's units.
    first, last : datetime64, cftime.datetime, float or None
        First and last time; None without a time coordinate.
    domain : ndarray of bool, shape (y, x)
        True where a value was ever seen; of independent samples everywhere.
    seen_share : ndarray of float64, shape (T,)
        Share of the domain seen at each date, all bands together.
    gap_free : bool
        Whether every cell of the domain is seen at every date, in every band.
    gaps : dict of str to int
        Missing values of all cells: by ``_FillValue`` or as NaN, by each rule of
        :data:`geogan.fields.marks.GAP_RULES`, and those that could not be read.
    """

    cells: int
    observed: int
    minimum: float
    maximum: float
    first: Any
    last: Any
    domain: np.ndarray
    seen_share: np.ndarray
    gap_free: bool
    gaps: dict[str, int]


def gap_sentences(survey: Survey, field: Field) -> list[str]:
    """Return a sentence for each rule but ``_FillValue`` by which values of a field are missing.

    Examples
    --------
    >>> from geogan.io.missing import decided
    >>> maps = xr.DataArray([[1.0, 2.0, -99.0]], dims=("y", "x"), name="sst", attrs={"valid_min": -2.0})
    >>> field = Field.of(decided(maps))
    >>> gap_sentences(check_field(field), field)
    ['1 value of sst is a gap by valid_range (valid_min -2)']
    """
    found = []
    for rule, count in survey.gaps.items():
        if count and rule in GAP_RULES:
            are = "value of {} is a gap" if count == 1 else "values of {} are gaps"
            found.append(f"{count:,} {are.format(field.name)} by {rule}{_stated(rule, field.array)}")
    return found


def _stated(rule: str, field: xr.DataArray) -> str:
    """Return what the field states about a rule, in brackets."""
    keys = ("valid_range", "valid_min", "valid_max") if rule == "valid_range" else (rule,)
    texts = []
    for key in keys:
        value = field.attrs.get(key, field.encoding.get(key))
        if value is not None:
            numbers = " ".join(f"{each:g}" if isinstance(each, np.number) else str(each) for each in np.ravel(value))
            texts.append(numbers if key == rule else f"{key} {numbers}")
    return f" ({', '.join(texts)[:60]})" if texts else ""


def check_labels(field: Field) -> pd.Index | None:
    """Refuse, without a look at its values, a field of no numbers, without any cell, or with dates out of order.

    So is a grid that goes round the globe and has its first column twice.

    Returns
    -------
    pandas.Index or None
        Its dates, increasing; None where there are none, or none that mean an order.

    Raises
    ------
    InputError
    """
    axes, name = field.axes, label_of(field.array)
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


def check_field(
    field: Field,
    *,
    within: np.ndarray | None = None,
    look: Callable[[Region, np.ndarray], None] | None = None,
    message: Callable[[str], None] = lambda sentence: None,
) -> Survey:
    """Look once at all of a field, and refuse what cannot be filled.

    Parameters
    ----------
    field : Field
        Each chunk is read once; memory is bounded by a few of them.
    within : ndarray of bool, shape (y, x), optional
        The domain, where it is known: what is seen outside does not count. By default, where a value was ever seen.
    look : callable, optional
        Shown every part of it too, (t, C, h, w), and where it is: an archive on disk should be read but once.
    message : callable
        Called with how far it is, where it takes long.

    Returns
    -------
    survey : Survey

    Raises
    ------
    InputError
        If the variable is not numeric, a dimension is empty, dates are out of order or double, a chunk cannot
        be read, a value is infinite, there is no value at all, or all values are equal.

    Examples
    --------
    >>> maps = xr.DataArray([[[1.0, np.nan]], [[2.0, np.nan]]], dims=("time", "y", "x"), name="sst")
    >>> survey = check_field(Field.of(maps))
    >>> survey.cells, survey.observed, survey.gap_free
    (1, 2, True)
    """
    name, times = label_of(field.array), check_labels(field)
    count, bands, *grid = field.shape
    own = own_bands(field.array) if is_repeated(field.array) else slice(None)
    domain, of_bands = np.zeros(grid, bool), np.zeros((count, bands), int)
    by_rule, lost, nans = np.zeros(len(GAP_RULES), int), 0, 0
    least, most = np.full(bands, np.inf), np.full(bands, -np.inf)
    for region, part in parts(field.stacked, what=f"reading {name}", message=message):
        (t, y, x), seen = region, ~np.isnan(part)
        domain[y, x] |= seen.any(axis=(0, 1))
        if not seen.all():
            # Directions stand twice, and their gaps are counted once.
            by_rule += count_gaps(part[:, own])
            lost += int(is_unreadable(part[:, own]).sum())
            nans += int(seen[:, own].size - np.count_nonzero(seen[:, own]))
        of_bands[t] += (seen if within is None else seen & within[y, x]).sum(axis=(2, 3))
        least = np.minimum(least, np.where(seen, part, np.inf).min(axis=(0, 2, 3)))
        most = np.maximum(most, np.where(seen, part, -np.inf).max(axis=(0, 2, 3)))
        if look is not None:
            look(region, part)
    if field.axes.independent:
        # What a cell is in one sample says nothing of what it is in another.
        domain = np.ones_like(domain)
    cells = int((domain if within is None else within).sum())
    counts, lowest, highest = of_bands.sum(1), least.min(), most.max()
    gaps = {"_FillValue or NaN": nans - int(by_rule.sum()) - lost}
    gaps |= dict(zip(GAP_RULES, by_rule.tolist(), strict=True)) | {"unreadable": lost}
    observed = int(counts.sum())
    if is_joined(field.array):
        for band, variable in enumerate(field.band_names):
            _check_values(f"variable {variable!r}", least[band], most[band], gaps)
    _check_values(name, lowest, highest, gaps)
    first, last = (times[0], times[-1]) if times is not None else (None, None)
    return Survey(
        cells=cells,
        observed=observed,
        minimum=float(lowest),
        maximum=float(highest),
        first=first,
        last=last,
        domain=domain,
        seen_share=counts / max(1, cells * bands),
        gap_free=observed == cells * bands * count,
        gaps=gaps,
    )


def _check_values(name: str, lowest: float, highest: float, gaps: dict[str, int]) -> None:
    rules = [f"{count:,} by {rule}" for rule, count in gaps.items() if count and rule in GAP_RULES]
    if lowest > highest and rules:
        raise InputError(
            f"{name} holds no value at all, only gaps ({', '.join(rules)}); check these attributes, the variable and "
            "the dates chosen"
        )
    if lowest > highest:
        raise InputError(
            f"{name} holds no value at all, only gaps; check the variable, the dates chosen and, for a Zarr "
            "store, that its copy is complete"
        )
    if highest == _NETCDF_FILL:
        raise InputError(
            f"{name} holds {_NETCDF_FILL:g}, which NetCDF writes where there is no value; set it to NaN, for example "
            "field.where(field < 9e36)"
        )
    check_finite(name, np.array([lowest, highest]))
    if lowest == highest:
        raise InputError(f"{name} is {float(lowest):g} wherever it is seen; a constant field has nothing to learn")
