"""Progress of a long computation: a bar on a terminal, a line now and then in a log file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress

from geogan.fields.durations import duration

# A computation of less than this many seconds prints no line.
_FIRST_LINE = 15.0
# Seconds between two lines; a night's log has some hundred of them.
_INTERVAL = 120.0

Show = Callable[[float, float], None]
"""Called with the amount of work that is done, and with the whole amount."""


class ProgressLines:
    """Print a line of progress with the time left at intervals.

    Parameters
    ----------
    message : callable
        Prints a sentence.
    what : str
        What is being done, the first word of each line.
    unit : str
        Noun, in the plural, for the amount of work; empty to leave the amount out.
    clock : callable
        Returns seconds.

    Examples
    --------
    >>> times = iter([0.0, 5.0, 30.0])
    >>> lines = ProgressLines(print, "filling", "tasks", clock=lambda: next(times))
    >>> for done in (0, 1, 6):
    ...     lines.show(done, 12)
    filling: 6 of 12 tasks, 50 %, 30 seconds left
    """

    def __init__(
        self, message: Callable[[str], None], what: str, unit: str = "", *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._message, self._what, self._unit, self._clock = message, what, unit, clock
        self._start: tuple[float, float] | None = None
        self._next = 0.0

    def show(self, done: float, total: float, text: str = "") -> None:
        """Print a line if the last one is long ago.

        Parameters
        ----------
        done, total : float
        text : str
            Further values, at the end of the line.
        """
        now = self._clock()
        if self._start is None:
            self._start, self._next = (now, done), now + _FIRST_LINE
            return
        if now < self._next or not 0 < done < total:
            return
        self._next = now + _INTERVAL
        parts = [f"{done:,.0f} of {total:,.0f} {self._unit}"] if self._unit else []
        parts.append(f"{done / total:.0%}".replace("%", " %"))
        began, before = self._start
        if done > before:
            seconds = (now - began) * (total - done) / (done - before)
            parts.append(f"{duration(_rounded(seconds) / 86400)} left")
        self._message(f"{self._what}: {', '.join(part for part in (*parts, text) if part)}")


def _rounded(seconds: float) -> float:
    """Round a time left to seconds, minutes or quarters of an hour: it is an estimate."""
    unit = 1 if seconds < 90 else 60 if seconds < 5400 else 900
    return max(unit, round(seconds / unit) * unit)


@contextmanager
def shown_progress(console: Console | None, what: str, unit: str = "") -> Iterator[Show]:
    """Yield a function that shows progress on a console: a bar on a terminal, else lines; nothing without a console.

    Parameters
    ----------
    console : Console, optional
    what : str
        What is being done, such as ``"filling"``.
    unit : str
        As in `ProgressLines`.
    """
    if console is None:
        yield lambda done, total: None
        return
    if not console.is_terminal:

        def message(sentence: str) -> None:
            console.print(sentence, markup=False, highlight=False, soft_wrap=True)

        yield ProgressLines(message, what, unit).show
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(what, total=None, visible=False)

        def show(done: float, total: float) -> None:
            bar.update(task, completed=done, total=total, visible=True)

        yield show
