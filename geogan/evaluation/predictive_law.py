"""The normal or Student's t distribution of a predicted value, relative to its verifying observation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import gammaln, ndtr, ndtri, stdtr, stdtrit


class PredictiveLaw(NamedTuple):
    """Predictive distribution of each cell.

    Attributes
    ----------
    error : ndarray, float64
        Centre of the distribution minus the truth, in the unit of the field.
    scale : ndarray, float64
        Standard deviation of a normal distribution, or scale of Student's t.
    freedom : ndarray or None
        Degrees of freedom of Student's t; None for a normal distribution.
    """

    error: np.ndarray
    scale: np.ndarray
    freedom: np.ndarray | None

    @classmethod
    def from_variances(
        cls, error: np.ndarray, estimated: np.ndarray, noise: np.ndarray, freedom: int | None
    ) -> PredictiveLaw:
        """Return the distribution for a predicted variance plus the variance of the observation error.

        Parameters
        ----------
        error : ndarray
            Centre minus truth.
        estimated : ndarray
            Predicted variance.
        noise : ndarray
            Standard deviation of the observation error.
        freedom : int, optional
            Degrees of freedom with which ``estimated`` was estimated, None if it counts as known. The sum with the
            known ``noise ** 2`` has the degrees of freedom of Welch and Satterthwaite.
        """
        # With more degrees of freedom, Student's t equals the normal distribution to five digits.
        most_freedom = 1e5
        total = estimated + noise**2
        if freedom is None:
            return cls(error, np.sqrt(total), None)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            effective = np.where(estimated > 0, freedom * (total / estimated) ** 2, most_freedom)
        return cls(error, np.sqrt(total), np.minimum(effective, most_freedom))

    def interval(self, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Return both ends of the central interval of a level in (0, 1), minus the truth."""
        upper = (1 + level) / 2
        half = (ndtri(upper) if self.freedom is None else stdtrit(self.freedom, upper)) * self.scale
        return self.error - half, self.error + half

    def crps(self) -> np.ndarray:
        """Return the continuous ranked probability score of each cell; the absolute error where the scale is 0.

        Normal: Gneiting et al. 2005, Mon. Weather Rev. 133, eq. 5. Student's t: Jordan et al. 2019, J. Stat. Softw.
        90, appendix A.

        Examples
        --------
        >>> PredictiveLaw(np.array([0.0, 2.0]), np.array([1.0, 0.0]), None).crps().round(4).tolist()
        [0.2337, 2.0]
        """
        positive = np.where(self.scale > 0, self.scale, 1.0)
        z = self.error / positive
        if self.freedom is None:
            unit = z * (2 * ndtr(z) - 1) + 2 * normal_density(z) - np.pi**-0.5
        else:
            nu = self.freedom
            log_constant = gammaln((nu + 1) / 2) - gammaln(nu / 2) - np.log(nu * np.pi) / 2
            density = np.exp(log_constant - (nu + 1) / 2 * np.log1p(z**2 / nu))
            ratio = np.exp(gammaln(nu - 0.5) + 2 * gammaln((nu + 1) / 2) - 2 * gammaln(nu / 2) - gammaln(nu))
            unit = z * (2 * stdtr(nu, z) - 1) + 2 * density * (nu + z**2) / (nu - 1)
            unit -= 2 * np.sqrt(nu) / (nu - 1) * ratio / np.sqrt(np.pi)
        return np.where(self.scale > 0, self.scale * unit, np.abs(self.error))


def expected_absolute(centre: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Return the mean absolute value of a normal variable.

    Examples
    --------
    >>> expected_absolute(np.array([3.0, 0.0]), np.array([0.0, 1.0])).round(4).tolist()
    [3.0, 0.7979]
    """
    with np.errstate(over="ignore"):
        z = centre / np.maximum(std, np.finfo(np.float64).tiny)
        return centre * (2 * ndtr(z) - 1) + 2 * std * normal_density(z)


def normal_density(z: np.ndarray) -> np.ndarray:
    """Return the density of the standard normal distribution."""
    return np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
