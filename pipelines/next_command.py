"""Propose the command to run next on a field."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import xarray as xr

from geogan.archive import Survey
from geogan.fields.field import Field
from geogan.fields.quantities import proposed_transform
from geogan.fields.variables import is_joined
from geogan.io import Reading, Source, find_domain, open_masks, variable_names
from geogan.operators.errors import InputError

Variables = Sequence[tuple[Field, Survey]]


def next_command(
    paths: Sequence[str | Path],
    source: Source,
    survey: Survey,
    variables: Variables,
    selection: Mapping[str, str],
) -> str:
    """Return a command line: plot a filled product, corrupt a field without gaps, train on a gappy field.

    Parameters
    ----------
    paths : sequence of str or Path
        The data as the user named them.
    source : Source
        The data as they were opened.
    survey : Survey
        Of the field.
    variables : sequence of (Field, Survey)
        Its variables, each with its own survey.
    selection : mapping of str to str
        ``variable``, ``time`` and ``domain``, if the user gave them.
    """
    field, reading = source.field, source.reading
    has_samples = field.axes.independent
    data, first = shlex.join(map(str, paths)), str(variables[0][0].array.name)
    if f"{first}_source" in variable_names(paths, reading=reading):
        needs_variable = is_joined(field.array) or "variable" in selection
        return f"geogan plot {data}{_options({'variable': first} if needs_variable else {}, reading)} --out map.png"
    chosen = _options({name: selection[name] for name in ("variable", "time") if name in selection}, reading)
    if survey.gap_free:
        operator = "remove_pixel:p=0.9" if has_samples else "cloud_mask"
        return f"geogan corrupt {data}{chosen} --operator {operator} --out gappy.zarr"
    # Clouds hide all bands of a cell; variables have gaps of their own.
    operator = "observed_gaps" if has_samples or is_joined(field.array) else "cloud_mask"
    domain = selection.get("domain") or _fitting_mask(paths, source, survey)
    chosen += f" --domain {shlex.quote(domain)}" if domain else ""
    return f"geogan train {data}{chosen}{_transform_option(variables)} --operator {operator}"


def _options(selection: Mapping[str, str], reading: Reading) -> str:
    """Return options of the command line, each after a space."""
    return "".join(f" --{name} {shlex.quote(value)}" for name, value in (dict(selection) | reading.plain).items())


def _transform_option(variables: Variables) -> str:
    """Return the option with the transform that suits each variable; an empty text if none needs one."""
    proposed = [proposed_transform(part.array, survey.minimum, survey.maximum) for part, survey in variables]
    return f" --transform {','.join(each[0] if each else 'none' for each in proposed)}" if any(proposed) else ""


def _fitting_mask(paths: Sequence[str | Path], source: Source, survey: Survey) -> str:
    """Return the name of the first mask that is 1 in every cell that was ever observed; an empty text if none is."""
    for name in open_masks(paths, source.field, reading=source.reading):
        try:
            cells = find_domain(paths, str(name), source.field, reading=source.reading)
        except InputError:
            continue  # a flag variable with other values than 0 and 1
        if isinstance(cells, xr.DataArray) and cells.values[survey.domain].all():
            return str(name)
    return ""
