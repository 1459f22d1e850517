"""Several files of one grid, joined along time."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from geogan.fields.axes import Axes
from geogan.fields.dates import calendar_of
from geogan.fields.field import Field
from geogan.fields.grids import difference
from geogan.fields.storage import shared_storage
from geogan.fields.time_range import shown_date
from geogan.io.file_dates import dates_of_files
from geogan.operators.errors import InputError


class Joined(NamedTuple):
    """A variable of several files.

    Attributes
    ----------
    field : Field
        With a time dimension; a single file as it is.
    notes : list of str
        Sentences on where the dates come from, if files have no time.
    files : tuple of str
        The file of each date; empty for a single file.
    """

    field: Field
    notes: list[str]
    files: tuple[str, ...] = ()


def join_files(parts: Sequence[Field], paths: Sequence[str], attrs: Sequence[Mapping[str, Any]]) -> Joined:
    """Join the same variable of several files along time, in the order of the dates.

    Parameters
    ----------
    parts : sequence of Field
        The variable of each file, lazy. Without a time in any file, dates come from global attributes or file names.
    paths : sequence of str
        The files, for messages and their names.
    attrs : sequence of mapping
        Global attributes of the files.

    Returns
    -------
    Joined

    Raises
    ------
    InputError
        If files differ in grid or calendar, one has no date that others have, or two have the same date.
    """
    fields, notes = list(parts), []
    if len(fields) > 1 and not any(field.axes.time or _scalar_time(field.array) for field in fields):
        dates, note = dates_of_files(paths, attrs)
        fields = [
            field.with_array(field.array.assign_coords(time=xr.Variable((), date, {"standard_name": "time"})))
            for field, date in zip(fields, dates, strict=True)
        ]
        notes.append(note)
    if len(fields) == 1:
        return Joined(fields[0], notes)
    name = fields[0].axes.time or _scalar_time(fields[0].array)
    if name is None:
        raise InputError(f"{paths[0]} has no time, which other files have, so they cannot be put in order; add one")
    films = _on_one_grid(fields, name, paths)
    films = _of_one_calendar(films, name, fields[0].axes._replace(time=name), paths)
    pairs = sorted(zip(films, paths, strict=True), key=lambda pair: pair[0][name].values.min())
    films = [film for film, _ in pairs]
    files = np.repeat(np.array([path for _, path in pairs], object), [film.sizes[name] for film in films])
    array = xr.concat(films, dim=name, coords="minimal", compat="override", join="override", combine_attrs="override")
    array.encoding, array.attrs = shared_storage(films)
    array[name].encoding = dict(films[0][name].encoding)
    times = array.indexes[name]
    if not times.is_unique:
        repeated = shown_date(times[times.duplicated()][0])
        raise InputError(f"{repeated} is found in more than one of the {len(paths)} files; leave one of them out")
    if times.is_monotonic_increasing:
        return Joined(Field.of(array), notes, tuple(files))
    return Joined(Field.of(array.sortby(name)), notes, tuple(files[np.argsort(times, kind="stable")]))


def _scalar_time(array: xr.DataArray) -> str | None:
    """Return the name of the scalar coordinate that is the time of a map; None if there is none."""
    names = (str(name) for name, coord in array.coords.items() if coord.ndim == 0 and "time" in str(name).lower())
    return next(names, None)


def _on_one_grid(fields: Sequence[Field], name: str, paths: Sequence[str]) -> list[xr.DataArray]:
    """Return films along the dimension ``name``, with the grid coordinates of the first file."""
    first, films = fields[0], []
    sides = (first.axes.y, first.axes.x)
    grid = {
        key: coord.variable for key, coord in first.array.coords.items() if coord.dims and {*coord.dims} <= {*sides}
    }
    for field, path in zip(fields, paths):
        array, others = field.array, (field.axes.y, field.axes.x)
        if others != sides:
            mismatch: object = f"dimensions ({', '.join(others)}), and ({', '.join(sides)})"
        else:
            mismatch = None if field is first else difference(field, first)
        if mismatch:
            raise InputError(f"{path} is on another grid than {paths[0]} ({mismatch}); give files of one grid")
        if field is not first:
            # One copy of the grid for all files: a copy for each would take gigabytes.
            array = array.drop_vars([key for key in array.coords if {*others} & {*array[key].dims}])
            array = array.assign_coords(grid)
        film = array.expand_dims(name) if field.axes.time is None and name in array.coords else array
        if name not in film.dims or name not in film.coords:
            raise InputError(f"{path} has no {name!r} coordinate, so the files cannot be put in order; add one")
        films.append(film)
    return films


def _of_one_calendar(films: list[xr.DataArray], name: str, axes: Axes, paths: Sequence[str]) -> list[xr.DataArray]:
    """Return films whose dates have one type; refuse different calendars, which have no common order."""
    calendars = [calendar_of(film, axes) for film in films]
    kinds = [calendar or "no calendar, but numbers," for calendar in calendars]
    for path, kind in zip(paths, kinds):
        if kind != kinds[0]:
            raise InputError(
                f"the times of {path} have the calendar {kind} and those of {paths[0]} {kinds[0]}, so they have no "
                f"common order; bring both to one, for example with dataset.convert_calendar('standard')"
            )
    types = {film[name].dtype.kind for film in films}
    if calendars[0] is None or len(types) == 1:
        return films
    # Some dates lie outside the range of datetime64[ns].
    return [film.convert_calendar("standard", dim=name, use_cftime=True) for film in films]
