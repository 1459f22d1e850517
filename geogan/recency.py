"""How long ago a cell was seen, or how soon it will be: what a window of frames does not show of a long record."""

from __future__ import annotations

import torch
from torch import Tensor

# Steps in which what was seen is forgotten, where no first guess says how long it lasts.
STEPS = 5.0


def recency(mask: Tensor, days: Tensor, persistence: float | None) -> Tensor:
    """1 where observed; elsewhere what a field still remembers of its nearest observation in time.

    Parameters
    ----------
    mask : Tensor, shape (T, C, H, W)
        1 where observed.
    days : Tensor of float64, shape (T,)
        Dates, in days, not decreasing.
    persistence : float or None
        e-folding time, in days, that of a first guess; without one, :data:`STEPS` steps.

    Returns
    -------
    Tensor, shape (T, C, H, W)
        ``exp(-|t - t'| / persistence)`` of the nearest ``t'`` at which the cell was observed; 0 where it never was.

    Examples
    --------
    >>> mask = torch.tensor([1.0, 0.0, 0.0, 0.0]).view(4, 1, 1, 1)
    >>> recency(mask, torch.arange(4.0), 2.0).flatten()
    tensor([1.0000, 0.6065, 0.3679, 0.2231])
    """
    steps = days.diff()
    if not len(steps):
        return mask
    if persistence is None:
        persistence = STEPS * float(steps.median().clamp_min(1e-3))
    left = torch.exp(-steps / persistence).to(mask)
    found = mask.clone()
    for t in range(1, len(mask)):
        torch.maximum(found[t], found[t - 1] * left[t - 1], out=found[t])
    for t in range(len(mask) - 2, -1, -1):
        torch.maximum(found[t], found[t + 1] * left[t], out=found[t])
    return found
