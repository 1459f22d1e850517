"""How far an estimate is from the truth on the cells asked for."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from geogan.operators.errors import InputError


class Score(NamedTuple):
    """Errors over the cells that were both asked for and filled, in the unit of the field.

    Attributes
    ----------
    rmse : float
        Root of the mean square error; NaN where no cell was filled.
    bias : float
        Mean of estimate minus truth.
    mae : float
        Mean absolute error.
    cells : int
        Number of cells the errors are taken over.
    share : float
        ``cells`` divided by the number of cells asked for: 1 where the method filled all of them. A
        method that leaves the hard cells out has a small error and a small share.
    """

    rmse: float
    bias: float
    mae: float
    cells: int
    share: float


@dataclass(frozen=True)
class Tally:
    """Sums of errors, from which a :class:`Score` follows; archives are scored block by block with it.

    Tallies are added with ``+``, in any split and order: they hold sums alone, in float64, so that
    nothing but the last bits of rounding depends on the way.

    Attributes
    ----------
    squares, errors, absolutes : float
        Sums of the squared, signed and absolute errors.
    cells : int
        Cells asked for and filled.
    asked : int
        Cells asked for, where the truth is known.

    Examples
    --------
    >>> tally = Tally()
    >>> for estimate in ([1.0, 3.0], [5.0, np.nan]):
    ...     tally = tally.add(np.array(estimate), np.array([1.0, 4.0]), np.array([True, True]))
    >>> tally.score()
    Score(rmse=2.38..., bias=1.0, mae=1.66..., cells=3, share=0.75)
    """

    squares: float = 0.0
    errors: float = 0.0
    absolutes: float = 0.0
    cells: int = 0
    asked: int = 0

    def add(self, estimate: np.ndarray, truth: np.ndarray, where: np.ndarray) -> "Tally":
        """Return this tally with one more block in it.

        Parameters
        ----------
        estimate : ndarray
            What a method says, NaN where it says nothing.
        truth : ndarray, same shape
            What was measured, in the same unit; cells that are NaN here are not counted.
        where : ndarray of bool
            True on the cells to score; broadcast to the shape of ``truth``.

        Returns
        -------
        tally : Tally
            A new one; this one is unchanged.

        Raises
        ------
        InputError
            Where the shapes differ or ``where`` is not boolean.
        """
        estimate, truth, where = np.asarray(estimate), np.asarray(truth), np.asarray(where)
        if estimate.shape != truth.shape:
            raise InputError(
                f"estimate and truth must have one shape, got {estimate.shape} and {truth.shape}; "
                "select the same dates and cells of both"
            )
        if where.dtype != bool:
            raise InputError(
                f"where must be boolean, True on the cells to score, got {where.dtype}; compare with 0 to make it so"
            )
        try:
            where = np.broadcast_to(where, truth.shape)
        except ValueError as problem:
            raise InputError(
                f"where must broadcast to the shape of truth, {truth.shape}, got {where.shape}; give one flag a cell"
            ) from problem
        asked = where & np.isfinite(truth)
        filled = asked & np.isfinite(estimate)
        error = estimate[filled].astype("float64") - truth[filled].astype("float64")
        return self + Tally(
            squares=float(np.sum(error**2)),
            errors=float(np.sum(error)),
            absolutes=float(np.sum(np.abs(error))),
            cells=int(error.size),
            asked=int(asked.sum()),
        )

    def __add__(self, other: "Tally") -> "Tally":
        """Return the tally of both."""
        if not isinstance(other, Tally):
            return NotImplemented
        return Tally(
            self.squares + other.squares,
            self.errors + other.errors,
            self.absolutes + other.absolutes,
            self.cells + other.cells,
            self.asked + other.asked,
        )

    def score(self) -> Score:
        """Return the errors so far; NaN, with 0 cells, where nothing could be scored."""
        share = self.cells / self.asked if self.asked else float("nan")
        if not self.cells:
            return Score(float("nan"), float("nan"), float("nan"), 0, share)
        return Score(
            rmse=(self.squares / self.cells) ** 0.5,
            bias=self.errors / self.cells,
            mae=self.absolutes / self.cells,
            cells=self.cells,
            share=share,
        )


def score(estimate: np.ndarray, truth: np.ndarray, where: np.ndarray) -> Score:
    """Score an estimate that fits into memory.

    Parameters
    ----------
    estimate : ndarray
        What a method says, NaN where it says nothing.
    truth : ndarray, same shape
        What was measured, in the same unit; cells that are NaN here are not counted.
    where : ndarray of bool
        True on the cells to score; broadcast to the shape of ``truth``.

    Returns
    -------
    score : Score
        Errors over the cells that the method filled, and the share of the cells asked for that it filled.

    Raises
    ------
    InputError
        Where the shapes differ or ``where`` is not boolean.

    Examples
    --------
    >>> truth = np.array([[10.0, 11.0], [12.0, np.nan]])
    >>> score(truth + 0.5, truth, np.array([[True, False], [True, True]]))
    Score(rmse=0.5, bias=0.5, mae=0.5, cells=2, share=1.0)
    """
    return Tally().add(estimate, truth, where).score()
