"""The description and the course of a run: ``run.json`` and ``metrics.jsonl`` in its folder."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from geogan.files.disk import writing
from geogan.files.plain_file import parse_json, read_json, read_lines
from geogan.files.run_folder import METRICS, RUN, STATE
from geogan.training.loop import Progress


class RunLog:
    """Write what a run was trained on, and a record for each report of its progress.

    Parameters
    ----------
    folder : Path
        Folder of the run.
    description : dict
        Content of ``run.json``, but for the settings.
    settings : dict
        Settings of the training, which ``run.json`` holds until the first state is saved: a training that was killed
        before can be begun again with them.
    resumed_at : int
        Step that training is resumed at; -1 for a new training.
    """

    def __init__(self, folder: Path, description: dict[str, Any], settings: dict[str, Any], resumed_at: int) -> None:
        self.folder, self.description, self.settings = folder, description, settings
        self.resumed_at = resumed_at
        self._last: int | None = None  # step of the last record of this process

    def write(self, report: Progress, unit: float) -> None:
        """Write a record, after the description if there is none yet.

        Parameters
        ----------
        report : Progress
        unit : float
            What turns scores into the field's units.
        """
        record: dict[str, Any] = {"step": report.step, "seconds": round(report.seconds, 3)}
        record |= {f"loss_{name}": value for name, value in report.losses.items()}
        record |= {"steps_per_second": round(report.steps_per_second, 3), "waited": round(report.waited, 4)}
        if report.score is not None:
            record["withheld_rmse"] = report.score * unit
        for name, value in report.diagnosis.items():
            if name == "raw_score":
                record["withheld_rmse_raw"] = value * unit
            elif math.isfinite(value):
                record[name] = value
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._describe(report.step)
            self._append(record)
        self._last = report.step

    def _describe(self, step: int) -> None:
        """Write ``run.json``; once a state is saved, which has the settings too, take them out of it."""
        run = self.folder / RUN
        if step == 0 or not run.is_file():
            _replace(run, json.dumps(self.description | {"settings": self.settings}, indent=2))
        elif self._last in (None, 0) and (self.folder / STATE).is_file():
            content = read_json(run)
            if content.pop("settings", None) is not None:
                _replace(run, json.dumps(content, indent=2))

    def _append(self, record: dict[str, Any]) -> None:
        """Add a record to ``metrics.jsonl``; records of steps that were not saved are replaced."""
        metrics = self.folder / METRICS
        last = self.resumed_at if self._last is None else self._last
        if self._last is not None and record["step"] > last:
            with metrics.open("a") as file:
                file.write(json.dumps(record) + "\n")
            return
        # One line a step: the last record of a training joins another of the same step.
        kept = dict[float, dict[str, Any]]()
        for text, _ in read_lines(metrics) if metrics.is_file() else ():
            step = _step(text)
            if step <= last:
                kept[step] = kept.get(step, {}) | parse_json(text)
        kept[record["step"]] = kept.get(record["step"], {}) | record
        _replace(metrics, "".join(json.dumps(kept[step]) + "\n" for step in sorted(kept)))


def _replace(file: Path, text: str) -> None:
    """Write a file beside its name, which it gets in one move."""
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text(text)
    partial.replace(file)


def _step(line: str) -> float:
    """Return the step of a record, or infinity for a line that a kill cut short."""
    try:
        return float(parse_json(line)["step"])
    except (ValueError, KeyError, TypeError, OverflowError):
        return float("inf")
