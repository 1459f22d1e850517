"""The course of a training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from geogan.operators.errors import InputError
from geogan.plotting.figure_file import figure_path


def plot_training(metrics: Sequence[dict[str, Any]], path: str | Path, *, units: str = "") -> Path:
    """Draw the losses of a training and its error on the withheld cells.

    Parameters
    ----------
    metrics : sequence of dict
        One record a report, with ``step`` and any of ``loss_prior``, ``loss_likelihood``, ``loss_withheld``
        and ``withheld_rmse``; missing and None values are skipped.
    path : str or Path
        Where to save the figure: PNG, PDF, SVG.
    units : str
        Of the error.

    Returns
    -------
    path : Path

    Raises
    ------
    InputError
        Where no record has a step with a value, or the path cannot be written as a figure.

    Examples
    --------
    >>> import tempfile
    >>> records = [{"step": 1, "loss_prior": 0.7}, {"step": 9, "loss_prior": 0.6}]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     plot_training(records, f"{folder}/training.png").name
    'training.png'
    """
    # Not through pyplot: nothing is left open for the caller of a loop to close.
    from matplotlib.figure import Figure

    target = figure_path(path)
    losses = _curves(
        metrics,
        {"loss_prior": "prior", "loss_likelihood": "likelihood", "loss_withheld": "withheld"},
    )
    errors = _curves(metrics, {"withheld_rmse": "withheld RMSE"})
    if not losses and not errors:
        raise InputError(
            "metrics must hold records with a step and a loss or a withheld_rmse, got none of them; "
            "draw after the first report"
        )
    error = "withheld RMSE" + (f" [{units}]" if units else "")
    groups = [(curves, title) for curves, title in ((losses, "loss"), (errors, error)) if curves]
    figure = Figure(figsize=(4.6 * len(groups), 3.2), layout="constrained")
    for i, (curves, title) in enumerate(groups):
        ax = figure.add_subplot(1, len(groups), i + 1)
        for name, (steps, values) in curves.items():
            ax.plot(steps, values, label=name, linewidth=1.4, marker="o" if len(steps) < 30 else "", ms=3)
        ax.set_xlabel("step")
        ax.set_ylabel(title)
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
        if len(curves) > 1:
            ax.legend(frameon=False)
    figure.savefig(target, dpi=150)
    return target


def _curves(metrics: Sequence[dict[str, Any]], names: dict[str, str]) -> dict[str, tuple[list[float], list[float]]]:
    curves = {}
    for key, label in names.items():
        points = [(m["step"], m[key]) for m in metrics if m.get(key) is not None and m.get("step") is not None]
        if points:
            curves[label] = ([float(step) for step, _ in points], [float(value) for _, value in points])
    return curves
