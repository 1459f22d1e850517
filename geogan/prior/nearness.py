"""Distance-to-observation features: how near a cell is to observations in space and time, for the error network."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from geogan.fields.circle import widened
from geogan.prior.gaussian import GaussianPrior
from geogan.prior.local import Prior
from geogan.prior.stencils import spread_nearness

# Features of a cell and band.
ASPECTS = 3


def nearness(
    mask: Tensor,
    days: Tensor,
    prior: Prior | None = None,
    *,
    is_periodic: bool = False,
) -> Tensor:
    """Return how strongly a cell is tied to the nearest observation: on its date, up to it, and from it on.

    The first feature is ``exp(-2 d / length)`` for the distance ``d`` along rows and columns. The other two lose the
    factor ``exp(-t / persistence)`` in the time ``t`` between dates. They carry what a network cannot see: a window of
    frames does not show how long a gap lasts, and a network of limited reach does not show how far its rim is.

    Parameters
    ----------
    mask : Tensor, shape (T, C, H, W)
        1 where observed.
    days : Tensor of float64, shape (T,)
        Dates, in days, not decreasing.
    prior : GaussianPrior or ArchivePrior, optional
        Prior of the first guess, with persistence, length and aspect; by default 5 times the median step and 16 cells.
        If the field drifts, times are counted along its drift.
    is_periodic : bool
        Whether the last column touches the first.

    Returns
    -------
    Tensor, shape (T, 3 C, H, W)
        From 0 to 1; 1 where observed.

    Examples
    --------
    >>> from geogan.prior import GaussianPrior
    >>> mask = torch.tensor([1.0, 0.0, 0.0, 0.0]).view(4, 1, 1, 1)
    >>> same, before, after = nearness(mask, torch.arange(4.0), GaussianPrior(persistence=2.0)).unbind(1)
    >>> same.flatten().tolist(), before.flatten(), after.flatten().tolist()
    ([1.0, 0.0, 0.0, 0.0], tensor([1.0000, 0.6065, 0.3679, 0.2231]), [1.0, 0.0, 0.0, 0.0])
    """
    if is_periodic:
        # No cell is farther away than half the columns.
        half = -(-mask.shape[-1] // 2)
        wide = nearness(widened(mask, half), days, prior)
        return wide[..., half : half + mask.shape[-1]].contiguous()
    if not (isinstance(prior, GaussianPrior) and prior.is_moving):
        return _nearness(mask, days, prior)
    still, parts = prior.around(False), []
    for stretch in still.stretches(days, (mask.shape[-2], mask.shape[-1])):
        part, dates = mask[stretch.read], days[stretch.read]
        grid = still.moving_grid(dates, (mask.shape[-2], mask.shape[-1])).to(mask)
        features = _nearness(grid.placed(part.transpose(0, 1)).transpose(0, 1), dates, prior)
        parts.append(grid.read(features.transpose(0, 1)).transpose(0, 1)[stretch.inner])
    return torch.cat(parts)


def _nearness(mask: Tensor, days: Tensor, prior: Prior | None) -> Tensor:
    """Return the features of :func:`nearness` where nothing drifts and columns end."""
    steps = days.diff()
    if prior is None:
        persistence = 5.0 * float(steps.median().clamp_min(1e-3)) if len(steps) else 1.0
        length, aspect = 16.0, 1.0
    else:
        persistence, length, aspect = prior.persistence, prior.length, prior.aspect
    seen = mask.contiguous().cpu().numpy()
    keep_t = torch.exp(-steps / persistence).cpu().numpy().astype(seen.dtype)
    keep_y, keep_x = (
        seen.dtype.type(math.exp(-2 / cells)) for cells in (length / math.sqrt(aspect), length * math.sqrt(aspect))
    )
    features = mask.new_empty(len(mask), ASPECTS * mask.shape[1], *mask.shape[2:], device="cpu")
    spread_nearness(seen, keep_y, keep_x, keep_t, features.numpy())
    return features.to(mask.device)
