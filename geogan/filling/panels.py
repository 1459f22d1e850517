"""Panels: the rows and columns of a large grid that are filled at a time, whole tiles of it; integers only."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from geogan.filling.tiles import Tile, tile_axis

# Panels begin at multiples of so many tiles, and stored chunks are as large.
TILES = 2


class Panel(NamedTuple):
    """Some rows and columns: what is kept of them, and what is read for it."""

    y: Tile
    x: Tile

    @property
    def cells(self) -> int:
        """Cells that are read."""
        return (self.y.read.stop - self.y.read.start) * (self.x.read.stop - self.x.read.start)


def panel_axis(tiles: Sequence[Tile], size: int, rim: int, *, is_periodic: bool = False) -> list[Tile]:
    """Cut an axis into panels.

    Parameters
    ----------
    tiles : sequence of Tile
        Those of the whole axis.
    size : int
        Pixels of a panel, whole tiles; the last one takes what is left.
    rim : int
        Pixels beyond a panel that must be known too.
    is_periodic : bool
        Whether the last pixel touches the first: panels then read across the seam.

    Returns
    -------
    panels : list of Tile
        Each reads what all tiles read that have a say in it, or in its rim.

    Examples
    --------
    >>> from geogan.filling.tiles import tile_axis
    >>> for panel in panel_axis(tile_axis(20, 4, 1), 8, 0):
    ...     print(panel.core, panel.read)
    slice(0, 8, None) slice(0, 13, None)
    slice(8, 16, None) slice(3, 20, None)
    slice(16, 20, None) slice(11, 20, None)
    """
    length, panels = tiles[-1].core.stop, []
    for start in range(0, length, size):
        core = slice(start, min(start + size, length))
        if is_periodic and core.stop - core.start == length:
            return [Tile(core, core)]
        wide = widened(core, rim, length, is_periodic=is_periodic)
        near = [
            moved(tile.read, shift) for tile in tiles for shift in shifts(tile, wide, length, is_periodic=is_periodic)
        ]
        panels.append(Tile(core, slice(min(part.start for part in near), max(part.stop for part in near))))
    return panels


def widened(core: slice, rim: int, length: int, *, is_periodic: bool = False) -> slice:
    """A stretch with a rim, inside the axis or round the globe."""
    if is_periodic:
        return slice(core.start - rim, core.stop + rim)
    return slice(max(0, core.start - rim), min(length, core.stop + rim))


def reaches(tile: Tile, part: slice) -> bool:
    """Whether a tile has a say in some pixels of a stretch."""
    return tile.read.start < part.stop and tile.read.stop > part.start


def shifts(tile: Tile, part: slice, length: int, *, is_periodic: bool) -> list[int]:
    """Return what a tile may be moved by to reach a stretch: 0, or on an axis that goes round a whole turn.

    Examples
    --------
    >>> last = Tile(slice(8, 10), slice(7, 11))
    >>> shifts(last, slice(-1, 5), 10, is_periodic=True), shifts(last, slice(0, 5), 10, is_periodic=False)
    ([-10], [])
    """
    turns = (0, -length, length) if is_periodic else (0,)
    return [turn for turn in turns if reaches(tile._replace(read=moved(tile.read, turn)), part)]


class _Axis(NamedTuple):
    """An axis cut into panels of one size."""

    size: int
    wide: int  # most pixels of a panel with its rim
    read: int  # most pixels that one reads
    work: Fraction  # tiles computed for each that is kept


def _axis(length: int, size: int, tile: int, halo: int, rim: int, *, is_periodic: bool) -> _Axis:
    if is_periodic:
        tiles = tile_axis(length, tile, halo, is_periodic=True)
        panels = panel_axis(tiles, size, rim, is_periodic=True)
        wides = [widened(panel.core, rim, length, is_periodic=True) for panel in panels]
        computed = sum(bool(shifts(each, part, length, is_periodic=True)) for part in wides for each in tiles)
        most_read = max(panel.read.stop - panel.read.start for panel in panels)
        return _Axis(size, min(size, length) + 2 * rim, most_read, Fraction(computed, len(tiles)))
    count, wide, read, work = -(-length // tile), 0, 0, 0
    for start in range(0, length, size):
        stop = min(start + size, length)
        first = max(0, (start - rim - halo) // tile)
        last = min(count, -(-(stop + rim + halo) // tile))
        work += last - first
        wide = max(wide, min(length, stop + rim) - max(0, start - rim))
        read = max(read, min(length, last * tile + halo) - max(0, first * tile - halo))
    return _Axis(size, wide, read, Fraction(work, count))


def panel_size(
    shape: tuple[int, int],
    *,
    bands: int,
    members: int,
    dates: int,
    margin: int,
    tile: int,
    halo: int,
    rim: int,
    most: int,
    most_read: int,
    is_periodic: bool = False,
) -> tuple[int, int, int]:
    """Dates, rows and columns of a slab that bounds memory at the least work.

    Work is what is computed for each value that is kept: dates on either side of the slab, and tiles beside the panel.
    A grid that fits for all ``dates`` is one panel.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the grid.
    bands, members : int
    dates : int
        Of a slab, at most; slabs of several panels hold a divisor of them.
    margin : int
        Dates computed on either side of a slab.
    tile, halo : int
        Cells of a side of a tile, and those it reads beyond.
    rim : int
        Cells around a panel that must be known too.
    most : int
        Values (cells, dates, bands, members) of a slab and its rim.
    most_read : int
        Values (cells, dates, bands) that a slab of several panels reads.
    is_periodic : bool
        Whether the last column touches the first.

    Returns
    -------
    dates, rows, columns : int
        Rows and columns are multiples of ``TILES`` tiles, or the whole axis. Where not even a date of the smallest
        panel fits, that.

    Examples
    --------
    >>> rule = dict(bands=1, members=1, dates=24, margin=8, tile=192, halo=32, rim=8)
    >>> panel_size((1400, 1400), **rule, most=48_000_000, most_read=144_000_000)
    (24, 1400, 1400)
    >>> panel_size((4096, 4096), **rule, most=48_000_000, most_read=144_000_000)
    (24, 1152, 1536)
    """
    (height, width), each = shape, bands * members
    whole = min(dates, most // (each * height * width))
    if whole == dates:
        return dates, height, width
    unit = TILES * tile
    rows, columns = (
        [_axis(length, size, tile, halo, rim, is_periodic=wraps) for size in [*range(unit, length, unit), length]]
        for length, wraps in ((height, False), (width, is_periodic))
    )
    parts = [part for part in range(dates, 0, -1) if dates % part == 0]
    best = (Fraction(whole + 2 * margin, whole), height * width, (whole, height, width)) if whole else None
    for y in rows:
        for x in columns:
            fits = (
                part
                for part in parts
                if part * y.wide * x.wide * each <= most and (part + 2 * margin) * y.read * x.read * bands <= most_read
            )
            count = next(fits, 0)
            if not count:
                break
            # Of the same work the smaller panel.
            found = (Fraction(count + 2 * margin, count) * y.work * x.work, y.size * x.size, (count, y.size, x.size))
            best = found if best is None else min(best, found)
    return best[2] if best else (1, rows[0].size, columns[0].size)


def moved(part: slice, start: int) -> slice:
    """A stretch, counted from elsewhere."""
    return slice(part.start + start, part.stop + start)
