"""How near a cell is to observations, in space and in time: what decides how far its reconstruction may be off."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from geogan.fields.circle import widened
from geogan.prior.stencils import carry

# Steps in which what was seen is forgotten, and the length in cells, where no first guess says how far either reaches.
STEPS, CELLS = 5.0, 16.0
# What is said of a cell: see `nearness`.
ASPECTS = 3


def nearness(
    mask: Tensor,
    days: Tensor,
    *,
    persistence: float | None = None,
    length: float | None = None,
    aspect: float = 1.0,
    is_periodic: bool = False,
) -> Tensor:
    """How much a cell has to do with the nearest observation: of its own date, up to then, and from then on.

    The first is ``exp(-2 d / length)`` for the distance ``d`` along rows and columns; the others lose a factor of
    ``exp(-t / persistence)`` in the time ``t`` from date to date. A window of frames does not show of a long record how
    long a gap has been there, and a network that reaches some cells far not how far its rim is.

    Parameters
    ----------
    mask : Tensor, shape (T, C, H, W)
        1 where observed.
    days : Tensor of float64, shape (T,)
        Dates, in days, not decreasing.
    persistence : float, optional
        e-folding time, in days, that of a first guess; by default :data:`STEPS` steps.
    length : float, optional
        In cells, that of a first guess; by default :data:`CELLS`.
    aspect : float
        Range along x over range along y.
    is_periodic : bool
        Whether the last column touches the first.

    Returns
    -------
    Tensor, shape (T, 3 C, H, W)
        1 where observed, and at least 0.

    Examples
    --------
    >>> mask = torch.tensor([1.0, 0.0, 0.0, 0.0]).view(4, 1, 1, 1)
    >>> here, before, after = nearness(mask, torch.arange(4.0), persistence=2.0).unbind(1)
    >>> here.flatten().tolist(), before.flatten(), after.flatten().tolist()
    ([1.0, 0.0, 0.0, 0.0], tensor([1.0000, 0.6065, 0.3679, 0.2231]), [1.0, 0.0, 0.0, 0.0])
    """
    if is_periodic:
        # No cell is farther than half the way round.
        half = -(-mask.shape[-1] // 2)
        wide = nearness(widened(mask, half), days, persistence=persistence, length=length, aspect=aspect)
        return wide[..., half : half + mask.shape[-1]].contiguous()
    length = length or CELLS
    steps = days.diff()
    if persistence is None:
        persistence = STEPS * float(steps.median().clamp_min(1e-3)) if len(steps) else 1.0
    seen = mask.contiguous().cpu().numpy()
    left = torch.exp(-steps / persistence).cpu().numpy().astype(seen.dtype)
    each = (math.exp(-2 / cells) for cells in (length / math.sqrt(aspect), length * math.sqrt(aspect)))
    found = mask.new_empty(len(mask), ASPECTS * mask.shape[1], *mask.shape[2:], device="cpu")
    carry(seen, *(seen.dtype.type(share) for share in each), left, found.numpy())
    return found.to(mask.device)
