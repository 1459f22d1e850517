"""Fill a field of any size: slabs of dates, tiles with halos, blended.

A slab is some dates of the whole grid. It reads some dates more on either side (the first guess and the
windows look there), is computed tile by tile, and blended. Slabs do not depend on each other: they are
what Dask computes in parallel, what is written at a time, and what a stopped run goes on with.
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
from geogan.chunks import SLAB_DATES, SLAB_MARGIN, SLAB_VALUES
from geogan.coordinates import find_axes, ordered, unstacked
from geogan.damage import unreadable
from geogan.draws import draws_at
from geogan.inference import fill_block
from geogan.model import Model
from geogan.observation_error import observation_error
from geogan.operators.errors import InputError
from geogan.parallel import side_by_side
from geogan.reader import SlabReader
from geogan.tiles import Tile, blend_weights, tile_axis
from geogan.variables import is_joined, split_variables

# Cells of one side of a tile, and those it reads beyond.
TILE, HALO = 192, 32
# Dates of a slab, and at most so many more on either side; fewer on large grids, so that memory stays bounded.
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


def plan(model: Model, archive: Archive, *, dates: slice = slice(None), members: int = 1) -> Plan:
    """Slabs and tiles for some dates of an archive: a function of its size and the model alone.

    A slab sees the same dates around it whichever dates are asked for, so a part of a record is filled as the
    whole record is.
    """
    first, last, _ = dates.indices(len(archive.days))
    count, (height, width) = len(archive.days), archive.domain.shape
    each = archive.bands * height * width * members
    size = max(1, min(DATES, SLAB // each))
    if archive.independent:
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
    # The generator's coarser levels start at multiples of 4: a tile's must be those of the whole grid.
    rows, columns = (tile_axis(length, TILE, HALO, multiple=4) for length in (height, width))
    return Plan(slabs, rows, columns, margin, size)


def fill_slab(
    model: Model,
    archive: Archive,
    slab: Tile,
    cut: Plan,
    *,
    members: int = 1,
    seed: int = 0,
    device: torch.device | None = None,
) -> Slab:
    """The reconstruction of one slab.

    Parameters
    ----------
    members : int
        Draws of the ensemble, in pairs on opposite sides of the field, which is their mean; of an odd number the last
        one's opposite is left out. A member's noise belongs to cells and dates, so tiles and slabs agree on it.
    seed : int
        Of that noise.
    """
    height, width = archive.domain.shape
    shape = (slab.core.stop - slab.core.start, archive.bands, height, width)
    total, std = np.zeros(shape, np.float32), None if model.error is None else np.zeros(shape, np.float32)
    draws = np.zeros((members, *shape), np.float32) if members > 1 else None
    shown, most = np.zeros(shape, bool), None if archive.error is None else np.full(shape, np.inf, np.float32)
    weights_y, weights_x = blend_weights(cut.rows, height), blend_weights(cut.columns, width)
    precision = getattr(torch, model.precision)
    for row, weight_y in zip(cut.rows, weights_y):
        for column, weight_x in zip(cut.columns, weights_x):
            if not archive.domain[row.read, column.read].any():
                continue
            piece = archive.read(slab.read, row.read, column.read)
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
            there = [_moved(part, start) for part, start in zip((row.read, column.read), archive.origin)]
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
                device=device,
                precision=precision,
            )
            weight = (weight_y[:, None] * weight_x).astype(np.float32)
            here = (..., row.read, column.read)
            shown[here] |= piece.observed[slab.inner] > 0
            if most is not None and piece.uncertainty is not None and not model.operator.blurs:
                noise_there = np.hypot(piece.uncertainty, model.operator.noise)
                most[here] = np.where(piece.observed > 0, noise_there, np.inf)[slab.inner]
            total[here] += weight * made.field[slab.inner].numpy()
            if std is not None and made.std is not None:
                std[here] += weight * made.std[slab.inner].numpy()
            if draws is not None and made.members is not None:
                draws[here] += weight * made.members[:members, slab.inner].numpy()
    if std is not None:
        # An observation's estimate is off by no more than itself; there are too few of most errors to learn that.
        for date in range(len(std)):
            std[date] = model.calibration.apply(std[date])
            if most is not None:
                std[date] = np.minimum(std[date], most[date])
    if draws is not None:
        # Opposite members have their mean in the middle: no degree of freedom is lost to it.
        spread = np.sqrt(((draws - total) ** 2).mean(0))
        if std is not None:
            # Of an observation whose error is not known, no error was learned.
            gaps = archive.domain & ~shown if model.exact else np.broadcast_to(archive.domain, shape)
            draws = total + (draws - total) * wanted_over_found(std, spread, gaps)
        std = spread if std is None else std
    return _in_units(archive, slab, total, std, draws)


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


def _in_units(
    archive: Archive, slab: Tile, anomaly: np.ndarray, std: np.ndarray | None, members: np.ndarray | None
) -> Slab:
    """A reconstruction in the field's units, where the field exists."""
    phases = None if archive.phase is None else archive.phase[slab.core]
    own = archive.standardiser

    def inside(values: np.ndarray) -> np.ndarray:
        return np.where(archive.domain, values, np.nan)

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
    return Slab(anomaly, std, members)


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
    held, here = reader.hold(slab)
    made = fill_slab(model, held, here, cut, members=members, seed=seed, device=device)
    raw = held.field[here.core].compute(scheduler="synchronous").values.copy()
    del held
    parts = compose(raw, made, keep_observed=keep_observed, max_error=max_error)
    return [part for part in parts if part is not None]


def _call(work: Callable[[Tile], list[np.ndarray]], slab: Tile) -> list[np.ndarray]:
    return work(slab)


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
    shape = archive.domain.shape

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
    if field.chunks is None:
        parts = list(zip(*side_by_side(work, cut.slabs), strict=True))
        found = [np.concatenate(part, -4) for part in parts]
    else:
        # Model and archive are one key of the graph, which goes to each worker once, and not a part of every task.
        shared = dask.delayed(work, name=f"geogan-model-{uuid.uuid4().hex}", traverse=False)
        lazy = [dask.delayed(_call, pure=False)(shared, tile) for tile in cut.slabs]
        sizes = [(tile.core.stop - tile.core.start, archive.bands, *shape) for tile in cut.slabs]
        found = [
            da.concatenate(
                [
                    da.from_delayed(part[index], size if count == 1 else (count, *size), kind)
                    for part, size in zip(lazy, sizes)
                ],
                -4,
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
