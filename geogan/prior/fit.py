"""Choose the parameters of a prior: those whose first guess predicts hidden observations best.

A way of choosing consists of a score (here :func:`hidden_error`), a set of parameters with their bounds
(:class:`_MarkovSpace`, :class:`_ArchiveSpace`), and a search over them (:func:`_nelder_mead`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import torch
from scipy.optimize import OptimizeResult, minimize
from torch import Tensor

from geogan.compute.threads import side_by_side
from geogan.operators.errors import InputError
from geogan.prior.archive_covariance import ArchivePrior, Prior
from geogan.prior.film import Film
from geogan.prior.gaussian import GaussianPrior
from geogan.prior.trust import trust

# Share of a squared error that known observation errors may explain at most is one minus this.
LEAST_SHARE = 0.01


class Solvable(Protocol):
    """A prior whose posterior mean and members can be computed: a frozen dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def noise(self) -> float: ...
    @property
    def amplitude(self) -> float: ...
    @property
    def map(self) -> Callable[..., Tensor]: ...
    @property
    def members(self) -> Callable[..., tuple[Tensor, Tensor]]: ...


AnyPrior = TypeVar("AnyPrior", bound=Solvable)


def hidden_error(prior: Solvable, films: Sequence[Film], *, tolerance: float = 3e-3) -> float:
    """Return the root mean square error of the first guess on hidden observations, in units of the anomalies.

    Where the errors of observations are known, their square is subtracted, and precise observations count more.

    Parameters
    ----------
    prior : GaussianPrior or ArchivePrior
    films : sequence of Film
    tolerance : float
        Tolerance of the solver.
    """
    return _errors(prior, films, tolerance)[0]


def _errors(prior: Solvable, films: Sequence[Film], tolerance: float = 3e-3) -> tuple[float, float]:
    """Return the errors on hidden clouds and on hidden single observations; 0 where there are none."""

    def sums_of(batch: Film) -> np.ndarray:
        error = batch.uncertainty
        guess = prior.map(
            batch.values * batch.kept, batch.kept, batch.cells, batch.days, tolerance=tolerance, uncertainty=error
        )
        sums = np.zeros((2, 3))
        for row, where in enumerate((batch.hidden, batch.single)):
            if where is not None:
                weight = where if error is None else trust(where, error)
                noise = 0.0 if error is None else float((weight * error**2).sum())
                sums[row] = float((weight * (guess - batch.values) ** 2).sum()), noise, float(weight.sum())
        return sums

    sums = sum(side_by_side(sums_of, _batches(films)))
    clouds, single = (
        math.sqrt(max(square - noise, LEAST_SHARE * square) / max(count, 1e-6))
        for square, noise, count in sums  # type: ignore[union-attr]
    )
    return clouds, single


