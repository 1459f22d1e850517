"""Choose the field of a prior that is independent from date to date, by the errors on hidden observations."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from geogan.prior.gaussian import GaussianPrior

# Noise from which on a part of it may be a brief field.
LEAST_NOISE = 0.05
# Lengths of a brief field in cells, of which the first is tried first, and the noise that it leaves, as a share of the
# noise without it.
LENGTHS, SHARES = (8.0, 4.0, 16.0), (0.3, 0.15, 0.6)
# Weight of the error on single hidden observations beside that under clouds, and the reduction of the logarithms of the
# errors that justifies a brief field (docs/experiments.md).
SINGLE_WEIGHT, BRIEF_GAIN = 0.1, 0.01


def log_error(errors: tuple[float, float]) -> float:
    """Return the logarithm of the error on hidden clouds plus a tenth of that on hidden single observations, if any."""
    clouds, single = errors
    return math.log(clouds + 1e-9) + (SINGLE_WEIGHT * math.log(single + 1e-9) if single else 0.0)


def fit_brief(
    fitted: GaussianPrior, smooth: GaussianPrior, errors: Callable[[GaussianPrior], tuple[float, float]]
) -> GaussianPrior:
    """Return a prior with a brief field if it predicts hidden observations better than the fitted prior.

    Parameters
    ----------
    fitted : GaussianPrior
        The best prior without a brief field.
    smooth : GaussianPrior
        The best smooth one, which may be better than a rough one if a part of its noise becomes a brief field.
    errors : callable
        Return the errors of a prior on hidden clouds and on hidden single observations.
    """

    def loss(prior: GaussianPrior) -> float:
        return log_error(errors(prior))

    def candidate(base: GaussianPrior, length: float, share: float) -> GaussianPrior:
        brief = base.noise * math.sqrt(1 - share**2)
        return replace(base, brief=brief, brief_length=length, noise=base.noise * share)

    bases = dict.fromkeys(prior for prior in (fitted, smooth) if prior.noise >= LEAST_NOISE)
    if not bases:
        return fitted
    before = loss(fitted)
    losses = {(base, LENGTHS[0]): loss(candidate(base, LENGTHS[0], SHARES[0])) for base in bases}
    base = min(losses, key=losses.__getitem__)[0]
    # Far from a gain the other candidates are not worth their time.
    if losses[base, LENGTHS[0]] > before:
        return fitted
    losses |= {(base, length): loss(candidate(base, length, SHARES[0])) for length in LENGTHS[1:]}
    base, length = min(losses, key=losses.__getitem__)
    shares = {share: loss(candidate(base, length, share)) for share in SHARES[1:]}
    shares[SHARES[0]] = losses[base, length]
    share = min(shares, key=shares.__getitem__)
    return candidate(base, length, share) if shares[share] < before - BRIEF_GAIN else fitted
