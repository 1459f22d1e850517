"""Estimate one task: the networks and the first guess tile by tile, blended, in the field's units."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from geogan.archive import Archive
from geogan.filling.blend import TaskAxis
from geogan.filling.plan import Plan, Task
from geogan.filling.tiles import Span, moved
from geogan.model import Model, Reconstruction, spread_factor
from geogan.prior import Film


class Estimate(NamedTuple):
    """What a model predicts for some dates, in the field's units; NaN outside the domain."""

    field: np.ndarray  # (t, C, H, W)
    std: np.ndarray | None = None  # standard deviation of the field's error, of that shape
    members: np.ndarray | None = None  # (M, t, C, H, W)


def estimate(
    model: Model,
    archive: Archive,
    task: Task,
    plan: Plan,
    *,
    members: int = 1,
    seed: int = 0,
    device: torch.device | None = None,
) -> Estimate:
    """Estimate the field, its error and ensemble members on the cells of one task.

    Parameters
    ----------
    model : Model
    archive : Archive
        Of the planned grid, or of all that the task reads.
    task : Task
        Its dates are counted in ``archive``, its rows and columns in the planned grid. Values do not depend on the
        rows and columns of the task, bit for bit.
    plan : Plan
    members : int
        Ensemble members, in antithetic pairs about the field, which is the mean of an even number. For an odd number of
        members, the antithetic partner of the last one is omitted.
    seed : int
        Seed of the members' noise, which depends only on seed, cell and date, so that overlapping tiles agree.
    device : torch.device, optional
    """
    rim = plan.around // 2 if members > 1 else 0
    tiles, starts = (plan.tile_rows, plan.tile_columns), (a - b for a, b in zip(archive.origin, plan.origin))
    rows, columns = (
        TaskAxis.of(along, span.core, rim=rim, start=start, is_periodic=is_periodic)
        for along, span, start, is_periodic in zip(
            tiles, (task.rows, task.columns), starts, (False, plan.is_periodic), strict=True
        )
    )
    sums = _Sums.empty(model, archive, task, rows, columns, members)
    for (row, weight_y), (column, weight_x) in itertools.product(rows.tiles, columns.tiles):
        part = (rows.in_archive(row.read), columns.in_archive(column.read))
        if not archive.sea(*part).any():
            continue
        on_grid = tuple(moved(span.read, start) for span, start in zip((row, column), plan.origin))
        film, is_periodic = _read_film(model, archive, task.dates.read, *part), archive.spans(part[1])
        tile = model.fill(
            film,
            *on_grid,
            members=members,
            seed=seed,
            device=device,
            dates=task.network_dates,
            is_periodic=is_periodic,
        )
        for y, x in itertools.product(rows.shared(row), columns.shared(column)):
            weight = (weight_y[y[1], None] * weight_x[x[1]]).astype(np.float32)
            sums.add(tile, film, (y[0], x[0]), (y[1], x[1]), weight)
        del film, tile
    sums.calibrate(model)
    # Each tile's core for itself: a filter rounds its sums according to where an array begins.
    cores = list(itertools.product(rows.cores, columns.cores))
    if members > 1:
        sums.scale_members(model, archive, cores, plan.around)
    for row_core, column_core in cores:
        anomalies = sums.part((..., rows.in_task(row_core), columns.in_task(column_core)))
        _to_units(archive, task.dates, anomalies, rows.in_archive(row_core), columns.in_archive(column_core))
    return sums.part((..., rows.in_task(rows.core), columns.in_task(columns.core)))


def _read_film(model: Model, archive: Archive, dates: slice, y: slice, x: slice) -> Film:
    """Read the film of a tile; a record shorter than the window gets frames without observations behind it."""
    film = archive.read(dates, y, x)
    lack = max(0, model.frames - len(film.days))
    days = film.days if lack == 0 else torch.cat([film.days, film.days[-1] + 1.0 + torch.arange(lack)])
    return Film(
        values=_longer(film.values, lack),
        mask=_longer(film.mask, lack),
        domain=film.domain,
        days=days,
        covariates=None if film.covariates is None else _longer(film.covariates, lack, mode="edge"),
        uncertainty=None if film.uncertainty is None else _longer(film.uncertainty, lack),
    )


def _longer(part: Tensor, lack: int, *, mode: Literal["constant", "edge"] = "constant") -> Tensor:
    """Append frames; the tensor itself where none lacks, because a copy takes memory."""
    if lack == 0:
        return part
    return torch.from_numpy(np.pad(part.numpy(), ((0, lack), (0, 0), (0, 0), (0, 0)), mode=mode))