def _batches(films: Sequence[Film]) -> list[Film]:
    """Stack films of one shape: for small films a call of the solver costs more than its arithmetic."""
    most = 200_000  # values of a batch
    groups: dict[torch.Size, list[Film]] = {}
    for film in films:
        groups.setdefault(film.values.shape, []).append(film)
    batches = []
    for shape, group in groups.items():
        size = max(1, most // shape.numel())
        batches += [Film.stack(group[start : start + size]) for start in range(0, len(group), size)]
    return batches


def fit_amplitude(prior: AnyPrior, films: Sequence[Film], *, seed: int, draws: int = 3) -> AnyPrior:
    """Return the prior with the amplitude for which the posterior spread equals the error on hidden observations.

    Parameters
    ----------
    prior : GaussianPrior or ArchivePrior
    films : sequence of Film
    seed : int
        Seed of the draws.
    draws : int
        Number of deviations drawn for each film.
    """
    batches = list(enumerate(_batches(films)))

    def squares(numbered: tuple[int, Film]) -> tuple[float, float]:
        """Return the squared error and the squared spread on the hidden observations of a batch."""
        number, batch = numbered
        error, hidden, unit = batch.uncertainty, batch.hidden, replace(prior, amplitude=1.0)
        noise = torch.randn((2, draws, *batch.values.shape), generator=torch.Generator().manual_seed(seed + number))
        if error is not None:
            # The weights of uncertain observations depend on the amplitude.
            hidden, unit = trust(hidden, error), prior
        guess, deviations = unit.members(
            batch.values * batch.kept,
            batch.kept,
            batch.cells,
            batch.days,
            noise=noise,
            tolerance=3e-3,
            uncertainty=error,
        )
        variance = (deviations / unit.amplitude).square().mean(0) + prior.noise**2
        square = float((hidden * (guess - batch.values) ** 2).sum())
        if error is not None:
            square = max(square - float((hidden * error**2).sum()), LEAST_SHARE * square)
        return square, float((hidden * variance).sum())

    # With uncertain observations the posterior depends on the amplitude, so it is found by three fixed-point rounds.
    for _ in range(1 if films[0].uncertainty is None else 3):
        square, variance = (sum(part) for part in zip(*side_by_side(squares, batches)))
        prior = replace(prior, amplitude=math.sqrt(square / variance)) if square > 0 else prior
    return prior


def _nelder_mead(
    loss: Callable[[np.ndarray], float],
    simplex: np.ndarray,
    evaluations: int,
    *,
    callback: Callable[..., None] | None = None,
) -> OptimizeResult:
    """Minimise by Nelder and Mead (1965), from the corners of a simplex (n + 1, n)."""
    return minimize(
        loss,
        simplex[0],
        method="Nelder-Mead",
        callback=callback,
        options={"maxfev": evaluations, "initial_simplex": simplex},
    )


@dataclass(frozen=True)
class _MarkovSpace:
    """Coordinates of the search for a Gaussian prior.

    They are the logarithms of length, persistence, noise, aspect and detail, and the tilt.
    """

    start: GaussianPrior
    low: np.ndarray
    high: np.ndarray
    has_time: bool

    @classmethod
    def of(cls, films: Sequence[Film], start: GaussianPrior | None, *, has_time: bool) -> _MarkovSpace:
        """Return the space for some films, around a prior or around a common one."""
        steps = (float(film.days.diff().median()) for film in films if has_time and len(film.days) > 1)
        step = min(steps, default=1.0)
        side = max(max(film.domain.shape) for film in films)
        if start is None:
            start = GaussianPrior(length=16.0, persistence=8.0 * step, noise=0.15, amplitude=_amplitude(films))
        # A shorter length cannot be told from noise, a longer one not from a constant.
        low = np.array([*np.log([2.0, 0.1 * step, 0.01, 0.25, 0.003]), -3.0])
        high = np.array([*np.log([8.0 * side, 1000.0 * step, 3.0, 4.0, 1.0]), 3.0])
        return cls(start, low, high, has_time)

    def origin(self) -> np.ndarray:
        """Return the point of the starting prior."""
        start = self.start
        return np.array(
            [*np.log([start.length, start.persistence, start.noise, start.aspect, start.detail]), start.tilt]
        )

    def prior(self, point: np.ndarray) -> GaussianPrior:
        """Return the prior at a point, which is moved into the bounds."""
        point = np.clip(point, self.low, self.high)
        length, persistence, noise, aspect, detail = (float(part) for part in np.exp(point[:5]))
        return replace(
            self.start,
            length=length,
            persistence=persistence if self.has_time else self.start.persistence,
            noise=noise,
            aspect=aspect,
            detail=detail,
            tilt=float(point[5]),
        )

    def distance_outside(self, point: np.ndarray) -> float:
        """Return how far a point is outside the bounds, in sum."""
        return float(np.abs(point - np.clip(point, self.low, self.high)).sum())


def _amplitude(films: Sequence[Film]) -> float:
    """Return the standard deviation of the field if observation errors are known, else 1, the scale of anomalies."""
    known = [(film, film.uncertainty) for film in films if film.uncertainty is not None]
    if not known:
        return 1.0
    weights = [trust(film.kept + film.hidden, error) for film, error in known]
    square, noise, count = (
        sum(float(part.sum()) for part in parts)
        for parts in zip(
            *((weight * film.values**2, weight * error**2, weight) for weight, (film, error) in zip(weights, known))
        )
    )
    return math.sqrt(max(square - noise, 10 * LEAST_SHARE * square) / max(count, 1e-6)) or 1.0


# First steps of the search for length, persistence, noise and aspect, in the coordinates of _MarkovSpace.
SMOOTH_STEPS = ((0.9, 0, 0, 0, 0, 0), (0, 0.9, 0, 0, 0, 0), (0, 0, 0.6, 0, 0, 0), (0, 0, 0, 0.4, 0, 0))
# Steps of the second search, with detail and tilt: a rough field has a greater length than a smooth one for the same
# observations, so the first step changes both.
ROUGH_STEPS = (
    (0.9, 0, 0, 0, -1.2, 0),
    (0.5, 0, 0, 0, 0, 0),
    (0, 0.4, 0, 0, 0, 0),
    (0, 0, -0.5, 0, 0, 0),
    (0, 0, 0, 0.3, 0, 0),
    (0, 0, 0, 0, 0, 0.4),
)
# Reduction of the logarithm of the error that justifies detail and tilt; a smaller one may be chance.
ROUGH_GAIN = 0.01
# Weight of the error on single observations (its logarithm) beside that on clouds, which hardly depends on the noise.
# Chosen on two archives of the Alboran Sea, see docs/experiments.md.
SINGLE_WEIGHT = 0.1


def fit_prior(
    films: Sequence[Film],
    *,
    evaluations: int = 50,
    start: GaussianPrior | None = None,
    temporal: bool = True,
    is_periodic: bool = False,
) -> GaussianPrior:
    """Return the Gaussian prior that predicts hidden observations best.

    Parameters
    ----------
    films : sequence of Film
        Real observations with cloud-shaped parts and a few single ones hidden. All candidates are scored on the same
        films.
    evaluations : int
        Number of candidates (Nelder-Mead). For independent frames, as many again for detail and tilt.
    start : GaussianPrior, optional
        Where the search starts.
    temporal : bool
        False for frames that are independent samples: their persistence has no effect and is not searched.
    is_periodic : bool
        Whether the films go once round the globe.

    Raises
    ------
    InputError
        If no observation is hidden in any film.
    """
    if not any(bool(film.hidden.any()) for film in films):
        raise InputError(
            "no observation could be hidden to fit the first guess with; give an operator with more gaps, "
            "more dates, or --no-first-guess"
        )
    has_time = temporal and any(len(film.days) > 1 for film in films)
    space = _MarkovSpace.of(films, start, has_time=has_time)
    space = replace(space, start=space.start.around(is_periodic))

    def loss(point: np.ndarray) -> float:
        clouds, single = _errors(space.prior(point), films)
        penalty = SINGLE_WEIGHT * math.log(single + 1e-9) if single else 0.0
        return math.log(clouds + 1e-9) + penalty + space.distance_outside(point)

    def search(point: np.ndarray, steps: Sequence[Sequence[float]]) -> np.ndarray:
        """Search the directions that the steps span; without time, those along persistence are left out."""
        directions = np.array([step for step in steps if has_time or not step[1]])
        simplex = np.vstack([np.zeros(len(directions)), np.eye(len(directions))])
        return point + _nelder_mead(lambda part: loss(point + part @ directions), simplex, evaluations).x @ directions

    smooth = search(space.origin(), SMOOTH_STEPS)
    if has_time:
        # Gaps of a film are filled along time, where detail and tilt gain nothing (docs/experiments.md).
        return space.prior(smooth)
    rough = search(smooth, ROUGH_STEPS)
    return space.prior(rough if loss(rough) < loss(smooth) - ROUGH_GAIN else smooth)


@dataclass(frozen=True)
class _ArchiveSpace:
    """Coordinates of the search for an archive's prior.

    They are share and steady (logarithms of odds), the noise, and the persistence over the Markov field's (logarithms).
    """

    markov: GaussianPrior
    towards: ArchivePrior  # with the covariance of a Markov field
    archive: ArchivePrior  # with the covariance of the archive

    def prior(self, point: np.ndarray) -> ArchivePrior:
        """Return the prior at a point."""
        share, steady = (1 / (1 + math.exp(-min(max(odds, -6.0), 6.0))) for odds in point[:2])
        return ArchivePrior(
            share * self.archive.covariance + (1 - share) * self.towards.covariance,
            persistence=self.markov.persistence * math.exp(min(max(point[3], -3.0), 3.0)),
            steady=steady,
            noise=min(max(math.exp(point[2]), 0.01), 3.0),
            length=self.markov.length,
            aspect=self.markov.aspect,
            amplitude=self.markov.amplitude,
        )


# Start and first steps of the search for an archive's prior, in the coordinates of _ArchiveSpace.
ARCHIVE_START, ARCHIVE_STEPS = (math.log(0.6 / 0.4), 0.0, math.log(0.14), 0.0), (0.8, 1.0, 0.5, 0.7)
# Reduction of the logarithm of the error that justifies the archive's covariance, which takes longer to solve and whose
# windows cannot be mirrored.
ARCHIVE_GAIN = 0.03
# The search stops if the best of the first candidates is worse than the Markov field by this (docs/experiments.md).
HOPELESS = 0.1
# Multiplications of one solver iteration for a candidate: on larger grids fewer films are scored, but at least three.
PRODUCTS, FEWEST_FILMS = 250_000_000, 3


def fit_archive_prior(
    markov: GaussianPrior,
    films: Sequence[Film],
    values: Tensor,
    mask: Tensor,
    searched: Tensor,
    domain: Tensor,
    *,
    evaluations: int = 40,
) -> Prior:
    """Return a prior with the archive's own covariance if it predicts hidden observations better than a Markov field.

    Parameters
    ----------
    markov : GaussianPrior
        The fitted Markov field, which is returned if the archive's covariance is not better.
    films : sequence of Film
        Pieces of the whole grid.
    values, mask : Tensor, shape (T, C, H, W)
        Anomalies of all dates; 1 where observed.
    searched : Tensor, shape (T, C, H, W)
        The mask without the observations that the films hide, so that no covariance is scored on its own data.
    domain : Tensor, shape (H, W)
        1 where the field exists.
    evaluations : int
        Number of candidates (Nelder-Mead).
    """
    # The covariance is shrunk towards that of a rough field, since fields have many scales.
    rough = GaussianPrior(length=60.0, detail=0.05, aspect=markov.aspect, is_periodic=markov.is_periodic)
    products = films[0].values.numel() * domain.numel()
    films = films[: max(FEWEST_FILMS, PRODUCTS // products)]
    towards, archive = (ArchivePrior.fit(values, searched, domain, rough, share=share) for share in (0.0, 1.0))
    space = _ArchiveSpace(markov, towards, archive)
    markov_loss = math.log(hidden_error(markov, films) + 1e-9)

    def loss(point: np.ndarray) -> float:
        return math.log(hidden_error(space.prior(point), films) + 1e-9)

    def give_up(intermediate_result: OptimizeResult) -> None:
        if intermediate_result.fun > markov_loss + HOPELESS:
            raise StopIteration

    start = np.array(ARCHIVE_START)
    simplex = np.vstack([np.zeros(len(start)), np.diag(ARCHIVE_STEPS)]) + start
    best = _nelder_mead(loss, simplex, evaluations, callback=give_up)
    if best.fun > markov_loss - ARCHIVE_GAIN:
        return markov
    return replace(space, archive=ArchivePrior.fit(values, mask, domain, rough, share=1.0)).prior(best.x)
