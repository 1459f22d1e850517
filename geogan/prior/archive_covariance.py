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

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import torch
from scipy.optimize import OptimizeResult, minimize
from torch import Tensor

from geogan.fields.circle import columns
from geogan.operators.errors import InputError
from geogan.prior.film import Film
from geogan.prior.gaussian import GaussianPrior, hidden_error

# The covariance is a dense matrix, and every iteration multiplies by it.
MOST_CELLS = 4096
# A covariance is looked for where the grid has so many cells at most, and the archive so many dates.
SEARCHED_CELLS, FEWEST_DATES = 2048, 60
# Where the search starts: share and steady (as logarithms of odds), noise and, over the Markov field's, persistence
# (logarithms); and its first steps.
START, STEPS = (math.log(0.6 / 0.4), 0.0, math.log(0.14), 0.0), (0.8, 1.0, 0.5, 0.7)
EVALUATIONS = 40
# It must lower the error by so much (its logarithm): it takes longer to solve, and windows of it cannot be turned over.
WORTH = 0.03
# Where the best of the first candidates is so much worse, the search is given up: Landsat's, which ends far below the
# Markov field, starts 0.03 above it; that of a sea that the Markov field knows well, 0.20.
HOPELESS = 0.1
# Products of a candidate's iteration: of larger grids fewer pieces judge, but FEWEST_PIECES at least.
PRODUCTS, FEWEST_PIECES = 250_000_000, 3
# What covariances are drawn towards: rough, as fields of many sizes are.
ROUGH = GaussianPrior(length=60.0, detail=0.05)
# Conjugate gradients on the data's weights say nothing after fewer rounds.
LEAST_ROUNDS = 30
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
        Standard deviation of the observation error, as a fraction of the field's.
    length, aspect : float
        Those of a Markov field that says roughly how far observations reach.
    amplitude : float
        Standard deviation of the field, as in :class:`geogan.prior.gaussian.GaussianPrior`.

    Raises
    ------
    InputError
        Where a parameter is out of range.
    """

    # Windows of it must be the whole grid, the right way round.
    stationary: ClassVar[bool] = False

    covariance: Tensor
    persistence: float = 40.0
    steady: float = 0.5
    noise: float = 0.14
    length: float = 16.0
    aspect: float = 1.0
    amplitude: float = 1.0
    root: Tensor | None = field(default=None, repr=False)  # symmetric, of each covariance; found when it is needed

    def __post_init__(self) -> None:
        if not (0 <= self.steady <= 1 and min(self.persistence, self.noise, self.amplitude) > 0):
            raise InputError(
                "steady of an archive's prior must lie from 0 to 1, persistence, noise and amplitude be positive, got "
                f"{self.steady}, {self.persistence}, {self.noise} and {self.amplitude}"
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
        covariance = torch.stack(found).to(values.dtype)
        return cls(covariance, persistence, steady, noise, markov.length, markov.aspect)

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
        uncertainty: Tensor | None = None,
    ) -> Tensor:
        """Most probable field given what was observed: as :meth:`geogan.prior.gaussian.GaussianPrior.map`.

        Parameters
        ----------
        values, mask : Tensor, shape (B, T, C, H, W)
            Unitless anomalies, 0 where not seen; 1 where observed. Bands are independent of each other.
        domain : Tensor, shape (H, W) or (B, H, W)
            The whole grid that the covariance belongs to.
        days : Tensor, shape (T,) or (B, T)
        tolerance, rounds
            The conjugate gradients stop at this ratio of residual to right-hand side, or after so many
            (:data:`LEAST_ROUNDS` at least).
        start : Tensor, optional
            Not used: what is solved for are the data's weights.
        uncertainty : Tensor, shape (B, T, C, H, W), optional
            Standard deviation of the observations' errors, where it is known: it adds to ``noise``, in quadrature.

        Returns
        -------
        field : Tensor, shape (B, T, C, H, W)
        """
        seen, y = _fold(mask, domain), _fold(values, domain) * (_fold(mask, domain) > 0)
        solved = self._krige(y, seen, self._time(y, seen, days), self._noise2(y, uncertainty), tolerance, rounds)
        return _unfold(solved, values)

    def members(
        self,
        values: Tensor,
        mask: Tensor,
        domain: Tensor,
        days: Tensor,
        *,
        noise: Tensor,
        tolerance: float = 1e-3,
        loose: float = 1e-2,
        rounds: int = 200,
        uncertainty: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The posterior mean, and exact draws of how far the truth may be from it.

        A field drawn from the prior, measured and reconstructed, is off by a draw of the posterior's deviations
        (Journel and Huijbregts 1978, conditional simulation).

        Parameters
        ----------
        values, mask, domain, days, tolerance, rounds, uncertainty
            Those of :meth:`map`.
        noise : Tensor, shape (2, M, B, T, C, H, W)
            Standard normal: what makes the field, and what disturbs the data.
        loose : float
            Tolerance of the deviations.

        Returns
        -------
        guess : Tensor, shape (B, T, C, H, W)
        deviations : Tensor, shape (M, B, T, C, H, W)
            Of mean 0; 0 outside the domain.
        """
        seen, y = _fold(mask, domain), _fold(values, domain) * (_fold(mask, domain) > 0)
        time, noise2 = self._time(y, seen, days), self._noise2(y, uncertainty)
        guess = self._krige(y, seen, time, noise2, tolerance, rounds)
        time_root = torch.linalg.cholesky(time.double()).to(y)
        space_root = self._space_root().to(y)
        found = []
        for field_noise, data_noise in zip(*noise.unbind(0)):
            drawn = time_root @ torch.einsum("bcta,cad->bctd", _fold(field_noise, domain), space_root)
            measured = (drawn + noise2**0.5 * _fold(data_noise, domain)) * (seen > 0)
            found.append(drawn - self._krige(measured, seen, time, noise2, loose, rounds))
        return _unfold(guess, values), self.amplitude * torch.stack([_unfold(each, values) for each in found])

    def around(self, is_periodic: bool) -> ArchivePrior:
        """Return the field itself: what its covariance says across the seam was found with it."""
        return self

    def part(self, y: slice, x: slice, shape: tuple[int, int]) -> ArchivePrior:
        """The same field on a part of its grid, which has ``shape``; the part may lie across the seam."""
        whole = torch.arange(shape[0] * shape[1])
        cells = whole.view(shape)[y, columns(x, shape[1])].flatten()
        if torch.equal(cells, whole):
            return self
        return replace(self, covariance=self.covariance[:, cells][:, :, cells], root=None)

    def _space_root(self) -> Tensor:
        if self.root is None:
            value, vector = torch.linalg.eigh(self.covariance.double())
            root = (vector * value.clamp_min(0).sqrt()[:, None]) @ vector.mT
            object.__setattr__(self, "root", root.to(self.covariance.dtype))
        assert self.root is not None
        return self.root

    def _noise2(self, y: Tensor, uncertainty: Tensor | None) -> Tensor | float:
        """Variance of the observations' errors, beside a field of variance 1."""
        if uncertainty is None:
            return self.noise**2
        return self.noise**2 + (uncertainty.transpose(1, 2).flatten(3).to(y) / self.amplitude) ** 2

    def _time(self, y: Tensor, seen: Tensor, days: Tensor) -> Tensor:
        """Covariance of the dates, (B, C, T, T)."""
        steps = (days[..., :, None] - days[..., None, :]).abs().to(y)
        steps = steps[:, None] if steps.ndim == 3 else steps
        own = ((y.square().sum(-1) + DRAWN) / (seen.sum(-1) + DRAWN)).clamp_min(1.0)
        return self.steady * torch.exp(-steps / self.persistence) + (1 - self.steady) * torch.diag_embed(own)

    def _krige(
        self, y: Tensor, seen: Tensor, time: Tensor, noise2: Tensor | float, tolerance: float, rounds: int
    ) -> Tensor:
        """Solve ``(M C M + noise^2) weights = y`` by conjugate gradients scaled by the diagonal; (B, C, T, A).

        A tolerance of 0 never looks, so that nothing waits for an accelerator.
        """
        covariance = self.covariance.to(y)
        seen = (seen > 0).to(y)

        def spread(x: Tensor) -> Tensor:
            return time @ torch.einsum("bcta,cad->bctd", x, covariance)

        def dot(a: Tensor, b: Tensor) -> Tensor:
            return (a * b).sum((2, 3), keepdim=True)

        scale = time.diagonal(dim1=-2, dim2=-1)[..., None] * covariance.diagonal(dim1=-2, dim2=-1)[:, None] + noise2
        weights, residual = torch.zeros_like(y), y.clone()
        direction = scaled = residual / scale
        energy, goal = dot(residual, scaled), tolerance**2 * dot(y, y)
        tiny = torch.finfo(y.dtype).tiny
        for _ in range(max(rounds, LEAST_ROUNDS)):
            if tolerance > 0 and bool((dot(residual, residual) <= goal).all()):
                break
            applied = seen * spread(direction) + noise2 * direction
            step = energy / dot(direction, applied).clamp_min(tiny)
            weights, residual = weights + step * direction, residual - step * applied
            scaled = residual / scale
            before, energy = energy, dot(residual, scaled)
            direction = scaled + energy / before.clamp_min(tiny) * direction
        return spread(weights)


