"""The posterior of one field that several sensors measure, each with its own blur, noise, gaps and bias.

Sensor ``s`` measures ``y_s = M_s (K_s x + b_s) + e_s``: infrared under clouds with a small footprint, microwave through
clouds with a large one, buoys in a few cells with little noise. With the Gaussian field of
:mod:`geogan.prior.gaussian` the posterior mean of ``x`` solves

    (Q + sum_s K_s' W_s K_s) x = sum_s K_s' W_s (y_s - b_s),    W_s = M_s / noise_s^2

by the same conjugate gradients as for one sensor. A bias is a constant of the record, relative to the first sensor. In
:meth:`Sensors.with_biases` it is an unknown beside the field, with a wide normal prior: eliminated, it takes from
``W_s`` the matrix ``W_s 1 1' W_s / (1' W_s 1 + 1 / spread^2)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from geogan.operators.errors import InputError
from geogan.operators.operator import Operator
from geogan.prior import multigrid
from geogan.prior.blur import Blur, PointSpread
from geogan.prior.gaussian import BLURRED_ROUNDS, EASY_NOISE, LEAST_ACCURACY, GaussianPrior

# Standard deviation of a bias before anything is measured, in amplitudes of the field.
BIAS_SPREAD = 3.0


@dataclass(frozen=True)
class Sensor:
    """One of several sensors of a field.

    Parameters
    ----------
    noise : float
        Standard deviation of the observation error, in units of the anomalies.
    blur : PointSpread, optional
        How the sensor blurs.
    bias : float
        What the sensor adds to the field, in units of the anomalies.

    Raises
    ------
    InputError
        If the noise is not positive.
    """

    noise: float
    blur: PointSpread | None = None
    bias: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.noise < float("inf"):
            raise InputError(f"noise of a sensor must be positive and finite, got {self.noise}; give its error")

    @classmethod
    def of(cls, operator: Operator, noise: float, *, bias: float = 0.0) -> Sensor:
        """Return the sensor whose blur is that of an operator."""
        return cls(noise, PointSpread.of_operator(operator), bias)


@dataclass(frozen=True)
class Sensors:
    """Several sensors of one Gaussian field.

    Parameters
    ----------
    prior : GaussianPrior
        The field; its own noise and blur are not used. It stands still and has no brief field.
    sensors : tuple of Sensor
        In the order of the bands of the measurements.

    Raises
    ------
    InputError
        If there is no sensor, or the field drifts or has a brief field.

    Examples
    --------
    Two equal sensors are one with less noise:

    >>> prior, y = GaussianPrior(length=4.0), torch.randn(1, 1, 2, 8, 8)
    >>> mask, domain, day = torch.ones_like(y), torch.ones(8, 8), torch.zeros(1)
    >>> two = Sensors(prior, (Sensor(0.2), Sensor(0.2))).map(y, mask, domain, day, tolerance=1e-5)
    >>> mean, ones = y.mean(2, keepdim=True), mask[:, :, :1]
    >>> one = Sensors(prior, (Sensor(0.2 / 2**0.5),)).map(mean, ones, domain, day, tolerance=1e-5)
    >>> torch.allclose(two, one, atol=1e-3)
    True
    """

    prior: GaussianPrior
    sensors: tuple[Sensor, ...]

    def __post_init__(self) -> None:
        if not self.sensors:
            raise InputError("a field needs at least one sensor, got none; give one for each variable")
        if self.prior.is_moving or self.prior.brief:
            raise InputError("several sensors need a Gaussian prior without drift and brief field; leave them at 0")

    def map(
        self,
        values: Tensor,
        mask: Tensor,
        domain: Tensor,
        days: Tensor,
        *,
        tolerance: float = 1e-3,
        rounds: int = 100,
        uncertainty: Tensor | None = None,
    ) -> Tensor:
        """Return the posterior mean of the field.

        Parameters
        ----------
        values, mask : Tensor, shape (B, T, S, H, W)
            Anomalies of each sensor, 0 where it did not measure; 1 where it measured.
        domain : Tensor, shape (H, W) or (B, H, W)
            1 where the field exists.
        days : Tensor, shape (T,) or (B, T)
            Dates of the frames in days.
        tolerance : float
            Ratio of residual to right-hand side at which the solver stops.
        rounds : int
            Number of iterations after which the solver stops; four times as many if a sensor blurs.
        uncertainty : Tensor, shape (B, T, S, H, W), optional
            Known standard deviation of the observation errors, which adds to the noise of the sensor in quadrature.

        Returns
        -------
        Tensor, shape (B, T, 1, H, W)
            0 outside the domain.
        """
        problem = _Joint.of(self, mask, domain, days, uncertainty)
        return problem.field(problem.solved(problem.right(problem.folded(self, values)), tolerance, rounds))

    def members(
        self,
        values: Tensor,
        mask: Tensor,
        domain: Tensor,
        days: Tensor,
        *,
        noise: tuple[Tensor, Tensor],
        tolerance: float = 1e-3,
        loose: float = 0.02,
        rounds: int = 100,
        uncertainty: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the posterior mean and exact draws of the deviations from it, for given biases.

        Parameters
        ----------
        values, mask, domain, days, tolerance, rounds, uncertainty
            As for :meth:`map`.
        noise : (Tensor, Tensor), shapes (M, B, T, 1, H, W) and (M, B, T, S, H, W)
            Standard normal noise that perturbs the field and the measurements.
        loose : float
            Tolerance of the deviations.

        Returns
        -------
        mean : Tensor, shape (B, T, 1, H, W)
        deviations : Tensor, shape (M, B, T, 1, H, W)
        """
        problem = _Joint.of(self, mask, domain, days, uncertainty)
        mean = problem.field(problem.solved(problem.right(problem.folded(self, values)), tolerance, rounds))
        draws = []
        for field_noise, data_noise in zip(*noise, strict=True):
            perturbation = multigrid.draw_spatial(problem.system, problem.fold(field_noise)[:, :, 0])
            right = multigrid.apply_time_root(problem.system.frames, perturbation)
            for part, weight, blur in zip(problem.fold(data_noise).unbind(2), problem.weights, problem.blurs):
                right = right + _adjoint(blur, weight.sqrt() * part)
            draws.append(self.prior.amplitude * problem.field(problem.solved(right, loose, rounds)))
        return mean, torch.stack(draws)

    def with_biases(
        self,
        values: Tensor,
        mask: Tensor,
        domain: Tensor,
        days: Tensor,
        *,
        tolerance: float = 1e-4,
        rounds: int = 200,
        uncertainty: Tensor | None = None,
    ) -> Sensors:
        """Return the sensors with biases estimated together with the field; the first sensor keeps its own.

        Parameters are those of :meth:`map`. All films of the batch share the biases.
        """
        problem = replace(_Joint.of(self, mask, domain, days, uncertainty), spread=BIAS_SPREAD)
        folded = problem.folded(self, values)
        field = problem.solved(problem.right(folded), tolerance, rounds)
        biases = [
            0.0 if number == 0 else float(problem.bias(number, y - _measured(blur, field)))
            for number, (y, blur) in enumerate(zip(folded, problem.blurs, strict=True))
        ]
        sensors = [replace(sensor, bias=sensor.bias + bias) for sensor, bias in zip(self.sensors, biases, strict=True)]
        return replace(self, sensors=tuple(sensors))


