"""The error on withheld observations, or on withheld noise: it chooses the best weights and calibrates errors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from geogan.archive import Archive
from geogan.fields.trust import trust
from geogan.model import Calibration, Ensemble, Networks, Reconstruction, reconstruct
from geogan.model.networks import ErrorModel, ErrorNet, Generator
from geogan.operators.errors import InputError
from geogan.operators.operator import Operator
from geogan.operators.within import blurred_within
from geogan.prior import ASPECTS, Film, Prior, nearness
from geogan.training.objective import error_likelihood
from geogan.training.recorruption import RECORRUPTION, SHOWN_ERROR, total_noise


class Residual(NamedTuple):
    """Errors on the withheld cells of one film, shape (N,)."""

    error: Tensor
    std: Tensor | None  # predicted
    noise: Tensor  # known standard deviation of the errors of the target
    weight: Tensor
    first_guess: Tensor  # error of the first guess
    spread: (
        tuple[float, float] | None
    )  # sums over all gaps: variance of posterior and prior noise, and predicted variance


class Residuals(NamedTuple):
    """Errors on all withheld cells of a judge, in anomalies; ndarray, shape (N,)."""

    error: np.ndarray
    std: np.ndarray  # predicted
    noise: np.ndarray  # known standard deviation of the errors of the observations
    film: np.ndarray  # number of the film of each cell
    cloud: np.ndarray  # number of the cloud of each cell: a box of the prior's length and persistence in a film
    level: float  # factor that gives predicted errors the level of the first guess's spread


@dataclass(frozen=True)
class Selection:
    """Selection of the withheld observations that a judge reads, and of the cells around them.

    Attributes
    ----------
    side : int
        Cells read on each side of a withheld one; a grid of up to ``4 * side**2`` cells is read whole.
    margin : int
        Dates read on each side of a run of withheld dates, for its first guess; never less than a window's.
    films, most_films : int
        Smallest and largest number of runs of withheld dates that are read: enough for a reliable error, few enough
        to be fast.
    values : int
        Total number of values read, between these limits.
    samples, samples_in_film : int
        Number of independent samples read, and of samples in one film.
    enough : int
        Number of runs from which they are divided between two judges, see :func:`is_divided`.
    choosing : int
        One run in this many then chooses the best weights. Networks are compared on the same clouds, so a few clouds
        are enough; the difficulty of clouds differs by a third, so calibration gets the larger part.
    is_set_aside : bool
        Whether the training leaves out what is judged; of noise, a tenth of independent samples is then judged.
    """

    side: int = 128
    margin: int = 6
    films: int = 16
    most_films: int = 64
    values: int = 1_500_000
    samples: int = 128
    samples_in_film: int = 16
    enough: int = 24
    choosing: int = 3
    is_set_aside: bool = False


@dataclass(frozen=True)
class Judge:
    """Measures a generator on observations withheld from its training.

    Where nothing is hidden but measurements are noisy, noise is withheld, see :mod:`geogan.training.recorruption`: the
    generator is shown ``y + alpha n``, and ``F`` of its answer is compared with ``y - n / alpha``. The mean square of
    the noise of that target is known; without it an unbiased estimate of the mean square error against ``F(x)``
    remains.

    Where the errors of the withheld observations are known, they are subtracted from the square too, and an observation
    counts the more, the smaller its error is.

    Attributes
    ----------
    operator : Operator
    films : tuple of Film
        With their first guess.
    floor : float
        Mean square of the noise of the target.
    by_noise : bool
        Whether noise is withheld, not observations.
    is_periodic : bool
        Whether the last column of the films touches the first.
    prior : Prior, optional
        That of the first guess. Its noise belongs to predicted errors, beside the known errors of the observations.
    """

    operator: Operator
    films: tuple[Film, ...]
    floor: float = 0.0
    by_noise: bool = False
    is_periodic: bool = False
    prior: Prior | None = None

    @classmethod
    def of(
        cls,
        archive: Archive,
        operator: Operator,
        prior: Prior | None,
        *,
        frames: int,
        chooses: bool | None = None,
        draws: int = 0,
        selection: Selection = Selection(),
    ) -> Judge:
        """Return the judge of an archive with withheld observations, or of a noisy archive without gaps.

        Parameters
        ----------
        archive : Archive
        operator : Operator
            Withheld observations are compared with what it would measure.
        prior : Prior or None
        frames : int
            Dates of a window.
        chooses : bool, optional
            True for the withheld clouds that choose the best weights, False for those that calibrate errors; by
            default, and where there are few, all. See :func:`is_divided`.
        draws : int
            Samples of the posterior of the first guess that predicted errors are compared with.
        selection : Selection

        Raises
        ------
        InputError
            If nothing is withheld, and there is no noise either.
        """
        by_noise = judged_by_noise(archive, operator)
        dates, runs = _withheld_dates(archive, selection, by_noise=by_noise)
        if chooses is not None and is_divided(archive, selection):
            dates = dates[(np.arange(len(dates)) % selection.choosing == 0) == chooses]
            runs = [run for number, run in enumerate(runs) if (number % selection.choosing == 0) == chooses]
        reader = _Reader(archive, operator, prior, draws=draws, by_noise=by_noise, selection=selection)
        if archive.independent:
            chosen = _spread_over(dates, selection.samples)
            parts = np.array_split(chosen, -(-len(chosen) // selection.samples_in_film))
            films = [reader.film(part, *reader.place(int(part[0]))) for part in parts]
        else:
            cells = min(archive.domain.size, 4 * selection.side**2)
            values = cells * archive.bands * (2 * frames + 4)
            most = int(np.clip(selection.values // values, selection.films, selection.most_films))
            films = [reader.run(runs[index], frames) for index in _spread_over(np.arange(len(runs)), most)]
        floor = _floor(films, reader.operator) if by_noise else 0.0
        return cls(reader.operator, tuple(films), floor, by_noise, reader.is_periodic, prior)

    @cached_property
    def guessed(self) -> float:
        """Error of the first guess alone, see :meth:`error`."""
        return self.error(None)

    @property
    def cells(self) -> int:
        """Number of observations that reconstructions are compared with."""
        return int(sum(float(film.withheld.sum()) for film in self.films))

    def error(self, network: Generator | None, *, precision: torch.dtype = torch.float32) -> float:
        """Return the root mean square error on the withheld observations, in anomalies; of the first guess for None.

        Against noise it is an estimate, whose mean square may be negative: its root then is negative too.
        """
        return self.scores(network, precision=precision)[0]

    def scores(
        self, network: Generator | None, error: ErrorModel | None = None, *, precision: torch.dtype = torch.float32
    ) -> tuple[float, float | None]:
        """Return the root mean square error, and the loss of the network that predicts it.

        Parameters
        ----------
        network : Generator or None
            None for the first guess.
        error : ErrorNet, optional
        precision : torch.dtype

        Returns
        -------
        (float, float or None)
            In anomalies; :func:`geogan.training.objective.error_likelihood`, None without ``error``.
        """
        square = loss = weights = 0.0
        for residual in self._residuals(network, error, precision):
            squares = residual.error**2
            square += float((residual.weight * (squares - residual.noise**2)).sum())
            weights += float(residual.weight.sum())
            if residual.std is not None and error is not None:
                std, everywhere = residual.std, torch.ones_like(residual.std)
                loss += float(error_likelihood(std, squares, everywhere, error.scale, residual.noise)) * len(std)
        return _root(square / weights - self.floor), None if error is None else loss / self.cells

    def paired_squares(self, network: Generator | None, *, precision: torch.dtype = torch.float32) -> np.ndarray:
        """Return the squared errors of a network and of the first guess, summed over the withheld cells of each film.

        Returns
        -------
        squares : ndarray, shape (N, 2)
            Weighted sums, without the known squared errors of the observations.
        """
        rows = []
        for residual in self._residuals(network, None, precision):
            both = (residual.error, residual.first_guess)
            rows.append([float((residual.weight * (part**2 - residual.noise**2)).sum()) for part in both])
        return np.array(rows)

    def residuals(
        self, network: Generator | None, error: ErrorModel, *, precision: torch.dtype = torch.float32
    ) -> Residuals:
        """Return errors on the withheld cells, and their predicted standard deviations.

        Predicted errors are learned on observations that also trained the generator, so they may be too small. The
        spread of the posterior is not learned, and is known in all gaps; the ratio of the errors of generator and first
        guess is known well from a few clouds. Together they give the level of the predicted errors.
        """
        residuals = list(self._residuals(network, error, precision))
        films = np.repeat(np.arange(len(residuals)), [len(residual.error) for residual in residuals])
        clouds = films
        if self.prior is not None:
            patches = np.concatenate([film.patches(film.withheld, self.prior) for film in self.films])
            clouds = np.unique(np.stack([films, patches]), axis=1, return_inverse=True)[1].ravel()
        errors, std, noise, first_guess = (
            torch.cat([getattr(residual, name) for residual in residuals]).cpu().numpy()
            for name in ("error", "std", "noise", "first_guess")
        )
        level = 1.0
        spreads = [residual.spread for residual in residuals if residual.spread is not None]
        ours, theirs = (float(np.mean(part**2 - noise**2)) for part in (errors, first_guess))
        if spreads and ours > 0 and theirs > 0:
            posterior, predicted = (sum(part) for part in zip(*spreads))
            level = math.sqrt(posterior / predicted * ours / theirs)
        return Residuals(errors, std, noise, films, clouds, level)

    def calibration(
        self, network: Generator | None, error: ErrorModel, *, precision: torch.dtype = torch.float32
    ) -> Calibration:
        """Return the calibration of predicted errors by those on the withheld cells, cloud by cloud."""
        seen = self.residuals(network, error, precision=precision)
        return Calibration.fit(
            seen.std,
            seen.error,
            clusters=seen.cloud,
            films=seen.film,
            observation_error=seen.noise,
            level=seen.level,
        )

    def ensembles(
        self,
        network: Generator | None,
        error: ErrorModel,
        calibration: Calibration,
        *,
        precision: torch.dtype = torch.float32,
    ) -> Iterator[Ensemble]:
        """Yield the members of every film, not yet smoothed, without their antithetic partners.

        A judge without ``draws`` has none.
        """
        for film in self.films:
            if film.members is None:
                continue
            film, filled = self._filled(film, network, error, precision, has_members=True)
            assert filled.members is not None and filled.std is not None
            yield Ensemble(
                film=film,
                noise=self._noise(film),
                field=filled.field,
                deviations=filled.members[: len(filled.members) // 2] - filled.field,
                std=calibration.apply(filled.std.cpu().numpy()),
            )

    def _residuals(
        self, network: Generator | None, error: ErrorModel | None, precision: torch.dtype
    ) -> Iterator[Residual]:
        for film in self.films:
            film, filled = self._filled(film, network, error, precision)
            where = film.withheld > 0
            errors, first_guess = (
                (blurred_within(self.operator, field[None], film.domain[None, None, None])[0] - film.target)[
                    where
                ].double()
                for field in (filled.field, film.guess)
            )
            noise = self._noise(film)[where].double()
            weight = torch.ones_like(errors)
            if film.target_uncertainty is not None:
                weight = trust(weight, noise)
            spread, gaussian = None, self._gaussian_variance(film, error)
            if gaussian is not None and filled.std is not None:
                gaps = (film.domain * (film.mask == 0)).expand_as(film.mask) > 0
                spread = float(gaussian[gaps].double().sum()), float(filled.std[gaps].double().square().sum())
            std = None if filled.std is None else filled.std[where].double()
            yield Residual(errors, std, noise, weight, first_guess, spread)

    def _gaussian_variance(self, film: Film, error: ErrorModel | None) -> Tensor | None:
        """Return the variance of the Gaussian posterior and the prior's noise, which predicted errors contain too.

        The table from which an error network starts holds it; a few draws would scatter.
        """
        table = error.table if isinstance(error, ErrorNet) else None
        if table is not None and film.near is not None:
            return table.lookup(film.near.unflatten(1, (ASPECTS, -1)).movedim(1, -1)).square()
        if film.members is None or self.prior is None:
            return None
        return film.members.square().mean(0) + (self.prior.noise * self.prior.amplitude) ** 2

    def _noise(self, film: Film) -> Tensor:
        """Return the known standard deviation of the errors of the target; withheld noise is in the floor instead."""
        if self.by_noise:
            return torch.zeros_like(film.target)
        return torch.zeros_like(film.target) + total_noise(self.operator, film.target_uncertainty)

    def _filled(
        self,
        film: Film,
        network: Generator | None,
        error: ErrorModel | None,
        precision: torch.dtype,
        *,
        has_members: bool = False,
    ) -> tuple[Film, Reconstruction]:
        """Return a film on the device of the network, and its reconstruction, perhaps with members."""
        film = film.to(torch.device("cpu") if network is None else network.scale.device)
        noise = None
        if has_members and film.members is not None:
            noise = torch.cat([film.members, -film.members])
        shown = replace(film, values=film.values * film.mask)
        networks = Networks(network, error, precision=precision)
        return film, reconstruct(networks, shown, noise=noise, is_periodic=self.is_periodic)


class _Reader:
    """Reads films around withheld observations, and solves for their first guess."""

    def __init__(
        self,
        archive: Archive,
        operator: Operator,
        prior: Prior | None,
        *,
        draws: int,
        by_noise: bool,
        selection: Selection,
    ) -> None:
        height, width = archive.domain.shape
        self.is_small = height * width <= 4 * selection.side**2
        self.is_periodic = archive.is_periodic and (self.is_small or width <= 2 * selection.side)
        self.operator = operator.around(self.is_periodic)
        self.prior = None if prior is None else prior.around(self.is_periodic)
        self.archive, self.draws, self.by_noise, self.selection = archive, draws, by_noise, selection
        self.random, self.normal = np.random.default_rng(0), torch.Generator().manual_seed(0)

    def place(self, date: int) -> tuple[slice, slice]:
        """Return rows and columns to read: all, or those around an observation that is withheld on a date."""
        (height, width), side = self.archive.domain.shape, self.selection.side
        if self.is_small:
            return slice(0, height), slice(0, width)
        withheld = self.archive.withheld
        if self.by_noise or withheld is None:
            where = self.archive.seen(date)
        else:
            where = withheld.hidden(date, self.archive.seen)  # type: ignore[assignment]
        _, row, column = self.random.choice(np.argwhere(where))
        rows, columns = slice(max(0, row - side), min(height, row + side)), slice(column - side, column + side)
        if self.is_periodic:
            return rows, slice(0, width)
        if self.archive.is_periodic:
            return rows, columns
        return rows, slice(max(0, columns.start), min(width, columns.stop))

    def film(self, t: slice | np.ndarray, y: slice, x: slice) -> Film:
        """Return a film with its target and first guess."""
        film = self.archive.read(t, y, x)
        target, error, target_error, withheld = film.values, film.uncertainty, film.uncertainty, film.withheld
        values = target
        if self.by_noise:
            noise = total_noise(self.operator, error) * torch.randn(values.shape, generator=self.normal) * film.mask
            values, target, withheld = values + RECORRUPTION * noise, values - noise / RECORRUPTION, film.mask.clone()
            error, target_error = None if error is None else SHOWN_ERROR * error, None
        guess, members = torch.zeros_like(values), None
        if self.prior is not None:
            observed = ((values * film.mask)[None], film.mask[None], film.domain, film.days)
            known, prior = None if error is None else error[None], film.prior(self.prior)
            if self.draws:
                disturbance = torch.randn((2, self.draws, 1, *values.shape), generator=self.normal)
                means, deviations = prior.members(*observed, noise=disturbance, uncertainty=known)
                guess, members = means[0], deviations[:, 0]
            else:
                guess = prior.map(*observed, uncertainty=known)[0]
        return replace(
            film,
            values=values,
            withheld=withheld,
            guess=guess,
            target=target,
            near=nearness(film.mask, film.days, self.prior, is_periodic=self.is_periodic),
            uncertainty=error,
            target_uncertainty=target_error,
            members=members,
        )

    def run(self, run: slice, frames: int) -> Film:
        """Return the film of a run of withheld dates, with the dates of the windows that contain one of them."""
        margin, count = max(self.selection.margin, frames - 1), len(self.archive.days)
        t = slice(max(0, run.start - margin), min(count, run.stop + margin))
        film = self.film(t, *self.place(run.start))
        first, last = run.start - t.start, run.stop - t.start
        # Only the dates of the run count: those of a neighbouring run would count twice, and with fewer dates around.
        withheld = torch.zeros_like(film.withheld)
        withheld[first:last] = film.withheld[first:last]
        kept = slice(max(0, first - frames + 1), min(len(withheld), last + frames - 1))
        return replace(film, withheld=withheld).dates(kept)


def is_divided(archive: Archive, selection: Selection = Selection()) -> bool:
    """Return whether there are enough withheld clouds to choose weights with some and calibrate with the others."""
    withheld = archive.withheld
    if withheld is None:
        return False
    return len(withheld.dates if archive.independent else withheld.runs()) >= selection.enough


def judged_by_noise(archive: Archive, operator: Operator) -> bool:
    """Return whether an archive withholds nothing, because its operator hides nothing, but is noisy."""
    is_noisy = operator.noise > 0 or archive.error is not None
    return is_noisy and not operator.masks and (archive.withheld is None or not len(archive.withheld.dates))


def _withheld_dates(archive: Archive, selection: Selection, *, by_noise: bool) -> tuple[np.ndarray, list[slice]]:
    """Return the dates with something withheld, and the runs of such dates.

    Raises
    ------
    InputError
        If there are none.
    """
    withheld = archive.withheld
    if by_noise:
        dates = np.arange(len(archive.days))
        if selection.is_set_aside:
            dates = _some_samples(archive)
        return dates, [slice(date, date + 1) for date in dates.tolist()]
    runs = [] if withheld is None else withheld.runs()
    if withheld is None or not runs:
        raise InputError(
            "no observation could be withheld to choose the best weights by: no date's gaps hide a part of another "
            "date's observations; give more dates, or observations with more varied gaps"
        )
    return withheld.dates, runs


def _some_samples(archive: Archive) -> np.ndarray:
    """Return a tenth of independent samples, three at least; else all dates."""
    dates = np.arange(len(archive.days))
    return _spread_over(dates, min(max(3, len(dates) // 10), len(dates))) if archive.independent else dates


def judged_dates(archive: Archive, operator: Operator) -> np.ndarray:
    """Return the dates, or numbers of samples, that judges read and a training can do without: at most half of all."""
    dates = np.zeros(0, int) if archive.withheld is None else archive.withheld.dates
    if judged_by_noise(archive, operator) and archive.independent:
        dates = _some_samples(archive)
    return dates if 2 * len(dates) <= len(archive.days) else dates[:0]


def _spread_over(items: np.ndarray, most: int) -> np.ndarray:
    """Return some items, at regular intervals from the first to the last."""
    return items[np.unique(np.linspace(0, len(items) - 1, most).astype(int))]


def _floor(films: list[Film], operator: Operator) -> float:
    """Return the mean square of ``e - n / alpha``, for the noise ``e`` of y, with the ``n`` that were drawn."""
    square = count = 0.0
    for film in films:
        noise = (film.values - film.target) / (1 + RECORRUPTION**2)
        square += float((film.withheld * noise**2).sum())
        if film.uncertainty is not None:
            square += float((film.withheld * (film.uncertainty / SHOWN_ERROR) ** 2).sum())
        count += float(film.withheld.sum())
    return operator.noise**2 + square / count


def _root(square: float) -> float:
    return math.copysign(math.sqrt(abs(square)), square)
