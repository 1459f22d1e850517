"""Blend overlapping tiles: weights that sum to one at every cell, and where a tile contributes to a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from geogan.fields.circle import columns
from geogan.filling.tiles import Span, moved, turns, widened


def ramp(tile: Span, length: int) -> np.ndarray:
    """Return the weight of a tile along one axis before normalisation.

    Parameters
    ----------
    tile : Span
    length : int
        Cells along the axis.

    Returns
    -------
    ramp : ndarray of float64, shape (read.stop - read.start,)
        In (0, 1]. It falls linearly over the overlap with each neighbour, but not towards an end of the axis.

    Examples
    --------
    >>> ramp(Span(slice(0, 4), slice(0, 6)), 10).tolist()
    [1.0, 1.0, 0.8, 0.6, 0.4, 0.2]
    """
    cell = np.arange(tile.read.start, tile.read.stop)
    weight = np.ones(cell.size)
    # The overlap of two neighbours is as wide as both halos together, centred on the edge of the core.
    after, before = tile.read.stop - tile.core.stop, tile.core.start - tile.read.start
    if tile.read.stop < length or after:
        weight = np.minimum(weight, (tile.read.stop - cell) / (2 * after + 1))
    if tile.read.start > 0 or before:
        weight = np.minimum(weight, (cell - tile.read.start + 1) / (2 * before + 1))
    return weight


def blend_weights(tiles: Sequence[Span], length: int) -> list[np.ndarray]:
    """Return the weights of all tiles along one axis, which sum to one at every cell.

    On a grid, the weights of a tile are the outer product of its weights along the two axes.

    Parameters
    ----------
    tiles : sequence of Span
        All tiles of the axis, as `geogan.filling.tiles.tile_axis` returns them.
    length : int
        Cells along the axis.

    Returns
    -------
    weights : list of ndarray of float64, each of shape (read.stop - read.start,)
        Positive; largest over the core, falling across the halo.

    Raises
    ------
    ValueError
        If a cell is covered by no tile.

    Examples
    --------
    >>> from geogan.filling.tiles import tile_axis
    >>> first, second = blend_weights(tile_axis(6, 3, 1), 6)
    >>> first.round(2).tolist(), second.round(2).tolist()
    ([1.0, 1.0, 0.67, 0.33], [0.33, 0.67, 1.0, 1.0])
    """
    ramps = [ramp(tile, length) for tile in tiles]
    total = np.zeros(length)
    for tile, weight in zip(tiles, ramps):
        # No tile reads a cell twice, so this adds every weight.
        total[columns(tile.read, length)] += weight
    if not np.all(total > 0):
        raise ValueError(f"the tiles leave cell {int(np.argmin(total))} of {length} uncovered")
    return [weight / total[columns(tile.read, length)] for tile, weight in zip(tiles, ramps)]


class TaskAxis(NamedTuple):
    """One axis of a task, in cells of the planned grid.

    Attributes
    ----------
    core : slice
        Cells that the task keeps.
    wide : slice
        The core with its rim, which is estimated too.
    tiles : list of (Span, ndarray)
        Tiles that contribute to ``wide``, with their weights.
    start : int
        First cell of the archive that the task reads from.
    length : int
        Cells of the whole axis.
    is_periodic : bool
        Whether the last cell of the axis touches the first.
    """

    core: slice
    wide: slice
    tiles: list[tuple[Span, np.ndarray]]
    start: int
    length: int
    is_periodic: bool

    @classmethod
    def of(cls, tiles: Sequence[Span], core: slice, *, rim: int, start: int, is_periodic: bool) -> TaskAxis:
        """Find the tiles that contribute to a task along one axis.

        Tiles keep the order of the whole axis in every task, so that sums are rounded equally.
        """
        length = tiles[-1].core.stop
        wide = widened(core, rim, length, is_periodic=is_periodic)
        contributing = []
        for tile, weight in zip(tiles, blend_weights(tiles, length)):
            offsets = turns(tile.read, wide, length, is_periodic=is_periodic)
            if offsets:
                # A task of the whole axis reads a tile at its own columns, another task on its own side of the seam.
                turn = 0 if core == slice(0, length) else offsets[0]
                contributing.append((tile._replace(read=moved(tile.read, turn)), weight))
        return cls(core, wide, contributing, start, length, is_periodic)

    @property
    def size(self) -> int:
        """Cells of the task with its rim."""
        return self.wide.stop - self.wide.start

    @property
    def cores(self) -> list[slice]:
        """Cores of the tiles that the task keeps."""
        return [tile.core for tile, _ in self.tiles if self.core.start <= tile.core.start < self.core.stop]

    def in_archive(self, part: slice) -> slice:
        """Return cells of the grid, counted from the first cell of the archive."""
        return moved(part, -self.start)

    def in_task(self, part: slice) -> slice:
        """Return cells of the grid, counted from the first cell of the task's rim."""
        return moved(part, -self.wide.start)

    def shared(self, tile: Span) -> list[tuple[slice, slice]]:
        """Return the cells that a tile shares with the task, counted in the task and in the tile.

        On a periodic axis a tile at the seam may overlap both ends of a task.
        """
        pairs = []
        for turn in sorted(turns(tile.read, self.wide, self.length, is_periodic=self.is_periodic)):
            read = moved(tile.read, turn)
            part = slice(max(read.start, self.wide.start), min(read.stop, self.wide.stop))
            pairs.append((self.in_task(part), moved(part, -read.start)))
        return pairs

    def with_rim(self, core: slice, rim: int) -> tuple[slice, slice, slice]:
        """Return a core, the core with its rim (both counted in the task), and the core counted in the latter."""
        wide = widened(core, rim, self.length, is_periodic=self.is_periodic)
        return self.in_task(core), self.in_task(wide), moved(core, -wide.start)
