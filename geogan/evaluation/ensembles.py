"""Scores of ensembles and of means with standard deviations, computed from sums over blocks of an archive."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from geogan.evaluation.errors import cells_to_score
from geogan.evaluation.predictive_law import PredictiveLaw, expected_absolute
from geogan.operators.errors import InputError

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Probabilities of the central intervals that are scored."""


class EnsembleScore(NamedTuple):
    """Scores over the cells that were asked for and filled; errors are in the unit of the field.

    Attributes
    ----------
    rmse : float
        Root mean square error of the mean.
    bias : float
        Mean of estimate minus truth.
    mae : float
        Mean absolute error of the mean.
    crps : float
        Mean continuous ranked probability score: the fair score of members, or the score of the normal or Student's t
        distribution of a mean and a standard deviation.
    spread : float
        Root of the mean variance within the ensemble (divisor M - 1), or of the mean ``std ** 2``.
    spread_skill : float
        Spread-skill ratio: root of the expected squared error, over ``rmse``; 1 for a calibrated ensemble. The
        expected squared error is ``(M + 1) / M`` times the variance within M members, plus the variance of the
        observation error (Fortin et al. 2014, J. Hydrometeorol. 15, eq. 15).
    coverage : dict of float to float
        Share of the truths within the central interval of each of :data:`LEVELS`.
    interval : dict of float to float
        Mean interval score of each level (Winkler 1972; Gneiting and Raftery 2007, eq. 43): the width of the interval,
        plus ``2 / (1 - level)`` times the distance of the truth from it.
    ranks : tuple of float
        Rank histogram: number of cells with 0, 1, ... M members below the truth; empty without members. It is flat for
        a calibrated ensemble.
    cells : int
        Number of cells that are scored.
    share : float
        ``cells`` divided by the number of cells asked for.
    """

    rmse: float
    bias: float
    mae: float
    crps: float
    spread: float
    spread_skill: float
    coverage: dict[float, float]
    interval: dict[float, float]
    ranks: tuple[float, ...]
    cells: int
    share: float


