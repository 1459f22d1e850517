"""Spans of an axis: the cells that a tile or a task keeps, and the cells that it reads for them."""

from collections.abc import Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """A part of one axis.

    Attributes
    ----------
    core : slice
        Cells (or dates) that are kept.
    read : slice
        Cells that are read for them: the core with its halo, inside the axis. On a periodic axis a span may read
        beyond both ends; see :mod:`geogan.fields.circle`.
    """

    core: slice
    read: slice

    @property
    def inner(self) -> slice:
        """The core, counted from the first cell read.

        Examples
        --------
        >>> Span(slice(4, 8), slice(2, 10)).inner
        slice(2, 6, None)
        """
        return moved(self.core, -self.read.start)


def tile_axis(length: int, core: int, halo: int, *, multiple: int = 1, is_periodic: bool = False) -> list[Span]:
    """Cut an axis into tiles whose cores cover it once.

    Parameters
    ----------
    length : int
        Cells along the axis; positive.
    core : int
        Cells of one core, rounded up to a multiple of ``multiple``. The last core may be shorter.
    halo : int
        Cells read on either side of a core; fewer at the ends of the axis.
    multiple : int
        Cores start at multiples of this number.
    is_periodic : bool
        Whether the last cell touches the first. Every tile then reads its whole halo, across the seam. An axis no
        longer than the cells that one tile reads is a single tile without halo, because no cell may be read twice.

    Returns
    -------
    tiles : list of Span

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
        return [Span(slice(0, length), slice(0, length))]
    stops = [(start, min(start + core, length)) for start in range(0, length, core)]
    first, last = (-halo, length + halo) if is_periodic else (0, length)
    return [Span(slice(a, b), slice(max(a - halo, first), min(b + halo, last))) for a, b in stops]


def group_tiles(tiles: Sequence[Span], size: int, rim: int, *, is_periodic: bool = False) -> list[Span]:
    """Group the tiles of an axis into tasks.

    Parameters
    ----------
    tiles : sequence of Span
        All tiles of the axis.
    size : int
        Cells of a task, whole tiles; the last task may be shorter.
    rim : int
        Cells beyond a task that must be estimated too.
    is_periodic : bool
        Whether the last cell touches the first. Tasks then read across the seam.

    Returns
    -------
    tasks : list of Span
        A task reads what all tiles read that contribute to it or to its rim.

    Examples
    --------
    >>> for task in group_tiles(tile_axis(20, 4, 1), 8, 0):
    ...     print(task.core, task.read)
    slice(0, 8, None) slice(0, 13, None)
    slice(8, 16, None) slice(3, 20, None)
    slice(16, 20, None) slice(11, 20, None)
    """
    length, tasks = tiles[-1].core.stop, []
    for start in range(0, length, size):
        core = slice(start, min(start + size, length))
        if core == slice(0, length):
            return [Span(core, core)]
        wide = widened(core, rim, length, is_periodic=is_periodic)
        reads = [
            moved(tile.read, turn) for tile in tiles for turn in turns(tile.read, wide, length, is_periodic=is_periodic)
        ]
        tasks.append(Span(core, slice(min(read.start for read in reads), max(read.stop for read in reads))))
    return tasks


def widened(part: slice, rim: int, length: int, *, is_periodic: bool = False) -> slice:
    """Return a slice with a rim on either side, inside the axis or across the seam."""
    if is_periodic:
        return slice(part.start - rim, part.stop + rim)
    return slice(max(0, part.start - rim), min(length, part.stop + rim))


def moved(part: slice, offset: int) -> slice:
    """Return a slice shifted by an offset."""
    return slice(part.start + offset, part.stop + offset)


def turns(read: slice, part: slice, length: int, *, is_periodic: bool) -> list[int]:
    """Return the offsets by which a slice overlaps a part of the axis: 0, and on a periodic axis a whole turn.

    Examples
    --------
    >>> turns(slice(7, 11), slice(-1, 5), 10, is_periodic=True), turns(slice(7, 11), slice(0, 5), 10, is_periodic=False)
    ([-10], [])
    """
    offsets = (0, -length, length) if is_periodic else (0,)
    return [turn for turn in offsets if read.start + turn < part.stop and read.stop + turn > part.start]
