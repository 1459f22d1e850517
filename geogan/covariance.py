"""A Gaussian prior with the archive's own covariance: what its dates say of each pair of cells.

A stationary field knows how far apart two cells are, not that they hold the same crop. From a few hundred gappy dates
of a small grid that can be seen, pair by pair; what cannot is drawn from a Markov field:

    C = share * C_archive + (1 - share) * C_Markov
    cov(x_s, x_t) = (steady * exp(-|s - t| / persistence) + [s = t] (1 - steady) a_t^2) C

``steady`` is the share of the variance that lasts from date to date; the rest is each date's own, and more of it where
a date is far off all others (snow, haze): ``a_t`` is the date's root mean square, 1 at least. Such a date is then
filled from itself, and tells its neighbours little.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from geogan.gaussian import GaussianPrior
from geogan.operators.errors import InputError

# The covariance is a dense matrix, and every iteration multiplies by it.
MOST_CELLS = 4096
# Dates whose root mean square is so many times the usual one count less in the covariance.
UNUSUAL = 1.5
# A date's own root mean square is drawn towards 1 with the weight of so many cells.
DRAWN = 20.0


@dataclass(frozen=True, eq=False)
class ArchivePrior:
    """A Gaussian field on a small grid, of any covariance in space.

    Parameters
    ----------
    covariance : Tensor, shape (C, A, A)
        Of the ``A = H * W`` cells of each band, 0 outside the domain; of mean variance 1.
    persistence : float
        e-folding time of what lasts, in days.
    steady : float
        Share of the variance that lasts, from 0 to 1.
    noise : float
        Standard deviation of the observation error.
    """

    covariance: Tensor
    persistence: float = 40.0
    steady: float = 0.5
    noise: float = 0.14

    def __post_init__(self) -> None:
        if not (0 <= self.steady <= 1 and self.persistence > 0 and self.noise > 0):
            raise InputError(
                "steady of an archive's prior must lie from 0 to 1, persistence and noise be positive, got "
                f"{self.steady}, {self.persistence} and {self.noise}"
            )

    @classmethod
    def fit(
        cls,
        values: Tensor,
        mask: Tensor,
        domain: Tensor,
        markov: GaussianPrior,
        *,
        share: float = 0.6,
        persistence: float = 40.0,
        steady: float = 0.5,
        noise: float = 0.14,
    ) -> ArchivePrior:
        """Take the covariance from an archive.

        Parameters
        ----------
        values, mask : Tensor, shape (T, C, H, W)
            Anomalies of all dates, 0 where not seen; 1 where observed.
        domain : Tensor, shape (H, W)
        markov : GaussianPrior
            What the covariance is drawn towards.
        share : float
            Weight of the archive's own covariance, from 0 to 1.
        persistence, steady, noise : float
            Those of the prior.

        Raises
        ------
        InputError
            Where the grid is too large, or no date has been seen.

        Examples
        --------
        Two halves of a grid that always do the opposite:

        >>> sign = torch.ones(4, 4)
        >>> sign[:, 2:] = -1
        >>> values = torch.randn(50, 1, 1, 1, generator=torch.Generator().manual_seed(0)) * sign
        >>> prior = ArchivePrior.fit(values, torch.ones_like(values), torch.ones(4, 4), GaussianPrior(length=4.0))
        >>> mask = torch.zeros(1, 1, 1, 4, 4)
        >>> mask[..., 0] = 1
        >>> bool((prior.map(mask, mask, torch.ones(4, 4), torch.zeros(1))[..., 3] < -0.2).all())
        True
        """
        count, bands, height, width = values.shape
        if height * width > MOST_CELLS:
            raise InputError(
                f"the covariance of {height} x {width} cells is too large; give {MOST_CELLS} cells at most, or use the "
                "Gaussian field"
            )
        if not bool(mask.any()):
            raise InputError("no date of the archive has been seen, so it has no covariance; give its observations")
        seen = (mask * domain).flatten(2).double()
        anomaly = values.flatten(2).double() * seen
        own = markov.covariance(domain)
        own = own * (domain.sum() / own.trace())
        found = []
        for band in range(bands):
            cells, of = seen[:, band], anomaly[:, band]
            dates = cells.any(1)
            cells, of = cells[dates], of[dates]
            size = (of.square().sum(1) / cells.sum(1)).sqrt()
            root = (UNUSUAL * size.median() / size.clamp_min(1e-12)).clamp_max(1)
            of, cells = of * root[:, None], cells * root[:, None]
            together = cells.T @ cells
            # Pairs that were never seen on one date have nothing in common.
            covariance = torch.where(together > 0, of.T @ of / together.clamp_min(1e-12), 0.0)
            value, vector = torch.linalg.eigh(covariance)
            covariance = (vector * value.clamp_min(0)) @ vector.T
            total = covariance.trace()
            covariance = covariance * (domain.sum() / total) if total > 0 else own
            found.append(share * covariance + (1 - share) * own)
        return cls(torch.stack(found).to(values.dtype), persistence, steady, noise)

    def map(
        self,
        values: Tensor,
        mask: Tensor,
        domain: Tensor,
        days: Tensor,
        *,
        tolerance: float = 1e-3,
        rounds: int = 200,
        start: Tensor | None = None,
    ) -> Tensor:
        """Most probable field given what was observed: as :meth:`geogan.gaussian.GaussianPrior.map`.

        Parameters
        ----------
        values, mask : Tensor, shape (B, T, C, H, W)
            Unitless anomalies, 0 where not seen; 1 where observed. Bands are independent of each other.
        domain : Tensor, shape (H, W)
            The whole grid that the covariance belongs to.
        days : Tensor, shape (T,)
        tolerance, rounds
            The conjugate gradients stop at this ratio of residual to right-hand side, or after so many.
        start : Tensor, optional
            Not used: what is solved for are the data's weights.

        Returns
        -------
        field : Tensor, shape (B, T, C, H, W)
        """
        seen = (mask * domain).transpose(1, 2).flatten(3)  # (B, C, T, A)
        y = values.transpose(1, 2).flatten(3) * seen
        covariance = self.covariance.to(y)
        steps = (days[:, None] - days).abs().to(y)
        own = ((y.square().sum(-1) + DRAWN) / (seen.sum(-1) + DRAWN)).clamp_min(1.0)
        time = self.steady * torch.exp(-steps / self.persistence) + (1 - self.steady) * torch.diag_embed(own)

        def spread(x: Tensor) -> Tensor:
            return time @ torch.einsum("bcta,cad->bctd", x, covariance)

        def dot(a: Tensor, b: Tensor) -> Tensor:
            return (a * b).sum((2, 3), keepdim=True)

        # Kriging: (M C M + noise^2) weights = y, solved by conjugate gradients scaled by the diagonal.
        noise2 = self.noise**2
        scale = time.diagonal(dim1=-2, dim2=-1)[..., None] * covariance.diagonal(dim1=-2, dim2=-1)[:, None] + noise2
        weights, residual = torch.zeros_like(y), y.clone()
        direction = scaled = residual / scale
        energy, goal = dot(residual, scaled), tolerance**2 * dot(y, y)
        tiny = torch.finfo(y.dtype).tiny
        for _ in range(rounds):
            if bool((dot(residual, residual) <= goal).all()):
                break
            applied = seen * spread(direction) + noise2 * direction
            step = energy / dot(direction, applied).clamp_min(tiny)
            weights, residual = weights + step * direction, residual - step * applied
            scaled = residual / scale
            before, energy = energy, dot(residual, scaled)
            direction = scaled + energy / before.clamp_min(tiny) * direction
        return spread(weights).unflatten(-1, values.shape[-2:]).transpose(1, 2)