@dataclass
class _Sums:
    """Weighted sums of the tiles of a task, with its rim; unitless anomalies (t, C, h, w).

    Attributes
    ----------
    rows, columns : TaskAxis
    dates : Span
        Dates of the task, counted in the archive.
    network_dates : slice
    field, std : ndarray
        ``std`` is None where the model predicts no error.
    members : ndarray, shape (M, t, C, h, w), or None
    observed : ndarray of bool, or None
        Observed cells, which count for the members alone.
    known : ndarray or None
        Standard deviation of an observation's own error, infinite elsewhere; None where it is unknown.
    """

    rows: TaskAxis
    columns: TaskAxis
    dates: Span
    network_dates: slice
    field: np.ndarray
    std: np.ndarray | None
    members: np.ndarray | None
    observed: np.ndarray | None
    known: np.ndarray | None
    noise: float | None

    @classmethod
    def empty(
        cls, model: Model, archive: Archive, task: Task, rows: TaskAxis, columns: TaskAxis, members: int
    ) -> _Sums:
        core = task.dates.core
        shape = (core.stop - core.start, archive.bands, rows.size, columns.size)
        return cls(
            rows,
            columns,
            task.dates,
            task.network_dates,
            field=np.zeros(shape, np.float32),
            std=None if model.error is None else np.zeros(shape, np.float32),
            members=np.zeros((members, *shape), np.float32) if members > 1 else None,
            observed=np.zeros(shape, bool) if members > 1 else None,
            known=None if archive.error is None else np.full(shape, np.inf, np.float32),
            noise=None if model.operator.blurs else model.operator.noise,
        )

    def add(
        self,
        tile: Reconstruction,
        film: Film,
        target: tuple[slice, slice],
        own: tuple[slice, slice],
        weight: np.ndarray,
    ) -> None:
        """Add the cells that a tile shares with the task.

        Parameters
        ----------
        tile : Reconstruction
        film : Film
            Observations of the tile.
        target, own : (slice, slice)
            Rows and columns, counted in the task and in the tile.
        weight : ndarray, shape (h, w)
        """
        there, inner = (..., *target), self.dates.inner
        read, estimated = (inner, slice(None), *own), (..., moved(inner, -self.network_dates.start), slice(None), *own)
        seen = film.mask.numpy()[read] > 0
        if self.observed is not None:
            self.observed[there] |= seen
        if self.known is not None and film.uncertainty is not None and self.noise is not None:
            self.known[there] = np.where(seen, np.hypot(film.uncertainty.numpy()[read], self.noise), np.inf)
        self.field[there] += weight * tile.field[estimated].numpy()
        if self.std is not None and tile.std is not None:
            self.std[there] += weight * tile.std[estimated].numpy()
        if self.members is not None and tile.members is not None:
            self.members[there] += weight * tile.members[: len(self.members)][estimated].numpy()

    def calibrate(self, model: Model) -> None:
        """Calibrate the predicted error, which is at most an observation's own error where that is known."""
        for date in range(0 if self.std is None else len(self.std)):
            assert self.std is not None
            self.std[date] = model.calibration.apply(self.std[date])
            if self.known is not None:
                self.std[date] = np.minimum(self.std[date], self.known[date])

    def scale_members(self, model: Model, archive: Archive, cores: list[tuple[slice, slice]], around: int) -> None:
        """Scale the members' deviations so that their spread is the predicted error; else the spread is the error.

        Parameters
        ----------
        model : Model
        archive : Archive
        cores : list of (slice, slice)
            Rows and columns of the tiles' cores.
        around : int
            Side of the square, in cells, in which spread and error are compared.
        """
        assert self.members is not None and self.observed is not None
        # Antithetic members have their mean at the field, so no degree of freedom is lost to it.
        spread = np.sqrt(((self.members - self.field) ** 2).mean(0))
        if self.std is None:
            self.std = spread
            return
        rows, columns = self.rows, self.columns
        domain = archive.sea(rows.in_archive(rows.wide), columns.in_archive(columns.wide))
        # The error network did not learn the error at observations unless they are noisy.
        gaps = domain & ~self.observed if model.exact else np.broadcast_to(domain, self.field.shape)
        for core in cores:
            axes = zip((rows, columns), core)
            there, wide, own = (
                (..., *part) for part in zip(*(axis.with_rim(part, around // 2) for axis, part in axes))
            )
            factor = spread_factor(self.std[wide], spread[wide], gaps[wide], cells=around)[own]
            self.members[there] = self.field[there] + (self.members[there] - self.field[there]) * factor

    def part(self, cells: tuple[Any, ...]) -> Estimate:
        """Return the sums on some cells, as views."""
        field, std, members = (None if sums is None else sums[cells] for sums in (self.field, self.std, self.members))
        assert field is not None
        return Estimate(field, std, members)


def _to_units(archive: Archive, dates: Span, anomalies: Estimate, y: slice, x: slice) -> None:
    """Convert anomalies on some rows and columns to the field's units, in place; NaN outside the domain."""
    field, std, members = anomalies
    phases = None if archive.phase is None else archive.phase[dates.core]
    domain, standardiser = archive.domain[y, x], archive.standardiser.part(y, x)
    standardiser = standardiser.of_field
    standardiser = replace(standardiser, coefficients=np.ascontiguousarray(standardiser.coefficients))

    def limited(values: np.ndarray) -> np.ndarray:
        return np.where(domain, values if archive.limits is None else np.clip(values, *archive.limits), np.nan)

    # A date at a time: intermediate arrays of all dates would take more memory than the task.
    for date in range(len(field)):
        one = slice(date, date + 1)
        phase, at = None if phases is None else phases[one], dates.core.start + date
        channels = archive.regressors(slice(at, at + 1), y, x)
        if std is None:
            field[one] = limited(standardiser.inverse(field[one], phase, channels=channels))
            continue
        mean, spread = standardiser.moments(field[one], std[one], phase, channels=channels)
        field[one], std[one] = limited(mean), np.where(domain, spread, np.nan)
        for member in members if members is not None else ():
            member[one] = limited(standardiser.inverse(member[one], phase, channels=channels))