@dataclass(frozen=True)
class EnsembleTally:
    """Running sums of an :class:`EnsembleScore`, so that an archive can be scored block by block.

    Tallies are added with ``+``. The result does not depend on split or order beyond the rounding of float64 sums,
    and no random numbers are drawn. There are two kinds of prediction:

    - :meth:`add_members`: an ensemble. The ends of its intervals are order statistics, at ``(M + 1) (1 - level) / 2``
      from either end, interpolated (2 % too wide at 50 % with 4 members, 1 % with 8). Levels that M members cannot
      resolve (``M < 2 / (1 - level) - 1``: less than 19 members for 90 %) use Student's t distribution with the mean
      and standard deviation of the members.
    - :meth:`add_normal`: a normal distribution with a given mean and standard deviation, or Student's t where the
      standard deviation was estimated from few members.

    ``observation_error`` widens either distribution, because the truth is then an observation: the scores measure the
    prediction of observations.

    Attributes
    ----------
    squares, errors, absolutes, crps : float
        Sums of the squared, signed and absolute errors of the mean, and of the CRPS.
    variance, predicted : float
        Sums of the variance within the ensemble, and of the expected squared error.
    inside, interval : tuple of float
        For each of :data:`LEVELS`, the number of truths inside, and the sum of the interval scores.
    ranks : tuple of float
        Rank histogram of the truth; empty without members.
    cells, asked : int
        Number of cells asked for and filled; number of cells asked for where the truth is known.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> tally = EnsembleTally()
    >>> for block in range(4):
    ...     centre = random.normal(size=5000)
    ...     members, truth = centre + random.normal(size=(9, 5000)), centre + random.normal(size=5000)
    ...     tally = tally.add_members(members, truth, np.array(True))
    >>> score = tally.score()
    >>> round(score.spread_skill, 1), round(score.coverage[0.9], 1), len(score.ranks)
    (1.0, 0.9, 10)
    """

    squares: float = 0.0
    errors: float = 0.0
    absolutes: float = 0.0
    crps: float = 0.0
    variance: float = 0.0
    predicted: float = 0.0
    inside: tuple[float, ...] = (0.0,) * len(LEVELS)
    interval: tuple[float, ...] = (0.0,) * len(LEVELS)
    ranks: tuple[float, ...] = ()
    cells: int = 0
    asked: int = 0

    def add_members(
        self,
        members: np.ndarray,
        truth: np.ndarray,
        where: np.ndarray,
        *,
        observation_error: float | np.ndarray = 0.0,
    ) -> EnsembleTally:
        """Return the sum of this tally and a block of ensemble members.

        Parameters
        ----------
        members : ndarray, shape (M, ...)
            Two or more exchangeable members; a cell is skipped if one of them is NaN.
        truth : ndarray, shape (...)
            Truth in the same unit; cells that are NaN are not counted.
        where : ndarray of bool
            True on the cells to score; broadcast to the shape of ``truth``.
        observation_error : float or ndarray
            Standard deviation of the error of ``truth``, in the unit of the field; broadcast like ``where``.

        Raises
        ------
        InputError
            If shapes differ, ``where`` is not boolean, there is only one member, the tally holds another number of
            members, or ``observation_error`` is negative.
        """
        members, truth = np.asarray(members), np.asarray(truth)
        if members.ndim != truth.ndim + 1 or members.shape[1:] != truth.shape:
            raise InputError(
                f"members must have shape (M, {', '.join(map(str, truth.shape))}), the shape of truth after the number "
                f"of members, got {members.shape}; stack the members along the first axis"
            )
        count = len(members)
        if count < 2:
            raise InputError(f"an ensemble needs two or more members, got {count}; use Tally for a single field")
        filled, asked = cells_to_score(np.isfinite(members).all(0), truth, where)
        noise = _checked_noise(observation_error, truth.shape)[filled]
        error = np.sort(members[:, filled].astype(np.float64) - truth[filled].astype(np.float64), 0)
        mean, variance = error.mean(0), error.var(0, ddof=1)
        estimated = (1 + 1 / count) * variance
        return self + _tally(
            mean,
            crps=fair_crps(error, noise),
            variance=variance,
            predicted=estimated + noise**2,
            intervals=_member_intervals(error, noise, PredictiveLaw.from_variances(mean, estimated, noise, count - 1)),
            ranks=_rank_histogram(error, noise),
            asked=asked,
        )

    def add_normal(
        self,
        mean: np.ndarray,
        std: np.ndarray,
        truth: np.ndarray,
        where: np.ndarray,
        *,
        observation_error: float | np.ndarray = 0.0,
        members: int | None = None,
    ) -> EnsembleTally:
        """Return the sum of this tally and a block of means and standard deviations.

        Parameters
        ----------
        mean, std : ndarray
            Prediction; NaN where there is none.
        truth : ndarray, same shape
            Truth in the same unit; cells that are NaN are not counted.
        where : ndarray of bool
            True on the cells to score; broadcast to the shape of ``truth``.
        observation_error : float or ndarray
            Standard deviation of the error of ``truth``, in the unit of the field; broadcast like ``where``.
        members : int, optional
            Number of members from which ``mean`` and ``std`` (divisor M - 1) were estimated. The distribution is then
            Student's t with M - 1 degrees of freedom and the scale ``sqrt(1 + 1 / M) * std``: the predictive
            distribution of one more normal draw. By default ``std`` is the standard deviation of the error, as a
            calibrated one is: calibration against real errors accounts for the small number of members.

        Raises
        ------
        InputError
            If shapes differ, ``where`` is not boolean, a standard deviation is negative, or there are fewer than
            three members: their distribution has no finite CRPS.
        """
        mean, std, truth = np.asarray(mean), np.asarray(std), np.asarray(truth)
        if not mean.shape == std.shape == truth.shape:
            raise InputError(
                f"mean, std and truth must have one shape, got {mean.shape}, {std.shape} and {truth.shape}; "
                "select the same dates and cells of each"
            )
        if members is not None and members < 3:
            raise InputError(f"a standard deviation must come from three or more members, got {members}; give more")
        filled, asked = cells_to_score(np.isfinite(mean) & np.isfinite(std), truth, where)
        noise = _checked_noise(observation_error, truth.shape)[filled]
        error = mean[filled].astype(np.float64) - truth[filled].astype(np.float64)
        deviation = std[filled].astype(np.float64)
        if (deviation < 0).any():
            raise InputError(f"std must not be negative, got {deviation.min():g}; give standard deviations")
        estimated = deviation**2 * (1 if members is None else 1 + 1 / members)
        law = PredictiveLaw.from_variances(error, estimated, noise, None if members is None else members - 1)
        return self + _tally(
            error,
            crps=law.crps(),
            variance=deviation**2,
            predicted=law.scale**2,
            intervals=[law.interval(level) for level in LEVELS],
            ranks=(),
            asked=asked,
        )

    def __add__(self, other: EnsembleTally) -> EnsembleTally:
        """Return the sum of two tallies."""
        if not isinstance(other, EnsembleTally):
            return NotImplemented
        if self.ranks and other.ranks and len(self.ranks) != len(other.ranks):
            raise InputError(
                f"rank histograms of {len(self.ranks) - 1} and of {len(other.ranks) - 1} members cannot be added; "
                "score these ensembles separately"
            )
        sums: dict[str, Any] = {}
        for field in fields(self):
            left, right = getattr(self, field.name), getattr(other, field.name)
            if isinstance(left, tuple):
                # One of the rank histograms may be empty.
                sums[field.name] = tuple(map(sum, zip(left, right))) if left and right else left or right
            else:
                sums[field.name] = left + right
        return EnsembleTally(**sums)

    def score(self) -> EnsembleScore:
        """Return the scores; NaN, with 0 cells, if no cell could be scored."""
        count = self.cells or float("nan")
        return EnsembleScore(
            rmse=(self.squares / count) ** 0.5,
            bias=self.errors / count,
            mae=self.absolutes / count,
            crps=self.crps / count,
            spread=(self.variance / count) ** 0.5,
            spread_skill=(self.predicted / self.squares) ** 0.5 if self.squares else float("nan"),
            coverage={level: inside / count for level, inside in zip(LEVELS, self.inside)},
            interval={level: total / count for level, total in zip(LEVELS, self.interval)},
            ranks=self.ranks,
            cells=self.cells,
            share=self.cells / self.asked if self.asked else float("nan"),
        )


