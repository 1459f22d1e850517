"""How a field is cut to be filled: slabs of dates, panels of a large grid, tiles with halos; integers only.

A slab is some dates of the grid, or of a panel of its rows and columns where it is large. It reads some dates more
on either side: the first guess and the windows look there. Tiles are those of the whole grid, so panels agree to the
last bit with the whole.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from geogan.archive import Archive
from geogan.filling.chunks import READ_SLABS, SLAB_DATES, SLAB_MARGIN, SLAB_VALUES, slab_dates
from geogan.filling.panels import Panel, panel_axis, panel_size
from geogan.filling.tiles import Tile, tile_axis
from geogan.model import Model

# Cells of one side of a tile, and those it reads beyond.
TILE, HALO = 192, 32
# The generator's coarser levels start at multiples of this: a tile's must be those of the whole grid.
LEVELS = 4
# Dates of a slab of a small grid, at most so many more on either side, and values of one; large grids are cut into
# panels for it.
DATES, MARGIN, SLAB = SLAB_DATES, SLAB_MARGIN, SLAB_VALUES
# Values of a slab of independent samples, where those of DATES are fewer.
SAMPLES_VALUES = 1_000_000

# Cells around a cell, a side, in which the members' spread is compared with the predicted error.
AROUND = 17


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
    around: int  # cells around a cell, a side, in which members' spread is compared with the predicted error
    is_periodic: bool = False  # whether the last column touches the first

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

    def whole(self, slab: Tile) -> slice:
        """Dates of a slab with those that were not asked for, counted from the first it reads.

        What goes through a network at a time depends on them alone, for in batches of other sizes sums are rounded
        otherwise.
        """
        start = slab.core.start - slab.core.start % self.dates
        return slice(start - slab.read.start, min(start + self.dates, slab.read.stop) - slab.read.start)


def cut_grid(
    shape: tuple[int, int], *, bands: int = 1, members: int = 1, alone: bool = False, is_periodic: bool = False
) -> tuple[int, list[Tile], list[Tile]]:
    """Dates of a slab, and the rows and columns of panels, for a grid of that shape.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns.
    bands, members : int
    alone : bool
        Whether every date is filled from itself: what needs no dates around it is better cut in time.
    is_periodic : bool
        Whether the last column touches the first.
    """
    size, *panel = panel_size(
        shape,
        bands=bands,
        members=members,
        dates=slab_dates(bands * members * shape[0] * shape[1], DATES),
        margin=0 if alone else MARGIN,
        tile=_multiple(TILE),
        halo=HALO,
        rim=AROUND // 2,
        most=SLAB,
        most_read=READ_SLABS * SLAB,
        is_periodic=is_periodic,
    )
    down, across = (
        panel_axis(_tiles(length, is_periodic=wraps), part, AROUND // 2, is_periodic=wraps)
        for length, part, wraps in zip(shape, panel, (False, is_periodic), strict=True)
    )
    return size, down, across


def _tiles(length: int, *, is_periodic: bool) -> list[Tile]:
    return tile_axis(length, TILE, HALO, multiple=LEVELS, is_periodic=is_periodic)


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
        (height, width),
        bands=archive.bands,
        members=members,
        alone=archive.independent or count == 1,
        is_periodic=archive.is_periodic,
    )
    if whole and len(down) * len(across) > 1:
        size = max(1, min(slab_dates(each, DATES), SLAB // each))
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
    rows, columns = _tiles(height, is_periodic=False), _tiles(width, is_periodic=archive.is_periodic)
    return Plan(
        slabs, rows, columns, margin, size, down, across, archive.origin, AROUND, is_periodic=archive.is_periodic
    )
