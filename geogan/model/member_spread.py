"""Scale ensemble members so that their spread is the predicted error."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter


def spread_factor(
    std: np.ndarray, spread: np.ndarray, gaps: np.ndarray, *, cells: int = 17, is_periodic: bool = False
) -> np.ndarray:
    """Return the factor for the members' deviations by which their local spread becomes the predicted error.

    The spread of a few members at one cell is mostly chance, so error and spread are compared in a square around it.

    Parameters
    ----------
    std, spread : ndarray, shape (t, C, H, W)
        Standard deviation of the error as predicted, and standard deviation of the members.
    gaps : ndarray of bool, shape (t, C, H, W)
        Cells in which the two are compared.
    cells : int
        Side of the square, in cells.
    is_periodic : bool
        Whether the last column touches the first.

    Returns
    -------
    factor : ndarray of float32, shape (t, C, H, W)
        1 where there is no gap in the square.
    """
    size, mode = (1, 1, cells, cells), ["constant"] * 3 + ["wrap" if is_periodic else "constant"]
    wanted, present = (uniform_filter(gaps * part.astype(np.float64) ** 2, size, mode=mode) for part in (std, spread))
    is_known = present > 1e-9 * max(present.max(), 1e-30)
    return np.sqrt(np.where(is_known, wanted, 1.0) / np.where(is_known, present, 1.0)).astype(np.float32)
