"""The error on withheld clouds, or on withheld noise: what chooses the best weights, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from geogan.archive.archive import Archive
from geogan.model.calibration import Calibration
from geogan.model.member_smoothing import Ensemble
from geogan.model.networks import ErrorNet, Generator
from geogan.model.reconstruct import Reconstruction, reconstruct
from geogan.operators.errors import InputError
from geogan.operators.operator import Operator
from geogan.prior import Film
from geogan.prior.archive_covariance import Prior, reach
from geogan.prior.nearness import nearness
from geogan.prior.trust import trust
from geogan.training.blocks import RECORRUPTION, SHOWN_ERROR, total_noise
from geogan.training.objective import error_likelihood

# Stretches of withheld clouds looked at: enough to be sure, few enough to be quick. Small grids afford more.
STRETCHES, MOST_STRETCHES, VALUES = 16, 64, 1_500_000
# Of so many runs of withheld dates or more, only every third chooses: steps are compared on the same clouds, so that
# few tell them apart. The others choose nothing: the error is reported and calibrated on them, and as clouds differ in
# difficulty by a third, many are needed.
CHOOSING, ENOUGH = 3, 24
# Dates around a stretch that its first guess is solved on, and cells from its centre on large grids.
MARGIN, SIDE = 6, 128
# Independent samples that are looked at, and those of a stretch.
SAMPLES, TOGETHER = 128, 16


class Residual(NamedTuple):
    """Errors on the withheld cells of a stretch, (N,)."""

    found: Tensor
    std: Tensor | None  # as predicted
    noise: Tensor  # known standard deviation of what they were compared with
    weight: Tensor
    first: Tensor  # the first guess's error
    spread: tuple[float, float] | None  # of all gaps: the sum of the posterior's variance, and of the predicted one


class Residuals(NamedTuple):
    """Errors on all withheld cells that a judge looks at, in anomalies; ndarray, shape (N,)."""

    found: np.ndarray
    std: np.ndarray  # as predicted
    noise: np.ndarray  # known standard deviation of the observations' own errors
    stretch: np.ndarray  # the stretch that each belongs to
    level: float  # what the predicted errors should be multiplied by, as far as the first guess knows


@dataclass(frozen=True)
class Judge:
    """Measures a generator on observations withheld from its training.

    Where nothing is hidden but measurements are noisy, noise is withheld, as in
    :func:`geogan.training.objective.recorrupted`:
    of ``y = F(x) + epsilon`` the generator is shown ``y + alpha n``, and ``F`` of its answer is compared with
    ``y - n / alpha``, whose noise is uncorrelated with the answer's. The mean square of that noise is known; without
    it an unbiased estimate of the mean square error against ``F(x)`` remains.

    Where the errors of the withheld observations are known, they are taken off the square too, and the smaller they
    are, the more an observation counts.

    Attributes
    ----------
    operator : Operator
    stretches : tuple of Film
        With their first guess solved, once.
    floor : float
        Mean square of the noise in what is compared with.
    by_noise : bool
        Whether noise is withheld, not observations.
    is_periodic : bool
        Whether the last column of the stretches touches the first.
    """

    operator: Operator
    stretches: tuple[Film, ...]
    floor: float = 0.0
    by_noise: bool = False
    is_periodic: bool = False

    @classmethod
    def of(
        cls,
        archive: Archive,
        operator: Operator,
        prior: Prior | None,
        *,
        frames: int,
        apart: bool | None = None,
        draws: int = 0,
    ) -> Judge:
        """A judge for an archive that withholds something, or is noisy and hides nothing.

        Parameters
        ----------
        archive : Archive
        operator : Operator
            What was withheld is compared with what it would measure.
        prior : Prior or None
        frames : int
            Frames of a window.
        apart : bool, optional
            Only the clouds that choose nothing (True), or those that choose (False); by default all. Where
            there are few, both are all of them: see :func:`stands_apart`.
        draws : int
            Of the first guess's posterior, to compare predicted errors with.

        Raises
        ------
        InputError
            Where nothing is withheld, and there is no noise either.
        """
        withheld, count = archive.withheld, len(archive.days)
        noisy = judged_by_noise(archive, operator)
        dates = np.arange(count) if noisy else withheld.dates if withheld is not None else np.zeros(0, int)
        runs = [slice(date, date + 1) for date in dates.tolist()] if noisy else withheld.runs() if withheld else []
        if not runs:
            raise InputError(
                "no observation could be withheld to choose the best weights by: no date's gaps hide a part of another "
                "date's observations; give more dates, or observations with more varied gaps"
            )
        if apart is not None and stands_apart(archive):
            runs = [run for number, run in enumerate(runs) if (number % CHOOSING > 0) == apart]
            dates = dates[(np.arange(len(dates)) % CHOOSING > 0) == apart]
        random, drawn = np.random.default_rng(0), torch.Generator().manual_seed(0)
        stretches: list[Film] = []
        height, width = archive.domain.shape
        is_small = height * width <= 4 * SIDE**2
        is_periodic = archive.is_periodic and (is_small or width <= 2 * SIDE)
        operator, prior = operator.around(is_periodic), None if prior is None else prior.around(is_periodic)

        def around(date: int) -> tuple[slice, slice]:
            """Cells to look at: all of them, or those around something that is withheld on a date."""
            if is_small:
                return slice(0, height), slice(0, width)
            where = archive.seen(date) if noisy or withheld is None else withheld.hidden(date, archive.seen)
            _, row, column = random.choice(np.argwhere(where))  # type: ignore[arg-type]
            rows, columns = slice(max(0, row - SIDE), min(height, row + SIDE)), slice(column - SIDE, column + SIDE)
            if is_periodic:
                return rows, slice(0, width)
            if archive.is_periodic:
                return rows, columns
            return rows, slice(max(0, columns.start), min(width, columns.stop))

        def solved(t: slice | np.ndarray, y: slice, x: slice) -> Film:
            film = archive.read(t, y, x)
            values, mask, hidden = film.values, film.mask, film.withheld
            guess, asked = torch.zeros_like(values), values
            known = film.uncertainty
            error = None if noisy else known
            if noisy:
                noise = total_noise(operator, known) * torch.randn(values.shape, generator=drawn) * mask
                values, asked, hidden = values + RECORRUPTION * noise, values - noise / RECORRUPTION, mask.clone()
                known = None if known is None else SHOWN_ERROR * known
            deviations = None
            if prior is not None:
                batched = None if known is None else known[None]
                seen = ((values * mask)[None], mask[None], film.domain, film.days)
                if draws:
                    disturbed = torch.randn((2, draws, 1, *values.shape), generator=drawn)
                    found = prior.members(*seen, noise=disturbed, uncertainty=batched)
                    guess, deviations = found[0][0], found[1][:, 0]
                else:
                    guess = prior.map(*seen, uncertainty=batched)[0]
            near = nearness(mask, film.days, is_periodic=is_periodic, **reach(prior))
            return replace(
                film,
                values=values,
                withheld=hidden,
                guess=guess,
                target=asked,
                near=near,
                uncertainty=known,
                target_uncertainty=error,
                members=deviations,
            )

        if archive.independent:
            chosen = dates[np.unique(np.linspace(0, len(dates) - 1, SAMPLES).astype(int))]
            for some in np.array_split(chosen, -(-len(chosen) // TOGETHER)):
                stretches.append(solved(some, *around(int(some[0]))))
            return cls(operator, tuple(stretches), _floor(stretches, operator) if noisy else 0.0, noisy, is_periodic)
        margin = max(MARGIN, frames - 1)
        values_each = min(archive.domain.size, 4 * SIDE**2) * archive.bands * (2 * frames + 4)
        most = int(np.clip(VALUES // values_each, STRETCHES, MOST_STRETCHES))
        for run in [runs[index] for index in np.unique(np.linspace(0, len(runs) - 1, most).astype(int))]:
            t = slice(max(0, run.start - margin), min(count, run.stop + margin))
            whole = solved(t, *around(run.start))
            hidden = whole.withheld
            first, last = run.start - t.start - frames + 1, run.stop - t.start + frames - 1
            near = slice(max(0, first), min(len(hidden), last))
            # Only the stretch's own dates count: those of a neighbour would count twice, and with less around them.
            hidden[: run.start - t.start] = 0
            hidden[run.stop - t.start :] = 0
            stretches.append(whole.dates(near))
        return cls(operator, tuple(stretches), _floor(stretches, operator) if noisy else 0.0, noisy, is_periodic)

    @cached_property
    def guessed(self) -> float:
        """Error of the first guess alone, as in :meth:`error`."""
        return self.error(None)

    @property
    def cells(self) -> int:
        """Observations that reconstructions are compared with."""
        return int(sum(float(stretch.withheld.sum()) for stretch in self.stretches))

    def error(self, network: Generator | None, *, precision: torch.dtype = torch.float32) -> float:
        """Root mean square error on what is withheld, in anomalies; None judges the first guess.

        Against noise it is an estimate, whose mean square may fall below zero: its root is negative then.
        """
        return self.look(network, precision=precision)[0]

    def look(
        self, network: Generator | None, error: ErrorNet | None = None, *, precision: torch.dtype = torch.float32
    ) -> tuple[float, float | None]:
        """The root mean square error, and the loss of what predicts it.

        Parameters
        ----------
        network : Generator or None
            None judges the first guess.
        error : ErrorNet, optional
        precision : torch.dtype

        Returns
        -------
        (float, float or None)
            In anomalies; :func:`geogan.training.objective.error_likelihood`, None without ``error``.
        """
        square = loss = weights = 0.0
        for found, std, noise, weight, *_ in self._residuals(network, error, precision):
            square += float((weight * (found**2 - noise**2)).sum())
            weights += float(weight.sum())
            if std is not None and error is not None:
                everywhere = torch.ones_like(std)
                loss += float(error_likelihood(std, found**2, everywhere, error.scale, noise)) * len(std)
        return _root(square / weights - self.floor), None if error is None else loss / self.cells

    def residuals(
        self, network: Generator | None, error: ErrorNet, *, precision: torch.dtype = torch.float32
    ) -> Residuals:
        """Errors of the withheld cells, and what was predicted of them.

        The predicted errors were learned on observations that the generator learned from too, and may be too small.
        The posterior's spread was not, and is known in all gaps; and what the generator's errors are over the first
        guess's is known far better from a few clouds than either alone. Together they say the level at which predicted
        errors should be.
        """
        found = list(self._residuals(network, error, precision))
        stretch = np.repeat(np.arange(len(found)), [len(each.found) for each in found])
        residual, std, noise, first = (
            torch.cat([getattr(each, name) for each in found]).cpu().numpy()
            for name in ("found", "std", "noise", "first")
        )
        level = 1.0
        spreads = [each.spread for each in found if each.spread is not None]
        ours, theirs = (float(np.mean(part**2 - noise**2)) for part in (residual, first))
        if spreads and ours > 0 and theirs > 0:
            posterior, predicted = (sum(part) for part in zip(*spreads))
            level = math.sqrt(posterior / predicted * ours / theirs)
        return Residuals(residual, std, noise, stretch, level)

    def _residuals(
        self, network: Generator | None, error: ErrorNet | None, precision: torch.dtype
    ) -> Iterator[Residual]:
        device = torch.device("cpu") if network is None else network.scale.device
        for stretch in self.stretches:
            stretch = stretch.to(device)
            made = _made(stretch, network, error, precision, is_periodic=self.is_periodic)
            where = stretch.withheld > 0
            measured = self.operator.blur(made.field[None])[0]
            found = (measured - stretch.target)[where].double()
            # Noise that was withheld is in the floor.
            noise = self._noise(stretch)[where].double()
            weight = (
                torch.ones_like(found) if stretch.target_uncertainty is None else trust(torch.ones_like(found), noise)
            )
            std = None if made.std is None else made.std[where].double()
            first = (self.operator.blur(stretch.guess[None])[0] - stretch.target)[where].double()
            spread = None
            if stretch.members is not None and made.std is not None:
                gaps = (stretch.domain * (stretch.mask == 0)).expand_as(stretch.mask) > 0
                posterior, predicted = stretch.members.square().mean(0)[gaps], made.std[gaps] ** 2
                spread = float(posterior.double().sum()), float(predicted.double().sum())
            yield Residual(found, std, noise, weight, first, spread)

    def _noise(self, stretch: Film) -> Tensor:
        """Known standard deviation of the errors of what is asked; noise that was withheld is in the floor."""
        if self.by_noise:
            return torch.zeros_like(stretch.target)
        return torch.zeros_like(stretch.target) + total_noise(self.operator, stretch.target_uncertainty)

    def ensembles(
        self,
        network: Generator | None,
        error: ErrorNet,
        calibration: Calibration,
        *,
        precision: torch.dtype = torch.float32,
    ) -> Iterator[Ensemble]:
        """Members of every stretch, as rough as they are drawn, beside what was withheld there.

        One of each pair on opposite sides; of a judge without ``draws``, none.
        """
        device = torch.device("cpu") if network is None else network.scale.device
        for stretch in self.stretches:
            if stretch.members is None:
                continue
            stretch = stretch.to(device)
            made = _made(stretch, network, error, precision, members=True, is_periodic=self.is_periodic)
            assert made.members is not None and made.std is not None
            yield Ensemble(
                film=stretch,
                noise=self._noise(stretch),
                field=made.field,
                deviations=made.members[: len(made.members) // 2] - made.field,
                std=calibration.apply(made.std.cpu().numpy()),
            )


def _made(
    stretch: Film,
    network: Generator | None,
    error: ErrorNet | None,
    precision: torch.dtype,
    *,
    members: bool = False,
    is_periodic: bool = False,
) -> Reconstruction:
    """What is said of a stretch, with the members of its draws and then their opposites, where they are wanted."""
    noise = None
    if members and stretch.members is not None:
        noise = torch.cat([stretch.members, -stretch.members])
    return reconstruct(
        network,
        stretch.values * stretch.mask,
        stretch.mask,
        stretch.guess,
        stretch.domain,
        error=error,
        noise=noise,
        covariates=stretch.covariates,
        near=stretch.near,
        uncertainty=stretch.uncertainty,
        precision=precision,
        is_periodic=is_periodic,
    )


def stands_apart(archive: Archive) -> bool:
    """Whether there are withheld clouds enough that some need not choose anything."""
    withheld = archive.withheld
    if withheld is None:
        return False
    return len(withheld.dates if archive.independent else withheld.runs()) >= ENOUGH


def judged_by_noise(archive: Archive, operator: Operator) -> bool:
    """Whether an archive withholds nothing, as its operator hides nothing, but is noisy."""
    noisy = operator.noise > 0 or archive.error is not None
    return noisy and not operator.masks and (archive.withheld is None or not len(archive.withheld.dates))


def _floor(stretches: list[Film], operator: Operator) -> float:
    """Mean square of ``epsilon - n / alpha``, with the ``n`` that were drawn."""
    square = count = 0.0
    for stretch in stretches:
        again = (stretch.values - stretch.target) / (1 + RECORRUPTION**2)
        square += float((stretch.withheld * again**2).sum())
        if stretch.uncertainty is not None:
            square += float((stretch.withheld * (stretch.uncertainty / SHOWN_ERROR) ** 2).sum())
        count += float(stretch.withheld.sum())
    return operator.noise**2 + square / count


def _root(square: float) -> float:
    return math.copysign(math.sqrt(abs(square)), square)
