"""Columns of a grid that goes once round the globe: the one place where they are taken modulo its width.

A stretch of columns is a slice of whole numbers. On such a grid it may begin before column 0 or end beyond the last
column: column ``-1`` is the last one, column ``width`` the first one again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor


def columns(part: slice, width: int) -> slice | np.ndarray:
    """Return the columns of a stretch, as an index: the slice itself inside the grid, else their numbers.

    Parameters
    ----------
    part : slice
        Whole numbers, or ``slice(None)``.
    width : int
        Columns of the grid.

    Examples
    --------
    >>> columns(slice(2, 5), 8), columns(slice(None), 8), columns(slice(-2, 3), 8).tolist()
    (slice(2, 5, None), slice(None, None, None), [6, 7, 0, 1, 2])
    """
    if part.start is None or (part.start >= 0 and part.stop <= width):
        return part
    return np.arange(part.start, part.stop) % width


def stretches(part: slice, width: int) -> list[slice]:
    """Return the stretches inside the grid that make up one stretch, in order.

    Examples
    --------
    >>> stretches(slice(2, 5), 8), stretches(slice(-2, 3), 8)
    ([slice(2, 5, None)], [slice(6, 8, None), slice(0, 3, None)])
    """
    if part.start is None or (part.start >= 0 and part.stop <= width):
        return [part]
    found, start = [], part.start
    while start < part.stop:
        first = start % width
        length = min(width - first, part.stop - start)
        found.append(slice(first, first + length))
        start += length
    return found


def taken(grid: np.ndarray, y: slice, x: slice) -> np.ndarray:
    """Return some rows and columns of a grid, (..., h, w): a view inside the grid, else a copy.

    Examples
    --------
    >>> taken(np.arange(8).reshape(2, 4), slice(1, 2), slice(3, 6)).tolist()
    [[7, 4, 5]]
    """
    place = columns(x, grid.shape[-1])
    return grid[..., y, place] if isinstance(place, slice) else np.take(grid[..., y, :], place, -1)


def widened(x: Tensor, rim: int) -> Tensor:
    """Return a field (..., W) that spans the circle with ``rim`` more columns on either side: those across the seam.

    Examples
    --------
    >>> widened(torch.arange(4), 3).tolist()
    [1, 2, 3, 0, 1, 2, 3, 0, 1, 2]
    """
    width = x.shape[-1]
    return x[..., torch.arange(-rim, width + rim, device=x.device) % width]


def around(network: Callable[..., Any], rim: int) -> Callable[..., Any]:
    """Return a network that sees ``rim`` columns across the seam on either side of fields that span the circle.

    Parameters
    ----------
    network : callable
        Takes and gives tensors whose last axis is x, a tuple of them, or None.
    rim : int
        At least as far as the network reaches: what it says of a cell then does not depend on where the seam is.

    Examples
    --------
    >>> around(lambda x: x[..., 1:].diff(prepend=x[..., :2]), 2)(torch.tensor([1, 2, 4, 8])).tolist()
    [-7, 1, 2, 4]
    """

    def cut(made: Any) -> Any:
        if isinstance(made, tuple):
            return tuple(cut(part) for part in made)
        return made if made is None else made[..., rim : made.shape[-1] - rim]

    def seen(part: Any) -> Any:
        return widened(part, rim) if isinstance(part, Tensor) else part

    def call(*parts: Any, **named: Any) -> Any:
        return cut(network(*map(seen, parts), **{name: seen(part) for name, part in named.items()}))

    return call


def rim_of(reach: int, multiple: int = 4) -> int:
    """Return the columns across the seam for a network of some reach: whole cells of its coarsest level.

    Examples
    --------
    >>> rim_of(33), rim_of(27)
    (36, 28)
    """
    return -(-reach // multiple) * multiple
