"""Fill a field: a model, an archive and a plan make a filler, whose tasks do not depend on each other."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import dask
import dask.array as da
import numpy as np
import torch
import xarray as xr

from geogan.archive import Archive, Screen
from geogan.compute.threads import side_by_side
from geogan.fields.field import Field
from geogan.fields.measured import file_label
from geogan.fields.storage import Storage, value_type
from geogan.fields.time_range import shown_date
from geogan.fields.variables import split_variables
from geogan.filling.compose import Acceptance, choose_storages, compose, error_limits, product_of, room_of
from geogan.filling.plan import Plan, Task, TaskSizes, plan_tasks
from geogan.filling.provenance import describe_product
from geogan.filling.reader import TaskReader
from geogan.filling.regime import RegimeWarning
from geogan.filling.task import Estimate, estimate
from geogan.filling.tiles import moved
from geogan.model import Model, prepare_archive
from geogan.operators.errors import InputError
from geogan.operators.parse import describe
from geogan.settings import Settings, check_settings

Covariates = Mapping[Hashable, xr.DataArray] | xr.Dataset | None
"""Covariates of a model that change in time, by name."""
Look = Callable[[Archive, Task], None]


@dataclass(frozen=True)
class FillOptions:
    """Options that decide what a fill computes.

    Attributes
    ----------
    keep_observed : bool, optional
        Return observed values bit for bit; by default, unless they are known to be noisy or blurred.
    members : int
        Ensemble members; 1 for the best estimate alone.
    max_error : float, str or sequence of float, optional
        Leave cells empty whose predicted error (standard deviation) is larger, in the field's units. Several variables
        need one limit each; text has commas between them.
    seed : int
        Seed of the members.
    screen : bool or float, optional
        Leave out observations that neither their neighbours nor the climatology support: their cells hold the estimate
        and are flagged as screened. A number is the threshold in robust standard deviations. By default as in training.
    sizes : TaskSizes
        How the field is cut into tasks.
    """

    keep_observed: bool | None = None
    members: int = 1
    max_error: float | str | Sequence[float] | None = None
    seed: int = Settings.seed
    screen: bool | float | None = None
    sizes: TaskSizes = TaskSizes()

    def __post_init__(self) -> None:
        check_settings({"keep_observed": self.keep_observed, "members": self.members, "seed": self.seed})
        check_settings({} if self.screen is None else {"screen": self.screen})
        if not isinstance(self.max_error, (str, int, float, type(None))) and hasattr(self.max_error, "__iter__"):
            object.__setattr__(self, "max_error", tuple(self.max_error))


def adapt_model(model: Model, options: FillOptions) -> Model:
    """Return a model that screens observations as the options ask for; refuse members that it cannot generate.

    Parameters
    ----------
    model : Model
    options : FillOptions

    Raises
    ------
    InputError
        If blurred observations are to be kept, if the model cannot generate ensemble members, or if it was trained
        without a screen and so has no statistics of its anomalies.
    """
    members, screen = options.members, options.screen
    if options.keep_observed and model.operator.blurs:
        raise InputError(
            f"keep_observed keeps values of the field, but the observations are blurred ({describe(model.operator)}); "
            "leave it out: the product then is the field without blur"
        )
    if members > 1 and model.prior is None and (model.network is None or model.network.noise == "none"):
        raise InputError(
            f"this model cannot generate {members} ensemble members; train it with --members 2, or with a first guess"
        )
    if screen is None or (screen is False and model.screen is None):
        return model
    if model.screen is None:
        raise InputError(
            "the model has no statistics of its anomalies, so it cannot screen observations; train it again with "
            "--screen"
        )
    return replace(model, screen=replace(model.screen, threshold=Screen.threshold_of(screen)))


@dataclass(frozen=True, eq=False)
class Filler:
    """A model and the field that it fills, cut into tasks.

    Attributes
    ----------
    model : Model
    archive : Archive
        The field as the model reads it.
    reader : TaskReader
    plan : Plan
    acceptance : Acceptance
        Which values enter the product.
    storages : tuple of Storage
        How each variable of the product is stored.
    options : FillOptions
    device : torch.device, optional
    warn : callable, optional
        Called with what each task read.
    """

    model: Model
    archive: Archive
    reader: TaskReader
    plan: Plan
    acceptance: Acceptance
    storages: tuple[Storage, ...]
    options: FillOptions
    device: torch.device | None = None
    warn: Look | None = None

    @classmethod
    def of(
        cls,
        model: Model,
        field: Field,
        options: FillOptions,
        *,
        error: xr.DataArray | None = None,
        covariates: Covariates = None,
        dates: slice = slice(None),
        device: torch.device | None = None,
        storages: tuple[Storage, ...] | None = None,
    ) -> Filler:
        """Plan the fill of a field.

        Parameters
        ----------
        model : Model
        field : Field
        options : FillOptions
        error : DataArray, optional
            Standard deviation of the observations' errors.
        covariates : mapping of DataArray, or Dataset, optional
            Those of the model's covariates that change in time.
        dates : slice
            Dates to fill; the dates around them are read too.
        device : torch.device, optional
            The model is moved there by `on`.
        storages : tuple of Storage, optional

        Raises
        ------
        InputError
            If field, model and options do not fit together.
        """
        model = adapt_model(model, options)
        limits = error_limits(model, options.max_error, options.members)
        archive = prepare_archive(model, field, error=error, covariates=covariates)
        storages = choose_storages(archive, field.array) if storages is None else storages
        keep_observed = model.exact if options.keep_observed is None else options.keep_observed
        tasks = plan_tasks(model, archive, dates=dates, members=options.members, sizes=options.sizes)
        return cls(
            model=model,
            archive=archive,
            reader=TaskReader(archive, tasks, sizes=options.sizes),
            plan=tasks,
            acceptance=Acceptance(keep_observed, limits, room_of(storages)),
            storages=storages,
            options=options,
            device=device,
        )

    def on(self, device: torch.device | None) -> Filler:
        """Return the filler with its model on a device; itself where the model is there."""
        model = self.model.on(device)
        return self if model is self.model else replace(self, model=model)

    def stored(self, storages: tuple[Storage, ...]) -> Filler:
        """Return the filler of a product whose variables are stored in another way."""
        return replace(self, storages=storages, acceptance=self.acceptance._replace(room=room_of(storages)))

    @property
    def kinds(self) -> list[tuple[np.dtype[Any], int]]:
        """Type of each variable of the product, and how many members it has (0 where it has no axis of members)."""
        kinds: list[tuple[Any, int]] = [(value_type(self.archive.field.dtype), 0), (np.int8, 0)]
        if self.model.error is not None or self.options.members > 1:
            kinds.append((np.float32, 0))
        if self.options.members > 1:
            kinds.append((np.float32, self.options.members))
        return [(np.dtype(kind), members) for kind, members in kinds]

    def arrays(self, task: Task, *, look: Look | None = None) -> list[np.ndarray]:
        """Return the variables of the product on a task: read, estimate, compose.

        Parameters
        ----------
        task : Task
        look : callable, optional
            Called with the archive and the task as `TaskReader.hold` returns them.

        Returns
        -------
        list of ndarray, shape (t, C, H, W)
            Those of :class:`geogan.filling.compose.Parts` that exist.
        """
        held, here = self.reader.hold(task)
        for call in (self.warn, look):
            if call is not None:
                call(held, here)
        model, options = self.model, self.options
        made = estimate(model, held, here, self.plan, members=options.members, seed=options.seed, device=self.device)
        y, x = (
            moved(span.core, planned - first)
            for span, first, planned in zip((task.rows, task.columns), held.origin, self.plan.origin, strict=True)
        )
        raw = held.field[here.dates.core, :, y, x]
        raw = raw if raw.chunks is None else raw.compute(scheduler="synchronous")
        # The label of the whole archive: the array in memory no longer carries the file name.
        label, dates = file_label(self.archive.field), task.dates.core
        check_estimate(made, held.domain[y, x], archive=self.archive, dates=dates, name=label)
        parts = compose(
            raw.variable,
            made,
            self.acceptance.of_bands(model.standardiser.source_bands),
            name=f"{label}, in dates {dates.start} to {dates.stop - 1},",
        )
        own = model.standardiser.field_bands
        bands: Any = slice(None) if len(own) == len(model.standardiser.scale) else own
        return [part[..., bands, :, :] for part in parts if part is not None]

    def assemble(self, parts: Sequence[Any], concatenate: Callable[[Sequence[Any], int], Any]) -> Any:
        """Return one array of the arrays of all tasks, in the order of their numbers."""
        for count, axis in ((len(self.plan.dates), -4), (len(self.plan.columns), -1), (len(self.plan.rows), -2)):
            groups = [parts[start : start + count] for start in range(0, len(parts), count)]
            parts = [group[0] if count == 1 else concatenate(group, axis) for group in groups]
        return parts[0]


def fill_field(
    model: Model,
    field: Field,
    options: FillOptions | None = None,
    *,
    error: xr.DataArray | None = None,
    covariates: Covariates = None,
    device: torch.device | None = None,
    message: Callable[[str], None] = lambda sentence: None,
) -> xr.Dataset:
    """Fill a field; lazily where it is lazy.

    Parameters
    ----------
    model : Model
    field : Field
        In the model's units, on its grid or a part of it.
    options : FillOptions, optional
    error : DataArray, of the field's shape, optional
        Standard deviation of the observations' errors, in the field's units, for a model that was trained with it.
    covariates : mapping of DataArray, or Dataset, optional
        Those of the model's covariates that change in time, on the grid and the dates of the field.
    device : torch.device, optional
    message : callable
        Called with a sentence for each variable whose encoding is not kept.

    Returns
    -------
    Dataset
        The filled variable; ``*_source``: 0 observed, 1 filled, 2 land, 3 refused, 4 unreadable, 5 screened; ``*_std``
        where the model predicts its error; ``*_member`` for several members.

    Raises
    ------
    InputError
        If field, model and options do not fit together.

    Warns
    -----
    UserWarning
        If half of a task's observations lie far off the model's climatology: see `geogan.filling.regime`.
    """
    filler = Filler.of(model, field, options or FillOptions(), error=error, covariates=covariates, device=device)
    warn = RegimeWarning(str(field.array.name or model.variable), model.bands if model.band_units else ())
    filler = replace(filler, warn=warn)
    for variable, storage in zip(split_variables(field.array), filler.storages, strict=True):
        if storage.reason:
            message(storage.sentence(str(variable.name or model.variable)))
    if field.is_lazy:
        parts = _lazy_parts(filler, device)
    else:
        arrays = side_by_side(filler.on(device).arrays, filler.plan.tasks)
        parts = [filler.assemble(part, np.concatenate) for part in zip(*arrays, strict=True)]
    product = product_of(filler.model, field, filler.storages, [field.unstacked(part) for part in parts])
    return describe_product(product, filler.model, field)


def _lazy_parts(filler: Filler, device: torch.device | None) -> list[Any]:
    """Return the variables of the product as dask arrays, one block a task."""
    # Model and archive are one key of the graph, which goes to each worker once. The model moves to its device on the
    # worker.
    shared = dask.delayed(partial(_arrays_on, filler, device), name=f"geogan-model-{uuid.uuid4().hex}", traverse=False)
    tasks, bands = filler.plan.tasks, len(filler.model.standardiser.field_bands)
    lazy = [dask.delayed(_call, pure=False)(shared, task) for task in tasks]
    shapes = [
        tuple(span.core.stop - span.core.start for span in (task.dates, task.rows, task.columns)) for task in tasks
    ]
    return [
        filler.assemble(
            [
                da.from_delayed(part[index], ((members,) if members else ()) + (shape[0], bands, *shape[1:]), kind)
                for part, shape in zip(lazy, shapes)
            ],
            da.concatenate,
        )
        for index, (kind, members) in enumerate(filler.kinds)
    ]


def _arrays_on(filler: Filler, device: torch.device | None, task: Task) -> list[np.ndarray]:
    return filler.on(device).arrays(task)


def _call(arrays: Callable[[Task], list[np.ndarray]], task: Task) -> list[np.ndarray]:
    return arrays(task)


def check_estimate(made: Estimate, domain: np.ndarray, *, archive: Archive, dates: slice, name: str) -> None:
    """Refuse an estimate that is not finite inside the domain, because it would be taken for land.

    Parameters
    ----------
    made : Estimate
    domain : ndarray of bool, shape (H, W)
    archive : Archive
        Its dates are named in the error.
    dates : slice
        Dates of the task, counted in the archive.
    name : str
        What the error calls the field.

    Raises
    ------
    InputError
    """
    is_wrong = np.zeros(made.field.shape[0], bool)
    for part in made:
        if part is not None:
            for date in range(len(is_wrong)):
                is_wrong[date] |= not np.isfinite(part[..., date, :, :, :][..., domain]).all()
    if is_wrong.any():
        first, last = dates.start + np.flatnonzero(is_wrong)[[0, -1]]
        labels = archive.field.indexes.get(archive.field.dims[0])
        where = f"date {first}" if labels is None else f"{shown_date(labels[first])}"
        where += "" if first == last else f" to {last if labels is None else shown_date(labels[last])}"
        raise InputError(
            f"{name}, {where}: the model predicts values that are not finite; look for values of that date near 1e37 "
            "or far from the others, mask or scale them, and train the model again if it was trained on them"
        )
