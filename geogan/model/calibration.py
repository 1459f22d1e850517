"""Calibration: factors, by the size of a predicted standard deviation, that make it that of the real errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from geogan.operators.errors import InputError

# Bins of predicted standard deviations at most, and cells that a bin needs.
BINS, LEAST_CELLS = 5, 50
# Half of a bin's own factor is believed when so many independent stretches are in it. More of them save little where
# one factor fits all sizes (12 clouds: 2.4 % error of a bin's coverage without any, 2.2 % with 4), and cost much where
# it does not (3.6 %, 4.9 %).
HALF_BELIEVED = 3
# And half of what all of them together say: what was predicted was learned from far more clouds, though from ones that
# the reconstruction has seen. On four clouds of the synthetic sea the error predicted would have shrunk by a tenth
# where it was a tenth too small.
HALF_TRUSTED = 6
# A factor beyond these says that something else is wrong.
LEAST, MOST = 0.1, 10.0
_NINETY = 1.6448536269514722  # a normal error lies within so many standard deviations in 90 %


@dataclass(frozen=True)
class Calibration:
    """What predicted standard deviations are multiplied by, as a function of their size; by default 1.

    Between the points, the logarithm of ``factor * std`` is linear in that of ``std``; beyond them the factor stays.
    ``factor * std`` never falls where ``std`` rises: a cell that was said to be less certain than another stays so.

    Attributes
    ----------
    std : tuple of float
        Predicted standard deviations, increasing; in the unit that they were fitted in, of a model its anomalies'.
    factor : tuple of float
        At each of them.
    cells, stretches : int
        What the factors were found on: cells, and independent stretches (clouds, runs of dates).

    Raises
    ------
    InputError
        If there are not as many factors as standard deviations, these are not positive and increasing, or the
        calibrated ones would fall.

    Examples
    --------
    >>> Calibration().apply(np.array([0.5, np.nan])).tolist()
    [0.5, nan]
    >>> half = Calibration(std=(1.0, 4.0), factor=(2.0, 1.0))
    >>> half.apply(np.array([0.5, 1.0, 2.0, 8.0])).round(3).tolist()
    [1.0, 2.0, 2.828, 8.0]
    >>> from dataclasses import asdict
    >>> import json
    >>> Calibration(**json.loads(json.dumps(asdict(half)))) == half
    True
    """

    std: tuple[float, ...] = (1.0,)
    factor: tuple[float, ...] = (1.0,)
    cells: int = 0
    stretches: int = 0

    def __post_init__(self) -> None:
        """Take lists too, as JSON has them, and refuse what is no calibration."""
        object.__setattr__(self, "std", tuple(float(value) for value in self.std))
        object.__setattr__(self, "factor", tuple(float(value) for value in self.factor))
        std, factor = np.array(self.std), np.array(self.factor)
        if not len(std) == len(factor) > 0:
            raise InputError(f"a calibration needs a factor for each std, got {len(factor)} for {len(std)}")
        if not (np.isfinite([std, factor]).all() and (std > 0).all() and (factor > 0).all()):
            raise InputError(f"std and factor of a calibration must be positive, got {self.std} and {self.factor}")
        if (np.diff(std) <= 0).any() or (np.diff(std * factor) < -1e-9 * std[1:] * factor[1:]).any():
            raise InputError(
                f"std and factor * std of a calibration must increase, got {self.std} and {self.factor}; fit it again"
            )

    def scale(self, std: np.ndarray) -> np.ndarray:
        """Factor of each predicted standard deviation; members are drawn apart with it, about their mean.

        Parameters
        ----------
        std : ndarray
            0 or more, in that unit.

        Returns
        -------
        factor : ndarray, same shape and type
            NaN where ``std`` is.
        """
        std = np.asarray(std)
        points = np.log(self.std)
        with np.errstate(divide="ignore"):
            # Clipped: outside the points the factor stays.
            size = np.clip(np.log(std.astype(np.float64)), points[0], points[-1])
        # log(factor * std) - log(std) is linear where log(factor * std) is.
        factor = np.exp(np.interp(size, points, np.log(self.factor)))
        return np.where(np.isnan(std), np.nan, factor).astype(np.result_type(std, np.float32))

    def apply(self, std: np.ndarray) -> np.ndarray:
        """Calibrated standard deviations: those predicted times their factors.

        Parameters
        ----------
        std : ndarray
            0 or more, in that unit.

        Returns
        -------
        std : ndarray, same shape and type
            NaN where ``std`` is.
        """
        return np.asarray(std) * self.scale(std)

    @classmethod
    def fit(
        cls,
        std: np.ndarray,
        error: np.ndarray,
        *,
        observation_error: float | np.ndarray = 0.0,
        clusters: np.ndarray | None = None,
        level: float = 1.0,
    ) -> Calibration:
        """Find the factors on cells whose errors are known.

        Cells are sorted into up to five bins of as many cells each, by predicted standard deviation. A bin's factor
        is the geometric mean of two: the one that makes the mean square error what was predicted (spread over skill),
        and the one that brings 90 % of the errors within the normal 90 % interval (coverage). For normal errors they
        are the same. Errors with heavier tails have no factor that satisfies both, and the mean serves both best: for
        Student's t with 4 degrees of freedom the first covers 91.8 % with a spread over skill of 1.00, the second
        89.9 % with 0.91, their mean 90.9 % with 0.955; with one error in a hundred six times too large, 92.9 % and
        0.98, 89.5 % and 0.87, 91.3 % and 0.92.

        The errors of one cloud are like each other: what a bin says counts by the independent clouds in it. Its
        factor is drawn towards that of all cells, by ``HALF_BELIEVED / (n + HALF_BELIEVED)`` with ``n = (sum c) ** 2 /
        sum c ** 2`` for the cells ``c`` that each stretch has there (Kish 1965, Survey Sampling, section 11.7), and all
        factors towards ``level`` by ``HALF_TRUSTED / (n + HALF_TRUSTED)`` with the ``n`` of all cells. No
        shrinking makes few clouds many: where these differ in difficulty (by 30 %), the coverage reached elsewhere
        scatters by 5 % for calibration on 4 of them, 3 % on 12 and 2 % on 40.

        Parameters
        ----------
        std : ndarray
            Predicted standard deviations of the error; cells where it or ``error`` is not finite, or it is 0, are
            left out.
        error : ndarray, same shape
            Estimate minus what was observed.
        observation_error : float or ndarray
            Standard deviation of the error of the observations, in the same unit: it is part of ``error``, and not of
            what is calibrated.
        clusters : ndarray of int, same shape, optional
            Number of each cell's independent stretch; by default every cell is one.
        level : float
            The factor that is believed where there are few stretches.

        Returns
        -------
        Calibration

        Raises
        ------
        InputError
            If shapes differ, a standard deviation is negative, or no cell can be used.

        Examples
        --------
        >>> random = np.random.default_rng(0)
        >>> std = random.uniform(0.2, 1.0, 4000)
        >>> found = Calibration.fit(std, 1.5 * std * random.normal(size=4000))
        >>> np.allclose(found.scale(np.array([0.3, 0.6, 0.9])), 1.5, atol=0.1)
        True
        """
        std, error = np.asarray(std), np.asarray(error)
        clusters = np.arange(std.size).reshape(std.shape) if clusters is None else np.asarray(clusters)
        if not std.shape == error.shape == clusters.shape:
            raise InputError(
                f"std, error and clusters must have one shape, got {std.shape}, {error.shape} and {clusters.shape}; "
                "select the same cells of all"
            )
        noise = np.asarray(observation_error, np.float64)
        if (std < 0).any() or (noise < 0).any():
            raise InputError("std and observation_error must not be negative; give standard deviations")
        noise = np.broadcast_to(noise, std.shape)
        used = np.isfinite(std) & np.isfinite(error) & (std > 0)
        if not used.any():
            raise InputError(
                "a calibration needs cells with a predicted std and a known error, got none; withhold some"
            )
        std, error, noise = (part[used].astype(np.float64) for part in (level * std, error, noise))
        clusters = np.unique(clusters[used], return_inverse=True)[1]
        sizes = np.bincount(clusters).astype(np.float64)
        stretches = sizes.sum() ** 2 / (sizes**2).sum()
        whole = np.log(_factor(std, error, noise)) * stretches / (stretches + HALF_TRUSTED)
        bins = min(BINS, max(1, len(std) // LEAST_CELLS))
        edges = np.unique(np.quantile(std, np.linspace(0, 1, bins + 1)[1:-1]))
        index = np.searchsorted(edges, std)
        centre, target, weight = [], [], []
        for number in np.unique(index):
            here = index == number
            shares = np.bincount(clusters[here]).astype(np.float64)
            independent = shares.sum() ** 2 / (shares**2).sum()
            belief = independent / (independent + HALF_BELIEVED)
            own = np.log(_factor(std[here], error[here], noise[here])) * stretches / (stretches + HALF_TRUSTED)
            centre.append(np.log(std[here]).mean())
            target.append(centre[-1] + whole + belief * (own - whole))
            weight.append(independent)
        rising = isotonic_regression(target, weights=weight).x
        return cls(
            std=tuple(np.exp(centre) / level),
            factor=tuple(np.exp(rising - centre) * level),
            cells=len(std),
            stretches=int(clusters.max()) + 1,
        )


def _factor(std: np.ndarray, error: np.ndarray, noise: np.ndarray) -> float:
    """The factor of one bin."""
    of_squares = max(0.0, float(np.mean(error**2 - noise**2) / np.mean(std**2))) ** 0.5
    # The smallest factor of each cell with which its own interval, noise and all, reaches its error.
    needed = ((error / _NINETY) ** 2 - noise**2) / std**2
    of_coverage = max(0.0, float(np.quantile(needed, 0.9))) ** 0.5
    return float(np.clip((of_squares * of_coverage) ** 0.5, LEAST, MOST))
