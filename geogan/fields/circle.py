"""Columns of a grid that goes once round the globe, counted modulo its width.

A range of columns is a slice of whole numbers. On such a grid it may begin before column 0 or end after the last
column: column ``-1`` is the last column, column ``width`` is the first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor


def columns(part: slice, width: int) -> slice | np.ndarray:
    """Return an index of a range of columns: the slice itself inside the grid, else an array.

    Parameters
    ----------
    part : slice
        Whole numbers, or ``slice(None)``.
    width : int
        Number of columns of the grid.

    Examples
    --------
    >>> columns(slice(2, 5), 8), columns(slice(None), 8), columns(slice(-2, 3), 8).tolist()
    (slice(2, 5, None), slice(None, None, None), [6, 7, 0, 1, 2])
    """
    if part.start is None or (part.start >= 0 and part.stop <= width):
        return part
    return np.arange(part.start, part.stop) % width


def stretches(part: slice, width: int) -> list[slice]:
    """Return slices inside the grid that together are a range of columns, in order.

    Examples
    --------
    >>> stretches(slice(2, 5), 8), stretches(slice(-2, 3), 8)
    ([slice(2, 5, None)], [slice(6, 8, None), slice(0, 3, None)])
    """
    if part.start is None or (part.start >= 0 and part.stop <= width):
        return [part]
    slices, start = [], part.start
    while start < part.stop:
        first = start % width
        length = min(width - first, part.stop - start)
        slices.append(slice(first, first + length))
        start += length
    return slices


def taken(grid: np.ndarray, y: slice, x: slice) -> np.ndarray:
    """Return rows and columns of a grid as (..., h, w): a view if they lie inside the grid, else a copy.

    Examples
    --------
    >>> taken(np.arange(8).reshape(2, 4), slice(1, 2), slice(3, 6)).tolist()
    [[7, 4, 5]]
    """
    index = columns(x, grid.shape[-1])
    return grid[..., y, index] if isinstance(index, slice) else np.take(grid[..., y, :], index, -1)


def widened(x: Tensor, rim: int) -> Tensor:
    """Return a periodic field (..., W) with ``rim`` more columns on either side, from across the seam.

    Examples
    --------
    >>> widened(torch.arange(4), 3).tolist()
    [1, 2, 3, 0, 1, 2, 3, 0, 1, 2]
    """
    width = x.shape[-1]
    return x[..., torch.arange(-rim, width + rim, device=x.device) % width]


def around(network: Callable[..., Any], rim: int) -> Callable[..., Any]:
    """Return a network for periodic fields, which get ``rim`` columns from across the seam on either side.

    Parameters
    ----------
    network : callable
        Takes and returns tensors whose last axis is x, a tuple of them, or None.
    rim : int
        At least the receptive field of the network, in columns: results then do not depend on the position of the seam.

    Examples
    --------
    >>> around(lambda x: x[..., 1:].diff(prepend=x[..., :2]), 2)(torch.tensor([1, 2, 4, 8])).tolist()
    [-7, 1, 2, 4]
    """

    def cropped(output: Any) -> Any:
        if isinstance(output, tuple):
            return tuple(cropped(part) for part in output)
        return output if output is None else output[..., rim : output.shape[-1] - rim]

    def padded(value: Any) -> Any:
        return widened(value, rim) if isinstance(value, Tensor) else value

    def call(*inputs: Any, **options: Any) -> Any:
        return cropped(network(*map(padded, inputs), **{name: padded(value) for name, value in options.items()}))

    return call


def rim_of(reach: int, multiple: int = 4) -> int:
    """Return the number of columns from across the seam for a receptive field: a multiple of the coarsest cells.

    Examples
    --------
    >>> rim_of(33), rim_of(27)
    (36, 28)
    """
    return -(-reach // multiple) * multiple
