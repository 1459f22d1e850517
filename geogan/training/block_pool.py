"""Blocks that are prepared ahead by a background thread."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from geogan.prior import Film


class BlockPool:
    """The blocks from which the windows of a step are drawn.

    Which blocks serve a step depends only on the step, so a training that is resumed draws from the same.

    Parameters
    ----------
    make : callable
        ``make(number)`` returns block ``number``.
    size : int
        Blocks that serve at a time.
    every : int
        Steps after which the oldest block is replaced by the next.
    ahead : int
        Blocks prepared in advance.
    is_needed : callable, optional
        Whether a block, given by its number, is to be prepared; by default all are.

    Attributes
    ----------
    waited : float
        Seconds spent waiting for blocks, except for those of step 0.
    """

    def __init__(
        self,
        make: Callable[[int], Film],
        *,
        size: int,
        every: int,
        ahead: int = 4,
        is_needed: Callable[[int], bool] = lambda number: True,
    ) -> None:
        self.size, self.every, self.ahead = size, every, ahead
        self.waited = 0.0
        self._make, self._is_needed = make, is_needed
        self._blocks: OrderedDict[int, Future[Film]] = OrderedDict()
        self._executor = ThreadPoolExecutor(
            1, thread_name_prefix="blocks", initializer=torch.set_num_threads, initargs=(1,)
        )

    def begin(self, step: int) -> None:
        """Start preparing the blocks of ``step`` and the next ones."""
        first = step // self.every
        for number in range(first, first + self.size + self.ahead):
            if number not in self._blocks and self._is_needed(number):
                self._blocks[number] = self._executor.submit(self._make, number)

    def at(self, step: int) -> list[Film | None]:
        """Return the blocks of ``step``: block ``n`` at place ``n % size``, None where it is not needed."""
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
