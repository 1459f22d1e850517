"""The progress of a training in the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from geogan.reconstructor import Reconstructor
from geogan.training import Progress, RunLog


class TrainingProgress:
    """Show a bar with losses and scores, print messages, and write the log of the run.

    Parameters
    ----------
    reconstructor : Reconstructor
    log : RunLog
    console : Console, optional
        None for silence.
    """

    def __init__(self, reconstructor: Reconstructor, log: RunLog, console: Console | None) -> None:
        self.reconstructor, self.log, self.console = reconstructor, log, console
        self._losses: dict[str, float] = {}
        self._score = float("nan")
        self._bar: Bar | None = None
        # A log file would get empty lines of a bar.
        if console is not None and console.is_terminal:
            self._bar = Bar(
                SpinnerColumn(),
                TextColumn("[bold]{task.description}"),
                BarColumn(bar_width=20),
                TextColumn("{task.fields[text]}"),
                TimeRemainingColumn(compact=True),
                console=console,
                transient=True,
            )
            self._task = self._bar.add_task("preparing", total=None, text="")

    def __enter__(self) -> TrainingProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def message(self, sentence: str) -> None:
        """Print a sentence."""
        if self.console is not None:
            self.console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def show(self, report: Progress, unit: float) -> None:
        """Write a record of the log, and move the bar.

        Parameters
        ----------
        report : Progress
        unit : float
            What turns scores into the field's units.
        """
        # Only training finds out which domain it is, where none is given.
        self.log.description["domain"] = getattr(self.reconstructor, "domain_", self.log.description["domain"])
        self.log.write(report, unit)
        if report.score is not None:
            self._score = report.score * unit
        if self._bar is None:
            return
        self._losses |= report.losses
        losses = "  ".join(f"{name} {value:.3g}" for name, value in self._losses.items())
        score = "" if math.isnan(self._score) else f"withheld {self._score:.4g} (best {report.best_score * unit:.4g})  "
        training = self.reconstructor.settings.training
        done, total = float(report.step), float(training.steps or 0)
        if training.steps is None:
            done, total = report.seconds, 60 * (training.time_limit or 0)
        self._bar.update(
            self._task,
            description="training",
            completed=done,
            total=total,
            # Losses have a line of their own: one line would not fit into a hundred characters.
            text=f"step {report.step}  {score}{report.steps_per_second:.1f}/s\nlosses: {losses}",
        )

    def summarise(self, scores: Mapping[str, Any], resumed_at: int) -> None:
        """Print the error of the model."""
        out = self.log.folder
        if scores["steps"] == resumed_at:
            self.message(f"{out} was trained for {resumed_at} steps already; give more --steps or --minutes to go on")
        error = "no error on withheld observations"
        if scores["withheld"] is not None:
            error = (
                f"withheld error {scores['withheld']:.4g} {scores['units']} (first guess {scores['first_guess']:.4g})"
            )
        elif scores["judged"] is not None:
            error = f"estimated error of what the noise hides: {scores['judged']:.4g} {scores['units']}".rstrip()
        self.message(f"{error} after {scores['steps']} steps; {out} is ready")
