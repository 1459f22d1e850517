"""Fill a field of any size: slabs of dates, tiles with halos, blended.

A slab is some dates of the grid, or of a panel of its rows and columns where it is large. It reads some dates more
on either side (the first guess and the windows look there), is computed tile by tile, and blended; tiles are those of
the whole grid, so panels agree to the last bit with the whole. Slabs do not depend on each other: they are what Dask
computes in parallel, what is written at a time, and what a stopped run goes on with.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import dask
import dask.array as da
import numpy as np
import torch
import xarray as xr
from scipy.ndimage import uniform_filter

from geogan.archive import Archive
from geogan.chunks import READ_SLABS, SLAB_DATES, SLAB_MARGIN, SLAB_VALUES
from geogan.coordinates import find_axes, ordered, unstacked
from geogan.damage import unreadable
from geogan.draws import draws_at
from geogan.inference import fill_block
from geogan.model import Model
from geogan.observation_error import observation_error
from geogan.operators.errors import InputError
from geogan.panels import Panel, panel_axis, panel_size, reaches, widened
from geogan.parallel import side_by_side
from geogan.reader import SlabReader
from geogan.tiles import Tile, blend_weights, tile_axis
from geogan.variables import is_joined, split_variables

# Cells of one side of a tile, and those it reads beyond.
TILE, HALO = 192, 32
# The generator's coarser levels start at multiples of this: a tile's must be those of the whole grid.
LEVELS = 4
# Dates of a slab, at most so many more on either side, and values of one; large grids are cut into panels for it.
DATES, MARGIN, SLAB = SLAB_DATES, SLAB_MARGIN, SLAB_VALUES
# Values of a slab of independent samples, where those of DATES are fewer.
SAMPLES_VALUES = 1_000_000

# Cells around a cell, a side, in which the members' spread is compared with the predicted error.
AROUND = 17

OBSERVED, FILLED, LAND, REFUSED, UNREADABLE = 0, 1, 2, 3, 4
FLAGS = {
    "flag_values": np.array([OBSERVED, FILLED, LAND, REFUSED, UNREADABLE], np.int8),
    "flag_meanings": "observed filled land refused unreadable",
}


class Slab(NamedTuple):
    """What is said of some dates, (t, C, H, W), in the field's units; NaN outside the domain."""

    field: np.ndarray
    std: np.ndarray | None = None  # standard deviation of its error
    members: np.ndarray | None = None  # (M, t, C, H, W)


class Parts(NamedTuple):
    """The variables of a product."""

    values: np.ndarray
    source: np.ndarray
    std: np.ndarray | None = None
    members: np.ndarray | None = None


class Plan(NamedTuple):
    """How a field is cut."""

    slabs: list[Tile]
    rows: list[Tile]
    columns: list[Tile]
    margin: int  # dates looked at before and after a slab, where there are as many
    dates: int  # of a whole slab
    down: list[Tile]  # rows of panels
    across: list[Tile]  # and their columns
    origin: tuple[int, int]  # where the field begins on the model's grid

    @property
    def total(self) -> int:
        """Slabs of all panels."""
        return len(self.slabs) * len(self.down) * len(self.across)

    @property
    def panelled(self) -> bool:
        """Whether there are several panels."""
        return len(self.down) * len(self.across) > 1

    def at(self, number: int) -> tuple[Tile, Panel]:
        """Dates and panel of a slab; those of one panel follow one another, for they share what they read."""
        panel, slab = divmod(number, len(self.slabs))
        row, column = divmod(panel, len(self.across))
        return self.slabs[slab], Panel(self.down[row], self.across[column])


