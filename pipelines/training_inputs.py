"""Open the field that a training reads, and what goes with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from geogan.fields.covariates import MADE, label, named
from geogan.fields.field import Field
from geogan.fields.time_range import is_relative, span_of
from geogan.io import Reading, find_domain, find_paths, open_covariates, open_masks, open_source, variable_names
from geogan.settings import DataConfig, Settings


@dataclass
class OpenedInputs:
    """Fields that a training reads, and the description of their sources."""

    field: Field
    beside: dict[str, Any]  # keyword arguments of Reconstructor.fit
    description: dict[str, Any]  # content of run.json
    notes: Sequence[str]


def open_inputs(
    data: DataConfig, settings: Settings, *, dates: str | None, begins: bool, skip_bad: bool = False
) -> OpenedInputs:
    """Open the field with its domain, errors, covariates and clean fields.

    Parameters
    ----------
    data : DataConfig
    settings : Settings
    dates : str, optional
        First and last date of the run that is resumed, in place of the dates of the configuration.
    begins : bool
        Whether training begins. A new training needs the domain; a resumed one has it in the model.
    skip_bad : bool
        Take chunks that cannot be read for gaps.
    """
    reading = Reading.of(data.group, data.dims, data.where)
    beside_field = [name for name in settings.covariates if name not in MADE]
    covariates = open_covariates(data.data, beside_field, reading=reading) if beside_field else None
    besides = (*map(label, beside_field), *named(data.error_variable or ()))
    source = open_source(
        data.data,
        variable=data.variable,
        time=dates or data.time,
        besides=besides,
        skip_bad=skip_bad,
        reading=reading,
    )
    reading = source.reading
    if not data.allow_product:
        source.check_measured()
    mask: xr.DataArray | xr.Dataset | str | None = None
    if begins and data.domain is not None:
        mask = find_domain(data.data, data.domain, source.field, reading=reading)
    elif begins and not source.field.axes.independent:
        mask = open_masks(data.data, source.field, reading=reading)
    errors = None
    if data.error_variable is not None:
        plain = reading.unconditional()
        opened = open_source(data.data, variable=data.error_variable, time=dates or data.time, reading=plain)
        errors = opened.field.array
    clean = None
    if data.clean:
        clean = open_clean(data.clean, str(source.field.array.name), data.time, reading.beside())
    span = span_of(source.field)
    description = {
        "data": [str(path) for path in source.paths],
        "variable": str(source.field.array.name),
        "domain": data.domain,
        # The last date of the archive will be another one when the run is read.
        "time": span if data.time is not None and is_relative(data.time) else data.time,
        "dates": span,
        "error_variable": data.error_variable,
        "clean": find_paths(data.clean) if data.clean else [],
        **reading.plain,
    }
    beside = {"domain": mask, "clean": clean, "covariates": covariates, "error": errors}
    return OpenedInputs(source.field, beside, description, source.notes)


def open_clean(
    data: Sequence[str | Path], variable: str, time: str | None, reading: Reading = Reading()
) -> xr.DataArray:
    """Return the variable, or the variables, of that name in clean data; else their only variable."""
    name = variable if "," in variable or variable in variable_names(data, reading=reading) else None
    return open_source(data, variable=name, time=time, reading=reading).field.array