Prior = GaussianPrior | ArchivePrior


def reach(prior: Prior | None) -> dict[str, float]:
    """How far a prior says that observations reach, as `nearness` asks; nothing without one."""
    if prior is None:
        return {}
    return {"persistence": prior.persistence, "length": prior.length, "aspect": prior.aspect}


def fit_archive_prior(
    markov: GaussianPrior,
    films: Sequence[Film],
    values: Tensor,
    mask: Tensor,
    searched: Tensor,
    domain: Tensor,
    *,
    evaluations: int = EVALUATIONS,
) -> Prior:
    """The archive's own covariance, where it predicts hidden observations better than a Markov field.

    Parameters
    ----------
    markov : GaussianPrior
        What was fitted already, and is returned where the archive's covariance is not better.
    films : sequence of Film
        Of the whole grid, with hidden observations.
    values, mask : Tensor, shape (T, C, H, W)
        Anomalies of all dates; 1 where observed.
    searched : Tensor, shape (T, C, H, W)
        The mask without all that the films hide: no covariance is judged on what it was taken from.
    domain : Tensor, shape (H, W)
    evaluations : int
        Candidates to try (Nelder-Mead).
    """
    towards = replace(ROUGH, aspect=markov.aspect, is_periodic=markov.is_periodic)
    products = films[0].values.numel() * domain.numel()
    films = films[: max(FEWEST_PIECES, PRODUCTS // products)]
    own, archive = (ArchivePrior.fit(values, searched, domain, towards, share=share) for share in (0.0, 1.0))

    def prior(point: np.ndarray, own: ArchivePrior, archive: ArchivePrior) -> ArchivePrior:
        share, steady = (1 / (1 + math.exp(-min(max(odds, -6.0), 6.0))) for odds in point[:2])
        return ArchivePrior(
            share * archive.covariance + (1 - share) * own.covariance,
            persistence=markov.persistence * math.exp(min(max(point[3], -3.0), 3.0)),
            steady=steady,
            noise=min(max(math.exp(point[2]), 0.01), 3.0),
            length=markov.length,
            aspect=markov.aspect,
            amplitude=markov.amplitude,
        )

    def loss(point: np.ndarray) -> float:
        return math.log(hidden_error(prior(point, own, archive), films) + 1e-9)

    least = math.log(hidden_error(markov, films) + 1e-9)

    def give_up(intermediate_result: OptimizeResult) -> None:
        if intermediate_result.fun > least + HOPELESS:
            raise StopIteration

    found = minimize(
        loss,
        np.array(START),
        method="Nelder-Mead",
        callback=give_up,
        options={
            "maxfev": evaluations,
            "initial_simplex": np.vstack([np.zeros(len(STEPS)), np.diag(STEPS)]) + np.array(START),
        },
    )
    if found.fun > least - WORTH:
        return markov
    return prior(found.x, own, ArchivePrior.fit(values, mask, domain, towards, share=1.0))


def _fold(x: Tensor, domain: Tensor) -> Tensor:
    """(B, T, C, H, W) -> (B, C, T, H * W), 0 outside the domain."""
    inside = domain if domain.ndim == 2 else domain[:, None, None]
    return (x * inside.to(x)).transpose(1, 2).flatten(3)


def _unfold(x: Tensor, like: Tensor) -> Tensor:
    """(B, C, T, H * W) -> (B, T, C, H, W)."""
    return x.unflatten(-1, like.shape[-2:]).transpose(1, 2)
