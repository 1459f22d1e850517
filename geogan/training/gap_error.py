"""The error to expect in the gaps of an archive, from errors on withheld observations.

Withheld observations lie on dates that observe much, so that they are nearer to other observations than the cells of
real gaps, and their error is smaller. Their squared errors are weighted until they are as far from observations as the
gaps: a table of the posterior's spread turns the distances in space and time into one number, and each bin of that
number gets the share that it has in the gaps.
"""

from __future__ import annotations

import numpy as np
import torch

from geogan.archive import Archive
from geogan.model import Model
from geogan.model.networks import SpreadTable
from geogan.prior import ASPECTS, nearness
from geogan.training.blocks import random_samples, random_slice, samples_in_block
from geogan.training.judge import Judge

# Films of which the gaps are looked at: dates, cells a side, and number. Dates and cells nearer than these to a cut are
# left out, because what is observed beyond it is not read.
DATES, SIDE, FILMS, DATES_OF_CUT, CELLS_OF_CUT = 24, 256, 6, 6, 32
# Bins of the spread in the gaps, and number of withheld clouds in a bin from which on their error has more weight than
# the calibrated spread.
BINS, HALF = 6, 3


def expected_gap_error(first: Model, archive: Archive, judge: Judge, table: SpreadTable, *, seed: int) -> float | None:
    """Return the root mean square error of the first guess to expect in the gaps of an archive, in anomalies.

    Like the predicted error it is that of an observation in the gap, without its known error.

    Parameters
    ----------
    first : Model
        The model without networks, with a prior.
    archive : Archive
    judge : Judge
        Judge by withheld observations.
    table : SpreadTable
        Spread of the posterior of the first guess, with the noise of the prior.
    seed : int
        Decides the parts of the archive whose gaps are looked at.

    Returns
    -------
    float or None
        None if no gap is found.
    """
    spreads = _gap_spreads(first, archive, table, seed=seed)
    if not len(spreads):
        return None
    withheld = judge.residuals(None, table)
    predicted = judge.calibration(None, table).apply(spreads)
    edges = np.unique(np.quantile(spreads, np.linspace(0, 1, BINS + 1)[1:-1]))
    of_gaps, of_withheld = (np.searchsorted(edges, std) for std in (spreads, withheld.std))
    squares = np.maximum(withheld.error**2 - withheld.noise**2, 0.0)
    total = 0.0
    for number in range(len(edges) + 1):
        is_gap, is_withheld = of_gaps == number, of_withheld == number
        calibrated = float((predicted[is_gap] ** 2).mean()) if is_gap.any() else 0.0
        clouds = len(np.unique(withheld.cloud[is_withheld]))
        found = float(squares[is_withheld].mean()) if clouds else 0.0
        total += is_gap.mean() * (clouds * found + HALF * calibrated) / (clouds + HALF)
    return float(np.sqrt(total))


def _gap_spreads(first: Model, archive: Archive, table: SpreadTable, *, seed: int) -> np.ndarray:
    """Return the spread in the gaps of some films, given all observations, as a fill sees them; shape (N,)."""
    (height, width), count = archive.domain.shape, len(archive.days)
    found = []
    for number in range(1 if (height <= SIDE and width <= SIDE and count <= DATES) else FILMS):
        random = np.random.default_rng([seed, 0x6A9, number])
        t: slice | np.ndarray = random_slice(count, DATES, random)
        y = random_slice(height, SIDE, random)
        x = random_slice(width, SIDE, random, is_periodic=archive.is_periodic)
        if archive.independent:
            t = random_samples(archive, random, samples_in_block(archive))
        film, is_periodic = archive.read(t, y, x), archive.spans(x)
        prior = first.prior_of(y, x, is_periodic=is_periodic)
        mask = film.mask + film.withheld
        near = nearness(mask, film.days, prior, is_periodic=is_periodic)
        spread = table.lookup(near.unflatten(1, (ASPECTS, -1)).movedim(1, -1).float())
        is_gap = (mask == 0) & (film.domain > 0)
        inner = torch.zeros_like(is_gap)
        dates = slice(None) if isinstance(t, np.ndarray) else _away_from_cut(t, count, DATES_OF_CUT)
        columns = slice(None) if is_periodic else _away_from_cut(x, width, CELLS_OF_CUT)
        inner[dates, :, _away_from_cut(y, height, CELLS_OF_CUT), columns] = True
        found.append(spread[is_gap & inner].numpy())
    return np.concatenate(found)


def _away_from_cut(part: slice, size: int, margin: int) -> slice:
    """Return the places of a part of an axis that are not near to where the part is cut from the axis."""
    first = margin if part.start > 0 else 0
    return slice(first, part.stop - part.start - (margin if part.stop < size else 0))
