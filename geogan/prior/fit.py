"""Choose the parameters of a prior: those that predict hidden observations best.

A Gaussian prior is fitted by the predictive log score of many small blocks (:mod:`geogan.prior.predictive_score`). A
few large hidden pieces correct its length, and decide by their error (:func:`hidden_error`) whether the archive's own
covariance is better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from scipy.optimize import OptimizeResult, minimize
from torch import Tensor

from geogan.compute.threads import side_by_side
from geogan.fields.trust import trust
from geogan.operators.errors import InputError
from geogan.operators.operator import Operator
from geogan.prior.archive_covariance import ArchivePrior
from geogan.prior.blur import PointSpread, measured
from geogan.prior.brief import fit_brief, log_error
from geogan.prior.film import Film, Scales
from geogan.prior.gaussian import GaussianPrior
from geogan.prior.predictive_score import (
    Block,
    BoundedSpace,
    EndlessSpace,
    Parameters,
    PredictiveScore,
    draw_blocks,
    moved,
)

# Number of independent clouds from which on the amplitude of the large hidden pieces has more weight than that of the
# predictive score, and number that the clouds of one film count as at most (docs/experiments.md).
OWN_CLOUDS, MOST_OF_FILM = 15, 20
# Share of a squared error that known observation errors may explain at most is one minus this.
LEAST_SHARE = 0.01


class Solvable(Scales, Protocol):
    """A prior whose posterior mean and members can be computed: a frozen dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def noise(self) -> float: ...
    @property
    def amplitude(self) -> float: ...
    @property
    def blur(self) -> PointSpread | None: ...
    @property
    def map(self) -> Callable[..., Tensor]: ...
    @property
    def at(self) -> Callable[..., Any]: ...
    @property
    def members(self) -> Callable[..., tuple[Tensor, Tensor]]: ...


AnyPrior = TypeVar("AnyPrior", bound=Solvable)


def hidden_error(prior: Solvable, films: Sequence[Film], *, tolerance: float = 1e-3) -> float:
    """Return the root mean square error of the first guess on hidden observations, in units of the anomalies.

    Where the errors of observations are known, their square is subtracted, and precise observations count more.

    Parameters
    ----------
    prior : GaussianPrior or ArchivePrior
    films : sequence of Film
    tolerance : float
        Tolerance of the solver.
    """
    return _errors(prior, films, tolerance)[0]


def _errors(prior: Solvable, films: Sequence[Film], tolerance: float = 1e-3) -> tuple[float, float]:
    """Return the errors on hidden clouds and on hidden single observations; 0 where there are none."""

    def sums_of(batch: Film) -> np.ndarray:
        error = batch.uncertainty
        guess = batch.prior(prior).map(
            batch.values * batch.kept, batch.kept, batch.cells, batch.days, tolerance=tolerance, uncertainty=error
        )
        guess = measured(prior, guess, batch.cells)
        sums = np.zeros((2, 3))
        for row, where in enumerate((batch.hidden, batch.single)):
            if where is not None:
                weight = where if error is None else trust(where, error)
                noise = 0.0 if error is None else float((weight * error**2).sum())
                sums[row] = float((weight * (guess - batch.values) ** 2).sum()), noise, float(weight.sum())
        return sums

    sums = sum(side_by_side(sums_of, _batches(films)))
    clouds, single = (
        math.sqrt(max(square - noise, LEAST_SHARE * square) / max(count, 1e-6))
        for square, noise, count in sums  # type: ignore[union-attr]
    )
    return clouds, single


