"""Checks of the arguments that baselines share: maps, domain and dates."""

import numpy as np

from geogan.operators.errors import InputError


def check_maps(values: np.ndarray, domain: np.ndarray, *orders: str) -> None:
    """Check that maps have the dimensions of one of the orders, and the shape of the domain.

    Parameters
    ----------
    values : ndarray
        Maps; the last two dimensions are H and W.
    domain : ndarray, shape (H, W)
    *orders : str
        Names of the dimensions of ``values``, such as ``"T, H, W"``.

    Raises
    ------
    InputError
        If they have other dimensions or another shape.

    Examples
    --------
    >>> check_maps(np.zeros((3, 5, 4)), np.ones((5, 4), bool), "T, H, W", "T, C, H, W")
    """
    if values.ndim not in [len(order.split(",")) for order in orders] or domain.shape != values.shape[-2:]:
        raise InputError(
            f"values must be {' or '.join(f'({order})' for order in orders)} and domain (H, W), got {values.shape} and "
            f"{domain.shape}; transpose the dimensions to this order"
        )


def check_days(days: np.ndarray, count: int) -> np.ndarray:
    """Return the dates as float64, shape (T,), after a check that there are ``count`` and that they increase.

    Parameters
    ----------
    days : ndarray, shape (T,)
        Dates as numbers of days.
    count : int
        T.

    Raises
    ------
    InputError
        If the number differs or the dates do not increase.

    Examples
    --------
    >>> check_days(np.array([0, 1, 3]), 3)
    array([0., 1., 3.])
    """
    days = np.asarray(days, dtype="float64")
    if days.shape != (count,) or not (np.diff(days) > 0).all():
        raise InputError(
            f"days must be {count} increasing numbers, one for each map, got shape {days.shape}; "
            "sort the dates and drop duplicates"
        )
    return days
