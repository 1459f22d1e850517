"""Fit operators to the gaps of an archive, and test whether the gaps that they draw look like the real ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geogan.fields.cell_size import cell_size
from geogan.fields.field import Field
from geogan.gaps.classifier import Accuracy, tell_apart
from geogan.gaps.crops import FRAMES, drawn_crops, real_crops
from geogan.gaps.mask_statistics import LAGS, MaskStatistics, mask_statistics
from geogan.gaps.packed import runs_of_dates
from geogan.operators.errors import InputError
from geogan.operators.observed import ObservedGaps
from geogan.operators.operator import Operator
from geogan.operators.parse import describe, parse

# Operators that are fitted by default: clouds, of which any number can be drawn, and the gaps as they were.
CANDIDATES = ("cloud_mask", "observed_gaps")
# An operator whose gaps are told apart more often is not used if another is told apart less often.
GOOD = 0.6
# Dates that are read, cells times dates, and crops of either kind for training and for the test.
_DATES, _VALUES, _TRAINING, _TEST = 512, 2**27, 768, 384
# Dates in turn for training and for the test, so that both have all seasons.
_BLOCK = 8


@dataclass(frozen=True, eq=False)
class OperatorFit:
    """An operator fitted to real gaps, and how its gaps differ from them.

    Attributes
    ----------
    operator : Operator
        Fitted.
    accuracy : Accuracy
        Of the classifier, on dates that neither it nor the operator was fitted to.
    real, drawn : MaskStatistics
    """

    operator: Operator
    accuracy: Accuracy
    real: MaskStatistics
    drawn: MaskStatistics

    @property
    def text(self) -> str:
        """The operator as ``--operator`` takes it."""
        return describe(self.operator)

    def plain(self) -> dict[str, Any]:
        """Return the results as values that JSON can hold."""
        return {
            "operator": self.text,
            "classifier_accuracy": self.accuracy.value,
            "classifier_accuracy_error": self.accuracy.error,
            **{
                name: {
                    "hidden_share_quantiles": statistics.cover.tolist(),
                    "gap_size_quantiles": statistics.size.tolist(),
                    "differing_pairs": {
                        str(lag): [None if np.isnan(share) else share for share in shares]
                        for lag, shares in zip(LAGS, statistics.variogram.tolist(), strict=True)
                    },
                    "overlap_of_consecutive_dates": None if np.isnan(statistics.overlap) else statistics.overlap,
                }
                for name, statistics in (("real", self.real), ("drawn", self.drawn))
            },
        }


def fit_operators(
    field: Field,
    domain: np.ndarray,
    operators: Sequence[str | Operator] = CANDIDATES,
    *,
    seed: int = 0,
    message: Callable[[str], None] = lambda sentence: None,
) -> list[OperatorFit]:
    """Fit operators to the gaps of a field, and compare their gaps with gaps of other dates of the field.

    Parameters
    ----------
    field : Field
        Some hundred dates are read.
    domain : ndarray of bool, shape (H, W)
        True where the quantity exists.
    operators : sequence of str or Operator
        Parameters that are given are kept.
    seed : int
    message : callable
        Called with a sentence for each operator that cannot be fitted.

    Returns
    -------
    fits : list of OperatorFit
        The best first: the earlier in ``operators`` of those whose gaps are told apart at most 60 % of the time, then
        by accuracy. The operators are fitted to all dates that were read; their tests are of operators fitted to half.

    Raises
    ------
    InputError
        If the field has no gaps, too few dates, or no operator can be fitted.
    """
    observed, starts, frames = read_masks(field, domain)
    is_clear = (observed | ~domain).all(axis=(1, 2))
    fits, refused = [], []
    for order, candidate in enumerate(operators):
        operator = parse(candidate).on_grid(cell_size(field)).around(field.is_periodic)
        check_hides(operator)
        # Observed gaps have no frames without gaps, and are compared with frames that have some.
        compared = starts[~is_clear[starts]] if isinstance(operator, ObservedGaps) else starts
        if len(compared) < 2:
            refused.append(f"{describe(operator)} needs two frames that are partly observed")
            continue
        halves = _halves(compared)
        used = np.unique((halves[0][:, None] + np.arange(frames)).ravel())
        crops = [
            real_crops(observed, domain, dates, count, frames=frames, seed=seed + number)
            for number, (dates, count) in enumerate(zip(halves, (_TRAINING, _TEST), strict=True))
        ]
        try:
            half = operator.fitted(observed[used], domain, seed=seed).around(False)
            whole = operator.fitted(observed, domain, seed=seed).around(False)
        except InputError as error:
            refused.append(str(error))
            continue
        drawn = [drawn_crops(half, real, seed=seed + 1 + number) for number, real in enumerate(crops)]
        images = [part.images for part in (crops[0], drawn[0], crops[1], drawn[1])]
        accuracy = tell_apart(*images, dates=crops[1].dates, seed=seed)
        rank = (accuracy.value > GOOD, order if accuracy.value <= GOOD else accuracy.value)
        fits.append((rank, OperatorFit(whole, accuracy, mask_statistics(crops[1]), mask_statistics(drawn[1]))))
    for sentence in refused:
        message(sentence)
    if not fits:
        raise InputError(f"no operator can be fitted to these gaps ({'; '.join(refused)[:300]}); name another")
    return [fit for _, fit in sorted(fits, key=lambda pair: pair[0])]


def check_hides(operator: Operator) -> None:
    """Refuse an operator that does more than to hide cells, or less.

    Raises
    ------
    InputError
    """
    if not operator.masks or not operator.exact:
        raise InputError(
            f"{describe(operator)} does more than to hide cells; give an operator that only hides, such as cloud_mask"
        )


def read_masks(field: Field, domain: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Return masks (T, H, W) of some dates, those at which a crop may begin, and the dates of a crop.

    Raises
    ------
    InputError
        If the field has no gaps, or too few dates.
    """
    count, _, height, width = field.shape
    dates = runs_of_dates(count, max(1, min(_DATES, _VALUES // (height * width))))
    stacked = field.stacked if len(dates) == count else field.stacked[dates]
    observed = np.stack([np.isfinite(frame.values).any(axis=0) for frame in stacked]) & domain
    # Frames without an observation may be missing, and operators leave them out.
    informative = observed.any(axis=(1, 2))
    if (observed | ~domain).all():
        raise InputError(f"{field.name} has no gaps in its domain, so there is nothing to fit an operator to")
    frames = 1 if field.axes.independent else min(FRAMES, len(dates))
    follows = np.append(np.diff(dates) == 1, False) if frames > 1 else np.ones(len(dates), bool)
    starts = np.flatnonzero(follows & informative & (np.append(informative[1:], False) if frames > 1 else True))
    if len(starts) < 2:
        raise InputError(
            f"{field.name} has too few dates with observations for a test of its gaps, got {int(informative.sum())}; "
            "give 3 or more"
        )
    return observed, starts, frames


def _halves(starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the dates for training and those for the test: blocks in turn.

    Examples
    --------
    >>> [half.tolist() for half in _halves(np.arange(6))]
    [[0, 1, 2], [3, 4, 5]]
    """
    block = max(1, min(_BLOCK, len(starts) // 2))
    is_test = np.arange(len(starts)) // block % 2 == 1
    return starts[~is_test], starts[is_test]
