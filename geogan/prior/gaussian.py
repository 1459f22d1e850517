"""The handcrafted prior: a space-time Gaussian Markov field on the domain's cells.

The paper looks for ``argmax log p(y | x) + log p(x)`` (its equations 2 and 3) and learns ``p(x)``. With
a Gaussian ``p(x)`` the same problem is linear and is solved here exactly; that is where the learned
reconstruction starts.

The prior is a field in space, as the precision of a graph (Lindgren, Rue, Lindström 2011), times an
Ornstein-Uhlenbeck process in time:

    Q = Q_t (x) Q_s,    Q_s = s (kappa^2 + L) (kappa'^2 + L),    kappa^2 = 8 / length^2,    kappa' = kappa / detail

with ``L`` the Laplacian of the graph whose edges join neighbouring cells of the domain only: land never
bleeds into sea. It is the Matérn field of smoothness 1 where ``detail`` is 1, and the rougher the smaller that is:
between the lengths ``detail * length`` and ``length`` its covariance falls like a logarithm, as that of land
temperatures does. Edges along x count ``aspect``, along y ``1 / aspect``, along one diagonal ``tilt``: cells need not
be square (on a grid of degrees they are not), nor do fields reach equally far in all directions. With observations
``y`` on the cells of ``mask`` and noise ``sigma``,

    (Q + mask / sigma^2) x = mask y / sigma^2

is solved by multigrid (:mod:`geogan.prior.multigrid`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from geogan.compute.threads import side_by_side
from geogan.operators.errors import InputError
from geogan.prior import multigrid
from geogan.prior.film import Film
from geogan.prior.trust import USUAL, trust

# After so many e-folding times a correlation is 0 in float64.
FORGOTTEN = 750.0


# Tolerance of members' deviations from the mean: they need not be as exact as it.
LOOSE = 0.02
# Steps of the search for a prior: length, persistence, noise, aspect and detail (logarithms), and tilt.
FIRST = ((0.9, 0, 0, 0, 0, 0), (0, 0.9, 0, 0, 0, 0), (0, 0, 0.6, 0, 0, 0), (0, 0, 0, 0.4, 0, 0))
# Detail and tilt must lower the error by so much (its logarithm): a gain of nothing is chance.
WORTH = 0.01
# What the error on single observations (its logarithm) counts beside that in clouds, which hardly tell the noise. On
# two archives of the Alboran Sea it fell from 0.26 and 0.58 to 0.23 and 0.35, the error of single ones by 4 and 13 %,
# that in hidden clouds changed by -0.2 and +0.8 %. Counting 0.3: 9 and 22 % less, clouds 0.3 and 2.3 % more.
SINGLE = 0.1
# A rough field is longer than a smooth one with the same observations.
SECOND = (
    (0.9, 0, 0, 0, -1.2, 0),
    (0.5, 0, 0, 0, 0, 0),
    (0, 0.4, 0, 0, 0, 0),
    (0, 0, -0.5, 0, 0, 0),
    (0, 0, 0, 0.3, 0, 0),
    (0, 0, 0, 0, 0, 0.4),
)
# Known errors of observations explain all of a square but this share at most.
LEAST = 0.01
# Rounds of fitting an amplitude on which, through uncertain observations, the posterior depends.
AMPLITUDES = 3
# Values that are solved for together when the prior is fitted.
TOGETHER = 200_000


@dataclass(frozen=True)
class GaussianPrior:
    """A stationary Gaussian field, and the noise with which it is seen.

    Parameters
    ----------
    length : float
        Distance in cells at which the correlation has fallen to about 0.14 (the Matérn range); the geometric mean of
        those along x and y.
    persistence : float
        e-folding time of the temporal correlation, in days.
    noise : float
        Standard deviation of the observation error, as a fraction of the field's.
    aspect : float
        Range along x over range along y, in cells.
    detail : float
        Length under which the field is smooth, over ``length``: 1 at most. A rough field has a small one.
    tilt : float
        How much farther the field reaches along the diagonal on which x and y rise together (by index); if negative,
        along the other.
    amplitude : float
        Standard deviation of the field. The posterior's mean does not depend on it, its spread is in proportion.
    is_periodic : bool
        Whether the last column of what is solved touches the first: see :meth:`around`.

    Raises
    ------
    InputError
        Where a parameter is not positive and finite.

    Examples
    --------
    A constant seen on the left half of an image is carried on towards the right:

    >>> prior = GaussianPrior(length=20.0, persistence=5.0, noise=0.1)
    >>> mask = torch.zeros(1, 1, 1, 8, 8)
    >>> mask[..., :4] = 1
    >>> guess = prior.map(mask, mask, torch.ones(8, 8), torch.zeros(1))
    >>> bool((guess[..., 4] > guess[..., 7]).all() and (guess[..., 7] > 0.5).all())
    True
    """

    # Windows of it may be anywhere, and turned over.
    stationary: ClassVar[bool] = True

    length: float = 12.0
    persistence: float = 5.0
    noise: float = 0.1
    aspect: float = 1.0
    amplitude: float = 1.0
    detail: float = 1.0
    tilt: float = 0.0
    is_periodic: bool = False

    def __post_init__(self) -> None:
        for name in ("length", "persistence", "noise", "aspect", "amplitude", "detail"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise InputError(f"{name} of a Gaussian prior must be positive and finite, got {value}")
        if self.detail > 1 or not math.isfinite(self.tilt):
            raise InputError(
                f"detail of a Gaussian prior must be 1 at most and tilt finite, got {self.detail} and {self.tilt}"
            )

    def around(self, is_periodic: bool) -> GaussianPrior:
        """Return the same field on columns that go once round the globe, or on columns that do not.

        Examples
        --------
        What is seen in the last column says something of the first:

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
        """Most probable field given what was observed: the posterior mean.

        Parameters
        ----------
        values, mask : Tensor, shape (B, T, C, H, W)
            Unitless anomalies, 0 where not seen; 1 where observed. Bands are independent of each other.
        domain : Tensor, shape (H, W) or (B, H, W)
            1 where the field exists.
        days : Tensor, shape (T,) or (B, T)
            Dates of the frames in days, not decreasing; uneven steps are taken as they are.
        tolerance : float
            The solver stops at this ratio of residual to right-hand side.
        rounds : int
            The solver stops after this many iterations.
        start : Tensor, shape (B, T, C, H, W), optional
            Where to start from; a good start saves iterations.
        uncertainty : Tensor, shape (B, T, C, H, W), optional
            Standard deviation of the observations' errors, in units of the anomalies, where it is known: it adds to
            ``noise``, in quadrature.

        Returns
        -------
        field : Tensor, shape (B, T, C, H, W)
            0 outside the domain.
        """
        mask = self._trusted(mask, uncertainty)
        if self.tilt < 0:
            seen = (values.flip(-1), mask.flip(-1), domain.flip(-1), days)
            first = None if start is None else start.flip(-1)
            return self._mirrored().map(*seen, tolerance=tolerance, rounds=rounds, start=first).flip(-1)
        if values.shape[1] > 1 and float(days.diff().min()) > FORGOTTEN * self.persistence:
            # Nothing lasts from one frame to the next: they are solved side by side, which is far quicker.
            alone = self.map(
                values.flatten(0, 1)[:, None],
                mask.flatten(0, 1)[:, None],
                domain if domain.ndim == 2 else domain.repeat_interleave(values.shape[1], 0),
                days.new_zeros(1),
                tolerance=tolerance,
                rounds=rounds,
                start=None if start is None else start.flatten(0, 1)[:, None],
            )
            return alone.view_as(values)
        system = self._system(_fold(mask), domain, days)
        first = None if start is None else _fold(start) * system.grids[0].domain
        right = system.grids[0].weight * _fold(values)
        field = multigrid.solve(system, right, start=first, tolerance=tolerance, rounds=rounds)
        return _unfold(field, values.shape)

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
        """One exact draw from the posterior: perturb prior and data, and solve again.

        Shapes and parameters are those of :meth:`map`. The right-hand side gets noise of covariance
        ``Q + mask / sigma^2``: ``Q`` has a known root of stencils, so one solve
        per draw is enough (Papandreou and Yuille 2010).
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
        loose: float = LOOSE,
        rounds: int = 100,
        uncertainty: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The posterior mean, and exact draws of how far the truth may be from it.

        A draw of noise with the covariance of the posterior's precision, solved for like data, is a draw of the
        posterior's deviations: ``Q`` has a known root of stencils, so one solve a draw is
        enough (Papandreou and Yuille 2010), and none depends on the values.

        Parameters
        ----------
        values, mask, domain, days, tolerance, rounds, uncertainty
            Those of :meth:`map`.
        noise : Tensor, shape (2, M, B, T, C, H, W)
            Standard normal: what disturbs the prior and the data. Where two blocks overlap and share their noise,
            they share their members.
        loose : float
            Tolerance of the deviations.

        Returns
        -------
        guess : Tensor, shape (B, T, C, H, W)
        deviations : Tensor, shape (M, B, T, C, H, W)
            Of mean 0: their opposites are as probable. 0 outside the domain.
        """
        count, mask = noise.shape[1], self._trusted(mask, uncertainty)
        if self.tilt < 0:
            seen = (values.flip(-1), mask.flip(-1), domain.flip(-1), days)
            guess, deviations = self._mirrored().members(
                *seen, noise=noise.flip(-1), tolerance=tolerance, loose=loose, rounds=rounds
            )
            return guess.flip(-1), deviations.flip(-1)
        if values.shape[1] > 1 and float(days.diff().min()) > FORGOTTEN * self.persistence:
            frames, apart = values.shape[1], noise.flatten(2, 3)[:, :, :, None]
            guess, deviations = self.members(
                values.flatten(0, 1)[:, None],
                mask.flatten(0, 1)[:, None],
                domain if domain.ndim == 2 else domain.repeat_interleave(frames, 0),
                days.new_zeros(1),
                noise=apart,
                tolerance=tolerance,
                loose=loose,
                rounds=rounds,
            )
            return guess.view_as(values), deviations.view(count, *values.shape)
        system = self._system(_fold(mask), domain, days)
        finest = system.grids[0]
        guess = multigrid.solve(system, finest.weight * _fold(values), start=None, tolerance=tolerance, rounds=rounds)
        found = []
        for one in noise.unbind(1):
            draws = [_fold(part) for part in one]
            prior = multigrid.time_root(system.frames, multigrid.disturbance(system, draws[0]))
            right = finest.weight.sqrt() * draws[1] + prior
            solved = multigrid.solve(system, right, start=None, tolerance=loose, rounds=rounds)
            found.append(self.amplitude * _unfold(solved, values.shape))
        return _unfold(guess, values.shape), torch.stack(found)

    def covariance(self, domain: Tensor) -> Tensor:
        """Covariance in space, for small grids: dense, in float64.

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
            turned = torch.arange(cells).view_as(domain).flip(-1).flatten()
            return self._mirrored().covariance(domain.flip(-1))[turned][:, turned]
        domain = domain.double()
        grid = self._system(torch.zeros(1, 1, *domain.shape).double(), domain, torch.zeros(1)).grids[0]
        each = torch.eye(cells, dtype=torch.float64).view(cells, 1, *domain.shape) * domain
        root = multigrid.space_root(grid, multigrid.space_root(grid, each, grid.degree), grid.detail).view(cells, cells)
        there = domain.flatten()
        covariance = torch.linalg.inv(root + torch.diag(1 - there)) * there * there[:, None]
        return self.amplitude**2 * covariance

    def _trusted(self, mask: Tensor, uncertainty: Tensor | None) -> Tensor:
        """The mask by which ``noise`` alone says what noise and uncertainty say together."""
        return mask if uncertainty is None else trust(mask, uncertainty, self.noise * self.amplitude)

    def _mirrored(self) -> GaussianPrior:
        return replace(self, tilt=-self.tilt)

    def _system(self, mask: Tensor, domain: Tensor, days: Tensor) -> multigrid.System:
        dtype, device = mask.dtype, mask.device
        domain = domain.to(device=device, dtype=dtype)
        if domain.shape[-2:] != mask.shape[-2:]:
            raise ValueError(f"domain must end in shape {tuple(mask.shape[-2:])}, got {tuple(domain.shape)}")
        if days.shape[-1] != mask.shape[1]:
            raise ValueError(f"days must end in shape ({mask.shape[1]},), got {tuple(days.shape)}")
        # Bands were folded into the batch.
        if domain.ndim == 3:
            domain = domain.repeat_interleave(mask.shape[0] // domain.shape[0], 0)[:, None]
        if days.ndim == 2:
            days = days.repeat_interleave(mask.shape[0] // days.shape[0], 0)
        # Ornstein-Uhlenbeck in time: Q_t = R^T R with R bidiagonal, exact for uneven steps.
        steps = days.to(device=device, dtype=torch.float64, non_blocking=True).diff()
        correlation = torch.exp(-steps.clamp_min(1e-3) / self.persistence)
        innovation = (1 - correlation**2).rsqrt()
        root_diagonal = torch.cat([torch.ones_like(days[..., :1], device=device, dtype=torch.float64), innovation], -1)
        root_below = -correlation * innovation
        diagonal = root_diagonal**2
        diagonal[..., :-1] += root_below**2
        parts = (diagonal, root_below * innovation, root_diagonal, root_below)
        return multigrid.build(
            domain,
            mask * domain / self.noise**2,
            multigrid.Frames(*(part.to(dtype)[..., None, None] for part in parts)),
            kappa2=8.0 / self.length**2,
            scale=math.sqrt(_unit_variance(self.length, self.detail)),
            aspect=self.aspect,
            tilt=self.tilt,
            detail2=8.0 / (self.detail * self.length) ** 2,
            is_periodic=self.is_periodic,
        )


def _fold(x: Tensor) -> Tensor:
    """(B, T, C, H, W) -> (B * C, T, H, W)."""
    return x.transpose(1, 2).flatten(0, 1)


def _unfold(x: Tensor, shape: torch.Size) -> Tensor:
    """(B * C, T, H, W) -> (B, T, C, H, W)."""
    return x.unflatten(0, (shape[0], shape[2])).transpose(1, 2)


@lru_cache(maxsize=64)
def _unit_variance(length: float, detail: float = 1.0) -> float:
    """``s`` for which ``s (kappa^2 + L) (kappa'^2 + L)`` has marginal variance 1 on an endless grid.

    The integral over the waves along y is known: that of ``1 / (a + 2 - 2 cos)`` is ``(a (a + 4))^(-1/2)``.
    """
    kappa2, detail2 = 8.0 / length**2, 8.0 / (detail * length) ** 2
    size = max(128, 2 ** math.ceil(math.log2(6 * length)))
    wave = 2 - 2 * np.cos(2 * np.pi * np.arange(size) / size)
    first, second = kappa2 + wave, detail2 + wave
    if detail > 0.999:
        return float(((first + 2) * (first * (first + 4)) ** -1.5).mean())
    between = (first * (first + 4)) ** -0.5 - (second * (second + 4)) ** -0.5
    return float(between.mean() / (detail2 - kappa2))


def _amplitude(films: Sequence[Film]) -> float:
    """Standard deviation of the field, where the errors of its observations are known; else 1, which is theirs."""
    known = [(film, film.uncertainty) for film in films if film.uncertainty is not None]
    if not known:
        return 1.0
    weights = [trust(film.kept + film.hidden, error, USUAL) for film, error in known]
    square, noise, count = (
        sum(float(part.sum()) for part in parts)
        for parts in zip(
            *((weight * film.values**2, weight * error**2, weight) for weight, (film, error) in zip(weights, known))
        )
    )
    return math.sqrt(max(square - noise, 10 * LEAST * square) / max(count, 1e-6)) or 1.0


class Posterior(Protocol):
    """A prior, a frozen dataclass, that is solved for and drawn from."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def noise(self) -> float: ...
    @property
    def amplitude(self) -> float: ...
    @property
    def map(self) -> Callable[..., Tensor]: ...
    @property
    def members(self) -> Callable[..., tuple[Tensor, Tensor]]: ...


Some = TypeVar("Some", bound=Posterior)


def hidden_error(prior: Posterior, films: Sequence[Film], *, tolerance: float = 3e-3) -> float:
    """Root mean square error of the first guess on what is hidden, in units of the anomalies.

    Where the error of observations is known it is taken off the square, and the less it is, the more they count.
    """
    return _errors(prior, films, tolerance)[0]


def _errors(prior: Posterior, films: Sequence[Film], tolerance: float = 3e-3) -> tuple[float, float]:
    """Errors on what is hidden, and on single observations; 0 where there are none."""

    def sums_of(film: Film) -> np.ndarray:
        known = film.uncertainty
        guess = prior.map(
            film.values * film.kept, film.kept, film.cells, film.days, tolerance=tolerance, uncertainty=known
        )
        sums = np.zeros((2, 3))
        for row, where in enumerate((film.hidden, film.single)):
            if where is not None:
                weight = where if known is None else trust(where, known, USUAL)
                noise = 0.0 if known is None else float((weight * known**2).sum())
                sums[row] = float((weight * (guess - film.values) ** 2).sum()), noise, float(weight.sum())
        return sums

    sums = sum(side_by_side(sums_of, _batches(films)))
    clouds, alone = (
        math.sqrt(max(square - noise, LEAST * square) / max(count, 1e-6))
        for square, noise, count in sums  # type: ignore[union-attr]
    )
    return clouds, alone


def fit_amplitude(prior: Some, films: Sequence[Film], *, seed: int, draws: int = 3) -> Some:
    """The prior with the amplitude for which its posterior's spread is that of its errors on what is hidden.

    Parameters
    ----------
    prior : GaussianPrior
    films : sequence of Film
        With hidden observations.
    seed : int
        Of the draws.
    draws : int
        Deviations drawn for each film.
    """
    batches = list(enumerate(_batches(films)))

    def compare(numbered: tuple[int, Film]) -> tuple[float, float]:
        number, film = numbered
        values, hidden, known = film.values, film.hidden, film.uncertainty
        generator = torch.Generator().manual_seed(seed + number)
        noise = torch.randn((2, draws, *values.shape), generator=generator)
        unit = replace(prior, amplitude=1.0)
        if known is not None:
            # The weights of uncertain observations depend on the amplitude.
            hidden, unit = trust(hidden, known, USUAL), prior
        guess, deviations = unit.members(
            values * film.kept, film.kept, film.cells, film.days, noise=noise, tolerance=3e-3, uncertainty=known
        )
        variance = (deviations / unit.amplitude).square().mean(0) + prior.noise**2
        square = float((hidden * (guess - values) ** 2).sum())
        if known is not None:
            square = max(square - float((hidden * known**2).sum()), LEAST * square)
        return square, float((hidden * variance).sum())

    for _ in range(1 if films[0].uncertainty is None else AMPLITUDES):
        square, variance = (sum(part) for part in zip(*side_by_side(compare, batches)))
        prior = replace(prior, amplitude=math.sqrt(square / variance)) if square > 0 else prior
    return prior


def _batches(films: Sequence[Film]) -> list[Film]:
    """Return films of equal shape as batches: for small films a call costs more than its arithmetic."""
    groups: dict[torch.Size, list[Film]] = {}
    for film in films:
        groups.setdefault(film.values.shape, []).append(film)
    stacked = []
    for shape, group in groups.items():
        size = max(1, TOGETHER // shape.numel())
        stacked += [Film.stack(group[start : start + size]) for start in range(0, len(group), size)]
    return stacked


def fit_prior(
    films: Sequence[Film],
    *,
    evaluations: int = 50,
    start: GaussianPrior | None = None,
    temporal: bool = True,
    is_periodic: bool = False,
) -> GaussianPrior:
    """Find the parameters that predict hidden observations best.

    Parameters
    ----------
    films : sequence of Film
        Cloud-shaped parts of real observations are hidden, and a few isolated ones; every candidate is scored on the
        same films.
    evaluations : int
        Candidates to try (Nelder-Mead); of frames that stand alone as many again, with detail and tilt.
    start : GaussianPrior, optional
        Where to start.
    temporal : bool
        False for frames that are no film but samples: their persistence is no matter, and is not searched.
    is_periodic : bool
        Whether the films go once round the globe.

    Raises
    ------
    InputError
        If nothing is hidden in any film.
    """
    if not any(bool(film.hidden.any()) for film in films):
        raise InputError(
            "no observation could be hidden to fit the first guess with; give an operator with more gaps, "
            "more dates, or --no-first-guess"
        )
    temporal = temporal and any(len(film.days) > 1 for film in films)
    step = min((float(film.days.diff().median()) for film in films if temporal and len(film.days) > 1), default=1.0)
    side = max(max(film.domain.shape) for film in films)
    start = start or GaussianPrior(length=16.0, persistence=8.0 * step, noise=0.15, amplitude=_amplitude(films))
    start = start.around(is_periodic)
    # Too short a length cannot be told from noise, too long a one from a constant.
    low = np.array([*np.log([2.0, 0.1 * step, 0.01, 0.25, 0.003]), -3.0])
    high = np.array([*np.log([8.0 * side, 1000.0 * step, 3.0, 4.0, 1.0]), 3.0])

    def unpack(point: np.ndarray) -> GaussianPrior:
        point = np.clip(point, low, high)
        length, persistence, noise, aspect, detail = (float(part) for part in np.exp(point[:5]))
        return replace(
            start,
            length=length,
            persistence=persistence if temporal else start.persistence,
            noise=noise,
            aspect=aspect,
            detail=detail,
            tilt=float(point[5]),
        )

    def loss(point: np.ndarray) -> float:
        outside = np.abs(point - np.clip(point, low, high)).sum()
        clouds, alone = _errors(unpack(point), films)
        beside = SINGLE * math.log(alone + 1e-9) if alone else 0.0
        return math.log(clouds + 1e-9) + beside + float(outside)

    def search(point: np.ndarray, steps: Sequence[Sequence[float]], count: int) -> np.ndarray:
        """Nelder-Mead (1965) over what the steps span."""
        away = np.array([step for step in steps if temporal or not step[1]])
        found = minimize(
            lambda part: loss(point + part @ away),
            np.zeros(len(away)),
            method="Nelder-Mead",
            options={
                "maxfev": count,
                "initial_simplex": np.vstack([np.zeros(len(away)), np.eye(len(away))]),
            },
        )
        return point + found.x @ away

    first = [start.length, start.persistence, start.noise, start.aspect, start.detail]
    plain = search(np.array([*np.log(first), start.tilt]), FIRST, evaluations)
    if temporal:
        # A film's gaps are filled along time: on ten days of the Alboran Sea detail and tilt lowered the error of what
        # was hidden by 4 %, and that against the truth rose by 2 %.
        return unpack(plain)
    rough = search(plain, SECOND, evaluations)
    return unpack(rough if loss(rough) < loss(plain) - WORTH else plain)
