"""The error on withheld clouds: what chooses the best weights, and when to stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from geogan.archive import Archive
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
    """Consecutive dates around a withheld cloud, or samples; (T, C, h, w) but for ``domain`` (h, w)."""

    values: Tensor
    mask: Tensor  # 1 where shown
    guess: Tensor
    hidden: Tensor  # 1 where withheld
    domain: Tensor


@dataclass(frozen=True)
class Judge:
    """Measures a generator on observations withheld from its training.

    Attributes
    ----------
    operator : Operator
    stretches : tuple of Stretch
        With their first guess solved, once.
    """

    operator: Operator
    stretches: tuple[Stretch, ...]

    @classmethod
    def of(cls, archive: Archive, operator: Operator, prior: GaussianPrior | None, *, frames: int) -> Judge:
        """A judge for an archive that withholds something.

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
            Where nothing is withheld.
        """
        withheld = archive.withheld
        runs = withheld.runs() if withheld is not None else []
        if withheld is None or not runs:
            raise InputError(
                "no observation could be withheld to choose the best weights by: no date's gaps hide a part of another "
                "date's observations; give more dates, or observations with more varied gaps"
            )
        count = len(archive.days)
        random = np.random.default_rng(0)
        stretches: list[Stretch] = []

        def around(date: int) -> tuple[slice, slice]:
            """Cells to look at: all of them, or those around something that is withheld on a date."""
            height, width = archive.domain.shape
            if height * width <= 4 * SIDE**2:
                return slice(0, height), slice(0, width)
            _, row, column = random.choice(np.argwhere(withheld.hidden(date, archive.seen)))  # type: ignore[arg-type]
            return (
                slice(max(0, row - SIDE), min(height, row + SIDE)),
                slice(max(0, column - SIDE), min(width, column + SIDE)),
            )

        def solved(t: slice | np.ndarray, y: slice, x: slice) -> Stretch:
            piece = archive.read(t, y, x)
            values, mask, hidden, domain = (
                torch.from_numpy(part) for part in (piece.values, piece.observed, piece.withheld, piece.domain)
            )
            guess = torch.zeros_like(values)
            if prior is not None:
                guess = prior.map((values * mask)[None], mask[None], domain, torch.from_numpy(piece.days))[0]
            return Stretch(values, mask, guess, hidden, domain)

        if archive.independent:
            chosen = withheld.dates[np.unique(np.linspace(0, len(withheld.dates) - 1, SAMPLES).astype(int))]
            for some in np.array_split(chosen, -(-len(chosen) // TOGETHER)):
                stretches.append(solved(some, *around(int(some[0]))))
            return cls(operator, tuple(stretches))
        margin = max(MARGIN, frames - 1)
        for run in [runs[index] for index in np.unique(np.linspace(0, len(runs) - 1, STRETCHES).astype(int))]:
            t = slice(max(0, run.start - margin), min(count, run.stop + margin))
            values, mask, guess, hidden, domain = solved(t, *around(run.start))
            first, last = run.start - t.start - frames + 1, run.stop - t.start + frames - 1
            near = slice(max(0, first), min(len(values), last))
            # Only the stretch's own dates count: those of a neighbour would count twice, and with less around them.
            hidden[: run.start - t.start] = 0
            hidden[run.stop - t.start :] = 0
            stretches.append(Stretch(values[near], mask[near], guess[near], hidden[near], domain))
        return cls(operator, tuple(stretches))

    @property
    def cells(self) -> int:
        """Withheld observations that are looked at."""
        return int(sum(float(stretch.hidden.sum()) for stretch in self.stretches))

    def error(self, network: Generator | None, *, precision: torch.dtype = torch.float32) -> float:
        """Root mean square error on what is withheld, in anomalies; None judges the first guess."""
        square = count = 0.0
        device = torch.device("cpu") if network is None else network.scale.device
        for stretch in self.stretches:
            values, mask, guess, hidden, domain = (part.to(device) for part in stretch)
            field = reconstruct(network, values * mask, mask, guess, domain, precision=precision)
            measured = self.operator.blur(field[None])[0]
            square += float((hidden * (measured - values) ** 2).sum())
            count += float(hidden.sum())
        return (square / count) ** 0.5
