"""Rows of a league table, and the sums from which they follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from geogan.evaluation.categories import Category
from geogan.evaluation.ensembles import EnsembleScore, EnsembleTally
from geogan.evaluation.errors import Score, Tally
from geogan.fields.spectra import Spectrum, SpectrumTally


class Part(NamedTuple):
    """Scores on the cells of one class of a category; see :class:`Row`."""

    score: Score
    law: EnsembleScore | None


@dataclass(frozen=True, eq=False)
class Example:
    """Estimate of a method on one date, to be drawn. Two are equal if all their values are.

    Attributes
    ----------
    date, band : int
        Their index in the archive.
    estimate, truth : ndarray, shape (H, W)
    where : ndarray of bool, shape (H, W)
        Cells that are scored.
    """

    date: int
    band: int
    estimate: np.ndarray
    truth: np.ndarray
    where: np.ndarray

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Example):
            return NotImplemented
        return all(np.array_equal(own, vars(other)[name], equal_nan=True) for name, own in vars(self).items())

    __hash__ = None  # type: ignore[assignment]  # arrays can be changed

    @classmethod
    def of(cls, estimate: Estimate, cells: ScoredCells, *, start: int, band: int) -> Example | None:
        """Return the date with most cells to score; None if there is no such cell.

        Parameters
        ----------
        estimate : Estimate
        cells : ScoredCells
        start : int
            Index in the archive of the first date.
        band : int
            Index in the archive of the first band.
        """
        counts = cells.where[:, 0].sum((1, 2))
        date = int(np.argmax(counts))
        if not counts[date]:
            return None
        return cls(start + date, band, estimate.field[date, 0], cells.truth[date, 0], cells.where[date, 0])


class Row(NamedTuple):
    """Scores of one method.

    Attributes
    ----------
    method : str
    score : Score
        Errors of the estimate.
    law : EnsembleScore or None
        Scores of the estimate with its standard deviation, as a normal distribution; for a Gaussian ensemble, scores
        of its members. None if the method does not predict its error.
    members : EnsembleScore or None
        Scores of the members, if there are any.
    spectrum, member_spectrum : Spectrum or None
        Power spectra of the estimate and of one member, relative to the truth, in the gaps.
    parts : dict of str to dict of str to Part
        Scores by category and class.
    variable : str
        Variable that is scored, in its own units; empty if there is only one.
    example : Example or None
        Estimate on the date with most cells to score; None for scores of anomalies.
    """

    method: str
    score: Score
    law: EnsembleScore | None = None
    members: EnsembleScore | None = None
    spectrum: Spectrum | None = None
    member_spectrum: Spectrum | None = None
    parts: dict[str, dict[str, Part]] = {}  # noqa: RUF012
    variable: str = ""
    example: Example | None = None


class Estimate(NamedTuple):
    """Estimate of a method for some dates.

    Attributes
    ----------
    field : ndarray, shape (t, C, H, W)
        NaN where the method has no estimate.
    std : ndarray, shape (t, C, H, W), or None
        Standard deviation of its error.
    members : ndarray, shape (M, t, C, H, W), or None
    """

    field: np.ndarray
    std: np.ndarray | None = None
    members: np.ndarray | None = None

    def select_bands(self, bands: slice) -> Estimate:
        """Return the estimate of some bands."""
        return Estimate(*(None if part is None else part[..., bands, :, :] for part in self))  # type: ignore[arg-type]


class ScoredCells(NamedTuple):
    """Truth of some dates, and the cells on which it is compared with estimates.

    Attributes
    ----------
    truth : ndarray, shape (t, C, H, W)
    where : ndarray of bool, shape (t, C, H, W)
        True on the cells to score.
    categories : sequence of Category
    is_periodic : bool
        Whether the last column is the neighbour of the first.
    has_spectrum : bool
        Whether power spectra make sense; those of directions do not, because a direction jumps after a full turn.
    """

    truth: np.ndarray
    where: np.ndarray
    categories: Sequence[Category]
    is_periodic: bool
    has_spectrum: bool


# Length, in cells, of the rows from which power spectra are taken: shorter than a cloud, so that there are many.
_SEGMENT = 16


@dataclass
class RowSums:
    """Sums from which the scores of a method follow; the sums of several tasks are added."""

    plain: Tally = field(default_factory=Tally)
    law: EnsembleTally = field(default_factory=EnsembleTally)
    members: EnsembleTally = field(default_factory=EnsembleTally)
    spectrum: SpectrumTally = field(default_factory=lambda: SpectrumTally(length=_SEGMENT))
    member_spectrum: SpectrumTally = field(default_factory=lambda: SpectrumTally(length=_SEGMENT))
    parts: dict[tuple[str, str], tuple[Tally, EnsembleTally]] = field(default_factory=dict)
    example: Example | None = None

    @classmethod
    def compare(
        cls, estimate: Estimate, cells: ScoredCells, *, error: float | np.ndarray, is_ensemble: bool
    ) -> RowSums:
        """Return the sums of one method on some cells.

        Parameters
        ----------
        estimate : Estimate
        cells : ScoredCells
        error : float or ndarray
            Standard deviation of the truth's own error.
        is_ensemble : bool
            Whether the predicted distribution is that of the members, rather than normal with ``std``.
        """
        if estimate.members is not None:
            # Members come in antithetic pairs, but scores assume independent members: one of each pair is scored.
            estimate = estimate._replace(members=estimate.members[: len(estimate.members) // 2])
        mean, std, members = estimate

        def score_law(where: np.ndarray) -> EnsembleTally:
            if is_ensemble and members is not None:
                return EnsembleTally().add_members(members, cells.truth, where, observation_error=error)
            if not is_ensemble and std is not None:
                return EnsembleTally().add_normal(mean, std, cells.truth, where, observation_error=error)
            return EnsembleTally()

        sums = cls(Tally().add(mean, cells.truth, cells.where), score_law(cells.where))
        if members is not None:
            sums.members = EnsembleTally().add_members(members, cells.truth, cells.where, observation_error=error)
            if cells.has_spectrum:
                truth, where, is_periodic = cells.truth, cells.where, cells.is_periodic
                sums.spectrum = sums.spectrum.add(truth, mean, where, is_periodic=is_periodic)
                sums.member_spectrum = sums.member_spectrum.add(truth, members[0], where, is_periodic=is_periodic)
        for category in cells.categories:
            for label, where in category.cells_by_label(cells.where):
                sums.parts[category.name, label] = (Tally().add(mean, cells.truth, where), score_law(where))
        return sums

    def __add__(self, other: RowSums) -> RowSums:
        """Return the sum of both."""
        parts = dict(self.parts)
        for key, (plain, law) in other.parts.items():
            before = parts.get(key, (Tally(), EnsembleTally()))
            parts[key] = (before[0] + plain, before[1] + law)
        return RowSums(
            self.plain + other.plain,
            self.law + other.law,
            self.members + other.members,
            self.spectrum + other.spectrum,
            self.member_spectrum + other.member_spectrum,
            parts,
            max(filter(None, (self.example, other.example)), key=lambda each: each.where.sum(), default=None),
        )

    def row(self, method: str, variable: str = "") -> Row:
        """Return the scores."""
        spectra = [tally.score() if tally.segments else None for tally in (self.spectrum, self.member_spectrum)]
        parts: dict[str, dict[str, Part]] = {}
        for (category, label), (plain, law) in self.parts.items():
            parts.setdefault(category, {})[label] = Part(plain.score(), law.score() if law.cells else None)
        laws = [tally.score() if tally.cells else None for tally in (self.law, self.members)]
        return Row(method, self.plain.score(), laws[0], laws[1], spectra[0], spectra[1], parts, variable, self.example)
