"""The climatology of a field whose measurements are blurred."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from geogan.archive import Standardiser
from geogan.operators.operator import Operator
from geogan.operators.within import blurred_within
from geogan.prior import Film, fit_prior

# Days between maps, which are independent of each other.
APART = 1e6
# Side and number of the patches of each map that the search of their prior predicts.
PATCH, SHARE = 3, 0.2
# Smallest variation of a map in space, as a share of the scale of the anomalies, that is worth the search.
LEAST_VARIATION = 0.02


def deblurred_climatology(
    standardiser: Standardiser,
    domain: np.ndarray,
    observed: np.ndarray,
    operator: Operator,
    *,
    is_periodic: bool,
    seed: int,
    evaluations: int = 50,
) -> Standardiser:
    """Return a standardiser whose inverse has the climatology of the field, not that of its blurred measurements.

    The blur is linear, so each map of the climatology is a blurred map of the field's. It is deblurred as a field is:
    by a Gaussian prior fitted to all maps together.

    Parameters
    ----------
    standardiser : Standardiser
        Fitted to blurred measurements.
    domain, observed : ndarray of bool, shape (H, W)
        Where the field exists, and where it was ever measured; elsewhere the maps tell nothing.
    operator : Operator
        What blurs the measurements; it treats the seam as the grid does.
    is_periodic : bool
        Whether the last column touches the first.
    seed : int
        Seed of the search.
    evaluations : int
        As in :func:`geogan.prior.fit_prior`.
    """
    if standardiser.transform == "identity":
        return standardiser
    # Each map, (K * C, 1, H, W), has its mean subtracted and is divided by its standard deviation.
    maps = torch.from_numpy(standardiser.coefficients).double()
    shape, cells, seen = maps.shape, torch.from_numpy(domain), torch.from_numpy(domain & observed)
    maps = maps.reshape(-1, 1, *shape[-2:])
    level, spread = (
        part.view(-1, 1, 1, 1) for part in (maps[..., seen].mean((1, 2)), maps[..., seen].std((1, 2), correction=0))
    )
    scale = torch.from_numpy(standardiser.scale).repeat(shape[0]).view(-1, 1, 1, 1)
    varies = (spread > LEAST_VARIATION * scale).flatten()
    if not varies.any():
        return standardiser
    inside = cells.to(torch.float32)
    values = (((maps - level) / spread.clamp_min(1e-30))[varies]).float() * inside
    film = _with_patches_hidden(values, inside, seen.to(torch.float32), seed=seed)
    prior = fit_prior(
        [film], temporal=False, is_periodic=is_periodic, operator=operator, seed=seed, evaluations=evaluations
    )
    guess = replace(prior, persistence=1.0).map(values[None], film.mask[None], inside, film.days)[0]
    fine = maps.clone()
    fine[varies] = guess.double() * spread[varies] + level[varies]
    # Anomalies are those from the climatology measured again, so that measurements are K (climatology + anomaly).
    again = blurred_within(operator, fine[None], inside.double()[None, None, None])[0]
    again = torch.where(cells, again, maps)
    return replace(
        standardiser,
        coefficients=again.reshape(shape).float().numpy(),
        fine=fine.reshape(shape).float().numpy(),
    )


def _with_patches_hidden(values: torch.Tensor, inside: torch.Tensor, seen: torch.Tensor, *, seed: int) -> Film:
    """Return a film of maps (T, 1, H, W) in which small patches are hidden."""
    random = torch.Generator().manual_seed(seed)
    count, _, height, width = values.shape
    coarse = torch.rand(count, 1, -(-height // PATCH), -(-width // PATCH), generator=random) < SHARE
    hidden = coarse.repeat_interleave(PATCH, 2).repeat_interleave(PATCH, 3)[..., :height, :width] * seen
    mask = seen.expand_as(values)
    return Film(
        values=values,
        mask=mask,
        kept=mask - hidden,
        domain=inside,
        days=APART * torch.arange(count, dtype=torch.float64),
    )
