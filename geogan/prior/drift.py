"""Estimate the drift of a field from its gappy frames, and keep it if hidden observations are predicted better with it.

Frames are compared by their correlation at all displacements, over the cells that both observe (Padfield 2012, *Masked
object registration in the Fourier domain*). Sums are taken over all pairs of frames before the correlation is formed,
because one mean drift is sought.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.optimize import minimize

from geogan.prior.film import Film
from geogan.prior.fit import hidden_error
from geogan.prior.gaussian import GaussianPrior
from geogan.prior.motion import Drift

# Largest displacement from a frame to the next: as a share of the grid's side, and in cells.
SHARE, CELLS = 0.3, 32
# Largest number of steps between frames that are compared: a slow drift shows in frames that are far apart.
STEPS = 3
# Dates count as a number of steps apart if they differ from it by less than this share of a step.
EVEN = 0.2
# Share of the pairs of cells that a displacement must leave.
PAIRS = 0.3
# The correlation at a displacement that leaves fewer.
UNKNOWN = -1.0
# Increase of the correlation that makes a drift worth a search (docs/experiments.md).
WORTH = 0.02
# Reduction of the logarithm of the error on hidden observations that justifies a drift, which takes longer to solve.
DRIFT_GAIN = 0.05
# Films that are compared.
MOST_FILMS = 4


def estimate_drift(films: Sequence[Film], *, is_periodic: bool = False) -> Drift | None:
    """Return the mean drift of the field in some films; None if its frames correlate no better when they are displaced.

    Parameters
    ----------
    films : sequence of Film
        All observations of ``mask`` are compared. Bands drift together.
    is_periodic : bool
        Whether the last column of the films touches the first.

    Returns
    -------
    Drift or None
        In cells a day.
    """
    films = [film for film in films if len(film.days) > 1][:MOST_FILMS]
    if not films:
        return None
    step = float(np.median(np.concatenate([film.days.diff().numpy() for film in films])))
    side_y, side_x = (min(film.values.shape[axis] for film in films) for axis in (-2, -1))
    reach = (min(CELLS, int(SHARE * side_y)), min(CELLS, int(SHARE * side_x)))
    if step <= 0 or min(reach) < 1:
        return None
    maps = [_correlation(films, number, step, reach, is_periodic=is_periodic) for number in range(1, STEPS + 1)]
    gains = [_Gain.of(maps, _peak(each) / number) for number, each in enumerate(maps, 1) if each is not None]
    if not gains:
        return None
    best = max(gains, key=lambda gain: gain(gain.start))
    displacement = best.refined()
    if best(displacement) < WORTH:
        return None
    return Drift(*(float(part) / step for part in displacement))


def fit_drift(
    still: GaussianPrior,
    films: Sequence[Film],
    *,
    fit: Callable[[GaussianPrior], GaussianPrior],
    is_periodic: bool = False,
) -> GaussianPrior:
    """Return a prior that drifts if it predicts hidden observations better than one that stands still.

    Parameters
    ----------
    still : GaussianPrior
        Fitted without a drift.
    films : sequence of Film
        With hidden observations.
    fit : callable
        Fit the other parameters, among them the persistence, starting from a prior, whose drift it keeps.
    is_periodic : bool
        Whether the last column of the films touches the first.
    """
    drift = estimate_drift(films, is_periodic=is_periodic)
    if drift is None:
        return still
    moving = fit(replace(still, drift_y=drift.y, drift_x=drift.x))
    gain = math.log(hidden_error(still, films) + 1e-9) - math.log(hidden_error(moving, films) + 1e-9)
    return moving if gain > DRIFT_GAIN else still


def _correlation(
    films: Sequence[Film], number: int, step: float, reach: tuple[int, int], *, is_periodic: bool
) -> np.ndarray | None:
    """Return the correlation of frames a number of steps apart, at displacements of up to that times the reach.

    The shape is (2 number reach_y + 1, 2 number reach_x + 1), :data:`UNKNOWN` where frames share too few cells.
    None if no two dates are so far apart.
    """
    far_y, far_x = (number * cells for cells in reach)
    sums = np.zeros((4, 2 * far_y + 1, 2 * far_x + 1))
    for film in films:
        sums += _sums(film, number * step, EVEN * step, (far_y, far_x), is_periodic=is_periodic)
    products, squares, later_squares, pairs = sums
    is_enough = pairs > PAIRS * pairs.max()
    if not is_enough.any() or not (squares * later_squares)[is_enough].any():
        return None
    scale = np.sqrt(np.maximum(squares * later_squares, 1e-12))
    return np.where(is_enough, products / scale, UNKNOWN)


def _sums(film: Film, apart: float, tolerance: float, far: tuple[int, int], *, is_periodic: bool) -> np.ndarray:
    """Return sums over pairs of frames and their common cells: products, both squares, and the number of cells."""
    days = film.days.numpy()
    earlier, later = np.nonzero(np.abs(days[None] - days[:, None] - apart) <= tolerance)
    mask = film.mask.numpy().astype(float) > 0
    count = np.maximum(mask.sum((-2, -1), keepdims=True), 1)
    values = np.where(mask, film.values.numpy(), 0.0)
    values = np.where(mask, values - values.sum((-2, -1), keepdims=True) / count, 0.0)
    height, width = mask.shape[-2:]
    size = (height + far[0], width if is_periodic else width + far[1])
    waves, square_waves, mask_waves = (np.fft.rfft2(part, size) for part in (values, values**2, mask.astype(float)))
    sums = []
    for a, b in (
        (waves, waves),
        (square_waves, mask_waves),
        (mask_waves, square_waves),
        (mask_waves, mask_waves),
    ):
        product = np.zeros(waves.shape[-2:], complex)
        for one, other in zip(earlier, later):
            product += (a[one].conj() * b[other]).sum(0)
        lags = np.fft.irfft2(product, size)
        rows, columns = (np.arange(-cells, cells + 1) % length for cells, length in zip(far, size))
        sums.append(lags[rows[:, None], columns])
    return np.array(sums)


def _peak(correlation: np.ndarray) -> np.ndarray:
    """Return the displacement at which a correlation is largest, in cells along rows and columns."""
    place = np.array(np.unravel_index(int(correlation.argmax()), correlation.shape))
    return np.asarray(place - (np.array(correlation.shape) - 1) / 2)


@dataclass(frozen=True)
class _Gain:
    """How much better frames correlate if they are displaced, on the mean over some numbers of steps between them.

    Attributes
    ----------
    maps : list of (int, ndarray)
        Numbers of steps, and the correlation of frames so far apart.
    start : ndarray, shape (2,)
        A displacement in a step, along rows and columns.
    """

    maps: list[tuple[int, np.ndarray]]
    start: np.ndarray

    @classmethod
    def of(cls, maps: Sequence[np.ndarray | None], start: np.ndarray) -> _Gain:
        """Return the gain near a displacement, over the maps that reach it."""
        chosen = []
        for number, correlation in enumerate(maps, 1):
            if correlation is not None:
                place = (np.array(correlation.shape) - 1) // 2 + np.rint(number * start).astype(int)
                is_inside = bool((place >= 0).all() and (place < correlation.shape).all())
                if is_inside and correlation[tuple(place)] > UNKNOWN:
                    chosen.append((number, correlation))
        return cls(chosen, start)

    def __call__(self, displacement: np.ndarray) -> float:
        """Return the correlation of frames displaced by so much in a step, minus that of frames as they are."""
        gains = []
        for number, correlation in self.maps:
            centre = (np.array(correlation.shape) - 1) / 2
            places = np.stack([centre + number * displacement, centre], 1)
            moved, still = map_coordinates(correlation, places, order=3, mode="nearest")
            gains.append(moved - still)
        return float(np.mean(gains)) if gains else 0.0

    def refined(self) -> np.ndarray:
        """Return the displacement near the start where the gain is largest."""
        simplex = self.start + np.array([[0.0, 0.0], [0.5, 0.0], [0.0, 0.5]])
        options = {"initial_simplex": simplex, "xatol": 0.01}
        return np.asarray(minimize(lambda point: -self(point), self.start, method="Nelder-Mead", options=options).x)
