"""A Gaussian prior with the archive's own covariance, estimated for each pair of cells from the archive's dates.

A stationary field depends on the distance between two cells only. It does not know, for example, that both hold the
same crop. A few hundred gappy dates of a small grid show that, pair by pair. The estimate is shrunk towards the
covariance of a Markov field:

    C = share * C_archive + (1 - share) * C_Markov
    cov(x_s, x_t) = (steady * exp(-|s - t| / persistence) + [s = t] (1 - steady) a_t^2) C

``steady`` is the share of the variance that lasts from date to date. The rest belongs to a single date, and is larger
on a date that differs from all others (snow, haze): ``a_t`` is the root mean square of the date's observations, at
least 1. Such a date is then filled from itself, and affects its neighbours little.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from geogan.fields.circle import columns
from geogan.operators.errors import InputError
from geogan.prior.gaussian import GaussianPrior


@dataclass(frozen=True, eq=False)
class ArchivePrior:
    """A Gaussian field on a small grid, of any covariance in space.

    Parameters
    ----------
    covariance : Tensor, shape (C, A, A)
        Covariance of the ``A = H * W`` cells for each band, 0 outside the domain; of mean variance 1.
    persistence : float
        e-folding time of the lasting part, in days.
    steady : float
        Share of the variance that lasts, from 0 to 1.
    noise : float
        Standard deviation of the observation error, as a fraction of the field's.
    length, aspect : float
        Parameters of a Markov field, from which the distance to observations is scaled
        (:func:`geogan.prior.nearness.nearness`).
    amplitude : float
        Standard deviation of the field, as in :class:`geogan.prior.gaussian.GaussianPrior`.
    root : Tensor, shape (C, A, A), optional
        Symmetric root of the covariance; computed when it is needed.

    Raises
    ------
    InputError
        If a parameter is out of range.
    """

    # A training window must be the whole grid, and not mirrored.
    stationary: ClassVar[bool] = False
    # Their observations are not blurred.
    blur: ClassVar[None] = None
    needs_whole_grid: ClassVar[bool] = True
    # Largest grid: the covariance is a dense matrix, and every iteration multiplies by it.
    most_cells: ClassVar[int] = 4096
    # Largest grid whose covariance is worth fitting: on larger ones the search takes too long.
    largest_worth: ClassVar[int] = 2048

    covariance: Tensor
    persistence: float = 40.0
    steady: float = 0.5
    noise: float = 0.14
    length: float = 16.0
    aspect: float = 1.0
    amplitude: float = 1.0
    root: Tensor | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not (0 <= self.steady <= 1 and min(self.persistence, self.noise, self.amplitude) > 0):
            raise InputError(
                "steady of an archive's prior must lie from 0 to 1, persistence, noise and amplitude be positive, got "
                f"{self.steady}, {self.persistence}, {self.noise} and {self.amplitude}"
            )

    @staticmethod
    def is_worth_fitting(cells: int, dates: int) -> bool:
        """Return whether a grid is small enough, and an archive long enough, to estimate a covariance.

        Examples
        --------
        >>> ArchivePrior.is_worth_fitting(1024, 100), ArchivePrior.is_worth_fitting(1024, 20)
        (True, False)
        """
        # Fewer dates do not determine a covariance.
        return cells <= ArchivePrior.largest_worth and dates >= 60

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
        """Estimate the covariance from the observations of an archive.

        Parameters
        ----------
        values, mask : Tensor, shape (T, C, H, W)
            Anomalies of all dates, 0 where not observed; 1 where observed.
        domain : Tensor, shape (H, W)
        markov : GaussianPrior
            The field towards whose covariance the estimate is shrunk.
        share : float
            Weight of the archive's own covariance, from 0 to 1.
        persistence, steady, noise : float
            Parameters of the prior.

        Returns
        -------
        ArchivePrior

        Raises
        ------
        InputError
            If the grid is too large, or nothing was observed.

        Examples
        --------
        Two halves of a grid that always have opposite signs:

        >>> sign = torch.ones(4, 4)
        >>> sign[:, 2:] = -1
        >>> values = torch.randn(50, 1, 1, 1, generator=torch.Generator().manual_seed(0)) * sign
        >>> prior = ArchivePrior.fit(values, torch.ones_like(values), torch.ones(4, 4), GaussianPrior(length=4.0))
        >>> mask = torch.zeros(1, 1, 1, 4, 4)
        >>> mask[..., 0] = 1
        >>> bool((prior.map(mask, mask, torch.ones(4, 4), torch.zeros(1))[..., 3] < -0.2).all())
        True
        """
        _, bands, height, width = values.shape
        if height * width > cls.most_cells:
            raise InputError(
                f"the covariance of {height} x {width} cells is too large; give {cls.most_cells} cells at most, or use "
                "the Gaussian field"
            )
        if not bool(mask.any()):
            raise InputError("the archive has no observation, so it has no covariance; give its observations")
        observed = (mask * domain).flatten(2).double()
        anomalies = values.flatten(2).double() * observed
        target = markov.covariance(domain)
        target = target * (domain.sum() / target.trace())
        covariances = []
        for band in range(bands):
            estimate = pair_covariance(anomalies[:, band], observed[:, band])
            variance = estimate.trace()
            estimate = estimate * (domain.sum() / variance) if variance > 0 else target
            covariances.append(share * estimate + (1 - share) * target)
        covariance = torch.stack(covariances).to(values.dtype)
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
        """Return the posterior mean, see :meth:`geogan.prior.gaussian.GaussianPrior.map`.

        Parameters
        ----------
        values, mask : Tensor, shape (B, T, C, H, W)
            Unitless anomalies, 0 where not observed; 1 where observed. Bands are independent of each other.
        domain : Tensor, shape (H, W) or (B, H, W)
            The whole grid of the covariance.
        days : Tensor, shape (T,) or (B, T)
        tolerance, rounds
            Ratio of residual to right-hand side, and number of iterations, at which the solver stops (after at least
            30 iterations).
        start : Tensor, optional
            Not used: the unknowns are the weights of the observations, not the field.
        uncertainty : Tensor, shape (B, T, C, H, W), optional
            Known standard deviation of the observation errors; it adds to ``noise`` in quadrature.

        Returns
        -------
        field : Tensor, shape (B, T, C, H, W)
        """
        kriging = self._kriging(values, mask, domain, days, uncertainty)
        return _unfold(kriging.solve(kriging.observations, tolerance, rounds), values)

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
        """Return the posterior mean and exact draws of the posterior's deviations from it.

        A field is drawn from the prior, observed and reconstructed; its error is a draw of the deviations (conditional
        simulation, Journel and Huijbregts 1978).

        Parameters
        ----------
        values, mask, domain, days, tolerance, rounds, uncertainty
            As for :meth:`map`.
        noise : Tensor, shape (2, M, B, T, C, H, W)
            Standard normal noise, of the field and of its observations.
        loose : float
            Tolerance of the deviations.

        Returns
        -------
        guess : Tensor, shape (B, T, C, H, W)
        deviations : Tensor, shape (M, B, T, C, H, W)
            Of mean 0; 0 outside the domain.
        """
        kriging = self._kriging(values, mask, domain, days, uncertainty)
        guess = kriging.solve(kriging.observations, tolerance, rounds)
        time_root = torch.linalg.cholesky(kriging.time.double()).to(guess)
        space_root = self._space_root().to(guess)
        deviations = []
        for field_noise, data_noise in zip(*noise.unbind(0)):
            drawn = time_root @ torch.einsum("bcta,cad->bctd", _fold(field_noise, domain), space_root)
            observed = (drawn + kriging.noise2**0.5 * _fold(data_noise, domain)) * kriging.observed
            deviations.append(_unfold(drawn - kriging.solve(observed, loose, rounds), values))
        return _unfold(guess, values), self.amplitude * torch.stack(deviations)

    @property
    def markov(self) -> GaussianPrior:
        """A stationary field that is similar, with a known covariance function."""
        return GaussianPrior(
            length=self.length,
            persistence=self.persistence,
            noise=self.noise,
            aspect=self.aspect,
            amplitude=self.amplitude,
        )

    @property
    def extent(self) -> str:
        """The covariance in space, in words."""
        return "the archive's own covariance"

    @property
    def reach(self) -> float:
        """The longest e-folding time of a part, in days."""
        return self.persistence

    def at(self, place: Tensor, size: tuple[int, ...]) -> ArchivePrior:
        """Return the field itself: its films have the whole grid."""
        return self

    def with_draws(self, make: Callable[[int], Tensor]) -> ArchivePrior:
        """Return the field itself: it has no modes, whose coefficients would need noise for members."""
        return self

    def around(self, is_periodic: bool) -> ArchivePrior:
        """Return the field itself: its covariance holds the pairs of cells across the seam already."""
        return self

    def part(self, y: slice, x: slice, shape: tuple[int, int]) -> ArchivePrior:
        """Return the field on a part of its grid of ``shape``; the part may cross the seam."""
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

    def _kriging(
        self, values: Tensor, mask: Tensor, domain: Tensor, days: Tensor, uncertainty: Tensor | None
    ) -> _Kriging:
        """Return the linear system of some observations; shapes are those of :meth:`map`."""
        weights = _fold(mask, domain)
        observations = _fold(values, domain) * (weights > 0)
        noise2: Tensor | float = self.noise**2
        if uncertainty is not None:
            # Beside a field of variance 1.
            noise2 = noise2 + (uncertainty.transpose(1, 2).flatten(3).to(observations) / self.amplitude) ** 2
        return _Kriging(
            observations=observations,
            observed=weights > 0,
            time=self._time_covariance(observations, weights, days),
            space=self.covariance.to(observations),
            noise2=noise2,
        )

    def _time_covariance(self, observations: Tensor, weights: Tensor, days: Tensor) -> Tensor:
        """Return the covariance between dates, (B, C, T, T)."""
        steps = (days[..., :, None] - days[..., None, :]).abs().to(observations)
        steps = steps[:, None] if steps.ndim == 3 else steps
        # The mean square of a date is shrunk towards 1 with the weight of 20 cells.
        square = ((observations.square().sum(-1) + 20.0) / (weights.sum(-1) + 20.0)).clamp_min(1.0)
        return self.steady * torch.exp(-steps / self.persistence) + (1 - self.steady) * torch.diag_embed(square)


class _Kriging(NamedTuple):
    """The linear system of simple kriging (Chilès and Delfiner 2012, chapter 3) for some observations.

    ``A`` is the number of cells of the grid.
    """

    observations: Tensor  # (B, C, T, A), 0 where not observed
    observed: Tensor  # (B, C, T, A) bool
    time: Tensor  # (B, C, T, T) covariance between dates
    space: Tensor  # (C, A, A) covariance between cells
    noise2: Tensor | float  # variance of the observation errors

    def solve(self, y: Tensor, tolerance: float, iterations: int) -> Tensor:
        """Return the posterior mean given observations ``y``, (B, C, T, A).

        ``(M C M + noise^2) weights = y`` is solved by conjugate gradients with the diagonal as preconditioner. With a
        tolerance of 0 the residual is never read, so that the host does not wait for an accelerator.
        """
        observed = self.observed.to(y)

        def correlated(x: Tensor) -> Tensor:
            return self.time @ torch.einsum("bcta,cad->bctd", x, self.space)

        def dot(a: Tensor, b: Tensor) -> Tensor:
            return (a * b).sum((2, 3), keepdim=True)

        time, space = self.time.diagonal(dim1=-2, dim2=-1), self.space.diagonal(dim1=-2, dim2=-1)
        diagonal = time[..., None] * space[:, None] + self.noise2
        weights, residual = torch.zeros_like(y), y.clone()
        direction = scaled = residual / diagonal
        energy, goal = dot(residual, scaled), tolerance**2 * dot(y, y)
        tiny = torch.finfo(y.dtype).tiny
        # Fewer than 30 iterations on the weights of the observations give an unusable solution.
        for _ in range(max(iterations, 30)):
            if tolerance > 0 and bool((dot(residual, residual) <= goal).all()):
                break
            applied = observed * correlated(direction) + self.noise2 * direction
            step = energy / dot(direction, applied).clamp_min(tiny)
            weights, residual = weights + step * direction, residual - step * applied
            scaled = residual / diagonal
            before, energy = energy, dot(residual, scaled)
            direction = scaled + energy / before.clamp_min(tiny) * direction
        return correlated(weights)


def pair_covariance(anomalies: Tensor, observed: Tensor) -> Tensor:
    """Return the covariance (A, A) of the dates (T, A) of a band, made positive semi-definite.

    Dates whose root mean square is above 1.5 times the median count less; pairs of cells that were never observed on
    the same date get the covariance 0.
    """
    dates = observed.any(1)
    observed, anomalies = observed[dates], anomalies[dates]
    size = (anomalies.square().sum(1) / observed.sum(1)).sqrt()
    weight = (1.5 * size.median() / size.clamp_min(1e-12)).clamp_max(1)
    anomalies, observed = anomalies * weight[:, None], observed * weight[:, None]
    count = observed.T @ observed
    covariance = torch.where(count > 0, anomalies.T @ anomalies / count.clamp_min(1e-12), 0.0)
    value, vector = torch.linalg.eigh(covariance)
    return (vector * value.clamp_min(0)) @ vector.T


def _fold(x: Tensor, domain: Tensor) -> Tensor:
    """Reshape (B, T, C, H, W) to (B, C, T, H * W), with 0 outside the domain."""
    inside = domain if domain.ndim == 2 else domain[:, None, None]
    return (x * inside.to(x)).transpose(1, 2).flatten(3)


def _unfold(x: Tensor, like: Tensor) -> Tensor:
    """Reshape (B, C, T, H * W) to (B, T, C, H, W)."""
    return x.unflatten(-1, like.shape[-2:]).transpose(1, 2)
