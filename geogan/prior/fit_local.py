"""Choose a prior that knows its place by hidden observations: couplings, gains and modes, or a stationary field."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from geogan.prior.film import Film
from geogan.prior.fit import hidden_error
from geogan.prior.gaussian import GaussianPrior
from geogan.prior.local import MAPS, LocalPrior
from geogan.prior.local_moments import local_maps
from geogan.prior.mode_estimate import CoarseDates, mode_persistence, patterns

# Fewest dates that determine modes and couplings.
FEWEST_DATES = 60
# Standard deviations of the smoothing of couplings and gains that are tried, in cells.
RADII = (3.0, 8.0)
# Numbers of modes that are tried, and the fewest dates for each mode.
COUNTS, DATES_OF_MODE = (3, 10, 20, 40), 4
# Standard deviations of the Markov field beside modes that are tried, relative to that without modes.
REMAINDERS = (1.0, 0.6)
# Persistence of coefficients that differ from date to date, in steps.
SHORT = 0.1
# Share of the estimated standard deviation of a mode that is used.
MODE_SHARE = 0.8
# Reduction of the logarithm of the error that justifies a prior whose windows cannot be mirrored.
LOCAL_GAIN = 0.03


def is_worth_fitting(markov: GaussianPrior, dates: int) -> bool:
    """Return whether there are enough dates to estimate a local prior, and the field stands still and has no tilt."""
    return dates >= FEWEST_DATES and not markov.is_moving and markov.tilt == 0


def fit_local_prior(markov: GaussianPrior, films: Sequence[Film], sample: Film) -> GaussianPrior | LocalPrior:
    """Return a prior that knows its place if it predicts hidden observations better than a stationary one.

    Parameters
    ----------
    markov : GaussianPrior
        The fitted stationary field, which is returned if no other is better by 3 %.
    films : sequence of Film
        Pieces of the archive with hidden observations, and with their place.
    sample : Film
        Dates of the whole grid, in increasing order; the masks may be boolean. ``kept`` leaves out what the films hide;
        after the choice the prior is estimated again from ``mask``.

    Returns
    -------
    GaussianPrior or LocalPrior
    """
    # What differs from date to date is noise to the Markov field; modes are tried in its place.
    base = markov.lasting
    searched = _Estimates(sample, sample.kept, base)

    def tried(candidate: _Candidate) -> tuple[float, _Candidate]:
        return math.log(hidden_error(searched.prior(candidate), films) + 1e-9), candidate

    stationary = math.log(hidden_error(markov, films) + 1e-9)
    local = min(tried(_Candidate(radius=radius)) for radius in RADII)
    best = local
    for radius in {0.0, local[1].radius if local[0] < stationary else 0.0}:
        best = min(best, _best_modes(tried, radius, len(sample.days)))
    if best[0] > stationary - LOCAL_GAIN:
        return markov
    return _Estimates(sample, sample.mask, base).prior(best[1])


class _Candidate(NamedTuple):
    """The parts of a local prior."""

    radius: float = 0.0  # of the smoothing of couplings and gains; 0 if they are 1
    modes: int = 0
    remainder: float = 1.0
    lasts: bool = True  # whether the coefficients of a date are related to those of others


def _best_modes(
    tried: Callable[[_Candidate], tuple[float, _Candidate]], radius: float, dates: int
) -> tuple[float, _Candidate]:
    """Return the best number of modes with its error; more modes are tried as long as they are better."""
    best = tried(_Candidate(radius, COUNTS[0]))
    for count in COUNTS[1:]:
        if count * DATES_OF_MODE > dates:
            break
        found = tried(_Candidate(radius, count))
        if found >= best:
            break
        best = found
    best = min(best, *(tried(best[1]._replace(remainder=remainder)) for remainder in REMAINDERS[1:]))
    return min(best, tried(best[1]._replace(lasts=False)))


class _Estimates:
    """Estimates from some observations of a sample, each computed once."""

    def __init__(self, sample: Film, observed: Tensor, markov: GaussianPrior) -> None:
        self._sample, self._observed, self._markov = sample, observed, markov
        self._values = sample.values
        self._bands = range(observed.shape[1])

    @cached_property
    def _coarse(self) -> list[CoarseDates]:
        most = max(1, min(COUNTS[-1], len(self._sample.days) // DATES_OF_MODE))
        return [
            CoarseDates.of(self._values[:, band], self._observed[:, band], self._sample.domain, count=most)
            for band in self._bands
        ]

    def prior(self, candidate: _Candidate) -> LocalPrior:
        """Return the prior of a candidate."""
        markov, domain = self._markov, self._sample.domain
        maps = torch.ones(len(self._bands), MAPS, *domain.shape)
        if candidate.radius:
            maps = torch.stack([self._maps(band, candidate.radius) for band in self._bands])
        maps[:, 2] *= candidate.remainder
        modes, persistence = maps[:, :0], markov.persistence
        if candidate.modes:
            modes, persistence = self._modes(candidate.modes)
            if not candidate.lasts:
                persistence = SHORT * max(float(self._sample.days.diff().median()), 1e-3)
        return LocalPrior(
            maps,
            MODE_SHARE / markov.amplitude * modes,
            persistence,
            length=markov.length,
            persistence=markov.persistence,
            noise=markov.noise,
            aspect=markov.aspect,
            detail=markov.detail,
            amplitude=markov.amplitude,
            is_periodic=markov.is_periodic,
        )

    def _maps(self, band: int, radius: float) -> Tensor:
        markov = self._markov
        return local_maps(
            self._values[:, band],
            self._observed[:, band],
            self._sample.domain,
            radius=radius,
            noise2=(markov.noise * markov.amplitude) ** 2,
            is_periodic=markov.is_periodic,
        )

    def _modes(self, count: int) -> tuple[Tensor, float]:
        """Return patterns (C, K, H, W) and their persistence."""
        found, times = [], []
        for band, coarse in zip(self._bands, self._coarse):
            mean, covariance = coarse.coefficients(count)
            found.append(patterns(self._values[:, band], self._observed[:, band], mean, covariance))
            times.append(mode_persistence(mean, self._sample.days))
        return torch.stack(found) * self._sample.domain, max(times)
