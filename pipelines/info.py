"""``geogan info``: what is in a field or a run, and what to do with it."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from geogan.archive.screening import MANY, Outliers, suspicion
from geogan.archive.survey import Survey, check_field
from geogan.compute.streaming import stored_chunks
from geogan.fields.axes import Axes, band_names, days, find_axes, grid_step, is_periodic, stacked
from geogan.fields.domains import known_domain, named_domain
from geogan.fields.durations import duration
from geogan.fields.quantities import proposed_transform
from geogan.fields.variables import is_joined, split_variables
from geogan.files.run_folder import RUN, STATE, holds, is_run, read_run
from geogan.files.user_path import user_path
from geogan.filling.chunks import KEPT_BYTES, default_reads, good_cost, grid_cost, reading_cost, warning
from geogan.filling.plan import cut_grid
from geogan.io import Reading, find_domain, open_domain, open_masks, open_source, variable_names
from geogan.operators.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Section = dict[str, Any]
# Durations: JSON holds them in days, as their names say; a table in the unit that suits them.
_IN_DAYS = ("median_step_days", "persistence_days")


def info(
    path: str | Path,
    *,
    variable: str | None = None,
    domain: str | None = None,
    group: str | None = None,
    dims: str | Mapping[str, str] | None = None,
    where: str | None = None,
    console: "Console | None" = None,
) -> dict[str, Section | str]:
    """Look at a field, a filled product, or a run.

    Parameters
    ----------
    path : str or Path
        As in `geogan.io.open_field`, or the folder of a run. A field is read once, block by block.
    variable : str, optional
        Needed where there are several measured variables; several names, with commas between, are looked at together.
    domain : str, optional
        What coverage is counted in, as in `geogan.io.find_domain`; by default where anything was observed. What a
        training would choose is told beside it.
    group, dims, where : str, optional
        How the data are read, as in `geogan.io.open_field`.
    console : Console, optional
        Where to print it as tables.

    Returns
    -------
    info : dict
        Sections by name, each a dict of plain values that JSON can hold, in the units that they name, of several
        variables one for each;
        ``kind`` is ``"data"`` or ``"run"``, ``next`` a command to go on with.

    Raises
    ------
    InputError
        If nothing is there, it cannot be read, or it holds no field that could be filled.

    Examples
    --------
    >>> import tempfile
    >>> from geogan.fields.synthetic import synthetic_sst
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     synthetic_sst(days=3, size=24).to_netcdf(f"{folder}/sea.nc")
    ...     found = info(f"{folder}/sea.nc")
    >>> found["variable"]["units"], found["coverage"]["observed_share"]
    ('degree_Celsius', 1.0)
    """
    reading = Reading.of(group, dims, where)
    if is_run(path):
        if variable is not None:
            raise InputError(f"{path} is a run, which names its own variables; leave variable out")
        if domain is not None:
            raise InputError(f"{path} is a run, which has its own domain; leave domain out")
        if reading.plain:
            given = ", ".join(reading.plain)
            raise InputError(f"{path} is a run, which says how its data are read; leave {given} out")
        found = _run(user_path(path))
    else:
        found = _data(path, variable, domain, reading)
    if console is not None:
        _print(found, console)
    return found


def _data(path: str | Path, variable: str | None, domain: str | None, reading: Reading) -> dict[str, Section | str]:
    source = open_source(path, variable=variable, reading=reading)
    reading = source.reading
    field = source.field
    axes = find_axes(field)
    asked = None if domain is None else named_domain(field, find_domain(path, domain, field, reading=reading))
    outliers = Outliers(field.size, independent=axes.independent)
    survey = check_field(field, axes, within=None if asked is None else asked.cells, look=outliers.add)
    if asked is None:
        masks: str | xr.Dataset | None = domain
        if domain is None:
            masks = xr.Dataset() if axes.independent else open_masks(path, field, reading=reading)
        asked = known_domain(field, masks, survey.domain, is_scene=len(survey.seen_share) == 1)
    dy, dx = grid_step(field, axes)
    stored = field.encoding.get("preferred_chunks") or {}
    if is_joined(field):
        each = [(one, check_field(one, find_axes(one))) for one in split_variables(field)]
        described = {
            f"variable {one.name}": _variable(one, own) | _coverage(one, own) | {"gaps": _gaps(own)}
            for one, own in each
        }
    else:
        described = {"variable": _variable(field, survey)}
    return {
        "kind": "data",
        **described,
        **_outliers(field, outliers),
        "grid": {
            "sizes": {str(dim): int(size) for dim, size in field.sizes.items()},
            "stored_chunks": {str(dim): int(size) for dim, size in stored.items()} or None,
            "fill_reads_each_byte": _times_read(field, axes),
            f"step_{axes.y}": _with_units(dy, field, axes.y),
            f"step_{axes.x}": _with_units(dx, field, axes.x),
        }
        | ({"is_periodic": True} if is_periodic(field, axes) else {}),
        "samples" if axes.independent else "time": _time(field, axes, survey),
        "coverage": {"domain": asked.sentence(survey.domain).removeprefix("domain: ")} | _coverage(field, survey),
        "gaps": _gaps(survey),
        **({"reading": {"notes": list(source.notes)}} if source.notes else {}),
        "next": _next(path, variable, domain, field, survey, reading),
    }


def _gaps(survey: Survey) -> Section:
    """Return how many values each rule took for missing; words of its name are joined by underscores."""
    return {rule.replace(" ", "_"): count for rule, count in survey.gaps.items()}


def _times_read(field: xr.DataArray, axes: Axes) -> str:
    """How often a fill under default settings reads each byte, and what to do about it where that is often."""
    if axes.time is None or field.chunks is None:
        return "once"
    count, shape = field.sizes[axes.time], (field.sizes[axes.y], field.sizes[axes.x])
    values = field.size // count
    chunks = stored_chunks(stacked(field, axes))
    preferred = field.encoding.get("preferred_chunks") or {}
    stored = [int(preferred.get(dim, field.sizes[dim])) for dim in (axes.time, axes.y, axes.x)]
    dates, down, across = cut_grid(
        shape,
        bands=values // (shape[0] * shape[1]),
        alone=axes.independent or count == 1,
        is_periodic=is_periodic(field, axes),
    )
    least = None
    if len(down) * len(across) == 1:
        kept = KEPT_BYTES // (values * field.dtype.itemsize)
        cost = reading_cost(default_reads(count, values), chunks[0], kept=kept)
    else:
        reads = default_reads(count, values, dates=dates)
        ys, xs = ([part.read for part in side] for side in (down, across))
        kept = KEPT_BYTES * shape[0] * shape[1] // (values * field.dtype.itemsize)
        cost = grid_cost(reads, ys, xs, chunks, kept=kept)
        least = good_cost(reads, ys, xs, (count, *shape))
    words = warning(cost, stored, least=least)
    return f"{cost.times:.1f} times" + (f"; {words.split('; ')[-1]}" if words else "")


def _outliers(field: xr.DataArray, found: Outliers) -> dict[str, Section]:
    """What is to be said of suspicious values, where there are many."""
    if found.share <= MANY:
        return {}
    return {"outliers": {"suspicious_share": found.share, "advice": suspicion(str(field.name), found.share)}}


def _variable(field: xr.DataArray, survey: Survey) -> Section:
    axes, proposed = find_axes(field), proposed_transform(field, survey.minimum, survey.maximum)
    bands = {} if axes.band is None else {"bands": list(band_names(field, axes)) or field.sizes[axes.band]}
    return (
        {
            "name": str(field.name),
            "long_name": field.attrs.get("long_name") or field.attrs.get("standard_name"),
            "units": field.attrs.get("units"),
            "smallest": survey.minimum,
            "largest": survey.maximum,
        }
        | bands
        | ({"transform": f"try --transform {proposed[0]} ({proposed[1]})"} if proposed else {})
    )


def _coverage(field: xr.DataArray, survey: Survey) -> Section:
    axes, shares = find_axes(field), survey.seen_share
    bands = 1 if axes.band is None else field.sizes[axes.band]
    entry = "sample" if axes.independent else "date"
    return {
        "domain_cells": survey.cells,
        "all_cells": int(survey.domain.size),
        "observed_share": survey.observed / (survey.cells * bands * shares.size),
        f"observed_share_of_a_{entry}": {
            "smallest": float(shares.min()),
            "median": float(np.median(shares)),
            "largest": float(shares.max()),
        },
        f"{entry}s_without_any": int((shares == 0).sum()),
    }


def _time(field: xr.DataArray, axes: Axes, survey: Survey) -> Section:
    if axes.time is None:
        return {"dates": 1}
    if axes.independent:
        return {"samples": int(field.sizes[axes.time])}
    apart = np.diff(days(field, axes))
    return {
        "dates": int(field.sizes[axes.time]),
        "first": _written(survey.first),
        "last": _written(survey.last),
        "median_step_days": float(np.median(apart)) if apart.size else None,
    }


def _next(
    path: str | Path,
    variable: str | None,
    domain: str | None,
    field: xr.DataArray,
    survey: Survey,
    reading: Reading,
) -> str:
    name, samples = shlex.quote(str(path)), find_axes(field).independent
    how = "".join(f" --{option} {shlex.quote(value)}" for option, value in reading.plain.items())
    chosen = f" --variable {shlex.quote(variable)}" if variable else ""
    first = split_variables(field)[0].name
    if f"{first}_source" in variable_names(path, reading=reading):
        chosen = f" --variable {shlex.quote(str(first))}" if is_joined(field) else chosen
        return f"geogan plot {name}{chosen}{how} --out map.png"
    if survey.gap_free:
        operator = "remove_pixel:p=0.9" if samples else "cloud_mask"
        return f"geogan corrupt --data {name}{chosen}{how} --operator {operator} --out gappy.zarr"
    # Clouds hide all bands of a cell; variables have gaps of their own.
    operator = "observed_gaps" if samples or is_joined(field) else "cloud_mask"
    chosen_domain = f" --domain {shlex.quote(domain)}" if domain else _domain_option(path, field, survey, reading)
    given = f"{chosen_domain}{_transform_option(field, survey)}"
    return f"geogan train --data {name}{chosen}{how}{given} --operator {operator}"


def _transform_option(field: xr.DataArray, survey: Survey) -> str:
    """The transform that suits the field, or those of its variables."""
    each = [(one, check_field(one, find_axes(one))) for one in split_variables(field)] if is_joined(field) else []
    found = [proposed_transform(one, own.minimum, own.maximum) for one, own in each or [(field, survey)]]
    return f" --transform {','.join(one[0] if one else 'none' for one in found)}" if any(found) else ""


def _domain_option(path: str | Path, field: xr.DataArray, survey: Survey, reading: Reading) -> str:
    """The first mask that is 1 at sea: 1 wherever anything was seen, which a mask of land is not."""
    for name in open_masks(path, field, reading=reading):
        try:
            sea = open_domain(path, str(name), field, reading=reading)
        except InputError:
            continue  # flags of another kind
        if sea[survey.domain].all():
            return f" --domain {shlex.quote(str(name))}"
    return ""


def _run(path: Path) -> dict[str, Section | str]:
    # Here, for a field needs no torch and is looked at in a third of the time.
    from geogan.model.model_file import load_model
    from geogan.operators.parse import describe
    from geogan.training.state_file import read_state_text

    model = load_model(path)
    settings, scores = dict(model.settings), model.scores
    described = read_run(path) if holds(path, RUN) else {}
    trained_on = described.get("data")
    resumable = holds(path, STATE)
    state = read_state_text(path) if resumable else {}
    steps, seconds = state.get("step", scores.get("steps")), state.get("seconds", scores.get("seconds"))
    prior = model.prior
    name = shlex.quote(str(path))
    data = " ".join(f"--data {shlex.quote(str(part))}" for part in trained_on or ["DATA"])
    return {
        "kind": "run",
        "trained_on": {
            "data": trained_on,
            "variable": model.variable,
            "units": ", ".join(model.band_units) or model.units,
            "bands": [model.bands[band] for band in model.standardiser.own if model.bands]
            or len(model.standardiser.own),
            "cells": list(model.domain.shape),
            "domain": described.get("domain"),
            "domain_cells": int(model.domain.sum()),
            "time": described.get("time"),
            "climatology": model.standardiser.note,
            "transform": model.standardiser.asked,
        },
        "operator": {"operator": describe(model.operator)},
        "first_guess": {"used": False}
        if prior is None
        else {
            "used": True,
            "covariance": "stationary" if prior.stationary else "the archive's own",
            "length_cells": _number(prior.length),
            "persistence_days": _number(prior.persistence),
            "noise": _number(prior.noise),
        },
        "training": {
            "steps": steps,
            "minutes": None if seconds is None else seconds / 60,
            "network_parameters": 0
            if model.network is None
            else sum(parameter.numel() for parameter in model.network.parameters()),
            "precision": model.precision,
            "can_be_resumed": resumable,
        },
        "errors_on_withheld_observations": {
            "units": scores.get("units", model.units),
            "rmse": _number(scores.get("withheld")),
            "rmse_of_first_guess": _number(scores.get("first_guess")),
            "cells": scores.get("cells"),
            "dates": scores.get("dates"),
        },
        "members": {"smoothing_steps": model.smoothing},
        "settings": settings,
        "next": f"geogan fill {data} --model {name} --out filled.zarr",
    }


def _number(value: Any) -> float | None:
    """A finite number, or None: JSON has no NaN."""
    return float(value) if value is not None and np.isfinite(value) else None


def _with_units(step: float, field: xr.DataArray, dim: str) -> str:
    units = str(field[dim].attrs.get("units", "")) if dim in field.coords else "index"
    return f"{step:.6g} {units}".strip()


def _written(time: Any) -> str | None:
    if time is None:
        return None
    text = str(np.datetime64(time).astype("M8[s]")) if isinstance(time, np.datetime64) else str(time)
    return text.replace("T", " ").removesuffix(" 00:00:00")


def _print(found: dict[str, Section | str], console: "Console") -> None:
    for title, section in found.items():
        if isinstance(section, dict):
            console.print(_table(title, section))
            console.print()
    console.print("next", style="bold", highlight=False)
    console.print(found["next"], markup=False, highlight=False, soft_wrap=True)


def _table(title: str, section: Section) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title.replace("_", " "), title_justify="left", title_style="bold", box=None)
    table.show_header = False
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in section.items():
        if name in _IN_DAYS and isinstance(value, float):
            name, value = name.removesuffix("_days"), duration(value)
        # Rules for missing values have the names of attributes.
        table.add_row(Text(name if title == "gaps" else name.replace("_", " ")), Text(_shown(name, value)))
    return table


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(name, part)}" for key, part in value.items())
    if isinstance(value, (list, tuple)):
        return " × ".join(map(str, value)) if name == "cells" else " ".join(map(str, value))
    if isinstance(value, float) and "share" in name:
        return f"{value:.1%}"
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
