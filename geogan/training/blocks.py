"""Blocks: pieces of the archive with more hidden and the first guess solved, prepared in the background.

Solving for the first guess at every training step would be too slow, so blocks of some weeks times some
hundred pixels are prepared by a thread while the network trains, each with a fresh hidden pattern, and
many windows are drawn from each. Block ``n`` is a function of ``(seed, n)`` alone, and which blocks serve
a step is a function of the step alone: a resumed run sees what an undisturbed one would have seen.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from geogan.archive.archive import Archive, Loaded
from geogan.compute.extent import Extent
from geogan.operators.operator import Operator
from geogan.prior import Film
from geogan.prior.archive_covariance import Prior, reach
from geogan.prior.nearness import nearness

# What a pattern may hide of a frame, on average; beyond that, only what several draws of theta have in common
# is hidden: training windows must resemble those that will be filled, which have all their observations.
HIDE = 0.35
# And of what is left so many single observations, as in DINEOF's cross-validation: the way across one missing cell is
# learned too.
POINTS = 0.02
# How strongly noisy measurements are disturbed again, where noise is all that can be withheld.
RECORRUPTION = 0.5
# The error of what is then shown, and of what is asked, over that of the measurement.
SHOWN_ERROR, ASKED_ERROR = math.hypot(1, RECORRUPTION), math.hypot(1, 1 / RECORRUPTION)
# Tolerance of the deviations from which the posterior's spread is learned: their squares scatter far more.
DEVIATION = 0.05
# Values of a block of independent samples, and samples of one: each comes with a hidden pattern of its own.
SAMPLES_VALUES, FEWEST_SAMPLES, MOST_SAMPLES = 130_000, 16, 64


def hide(
    operator: Operator, shape: tuple[int, int, int, int, int], coverage: float, *, generator: torch.Generator
) -> Tensor:
    """A pattern that hides more of what was observed: 1 where still shown, shape (B, T, C, H, W).

    What is hidden are the gaps that several draws of theta have in common: so many that the share hidden stays
    moderate.
    """
    draws = 1 if coverage <= HIDE else min(32, int(np.ceil(np.log(HIDE) / np.log(min(coverage, 0.99)))))
    ones = torch.ones(shape)
    hidden = ones
    for _ in range(draws):
        hidden = hidden * (1 - operator.apply(ones, operator.sample(shape, generator=generator)).mask)
    return 1 - hidden


def cut(length: int, size: int, generator: np.random.Generator, *, first: int = 0, is_periodic: bool = False) -> slice:
    """A random stretch of ``size`` of an axis, or of ``length`` of it from ``first`` on.

    Of an axis that goes round the globe it may lie across the seam, as :mod:`geogan.fields.circle` counts columns.
    """
    size = min(size, length)
    if is_periodic and size < length:
        start = int(generator.integers(0, length))
        return slice(start, start + size)
    start = first + int(generator.integers(0, length - size + 1))
    return slice(start, start + size)


def holds_enough(archive: Archive, share_seen: np.ndarray, t: slice | np.ndarray, y: slice, x: slice) -> bool:
    """Whether something was seen on some dates, and enough of some cells is domain; of a strait, half of its share."""
    return share_seen[t].sum() > 0 and archive.sea(y, x).mean() > min(0.1, 0.5 * archive.domain.mean())


def some_samples(archive: Archive, generator: np.random.Generator, among: slice = slice(None)) -> np.ndarray:
    """Numbers of random samples of an archive, in order."""
    size = samples_of_a_block(archive)
    first, last, _ = among.indices(len(archive.days))
    return first + np.sort(generator.choice(last - first, min(size, last - first), replace=False))


def samples_of_a_block(archive: Archive) -> int:
    """Independent samples of a block, where the archive has as many."""
    return int(np.clip(SAMPLES_VALUES // (archive.bands * archive.domain.size), FEWEST_SAMPLES, MOST_SAMPLES))


def prepare(
    archive: Archive,
    operator: Operator,
    prior: Prior | None,
    *,
    number: int,
    seed: int,
    frames: int,
    side: int,
    coverage: float,
    share_seen: np.ndarray,
    hiding: bool = True,
    clean: Archive | None = None,
    pairs: bool = True,
    members: int = 1,
    deviating: bool = False,
    within: Loaded | None = None,
) -> Film:
    """Block ``number``: read, hide more, solve.

    Parameters
    ----------
    archive : Archive
    operator : Operator
        Its gaps hide more of the block; one that hides nothing leaves it as it is.
    prior : Prior or None
        Solved for the first guess; None for zeros.
    number, seed : int
        Decide where and when the block is, and what is hidden.
    frames, side : int
        Dates and pixels of a block at most.
    coverage : float
        Share of the domain under the operator's gaps, on average.
    share_seen : ndarray, shape (T,)
        Share of the domain seen on each date: stretches where nothing was seen are passed over. Of independent
        samples a block holds random ones.
    hiding : bool
        False to hide nothing more: the first guess then sees all of y. Where the noise of what is shown is known, more
        of it is put on top: see :func:`geogan.training.objective.recorrupted`.
    clean : Archive, optional
        Fields without gaps.
    pairs : bool
        The clean fields are those that were measured, date by date; otherwise any will do.
    members : int
        Draws of what makes members differ; none for 1.
    deviating : bool
        Draw a deviation of the first guess's posterior too.
    within : Loaded, optional
        The region that the block is cut from; by default it is anywhere in the archive.
    """
    generator = np.random.default_rng([seed, 0xB10C, number])
    torch_generator = torch.Generator().manual_seed(int(generator.integers(2**62)))
    whole_archive = Extent(*(slice(0, length) for length in (len(archive.days), *archive.domain.shape)))
    bounds = whole_archive if within is None else within.extent

    def somewhere(part: slice, size: int, *, is_periodic: bool = False) -> slice:
        return cut(part.stop - part.start, size, generator, first=part.start, is_periodic=is_periodic)

    # A region that does not go round may lie across the seam itself.
    wraps = archive.spans(bounds.x)

    for _ in range(20):
        t: slice | np.ndarray = somewhere(bounds.t, frames)
        if archive.independent:
            t = some_samples(archive, generator, bounds.t)
        y, x = somewhere(bounds.y, side), somewhere(bounds.x, side, is_periodic=wraps)
        if holds_enough(archive, share_seen, t, y, x):
            film = archive.read(t, y, x, within=within)
            if film.mask.any():
                break
    else:
        film = archive.read(t, y, x, within=within)
    values, mask, domain, dates = film.values, film.mask, film.domain, film.days
    kept, is_periodic = mask, archive.spans(x)
    prior, operator = None if prior is None else prior.around(is_periodic), operator.around(is_periodic)
    if operator.masks and hiding:
        # Samples are no film: nothing of a pattern is carried from one to the next.
        observed = mask[:, None] if archive.independent else mask[None]
        pattern = hide(operator, tuple(observed.shape), coverage, generator=torch_generator)  # type: ignore[arg-type]
        points = torch.rand(observed[:, :, :1].shape, generator=torch_generator) < POINTS
        kept = (observed * pattern * ~points).view_as(mask)
    values = values * mask
    guess, noise, whole, draws = torch.zeros_like(values), None, None, None
    shown, error, shown_error, deviation = values * kept, None, None, None
    if film.uncertainty is not None:
        error = shown_error = everywhere(film.uncertainty, mask)
    if hiding and (operator.noise > 0 or error is not None):
        spread = total_noise(operator, error)
        noise = spread * torch.randn(values.shape, generator=torch_generator) * mask
        shown = shown + RECORRUPTION * noise * kept
        shown_error = None if error is None else SHOWN_ERROR * error
    if shown_error is not None:
        shown_error = shown_error[None]
    if members > 1:
        draws = torch.randn((2, members, *values.shape), generator=torch_generator)
    if prior is not None and draws is not None:
        found = prior.members(shown[None], kept[None], domain, dates, noise=draws[:, :, None], uncertainty=shown_error)
        guess, draws = found[0][0], found[1][:, 0]
        deviation = found[1][0, 0]
    elif prior is not None and deviating:
        one = torch.randn((2, 1, 1, *values.shape), generator=torch_generator)
        found = prior.members(
            shown[None], kept[None], domain, dates, noise=one, loose=DEVIATION, uncertainty=shown_error
        )
        guess, deviation = found[0][0], found[1][0, 0]
    elif prior is not None:
        guess = prior.map(shown[None], kept[None], domain, dates, uncertainty=shown_error)[0]
    elif draws is not None:
        draws = draws[0] * domain
    if clean is not None:
        if not pairs and clean.independent:
            t = np.sort(generator.choice(len(clean.days), len(values), replace=len(clean.days) < len(values)))
        elif not pairs and len(clean.days) < len(values):
            t = np.resize(np.arange(len(clean.days)), len(values))
        elif not pairs:
            t = cut(len(clean.days), len(values), generator)
        whole = clean.read(t, y, x).values
    return Film(
        values=values,
        mask=mask,
        domain=domain,
        days=dates,
        kept=kept,
        guess=guess,
        clean=whole,
        noise=noise,
        members=draws,
        covariates=film.covariates,
        near=nearness(kept, dates, is_periodic=is_periodic, **reach(prior)),
        uncertainty=error,
        deviation=deviation,
    )


def total_noise(operator: Operator, uncertainty: Tensor | None) -> Tensor | float:
    """Standard deviation of all that a measurement is off by, in anomalies: the operator's noise, and what is known."""
    if uncertainty is None:
        return operator.noise
    return (uncertainty.square() + operator.noise**2).sqrt()


