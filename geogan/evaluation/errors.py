"""Errors of an estimate on the cells asked for: RMSE, bias, mean absolute error, and the share that was filled."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from geogan.operators.errors import InputError


class Score(NamedTuple):
    """Errors over the cells that were asked for and filled, in the unit of the field.

    Attributes
    ----------
    rmse : float
        Root mean square error; NaN if no cell was filled.
    bias : float
        Mean of estimate minus truth.
    mae : float
        Mean absolute error.
    cells : int
        Number of cells that are scored.
    share : float
        ``cells`` divided by the number of cells asked for; 1 if the method filled all of them. A method that omits the
        difficult cells has a small error and a small share.
    """

    rmse: float
    bias: float
    mae: float
    cells: int
    share: float


@dataclass(frozen=True)
class Tally:
    """Sums of errors from which a :class:`Score` follows, so that an archive can be scored block by block.

    Tallies are added with ``+``. The result does not depend on split or order beyond the rounding of float64 sums.

    Attributes
    ----------
    squares, errors, absolutes : float
        Sums of the squared, signed and absolute errors.
    cells : int
        Number of cells asked for and filled.
    asked : int
        Number of cells asked for where the truth is known.

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
        """Return the sum of this tally and a block.

        Parameters
        ----------
        estimate : ndarray
            Estimate of a method; NaN where it has none.
        truth : ndarray, same shape
            Truth in the same unit; cells that are NaN are not counted.
        where : ndarray of bool
            True on the cells to score; broadcast to the shape of ``truth``.

        Raises
        ------
        InputError
            If shapes differ or ``where`` is not boolean.
        """
        estimate, truth = np.asarray(estimate), np.asarray(truth)
        if estimate.shape != truth.shape:
            raise InputError(
                f"estimate and truth must have one shape, got {estimate.shape} and {truth.shape}; "
                "select the same dates and cells of both"
            )
        filled, asked = cells_to_score(np.isfinite(estimate), truth, where)
        error = estimate[filled].astype("float64") - truth[filled].astype("float64")
        return self + Tally(
            squares=float(np.sum(error**2)),
            errors=float(np.sum(error)),
            absolutes=float(np.sum(np.abs(error))),
            cells=int(error.size),
            asked=asked,
        )

    def __add__(self, other: "Tally") -> "Tally":
        """Return the sum of two tallies."""
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
        """Return the errors; NaN, with 0 cells, if no cell could be scored."""
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


def cells_to_score(is_predicted: np.ndarray, truth: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the mask of the cells that can be scored, and the number of cells asked for.

    Parameters
    ----------
    is_predicted : ndarray of bool, shape of ``truth``
        True where there is a prediction.
    truth : ndarray
        NaN where the truth is not known.
    where : ndarray of bool
        True on the cells asked for; broadcast to the shape of ``truth``.

    Raises
    ------
    InputError
        If ``where`` is not boolean or does not broadcast.

    Examples
    --------
    >>> cells_to_score(np.array([True, False, True]), np.array([1.0, 2.0, np.nan]), np.array(True))
    (array([ True, False, False]), 2)
    """
    where = np.asarray(where)
    if where.dtype != bool:
        raise InputError(f"where must be boolean, True on the cells to score, got {where.dtype}; convert it to bool")
    try:
        where = np.broadcast_to(where, truth.shape)
    except ValueError as problem:
        raise InputError(
            f"where must broadcast to the shape of truth, {truth.shape}, got {where.shape}; give one value a cell"
        ) from problem
    asked = where & np.isfinite(truth)
    return asked & is_predicted, int(asked.sum())
