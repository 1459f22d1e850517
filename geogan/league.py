"""A league table: methods that fill the same gaps, scored on the same cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr

from geogan.archive import Archive
from geogan.baselines.biharmonic import biharmonic
from geogan.baselines.climatology import climatology
from geogan.baselines.linear_time import linear_time
from geogan.coordinates import find_axes, stacked
from geogan.filling import Plan, fill_slab, plan
from geogan.metrics import Score, Tally
from geogan.model import Model
from geogan.operators.errors import InputError
from geogan.parallel import side_by_side
from geogan.tiles import Tile

METHODS = ("climatology", "linear_time", "biharmonic", "gaussian", "model")
# Dates on either side in which linear interpolation looks for observations.
LOOK = 60


class Row(NamedTuple):
    """One line of the table."""

    method: str
    score: Score


def league(
    models: dict[str, Model],
    archive: Archive,
    *,
    truth: xr.DataArray | None = None,
    methods: Sequence[str] = METHODS,
    device: torch.device | None = None,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Score every method on the same cells.

    Parameters
    ----------
    models : dict of Model
        By name; the first also gives the Gaussian MAP of the table.
    archive : Archive
        What the methods see. Without ``truth`` its withheld observations are what they are scored on.
    truth : DataArray, shape ([T,] [C,] H, W), optional
        A fuller field: methods are scored on what is in it and not in the archive.
    methods : sequence of str
        Of :data:`METHODS`.
    device : torch.device, optional
    threads : int, optional
        Stretches at a time; by default one a core.
    progress : callable, optional
        Called with the stretches done and their number.

    Returns
    -------
    list of Row
        In the order of the methods; every score over the same cells, all bands together: in the field's units,
        or in anomalies where its bands have no unit in common. Samples have no time to interpolate in, so
        ``linear_time`` is left out.

    Raises
    ------
    InputError
        For an unknown method, or when there is no cell to score on.
    """
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        raise InputError(f"unknown method {unknown[0]!r}; there are {', '.join(METHODS)}")
    truth = None if truth is None else stacked(truth, find_axes(truth))
    models = {name: each.on(device) for name, each in models.items()}
    model = next(iter(models.values()))
    fillers: dict[str, Model | str] = {}
    for name in methods:
        if name == "model":
            fillers |= models
        elif name == "gaussian":
            if model.prior is not None:
                fillers[name] = replace(model, network=None)
        elif name != "linear_time" or not archive.independent:
            fillers[name] = name
    if not fillers:
        reason = "the model has no first guess" if "gaussian" in methods else "samples have no time to interpolate in"
        raise InputError(f"none of {', '.join(methods)} can be scored: {reason}; name another method")
    alike = archive.standardiser.error_unit("")[1] != "anomalies"
    cut = plan(model, archive)
    stretches = cut.slabs if truth is not None else _withheld(archive, cut)

    def work(stretch: Tile) -> dict[str, Tally]:
        true, where = _cells(archive, stretch.core, truth)
        tallies = {name: Tally() for name in fillers}
        if not where.any():
            return tallies
        phase = None if archive.phase is None else archive.phase[stretch.core]

        def unit(values: np.ndarray) -> np.ndarray:
            return values if alike else archive.standardiser.forward(values, phase)

        for name, filler in fillers.items():
            if isinstance(filler, Model):
                estimate = fill_slab(filler, archive, stretch, cut, device=device)
            else:
                estimate = _baseline(filler, archive, stretch.core)
            tallies[name] = tallies[name].add(unit(estimate), unit(true), where)
        return tallies

    total = {name: Tally() for name in fillers}
    for count, tallies in enumerate(side_by_side(work, stretches, threads=threads), 1):
        total = {name: total[name] + tallies[name] for name in fillers}
        if progress is not None:
            progress(count, len(stretches))
    if not any(tally.asked for tally in total.values()):
        raise InputError(
            "there is no cell to score on: nothing was withheld, or the truth has no value where the data have none"
        )
    return [Row(name, tally.score()) for name, tally in total.items()]


def _withheld(archive: Archive, cut: Plan) -> list[Tile]:
    """Stretches of dates with something withheld, each with the margins of the plan."""
    if archive.withheld is None:
        return []
    count = len(archive.days)
    return [
        Tile(run, slice(max(0, run.start - cut.margin), min(count, run.stop + cut.margin)))
        for run in archive.withheld.runs()
    ]


def _cells(archive: Archive, dates: slice, truth: xr.DataArray | None) -> tuple[np.ndarray, np.ndarray]:
    """True values, and where to score, (t, C, H, W)."""
    raw = np.asarray(archive.field[dates].values, np.float64)
    if truth is None:
        return raw, archive.read(dates).withheld > 0
    true = np.asarray(truth[dates].values, np.float64)
    return true, np.isfinite(true) & ~np.isfinite(raw) & archive.domain


def _shown(archive: Archive, dates: slice) -> Iterator[np.ndarray]:
    """Raw values of each date, (C, H, W); NaN where unseen, withheld or outside the domain."""
    for date in range(dates.start, dates.stop):
        raw = np.asarray(archive.field[date].values, np.float64)
        hidden = None if archive.withheld is None else archive.withheld.hidden(date, archive.seen)
        yield np.where(archive.domain if hidden is None else archive.domain & ~hidden, raw, np.nan)


def _baseline(name: str, archive: Archive, dates: slice) -> np.ndarray:
    """What a method says, (t, C, H, W): of each band by itself."""
    wide = dates
    if name == "linear_time":
        wide = slice(max(0, dates.start - LOOK), min(len(archive.days), dates.stop + LOOK))
    shown = np.stack(list(_shown(archive, wide)))
    phase = None if archive.phase is None else archive.phase[dates]
    bands = []
    for band in range(archive.bands):
        values = shown[:, band]
        if name == "linear_time":
            filled = linear_time(values, domain=archive.domain, days=archive.days[wide])
            bands.append(filled[dates.start - wide.start : dates.stop - wide.start])
        elif name == "climatology":
            none = np.zeros((len(values), archive.bands, *archive.domain.shape), np.float32)
            background = archive.standardiser.inverse(none, phase)[:, band]
            bands.append(climatology(values, domain=archive.domain, background=background))
        else:
            bands.append(biharmonic(values, domain=archive.domain))
    return np.stack(bands, 1)
