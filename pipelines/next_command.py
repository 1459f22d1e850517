"""Propose the command to run next on a field."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from geogan.archive.survey import Survey
from geogan.fields.field import Field
from geogan.fields.quantities import proposed_transform
from geogan.fields.variables import is_joined
from geogan.io import Source, open_domain, open_masks, variable_names
from geogan.operators.errors import InputError

Variables = Sequence[tuple[Field, Survey]]


def next_command(
    path: str | Path, source: Source, survey: Survey, variables: Variables, *, variable: str | None, domain: str | None
) -> str:
    """Return a command line: plot a filled product, corrupt a field without gaps, train on a gappy field.

    Parameters
    ----------
    path : str or Path
        The data as the user named them.
    source : Source
        The data as they were opened.
    survey : Survey
        Of the field.
    variables : sequence of (Field, Survey)
        Its variables, each with its own survey.
    variable, domain : str, optional
        As the user gave them.
    """
    field, reading = source.field, source.reading
    has_samples = variables[0][0].axes.independent
    data, first = shlex.quote(str(path)), str(variables[0][0].array.name)
    chosen = f" --variable {shlex.quote(variable)}" if variable else ""
    read_as = "".join(f" --{option} {shlex.quote(value)}" for option, value in reading.plain.items())
    if f"{first}_source" in variable_names(path, reading=reading):
        chosen = f" --variable {shlex.quote(first)}" if is_joined(field) else chosen
        return f"geogan plot {data}{chosen}{read_as} --out map.png"
    if survey.gap_free:
        operator = "remove_pixel:p=0.9" if has_samples else "cloud_mask"
        return f"geogan corrupt {data}{chosen}{read_as} --operator {operator} --out gappy.zarr"
    # Clouds hide all bands of a cell; variables have gaps of their own.
    operator = "observed_gaps" if has_samples or is_joined(field) else "cloud_mask"
    within = f" --domain {shlex.quote(domain)}" if domain else _domain_option(path, source, survey)
    return f"geogan train {data}{chosen}{read_as}{within}{_transform_option(variables)} --operator {operator}"


def _transform_option(variables: Variables) -> str:
    """Return the option with the transform that suits each variable; an empty text if none needs one."""
    proposed = [proposed_transform(part.array, survey.minimum, survey.maximum) for part, survey in variables]
    return f" --transform {','.join(each[0] if each else 'none' for each in proposed)}" if any(proposed) else ""


def _domain_option(path: str | Path, source: Source, survey: Survey) -> str:
    """Return the option with the first mask that is 1 in every cell that was ever observed."""
    for name in open_masks(path, source.field, reading=source.reading):
        try:
            cells = open_domain(path, str(name), source.field, reading=source.reading)
        except InputError:
            continue  # a flag variable with other values than 0 and 1
        if cells[survey.domain].all():
            return f" --domain {shlex.quote(str(name))}"
    return ""
