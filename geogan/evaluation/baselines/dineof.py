"""DINEOF: fill gaps with the leading empirical orthogonal functions of the record."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from geogan.evaluation.baselines.arguments import check_days, check_maps
from geogan.evaluation.baselines.interface import BaselineInput, DateFiller, filler_from_anomalies
from geogan.operators.errors import InputError
from geogan.operators.wording import counted

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True)
class Truncation:
    """Settings of a decomposition: number of modes, temporal filter, convergence.

    Attributes
    ----------
    modes : int, optional
        Number of modes to keep; by default the number with the smallest error at held-out observations.
    most_modes : int
        Largest number of modes to try; the search ends when the error has risen three times in a row.
    alpha : float
        Strength of the filter in one round, in squares of the shortest time between two dates, from 0 (no filter) to
        0.5, beyond which diffusion is unstable. For daily maps it is the ``alpha`` of the authors' program.
    filter_rounds : int
        Number of diffusion steps; ``numit`` in the authors' program.
    tolerance : float
        A reconstruction has converged when the root mean square change of the gaps in one round is smaller than this,
        in standard deviations of the observations.
    rounds : int
        Maximum number of rounds for each number of modes.

    Raises
    ------
    InputError
        If a value is out of its range.
    """

    modes: int | None = None
    most_modes: int = 200
    alpha: float = 0.01
    filter_rounds: int = 3
    tolerance: float = 1e-3
    rounds: int = 300

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 0.5:
            raise InputError(f"alpha must lie in [0, 0.5], where the filter is stable, got {self.alpha}; 0.01 is usual")
        if self.filter_rounds < 0:
            raise InputError(f"filter_rounds must be 0 or more, got {self.filter_rounds}; give 3")
        if not self.tolerance > 0:
            raise InputError(f"tolerance must be more than 0, got {self.tolerance}; give 0.001")
        if min(self.rounds, self.most_modes) < 1:
            raise InputError(
                f"rounds and most_modes must be at least 1, got {self.rounds} and {self.most_modes}; give 300 and 200"
            )


class Eofs(NamedTuple):
    """Mean and leading modes of a gappy record; K modes are kept.

    Attributes
    ----------
    mean : float
        Mean of all observations.
    spatial : ndarray, shape (K, H, W)
        Spatial modes, of norm 1; NaN outside the domain.
    singular_values : ndarray, shape (K,)
        Singular values in descending order, in the unit of the values.
    temporal : ndarray, shape (T, K)
        Temporal modes, of norm 1 over the dates with observations.
    explained_variance : ndarray, shape (K,)
        Squared singular values over the sum of squares of the filled anomalies.
    expected_errors : ndarray
        Root mean square error at held-out observations with 1, 2, ... modes, in the unit of the values. Empty if the
        number of modes was given.
    iterations : int
        Number of rounds of the last reconstruction.
    """

    mean: float
    spatial: np.ndarray
    singular_values: np.ndarray
    temporal: np.ndarray
    explained_variance: np.ndarray
    expected_errors: np.ndarray
    iterations: int


def dineof(
    values: np.ndarray,
    *,
    domain: np.ndarray,
    days: np.ndarray | None = None,
    held_out: np.ndarray | None = None,
    truncation: Truncation = Truncation(),
    seed: int = 0,
) -> np.ndarray:
    """Fill every gap with the modes of :func:`decompose`.

    Parameters
    ----------
    values, domain, days, held_out, truncation, seed
        As in :func:`decompose`.

    Returns
    -------
    filled : ndarray, shape (T, H, W)
        ``values`` where observed, bit for bit; NaN outside the domain, and everywhere if nothing is observed. Cells
        that are never observed get the mean of the record; for dates without observations see :func:`decompose`. The
        dtype is that of ``values``.

    Raises
    ------
    InputError
        As in :func:`decompose`, except for a record without observations.

    Examples
    --------
    >>> values = 15 + np.multiply.outer(np.sin(np.arange(20.0)), np.arange(12.0).reshape(3, 4))
    >>> gappy = np.where(np.random.default_rng(0).random(values.shape) < 0.3, np.nan, values)
    >>> two = Truncation(modes=2, tolerance=1e-6)
    >>> filled = dineof(gappy, domain=np.ones((3, 4), bool), truncation=two)
    >>> bool(np.allclose(filled, values, atol=0.01))
    True
    """
    check_maps(values, domain, "T, H, W")
    filled = np.full_like(values, np.nan)
    observed = np.isfinite(values) & domain
    if not observed.any():
        return filled
    eofs = decompose(values, domain=domain, days=days, held_out=held_out, truncation=truncation, seed=seed)
    spatial = eofs.spatial[:, domain]
    for date, amplitude in enumerate(eofs.temporal * eofs.singular_values):
        filled[date, domain] = eofs.mean + amplitude @ spatial
    filled[observed] = values[observed]
    return filled


def decompose(
    values: np.ndarray,
    *,
    domain: np.ndarray,
    days: np.ndarray | None = None,
    held_out: np.ndarray | None = None,
    truncation: Truncation = Truncation(),
    seed: int = 0,
) -> Eofs:
    """Compute the empirical orthogonal functions of a gappy record.

    The method is that of Beckers and Rixen (2003) and Alvera-Azcárate et al. (2005). The mean of all observations is
    removed and gaps start at 0. Two steps alternate until the gaps change by less than the tolerance: a truncated
    singular value decomposition of the matrix of cells and dates, and its values put into the gaps. This is done with
    1, 2, ... modes, each number starting from the previous result. The number with the smallest error at held-out
    observations is kept; the last reconstruction uses these observations too. (The authors' program replaces them by
    estimates again.)

    Before each decomposition the covariance between dates diffuses along both its time axes, over the true distances
    of the dates (Alvera-Azcárate et al., 2009), which keeps noise of single dates out of the modes. As in the authors'
    program, singular values are those of the filtered covariance, and a spatial mode is the projection of the
    unfiltered values, of norm 1.

    Each round multiplies a block of directions in time, with some directions more than modes, once by the covariance
    of the current values (subspace iteration). This is exact if the record has no more dates than the block has
    directions. Memory holds one float64 copy of the record and the mask of its gaps.

    Parameters
    ----------
    values : ndarray, shape (T, H, W)
        Measured maps, NaN in gaps. Dates without observations are excluded from the decomposition; their amplitudes
        are interpolated linearly between the neighbouring dates, or 0 (the mean of the record) without ``days``.
    domain : ndarray of bool, shape (H, W)
        True where the quantity exists.
    days : ndarray, shape (T,), optional
        Dates as numbers of days, increasing, in any spacing. Without dates there is no filter.
    held_out : ndarray of bool, shape (T, H, W), optional
        True where an observation is held out to choose the number of modes, for example under clouds of other dates.
        By default single observations at random: 1 % of the cells of all dates plus 40, at most 3 % of the cells and
        a tenth of the observations.
    truncation : Truncation
    seed : int
        Seed of the held-out observations.

    Returns
    -------
    Eofs

    Raises
    ------
    InputError
        If the shapes do not fit, the dates do not increase, nothing is observed or held out, or the number of modes is
        out of its range.

    Examples
    --------
    >>> values = 15 + np.multiply.outer(np.sin(np.arange(20.0)), np.arange(12.0).reshape(3, 4))
    >>> gappy = np.where(np.random.default_rng(0).random(values.shape) < 0.3, np.nan, values)
    >>> eofs = decompose(gappy, domain=np.ones((3, 4), bool), truncation=Truncation(modes=2))
    >>> bool(eofs.explained_variance.sum() > 0.99)
    True
    """
    check_maps(values, domain, "T, H, W")
    days = None if days is None else check_days(days, len(values))
    observed = np.isfinite(values) & domain
    has_data = observed.any((1, 2))
    present = np.ascontiguousarray(observed[has_data][:, domain].T)
    _check_modes(truncation.modes, present, held_out)
    random = np.random.default_rng(seed)
    hidden = None
    if held_out is not None:
        hidden = _given(held_out, observed)[has_data][:, domain].T
    elif truncation.modes is None and present.sum() > 1:
        hidden = _scattered(present, random)

    x = np.ascontiguousarray(values[has_data][:, domain].T, dtype="float64")
    x[~present] = 0.0
    mean = float(x.sum()) / int(present.sum())
    np.subtract(x, mean, out=x, where=present)
    diffusion = None if days is None or not truncation.alpha else _diffusion(days[has_data], truncation)
    record = _Record(x, ~present, diffusion, truncation, random)
    best, iterations, errors = record.decompose(hidden)

    temporal = np.zeros((len(values), len(best.singular_values)))
    temporal[has_data] = best.temporal
    if days is not None:
        for mode in temporal.T:
            mode[~has_data] = np.interp(days[~has_data], days[has_data], mode[has_data])
    spatial = np.full((temporal.shape[1], *domain.shape), np.nan)
    spatial[:, domain] = best.spatial.T
    explained = np.square(best.singular_values) / (np.linalg.norm(x) ** 2 or 1.0)
    return Eofs(mean, spatial, best.singular_values, temporal, explained, np.array(errors), iterations)


def prepare(given: BaselineInput, truncation: Truncation = Truncation()) -> DateFiller:
    """Decompose the whole record, band by band, and return the function that fills dates."""
    archive = given.archive
    values, days = given.anomalies(slice(None)), None if archive.independent else archive.days
    given.message(f"computing the modes of dineof from {counted(len(values), given.entry)}")
    filled = np.empty((len(given.dates), *values.shape[1:]), np.float32)
    for band in range(archive.bands):
        band_filled = dineof(values[:, band], domain=archive.domain, days=days, truncation=truncation)
        filled[:, band] = band_filled[given.dates]
        given.progress(band + 1, archive.bands)
    return filler_from_anomalies(given, [(slice(None), filled)])


class _Modes(NamedTuple):
    """Spatial (S, K), singular values (K,) and temporal modes (T, K)."""

    spatial: np.ndarray
    singular_values: np.ndarray
    temporal: np.ndarray

    def first(self, count: int) -> _Modes:
        """Return a copy of the first modes, which does not keep the others in memory."""
        return _Modes(*(part[..., :count].copy() for part in self))


class _Record:
    """Anomalies (S, T) with filled gaps, and the subspace of directions in time that is iterated.

    Parameters
    ----------
    x : ndarray, shape (S, T)
        Anomalies, 0 in gaps; filled in place.
    gaps : ndarray of bool, shape (S, T)
    diffusion : csr_array, shape (T, T), optional
        Filter in time.
    truncation : Truncation
    random : Generator
        Source of new directions.
    """

    def __init__(
        self,
        x: np.ndarray,
        gaps: np.ndarray,
        diffusion: csr_array | None,
        truncation: Truncation,
        random: np.random.Generator,
    ) -> None:
        self.x, self.gaps, self.diffusion, self.truncation, self.random = x, gaps, diffusion, truncation, random
        count = gaps.size - int(gaps.sum())
        self.least_change = truncation.tolerance * (float(np.linalg.norm(x)) / math.sqrt(count) or 1.0)
        self.basis = np.empty((x.shape[1], 0))
        self.modes = _Modes(np.empty((len(x), 0)), np.empty(0), self.basis)

    def decompose(self, hidden: np.ndarray | None) -> tuple[_Modes, int, list[float]]:
        """Return the modes, the rounds of the last reconstruction, and the errors where ``hidden``."""
        if hidden is None:
            errors: list[float] = []
            for number in range(1, (self.truncation.modes or 1) + 1):
                best, iterations = self.converge(number)
        else:
            number, errors = self.choose(hidden, min(self.truncation.most_modes, *self.x.shape))
            best, iterations = self.converge(number)
        return best, iterations, errors

    def choose(self, hidden: np.ndarray, most: int) -> tuple[int, list[float]]:
        """Return the number of modes with the smallest error where ``hidden``, and the error of each number.

        The hidden observations are restored, and the gaps filled with the best modes.
        """
        gaps, true = self.gaps, self.x[hidden]
        self.gaps = gaps | hidden
        self.x[hidden] = 0.0
        errors: list[float] = []
        best = self.modes
        for number in range(1, most + 1):
            kept, _ = self.converge(number)
            errors.append(math.sqrt(np.square(self.x[hidden] - true).mean()))
            if errors[-1] == min(errors):
                best = kept
            if len(errors) > 3 and min(np.diff(errors[-4:])) > 0:
                break
        self.gaps = gaps
        self.x[hidden] = true
        self.fill(best)
        return len(best.singular_values), errors

    def converge(self, count: int) -> tuple[_Modes, int]:
        """Fill and decompose in turn until convergence; return the modes that filled the gaps last, and the rounds."""
        # Directions beyond the modes speed up convergence: at least 8, and 16 when new ones are added. New random
        # directions need 3 iterations before they are used.
        extra, warm_up = 8, 3
        dates, directions = self.basis.shape
        if directions < min(dates, count + extra):
            new = self.random.standard_normal((dates, min(dates, count + 2 * extra) - directions))
            self.basis = np.linalg.qr(np.hstack([self.basis, new]))[0]
            for _ in range(warm_up):
                self.fill(None)
        kept, done, change = self.modes, 0, math.inf
        while done < self.truncation.rounds and change >= self.least_change:
            kept, done = self.modes.first(count), done + 1
            change = self.fill(kept)
        return kept, done

    def fill(self, kept: _Modes | None) -> float:
        """Put the values of the modes into the gaps, then decompose; return the root mean square change of the gaps."""
        # One pass over the record does both, in parts of this many values, which stay in the processor's cache.
        part_values = 2**18
        x, basis, change = self.x, self.basis, 0.0
        filtered = basis if self.diffusion is None else self.diffusion.T @ basis
        covariance = np.zeros((basis.shape[1],) * 2)
        product = np.zeros_like(basis)
        loadings = np.empty((len(x), basis.shape[1]))
        count = max(1, part_values // x.shape[1])
        for start in range(0, len(x), count):
            cells = slice(start, start + count)
            part = x[cells]
            if kept is not None:
                step = (kept.spatial[cells] * kept.singular_values) @ kept.temporal.T
                step -= part
                step *= self.gaps[cells]
                part += step
                change += np.vdot(step, step)
            projected = part @ filtered
            covariance += projected.T @ projected
            product += part.T @ projected
            loadings[cells] = projected if self.diffusion is None else part @ basis
        squares, rotation = np.linalg.eigh(covariance)
        squares, rotation = np.maximum(squares[::-1], 0.0), rotation[:, ::-1]
        spatial = loadings @ rotation
        norm = np.linalg.norm(spatial, axis=0)
        np.divide(spatial, norm, out=spatial, where=norm > 0)
        self.modes = _Modes(spatial, np.sqrt(squares), basis @ rotation)
        # Rotated to the modes first, so that columns of very different norm lose no digits in the orthogonalisation.
        product = product @ rotation
        self.basis = np.linalg.qr(product if self.diffusion is None else self.diffusion @ product)[0]
        return math.sqrt(change / max(1, self.gaps.sum()))


def _diffusion(days: np.ndarray, truncation: Truncation) -> csr_array:
    """Return the filter of a time series, (T, T): explicit steps of diffusion without flux at the ends."""
    from scipy.sparse import csr_array, diags_array, eye_array

    step = np.diff(days)
    filtered = eye_array(len(days), format="csr")
    if not len(step):
        return filtered
    width = np.diff(np.concatenate([[days[0] - step[0] / 2], days[:-1] + step / 2, [days[-1] + step[-1] / 2]]))
    slope = diags_array([-1 / step, 1 / step], offsets=[0, 1], shape=(len(step), len(days)))
    gain = diags_array([-np.ones(len(step)), np.ones(len(step))], offsets=[0, 1], shape=slope.shape).T
    once = filtered - truncation.alpha * step.min() ** 2 * diags_array(1 / width) @ gain @ slope
    for _ in range(truncation.filter_rounds):
        filtered = once @ filtered
    return csr_array(filtered)


def _scattered(present: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return a mask of single observations drawn at random; none if there is only one observation."""
    where = np.flatnonzero(present)
    count = int(min(0.01 * present.size + 40, 0.03 * present.size, 0.1 * len(where)))
    hidden = np.zeros_like(present)
    if len(where) > 1:
        hidden.flat[random.choice(where, max(1, count), replace=False)] = True
    return hidden


def _given(held_out: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Return the mask of the observations to hold out, after a check of the argument."""
    if held_out.shape != observed.shape or held_out.dtype != bool:
        raise InputError(
            f"held_out must be a mask (bool) of shape {observed.shape}, got {held_out.dtype} of {held_out.shape}; "
            "give True where an observation is held out"
        )
    hidden = held_out & observed
    if not 0 < hidden.sum() < observed.sum():
        raise InputError(
            f"held_out must hide some observations and leave some, got {hidden.sum()} of {observed.sum()}; "
            "hide a few per cent, or omit held_out"
        )
    return hidden


def _check_modes(modes: int | None, present: np.ndarray, held_out: np.ndarray | None) -> None:
    """Refuse a record without observations, and a number of modes that it does not have."""
    if not present.any():
        raise InputError("values must have an observation within the domain, got none; give maps with observations")
    limit = min(present.shape)
    if modes is not None and not 1 <= modes <= limit:
        raise InputError(
            f"modes must be 1 to {limit}, the number of dates with data or of cells, got {modes}; omit it to choose "
            "the number"
        )
    if modes is not None and held_out is not None:
        raise InputError("held_out chooses the number of modes, but modes is given too; give modes or held_out")
