"""Calibration: factors that turn predicted standard deviations into those of the actual errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from geogan.operators.errors import InputError

# Largest number of bins of predicted standard deviations, and cells that a bin needs.
BINS, LEAST_CELLS = 5, 50
# Number of independent clouds in a bin with which its own factor gets the weight 1/2 against that of all cells, and
# number of all clouds with which a factor near `level` gets the weight 1/2 against it, see `_expected`. Both are
# explained in docs/experiments.md.
HALF_OF_BIN, HALF_OF_ALL = 3, 6
# Number of independent clouds that the clouds of one film count as at most: films differ in difficulty by 30 %.
MOST_OF_FILM = 5
# Smallest and largest factor; one beyond points to another fault.
LEAST, MOST = 0.1, 10.0


@dataclass(frozen=True)
class Calibration:
    """Factors of predicted standard deviations as a function of their size; 1 by default.

    Between the points, the logarithm of ``factor * std`` is linear in that of ``std``; beyond them the factor is
    constant. ``factor * std`` increases with ``std``, so the order of cells by their uncertainty is kept.

    Attributes
    ----------
    std : tuple of float
        Predicted standard deviations, increasing; in the unit in which they were fitted (anomalies, in a model).
    factor : tuple of float
        Factor at each of them.
    cells, stretches : int
        Numbers of cells and of independent clusters (clouds, runs of dates) used for the fit.

    Raises
    ------
    InputError
        If the numbers of factors and standard deviations differ, these are not positive and increasing, or the
        calibrated ones would decrease.

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
        """Return the factor of each predicted standard deviation; it scales the deviations of members too.

        Parameters
        ----------
        std : ndarray
            At least 0, in the unit of the fit.

        Returns
        -------
        factor : ndarray, same shape and type
            NaN where ``std`` is NaN.
        """
        std = np.asarray(std)
        points = np.log(self.std)
        with np.errstate(divide="ignore"):
            # Outside the points the factor is constant.
            size = np.clip(np.log(std.astype(np.float64)), points[0], points[-1])
        # log(factor) = log(factor * std) - log(std) is linear too.
        factor = np.exp(np.interp(size, points, np.log(self.factor)))
        return np.where(np.isnan(std), np.nan, factor).astype(np.result_type(std, np.float32))

    def apply(self, std: np.ndarray) -> np.ndarray:
        """Return calibrated standard deviations: the predicted ones times their factors.

        Parameters
        ----------
        std : ndarray
            At least 0, in the unit of the fit.

        Returns
        -------
        std : ndarray, same shape and type
            NaN where ``std`` is NaN.
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
        films: np.ndarray | None = None,
        level: float = 1.0,
    ) -> Calibration:
        """Fit the factors to cells with known errors.

        Cells are divided by predicted standard deviation into up to five bins of equal size. The factor of a bin is the
        geometric mean of two factors: with the first, the mean square error equals the predicted one (spread-skill
        ratio 1); with the second, 90 % of the errors lie in the normal 90 % interval (coverage). For normal errors the
        two are equal. For errors with heavier tails no factor satisfies both criteria, and the mean comes near to both
        (docs/experiments.md).

        Errors under one cloud are correlated, so the weight of a bin is its number of independent clouds. Its factor is
        shrunk towards that of all cells with the weight ``HALF_OF_BIN / (n + HALF_OF_BIN)``, where ``n = (sum c) ** 2 /
        sum c ** 2`` for the cells ``c`` of each cluster in the bin (Kish 1965, *Survey Sampling*, section 11.7), less
        where they belong to few films.

        Before that, each factor is replaced by its posterior root mean square, see :func:`_expected`: before the errors
        are seen, its logarithm is normal about that of ``level`` with the variance ``1 / (2 HALF_OF_ALL)``, and the
        errors count as ``n`` independent ones, with the ``n`` of all cells.

        Parameters
        ----------
        std : ndarray
            Predicted standard deviations of the error; cells in which it is 0, or it or ``error`` is not finite, are
            not used.
        error : ndarray, same shape
            Estimate minus observation.
        observation_error : float or ndarray
            Standard deviation of the observation errors, in the same unit; it is part of ``error``, but not of ``std``.
        clusters : ndarray of int, same shape, optional
            Number of the cluster (cloud) of each cell; by default each cell is a cluster.
        films : ndarray of int, same shape, optional
            Number of the film (run of dates) of each cell. The clouds of one film count as at most ``MOST_OF_FILM``
            independent ones.
        level : float
            The factor that is used with few clusters.

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
        >>> calibration = Calibration.fit(std, 1.5 * std * random.normal(size=4000))
        >>> np.allclose(calibration.scale(np.array([0.3, 0.6, 0.9])), 1.5, atol=0.1)
        True
        """
        std, error = np.asarray(std), np.asarray(error)
        clusters = np.arange(std.size).reshape(std.shape) if clusters is None else np.asarray(clusters)
        films = None if films is None else np.asarray(films)
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
        films = None if films is None else films[used]
        count = _independent(clusters, films)
        whole = _expected(np.log(_factor(std, error, noise)), count)
        bins = min(BINS, max(1, len(std) // LEAST_CELLS))
        edges = np.unique(np.quantile(std, np.linspace(0, 1, bins + 1)[1:-1]))
        index = np.searchsorted(edges, std)
        centre, target, weight = [], [], []
        for number in np.unique(index):
            cells = index == number
            independent = _independent(clusters[cells], None if films is None else films[cells])
            weight_of_bin = independent / (independent + HALF_OF_BIN)
            logarithm = _expected(np.log(_factor(std[cells], error[cells], noise[cells])), count)
            centre.append(np.log(std[cells]).mean())
            target.append(centre[-1] + whole + weight_of_bin * (logarithm - whole))
            weight.append(independent)
        rising = isotonic_regression(target, weights=weight).x
        return cls(
            std=tuple(np.exp(centre) / level),
            factor=tuple(np.exp(rising - centre) * level),
            cells=len(std),
            stretches=int(clusters.max()) + 1,
        )


def _independent(clusters: np.ndarray, films: np.ndarray | None) -> float:
    """Return the number of independent clusters of some cells, of which those of one film count as a few."""

    def effective(numbers: np.ndarray) -> float:
        cells = np.bincount(np.unique(numbers, return_inverse=True)[1]).astype(np.float64)
        return float(cells.sum() ** 2 / (cells**2).sum())

    most = np.inf if films is None else MOST_OF_FILM * effective(films)
    return 1 / (1 / effective(clusters) + 1 / most)


def _factor(std: np.ndarray, error: np.ndarray, noise: np.ndarray) -> float:
    """Return the factor of one bin."""
    of_squares = max(0.0, float(np.mean(error**2 - noise**2) / np.mean(std**2))) ** 0.5
    # The smallest factor of each cell with which its interval, including the noise, contains its error. 90 % of normal
    # errors lie within 1.645 standard deviations.
    needed = ((error / 1.6448536269514722) ** 2 - noise**2) / std**2
    of_coverage = max(0.0, float(np.quantile(needed, 0.9))) ** 0.5
    return float(np.clip((of_squares * of_coverage) ** 0.5, LEAST, MOST))


def _expected(logarithm: float, count: float) -> float:
    """Return the logarithm of the root mean square of a factor, given the factor that fits some independent errors.

    The density of its logarithm ``u`` is that of ``count`` normal errors times a normal one: ``-count (u + exp(2
    (logarithm - u)) / 2) - HALF_OF_ALL u^2``. A factor near 1 keeps about ``count / (count + HALF_OF_ALL)`` of its
    logarithm. A few large errors say more than a few small ones, and what is not known of a factor makes the expected
    squared error larger.
    """
    u = np.linspace(-3.0, 3.0, 6001)
    density = -count * (u + np.exp(2 * (logarithm - u)) / 2) - HALF_OF_ALL * u**2
    weight = np.exp(density - density.max())
    return float(0.5 * np.log((weight * np.exp(2 * u)).sum() / weight.sum()))