def fair_crps(error: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return the fair CRPS of each cell: unbiased for any number of members.

    ``mean |x_i - y| - sum_(i<j) |x_i - x_j| / (M (M - 1))`` (Ferro 2014, Q. J. R. Meteorol. Soc. 140, eq. 8); without
    noise the double sum is one over the sorted members. With noise, each absolute value is replaced by its expectation
    over observation errors added to the members.

    Parameters
    ----------
    error : ndarray, shape (M, ...)
        Two or more members minus the truth, sorted along the first axis.
    noise : ndarray, shape (...)
        Standard deviation of the observation error; 0 for none.

    Returns
    -------
    crps : ndarray, shape (...), float64

    Examples
    --------
    >>> fair_crps(np.array([[0.0], [1.0]]), np.zeros(1)).item()
    0.0
    """
    count = len(error)
    if noise.any():
        pairs = sum(expected_absolute(error[lag:] - error[:-lag], 2**0.5 * noise).sum(0) for lag in range(1, count))
        return expected_absolute(error, noise).mean(0) - pairs / (count * (count - 1))
    weights = np.arange(1 - count, count, 2, dtype=np.float64)
    return np.abs(error).mean(0) - np.tensordot(weights, error, 1) / (count * (count - 1))


def _member_intervals(
    error: np.ndarray, noise: np.ndarray, law: PredictiveLaw
) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Yield both ends of the interval of each level, minus the truth, from sorted members minus the truth."""
    count, mean = len(error), law.error
    for level in LEVELS:
        place = (count + 1) * (1 - level) / 2 - 1
        if place < -1e-9:
            yield law.interval(level)
            continue
        low, high = _order_statistic(error, max(0.0, place)), _order_statistic(error, count - 1 - max(0.0, place))
        if noise.any():
            # Half-widths add in squares: exact if both distributions are normal.
            reach = ndtri((1 + level) / 2) * noise
            low, high = (
                end + side * (np.hypot(end - mean, reach) - np.abs(end - mean)) for end, side in ((low, -1), (high, 1))
            )
        yield low, high


def _order_statistic(ordered: np.ndarray, place: float) -> np.ndarray:
    """Return the order statistic at a fractional place, counted from 0, by linear interpolation."""
    below = min(int(place), len(ordered) - 2)
    return ordered[below] + (place - below) * (ordered[below + 1] - ordered[below])


def _rank_histogram(error: np.ndarray, noise: np.ndarray) -> tuple[float, ...]:
    """Return the number of cells that have 0, 1, ... M members below the truth.

    A tie counts in equal parts for each rank to which it could be broken. With an observation error a cell counts for
    each rank with its probability. This is the expectation of random tie-breaking, so no random numbers are drawn.
    """
    count, cells = error.shape
    if noise.any():
        with np.errstate(over="ignore"):
            below = ndtr(-error / np.maximum(noise, np.finfo(np.float64).tiny))
        probability = np.zeros((count + 1, cells))
        probability[0] = 1.0
        for share in below:  # one more member, below the truth with this probability
            probability[1:] = probability[1:] * (1 - share) + probability[:-1] * share
            probability[0] *= 1 - share
        return tuple(probability.sum(1).tolist())
    first, ties = (error < 0).sum(0), (error == 0).sum(0)
    histogram = np.bincount(first[ties == 0], minlength=count + 1).astype(np.float64)
    for low, tied in zip(first[ties > 0], ties[ties > 0]):
        histogram[low : low + tied + 1] += 1 / (tied + 1)
    return tuple(histogram.tolist())


def _checked_noise(observation_error: float | np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    noise = np.asarray(observation_error, np.float64)
    if (noise < 0).any():
        raise InputError(f"observation_error must not be negative, got {noise.min():g}; give a standard deviation")
    try:
        return np.broadcast_to(noise, shape)
    except ValueError as problem:
        raise InputError(
            f"observation_error must broadcast to the shape of truth, {shape}, got {noise.shape}; give one value a cell"
        ) from problem


def _tally(
    error: np.ndarray,
    *,
    crps: np.ndarray,
    variance: np.ndarray,
    predicted: np.ndarray,
    intervals: Iterable[tuple[np.ndarray, np.ndarray]],
    ranks: tuple[float, ...],
    asked: int,
) -> EnsembleTally:
    """Return the sums over the cells of a block; the intervals are relative to the truth."""
    inside, interval = [], []
    for level, (low, high) in zip(LEVELS, intervals):
        outside = np.maximum(low, 0) + np.maximum(-high, 0)  # distance of the truth, at 0, from the interval
        inside.append(float((outside == 0).sum()))
        interval.append(float(np.sum(high - low + 2 / (1 - level) * outside)))
    return EnsembleTally(
        squares=float(np.sum(error**2)),
        errors=float(np.sum(error)),
        absolutes=float(np.sum(np.abs(error))),
        crps=float(np.sum(crps)),
        variance=float(np.sum(variance)),
        predicted=float(np.sum(predicted)),
        inside=tuple(inside),
        interval=tuple(interval),
        ranks=ranks,
        cells=int(error.size),
        asked=asked,
    )
