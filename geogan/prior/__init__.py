"""The Gaussian prior: its fields, their posterior, and the choice of their parameters."""

from geogan.prior.archive_covariance import ArchivePrior, Prior
from geogan.prior.drift import fit_drift
from geogan.prior.film import Film
from geogan.prior.fit import fit_amplitude, fit_archive_prior, fit_prior, hidden_error
from geogan.prior.gaussian import GaussianPrior
from geogan.prior.nearness import ASPECTS, nearness
from geogan.prior.regression import fit_regression

__all__ = [
    "ASPECTS",
    "ArchivePrior",
    "Film",
    "GaussianPrior",
    "Prior",
    "fit_amplitude",
    "fit_archive_prior",
    "fit_drift",
    "fit_prior",
    "fit_regression",
    "hidden_error",
    "nearness",
]
