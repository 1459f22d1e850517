"""Fill a field of any size, slab by slab.

Slabs do not depend on each other: they are what Dask computes in parallel, what is written at a time, and what a
stopped run goes on with.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import dask
import dask.array as da
import numpy as np
import torch
import xarray as xr

from geogan.archive import Archive
from geogan.archive.screening import THRESHOLD
from geogan.compute.threads import side_by_side
from geogan.fields.field import Field
from geogan.fields.storage import value_type
from geogan.fields.variables import split_variables
from geogan.filling.compose import choose_storages, compose, error_limits, product_of, room_of
from geogan.filling.panels import Panel, moved
from geogan.filling.plan import Plan, plan
from geogan.filling.reader import SlabReader
from geogan.filling.regime import Watch
from geogan.filling.task import Slab, fill_slab
from geogan.filling.tiles import Tile
from geogan.io import label_of
from geogan.io.dates import shown_date
from geogan.model import Model
from geogan.model import prepare_archive as prepared
from geogan.operators.errors import InputError
from geogan.settings import check_settings


def slab_parts(
    model: Model,
    reader: SlabReader,
    cut: Plan,
    slab: Tile,
    *,
    panel: Panel | None = None,
    keep_observed: bool,
    max_error: np.ndarray | None = None,
    room: tuple[np.ndarray, np.ndarray] | None = None,
    members: int = 1,
    seed: int = 0,
    device: torch.device | None = None,
    look: Callable[[Archive, Tile], None] | None = None,
) -> list[np.ndarray]:
    """What the product holds of a slab: the archive is read, filled and composed.

    Parameters
    ----------
    look : callable, optional
        Called with what was read: an archive in memory, and the slab counted from its first date.

    Returns
    -------
    list of ndarray
        Those of :class:`Parts` that there are.
    """
    held, here = reader.hold(slab, panel)
    if look is not None:
        look(held, here)
    whole = cut.whole(slab)
    made = fill_slab(model, held, here, cut, panel=panel, members=members, seed=seed, device=device, whole=whole)
    y, x = (
        (slice(None), slice(None))
        if panel is None
        else (moved(side.core, planned - begins) for side, begins, planned in zip(panel, held.origin, cut.origin))
    )
    raw = held.field[here.core, :, y, x]
    raw = raw if raw.chunks is None else raw.compute(scheduler="synchronous")
    # The archive's own name: what is held of it has lost the file's.
    dates = slab.core
    name = f"{label_of(reader.archive.field)}, in dates {dates.start} to {dates.stop - 1},"
    check_predicted(made, held.domain[y, x], archive=reader.archive, dates=dates, name=label_of(reader.archive.field))
    sources = model.standardiser.source_bands
    if max_error is not None and len(max_error) > 1:
        max_error = max_error[sources]
    if room is not None and len(room[0]) > 1:
        room = room[0][sources], room[1][sources]
    parts = compose(
        raw.variable, made, keep_observed=keep_observed, max_error=max_error, room=room, in_place=True, name=name
    )
    own = model.standardiser.field_bands
    kept: Any = slice(None) if len(own) == len(model.standardiser.scale) else own
    return [part[..., kept, :, :] for part in parts if part is not None]


def check_predicted(made: Slab, domain: np.ndarray, *, archive: Archive, dates: slice, name: str) -> None:
    """Refuse a reconstruction that is not finite inside the domain, which would else be taken for land.

    Parameters
    ----------
    made : Slab
    domain : ndarray of bool, shape (H, W)
    archive : Archive
        Whose dates are named.
    dates : slice
        Those of the slab.
    name : str
        What is filled.
    """
    wrong = np.zeros(made.field.shape[0], bool)
    for part in made:
        if part is not None:
            for date in range(len(wrong)):
                wrong[date] |= not np.isfinite(part[..., date, :, :, :][..., domain]).all()
    if wrong.any():
        first, last = dates.start + np.flatnonzero(wrong)[[0, -1]]
        labels = archive.field.indexes.get(archive.field.dims[0])
        where = f"date {first}" if labels is None else f"{shown_date(labels[first])}"
        where += "" if first == last else f" to {last if labels is None else shown_date(labels[last])}"
        raise InputError(
            f"{name}, {where}: the model predicts values that are not finite; look for values of that date near 1e37 "
            "or far from the others, mask or scale them, and train the model again if it was trained on them"
        )


def _moved(
    work: Callable[..., list[np.ndarray]], model: Model, device: torch.device | None, slab: Tile, panel: Panel | None
) -> list[np.ndarray]:
    return work(model.on(device), slab=slab, panel=panel)


def _call(work: Callable[..., list[np.ndarray]], slab: Tile, panel: Panel | None) -> list[np.ndarray]:
    return work(slab, panel)


def _assembled(parts: Sequence[Any], cut: Plan, concatenate: Callable[[Sequence[Any], int], Any]) -> Any:
    """One array of those of all slabs, in the order of their numbers."""
    for count, axis in ((len(cut.slabs), -4), (len(cut.across), -1), (len(cut.down), -2)):
        groups = [parts[start : start + count] for start in range(0, len(parts), count)]
        parts = [group[0] if count == 1 else concatenate(group, axis) for group in groups]
    return parts[0]


def with_screen(model: Model, screen: bool | float | None) -> Model:
    """Return a model that leaves suspicious observations out, or none.

    Parameters
    ----------
    screen : bool or float, optional
        Whether, or the threshold in robust standard deviations; None as the model was trained.

    Raises
    ------
    InputError
        Where the model does not know what its anomalies are like.
    """
    check_settings({} if screen is None else {"screen": screen})
    if screen is None:
        return model
    if screen is False:
        return model if model.screen is None else replace(model, screen=replace(model.screen, threshold=None))
    if model.screen is None:
        raise InputError(
            "the model does not know what its anomalies are like, so nothing can be screened by it; train it again "
            "with --screen"
        )
    return replace(model, screen=replace(model.screen, threshold=THRESHOLD if screen is True else screen))


def check_members(model: Model, members: int) -> None:
    """Refuse an ensemble from a model that has none.

    Raises
    ------
    InputError
    """
    check_settings({"members": members})
    if members > 1 and model.prior is None and (model.network is None or model.network.noise == "none"):
        raise InputError(
            f"the model has neither a first guess nor noise of its own, so it cannot draw {members} members; train one "
            "with --members 2, or with a first guess"
        )


def fill(
    model: Model,
    field: Field,
    *,
    error: xr.DataArray | None = None,
    keep_observed: bool | None = None,
    members: int = 1,
    max_error: float | str | Sequence[float] | None = None,
    seed: int = 0,
    screen: bool | float | None = None,
    device: torch.device | None = None,
    message: Callable[[str], None] = lambda sentence: None,
) -> xr.Dataset:
    """Fill a field; lazily where it is lazy.

    Parameters
    ----------
    model : Model
    field : Field
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
    screen : bool or float, optional
        Leave suspicious observations out, see :func:`with_screen`; by default as in training.
    device : torch.device, optional
    message : callable
        Called with a sentence for each variable whose encoding is not kept.

    Returns
    -------
    Dataset
        The filled variable; ``*_source``: 0 observed, 1 filled, 2 land, 3 refused, 4 unreadable, 5 screened; where the
        model predicts its error, ``*_std``; of several members, ``*_member``.

    Raises
    ------
    InputError
        Where the field does not fit the model, or the model cannot say what is asked.

    Warns
    -----
    UserWarning
        Where half of a slab's observations lie far off the model's climatology: see `geogan.filling.regime`.
    """
    check_members(model, members)
    model = with_screen(model, screen)
    limits = error_limits(model, max_error, members)
    archive = prepared(model, field, error=error)
    keep = model.exact if keep_observed is None else keep_observed
    storages = choose_storages(archive, field.array)
    for one, storage in zip(split_variables(field.array), storages, strict=True):
        if storage.reason:
            message(storage.sentence(str(one.name or model.variable)))
    cut = plan(model, archive, members=members)

    work = partial(
        slab_parts,
        reader=SlabReader(archive, slabs=() if cut.panelled else cut.slabs),
        cut=cut,
        keep_observed=keep,
        max_error=limits,
        room=room_of(storages),
        members=members,
        seed=seed,
        device=device,
        look=Watch(str(field.array.name or model.variable), model.bands if model.band_units else ()),
    )
    kinds: list[tuple[Any, int]] = [(value_type(archive.field.dtype), 1), (np.int8, 1)]
    if model.error is not None or members > 1:
        kinds.append((np.float32, 1))
    if members > 1:
        kinds.append((np.float32, members))
    regions = [cut.at(number) for number in range(cut.total)]
    if not field.is_lazy:
        on_device = partial(_moved, work, model.on(device), None)
        made = side_by_side(lambda region: on_device(*region), regions)
        found = [_assembled(part, cut, np.concatenate) for part in zip(*made, strict=True)]
    else:
        # Model and archive are one key of the graph, which goes to each worker once, and not a part of every task. The
        # model travels as it is, and gets to its device there.
        shared = dask.delayed(
            partial(_moved, work, model, device), name=f"geogan-model-{uuid.uuid4().hex}", traverse=False
        )
        lazy = [dask.delayed(_call, pure=False)(shared, slab, panel) for slab, panel in regions]
        sizes = [
            tuple(part.stop - part.start for part in (slab.core, panel.y.core, panel.x.core)) for slab, panel in regions
        ]
        found = [
            _assembled(
                [
                    da.from_delayed(
                        part[index],
                        ((count,) if count > 1 else ()) + (size[0], len(model.standardiser.field_bands), *size[1:]),
                        kind,
                    )
                    for part, size in zip(lazy, sizes)
                ],
                cut,
                da.concatenate,
            )
            for index, (kind, count) in enumerate(kinds)
        ]
    return product_of(model, field, storages, *map(field.unstacked, found))
