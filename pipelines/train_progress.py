"""The progress of a training in the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Column

from geogan.operators.wording import counted
from geogan.pipelines.progress import ProgressLines
from geogan.reconstructor import Reconstructor
from geogan.training import Progress, RunLog


class TrainingProgress:
    """Show a bar with losses and scores, or lines in a log file; print messages, and write the log of the run.

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
        self._lines = ProgressLines(self.message, "training") if console and not console.is_terminal else None
        # In a log file, a bar would leave empty lines.
        if console is not None and console.is_terminal:
            self._bar = Bar(
                SpinnerColumn(),
                TextColumn("[bold]{task.description}"),
                BarColumn(bar_width=10),
                TimeRemainingColumn(compact=True),
                # The last column, so that long scores are wrapped and the time left stays visible at any width.
                TextColumn("{task.fields[text]}", table_column=Column(overflow="fold")),
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
            Factor from scores to the units of the field.
        """
        # A domain that is not given is determined by the preparation of the training.
        self.log.description["domain"] = getattr(self.reconstructor, "domain_", self.log.description["domain"])
        self.log.write(report, unit)
        if report.score is not None:
            self._score = report.score * unit
        self._losses |= report.losses
        losses = "  ".join(f"{name} {value:.3g}" for name, value in self._losses.items())
        score = "" if math.isnan(self._score) else f"withheld {self._score:.4g} (best {report.best_score * unit:.4g})  "
        training = self.reconstructor.settings.training
        done, total = float(report.step), float(training.steps or 0)
        if training.steps is None:
            done, total = report.seconds, 60 * (training.time_limit or 0)
        if self._lines is not None:
            self._lines.show(done, total, f"step {report.step}  {score}".strip())
        if self._bar is None:
            return
        self._bar.update(
            self._task,
            description="training",
            completed=done,
            total=total,
            text=f"step {report.step}  {report.steps_per_second:.1f}/s  {score}\nlosses: {losses}",
        )

    def summarise(self, scores: Mapping[str, Any], resumed_at: int) -> None:
        """Print the error of the model."""
        out = self.log.folder
        if scores["steps"] == resumed_at:
            self.message(f"{out} was trained for {counted(resumed_at, 'step')} already; give more --steps or --minutes")
        if self.reconstructor.model_.network is None:
            # The fit without a network has printed its error.
            self.message(f"{out} is ready")
            return
        error, units = "no error on withheld observations", f" {scores['units']}" if scores["units"] else ""
        if scores["withheld"] is not None:
            error = f"withheld error {scores['withheld']:.4g}{units} (first guess {scores['first_guess']:.4g})"
            if scores.get("expected_in_gaps") is not None:
                error += f", {scores['expected_in_gaps']:.4g}{units} expected in the gaps,"
        elif scores["judged"] is not None:
            error = f"estimated error of the field under the noise: {scores['judged']:.4g}{units}"
        self.message(f"{error} after {counted(scores['steps'], 'step')}; {out} is ready")
        verdict = training_verdict(scores)
        if verdict:
            self.message(verdict)


def training_verdict(scores: Mapping[str, Any]) -> str:
    """Return whether the network is to be used, from its gain over the Gaussian; empty without withheld clouds.

    Parameters
    ----------
    scores : mapping
        Scores of a model: ``gain``, the ends ``gain_low`` and ``gain_high`` of its 90 % interval, and ``clouds``.

    Examples
    --------
    >>> training_verdict({"gain": 0.04, "gain_low": 0.01, "gain_high": 0.07, "clouds": 9})
    'fit to use: the network is better than optimal interpolation (the first guess) beyond chance'
    """
    if scores.get("gain") is None or not scores.get("clouds"):
        return ""
    low, high = scores.get("gain_low"), scores.get("gain_high")
    rival = "optimal interpolation (the first guess)"
    if low is None or high is None:
        verb = "is" if scores["clouds"] == 1 else "are"
        return (
            f"{counted(scores['clouds'], 'withheld cloud')} {verb} too few to tell whether the network is better than "
            f"{rival}; train on more dates, or compare with a fuller field by geogan evaluate --truth"
        )
    if low > 0:
        return f"fit to use: the network is better than {rival} beyond chance"
    if high < 0:
        return f"the network is worse than {rival}; fill without --model, or train longer"
    return f"the network is not better than {rival} beyond chance; train longer, or fill without --model"
