"""The texture of members: how smooth their deviations are made, chosen by what was observed.

Deviations are drawn from a Gaussian field of one family (:mod:`geogan.prior.gaussian`): where the field itself is
smoother
between two and five cells, members are too rough there. What is too rough can be smoothed away, and no seam shows, for
that is a function of the cells around alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from geogan.fields.circle import around
from geogan.model.spectra import SpectrumTally
from geogan.prior import Film

# Steps of smoothing at most, and cells that each reaches: together they stay within the halo of a tile.
MOST, STEP = 8, 2
# Cells of a segment; the shorter where too few clouds hold the longer.
LENGTHS = (16, 8)
# Wavelength in cells down to which power is compared: at the shortest observations hold little but their noise.
SHORTEST = 2.5
# Stretches with a segment that it takes to choose.
ENOUGH = 8


@dataclass(frozen=True, eq=False)
class Ensemble:
    """What a model predicts for a film; apart from :class:`Film`, which holds only what the predictions start from.

    Attributes
    ----------
    film : Film
        With the observations that were withheld.
    noise : Tensor, shape (T, C, H, W)
        Known standard deviation of the errors of ``film.target``.
    field : Tensor, shape (T, C, H, W)
        The reconstruction.
    deviations : Tensor, shape (M, T, C, H, W)
        Members minus ``field``.
    std : ndarray, shape (T, C, H, W)
        Predicted standard deviation of the error of ``field``.
    """

    film: Film
    noise: Tensor
    field: Tensor
    deviations: Tensor
    std: np.ndarray


def smoothed(deviations: Tensor, domain: Tensor, steps: int) -> Tensor:
    """Deviations without their shortest waves.

    Each step is the filter ``1 - (L / 2)^2``, ``L`` being what a cell has over the mean of its four neighbours, those
    in the domain: nothing crosses a coast. A constant stays, waves of two cells along both axes vanish, and of plane
    waves along one axis a step leaves 99.5 % at 8 cells, 97.6 % at 5.3 and 93.8 % at 4.

    Parameters
    ----------
    deviations : Tensor, shape (..., H, W)
    domain : Tensor, shape (H, W)
        1 where the field exists; elsewhere deviations are left as they are.
    steps : int
        0 or more; each reaches two cells.

    Returns
    -------
    deviations : Tensor, shape (..., H, W)
        Linear in those given, so opposites stay opposites.

    Examples
    --------
    >>> chequered = torch.ones(6, 6)
    >>> chequered[::2, ::2] = chequered[1::2, 1::2] = -1
    >>> smoothed(chequered + 3, torch.ones(6, 6), 1).unique().tolist()
    [3.0]
    """
    domain = domain.to(deviations.dtype)
    share = 1 / _around(domain).clamp_min(1)
    joined = domain * (_around(domain) > 0)
    for _ in range(steps):
        excess = joined * (deviations - share * _around(deviations * domain))
        deviations = deviations - 0.25 * joined * (excess - share * _around(excess))
    return deviations


def _around(x: Tensor) -> Tensor:
    """The sum over the four neighbours of each cell."""
    total = torch.zeros_like(x)
    total[..., 1:, :] += x[..., :-1, :]
    total[..., :-1, :] += x[..., 1:, :]
    total[..., 1:] += x[..., :-1]
    total[..., :-1] += x[..., 1:]
    return total


def fit_smoothing(
    ensembles: Iterable[Ensemble],
    *,
    blur: Callable[[Tensor], Tensor],
    apart: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    seed: int = 0,
    is_periodic: bool = False,
) -> int:
    """Steps of smoothing after which members have the power of the observations that were withheld from them.

    Measurements are compared with measurements: each member is blurred as they were, and gets their known noise. Noise
    that nobody knows of is in the observations alone. It makes them rougher than the field and so members look the
    smoother: fewer steps are chosen than would be right, never more.

    Of the mean squares of the logarithm of the ratio of power, over the wavelengths from a segment's down to
    :data:`SHORTEST`, none can be told from the least that is within one standard error of it (jackknife over
    stretches); the fewest such steps are taken.

    Parameters
    ----------
    ensembles : iterable of Ensemble
        Independent stretches; gone through once.
    blur : callable
        What would be measured of members, (M, T, C, h, w), but for gaps and noise.
    apart : callable
        What members are drawn apart by, of the predicted error, their spread and where there are gaps, each
        (T, C, h, w): :func:`geogan.filling.task.wanted_over_found`.
    seed : int
        Of the noise.
    is_periodic : bool
        Whether the last column of the stretches touches the first.

    Returns
    -------
    steps : int
        0 to :data:`MOST`; 0 where withheld clouds are too few or too small to say.
    """
    random = torch.Generator().manual_seed(seed)
    found = [_powers(each, blur, apart, random, is_periodic=is_periodic) for each in ensembles]
    for number, length in enumerate(LENGTHS):
        known = [each[number] for each in found if each[number][0].segments]
        if len(known) >= ENOUGH:
            waves = int(length / SHORTEST)
            observed = np.array([each[0].reference[:waves] for each in known])
            members = np.array([[tally.estimate[:waves] for tally in each] for each in known])
            return _fewest(observed, members)
    return 0


def _powers(
    ensemble: Ensemble,
    blur: Callable[[Tensor], Tensor],
    apart: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    random: torch.Generator,
    *,
    is_periodic: bool,
) -> list[list[SpectrumTally]]:
    """Tallies of the withheld cells of a stretch, for each length of segments and after each number of steps."""
    film = ensemble.film
    dates = film.withheld.flatten(1).any(1)
    observed, hidden, noise, field = (
        part[dates] for part in (film.target, film.withheld, ensemble.noise, ensemble.field)
    )
    deviations, std = ensemble.deviations[:, dates], ensemble.std[dates.cpu().numpy()]
    gaps = (film.domain * (film.mask == 0))[dates].cpu().numpy() > 0
    added = noise * torch.randn(deviations.shape, generator=random, dtype=field.dtype).to(field.device)
    where = (hidden > 0).expand(deviations.shape).cpu().numpy()
    reference = observed.expand(deviations.shape).cpu().numpy()
    found: list[list[SpectrumTally]] = [[] for _ in LENGTHS]
    smoother: Callable[..., Tensor] = partial(smoothed, steps=1)
    if is_periodic:
        smoother = around(smoother, STEP)
    for _ in range(MOST + 1):
        factor = apart(std, deviations.square().mean(0).sqrt().cpu().numpy(), gaps)
        members = blur(field + torch.from_numpy(factor).to(field.device) * deviations) + added
        for tallies, length in zip(found, LENGTHS, strict=True):
            tally = SpectrumTally(length).add(reference, members.cpu().numpy(), where, is_periodic=is_periodic)
            tallies.append(tally)
        deviations = smoother(deviations, film.domain)
    return found


def _fewest(observed: np.ndarray, members: np.ndarray) -> int:
    """The fewest steps that cannot be told from the best.

    Parameters
    ----------
    observed : ndarray, shape (N, K)
        Power by stretch and wavelength.
    members : ndarray, shape (N, S, K)
        After each number of steps.
    """

    def misses(observed: np.ndarray, members: np.ndarray) -> np.ndarray:
        return np.mean(np.log(members / observed[..., None, :]) ** 2, -1)

    count, whole = len(observed), misses(observed.sum(0), members.sum(0))
    best = int(whole.argmin())
    without = misses(observed.sum(0) - observed, members.sum(0) - members)  # one stretch each
    over = without - without[:, best, None]
    error = np.sqrt((count - 1) / count * ((over - over.mean(0)) ** 2).sum(0))
    return int(np.flatnonzero(whole - whole[best] <= error)[0])
