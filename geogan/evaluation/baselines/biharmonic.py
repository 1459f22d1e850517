"""Biharmonic inpainting: the smoothest surface through the observations of one date."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from geogan.evaluation.baselines.arguments import check_maps
from geogan.operators.errors import InputError

if TYPE_CHECKING:
    from geogan.evaluation.baselines.interface import BaselineInput, DateFiller


def biharmonic(values: np.ndarray, *, domain: np.ndarray) -> np.ndarray:
    """Inpaint each band of each map separately with the biharmonic equation (Damelin and Hoang, 2018).

    Land is inpainted as a gap and masked afterwards, so the surface continues across a headland. The filled values
    stay within the range of the observations on the map. One sparse system is solved for each map.

    Parameters
    ----------
    values : ndarray, shape (T, H, W) or (T, C, H, W)
        Measured maps, NaN in gaps; at least 5 cells along each side. The gaps of the bands may differ.
    domain : ndarray of bool, shape (H, W)
        True where the quantity exists.

    Returns
    -------
    filled : ndarray, of the shape of ``values``
        ``values`` where observed, bit for bit; NaN outside the domain and in maps without any observation.
        The dtype is that of ``values``.

    Raises
    ------
    InputError
        If the shapes do not fit or the maps are too small.

    Examples
    --------
    >>> values = np.add.outer(np.arange(9.0), np.arange(8.0))[None]
    >>> gappy = values.copy()
    >>> gappy[0, 3:5, 3:5] = np.nan
    >>> bool(np.allclose(biharmonic(gappy, domain=np.ones((9, 8), bool)), values))
    True
    """
    check_maps(values, domain, "T, H, W", "T, C, H, W")
    if min(domain.shape) < 5:
        raise InputError(
            f"maps must have at least 5 cells along each side, the width of the stencil, got {domain.shape}; give "
            "larger maps"
        )
    from scipy.sparse.linalg import MatrixRankWarning
    from skimage.restoration import inpaint_biharmonic

    filled = np.full_like(values, np.nan)
    for position in np.ndindex(values.shape[:-2]):
        frame, out = values[position], filled[position]
        observed = np.isfinite(frame) & domain
        if not observed.any():
            continue
        # Subtract the mean of the map, so that kelvins near 300 lose no digits in the elimination.
        level = frame[observed].mean(dtype="float64")
        image = np.where(observed, frame.astype("float64") - level, 0.0)
        if (domain & ~observed).any():
            with warnings.catch_warnings():
                # A singular system gives NaN, which means that there is no estimate.
                warnings.simplefilter("ignore", MatrixRankWarning)
                # Separate gaps are solved as separate systems: same result, less memory.
                image = inpaint_biharmonic(image, ~observed, split_into_regions=True)
        out[domain] = (image + level)[domain]
        out[observed] = frame[observed]
    return filled


def prepare(given: BaselineInput) -> DateFiller:
    """Return the function that fills dates of a record by biharmonic inpainting."""
    archive = given.archive
    return lambda dates: archive.standardiser.directions(biharmonic(given.measured(dates), domain=archive.domain))
