"""Tiles: what one task computes of a long axis, and the halo it reads beyond."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from geogan.fields.circle import columns


class Tile(NamedTuple):
    """One tile along one axis.

    Parameters
    ----------
    core : slice
        The pixels this tile answers for.
    read : slice
        The pixels it reads: the core with its halo, inside the axis; of an axis that goes round the globe also beyond
        its ends, as :mod:`geogan.fields.circle` counts columns.
    """

    core: slice
    read: slice

    @property
    def inner(self) -> slice:
        """The core, counted from the first pixel read.

        Examples
        --------
        >>> Tile(slice(4, 8), slice(2, 10)).inner
        slice(2, 6, None)
        """
        return slice(self.core.start - self.read.start, self.core.stop - self.read.start)


def tile_axis(length: int, core: int, halo: int, *, multiple: int = 1, is_periodic: bool = False) -> list[Tile]:
    """Cut an axis into tiles whose cores cover it once.

    Parameters
    ----------
    length : int
        Pixels along the axis; positive.
    core : int
        Pixels of one core, rounded up to a multiple of ``multiple``; the last core takes what is left.
    halo : int
        Pixels read on either side of a core, fewer at the ends of the axis.
    multiple : int
        Cores start at multiples of this, so that written regions agree with stored chunks.
    is_periodic : bool
        Whether the last pixel touches the first. Every tile then has its whole halo, across the seam; an axis no longer
        than what one tile reads is a single tile without any, as no pixel may be read twice.

    Returns
    -------
    tiles : list of Tile

    Raises
    ------
    ValueError
        If a size is not positive, or the halo is negative.

    Examples
    --------
    >>> for tile in tile_axis(10, 4, 1):
    ...     print(tile.core, tile.read)
    slice(0, 4, None) slice(0, 5, None)
    slice(4, 8, None) slice(3, 9, None)
    slice(8, 10, None) slice(7, 10, None)
    >>> [tile.read for tile in tile_axis(10, 4, 1, is_periodic=True)]
    [slice(-1, 5, None), slice(3, 9, None), slice(7, 11, None)]
    """
    if min(length, core, multiple) < 1 or halo < 0:
        raise ValueError(
            "length, core and multiple must be positive and halo not negative, "
            f"got length={length}, core={core}, multiple={multiple}, halo={halo}"
        )
    core = -(-core // multiple) * multiple
    if is_periodic and length <= core + 2 * halo:
        return [Tile(slice(0, length), slice(0, length))]
    stops = [(start, min(start + core, length)) for start in range(0, length, core)]
    first, last = (-halo, length + halo) if is_periodic else (0, length)
    return [Tile(slice(a, b), slice(max(a - halo, first), min(b + halo, last))) for a, b in stops]


def grid_tiles(
    shape: Sequence[int], core: Sequence[int], halo: Sequence[int], *, multiple: Sequence[int] | None = None
) -> list[tuple[Tile, ...]]:
    """Tiles of a grid: one Tile an axis, the last axis fastest.

    Parameters
    ----------
    shape, core, halo : sequence of int
        As in `tile_axis`, one entry an axis.
    multiple : sequence of int, optional
        As in `tile_axis`; 1 by default.

    Returns
    -------
    tiles : list of tuple of Tile

    Raises
    ------
    ValueError
        If the sequences differ in length, or an entry is out of range.

    Examples
    --------
    >>> [tuple((t.core.start, t.core.stop) for t in tile) for tile in grid_tiles((5, 3), (4, 3), (1, 1))]
    [((0, 4), (0, 3)), ((4, 5), (0, 3))]
    """
    multiple = multiple or [1] * len(shape)
    if not len(shape) == len(core) == len(halo) == len(multiple):
        raise ValueError(
            "shape, core, halo and multiple must have one entry an axis, "
            f"got {len(shape)}, {len(core)}, {len(halo)} and {len(multiple)} entries"
        )
    axes = [tile_axis(n, c, h, multiple=m) for n, c, h, m in zip(shape, core, halo, multiple)]
    return list(itertools.product(*axes))


def ramp(tile: Tile, length: int) -> np.ndarray:
    """Weight of a tile along one axis, fading linearly over what it shares with its neighbours.

    Parameters
    ----------
    tile : Tile
    length : int
        Pixels along the axis.

    Returns
    -------
    ramp : ndarray of float64, shape (read.stop - read.start,)
        Positive and at most 1. It falls off to both sides, but not towards an end of the axis.

    Examples
    --------
    >>> ramp(Tile(slice(0, 4), slice(0, 6)), 10).tolist()
    [1.0, 1.0, 0.8, 0.6, 0.4, 0.2]
    """
    pixel = np.arange(tile.read.start, tile.read.stop)
    weight = np.ones(pixel.size)
    # The overlap with a neighbour is as wide as both halos together, centred on the edge of the core.
    after, before = tile.read.stop - tile.core.stop, tile.core.start - tile.read.start
    if tile.read.stop < length or after:
        weight = np.minimum(weight, (tile.read.stop - pixel) / (2 * after + 1))
    if tile.read.start > 0 or before:
        weight = np.minimum(weight, (pixel - tile.read.start + 1) / (2 * before + 1))
    return weight


def blend_weights(tiles: Sequence[Tile], length: int) -> list[np.ndarray]:
    """Weights of all tiles along one axis, which sum to one at every pixel.

    On a grid the weights of a tile are the outer product of its weights along the axes.

    Parameters
    ----------
    tiles : sequence of Tile
        All tiles of the axis, as `tile_axis` gives them.
    length : int
        Pixels along the axis.

    Returns
    -------
    weights : list of ndarray of float64, each of shape (read.stop - read.start,)
        Positive; largest over the core, fading across the halo.

    Raises
    ------
    ValueError
        If a pixel is covered by no tile.

    Examples
    --------
    >>> first, second = blend_weights(tile_axis(6, 3, 1), 6)
    >>> first.round(2).tolist(), second.round(2).tolist()
    ([1.0, 1.0, 0.67, 0.33], [0.33, 0.67, 1.0, 1.0])
    """
    ramps = [ramp(tile, length) for tile in tiles]
    total = np.zeros(length)
    for tile, weight in zip(tiles, ramps):
        # No tile reads a pixel twice, so this adds every weight.
        total[columns(tile.read, length)] += weight
    if not np.all(total > 0):
        raise ValueError(f"the tiles leave pixel {int(np.argmin(total))} of {length} uncovered")
    return [weight / total[columns(tile.read, length)] for tile, weight in zip(tiles, ramps)]
