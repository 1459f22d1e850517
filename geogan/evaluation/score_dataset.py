"""League tables as an xarray Dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from geogan.evaluation.ensembles import LEVELS
from geogan.evaluation.rows import Row
from geogan.evaluation.tables import LeagueTable
from geogan.fields.spectra import Spectrum

# Long names; those of the first group have the units of the field.
_ERRORS = {
    "rmse": "root mean square error",
    "bias": "mean of estimate minus truth",
    "mae": "mean absolute error",
}
_LAW_ERRORS = {
    "crps": "continuous ranked probability score",
    "spread": "root mean predicted variance",
}
_SPREAD_SKILL = "predicted error over actual error"


def score_dataset(table: LeagueTable) -> xr.Dataset:
    """Return the scores of a league table, with the numbers of its JSON.

    Parameters
    ----------
    table : LeagueTable

    Returns
    -------
    Dataset
        Variables have the dimension ``method``, after ``variable`` if there are several variables:

        - ``rmse``, ``bias``, ``mae``, in the units of their attribute; ``cells``, ``share``.
        - ``crps``, ``spread``, ``spread_skill``, ``coverage`` and ``interval`` (both with ``level``), of the predicted
          distribution; NaN for a method that does not predict its error.
        - ``member_crps``, ..., the same scores of ensemble members, with ``ranks``.
        - ``power_ratio`` and ``member_power_ratio`` with ``wavelength`` in cells.
        - for each category, ``rmse_by_season`` with ``season``, and so on.

        With several variables, the coordinate ``units`` gives the units of each; otherwise they are attributes.
    """
    parts = [_variable_dataset(table.rows_of(variable), table.units[variable]) for variable in table.variables]
    if table.variables == [""]:
        scores = parts[0]
    else:
        names = xr.DataArray(table.variables, dims="variable", name="variable")
        scores = xr.concat(parts, dim=names, join="outer", combine_attrs="drop_conflicts")
        scores = scores.assign_coords(units=("variable", [table.units[name] for name in table.variables]))
    return scores.assign_attrs(title=f"{table.variable}: error on {table.cells}")


def _variable_dataset(rows: Sequence[Row], units: str) -> xr.Dataset:
    """Return the scores of the rows of one variable."""
    scores: dict[str, Any] = {}

    def add(name: str, values: list, long_name: str, *, dim: str | None = None, has_units: bool = False) -> None:
        attrs = {"long_name": long_name} | (
            {"units": units} if has_units and units else {} if has_units else {"units": "1"}
        )
        scores[name] = (("method",) if dim is None else ("method", dim), np.array(values), attrs)

    for name, long_name in _ERRORS.items():
        add(name, [getattr(row.score, name) for row in rows], long_name, has_units=True)
    add("cells", [row.score.cells for row in rows], "number of cells that are scored")
    add("share", [row.score.share for row in rows], "share of the cells that the method filled")
    coords: dict[str, Any] = {
        "method": [row.method for row in rows],
        "title": ("method", [LeagueTable.title(row.method) for row in rows]),
    }
    for prefix, pick in (("", lambda row: row.law), ("member_", lambda row: row.members)):
        laws = [pick(row) for row in rows]
        if any(laws):
            _add_laws(add, prefix, laws)
            coords["level"] = list(LEVELS)
    spectra = {"power_ratio": "spectrum", "member_power_ratio": "member_spectrum"}
    for name, attribute in spectra.items():
        scored: list[Spectrum | None] = [getattr(row, attribute) for row in rows]
        first = next((spectrum for spectrum in scored if spectrum is not None), None)
        if first is not None:
            coords["wavelength"] = ("wavelength", first.wavelength, {"units": "cells"})
            empty = np.full(len(first.wavelength), np.nan)
            ratios = [empty if spectrum is None else spectrum.ratio for spectrum in scored]
            add(name, ratios, "power over the power of the truth", dim="wavelength")
    for category in rows[0].parts:
        _add_category(add, coords, rows, category)
    return xr.Dataset(scores, coords)


def _add_laws(add: Callable[..., None], prefix: str, laws: list) -> None:
    """Add the scores of a predicted distribution or of members; NaN for methods without them."""

    def values(name: str) -> list[float]:
        return [np.nan if law is None else getattr(law, name) for law in laws]

    def by_level(name: str) -> list[list[float]]:
        return [[np.nan if law is None else getattr(law, name)[level] for level in LEVELS] for law in laws]

    for name, long_name in _LAW_ERRORS.items():
        add(prefix + name, values(name), long_name, has_units=True)
    add(f"{prefix}spread_skill", values("spread_skill"), _SPREAD_SKILL)
    add(f"{prefix}coverage", by_level("coverage"), "share of truths inside the central interval", dim="level")
    add(f"{prefix}interval", by_level("interval"), "interval score", dim="level", has_units=True)
    length = max((len(law.ranks) for law in laws if law is not None), default=0)
    if length and prefix:
        ranks = [[np.nan] * length if law is None else list(law.ranks) for law in laws]
        add("ranks", ranks, "number of cells by members below the truth", dim="rank")


def _add_category(add: Callable[..., None], coords: dict[str, Any], rows: Sequence[Row], category: str) -> None:
    """Add the scores in the classes of a category."""
    dim = {"distance to the nearest observation": "distance", "cloud fraction": "cloud"}.get(category, category)
    labels = list(dict.fromkeys(label for row in rows for label in row.parts.get(category, {})))
    coords[dim] = (dim, labels, {"long_name": category})
    parts = [[row.parts.get(category, {}).get(label) for label in labels] for row in rows]

    def values(name: str, attribute: str) -> list[list[float]]:
        tallies = [[None if part is None else getattr(part, attribute) for part in row] for row in parts]
        return [[np.nan if tally is None else getattr(tally, name) for tally in row] for row in tallies]

    for name, long_name in _ERRORS.items():
        add(f"{name}_by_{dim}", values(name, "score"), long_name, dim=dim, has_units=True)
    add(f"cells_by_{dim}", values("cells", "score"), "number of cells that are scored", dim=dim)
    if any(part is not None and part.law is not None for row in parts for part in row):
        add(f"crps_by_{dim}", values("crps", "law"), _LAW_ERRORS["crps"], dim=dim, has_units=True)
        add(f"spread_skill_by_{dim}", values("spread_skill", "law"), _SPREAD_SKILL, dim=dim)
