"""How good an ensemble is, or a mean with its standard deviation: error, sharpness and honesty, in sums that add."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln, ndtr, ndtri, stdtr, stdtrit

from geogan.operators.errors import InputError

# Central intervals that are looked at; tables show 0.5, 0.9 and 0.95.
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
# Of Student's t; with more degrees of freedom it is the normal law to five digits.
_MOST_FREEDOM = 1e5


class EnsembleScore(NamedTuple):
    """Scores over the cells that were both asked for and filled; errors are in the unit of the field.

    Attributes
    ----------
    rmse : float
        Root of the mean square error of the mean: the skill that the spread is compared with.
    bias : float
        Mean of mean minus truth.
    mae : float
        Mean absolute error of the mean.
    crps : float
        Mean continuous ranked probability score: of members the fair one, of a mean and a standard deviation that
        of their law. Of a single certain value it would be the absolute error.
    spread : float
        Root of the mean variance within the ensemble (divisor M - 1), or of the mean ``std ** 2``.
    spread_skill : float
        Root of the mean variance that the squared error should have, over ``rmse``: 1 where the ensemble is honest.
        That variance is ``(M + 1) / M`` times the one within M members, plus that of the observation error
        (Fortin et al. 2014, J. Hydrometeorol. 15, eq. 15).
    coverage : dict of float to float
        Share of the truths within the central interval of each of :data:`LEVELS`.
    interval : dict of float to float
        Mean interval score of each level (Winkler 1972; Gneiting and Raftery 2007, eq. 43): the width, plus
        ``2 / (1 - level)`` times what the truth lies outside.
    ranks : tuple of float
        How often the truth had 0, 1, ... M members below it; empty without members. Flat where they are honest.
    cells : int
        Number of cells the scores are taken over.
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
    """Sums from which an :class:`EnsembleScore` follows; archives are scored block by block with it.

    Tallies are added with ``+``, in any split and order: they hold sums alone, in float64, and nothing is drawn at
    random. What is scored is one of two predictive laws:

    - :meth:`add_members`: the members themselves. Their intervals lie between order statistics, those at
      ``(M + 1) (1 - level) / 2`` from either end (interpolated: with 4 members 2 % too wide at 50 %, with 8 1 %),
      where M members reach so far (``M >= 2 / (1 - level) - 1``: 19 for 90 %); where they do not, the law below takes
      over with the members' own mean and standard deviation.
    - :meth:`add_normal`: normal with the given mean and standard deviation, or Student's t where the standard
      deviation was estimated from few members.

    Where the truth is an observation, its error belongs to what is predicted: ``observation_error`` widens either
    law, and the scores say how well *observations* are foretold.

    Attributes
    ----------
    squares, errors, absolutes, crps : float
        Sums of the squared, signed and absolute errors of the mean, and of the CRPS.
    variance, predicted : float
        Sums of the variance within the ensemble, and of the one that the squared error should have.
    inside, interval : tuple of float
        For each of :data:`LEVELS`, the truths inside, and the sum of the interval scores.
    ranks : tuple of float
        Rank histogram of the truth; empty without members.
    cells, asked : int
        Cells asked for and filled; cells asked for, where the truth is known.

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
        """Return this tally with one more block of members in it.

        Parameters
        ----------
        members : ndarray, shape (M, ...)
            Two or more draws that are alike; cells are left out where one of them is NaN.
        truth : ndarray, shape (...)
            In the same unit; cells that are NaN here are not counted.
        where : ndarray of bool
            True on the cells to score; broadcast to the shape of ``truth``.
        observation_error : float or ndarray
            Standard deviation of the truth's own error, in the unit of the field; broadcast like ``where``.

        Returns
        -------
        tally : EnsembleTally
            A new one; this one is unchanged.

        Raises
        ------
        InputError
            Where the shapes differ, ``where`` is not boolean, there is one member alone, blocks of other numbers of
            members were added before, or ``observation_error`` is negative.
        """
        members, truth = np.asarray(members), np.asarray(truth)
        if members.ndim != truth.ndim + 1 or members.shape[1:] != truth.shape:
            raise InputError(
                f"members must have the shape of truth behind their number, (M, {', '.join(map(str, truth.shape))}), "
                f"got {members.shape}; stack them in front"
            )
        count = len(members)
        if count < 2:
            raise InputError(f"members must be two or more to have a spread, got {count}; use Tally for a single field")
        filled, asked = _cells(np.isfinite(members).all(0), truth, where)
        noise = _noise(observation_error, truth.shape)[filled]
        error = np.sort(members[:, filled].astype(np.float64) - truth[filled].astype(np.float64), 0)
        mean, variance = error.mean(0), error.var(0, ddof=1)
        estimated = (1 + 1 / count) * variance
        law = _Law.of(mean, estimated, noise, count - 1)
        intervals = []
        for level in LEVELS:
            place = (count + 1) * (1 - level) / 2 - 1
            if place < -1e-9:
                intervals.append(law.interval(level))
                continue
            low, high = _order(error, max(0.0, place)), _order(error, count - 1 - max(0.0, place))
            if noise.any():
                # Half-widths add in squares: exact where both laws are normal.
                reach = ndtri((1 + level) / 2) * noise
                low, high = (
                    end + side * (np.hypot(end - mean, reach) - np.abs(end - mean))
                    for end, side in ((low, -1), (high, 1))
                )
            intervals.append((low, high))
        return self + _tally(
            mean,
            crps=_fair(error, noise),
            variance=variance,
            predicted=estimated + noise**2,
            intervals=intervals,
            ranks=_ranks(error, noise),
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
        """Return this tally with one more block of means and standard deviations in it.

        Parameters
        ----------
        mean, std : ndarray
            What is predicted, NaN where nothing is.
        truth : ndarray, same shape
            In the same unit; cells that are NaN here are not counted.
        where : ndarray of bool
            True on the cells to score; broadcast to the shape of ``truth``.
        observation_error : float or ndarray
            Standard deviation of the truth's own error, in the unit of the field; broadcast like ``where``.
        members : int, optional
            Of how many members ``mean`` and ``std`` (divisor M - 1) were taken. The law is then Student's t with
            M - 1 degrees of freedom and the scale ``sqrt(1 + 1 / M) * std``: the predictive law of one more normal
            draw. (With an observation error, the degrees of freedom of Welch and Satterthwaite.) By default
            ``std`` is that of the error as it stands, as a calibrated one is: calibration against real errors has
            the small number of members in its factor already.

        Returns
        -------
        tally : EnsembleTally
            A new one; this one is unchanged.

        Raises
        ------
        InputError
            Where the shapes differ, ``where`` is not boolean, a standard deviation is negative, or there are fewer
            than three members (whose law has no finite CRPS).
        """
        mean, std, truth = np.asarray(mean), np.asarray(std), np.asarray(truth)
        if not mean.shape == std.shape == truth.shape:
            raise InputError(
                f"mean, std and truth must have one shape, got {mean.shape}, {std.shape} and {truth.shape}; "
                "select the same dates and cells of all"
            )
        if members is not None and members < 3:
            raise InputError(f"members must be three or more for a standard deviation to be used, got {members}")
        filled, asked = _cells(np.isfinite(mean) & np.isfinite(std), truth, where)
        noise = _noise(observation_error, truth.shape)[filled]
        error = mean[filled].astype(np.float64) - truth[filled].astype(np.float64)
        deviation = std[filled].astype(np.float64)
        if (deviation < 0).any():
            raise InputError(f"std must not be negative, got {deviation.min():g}; give standard deviations")
        estimated = deviation**2 * (1 if members is None else 1 + 1 / members)
        law = _Law.of(error, estimated, noise, None if members is None else members - 1)
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
        """Return the tally of both."""
        if not isinstance(other, EnsembleTally):
            return NotImplemented
        if self.ranks and other.ranks and len(self.ranks) != len(other.ranks):
            raise InputError(
                f"ensembles of {len(self.ranks) - 1} and of {len(other.ranks) - 1} members have no rank histogram in "
                "common; score them apart"
            )
        return EnsembleTally(
            self.squares + other.squares,
            self.errors + other.errors,
            self.absolutes + other.absolutes,
            self.crps + other.crps,
            self.variance + other.variance,
            self.predicted + other.predicted,
            _sum(self.inside, other.inside),
            _sum(self.interval, other.interval),
            _sum(self.ranks, other.ranks) if self.ranks and other.ranks else self.ranks or other.ranks,
            self.cells + other.cells,
            self.asked + other.asked,
        )

    def score(self) -> EnsembleScore:
        """Return the scores so far; NaN, with 0 cells, where nothing could be scored."""
        count = self.cells or float("nan")
        return EnsembleScore(
            rmse=(self.squares / count) ** 0.5,
            bias=self.errors / count,
            mae=self.absolutes / count,
            crps=self.crps / count,
            spread=(self.variance / count) ** 0.5,
            spread_skill=(self.predicted / self.squares) ** 0.5 if self.squares else float("nan"),
            coverage={level: part / count for level, part in zip(LEVELS, self.inside)},
            interval={level: part / count for level, part in zip(LEVELS, self.interval)},
            ranks=self.ranks,
            cells=self.cells,
            share=self.cells / self.asked if self.asked else float("nan"),
        )


def fair_crps(members: np.ndarray, truth: np.ndarray, *, observation_error: float | np.ndarray = 0.0) -> np.ndarray:
    """CRPS of each cell, of the law that the members are draws from: unbiased, however few they are.

    ``mean |x_i - y| - sum_(i<j) |x_i - x_j| / (M (M - 1))`` (Ferro 2014, Q. J. R. Meteorol. Soc. 140, eq. 8); the
    double sum is one over the sorted members. With an observation error each absolute value is its expectation over
    errors added to the members.

    Parameters
    ----------
    members : ndarray, shape (M, ...)
        Two or more.
    truth : ndarray, shape (...)
    observation_error : float or ndarray
        Standard deviation; broadcast to ``truth``.

    Returns
    -------
    crps : ndarray, shape (...), float64

    Examples
    --------
    >>> fair_crps(np.array([[0.0], [1.0]]), np.array([0.0])).item()
    0.0
    """
    error = np.sort(np.asarray(members, np.float64) - np.asarray(truth, np.float64), 0)
    return _fair(error, _noise(observation_error, error.shape[1:]))


def normal_crps(mean: np.ndarray, std: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """CRPS of each cell, of the normal law with a mean and a standard deviation.

    ``std * (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi))`` (Gneiting et al. 2005, Mon. Weather Rev. 133, eq. 5); the
    absolute error where ``std`` is 0.

    Examples
    --------
    >>> normal_crps(np.zeros(2), np.array([1.0, 0.0]), np.array([0.0, 2.0])).round(4).tolist()
    [0.2337, 2.0]
    """
    error, std = np.broadcast_arrays(np.asarray(mean, np.float64) - np.asarray(truth, np.float64), std)
    return _Law(error, np.asarray(std, np.float64), None).crps()


class _Law(NamedTuple):
    """Normal (``freedom`` None) or Student's t, around ``error`` = centre minus truth."""

    error: np.ndarray
    scale: np.ndarray
    freedom: np.ndarray | None

    @classmethod
    def of(cls, error: np.ndarray, estimated: np.ndarray, noise: np.ndarray, freedom: int | None) -> _Law:
        """The law of an estimated variance beside a known one, ``noise ** 2`` (Welch and Satterthwaite)."""
        total = estimated + noise**2
        if freedom is None:
            return cls(error, np.sqrt(total), None)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            free = np.where(estimated > 0, freedom * (total / estimated) ** 2, _MOST_FREEDOM)
        return cls(error, np.sqrt(total), np.minimum(free, _MOST_FREEDOM))

    def interval(self, level: float) -> tuple[np.ndarray, np.ndarray]:
        upper = (1 + level) / 2
        half = (ndtri(upper) if self.freedom is None else stdtrit(self.freedom, upper)) * self.scale
        return self.error - half, self.error + half

    def crps(self) -> np.ndarray:
        safe = np.where(self.scale > 0, self.scale, 1.0)
        z = self.error / safe
        if self.freedom is None:
            unit = z * (2 * ndtr(z) - 1) + 2 * _density(z) - np.pi**-0.5
        else:
            # Jordan et al. 2019, J. Stat. Softw. 90, appendix A: Student's t.
            free = self.freedom
            log_constant = gammaln((free + 1) / 2) - gammaln(free / 2) - np.log(free * np.pi) / 2
            density = np.exp(log_constant - (free + 1) / 2 * np.log1p(z**2 / free))
            ratio = np.exp(gammaln(free - 0.5) + 2 * gammaln((free + 1) / 2) - 2 * gammaln(free / 2) - gammaln(free))
            unit = z * (2 * stdtr(free, z) - 1) + 2 * density * (free + z**2) / (free - 1)
            unit -= 2 * np.sqrt(free) / (free - 1) * ratio / np.sqrt(np.pi)
        return np.where(self.scale > 0, self.scale * unit, np.abs(self.error))


