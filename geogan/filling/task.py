"""One slab filled: tile by tile, blended, in the field's units."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from geogan.archive import Archive
from geogan.filling.panels import Panel, moved, shifts, widened
from geogan.filling.plan import Plan
from geogan.filling.tiles import Tile, blend_weights
from geogan.model import Model, draws_at, fill_film
from geogan.model import spread_factor as wanted_over_found
from geogan.prior import Film


class Slab(NamedTuple):
    """What is said of some dates, (t, C, H, W), in the field's units; NaN outside the domain."""

    field: np.ndarray
    std: np.ndarray | None = None  # standard deviation of its error
    members: np.ndarray | None = None  # (M, t, C, H, W)


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
    whole: slice | None = None,
) -> Slab:
    """The reconstruction of one slab.

    Parameters
    ----------
    archive : Archive
        Of the grid that was cut, or of all that the panel reads.
    panel : Panel, optional
        Rows and columns; by default all. Values are the same, bit for bit, whatever they are a part of.
    members : int
        Draws of the ensemble, in pairs on opposite sides of the field, which is the mean of an even number; of an odd
        one the last one's opposite is left out. A member's noise belongs to cells and dates, so tiles and slabs agree
        on it.
    seed : int
        Of that noise.
    whole : slice
        Dates of which the slab's own are a part, counted from the first it reads: networks look at the windows that
        hold one of them; see :meth:`geogan.filling.plan.Plan.whole`. By default the slab's own.
    """
    whole = slab.inner if whole is None else whole
    places = (None, None) if panel is None else panel
    rim = cut.around // 2 if members > 1 else 0
    sides = [
        _Side.of(tiles, None if place is None else place.core, rim, begins - planned, is_periodic=wraps)
        for tiles, place, begins, planned, wraps in zip(
            (cut.rows, cut.columns), places, archive.origin, cut.origin, (False, cut.is_periodic), strict=True
        )
    ]
    down, across = sides
    shape = (slab.core.stop - slab.core.start, archive.bands, *(side.wide.stop - side.wide.start for side in sides))
    total, std = np.zeros(shape, np.float32), None if model.error is None else np.zeros(shape, np.float32)
    draws = np.zeros((members, *shape), np.float32) if members > 1 else None
    shown = None if draws is None else np.zeros(shape, bool)
    most = None if archive.error is None else np.full(shape, np.inf, np.float32)
    for row, weight_y in down.tiles:
        for column, weight_x in across.tiles:
            read = (down.here(row.read), across.here(column.read))
            if not archive.sea(*read).any():
                continue
            is_periodic = archive.spans(read[1])
            film = archive.read(slab.read, *read)
            # A record shorter than the window: frames that say nothing are put behind.
            arrays = {name: part.numpy() for name, part in film.parts().items()}
            lack = max(0, model.frames - len(film.days))
            values, observed, uncertainty = (
                _longer(arrays.get(name), lack) for name in ("values", "mask", "uncertainty")
            )
            covariates = _longer(arrays.get("covariates"), lack, mode="edge")
            days = np.concatenate([arrays["days"], arrays["days"][-1] + 1.0 + np.arange(lack)])
            tile = Film(
                values=torch.from_numpy(values),
                mask=torch.from_numpy(observed),
                domain=film.domain,
                days=torch.from_numpy(days),
                covariates=None if covariates is None else torch.from_numpy(covariates),
                uncertainty=None if uncertainty is None else torch.from_numpy(uncertainty),
            )
            del film, arrays  # what a fill has no use for is not held while networks need the memory
            there = [moved(part, start) for part, start in zip((row.read, column.read), cut.origin)]
            noise = None
            if draws is not None:
                noise = draws_at(
                    days,
                    *there,
                    bands=archive.bands,
                    pairs=-(-members // 2),
                    seed=seed,
                    width=model.domain.shape[1],
                )
            made = fill_film(
                model.networks,
                model.prior_of(*there, is_periodic=is_periodic),
                tile,
                noise=None if noise is None else torch.from_numpy(noise),
                device=device,
                dates=whole,
                is_periodic=is_periodic,
            )
            for (target_y, own_y), (target_x, own_x) in product(down.shared(row), across.shared(column)):
                weight = (weight_y[own_y, None] * weight_x[own_x]).astype(np.float32)
                here, own = (..., target_y, target_x), (slab.inner, slice(None), own_y, own_x)
                kept = (..., moved(slab.inner, -whole.start), slice(None), own_y, own_x)
                if shown is not None:
                    shown[here] |= observed[own] > 0
                if most is not None and uncertainty is not None and not model.operator.blurs:
                    noise_there = np.hypot(uncertainty[own], model.operator.noise)
                    most[here] = np.where(observed[own] > 0, noise_there, np.inf)
                total[here] += weight * made.field[kept].numpy()
                if std is not None and made.std is not None:
                    std[here] += weight * made.std[kept].numpy()
                if draws is not None and made.members is not None:
                    draws[here] += weight * made.members[:members][kept].numpy()
            del made
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
    if draws is not None and shown is not None:
        # Opposite members have their mean in the middle: no degree of freedom is lost to it.
        spread = np.sqrt(((draws - total) ** 2).mean(0))
        if std is not None:
            domain = archive.sea(down.here(down.wide), across.here(across.wide))
            # Of an observation whose error is not known, no error was learned.
            gaps = domain & ~shown if model.exact else np.broadcast_to(domain, shape)
            for part in parts:
                here, around, own = (
                    (..., *places) for places in zip(*(side.around(core, rim) for side, core in zip(sides, part)))
                )
                factor = wanted_over_found(std[around], spread[around], gaps[around], cells=cut.around)[own]
                draws[here] = total[here] + (draws[here] - total[here]) * factor
        std = spread if std is None else std
    for row_core, column_core in parts:
        here = (..., down.inside(row_core), across.inside(column_core))
        some = Slab(*(None if part is None else part[here] for part in (total, std, draws)))  # type: ignore[arg-type]
        _to_units(archive, slab, some, down.here(row_core), across.here(column_core))
    asked = (..., down.inside(down.core), across.inside(across.core))
    return Slab(*(None if part is None else part[asked] for part in (total, std, draws)))  # type: ignore[arg-type]


def _longer(part: np.ndarray | None, lack: int, *, mode: Literal["constant", "edge"] = "constant") -> Any:
    """With so many frames behind it; as it is where none lacks, for a copy takes memory."""
    return part if part is None or lack == 0 else np.pad(part, ((0, lack), (0, 0), (0, 0), (0, 0)), mode=mode)


class _Side(NamedTuple):
    """One axis of what is filled at a time, in cells of the grid that was cut."""

    core: slice  # what is kept
    wide: slice  # with its rim
    tiles: list[tuple[Tile, np.ndarray]]  # those that have a say in it, and their weights
    start: int  # where the archive begins
    length: int  # of the whole axis
    is_periodic: bool  # whether its last cell touches the first

    @classmethod
    def of(cls, tiles: list[Tile], core: slice | None, rim: int, start: int, *, is_periodic: bool) -> _Side:
        """That of a panel, or of the whole axis."""
        length = tiles[-1].core.stop
        core = core or slice(0, length)
        wide = widened(core, rim, length, is_periodic=is_periodic)
        found = []
        # In the order of the whole axis, whatever the panel: sums are then the same to the last bit.
        for tile, weight in zip(tiles, blend_weights(tiles, length)):
            turns = shifts(tile, wide, length, is_periodic=is_periodic)
            if turns:
                # A whole axis is read where the tile is; a panel on its side of the seam.
                turn = 0 if core == slice(0, length) else turns[0]
                found.append((tile._replace(read=moved(tile.read, turn)), weight))
        return cls(core, wide, found, start, length, is_periodic)

    @property
    def cores(self) -> list[slice]:
        """Cores of the tiles that are kept."""
        return [tile.core for tile, _ in self.tiles if self.core.start <= tile.core.start < self.core.stop]

    def here(self, part: slice) -> slice:
        """A stretch, counted in the archive."""
        return moved(part, -self.start)

    def inside(self, part: slice) -> slice:
        """A stretch, counted from the rim on."""
        return moved(part, -self.wide.start)

    def shared(self, tile: Tile) -> list[tuple[slice, slice]]:
        """What a tile says of, counted from the rim on and from the first pixel of the tile.

        On an axis that goes round a tile at the seam has a say in both ends.
        """
        found = []
        for turn in sorted(shifts(tile, self.wide, self.length, is_periodic=self.is_periodic)):
            read = moved(tile.read, turn)
            part = slice(max(read.start, self.wide.start), min(read.stop, self.wide.stop))
            found.append((self.inside(part), moved(part, -read.start)))
        return found

    def around(self, core: slice, rim: int) -> tuple[slice, slice, slice]:
        """A stretch, it with a rim, and where it is in that."""
        wide = widened(core, rim, self.length, is_periodic=self.is_periodic)
        return self.inside(core), self.inside(wide), moved(core, -wide.start)


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
