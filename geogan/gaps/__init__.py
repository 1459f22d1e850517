"""The gaps of an archive: what they leave unknown, whether they depend on the field, which operator draws such gaps."""

from geogan.gaps.dependence import compare_beside_gaps
from geogan.gaps.identifiability import QUICK, SAME, Identifiability, identifiability
from geogan.gaps.mask_statistics import LAGS
from geogan.gaps.operator_fit import CANDIDATES, OperatorFit, fit_operators
from geogan.gaps.packed import Packing
from geogan.gaps.samples import gap_samples

__all__ = [
    "CANDIDATES",
    "LAGS",
    "QUICK",
    "SAME",
    "Identifiability",
    "OperatorFit",
    "Packing",
    "compare_beside_gaps",
    "fit_operators",
    "gap_samples",
    "identifiability",
]
