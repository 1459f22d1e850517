"""Replace a fitted stationary field by a covariance of the archive where that predicts hidden observations better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from geogan.fields.circle import columns
from geogan.prior.archive_covariance import ArchivePrior
from geogan.prior.film import Film
from geogan.prior.fit import fit_archive_prior
from geogan.prior.fit_local import FEWEST_DATES, fit_local_prior, is_worth_fitting
from geogan.prior.gaussian import GaussianPrior
from geogan.prior.local import Prior

# Dates from which a local prior is estimated, and how many of them follow each other.
DATES, RUN = 400, 8
# Values that are read at a time.
READ_VALUES = 16_000_000


def fit_covariance(
    markov: GaussianPrior,
    films: Sequence[Film],
    film_dates: Sequence[slice | np.ndarray],
    read: Callable[[np.ndarray], Film],
    *,
    dates: int,
    shape: tuple[int, int, int],
    most: int,
    has_time: bool,
) -> Prior:
    """Return a covariance of the archive, or the stationary field if no other is better.

    A small grid gets a dense covariance (:mod:`geogan.prior.archive_covariance`), a larger one couplings and modes
    (:mod:`geogan.prior.local`).

    Parameters
    ----------
    markov : GaussianPrior
        The fitted stationary field.
    films : sequence of Film
        Pieces of the archive with hidden observations, and with their place.
    film_dates : sequence of slice or ndarray
        Dates of each film.
    read : callable
        Returns the film of the whole grid on some dates, given by their numbers in increasing order.
    dates : int
        Number of dates of the archive.
    shape : (int, int, int)
        Bands, rows and columns.
    most : int
        Number of values that may be read.
    has_time : bool
        False for independent samples, which have no local prior.
    """
    cells = shape[1] * shape[2]
    has_whole_grid = all(film.values.shape[-2:] == shape[1:] for film in films)
    if cells <= ArchivePrior.largest_worth:
        if not (has_whole_grid and ArchivePrior.is_worth_fitting(cells, dates)):
            return markov
        sample = _sample(read, np.arange(dates), films, film_dates, dates)
        mask, kept = (part.to(sample.values) for part in (sample.mask, sample.kept))
        return fit_archive_prior(markov, films, sample.values * mask, mask, kept, sample.domain)
    numbers = sampled_dates(dates, min(DATES, most // (shape[0] * cells)))
    if not has_time or len(numbers) < FEWEST_DATES or not is_worth_fitting(markov, len(numbers)):
        return markov
    step = RUN * max(1, READ_VALUES // (RUN * shape[0] * cells))
    return fit_local_prior(markov, films, _sample(read, numbers, films, film_dates, step))


def sampled_dates(dates: int, most: int) -> np.ndarray:
    """Return the numbers of at most ``most`` dates, in runs at regular intervals.

    Examples
    --------
    >>> sampled_dates(5, 400)
    array([0, 1, 2, 3, 4])
    >>> sampled_dates(100, 17)
    array([ 0,  1,  2,  3,  4,  5,  6,  7, 92, 93, 94, 95, 96, 97, 98, 99])
    """
    if dates <= most:
        return np.arange(dates)
    runs = most // RUN
    starts = np.linspace(0, dates - RUN, runs).astype(int) if runs > 1 else np.arange(runs)
    return np.unique(starts[:, None] + np.arange(RUN))


def _sample(
    read: Callable[[np.ndarray], Film],
    numbers: np.ndarray,
    films: Sequence[Film],
    film_dates: Sequence[slice | np.ndarray],
    step: int,
) -> Film:
    """Return a film of some dates, read so many at a time, of which ``kept`` leaves out what other films hide."""
    parts = []
    for some in np.split(numbers, range(step, len(numbers), step)):
        part = read(some)
        # Masks of one byte: a film has several times the memory of its values.
        parts.append(Film(values=part.values, mask=part.mask > 0, domain=part.domain, days=part.days, place=part.place))
    values, mask, days = (torch.cat([getattr(part, name) for part in parts]) for name in ("values", "mask", "days"))
    sample = Film(values=values, mask=mask, domain=parts[0].domain, days=days, place=parts[0].place)
    del parts
    kept = mask.clone()
    for hidden, dates in zip(films, film_dates, strict=True):
        held = np.arange(dates.start, dates.stop) if isinstance(dates, slice) else dates
        _, here, there = np.intersect1d(numbers, held, return_indices=True)
        if len(here):
            _leave_out(kept, here, hidden, there)
    return replace(sample, kept=kept)


def _leave_out(kept: Tensor, here: np.ndarray, film: Film, there: np.ndarray) -> None:
    """Set the mask (T, C, H, W) of dates ``here`` to 0 where a film does not keep its dates ``there``."""
    height, width = film.values.shape[-2:]
    row, column = (0, 0) if film.place is None else film.place.tolist()
    at = columns(slice(column, column + width), kept.shape[-1])
    for date, film_date in zip(here.tolist(), there.tolist()):
        part = kept[date][:, row : row + height]
        part[..., at] = part[..., at] & (film.kept[film_date] > 0)