def cut_grid(
    shape: tuple[int, int], *, bands: int = 1, members: int = 1, alone: bool = False
) -> tuple[int, list[Tile], list[Tile]]:
    """Dates of a slab, and the rows and columns of panels, for a grid of that shape.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns.
    bands, members : int
    alone : bool
        Whether every date is filled from itself: what needs no dates around it is better cut in time.
    """
    size, *panel = panel_size(
        shape,
        bands=bands,
        members=members,
        dates=DATES,
        margin=0 if alone else MARGIN,
        tile=_multiple(TILE),
        halo=HALO,
        rim=AROUND // 2,
        most=SLAB,
        most_read=READ_SLABS * SLAB,
    )
    down, across = (panel_axis(_tiles(length), part, AROUND // 2) for length, part in zip(shape, panel, strict=True))
    return size, down, across


def _tiles(length: int) -> list[Tile]:
    return tile_axis(length, TILE, HALO, multiple=LEVELS)


def _multiple(cells: int) -> int:
    return -(-cells // LEVELS) * LEVELS


def plan(model: Model, archive: Archive, *, dates: slice = slice(None), members: int = 1, whole: bool = False) -> Plan:
    """Slabs and tiles for some dates of an archive: a function of its size and the model alone.

    A slab sees the same dates around it whichever dates are asked for, so a part of a record is filled as the
    whole record is.

    Parameters
    ----------
    dates : slice
    members : int
    whole : bool
        One panel, whatever the grid; of a large one a slab then holds few dates.
    """
    first, last, _ = dates.indices(len(archive.days))
    count, (height, width) = len(archive.days), archive.domain.shape
    each = archive.bands * height * width * members
    size, down, across = cut_grid(
        (height, width), bands=archive.bands, members=members, alone=archive.independent or count == 1
    )
    if whole and len(down) * len(across) > 1:
        size = max(1, min(DATES, SLAB // each))
        down, across = ([Tile(slice(0, length), slice(0, length))] for length in (height, width))
    if archive.independent and len(down) * len(across) == 1:
        size = max(size, SAMPLES_VALUES // each)
    margin = model.frames - 1
    if model.prior is not None and count > 1 and not archive.independent:
        step = float(np.median(np.diff(archive.days)))
        margin = max(margin, math.ceil(2 * model.prior.persistence / max(step, 1e-6)))
    margin = max(model.frames - 1, min(margin, MARGIN))
    slabs = [
        Tile(
            slice(max(first, start), min(start + size, last)),
            slice(max(0, start - margin), min(count, start + size + margin)),
        )
        for start in range(first - first % size, last, size)
    ]
    return Plan(slabs, _tiles(height), _tiles(width), margin, size, down, across, archive.origin)


def fill_slab(
    model: Model,
    archive: Archive,
    slab: Tile,
    cut: Plan,
    *,
    panel: Panel | None = None,
    members: int = 1,
    seed: int = 0,
    device: torch.device | None = None,
) -> Slab:
    """The reconstruction of one slab.

    Parameters
    ----------
    archive : Archive
        Of the grid that was cut, or of all that the panel reads.
    panel : Panel, optional
        Rows and columns; by default all. Values are the same, bit for bit, whatever they are a part of.
    members : int
        Draws of the ensemble, in pairs on opposite sides of the field, which is their mean; of an odd number the last
        one's opposite is left out. A member's noise belongs to cells and dates, so tiles and slabs agree on it.
    seed : int
        Of that noise.
    """
    places = (None, None) if panel is None else panel
    rim = AROUND // 2 if members > 1 else 0
    sides = [
        _Side.of(tiles, None if place is None else place.core, rim, begins - planned)
        for tiles, place, begins, planned in zip(
            (cut.rows, cut.columns), places, archive.origin, cut.origin, strict=True
        )
    ]
    down, across = sides
    shape = (slab.core.stop - slab.core.start, archive.bands, *(side.wide.stop - side.wide.start for side in sides))
    total, std = np.zeros(shape, np.float32), None if model.error is None else np.zeros(shape, np.float32)
    draws = np.zeros((members, *shape), np.float32) if members > 1 else None
    shown, most = np.zeros(shape, bool), None if archive.error is None else np.full(shape, np.inf, np.float32)
    precision = getattr(torch, model.precision)
    for row, weight_y in down.tiles:
        for column, weight_x in across.tiles:
            read = (down.here(row.read), across.here(column.read))
            if not archive.domain[read].any():
                continue
            piece = archive.read(slab.read, *read)
            # A record shorter than the window: frames that say nothing are put behind.
            lack = max(0, model.frames - len(piece.days))
            values = np.pad(piece.values, ((0, lack), (0, 0), (0, 0), (0, 0)))
            observed = np.pad(piece.observed, ((0, lack), (0, 0), (0, 0), (0, 0)))
            days = np.concatenate([piece.days, piece.days[-1] + 1.0 + np.arange(lack)])
            covariates = piece.covariates
            if covariates is not None:
                covariates = np.pad(covariates, ((0, lack), (0, 0), (0, 0), (0, 0)), mode="edge")
            uncertainty = piece.uncertainty
            if uncertainty is not None:
                uncertainty = np.pad(uncertainty, ((0, lack), (0, 0), (0, 0), (0, 0)))
            there = [_moved(part, start) for part, start in zip((row.read, column.read), cut.origin)]
            noise = None
            if draws is not None:
                noise = draws_at(days, *there, bands=archive.bands, pairs=-(-members // 2), seed=seed)
            made = fill_block(
                model.network,
                model.prior_of(*there),
                values,
                observed,
                piece.domain,
                days,
                error=model.error,
                noise=noise,
                covariates=covariates,
                uncertainty=uncertainty,
                smoothing=model.smoothing,
                device=device,
                precision=precision,
            )
            (target_y, own_y), (target_x, own_x) = down.shared(row), across.shared(column)
            weight = (weight_y[own_y, None] * weight_x[own_x]).astype(np.float32)
            here, own = (..., target_y, target_x), (slab.inner, slice(None), own_y, own_x)
            shown[here] |= piece.observed[own] > 0
            if most is not None and piece.uncertainty is not None and not model.operator.blurs:
                noise_there = np.hypot(piece.uncertainty[own], model.operator.noise)
                most[here] = np.where(piece.observed[own] > 0, noise_there, np.inf)
            total[here] += weight * made.field[own].numpy()
            if std is not None and made.std is not None:
                std[here] += weight * made.std[own].numpy()
            if draws is not None and made.members is not None:
                draws[here] += weight * made.members[(slice(members), *own)].numpy()
    if std is not None:
        # An observation's estimate is off by no more than itself; there are too few of most errors to learn that.
        for date in range(len(std)):
            std[date] = model.calibration.apply(std[date])
            if most is not None:
                std[date] = np.minimum(std[date], most[date])
    # Sums are rounded according to where an array begins, so in a grid of several panels it begins where tiles do.
    parts = [(down.core, across.core)]
    if cut.panelled:
        parts = [(row, column) for row in down.cores for column in across.cores]
    if draws is not None:
        # Opposite members have their mean in the middle: no degree of freedom is lost to it.
        spread = np.sqrt(((draws - total) ** 2).mean(0))
        if std is not None:
            domain = archive.domain[down.here(down.wide), across.here(across.wide)]
            # Of an observation whose error is not known, no error was learned.
            gaps = domain & ~shown if model.exact else np.broadcast_to(domain, shape)
            for part in parts:
                here, around, own = (
                    (..., *places) for places in zip(*(side.around(core, rim) for side, core in zip(sides, part)))
                )
                factor = wanted_over_found(std[around], spread[around], gaps[around])[own]
                draws[here] = total[here] + (draws[here] - total[here]) * factor
        std = spread if std is None else std
    for row_core, column_core in parts:
        here = (..., down.inside(row_core), across.inside(column_core))
        some = Slab(*(None if part is None else part[here] for part in (total, std, draws)))  # type: ignore[arg-type]
        _to_units(archive, slab, some, down.here(row_core), across.here(column_core))
    kept = (..., down.inside(down.core), across.inside(across.core))
    return Slab(*(None if part is None else part[kept] for part in (total, std, draws)))  # type: ignore[arg-type]


class _Side(NamedTuple):
    """One axis of what is filled at a time, in cells of the grid that was cut."""

    core: slice  # what is kept
    wide: slice  # with its rim
    tiles: list[tuple[Tile, np.ndarray]]  # those that have a say in it, and their weights
    start: int  # where the archive begins

    @classmethod
    def of(cls, tiles: list[Tile], core: slice | None, rim: int, start: int) -> _Side:
        """That of a panel, or of the whole axis."""
        length = tiles[-1].core.stop
        core = core or slice(0, length)
        wide = widened(core, rim, length)
        weighted = zip(tiles, blend_weights(tiles, length))
        return cls(core, wide, [(tile, weight) for tile, weight in weighted if reaches(tile, wide)], start)

    @property
    def cores(self) -> list[slice]:
        """Cores of the tiles that are kept."""
        return [tile.core for tile, _ in self.tiles if self.core.start <= tile.core.start < self.core.stop]

    def here(self, part: slice) -> slice:
        """A stretch, counted in the archive."""
        return _moved(part, -self.start)

    def inside(self, part: slice) -> slice:
        """A stretch, counted from the rim on."""
        return _moved(part, -self.wide.start)

    def shared(self, tile: Tile) -> tuple[slice, slice]:
        """What a tile says of, counted from the rim on and from the first pixel of the tile."""
        part = slice(max(tile.read.start, self.wide.start), min(tile.read.stop, self.wide.stop))
        return self.inside(part), _moved(part, -tile.read.start)

    def around(self, core: slice, rim: int) -> tuple[slice, slice, slice]:
        """A stretch, it with a rim, and where it is in that."""
        wide = widened(core, rim, self.tiles[-1][0].read.stop)
        return self.inside(core), self.inside(wide), _moved(core, -wide.start)


def wanted_over_found(std: np.ndarray, spread: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """What members are drawn apart by, so that around every cell their spread is the error predicted there.

    Cell by cell, the spread of some members is mostly chance; around it, it is less so.

    Parameters
    ----------
    std, spread : ndarray, shape (t, C, H, W)
        Predicted standard deviation of the error, and the members'.
    gaps : ndarray of bool, shape (t, C, H, W)
        Where both are looked at.

    Returns
    -------
    factor : ndarray of float32, shape (t, C, H, W)
        1 where there is no gap around.
    """
    size = (1, 1, AROUND, AROUND)
    wanted, found = (
        uniform_filter(gaps * part.astype(np.float64) ** 2, size, mode="constant") for part in (std, spread)
    )
    known = found > 1e-9 * max(found.max(), 1e-30)
    return np.sqrt(np.where(known, wanted, 1.0) / np.where(known, found, 1.0)).astype(np.float32)


def _to_units(archive: Archive, slab: Tile, filled: Slab, y: slice, x: slice) -> None:
    """Put a reconstruction of some rows and columns into the field's units, in place; NaN where no field exists."""
    anomaly, std, members = filled
    phases = None if archive.phase is None else archive.phase[slab.core]
    domain, own = archive.domain[y, x], archive.standardiser.part(y, x)
    own = replace(own, coefficients=np.ascontiguousarray(own.coefficients))

    def inside(values: np.ndarray) -> np.ndarray:
        return np.where(domain, values, np.nan)

    def limited(values: np.ndarray) -> np.ndarray:
        return values if archive.limits is None else np.clip(values, *archive.limits)

    # In place, a date at a time: what comes up on the way would take more memory than the slab.
    for date in range(len(anomaly)):
        here = slice(date, date + 1)
        phase = None if phases is None else phases[here]
        if std is None:
            anomaly[here] = inside(limited(own.inverse(anomaly[here], phase)))
            continue
        mean, spread = own.moments(anomaly[here], std[here], phase)
        anomaly[here], std[here] = inside(limited(mean)), inside(spread)
        if members is not None:
            for one in members:
                one[here] = inside(limited(own.inverse(one[here], phase)))


def _moved(part: slice, start: int) -> slice:
    return slice(part.start + start, part.stop + start)


def compose(
    raw: np.ndarray, filled: Slab, *, keep_observed: bool, max_error: float | np.ndarray | None = None
) -> Parts:
    """Values of the product, where each comes from, and how far it may be off.

    Parameters
    ----------
    raw : ndarray, shape (t, C, H, W)
        As measured, NaN where unseen; cells that could not be read have a NaN of their own.
    filled : Slab
        The reconstruction.
    keep_observed : bool
        Measured values are returned bit for bit; the error of a measurement is not known, and NaN.
    max_error : float or ndarray, shape (C, 1, 1), optional
        Cells whose predicted error is larger stay empty, in the field's units.

    Returns
    -------
    Parts
        Values of ``raw``'s type, and the flags of :data:`FLAGS`.
    """
    count = len(raw)
    if count > 1:
        # A date at a time: what comes up on the way would take more memory than the slab.
        std, members = (None if part is None else np.empty(part.shape, np.float32) for part in filled[1:])
        whole = Parts(np.empty_like(raw), np.empty(raw.shape, np.int8), std, members)
        for date in range(count):
            here = slice(date, date + 1)
            one = Slab(*(None if part is None else part[..., here, :, :, :] for part in filled))  # type: ignore[arg-type]
            made = compose(raw[here], one, keep_observed=keep_observed, max_error=max_error)
            for target, part in zip(whole, made, strict=True):
                if target is not None and part is not None:
                    target[..., here, :, :, :] = part
        return whole
    seen, known = np.isfinite(raw), np.isfinite(filled.field)
    kept = seen if keep_observed else seen & ~known
    # A value that was measured but is reconstructed all the same is an estimate, and flagged as one.
    source = np.where(kept, OBSERVED, np.where(known, FILLED, LAND)).astype(np.int8)
    # Filled too, but perhaps measured: nobody can say.
    source[unreadable(raw) & known] = UNREADABLE
    values = np.where(kept, raw, filled.field.astype(raw.dtype))
    if filled.std is None:
        return Parts(values, source)
    if max_error is not None:
        refused = np.isin(source, (FILLED, UNREADABLE)) & ~(filled.std <= max_error)
        source[refused], values[refused] = REFUSED, np.nan
    std = np.where(kept, np.nan, filled.std).astype(np.float32)
    members = None
    if filled.members is not None:
        members = np.where(kept, raw, filled.members).astype(np.float32)
        if max_error is not None:
            members[:, refused] = np.nan
    return Parts(values, source, std, members)


def slab_parts(
    model: Model,
    reader: SlabReader,
    cut: Plan,
    slab: Tile,
    *,
    panel: Panel | None = None,
    keep_observed: bool,
    max_error: np.ndarray | None = None,
    members: int = 1,
    seed: int = 0,
    device: torch.device | None = None,
) -> list[np.ndarray]:
    """What the product holds of a slab: the archive is read, filled and composed.

    Returns
    -------
    list of ndarray
        Those of :class:`Parts` that there are.
    """
    held, here = reader.hold(slab, panel)
    made = fill_slab(model, held, here, cut, panel=panel, members=members, seed=seed, device=device)
    y, x = (
        (slice(None), slice(None))
        if panel is None
        else (_moved(side.core, planned - begins) for side, begins, planned in zip(panel, held.origin, cut.origin))
    )
    raw = held.field[here.core, :, y, x].compute(scheduler="synchronous").values.copy()
    del held
    parts = compose(raw, made, keep_observed=keep_observed, max_error=max_error)
    return [part for part in parts if part is not None]


def _call(work: Callable[..., list[np.ndarray]], slab: Tile, panel: Panel | None) -> list[np.ndarray]:
    return work(slab, panel=panel)


def _assembled(parts: Sequence[Any], cut: Plan, concatenate: Callable[[Sequence[Any], int], Any]) -> Any:
    """One array of those of all slabs, in the order of their numbers."""
    for count, axis in ((len(cut.slabs), -4), (len(cut.across), -1), (len(cut.down), -2)):
        groups = [parts[start : start + count] for start in range(0, len(parts), count)]
        parts = [group[0] if count == 1 else concatenate(group, axis) for group in groups]
    return parts[0]


def prepared(
    model: Model, field: xr.DataArray, *, error: xr.DataArray | None = None, withheld: bool = False
) -> Archive:
    """The archive of a field as a model fills it; the field's grid may be a part of the model's.

    Parameters
    ----------
    error : DataArray, shape ([time,] [band,] y, x), optional
        Standard deviation of the observations' errors, of a model trained with one.
    withheld : bool
        Hide what the model's training withheld; the field must then be the one it was trained on.

    Raises
    ------
    InputError
        Where units, bands or grid differ from the model's, or the record from the one it was trained on, or where dates
        lack that the model's covariates need, or where the observations' error does not fit.
    """
    known = known_error(model, field, error)
    y, x = model.place(field)
    archive = Archive.of(field, model.domain[y, x], model.standardiser.part(y, x), error=known)
    covariates = None if model.covariates is None else model.covariates.part(field, y, x)
    archive = replace(archive, origin=(y.start, x.start), covariates=covariates)
    if not withheld:
        return archive
    if len(model.withheld.sources) != len(archive.days) or archive.domain.shape != model.domain.shape:
        raise InputError(
            f"the model withheld observations of a record of {len(model.withheld.sources)} dates on a grid of "
            f"{model.domain.shape[0]} x {model.domain.shape[1]} cells, but {field.name} has {len(archive.days)} dates "
            f"on {archive.domain.shape[0]} x {archive.domain.shape[1]}; evaluate on the archive it was trained on"
        )
    return replace(archive, withheld=model.withheld)


def known_error(model: Model, field: xr.DataArray, error: xr.DataArray | None) -> xr.DataArray | float | None:
    """What is known of the observations' error, as it was in training.

    Raises
    ------
    InputError
        Where the model was trained with an error of each observation and none is given, or the other way round.
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


def product_of(
    model: Model, field: xr.DataArray, values: Any, source: Any, std: Any = None, members: Any = None
) -> xr.Dataset:
    """The product, labelled: the filled variable, ``*_source``, and, where there are, ``*_std`` and ``*_member``.

    Dimensions are in the field's order, members before them. Of several variables that were joined, each has all of
    these, with units, type and packing of its own.
    """
    if is_joined(field):
        products = []
        for band, one in enumerate(split_variables(field)):
            rest = (None if part is None else part[..., band, :, :] for part in (source, std, members))
            products.append(product_of(model, one, values[..., band, :, :].astype(one.dtype), *rest))
        return xr.merge(products, combine_attrs="override")
    dims = ordered(find_axes(field))
    name = str(field.name or model.variable)
    template = field.transpose(*dims)
    filled = template.copy(data=values).rename(name)
    # Chunks and filters of the source are not those of the product.
    keep = ("dtype", "scale_factor", "add_offset", "_FillValue", "units", "calendar")
    filled.encoding = {key: value for key, value in field.encoding.items() if key in keep}
    described = field.attrs.get("long_name", name)
    flags = xr.DataArray(source, dims=dims, coords=template.coords, name=f"{name}_source")
    flags.attrs = {"long_name": f"origin of {described}"} | FLAGS
    found = {name: filled, f"{name}_source": flags}
    units = {"units": field.attrs["units"]} if "units" in field.attrs else {}
    if std is not None:
        spread = xr.DataArray(std, dims=dims, coords=template.coords)
        spread.attrs = {"long_name": f"standard deviation of the error of {described}", **units}
        if "standard_name" in field.attrs:
            spread.attrs["standard_name"] = f"{field.attrs['standard_name']} standard_error"
        spread.attrs["comment"] = "of filled cells; the error of a measurement is not estimated"
        found[f"{name}_std"] = spread
    filled.attrs = dict(field.attrs) | {"ancillary_variables": " ".join(list(found)[1:])}
    if members is not None:
        ensemble = xr.DataArray(members, dims=("member", *dims), coords=template.coords)
        ensemble.attrs = {"long_name": f"members of the ensemble of {described}", **units}
        ensemble.attrs["comment"] = "members of the second half lie opposite those of the first, about the estimate"
        found[f"{name}_member"] = ensemble
    return xr.Dataset(found).transpose("member", *field.dims, missing_dims="ignore")


def check_members(model: Model, members: int) -> None:
    """Refuse an ensemble from a model that has none.

    Raises
    ------
    InputError
    """
    if members < 1:
        raise InputError(f"members must be at least 1, got {members}; give a larger number")
    if members > 1 and model.prior is None and (model.network is None or model.network.noise == "none"):
        raise InputError(
            f"the model has neither a first guess nor noise of its own, so it cannot draw {members} members; train one "
            "with --members 2, or with a first guess"
        )


def fill(
    model: Model,
    field: xr.DataArray,
    *,
    error: xr.DataArray | None = None,
    keep_observed: bool | None = None,
    members: int = 1,
    max_error: float | str | Sequence[float] | None = None,
    seed: int = 0,
    device: torch.device | None = None,
) -> xr.Dataset:
    """Fill a field; lazily where it is lazy.

    Parameters
    ----------
    model : Model
    field : DataArray, shape ([time,] [band,] y, x)
        In the model's units, on its grid or a part of it.
    error : DataArray, of the field's shape, optional
        Standard deviation of the observations' errors, in the field's units: of a model trained with one.
    keep_observed : bool, optional
        Return measured values bit for bit; by default, unless they are known to be noisy or blurred.
    members : int
        Draws of the ensemble; 1 for the best estimate alone.
    max_error : float or sequence of float, optional
        Leave cells empty whose predicted error is larger, in the field's units; of several variables one each.
    seed : int
        Of the members.
    device : torch.device, optional

    Returns
    -------
    Dataset
        The filled variable; ``*_source``: 0 observed, 1 filled, 2 land, 3 refused, 4 unreadable; where the model
        predicts its error, ``*_std``; of several members, ``*_member``.

    Raises
    ------
    InputError
        Where the field does not fit the model, or the model cannot say what is asked.
    """
    check_members(model, members)
    limits = error_limits(model, max_error, members)
    model = model.on(device)
    archive = prepared(model, field, error=error)
    keep = model.exact if keep_observed is None else keep_observed
    cut = plan(model, archive, members=members)

    work = partial(
        slab_parts,
        model,
        SlabReader(archive),
        cut,
        keep_observed=keep,
        max_error=limits,
        members=members,
        seed=seed,
        device=device,
    )
    kinds: list[tuple[Any, int]] = [(archive.field.dtype, 1), (np.int8, 1)]
    if model.error is not None or members > 1:
        kinds.append((np.float32, 1))
    if members > 1:
        kinds.append((np.float32, members))
    regions = [cut.at(number) for number in range(cut.total)]
    if field.chunks is None:
        made = side_by_side(lambda region: _call(work, *region), regions)
        found = [_assembled(part, cut, np.concatenate) for part in zip(*made, strict=True)]
    else:
        # Model and archive are one key of the graph, which goes to each worker once, and not a part of every task.
        shared = dask.delayed(work, name=f"geogan-model-{uuid.uuid4().hex}", traverse=False)
        lazy = [dask.delayed(_call, pure=False)(shared, slab, panel) for slab, panel in regions]
        sizes = [
            tuple(part.stop - part.start for part in (slab.core, panel.y.core, panel.x.core)) for slab, panel in regions
        ]
        found = [
            _assembled(
                [
                    da.from_delayed(
                        part[index], ((count,) if count > 1 else ()) + (size[0], archive.bands, *size[1:]), kind
                    )
                    for part, size in zip(lazy, sizes)
                ],
                cut,
                da.concatenate,
            )
            for index, (kind, count) in enumerate(kinds)
        ]
    axes = find_axes(field)
    return product_of(model, field, *(unstacked(part, axes) for part in found))


def error_limits(model: Model, max_error: float | str | Sequence[float] | None, members: int) -> np.ndarray | None:
    """What the predicted error of each band is held against, (C, 1, 1); None for no limit.

    Parameters
    ----------
    max_error : float, str or sequence of float, optional
        One for all bands, or one each, as text with commas between. Variables have units of their own, so each needs
        one of its own.

    Raises
    ------
    InputError
        Where a limit is no positive number, there are not as many as bands, or the model predicts no error.
    """
    if max_error is None:
        return None
    count = len(model.standardiser.scale)
    try:
        each = max_error.split(",") if isinstance(max_error, str) else max_error
        limits = np.array(each, np.float64).reshape(-1, 1, 1)
    except (TypeError, ValueError):
        limits = np.zeros((1, 1, 1))
    if not (limits > 0).all():
        raise InputError(f"max_error must be positive, in the units of the field, got {max_error}; give a larger one")
    if len(limits) not in ({count} if model.band_units else {1, count}):
        named = ", ".join(model.bands) or f"{count} band{'s' * (count > 1)}"
        raise InputError(
            f"max_error must be one number for each of {named}, in its units, got {max_error}; write them with commas "
            "between"
        )
    if model.error is None and members == 1:
        raise InputError("the model predicts no error to hold against --max-error; train one with the withheld term")
    return limits
