"""Fill a field of any size: slabs of dates, tiles with halos, blended.

A slab is some dates of the whole grid. It reads some dates more on either side (the first guess and the
windows look there), is computed tile by tile, and blended. Slabs do not depend on each other: they are
what Dask computes in parallel, what is written at a time, and what a stopped run goes on with.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import dask
import dask.array as da
import numpy as np
import torch
import xarray as xr

from geogan.archive import Archive
from geogan.coordinates import find_axes, ordered, unstacked
from geogan.inference import fill_block
from geogan.model import Model
from geogan.operators.errors import InputError
from geogan.parallel import side_by_side
from geogan.tiles import Tile, blend_weights, tile_axis

# Cells of one side of a tile, and those it reads beyond.
TILE, HALO = 192, 32
# Dates of a slab, and at most so many more on either side.
DATES, MARGIN = 24, 8
# Cells of a slab at most: fewer dates on large grids, so that memory stays bounded.
SLAB = 48_000_000
# Values of a slab of independent samples, where those of DATES are fewer.
SAMPLES_VALUES = 1_000_000

OBSERVED, FILLED, LAND = 0, 1, 2
FLAGS = {"flag_values": np.array([OBSERVED, FILLED, LAND], np.int8), "flag_meanings": "observed filled land"}


class Plan(NamedTuple):
    """How a field is cut."""

    slabs: list[Tile]
    rows: list[Tile]
    columns: list[Tile]
    margin: int  # dates looked at before and after a slab, where there are as many


def plan(model: Model, archive: Archive, *, dates: slice = slice(None)) -> Plan:
    """Slabs and tiles for some dates of an archive: a function of its size and the model alone.

    A slab sees the same dates around it whichever dates are asked for, so a part of a record is filled as the
    whole record is.
    """
    first, last, _ = dates.indices(len(archive.days))
    count, (height, width) = len(archive.days), archive.domain.shape
    each = archive.bands * height * width
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
    return Plan(slabs, rows, columns, margin)


def fill_slab(
    model: Model, archive: Archive, slab: Tile, cut: Plan, *, device: torch.device | None = None
) -> np.ndarray:
    """The reconstruction of one slab, shape (t, C, H, W), in the field's units; NaN outside the domain."""
    height, width = archive.domain.shape
    total = np.zeros((slab.core.stop - slab.core.start, archive.bands, height, width), np.float32)
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
            field = fill_block(
                model.network,
                model.prior,
                values,
                observed,
                piece.domain,
                days,
                device=device,
                precision=precision,
            )
            total[..., row.read, column.read] += (weight_y[:, None] * weight_x).astype(np.float32) * field[slab.inner]
    phase = None if archive.phase is None else archive.phase[slab.core]
    filled = archive.standardiser.inverse(total, phase)
    if archive.limits is not None:
        filled = np.clip(filled, *archive.limits)
    return np.where(archive.domain, filled, np.nan)


def compose(raw: np.ndarray, filled: np.ndarray, *, keep_observed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Values of the product, and where each comes from.

    Parameters
    ----------
    raw, filled : ndarray, shape (t, C, H, W)
        As measured (NaN where unseen), and the reconstruction (NaN outside the domain).
    keep_observed : bool
        Measured values are returned bit for bit.

    Returns
    -------
    values : ndarray
        Of ``raw``'s type.
    source : ndarray of int8
        The flags of :data:`FLAGS`.
    """
    seen = np.isfinite(raw)
    kept = seen if keep_observed else seen & ~np.isfinite(filled)
    # A value that was measured but is reconstructed all the same is an estimate, and flagged as one.
    source = np.where(kept, OBSERVED, np.where(np.isfinite(filled), FILLED, LAND)).astype(np.int8)
    return np.where(kept, raw, filled.astype(raw.dtype)), source


def prepared(model: Model, field: xr.DataArray, *, withheld: bool = False) -> Archive:
    """The archive of a field as a model fills it; the field's grid may be a part of the model's.

    Parameters
    ----------
    withheld : bool
        Hide what the model's training withheld; the field must then be the one it was trained on.

    Raises
    ------
    InputError
        Where units, bands or grid differ from the model's, or the record from the one it was trained on.
    """
    y, x = model.place(field)
    archive = Archive.of(field, model.domain[y, x], model.standardiser.part(y, x))
    if not withheld:
        return archive
    if len(model.withheld.sources) != len(archive.days) or archive.domain.shape != model.domain.shape:
        raise InputError(
            f"the model withheld observations of a record of {len(model.withheld.sources)} dates on a grid of "
            f"{model.domain.shape[0]} x {model.domain.shape[1]} cells, but {field.name} has {len(archive.days)} dates "
            f"on {archive.domain.shape[0]} x {archive.domain.shape[1]}; evaluate on the archive it was trained on"
        )
    return replace(archive, withheld=model.withheld)


def product_of(model: Model, field: xr.DataArray, values: object, source: object) -> xr.Dataset:
    """The product: the filled variable and its ``*_source``, labelled; dimensions in the field's order."""
    dims = ordered(find_axes(field))
    name = str(field.name or model.variable)
    template = field.transpose(*dims)
    filled = template.copy(data=values).rename(name)
    # Chunks and filters of the source are not those of the product.
    keep = ("dtype", "scale_factor", "add_offset", "_FillValue", "units", "calendar")
    filled.encoding = {key: value for key, value in field.encoding.items() if key in keep}
    filled.attrs = dict(field.attrs) | {"ancillary_variables": f"{name}_source"}
    flags = xr.DataArray(source, dims=dims, coords=template.coords, name=f"{name}_source")
    flags.attrs = {"long_name": f"origin of {field.attrs.get('long_name', name)}"} | FLAGS
    dataset = xr.Dataset({name: filled, f"{name}_source": flags})
    return dataset.transpose(*field.dims)


def fill(
    model: Model,
    field: xr.DataArray,
    *,
    keep_observed: bool | None = None,
    device: torch.device | None = None,
) -> xr.Dataset:
    """Fill a field; lazily where it is lazy.

    Parameters
    ----------
    model : Model
    field : DataArray, shape ([time,] [band,] y, x)
        In the model's units, on its grid or a part of it.
    keep_observed : bool, optional
        Return measured values bit for bit; by default, unless the model's operator blurs or adds noise.
    device : torch.device, optional

    Returns
    -------
    Dataset
        The filled variable and ``*_source``: 0 observed, 1 filled, 2 land.
    """
    model = model.on(device)
    archive = prepared(model, field)
    keep = model.operator.exact if keep_observed is None else keep_observed
    cut = plan(model, archive)
    shape = archive.domain.shape

    def slab(tile: Tile) -> tuple[np.ndarray, np.ndarray]:
        with dask.config.set(scheduler="synchronous"):
            raw = np.asarray(archive.field[tile.core].values)
        return compose(raw, fill_slab(model, archive, tile, cut, device=device), keep_observed=keep)

    if field.chunks is None:
        parts = list(side_by_side(slab, cut.slabs))
        values, source = (np.concatenate(part) for part in zip(*parts, strict=True))
    else:
        lazy = [dask.delayed(slab, pure=False)(tile) for tile in cut.slabs]
        sizes = [(tile.core.stop - tile.core.start, archive.bands, *shape) for tile in cut.slabs]
        values, source = (
            da.concatenate([da.from_delayed(part[index], size, dtype) for part, size in zip(lazy, sizes)])
            for index, dtype in ((0, archive.field.dtype), (1, np.int8))
        )
    axes = find_axes(field)
    return product_of(model, field, unstacked(values, axes), unstacked(source, axes))