def _batches(films: Sequence[Film]) -> list[Film]:
    """Stack films of one shape: for small films a call of the solver costs more than its arithmetic."""
    most = 200_000  # values of a batch
    groups: dict[torch.Size, list[Film]] = {}
    for film in films:
        groups.setdefault(film.values.shape, []).append(film)
    batches = []
    for shape, group in groups.items():
        size = max(1, most // shape.numel())
        batches += [Film.stack(group[start : start + size]) for start in range(0, len(group), size)]
    return batches


def fit_amplitude(prior: AnyPrior, films: Sequence[Film], *, seed: int, draws: int = 3) -> AnyPrior:
    """Return the prior with an amplitude between its own and that of the error on hidden observations.

    With the latter, the posterior spread equals the error on the hidden observations of the films. Few of them tell
    little of it: the logarithms of the two are averaged, with the number of independent clouds as a weight against
    :data:`OWN_CLOUDS`.

    Parameters
    ----------
    prior : GaussianPrior or ArchivePrior
        Its amplitude is that of the predictive score.
    films : sequence of Film
    seed : int
        Seed of the draws.
    draws : int
        Number of deviations drawn for each film.
    """
    batches = list(enumerate(_batches(films)))
    clouds, own = _independent_clouds(films, prior), prior.amplitude

    def squares(numbered: tuple[int, Film], prior: AnyPrior) -> tuple[float, float]:
        """Return the squared error and the squared spread on the hidden observations of a batch."""
        number, batch = numbered
        error, hidden, unit = batch.uncertainty, batch.hidden, replace(prior, amplitude=1.0)
        noise = torch.randn((2, draws, *batch.values.shape), generator=torch.Generator().manual_seed(seed + number))
        if error is not None:
            # The weights of uncertain observations depend on the amplitude.
            hidden, unit = trust(hidden, error), prior
        guess, deviations = batch.prior(unit).members(
            batch.values * batch.kept,
            batch.kept,
            batch.cells,
            batch.days,
            noise=noise,
            tolerance=3e-3,
            uncertainty=error,
        )
        guess, deviations = (measured(prior, part, batch.cells) for part in (guess, deviations))
        variance = (deviations / unit.amplitude).square().mean(0) + prior.noise**2
        square = float((hidden * (guess - batch.values) ** 2).sum())
        if error is not None:
            square = max(square - float((hidden * error**2).sum()), LEAST_SHARE * square)
        return square, float((hidden * variance).sum())

    # With uncertain observations the posterior depends on the amplitude, so it is found by three fixed-point rounds.
    for _ in range(1 if films[0].uncertainty is None else 3):
        found = side_by_side(partial(squares, prior=prior), batches)
        square, variance = (sum(part) for part in zip(*found))
        if square > 0:
            ratio = math.log(math.sqrt(square / variance) / own)
            prior = replace(prior, amplitude=own * math.exp(clouds / (clouds + OWN_CLOUDS) * ratio))
    return prior


def _independent_clouds(films: Sequence[Film], prior: Scales) -> float:
    """Return the number of independent clouds that the films hide; those of one film or of equal dates count as few."""
    places: list[Film] = []
    numbers = []
    for film in films:
        same = (n for n, other in enumerate(places) if _is_of_one_place(film, other))
        place = next(same, len(places))
        places += [film] if place == len(places) else []
        patches = film.patches(film.hidden, prior)
        numbers.append(np.stack([np.full_like(patches, place), patches]))
    clouds, cells = np.unique(np.concatenate(numbers, 1), axis=1, return_counts=True)
    of_place = np.bincount(clouds[0], cells)
    effective, of_places = (float(part.sum() ** 2 / (part**2).sum()) for part in (cells.astype(float), of_place))
    return 1 / (1 / effective + 1 / (MOST_OF_FILM * of_places))


def _is_of_one_place(film: Film, other: Film) -> bool:
    """Return whether two films are of the same cells and dates."""
    return torch.equal(film.days, other.days) and torch.equal(film.values, other.values)


def _nelder_mead(
    loss: Callable[[np.ndarray], float],
    simplex: np.ndarray,
    evaluations: int,
    *,
    callback: Callable[..., None] | None = None,
) -> OptimizeResult:
    """Minimise by Nelder and Mead (1965), from the corners of a simplex (n + 1, n)."""
    return minimize(
        loss,
        simplex[0],
        method="Nelder-Mead",
        callback=callback,
        options={"maxfev": evaluations, "initial_simplex": simplex},
    )


# Coordinates of the search for a Gaussian prior: logarithms of all parameters but the tilt; for the noise that of
# ``hypot(noise, FAINT_NOISE)``, since the score is flat along the logarithm of a small noise.
LENGTH, PERSISTENCE, NOISE, ASPECT, DETAIL, AMPLITUDE, TILT = range(len(Parameters._fields))
# Start of the search for a smooth field; the rough field starts from its result with this detail.
SMOOTH_START, ROUGH_DETAIL = GaussianPrior(length=20.0, noise=0.15), 0.1
# Largest detail of a rough field, whose two lengths would otherwise be the same.
MOST_DETAIL = 0.95
# Noise is at least so much: with less the solver takes many times as long, and the prediction is hardly better.
LEAST_NOISE, FAINT_NOISE = 0.02, 0.1
# Observations in a block, and numbers of blocks in the stages of a search. A stage is left out if the parameters of the
# one before are worse on its blocks than its own by less than SETTLED, in nats for each hidden observation.
BLOCK_SIZE, STAGES, SETTLED = 200, (64, 192, 384), 0.003
# Few observations fill few blocks: so many for each block at least, and so many blocks.
OBSERVATIONS, FEWEST_BLOCKS = 100, 12
# Blocks for each evaluation that a stage may make, at most: a search that is stopped early needs no precise score.
BLOCKS_OF_EVALUATION = 8
# The edges of the domain are considered on domains of at most so many cells, in a last stage of so many evaluations:
# matrices of larger ones take too long.
BOUNDED_CELLS, BOUNDED_EVALUATIONS = 1100, 12
# Reduction of the score, in nats for each hidden observation, that justifies a rough field. Where the scores differ by
# less than UNSURE, smooth and rough are compared on the blocks of the second stage too.
ROUGH_GAIN, UNSURE = 0.005, 0.03
# Reduction of the logarithm of the error on large hidden pieces that overrules the score.
OVERRULED = 0.1
# Step of the length in the search by score and hidden pieces, largest number of steps, evaluations of the score in
# each, values of the pieces, and number of independent clouds from which on they take part (docs/experiments.md). A
# search that is stopped after fewer evaluations does without the pieces.
LENGTH_STEP, MOST_STEPS, STEP_EVALUATIONS, PIECE_VALUES, FEWEST_CLOUDS = math.log(2 / 3), 3, 5, 300_000, 8
FEWEST_EVALUATIONS = 20
# Share of the domain that is observed, below which blocks show nearly all observations, so that pieces are not needed.
THIN = 0.1


@dataclass(frozen=True)
class _MarkovSpace:
    """Bounds of the search for a Gaussian prior, and its start."""

    start: GaussianPrior
    low: np.ndarray
    high: np.ndarray
    has_time: bool

    @classmethod
    def of(cls, films: Sequence[Film], start: GaussianPrior | None, *, has_time: bool) -> _MarkovSpace:
        """Return the space for some films, around a prior or around a common one."""
        steps = [float(film.days.diff().median()) for film in films if has_time and len(film.days) > 1]
        step = max(min(steps, default=1.0), 1e-3)
        side = max(max(film.domain.shape) for film in films)
        if start is None:
            start = replace(SMOOTH_START, persistence=5.0 * step, amplitude=_amplitude(films))
        # A shorter length cannot be told from noise, a longer one not from a constant.
        scale = start.amplitude
        low = _coordinates(np.array([2.0, 0.1 * step, LEAST_NOISE, 0.25, 0.003, 0.02 * scale, -3.0]))
        high = _coordinates(np.array([8.0 * side, 1000.0 * step, 10.0, 4.0, MOST_DETAIL, 50.0 * scale, 3.0]))
        return cls(start, low, high, has_time)

    def point(self, prior: GaussianPrior) -> np.ndarray:
        """Return the coordinates of a prior."""
        return _coordinates(np.array([getattr(prior, name) for name in Parameters._fields]))

    def prior(self, point: np.ndarray) -> GaussianPrior:
        """Return the prior at a point."""
        return replace(self.start, **dict(zip(Parameters._fields, _parameters(point).tolist())))

    def free(self, *, is_rough: bool, is_bounded: bool = False) -> list[int]:
        """Return the coordinates to search; of a domain with its edges, aspect and tilt are given."""
        free = [LENGTH, NOISE, AMPLITUDE]
        if self.has_time:
            free.append(PERSISTENCE)
        if not is_bounded:
            free.append(ASPECT)
        if is_rough:
            # Gaps of a film are filled along time, where a tilt gains little.
            free += [DETAIL] if self.has_time or is_bounded else [DETAIL, TILT]
        return sorted(free)

    def scored(self, score: PredictiveScore, point: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the score at a point and its derivatives; a high score without slope where it cannot be computed."""
        values = _parameters(point)
        value, slopes = score.value_and_gradient(Parameters(*torch.from_numpy(values)))
        slope = np.array([float(each) for each in slopes])
        slope[:TILT] *= values[:TILT]
        slope[NOISE] *= 1 + (FAINT_NOISE / values[NOISE]) ** 2
        return (value, slope) if math.isfinite(value) else (1e3, np.zeros_like(slope))

    def minimised(self, score: PredictiveScore, point: np.ndarray, free: Sequence[int], evaluations: int) -> _Found:
        """Return the point with the best score, which is searched along some coordinates by L-BFGS."""

        def loss(part: np.ndarray) -> tuple[float, np.ndarray]:
            at = point.copy()
            at[free] = part
            value, slope = self.scored(score, at)
            return value, slope[free]

        low, high = self.low[free], self.high[free]
        # The score is flat along the noise, so that differences far below its scatter matter.
        best = minimize(
            loss,
            np.clip(point[free], low, high),
            jac=True,
            method="L-BFGS-B",
            bounds=list(zip(low, high)),
            options={"maxfun": evaluations, "ftol": 2e-6, "gtol": 1e-4},
        )
        found = point.copy()
        found[free] = best.x
        return _Found(found, float(best.fun))


def _coordinates(values: np.ndarray) -> np.ndarray:
    """Return the coordinates of parameters in the order of :class:`Parameters`."""
    noise = np.hypot(values[NOISE], FAINT_NOISE)
    return np.array([*np.log([*values[:NOISE], noise, *values[NOISE + 1 : TILT]]), values[TILT]])


def _parameters(point: np.ndarray) -> np.ndarray:
    """Return the parameters at some coordinates."""
    values = np.array([*np.exp(point[:TILT]), point[TILT]])
    # Rounding may leave slightly less than the least noise.
    values[NOISE] = np.sqrt(max(values[NOISE] ** 2 - FAINT_NOISE**2, LEAST_NOISE**2))
    return values


class _Found(NamedTuple):
    """Result of a search by the predictive score."""

    point: np.ndarray
    score: float


def _amplitude(films: Sequence[Film]) -> float:
    """Return the standard deviation of the field if observation errors are known, else 1, the scale of anomalies."""
    known = [(film, film.uncertainty) for film in films if film.uncertainty is not None]
    if not known:
        return 1.0
    weights = [trust(film.kept + film.hidden, error) for film, error in known]
    square, noise, count = (
        sum(float(part.sum()) for part in parts)
        for parts in zip(
            *((weight * film.values**2, weight * error**2, weight) for weight, (film, error) in zip(weights, known))
        )
    )
    return math.sqrt(max(square - noise, 10 * LEAST_SHARE * square) / max(count, 1e-6)) or 1.0


def fit_prior(
    films: Sequence[Film],
    *,
    evaluations: int = 50,
    start: GaussianPrior | None = None,
    temporal: bool = True,
    is_periodic: bool = False,
    operator: Operator | None = None,
    seed: int = 0,
) -> GaussianPrior:
    """Return the Gaussian prior with the best predictive log score of hidden observations in many small blocks.

    A smooth and a rough field are fitted, and the one with the better score is returned. The other one is returned if
    its error on the hidden parts of the films is far smaller. Where these parts are many independent clouds, their
    error corrects the length, and takes part in the comparison of the two.

    Parameters
    ----------
    films : sequence of Film
        Real observations, from which the blocks are drawn. Large parts of them are hidden, which confirm the choice.
    evaluations : int
        Largest number of evaluations of the score in each stage of the search.
    start : GaussianPrior, optional
        Where the search starts.
    temporal : bool
        False for frames that are independent samples: their persistence has no effect and is not searched.
    is_periodic : bool
        Whether the films go once round the globe.
    operator : Operator, optional
        How the observations of the films were made; if it blurs, the parameters are those of the field without blur.
    seed : int
        Seed of the blocks.

    Raises
    ------
    InputError
        If no observation is hidden in any film.
    """
    if not any(bool(film.hidden.any()) for film in films):
        raise InputError(
            "no observation could be hidden to fit the first guess with; give an operator with more gaps, "
            "more dates, or --no-first-guess"
        )
    has_time = temporal and any(len(film.days) > 1 for film in films)
    space = _MarkovSpace.of(films, start, has_time=has_time)
    space = replace(space, start=space.start.around(is_periodic))
    if operator is not None:
        space = replace(space, start=space.start.through(operator))
    generator = np.random.default_rng([seed, 0xB10C])
    most = BLOCKS_OF_EVALUATION * evaluations
    drawing = _Drawing(films, space.start, generator, most=most, has_time=has_time, is_periodic=is_periodic)
    blocks = drawing.blocks(STAGES[0])
    if not blocks:
        return space.start
    smooth, rough = _smooth_and_rough(space, drawing, blocks, evaluations)
    if abs(rough.score - smooth.score) < UNSURE and (more := drawing.blocks(STAGES[1] - len(blocks))):
        blocks = blocks + more
        score = drawing.score(blocks)
        smooth, rough = (
            space.minimised(score, found.point, space.free(is_rough=is_rough), evaluations)
            for found, is_rough in ((smooth, False), (rough, True))
        )
    fitted = _chosen(space, drawing, blocks, smooth, rough, evaluations)
    # A field that drifts takes longer to solve, and on few data is compared with one that stands still.
    if not has_time or fitted.is_moving or fitted.blur is not None:
        return fitted
    return fit_brief(fitted, space.prior(smooth.point), partial(_errors, films=films))


class _Drawing:
    """Blocks of some films, drawn when they are needed."""

    def __init__(
        self,
        films: Sequence[Film],
        start: GaussianPrior,
        generator: np.random.Generator,
        *,
        most: int,
        has_time: bool,
        is_periodic: bool,
    ) -> None:
        self.films, self._start, self._generator = films, start, generator
        self._has_time, self.is_periodic = has_time, is_periodic
        self._observations = sum(int(film.mask.sum()) for film in films)
        self._left = max(FEWEST_BLOCKS, min(most, self._observations // OBSERVATIONS))

    def blocks(self, count: int) -> list[Block]:
        """Return so many more blocks; fewer if the observations do not fill them."""
        blocks = draw_blocks(
            self.films,
            min(count, self._left),
            size=min(BLOCK_SIZE, max(8, self._observations // 4)),
            generator=self._generator,
            has_time=self._has_time,
            is_periodic=self.is_periodic,
        )
        self._left -= len(blocks)
        return [moved(block, self._start.drift_y, self._start.drift_x) for block in blocks]

    def score(self, blocks: Sequence[Block]) -> PredictiveScore:
        """Return the score of blocks on a grid without edges."""
        width = self.films[0].domain.shape[1] if self.is_periodic else None
        return PredictiveScore(blocks, EndlessSpace(blocks, width=width, blur=self._start.blur))

    @property
    def domain(self) -> Tensor | None:
        """The common domain of the films if it is small enough to consider its edges, and the field stands still."""
        first = self.films[0].domain
        is_common = all(torch.equal(film.domain, first) for film in self.films)
        is_small = is_common and int(first.sum()) <= BOUNDED_CELLS
        return first if is_small and not self._start.is_moving else None


def _smooth_and_rough(
    space: _MarkovSpace, drawing: _Drawing, blocks: list[Block], evaluations: int
) -> tuple[_Found, _Found]:
    """Return the best smooth and the best rough field of some blocks, without the edges of the grid."""
    score, point = drawing.score(blocks), space.point(space.start)
    smooth_point = point.copy()
    smooth_point[[DETAIL, TILT]] = 0.0
    smooth = space.minimised(score, smooth_point, space.free(is_rough=False), evaluations)
    rough_point = smooth.point.copy()
    # A rough field has a greater length than a smooth one for the same observations.
    rough_point[LENGTH] += 1.0
    rough_point[DETAIL] = math.log(ROUGH_DETAIL)
    rough = space.minimised(score, rough_point, space.free(is_rough=True), evaluations)
    return smooth, rough


def _chosen(
    space: _MarkovSpace, drawing: _Drawing, blocks: list[Block], smooth: _Found, rough: _Found, evaluations: int
) -> GaussianPrior:
    """Return the better of a smooth and a rough field of some blocks, settled."""
    best, other = (rough, smooth) if rough.score < smooth.score - ROUGH_GAIN else (smooth, rough)
    films, pieces = drawing.films, None
    if space.has_time and evaluations >= FEWEST_EVALUATIONS and not _are_thin(films):
        pieces = _Pieces.of(films, space.prior(smooth.point))
        pieces = pieces if pieces.clouds >= FEWEST_CLOUDS else None
    settled = partial(_settled, space, drawing, blocks, evaluations=evaluations, pieces=pieces)
    found = settled(best)
    if pieces is not None:
        if abs(rough.score - smooth.score) < UNSURE:
            found = min(found, settled(other), key=lambda each: each.score)
        return space.prior(found.point)
    error, error_of_other = (math.log(hidden_error(space.prior(each.point), films) + 1e-9) for each in (found, other))
    return space.prior((settled(other) if error_of_other < error - OVERRULED else found).point)


def _are_thin(films: Sequence[Film]) -> bool:
    """Return whether films show few cells of their domain, as tracks and stations do."""
    cells = sum(float(film.domain.sum()) * film.mask.shape[0] * film.mask.shape[1] for film in films)
    return sum(float((film.mask > 0).sum()) for film in films) < THIN * cells


class _Pieces(NamedTuple):
    """Some films with large hidden pieces, and the number of independent clouds that they hide."""

    films: Sequence[Film]
    clouds: float

    @classmethod
    def of(cls, films: Sequence[Film], smooth: GaussianPrior) -> _Pieces:
        """Return the first films with at most PIECE_VALUES values, two at least; a smooth field tells their scales."""
        ends = np.cumsum([film.values.numel() for film in films])
        films = films[: max(2, int((ends <= PIECE_VALUES).sum()))]
        return cls(films, _independent_clouds(films, smooth))

    def loss(self, score: float, prior: GaussianPrior) -> float:
        """Return a mean of the score of a prior and the logarithm of its error on the pieces."""
        weight = self.clouds / (self.clouds + OWN_CLOUDS)
        return (1 - weight) * score + weight * log_error(_errors(prior, self.films))


def _settled(
    space: _MarkovSpace,
    drawing: _Drawing,
    blocks: list[Block],
    found: _Found,
    evaluations: int,
    *,
    pieces: _Pieces | None,
) -> _Found:
    """Return a field refined on more blocks until more do not change it, with the edges of a small grid.

    If the pieces take part, its score is that of :meth:`_Pieces.loss`.
    """
    free, few = space.free(is_rough=found.point[DETAIL] < 0), blocks[: STAGES[0]]
    # Fewer blocks are enough where pieces take part.
    for count in (stage for stage in STAGES[: 3 if pieces is None else 2] if stage > len(blocks)):
        more = drawing.blocks(count - len(blocks))
        if not more:
            break
        blocks = blocks + more
        score = drawing.score(blocks)
        before = space.scored(score, found.point)[0]
        found = space.minimised(score, found.point, free, evaluations)
        if found.score > before - SETTLED:
            break
    if drawing.domain is not None:
        free = space.free(is_rough=found.point[DETAIL] < 0, is_bounded=True)
        bounded = BoundedSpace(drawing.domain, space.prior(found.point))
        found = space.minimised(
            PredictiveScore(blocks, bounded), found.point, free, min(evaluations, BOUNDED_EVALUATIONS)
        )
    if pieces is None:
        return found
    score = drawing.score(few) if drawing.domain is None else PredictiveScore(few, bounded)
    return _with_pieces(space, score, pieces, found.point, free)


def _with_pieces(
    space: _MarkovSpace, score: PredictiveScore, pieces: _Pieces, point: np.ndarray, free: Sequence[int]
) -> _Found:
    """Return a field with the length that is best by the score and by the error on large hidden pieces together.

    A block holds a thin sample of the observations. If the field is not of the prior's family, a thin sample is
    predicted best with a greater length than all observations are. Pieces hold all observations, but few independent
    clouds.
    """
    others = [coordinate for coordinate in free if coordinate in (NOISE, AMPLITUDE, PERSISTENCE)]

    def candidate(near: np.ndarray, step: float) -> _Found:
        at = near.copy()
        at[LENGTH] = np.clip(at[LENGTH] + step, space.low[LENGTH], space.high[LENGTH])
        found = space.minimised(score, at, others, STEP_EVALUATIONS)
        return _Found(found.point, pieces.loss(found.score, space.prior(found.point)))

    start = best = candidate(point, 0.0)
    for step in (LENGTH_STEP, -LENGTH_STEP):
        for _ in range(MOST_STEPS):
            other = candidate(best.point, step)
            if other.score >= best.score:
                break
            best = other
        if best is not start:
            break
    return best


@dataclass(frozen=True)
class _ArchiveSpace:
    """Coordinates of the search for an archive's prior.

    They are share and steady (logarithms of odds), the noise, and the persistence over a typical one (logarithms).
    """

    markov: GaussianPrior
    towards: ArchivePrior  # with the covariance of a Markov field
    archive: ArchivePrior  # with the covariance of the archive
    persistence: float  # at which the search starts

    def prior(self, point: np.ndarray) -> ArchivePrior:
        """Return the prior at a point."""
        share, steady = (1 / (1 + math.exp(-min(max(odds, -6.0), 6.0))) for odds in point[:2])
        return ArchivePrior(
            share * self.archive.covariance + (1 - share) * self.towards.covariance,
            persistence=self.persistence * math.exp(min(max(point[3], -3.0), 3.0)),
            steady=steady,
            noise=min(max(math.exp(point[2]), 0.01), 3.0),
            length=self.markov.length,
            aspect=self.markov.aspect,
            amplitude=self.markov.amplitude,
        )


# Start and first steps of the search for an archive's prior, in the coordinates of _ArchiveSpace.
ARCHIVE_START, ARCHIVE_STEPS = (math.log(0.6 / 0.4), 0.0, math.log(0.14), 0.0), (0.8, 1.0, 0.5, 0.7)
# Reduction of the logarithm of the error that justifies the archive's covariance, which takes longer to solve and whose
# windows cannot be mirrored.
ARCHIVE_GAIN = 0.03
# The search stops if the best of the first candidates is worse than the Markov field by this (docs/experiments.md).
HOPELESS = 0.1
# Multiplications of one solver iteration for a candidate: on larger grids fewer films are scored, but at least three.
PRODUCTS, FEWEST_FILMS = 250_000_000, 3


def fit_archive_prior(
    markov: GaussianPrior,
    films: Sequence[Film],
    values: Tensor,
    mask: Tensor,
    searched: Tensor,
    domain: Tensor,
    *,
    evaluations: int = 40,
) -> GaussianPrior | ArchivePrior:
    """Return a prior with the archive's own covariance if it predicts hidden observations better than a Markov field.

    Parameters
    ----------
    markov : GaussianPrior
        The fitted Markov field, which is returned if the archive's covariance is not better.
    films : sequence of Film
        Pieces of the whole grid.
    values, mask : Tensor, shape (T, C, H, W)
        Anomalies of all dates; 1 where observed.
    searched : Tensor, shape (T, C, H, W)
        The mask without the observations that the films hide, so that no covariance is scored on its own data.
    domain : Tensor, shape (H, W)
        1 where the field exists.
    evaluations : int
        Number of candidates (Nelder-Mead).
    """
    # The covariance is shrunk towards that of a rough field, since fields have many scales.
    rough = GaussianPrior(length=60.0, detail=0.05, aspect=markov.aspect, is_periodic=markov.is_periodic)
    products = films[0].values.numel() * domain.numel()
    films = films[: max(FEWEST_FILMS, PRODUCTS // products)]
    towards, archive = (ArchivePrior.fit(values, searched, domain, rough, share=share) for share in (0.0, 1.0))
    # A Markov field may explain what belongs to single dates by a persistence far below a step.
    persistence = max([markov.persistence, *(float(film.days.diff().median()) for film in films if len(film.days) > 1)])
    space = _ArchiveSpace(markov, towards, archive, persistence)
    markov_loss = math.log(hidden_error(markov, films) + 1e-9)

    def loss(point: np.ndarray) -> float:
        return math.log(hidden_error(space.prior(point), films) + 1e-9)

    def give_up(intermediate_result: OptimizeResult) -> None:
        if intermediate_result.fun > markov_loss + HOPELESS:
            raise StopIteration

    start = np.array(ARCHIVE_START)
    simplex = np.vstack([np.zeros(len(start)), np.diag(ARCHIVE_STEPS)]) + start
    best = _nelder_mead(loss, simplex, evaluations, callback=give_up)
    if best.fun > markov_loss - ARCHIVE_GAIN:
        return markov
    return replace(space, archive=ArchivePrior.fit(values, mask, domain, rough, share=1.0)).prior(best.x)
