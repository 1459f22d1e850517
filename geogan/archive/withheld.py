"""Real observations set aside before training, cloud by cloud: to choose with, to stop by, to report.

On some dates, what was seen under *another date's gaps* is withheld. Runs of consecutive dates borrow
from runs of consecutive dates, so that clouds which persist are withheld persistently. Only the rule is
kept (which date borrows from which); what is hidden follows from the archive itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

# A borrowed gap counts if it hides this share of what the date has.
LEAST, MOST = 0.03, 0.9
# Consecutive dates hidden together.
LONGEST_RUN = 4
# Where dates see less than this share (stations, tracks), a single one's gaps would hide nearly all: the gaps
# common to several are used, which hide this share.
SPARSE, HALF = 0.2, 0.5
# Runs of dates are looked at together, so that an archive is asked for many masks at a time.
FEWEST_TOGETHER = 16
# A sample has only itself to be reconstructed from: no more than about this share of what it has is hidden, but
# of so many times as many samples.
OF_A_SAMPLE, MORE_SAMPLES = 0.12, 3

_BACK, _ALL = slice(None, None, -1), slice(None)
_FLIPS = ((_ALL, _ALL), (_BACK, _BACK), (_BACK, _ALL), (_ALL, _BACK))


class Withheld(NamedTuple):
    """Which dates lend their gaps to which.

    Attributes
    ----------
    sources : ndarray of int32, shape (T, K)
        The dates whose common gaps hide what date ``t`` saw; -1 where nothing is withheld.
    flip : int
        An image has only its own gaps to borrow: 1 turns them by 180 degrees, 2 upside down, 3 mirrors them.
    """

    sources: np.ndarray
    flip: int = 0

    @property
    def dates(self) -> np.ndarray:
        """Indices of the dates on which something is withheld."""
        return np.flatnonzero(self.sources[:, 0] >= 0)

    def runs(self) -> list[slice]:
        """Stretches of consecutive dates with something withheld."""
        dates = self.dates
        breaks = np.flatnonzero(np.diff(dates) != 1) + 1
        return [slice(int(run[0]), int(run[-1]) + 1) for run in np.split(dates, breaks) if len(run)]

    def hidden(self, date: int, seen: Callable[[int], np.ndarray]) -> np.ndarray | None:
        """What is withheld on a date, (C, H, W) bool, or None where nothing is.

        ``seen(date)`` gives what was observed on a date, (C, H, W) bool, on the whole grid: what is withheld
        of a band follows the gaps of that band.
        """
        sources = self.sources[date]
        if sources[0] < 0:
            return None
        return _under(seen(date), [seen(int(source)) for source in sources], self.flip)


def _under(own: np.ndarray, others: list[np.ndarray], flip: int) -> np.ndarray:
    hidden = own
    for other in others:
        hidden = hidden & ~other[..., *_FLIPS[flip]]
    return hidden


def turns(own: np.ndarray, withheld: Withheld | None) -> list[np.ndarray]:
    """What else a single scene's own gaps hide of it: in all the ways but that in which they withhold.

    Parameters
    ----------
    own : ndarray of bool, shape (C, H, W)
        What was observed.
    withheld : Withheld or None
        Of the scene.

    Returns
    -------
    list of ndarray of bool, shape (C, H, W)

    Examples
    --------
    >>> own = np.array([[[True, True, True], [True, False, False]]])
    >>> [hidden.astype(int).tolist() for hidden in turns(own, Withheld(np.zeros((1, 1), int), flip=1))]
    [[[[0, 1, 1], [0, 0, 0]]], [[[0, 0, 0], [1, 0, 0]]]]
    """
    taken = withheld.flip if withheld is not None and len(withheld.dates) else 0
    found = [_under(own, [own], flip) for flip in range(1, len(_FLIPS)) if flip != taken]
    return [hidden for hidden in found if hidden.any()]


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
    """Choose what to withhold.

    Parameters
    ----------
    seen : callable
        ``seen(date)`` gives what was observed on a date, ([C,] H, W) bool.
    share_seen : ndarray, shape (T,)
        Share of the domain observed on each date.
    seed : int
        Decides which dates, and whose gaps.
    share : float
        Share of the dates on which something is withheld (at least three, where there are so many).
    most : int
        Dates at most, however long the archive.
    independent : bool
        Whether the dates are samples instead: more of them are chosen, each by itself, and lose little.
    read_ahead : callable
        Told which dates ``seen`` will be asked for next.

    Returns
    -------
    Withheld

    Examples
    --------
    >>> masks = np.random.default_rng(0).random((30, 4, 5)) < 0.5
    >>> chosen = withhold(lambda date: masks[date], masks.mean((1, 2)), seed=1)
    >>> date = chosen.dates[0]
    >>> bool((chosen.hidden(date, lambda date: masks[date]) <= masks[date]).all())
    True
    """
    count = len(share_seen)
    usable = share_seen > 0
    typical = float(np.median(share_seen[usable])) if usable.any() else 1.0
    # Gaps shared by `depth` dates hide about as much as they should, where one date's would hide more.
    aim, few = (OF_A_SAMPLE, 1 - OF_A_SAMPLE) if independent else (HALF, SPARSE)
    depth = 1 if typical >= few else int(np.ceil(np.log(aim) / np.log1p(-typical)))
    depth = min(depth, max(1, count - 1), 64)
    sources = np.full((count, depth), -1, np.int32)
    if count == 1:
        for turn in range(3):
            chosen = Withheld(np.zeros((1, 1), np.int32), flip=1 + (seed + turn) % 3)
            if _counts(chosen.hidden(0, seen), seen(0)):
                return chosen
        return Withheld(np.full((1, 1), -1, np.int32))
    generator = np.random.default_rng([seed, 0x77])
    share = share * MORE_SAMPLES if independent else share
    goal = min(most, max(3, round(share * count)), count if independent else max(1, count // 3))

    def runs() -> Iterator[tuple[range, np.ndarray]]:
        """Consecutive dates, and how many dates after each its lenders come."""
        for _ in range(40 * goal):
            length = 1 if independent else int(generator.integers(1, min(LONGEST_RUN, goal) + 1))
            first = int(generator.integers(0, count - length + 1))
            yield range(first, first + length), generator.choice(np.arange(1, count), size=depth, replace=False)

    taken, drawn = 0, runs()
    while taken < goal:
        together: list[tuple[int, np.ndarray]] = []
        for dates, shifts in drawn:
            together += [(date, (date + shifts) % count) for date in dates]
            if len(together) >= max(goal - taken, FEWEST_TOGETHER):
                break
        if not together:
            break
        together = [(date, lenders) for date, lenders in together if usable[date] and usable[lenders].all()]
        read_ahead({date for date, lenders in together for date in (date, *lenders.tolist())})
        for date, lenders in together:
            if taken >= goal or sources[date, 0] >= 0:
                continue
            own = seen(date)
            if _counts(_under(own, [seen(int(lender)) for lender in lenders], 0), own):
                sources[date] = lenders
                taken += 1
    return Withheld(sources)


def _counts(hidden: np.ndarray | None, own: np.ndarray) -> bool:
    return hidden is not None and LEAST * own.sum() < hidden.sum() < MOST * own.sum()
