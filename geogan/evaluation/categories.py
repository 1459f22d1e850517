"""Categories of cells for which errors are reported separately: distance to observations, cloud fraction, season."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.ndimage import distance_transform_edt

from geogan.fields.circle import taken
from geogan.operators.errors import InputError

DISTANCES = (1, 2, 4, 8, 16)
"""Upper ends of the classes of distance, in cells; a last class has no upper end."""

SEASONS = ("DJF", "MAM", "JJA", "SON")


class Category(NamedTuple):
    """The class of each cell.

    Attributes
    ----------
    name : str
    labels : tuple of str
        Labels of the classes 0, 1, ...
    classes : ndarray of int8
        Class of each cell, -1 where it has none; broadcasts to the cells, (T, C, H, W).

    Examples
    --------
    Scores by season, block by block, with one tally for each label:

    >>> from collections import defaultdict
    >>> from geogan.evaluation.ensembles import EnsembleTally
    >>> dates = np.array(["2015-01-05", "2015-07-05"], "M8[D]")
    >>> mean, truth = np.zeros((2, 1, 3, 4)), np.ones((2, 1, 3, 4))
    >>> tallies = defaultdict(EnsembleTally)
    >>> for label, cells in season(dates).cells_by_label(np.isfinite(truth)):
    ...     tallies[label] = tallies[label].add_normal(mean, truth, truth, cells)
    >>> {label: tally.score().cells for label, tally in tallies.items()}
    {'DJF': 12, 'JJA': 12}
    """

    name: str
    labels: tuple[str, ...]
    classes: np.ndarray

    def cells_by_label(self, where: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Yield label and cells of each class that has any of the given cells, in the order of the classes.

        Parameters
        ----------
        where : ndarray of bool, shape (T, C, H, W)
            True on the cells to score.

        Yields
        ------
        label : str
        cells : ndarray of bool, shape (T, C, H, W)
            True on the cells to score that are in the class.
        """
        for number, label in enumerate(self.labels):
            cells = where & (self.classes == number)
            if cells.any():
                yield label, cells

    def select_bands(self, bands: slice) -> Category:
        """Return the classes of some bands."""
        return self if self.classes.shape[1] == 1 else self._replace(classes=self.classes[:, bands])


def distance_to_observed(observed: np.ndarray, domain: np.ndarray, *, is_periodic: bool = False) -> Category:
    """Return classes of the Euclidean distance, in cells, to the nearest observation of the same date and band.

    Parameters
    ----------
    observed : ndarray of bool, shape (T, C, H, W)
        True where the method was given a value. For a part of a grid, include 16 cells around the cells to score.
    domain : ndarray of bool, shape (H, W)
        True where the quantity exists; other cells have no class and are not observed.
    is_periodic : bool
        Whether the last column is the neighbour of the first.

    Returns
    -------
    Category
        Up to 1 cell, 1 to 2, 2 to 4, 4 to 8, 8 to 16, and more. Upper ends are included. Observed cells are in the
        first class, dates without any observation in the last.

    Raises
    ------
    InputError
        If a mask is not boolean, or their shapes do not fit.

    Examples
    --------
    >>> observed = np.zeros((1, 1, 1, 20), bool)
    >>> observed[..., 0] = True
    >>> distance_to_observed(observed, np.ones((1, 20), bool)).classes.ravel().tolist()
    [0, 0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5]
    """
    observed = _checked_masks(observed, domain)
    distance, width = np.full(observed.shape, np.inf), domain.shape[1]
    # On a periodic grid no column is farther than half the width.
    half = -(-width // 2) if is_periodic else 0
    wide = slice(-half, width + half)
    for target, mask in zip(distance.reshape(-1, *domain.shape), observed.reshape(-1, *domain.shape)):
        if mask.any():
            target[:] = distance_transform_edt(~taken(mask, slice(None), wide))[:, half : half + width]
    index = np.where(domain, np.searchsorted(DISTANCES, distance), -1)
    bounds = (0, *DISTANCES)
    labels = (*(f"{low}-{high} cells" for low, high in zip(bounds, bounds[1:])), f">{DISTANCES[-1]} cells")
    return Category("distance to the nearest observation", labels, index.astype(np.int8))


def cloud_fraction(observed: np.ndarray, domain: np.ndarray) -> Category:
    """Return quarters of the share of the domain that is hidden, for each date and band.

    Parameters
    ----------
    observed : ndarray of bool, shape (T, C, H, W)
        True where the method was given a value, on the whole grid.
    domain : ndarray of bool, shape (H, W)
        True where the quantity exists.

    Returns
    -------
    Category
        Classes have shape (T, C, 1, 1). Upper ends are included; a date without gaps is in the first class.

    Raises
    ------
    InputError
        If a mask is not boolean, their shapes do not fit, or the domain is empty.

    Examples
    --------
    >>> observed = np.arange(12).reshape(3, 1, 1, 4) % 4 < np.array([4, 3, 1]).reshape(3, 1, 1, 1)
    >>> cloud_fraction(observed, np.ones((1, 4), bool)).classes.ravel().tolist()
    [0, 0, 2]
    """
    observed = _checked_masks(observed, domain)
    if not domain.any():
        raise InputError("domain must be True somewhere, got none; give the cells where the quantity exists")
    hidden = 1 - observed.sum((-1, -2), keepdims=True) / domain.sum()
    bounds = (0.0, 0.25, 0.5, 0.75, 1.0)
    # Rounding can put a share such as 0.25 slightly above its exact value.
    index = np.searchsorted(bounds[1:], hidden - 1e-12)
    labels = tuple(f"{low:.0%}-{high:.0%} hidden".replace("%-", "-") for low, high in zip(bounds, bounds[1:]))
    return Category("cloud fraction", labels, index.astype(np.int8))


def season(dates: np.ndarray) -> Category:
    """Return seasons by the month, the same on both hemispheres: DJF, MAM, JJA, SON.

    Parameters
    ----------
    dates : ndarray of datetime64 or of cftime dates, shape (T,)

    Returns
    -------
    Category
        Classes have shape (T, 1, 1, 1).

    Raises
    ------
    InputError
        If the values are not dates.

    Examples
    --------
    >>> season(np.array(["2015-02-28", "2015-03-01", "2015-12-31"], "M8[D]")).classes.ravel().tolist()
    [0, 1, 0]
    """
    dates = np.asarray(dates)
    if dates.dtype.kind == "M" and not np.isnat(dates).any():
        month = dates.astype("M8[M]").astype(int) % 12 + 1
    elif all(hasattr(date, "month") for date in dates.ravel()):
        month = np.array([date.month for date in dates.ravel()], int)
    else:
        raise InputError(f"seasons need dates, got values of type {dates.dtype}; omit season for data without dates")
    return Category("season", SEASONS, (month % 12 // 3).astype(np.int8).reshape(-1, 1, 1, 1))


def _checked_masks(observed: np.ndarray, domain: np.ndarray) -> np.ndarray:
    """Return the mask of observed cells inside the domain."""
    for name, mask in (("observed", observed), ("domain", domain)):
        if mask.dtype != bool:
            raise InputError(f"{name} must be boolean, got {mask.dtype}; convert it to bool")
    if observed.ndim != 4 or observed.shape[-2:] != domain.shape:
        raise InputError(
            f"observed must be (T, C, H, W) and domain (H, W) of one grid, got {observed.shape} and {domain.shape}; "
            "give both on the same grid"
        )
    return observed & domain
