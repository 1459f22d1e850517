"""Parallel strips across a frame: the geometry of swaths, ground tracks and failed scan lines.

Orbits are straight lines here, in cells. This is close on a part of the globe, where a ground track bends little; on a
global grid of latitudes and longitudes a track is a curve.
"""

import math

import torch
from torch import Tensor


def strip_turns(
    size: tuple[int, int], *, rows: float, columns: float, is_periodic: bool = False, device: torch.device | None = None
) -> Tensor:
    """Return the position of each cell across parallel strips, in strips.

    Parameters
    ----------
    size : (int, int)
        Height H and width W of the frame, in cells.
    rows, columns : float
        Strips that one row and one column cross.
    is_periodic : bool
        Whether the last column is the neighbour of the first. The number of strips around is then a whole number, the
        nearest to ``columns * W``, so that strips meet at the seam.
    device : torch.device, optional

    Returns
    -------
    Tensor of float64, shape (H, W)
        Add an offset and take the remainder of 1 to get the position within a strip.

    Examples
    --------
    >>> strip_turns((1, 4), rows=0.0, columns=0.5).tolist()
    [[0.0, 0.5, 1.0, 1.5]]
    >>> strip_turns((1, 4), rows=0.0, columns=0.6, is_periodic=True).tolist()
    [[0.0, 0.5, 1.0, 1.5]]
    """
    height, width = size
    if is_periodic:
        columns = round(columns * width) / width
    down, across = (torch.arange(side, dtype=torch.float64, device=device) for side in (height, width))
    return rows * down[:, None] + columns * across


def lean(angle: float) -> float:
    """Return the columns that a strip moves along in one row, for an angle in degrees from the columns.

    Examples
    --------
    >>> round(lean(45.0), 9)
    1.0
    """
    return math.tan(math.radians(angle))
