"""A league table: methods that fill the same gaps, scored on the same cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr

from geogan.archive import Archive
from geogan.coordinates import find_axes, stacked
from geogan.filling import Plan, fill_slab, plan
from geogan.metrics import Score, Tally
from geogan.model import Model
from geogan.operators.errors import InputError
from geogan.parallel import side_by_side
from geogan.rivals import FITTED, QUICK, Contest, ask
from geogan.tiles import Tile

# What is scored where nothing else is named, and all there is; the others take minutes to hours.
DEFAULT = (*QUICK, "gaussian", "model")
METHODS = (*QUICK, *FITTED, "gaussian", "model")
NOTHING = (
    "there is no cell to score on: nothing was withheld, or the truth has no value where the data have none; give a "
    "fuller field as the truth"
)


class Row(NamedTuple):
    """One line of the table."""

    method: str
    score: Score


def league(
    models: dict[str, Model],
    archive: Archive,
    *,
    truth: xr.DataArray | None = None,
    methods: Sequence[str] = DEFAULT,
    device: torch.device | None = None,
    threads: int | None = None,
    progress: Callable[[str, float, float], None] | None = None,
    message: Callable[[str], None] | None = None,
) -> list[Row]:
    """Score every method on the same cells.

    Parameters
    ----------
    models : dict of Model
        By name; the first also gives the Gaussian MAP of the table, and says by which operator the rivals take the
        archive to be measured.
    archive : Archive
        What the methods see. Without ``truth`` its withheld observations are what they are scored on.
    truth : DataArray, shape ([T,] [C,] H, W), optional
        A fuller field: methods are scored on what is in it and not in the archive; on all of it where the operator
        hides nothing.
    methods : sequence of str
        Of :data:`METHODS`, by default :data:`DEFAULT`. Those of :data:`geogan.rivals.FITTED` come first, each on its
        own: they train, or fit every date, and Conditional AmbientGAN trains for as long as the first model did.
    device : torch.device, optional
    threads : int, optional
        Stretches at a time; by default one a core.
    progress : callable, optional
        Called with what is being done (``"scoring"``, or a method that takes its time), how much of it is done, and
        of how much.
    message : callable, optional
        Called with a sentence before a method trains.

    Returns
    -------
    list of Row
        In the order of the methods; every score over the same cells, all bands together: in the field's units,
        or in anomalies where its bands have no unit in common. Samples have no time to interpolate in, so
        ``linear_time`` is left out.

    Raises
    ------
    InputError
        For an unknown method, one that cannot be used on this archive, or when there is no cell to score on.
    """
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        raise InputError(f"unknown method {unknown[0]!r}; there are {', '.join(METHODS)}")
    truth = None if truth is None else stacked(truth, find_axes(truth))
    models = {name: each.on(device) for name, each in models.items()}
    model = next(iter(models.values()))
    moved, say = progress or (lambda what, done, total: None), message or (lambda sentence: None)
    alike = archive.standardiser.error_unit("")[1] != "anomalies"
    cut = plan(model, archive)
    stretches = cut.slabs if truth is not None else _withheld(archive, cut)
    everywhere = not model.operator.masks
    fillers: dict[str, Callable[[Tile], np.ndarray]] = {}

    def by_model(each: Model) -> Callable[[Tile], np.ndarray]:
        return lambda stretch: fill_slab(each, archive, stretch, cut, device=device).field

    wanted = [name for name in methods if name != "linear_time" or not archive.independent]
    wanted = [name for name in wanted if name != "gaussian" or model.prior is not None]
    if not wanted:
        reason = "the model has no first guess" if "gaussian" in methods else "samples have no time to interpolate in"
        raise InputError(f"none of {', '.join(methods)} can be scored: {reason}; name another method")
    dates = np.zeros(0, int)
    if set(wanted) & FITTED.keys():
        dates = _dates(archive, stretches, truth, everywhere=everywhere)
    for name in wanted:
        if name == "model":
            fillers |= {each: by_model(models[each]) for each in models}
        elif name == "gaussian":
            fillers[name] = by_model(replace(model, network=None, error=None))
        else:
            said = ask(name, Contest(archive, model, dates, device, threads, partial(moved, name), say))
            fillers[name] = partial(lambda said, stretch: said(stretch.core), said)

    def work(stretch: Tile) -> dict[str, Tally]:
        true, where = _cells(archive, stretch.core, truth, everywhere=everywhere)
        tallies = {name: Tally() for name in fillers}
        if not where.any():
            return tallies
        phase = None if archive.phase is None else archive.phase[stretch.core]

        def unit(values: np.ndarray) -> np.ndarray:
            return values if alike else archive.standardiser.forward(values, phase)

        for name, filler in fillers.items():
            tallies[name] = tallies[name].add(unit(filler(stretch)), unit(true), where)
        return tallies

    total = {name: Tally() for name in fillers}
    for count, tallies in enumerate(side_by_side(work, stretches, threads=threads), 1):
        total = {name: total[name] + tallies[name] for name in fillers}
        moved("scoring", count, len(stretches))
    if not any(tally.asked for tally in total.values()):
        raise InputError(NOTHING)
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


def _cells(
    archive: Archive, dates: slice, truth: xr.DataArray | None, *, everywhere: bool
) -> tuple[np.ndarray, np.ndarray]:
    """True values, and where to score, (t, C, H, W)."""
    raw = np.asarray(archive.field[dates].values, np.float64)
    if truth is None:
        return raw, archive.read(dates).withheld > 0
    true = np.asarray(truth[dates].values, np.float64)
    hidden = everywhere | ~np.isfinite(raw)
    return true, np.isfinite(true) & hidden & archive.domain


def _dates(archive: Archive, stretches: Sequence[Tile], truth: xr.DataArray | None, *, everywhere: bool) -> np.ndarray:
    """Dates with a cell to score, in order."""
    found = [np.zeros(0, int)]
    for core in (stretch.core for stretch in stretches):
        _, where = _cells(archive, core, truth, everywhere=everywhere)
        found.append(core.start + np.flatnonzero(where.any((1, 2, 3))))
    if not sum(map(len, found)):
        raise InputError(NOTHING)
    return np.unique(np.concatenate(found))