def _cells(given: np.ndarray, truth: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, int]:
    """Cells to score, and how many were asked for."""
    where = np.asarray(where)
    if where.dtype != bool:
        raise InputError(
            f"where must be boolean, True on the cells to score, got {where.dtype}; compare with 0 to make it so"
        )
    asked = _broadcast(where, truth.shape, "where") & np.isfinite(truth)
    return asked & given, int(asked.sum())


def _noise(observation_error: float | np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    noise = np.asarray(observation_error, np.float64)
    if (noise < 0).any():
        raise InputError(f"observation_error must not be negative, got {noise.min():g}; give a standard deviation")
    return _broadcast(noise, shape, "observation_error")


def _broadcast(values: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray:
    try:
        return np.broadcast_to(values, shape)
    except ValueError as problem:
        raise InputError(
            f"{name} must broadcast to the shape of truth, {shape}, got {values.shape}; give one a cell"
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
    inside, interval = [], []
    for level, (low, high) in zip(LEVELS, intervals):
        outside = np.maximum(low, 0) + np.maximum(-high, 0)  # the truth lies at 0
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


def _fair(error: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Fair CRPS of sorted members minus truth, (M, ...)."""
    count = len(error)
    if noise.any():
        pairs = sum(_absolute(error[lag:] - error[:-lag], 2**0.5 * noise).sum(0) for lag in range(1, count))
        return _absolute(error, noise).mean(0) - pairs / (count * (count - 1))
    weights = np.arange(1 - count, count, 2, dtype=np.float64)
    return np.abs(error).mean(0) - np.tensordot(weights, error, 1) / (count * (count - 1))


def _absolute(centre: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Mean absolute value of a normal variable."""
    with np.errstate(over="ignore"):
        z = centre / np.maximum(std, np.finfo(np.float64).tiny)
        return centre * (2 * ndtr(z) - 1) + 2 * std * _density(z)


def _density(z: np.ndarray) -> np.ndarray:
    return np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)


def _order(ordered: np.ndarray, place: float) -> np.ndarray:
    """Order statistic between two others, counted from 0."""
    below = min(int(place), len(ordered) - 2)
    return ordered[below] + (place - below) * (ordered[below + 1] - ordered[below])


def _ranks(error: np.ndarray, noise: np.ndarray) -> tuple[float, ...]:
    """How many cells have 0, 1, ... M of the members minus truth below 0.

    A tie counts in equal parts for all ranks that it could be broken to, and with an observation error a cell for
    each rank with its probability: the mean of what drawing at random would give, in any split and order.
    """
    count, cells = error.shape
    if noise.any():
        with np.errstate(over="ignore"):
            below = ndtr(-error / np.maximum(noise, np.finfo(np.float64).tiny))
        law = np.zeros((count + 1, cells))
        law[0] = 1.0
        for share in below:  # one member more, below the truth or not
            law[1:] = law[1:] * (1 - share) + law[:-1] * share
            law[0] *= 1 - share
        return tuple(law.sum(1).tolist())
    first, ties = (error < 0).sum(0), (error == 0).sum(0)
    histogram = np.bincount(first[ties == 0], minlength=count + 1).astype(np.float64)
    for low, tied in zip(first[ties > 0], ties[ties > 0]):
        histogram[low : low + tied + 1] += 1 / (tied + 1)
    return tuple(histogram.tolist())


def _sum(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(a + b for a, b in zip(one, other))
