"""Regression of a field on its covariates: the part of the mean that follows from what is known beside the field."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from geogan.fields.circle import taken
from geogan.fields.covariates import Covariates

Term = tuple[int, ...]
"""Numbers of the channels of :meth:`geogan.fields.covariates.Covariates.films` whose product is a regressor."""


@dataclass(frozen=True, eq=False)
class Regression:
    """The coefficients of products of covariates, in transformed units of the field.

    Attributes
    ----------
    terms : tuple of tuple of int
        Channels whose product is a regressor, for each regressor.
    coefficients : ndarray of float32, shape (F, C, H, W) or (F, C, 1, 1)
        For each regressor and band; of each cell, or common to all cells.
    reach : tuple of float
        Largest absolute value of each regressor on the dates of the training.

    Examples
    --------
    >>> regression = Regression(((0,), (0, 0)), np.array([2.0, 1.0], "f4").reshape(2, 1, 1, 1), (3.0, 9.0))
    >>> channels = np.full((1, 1, 1, 2), 3.0, "f4")
    >>> regression.mean(channels).ravel().tolist()
    [15.0, 15.0]
    """

    terms: tuple[Term, ...]
    coefficients: np.ndarray
    reach: tuple[float, ...]

    def mean(self, channels: np.ndarray, y: slice = slice(None), x: slice = slice(None)) -> np.ndarray:
        """Return the sum of the regressors times their coefficients on rows ``y`` and columns ``x``, (T, C, h, w).

        Parameters
        ----------
        channels : ndarray of float32, shape (T, K, h, w)
            Channels on these rows and columns.
        """
        coefficients = taken(self.coefficients, y, x) if self.is_local else self.coefficients
        count, _, *cells = channels.shape
        total = np.zeros((count, coefficients.shape[1], *cells), np.float32)
        # Element by element in a fixed order, so that values do not depend on the part of the grid.
        for term, factor in zip(self.terms, coefficients, strict=True):
            total += regressor(channels, term)[:, None] * factor
        return total

    @property
    def is_local(self) -> bool:
        """Whether each cell has its own coefficients."""
        return self.coefficients.shape[2:] != (1, 1)

    @property
    def swing(self) -> np.ndarray:
        """Largest part of the mean by the regression in each band, (C,), as a bound."""
        return np.einsum("fchw,f->chw", np.abs(self.coefficients.astype(np.float64)), self.reach).max((1, 2))

    def part(self, y: slice, x: slice) -> Regression:
        """Return the regression on a part of the grid."""
        return replace(self, coefficients=taken(self.coefficients, y, x)) if self.is_local else self


def regressor(channels: np.ndarray, term: Term) -> np.ndarray:
    """Return the product of some channels (T, K, h, w), (T, h, w).

    Examples
    --------
    >>> regressor(np.array([2.0, 5.0]).reshape(1, 2, 1, 1), (0, 1)).ravel().tolist()
    [10.0]
    """
    product: np.ndarray = channels[:, term[0]]
    for channel in term[1:]:
        product = product * channels[:, channel]
    return product


def candidate_terms(covariates: Covariates) -> list[tuple[Term, ...]]:
    """Return sets of regressors to choose from, each a part of the next one.

    The first set holds each covariate. In the second one the effect of the maps, and of the covariates that change in
    time, depends on the season and on the hour; the hour has a second harmonic.

    Examples
    --------
    >>> hours = Covariates(("hour_of_day", "depth"), np.zeros((1, 2, 2), "f4"), turns=np.zeros((2, 2), "f4"))
    >>> candidate_terms(hours)
    [((0,), (1,), (2,)), ((0,), (1,), (2,), (0, 0), (0, 1), (2, 0), (2, 1))]
    """
    first, waves, hours = 0, [], []
    for name in covariates.cycles:
        waves += [first, first + 1]
        hours += [first, first + 1] if name == "hour_of_day" else []
        first += 2
    static = list(range(first, first + len(covariates.maps)))
    varying = list(range(first + len(static), covariates.channels))
    plain: list[Term] = [(channel,) for channel in (*waves, *static, *varying)]
    products: list[Term] = []
    if hours:
        cosine, sine = hours
        products += [(cosine, cosine), (cosine, sine)]
    products += [(each, wave) for each in (*static, *varying) for wave in waves]
    if hours:
        products += [(each, hours[0], wave) for each in varying for wave in hours]
    return [tuple(plain), tuple(plain + products)] if products else [tuple(plain)]
