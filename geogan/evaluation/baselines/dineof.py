"""Gaps filled with what a few empirical orthogonal functions say of them: DINEOF."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from geogan.evaluation.baselines.arguments import check_days, check_maps
from geogan.operators.errors import InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# Directions in time followed beside those of the modes, so that these are found within few rounds: at least so many,
# at first twice as many.
BESIDE = 8
# Decompositions after new directions came in at random.
WARM = 3
# Values worked on at a time: they stay in the cache.
AT_A_TIME = 2**18


class Eofs(NamedTuple):
    """A gappy record as the mean and a few modes; K of them are kept.

    Attributes
    ----------
    mean : float
        Of all that is observed.
    spatial : ndarray, shape (K, H, W)
        Spatial modes, of norm 1; NaN outside the domain.
    singular_values : ndarray, shape (K,)
        Falling, in the unit of the values.
    temporal : ndarray, shape (T, K)
        Temporal modes, of norm 1 over the dates on which something is observed.
    explained_variance : ndarray, shape (K,)
        Squared singular values over the sum of squares of the filled anomalies.
    expected_errors : ndarray
        Root mean square error at the points held out, with 1, 2, ... modes, in the unit of the values. Empty where the
        number of modes was given.
    iterations : int
        Rounds of the last reconstruction.
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
    modes: int | None = None,
    most_modes: int = 200,
    held_out: np.ndarray | None = None,
    alpha: float = 0.01,
    filter_rounds: int = 3,
    tolerance: float = 1e-3,
    rounds: int = 300,
    seed: int = 0,
) -> np.ndarray:
    """Fill every gap with the modes that :func:`decompose` finds.

    Parameters
    ----------
    values, domain, days, modes, most_modes, held_out, alpha, filter_rounds, tolerance, rounds, seed
        As :func:`decompose` takes them.

    Returns
    -------
    filled : ndarray, shape (T, H, W)
        ``values`` where observed, bit for bit; NaN outside the domain, and everywhere if nothing is observed. The dtype
        is that of ``values``. Cells that are never seen get the mean of the record; for dates on which nothing is seen
        see :func:`decompose`.

    Raises
    ------
    InputError
        As :func:`decompose`, but not where nothing is observed.

    Examples
    --------
    >>> values = 15 + np.multiply.outer(np.sin(np.arange(20.0)), np.arange(12.0).reshape(3, 4))
    >>> gappy = np.where(np.random.default_rng(0).random(values.shape) < 0.3, np.nan, values)
    >>> filled = dineof(gappy, domain=np.ones((3, 4), bool), modes=2, tolerance=1e-6)
    >>> bool(np.allclose(filled, values, atol=0.01))
    True
    """
    check_maps(values, domain, "T, H, W")
    filled = np.full_like(values, np.nan)
    observed = np.isfinite(values) & domain
    if not observed.any():
        return filled
    eofs = decompose(
        values,
        domain=domain,
        days=days,
        modes=modes,
        most_modes=most_modes,
        held_out=held_out,
        alpha=alpha,
        filter_rounds=filter_rounds,
        tolerance=tolerance,
        rounds=rounds,
        seed=seed,
    )
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
    modes: int | None = None,
    most_modes: int = 200,
    held_out: np.ndarray | None = None,
    alpha: float = 0.01,
    filter_rounds: int = 3,
    tolerance: float = 1e-3,
    rounds: int = 300,
    seed: int = 0,
) -> Eofs:
    """Find the empirical orthogonal functions of a gappy record (Beckers and Rixen, 2003; Alvera-Azcárate et al. 2005).

    The mean of all observations is removed and gaps start at 0. A truncated singular value decomposition of the cells
    times the dates and its values in the gaps replace each other until the gaps change by less than ``tolerance``. This
    is done with 1, 2, ... modes, each number starting where the last ended, and the number is kept that is best at
    points held out; with it, and these points, the last reconstruction is made. (The authors' program puts estimates
    over these points again.)

    Before each decomposition the covariance between dates diffuses along both its time axes (Alvera-Azcárate et al.,
    2009), over the true distances of the dates, which keeps noise of single dates out of the modes. Each singular value
    is that of the filtered covariance, each spatial mode the projection of the unfiltered values, of norm 1, as in the
    authors' program.

    The decomposition is not begun anew in each round: a block of directions in time, some more than modes, is
    multiplied once by the covariance of the values as they are now (subspace iteration), which is exact where the
    record has no more dates than the block. Memory holds one copy of the record, in float64, and where its gaps are.
    One core takes 2 s for 10 dates of 22,186 cells and 5 modes, 10 s for 600 dates of 941 cells and 140 modes, 150 s
    for 3,650 dates and 200 modes.

    Parameters
    ----------
    values : ndarray, shape (T, H, W)
        Measured maps, NaN where unseen. Dates on which nothing is seen are left out of the decomposition; their
        amplitudes are interpolated linearly between the neighbours', or 0 (the mean of the record) without ``days``.
    domain : ndarray of bool, shape (H, W)
        True where the quantity exists.
    days : ndarray, shape (T,), optional
        Dates as numbers of days, increasing, in any spacing. Without them the maps have no order: there is no filter.
    modes : int, optional
        How many to keep; by default the number that is best at the points held out.
    most_modes : int
        The largest number that is tried; the search ends when the error has risen three times in a row.
    held_out : ndarray of bool, shape (T, H, W), optional
        True where an observation is held out to choose the number of modes: under clouds, say. By default single points
        at random: as many as 1 % of the cells of all dates and 40, but no more than 3 % of them or a tenth of the
        observations.
    alpha : float
        Strength of the filter in a round, in squares of the shortest time between two dates, from 0 (no filter) to 0.5,
        beyond which diffusion is unstable. For daily maps it is the ``alpha`` of the authors' program.
    filter_rounds : int
        How often covariances diffuse; its ``numit``.
    tolerance : float
        The end of a reconstruction: root mean square change of the gaps in a round, in standard deviations of the
        observations.
    rounds : int
        At most so many rounds with each number of modes.
    seed : int
        Of the points held out.

    Returns
    -------
    Eofs

    Raises
    ------
    InputError
        Where the shapes do not fit, the dates do not increase, nothing is observed or held out, or a parameter is out
        of its range.

    Examples
    --------
    >>> values = 15 + np.multiply.outer(np.sin(np.arange(20.0)), np.arange(12.0).reshape(3, 4))
    >>> gappy = np.where(np.random.default_rng(0).random(values.shape) < 0.3, np.nan, values)
    >>> eofs = decompose(gappy, domain=np.ones((3, 4), bool), modes=2)
    >>> bool(eofs.explained_variance.sum() > 0.99)
    True
    """
    check_maps(values, domain, "T, H, W")
    days = None if days is None else check_days(days, len(values))
    _check_ranges(alpha=alpha, filter_rounds=filter_rounds, tolerance=tolerance, rounds=rounds, most_modes=most_modes)
    observed = np.isfinite(values) & domain
    seen = observed.any((1, 2))
    present = np.ascontiguousarray(observed[seen][:, domain].T)
    count, limit = int(present.sum()), min(present.shape)
    if not count:
        raise InputError("values must have an observation within the domain, got none; give maps with something seen")
    if modes is not None and not 1 <= modes <= limit:
        raise InputError(f"modes must be 1 to {limit} (dates with data, or cells), got {modes}; leave it out to choose")
    if modes is not None and held_out is not None:
        raise InputError("points are held out to choose the number of modes, got both; give modes or held_out")
    random = np.random.default_rng(seed)
    hidden = None
    if held_out is not None:
        hidden = _given(held_out, observed)[seen][:, domain].T
    elif modes is None and count > 1:
        hidden = _scattered(present, random)

    x = np.ascontiguousarray(values[seen][:, domain].T, dtype="float64")
    x[~present] = 0.0
    mean = float(x.sum()) / count
    np.subtract(x, mean, out=x, where=present)
    record = _Record(
        x,
        ~present,
        diffusion=None if days is None or not alpha else _diffusion(days[seen], alpha, filter_rounds),
        least_change=tolerance * (float(np.linalg.norm(x)) / math.sqrt(count) or 1.0),
        rounds=rounds,
        random=random,
    )
    errors: list[float] = []
    if hidden is None:
        for number in range(1, (modes or 1) + 1):
            best, iterations = record.converge(number)
    else:
        number, errors = _choose(record, hidden, min(most_modes, limit))
        best, iterations = record.converge(number)

    temporal = np.zeros((len(values), len(best.singular_values)))
    temporal[seen] = best.temporal
    if days is not None:
        for mode in temporal.T:
            mode[~seen] = np.interp(days[~seen], days[seen], mode[seen])
    spatial = np.full((temporal.shape[1], *domain.shape), np.nan)
    spatial[:, domain] = best.spatial.T
    explained = np.square(best.singular_values) / (np.linalg.norm(x) ** 2 or 1.0)
    return Eofs(mean, spatial, best.singular_values, temporal, explained, np.array(errors), iterations)