@dataclass(frozen=True, eq=False)
class _Joint:
    """The linear system of all sensors; parts have the shape (B, T, H, W), and lists have one for each sensor."""

    system: multigrid.System
    weights: Sequence[Tensor]  # precision of each observation
    blurs: Sequence[Blur | None]
    accuracy: float
    is_mirrored: bool
    spread: float | None = None  # prior standard deviation of biases, in amplitudes; None if they are known

    @classmethod
    def of(cls, sensors: Sensors, mask: Tensor, domain: Tensor, days: Tensor, uncertainty: Tensor | None) -> _Joint:
        prior = replace(sensors.prior, blur=None)
        # The solver knows one diagonal; the other is that of the mirrored grid.
        is_mirrored = prior.tilt < 0
        if is_mirrored:
            prior = replace(prior, tilt=-prior.tilt)
            mask, domain = mask.flip(-1), domain.flip(-1)
            uncertainty = None if uncertainty is None else uncertainty.flip(-1)
        cells = domain.to(mask)
        cells = cells if cells.ndim == 2 else cells[:, None]
        weights: list[Tensor] = []
        blurs: list[Blur | None] = []
        total = torch.zeros_like(mask[:, :, 0])
        for number, sensor in enumerate(sensors.sensors):
            variance: Tensor | float = sensor.noise**2
            if uncertainty is not None:
                known = uncertainty[:, :, number]
                variance = variance + torch.where(torch.isfinite(known), known, 1e15).square()
            weight = mask[:, :, number] * cells * prior.amplitude**2 / variance
            spread = sensor.blur
            if spread is not None:
                spread = spread.mirrored if is_mirrored else spread
            blur = None if spread is None else spread.on(cells, is_periodic=prior.is_periodic)
            total = total + _adjoint(blur, weight)
            weights.append(weight)
            blurs.append(blur)
        # The system divides the mask by the square of the prior's own noise.
        system = prior.system(total.clamp_min(0) * prior.noise**2, domain, days)
        least = min(sensor.noise for sensor in sensors.sensors) / prior.amplitude
        return cls(system, weights, blurs, max(LEAST_ACCURACY, min(1.0, (least / EASY_NOISE) ** 2)), is_mirrored)

    def fold(self, x: Tensor) -> Tensor:
        """Return a film as the solver sees it, mirrored if need be."""
        return x.flip(-1) if self.is_mirrored else x

    def folded(self, sensors: Sensors, values: Tensor) -> list[Tensor]:
        """Return the measurements of each sensor without its bias."""
        parts = self.fold(values).unbind(2)
        return [part - sensor.bias for part, sensor in zip(parts, sensors.sensors, strict=True)]

    def field(self, solution: Tensor) -> Tensor:
        """Return the field of a solution, (B, T, 1, H, W)."""
        return self.fold(solution)[:, :, None]

    def bias(self, number: int, difference: Tensor) -> Tensor:
        """Return the bias of a sensor given what it measured beyond the field."""
        assert self.spread is not None
        weight = self.weights[number]
        return (weight * difference).sum() / (weight.sum() + self.spread**-2)

    def weighted_by(self, number: int, y: Tensor) -> Tensor:
        """Return measurements of a sensor times the inverse of their covariance."""
        if self.spread is not None and number > 0:
            y = y - self.bias(number, y)
        return self.weights[number] * y

    def right(self, measurements: Sequence[Tensor]) -> Tensor:
        """Return the right-hand side of measurements."""
        parts = [
            _adjoint(blur, self.weighted_by(number, y))
            for number, (y, blur) in enumerate(zip(measurements, self.blurs, strict=True))
        ]
        return torch.stack(parts).sum(0) * self.system.grids[0].domain

    def weighted(self, x: Tensor) -> Tensor:
        """Return ``sum_s K_s' W_s K_s x``."""
        return self.right([_measured(blur, x) for blur in self.blurs])

    def solved(self, right: Tensor, tolerance: float, rounds: int) -> Tensor:
        """Return the solution for a right-hand side."""
        is_diagonal = self.spread is None and all(blur is None for blur in self.blurs)
        solve = partial(multigrid.solve, self.system, right, start=None, tolerance=self.accuracy * tolerance)
        if is_diagonal:
            return solve(iterations=rounds)
        return solve(iterations=BLURRED_ROUNDS * rounds, weighted=self.weighted)


def _measured(blur: Blur | None, x: Tensor) -> Tensor:
    return x if blur is None else blur.measured(x)


def _adjoint(blur: Blur | None, y: Tensor) -> Tensor:
    return y if blur is None else blur.adjoint(y)
