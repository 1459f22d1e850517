"""What a training gained over the first guess, how certain that is, and whether a longer training would gain more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from geogan.model.networks import Generator
from geogan.training.judge import Judge

# Resamples of the bootstrap, and the fewest withheld clouds that give an interval.
RESAMPLES, FEWEST_CLOUDS = 2000, 4
# Reduction of the error in the second half of the steps from which on more steps are worth their time.
WORTH = 0.005


class Gain(NamedTuple):
    """Reduction of the root mean square error on withheld observations, as a share of that of the first guess.

    Attributes
    ----------
    share : float
        Negative if the error became larger.
    low, high : float
        Ends of the 90 % interval; NaN for fewer than four clouds.
    clouds : int
        Runs of withheld dates that were resampled.
    """

    share: float
    low: float
    high: float
    clouds: int


def measure_gain(
    judge: Judge,
    network: Generator | None,
    *,
    random: np.random.Generator,
    precision: torch.dtype = torch.float32,
) -> Gain | None:
    """Measure the gain of a network over the first guess on the withheld observations of a judge.

    Parameters
    ----------
    judge : Judge
    network : Generator or None
    random : numpy.random.Generator
        Of the bootstrap.
    precision : torch.dtype

    Returns
    -------
    Gain or None
        None if the first guess has no error.
    """
    return bootstrap_gain(judge.paired_squares(network, precision=precision), random)


def bootstrap_gain(squares: np.ndarray, random: np.random.Generator) -> Gain | None:
    """Return the gain of a network from the squared errors under each cloud, by a paired bootstrap over clouds.

    Errors under one cloud are correlated, and clouds differ in difficulty, which both estimates share; so whole clouds
    are drawn, each with both of its sums (Efron and Tibshirani 1993, *An Introduction to the Bootstrap*, chapter 8).

    Parameters
    ----------
    squares : ndarray, shape (N, 2)
        Sums of the squared errors of the network and of the first guess under each cloud.
    random : numpy.random.Generator

    Returns
    -------
    Gain or None
        None if the sum of a column is not positive.

    Examples
    --------
    Half of the error under every cloud, whatever clouds are drawn:

    >>> bootstrap_gain(np.array([[1.0, 4.0], [2.0, 8.0], [3.0, 12.0], [1.0, 4.0]]), np.random.default_rng(0))
    Gain(share=0.5, low=0.5, high=0.5, clouds=4)
    """

    def share(sums: np.ndarray) -> np.ndarray:
        return 1 - np.sqrt(np.maximum(sums[..., 0], 0) / sums[..., 1])

    total, count = squares.sum(0), len(squares)
    if not (total > 0).all():
        return None
    if count < FEWEST_CLOUDS:
        return Gain(float(share(total)), float("nan"), float("nan"), count)
    sums = squares[random.integers(0, count, (RESAMPLES, count))].sum(1)
    low, high = np.quantile(share(sums[sums[:, 1] > 0]), [0.05, 0.95])
    return Gain(float(share(total)), float(low), float(high), count)


def late_fall(history: Sequence[tuple[int, float]], *, cooling: float) -> float | None:
    """Return by what share the best error fell in the second half of the steps before the learning rate fell.

    Parameters
    ----------
    history : sequence of (int, float)
        Step and error of each validation, in their order.
    cooling : float
        Share of the steps, at their end, over which the learning rate falls: the error falls there for that reason.

    Returns
    -------
    share : float or None
        None if a half holds no validation.

    Examples
    --------
    >>> late_fall([(0, 9.0), (100, 4.0), (200, 2.0), (300, 1.5), (400, 1.0), (500, 0.5)], cooling=0.2)
    0.5
    """
    if not history:
        return None
    end = (1 - cooling) * history[-1][0]
    early = [error for step, error in history if 0 < step <= end / 2]
    late = [error for step, error in history if end / 2 < step <= end]
    if not early or not late or not min(early) > 0:
        return None
    return max(0.0, 1 - min(late) / min(early))


def gain_sentence(gain: Gain, *, has_chosen: bool) -> str:
    """Return what the network gained, in words.

    Parameters
    ----------
    gain : Gain
    has_chosen : bool
        Whether the weights were chosen on the same observations, which makes the gain look larger.
    """
    interval = (
        "too few for an interval"
        if np.isnan(gain.low)
        else f"90 % interval {100 * gain.low:.1f} to {100 * gain.high:.1f} %"
    )
    same = ", which also chose the weights" if has_chosen else ""
    amount = f"{100 * gain.share:.1f} % lower than" if gain.share >= 0 else f"{-100 * gain.share:.1f} % higher than"
    if gain.share == 0:
        amount = "the same as"
    return f"the network's error is {amount} the first guess's on {gain.clouds} withheld clouds ({interval}){same}"


def advice(history: Sequence[tuple[int, float]], *, cooling: float) -> str:
    """Return whether to train longer, in words.

    Parameters
    ----------
    history, cooling
        As for :func:`late_fall`.
    """
    fall = late_fall(history, cooling=cooling)
    if fall is None:
        return "too few validations to tell whether a longer training would gain more"
    found = f"the validation error fell by {100 * fall:.1f} % in the second half of the steps"
    if fall > WORTH:
        return f"{found}: train longer, twice as long may gain about as much again"
    return f"{found}: a longer training would hardly gain more"
