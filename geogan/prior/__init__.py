"""The Gaussian prior: its fields, their posterior, and the choice of their parameters."""

from geogan.prior.drift import fit_drift
from geogan.prior.film import Film
from geogan.prior.fit import fit_amplitude, fit_prior, hidden_error
from geogan.prior.fit_covariance import fit_covariance
from geogan.prior.gaussian import GaussianPrior
from geogan.prior.local import Prior
from geogan.prior.nearness import ASPECTS, nearness
from geogan.prior.prior_file import PriorFile
from geogan.prior.regression import fit_regression

__all__ = [
    "ASPECTS",
    "Film",
    "GaussianPrior",
    "Prior",
    "PriorFile",
    "fit_amplitude",
    "fit_covariance",
    "fit_drift",
    "fit_prior",
    "fit_regression",
    "hidden_error",
    "nearness",
]
