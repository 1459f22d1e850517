"""Make the archive that a model fills, and refuse fields that do not fit the model."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace

import xarray as xr

from geogan.archive import Archive
from geogan.fields.circle import taken
from geogan.fields.field import Field
from geogan.fields.labels import check_labels
from geogan.fields.observation_error import observation_error
from geogan.model.model import Model
from geogan.operators.errors import InputError
from geogan.operators.wording import counted
from geogan.settings import TrainConfig


def prepare_archive(
    model: Model,
    field: Field,
    *,
    error: xr.DataArray | None = None,
    covariates: Mapping[Hashable, xr.DataArray] | xr.Dataset | None = None,
    withheld: bool = False,
    memory: int = TrainConfig.memory,
) -> Archive:
    """Return the archive of a field as a model fills it; its grid may be a part of the model's grid.

    Parameters
    ----------
    model : Model
    field : Field
        In the model's units.
    error : DataArray, shape ([time,] [band,] y, x), optional
        Standard deviation of the observations' errors, for a model that was trained with it.
    covariates : mapping of DataArray, or Dataset, optional
        Those of the model's covariates that change in time, on the grid and the dates of the field.
    withheld : bool
        Hide the observations that were withheld from training; the field must then be the training archive.
    memory : int
        Bytes of float32 that may be in memory, as in :class:`geogan.archive.Archive`.

    Returns
    -------
    archive : Archive

    Raises
    ------
    InputError
        If dates are out of order or missing; if units, bands, calendar or grid differ from the model's, or the record
        differs from the training archive; if covariates are not known on some dates; or if the observations' error does
        not fit.
    """
    model.check_finite()
    check_labels(field)
    calendar = field.calendar
    if None not in (calendar, model.calendar) and calendar != model.calendar:
        raise InputError(
            f"the model was trained on dates of the calendar {model.calendar}, and those of {field.name} have "
            f"{calendar}; convert them with field.convert_calendar({model.calendar!r}), or train on this calendar"
        )
    field = model.standardiser.as_inside(field)
    if error is not None:
        error = model.standardiser.as_inside(Field.of(error)).array
    known = known_error(model, field, error)
    y, x = model.place(field)
    field = field.with_domain(taken(model.domain, y, x)).with_error(known)
    archive = Archive.of(field, model.standardiser.part(y, x), memory=memory)
    known_beside = None if model.covariates is None else model.covariates.part(field, y, x).on(field, covariates)
    screen = None if model.screen is None or model.screen.threshold is None else model.screen
    if screen is not None and field.array.dtype.kind != "f":
        raise InputError(
            f"{field.name} holds whole numbers, of which none can stand for a screened observation; fill it without "
            "--screen, or convert it to floating point"
        )
    archive = replace(archive, origin=(y.start, x.start), covariates=known_beside, screen=screen)
    if not withheld:
        return archive
    if len(model.withheld.sources) != len(archive.days) or archive.domain.shape != model.domain.shape:
        raise InputError(
            f"the model withheld observations of a record of {counted(len(model.withheld.sources), 'date')} on a grid "
            f"of {model.domain.shape[0]} x {model.domain.shape[1]} cells, but {field.name} has "
            f"{counted(len(archive.days), 'date')} on {archive.domain.shape[0]} x {archive.domain.shape[1]}; give "
            "the archive that it was trained on"
        )
    # Withheld cells are the gaps of other dates, after screening, as in training.
    return replace(archive.screened(), withheld=model.withheld)


def known_error(model: Model, field: Field, error: xr.DataArray | None) -> xr.DataArray | float | None:
    """Return the known errors of the observations, as in training.

    Raises
    ------
    InputError
        If the model was trained with an error of each observation and none is given, or the other way round.
    """
    stated = model.observation_error
    if isinstance(stated, str):
        if error is None:
            raise InputError(
                f"the model was trained with {stated}, the error of each observation, and {field.name} comes without; "
                "give it as error"
            )
        return observation_error(field, error=error)
    if error is not None:
        raise InputError(
            "the model was trained without an error variable; leave it out, or train with --error-variable"
        )
    return observation_error(field, noise=stated)
