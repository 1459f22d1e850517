"""Climatology: the expected value of each cell on a day of the year."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from geogan.evaluation.baselines.arguments import check_maps
from geogan.operators.errors import InputError

if TYPE_CHECKING:
    from geogan.evaluation.baselines.interface import BaselineInput, DateFiller


def climatology(values: np.ndarray, *, domain: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Fill every gap with the background.

    Parameters
    ----------
    values : ndarray, shape (T, H, W)
        Measured maps, NaN in gaps.
    domain : ndarray of bool, shape (H, W)
        True where the quantity exists.
    background : ndarray, shape (T, H, W) or broadcastable to it
        The climatology of the same dates, in the unit of ``values``.

    Returns
    -------
    filled : ndarray, shape (T, H, W)
        ``values`` where observed, ``background`` in the gaps, NaN outside the domain. The dtype is that of
        ``values``.

    Raises
    ------
    InputError
        If the shapes do not fit.

    Examples
    --------
    >>> values = np.array([[[12.0, np.nan, np.nan]]])
    >>> climatology(values, domain=np.array([[True, True, False]]), background=np.array(11.5))
    array([[[12. , 11.5,  nan]]])
    """
    check_maps(values, domain, "T, H, W")
    try:
        background = np.broadcast_to(background, values.shape)
    except ValueError as error:
        raise InputError(
            f"background must broadcast to {values.shape}, got {np.shape(background)}; "
            "evaluate the climatology on the same dates and cells"
        ) from error
    filled = np.where(np.isfinite(values), values, background.astype(values.dtype))
    filled[:, ~domain] = np.nan
    return filled


def prepare(given: BaselineInput) -> DateFiller:
    """Return the function that fills dates of a record with the climatology of the model, band by band."""
    # Where measurements are blurred, a baseline predicts measurements, not the field.
    standardiser = replace(given.archive.standardiser, fine=None)
    archive = replace(given.archive, standardiser=standardiser)

    def fill(dates: slice) -> np.ndarray:
        values = given.measured(dates)
        background = archive.in_units(np.zeros_like(values, np.float32), dates)
        background = standardiser.components(background)
        filled = [
            climatology(values[:, band], domain=archive.domain, background=background[:, band])
            for band in range(archive.bands)
        ]
        return standardiser.directions(np.stack(filled, 1))

    return fill
