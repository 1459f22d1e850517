"""The error on withheld clouds, or on withheld noise: what chooses the best weights, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from geogan.archive import Archive
from geogan.blocks import RECORRUPTION
from geogan.gaussian import GaussianPrior
from geogan.inference import reconstruct
from geogan.networks import ErrorNet, Generator
from geogan.objective import error_likelihood
from geogan.operators.errors import InputError
from geogan.operators.operator import Operator
from geogan.recency import recency

# Stretches of withheld clouds looked at: enough to be sure, few enough to be quick. Small grids afford more.
STRETCHES, MOST_STRETCHES, VALUES = 16, 64, 1_500_000
# Of so many runs of withheld dates or more, every third stands apart: it chooses nothing, the predicted error is
# calibrated on it.
APART, ENOUGH = 3, 24
# Dates around a stretch that its first guess is solved on, and cells from its centre on large grids.
MARGIN, SIDE = 6, 128
# Independent samples that are looked at, and those of a stretch.
SAMPLES, TOGETHER = 128, 16


class Stretch(NamedTuple):
    """Consecutive dates around what is withheld, or samples; (T, C, h, w) but for ``domain`` (h, w)."""

    values: Tensor
    mask: Tensor  # 1 where shown
    guess: Tensor
    hidden: Tensor  # 1 where withheld
    domain: Tensor
    asked: Tensor  # what the reconstruction is compared with where hidden
    covariates: Tensor | None = None  # (T, K, h, w)
    recent: Tensor | None = None


@dataclass(frozen=True)
class Judge:
    """Measures a generator on observations withheld from its training.

    Where nothing is hidden but measurements are noisy, noise is withheld, as in :func:`geogan.objective.recorrupted`:
    of ``y = F(x) + epsilon`` the generator is shown ``y + alpha n``, and ``F`` of its answer is compared with
    ``y - n / alpha``, whose noise is uncorrelated with the answer's. The mean square of that noise is known; without
    it an unbiased estimate of the mean square error against ``F(x)`` remains.

    Attributes
    ----------
    operator : Operator
    stretches : tuple of Stretch
        With their first guess solved, once.
    floor : float
        Mean square of the noise in what is compared with.
    """

    operator: Operator
    stretches: tuple[Stretch, ...]
    floor: float = 0.0

    @classmethod
    def of(
        cls,
        archive: Archive,
        operator: Operator,
        prior: GaussianPrior | None,
        *,
        frames: int,
        apart: bool | None = None,
    ) -> Judge:
        """A judge for an archive that withholds something, or is noisy and hides nothing.

        Parameters
        ----------
        archive : Archive
        operator : Operator
            What was withheld is compared with what it would measure.
        prior : GaussianPrior or None
        frames : int
            Frames of a window.
        apart : bool, optional
            Only the clouds that stand apart, for calibration (True), or all others (False); by default all. Where
            there are few, both are all of them: see :func:`stands_apart`.

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
            runs = [run for number, run in enumerate(runs) if (number % APART == APART - 1) == apart]
            keep = (np.arange(len(dates)) % APART == APART - 1) == apart
            dates = dates[keep]
        random, drawn = np.random.default_rng(0), torch.Generator().manual_seed(0)
        stretches: list[Stretch] = []

        def around(date: int) -> tuple[slice, slice]:
            """Cells to look at: all of them, or those around something that is withheld on a date."""
            height, width = archive.domain.shape
            if height * width <= 4 * SIDE**2:
                return slice(0, height), slice(0, width)
            where = archive.seen(date) if noisy or withheld is None else withheld.hidden(date, archive.seen)
            _, row, column = random.choice(np.argwhere(where))  # type: ignore[arg-type]
            return (
                slice(max(0, row - SIDE), min(height, row + SIDE)),
                slice(max(0, column - SIDE), min(width, column + SIDE)),
            )

        def solved(t: slice | np.ndarray, y: slice, x: slice) -> Stretch:
            piece = archive.read(t, y, x)
            values, mask, hidden, domain = (
                torch.from_numpy(part) for part in (piece.values, piece.observed, piece.withheld, piece.domain)
            )
            guess, asked = torch.zeros_like(values), values
            if noisy:
                noise = operator.noise * torch.randn(values.shape, generator=drawn) * mask
                values, asked, hidden = values + RECORRUPTION * noise, values - noise / RECORRUPTION, mask.clone()
            if prior is not None:
                guess = prior.map((values * mask)[None], mask[None], domain, torch.from_numpy(piece.days))[0]
            beside = None if piece.covariates is None else torch.from_numpy(piece.covariates)
            recent = recency(mask, torch.from_numpy(piece.days), None if prior is None else prior.persistence)
            return Stretch(values, mask, guess, hidden, domain, asked, beside, recent)

        if archive.independent:
            chosen = dates[np.unique(np.linspace(0, len(dates) - 1, SAMPLES).astype(int))]
            for some in np.array_split(chosen, -(-len(chosen) // TOGETHER)):
                stretches.append(solved(some, *around(int(some[0]))))
            return cls(operator, tuple(stretches), _floor(stretches, operator) if noisy else 0.0)
        margin = max(MARGIN, frames - 1)
        values_each = min(archive.domain.size, 4 * SIDE**2) * archive.bands * (2 * frames + 4)
        most = int(np.clip(VALUES // values_each, STRETCHES, MOST_STRETCHES))
        for run in [runs[index] for index in np.unique(np.linspace(0, len(runs) - 1, most).astype(int))]:
            t = slice(max(0, run.start - margin), min(count, run.stop + margin))
            values, mask, guess, hidden, domain, asked, beside, recent = solved(t, *around(run.start))
            first, last = run.start - t.start - frames + 1, run.stop - t.start + frames - 1
            near = slice(max(0, first), min(len(values), last))
            # Only the stretch's own dates count: those of a neighbour would count twice, and with less around them.
            hidden[: run.start - t.start] = 0
            hidden[run.stop - t.start :] = 0
            beside = None if beside is None else beside[near]
            recent = None if recent is None else recent[near]
            stretches.append(
                Stretch(values[near], mask[near], guess[near], hidden[near], domain, asked[near], beside, recent)
            )
        return cls(operator, tuple(stretches), _floor(stretches, operator) if noisy else 0.0)

    @property
    def cells(self) -> int:
        """Observations that reconstructions are compared with."""
        return int(sum(float(stretch.hidden.sum()) for stretch in self.stretches))

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
            In anomalies; :func:`geogan.objective.error_likelihood`, None without ``error``.
        """
        square = loss = 0.0
        for residual, std in self._residuals(network, error, precision):
            square += float((residual**2).sum())
            if std is not None and error is not None:
                everywhere = torch.ones_like(std)
                loss += float(error_likelihood(std, residual**2, everywhere, error.scale)) * len(std)
        return _root(square / self.cells - self.floor), None if error is None else loss / self.cells

    def residuals(
        self, network: Generator | None, error: ErrorNet, *, precision: torch.dtype = torch.float32
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Errors of the withheld cells, what was predicted of them, and the stretch that each belongs to.

        Returns
        -------
        residual, std, stretch : ndarray, shape (N,)
            In anomalies.
        """
        found = list(self._residuals(network, error, precision))
        stretch = np.repeat(np.arange(len(found)), [len(residual) for residual, _ in found])
        residuals, stds = (
            [part.cpu().numpy() for part in parts if part is not None] for parts in zip(*found, strict=True)
        )
        return np.concatenate(residuals), np.concatenate(stds), stretch

    def _residuals(
        self, network: Generator | None, error: ErrorNet | None, precision: torch.dtype
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        device = torch.device("cpu") if network is None else network.scale.device
        for stretch in self.stretches:
            values, mask, guess, hidden, domain, asked = (part.to(device) for part in stretch[:6])
            beside = None if stretch.covariates is None else stretch.covariates.to(device)
            recent = None if stretch.recent is None else stretch.recent.to(device)
            made = reconstruct(
                network,
                values * mask,
                mask,
                guess,
                domain,
                error=error,
                covariates=beside,
                recent=recent,
                precision=precision,
            )
            where = hidden > 0
            measured = self.operator.blur(made.field[None])[0]
            yield (measured - asked)[where].double(), None if made.std is None else made.std[where].double()


def stands_apart(archive: Archive) -> bool:
    """Whether there are withheld clouds enough that some need not choose anything."""
    withheld = archive.withheld
    if withheld is None:
        return False
    return len(withheld.dates if archive.independent else withheld.runs()) >= ENOUGH


def judged_by_noise(archive: Archive, operator: Operator) -> bool:
    """Whether an archive withholds nothing, as its operator hides nothing, but is noisy."""
    return operator.noise > 0 and not operator.masks and (archive.withheld is None or not len(archive.withheld.dates))


def _floor(stretches: list[Stretch], operator: Operator) -> float:
    """Mean square of ``epsilon - n / alpha``, with the ``n`` that were drawn."""
    square = count = 0.0
    for stretch in stretches:
        again = (stretch.values - stretch.asked) / (1 + RECORRUPTION**2)
        square += float((stretch.hidden * again**2).sum())
        count += float(stretch.hidden.sum())
    return operator.noise**2 + square / count


def _root(square: float) -> float:
    return math.copysign(math.sqrt(abs(square)), square)
