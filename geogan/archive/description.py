"""Describe a field in plain values that JSON can hold: units, grid, dates, coverage, gaps."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from geogan.archive.screening import Outliers, outlier_advice
from geogan.archive.survey import Survey
from geogan.fields.domains import Domain
from geogan.fields.field import Field
from geogan.fields.quantities import proposed_transform

Section = dict[str, Any]


def describe_field(
    field: Field,
    survey: Survey,
    variables: Sequence[tuple[Field, Survey]],
    domain: Domain,
    outliers: Outliers | None = None,
) -> dict[str, Section]:
    """Return sections on variables, grid, dates, coverage and gaps of a field, and on its outliers if they are many.

    Parameters
    ----------
    field : Field
    survey : Survey
        Of the field, counted within the domain.
    variables : sequence of (Field, Survey)
        The variables of which the field was joined, each with its own survey; a single variable is the field itself.
    domain : Domain
    outliers : Outliers, optional
        Of the field.

    Returns
    -------
    sections : dict of dict
        Values in the units of the field; durations in days.

    Examples
    --------
    >>> from geogan.archive.survey import check_field
    >>> from geogan.fields.domains import known_domain
    >>> from geogan.fields.synthetic import synthetic_sst
    >>> sst = Field.of(synthetic_sst(days=3, size=24).sst)
    >>> survey = check_field(sst)
    >>> sections = describe_field(sst, survey, [(sst, survey)], known_domain(sst, None, survey.domain))
    >>> sections["time"]
    {'kind': 'series', 'dates': 3, 'first': '2015-01-01', 'last': '2015-01-03', 'median_step_days': 1.0}
    """
    if len(variables) > 1:
        described = {
            f"variable {part.name}": _variable(part, part_survey)
            | _coverage(part, part_survey)
            | {"gaps": _gaps(part_survey)}
            for part, part_survey in variables
        }
    else:
        described = {"variable": _variable(field, survey)}
    domain_text = domain.sentence(survey.domain).removeprefix("domain: ")
    share = 0.0 if outliers is None else outliers.share
    advice = outlier_advice(str(field.array.name), share)
    found = {} if advice is None else {"outliers": {"suspicious_share": share, "advice": advice}}
    return described | {
        "grid": _grid(field),
        "samples" if field.axes.independent else "time": _time(field, survey),
        "coverage": {"domain": domain_text} | _coverage(field, survey),
        "gaps": _gaps(survey),
        **found,
    }


def _variable(field: Field, survey: Survey) -> Section:
    """Return name, unit, range and bands of a variable, and the transform that suits it."""
    array, proposed = field.array, proposed_transform(field.array, survey.minimum, survey.maximum)
    section = {
        "name": str(array.name),
        "long_name": array.attrs.get("long_name") or array.attrs.get("standard_name"),
        "units": array.attrs.get("units"),
        "smallest": survey.minimum,
        "largest": survey.maximum,
    }
    if field.axes.band is not None:
        section["bands"] = list(field.band_names) or field.bands
    if proposed:
        section["transform"] = f"try --transform {proposed[0]} ({proposed[1]})"
    return section


def _grid(field: Field) -> Section:
    """Return sizes, stored chunks and steps of the grid."""
    array, axes, (dy, dx) = field.array, field.axes, field.grid_step
    stored = array.encoding.get("preferred_chunks") or {}
    roles = {"time": axes.time, "band": axes.band, "y": axes.y, "x": axes.x}
    section = {
        "dimensions": {role: dim for role, dim in roles.items() if dim is not None},
        "sizes": {str(dim): int(size) for dim, size in array.sizes.items()},
        "stored_chunks": {str(dim): int(size) for dim, size in stored.items()} or None,
        f"step_{axes.y}": _with_units(dy, array, axes.y),
        f"step_{axes.x}": _with_units(dx, array, axes.x),
    }
    return section | ({"is_periodic": True} if field.is_periodic else {})


def _time(field: Field, survey: Survey) -> Section:
    """Return number, range and step of the dates, or the number of samples."""
    if field.axes.independent:
        return {"samples": field.shape[0]}
    if field.axes.time is None or field.shape[0] == 1:
        date = {} if survey.first is None else {"first": _date_text(survey.first)}
        return {"kind": "single scene", "dates": 1, **date}
    steps = np.diff(field.days)
    return {
        "kind": "series",
        "dates": field.shape[0],
        "first": _date_text(survey.first),
        "last": _date_text(survey.last),
        "median_step_days": float(np.median(steps)) if steps.size else None,
    }


def _coverage(field: Field, survey: Survey) -> Section:
    """Return the size of the domain and the share of it that was observed."""
    shares = survey.seen_share
    entry = "sample" if field.axes.independent else "date"
    return {
        "domain_cells": survey.cells,
        "all_cells": int(survey.domain.size),
        "domain_share": survey.cells / survey.domain.size,
        "observed_share": survey.observed / (survey.cells * field.bands * shares.size),
        f"observed_share_of_a_{entry}": {
            "smallest": float(shares.min()),
            "median": float(np.median(shares)),
            "largest": float(shares.max()),
        },
        f"{entry}s_without_any": int((shares == 0).sum()),
    }


def _gaps(survey: Survey) -> Section:
    """Return the number of missing values by the rule that marks them; rules are named with underscores."""
    return {rule.replace(" ", "_"): count for rule, count in survey.gaps.items()}


def _with_units(step: float, array: xr.DataArray, dim: str) -> str:
    units = str(array[dim].attrs.get("units", "")) if dim in array.coords else "index"
    return f"{step:.6g} {units}".strip()


def _date_text(time: Any) -> str | None:
    if time is None:
        return None
    text = str(np.datetime64(time).astype("M8[s]")) if isinstance(time, np.datetime64) else str(time)
    return text.replace("T", " ").removesuffix(" 00:00:00")
