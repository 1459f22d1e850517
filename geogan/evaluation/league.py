"""The league table: methods that fill the same gaps, scored on the same cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import torch
import xarray as xr

from geogan.archive import Archive
from geogan.compute.threads import side_by_side
from geogan.evaluation.baselines import BASELINES
from geogan.evaluation.baselines.interface import BaselineInput, DateFiller, prepare_baseline
from geogan.evaluation.categories import Category, cloud_fraction, distance_to_observed, season
from geogan.evaluation.rows import Estimate, Example, Row, RowSums, ScoredCells
from geogan.evaluation.scoring import Scoring
from geogan.fields.axes import VARIABLE
from geogan.fields.field import Field
from geogan.fields.transforms import Transform
from geogan.fields.variables import is_joined
from geogan.filling import FillOptions, Plan, Task, adapt_model, estimate, plan_tasks
from geogan.model import Model
from geogan.operators.errors import InputError
from geogan.operators.within import blurred_within

TaskFiller = Callable[[Task], Estimate]
"""Function that fills the dates of a task."""


def score_methods(
    models: Mapping[str, Model],
    archive: Archive,
    scoring: Scoring = Scoring(),
    *,
    truth: xr.DataArray | None = None,
    device: torch.device | None = None,
    threads: int | None = None,
    progress: Callable[[str, float, float], None] = lambda name, done, total: None,
    message: Callable[[str], None] = lambda sentence: None,
) -> list[Row]:
    """Score every method on the same cells.

    Parameters
    ----------
    models : mapping of str to Model
        Models by name. The first one also gives the Gaussian MAP and the operator that the baselines assume.
    archive : Archive
        The record that the methods fill. Without ``truth``, its withheld observations are the cells to score.
    scoring : Scoring
    truth : DataArray, shape ([T,] [C,] H, W), optional
        A fuller field: the cells to score are those that it has and the archive lacks; every cell if the operator
        hides nothing, or blurs.
    device : torch.device, optional
    threads : int, optional
        Tasks at a time; by default one a core.
    progress : callable
        Called with the step (``"scoring"``, or the name of a slow method), how much of it is done, and of how much.
    message : callable
        Called with a sentence before a method trains.

    Returns
    -------
    list of Row
        In the order of the methods; all scores are over the same cells, all bands together. They are in the field's
        units, or in anomalies if its bands have different units. With several variables, the rows of the first come
        first, then those of the next, each in its own units. ``linear_time`` is omitted for samples.

    Raises
    ------
    InputError
        If a method cannot be used on this archive, or there is no cell to score.
    """
    models = {name: model.on(device) for name, model in models.items()}
    for model in models.values():
        check_scoring(scoring, model, archive)
    first = next(iter(models.values()))
    methods = _available(scoring.methods, first, archive)
    # Members come in antithetic pairs, of which one is scored.
    members = 2 * scoring.members if scoring.members > 1 else 1
    plan = plan_tasks(first, archive, members=members, whole_maps=True)
    gaps = Gaps.of(archive, truth, is_everywhere=not first.operator.masks or first.operator.blurs)
    tasks = gaps.tasks(plan)
    # Only slow baselines need the dates before they fill.
    has_slow = any(name in BASELINES and BASELINES[name].is_slow for name in methods)
    dates = gaps.dates(tasks) if has_slow else np.zeros(0, int)
    given = BaselineInput(archive, first, dates, device, threads, partial(progress, ""), message)
    fillers = method_fillers(methods, models, given, plan, members=members, progress=progress)
    league = _League(gaps, scoring.by, fillers, first)
    total = {key: RowSums() for key in league.keys}
    for count, sums in enumerate(side_by_side(league.score, tasks, threads=threads), 1):
        total = {key: before + sums[key] for key, before in total.items()}
        progress("scoring", count, len(tasks))
    if not any(sums.plain.asked for sums in total.values()):
        raise InputError(_NOTHING)
    return [sums.row(name, variable) for (name, variable), sums in total.items()]


_NOTHING = (
    "there is no cell to score: no observation was withheld, or the truth has no value in the gaps of the data; give a "
    "fuller field as truth"
)


def check_scoring(scoring: Scoring, model: Model, archive: Archive) -> None:
    """Check that a model can generate the members, and that an archive has the categories.

    Raises
    ------
    InputError
        If it does not.
    """
    if scoring.members > 1:
        adapt_model(model, FillOptions(members=scoring.members))
    if "season" in scoring.by and archive.phase is None:
        raise InputError("the archive has no dates, so it cannot be scored by season; omit season")


def method_fillers(
    methods: Sequence[str],
    models: Mapping[str, Model],
    given: BaselineInput,
    plan: Plan,
    *,
    members: int,
    progress: Callable[[str, float, float], None] = lambda name, done, total: None,
    prepare: Callable[[str, BaselineInput], DateFiller] = prepare_baseline,
) -> dict[str, TaskFiller]:
    """Return the function by which each method fills a task; slow baselines are fitted now.

    Parameters
    ----------
    methods : sequence of str
    models : mapping of str to Model
        Every model is a method by its name.
    given : BaselineInput
        What baselines receive; its model gives the Gaussian MAP.
    plan : Plan
    members : int
        Members of the models and of the Gaussian MAP.
    progress : callable
        As in :func:`score_methods`.
    prepare : callable
        Prepares a baseline by its name.
    """

    def by_model(model: Model, task: Task) -> Estimate:
        filled = estimate(model, given.archive, task, plan, members=members, device=given.device)
        return Estimate(filled.field, filled.std, filled.members)

    def by_baseline(fill: DateFiller, task: Task) -> Estimate:
        return Estimate(fill(task.dates.core))

    fillers: dict[str, TaskFiller] = {}
    for name in methods:
        if name == "model":
            fillers |= {other: partial(by_model, model) for other, model in models.items()}
        elif name == "gaussian":
            fillers[name] = partial(by_model, replace(given.model, network=None, error=None, smoothing=0))
        else:
            fillers[name] = partial(by_baseline, prepare(name, replace(given, progress=partial(progress, name))))
    return fillers


def _available(methods: Sequence[str], model: Model, archive: Archive) -> list[str]:
    """Return the methods that can be used on an archive."""
    available = [
        name
        for name in methods
        if not (archive.independent and name in BASELINES and BASELINES[name].needs_time)
        and not (name == "gaussian" and model.prior is None)
    ]
    if not available:
        reason = "the model has no first guess" if "gaussian" in methods else "samples have no time to interpolate in"
        raise InputError(f"none of {', '.join(methods)} can be scored: {reason}; name another method")
    return available


@dataclass(frozen=True)
class Gaps:
    """The cells to score: withheld observations, or gaps of the archive that a truth fills.

    Attributes
    ----------
    archive : Archive
    truth : DataArray, shape (T, C, H, W), or None
        None to score withheld observations.
    is_everywhere : bool
        Whether cells outside the gaps are scored as well.
    """

    archive: Archive
    truth: xr.DataArray | None
    is_everywhere: bool

    @classmethod
    def of(cls, archive: Archive, truth: xr.DataArray | None, *, is_everywhere: bool) -> Gaps:
        """Return the cells to score; the truth gets the dimensions and bands of the archive."""
        standardiser = archive.standardiser
        if truth is not None:
            truth = Field.of(truth).stacked
            # The archive holds a direction in two bands, sine and cosine.
            if truth.shape[1] == len(standardiser.field_bands) < archive.bands:
                truth = truth.isel({truth.dims[1]: standardiser.source_bands})
        return cls(archive, truth, is_everywhere)

    def tasks(self, plan: Plan) -> list[Task]:
        """Return the tasks to score: all of a plan, or the runs of dates with withheld observations."""
        if self.truth is not None:
            return plan.tasks
        runs = [] if self.archive.withheld is None else self.archive.withheld.runs()
        return [plan.whole_maps(run, len(self.archive.days)) for run in runs]

    def read(self, dates: slice) -> tuple[np.ndarray, np.ndarray]:
        """Return the truth of some dates, and the mask of the cells to score, (t, C, H, W)."""
        measured = np.asarray(self.archive.field[dates].values, np.float64)
        if self.truth is None:
            return measured, self.archive.read(dates).withheld.numpy() > 0
        truth = np.asarray(self.truth[dates].values, np.float64)
        is_gap = self.is_everywhere | ~np.isfinite(measured)
        return truth, np.isfinite(truth) & is_gap & self.archive.domain

    def dates(self, tasks: Sequence[Task]) -> np.ndarray:
        """Return the dates with a cell to score, in order."""
        dates = [np.zeros(0, int)]
        for core in (task.dates.core for task in tasks):
            _, where = self.read(core)
            dates.append(core.start + np.flatnonzero(where.any((1, 2, 3))))
        if not sum(map(len, dates)):
            raise InputError(_NOTHING)
        return np.unique(np.concatenate(dates))

    def categories(self, dates: slice, by: Sequence[str]) -> list[Category]:
        """Return the classes of the cells of some dates."""
        archive = self.archive
        observed = archive.read(dates).mask.numpy() > 0 if by else np.zeros(0, bool)
        makers: dict[str, Callable[[], Category]] = {
            "distance": lambda: distance_to_observed(observed, archive.domain, is_periodic=archive.is_periodic),
            "cloud": lambda: cloud_fraction(observed, archive.domain),
            "season": lambda: season(archive.field[archive.field.dims[0]].values[dates]),
        }
        return [makers[name]() for name in by]

    def known_error(self, dates: slice, shape: tuple[int, ...], *, has_units: bool) -> np.ndarray | float:
        """Return the known standard deviation of the observations that serve as truth; 0 for another truth."""
        if self.truth is not None or self.archive.error is None:
            return 0.0
        if not has_units:
            uncertainty = self.archive.read(dates).uncertainty
            return 0.0 if uncertainty is None else uncertainty.numpy()
        return np.nan_to_num(np.broadcast_to(self.archive.errors(dates), shape))


@dataclass(frozen=True)
class _League:
    """Scores all methods, task by task."""

    gaps: Gaps
    by: Sequence[str]
    fillers: Mapping[str, TaskFiller]
    model: Model

    @cached_property
    def bands(self) -> dict[str, slice]:
        """Bands that are scored together, by variable; of a direction, one of its two bands."""
        archive, standardiser = self.gaps.archive, self.gaps.archive.standardiser
        if is_joined(archive.field):
            names = archive.field[VARIABLE].values.tolist()
            return {names[band]: slice(band, band + 1) for band in standardiser.field_bands}
        return {"": slice(None, None, 2 if standardiser.is_of_directions else None)}

    @property
    def keys(self) -> list[tuple[str, str]]:
        """Method and variable of each row."""
        return [(name, variable) for variable in self.bands for name in self.fillers]

    @property
    def has_units(self) -> bool:
        """Whether errors are in the field's units: anomalies are scored if its bands have different units."""
        return len(self.bands) > 1 or self.gaps.archive.standardiser.error_unit("")[1] != "anomalies"

    def score(self, task: Task) -> dict[tuple[str, str], RowSums]:
        """Return the sums of one task, by method and variable."""
        sums, dates = {key: RowSums() for key in self.keys}, task.dates.core
        truth, where = self.gaps.read(dates)
        if not where.any():
            return sums
        scaled_truth = self._scaled(truth, dates)
        archive, standardiser = self.gaps.archive, self.gaps.archive.standardiser
        categories = self.gaps.categories(dates, self.by)
        known = self.gaps.known_error(dates, truth.shape, has_units=self.has_units)
        for name, fill in self.fillers.items():
            estimate = self._in_units(self._measured(name, fill(task)), truth, dates)
            error = standardiser.error_of(self._noise(name), estimate.field)
            if isinstance(known, np.ndarray):
                error = np.hypot(error, known)
            for variable, bands in self.bands.items():
                cells = ScoredCells(
                    scaled_truth[:, bands],
                    where[:, bands],
                    [category.select_bands(bands) for category in categories],
                    archive.is_periodic,
                    has_spectrum=not Transform.parse(standardiser.transforms[bands][0]).is_angle,
                )
                selected = estimate.select_bands(bands)
                sums[name, variable] = RowSums.compare(
                    selected, cells, error=error[:, bands], is_ensemble=name == "gaussian"
                )
                if self.has_units:
                    band = bands.start or 0
                    sums[name, variable].example = Example.of(selected, cells, start=dates.start, band=band)
        return sums

    def _measured(self, method: str, estimate: Estimate) -> Estimate:
        """Return what the operator would measure of a method's estimate, without gaps and noise.

        Withheld observations of an operator that blurs are compared with it. The predicted error is that of the field,
        so it is left out; the members are measured again. Baselines do not deblur: they predict measurements.
        """
        if self.gaps.truth is not None or method in BASELINES or not self.model.operator.blurs:
            return estimate
        archive = self.gaps.archive
        operator = self.model.operator.around(archive.is_periodic)
        domain = torch.from_numpy(archive.domain).double()[None, None, None]

        def measured(maps: np.ndarray) -> np.ndarray:
            x = torch.from_numpy(np.where(archive.domain, maps, 0.0)).double()
            again = blurred_within(operator, x.view(-1, *x.shape[-4:]), domain).view(x.shape).numpy()
            return np.where(archive.domain & np.isfinite(maps), again, np.nan)

        members = None if estimate.members is None else measured(estimate.members)
        return Estimate(measured(estimate.field), None, members)

    def _noise(self, method: str) -> float:
        """Return the standard deviation of the observation error by which a method's own distribution is too narrow.

        The members of the Gaussian MAP are draws of the field without observation error. A predicted error was learned
        from observations, and includes all of their error but the operator's noise.
        """
        if self.gaps.truth is not None or not self.has_units:
            return 0.0
        if method != "gaussian":
            return self.model.operator.noise
        return 0.0 if self.model.prior is None else self.model.prior.noise * self.model.prior.amplitude

    def _scaled(self, values: np.ndarray, dates: slice) -> np.ndarray:
        """Return values in the field's units, or as anomalies if the bands have different units."""
        if self.has_units:
            return values
        archive = self.gaps.archive
        return archive.anomalies(archive.standardiser.clipped(values), dates)

    def _in_units(self, estimate: Estimate, truth: np.ndarray, dates: slice) -> Estimate:
        """Return an estimate in the units of the scores; a direction is taken at the turn nearest to the truth."""
        if not self.has_units:
            return Estimate(self._scaled(estimate.field, dates))
        nearest = self.gaps.archive.standardiser.nearest
        members = None if estimate.members is None else nearest(estimate.members, truth)
        return Estimate(nearest(estimate.field, truth), estimate.std, members)