class _Modes(NamedTuple):
    """Spatial (S, K), singular values (K,) and temporal modes (T, K)."""

    spatial: np.ndarray
    singular_values: np.ndarray
    temporal: np.ndarray

    def first(self, count: int) -> _Modes:
        # Copies: the whole is not to be kept alive.
        return _Modes(*(each[..., :count].copy() for each in self))


class _Record:
    """Anomalies (S, T), filled as far as is known, and what is followed of them: directions in time and modes."""

    def __init__(
        self,
        x: np.ndarray,
        gaps: np.ndarray,
        *,
        diffusion: csr_array | None,
        least_change: float,
        rounds: int,
        random: np.random.Generator,
    ) -> None:
        self.x, self.gaps, self.diffusion = x, gaps, diffusion
        self.least_change, self.rounds, self.random = least_change, rounds, random
        self.basis = np.empty((x.shape[1], 0))
        self.modes = _Modes(np.empty((len(x), 0)), np.empty(0), self.basis)

    def converge(self, count: int) -> tuple[_Modes, int]:
        """Fill and decompose in turn until the gaps hardly change; the modes that filled them last, and the rounds."""
        dates, directions = self.basis.shape
        if directions < min(dates, count + BESIDE):
            new = self.random.standard_normal((dates, min(dates, count + 2 * BESIDE) - directions))
            self.basis = np.linalg.qr(np.hstack([self.basis, new]))[0]
            for _ in range(WARM):
                self.fill(None)
        kept, done, change = self.modes, 0, math.inf
        while done < self.rounds and change >= self.least_change:
            kept, done = self.modes.first(count), done + 1
            change = self.fill(kept)
        return kept, done

    def fill(self, kept: _Modes | None) -> float:
        """Put what the modes say into the gaps, then decompose; the root mean square change of the gaps."""
        # One pass over the record serves both.
        x, basis, change = self.x, self.basis, 0.0
        filtered = basis if self.diffusion is None else self.diffusion.T @ basis
        covariance = np.zeros((basis.shape[1],) * 2)
        onward = np.zeros_like(basis)
        loadings = np.empty((len(x), basis.shape[1]))
        some = max(1, AT_A_TIME // x.shape[1])
        for start in range(0, len(x), some):
            cells = slice(start, start + some)
            part = x[cells]
            if kept is not None:
                step = (kept.spatial[cells] * kept.singular_values) @ kept.temporal.T
                step -= part
                step *= self.gaps[cells]
                part += step
                change += np.vdot(step, step)
            projected = part @ filtered
            covariance += projected.T @ projected
            onward += part.T @ projected
            loadings[cells] = projected if self.diffusion is None else part @ basis
        squares, turn = np.linalg.eigh(covariance)
        squares, turn = np.maximum(squares[::-1], 0.0), turn[:, ::-1]
        spatial = loadings @ turn
        norm = np.linalg.norm(spatial, axis=0)
        np.divide(spatial, norm, out=spatial, where=norm > 0)
        self.modes = _Modes(spatial, np.sqrt(squares), basis @ turn)
        # Turned to the modes first: columns of very different size then lose no digits in the orthogonalisation.
        onward = onward @ turn
        self.basis = np.linalg.qr(onward if self.diffusion is None else self.diffusion @ onward)[0]
        return math.sqrt(change / max(1, self.gaps.sum()))


def _choose(record: _Record, hidden: np.ndarray, most: int) -> tuple[int, list[float]]:
    """The number of modes that is best where ``hidden``, and the errors; the record, whole again, filled with these."""
    gaps, true = record.gaps, record.x[hidden]
    record.gaps = gaps | hidden
    record.x[hidden] = 0.0
    errors: list[float] = []
    best = record.modes
    for number in range(1, most + 1):
        kept, _ = record.converge(number)
        errors.append(math.sqrt(np.square(record.x[hidden] - true).mean()))
        if errors[-1] == min(errors):
            best = kept
        if len(errors) > 3 and min(np.diff(errors[-4:])) > 0:
            break
    record.gaps = gaps
    record.x[hidden] = true
    record.fill(best)
    return len(best.singular_values), errors


def _diffusion(days: np.ndarray, alpha: float, filter_rounds: int) -> csr_array:
    """The filter of a series on these dates, (T, T): explicit steps of diffusion, nothing flowing out at the ends."""
    from scipy.sparse import csr_array, diags_array, eye_array

    step = np.diff(days)
    filtered = eye_array(len(days), format="csr")
    if not len(step):
        return filtered
    width = np.diff(np.concatenate([[days[0] - step[0] / 2], days[:-1] + step / 2, [days[-1] + step[-1] / 2]]))
    slope = diags_array([-1 / step, 1 / step], offsets=[0, 1], shape=(len(step), len(days)))
    gain = diags_array([-np.ones(len(step)), np.ones(len(step))], offsets=[0, 1], shape=slope.shape).T
    once = filtered - alpha * step.min() ** 2 * diags_array(1 / width) @ gain @ slope
    for _ in range(filter_rounds):
        filtered = once @ filtered
    return csr_array(filtered)


def _scattered(present: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Single observations, drawn at random; none where there is only one."""
    where = np.flatnonzero(present)
    count = int(min(0.01 * present.size + 40, 0.03 * present.size, 0.1 * len(where)))
    hidden = np.zeros_like(present)
    if len(where) > 1:
        hidden.flat[random.choice(where, max(1, count), replace=False)] = True
    return hidden


def _given(held_out: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """The observations held out, of those there are."""
    if held_out.shape != observed.shape or held_out.dtype != bool:
        raise InputError(
            f"held_out must be a mask (bool) of shape {observed.shape}, got {held_out.dtype} of {held_out.shape}; "
            "give True where an observation is held out"
        )
    hidden = held_out & observed
    if not 0 < hidden.sum() < observed.sum():
        raise InputError(
            f"held_out must hide some observations and leave some, got {hidden.sum()} of {observed.sum()}; "
            "hide a few per cent, or leave it out"
        )
    return hidden


def _check_ranges(*, alpha: float, filter_rounds: int, tolerance: float, rounds: int, most_modes: int) -> None:
    if not 0 <= alpha <= 0.5:
        raise InputError(f"alpha must lie in [0, 0.5], got {alpha}; beyond it the filter is unstable, 0.01 is usual")
    if filter_rounds < 0:
        raise InputError(f"filter_rounds must be 0 or more, got {filter_rounds}; give 3")
    if not tolerance > 0:
        raise InputError(f"tolerance must be more than 0, got {tolerance}; give 0.001")
    if min(rounds, most_modes) < 1:
        raise InputError(f"rounds and most_modes must be at least 1, got {rounds} and {most_modes}; give 300 and 200")
