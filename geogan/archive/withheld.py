"""Withheld observations: set aside before training, cloud by cloud, to validate, to stop and to report errors.

On some dates, the observations under *another date's gaps* are withheld. Runs of consecutive dates take their gaps from
runs of consecutive dates, so that persistent clouds are withheld persistently. Only the rule is stored (which date
takes its gaps from which); the withheld cells follow from the archive itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

# Smallest and largest share of a date's observations that a gap may hide.
LEAST, MOST = 0.03, 0.9
# Consecutive dates at most that take their gaps from consecutive dates.
LONGEST_RUN = 4

_BACKWARDS, _ALL = slice(None, None, -1), slice(None)
_FLIPS = ((_ALL, _ALL), (_BACKWARDS, _BACKWARDS), (_BACKWARDS, _ALL), (_ALL, _BACKWARDS))


class Withheld(NamedTuple):
    """The dates whose gaps hide observations of other dates.

    Attributes
    ----------
    sources : ndarray of int32, shape (T, K)
        The dates whose common gaps hide observations of date ``t``; -1 if nothing is withheld.
    flip : int
        For a single scene, how its own gaps are transformed: 1 rotated by 180 degrees, 2 upside down, 3 mirrored.
    """

    sources: np.ndarray
    flip: int = 0

    @property
    def dates(self) -> np.ndarray:
        """Indices of the dates with withheld observations."""
        return np.flatnonzero(self.sources[:, 0] >= 0)

    def runs(self) -> list[slice]:
        """Return the runs of consecutive dates with withheld observations."""
        dates = self.dates
        breaks = np.flatnonzero(np.diff(dates) != 1) + 1
        return [slice(int(run[0]), int(run[-1]) + 1) for run in np.split(dates, breaks) if len(run)]

    def hidden(self, date: int, seen: Callable[[int], np.ndarray]) -> np.ndarray | None:
        """Return the withheld cells of a date, (C, H, W) bool, or None if there are none.

        Parameters
        ----------
        date : int
        seen : callable
            ``seen(date)`` returns the observed cells of a date on the whole grid, (C, H, W) bool. The withheld cells of
            a band follow from the gaps of that band.
        """
        sources = self.sources[date]
        if sources[0] < 0:
            return None
        return _under(seen(date), [seen(int(source)) for source in sources], self.flip)


def _under(observed: np.ndarray, others: list[np.ndarray], flip: int) -> np.ndarray:
    """Return the observed cells that lie in the gaps of all others."""
    hidden = observed
    for other in others:
        hidden = hidden & ~other[..., *_FLIPS[flip]]
    return hidden


def turns(observed: np.ndarray, withheld: Withheld | None) -> list[np.ndarray]:
    """Return the cells that a single scene's own gaps hide in all transformations but that of the withheld cells.

    Parameters
    ----------
    observed : ndarray of bool, shape (C, H, W)
        Observed cells of the scene.
    withheld : Withheld or None
        Rule of the scene.

    Returns
    -------
    list of ndarray of bool, shape (C, H, W)

    Examples
    --------
    >>> observed = np.array([[[True, True, True], [True, False, False]]])
    >>> [hidden.astype(int).tolist() for hidden in turns(observed, Withheld(np.zeros((1, 1), int), flip=1))]
    [[[[0, 1, 1], [0, 0, 0]]], [[[0, 0, 0], [1, 0, 0]]]]
    """
    used = withheld.flip if withheld is not None and len(withheld.dates) else 0
    hidden = [_under(observed, [observed], flip) for flip in range(1, len(_FLIPS)) if flip != used]
    return [cells for cells in hidden if cells.any()]


def withhold(
    seen: Callable[[int], np.ndarray],
    share_seen: np.ndarray,
    *,
    seed: int = 0,
    share: float = 0.1,
    most: int = 240,
    independent: bool = False,
    read_ahead: Callable[[Iterable[int]], None] = lambda dates: None,
) -> Withheld:
    """Choose the dates with withheld observations, and the dates from which they take their gaps.

    Parameters
    ----------
    seen : callable
        ``seen(date)`` returns the observed cells of a date, ([C,] H, W) bool.
    share_seen : ndarray, shape (T,)
        Share of the domain observed on each date.
    seed : int
        Decides the dates and their sources.
    share : float
        Share of the dates with withheld observations (at least three dates if there are as many).
    most : int
        Largest number of these dates.
    independent : bool
        Whether the dates are independent samples. Then more of them are chosen, each by itself, and less of each is
        withheld.
    read_ahead : callable
        Called with the dates for which ``seen`` will be called next.

    Returns
    -------
    Withheld

    Examples
    --------
    >>> masks = np.random.default_rng(0).random((30, 4, 5)) < 0.5
    >>> rule = withhold(lambda date: masks[date], masks.mean((1, 2)), seed=1)
    >>> date = rule.dates[0]
    >>> bool((rule.hidden(date, lambda date: masks[date]) <= masks[date]).all())
    True
    """
    count = len(share_seen)
    if count == 1:
        return _withhold_scene(seen, seed)
    usable = share_seen > 0
    depth = _depth(share_seen[usable], count, independent=independent)
    sources = np.full((count, depth), -1, np.int32)
    generator = np.random.default_rng([seed, 0x77])
    # A sample loses little, so that three times as many samples are needed.
    share = 3 * share if independent else share
    goal = min(most, max(3, round(share * count)), count if independent else max(1, count // 3))

    def runs() -> Iterator[tuple[range, np.ndarray]]:
        """Yield consecutive dates and the distances from each to the dates whose gaps it takes."""
        for _ in range(40 * goal):
            length = 1 if independent else int(generator.integers(1, min(LONGEST_RUN, goal) + 1))
            first = int(generator.integers(0, count - length + 1))
            yield range(first, first + length), generator.choice(np.arange(1, count), size=depth, replace=False)

    chosen, drawn = 0, runs()
    while chosen < goal:
        candidates: list[tuple[int, np.ndarray]] = []
        for dates, distances in drawn:
            candidates += [(date, (date + distances) % count) for date in dates]
            # At least 16 at a time, so that many masks of the archive are read together.
            if len(candidates) >= max(goal - chosen, 16):
                break
        if not candidates:
            break
        candidates = [(date, lenders) for date, lenders in candidates if usable[date] and usable[lenders].all()]
        read_ahead({date for date, lenders in candidates for date in (date, *lenders.tolist())})
        for date, lenders in candidates:
            if chosen >= goal or sources[date, 0] >= 0:
                continue
            found = _usable_lenders(seen, date, lenders)
            if found is not None:
                sources[date] = found
                chosen += 1
    return Withheld(sources)


def _usable_lenders(seen: Callable[[int], np.ndarray], date: int, lenders: np.ndarray) -> np.ndarray | None:
    """Return the dates whose common gaps hide a share of a date, (K,), or None if they hide too much or too little.

    Where a repeat orbit observes the same cells again, the dates that see most cells of this one are left out; others
    are named twice in their place.
    """
    observed = seen(date)
    masks = [seen(int(lender)) for lender in lenders]
    if _is_usable(_under(observed, masks, 0), observed):
        return lenders
    differs = [2 * int((mask & observed).sum()) < int(observed.sum()) for mask in masks]
    kept = [mask for mask, is_other in zip(masks, differs) if is_other]
    if not kept or len(kept) == len(masks) or not _is_usable(_under(observed, kept, 0), observed):
        return None
    return np.resize(lenders[differs], len(lenders))


def _withhold_scene(seen: Callable[[int], np.ndarray], seed: int) -> Withheld:
    """Choose the first transformation of a scene's own gaps, in an order by the seed, that hides enough of it."""
    for turn in range(3):
        rule = Withheld(np.zeros((1, 1), np.int32), flip=1 + (seed + turn) % 3)
        if _is_usable(rule.hidden(0, seen), seen(0)):
            return rule
    return Withheld(np.full((1, 1), -1, np.int32))


def _depth(share_seen: np.ndarray, count: int, *, independent: bool) -> int:
    """Return the number of dates whose common gaps are used.

    If dates observe less than 20 % (stations, tracks), the gaps of one date would hide nearly everything, so the common
    gaps of several are used, which hide about half. A sample is reconstructed from itself only, so 12 % are hidden.
    """
    typical = float(np.median(share_seen)) if share_seen.size else 1.0
    aim, enough = (0.12, 1 - 0.12) if independent else (0.5, 0.2)
    depth = 1 if typical >= enough else int(np.ceil(np.log(aim) / np.log1p(-typical)))
    return min(depth, max(1, count - 1), 64)


def _is_usable(hidden: np.ndarray | None, observed: np.ndarray) -> bool:
    return hidden is not None and LEAST * observed.sum() < hidden.sum() < MOST * observed.sum()
