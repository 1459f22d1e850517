"""Survey a field in one pass, and refuse a field that cannot be filled."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from geogan.compute.extent import Extent
from geogan.compute.streaming import read_parts
from geogan.fields.field import Field
from geogan.fields.labels import check_labels
from geogan.fields.marks import GAP_RULES, count_gaps, is_unreadable
from geogan.fields.measured import check_finite, file_label
from geogan.fields.variables import is_joined, is_repeated, own_bands
from geogan.operators.errors import InputError


class Survey(NamedTuple):
    """Counts and extremes of a field.

    Parameters
    ----------
    cells : int
        Cells of the domain.
    observed : int
        Number of observed values in the domain, on all dates.
    minimum, maximum : float
        Smallest and largest observed value, in units of the field.
    first, last : datetime64, cftime.datetime, float or None
        First and last time; None without a time coordinate.
    domain : ndarray of bool, shape (y, x)
        True where a value was observed on any date; everywhere for independent samples.
    seen_share : ndarray of float64, shape (T,)
        Share of the domain observed on each date, over all bands.
    gap_free : bool
        Whether every cell of the domain is observed on every date, in every band.
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

    def gap_sentences(self, field: Field) -> list[str]:
        """Return a sentence for each rule other than ``_FillValue`` by which values of a field are missing.

        Examples
        --------
        >>> from geogan.io import as_field
        >>> maps = xr.DataArray([[1.0, 2.0, -99.0]], dims=("y", "x"), name="sst", attrs={"valid_min": -2.0})
        >>> field = as_field(maps)
        >>> check_field(field).gap_sentences(field)
        ['1 value of sst is a gap by valid_range (valid_min -2)']
        """
        sentences = []
        for rule, count in self.gaps.items():
            if count and rule in GAP_RULES:
                are = "value of {} is a gap" if count == 1 else "values of {} are gaps"
                sentences.append(f"{count:,} {are.format(field.name)} by {rule}{_attributes(rule, field.array)}")
        return sentences


def _attributes(rule: str, field: xr.DataArray) -> str:
    """Return the attributes of the field that state a rule, in brackets."""
    keys = ("valid_range", "valid_min", "valid_max") if rule == "valid_range" else (rule,)
    texts = []
    for key in keys:
        value = field.attrs.get(key, field.encoding.get(key))
        if value is not None:
            numbers = " ".join(f"{part:g}" if isinstance(part, np.number) else str(part) for part in np.ravel(value))
            texts.append(numbers if key == rule else f"{key} {numbers}")
    return f" ({', '.join(texts)[:60]})" if texts else ""


def check_field(
    field: Field,
    *,
    within: np.ndarray | None = None,
    look: Callable[[Extent, np.ndarray], None] | None = None,
    message: Callable[[str], None] = lambda sentence: None,
) -> Survey:
    """Survey a field in one pass, and refuse a field that cannot be filled.

    Parameters
    ----------
    field : Field
        Each chunk is read once; memory is bounded by a few of them.
    within : ndarray of bool, shape (y, x), optional
        The domain, if it is known; observations outside do not count. By default, the cells with any observation.
    look : callable, optional
        Called with the extent and the values (t, C, h, w) of every part, for work in the same pass.
    message : callable
        Called with a report of progress if the pass takes long.

    Returns
    -------
    survey : Survey

    Raises
    ------
    InputError
        If the variable is not numeric, a dimension is empty, dates are out of order or twice, a chunk cannot be read,
        a value is infinite, there is no value, or all values are equal.

    Examples
    --------
    >>> maps = xr.DataArray([[[1.0, np.nan]], [[2.0, np.nan]]], dims=("time", "y", "x"), name="sst")
    >>> survey = check_field(Field.of(maps))
    >>> survey.cells, survey.observed, survey.gap_free
    (1, 2, True)
    """
    name, times = file_label(field.array), check_labels(field)
    count, bands, *grid = field.shape
    # Directions have two bands each, whose gaps are counted once.
    single = own_bands(field.array) if is_repeated(field.array) else slice(None)
    domain, counts_by_band = np.zeros(grid, bool), np.zeros((count, bands), int)
    by_rule, unread, nans = np.zeros(len(GAP_RULES), int), 0, 0
    least, most = np.full(bands, np.inf), np.full(bands, -np.inf)
    for extent, part in read_parts(field.stacked, what=f"reading {name}", message=message):
        (t, y, x), seen = extent, ~np.isnan(part)
        domain[y, x] |= seen.any(axis=(0, 1))
        if not seen.all():
            by_rule += count_gaps(part[:, single])
            unread += int(is_unreadable(part[:, single]).sum())
            nans += int(seen[:, single].size - np.count_nonzero(seen[:, single]))
        counts_by_band[t] += (seen if within is None else seen & within[y, x]).sum(axis=(2, 3))
        least = np.minimum(least, np.where(seen, part, np.inf).min(axis=(0, 2, 3)))
        most = np.maximum(most, np.where(seen, part, -np.inf).max(axis=(0, 2, 3)))
        if look is not None:
            look(extent, part)
    if field.axes.independent:
        # A cell may be observed in any other sample.
        domain = np.ones_like(domain)
    cells = int((domain if within is None else within).sum())
    counts, lowest, highest = counts_by_band.sum(1), least.min(), most.max()
    gaps = {"_FillValue or NaN": nans - int(by_rule.sum()) - unread}
    gaps |= dict(zip(GAP_RULES, by_rule.tolist(), strict=True)) | {"unreadable": unread}
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
    """Refuse extremes that are not those of observations, and a constant field."""
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
    # The default fill value of the NetCDF library for floats, in single precision.
    netcdf_fill = np.float32(9.969209968386869e36)
    if highest == netcdf_fill:
        raise InputError(
            f"{name} holds {netcdf_fill:g}, which NetCDF writes where there is no value; set it to NaN, for example "
            "field.where(field < 9e36)"
        )
    check_finite(name, np.array([lowest, highest]))
    if lowest == highest:
        raise InputError(f"{name} is {float(lowest):g} wherever it is observed; a constant field has nothing to learn")
