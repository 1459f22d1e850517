"""A Gaussian prior: a space-time Markov field on the cells of a domain.

The paper looks for ``argmax log p(y | x) + log p(x)`` (equations 2 and 3) and learns ``p(x)``. With a Gaussian ``p(x)``
the problem is linear, and this module solves it exactly. The solution is the first guess that the network improves.

The precision of the prior is that of a graph in space (Lindgren, Rue, Lindström 2011, *An explicit link between
Gaussian fields and Gaussian Markov random fields*, J. R. Stat. Soc. B) times an Ornstein-Uhlenbeck process in time:

    Q = Q_t (x) Q_s,    Q_s = s (kappa^2 + L) (kappa'^2 + L),    kappa^2 = 8 / length^2,    kappa' = kappa / detail

``L`` is the Laplacian of a graph whose edges join neighbouring cells of the domain only, so that values on one side of
land do not affect the other. With ``detail = 1`` the field is the Matérn field of smoothness 1. A smaller ``detail``
makes it rougher: between the lengths ``detail * length`` and ``length`` its covariance falls like a logarithm, as that
of land temperature does. Edges along x have weight ``aspect``, those along y ``1 / aspect``, those along one diagonal
``tilt``. With observations ``y`` on the cells of ``mask`` and their noise ``sigma``, the posterior mean solves

    (Q + mask / sigma^2) x = mask y / sigma^2

by multigrid (:mod:`geogan.prior.multigrid`). Where an instrument blurs (:mod:`geogan.prior.blur`), with its linear
operator ``K`` the system is

    (Q + K' mask / sigma^2 K) x = K' mask y / sigma^2

and the solution is the deblurred field; the V-cycle then preconditions with the weights ``K' mask / sigma^2``, by which
``K' mask / sigma^2 K`` is bounded. A field that drifts is solved on a grid that drifts along
(:mod:`geogan.prior.motion`).

Small scales change faster than large ones. What changes from date to date is a second, ``brief`` field, which is
independent from date to date. For the first solve it is noise; a second solve, date by date, finds it in what the first
leaves of the observations. One joint solve would take several times as long, and predicts hardly better
(docs/experiments.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from geogan.fields.trust import trust
from geogan.operators.errors import InputError
from geogan.operators.operator import Operator
from geogan.prior import lattice, multigrid
from geogan.prior.blur import Blur, PointSpread
from geogan.prior.motion import Drift, MovingGrid, Stretch, stretches

# Noise from which a tolerance is used as it is, and the smallest factor that it is multiplied by for less noise.
EASY_NOISE, LEAST_ACCURACY = 0.05, 0.05
# Factor of the number of iterations where observations are blurred: the V-cycle then is a less exact preconditioner.
BLURRED_ROUNDS = 4
# Parameters of the covariance in space.
SHAPE_PARAMETERS = ("length", "aspect", "detail", "tilt")
# Persistence in days of a field that is independent from date to date.
ONE_DATE = 1e-9


@dataclass(frozen=True)
class GaussianPrior:
    """A stationary Gaussian field and the noise of its observations.

    Parameters
    ----------
    length : float
        Distance in cells at which the correlation has fallen to about 0.14 (the Matérn range); the geometric mean of
        the distances along x and y.
    persistence : float
        e-folding time of the temporal correlation, in days.
    noise : float
        Standard deviation of the observation error, as a fraction of the field's.
    aspect : float
        Range along x over range along y, in cells.
    detail : float
        Length below which the field is smooth, as a fraction of ``length``; at most 1. A small value is a rough field.
    tilt : float
        Extra range along the diagonal on which x and y increase together (by index); along the other if negative.
    amplitude : float
        Standard deviation of the field. The posterior mean does not depend on it; the posterior spread is proportional
        to it.
    is_periodic : bool
        Whether the last column touches the first, see :meth:`around`.
    brief : float
        Standard deviation of a second smooth field, which is independent from date to date, as a fraction of the
        field's; 0 for none.
    brief_length : float
        Length of that field in cells.
    drift_y, drift_x : float
        Velocity of the field along rows and columns, in cells a day, by index; 0 for a field that stands still.
    blur : PointSpread, optional
        How the instrument blurs its observations. All other parameters are those of the field itself, and ``noise``
        comes after the blur. Only for a field without drift and brief field.

    Raises
    ------
    InputError
        If a parameter is not positive and finite, ``detail`` is above 1, ``brief`` is negative, ``tilt`` or a drift is
        not finite, or observations of a field that drifts or has a brief field are blurred.

    Examples
    --------
    A constant that is observed on the left half of an image fades out to the right:

    >>> prior = GaussianPrior(length=20.0, persistence=5.0, noise=0.1)
    >>> mask = torch.zeros(1, 1, 1, 8, 8)
    >>> mask[..., :4] = 1
    >>> guess = prior.map(mask, mask, torch.ones(8, 8), torch.zeros(1))
    >>> bool((guess[..., 4] > guess[..., 7]).all() and (guess[..., 7] > 0.5).all())
    True
    """

    # A training window may be cut anywhere and mirrored.
    stationary: ClassVar[bool] = True
    needs_whole_grid: ClassVar[bool] = False

    length: float = 12.0
    persistence: float = 5.0
    noise: float = 0.1
    aspect: float = 1.0
    amplitude: float = 1.0
    detail: float = 1.0
    tilt: float = 0.0
    is_periodic: bool = False
    drift_y: float = 0.0
    drift_x: float = 0.0
    brief: float = 0.0
    brief_length: float = 8.0
    blur: PointSpread | None = None

    def __post_init__(self) -> None:
        for name in ("length", "persistence", "noise", "aspect", "amplitude", "detail", "brief_length"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise InputError(f"{name} of a Gaussian prior must be positive and finite, got {value}")
        if self.detail > 1 or not math.isfinite(self.tilt):
            raise InputError(
                f"detail of a Gaussian prior must be at most 1 and tilt finite, got {self.detail} and {self.tilt}"
            )
        if not (self.brief >= 0 and math.isfinite(self.brief)):
            raise InputError(f"brief of a Gaussian prior must be 0 or more and finite, got {self.brief}")
        if not (math.isfinite(self.drift_y) and math.isfinite(self.drift_x)):
            raise InputError(f"drift of a Gaussian prior must be finite, got {self.drift_y} and {self.drift_x}")
        if self.blur is not None and (self.brief or self.is_moving):
            raise InputError(
                "blurred observations need a Gaussian prior without drift and brief field; leave them at 0"
            )

    @property
    def is_moving(self) -> bool:
        """Whether the field drifts."""
        return self.drift_y != 0 or self.drift_x != 0

    @property
    def lasting(self) -> GaussianPrior:
        """The field without the one that is independent from date to date, which is noise to it."""
        return replace(self, brief=0.0, noise=math.hypot(self.noise, self.brief))

    @property
    def date_field(self) -> GaussianPrior:
        """The field that is independent from date to date."""
        return replace(
            self.lasting,
            length=self.brief_length,
            persistence=ONE_DATE,
            noise=self.noise / self.brief,
            amplitude=self.amplitude * self.brief,
            detail=1.0,
            drift_y=0.0,
            drift_x=0.0,
        )

    @property
    def markov(self) -> GaussianPrior:
        """The stationary field of a prior: itself."""
        return self

    @property
    def extent(self) -> str:
        """The covariance in space, in words."""
        return f"length {self.length:.1f} cells"

    @property
    def reach(self) -> float:
        """The longest e-folding time of a part, in days."""
        return self.persistence

    def at(self, place: Tensor, size: tuple[int, ...]) -> GaussianPrior:
        """Return the field itself: it is the same everywhere."""
        return self

    def through(self, operator: Operator) -> GaussianPrior:
        """Return the same field, whose observations are blurred as an operator blurs, or not at all."""
        return replace(self, blur=PointSpread.of_operator(operator))

    def with_draws(self, make: Callable[[int], Tensor]) -> GaussianPrior:
        """Return the field itself: it has no modes, whose coefficients would need noise for members."""
        return self

    def around(self, is_periodic: bool) -> GaussianPrior:
        """Return the same field on columns that go once round the globe, or on columns that do not.

        Examples
        --------
        An observation in the last column affects the first:

        >>> mask = torch.zeros(1, 1, 1, 8, 12)
        >>> mask[..., -1] = 1
        >>> prior = GaussianPrior(length=4.0).around(True)
        >>> guess = prior.map(mask, mask, torch.ones(8, 12), torch.zeros(1))
        >>> bool((guess[..., 0] > 0.5).all())
        True
        """
        return self if self.is_periodic == is_periodic else replace(self, is_periodic=is_periodic)

    def map(
        self,
        values: Tensor,
        mask: Tensor,
        domain: Tensor,
        days: Tensor,
        *,
        tolerance: float = 1e-3,
        rounds: int = 100,
        start: Tensor | None = None,
        uncertainty: Tensor | None = None,
    ) -> Tensor:
        """Return the most probable field given the observations, which is the posterior mean.

        Parameters
        ----------
        values, mask : Tensor, shape (B, T, C, H, W)
            Unitless anomalies, 0 where not observed; 1 where observed. Bands are independent of each other. With a
            ``blur`` they are blurred, and the result is the field without blur.
        domain : Tensor, shape (H, W) or (B, H, W)
            1 where the field exists.
        days : Tensor, shape (T,) or (B, T)
            Dates of the frames in days, not decreasing; steps may be uneven.
        tolerance : float
            Ratio of residual to right-hand side at which the solver stops.
        rounds : int
            Number of iterations after which the solver stops.
        start : Tensor, shape (B, T, C, H, W), optional
            Initial solution; a good one saves iterations.
        uncertainty : Tensor, shape (B, T, C, H, W), optional
            Known standard deviation of the observation errors, in units of the anomalies. It adds to ``noise`` in
            quadrature.

        Returns
        -------
        field : Tensor, shape (B, T, C, H, W)
            0 outside the domain.

        Raises
        ------
        ValueError
            If domain or days do not have the shape of the values.
        """
        if self.brief:
            solve = partial(GaussianPrior.map, domain=domain, days=days, tolerance=tolerance, rounds=rounds)
            guess = solve(self.lasting, values, mask, start=start, uncertainty=uncertainty)
            return guess + solve(self.date_field, (values - guess) * (mask > 0), mask, uncertainty=uncertainty)
        problem = _Problem(values, self._weighted(mask, uncertainty), domain, days, None, start)
        return self._solve(problem, _Stop(tolerance, tolerance, rounds))[0]

    def sample(
        self,
        values: Tensor,
        mask: Tensor,
        domain: Tensor,
        days: Tensor,
        *,
        generator: torch.Generator,
        tolerance: float = 1e-3,
        rounds: int = 100,
    ) -> Tensor:
        """Draw one field from the posterior; parameters and shapes are those of :meth:`map`.

        Examples
        --------
        Without observations it draws from the prior:

        >>> nothing = torch.zeros(1, 1, 1, 8, 8)
        >>> random = torch.Generator().manual_seed(0)
        >>> GaussianPrior().sample(nothing, nothing, torch.ones(8, 8), torch.zeros(1), generator=random).shape
        torch.Size([1, 1, 1, 8, 8])
        """
        shape = (2, 1, *values.shape)
        noise = torch.randn(shape, generator=generator, device=values.device, dtype=values.dtype)
        guess, deviations = self.members(
            values, mask, domain, days, noise=noise, tolerance=tolerance, loose=tolerance, rounds=rounds
        )
        return guess + deviations[0]

    def members(
        self,
        values: Tensor,
        mask: Tensor,
        domain: Tensor,
        days: Tensor,
        *,
        noise: Tensor,
        tolerance: float = 1e-3,
        loose: float = 0.02,
        rounds: int = 100,
        uncertainty: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the posterior mean and exact draws of the posterior's deviations from it.

        A right-hand side of noise whose covariance is the posterior precision gives a draw of the deviations
        (Papandreou and Yuille 2010, *Gaussian sampling by local perturbations*). ``Q`` has a root made of stencils, so
        each draw takes one solve. The deviations do not depend on the values.

        Parameters
        ----------
        values, mask, domain, days, tolerance, rounds, uncertainty
            As for :meth:`map`.
        noise : Tensor, shape (2, M, B, T, C, H, W)
            Standard normal noise that perturbs the prior and the data. Overlapping tiles with the same noise get the
            same members.
        loose : float
            Tolerance of the deviations, which need less accuracy than the mean.

        Returns
        -------
        guess : Tensor, shape (B, T, C, H, W)
        deviations : Tensor, shape (M, B, T, C, H, W)
            Of mean 0, so their opposites are as probable; 0 outside the domain.
        """
        if self.brief:
            return self._members_of_both(
                values,
                mask,
                noise,
                domain=domain,
                days=days,
                rounds=rounds,
                tolerances=(tolerance, loose),
                uncertainty=uncertainty,
            )
        problem = _Problem(values, self._weighted(mask, uncertainty), domain, days, noise, None)
        return self._solve(problem, _Stop(tolerance, loose, rounds))

    def _members_of_both(
        self,
        values: Tensor,
        mask: Tensor,
        noise: Tensor,
        *,
        domain: Tensor,
        days: Tensor,
        rounds: int,
        tolerances: tuple[float, float],
        uncertainty: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Return mean and deviations with a brief field, which is drawn given each draw of the lasting one."""
        tolerance, loose = tolerances
        members = partial(
            GaussianPrior.members,
            domain=domain,
            days=days,
            tolerance=tolerance,
            loose=loose,
            rounds=rounds,
            uncertainty=uncertainty,
        )
        remedy = partial(
            self.date_field.map, domain=domain, days=days, tolerance=loose, rounds=rounds, uncertainty=uncertainty
        )
        seen = (mask > 0).to(values)
        guess, lasting = members(self.lasting, values, mask, noise=noise)
        # The noise of prior and data change places, with alternating signs, so that the draws are uncorrelated.
        signs = (1.0 - 2.0 * (torch.arange(noise.shape[1], device=noise.device) % 2)).to(noise)
        noise = noise.flip(0) * signs.view(-1, *(1,) * (noise.ndim - 2))
        brief, deviations = members(self.date_field, (values - guess) * seen, mask, noise=noise)
        for member, deviation in zip(deviations, lasting, strict=True):
            # Where the lasting field deviates at an observation, the brief one makes up for a part.
            member += deviation - remedy(deviation * seen, mask)
        return guess + brief, deviations

    def _solve(self, problem: _Problem, stop: _Stop) -> tuple[Tensor, Tensor]:
        """Return the posterior mean and the deviations; without noise the deviations are empty."""
        values, mask, domain, days, noise, start = problem
        # With little noise the right-hand side is mostly that of short waves: for the same accuracy of long waves in a
        # gap the residual must be smaller.
        accuracy = max(LEAST_ACCURACY, min(1.0, (self.noise / EASY_NOISE) ** 2))
        if self.tilt < 0:
            # The solver knows one diagonal; the other is that of the mirrored grid.
            guess, deviations = self._mirrored()._solve(problem.mirrored(), stop)
            return guess.flip(-1), deviations.flip(-1)
        # After 750 e-folding times a correlation is 0 in float64: then frames are independent, and solving them as
        # separate batch entries is far quicker.
        if values.shape[1] > 1 and float(days.diff().min()) > 750.0 * self.persistence:
            guess, deviations = self._solve(problem.with_frames_as_entries(), stop)
            return guess.view_as(values), deviations.view(len(deviations), *values.shape)
        if self.is_moving and values.shape[1] > 1:
            guesses, members = [], []
            for stretch in self.stretches(days, (values.shape[-2], values.shape[-1])):
                guess, deviations = self._solve_moving(problem.dates(stretch.read), stop)
                guesses.append(guess[:, stretch.inner])
                members.append(deviations[:, :, stretch.inner])
            return torch.cat(guesses, 1), torch.cat(members, 2)
        data = _Data.of(self, _fold(mask), domain, days)
        system = data.system
        # With a tolerance of 0 the number of iterations is what the caller wants.
        rounds = stop.iterations * (BLURRED_ROUNDS if self.blur is not None and stop.tolerance > 0 else 1)
        solve = partial(multigrid.solve, system, iterations=rounds, weighted=data.weighted)
        guess = solve(
            data.right(data.weight * _fold(values)),
            start=None if start is None else _fold(start) * system.grids[0].domain,
            tolerance=accuracy * stop.tolerance,
        )
        draws = []
        for member in () if noise is None else noise.unbind(1):
            prior_noise, data_noise = (_fold(part) for part in member)
            perturbation = multigrid.apply_time_root(system.frames, multigrid.draw_spatial(system, prior_noise))
            right = data.right(data.weight.sqrt() * data_noise) + perturbation
            solved = solve(right, start=None, tolerance=accuracy * stop.deviation_tolerance)
            draws.append(self.amplitude * _unfold(solved, values.shape))
        stacked = torch.stack(draws) if draws else values.new_empty(0, *values.shape)
        return _unfold(guess, values.shape), stacked

    def _solve_moving(self, problem: _Problem, stop: _Stop) -> tuple[Tensor, Tensor]:
        """Solve on the grid that drifts along; as :meth:`_solve` otherwise."""
        values, mask, domain, days, noise, start = problem
        domain = (
            domain.to(values) if domain.ndim == 2 else domain.to(values).repeat_interleave(values.shape[2], 0)[:, None]
        )
        grid = self.moving_grid(days, (values.shape[-2], values.shape[-1])).to(values).repeated(values.shape[2])
        # Between its observations the solver takes each as one of the nearest cell.
        system = self.system(grid.placed(_fold(mask) * domain), grid.domain(domain), days)
        weight, is_inside = _fold(mask) * domain / self.noise**2, system.grids[0].domain

        def weighted(z: Tensor) -> Tensor:
            return grid.spread(weight * grid.interpolated(z)) * is_inside

        def field(z: Tensor) -> Tensor:
            return _unfold(grid.interpolated(z) * domain, values.shape)

        solve = partial(multigrid.solve, system, iterations=stop.iterations, weighted=weighted)
        guess = solve(
            grid.spread(weight * _fold(values)) * is_inside,
            start=None if start is None else grid.continued(_fold(start)) * is_inside,
            tolerance=stop.tolerance,
        )
        draws = []
        for member in () if noise is None else noise.unbind(1):
            prior_noise, data_noise = (_fold(part) for part in member)
            perturbation = multigrid.draw_spatial(system, grid.with_more_noise(prior_noise))
            right = grid.spread(weight.sqrt() * data_noise) * is_inside
            right += multigrid.apply_time_root(system.frames, perturbation)
            draws.append(self.amplitude * field(solve(right, start=None, tolerance=stop.deviation_tolerance)))
        stacked = torch.stack(draws) if draws else values.new_empty(0, *values.shape)
        return field(guess), stacked

    def stretches(self, days: Tensor, shape: tuple[int, int]) -> list[Stretch]:
        """Return the dates that are solved together on one moving grid each; parameters as for :meth:`moving_grid`."""
        drift = Drift(self.drift_y, self.drift_x)
        return stretches(drift, days, shape, persistence=self.persistence, is_periodic=self.is_periodic)

    def moving_grid(self, days: Tensor, shape: tuple[int, int]) -> MovingGrid:
        """Return the grid that drifts along with the field.

        Parameters
        ----------
        days : Tensor, shape (T,) or (B, T)
            Dates in days, not decreasing.
        shape : (int, int)
            Rows and columns of the field.
        """
        return MovingGrid.of(
            Drift(self.drift_y, self.drift_x),
            days,
            shape,
            persistence=self.persistence,
            length=self.length,
            is_periodic=self.is_periodic,
        )

    def correlation_along(self, axis: int, count: int) -> np.ndarray:
        """Return the correlation at lags of 0, 1, 2, ... cells along rows (0) or columns (1), shape (N,)."""
        lags, zero = torch.arange(float(count), dtype=torch.float64), torch.zeros(count, dtype=torch.float64)
        parameters = {name: torch.tensor(float(getattr(self, name)), dtype=torch.float64) for name in SHAPE_PARAMETERS}
        at = (lags, zero) if axis == 0 else (zero, lags)
        found = lattice.covariance(*at, **parameters)
        return (found / found[0]).numpy()

    def covariance(self, domain: Tensor) -> Tensor:
        """Return the covariance in space, without the brief field, as a dense matrix in float64, for small grids.

        Parameters
        ----------
        domain : Tensor, shape (H, W)

        Returns
        -------
        covariance : Tensor, shape (H * W, H * W)
            0 outside the domain.

        Examples
        --------
        >>> covariance = GaussianPrior(length=4.0).covariance(torch.ones(9, 9))
        >>> bool(covariance[40, 40] > covariance[40, 41] > covariance[40, 44] > 0)
        True
        """
        cells = domain.numel()
        if self.tilt < 0:
            mirrored = torch.arange(cells).view_as(domain).flip(-1).flatten()
            return self._mirrored().covariance(domain.flip(-1))[mirrored][:, mirrored]
        domain = domain.double()
        grid = self.system(torch.zeros(1, 1, *domain.shape).double(), domain, torch.zeros(1)).grids[0]
        units = torch.eye(cells, dtype=torch.float64).view(cells, 1, *domain.shape) * domain
        precision = multigrid.apply_root(grid, multigrid.apply_root(grid, units, grid.diagonal), grid.rough_diagonal)
        inside = domain.flatten()
        covariance = torch.linalg.inv(precision.view(cells, cells) + torch.diag(1 - inside)) * inside * inside[:, None]
        return self.amplitude**2 * covariance

    def laplacian(self, domain: Tensor) -> Tensor:
        """Return the Laplacian ``L`` of the graph of a domain's cells as a dense matrix in float64, for small grids.

        Parameters
        ----------
        domain : Tensor, shape (H, W)

        Returns
        -------
        Tensor, shape (A, A)
            For the ``A`` cells of the domain in the order of its rows.
        """
        cells = domain.numel()
        if self.tilt < 0:
            inside = torch.zeros(cells, dtype=torch.int64)
            flipped = domain.flip(-1).flatten() > 0
            inside[flipped] = torch.arange(int(flipped.sum()))
            order = inside.view_as(domain).flip(-1)[domain > 0]
            return self._mirrored().laplacian(domain.flip(-1))[order][:, order]
        domain = domain.double()
        grid = self.system(torch.zeros(1, 1, *domain.shape).double(), domain, torch.zeros(1)).grids[0]
        units = torch.eye(cells, dtype=torch.float64).view(cells, 1, *domain.shape) * domain
        root = multigrid.apply_root(grid, units, grid.diagonal).view(cells, cells)
        inside = torch.nonzero(domain.flatten() > 0)[:, 0]
        scale = math.sqrt(_unit_variance(self.length, self.detail))
        size = len(inside)
        return root[inside][:, inside] / scale - 8.0 / self.length**2 * torch.eye(size, dtype=torch.float64)

    def _weighted(self, mask: Tensor, uncertainty: Tensor | None) -> Tensor:
        """Return the mask with which ``noise`` alone has the effect of noise and uncertainty together."""
        return mask if uncertainty is None else trust(mask, uncertainty, self.noise * self.amplitude)

    def _mirrored(self) -> GaussianPrior:
        blur = None if self.blur is None else self.blur.mirrored
        return replace(self, tilt=-self.tilt, drift_x=-self.drift_x, blur=blur)

    def system(
        self, mask: Tensor, domain: Tensor, days: Tensor, factors: multigrid.Factors | None = None
    ) -> multigrid.System:
        """Return the linear system of the posterior mean; ``mask`` has shape (B * C, T, H, W).

        ``factors`` are those of the couplings between neighbours, if they differ from place to place.

        Raises
        ------
        ValueError
            If domain or days do not have the shape of the mask.
        """
        dtype, device = mask.dtype, mask.device
        domain = domain.to(device=device, dtype=dtype)
        if domain.shape[-2:] != mask.shape[-2:]:
            raise ValueError(f"domain must end in shape {tuple(mask.shape[-2:])}, got {tuple(domain.shape)}")
        if days.shape[-1] != mask.shape[1]:
            raise ValueError(f"days must end in shape ({mask.shape[1]},), got {tuple(days.shape)}")
        # The bands are part of the batch dimension.
        if domain.ndim == 3:
            domain = domain.repeat_interleave(mask.shape[0] // domain.shape[0], 0)[:, None]
        if days.ndim == 2:
            days = days.repeat_interleave(mask.shape[0] // days.shape[0], 0)
        return multigrid.build(
            domain,
            mask * domain / self.noise**2,
            self.time_precision(days, mask),
            multigrid.SpatialPrecision(
                kappa2=8.0 / self.length**2,
                rough_kappa2=8.0 / (self.detail * self.length) ** 2,
                scale=math.sqrt(_unit_variance(self.length, self.detail)),
                aspect=self.aspect,
                tilt=self.tilt,
                is_periodic=self.is_periodic,
                factors=factors,
            ),
        )

    def time_precision(self, days: Tensor, like: Tensor) -> multigrid.Frames:
        """Return ``Q_t = R^T R`` of the Ornstein-Uhlenbeck process, exact for uneven steps; of the type of ``like``."""
        steps = days.to(device=like.device, dtype=torch.float64, non_blocking=True).diff()
        correlation = torch.exp(-steps.clamp_min(1e-3) / self.persistence)
        innovation = (1 - correlation**2).rsqrt()
        first = torch.ones_like(days[..., :1], device=like.device, dtype=torch.float64)
        root_diagonal = torch.cat([first, innovation], -1)
        root_below = -correlation * innovation
        diagonal = root_diagonal**2
        diagonal[..., :-1] += root_below**2
        parts = {
            "diagonal": diagonal,
            "off": root_below * innovation,
            "root_diagonal": root_diagonal,
            "root_below": root_below,
        }
        return multigrid.Frames(**{name: part.to(like.dtype)[..., None, None] for name, part in parts.items()})


class _Data(NamedTuple):
    """The observations in the linear system of a posterior mean; shapes are (B * C, T, H, W)."""

    system: multigrid.System
    weight: Tensor  # precision of each observation
    blur: Blur | None

    @classmethod
    def of(cls, prior: GaussianPrior, mask: Tensor, domain: Tensor, days: Tensor) -> _Data:
        if prior.blur is None:
            system = prior.system(mask, domain, days)
            return cls(system, system.grids[0].weight, None)
        cells = domain.to(mask)
        if cells.ndim == 3:
            cells = cells.repeat_interleave(mask.shape[0] // cells.shape[0], 0)[:, None]
        blur = prior.blur.on(cells, is_periodic=prior.is_periodic)
        # The square of a weighted mean is at most the weighted mean of squares, so these weights bound those of the
        # blurred observations. For waves longer than the blur the two are equal.
        system = prior.system(blur.adjoint(mask * cells).clamp_min(0), domain, days)
        return cls(system, mask * cells / prior.noise**2, blur)

    @property
    def weighted(self) -> Callable[[Tensor], Tensor] | None:
        """Product with the precision of the observations, where it is not diagonal."""
        return None if self.blur is None else self.blur.weighted(self.weight)

    def right(self, weighted: Tensor) -> Tensor:
        """Return the right-hand side of observations times their weights."""
        return weighted if self.blur is None else self.blur.adjoint(weighted)


class _Problem(NamedTuple):
    """What :meth:`GaussianPrior._solve` solves for; shapes are those of :meth:`GaussianPrior.members`."""

    values: Tensor
    mask: Tensor
    domain: Tensor
    days: Tensor
    noise: Tensor | None
    start: Tensor | None

    def mirrored(self) -> _Problem:
        """Return the problem with its columns in reverse order."""
        return _Problem(
            self.values.flip(-1),
            self.mask.flip(-1),
            self.domain.flip(-1),
            self.days,
            None if self.noise is None else self.noise.flip(-1),
            None if self.start is None else self.start.flip(-1),
        )

    def dates(self, t: slice) -> _Problem:
        """Return the problem of some dates."""
        return _Problem(
            self.values[:, t],
            self.mask[:, t],
            self.domain,
            self.days[..., t],
            None if self.noise is None else self.noise[:, :, :, t],
            None if self.start is None else self.start[:, t],
        )

    def with_frames_as_entries(self) -> _Problem:
        """Return the problem with every frame as a separate batch entry."""
        domain = self.domain if self.domain.ndim == 2 else self.domain.repeat_interleave(self.values.shape[1], 0)
        return _Problem(
            self.values.flatten(0, 1)[:, None],
            self.mask.flatten(0, 1)[:, None],
            domain,
            self.days.new_zeros(1),
            None if self.noise is None else self.noise.flatten(2, 3)[:, :, :, None],
            None if self.start is None else self.start.flatten(0, 1)[:, None],
        )


class _Stop(NamedTuple):
    """When the solver stops."""

    tolerance: float
    deviation_tolerance: float
    iterations: int


def _fold(x: Tensor) -> Tensor:
    """Reshape (B, T, C, H, W) to (B * C, T, H, W)."""
    return x.transpose(1, 2).flatten(0, 1)


def _unfold(x: Tensor, shape: torch.Size) -> Tensor:
    """Reshape (B * C, T, H, W) to (B, T, C, H, W)."""
    return x.unflatten(0, (shape[0], shape[2])).transpose(1, 2)


@lru_cache(maxsize=64)
def _unit_variance(length: float, detail: float = 1.0) -> float:
    """Return the ``s`` with which ``s (kappa^2 + L) (kappa'^2 + L)`` has marginal variance 1 on an infinite grid.

    The integral over the waves along y is known: the mean of ``1 / (a + 2 - 2 cos)`` is ``(a (a + 4))^(-1/2)``.
    """
    kappa2, rough_kappa2 = 8.0 / length**2, 8.0 / (detail * length) ** 2
    size = max(128, 2 ** math.ceil(math.log2(6 * length)))
    wave = 2 - 2 * np.cos(2 * np.pi * np.arange(size) / size)
    first, second = kappa2 + wave, rough_kappa2 + wave
    if detail > 0.999:
        return float(((first + 2) * (first * (first + 4)) ** -1.5).mean())
    difference = (first * (first + 4)) ** -0.5 - (second * (second + 4)) ** -0.5
    return float(difference.mean() / (rough_kappa2 - kappa2))