def everywhere(uncertainty: Tensor, mask: Tensor) -> Tensor:
    """Errors with a usual one, the median, where nothing was observed: what is simulated there must have one."""
    known = uncertainty[mask > 0]
    return torch.where(mask > 0, uncertainty, known.median()) if len(known) else uncertainty


class BlockPool:
    """The blocks that serve a step, prepared ahead by one background thread.

    Parameters
    ----------
    make : callable
        ``make(number)`` gives block ``number``.
    size : int
        Blocks that serve at a time.
    every : int
        Steps after which the oldest block is replaced by the next.
    ahead : int
        Blocks prepared in advance.
    wanted : callable, optional
        Which numbers to make at all; by default every one. Other processes make the others.

    Attributes
    ----------
    waited : float
        Seconds spent waiting for blocks, after the first ``size``.
    """

    def __init__(
        self,
        make: Callable[[int], Film],
        *,
        size: int,
        every: int,
        ahead: int = 4,
        wanted: Callable[[int], bool] | None = None,
    ) -> None:
        self.size, self.every, self.ahead = size, every, ahead
        self._wanted = wanted or (lambda number: True)
        self.waited = 0.0
        self._make = make
        self._blocks: OrderedDict[int, Future[Film]] = OrderedDict()
        self._executor = ThreadPoolExecutor(
            1, thread_name_prefix="blocks", initializer=torch.set_num_threads, initargs=(1,)
        )

    def begin(self, step: int) -> None:
        """Have the blocks that serve ``step`` prepared, and those that come next."""
        first = step // self.every
        for number in range(first, first + self.size + self.ahead):
            if number not in self._blocks and self._wanted(number):
                self._blocks[number] = self._executor.submit(self._make, number)

    def at(self, step: int) -> list[Film | None]:
        """The blocks that serve ``step``, number ``n`` in place ``n % size``; None where it is not wanted."""
        self.begin(step)
        first = step // self.every
        for number in [number for number in self._blocks if number < first]:
            del self._blocks[number]
        started = time.perf_counter()
        blocks: list[Film | None] = [None] * self.size
        for number in range(first, first + self.size):
            if number in self._blocks:
                blocks[number % self.size] = self._blocks[number].result()
        if step:
            self.waited += time.perf_counter() - started
        return blocks

    def close(self) -> None:
        """Stop preparing."""
        self._executor.shutdown(wait=True, cancel_futures=True)
