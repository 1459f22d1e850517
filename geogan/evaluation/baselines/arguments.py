"""What the baselines take: maps and their domain, dates; refused in the same words by all."""

import numpy as np

from geogan.operators.errors import InputError


def check_maps(values: np.ndarray, domain: np.ndarray, *orders: str) -> None:
    """Refuse maps whose dimensions are not in one of the orders, or are not those of the domain.

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

    Examples
    --------
    >>> check_maps(np.zeros((3, 5, 4)), np.ones((5, 4), bool), "T, H, W", "T, C, H, W")
    """
    if values.ndim not in [len(order.split(",")) for order in orders] or domain.shape != values.shape[-2:]:
        raise InputError(
            f"values must be {' or '.join(f'({order})' for order in orders)} and domain (H, W), got {values.shape} and "
            f"{domain.shape}; order the dimensions so"
        )


def check_days(days: np.ndarray, count: int) -> np.ndarray:
    """The dates as float64, shape (T,); refused unless they are ``count`` and increase.

    Parameters
    ----------
    days : ndarray, shape (T,)
        Dates as numbers of days.
    count : int
        T.

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_days(np.array([0, 1, 3]), 3)
    array([0., 1., 3.])
    """
    days = np.asarray(days, dtype="float64")
    if days.shape != (count,) or not (np.diff(days) > 0).all():
        raise InputError(
            f"days must be {count} increasing numbers, one a map, got shape {days.shape}; "
            "sort the dates and drop the doubles"
        )
    return days
