"""The error on withheld clouds, or on withheld noise: what chooses the best weights, and when to stop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from geogan.archive import Archive
from geogan.blocks import RECORRUPTION
from geogan.gaussian import GaussianPrior
from geogan.inference import reconstruct
from geogan.networks import Generator
from geogan.operators.errors import InputError
from geogan.operators.operator import Operator

# Stretches of withheld clouds looked at: enough to be sure, few enough to be quick.
STRETCHES = 16
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
    def of(cls, archive: Archive, operator: Operator, prior: GaussianPrior | None, *, frames: int) -> Judge:
        """A judge for an archive that withholds something, or is noisy and hides nothing.

        Parameters
        ----------
        archive : Archive
        operator : Operator
            What was withheld is compared with what it would measure.
        prior : GaussianPrior or None
        frames : int
            Frames of a window.

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
            return Stretch(values, mask, guess, hidden, domain, asked)

        if archive.independent:
            chosen = dates[np.unique(np.linspace(0, len(dates) - 1, SAMPLES).astype(int))]
            for some in np.array_split(chosen, -(-len(chosen) // TOGETHER)):
                stretches.append(solved(some, *around(int(some[0]))))
            return cls(operator, tuple(stretches), _floor(stretches, operator) if noisy else 0.0)
        margin = max(MARGIN, frames - 1)
        for run in [runs[index] for index in np.unique(np.linspace(0, len(runs) - 1, STRETCHES).astype(int))]:
            t = slice(max(0, run.start - margin), min(count, run.stop + margin))
            values, mask, guess, hidden, domain, asked = solved(t, *around(run.start))
            first, last = run.start - t.start - frames + 1, run.stop - t.start + frames - 1
            near = slice(max(0, first), min(len(values), last))
            # Only the stretch's own dates count: those of a neighbour would count twice, and with less around them.
            hidden[: run.start - t.start] = 0
            hidden[run.stop - t.start :] = 0
            stretches.append(Stretch(values[near], mask[near], guess[near], hidden[near], domain, asked[near]))
        return cls(operator, tuple(stretches), _floor(stretches, operator) if noisy else 0.0)

    @property
    def cells(self) -> int:
        """Observations that reconstructions are compared with."""
        return int(sum(float(stretch.hidden.sum()) for stretch in self.stretches))

    def error(self, network: Generator | None, *, precision: torch.dtype = torch.float32) -> float:
        """Root mean square error on what is withheld, in anomalies; None judges the first guess.

        Against noise it is an estimate, whose mean square may fall below zero: its root is negative then.
        """
        square = count = 0.0
        device = torch.device("cpu") if network is None else network.scale.device
        for stretch in self.stretches:
            values, mask, guess, hidden, domain, asked = (part.to(device) for part in stretch)
            field = reconstruct(network, values * mask, mask, guess, domain, precision=precision)
            measured = self.operator.blur(field[None])[0]
            square += float((hidden * (measured - asked) ** 2).sum())
            count += float(hidden.sum())
        return _root(square / count - self.floor)


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
