"""Regressors on the covariates of an archive, as anomalies from a climatology of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from geogan.archive.climatology import ClimatologySums, basis, fit_climatology
from geogan.compute.extent import Extent
from geogan.fields.circle import columns
from geogan.fields.field import Field
from geogan.fields.regression import Term, regressor
from geogan.prior import Film

if TYPE_CHECKING:
    from geogan.archive.archive import Archive

Place = tuple[slice | np.ndarray, slice, slice]
"""Dates, rows and columns of a film; all films of an archive have the same rows and columns."""
# Dates from which the climatology of the regressors is estimated, and values that are in memory at a time.
MOST_DATES, PART_VALUES = 240, 8_000_000
# Smallest standard deviation of a regressor relative to its largest value: less is a constant.
LEAST_SPREAD = 1e-4


def read_with_regressors(
    archive: Archive, places: Sequence[Place], terms: Sequence[Term]
) -> tuple[list[tuple[Film, np.ndarray]], list[Term], list[float]]:
    """Read films of anomalies, and the regressors on them as anomalies from their own climatology.

    The climatology of the field is linear in its observations. A regression of anomalies on regressors is the joint
    estimate of both only if the same climatology is subtracted from the regressors where the field is observed.

    Parameters
    ----------
    archive : Archive
        With covariates.
    places : sequence of (slice or ndarray, slice, slice)
        Dates, rows and columns of the films.
    terms : sequence of tuple of int
        Channels whose products are the regressors.

    Returns
    -------
    films : list of (Film, ndarray)
        Films, and regressors of shape (T, F, h, w).
    terms : list of tuple of int
        The terms that vary; constant ones are left out.
    reach : list of float
        Largest absolute value of each regressor.
    """
    _, y, x = places[0]
    dates = np.unique(np.concatenate([np.arange(len(archive.days))[t] for t, _, _ in places]))
    if len(dates) < MOST_DATES:
        every = np.linspace(0, len(archive.days) - 1, min(MOST_DATES, len(archive.days))).astype(int)
        dates = np.union1d(dates, every)
    domain = archive.sea(y, x)
    step = max(1, PART_VALUES // (domain.size * (len(terms) + archive.bands)))
    groups = np.array_split(np.arange(len(dates)), -(-len(dates) // step))
    low, high = np.full(len(terms), np.inf), np.full(len(terms), -np.inf)
    # A regressor may be constant, such as the square of a wave at two hours of the day.
    for group in groups[:: max(1, len(groups) // 8)]:
        values = _values(archive, dates[group], y, x, terms)[:, :, domain]
        low, high = np.minimum(low, values.min((0, 2))), np.maximum(high, values.max((0, 2)))
    reach = np.maximum(np.abs(low), np.abs(high))
    varies = high - low > LEAST_SPREAD * reach
    kept = [term for term, does in zip(terms, varies) if does]
    coefficients = _climatology(archive, dates, groups, y, x, kept)
    films = []
    for t, _, _ in places:
        film = archive.read(t, y, x)
        phase = None if archive.phase is None else archive.phase[t]
        mean = np.tensordot(basis(phase, len(film.days), len(coefficients)), coefficients, 1)
        values = _values(archive, np.arange(len(archive.days))[t], y, x, kept) - mean
        films.append((film, (values * domain).astype(np.float32)))
    return films, kept, reach[varies].tolist()


def _values(archive: Archive, dates: np.ndarray, y: slice, x: slice, terms: Sequence[Term]) -> np.ndarray:
    """Return the regressors on some dates, (T, F, h, w)."""
    channels = archive.channels(dates, y, x)
    assert channels is not None
    return np.stack([regressor(channels, term) for term in terms], 1)


def _climatology(
    archive: Archive, dates: np.ndarray, groups: Sequence[np.ndarray], y: slice, x: slice, terms: Sequence[Term]
) -> np.ndarray:
    """Return the climatology of the regressors where the field is observed, (K, F, h, w)."""
    domain = archive.sea(y, x)
    labels = archive.field[dates, :1, y, columns(x, archive.domain.shape[1])]
    field = Field.of(labels, domain=domain) if archive.independent or len(dates) > 1 else Field.of(labels[0, 0])
    sums = ClimatologySums(field, ("none",) * len(terms))
    for group in groups:
        film = archive.read(dates[group], y, x)
        observed = (film.mask.numpy() > 0).any(1, keepdims=True)
        values = np.where(observed, _values(archive, dates[group], y, x, terms), np.nan)
        sums.add(Extent(slice(int(group[0]), int(group[-1]) + 1), slice(None), slice(None)), values)
    return fit_climatology(sums, domain).coefficients.astype(np.float64)
