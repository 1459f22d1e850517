"""Grids: coordinates of the cells of a field, and comparison of the grids of two fields.

Names of dimensions do not matter. Compared are coordinates named like a dimension, one-dimensional coordinates of
dimensions without one, and two-dimensional latitudes and longitudes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr

from geogan.fields.axes import Axes, role_of
from geogan.fields.field import Field
from geogan.fields.geography import geographic_kind, goes_round
from geogan.operators.errors import InputError
from geogan.operators.wording import counted

Places = Mapping[str, np.ndarray]
"""Coordinates of cells by kind, each (H, 1), (1, W) or (H, W): ``y`` and ``x`` are the coordinates that index the
dimensions, ``latitude`` and ``longitude`` the geographic ones; both may be the same coordinate."""

# Largest difference of coordinates of equal grids, as a share of a grid step.
_TOLERANCE = 0.01
# Relative rounding error of coordinates in single precision, which exceeds the tolerance on fine grids, and the largest
# share of a grid step that it may reach.
_ROUNDING, _MOST_ROUNDING = 2.4e-7, 0.25


class _Pair(NamedTuple):
    """Coordinates of one kind of two grids."""

    kind: str
    first: np.ndarray
    second: np.ndarray


class Misfit(NamedTuple):
    """The reason why a grid is not part of another.

    Parameters
    ----------
    kind : str
        Kind of the coordinate that differs; ``"size"`` if there are no coordinates and sizes differ; ``"other"`` if the
        grids have no kind of coordinate in common.
    axis : int
        0 for rows, 1 for columns.
    """

    kind: str
    axis: int


def places_of(field: Field) -> dict[str, np.ndarray]:
    """Return the coordinates of a field's cells.

    Parameters
    ----------
    field : Field

    Returns
    -------
    places : dict of ndarray of float64
        See :data:`Places`; empty if the field has no numeric coordinates.

    Raises
    ------
    InputError
        If a one-dimensional coordinate is not finite everywhere, or a two-dimensional one has no finite value or
        changes with time.

    Examples
    --------
    >>> coords = {"lat": ("nj", [40.0, 41.0, 42.0], {"units": "degrees_north"})}
    >>> field = Field.of(xr.DataArray(np.zeros((3, 2)), dims=("nj", "ni"), coords=coords))
    >>> {kind: values.shape for kind, values in places_of(field).items()}
    {'latitude': (3, 1)}
    """
    places: dict[str, np.ndarray] = {}
    for coordinate, kinds in _coordinates(field.array, field.axes):
        new = [kind for kind in kinds if kind not in places]
        if new:
            values = _values(coordinate, field.axes)
            _check_finite(coordinate, values, field.array)
            places |= dict.fromkeys(new, values)
    return places


def check_sides(field: Field) -> None:
    """Refuse rows or columns whose one-dimensional coordinate is not finite; other coordinates are not read.

    Raises
    ------
    InputError
        If a coordinate along y or x is not finite.
    """
    for coordinate, _ in _coordinates(field.array, field.axes):
        if coordinate.ndim == 1:
            _check_finite(coordinate, _values(coordinate, field.axes), field.array)


def _coordinates(field: xr.DataArray, axes: Axes) -> Iterator[tuple[xr.DataArray, list[str]]]:
    """Yield the numeric coordinates of cells with their kinds, dimension coordinates first."""
    sides = {axes.y: "y", axes.x: "x"}
    for name in sorted(field.coords, key=lambda name: name not in sides):
        coordinate = field.coords[name]
        cells = set(coordinate.dims) - {axes.time}
        if not cells or not cells <= set(sides) or coordinate.dtype.kind not in "iuf" or coordinate.size == 0:
            continue
        kinds = [kind for kind in (sides.get(str(name)), geographic_kind(coordinate)) if kind is not None]
        if not kinds and len(cells) == 1 and axes.time not in coordinate.dims:
            side = sides[str(next(iter(cells)))]
            kinds = [side] if role_of(coordinate) == side else []
        if kinds:
            yield coordinate, kinds


class Difference(NamedTuple):
    """The difference of two grids; ``str`` returns it as a phrase.

    Parameters
    ----------
    kind : str
        Kind of the coordinate that differs: ``y``, ``x``, ``latitude`` or ``longitude``.
    name : str
        Its name in the first field; empty if the numbers of cells differ.
    first, second : str
        Its range in each field, or the numbers of cells.
    """

    kind: str
    name: str
    first: str
    second: str

    def __str__(self) -> str:
        return f"{self.name} {self.first}, and {self.second}".strip()


def difference(first: Field, second: Field) -> Difference | None:
    """Return how the grids of two fields differ.

    Parameters
    ----------
    first, second : Field
        Names of dimensions may differ. Only coordinates that both fields have are compared.

    Returns
    -------
    difference : Difference or None
        None if the grids are equal up to rounding.

    Raises
    ------
    InputError
        As in :func:`places_of`.

    Examples
    --------
    >>> maps = xr.DataArray(np.zeros((3, 2)), dims=("lat", "lon"), coords={"lat": [3.0, 2.0, 1.0]})
    >>> str(difference(Field.of(maps), Field.of(maps.assign_coords(lat=maps.lat - 70))))
    'lat 3 to 1, and -67 to -69'
    """
    if first.grid != second.grid:
        words = [f"{height} x {width} cells" for height, width in (first.grid, second.grid)]
        return Difference("y" if first.grid[0] != second.grid[0] else "x", "", *words)
    for pair in _pairs(places_of(first), places_of(second)):
        if not _is_same(pair):
            name = {"y": first.axes.y, "x": first.axes.x}.get(pair.kind, pair.kind)
            return Difference(pair.kind, name, span(pair.first), span(pair.second))
    return None


def part_of(whole: Places, shape: tuple[int, int], part: Places, size: tuple[int, int]) -> tuple[slice, slice] | Misfit:
    """Return the rows and columns of a grid within a larger one.

    Parameters
    ----------
    whole, part : Places
        Coordinates of the larger grid and of the part.
    shape, size : (int, int)
        Numbers of rows and columns of the larger grid and of the part.

    Returns
    -------
    rows, columns : slice
        Position of the part; a :class:`Misfit` if it is not a part.

    Examples
    --------
    >>> rows = np.array([[50.0], [49.0], [48.0], [47.0]])
    >>> part_of({"y": rows}, (4, 5), {"y": rows[1:3]}, (2, 5))
    (slice(1, 3, None), slice(0, 5, None))
    >>> part_of({"y": rows}, (4, 5), {"y": rows - 70}, (4, 5))
    Misfit(kind='y', axis=0)
    """
    pairs, start = list(_pairs(whole, part)), [-1, -1]
    for axis in (0, 1):
        along = next((pair for pair in pairs if _runs_along(pair, axis)), None)
        if along is not None:
            start[axis] = int(np.nanargmin(_gap(along.kind, along.first.ravel(), along.second.ravel()[0])))
    maps = [pair for pair in pairs if not any(_runs_along(pair, axis) for axis in (0, 1))]
    if maps and -1 in start:
        corner = _nearest(maps, shape, size)
        start = [corner[axis] if start[axis] < 0 else start[axis] for axis in (0, 1)]
    for axis in (0, 1):
        if start[axis] < 0:
            if size[axis] != shape[axis]:
                return Misfit("size", axis)
            if all(any(values.shape[axis] > 1 for values in grid.values()) for grid in (whole, part)):
                return Misfit("other", axis)
            start[axis] = 0
    position = slice(start[0], start[0] + size[0]), slice(start[1], start[1] + size[1])
    for pair in pairs:
        index = tuple(side if count > 1 else slice(0, 1) for side, count in zip(position, pair.first.shape))
        step = _step(pair.first)
        for axis in (0, 1):
            if pair.first.shape[axis] > 1 and not 0 <= start[axis] <= shape[axis] - size[axis]:
                return Misfit(pair.kind, axis)
        if not _is_same(_Pair(pair.kind, pair.first[index], pair.second), step=step):
            return Misfit(pair.kind, 0 if pair.first.shape[0] > 1 else 1)
    return position


def part_around(
    whole: Places, shape: tuple[int, int], part: Places, size: tuple[int, int]
) -> tuple[slice, slice] | Misfit:
    """Return the rows and columns of a grid within one that goes once round the globe; it may cross the seam.

    Parameters
    ----------
    whole, part, shape, size
        As in :func:`part_of`. Longitudes are compared modulo 360 degrees.

    Returns
    -------
    rows, columns : slice
        Columns may continue beyond the last one, as in :mod:`geogan.fields.circle`; a :class:`Misfit` if the grid is
        not a part, or the larger grid does not go round the globe.

    Examples
    --------
    >>> east = {"longitude": np.arange(0.0, 360, 90)[None]}
    >>> part_around(east, (2, 4), {"longitude": np.array([[-90.0, 0.0]])}, (2, 2))
    (slice(0, 2, None), slice(3, 5, None))
    """
    degrees = whole.get("longitude")
    if degrees is None or degrees.shape[0] > 1 or not goes_round(degrees[0]) or size[1] > shape[1]:
        return Misfit("longitude", 1)
    twice = {
        kind: np.tile(values, (1, 2)) if values.shape[1] > 1 else values
        for kind, values in whole.items()
        if kind != "x"
    }
    others = {kind: values for kind, values in part.items() if kind != "x"}
    return part_of(twice, (shape[0], 2 * shape[1]), others, size)


def still(field: xr.DataArray, axes: Axes) -> xr.DataArray:
    """Return a field whose latitudes and longitudes have no time dimension.

    Raises
    ------
    InputError
        If they change with time.

    Examples
    --------
    >>> lat = xr.DataArray(np.ones((4, 3, 2)), dims=("time", "y", "x"))
    >>> still(lat.assign_coords(XLAT=lat), Axes("time", "y", "x")).XLAT.dims
    ('y', 'x')
    """
    moving = {
        name: coordinate
        for name, coordinate in field.coords.items()
        if axes.time in coordinate.dims and {axes.y, axes.x} & set(coordinate.dims) and geographic_kind(coordinate)
    }
    return field.assign_coords({name: _at_once(coordinate, axes).variable for name, coordinate in moving.items()})


def span(values: np.ndarray) -> str:
    """Return the range of coordinates as text.

    Examples
    --------
    >>> span(np.array([[3.0], [2.0]])), span(np.array([[3.0, np.nan], [2.0, 4.0]]))
    ('3 to 2', '2 to 4')
    """
    if values.size in values.shape:
        return f"{values.ravel()[0]:g} to {values.ravel()[-1]:g}"
    return f"{np.nanmin(values):g} to {np.nanmax(values):g}"


def _values(coordinate: xr.DataArray, axes: Axes) -> np.ndarray:
    """Return values as (H, 1), (1, W) or (H, W), read without filling the cache of the file."""
    coordinate = _at_once(coordinate, axes)
    ordered = coordinate.transpose(*(dim for dim in (axes.y, axes.x) if dim in coordinate.dims))
    values = ordered.variable[(slice(None),) * ordered.ndim].values.astype(np.float64)
    if values.ndim == 2:
        return values
    return values[:, None] if axes.y in coordinate.dims else values[None]


def _at_once(coordinate: xr.DataArray, axes: Axes) -> xr.DataArray:
    """Return a coordinate without its time dimension; refuse one that differs between the first and last date."""
    if axes.time not in coordinate.dims:
        return coordinate
    ends = [coordinate.isel({axes.time: index}) for index in (0, -1)]
    first, last = (end.variable[(slice(None),) * end.ndim].values for end in ends)
    if not np.array_equal(first, last, equal_nan=first.dtype.kind == "f"):
        raise InputError(
            f"coordinate {str(coordinate.name)!r} changes along {axes.time!r}, so the grid moves with time, where "
            "one grid for all dates is expected; interpolate the dates to one grid"
        )
    return ends[0]


def _check_finite(coordinate: xr.DataArray, values: np.ndarray, field: xr.DataArray) -> None:
    """Refuse a coordinate that is not finite.

    A two-dimensional coordinate may have missing values, since corners of a swath have no latitude; a one-dimensional
    one may not.
    """
    lacking = int((~np.isfinite(values)).sum())
    if lacking and (values.size in values.shape or lacking == values.size):
        label = "the field" if field.name is None else f"variable {str(field.name)!r}"
        source = field.encoding.get("source")
        raise InputError(
            f"coordinate {str(coordinate.name)!r} of {label}{f' of {source}' if source else ''} is not a finite "
            f"number at {lacking} of {counted(values.size, 'cell')}, where each cell needs coordinates; give the "
            "missing ones, or leave out those cells"
        )


def _pairs(first: Places, second: Places) -> Iterator[_Pair]:
    """Yield coordinates of kinds that both grids have; for a side without one, any coordinates along that side."""
    common = [kind for kind in first if kind in second]
    for kind in common:
        yield _Pair(kind, first[kind], second[kind])
    for axis in (0, 1):
        if any(first[kind].shape[axis] > 1 for kind in common):
            continue
        alone = [
            next((kind for kind, values in grid.items() if values.size == values.shape[axis]), None)
            for grid in (first, second)
        ]
        if alone[0] is not None and alone[1] is not None and alone[0] not in common and alone[1] not in common:
            yield _Pair(alone[0], first[alone[0]], second[alone[1]])


def _runs_along(pair: _Pair, axis: int) -> bool:
    """Return whether both coordinates are one-dimensional along an axis; a single cell counts for its own kind."""
    other = 1 - axis
    return all(part.shape[other] == 1 for part in pair[1:]) and (pair.first.shape[axis] > 1 or pair.kind == "yx"[axis])


def _gap(kind: str, a: np.ndarray, b: np.ndarray | float) -> np.ndarray:
    """Return absolute differences; of longitudes modulo 360 degrees."""
    if kind != "longitude":
        return np.abs(a - b)
    return np.abs((a - b + 180.0) % 360.0 - 180.0)


def _step(values: np.ndarray) -> float:
    """Return the grid step: the smallest of rows or columns; for a map the median along the axis that varies most."""
    if values.size == 1:
        return 1.0
    if values.size in values.shape:
        return float(np.abs(np.diff(values.ravel())).min())
    steps = [np.abs(np.diff(values, axis=axis)) for axis in (0, 1)]
    medians = [float(np.median(part[np.isfinite(part)])) for part in steps if np.isfinite(part).any()]
    return max(medians, default=1.0)


def _is_same(pair: _Pair, *, step: float | None = None) -> bool:
    step = _step(pair.second) if step is None else step
    first, second = np.broadcast_arrays(pair.first, pair.second)
    gap = _gap(pair.kind, first, second)
    known = np.isfinite(gap)
    if not known.any():
        return False
    largest = float(np.nanmax(np.abs(pair.second)))
    allowed = max(_TOLERANCE * step, min(_MOST_ROUNDING * step, _ROUNDING * largest))
    return bool(gap[known].max() <= allowed + 1e-12)


def _nearest(pairs: list[_Pair], shape: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Return the row and column of the larger grid at which the first known cell of the smaller one lies."""
    theirs = [np.broadcast_to(pair.second, size) for pair in pairs]
    known = np.flatnonzero(np.all([np.isfinite(part) for part in theirs], axis=0).ravel())
    if not known.size:
        return -1, -1
    row, column = np.unravel_index(known[0], size)
    gaps = sum(
        _gap(pair.kind, np.broadcast_to(pair.first, shape), part[row, column])
        for pair, part in zip(pairs, theirs, strict=True)
    )
    if not np.isfinite(gaps).any():
        return -1, -1
    cell = np.unravel_index(np.nanargmin(gaps), shape)
    return max(-1, int(cell[0] - row)), max(-1, int(cell[1] - column))
